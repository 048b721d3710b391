//! `cargo xtask`: `cli` reads the command line, this file calls the command,
//! and the command plans, runs and records through the foundation.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "what only commands that need Linux use")
)]

mod app;
mod archive;
mod checklist;
pub mod cli;
pub mod commands;
mod help;
mod meant;
mod redact;
mod typo;
mod undo;

use std::ffi::OsString;

use clap::CommandFactory;

use app::App;
use cli::{Cli, Command};
use commands::internal::{self, InternalCommand};
use commands::lab::LabCommand;
use commands::status::StatusArgs;
use commands::{
    airgap, build, builder, ci, cluster, completions, dev, doctor, editor, embed, image, images,
    installer, kmod, lab, podtrace, pprof, proxies, registry, runs, selinux, setup, status, tasks,
    test,
};
use foundation::ctx::Ctx;
use foundation::failure::{Exit, Failure, Result};
use foundation::run;
use foundation::signals::Signals;
use foundation::typed;
use foundation::typed::Started;
use foundation::ui::{self, Ui};

/// Runs everything except the end of the process; returns its exit code.
pub fn main() -> u8 {
    run::we_are_xtask();
    let words = pprof::words::arguments(test::arguments(std::env::args_os()), Cli::command);
    let cli = match Cli::read(&words) {
        Ok(cli) => cli,
        Err(error) => return not_read(error, &words),
    };
    let asks_for_json = cli.json;
    let is_helper = remember(&cli);
    if !matches!(cli.command, Some(Command::Internal(_))) {
        completions::note_run();
    }
    let ui = Ui::new(cli.global.color, cli.global.quiet, cli.global.yes);
    let result = cli.checked().and_then(|cli| dispatch(cli, &ui));
    // A helper's output is a protocol.
    let result = result.and_then(|code| match ui::unwritten().filter(|_| !is_helper) {
        Some(failure) => Err(failure),
        None => Ok(code),
    });
    match result {
        Ok(code) => code,
        Err(failure) => {
            if asks_for_json {
                ui::print_failure(&failure);
            }
            ui.failure(&failure);
            failure.exit.code()
        }
    }
}

/// Prints clap's message about a command line.
fn not_read(error: clap::Error, words: &[OsString]) -> u8 {
    typed::remember(Started {
        tool: started_as(None),
        ..Started::default()
    });
    let error = cli::with_suggestion(error, words);
    let color = cli::color(words);
    // Help and the version are errors for clap, but not for the user.
    let is_usage = error.use_stderr();
    if is_usage && cli::asks_for_json(words) {
        ui::print_failure(&cli::failure(&error));
    }
    ui::clap_message(&error, color);
    match ui::unwritten() {
        _ if is_usage => Exit::Usage.code(),
        None => 0,
        Some(failure) => {
            Ui::new(color, false, false).failure(&failure);
            failure.exit.code()
        }
    }
}

/// The command that starts this program, or the one that the lab was entered with.
fn started_as(handed_on: Option<String>) -> String {
    let package = std::env::var("CARGO_PKG_NAME").ok();
    let first = std::env::args_os().next();
    let first = first.as_ref().map(|first| first.to_string_lossy());
    typed::tool_of(handed_on, package.as_deref(), first.as_deref())
}

/// Stores the options that commands to be typed must repeat. Returns whether another
/// process of this program reads the output of this one.
fn remember(cli: &Cli) -> bool {
    #[cfg(target_os = "linux")]
    let is_helper = matches!(
        cli.command,
        Some(Command::Internal(
            InternalCommand::RootStep | InternalCommand::RootExec
        ))
    );
    #[cfg(not(target_os = "linux"))]
    let is_helper = matches!(
        cli.command,
        Some(Command::Internal(InternalCommand::RootStep))
    );
    if is_helper {
        typed::remember_helper();
        return true;
    }
    let lab = lab::of_this_process(cli.global.lab.is_some());
    let handed_on = std::env::var(typed::TOOL).ok();
    typed::remember(Started {
        tool: started_as(handed_on.filter(|_| lab == typed::Lab::ByOption)),
        lab,
        talos_dir: cli.global.talos_dir.as_ref().map(ToString::to_string),
        name: cli.cluster_name().map(str::to_owned),
        takes_name: cli::takes_name,
    });
    false
}

/// Calls the command; returns the exit code.
fn dispatch(cli: Cli, ui: &Ui) -> Result<u8> {
    let Cli {
        global, command, ..
    } = cli;
    // Not every command needs a checkout, a home or settings.
    let app = || {
        let signals = Signals::install()?;
        Ok::<_, Failure>(App {
            ctx: Ctx::new(global.talos_dir.clone())?,
            global: global.clone(),
            ui,
            signals,
            undo: &undo::HalfMade,
        })
    };
    let Some(command) = command else {
        if global.lab.is_some() {
            return Err(Failure::usage("`--lab` needs a command").hint(typed!("--lab cluster")));
        }
        return status::run(&app()?, &StatusArgs::default());
    };
    match command {
        Command::Completions(args) => {
            let is_dry = global.dry_run || global.format.is_some();
            completions::run(&args, is_dry, Cli::command)
        }
        Command::Internal(InternalCommand::Complete { line, words }) => {
            Ok(completions::offer(line.as_deref(), words, Cli::command))
        }
        #[cfg(target_os = "linux")]
        Command::ExecRoot(args) => {
            commands::exec_root::run(&args, &global, ui, Signals::install()?)
        }
        #[cfg(not(target_os = "linux"))]
        Command::ExecRoot(_) => app()?.ctx.needs_linux("exec-root").map(|()| 0),
        Command::Internal(InternalCommand::RootStep) => {
            run::serve_root_step(ui, Signals::install()?)
        }
        // These have one thread: no handler is installed for them.
        #[cfg(target_os = "linux")]
        Command::Internal(InternalCommand::RootExec) => run::exec_root::serve_root_exec(),
        #[cfg(target_os = "linux")]
        Command::Internal(InternalCommand::RootInit) => run::exec_root::serve_root_init(),
        Command::Internal(InternalCommand::Checksums) => internal::checksums(),
        Command::Internal(InternalCommand::Warden) => run::serve_warden(),
        Command::Internal(InternalCommand::Gateway {
            of,
            cidr,
            ports,
            serve: true,
        }) => internal::relay(of, &cidr, ports),
        // Root starts it, perhaps without a home.
        Command::Internal(InternalCommand::Observe {
            dir,
            bridge,
            cidr,
            ports,
            consoles,
            serve,
        }) => internal::observe(
            &internal::observing(dir, bridge, &cidr, ports, consoles)?,
            serve,
        ),
        Command::Internal(InternalCommand::AirgapHelper { dir, ports, argv }) => {
            run::airgap::start_helper(&dir, &ports, &argv).map(|()| 0)
        }
        Command::Lab(_) if global.lab.is_some() => Err(lab::managed_from_outside()),
        // It runs where no thread can be started.
        Command::Lab(LabCommand::Relay { argv }) => run::pass_through(&argv),
        command if global.lab.is_some() => lab::enter(&app()?, command.lab_need()),
        Command::Internal(InternalCommand::Make { words }) => build::nested(&app()?, &words),
        Command::Internal(InternalCommand::RunPlan) => internal::run_plan(&app()?),
        Command::Internal(InternalCommand::Gateway {
            of,
            cidr,
            ports,
            serve: false,
        }) => internal::start_relay(&app()?, of, &cidr, ports),
        Command::Airgap(command) => airgap::run(&app()?, &command),
        Command::Build(args) => build::run(&app()?, &args),
        Command::Builder(command) => builder::run(&app()?, &command),
        Command::Ci(command) => ci::run(&app()?, &command),
        Command::Cluster(command) => cluster::run(&app()?, command),
        Command::Talosctl(args) => cluster::client::talosctl(&app()?, &args),
        Command::Kubectl(args) => cluster::client::kubectl(&app()?, &args),
        Command::Dev(args) => dev::run(&app()?, &args),
        Command::Doctor(args) => doctor::run(&app()?, &args),
        Command::Editor(args) => editor::run(&app()?, &args),
        Command::Tasks(args) => tasks::run(&app()?, &args),
        Command::Embed(args) => embed::run(&app()?, &args),
        Command::Image(command) => image::run(&app()?, &command),
        Command::Images { json } => images::run(&app()?, json),
        Command::Installer(args) => installer::run(&app()?, &args),
        Command::Kmod(command) => kmod::run(&app()?, &command),
        Command::Podtrace(command) => podtrace::run(&app()?, &command),
        Command::Selinux(command) => selinux::run(&app()?, &command),
        Command::Lab(command) => lab::run(&app()?, command),
        Command::Pprof(command) => pprof::run(&app()?, &command),
        Command::Proxies(command) => proxies::run(&app()?, &command),
        Command::Registry(command) => registry::run(&app()?, &command),
        Command::Runs(args) => runs::run(&app()?, &args),
        Command::Setup(args) => setup::run(&app()?, &args),
        Command::Status(args) => status::run(&app()?, &args),
        Command::Test(command) => test::run(&app()?, &command),
    }
}
