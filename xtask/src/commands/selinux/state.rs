//! `selinux state`: whether nodes enforce, and `selinux cmdline`: arguments of the kernel.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::commands::cluster::{self, Which, reach};
use foundation::ctx::node_api::NodeApi;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::ui;
use foundation::ui::text::{column_width, one_line};

#[derive(Debug, Clone, Args)]
pub struct StateArgs {
    #[command(flatten)]
    pub which: Which,
    /// Node names, name suffixes (worker-1), addresses or patterns ('worker-*') [default: all]
    pub nodes: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Sends every record to the console: without auditd, and with no limit of printk. All of
/// them are needed: without auditd alone, printk's limit drops records.
const TO_CONSOLE: &str = "talos.auditd.disabled=1 audit=1 audit_backlog_limit=65535 debug=1 \
    sysctl.kernel.printk_ratelimit=0 sysctl.kernel.printk_delay=0 sysctl.kernel.printk_ratelimit_burst=10000";

/// Prints kernel arguments for denials on the console.
pub(super) fn print_cmdline() {
    ui::print(&format!("{TO_CONSOLE}\n"));
}

/// Exit code 1 if a node's state is unknown or SELinux is off.
pub(super) fn run(app: &App<'_>, args: &StateArgs) -> Result<u8> {
    let name = cluster::existing_name(app, &args.which)?;
    let view = cluster::look_up(app, &args.which)?;
    let mut states = Vec::new();
    for node in cluster::choose(&view, &args.nodes)? {
        let state = match node.ip {
            Some(ip) => state_of(&reach::api_of(&app.ctx, &name, ip)?),
            None => Err(Failure::host("its address is unknown")),
        };
        states.push((node.name.clone(), state));
    }
    let is_on = |state: &Result<Option<String>>| matches!(state, Ok(Some(state)) if state.starts_with("enabled"));
    if args.json {
        let nodes = states.iter().map(|(node, state)| {
            let (state, error) = match state {
                Ok(state) => (state.clone(), None),
                Err(failure) => (None, Some(failure.in_one_line())),
            };
            json!({"node": node, "selinux": state, "error": error})
        });
        ui::print_report(json!({"cluster": name.as_str(), "nodes": nodes.collect::<Vec<_>>()}));
    } else {
        let width = column_width(states.iter().map(|(node, _)| node));
        let mut out = String::new();
        for (node, state) in &states {
            let text = match state {
                Ok(Some(state)) => state.clone(),
                Ok(None) => "unknown: the node does not report it".to_owned(),
                Err(failure) => format!("unknown: {}", failure.in_one_line()),
            };
            let _ = writeln!(out, "{:<width$}  {}", one_line(node), one_line(&text));
        }
        ui::print(&out);
    }
    Ok(if states.iter().all(|(_, state)| is_on(state)) {
        0
    } else {
        Exit::Checks.code()
    })
}

/// `enabled, enforcing`; `None` if the node does not report it.
fn state_of(api: &NodeApi) -> Result<Option<String>> {
    let states = api.resources("securitystate");
    let states = states.because(|| "its security state cannot be read".to_owned())?;
    let state = states.first().map(|state| &state["spec"]["selinuxState"]);
    Ok(state.and_then(Value::as_str).map(str::to_owned))
}
