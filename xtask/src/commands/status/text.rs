//! The bench as text: one screen, whatever the number of nodes.

use std::fmt::Write;

use super::bench::{Bench, BuilderState, CheckoutState, Cluster, Node, Run};
use crate::commands::runs::{result, took};
use foundation::ctx::cluster::{ClusterState, NodeState};
use foundation::record::runs::now_ms;
use foundation::typed;
use foundation::ui::text::{column_width, counted, one_line};
use foundation::ui::{Style, Ui};
use foundation::units::human_span;

/// Of more nodes, those that are ready are only counted.
const NODES: usize = 6;
/// Width of the names at the left.
const NAMES: usize = 9;
/// Characters of a commit.
const COMMIT: usize = 10;

pub(super) fn render(ui: &Ui, bench: &Bench) -> String {
    let mut page = Page {
        ui,
        out: String::new(),
    };
    match &bench.checkout {
        Some(checkout) => page.checkout(checkout),
        None => page.line("checkout", "no Talos checkout here, above or in ../talos"),
    }
    match bench.missing_programs[..] {
        [] => {}
        _ => page.line("missing", &bench.missing_programs.join(", ")),
    }
    if bench.builder.is_some() || !bench.missing_programs.contains(&"docker") {
        page.builder(bench.builder.as_ref());
    }
    page.registries(bench);
    if bench.clusters.is_empty() && !bench.unread.iter().any(|why| why.starts_with("clusters:")) {
        page.line("clusters", "none");
    }
    for cluster in &bench.clusters {
        page.cluster(cluster);
    }
    if bench.stand_in && !bench.clusters.is_empty() {
        page.line("", "the nodes run the lab's stand-in, not Talos");
    }
    page.runs(&bench.runs);
    for why in &bench.unread {
        let mark = ui.paint(Style::Warn, "!");
        page.line("", &format!("{mark} {}", one_line(why)));
    }
    let Page { out, .. } = page;
    format!(
        "{out}\n{} {}\n{} {}\n",
        ui.paint(Style::Bold, "next:"),
        bench.next,
        ui.paint(Style::Dim, "help:"),
        // It takes no other options.
        format_args!("{} help", typed::tool())
    )
}

struct Page<'a> {
    ui: &'a Ui,
    out: String,
}

impl Page<'_> {
    fn line(&mut self, name: &str, text: &str) {
        let name = self.ui.paint(Style::Dim, &format!("{name:<NAMES$}"));
        let _ = writeln!(self.out, "{name} {text}");
    }

    fn checkout(&mut self, checkout: &CheckoutState) {
        let mut text = format!(
            "{}  Talos {}, line {}",
            one_line(checkout.dir.as_str()),
            checkout.version,
            checkout.line
        );
        if let Some(git) = &checkout.git {
            let head: String = git.head.chars().take(COMMIT).collect();
            let branch = git.branch.as_deref().unwrap_or("no branch");
            let _ = write!(text, "  {} at {}", one_line(branch), one_line(&head));
            if git.changed > 0 {
                let changed = format!("{} changed", counted(git.changed as u64, "file"));
                let _ = write!(text, ", {}", self.ui.paint(Style::Warn, &changed));
            }
        }
        self.line("checkout", &text);
        let built = match checkout.missing[..] {
            [] => "kernel, initramfs and talosctl".to_owned(),
            _ => format!("not yet: {}", checkout.missing.join(", ")),
        };
        self.line("built", &built);
    }

    fn builder(&mut self, builder: Option<&BuilderState>) {
        let Some(builder) = builder else {
            return self.line("builder", "docker's own, which Talos builds cannot use");
        };
        let style = match builder.state {
            Some("running") => Style::Good,
            Some("stopped" | "restarting") => Style::Warn,
            Some("absent") => Style::Bad,
            _ => Style::Dim,
        };
        let state = self.ui.paint(style, builder.state.unwrap_or("unknown"));
        let name = one_line(&builder.name);
        let driver = one_line(&builder.driver);
        self.line("builder", &format!("{name} {state}  driver {driver}"));
    }

    fn registries(&mut self, bench: &Bench) {
        let answer = |responds: bool| {
            let (style, text) = if responds {
                (Style::Good, "responds")
            } else {
                (Style::Dim, "does not respond")
            };
            self.ui.paint(style, text)
        };
        let registry = &bench.registry;
        let text = format!("127.0.0.1:{} {}", registry.port, answer(registry.responds));
        self.line("registry", &text);
        let Some(proxies) = &bench.proxies else {
            return;
        };
        let silent: Vec<&str> = proxies
            .iter()
            .filter(|proxy| !proxy.responds)
            .map(|proxy| proxy.host.as_str())
            .collect();
        let all = proxies.len();
        let text = match silent.len() {
            0 => self.ui.paint(Style::Good, &format!("all {all} respond")),
            count if count == all => self
                .ui
                .paint(Style::Dim, &format!("none of {all} responds")),
            count => {
                let text = format!("{} of {all} respond", all - count);
                let text = self.ui.paint(Style::Warn, &text);
                format!("{text}, not {}", one_line(&silent.join(", ")))
            }
        };
        self.line("proxies", &text);
    }

    fn cluster(&mut self, cluster: &Cluster) {
        let style = match cluster.state {
            ClusterState::Running => Style::Good,
            ClusterState::Creating | ClusterState::Degraded | ClusterState::Partial => Style::Warn,
            ClusterState::Stale | ClusterState::Foreign => Style::Bad,
            ClusterState::Absent | ClusterState::Stopped => Style::Dim,
        };
        let mut text = format!(
            "{} {}",
            one_line(&cluster.name),
            self.ui.paint(style, cluster.state.as_str())
        );
        if let Some(cidr) = &cluster.cidr {
            let _ = write!(text, "  {cidr}");
        }
        if let Some(talos) = &cluster.talos {
            let _ = write!(text, "  Talos {}", one_line(talos));
        }
        let (ready, others): (Vec<&Node>, Vec<&Node>) = cluster
            .nodes
            .iter()
            .partition(|node| node.state == NodeState::Ready);
        let shown = match cluster.nodes.len() {
            0..=NODES => cluster.nodes.iter().collect(),
            all => {
                let _ = write!(text, "  {} of {all} nodes ready", ready.len());
                others
            }
        };
        self.line("cluster", &text);
        let width = column_width(shown.iter().map(|node| &node.name));
        let hidden = shown.len().saturating_sub(NODES);
        for node in shown.iter().take(NODES) {
            self.node(node, width);
        }
        if hidden > 0 {
            self.line("", &format!("  and {}", counted(hidden as u64, "node")));
        }
        for fault in cluster.faults.iter().take(1) {
            let mark = self.ui.paint(Style::Warn, "!");
            self.line("", &format!("  {mark} {}", one_line(fault)));
        }
    }

    fn node(&mut self, node: &Node, width: usize) {
        let style = match node.state {
            NodeState::Ready => Style::Good,
            NodeState::Booted | NodeState::Starting => Style::Warn,
            _ => Style::Bad,
        };
        // Padded before painting: escape codes have no width on the terminal.
        let state = self
            .ui
            .paint(style, &format!("{:<11}", node.state.as_str()));
        let ip = node.ip.as_deref().unwrap_or_default();
        let boot = node
            .boot_seconds
            .map_or_else(String::new, |seconds| format!("booted in {seconds:.1} s"));
        let text = format!(
            "  {:<width$}  {ip:<15} {state} {boot}",
            one_line(&node.name)
        );
        self.line("", text.trim_end());
    }

    fn runs(&mut self, runs: &[Run]) {
        let now = now_ms();
        let mut name = "runs";
        for run in runs {
            let (style, word) = result(&run.summary);
            let ago = human_span(now.saturating_sub(run.summary.started) / 1000);
            let text = format!(
                "{} {:>6}  {:<15} {}",
                self.ui.paint(style, &format!("{word:<8}")),
                took(run.milliseconds),
                format!("{ago} ago"),
                one_line(&run.summary.command)
            );
            self.line(name, &text);
            name = "";
        }
    }
}
