//! `cluster upgrade`: through Talos' API, node by node, each proven by its boot.

use std::time::{Duration, Instant};

use clap::Args;

use super::reboot::{check_comes_back, prove, report};
use super::{Which, choose, client, examine, existing_name, look_up};
use crate::app::App;
use foundation::ctx::cluster::{ConsoleFollower, NodeView};
use foundation::failure::{Failure, Result};
use foundation::plan::{Plan, Step};
use foundation::typed;
use foundation::units::parse_duration;

#[derive(Debug, Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    pub which: Which,
    /// Installer image
    #[arg(long, value_name = "REF")]
    pub image: String,
    /// Timeout for each node to become ready, such as 90s or 10m; a plain number is seconds
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Node names, name suffixes (worker-1), addresses or patterns ('worker-*') [default: all]
    pub nodes: Vec<String>,
}

pub(super) fn run(app: &App<'_>, args: &UpgradeArgs) -> Result<u8> {
    let name = existing_name(app, &args.which)?;
    choose(&look_up(app, &args.which)?, &args.nodes)?;
    let _lock = super::lock(app, name.as_str(), "cluster upgrade")?;
    let view = examine(app, &args.which)?;
    let nodes = choose(&view, &args.nodes)?;
    for node in &nodes {
        check_comes_back(&view, node)?;
    }
    let mut plan = Plan::new(format!(
        "upgrade {} node(s) of cluster `{name}` to {}",
        nodes.len(),
        args.image
    ));
    plan.notes
        .extend(nodes.iter().filter_map(|node| note(node)));
    for node in &nodes {
        plan.push(step(app, &view.name, node, args)?);
    }
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    for note in &plan.notes {
        app.ui.note(note);
    }
    let _attention = app.signals.attend();
    // One after another: etcd keeps its majority.
    let mut boots = Vec::new();
    for (node, step) in nodes.iter().zip(plan.steps) {
        let mut waiting = vec![ConsoleFollower::from_end(&node.name, &node.console)];
        let asked = Instant::now();
        let mut part = Plan::new(format!("upgrade {}", node.name));
        part.push(step);
        app.carry_out(&part)?;
        boots.extend(prove(
            app,
            &view.name,
            &mut waiting,
            asked,
            args.timeout,
            "after the upgrade",
        )?);
    }
    report(app, &view.name, &boots, args.json);
    Ok(0)
}

/// An upgrade changes the disk.
fn note(node: &NodeView) -> Option<String> {
    let argv = &node.qemu.as_ref()?.argv;
    let by_kernel = argv.iter().any(|arg| arg == "-kernel");
    by_kernel.then(|| {
        format!(
            "{} boots kernel and initramfs from files, so it boots these again: `{}` makes nodes boot from disk",
            node.name,
            typed!("cluster up --with-bootloader")
        )
    })
}

fn step(app: &App<'_>, cluster: &str, node: &NodeView, args: &UpgradeArgs) -> Result<Step> {
    let why = format!("upgrade {} and wait for it", node.name);
    let seconds = args.timeout.as_secs();
    let step = client::api_step(
        &app.ctx,
        cluster,
        why,
        &[
            "upgrade".to_owned(),
            format!("--nodes={}", address(cluster, node)?),
            format!("--image={}", args.image),
            "--wait".to_owned(),
            format!("--timeout={seconds}s"),
        ],
    )?;
    Ok(step.deadline(seconds))
}

/// # Errors
/// If `state.yaml` does not name one.
pub(super) fn address(cluster: &str, node: &NodeView) -> Result<String> {
    node.ip.map(|ip| ip.to_string()).ok_or_else(|| {
        Failure::host(format!("the address of `{}` is unknown", node.name))
            .hint(typed!("cluster status --name {}", cluster))
    })
}
