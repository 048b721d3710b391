//! Talos' own integration tests in a lab whose nodes run Talos: the lab's checkout gets the sources that the nodes were
//! built from, and the binary of the tests, built when it is first asked for. A checkout named by `-C` has its own.

use std::fs;

use camino::Utf8Path;
use xshell::{Shell, cmd};

use super::build::{argv, shell};
use super::folder::LabFolder;
use super::locks::LockRequest;
use super::parts::LabParts;
use super::real_parts::{self, INTEGRATION_TEST, RealParts};
use super::state::Lab;
use super::up;
use crate::app::App;
use foundation::failure::Result;
use foundation::plan::{Plan, Step};
use foundation::run::Options;

/// Folders of the packages of the tests; Talos' library is a module of its own.
const SOURCES: [&str; 3] = ["cmd", "internal", "pkg"];

/// The lab, with the tests of what its nodes run; the stand-in has none. `None` for a dry run that has shown the plan.
///
/// # Errors
/// When Go is missing, or a step fails.
pub(super) fn ensure(app: &App<'_>, lab_folder: &LabFolder, lab: Lab) -> Result<Option<Lab>> {
    let arch = app.ctx.host.arch;
    let parts = lab.made.as_ref().map(|made| made.parts(lab_folder, arch));
    let Some(LabParts::Real(parts)) = parts else {
        return Ok(Some(lab));
    };
    let binary = parts.release().integration_binary("linux", arch);
    let binary = lab_folder.checkout().join(binary);
    // It may be the user's own build.
    if fs::symlink_metadata(&binary).is_ok() {
        return Ok(Some(lab));
    }
    let _building = LockRequest::parts(lab_folder).wait(app)?;
    let mut plan = Plan::new("Talos' integration tests for the lab");
    let sh = &shell()?;
    if !parts.integration_test().dir.is_dir() {
        let why = "Talos' tests are built with Go 1.26.1 or newer";
        up::check_can_build(true, false, why, &[])?;
        real_parts::integration_test(sh, &mut plan, &parts);
    }
    checkout(sh, &mut plan, &parts, &lab_folder.checkout(), &binary);
    // Standard output is left to the results of the tests.
    let options = Options {
        keep_stdout: true,
        ..Options::default()
    };
    let is_run = app.carry_out_with(&plan, options)?;
    Ok(is_run.then_some(lab))
}

/// Suites are read from the sources, and the binary has to be newer than them, else `test integration` builds it.
fn checkout(sh: &Shell, plan: &mut Plan, parts: &RealParts, to: &Utf8Path, binary: &Utf8Path) {
    let from = plan.steps.len();
    let sources = SOURCES.map(|folder| parts.sources().join(folder));
    let built = parts.integration_test().dir.join(INTEGRATION_TEST);
    let copy = binary.with_extension("new");
    for (why, cmd) in [
        (
            "the sources of the nodes' Talos, in the lab's checkout",
            cmd!(sh, "cp -R --preserve=timestamps -- {sources...} {to}/"),
        ),
        (
            "the binary of its integration tests",
            cmd!(sh, "cp -- {built} {copy}"),
        ),
        (
            "the binary is complete: give it its name",
            cmd!(sh, "mv -T -- {copy} {binary}"),
        ),
    ] {
        plan.push(Step::run(why, argv(cmd)));
    }
    plan.join(from, "give the lab's checkout the tests of its Talos");
}
