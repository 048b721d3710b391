//! `pprof` on the command line. Names are those of `go tool pprof`, with two
//! dashes.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::endpoint::ConnectionArgs;
use super::export::ExportArgs;
use super::select::{FilterArgs, Offered, ValueArgs};
use foundation::units::parse_duration;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask pprof machined heap                       every node, side by side\n  \
        cargo xtask pprof machined cpu --seconds 10 --top -n 20\n  \
        cargo xtask pprof apid goroutine --node worker-1\n  \
        cargo xtask pprof --all                               every profile of every service\n  \
        cargo xtask pprof machined goroutine --every 30s --for 10m   report what grows\n  \
        cargo xtask pprof machined heap --watch               refreshed until q\n  \
        cargo xtask pprof open latest --list 'reconcile'      with the source\n  \
        cargo xtask pprof open latest --flame                 flame graph, keys and mouse\n  \
        cargo xtask pprof open --top --base old.pb.gz new.pb.gz\n\n\
        Services listen only in debug builds: `cargo xtask build initramfs WITH_DEBUG=1`. A node behind a firewall\n\
        is reached through `kubectl proxy`: `--endpoint 127.0.0.1:8001/api/v1/nodes/NODE/proxy` is its kubelet."
)]
pub struct PprofCommand {
    #[command(subcommand)]
    pub verb: Option<PprofVerb>,
    #[command(flatten)]
    pub fetch: FetchArgs,
    #[command(flatten)]
    pub show: ShowArgs,
    #[command(flatten)]
    pub dry: Dry,
}

/// What is fetched, and from where.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Fetching")]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct FetchArgs {
    /// Service: apid, machined, trustd or dashboard; any name with --port or --endpoint
    #[arg(help_heading = None, required_unless_present = "all", hide_possible_values = true,
        value_parser = Offered(&["apid", "machined", "trustd", "dashboard"]))]
    pub service: Option<String>,
    /// Profile: heap, allocs, cpu, goroutine, block, mutex, threadcreate, trace, or another one of the service
    #[arg(help_heading = None, required_unless_present = "all", hide_possible_values = true,
        value_parser = Offered(&super::kind::KNOWN))]
    pub profile: Option<String>,
    /// Fetch every profile of every service
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub which: crate::commands::cluster::Which,
    /// Node name, name suffix, address or pattern; may be repeated [default: all]
    #[arg(long, value_name = "NODE")]
    pub node: Vec<String>,
    /// Fetch from all nodes (the default)
    #[arg(long, conflicts_with = "node")]
    pub all_nodes: bool,
    /// Fetch from HOST, HOST:PORT, a URL up to `/debug/pprof` or `unix:PATH` instead of the nodes of a cluster;
    /// may be repeated
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with_all = ["node", "all_nodes", "name"])]
    pub endpoint: Vec<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Port of the service [default: that of Talos]
    #[arg(long)]
    pub port: Option<u16>,
    /// Seconds to record cpu and trace [default: 30]; for other profiles, the change over that time (not with --all)
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// Run a garbage collection before a heap profile
    #[arg(long)]
    pub gc: bool,
    /// Exit with 0 even if some nodes are missing
    #[arg(long)]
    pub allow_missing: bool,
    /// Fetch a series, one profile every TIME, and report what grows
    #[arg(long, value_name = "TIME", value_parser = interval, help_heading = "Series")]
    pub every: Option<Duration>,
    /// Length of the series [default: ten times --every]
    #[arg(long = "for", value_name = "TIME", value_parser = interval, help_heading = "Series")]
    pub length: Option<Duration>,
    /// Refresh the view every --every [default: 5s] and save nothing; q quits
    #[arg(long, help_heading = "Series", conflicts_with_all = ["all", "dir", "seconds"])]
    pub watch: bool,
    /// Save the profiles in DIR [default: a new folder in `pprof list`]
    #[arg(short = 'o', long, value_name = "DIR")]
    pub dir: Option<Utf8PathBuf>,
}

/// The global `--dry-run` without its `-n`, which is the number of rows
/// wherever there is a `top`.
#[derive(Debug, Clone, Default, Args)]
pub struct Dry {
    /// Show the plan and change nothing
    #[arg(id = "dry_run", long = "dry-run", global = true, hide = true)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum PprofVerb {
    /// Show profiles from files of any Go program; several are merged
    Open(Box<OpenArgs>),
    /// List the fetched profiles, newest first
    List {
        /// Print JSON, with each file and what is missing
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask pprof open latest --list 'reconcile'      source lines, from this host\n  \
        cargo xtask pprof open 1.pb.gz 2.pb.gz 3.pb.gz --leak  report what grows\n  \
        cargo xtask pprof open cpu.pb.gz --flame              in the terminal\n  \
        cargo xtask pprof open latest --web --open            in the browser; without --open, its path\n  \
        cargo xtask pprof open http://localhost:6060/debug/pprof/heap\n  \
        cargo xtask pprof open unix:/run/containerd/debug.sock --top\n\n\
        A page keeps each file, node or side apart. Machine code and pages of source (`-disasm`, `-weblist`)\n\
        are in `go tool pprof`."
)]
pub struct OpenArgs {
    /// Compare two profiles by function, with the sampling error
    #[arg(long, group = "form", help_heading = "Comparison")]
    pub diff: bool,
    #[command(flatten)]
    pub show: ShowArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Profiles, binary or text; `-` is standard input; `latest` or the beginning of a name in
    /// `pprof list`; or URLs to fetch
    #[arg(required = true, value_name = "FILE")]
    pub profiles: Vec<Utf8PathBuf>,
}

/// What is shown, and of which samples.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct ShowArgs {
    /// Show functions by their own weight, summed over all nodes [default: nodes side by side]
    #[arg(long, visible_alias = "text", group = "form", help_heading = "Form")]
    pub top: bool,
    /// Show callers and callees of the functions that match
    #[arg(long, value_name = "RE", group = "form", help_heading = "Form")]
    pub peek: Option<String>,
    /// Show callers and callees of every function above --nodefraction
    #[arg(long, group = "form", help_heading = "Form")]
    pub tree: bool,
    /// Group goroutines by state, longest wait and creator, with counts per node
    #[arg(long, group = "form", help_heading = "Form")]
    pub goroutines: bool,
    /// Show source lines of the functions that match, from files on this host
    #[arg(long, value_name = "RE", group = "form", help_heading = "Form")]
    pub list: Option<String>,
    /// Show the cost of each Talos controller, nodes side by side
    #[arg(long, group = "form", help_heading = "Form")]
    pub controllers: bool,
    /// Report stacks that grow in every interval of a series or of several files; exit code 1 if
    /// any does
    #[arg(long, group = "form", help_heading = "Form")]
    pub leak: bool,
    /// Show a flame graph in the terminal; ? lists its keys
    #[arg(long, group = "form", help_heading = "Form")]
    pub flame: bool,
    /// Show every sample with its stack
    #[arg(long, group = "form", help_heading = "Form")]
    pub traces: bool,
    /// Show labels and their weights
    #[arg(long, group = "form", help_heading = "Form")]
    pub tags: bool,
    /// Show the tables of the profile
    #[arg(long, group = "form", help_heading = "Form")]
    pub raw: bool,
    /// Show the comments of the profile
    #[arg(long, group = "form", help_heading = "Form")]
    pub comments: bool,
    /// Write the merged profile, or the difference, to --output
    #[arg(long, group = "form", requires = "output", help_heading = "Form")]
    pub proto: bool,
    /// Write a page with flame graphs of the nodes, or of both sides of a comparison
    #[arg(long, group = "form", help_heading = "Form")]
    pub web: bool,
    /// Open the page of --web in the browser
    #[arg(long, help_heading = "Form")]
    pub open: bool,
    /// Print --top, --goroutines or --diff as JSON, in the unit of the profile
    #[arg(long, help_heading = "Form")]
    pub json: bool,
    /// Write to FILE instead of standard output
    #[arg(long, value_name = "FILE", help_heading = "Form")]
    pub output: Option<Utf8PathBuf>,
    /// Exit with 1 if the total of a node exceeds a bound such as `inuse_space(machined) > 80MiB`
    #[arg(long = "fail-if", value_name = "BOUND", help_heading = "Form")]
    pub fail_if: Vec<String>,
    #[command(flatten)]
    pub export: ExportArgs,
    #[command(flatten)]
    pub compare: CompareArgs,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub value: ValueArgs,
}

/// The profile to compare with.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Comparison")]
pub struct CompareArgs {
    /// Subtract this profile; percentages are relative to the difference
    #[arg(long, value_name = "FILE")]
    pub base: Vec<Utf8PathBuf>,
    /// Subtract this profile; percentages are relative to it
    #[arg(
        long = "diff_base",
        alias = "diff-base",
        value_name = "FILE",
        conflicts_with = "base"
    )]
    pub diff_base: Vec<Utf8PathBuf>,
    /// Scale to the total of the base first
    #[arg(long)]
    pub normalize: bool,
}

/// Where sources are.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sources")]
pub struct SourceArgs {
    /// Folders searched first for sources, separated by `:`
    #[arg(long = "source_path", alias = "source-path", value_name = "DIR")]
    pub source_path: Option<String>,
    /// Prefixes removed from paths in the profile, separated by `:`
    #[arg(long = "trim_path", alias = "trim-path", value_name = "PREFIX")]
    pub trim_path: Option<String>,
}

/// A duration from one second to one day.
fn interval(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if (Duration::from_secs(1)..=Duration::from_hours(24)).contains(&duration) {
        Ok(duration)
    } else {
        Err("it is at least one second and at most one day".to_owned())
    }
}
