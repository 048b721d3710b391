//! One plan from those of several repositories. A digest that one of them pushes is a
//! value that the next ones read, so the whole chain is known before it starts.

use camino::Utf8Path;

use foundation::plan::{Action, Effect, Learns, Plan, Run, Step};

/// Slots of digests. Those of Makefiles are counted from 0 in each.
const DIGESTS: usize = 1_000_000;
/// Stands for a digest's slot in the arguments of make, where slots are refused; the
/// number follows, then a dash.
const PLACEHOLDER: &str = "xtask-digest-";

/// Appends a plan; its conditions and its slots get other numbers.
pub(super) fn append(plan: &mut Plan, mut other: Plan) {
    let (conditions, jobs) = (plan.conditions.len(), plan.jobs.len());
    let slots = next(plan, 0..DIGESTS);
    each_text(&mut other, |text| {
        if makefile::contains_slot(text) {
            *text = makefile::fill(text, |slot| {
                makefile::slot(if slot < DIGESTS { slot + slots } else { slot })
            });
        }
    });
    for step in &mut other.steps {
        if let Some(condition) = &mut step.only_if {
            *condition += conditions;
        }
        if let Some(job) = &mut step.job {
            *job += jobs;
        }
        if let Some(learns) = &mut step.learns
            && learns.slot < DIGESTS
        {
            learns.slot += slots;
        }
    }
    plan.conditions.append(&mut other.conditions);
    let others = other.jobs.into_iter();
    plan.jobs
        .extend(others.map(|needs| needs.into_iter().map(|job| job + jobs).collect()));
    plan.notes.append(&mut other.notes);
    plan.steps.append(&mut other.steps);
}

/// Makes the digests that stand in the plan's texts the values of their steps.
pub(super) fn fill_digests(plan: &mut Plan) {
    each_text(plan, |text| {
        while let Some((before, rest)) = text.split_once(PLACEHOLDER) {
            let Some((slot, after)) = rest.split_once('-') else {
                break;
            };
            let slot = slot.parse().map_or_else(|_| String::new(), makefile::slot);
            *text = format!("{before}{slot}{after}");
        }
    });
}

fn each_text(plan: &mut Plan, mut change: impl FnMut(&mut String)) {
    for step in &mut plan.steps {
        match &mut step.action {
            Action::Run(run) => {
                run.argv.iter_mut().for_each(&mut change);
                run.env.iter_mut().for_each(|(_, value)| change(value));
            }
            Action::RecordImages { references, .. } => references.iter_mut().for_each(&mut change),
            _ => {}
        }
    }
}

fn next(plan: &Plan, range: std::ops::Range<usize>) -> usize {
    let learns = plan.steps.iter().filter_map(|step| step.learns.as_ref());
    let slots = learns.map(|learns| learns.slot + 1);
    slots
        .filter(|slot| range.contains(slot))
        .max()
        .unwrap_or(range.start)
}

/// An image that a step pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pushed {
    /// `127.0.0.1:5005/me/kernel`
    pub(super) name: String,
    /// May be a slot.
    pub(super) tag: String,
    /// `sha256:…`, or what stands for it until [`fill_digests`].
    pub(super) digest: String,
}

impl Pushed {
    pub(super) fn by_digest(&self) -> String {
        format!("{}@{}", self.name, self.digest)
    }
}

/// Learns the digest of the image `short` from buildx' metadata of its push. `None`
/// if no step pushes it.
pub(super) fn learn_digest(plan: &mut Plan, short: &str) -> Option<Pushed> {
    let found = plan.steps.iter().enumerate().rev().find_map(|(at, step)| {
        let Action::RecordImages {
            references,
            metadata: Some(metadata),
            ..
        } = &step.action
        else {
            return None;
        };
        let reference = references.iter().find_map(|reference| {
            let (name, tag) = split(reference)?;
            (name.rsplit('/').next() == Some(short)).then(|| (name.to_owned(), tag.to_owned()))
        });
        Some((at, reference?, metadata.clone()))
    });
    let (at, (name, tag), metadata) = found?;
    let slot = next(plan, DIGESTS..usize::MAX);
    plan.steps
        .insert(at + 1, digest_step(short, slot, &metadata));
    Some(Pushed {
        name,
        tag,
        digest: format!("{PLACEHOLDER}{slot}-"),
    })
}

/// A colon before a slash belongs to a port; the tag may be a slot.
fn split(reference: &str) -> Option<(&str, &str)> {
    let (name, tag) = reference.rsplit_once(':')?;
    (!tag.contains('/')).then_some((name, tag))
}

/// Fails if buildx wrote no digest, so that no later step runs with half a reference.
fn digest_step(short: &str, slot: usize, metadata: &Utf8Path) -> Step {
    let file = shlex::try_quote(metadata.as_str()).unwrap_or_default();
    let line = format!(
        "grep -oE '\"containerimage.digest\": *\"sha256:[0-9a-f]{{64}}\"' {file} | grep -oE 'sha256:[0-9a-f]{{64}}'"
    );
    let mut step = Step::new(
        format!("Read the digest of {short} from buildx' metadata"),
        Action::Run(Run {
            argv: vec!["/bin/sh".into(), "-c".into(), line],
            recipe: true,
            ..Run::default()
        }),
    )
    .effect(Effect::Reads);
    step.learns = Some(Learns {
        slot,
        name: format!("digest of {short}"),
        passage: makefile::Passage::Words,
        secret: false,
    });
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learner(slot: usize, text: String) -> Step {
        let mut step = Step::run("learn", ["sh".to_owned(), "-c".to_owned(), text]);
        step.learns = Some(Learns {
            slot,
            name: "x".to_owned(),
            passage: makefile::Passage::Words,
            secret: false,
        });
        step
    }

    fn pushes(reference: &str) -> Step {
        let action = Action::RecordImages {
            references: vec![reference.to_owned()],
            metadata: Some("/m/target x.json".into()),
            tree: "/t".into(),
            list: "/l".into(),
        };
        Step::new("record", action)
    }

    #[test]
    fn slots_of_two_repositories_stay_apart() {
        let mut plan = Plan::new("t");
        plan.push(learner(0, String::new()));
        plan.push(pushes("127.0.0.1:5005/u/kernel:v1"));
        let kernel = learn_digest(&mut plan, "kernel").unwrap();
        assert_eq!(kernel.name, "127.0.0.1:5005/u/kernel");
        assert_eq!(kernel.digest, "xtask-digest-1000000-");
        let mut other = Plan::new("o");
        let text = format!("{} {}", makefile::slot(0), kernel.digest);
        other.push(learner(0, text));
        other.push(pushes(&format!("r/u/x:{}", makefile::slot(0))));
        append(&mut plan, other);
        fill_digests(&mut plan);
        let Action::Run(run) = &plan.steps[3].action else {
            panic!("{:?}", plan.steps[3]);
        };
        assert_eq!(
            run.argv[2],
            format!("{} {}", makefile::slot(1), makefile::slot(DIGESTS))
        );
        assert_eq!(plan.steps[3].learns.as_ref().unwrap().slot, 1);
        let extension = learn_digest(&mut plan, "x").unwrap();
        assert_eq!(extension.digest, "xtask-digest-1000001-");
        assert_eq!(extension.tag, makefile::slot(1));
        assert_eq!(learn_digest(&mut plan, "y"), None);
    }
}
