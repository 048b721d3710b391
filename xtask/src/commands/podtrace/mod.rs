//! `podtrace`: what a node has to have for it, the types of its kernel, and upstream's
//! present ways to bring it to nodes.

mod btf;
mod checks;
mod deploy;
mod image;

use clap::Subcommand;

use crate::app::App;
use foundation::failure::Result;

#[derive(Debug, Clone, Subcommand)]
pub enum PodtraceCommand {
    /// Check that podtrace can run on a node, and write the types of its kernel as vmlinux.h
    #[command(after_help = "Examples:\n  \
        cargo xtask podtrace btf worker-1\n  \
        cargo xtask podtrace btf 192.168.1.10 --namespace shop --output podtrace/bpf/.generated\n\n\
        Exit code 1 if a check failed; the files are written nevertheless.")]
    Btf(btf::BtfArgs),
    /// Copy podtrace's image to nodes, or build it from sources first
    #[command(after_help = "Examples:\n  \
        cargo xtask podtrace image worker-1 worker-2 --image ghcr.io/gma1k/podtrace:v0.14.6\n  \
        cargo xtask podtrace image worker-1 --source ../podtrace --image 10.5.0.1:5000/podtrace:dev\n\n\
        Nodes with internet need neither: `kubectl podtrace` starts a pod, and the node pulls the image.")]
    Image(image::ImageArgs),
    /// Install podtrace's operator and agents from its chart, where kernels let them work
    #[command(after_help = "Examples:\n  \
        cargo xtask podtrace deploy worker-1 worker-2\n  \
        cargo xtask podtrace deploy 192.168.1.10 --without-webhook\n\n\
        For one look at a pod, `kubectl podtrace` is enough. Exit code 1 if a check failed; nothing is installed then.")]
    Deploy(deploy::DeployArgs),
}

pub(crate) fn run(app: &App<'_>, command: &PodtraceCommand) -> Result<u8> {
    match command {
        PodtraceCommand::Btf(args) => btf::run(app, args),
        PodtraceCommand::Image(args) => image::run(app, args),
        PodtraceCommand::Deploy(args) => deploy::run(app, args),
    }
}
