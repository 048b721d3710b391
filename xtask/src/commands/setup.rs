//! `setup`: the guide's "Prepare" in one command. Each part changes only what
//! is not as it should be, so a second run changes nothing.

use std::fmt::Write;

use clap::Args;
use serde_json::{Value, json};

use super::{builder, proxies, registry};
use crate::app::App;
use foundation::ctx::binfmt::{self, Binfmt};
use foundation::ctx::inside_lab::is_inside_lab;
use foundation::failure::{Failure, Result};
use foundation::plan::{Effect, Plan, Step};
use foundation::run::Options;
use foundation::ui::{self, Style};
use foundation::{program, typed};

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask setup\n  cargo xtask setup --dry-run\n  cargo xtask --lab setup"
)]
pub struct SetupArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The guide's `multiarch/qemu-user-static` has had no release for years;
/// docker's documentation names this image, and it fixes its interpreters.
const INSTALLER: &str = "tonistiigi/binfmt";
/// The image is pulled first.
const DEADLINE: u64 = 600;

/// The status of a part at the end.
struct PartStatus {
    name: &'static str,
    changed: bool,
    text: String,
    ready: bool,
}

/// A part and its purpose.
type Ensure = fn(&App<'_>) -> Result<Option<bool>>;
const PARTS: [(&str, &str, Ensure); 3] = [
    (
        "builder",
        "buildx builds, with what Talos needs",
        builder::ensure,
    ),
    (
        "registry",
        "builds push to 127.0.0.1:5005",
        registry::ensure,
    ),
    (
        "proxies",
        "clusters pull through caches on this machine",
        proxies::ensure,
    ),
];

pub(crate) fn run(app: &App<'_>, args: &SetupArgs) -> Result<u8> {
    if app.is_dry() {
        return show(app);
    }
    let mut done = Vec::new();
    for (name, text, ensure) in PARTS {
        done.push(PartStatus {
            name,
            changed: ensure(app)?.unwrap_or(false),
            text: text.to_owned(),
            ready: true,
        });
    }
    done.push(cross_build(app)?);
    if args.json {
        ui::print_report(to_json(&done));
    } else {
        ui::print(&to_text(app, &done));
    }
    Ok(0)
}

/// Shows all parts as one plan.
fn show(app: &App<'_>) -> Result<u8> {
    let mut plan = Plan::new("set up what builds and clusters need");
    let mut parts = vec![builder::plan(app)?, registry::plan()?, proxies::plan(app)?];
    let foreign = binfmt::foreign(app.ctx.host.arch);
    let is_ready = matches!(binfmt::probe(foreign), Binfmt::Ready { .. });
    if !is_ready && !is_inside_lab() {
        parts.push(plan_cross_build(foreign));
    }
    for part in parts {
        plan.notes.extend(part.notes);
        plan.steps.extend(part.steps);
    }
    app.show(&plan)?;
    Ok(0)
}

/// Changes the whole host, so the user is asked; in the lab it is only
/// reported.
fn cross_build(app: &App<'_>) -> Result<PartStatus> {
    let foreign = binfmt::foreign(app.ctx.host.arch);
    let part = |changed: bool, ready: bool, text: String| PartStatus {
        name: "cross-build",
        changed,
        text,
        ready,
    };
    let why = match binfmt::probe(foreign) {
        Binfmt::Ready { interpreter } => {
            let text = format!("PLATFORM=linux/{foreign} builds, by {interpreter}");
            return Ok(part(false, true, text));
        }
        Binfmt::NotMounted => "the kernel's binfmt_misc is not mounted".to_owned(),
        Binfmt::Unreadable { why } => {
            return Err(
                Failure::host("cannot read which foreign programs the kernel runs")
                    .cause(why)
                    .hint(program!("ls -l /proc/sys/fs/binfmt_misc")),
            );
        }
        Binfmt::Absent => format!("the kernel does not know how to run {foreign} programs"),
        Binfmt::Disabled => format!("the kernel's entry for {foreign} programs is disabled"),
        Binfmt::NotFixed { interpreter } => {
            format!("{interpreter} is not fixed (flag F), so containers do not find it")
        }
    };
    let plan = plan_cross_build(foreign);
    let for_what = format!("only PLATFORM=linux/{foreign} needs it");
    if is_inside_lab() {
        let text = format!("{why}; {for_what}; it is the host's, not the lab's: left alone");
        return Ok(part(false, false, text));
    }
    let question = format!(
        "Cross-build: {why}. {for_what}.\nRegister it for this whole machine, until its next boot, with `docker run --privileged --rm {INSTALLER} --install {foreign}`?"
    );
    match app.ui.confirm(&question) {
        Some(true) => {}
        Some(false) => return Ok(part(false, false, format!("{why}; {for_what}"))),
        None => {
            let text = format!(
                "{why}; {for_what}; there is no terminal to ask on: pass `--yes` to register it"
            );
            return Ok(part(false, false, text));
        }
    }
    app.runner().run(&plan, Options::default())?;
    match binfmt::probe(foreign) {
        Binfmt::Ready { interpreter } => {
            let text = format!("PLATFORM=linux/{foreign} builds, by {interpreter}");
            Ok(part(true, true, text))
        }
        _ => Err(
            Failure::step(format!("{foreign} programs still cannot run"))
                .cause(why)
                .hint("cat /proc/sys/fs/binfmt_misc/status"),
        ),
    }
}

fn plan_cross_build(foreign: &str) -> Plan {
    let mut plan = Plan::new("cross-build");
    plan.note(format!(
        "host-wide: every user of this machine can run {foreign} programs afterwards, until its next boot"
    ));
    let argv = [
        "docker",
        "run",
        "--privileged",
        "--rm",
        INSTALLER,
        "--install",
        foreign,
    ];
    let why = format!("let the kernel run {foreign} programs by QEMU");
    plan.push(
        Step::run(why, argv)
            .effect(Effect::Changes)
            .deadline(DEADLINE),
    );
    plan
}

fn to_json(parts: &[PartStatus]) -> Value {
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| {
            json!({"name": part.name, "ready": part.ready, "changed": part.changed, "text": part.text})
        })
        .collect();
    json!({"parts": parts})
}

fn to_text(app: &App<'_>, parts: &[PartStatus]) -> String {
    let mut out = String::new();
    for part in parts {
        let (style, word) = match (part.ready, part.changed) {
            (true, true) => (Style::Good, "done"),
            (true, false) => (Style::Good, "ready"),
            (false, _) => (Style::Warn, "not set up"),
        };
        let word = app.ui.paint(style, &format!("{word:<10}"));
        let _ = writeln!(out, "{:<12} {word} {}", part.name, part.text);
    }
    for (line, what) in [
        (
            typed!("build initramfs kernel talosctl"),
            "what a cluster boots",
        ),
        (
            typed!("installer"),
            "what `--with-bootloader` and upgrades install",
        ),
        (
            typed!("cluster"),
            "a cluster of it, which pulls through the proxies",
        ),
    ] {
        let _ = writeln!(
            out,
            "  {} {line:<52} {what}",
            app.ui.paint(Style::Dim, "next:")
        );
    }
    out
}
