//! One module per noun. A command reads like the guide's section: gather what
//! is there, make a plan or a report, hand it over.

mod build;
pub mod builder;
pub mod cluster;
mod completions;
mod doctor;
mod embed;
#[cfg(target_os = "linux")]
mod exec_root;
mod images;
mod installer;
mod internal;
pub mod lab;
pub mod pprof;
mod proxies;
pub mod registry;
mod runs;
mod setup;
pub mod test;
mod typo;

use crate::cli::{Cli, Command, Global, InternalCommand, PlanFormat};
use foundation::ctx::Ctx;
use foundation::failure::{Because, Result};
use foundation::plan::{Plan, render_human, render_sh};
use foundation::run::{self, Runner, Signals, Undo};
use foundation::ui::{self, Ui};

/// What a command gets besides its own arguments.
#[derive(Debug)]
pub struct App<'a> {
    pub ctx: Ctx,
    pub global: Global,
    pub ui: &'a Ui,
    pub signals: &'static Signals,
}

/// Run the command; returns the exit code.
pub(crate) fn dispatch(cli: Cli, ui: &Ui, signals: &'static Signals) -> Result<u8> {
    match cli.command {
        Command::Internal(InternalCommand::RootStep) => return run::serve_root_step(ui, signals),
        #[cfg(target_os = "linux")]
        Command::Internal(InternalCommand::RootExec) => {
            return run::exec_root::serve_root_exec(signals);
        }
        #[cfg(target_os = "linux")]
        Command::Internal(InternalCommand::RootInit) => {
            return run::exec_root::serve_root_init(signals);
        }
        #[cfg(target_os = "linux")]
        Command::ExecRoot(args) => return exec_root::run(&args, &cli.global, ui, signals),
        Command::Internal(InternalCommand::Warden) => return run::serve_warden(signals),
        Command::Completions { shell } => return completions::print(shell),
        _ => {}
    }
    let app = App {
        ctx: Ctx::new(cli.global.talos_dir.clone())?,
        global: cli.global,
        ui,
        signals,
    };
    if app.global.lab {
        return lab::enter(&app, &cli.command);
    }
    match cli.command {
        Command::Cluster(command) => cluster::run(&app, command),
        Command::Build(args) => build::run(&app, &args),
        Command::Setup(args) => setup::run(&app, &args),
        Command::Builder(command) => builder::run(&app, &command),
        Command::Installer(args) => installer::run(&app, &args),
        Command::Images { json } => images::run(&app, json),
        Command::Registry(command) => registry::run(&app, &command),
        Command::Proxies(command) => proxies::run(&app, &command),
        Command::Lab(command) => lab::run(&app, command),
        Command::Pprof(command) => pprof::run(&app, &command),
        Command::Test(command) => test::run(&app, &command),
        Command::Doctor(args) => doctor::run(&app, &args),
        Command::Runs(args) => runs::run(&app, &args),
        Command::Embed(args) => embed::run(&app, &args),
        Command::Internal(InternalCommand::Make { words }) => build::nested(&app, &words),
        Command::Internal(InternalCommand::RunPlan) => internal::run_plan(&app),
        Command::Internal(InternalCommand::Gateway {
            of,
            cidr,
            ports,
            serve,
        }) => internal::gateway(&app, of, &cidr, ports, serve),
        #[cfg(not(target_os = "linux"))]
        Command::ExecRoot(_) => app.ctx.needs_linux("exec-root").map(|()| 0),
        #[cfg(target_os = "linux")]
        Command::ExecRoot(_) => Ok(0),
        Command::Completions { .. } | Command::Internal(_) => Ok(0),
    }
}

impl App<'_> {
    /// Whether plans are shown and not run.
    pub fn is_dry(&self) -> bool {
        self.global.dry_run || self.global.format.is_some()
    }

    pub fn runner(&self) -> Runner<'_> {
        Runner {
            ctx: &self.ctx,
            ui: self.ui,
            signals: self.signals,
            grace: run::Grace::default(),
            output_is_ours: true,
        }
    }

    /// Show the plan, or run it. Returns whether it was run.
    ///
    /// # Errors
    /// The failing step's.
    pub fn carry_out(&self, plan: &Plan, undo: &dyn Undo) -> Result<bool> {
        if self.is_dry() {
            self.show(plan)?;
            return Ok(false);
        }
        self.runner().execute(plan, undo)?;
        Ok(true)
    }

    /// As [`Self::carry_out`], with nothing of it on standard output, which is
    /// for what follows.
    ///
    /// # Errors
    /// The failing step's.
    pub fn carry_out_before(&self, plan: &Plan, undo: &dyn Undo) -> Result<()> {
        if self.is_dry() {
            return self.show(plan);
        }
        let runner = Runner {
            output_is_ours: false,
            ..self.runner()
        };
        runner.execute(plan, undo)
    }

    /// # Errors
    /// When the plan cannot be written as JSON.
    pub fn show(&self, plan: &Plan) -> Result<()> {
        match self.global.format.unwrap_or(PlanFormat::Human) {
            PlanFormat::Human => ui::print(&render_human(plan)),
            PlanFormat::Sh => ui::print(&render_sh(plan)),
            PlanFormat::Json => {
                let mut value = serde_json::to_value(plan.masked())
                    .because(|| "cannot show the plan".to_owned())?;
                value["schema"] = 1.into();
                ui::print_json(&value);
            }
        }
        Ok(())
    }
}
