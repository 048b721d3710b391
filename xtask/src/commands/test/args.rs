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
    /// Talos' tests against a cluster that runs; the binary is built when sources changed
    #[command(
        after_help = "Examples:\n  cargo xtask test integration                              short ones, as in the guide\n  \
        cargo xtask test integration api.ResetSuite\n  \
        cargo xtask test integration api.ResetSuite/TestResetWithSpec\n  \
        cargo xtask test integration --fresh --full               on a cluster of their own"
    )]
    Integration(IntegrationArgs),
    /// Upgrades of released versions to this tree, apart from all other clusters
    #[command(after_help = "Examples:\n  cargo xtask test upgrade --list\n  \
        cargo xtask test upgrade --track 1                        as the Makefile's tracks\n  \
        cargo xtask test upgrade --dry-run --format sh")]
    Upgrade(UpgradeArgs),
    /// Unit tests over many machines: a GitHub Actions matrix, or a Kubernetes Job
    #[command(
        after_help = "Examples:\n  cargo xtask test shards --n 4 > matrix.json\n  \
        cargo xtask test shards --n 4 --by-time --times times.json\n  \
        cargo xtask test shards --n 4 ./pkg/... -- --race --retries 2    options of each leg\n  \
        cargo xtask test shards --n 4 --for kubernetes --image IMAGE --claim CLAIM | kubectl create -f -\n  \
        cargo xtask test report --merge legs                      all of them, proven to be whole"
    )]
    Shards(ShardsArgs),
    /// What the legs of `--shard` have reported as one, proven to be all of it
    #[command(
        after_help = "Examples:\n  cargo xtask test unit --shard 1/2 --report legs/1.json     each leg, on its machine\n  \
        cargo xtask test report --merge legs\n  \
        cargo xtask test report --merge leg-1 leg-2 --junit junit.xml\n\n\
        Exit code 3: a leg or a test is missing or there twice, or the legs are not of one run"
    )]
    Report(ReportArgs),
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
    /// Only the packages of one machine of several: 2/4
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// What the machines split by, from `test shards --by-time` [default: how many tests]
    #[arg(long, value_name = "FILE")]
    pub times: Option<Utf8PathBuf>,
}

/// One machine of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub number: usize,
    pub of: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("it is I/N, from 1/N to N/N".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Default, Args)]
pub struct IntegrationArgs {
    /// Suites, or tests of one: api.ResetSuite, api.ResetSuite/TestResetWithSpec [default: all]
    #[arg(value_name = "SUITE")]
    pub suites: Vec<String>,
    #[command(flatten)]
    pub which: crate::cli::Which,
    /// All tests; without, the short ones
    #[arg(long)]
    pub full: bool,
    /// On a cluster of their own, made before and destroyed after
    #[arg(long, conflicts_with_all = ["name", "json"])]
    pub fresh: bool,
    /// Show the suites and their tests
    #[arg(long)]
    pub list: bool,
    /// How long it may take [default: 2h, all tests 8h]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    #[command(flatten)]
    pub results: ResultArgs,
    /// Flags of the test binary
    #[arg(last = true, value_name = "TEST FLAGS")]
    pub test_flags: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct UpgradeArgs {
    /// Suites, as `--list` shows them [default: all]
    #[arg(value_name = "SUITE")]
    pub suites: Vec<String>,
    /// The suites of one of the Makefile's tracks, in its network
    #[arg(long, value_name = "N", conflicts_with = "suites", value_parser = clap::value_parser!(u32).range(0..10))]
    pub track: Option<u32>,
    /// The network of its clusters [default: 172.20.0.0/24, or the track's]
    #[arg(long, value_name = "CIDR")]
    pub cidr: Option<String>,
    /// Show the suites and their tests
    #[arg(long)]
    pub list: bool,
    /// How long it may take [default: 12h]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    #[command(flatten)]
    pub results: ResultArgs,
    /// Flags of the test binary
    #[arg(last = true, value_name = "TEST FLAGS")]
    pub test_flags: Vec<String>,
}

/// Whose machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A matrix for fromJSON
    #[default]
    Github,
    /// An Indexed Job
    Kubernetes,
    /// The packages of each machine
    List,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ShardsArgs {
    #[command(flatten)]
    pub chosen: Chosen,
    /// How many machines
    #[arg(long, value_name = "N")]
    pub n: usize,
    /// What it is printed for
    #[arg(
        long = "for",
        value_enum,
        value_name = "ENGINE",
        default_value = "github"
    )]
    pub engine: Engine,
    /// Write the times of this machine's runs into the file of --times
    #[arg(long, requires = "times")]
    pub by_time: bool,
    /// The folder that legs write their reports into, for `test report --merge`
    #[arg(long, value_name = "DIR", default_value = "legs")]
    pub reports: Utf8PathBuf,
    /// Of the Job
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The PersistentVolumeClaim that the Job's reports are left on, below its name
    #[arg(long, value_name = "CLAIM")]
    pub claim: Option<String>,
    /// Options of `test unit` for each leg
    #[arg(last = true, value_name = "OPTIONS")]
    pub options: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ReportArgs {
    /// Folders with the files of `test unit --report`, as *.json
    #[arg(long, value_name = "DIR", num_args = 1.., required = true)]
    pub merge: Vec<Utf8PathBuf>,
    /// As JSON, as `test unit` has it
    #[arg(long)]
    pub json: bool,
    /// JUnit's XML into a file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<Utf8PathBuf>,
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

/// What becomes of results, of whatever tests.
#[derive(Debug, Clone, Default, Args)]
pub struct ResultArgs {
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
}

#[derive(Debug, Clone, Default, Args)]
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
    #[command(flatten)]
    pub results: ResultArgs,
    /// Flags of `go test`
    #[arg(last = true, value_name = "GO TEST FLAGS")]
    pub go_flags: Vec<String>,
}
