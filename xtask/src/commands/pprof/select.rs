//! Flags that say which samples, frames and values are meant.

use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};

/// Any word is taken; these are what completions offer.
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
    /// Divide every value by this
    #[arg(
        long = "divide_by",
        alias = "divide-by",
        value_name = "N",
        default_value_t = 1.0,
        hide_default_value = true
    )]
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
    /// Columns too, with --lines
    #[arg(long)]
    pub showcolumns: bool,
    /// Percentages of what the filters leave
    #[arg(long = "relative_percentages", alias = "relative-percentages")]
    pub relative_percentages: bool,
    /// Leave out what has become less
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
