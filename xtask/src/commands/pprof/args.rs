//! `pprof` on the command line. Names are those of `go tool pprof`, with two
//! dashes.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask pprof open cpu.pb.gz                      what a person should look at\n  \
        cargo xtask pprof open --top -n 20 --cum cpu.pb.gz\n  \
        cargo xtask pprof open --peek 'sha256' --base old.pb.gz new.pb.gz"
)]
pub struct PprofCommand {
    #[command(subcommand)]
    pub verb: PprofVerb,
    #[command(flatten)]
    pub dry: Dry,
}

/// The global `--dry-run` without its `-n`: here that is a number of rows,
/// as everywhere where there is a `top`.
#[derive(Debug, Clone, Default, Args)]
pub struct Dry {
    /// Show the plan and change nothing
    #[arg(id = "dry_run", long, global = true, hide = true)]
    pub dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub enum PprofVerb {
    /// Look at profiles from files, Talos or not; several are merged
    Open(OpenArgs),
}

#[derive(Debug, Args)]
pub struct OpenArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// profile.proto, in gzip, zlib, zstd or plain; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    pub profiles: Vec<Utf8PathBuf>,
}

/// What is shown, and of what.
#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct ShowArgs {
    /// Functions by their own weight
    #[arg(long, visible_alias = "text", group = "form", help_heading = "Form")]
    pub top: bool,
    /// Callers and callees of what matches
    #[arg(long, value_name = "RE", group = "form", help_heading = "Form")]
    pub peek: Option<String>,
    /// Callers and callees of everything that weighs enough
    #[arg(long, group = "form", help_heading = "Form")]
    pub tree: bool,
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
    /// --top as data: values in the profile's own unit, all rows
    #[arg(long, help_heading = "Form")]
    pub json: bool,
    /// Write there instead of to standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Form")]
    pub output: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub compare: CompareArgs,
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
    #[arg(long, visible_alias = "diff-base", value_name = "FILE", conflicts_with = "base")]
    pub diff_base: Vec<Utf8PathBuf>,
    /// Scale to the base's total first
    #[arg(long)]
    pub normalize: bool,
}

/// Which samples and frames.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Only stacks with a frame that matches
    #[arg(long, value_name = "RE")]
    pub focus: Option<String>,
    /// No stacks with a frame that matches
    #[arg(long, value_name = "RE")]
    pub ignore: Option<String>,
    /// Leave out frames that match
    #[arg(long, value_name = "RE")]
    pub hide: Option<String>,
    /// Only frames that match
    #[arg(long, value_name = "RE")]
    pub show: Option<String>,
    /// Leave out frames above the highest that matches
    #[arg(long = "show_from", alias = "show-from", value_name = "RE")]
    pub show_from: Option<String>,
    /// Leave out frames below the lowest that matches
    #[arg(long = "prune_from", alias = "prune-from", value_name = "RE")]
    pub prune_from: Option<String>,
    /// Only samples with such a label: [KEY=]RE or a range as 1kb:4mb
    #[arg(long, value_name = "TAG")]
    pub tagfocus: Option<String>,
    /// No samples with such a label
    #[arg(long, value_name = "TAG")]
    pub tagignore: Option<String>,
    /// Only labels whose key matches
    #[arg(long, value_name = "RE")]
    pub tagshow: Option<String>,
    /// No labels whose key matches
    #[arg(long, value_name = "RE")]
    pub taghide: Option<String>,
    /// Labels as frames at the root, the first outermost
    #[arg(long, value_name = "KEY,…")]
    pub tagroot: Option<String>,
    /// Labels as frames at the leaf
    #[arg(long, value_name = "KEY,…")]
    pub tagleaf: Option<String>,
    /// Keep the frames that the profile says to drop
    #[arg(long = "all_frames", alias = "all-frames")]
    pub all_frames: bool,
}

/// Which values, and how they are told.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Values")]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct ValueArgs {
    /// Sample type by name or place [default: the profile's]
    #[arg(long = "sample_index", alias = "sample-index", value_name = "TYPE")]
    pub sample_index: Option<String>,
    /// Means: divide by the first sample type
    #[arg(long)]
    pub mean: bool,
    /// Unit of the report [default: one that suits]
    #[arg(long, value_name = "UNIT")]
    pub unit: Option<String>,
    #[arg(long = "divide_by", alias = "divide-by", value_name = "N", default_value_t = 1.0, hide_default_value = true)]
    pub divide_by: f64,
    /// At most so many rows
    #[arg(short = 'n', long, value_name = "N")]
    pub nodecount: Option<usize>,
    /// Leave out what weighs less than this share of the total [default: 0.005]
    #[arg(long, value_name = "SHARE")]
    pub nodefraction: Option<f64>,
    /// The same for calls [default: 0.001]
    #[arg(long, value_name = "SHARE")]
    pub edgefraction: Option<f64>,
    /// Leave nothing out
    #[arg(long = "no-trim")]
    pub no_trim: bool,
    /// Sort by cumulative weight
    #[arg(long)]
    pub cum: bool,
    /// Tell frames apart by function (the default)
    #[arg(long, group = "granularity")]
    pub functions: bool,
    /// … by function and file
    #[arg(long, group = "granularity")]
    pub filefunctions: bool,
    /// … by file
    #[arg(long, group = "granularity")]
    pub files: bool,
    /// … by line
    #[arg(long, group = "granularity")]
    pub lines: bool,
    /// … by address
    #[arg(long, group = "granularity")]
    pub addresses: bool,
    /// Inlined calls count for their callers
    #[arg(long)]
    pub noinlines: bool,
    #[arg(long)]
    pub showcolumns: bool,
    /// Percentages of what the filters leave
    #[arg(long = "relative_percentages", alias = "relative-percentages")]
    pub relative_percentages: bool,
    /// Leave out what has become less
    #[arg(long = "drop_negative", alias = "drop-negative")]
    pub drop_negative: bool,
}

impl ShowArgs {
    /// As the engine asks.
    pub fn query(&self) -> ::pprof::Query {
        let (filter, value) = (self.filter.clone(), self.value.clone());
        let granularity = value.granularity();
        let default = ::pprof::Query::default();
        // Data is for machines: they leave out what they like.
        let all = self.json && value.nodefraction.is_none();
        ::pprof::Query {
            sample_index: value.sample_index,
            mean: value.mean,
            focus: filter.focus,
            ignore: filter.ignore,
            hide: filter.hide,
            show: filter.show,
            show_from: filter.show_from,
            prune_from: filter.prune_from,
            tagfocus: filter.tagfocus,
            tagignore: filter.tagignore,
            tagshow: filter.tagshow,
            taghide: filter.taghide,
            tagroot: filter.tagroot,
            tagleaf: filter.tagleaf,
            granularity,
            noinlines: value.noinlines,
            showcolumns: value.showcolumns,
            trim: !value.no_trim,
            nodecount: value.nodecount.unwrap_or(0),
            nodefraction: match value.nodefraction {
                Some(fraction) => fraction,
                None if all => 0.0,
                None => default.nodefraction,
            },
            edgefraction: value.edgefraction.unwrap_or(default.edgefraction),
            cum: value.cum,
            relative_percentages: value.relative_percentages,
            drop_negative: value.drop_negative,
            unit: value.unit.unwrap_or(default.unit),
            divide_by: value.divide_by,
            all_frames: filter.all_frames,
        }
    }
}

impl ValueArgs {
    fn granularity(&self) -> ::pprof::Granularity {
        use ::pprof::Granularity::{Addresses, FileFunctions, Files, Functions, Lines};
        let chosen = [
            (self.filefunctions, FileFunctions),
            (self.files, Files),
            (self.lines, Lines),
            (self.addresses, Addresses),
        ];
        let chosen = chosen.iter().find(|(wanted, _)| *wanted);
        chosen.map_or(Functions, |(_, granularity)| *granularity)
    }
}
