//! `dev`: the guide's development cycle as one command that runs: an edit, a build, a reboot,
//! and the proof that the node runs what was edited.

mod compiler;
mod dockerfile;
mod packages;
mod report;
mod round;
mod rounds;
mod running;
mod sources;
mod target;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use foundation::ctx::cluster::{ClusterView, NodeView, console_tail};
use foundation::ctx::watch::{Watch, Woken};
use foundation::failure::{Exit, Failure, Result};
use foundation::record::runs::now_ms;
use foundation::typed;
use foundation::ui;
use foundation::ui::keys::Keys;
use foundation::ui::text::{counted, one_line};
use foundation::units::parse_duration;
use talos::names::Role;

use self::report::Report;
use self::rounds::{Next, Round, Rounds};
use self::sources::Sources;
use self::target::{Target, decide};
use crate::app::App;
use crate::commands::cluster::{Which, choose, look_up};

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask dev                              build and reboot after each change\n  \
        cargo xtask dev --node controlplane-1 --then 'cargo xtask talosctl -- version'\n  \
        cargo xtask dev --all --manual WITH_DEBUG=1  only when b is pressed\n\n\
        A change needs what is made of it, by `go list` and the Dockerfile: the initramfs, talosctl, the integration test or \
        the SELinux policy. Nodes are rebooted if they have not booted the same initramfs already.\n\n\
        Keys while it waits: b builds, r reboots, l shows the console, q ends. Exit code: 0 after q, 130 after Ctrl-C."
)]
pub struct DevArgs {
    #[command(flatten)]
    pub which: Which,
    /// Node to reboot: name, end of it, address or pattern; repeatable [default: the first worker, or the only node]
    #[arg(long, value_name = "NODE", conflicts_with = "all")]
    pub node: Vec<String>,
    /// Reboot all nodes
    #[arg(long)]
    pub all: bool,
    /// Shell command to run when the nodes are ready; its exit code is reported
    #[arg(long, value_name = "COMMAND")]
    pub then: Option<String>,
    /// Build and reboot only when a key is pressed
    #[arg(long)]
    pub manual: bool,
    /// Timeout for each node to become ready, such as 90s or 10m; a plain number is seconds
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Print one JSON object per round
    #[arg(long)]
    pub json: bool,
    /// Variables of the Makefile, as in make
    #[arg(value_name = "NAME=VALUE")]
    pub variables: Vec<String>,
}

/// Lines of a console that the key l shows.
const LINES: usize = 30;

/// The loop between two rounds.
struct Dev<'a, 'b> {
    app: &'a App<'b>,
    args: &'a DevArgs,
    checkout: Utf8PathBuf,
    cluster: String,
    watch: Watch,
    sources: Sources,
    rounds: Rounds,
    /// The whole names.
    nodes: Vec<String>,
    initramfs: Utf8PathBuf,
    /// When the initramfs was written last, and when its content was written first.
    same: Option<(SystemTime, SystemTime)>,
    number: usize,
}

pub(crate) fn run(app: &App<'_>, args: &DevArgs) -> Result<u8> {
    if let Some(word) = args.variables.iter().find(|word| !word.contains('=')) {
        return Err(
            Failure::usage(format!("`{word}` is not a variable: NAME=VALUE"))
                .hint(typed!("dev --node {}", word)),
        );
    }
    let checkout = app.ctx.checkout()?.dir;
    let view = look_up(app, &args.which)?;
    let nodes = chosen(&view, args)?;
    let initramfs = round::initramfs(&checkout, app.ctx.host.arch);
    check_boots(&view, &nodes, &initramfs)?;
    let nodes: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    if app.is_dry() {
        app.show(&round::plan(app, args, &checkout, &view, &nodes)?)?;
        return Ok(0);
    }
    // Interrupts are counted: each wait ends with one.
    let _attention = app.signals.attend();
    let began = Instant::now();
    let watch = Watch::start(&checkout)?;
    let watching = began.elapsed();
    let sources = Sources::read(&checkout, app.ctx.host.arch)?;
    let mut dev = Dev {
        app,
        args,
        watch,
        sources,
        rounds: Rounds::new(args.manual),
        nodes,
        initramfs,
        cluster: view.name.clone(),
        checkout,
        same: None,
        number: 0,
    };
    dev.introduce(&view, watching);
    dev.wait_and_work()
}

/// The nodes to reboot: one, unless the user names others.
fn chosen<'a>(view: &'a ClusterView, args: &DevArgs) -> Result<Vec<&'a NodeView>> {
    if args.all || !args.node.is_empty() {
        return choose(view, &args.node);
    }
    // The cluster's own API stays while a worker reboots.
    let mut nodes = view.nodes.iter();
    let worker = nodes.find(|node| node.role == Some(Role::Worker));
    let Some(node) = worker.or(view.nodes.first()) else {
        return Err(
            Failure::host(format!("the nodes of cluster `{}` are unknown", view.name))
                .hint(typed!("cluster status --name {}", view.name)),
        );
    };
    Ok(vec![node])
}

/// Refuses nodes that do not boot what this checkout builds.
fn check_boots(view: &ClusterView, nodes: &[&NodeView], initramfs: &Utf8Path) -> Result<()> {
    let real = |path: &Utf8Path| path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
    for node in nodes {
        if node.is_down_for_good() {
            return Err(Failure::host(format!("node `{}` is down", node.name))
                .hint(typed!("cluster start --name {}", view.name)));
        }
        let Some(boots) = view.initramfs_of(node) else {
            continue;
        };
        if boots.as_str().is_empty() {
            return Err(Failure::host(format!(
                "`{}` boots from its disk, so a reboot does not load a new initramfs",
                node.name
            ))
            .cause("the cluster was created with a bootloader, or from an image")
            .hint(format!(
                "{} && {}",
                typed!("cluster destroy --yes --name {}", view.name),
                typed!("cluster up --name {}", view.name)
            )));
        }
        if real(&boots) != real(initramfs) {
            let checkout = boots.parent().and_then(Utf8Path::parent);
            let failure = Failure::host(format!(
                "`{}` boots `{boots}`, not the initramfs of this checkout",
                node.name
            ));
            return Err(match checkout {
                Some(dir) => failure.hint(format!("name the checkout of the cluster: -C {dir}")),
                None => failure,
            });
        }
    }
    Ok(())
}

impl Dev<'_, '_> {
    fn introduce(&self, view: &ClusterView, watching: Duration) {
        let ui = self.app.ui;
        if let Some(name) = self.watch.polled() {
            ui.note(&format!(
                "{name} does not report changes: the checkout is looked at every 2 s"
            ));
        }
        if let Some(failure) = &self.sources.unlisted {
            ui.note(&format!(
                "each change of a source builds the initramfs: {}",
                failure.in_one_line()
            ));
        }
        if let Some(note) = round::note_of_profile(&self.checkout, self.args) {
            ui.note(&note);
        }
        let states: Vec<String> = view
            .nodes
            .iter()
            .filter(|node| self.nodes.contains(&node.name))
            .map(|node| format!("{} {}", one_line(&node.name), node.state.as_str()))
            .collect();
        ui.progress(&format!(
            "watching {} of {} after {} ms; cluster {} {}: {}",
            counted(self.watch.folders() as u64, "folder"),
            self.checkout,
            watching.as_millis(),
            one_line(&view.name),
            view.state.as_str(),
            states.join(", "),
        ));
    }

    /// Until the user ends it.
    fn wait_and_work(&mut self) -> Result<u8> {
        let mut is_waiting = false;
        let mut keys = None;
        loop {
            if !is_waiting {
                keys = Keys::open();
                self.app.ui.progress(match (&keys, self.args.manual) {
                    (Some(_), _) => {
                        "waiting for changes; b builds, r reboots, l shows the console, q ends"
                    }
                    (None, false) => "waiting for changes, Ctrl-C ends",
                    (None, true) => {
                        "waiting, but without a terminal no key starts a round; Ctrl-C ends"
                    }
                });
                is_waiting = true;
            }
            let key = async {
                match &mut keys {
                    Some(keys) => keys.next().await,
                    None => std::future::pending().await,
                }
            };
            let woken = self.watch.changes_or(self.app.signals, key)?;
            let saved = now_ms();
            let next = match woken {
                Woken::Stop => return Ok(Exit::Interrupted.code()),
                Woken::GitIsBusy(marker) => {
                    self.app.ui.note(&format!(
                        "nothing is built before git is done: `{marker}` exists in its folder"
                    ));
                    continue;
                }
                Woken::Changed(files) => match self.changed(&files) {
                    Ok(next) => next,
                    // The user is in the middle of an edit.
                    Err(failure) => {
                        self.app.ui.failure(&failure);
                        continue;
                    }
                },
                Woken::Other('b') => self.rounds.rebuild(),
                Woken::Other('r') => Rounds::reboot(),
                Woken::Other('l') => {
                    self.show_consoles();
                    continue;
                }
                Woken::Other('q') => return Ok(0),
                Woken::Other(_) => continue,
            };
            match next {
                Next::Nothing(why) => self.app.ui.progress(&one_line(&why)),
                Next::Wait(why) => {
                    self.app
                        .ui
                        .progress(&format!("{}; b builds it", one_line(&why)));
                }
                Next::Round(round) => {
                    // Builds and the user's command have the terminal as it was.
                    keys = None;
                    self.work(round, saved);
                    is_waiting = false;
                }
            }
            if self.app.signals.count() > 0 {
                return Ok(Exit::Interrupted.code());
            }
        }
    }

    fn changed(&mut self, files: &BTreeSet<Utf8PathBuf>) -> Result<Next> {
        self.sources.refresh(files)?;
        let decision = decide(&self.sources.parts, files);
        if decision.targets.contains(&Target::Installer) {
            self.offer_recreation(&decision.why);
        }
        Ok(self.rounds.changed(decision))
    }

    /// An installer is used when Talos is installed, which nodes of this loop never are.
    fn offer_recreation(&self, why: &str) {
        let name = &self.cluster;
        self.app.ui.note(&format!(
            "{}: nodes use it when they are installed, so a reboot does not try it; `{} && {} && {}`",
            one_line(why),
            typed!("installer"),
            typed!("cluster destroy --yes --name {}", name),
            typed!("cluster up --with-bootloader --name {}", name),
        ));
    }

    fn work(&mut self, round: Round, saved: u64) {
        let number = self.number + 1;
        self.app
            .ui
            .progress(&format!("round {number}: {}", one_line(&round.why)));
        let report = self.carry_out(round, saved);
        if self.app.signals.count() > 0 {
            return;
        }
        self.tell(&report);
        if let Some(init) = &report.init
            && let Err(failure) = self.tell_running(init)
        {
            self.app.ui.failure(&failure);
        }
    }

    fn tell(&self, report: &Report) {
        if let Some(failure) = &report.failure {
            // What the user has to fix comes first.
            for message in &report.messages {
                self.app.ui.report(&format!("{message}\n"));
            }
            self.app.ui.failure(failure);
        }
        if self.args.json {
            ui::print_json_line(&ui::with_schema(report.to_json()));
        } else {
            ui::print(&report.line(self.app.ui));
        }
    }

    fn show_consoles(&self) {
        let Ok(view) = look_up(self.app, &self.args.which) else {
            return;
        };
        let nodes = view
            .nodes
            .iter()
            .filter(|node| self.nodes.contains(&node.name));
        for node in nodes {
            let tail = console_tail(&node.console, LINES).join("\n");
            self.app
                .ui
                .report(&format!("{}:\n{tail}\n", one_line(&node.name)));
        }
    }
}
