//! `podtrace`: what a node has to have for it, and the types of its kernel.

mod btf;
mod checks;

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
}

pub(crate) fn run(app: &App<'_>, command: &PodtraceCommand) -> Result<u8> {
    match command {
        PodtraceCommand::Btf(args) => btf::run(app, args),
    }
}
