//! `pprof` on the command line. Names are those of `go tool pprof`, with two
//! dashes.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::export::ExportArgs;
use super::select::{FilterArgs, Offered, ValueArgs};
use foundation::units::parse_duration;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask pprof machined heap                       every node, side by side\n  \
        cargo xtask pprof machined cpu --seconds 10 --top -n 20\n  \
        cargo xtask pprof apid goroutine --node worker-1\n  \
        cargo xtask pprof --all                               everything of every service\n  \
        cargo xtask pprof machined goroutine --every 30s --for 10m   what grows all the time?\n  \
        cargo xtask pprof machined heap --watch               refreshed until q\n  \
        cargo xtask pprof open latest --list 'reconcile'      with the source\n  \
        cargo xtask pprof open latest --flame                 flame graph, keys and mouse\n  \
        cargo xtask pprof open --top --base old.pb.gz new.pb.gz\n\n\
        The services listen in a debug build: `cargo xtask build initramfs WITH_DEBUG=1`."
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
    /// apid, machined, trustd or dashboard; any name with --port or --endpoint
    #[arg(help_heading = None, required_unless_present = "all", hide_possible_values = true,
        value_parser = Offered(&["apid", "machined", "trustd", "dashboard"]))]
    pub service: Option<String>,
    /// heap, allocs, cpu, goroutine, block, mutex, threadcreate, trace, or what the node lists
    #[arg(help_heading = None, required_unless_present = "all", hide_possible_values = true,
        value_parser = Offered(&super::kind::KNOWN))]
    pub profile: Option<String>,
    /// Everything of every service at once
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub which: crate::commands::cluster::Which,
    /// A node by name, end of name or address; may be repeated [default: all]
    #[arg(long, value_name = "NODE")]
    pub node: Vec<String>,
    /// All nodes (the default)
    #[arg(long, conflicts_with = "node")]
    pub all_nodes: bool,
    /// HOST or HOST:PORT in place of a cluster's nodes; may be repeated
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with_all = ["node", "all_nodes", "name"])]
    pub endpoint: Vec<String>,
    /// Where the service listens [default: Talos' own]
    #[arg(long)]
    pub port: Option<u16>,
    /// cpu and trace: for so long [default: 30]; others, but not with --all: the change within
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// heap: collect garbage first
    #[arg(long)]
    pub gc: bool,
    /// Exit with 0 although some nodes are missing
    #[arg(long)]
    pub allow_missing: bool,
    /// A series: fetch again and again, save each, say what grows
    #[arg(long, value_name = "TIME", value_parser = interval, help_heading = "Series")]
    pub every: Option<Duration>,
    /// How long the series is [default: ten times --every]
    #[arg(long = "for", value_name = "TIME", value_parser = interval, help_heading = "Series")]
    pub length: Option<Duration>,
    /// Show and refresh every --every [default: 5s], save nothing; q quits
    #[arg(long, help_heading = "Series", conflicts_with_all = ["all", "dir", "seconds"])]
    pub watch: bool,
    /// Save there [default: a folder of `pprof list`]
    #[arg(short = 'o', long, value_name = "DIR")]
    pub dir: Option<Utf8PathBuf>,
}

/// The global `--dry-run` without its `-n`: here that is a number of rows,
/// as everywhere where there is a `top`.
#[derive(Debug, Clone, Default, Args)]
pub struct Dry {
    /// Show the plan and change nothing
    #[arg(id = "dry_run", long = "dry-run", global = true, hide = true)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum PprofVerb {
    /// Look at profiles from files, Talos or not; several are merged
    Open(Box<OpenArgs>),
    /// What was fetched, newest first
    List {
        /// As data, with each file and what was missing
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask pprof open latest --list 'reconcile'      source lines, from this host\n  \
        cargo xtask pprof open 1.pb.gz 2.pb.gz 3.pb.gz --leak  what grows all the time\n  \
        cargo xtask pprof open cpu.pb.gz --flame              in the terminal\n  \
        cargo xtask pprof open latest --web                   a page to open or to send"
)]
pub struct OpenArgs {
    /// From the first FILE to the second, by function, with the noise of sampling
    #[arg(long, group = "form", help_heading = "Comparison")]
    pub diff: bool,
    #[command(flatten)]
    pub show: ShowArgs,
    /// Profiles or their text forms; `-` is standard input; `latest` or the beginning of a name from
    /// `pprof list`
    #[arg(required = true, value_name = "FILE")]
    pub profiles: Vec<Utf8PathBuf>,
}

/// What is shown, and of what.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct ShowArgs {
    /// Functions by their own weight, all nodes summed; without any form: nodes side by side
    #[arg(long, visible_alias = "text", group = "form", help_heading = "Form")]
    pub top: bool,
    /// Callers and callees of what matches
    #[arg(long, value_name = "RE", group = "form", help_heading = "Form")]
    pub peek: Option<String>,
    /// Callers and callees of everything that weighs enough
    #[arg(long, group = "form", help_heading = "Form")]
    pub tree: bool,
    /// Goroutines in groups: state, oldest wait, creator, count per node
    #[arg(long, group = "form", help_heading = "Form")]
    pub goroutines: bool,
    /// Source lines of the functions that match, from this host
    #[arg(long, value_name = "RE", group = "form", help_heading = "Form")]
    pub list: Option<String>,
    /// What each of Talos' controllers costs, nodes side by side
    #[arg(long, group = "form", help_heading = "Form")]
    pub controllers: bool,
    /// Over a series or several files: which stacks grow in every interval, and where; exit code 1
    /// if any does
    #[arg(long, group = "form", help_heading = "Form")]
    pub leak: bool,
    /// Flame graph in the terminal; ? lists its keys
    #[arg(long, group = "form", help_heading = "Form")]
    pub flame: bool,
    /// Every sample with its stack
    #[arg(long, group = "form", help_heading = "Form")]
    pub traces: bool,
    /// Labels and their weights
    #[arg(long, group = "form", help_heading = "Form")]
    pub tags: bool,
    /// The profile's tables
    #[arg(long, group = "form", help_heading = "Form")]
    pub raw: bool,
    /// The profile's comments
    #[arg(long, group = "form", help_heading = "Form")]
    pub comments: bool,
    /// Write the result as a profile (merged, or the difference) to --output
    #[arg(long, group = "form", requires = "output", help_heading = "Form")]
    pub proto: bool,
    /// A page with flame graphs to open or to send: nodes or both sides of a comparison, search, zoom
    #[arg(long, group = "form", help_heading = "Form")]
    pub web: bool,
    /// --top, --goroutines, --diff as data: values in the profile's own unit
    #[arg(long, help_heading = "Form")]
    pub json: bool,
    /// Write there instead of to standard output
    #[arg(long, value_name = "FILE", help_heading = "Form")]
    pub output: Option<Utf8PathBuf>,
    /// Exit with 1 if a node's total passes a bound such as `inuse_space(machined) > 80MiB`
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

/// Compared with what.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Comparison")]
pub struct CompareArgs {
    /// Take this profile off; percentages are of the difference
    #[arg(long, value_name = "FILE")]
    pub base: Vec<Utf8PathBuf>,
    /// Take this profile off; percentages are of it
    #[arg(
        long = "diff_base",
        alias = "diff-base",
        value_name = "FILE",
        conflicts_with = "base"
    )]
    pub diff_base: Vec<Utf8PathBuf>,
    /// Scale to the base's total first
    #[arg(long)]
    pub normalize: bool,
}

/// Where sources are.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sources")]
pub struct SourceArgs {
    /// Look for sources there first; several with `:`
    #[arg(long = "source_path", alias = "source-path", value_name = "DIR")]
    pub source_path: Option<String>,
    /// Take this off the paths in the profile first; several with `:`
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
