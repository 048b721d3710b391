//! Flags that select samples, frames and values.

use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};

/// Accepts any word; completions offer these.
#[derive(Debug, Clone)]
pub(super) struct Offered(pub(super) &'static [&'static str]);

impl TypedValueParser for Offered {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// Selects samples and frames.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Keep only stacks with a frame that matches
    #[arg(long, value_name = "RE")]
    pub focus: Option<String>,
    /// Drop stacks with a frame that matches
    #[arg(long, value_name = "RE")]
    pub ignore: Option<String>,
    /// Hide frames that match
    #[arg(long, value_name = "RE")]
    pub hide: Option<String>,
    /// Show only frames that match
    #[arg(long, value_name = "RE")]
    pub show: Option<String>,
    /// Drop frames above the highest one that matches
    #[arg(long = "show_from", alias = "show-from", value_name = "RE")]
    pub show_from: Option<String>,
    /// Drop frames below the lowest one that matches
    #[arg(long = "prune_from", alias = "prune-from", value_name = "RE")]
    pub prune_from: Option<String>,
    /// Keep only samples with a label that matches: [KEY=]RE or a range such as 1kb:4mb
    #[arg(long, value_name = "TAG")]
    pub tagfocus: Option<String>,
    /// Drop samples with a label that matches
    #[arg(long, value_name = "TAG")]
    pub tagignore: Option<String>,
    /// Show only labels whose key matches
    #[arg(long, value_name = "RE")]
    pub tagshow: Option<String>,
    /// Hide labels whose key matches
    #[arg(long, value_name = "RE")]
    pub taghide: Option<String>,
    /// Add labels as frames at the root, the first one outermost
    #[arg(long, value_name = "KEY,…")]
    pub tagroot: Option<String>,
    /// Add labels as frames at the leaf
    #[arg(long, value_name = "KEY,…")]
    pub tagleaf: Option<String>,
    /// Keep frames that the profile marks to be dropped
    #[arg(long = "all_frames", alias = "all-frames")]
    pub all_frames: bool,
}

/// Selects values and their presentation.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Values")]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct ValueArgs {
    /// Sample type, by name or index [default: that of the profile]
    #[arg(long = "sample_index", alias = "sample-index", value_name = "TYPE")]
    pub sample_index: Option<String>,
    /// Show means: divide by the first sample type
    #[arg(long)]
    pub mean: bool,
    /// Unit of the report [default: chosen by size]
    #[arg(long, value_name = "UNIT")]
    pub unit: Option<String>,
    /// Divide every value by N
    #[arg(
        long = "divide_by",
        alias = "divide-by",
        value_name = "N",
        default_value_t = 1.0,
        hide_default_value = true
    )]
    pub divide_by: f64,
    /// Maximum number of rows
    #[arg(short = 'n', long, value_name = "N")]
    pub nodecount: Option<usize>,
    /// Hide functions below this share of the total [default: 0.005]
    #[arg(long, value_name = "SHARE")]
    pub nodefraction: Option<f64>,
    /// Hide calls below this share of the total [default: 0.001]
    #[arg(long, value_name = "SHARE")]
    pub edgefraction: Option<f64>,
    /// Hide nothing
    #[arg(long = "no-trim")]
    pub no_trim: bool,
    /// Sort by cumulative weight
    #[arg(long)]
    pub cum: bool,
    /// Group by function (the default)
    #[arg(long, group = "granularity")]
    pub functions: bool,
    /// Group by function and file
    #[arg(long, group = "granularity")]
    pub filefunctions: bool,
    /// Group by file
    #[arg(long, group = "granularity")]
    pub files: bool,
    /// Group by line
    #[arg(long, group = "granularity")]
    pub lines: bool,
    /// Group by address
    #[arg(long, group = "granularity")]
    pub addresses: bool,
    /// Count inlined calls for their callers
    #[arg(long)]
    pub noinlines: bool,
    /// Show columns too, with --lines
    #[arg(long)]
    pub showcolumns: bool,
    /// Show percentages relative to what the filters keep
    #[arg(long = "relative_percentages", alias = "relative-percentages")]
    pub relative_percentages: bool,
    /// Hide values that became smaller
    #[arg(long = "drop_negative", alias = "drop-negative")]
    pub drop_negative: bool,
}

impl ValueArgs {
    pub(super) fn granularity(&self) -> ::pprof::Granularity {
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
