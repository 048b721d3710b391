//! `test` on the command line.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum TestCommand {
    /// Talos' unit tests, on this host or as the Makefile runs them
    #[command(
        after_help = "Examples:\n  cargo xtask test unit ./internal/pkg/...\n  \
        cargo xtask test unit ./pkg/machinery/config/... -run 'TestValidate' -- -short\n  \
        cargo xtask test unit --rerun-failed --retries 2\n  \
        cargo xtask test unit --in buildx"
    )]
    Unit(Box<UnitArgs>),
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

/// Who runs tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Sudo {
    /// Root for those that need it
    #[default]
    Auto,
    /// Those that need root skip themselves or are left out
    Never,
    /// Root for all
    Always,
}

/// Where tests run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// On this host
    #[default]
    Here,
    /// As the Makefile's unit-tests: in BuildKit, on Talos' rootfs
    Buildx,
}

#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct UnitArgs {
    #[command(flatten)]
    pub chosen: Chosen,
    /// Only tests that match, as for go; `-run` too
    #[arg(long, value_name = "REGEXP")]
    pub run: Option<String>,
    /// Where they run
    #[arg(long = "in", value_enum, value_name = "PLACE", default_value = "here")]
    pub place: Place,
    /// Which of them run as root
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub sudo: Sudo,
    /// Tests that cannot run here are a failure
    #[arg(long)]
    pub strict: bool,
    /// With the race detector
    #[arg(long)]
    pub race: bool,
    /// Of each package's binary, as for go [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Binaries at once [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Stop after the first package that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// Only what failed the last time
    #[arg(long)]
    pub rerun_failed: bool,
    /// Run a test that failed so many times more; one that passes then is flaky
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u32,
    /// Flaky tests are no failure
    #[arg(long)]
    pub allow_flaky: bool,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
    /// The same JSON into a file
    #[arg(long, value_name = "FILE")]
    pub report: Option<Utf8PathBuf>,
    /// JUnit's XML into a file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<Utf8PathBuf>,
    /// Flags of `go test`
    #[arg(last = true, value_name = "GO TEST FLAGS")]
    pub go_flags: Vec<String>,
}
