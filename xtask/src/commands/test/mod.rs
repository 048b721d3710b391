//! `test`: Talos' own tests. The engine `gotest` discovers them and their
//! needs; the host, the history and the texts are here.

pub mod args;
mod at;
mod binary;
pub(super) mod discovered;
mod filter;
mod infrastructure;
pub mod integration;
mod leg;
pub mod list;
pub mod merge;
mod names;
mod results;
pub mod shards;
pub mod unit;
pub mod upgrade;

use clap::Subcommand;

use crate::app::App;
use std::ffi::OsString;

use camino::Utf8Path;
use foundation::ctx::Ctx;
use foundation::failure::{Failure, Result};
use foundation::record::results::{Failed, History};

#[derive(Debug, Subcommand)]
pub enum TestCommand {
    /// Run the unit tests of Talos, on this host or as the Makefile does
    #[command(
        after_help = "Examples:\n  cargo xtask test unit ./internal/pkg/...\n  \
        cargo xtask test unit ./pkg/machinery/config/... -run 'TestValidate' -- -short\n  \
        cargo xtask test unit --rerun-failed --retries 2\n  \
        cargo xtask test unit -E 'package(internal/pkg/*) & need(root) & !last(passed)'\n  \
        cargo xtask test unit --in buildx"
    )]
    Unit(Box<unit::UnitArgs>),
    /// Run the test that contains a line of a file
    #[command(
        after_help = "Examples:\n  cargo xtask test at internal/pkg/dns/dns_test.go:42\n  \
        cargo xtask test at dns_test.go:42 -- --race --retries 2      options of `test unit`\n\n\
        The smallest test counts: a subtest, a method of a suite, or a test function; of a table all rows run."
    )]
    At(at::AtArgs),
    /// List tests, subtests and suites with their needs, without compiling
    #[command(
        after_help = "Examples:\n  cargo xtask test list ./internal/pkg/...\n  \
        cargo xtask test list --needs loop            tests that need a loop device\n  \
        cargo xtask test list -E 'need(root) & !last(passed)'\n  \
        cargo xtask test list --explain TestGrow      why it can or cannot run here\n  \
        cargo xtask test list --json | jq -r '.tests[] | select(.runs_here | not) | .name'"
    )]
    List(list::ListArgs),
    /// Run the integration tests of Talos against a running cluster
    #[command(
        after_help = "Examples:\n  cargo xtask test integration                              short tests, as in the guide\n  \
        cargo xtask test integration api.ResetSuite\n  \
        cargo xtask test integration api.ResetSuite/TestResetWithSpec\n  \
        cargo xtask test integration --fresh --full               on a cluster created for the tests"
    )]
    Integration(integration::IntegrationArgs),
    /// Test upgrades from released versions to this tree, isolated from other clusters
    #[command(after_help = "Examples:\n  cargo xtask test upgrade --list\n  \
        cargo xtask test upgrade --track 1                        like a track of the Makefile\n  \
        cargo xtask test upgrade --dry-run --format sh")]
    Upgrade(upgrade::UpgradeArgs),
    /// Split unit tests over many machines: a GitHub Actions matrix or a Kubernetes Job
    #[command(
        after_help = "Examples:\n  cargo xtask test shards --n 4 > matrix.json\n  \
        cargo xtask test shards --n 4 --by-time --times times.json\n  \
        cargo xtask test shards --n 4 ./pkg/... -- --race --retries 2    options of each shard\n  \
        cargo xtask test shards --n 4 --for kubernetes --image IMAGE --claim CLAIM | kubectl create -f -\n  \
        cargo xtask test report --merge legs                      merge and verify all reports"
    )]
    Shards(shards::ShardsArgs),
    /// Merge the reports of all shards and verify that none is missing
    #[command(
        after_help = "Examples:\n  cargo xtask test unit --shard 1/2 --report legs/1.json     each shard, on its machine\n  \
        cargo xtask test report --merge legs\n  \
        cargo xtask test report --merge leg-1 leg-2 --junit junit.xml\n\n\
        Exit code 3: a shard or a test is missing or duplicated, or the shards are from different runs"
    )]
    Report(merge::ReportArgs),
}

pub(crate) fn run(app: &App<'_>, command: &TestCommand) -> Result<u8> {
    match command {
        TestCommand::At(args) => at::run(app, args),
        TestCommand::List(args) => list::run(app, args),
        TestCommand::Unit(args) => unit::run(app, args),
        TestCommand::Integration(args) => integration::run(app, args),
        TestCommand::Upgrade(args) => upgrade::run(app, args),
        TestCommand::Shards(args) => shards::run(app, args),
        TestCommand::Report(args) => merge::run(app, args),
    }
}

/// Names of suites for a shell's completion, with the file of each; with their tests if `tests`.
pub(crate) fn suite_names(ctx: &Ctx, upgrade: bool, tests: bool) -> Vec<(String, String)> {
    let Ok(checkout) = ctx.checkout() else {
        return Vec::new();
    };
    let tags = if upgrade {
        &upgrade::TAGS[..]
    } else {
        &integration::TAGS[..]
    };
    let suites = binary::suites(&checkout, tags).unwrap_or_default();
    let mut found = Vec::new();
    for suite in suites {
        if suite.name.starts_with("provision.") != upgrade {
            continue;
        }
        let names = suite.methods.iter().filter(|_| tests);
        found.extend(names.map(|test| (format!("{}/{test}", suite.name), String::new())));
        found.push((suite.name, suite.file));
    }
    found
}

/// Returns the history of tests. Without it only estimates are missing.
fn history(app: &App<'_>) -> History {
    History::load(&app.ctx.dirs.state).unwrap_or_else(|failure| {
        app.ui.note(&failure.in_one_line());
        History::default()
    })
}

/// Returns what failed last time, to be merged with the new result.
fn failed_before(app: &App<'_>, checkout: &Utf8Path) -> Option<Failed> {
    Failed::load(&app.ctx.dirs.state, checkout).unwrap_or_else(|failure| {
        app.ui.note(&failure.in_one_line());
        None
    })
}

fn invalid_duration(text: &str) -> Failure {
    Failure::usage(format!("invalid duration `{text}`")).hint("write 90s, 5m or 1h30m")
}

/// Replaces `-run REGEXP`, as in `go test`, which clap would read as three
/// options of one letter. Words after `--` are kept.
pub(crate) fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = given.collect();
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    let ours = &mut words[..end];
    if !ours.iter().any(|word| word == "test") {
        return words;
    }
    for word in ours {
        let text = word.to_str().unwrap_or_default();
        if text == "-run" || text.starts_with("-run=") {
            *word = format!("-{text}").into();
        }
    }
    words
}
