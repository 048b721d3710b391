//! `airgap up`: sets up rules, observer and helper, each recorded before it is made.

use clap::Args;
use talos::network::Cidr;

use super::{LOCK, status};
use crate::app::App;
use crate::commands::cluster::airgap::{REVERSE_TARGET, Request, Wanted};
use crate::commands::cluster::settings::default_network;
use crate::commands::cluster::{Which, existing_name};
use foundation::ctx::airgap::{AirGap, Mode};
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Failure, Result};
use foundation::plan::Plan;
use foundation::record::lock;
use foundation::typed;

#[derive(Debug, Args)]
pub struct UpArgs {
    /// Way by which nodes may leave their bridge
    #[arg(value_enum)]
    pub mode: Mode,
    #[command(flatten)]
    pub which: Which,
    /// Network of a cluster that does not exist yet [default: 172.20.0.0/24]
    #[arg(long)]
    pub cidr: Option<String>,
    /// Server behind the reverse proxy [default: the local registry on port 5005]
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
}

pub(super) fn run(app: &App<'_>, args: &UpArgs) -> Result<u8> {
    let ctx = &app.ctx;
    let name = existing_name(app, &args.which)?;
    if args.target.is_some() && args.mode != Mode::ReverseProxy {
        return Err(Failure::usage("`--target` is for the mode `reverse-proxy`"));
    }
    let view = ClusterView::probe(ctx, name.as_str());
    let cidr = match (&args.cidr, view.cidr) {
        (Some(text), _) => Cidr::parse(text).map_err(|error| Failure::usage(error.to_string()))?,
        (None, Some(cidr)) => cidr,
        (None, None) => default_network(ctx)?,
    };
    let talosctl = if args.mode.has_helper() {
        let checkout = ctx.checkout()?;
        Some(Talosctl::need(ctx, &checkout)?)
    } else {
        None
    };
    let request = Request {
        name: &name,
        cidr,
        mode: args.mode,
        target: args.target.as_deref().unwrap_or(REVERSE_TARGET),
    };
    let wanted = Wanted::new(ctx, &request, talosctl.as_ref())?;
    let mut plan = Plan::new(format!(
        "air gap of cluster `{name}`, mode {}, on {cidr}",
        args.mode.as_str()
    ));
    plan.steps = wanted.start();
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    ctx.needs_linux("airgap up")?;
    let _lock = lock::take_soon(&ctx.dirs.state, LOCK, "airgap up")?;
    if let Some(there) = AirGap::read(ctx, name.as_str())? {
        let faults = there.faults();
        if there == wanted.gap && faults.is_empty() {
            app.ui.note("the air gap is already there");
            return status::run(app, &args.which, false);
        }
        let failure = Failure::host(format!(
            "cluster `{name}` already has an air gap, mode {}",
            there.mode.as_str()
        ));
        let causes = faults.into_iter().map(|fault| fault.what);
        return Err(causes
            .fold(failure, Failure::cause)
            .hint(typed!("airgap down --name {}", name)));
    }
    wanted.check()?;
    app.carry_out(&plan)?;
    status::run(app, &args.which, false)
}
