//! The input of every command besides its own arguments: global options, the
//! context, the terminal, and a way to run or show a plan.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use foundation::ctx::Ctx;
use foundation::failure::{Because, Result};
use foundation::plan::{Plan, render_human, render_sh};
use foundation::run::{Grace, Options, Runner, Undo};
use foundation::signals::Signals;
use foundation::ui::{self, Color, Ui};

/// Flags that every command knows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Talos checkout [env: TALOS_DIR] [default: this folder, a parent or ../talos]
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub talos_dir: Option<Utf8PathBuf>,
    /// Run the command inside the lab; its nodes run a stand-in, or Talos itself with `real`
    #[arg(
        long,
        value_enum,
        value_name = "NODES",
        require_equals = true,
        hide_possible_values = true,
        global = true
    )]
    pub lab: Option<Option<LabNodes>>,
    /// Show the plan and change nothing
    #[arg(short = 'n', long, global = true)]
    pub dry_run: bool,
    /// Format of the plan: human, sh (a script that runs as pasted) or json; implies --dry-run
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        global = true
    )]
    pub format: Option<PlanFormat>,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Print only errors on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Color of the output: auto, always or never; NO_COLOR and CLICOLOR_FORCE are honored
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        global = true
    )]
    pub color: Color,
}

/// What the nodes of a lab run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabNodes {
    /// A quick stand-in with Talos' API and console
    #[default]
    StandIn,
    /// Talos and Kubernetes, built from their Go modules
    Real,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Text to read
    Human,
    /// Shell script that runs as pasted
    Sh,
    /// JSON for editors, agents and CI
    Json,
}

/// The input of every command besides its own arguments.
pub(crate) struct App<'a> {
    pub(crate) ctx: Ctx,
    pub(crate) global: Global,
    pub(crate) ui: &'a Ui,
    pub(crate) signals: &'static Signals,
    /// How a stopped plan is undone.
    pub(crate) undo: &'a dyn Undo,
}

impl App<'_> {
    /// Whether plans are shown and not run.
    pub(crate) fn is_dry(&self) -> bool {
        self.global.dry_run || self.global.format.is_some()
    }

    pub(crate) fn runner(&self) -> Runner<'_> {
        Runner {
            ctx: &self.ctx,
            ui: self.ui,
            signals: self.signals,
            undo: self.undo,
            grace: Grace::default(),
        }
    }

    /// Shows the plan, or runs it. Returns whether it was run.
    ///
    /// # Errors
    /// The failing step's.
    pub(crate) fn carry_out(&self, plan: &Plan) -> Result<bool> {
        self.carry_out_with(plan, Options::default())
    }

    /// Like [`Self::carry_out`], with options of the run.
    ///
    /// # Errors
    /// The failing step's.
    pub(crate) fn carry_out_with(&self, plan: &Plan, options: Options<'_>) -> Result<bool> {
        if self.is_dry() {
            self.show(plan)?;
            return Ok(false);
        }
        self.runner().run(plan, options)?;
        Ok(true)
    }

    /// # Errors
    /// When the plan cannot be written as JSON.
    pub(crate) fn show(&self, plan: &Plan) -> Result<()> {
        match self.global.format.unwrap_or(PlanFormat::Human) {
            PlanFormat::Human => ui::print(&render_human(plan)),
            PlanFormat::Sh => ui::print(&render_sh(plan)),
            PlanFormat::Json => {
                let plan = serde_json::to_value(plan.masked());
                ui::print_report(plan.because(|| "cannot show the plan".to_owned())?);
            }
        }
        Ok(())
    }
}
