//! `doctor`: everything that prevents a cluster on this host, each finding with
//! its fix. Only `--fix` changes anything, through a plan.

mod builds;
mod capacity;
mod contexts;
mod finding;
mod fix;
mod inputs;
mod leftovers;
mod machines;
mod make_variables;
mod network;
mod packages;
mod report;
mod talos;
mod tools;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc::unbounded_channel;

use crate::app::App;
use crate::commands::cluster::UpArgs;
use finding::{Finding, Group, Status};
use foundation::failure::{Exit, Failure, Result};
use foundation::signals::Signals;
use foundation::wait::{Wait, Waited};
use inputs::Inputs;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Fix what can be fixed safely
    #[arg(long)]
    pub fix: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Check for the cluster that these would make
    #[command(flatten)]
    pub up: UpArgs,
}

/// Maximum time of a check; each probe within one ends earlier by itself.
const LIMIT: Duration = Duration::from_secs(8);

/// One check; the order of the table is that of the report.
struct Check {
    name: &'static str,
    group: Group,
    /// Whether it needs Linux.
    linux: bool,
    look: fn(&Inputs) -> Vec<Finding>,
}

const fn on_linux(name: &'static str, group: Group, look: fn(&Inputs) -> Vec<Finding>) -> Check {
    Check {
        name,
        group,
        linux: true,
        look,
    }
}

const fn anywhere(name: &'static str, group: Group, look: fn(&Inputs) -> Vec<Finding>) -> Check {
    Check {
        linux: false,
        ..on_linux(name, group, look)
    }
}

static CHECKS: &[Check] = &[
    anywhere("system", Group::Talos, system),
    anywhere("checkout", Group::Talos, talos::checkout),
    anywhere("talosctl", Group::Talos, talos::talosctl),
    anywhere("artifacts", Group::Talos, talos::artifacts),
    on_linux("qemu", Group::Machines, machines::qemu),
    on_linux("uefi-firmware", Group::Machines, machines::firmware),
    on_linux("kvm", Group::Machines, machines::kvm),
    on_linux("cni-plugins", Group::Machines, machines::cni),
    on_linux("swtpm", Group::Machines, machines::swtpm),
    on_linux("root", Group::Root, tools::root),
    on_linux("iptables", Group::Root, tools::iptables),
    on_linux("ip", Group::Root, tools::ip),
    on_linux("cidr", Group::Network, network::cidr),
    on_linux("gateway-ports", Group::Network, network::gateway_ports),
    on_linux("firewall", Group::Network, network::firewall),
    on_linux("forwarding", Group::Network, network::forwarding),
    on_linux("memory", Group::Capacity, capacity::memory),
    anywhere("disks", Group::Capacity, capacity::disks),
    anywhere("socket-paths", Group::Capacity, capacity::sockets),
    on_linux("clusters", Group::Leftovers, leftovers::clusters),
    on_linux("ledger", Group::Leftovers, leftovers::ledger),
    on_linux("ownership", Group::Leftovers, leftovers::ownership),
    anywhere("contexts", Group::Leftovers, contexts::look),
    anywhere("docker", Group::Builds, builds::docker),
    anywhere("buildx", Group::Builds, builds::buildx),
    anywhere("build-tools", Group::Builds, builds::tools),
    anywhere("make-variables", Group::Builds, make_variables::look),
    on_linux("registries", Group::Builds, builds::registries),
    on_linux("air-gapped-ports", Group::Builds, builds::air_gapped),
];

pub(crate) fn run(app: &App<'_>, args: &DoctorArgs) -> Result<u8> {
    let mut inputs = Arc::new(Inputs::gather(app, &args.up)?);
    let mut findings = look(&inputs, app.signals)?;
    if args.fix {
        let plan = fix::plan(app, &findings);
        if findings.iter().all(|finding| finding.fix.is_none()) {
            app.ui.note("--fix has nothing to do");
        }
        if !plan.steps.is_empty() || app.is_dry() {
            if !app.carry_out(&plan)? {
                return Ok(0);
            }
            inputs = Arc::new(Inputs::gather(app, &args.up)?);
            findings = look(&inputs, app.signals)?;
        }
    }
    report::print(app.ui, &findings, args.json);
    match report::count(&findings, Status::Missing) {
        0 => Ok(0),
        _ => Ok(Exit::HostNotReady.code()),
    }
}

/// Runs all checks in parallel. A check that does not end is itself a finding,
/// and its thread ends with the process.
fn look(inputs: &Arc<Inputs>, signals: &Signals) -> Result<Vec<Finding>> {
    let linux = inputs.ctx.host.os == "linux";
    let checks: Vec<&'static Check> = CHECKS
        .iter()
        .filter(|check| linux || !check.linux)
        .collect();
    let (sender, mut receiver) = unbounded_channel();
    for (index, check) in checks.iter().copied().enumerate() {
        let (sender, inputs) = (sender.clone(), Arc::clone(inputs));
        // The receiver may have given up after the limit.
        std::thread::spawn(move || drop(sender.send((index, (check.look)(&inputs)))));
    }
    drop(sender);
    let mut found: Vec<Option<Vec<Finding>>> = vec![None; checks.len()];
    // Each sender is dropped when its check ends.
    let all = async {
        while let Some((index, findings)) = receiver.recv().await {
            found[index] = Some(findings);
        }
    };
    if Wait::default()
        .within(LIMIT)
        .or_signal(signals)
        .until(all)?
        == Waited::Interrupted
    {
        return Err(Failure::new(Exit::Interrupted, "interrupted"));
    }
    let of_check = |(check, found): (&&'static Check, Option<Vec<Finding>>)| {
        let mut findings = found.unwrap_or_else(|| vec![unanswered(check.name)]);
        for finding in &mut findings {
            finding.group = check.group;
        }
        findings
    };
    Ok(checks.iter().zip(found).flat_map(of_check).collect())
}

fn unanswered(name: &str) -> Finding {
    let text = format!(
        "the check `{name}` did not end within {} s",
        LIMIT.as_secs()
    );
    Finding::warn(name, text).why("something that it asked hangs")
}

fn system(inputs: &Inputs) -> Vec<Finding> {
    let host = &inputs.ctx.host;
    if host.os == "linux" {
        let inside = if inputs.inside_lab {
            ", inside the lab"
        } else {
            ""
        };
        return vec![Finding::ok(
            "system",
            format!("Linux on {}{inside}", host.arch),
        )];
    }
    vec![
        Finding::missing(
            "system",
            format!(
                "`cluster up`, `cluster destroy` and `lab` need Linux; this is {}",
                host.os
            ),
        )
        .why("network namespaces, bridges, /proc; plans, builds and `runs` work here")
        .cure("run these on a Linux host over ssh; `--dry-run` shows their plans here"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_groups_stay_together() {
        let names: std::collections::BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(CHECKS.is_sorted_by_key(|check| check.group));
    }
}
