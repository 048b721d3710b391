//! `selinux`: from the denials of a node to their cause and rule, and questions to policies.

mod allow;
mod check;
mod compile;
mod denials;
mod follow;
pub(crate) mod gate;
mod inputs;
mod label;
mod policies;
mod policy;
mod state;
mod text;
mod why;

use clap::Subcommand;

use crate::app::App;
use foundation::failure::Result;

#[derive(Debug, Clone, Subcommand)]
pub enum SelinuxCommand {
    /// Show what was denied, grouped, with the likely cause and the line that shows it
    #[command(after_help = "Examples:\n  \
        cargo xtask selinux denials audit.log\n  \
        talosctl -n 172.20.0.2 logs auditd | cargo xtask selinux denials -\n  \
        cargo xtask selinux denials --node worker-1\n  \
        cargo xtask selinux denials --node worker-1 --follow\n\n\
        `--follow` ends with Ctrl-C, or at the end of stdin. Exit code 1 with denials, 6 if there are none but the log is incomplete.")]
    Denials(denials::DenialsArgs),
    /// Show by which rule a policy allows each denied permission, or why it denies it
    #[command(after_help = "Examples:\n  \
        cargo xtask selinux why audit.log\n  \
        cargo xtask selinux why audit.log --policy release-1.13\n\n\
        Exit code 1 if the policy denies something, 6 if not but the log is incomplete.")]
    Why(why::WhyArgs),
    /// Print the rules that would allow what was denied, with the place where each belongs
    #[command(after_help = "Examples:\n  \
        cargo xtask selinux allow audit.log\n\n\
        The rules are a starting point for review. Nothing is changed. There is no rule for what is \
        denied on purpose, for what a rule does not help with, and for unknown types, classes and \
        permissions. Exit code 1 if there is a denial without a rule.")]
    Allow(allow::AllowArgs),
    /// Compare policies, build them, and check them against their sources
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Find denials that a baseline does not accept, to fail a test
    #[command(
        after_help = "The baseline has an entry for each accepted denial; only `comm` is optional:\n\n  \
        [[denial]]\n  source = \"pod_t\"\n  target = \"unlabeled_t\"\n  class = \"dir\"\n  \
        permission = \"write\"\n  comm = \"csi-driver\"\n  owner = \"storage\"\n  \
        reason = \"volumes without labels\"\n  expires = \"2027-01-31\"\n\n\
        Unused and expired entries are reported. Exit code 1 with denials that are not accepted, 6 if \
        there are none but the log is incomplete."
    )]
    Gate(gate::GateArgs),
    /// Show whether SELinux is enabled and enforcing on each node
    #[command(
        after_help = "Exit code 1 if it is not enabled on a node, or if the state is unknown."
    )]
    State(state::StateArgs),
    /// Print the kernel arguments that send every denial to the console
    #[command(
        after_help = "All of them are needed, or none: without auditd alone, denials are lost on the console."
    )]
    Cmdline,
    /// Show which label a path of a node should have, and what sets it
    Label(label::LabelArgs),
}

impl SelinuxCommand {
    /// `--name`: the chosen cluster.
    pub(crate) fn cluster_name(&self) -> Option<&str> {
        let which = match self {
            Self::Denials(args) => &args.logs.which,
            Self::Why(args) => &args.logs.which,
            Self::Allow(args) => &args.logs.which,
            Self::Gate(args) => &args.logs.which,
            Self::State(args) => &args.which,
            Self::Policy(_) | Self::Cmdline | Self::Label(_) => return None,
        };
        which.name.as_deref()
    }
}

pub(crate) fn run(app: &App<'_>, command: &SelinuxCommand) -> Result<u8> {
    match command {
        SelinuxCommand::Denials(args) => denials::run(app, args),
        SelinuxCommand::Why(args) => why::run(app, args),
        SelinuxCommand::Allow(args) => allow::run(app, args),
        SelinuxCommand::Policy(command) => policy::run(app, command),
        SelinuxCommand::Gate(args) => gate::run(app, args),
        SelinuxCommand::State(args) => state::run(app, args),
        SelinuxCommand::Cmdline => {
            state::print_cmdline();
            Ok(0)
        }
        SelinuxCommand::Label(args) => label::run(app, args),
    }
}
