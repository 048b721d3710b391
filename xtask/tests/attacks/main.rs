//! The attack suite: hostile input against every command that runs as root,
//! deletes, or reads what others wrote. Each case names its kind and is tried as
//! root and as a user whose sudo rule allows the root helper only.
//!
//! All of it runs in namespaces of its own (`room.rs`), so that an attack that
//! succeeds changes nothing outside. Around each case the stage (`stage.rs`)
//! compares everything that existed before: owner, mode, contents.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_debug_implementations,
    unreachable_pub,
    reason = "tests start and signal their own processes"
)]

#[path = "../common/mod.rs"]
mod common;
mod fetch;
mod go_sources;
mod makefiles;
mod page;
mod registries;
mod relay;
mod room;
mod root_helper;
mod stage;
mod state_files;
mod teardown;
mod terminal;
mod test_streams;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use stage::{Identity, Stage};

/// One hostile input.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// What class of fault it stands for, such as `ownership by time and place`.
    pub kind: &'static str,
    /// Arranges the stage, attacks, and asserts what the user would notice.
    pub attack: fn(&Stage),
}

/// By area, in the order in which they run.
const AREAS: &[(&str, &[Case])] = &[
    ("stage", stage::CASES),
    ("fetch", fetch::CASES),
    ("go_sources", go_sources::CASES),
    ("makefiles", makefiles::CASES),
    ("page", page::CASES),
    ("registries", registries::CASES),
    ("relay", relay::CASES),
    ("root_helper", root_helper::CASES),
    ("state_files", state_files::CASES),
    ("teardown", teardown::CASES),
    ("terminal", terminal::CASES),
    ("test_streams", test_streams::CASES),
];

fn main() -> ExitCode {
    let (mut arguments, filters) = arguments();
    // The cases share one stage.
    arguments.test_threads = Some(1);
    let mut room = None;
    if !arguments.list {
        match room::enter() {
            room::Entered::Inside(entered) => room = Some(entered),
            room::Entered::Outside(code) => return code,
        }
    }
    let is_chosen = |trial: &Trial| match arguments.exact {
        _ if filters.is_empty() => true,
        true => filters.iter().any(|filter| trial.name() == filter),
        false => filters.iter().any(|filter| trial.name().contains(filter)),
    };
    let trials = AREAS.iter().flat_map(|(area, cases)| {
        cases.iter().flat_map(move |case| {
            Identity::ALL.map(|identity| {
                let name = format!("{area}::{}::as_{}", case.name, identity.name());
                Trial::test(name, move || tried(case, identity)).with_kind(case.kind)
            })
        })
    });
    let is_here = |number: usize| room.as_ref().is_none_or(|room| room.has(number));
    let trials = trials.filter(is_chosen).enumerate();
    let trials = trials.filter_map(|(number, trial)| is_here(number).then_some(trial));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Several filters, as the harness of Rust takes them: cargo gives the same words to
/// every test binary.
fn arguments() -> (Arguments, Vec<String>) {
    let takes_value = [
        "--test-threads",
        "--format",
        "--color",
        "--logfile",
        "--skip",
    ];
    let (mut options, mut filters) = (Vec::new(), Vec::new());
    let mut words = std::env::args();
    options.extend(words.next());
    while let Some(word) = words.next() {
        if takes_value.contains(&word.as_str()) {
            options.push(word);
            options.extend(words.next());
        } else if word.starts_with('-') {
            options.push(word);
        } else {
            filters.push(word);
        }
    }
    (Arguments::from_iter(options), filters)
}

fn tried(case: &Case, identity: Identity) -> Result<(), Failed> {
    let stage = Stage::new(case.name, identity);
    let attacked = catch_unwind(AssertUnwindSafe(|| (case.attack)(&stage)));
    let changed = stage.changed();
    stage.clear();
    match attacked {
        Ok(()) if changed.is_empty() => Ok(()),
        Ok(()) => Err(format!("existed before and was changed:\n{}", changed.join("\n")).into()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()));
            Err(format!("{}\n{}", text.unwrap_or_default(), changed.join("\n")).into())
        }
    }
}
