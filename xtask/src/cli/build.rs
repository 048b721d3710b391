//! Arguments of `build` and `installer`.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

use clap::Args;

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask build initramfs kernel WITH_DEBUG=1\n  \
        cargo xtask build --list\n  cargo xtask build --explain installer\n  \
        cargo xtask build imager --registry 127.0.0.1:5005 --push\n  \
        cargo xtask -C ../extensions build hailort PLATFORM=linux/amd64"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct BuildArgs {
    /// Targets and NAME=VALUE, as for make
    #[arg(value_name = "TARGET|NAME=VALUE")]
    pub words: Vec<String>,
    /// Documented targets and the Dockerfile's stages
    #[arg(long)]
    pub list: bool,
    /// With --list: as JSON
    #[arg(long, requires = "list")]
    pub json: bool,
    /// The chain of targets and each variable with its origin; nothing is run
    #[arg(long, conflicts_with = "list")]
    pub explain: bool,
    /// Look at nothing on this host first
    #[arg(long)]
    pub no_preflight: bool,
    /// With the race detector: WITH_RACE=true
    #[arg(long, help_heading = "Variables")]
    pub race: bool,
    /// With debug symbols and tags: WITH_DEBUG=true
    #[arg(long, help_heading = "Variables")]
    pub debug: bool,
    /// With a shell on the node: WITH_DEBUG_SHELL=true, up to Talos 1.13
    #[arg(long, help_heading = "Variables")]
    pub debug_shell: bool,
    /// Push images: PUSH=true
    #[arg(long, help_heading = "Variables")]
    pub push: bool,
    /// The images' tag: TAG=…
    #[arg(long, value_name = "TAG", help_heading = "Variables")]
    pub tag: Option<String>,
    /// Where images go: IMAGE_REGISTRY=…, or REGISTRY=… in other repositories
    #[arg(long, value_name = "HOST:PORT", help_heading = "Variables")]
    pub registry: Option<String>,
    /// PLATFORM=…, such as linux/amd64,linux/arm64
    #[arg(long, value_name = "LIST", help_heading = "Variables")]
    pub platform: Option<String>,
    /// PROGRESS=…, buildx's own: auto, plain, tty
    #[arg(long, value_name = "KIND", help_heading = "Variables")]
    pub progress: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask installer\n  cargo xtask installer --tag v1.12.0-dev PKG_KERNEL=127.0.0.1:5005/me/kernel:v1 INSTALLER_ARCH=amd64"
)]
pub struct InstallerArgs {
    /// NAME=VALUE, as for make
    #[arg(value_name = "NAME=VALUE")]
    pub words: Vec<String>,
    /// Where it is pushed [default: 127.0.0.1:5005]
    #[arg(long, value_name = "HOST:PORT")]
    pub registry: Option<String>,
    /// One tag for all its images [default: the Makefile's]
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Look at nothing on this host first
    #[arg(long)]
    pub no_preflight: bool,
}
