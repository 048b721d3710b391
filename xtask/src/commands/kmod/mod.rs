//! `kmod`: system extensions and kernel modules, from their images to the node.

mod against;
mod deploy;
mod expected;
mod lint;
mod node_state;
mod verify;
mod why;
mod why_node;

use clap::Subcommand;

use crate::app::App;
use foundation::failure::Result;

#[derive(Debug, Clone, Subcommand)]
pub enum KmodCommand {
    /// Check extension images for everything that fails in the imager or on a node
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod lint 127.0.0.1:5005/me/hailort:4.21.0 --kernel 127.0.0.1:5005/me/kernel:v1.12.0\n  \
        cargo xtask kmod lint extension.tar\n  \
        cargo xtask kmod lint --explain\n\n\
        Several images are checked one by one and as a set that is installed together. \
        Exit code 1 with errors.")]
    Lint(lint::LintArgs),
    /// Upgrade a node to an installer with extensions, unless it would not finish booting
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod deploy worker-1 127.0.0.1:5005/me/installer:v1.12.0 --extension hailort.tar\n\n\
        Refused with exit code 1 when a service of an extension waits for an ExtensionServiceConfig that the node does not \
        have, or when kernel arguments of the machine configuration have no effect, as with a UKI.")]
    Deploy(deploy::DeployArgs),
    /// Check on a node that extensions and kernel modules work
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod verify worker-1 127.0.0.1:5005/me/hailort:4.21.0\n  \
        cargo xtask kmod verify 192.168.1.10 --module hailo_pci --json\n\n\
        Exit code 1 if a check failed. What cannot be checked is listed with the reason.")]
    Verify(verify::VerifyArgs),
    /// Find the cause why extensions and kernel modules fail on a node or in a log
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod why worker-1\n  \
        cargo xtask kmod why console.log\n  \
        talosctl -n 172.20.0.2 dmesg | cargo xtask kmod why -\n\n\
        Exit code 1 if a failure is found.")]
    Why(why::WhyArgs),
}

pub(crate) fn run(app: &App<'_>, command: &KmodCommand) -> Result<u8> {
    match command {
        KmodCommand::Lint(args) => lint::run(app, args),
        KmodCommand::Deploy(args) => deploy::run(app, args),
        KmodCommand::Verify(args) => verify::run(app, args),
        KmodCommand::Why(args) => why::run(app, args),
    }
}
