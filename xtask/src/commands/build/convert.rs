//! Converts what make would start to the steps of a plan.

use camino::Utf8Path;
use makefile::{Capture, Condition, Item, Line, Planned};

use super::hidden::Hidden;
use super::shortened;
use foundation::ctx::config::BuilderConfig;
use foundation::plan::{Action, Effect, Learns, Plan, Run, Step};

/// Paths and settings outside of the repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) repository: &'a Utf8Path,
    /// `PWD` of the environment.
    pub(super) pwd: Option<&'a str>,
    /// The folder of this program, for buildx's metadata about a push.
    pub(super) state: &'a Utf8Path,
    /// The shared cache of builds, from the settings.
    pub(super) builder: &'a BuilderConfig,
    /// The values that are not shown.
    pub(super) hidden: &'a Hidden,
}

/// Seconds: a kernel for a foreign architecture takes hours, and make has no
/// deadline.
const LONGEST: u64 = 24 * 3600;

/// Returns a plan that does what make would do.
pub(super) fn plan(title: String, planned: &Planned, places: Places<'_>) -> Plan {
    let mut plan = Plan::new(title);
    plan.notes.clone_from(&planned.notes);
    plan.conditions = planned
        .conditions
        .iter()
        .map(|it| absolute(it, places.repository))
        .collect();
    plan.jobs.clone_from(&planned.jobs);
    let mut metadata_dir_is_made = false;
    for item in &planned.items {
        match item {
            Item::Line(line) => {
                let (mut step, record) = line_step(line, places);
                if let Some(record) = &record
                    && record_metadata(record).is_some()
                    && !std::mem::replace(&mut metadata_dir_is_made, true)
                {
                    let path = metadata_dir(places);
                    plan.push(Step::new(
                        "A place for what buildx says about a push",
                        Action::CreateDir { path },
                    ));
                }
                (step.only_if, step.job) = (line.condition, line.job);
                plan.push(step);
                plan.steps.extend(record.map(|mut record| {
                    (record.only_if, record.job) = (line.condition, line.job);
                    record
                }));
            }
            Item::Capture {
                slot,
                condition,
                job,
            } => {
                let mut step = capture_step(&planned.captures[*slot], *slot, places);
                (step.only_if, step.job) = (*condition, *job);
                plan.push(step);
            }
            Item::Require {
                path,
                error,
                condition,
                job,
            } => {
                let path = places.repository.join(path);
                let action = Action::Require {
                    path,
                    message: error.to_string(),
                };
                let mut step =
                    Step::new("What has no rule must be there", action).effect(Effect::Reads);
                (step.only_if, step.job) = (*condition, *job);
                plan.push(step);
            }
        }
    }
    plan
}

fn absolute(condition: &Condition, dir: &Utf8Path) -> Condition {
    let mut condition = condition.clone();
    if let Some(target) = &mut condition.target {
        let path = dir.join(&*target);
        condition.is_file |= path.exists();
        *target = path.into_string();
    }
    for needed in &mut condition.prerequisites {
        needed.path = dir.join(&needed.path).into_string();
    }
    condition
}

/// Returns the step whose output later lines contain.
fn capture_step(capture: &Capture, slot: usize, places: Places<'_>) -> Step {
    let mut step = shell_step(
        format!("{}: a value that is known only now", capture.place),
        (&capture.shell, &capture.command),
        &capture.environment,
        places,
    )
    .effect(Effect::Reads);
    let name = makefile::fill(&capture.command, |slot| format!("value {slot}"));
    step.learns = Some(Learns {
        slot,
        name: shortened(&name, makefile::SHOWN_COMMAND),
        passage: capture.passage,
        secret: places.hidden.slots.contains(&slot),
    });
    step
}

fn shell_step(
    why: String,
    (shell, text): (&[String], &str),
    environment: &[(String, String)],
    places: Places<'_>,
) -> Step {
    let dir = places.repository;
    let mut step = Step::new(
        why,
        Action::Run(Run {
            argv: shell.iter().cloned().chain([text.to_owned()]).collect(),
            env: environment.to_vec(),
            cwd: Some(dir.to_owned()),
            recipe: true,
            secrets: places.hidden.secrets.clone(),
            ..Run::default()
        }),
    )
    .deadline(LONGEST);
    if let (Action::Run(run), Some(pwd)) = (&mut step.action, places.pwd) {
        run.env.push(("PWD".to_owned(), pwd.to_owned()));
    }
    step
}

/// Returns the step of a line, and the step that records what it pushed.
fn line_step(line: &Line, places: Places<'_>) -> (Step, Option<Step>) {
    let references = pushed(&line.text);
    let by_buildx = line.text.starts_with(BUILDX) && !references.is_empty();
    let metadata = by_buildx.then(|| {
        // Of a flag that is given twice, the last counts.
        let existing = words_after(&line.text, "--metadata-file=")
            .chain(words_after(&line.text, "--metadata-file "))
            .last()
            .map(|path| places.repository.join(path));
        existing
            .unwrap_or_else(|| metadata_dir(places).join(format!("{}.json", plain(&line.target))))
    });
    let shared = with_cache(&line.text, places.builder);
    let text = match &metadata {
        Some(path) if !line.text.contains("--metadata-file") => {
            shared.replacen(BUILDX, &format!("{BUILDX} --metadata-file={path}"), 1)
        }
        _ => shared,
    };
    let why = format!("{} ({})", line.target, line.place);
    let mut step = shell_step(why, (&line.shell, &text), &line.environment, places);
    if let Action::Run(run) = &mut step.action {
        run.may_fail = line.ignores_failure;
        run.silent = line.silent;
    }
    let record = (!references.is_empty()).then(|| {
        Step::new(
            "Which digest it has",
            Action::RecordImages {
                references,
                metadata,
                tree: places.repository.to_owned(),
                list: foundation::record::pushed_images::list_of(places.state),
            },
        )
    });
    (step, record)
}

const BUILDX: &str = "docker buildx build";

/// Adds the shared cache of the settings to the line.
fn with_cache(text: &str, builder: &BuilderConfig) -> String {
    let flag = |name: &str, values: &[String]| -> String {
        let words = values
            .iter()
            .map(|value| format!(" --{name}={}", quoted(value)));
        words.collect()
    };
    let flags = flag("cache-from", &builder.cache_from) + &flag("cache-to", &builder.cache_to);
    if flags.is_empty() || !text.starts_with(BUILDX) {
        return text.to_owned();
    }
    text.replacen(BUILDX, &format!("{BUILDX}{flags}"), 1)
}

fn quoted(value: &str) -> String {
    shlex::try_quote(value).map_or_else(|_| String::new(), std::borrow::Cow::into_owned)
}

fn record_metadata(record: &Step) -> Option<&Utf8Path> {
    match &record.action {
        Action::RecordImages { metadata, .. } => metadata.as_deref(),
        _ => None,
    }
}

/// One folder per checkout: two checkouts may build the same target at the same
/// time.
fn metadata_dir(places: Places<'_>) -> camino::Utf8PathBuf {
    places
        .state
        .join("metadata")
        .join(plain(places.repository.as_str()))
}

fn plain(text: &str) -> String {
    let dashed = text
        .trim_start_matches('/')
        .replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
    makefile::fill(&dashed, |_| "value")
}

/// Returns the references that a line pushes, as far as its text shows: buildx
/// with a push, `crane push FILE REFERENCE`, `crane index append -t REFERENCE`.
fn pushed(text: &str) -> Vec<String> {
    if text.starts_with(BUILDX) {
        if !text.contains("push=true") {
            return Vec::new();
        }
        let tags = words_after(text, "--tag=");
        let names = words_after(text, "type=image,name=")
            .map(|rest| rest.split(',').next().unwrap_or_default().to_owned());
        return tags.chain(names).collect();
    }
    let after = |marker: &str, skip: usize| -> Vec<String> {
        let rest = text.split(marker).skip(1);
        rest.filter_map(|rest| rest.split_whitespace().nth(skip).map(cleaned))
            .collect()
    };
    let mut references = after("crane push ", 1);
    references.extend(after("crane index append -t ", 0));
    // With a shell variable in it, only the shell knows the reference.
    references.retain(|reference| !reference.contains('$') && reference.contains('/'));
    references
}

fn cleaned(word: &str) -> String {
    word.trim_matches(|c| "\"';)".contains(c)).to_owned()
}

fn words_after<'a>(text: &'a str, marker: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(marker)
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next().map(cleaned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_cache_is_given_to_buildx_alone() {
        let builder = BuilderConfig {
            cache_from: vec!["type=registry,ref=r/c".to_owned()],
            cache_to: vec!["type=registry,ref=r/c,mode=max".to_owned()],
            ..BuilderConfig::default()
        };
        assert_eq!(
            with_cache("docker buildx build --target=x .", &builder),
            "docker buildx build --cache-from='type=registry,ref=r/c' --cache-to='type=registry,ref=r/c,mode=max' --target=x ."
        );
        assert_eq!(with_cache("docker pull x", &builder), "docker pull x");
        let none = BuilderConfig::default();
        assert_eq!(
            with_cache("docker buildx build .", &none),
            "docker buildx build ."
        );
    }

    #[test]
    fn pushes_are_read_off_the_line() {
        let build = "docker buildx build --target=x --push=true --output type=image,name=127.0.0.1:5005/u/x:v1,rewrite-timestamp=true  .";
        assert_eq!(pushed(build), ["127.0.0.1:5005/u/x:v1"]);
        assert_eq!(
            pushed(&build.replace("--push=true", "--push=false")),
            [""; 0]
        );
        assert_eq!(
            pushed("docker buildx build --tag=r/u/k:v --push=true ."),
            ["r/u/k:v"]
        );
        let crane = "for p in a; do i=$(crane push _out/x-${p}.tar r/u/installer:v-${p}); done; crane index append -t \"r/u/installer:v\" $a";
        assert_eq!(pushed(crane), ["r/u/installer:v"]);
        assert_eq!(pushed("crane push _out/x.tar r/u/i:v"), ["r/u/i:v"]);
        assert_eq!(pushed("echo push=true"), [""; 0]);
    }
}
