//! One round: build, reboot, wait until the nodes are ready, and run the user's command.

use std::collections::BTreeSet;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use foundation::ctx::cluster::{ClusterView, sha256};
use foundation::ctx::processes::Process;
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Action, Plan, Run, Step};
use foundation::run::Options;
use foundation::typed;

use super::compiler;
use super::report::{Part, Report};
use super::rounds::Round;
use super::running::BuiltInit;
use super::target::{POLICY, Target, decide};
use super::{Dev, DevArgs};
use crate::app::App;
use crate::commands::build::repository::Repository;
use crate::commands::build::{self, preflight, reason};
use crate::commands::cluster::reboot::{self, Rebooting};
use crate::commands::cluster::{choose, look_up};

/// A Makefile's variable that costs only time, and a value that takes less of it. What is built
/// with it is booted here and never pushed.
const FAST: (&str, &str) = ("ZSTD_COMPRESSION_LEVEL", "3");

/// The initramfs at one time.
struct Snapshot {
    size: u64,
    modified: SystemTime,
    /// Hashed meanwhile: it is large.
    digest: JoinHandle<Option<String>>,
}

impl Snapshot {
    /// `None` if there is none.
    fn take(path: &Utf8Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        let (size, modified) = (found.len(), found.modified().ok()?);
        let path = path.to_owned();
        Some(Self {
            size,
            modified,
            digest: std::thread::spawn(move || sha256(&path).ok()),
        })
    }

    fn digest(self) -> Option<String> {
        self.digest.join().ok().flatten()
    }
}

/// A part that failed.
type Failed = (Part, Failure);

impl Dev<'_, '_> {
    /// Carries out a round. A failure is part of the report.
    pub(super) fn carry_out(&mut self, round: Round, saved: u64) -> Report {
        self.number += 1;
        let mut report = Report {
            number: self.number,
            why: round.why.clone(),
            saved,
            ..Report::default()
        };
        let began = Instant::now();
        if let Err((part, failure)) = self.parts(round, &mut report) {
            let before: f64 = report.seconds.iter().map(|(_, seconds)| seconds).sum();
            let seconds = (began.elapsed().as_secs_f64() - before).max(0.0);
            report.failed = Some((part, seconds));
            report.messages = compiler::messages(&failure.excerpt);
            report.failure = Some(failure);
        }
        report.total = began.elapsed().as_secs_f64();
        report
    }

    fn parts(&mut self, round: Round, report: &mut Report) -> Result<(), Failed> {
        let began = Instant::now();
        let mut targets = round.targets;
        let may_boot = [Target::Policy, Target::Initramfs];
        let may_boot = may_boot.iter().any(|it| targets.contains(it));
        let before = may_boot.then(|| Snapshot::take(&self.initramfs)).flatten();
        if targets.contains(&Target::Policy) {
            self.build(Target::Policy, report)?;
            targets.append(&mut self.needed_by_policy().map_err(|it| (Part::Build, it))?);
        }
        let boots = targets.contains(&Target::Initramfs);
        if boots {
            self.build(Target::Initramfs, report)?;
        }
        if !report.built.is_empty() {
            report
                .seconds
                .push((Part::Build, began.elapsed().as_secs_f64()));
        }
        let built = Instant::now();
        let mut now = None;
        if boots || round.reboots {
            now = match (before, Snapshot::take(&self.initramfs)) {
                (Some(before), Some(built)) if boots => Some(self.compared(before, built, report)),
                (_, built) => built,
            };
        }
        let (mut rebooting, mut init) = (None, None);
        if (boots || round.reboots) && !report.is_same {
            let asked = self.request().map_err(|failure| (Part::Boot, failure))?;
            report.request_delay = asked
                .as_ref()
                .map(|asked| asked.asked.duration_since(built).as_secs_f64());
            // Read while the nodes boot it.
            init = asked.is_some().then(|| BuiltInit::read(&self.initramfs));
            rebooting = asked;
        }
        // What nodes do not boot is built while they boot.
        let others = [Target::Talosctl, Target::IntegrationTest];
        let others: Vec<Target> = others
            .into_iter()
            .filter(|it| targets.contains(it))
            .collect();
        let mut failed = None;
        let from = Instant::now();
        for target in &others {
            if failed.is_none() {
                failed = self.build(*target, report).err();
            }
        }
        if !others.is_empty() {
            let seconds = from.elapsed().as_secs_f64();
            let known = report.seconds.iter_mut();
            match known.into_iter().find(|(part, _)| *part == Part::Build) {
                Some((_, all)) => *all += seconds,
                None => report.seconds.push((Part::Build, seconds)),
            }
        }
        if let Some(rebooting) = rebooting {
            self.prove(rebooting, now, others.is_empty(), report)
                .map_err(|failure| (Part::Ready, failure))?;
            report.init = init.map(BuiltInit::id);
        }
        failed.map_or(Ok(()), Err)?;
        self.check(report)
    }

    /// Notes whether the initramfs that was built is the one that the nodes have booted
    /// already.
    fn compared(&mut self, before: Snapshot, now: Snapshot, report: &mut Report) -> Snapshot {
        // It may have been built again since the nodes have booted its content.
        let since = match self.same {
            Some((modified, since)) if modified == before.modified => since,
            _ => before.modified,
        };
        if before.size != now.size || !self.have_booted(since) {
            return now;
        }
        let Snapshot { size, modified, .. } = now;
        let (old, new) = (before.digest(), now.digest());
        report.is_same = new.is_some() && old == new;
        if report.is_same {
            self.same = Some((modified, since));
        }
        Snapshot {
            size,
            modified,
            digest: std::thread::spawn(move || new),
        }
    }

    /// Whether all nodes were started after a file of this time was written.
    fn have_booted(&self, modified: SystemTime) -> bool {
        let Ok(view) = look_up(self.app, &self.args.which) else {
            return false;
        };
        choose(&view, &self.nodes).is_ok_and(|nodes| {
            let mut started = nodes
                .iter()
                .map(|node| node.qemu.as_ref().and_then(Process::started));
            started.all(|started| started.is_some_and(|started| started > modified))
        })
    }

    /// What the compiled policy, if it has changed, is part of.
    fn needed_by_policy(&mut self) -> Result<BTreeSet<Target>> {
        let changed = self.watch.changed_in(POLICY.into())?;
        Ok(decide(&self.sources.parts, &changed).targets)
    }

    fn build(&mut self, target: Target, report: &mut Report) -> Result<(), Failed> {
        let built = build_target(self.app, self.args, &self.checkout, target);
        // Whatever was read of a file that was written meanwhile.
        self.watch.doubt_written();
        built.map_err(|failure| (Part::Build, failure))?;
        self.rounds.built(target);
        report.built.push(target.to_string());
        Ok(())
    }

    fn request(&self) -> Result<Option<Rebooting>> {
        reboot::request(self.app, &self.args.which, &self.nodes, None)
    }

    fn prove(
        &self,
        rebooting: Rebooting,
        booted: Option<Snapshot>,
        is_alone: bool,
        report: &mut Report,
    ) -> Result<()> {
        let boots = rebooting.prove(self.app, self.args.timeout)?;
        let slowest = boots.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((_, wall, boot)) = slowest {
            let ready = boot.ready.unwrap_or(*wall).min(*wall);
            // Behind a build, the time at which it was seen is not that of the boot.
            if is_alone {
                report.seconds.push((Part::Boot, wall - ready));
            }
            report.seconds.push((Part::Ready, ready));
            let phases = boot
                .phases
                .iter()
                .filter_map(|phase| Some((phase.name.clone(), phase.seconds?)));
            report.phase = phases.max_by(|a, b| a.1.total_cmp(&b.1));
        }
        report.nodes = boots
            .into_iter()
            .map(|(name, seconds, _)| (name, seconds))
            .collect();
        let Some(booted) = booted else {
            return Ok(());
        };
        let (size, modified) = (booted.size, booted.modified);
        let now = self.initramfs.metadata();
        let is_as_built =
            now.is_ok_and(|now| now.len() == size && now.modified().is_ok_and(|it| it == modified));
        if !is_as_built || !self.have_booted(modified) {
            return Err(Failure::step(format!(
                "`{}` was replaced while nodes booted: it is unknown which one they have",
                self.initramfs
            ))
            .hint(typed!("cluster status --verbose")));
        }
        report.digest = booted.digest();
        Ok(())
    }

    fn check(&self, report: &mut Report) -> Result<(), Failed> {
        let Some(line) = &self.args.then else {
            return Ok(());
        };
        let mut plan = Plan::new("the command after a round");
        plan.push(then(self.app, line));
        let began = Instant::now();
        let checked = self.app.runner().run(&plan, options(self.app, self.args));
        let code = match checked {
            Ok(()) => 0,
            Err(failure) => match failure.exit {
                Exit::Child(code) => code,
                _ => return Err((Part::Check, failure)),
            },
        };
        let seconds: Duration = began.elapsed();
        report.seconds.push((Part::Check, seconds.as_secs_f64()));
        report.checked = Some(code);
        Ok(())
    }
}

/// Standard output has the lines of the rounds; buildx draws where both are a terminal.
fn options<'a>(app: &App<'_>, args: &DevArgs) -> Options<'a> {
    Options {
        keep_stdout: args.json || !app.ui.has_screen(),
        ..Options::default()
    }
}

fn then(app: &App<'_>, line: &str) -> Step {
    let action = Action::Run(Run {
        argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        cwd: Some(app.ctx.cwd.clone()),
        // Its exit code is reported.
        tests: true,
        ..Run::default()
    });
    Step::new("run the command of `--then`", action)
}

fn build_target(app: &App<'_>, args: &DevArgs, checkout: &Utf8Path, target: Target) -> Result<()> {
    let plan = plan_build(app, args, checkout, target)?;
    preflight::check(app, &plan)?;
    let built = app.runner().run(&plan, options(app, args));
    built.map_err(|failure| reason::explain(app, failure))
}

fn plan_build(app: &App<'_>, args: &DevArgs, checkout: &Utf8Path, target: Target) -> Result<Plan> {
    let repository = Repository::open(checkout)?;
    let mut words = target.words(app.ctx.host.arch);
    words.extend(args.variables.iter().cloned());
    if target == Target::IntegrationTest {
        let file = words[0].clone();
        return build::plan_anew(app, &repository, &file, &file);
    }
    let fast = fast(&repository, &words).filter(|_| target == Target::Initramfs);
    words.extend(fast);
    let planned = build::evaluate(app, &repository, &words, false)?;
    Ok(build::plan_of(app, &repository, &words, &planned))
}

/// The variable of a quick build, where the Makefile has it and the user has not set it.
fn fast(repository: &Repository, words: &[String]) -> Option<String> {
    let (name, value) = FAST;
    let is_given = repository.environment.contains_key(name)
        || words
            .iter()
            .any(|word| word.starts_with(&format!("{name}=")));
    let is_known = repository.makefile.sets().into_iter().any(|it| it == name);
    (is_known && !is_given).then(|| format!("{name}={value}"))
}

/// The note about a quick build.
pub(super) fn note_of_profile(checkout: &Utf8Path, args: &DevArgs) -> Option<String> {
    let repository = Repository::open(checkout).ok()?;
    let word = fast(&repository, &args.variables)?;
    Some(format!(
        "an initramfs of this loop is built with {word}, which is quicker; images to push are not"
    ))
}

/// What a round would do at this moment.
pub(super) fn plan(
    app: &App<'_>,
    args: &DevArgs,
    checkout: &Utf8Path,
    view: &ClusterView,
    nodes: &[String],
) -> Result<Plan> {
    let mut plan = plan_build(app, args, checkout, Target::Initramfs)?;
    "after each change of what nodes boot".clone_into(&mut plan.title);
    plan.notes.extend(note_of_profile(checkout, args));
    let nodes = choose(view, nodes)?;
    plan.steps.extend(reboot::plan_reboot(view, &nodes).steps);
    plan.steps
        .extend(args.then.as_ref().map(|line| then(app, line)));
    Ok(plan)
}

/// The initramfs that is built.
pub(super) fn initramfs(checkout: &Utf8Path, arch: &str) -> Utf8PathBuf {
    checkout.join(format!("_out/initramfs-{arch}.xz"))
}
