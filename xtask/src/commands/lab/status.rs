//! `lab status`: what the lab is, what it is made of, what to type next.

use std::fmt::Write;

use serde_json::{Value, json};

use super::docker;
use super::docker_parts::DockerParts;
use super::folder::LabFolder;
use super::parts::{Part, Parts};
use super::state::{Lab, State};
use super::up::TALOSCTL;
use crate::app::App;
use foundation::typed;
use foundation::ui::{self, Style, Ui};

/// Said wherever the lab is shown.
const STAND_IN: &str = "its nodes run a stand-in with Talos' API and console, not Talos";

pub(super) fn run(app: &App<'_>, lab_folder: &LabFolder, as_json: bool) {
    let lab = Lab::probe(lab_folder);
    let talosctl = lab
        .made
        .as_ref()
        .map_or(TALOSCTL, |made| made.talosctl.as_str());
    let parts = Parts::wanted(lab_folder, talosctl, app.ctx.host.arch);
    let docker = DockerParts::wanted(lab_folder);
    if as_json {
        let mut value = json(lab_folder, &lab, &parts);
        value["docker"] = json!({"running": docker::is_up(lab_folder), "parts": docker.json()});
        ui::print_report(value);
    } else {
        ui::print(&text(app.ui, lab_folder, &lab, &parts, &docker));
    }
}

fn json(lab_folder: &LabFolder, lab: &Lab, parts: &Parts) -> Value {
    let made = lab.made.as_ref();
    json!({
        "lab": {
            "state": lab.state,
            "dir": lab_folder.dir,
            "init_pid": lab.init.as_ref().map(|init| init.pid),
            "talosctl": made.map(|made| &made.talosctl),
            "kernel": made.map(|made| &made.kernel),
            "guest": made.map(|made| &made.guest),
            "stand_in": true,
        },
        "parts": parts.json(),
    })
}

fn text(ui: &Ui, lab_folder: &LabFolder, lab: &Lab, parts: &Parts, docker: &DockerParts) -> String {
    let (style, word) = match lab.state {
        State::Absent => (Style::Dim, "absent"),
        State::Starting => (Style::Warn, "starting"),
        State::Running => (Style::Good, "running"),
        State::Stale => (Style::Bad, "stale"),
    };
    let mut out = format!("lab        {}", ui.paint(style, word));
    if let Some(init) = &lab.init {
        let _ = write!(out, "  init {}", init.pid);
    }
    let _ = writeln!(out, "  {}", lab_folder.dir);
    let _ = writeln!(out, "           {}", ui.paint(Style::Dim, STAND_IN));
    let line = |part: &Part| {
        let state = if part.is_built { "built" } else { "missing" };
        format!("{:<10} {:<24} {state}\n", part.name, part.version)
    };
    out.extend(parts.all().map(line));
    let (style, word) = if docker::is_up(lab_folder) {
        (Style::Good, "running")
    } else {
        (Style::Dim, "not needed so far")
    };
    let _ = writeln!(out, "Docker     {}", ui.paint(style, word));
    // Only labs that build images have these.
    if docker.all().iter().any(|part| part.is_built) {
        out.extend(docker.all().map(line));
    }
    if let Some(made) = &lab.made
        && lab.state == State::Running
        && made.guest != parts.guest.version
    {
        let _ = writeln!(
            out,
            "           this program carries another guest than the one that runs"
        );
    }
    out.push_str(&next(lab.state));
    out
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
    let lines = next
        .iter()
        .map(|(command, what)| format!("  {command:<29} {what}\n"));
    format!("next:\n{}", lines.collect::<String>())
}
