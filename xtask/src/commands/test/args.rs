//! `test` on the command line.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum TestCommand {
    /// Tests, subtests and suites, with what each needs; nothing is compiled
    #[command(
        after_help = "Examples:\n  cargo xtask test list ./internal/pkg/...\n  \
        cargo xtask test list --needs loop            those that take a loop device\n  \
        cargo xtask test list --explain TestGrow      why it runs here, or not\n  \
        cargo xtask test list --json | jq -r '.tests[] | select(.runs_here | not) | .name'"
    )]
    List(ListArgs),
}

/// Which tests.
#[derive(Debug, Clone, Default, Args)]
pub struct Chosen {
    /// Packages as for go: ./pkg/..., import paths [default: all of the workspace]
    #[arg(value_name = "PKG")]
    pub packages: Vec<String>,
    /// Build tags, as for go
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub chosen: Chosen,
    /// Only those that need this: root, loop, mount, containerd, tool:NAME, …
    #[arg(long, value_name = "NEED")]
    pub needs: Vec<String>,
    /// Tell why a test runs here or not, and how that is known
    #[arg(long, value_name = "TEST")]
    pub explain: Option<String>,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}
