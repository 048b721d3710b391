//! The functions of make: a table, and the bodies that only work on text.

use crate::limits::MAX_VALUE;

/// A function of GNU make.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// The least number of arguments that make accepts.
    pub(crate) fewest: usize,
    /// The number of arguments that the text is split into; the last keeps its commas.
    pub(crate) most: usize,
    pub(crate) body: Body,
}

/// A function of the values of its arguments. More arguments than the least
/// number may be absent.
pub(crate) type Text = fn(&[String]) -> Result<String>;

/// How a function is evaluated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// All arguments are expanded first.
    Text(Text),
    /// Arguments are expanded one by one until the predicate holds for a value,
    /// which is the result, as is the last value: `and`, `or`.
    Until(fn(&str) -> bool),
    Foreach,
    If,
    Shell,
    /// `$(1)` and the like are the arguments while a variable is expanded.
    Call,
    /// Facts about a variable: `origin`, `flavor`, `value`.
    Variable,
    AbsPath,
    Wildcard,
    /// Neither Talos, pkgs nor extensions use it.
    Unsupported,
}

const fn function(name: &'static str, fewest: usize, most: usize, body: Body) -> Function {
    Function {
        name,
        fewest,
        most,
        body,
    }
}

const fn unsupported(name: &'static str) -> Function {
    function(name, 1, 1, Body::Unsupported)
}

const FUNCTIONS: &[Function] = &[
    function("addprefix", 2, 2, Body::Text(add_prefix)),
    function("addsuffix", 2, 2, Body::Text(add_suffix)),
    function("abspath", 1, 1, Body::AbsPath),
    function("and", 1, usize::MAX, Body::Until(str::is_empty)),
    function("basename", 1, 1, Body::Text(base_name)),
    function("call", 1, usize::MAX, Body::Call),
    function("dir", 1, 1, Body::Text(dir)),
    function(
        "filter",
        2,
        2,
        Body::Text(|of| filter(&of[0], &of[1], true)),
    ),
    function(
        "filter-out",
        2,
        2,
        Body::Text(|of| filter(&of[0], &of[1], false)),
    ),
    function(
        "findstring",
        2,
        2,
        Body::Text(|of| Ok(find_string(&of[0], &of[1]).to_owned())),
    ),
    function(
        "firstword",
        1,
        1,
        Body::Text(|of| Ok(words(&of[0]).next().unwrap_or_default().to_owned())),
    ),
    function("flavor", 1, 1, Body::Variable),
    function("foreach", 3, 3, Body::Foreach),
    function("if", 2, 3, Body::If),
    function("join", 2, 2, Body::Text(join_pairs)),
    function(
        "lastword",
        1,
        1,
        Body::Text(|of| Ok(words(&of[0]).next_back().unwrap_or_default().to_owned())),
    ),
    function("notdir", 1, 1, Body::Text(not_dir)),
    function("origin", 1, 1, Body::Variable),
    function("or", 1, usize::MAX, Body::Until(|value| !value.is_empty())),
    function("patsubst", 3, 3, Body::Text(patsubst)),
    function("shell", 1, 1, Body::Shell),
    function("sort", 1, 1, Body::Text(sort)),
    function("strip", 1, 1, Body::Text(|of| join(words(&of[0])))),
    function("subst", 3, 3, Body::Text(subst)),
    function("suffix", 1, 1, Body::Text(suffix)),
    function("value", 1, 1, Body::Variable),
    function("wildcard", 1, 1, Body::Wildcard),
    function("word", 2, 2, Body::Text(word)),
    function("wordlist", 3, 3, Body::Text(word_list)),
    function(
        "words",
        1,
        1,
        Body::Text(|of| Ok(words(&of[0]).count().to_string())),
    ),
    unsupported("error"),
    unsupported("eval"),
    unsupported("file"),
    unsupported("guile"),
    unsupported("info"),
    unsupported("intcmp"),
    unsupported("let"),
    unsupported("realpath"),
    unsupported("warning"),
];

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Why a call has no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// An argument is invalid; the message names it.
    Argument(String),
    /// The result would be longer than [`MAX_VALUE`].
    TooLong,
}

type Result<T> = std::result::Result<T, Wrong>;

/// A result that is limited to [`MAX_VALUE`] bytes.
#[derive(Default)]
struct Out(String);

impl Out {
    fn push(&mut self, text: &str) -> Result<()> {
        if self.0.len() + text.len() > MAX_VALUE {
            return Err(Wrong::TooLong);
        }
        self.0.push_str(text);
        Ok(())
    }

    /// Appends a word made of `pieces`, separated from the last by a blank.
    fn word(&mut self, pieces: &[&str]) -> Result<()> {
        if !self.0.is_empty() {
            self.push(" ")?;
        }
        pieces.iter().try_for_each(|piece| self.push(piece))
    }
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split_ascii_whitespace()
}

fn join<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<String> {
    let mut out = Out::default();
    words.try_for_each(|word| out.word(&[word]))?;
    Ok(out.0)
}

/// The cost of a call in steps of the budget.
pub(crate) fn steps(name: &str, arguments: &[String]) -> usize {
    let bytes: usize = arguments.iter().map(String::len).sum();
    let pairs = match (name, arguments) {
        // Each word is compared with each pattern.
        ("filter" | "filter-out", [patterns, text, ..]) => {
            let each = words(text).count() + text.len() / 64;
            words(patterns).count().saturating_mul(each)
        }
        _ => 0,
    };
    (bytes / 16).saturating_add(pairs)
}

fn find_string<'a>(wanted: &'a str, text: &str) -> &'a str {
    if text.contains(wanted) { wanted } else { "" }
}

fn word(arguments: &[String]) -> Result<String> {
    let (number, text) = (&arguments[0], &arguments[1]);
    let index = index(number).ok_or_else(|| {
        Wrong::Argument(format!(
            "`$(word {number},…)`: the first argument must be a number from 1 on"
        ))
    })?;
    Ok(words(text).nth(index - 1).unwrap_or_default().to_owned())
}

/// A number from 1 on.
fn index(number: &str) -> Option<usize> {
    let index = number.trim().parse().ok();
    index.filter(|index: &usize| *index > 0)
}

fn word_list(arguments: &[String]) -> Result<String> {
    let (first, last) = (&arguments[0], &arguments[1]);
    let wrong = || Wrong::Argument(format!("`$(wordlist {first},{last},…)`: invalid numbers"));
    let from = index(first).ok_or_else(wrong)?;
    let to: usize = last.trim().parse().map_err(|_| wrong())?;
    let text = arguments[2].as_str();
    let at = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    let mut taken = words(text).take(to).skip(from - 1);
    let Some(first) = taken.next() else {
        return Ok(String::new());
    };
    let last = taken.last().unwrap_or(first);
    // The blanks between them stay.
    Ok(text[at(first)..at(last) + last.len()].to_owned())
}

fn join_pairs(arguments: &[String]) -> Result<String> {
    let (mut left, mut right) = (words(&arguments[0]), words(&arguments[1]));
    let mut out = Out::default();
    loop {
        match (left.next(), right.next()) {
            (None, None) => return Ok(out.0),
            (left, right) => out.word(&[left.unwrap_or_default(), right.unwrap_or_default()])?,
        }
    }
}

/// Where the suffix of a file name begins, with its dot.
fn suffix_at(word: &str) -> Option<usize> {
    word.rfind(['.', '/'])
        .filter(|at| word[*at..].starts_with('.'))
}

fn suffix(arguments: &[String]) -> Result<String> {
    join(words(&arguments[0]).filter_map(|word| Some(&word[suffix_at(word)?..])))
}

fn base_name(arguments: &[String]) -> Result<String> {
    join(words(&arguments[0]).map(|word| &word[..suffix_at(word).unwrap_or(word.len())]))
}

/// Each path from the root on, without `.` and `..`; links are not looked at.
pub(crate) fn absolute(paths: &str, directory: &str) -> Result<String> {
    let mut out = Out::default();
    for path in words(paths) {
        let base = if path.starts_with('/') { "" } else { directory };
        let mut parts: Vec<&str> = Vec::new();
        for part in base.split('/').chain(path.split('/')) {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        out.word(&["/", &parts.join("/")])?;
    }
    Ok(out.0)
}

fn sort(arguments: &[String]) -> Result<String> {
    let mut sorted: Vec<&str> = words(&arguments[0]).collect();
    sorted.sort_unstable();
    sorted.dedup();
    join(sorted.into_iter())
}

fn add_prefix(arguments: &[String]) -> Result<String> {
    let mut out = Out::default();
    words(&arguments[1]).try_for_each(|word| out.word(&[&arguments[0], word]))?;
    Ok(out.0)
}

fn add_suffix(arguments: &[String]) -> Result<String> {
    let mut out = Out::default();
    words(&arguments[1]).try_for_each(|word| out.word(&[word, &arguments[0]]))?;
    Ok(out.0)
}

fn dir(arguments: &[String]) -> Result<String> {
    join(words(&arguments[0]).map(|word| word.rfind('/').map_or("./", |slash| &word[..=slash])))
}

fn not_dir(arguments: &[String]) -> Result<String> {
    join(words(&arguments[0]).map(|word| word.rfind('/').map_or(word, |slash| &word[slash + 1..])))
}

fn subst(arguments: &[String]) -> Result<String> {
    let (from, to, text) = (&arguments[0], &arguments[1], &arguments[2]);
    let mut out = Out::default();
    if from.is_empty() {
        // make appends to the end when the text to replace is empty.
        out.push(text)?;
        out.push(to)?;
        return Ok(out.0);
    }
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(from.as_str()) {
        out.push(before)?;
        out.push(to)?;
        rest = after;
    }
    out.push(rest)?;
    Ok(out.0)
}

/// The words of `text` that match one of `patterns`, or that match none.
fn filter(patterns: &str, text: &str, wanted: bool) -> Result<String> {
    let mut patterns = words(patterns);
    // Most filters have few patterns; millions would not fit into memory when split.
    let read: Vec<_> = patterns.by_ref().take(1000).map(percent).collect();
    let rest: Vec<&str> = patterns.collect();
    let fits = |word: &str| {
        read.iter().any(|pattern| matches(pattern, word))
            || rest.iter().any(|pattern| matches(&percent(pattern), word))
    };
    join(words(text).filter(|word| fits(word) == wanted))
}

/// `%` of a pattern: what is before and after it, with `\%` unescaped.
fn percent(pattern: &str) -> (String, Option<String>) {
    let mut before = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let slashes = rest[..at].len() - rest[..at].trim_end_matches('\\').len();
        before.push_str(&rest[..at - slashes]);
        before.push_str(&"\\".repeat(slashes / 2));
        if slashes.is_multiple_of(2) {
            return (before, Some(rest[at + 1..].to_owned()));
        }
        before.push('%');
        rest = &rest[at + 1..];
    }
    before.push_str(rest);
    (before, None)
}

/// The stem of `word`, if it matches the pattern `BEFORE%AFTER`.
fn stem<'a>(before: &str, after: &str, word: &'a str) -> Option<&'a str> {
    word.strip_prefix(before)?.strip_suffix(after)
}

fn matches((before, after): &(String, Option<String>), word: &str) -> bool {
    match after {
        Some(after) => stem(before, after, word).is_some(),
        None => before == word,
    }
}

/// `$(patsubst PATTERN,TO,TEXT)`, and the substitution reference `$(NAME:FROM=TO)`.
pub(crate) fn patsubst(arguments: &[String]) -> Result<String> {
    let (pattern, to, text) = (&arguments[0], &arguments[1], &arguments[2]);
    let (before, after) = percent(pattern);
    let Some(after) = after else {
        return replace_words(&before, to, text);
    };
    let (to_before, to_after) = percent(to);
    let mut out = Out::default();
    for word in words(text) {
        match (stem(&before, &after, word), &to_after) {
            (None, _) => out.word(&[word])?,
            (Some(stem), Some(to_after)) => out.word(&[&to_before, stem, to_after])?,
            (Some(_), None) => out.word(&[&to_before])?,
        }
    }
    Ok(out.0)
}

/// Whole words replaced, blanks kept: a pattern without `%`.
fn replace_words(from: &str, to: &str, text: &str) -> Result<String> {
    let mut out = Out::default();
    for piece in text.split_inclusive(|c: char| c.is_ascii_whitespace()) {
        let word = piece.trim_end_matches(|c: char| c.is_ascii_whitespace());
        let is_it = word == from && !word.is_empty();
        out.push(if is_it { to } else { word })?;
        out.push(&piece[word.len()..])?;
    }
    Ok(out.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        call(name, &arguments).unwrap()
    }

    fn call(name: &str, arguments: &[String]) -> Result<String> {
        match find(name).unwrap().body {
            Body::Text(body) => body(arguments),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn words_in_and_out() {
        assert_eq!(value("strip", &["  a \t b\n"]), "a b");
        assert_eq!(value("filter", &["t true %1", "true x a1 t"]), "true a1 t");
        assert_eq!(value("filter-out", &["a%", "a ab b"]), "b");
        assert_eq!(value("lastword", &["a b "]), "b");
        assert_eq!(value("sort", &["b a b"]), "a b");
        assert_eq!(value("patsubst", &["%.c", "%.o", "a.c b"]), "a.o b");
        assert_eq!(value("subst", &["", "x", "ab"]), "abx");
        assert_eq!(value("dir", &["a/b c"]), "a/ ./");
        assert_eq!(value("subst", &["a", "bb", "xaya"]), "xbbybb");
        assert_eq!(value("patsubst", &["a", "b", "a  aa\ta"]), "b  aa\tb");
    }

    #[test]
    fn a_product_of_arguments_is_never_made() {
        let many = "a ".repeat(1 << 20);
        let long = "b".repeat(1 << 20);
        for (name, arguments) in [
            ("subst", &["a", &long, &many][..]),
            ("subst", &["", &"c".repeat(MAX_VALUE), &many]),
            ("patsubst", &["%", &long, &many]),
            ("patsubst", &["a", &long, &many]),
            ("addprefix", &[&long, &many]),
            ("addsuffix", &[&long, &many]),
        ] {
            let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(call(name, &arguments), Err(Wrong::TooLong), "{name}");
        }
        let patterns = vec!["%x ".repeat(1 << 20), many];
        assert!(steps("filter", &patterns) > 1 << 40);
    }
}
