//! `cargo xtask` without a command: what there is, and the command to type next. Only
//! files are read, so it answers at once.

use std::fmt::Write;

use crate::app::App;
use foundation::ctx::buildx::current_builder;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::cluster::{ClusterState, ClusterView};
use foundation::ctx::host::Host;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Exit, Result};
use foundation::record::run_summary::RunSummary;
use foundation::record::runs::{self, now_ms};
use foundation::typed;
use foundation::ui::text::{counted, one_line};
use foundation::ui::{self, Style};
use foundation::units::human_span;

/// What nodes boot, and what creates them: targets of the Makefile.
struct Built {
    missing: Vec<&'static str>,
}

impl Built {
    fn look(app: &App<'_>, checkout: &Checkout) -> Self {
        let arch = app.ctx.host.arch;
        let file = |name: String| checkout.out().join(name).is_file();
        let all = [
            ("kernel", file(format!("vmlinuz-{arch}"))),
            ("initramfs", file(format!("initramfs-{arch}.xz"))),
            (
                "talosctl",
                Talosctl::path(&app.ctx, Some(checkout)).is_some(),
            ),
        ];
        let missing = all.into_iter().filter(|(_, there)| !there);
        Self {
            missing: missing.map(|(target, _)| target).collect(),
        }
    }
}

pub(crate) fn run(app: &App<'_>) -> Result<u8> {
    let checkout = match app.ctx.checkout() {
        Ok(checkout) => Some(checkout),
        // None is needed; a folder that was named must be one.
        Err(failure) if failure.exit == Exit::HostNotReady => None,
        Err(failure) => return Err(failure),
    };
    let built = checkout.as_ref().map(|checkout| Built::look(app, checkout));
    let names = ClusterView::try_names(&app.ctx)?;
    let clusters: Vec<ClusterView> = names
        .iter()
        .map(|name| ClusterView::probe(&app.ctx, name))
        .collect();
    let mut out = String::new();
    let mut line = |what: &str, text: &str| {
        let what = app.ui.paint(Style::Dim, &format!("{what:<9}"));
        let _ = writeln!(out, "{what} {text}");
    };
    line(
        "checkout",
        &checkout.as_ref().map_or_else(
            || "no Talos checkout here, above or in ../talos".to_owned(),
            |it| format!("{}  Talos {}", one_line(it.dir.as_str()), it.version),
        ),
    );
    if let Some(built) = &built {
        let text = match built.missing[..] {
            [] => "kernel, initramfs and talosctl".to_owned(),
            _ => format!("missing: {}", built.missing.join(", ")),
        };
        line("built", &text);
    }
    if clusters.is_empty() {
        line("clusters", "none");
    }
    for (at, view) in clusters.iter().enumerate() {
        let what = if at == 0 { "clusters" } else { "" };
        let nodes = counted(view.nodes.len() as u64, "node");
        let state = view.state.as_str();
        line(what, &format!("{} {state}, {nodes}", one_line(&view.name)));
    }
    let last = runs::list(&app.ctx.dirs.state).into_iter().next();
    let last = last.and_then(|id| RunSummary::read(&app.ctx.dirs.state.join("runs").join(id)).ok());
    if let Some(last) = last {
        let how = match last.code {
            Some(0) => "ok".to_owned(),
            Some(code) => format!("exit code {code}, see `{}`", typed!("runs show latest")),
            None if last.running => "running".to_owned(),
            None => "killed".to_owned(),
        };
        let ago = (now_ms().saturating_sub(last.started)) / 1000;
        let command = one_line(&last.command).into_owned();
        line(
            "last run",
            &format!("{command}: {how}, {} ago", human_span(ago)),
        );
    }
    let next = next(app, checkout.as_ref(), built.as_ref(), &clusters);
    let _ = write!(
        out,
        "\n{} {next}\n{} {}\n",
        app.ui.paint(Style::Bold, "next:"),
        app.ui.paint(Style::Dim, "help:"),
        typed!("help")
    );
    ui::print(&out);
    Ok(0)
}

fn next(
    app: &App<'_>,
    checkout: Option<&Checkout>,
    built: Option<&Built>,
    clusters: &[ClusterView],
) -> String {
    if let Some(command) = clusters.iter().find_map(for_cluster) {
        return command;
    }
    let (Some(checkout), Some(built)) = (checkout, built) else {
        return typed!("--lab cluster");
    };
    if built.missing.is_empty() {
        return typed!("cluster");
    }
    if Host::which("docker").is_none() {
        return typed!("doctor");
    }
    match current_builder(&app.ctx.dirs.home) {
        Some(_) => checkout.build(&built.missing.join(" ")),
        None => typed!("setup"),
    }
}

fn for_cluster(view: &ClusterView) -> Option<String> {
    let name = &view.name;
    Some(match view.state {
        ClusterState::Absent => return None,
        ClusterState::Running | ClusterState::Creating => {
            typed!("cluster status --name {}", name)
        }
        ClusterState::Partial => typed!("cluster destroy --name {}", name),
        ClusterState::Stopped | ClusterState::Stale => typed!("cluster start --name {}", name),
        ClusterState::Degraded | ClusterState::Foreign => {
            typed!("cluster explain --name {}", name)
        }
    })
}
