//! `cluster reboot`: the guide's "Quick Reboot", and the proof that the nodes
//! came back.

use std::fmt::Write;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use talos::console::Boot;

use super::upgrade::address;
use super::{Which, choose, client, death_of, examine, existing_name, look_up};
use crate::app::App;
use foundation::ctx::cluster::{ClusterView, ConsoleFollower, Fault, NodeView};
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Action, Plan, Step};
use foundation::record::lock::Lock;
use foundation::signals::Attention;
use foundation::typed;
use foundation::ui::text::one_line;
use foundation::ui::{self, Style};
use foundation::units::parse_duration;
use foundation::wait::{Wait, Waited};

#[derive(Debug, Args)]
pub struct RebootArgs {
    #[command(flatten)]
    pub which: Which,
    /// Reboot every node
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Reboot through Talos' API, which stops services first, instead of a power cycle
    #[arg(long)]
    pub graceful: bool,
    /// Timeout for each node to become ready, such as 90s or 10m; a plain number is seconds
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Node names, name suffixes (worker-1), addresses or patterns ('worker-*')
    #[arg(required_unless_present = "all")]
    pub nodes: Vec<String>,
}

/// How often consoles and processes are looked at.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn run(app: &App<'_>, args: &RebootArgs) -> Result<u8> {
    let graceful = args.graceful.then_some(args.timeout);
    // Unknown nodes are an error before anything is locked.
    choose(&look_up(app, &args.which)?, &args.nodes)?;
    let Some(rebooting) = request(app, &args.which, &args.nodes, graceful)? else {
        return Ok(0);
    };
    let cluster = rebooting.cluster.clone();
    let boots = rebooting.prove(app, args.timeout)?;
    report(app, &cluster, &boots, args.json);
    Ok(0)
}

/// Nodes that were asked to reboot.
pub(in crate::commands) struct Rebooting {
    cluster: String,
    waiting: Vec<ConsoleFollower>,
    pub(in crate::commands) asked: Instant,
    _lock: Option<Lock>,
    _attention: Attention<'static>,
}

impl Rebooting {
    /// Waits until every node has a new kernel banner and a ready line.
    ///
    /// # Errors
    /// Those of [`prove`].
    pub(in crate::commands) fn prove(
        mut self,
        app: &App<'_>,
        limit: Duration,
    ) -> Result<Vec<(String, f64, Boot)>> {
        let (waiting, after) = (&mut self.waiting, "after the reboot");
        prove(app, &self.cluster, waiting, self.asked, limit, after)
    }
}

/// Asks nodes to reboot: by a power cycle, or through the API within a time. `None` for a dry
/// run.
///
/// # Errors
/// If a node would not come back, or a step fails.
pub(in crate::commands) fn request(
    app: &App<'_>,
    which: &Which,
    nodes: &[String],
    graceful: Option<Duration>,
) -> Result<Option<Rebooting>> {
    let name = existing_name(app, which)?;
    // Two runs must not claim the same boot.
    let lock = super::lock(app, name.as_str(), "cluster reboot")?;
    let view = examine(app, which)?;
    let nodes = choose(&view, nodes)?;
    for node in &nodes {
        check_comes_back(&view, node)?;
    }
    let plan = match graceful {
        Some(limit) => plan_graceful(app, &view, &nodes, limit)?,
        None => plan_reboot(&view, &nodes),
    };
    // An interrupt must still report which nodes are booting.
    let attention = app.signals.attend();
    // From here on every new byte belongs to the requested boot.
    let waiting = nodes
        .iter()
        .map(|node| ConsoleFollower::from_end(&node.name, &node.console))
        .collect();
    let asked = Instant::now();
    Ok(app.carry_out(&plan)?.then(|| Rebooting {
        cluster: view.name.clone(),
        waiting,
        asked,
        _lock: lock,
        _attention: attention,
    }))
}

/// Prints boots: node, seconds since the request, and the boot.
pub(super) fn report(app: &App<'_>, cluster: &str, boots: &[(String, f64, Boot)], json: bool) {
    if json {
        let nodes: Vec<Value> = boots
            .iter()
            .map(|(name, wall, boot)| to_json(name, *wall, boot))
            .collect();
        ui::print_report(json!({"cluster": cluster, "nodes": nodes}));
    } else {
        for (name, wall, boot) in boots {
            ui::print(&to_text(app, name, *wall, boot));
        }
    }
}

/// Refuses a node that would not boot again.
pub(super) fn check_comes_back(view: &ClusterView, node: &NodeView) -> Result<()> {
    if node.qemu.is_none() {
        return Err(death_of(view, node, "cannot reboot:"));
    }
    let concerns = |fault: &&Fault| {
        fault.prevents_boot() && fault.node.as_ref().is_none_or(|name| *name == node.name)
    };
    let Some(fault) = view.faults.iter().find(concerns) else {
        return Ok(());
    };
    let failure = Failure::host(format!(
        "cannot reboot `{}`: it would not come back",
        node.name
    ))
    .cause(&fault.what);
    let failure = fault.evidence.iter().fold(failure, Failure::cause);
    Err(failure.hint(
        fault
            .hint
            .clone()
            .unwrap_or_else(|| typed!("cluster explain --name {}", view.name)),
    ))
}

pub(in crate::commands) fn plan_reboot(view: &ClusterView, nodes: &[&NodeView]) -> Plan {
    let mut plan = Plan::new(format!(
        "reboot {} node(s) of cluster `{}`",
        nodes.len(),
        view.name
    ));
    for node in nodes {
        let step = Step::new(
            format!("power-cycle {}", node.name),
            Action::HardReboot {
                node: node.name.clone(),
                control: node.control.as_ref().map(|url| format!("{url}/reboot")),
                monitor: node.monitor.clone(),
            },
        );
        // The monitor belongs to root; every user may call the control API.
        plan.push(if node.control.is_some() {
            step
        } else {
            step.as_root()
        });
    }
    plan
}

/// Reboots all nodes at once through the API.
fn plan_graceful(
    app: &App<'_>,
    view: &ClusterView,
    nodes: &[&NodeView],
    limit: Duration,
) -> Result<Plan> {
    let mut plan = Plan::new(format!(
        "reboot {} node(s) of cluster `{}` through the API",
        nodes.len(),
        view.name
    ));
    let addresses = nodes.iter().map(|node| address(&view.name, node));
    let addresses = addresses.collect::<Result<Vec<String>>>()?.join(",");
    let words = [
        "reboot".to_owned(),
        format!("--nodes={addresses}"),
        "--wait".to_owned(),
        format!("--timeout={}s", limit.as_secs()),
    ];
    let why = "stop services, reboot and wait".to_owned();
    let step = client::api_step(&app.ctx, &view.name, why, &words)?;
    plan.push(step.deadline(limit.as_secs()));
    Ok(plan)
}

/// Waits until every node has a new kernel banner and a ready line.
///
/// # Errors
/// When a node dies, fails or is late; `after` begins the sentence about it.
pub(super) fn prove(
    app: &App<'_>,
    cluster: &str,
    waiting: &mut Vec<ConsoleFollower>,
    asked: Instant,
    limit: Duration,
    after: &str,
) -> Result<Vec<(String, f64, Boot)>> {
    let mut proven = Vec::new();
    let mut down_since: Option<Instant> = None;
    let wait = Wait::default().within(limit.saturating_sub(asked.elapsed()));
    let waited = wait.or_signal(app.signals).look_every(LOOK, || {
        for follower in waiting.iter_mut() {
            follower.read();
        }
        waiting.retain(|follower| match follower.ready_boot() {
            Some(boot) => {
                let seconds = asked.elapsed().as_secs_f64();
                app.ui
                    .progress(&format!("{} is ready after {seconds:.1} s", follower.node));
                proven.push((follower.node.clone(), seconds, boot.clone()));
                false
            }
            None => true,
        });
        if let Some((follower, failure)) = waiting
            .iter()
            .find_map(|follower| Some((follower, follower.repeated_failure()?)))
        {
            return Err(failed_node(cluster, follower, &failure));
        }
        if waiting.is_empty() {
            return Ok(Some(()));
        }
        let view = ClusterView::probe(&app.ctx, cluster);
        let dead = view.nodes.iter().find(|node| {
            let waited_for = waiting.iter().find(|follower| follower.node == node.name);
            waited_for.is_some_and(|follower| node.is_down_for_good() || follower.death().is_some())
        });
        match dead {
            Some(node)
                if down_since.get_or_insert_with(Instant::now).elapsed() > node.patience() =>
            {
                return Err(death_of(&view, node, after));
            }
            Some(_) => {}
            None => down_since = None,
        }
        Ok(None)
    })?;
    match (waited, waiting.first()) {
        (Waited::TimedOut, Some(late)) => Err(late_node(cluster, late, limit)),
        (Waited::Interrupted, Some(_)) => Err(interrupted(cluster, waiting)),
        _ => Ok(proven),
    }
}

fn interrupted(cluster: &str, waiting: &[ConsoleFollower]) -> Failure {
    let booting: Vec<&str> = waiting
        .iter()
        .map(|follower| follower.node.as_str())
        .collect();
    Failure::new(
        Exit::Interrupted,
        format!("interrupted; still booting: {}", booting.join(", ")),
    )
    .hint(typed!("cluster status --name {}", cluster))
}

fn failed_node(cluster: &str, follower: &ConsoleFollower, failure: &str) -> Failure {
    Failure::new(
        Exit::NodeDied,
        format!("`{}` cannot finish its boot", follower.node),
    )
    .cause(failure)
    .excerpt(foundation::ctx::cluster::console_tail(
        &follower.console,
        super::EXCERPT,
    ))
    .hint(typed!(
        "cluster logs --name {} --boot {}",
        cluster,
        follower.node
    ))
}

fn late_node(cluster: &str, late: &ConsoleFollower, limit: Duration) -> Failure {
    let seen = match late.new_boot() {
        Some(boot) if boot.banner_offset.is_some() => "its kernel started, but no ready line came",
        _ => "no new kernel banner came",
    };
    Failure::new(
        Exit::Deadline,
        format!("`{}` is not ready after {} s", late.node, limit.as_secs()),
    )
    .cause(seen)
    .excerpt(foundation::ctx::cluster::console_tail(
        &late.console,
        super::EXCERPT,
    ))
    .hint(typed!("cluster logs --name {} -f {}", cluster, late.node))
}

fn phases(boot: &Boot) -> Vec<(String, Option<f64>)> {
    boot.phases
        .iter()
        .map(|phase| (phase.name.clone(), phase.seconds))
        .collect()
}

fn to_json(name: &str, wall: f64, boot: &Boot) -> Value {
    let phases: Vec<Value> = phases(boot)
        .into_iter()
        .map(|(name, seconds)| json!({"name": name, "seconds": seconds}))
        .collect();
    json!({
        "name": name, "wall_seconds": (wall * 1000.0).round() / 1000.0,
        "kernel": boot.kernel, "booted": boot.booted, "ready": boot.ready, "phases": phases,
    })
}

fn to_text(app: &App<'_>, name: &str, wall: f64, boot: &Boot) -> String {
    let seconds =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1} s"));
    let mut out = format!(
        "{} rebooted: ready after {wall:.1} s (kernel time {}; boot sequence {})\n",
        app.ui.paint(Style::Bold, &one_line(name)),
        seconds(boot.ready),
        seconds(boot.booted),
    );
    let slow: Vec<String> = phases(boot)
        .into_iter()
        .map(|(name, took)| format!("{name} {}", seconds(took)))
        .collect();
    if !slow.is_empty() {
        let _ = writeln!(out, "  phases: {}", slow.join(", "));
    }
    out
}
