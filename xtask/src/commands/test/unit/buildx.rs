//! `test unit --in buildx`: the Makefile's own target, through `build`.

use super::super::args::UnitArgs;
use super::flags::Flags;
use crate::commands::App;
use crate::commands::build;
use crate::commands::cluster::HalfMade;
use crate::failure::{Failure, Result};

/// The Makefile's own target; what it cannot be told is refused.
pub(super) fn run(app: &App<'_>, args: &UnitArgs, flags: &Flags) -> Result<u8> {
    let here_only = [
        (flags.run.is_some(), "-run"),
        (args.results.rerun_failed, "--rerun-failed"),
        (args.results.retries > 0, "--retries"),
        (args.results.json, "--json"),
        (args.results.report.is_some(), "--report"),
        (args.results.junit.is_some(), "--junit"),
        (
            !flags.test.is_empty() || !flags.build.is_empty(),
            "flags of `go test`",
        ),
    ];
    if let Some((_, name)) = here_only.iter().find(|(given, _)| *given) {
        return Err(
            Failure::usage(format!("the Makefile's unit-tests cannot be given {name}"))
                .hint("leave it out, or leave `--in buildx` out"),
        );
    }
    let target = if flags.race {
        "unit-tests-race"
    } else {
        "unit-tests"
    };
    let mut words = vec![target.to_owned()];
    if !args.chosen.packages.is_empty() {
        words.push(format!("TESTPKGS={}", args.chosen.packages.join(" ")));
    }
    let repository = build::repository::Repository::open(&app.ctx.checkout()?.dir)?;
    let planned = build::evaluate(app, &repository, &words, false)?;
    let plan = build::plan_of(app, &repository, &words, &planned);
    if !app.is_dry() {
        build::preflight::check(app, &plan)?;
    }
    app.carry_out(&plan, &HalfMade)?;
    Ok(0)
}
