//! Which options each form honours. One that a form would ignore is refused: its answer
//! would not be the one that was asked for.

use super::args::ShowArgs;
use super::present::{Export, Form};
use foundation::failure::{Failure, Result};
use foundation::typed;

/// An option: its name, whether it was given, and the forms that honour it.
struct Rule {
    option: &'static str,
    is_given: fn(&ShowArgs) -> bool,
    forms: fn(&Form) -> bool,
}

const fn rule(
    option: &'static str,
    is_given: fn(&ShowArgs) -> bool,
    forms: fn(&Form) -> bool,
) -> Rule {
    Rule {
        option,
        is_given,
        forms,
    }
}

/// Reports of functions and their calls.
fn is_graph(form: &Form) -> bool {
    matches!(form, Form::Nodes | Form::Top | Form::Peek(_) | Form::Tree)
}

/// Reports whose rows are the heaviest.
fn has_least(form: &Form) -> bool {
    matches!(form, Form::Nodes | Form::Top | Form::Tree | Form::Dot)
}

/// Reports of formatted values.
fn has_values(form: &Form) -> bool {
    is_graph(form) || matches!(form, Form::List(_) | Form::Traces | Form::Tags)
}

fn has_units(form: &Form) -> bool {
    has_values(form) || matches!(form, Form::Dot | Form::Callgrind)
}

fn has_samples(form: &Form) -> bool {
    *form != Form::Comments
}

/// Frames count, not only which samples there are.
fn has_stacks(form: &Form) -> bool {
    has_samples(form) && *form != Form::Tags
}

/// Labels can be frames: they are neither goroutines' nor controllers'.
fn has_tag_frames(form: &Form) -> bool {
    has_stacks(form) && !matches!(form, Form::Goroutines | Form::Controllers)
}

fn has_frames(form: &Form) -> bool {
    is_graph(form) || form.is_picture() || matches!(form, Form::Traces | Form::Dot)
}

fn has_granularity(form: &Form) -> bool {
    has_frames(form) || *form == Form::Diff
}

const RULES: &[Rule] = &[
    rule("mean", |of| of.value.mean, has_values),
    rule("unit", |of| of.value.unit.is_some(), has_units),
    rule(
        "divide_by",
        |of| (of.value.divide_by - 1.0).abs() > 0.0,
        |form| has_values(form) || matches!(form, Form::Proto | Form::Dot),
    ),
    rule(
        "nodecount",
        |of| of.value.nodecount.is_some(),
        |form| {
            has_least(form)
                || matches!(
                    form,
                    Form::Goroutines | Form::Controllers | Form::Leak | Form::Diff
                )
        },
    ),
    rule(
        "nodefraction",
        |of| of.value.nodefraction.is_some(),
        has_least,
    ),
    rule(
        "edgefraction",
        |of| of.value.edgefraction.is_some(),
        has_least,
    ),
    rule(
        "no-trim",
        |of| of.value.no_trim,
        |form| {
            has_least(form)
                || matches!(
                    form,
                    Form::Goroutines | Form::Web | Form::Diff | Form::Export(Export::Svg)
                )
        },
    ),
    rule(
        "cum",
        |of| of.value.cum,
        |form| is_graph(form) || *form == Form::Diff,
    ),
    rule(
        "filefunctions",
        |of| of.value.filefunctions,
        has_granularity,
    ),
    rule("files", |of| of.value.files, has_granularity),
    rule("lines", |of| of.value.lines, has_granularity),
    rule("addresses", |of| of.value.addresses, has_granularity),
    rule("showcolumns", |of| of.value.showcolumns, has_frames),
    rule("noinlines", |of| of.value.noinlines, has_stacks),
    rule(
        "relative_percentages",
        |of| of.value.relative_percentages,
        |form| has_values(form) || *form == Form::Controllers,
    ),
    rule(
        "drop_negative",
        |of| of.value.drop_negative,
        |form| is_graph(form) || matches!(form, Form::List(_)),
    ),
    rule(
        "normalize",
        |of| of.compare.normalize,
        |form| has_values(form) || matches!(form, Form::Goroutines | Form::Raw | Form::Proto),
    ),
    rule("base", |of| !of.compare.base.is_empty(), has_base),
    rule("diff_base", |of| !of.compare.diff_base.is_empty(), has_base),
    rule("focus", |of| of.filter.focus.is_some(), has_samples),
    rule("ignore", |of| of.filter.ignore.is_some(), has_samples),
    rule("hide", |of| of.filter.hide.is_some(), has_samples),
    rule("show", |of| of.filter.show.is_some(), has_samples),
    rule("show_from", |of| of.filter.show_from.is_some(), has_samples),
    rule(
        "prune_from",
        |of| of.filter.prune_from.is_some(),
        has_stacks,
    ),
    rule("tagfocus", |of| of.filter.tagfocus.is_some(), has_samples),
    rule("tagignore", |of| of.filter.tagignore.is_some(), has_samples),
    rule("tagshow", |of| of.filter.tagshow.is_some(), has_labels),
    rule("taghide", |of| of.filter.taghide.is_some(), has_labels),
    rule("tagroot", |of| of.filter.tagroot.is_some(), has_tag_frames),
    rule("tagleaf", |of| of.filter.tagleaf.is_some(), has_tag_frames),
    rule("all_frames", |of| of.filter.all_frames, has_stacks),
    rule(
        "sample_index",
        |of| of.value.sample_index.is_some(),
        |form| !matches!(form, Form::Comments | Form::Raw | Form::Proto),
    ),
    rule(
        "source_path",
        |of| of.source.source_path.is_some(),
        has_source,
    ),
    rule("trim_path", |of| of.source.trim_path.is_some(), has_source),
    rule(
        "json",
        |of| of.json,
        |form| {
            matches!(
                form,
                Form::Nodes
                    | Form::Top
                    | Form::Goroutines
                    | Form::Controllers
                    | Form::Leak
                    | Form::Diff
            )
        },
    ),
    rule(
        "output",
        |of| of.output.is_some(),
        |form| !matches!(form, Form::Flame | Form::Leak),
    ),
    rule("open", |of| of.open, |form| *form == Form::Web),
];

fn has_base(form: &Form) -> bool {
    !matches!(
        form,
        Form::Comments | Form::Controllers | Form::Leak | Form::Diff
    )
}

/// Labels are shown, or the filter on them is part of the head.
fn has_labels(form: &Form) -> bool {
    is_graph(form) || matches!(form, Form::Traces | Form::Tags | Form::Raw | Form::Proto)
}

fn has_source(form: &Form) -> bool {
    matches!(form, Form::List(_) | Form::Web)
}

/// # Errors
/// If an option was given that the form does not honour.
pub(super) fn check(args: &ShowArgs, form: &Form) -> Result<()> {
    let mut given = RULES.iter().filter(|rule| (rule.is_given)(args));
    let Some(ignored) = given.find(|rule| !(rule.forms)(form)) else {
        return Ok(());
    };
    let form = form.option();
    Err(Failure::usage(format!(
        "`--{}` cannot be used with `--{form}`",
        ignored.option
    ))
    .cause(format!("`--{form}` would ignore it"))
    .hint(format!(
        "leave one of them out; `{}` lists the forms",
        typed!("pprof open --help")
    )))
}
