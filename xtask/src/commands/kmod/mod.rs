//! `kmod`: system extensions and kernel modules, from their images to the node.

mod against;
mod build;
mod chain;
mod checkouts;
mod deploy;
mod expected;
mod import;
mod installer;
mod lint;
mod new;
mod node_state;
mod packages;
mod recorded;
mod run;
mod schema;
mod verify;
mod why;
mod why_node;

use clap::Subcommand;

use crate::app::App;
use foundation::failure::Result;

#[derive(Debug, Clone, Subcommand)]
pub enum KmodCommand {
    /// Create the package of a driver in pkgs and its extension
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod new my-driver --source https://example.org/my-driver-1.2.3.tar.gz\n  \
        cargo xtask kmod new joydev --in-tree --module kernel/drivers/input/joydev.ko\n  \
        cargo xtask kmod new hailort --like hailort -n\n\n\
        Existing files are not overwritten without `--replace`. In pkgs, the commit that Talos \
        pins is checked out first.")]
    New(Box<new::NewArgs>),
    /// Take an existing package of a driver: check it, list it and create its extension
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod import ../pkgs/my-driver\n  \
        cargo xtask kmod import ~/my-driver/pkg --driver-version 1.2.3\n\n\
        Exit code 1 if the package does not fit this Talos line.")]
    Import(import::ImportArgs),
    /// Build kernel, package and extension with the pkgs that Talos pins, and record their digests
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod build my-driver\n  \
        cargo xtask kmod build zfs --username me --arch arm64\n\n\
        The kernel is built once, before the package, by the same builder: only then the \
        modules are signed by its key.")]
    Build(build::ImageArgs),
    /// Build an installer with the kernel and the extension of the last build
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod installer my-driver\n  \
        cargo xtask kmod installer my-driver --extra-kernel-arg=my_driver.debug=1 --tag v1.12.0-dev")]
    Installer(installer::KmodInstallerArgs),
    /// Push the installer to a registry that nodes reach
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod push\n  \
        cargo xtask kmod push --to ghcr.io/me/installer:v1.12.0-dev")]
    Push(installer::PushArgs),
    /// Build, check and push everything from a driver's sources to an installer
    #[command(after_help = "Examples:\n  \
        cargo xtask kmod run my-driver\n  \
        cargo xtask kmod run my-driver --to ghcr.io/me/installer:v1.12.0-dev\n\n\
        Images of an earlier build are used again if nothing changed since.")]
    Run(run::RunArgs),
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
        KmodCommand::Build(args) => build::run(app, args),
        KmodCommand::Installer(args) => installer::run(app, args),
        KmodCommand::Push(args) => installer::push(app, args),
        KmodCommand::Run(args) => run::run(app, args),
        KmodCommand::Import(args) => import::run(app, args),
        KmodCommand::New(args) => new::run(app, args),
        KmodCommand::Lint(args) => lint::run(app, args),
        KmodCommand::Deploy(args) => deploy::run(app, args),
        KmodCommand::Verify(args) => verify::run(app, args),
        KmodCommand::Why(args) => why::run(app, args),
    }
}
