//! How profiles are presented, read once from the flags.

use ::pprof::Query;
use camino::Utf8PathBuf;

use super::args::{CompareArgs, ShowArgs, SourceArgs};
use super::honoured;
use foundation::failure::Result;

/// The presentation of a command's profiles.
#[derive(Debug, Clone)]
pub(super) struct Presentation {
    pub(super) form: Form,
    pub(super) query: Query,
    /// Open the page in the browser.
    pub(super) open: bool,
    /// Print JSON, if the form has it.
    pub(super) json: bool,
    /// The file to write to instead of standard output.
    pub(super) output: Option<Utf8PathBuf>,
    /// The maximum number of rows.
    pub(super) rows: Option<usize>,
    pub(super) compare: CompareArgs,
    pub(super) source: SourceArgs,
    /// Bounds such as `inuse_space(machined) > 80MiB`.
    pub(super) fail_if: Vec<String>,
}

/// One way to show a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Nodes side by side: the default.
    Nodes,
    Controllers,
    Leak,
    Top,
    Peek(String),
    Tree,
    Goroutines,
    List(String),
    Traces,
    Tags,
    Raw,
    Comments,
    Proto,
    Flame,
    Web,
    Dot,
    Callgrind,
    /// Two profiles, by function.
    Diff,
    Export(Export),
}

/// The format of another tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Export {
    Folded,
    Speedscope,
    Firefox,
    Svg,
}

impl Form {
    fn new(args: &ShowArgs, diff: bool) -> Self {
        if diff {
            return Self::Diff;
        }
        let export = &args.export;
        let flags = [
            (args.controllers, Self::Controllers),
            (args.leak, Self::Leak),
            (args.top, Self::Top),
            (args.tree, Self::Tree),
            (args.goroutines, Self::Goroutines),
            (args.traces, Self::Traces),
            (args.tags, Self::Tags),
            (args.raw, Self::Raw),
            (args.comments, Self::Comments),
            (args.proto, Self::Proto),
            (args.flame, Self::Flame),
            (args.web, Self::Web),
            (export.dot, Self::Dot),
            (export.callgrind, Self::Callgrind),
            (export.folded, Self::Export(Export::Folded)),
            (export.speedscope, Self::Export(Export::Speedscope)),
            (export.firefox, Self::Export(Export::Firefox)),
            (export.svg, Self::Export(Export::Svg)),
        ];
        let given = flags.into_iter().find(|(given, _)| *given);
        let given = given.map(|(_, form)| form);
        given
            .or_else(|| args.peek.clone().map(Self::Peek))
            .or_else(|| args.list.clone().map(Self::List))
            .unwrap_or(Self::Nodes)
    }

    /// The option that selects it.
    pub(super) fn option(&self) -> &'static str {
        match self {
            // Without an option, nodes side by side; of a file, the same as this one.
            Self::Nodes | Self::Top => "top",
            Self::Controllers => "controllers",
            Self::Leak => "leak",
            Self::Peek(_) => "peek",
            Self::Tree => "tree",
            Self::Goroutines => "goroutines",
            Self::List(_) => "list",
            Self::Traces => "traces",
            Self::Tags => "tags",
            Self::Raw => "raw",
            Self::Comments => "comments",
            Self::Proto => "proto",
            Self::Flame => "flame",
            Self::Web => "web",
            Self::Dot => "dot",
            Self::Callgrind => "callgrind",
            Self::Diff => "diff",
            Self::Export(Export::Folded) => "folded",
            Self::Export(Export::Speedscope) => "speedscope",
            Self::Export(Export::Firefox) => "firefox",
            Self::Export(Export::Svg) => "svg",
        }
    }

    /// Whether all nodes are shown as one.
    pub(super) fn sums_nodes(&self) -> bool {
        !matches!(self, Self::Nodes | Self::Controllers | Self::Leak)
    }

    /// Whether the form is a picture of stacks.
    pub(super) fn is_picture(&self) -> bool {
        matches!(self, Self::Flame | Self::Web | Self::Export(_))
    }
}

impl Presentation {
    /// # Errors
    /// If an option was given that the form does not honour.
    pub(super) fn new(args: &ShowArgs, diff: bool) -> Result<Self> {
        let form = Form::new(args, diff);
        honoured::check(args, &form)?;
        Ok(Self {
            form,
            open: args.open,
            query: query(args),
            json: args.json,
            output: args.output.clone(),
            rows: args.value.nodecount,
            compare: args.compare.clone(),
            source: args.source.clone(),
            fail_if: args.fail_if.clone(),
        })
    }
}

/// Returns the engine's query for the flags.
fn query(args: &ShowArgs) -> Query {
    let (filter, value) = (args.filter.clone(), args.value.clone());
    let granularity = value.granularity();
    let default = Query::default();
    // Programs that read data trim for themselves.
    let all = args.json && value.nodefraction.is_none();
    Query {
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
