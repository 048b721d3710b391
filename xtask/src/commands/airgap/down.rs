//! `airgap down`: removes rules, processes and files, and looks whether they are gone.

use super::LOCK;
use crate::app::App;
use crate::commands::cluster::{Which, airgap, existing_name};
use foundation::ctx::airgap::AirGap;
use foundation::failure::{Failure, Result};
use foundation::plan::Plan;
use foundation::record::lock;
use foundation::ui;

pub(super) fn run(app: &App<'_>, which: &Which) -> Result<u8> {
    let ctx = &app.ctx;
    let name = existing_name(app, which)?;
    let mut plan = Plan::new(format!("remove the air gap of cluster `{name}`"));
    plan.steps = airgap::stop(ctx, name.as_str());
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    ctx.needs_linux("airgap down")?;
    let _lock = lock::take_soon(&ctx.dirs.state, LOCK, "airgap down")?;
    if plan.steps.is_empty() {
        ui::print(&format!("cluster {name} has no air gap: nothing to do\n"));
        return Ok(0);
    }
    app.carry_out(&plan)?;
    let dir = AirGap::dir(ctx, name.as_str());
    let mut left = Vec::new();
    if AirGap::has_rules(&name.bridge())? {
        left.push(format!("the table {}", AirGap::table(&name.bridge())));
    }
    let running = AirGap::observers(&dir)
        .into_iter()
        .chain(AirGap::helpers(&dir));
    left.extend(running.map(|process| format!("`{}` (pid {})", process.comm, process.pid)));
    if dir.symlink_metadata().is_ok() {
        left.push(dir.into_string());
    }
    if !left.is_empty() {
        let failure = Failure::step(format!("not all of the air gap of `{name}` was removed"));
        return Err(left.iter().fold(failure, Failure::cause));
    }
    ui::print(&format!(
        "removed the air gap of cluster {name}; nothing is left\n"
    ));
    Ok(0)
}
