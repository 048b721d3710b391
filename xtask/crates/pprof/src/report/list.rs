//! `list`: the source of functions, each line with its weights.

use std::collections::BTreeMap;
use std::fmt::Write;

use pprof_engine::{
    Error, Frames, Granularity, Info, Profile, Query, Result, View, Weight, compile, unit, weigh,
    with_tag_frames,
};

use super::{Out, Question, Text};

/// Lines shown before the first and after the last line with a weight.
const MARGIN: i64 = 5;
/// Maximum length of a function in lines, whatever lines a profile contains.
const LONGEST: i64 = 100_000;

/// The lines of a file that a profile names, or the reason why they are missing. Given
/// by the caller, who knows where the sources are.
pub type ReadSource<'a> = &'a dyn Fn(&str) -> std::result::Result<Vec<String>, String>;

/// A function in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routine {
    pub name: String,
    /// Path in the profile; empty if it has none.
    pub file: String,
    pub flat: i64,
    pub cum: i64,
    pub lines: Vec<SourceLine>,
    /// Why `lines` is empty.
    pub error: Option<String>,
    /// Why `lines` may be those of another version.
    pub doubt: Option<String>,
}

/// A line of source, with weights in the sample type's unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLine {
    pub number: i64,
    pub flat: i64,
    pub cum: i64,
    pub text: String,
}

/// All functions that an expression matches, in order of name and file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub sample_type: String,
    pub unit: String,
    pub total: i64,
    pub routines: Vec<Routine>,
    pub warnings: Vec<String>,
}

/// Returns the source of the matching functions.
///
/// # Errors
/// Malformed samples, an expression that matches nothing.
pub fn list(
    profile: &Profile,
    query: &Query,
    expression: &str,
    source: ReadSource<'_>,
) -> Result<Listing> {
    asked(profile, query, expression, source).map(|(listing, _)| listing)
}

/// Returns [`list`] in the format of `go tool pprof`.
///
/// # Errors
/// Those of [`list`].
pub fn list_text(
    profile: &Profile,
    query: &Query,
    expression: &str,
    source: ReadSource<'_>,
) -> Result<Text> {
    let (listing, divide_by) = asked(profile, query, expression, source)?;
    let query = Query {
        divide_by,
        ..query.clone()
    };
    let question = Question::new(profile, &query)?;
    let format = |value: i64| question.format(value, &query.unit);
    let or_dot = |value: i64| {
        if value == 0 {
            ".".into()
        } else {
            format(value)
        }
    };
    let mut out = Out::new(profile);
    let _ = writeln!(out, "Total: {}", format(listing.total));
    for routine in &listing.routines {
        if routine.file.is_empty() {
            let _ = writeln!(out, "No source information for {}", routine.name);
            continue;
        }
        let _ = writeln!(
            out,
            "ROUTINE ======================== {} in {}\n{:>10} {:>10} (flat, cum) {} of Total",
            routine.name,
            routine.file,
            format(routine.flat),
            format(routine.cum),
            unit::percentage(routine.cum, listing.total)
        );
        if let Some(error) = &routine.error {
            let _ = writeln!(out, " Error: {error}");
        }
        for line in &routine.lines {
            let (flat, cum) = (or_dot(line.flat), or_dot(line.cum));
            let _ = writeln!(out, "{flat:>10} {cum:>10} {:>6}:{}", line.number, line.text);
        }
        out.check()?;
    }
    Ok(Text {
        text: out.finish()?,
        warnings: listing.warnings,
    })
}

fn asked(
    profile: &Profile,
    query: &Query,
    expression: &str,
    source: ReadSource<'_>,
) -> Result<(Listing, f64)> {
    // As in pprof: all lines count, nothing is trimmed.
    let query = Query {
        granularity: Granularity::Lines,
        showcolumns: false,
        trim: false,
        ..query.clone()
    };
    let wanted = compile("list", Some(expression))?
        .ok_or_else(|| Error::Query("list needs an expression".into()))?;
    with_tag_frames(profile, &query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let frames = Frames::new(profile, &view, query, true)?;
        let (stacks, weights) = weigh(profile, &view, question.weighing, &frames)?;
        let mut found: Found<'_> = BTreeMap::new();
        for (info, weight) in frames.infos.iter().zip(&weights) {
            let counts = weight.flat != 0 || weight.cum != 0;
            let dropped =
                query.drop_negative && (weight.flat < 0 || (weight.flat == 0 && weight.cum < 0));
            if counts && !dropped && wanted.is_match(&info.name) {
                let files = found.entry(&info.name).or_default();
                files.entry(&info.file).or_default().push((info, *weight));
            }
        }
        if found.is_empty() {
            return Err(Error::Query(format!("nothing matches `{expression}`")));
        }
        let mut routines = Vec::new();
        for (name, mut files) in found {
            // Nothing more is known of a function without a file, unless it has one
            // elsewhere.
            if files.len() > 1 {
                files.remove("");
            }
            let each = files.into_iter();
            routines.extend(each.map(|(file, nodes)| routine(name, file, &nodes, source)));
        }
        let mut warnings = view.warnings.clone();
        warnings.extend(routines.iter().filter_map(|routine| {
            let doubt = routine.doubt.as_ref()?;
            Some(format!("{}: {doubt}", routine.name))
        }));
        let listing = Listing {
            sample_type: question.kind.clone(),
            unit: question.unit.clone(),
            total: stacks.total,
            routines,
            warnings,
        };
        Ok((listing, query.divide_by))
    })
}

/// By function, then by file.
type Found<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<(&'a Info, Weight)>>>;

fn routine(name: &str, file: &str, nodes: &[(&Info, Weight)], source: ReadSource<'_>) -> Routine {
    let mut routine = Routine {
        name: name.to_owned(),
        file: file.to_owned(),
        flat: 0,
        cum: 0,
        lines: Vec::new(),
        error: None,
        doubt: None,
    };
    let mut weights: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for (info, weight) in nodes {
        routine.flat = routine.flat.wrapping_add(weight.flat);
        routine.cum = routine.cum.wrapping_add(weight.cum);
        let line = weights.entry(info.line).or_default();
        line.0 = line.0.wrapping_add(weight.flat);
        line.1 = line.1.wrapping_add(weight.cum);
    }
    if file.is_empty() {
        return routine;
    }
    let declared = nodes.iter().map(|(info, _)| info.start_line);
    let declared = declared.filter(|line| *line > 0).min();
    let start = nodes.iter().map(|(info, _)| match info.start_line {
        0 => info.line.saturating_sub(MARGIN),
        start => start,
    });
    let start = start.min().unwrap_or(1).max(1);
    let last = weights.keys().next_back().copied().unwrap_or(0);
    let end = last.saturating_add(MARGIN);
    let lines = match source(file) {
        Ok(lines) => lines,
        Err(error) => {
            routine.error = Some(error);
            return routine;
        }
    };
    routine.doubt = doubt(name, file, declared, last, &lines);
    let skipped = usize::try_from(start - 1).unwrap_or(usize::MAX);
    let end = end.min(start.saturating_add(LONGEST));
    let numbered = (start..=end).zip(lines.into_iter().skip(skipped));
    routine.lines = numbered
        .map(|(number, text)| {
            let (flat, cum) = weights.get(&number).copied().unwrap_or_default();
            SourceLine {
                number,
                flat,
                cum,
                text,
            }
        })
        .collect();
    routine
}

/// Returns why the lines of a Go file may not be those that were compiled: the profile
/// tells on which line each function begins.
fn doubt(
    name: &str,
    file: &str,
    declared: Option<i64>,
    last: i64,
    lines: &[String],
) -> Option<String> {
    let has_extension = |wanted: &str| file.rsplit_once('.').is_some_and(|of| of.1 == wanted);
    let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
    if last > count {
        return Some(format!(
            "the file here is of another version: it has {count} lines, and the profile names line {last}"
        ));
    }
    let declared = declared.filter(|_| has_extension("go"))?;
    let line = lines.get(usize::try_from(declared - 1).ok()?)?;
    let words = declaration(name);
    let found = words.iter().any(|word| contains_word(line, word));
    (!found).then(|| {
        format!(
            "the file here is of another version: line {declared} is not where the function begins"
        )
    })
}

/// Words of which one is on the line where a function begins.
fn declaration(name: &str) -> Vec<&str> {
    let last = last_part(name);
    let is_numbered = |prefix: &str| {
        let number = last.strip_prefix(prefix);
        number.is_some_and(|rest| rest.bytes().next().is_none_or(|c| c.is_ascii_digit()))
    };
    // Bodies that the compiler made functions of: closures, `go` and `defer`, loops over
    // functions, `init`.
    if last.contains("-range") {
        return vec!["for"];
    }
    if is_numbered("gowrap") || is_numbered("deferwrap") {
        return vec!["go", "defer"];
    }
    if is_numbered("func") || is_numbered("") {
        return vec!["func", "init"];
    }
    if last.ends_with("-fm") {
        return vec![last.trim_end_matches("-fm"), "func"];
    }
    vec![last]
}

/// What stands after the last dot, without type parameters, which have dots, too.
fn last_part(name: &str) -> &str {
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in name.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '.' if depth == 0 => start = at + 1,
            _ => {}
        }
    }
    let last = &name[start..];
    last.split('[').next().unwrap_or(last)
}

fn contains_word(line: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_declaration_has_its_name() {
        for (name, line) in [
            ("main.run", "func run() error {"),
            ("main.(*T).Run", "func (t *T) Run(ctx context.Context) {"),
            (
                "a/b.Map[go.shape.int,go.shape.string].func1",
                "\tvisit(func(k K) bool {",
            ),
            (
                "a/b.Keys[...]",
                "func Keys[K comparable, V any](m map[K]V) []K {",
            ),
            (
                "a/b.(*Set[go.shape.a/b.T]).Add",
                "func (s *Set[T]) Add(v T) {",
            ),
            ("main.run.func2.1", "\t\tdefer func() {"),
            ("main.run.gowrap1", "\tgo serve(listener)"),
            ("main.run.deferwrap2", "\tdefer unlock(path)"),
            ("main.all-range1", "\tfor v := range values {"),
            ("main.init.0", "func init() {"),
            ("main.init.func1", "var f = func() {"),
        ] {
            let lines = [String::new(), line.to_owned()];
            assert_eq!(doubt(name, "/a.go", Some(2), 2, &lines), None, "{name}");
            let other = [String::new(), "}".to_owned()];
            let found = doubt(name, "/a.go", Some(2), 2, &other);
            assert!(found.is_some_and(|of| of.contains("line 2")), "{name}");
        }
        assert_eq!(doubt("f", "/a.s", Some(1), 1, &["}".to_owned()]), None);
        let found = doubt("f", "/a.go", None, 9, &["func f() {".to_owned()]);
        assert!(found.is_some_and(|of| of.contains("1 lines")));
    }
}
