//! `lab status`: what the lab is, what it is made of, what to type next.

use std::fmt::Write;

use serde_json::{Value, json};

use super::docker;
use super::docker_parts::DockerParts;
use super::folder::LabFolder;
use super::parts::{LabParts, Part};
use super::real_parts::Replacement;
use super::state::{Lab, State};
use super::up;
use crate::app::{App, LabNodes};
use foundation::typed;
use foundation::ui::{self, Style, Ui};

/// Said wherever the lab is shown.
const STAND_IN: &str = "its nodes run a stand-in with Talos' API and console, not Talos";

pub(super) fn run(app: &App<'_>, lab_folder: &LabFolder, verbose: bool, as_json: bool) {
    let lab = Lab::probe(lab_folder);
    let arch = app.ctx.host.arch;
    let parts = if let Some(made) = &lab.made {
        made.parts(lab_folder, arch)
    } else {
        let nodes = LabNodes::default();
        LabParts::wanted(lab_folder, nodes, &up::default_version(nodes), arch)
    };
    let docker = DockerParts::wanted(lab_folder);
    if as_json {
        let mut value = json(lab_folder, &lab, &parts);
        value["docker"] = json!({"running": docker::is_up(lab_folder), "parts": docker.json()});
        ui::print_report(value);
    } else {
        ui::print(&text(app.ui, lab_folder, &lab, &parts, &docker));
        if verbose {
            ui::print(&replacements(&parts));
        }
    }
}

fn json(lab_folder: &LabFolder, lab: &Lab, parts: &LabParts) -> Value {
    let made = lab.made.as_ref();
    json!({
        "lab": {
            "state": lab.state,
            "dir": lab_folder.dir,
            "init_pid": lab.init.as_ref().map(|init| init.pid),
            "talosctl": made.map(|made| &made.talosctl),
            "kernel": made.map(|made| &made.kernel),
            "guest": made.map(|made| &made.guest),
            "stand_in": lab.nodes() == LabNodes::StandIn,
        },
        "replacements": replaced(parts),
        "parts": parts.json(),
    })
}

fn text(
    ui: &Ui,
    lab_folder: &LabFolder,
    lab: &Lab,
    parts: &LabParts,
    docker: &DockerParts,
) -> String {
    let (style, word) = match lab.state {
        State::Absent => (Style::Dim, "absent"),
        State::Starting => (Style::Warn, "starting"),
        State::Running => (Style::Good, "running"),
        State::Stale => (Style::Bad, "stale"),
    };
    let all = || parts.all().into_iter().chain(docker.all());
    let names = all().map(|part| part.name.len()).max().unwrap_or(0);
    let versions = all().map(|part| part.version.len()).max().unwrap_or(0);
    let mut out = format!("{:<names$} {}", "lab", ui.paint(style, word));
    if let Some(init) = &lab.init {
        let _ = write!(out, "  init {}", init.pid);
    }
    let _ = writeln!(out, "  {}", lab_folder.dir);
    let _ = writeln!(
        out,
        "{:<names$} {}",
        "",
        ui.paint(Style::Dim, &nodes(lab, parts))
    );
    let line = |part: &Part| {
        let state = if part.is_built { "built" } else { "missing" };
        format!(
            "{:<names$} {:<versions$} {state}\n",
            part.name, part.version
        )
    };
    out.extend(parts.all().into_iter().map(line));
    let (style, word) = if docker::is_up(lab_folder) {
        (Style::Good, "running")
    } else {
        (Style::Dim, "not needed so far")
    };
    let _ = writeln!(out, "{:<names$} {}", "Docker", ui.paint(style, word));
    // Only labs that build images have these.
    if docker.all().iter().any(|part| part.is_built) {
        out.extend(docker.all().map(line));
    }
    if let Some(made) = &lab.made
        && lab.state == State::Running
        && made.guest != parts.node().version
    {
        let _ = writeln!(
            out,
            "{:<names$} this program makes other nodes than those that run",
            ""
        );
    }
    out.push_str(&next(lab.state));
    out
}

fn nodes(lab: &Lab, parts: &LabParts) -> String {
    let LabParts::Real(parts) = parts else {
        return STAND_IN.to_owned();
    };
    let replaced = parts.replacements().unwrap_or_default().len();
    let kernel = lab.made.as_ref().map_or("", |made| &made.kernel);
    format!(
        "its nodes run Talos {} with {replaced} replacements, on Debian's kernel {kernel}; `lab status -v` lists them",
        parts.release()
    )
}

/// What differs from Talos as it is released; nothing is like it in the stand-in.
fn replaced(parts: &LabParts) -> Vec<Replacement> {
    match parts {
        LabParts::StandIn(_) => Vec::new(),
        LabParts::Real(parts) => parts.replacements().unwrap_or_default(),
    }
}

fn replacements(parts: &LabParts) -> String {
    let lines = replaced(parts)
        .into_iter()
        .map(|replacement| format!("  {}\n    {}\n", replacement.what, replacement.with));
    format!("replaced:\n{}", lines.collect::<String>())
}

fn next(state: State) -> String {
    let next = match state {
        State::Running => vec![
            (typed!("--lab cluster"), "a cluster in the lab"),
            (typed!("lab shell"), "look around"),
            (typed!("lab down"), "end it; what was built stays"),
        ],
        State::Starting | State::Stale => vec![(typed!("lab down"), "clear it away")],
        State::Absent => vec![
            (typed!("lab up"), "build what is missing, start the lab"),
            (typed!("--lab cluster"), "the same, and a cluster in it"),
        ],
    };
    let widths = next.iter().map(|(command, _)| command.len());
    let width = widths.max().unwrap_or(0);
    let lines = next
        .iter()
        .map(|(command, what)| format!("  {command:<width$}  {what}\n"));
    format!("next:\n{}", lines.collect::<String>())
}
