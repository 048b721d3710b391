//! make's functions on text alone.

use crate::budget::LONGEST;

/// Functions that are known; the rest of make's are named by [`UNSUPPORTED`].
pub(crate) const NAMES: &[&str] = &[
    "addprefix",
    "addsuffix",
    "and",
    "dir",
    "filter",
    "filter-out",
    "findstring",
    "firstword",
    "foreach",
    "if",
    "lastword",
    "notdir",
    "or",
    "patsubst",
    "shell",
    "sort",
    "strip",
    "subst",
    "word",
    "words",
    "abspath",
    "basename",
    "call",
    "error",
    "eval",
    "file",
    "flavor",
    "guile",
    "info",
    "intcmp",
    "join",
    "let",
    "origin",
    "realpath",
    "suffix",
    "value",
    "warning",
    "wildcard",
    "wordlist",
];

/// Of make's functions those that neither Talos, pkgs nor extensions use.
pub(crate) const UNSUPPORTED: &[&str] = &[
    "abspath", "basename", "call", "error", "eval", "file", "flavor", "guile", "info", "intcmp",
    "join", "let", "origin", "realpath", "suffix", "value", "warning", "wildcard", "wordlist",
];

/// How many arguments a function splits its text into; the last keeps commas.
pub(crate) fn most_arguments(name: &str) -> usize {
    match name {
        "subst" | "patsubst" | "foreach" | "if" => 3,
        "addprefix" | "addsuffix" | "filter" | "filter-out" | "findstring" | "word" => 2,
        "and" | "or" => usize::MAX,
        _ => 1,
    }
}

/// The fewest arguments that make accepts.
pub(crate) fn fewest_arguments(name: &str) -> usize {
    match name {
        "subst" | "patsubst" | "foreach" => 3,
        "if" | "addprefix" | "addsuffix" | "filter" | "filter-out" | "findstring" | "word" => 2,
        _ => 1,
    }
}

/// What is wrong with a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// An argument, in a sentence.
    Argument(String),
    /// The result would be longer than [`LONGEST`].
    TooLong,
}

type Result<T> = std::result::Result<T, Wrong>;

/// A result that grows to [`LONGEST`] and no further.
#[derive(Default)]
struct Out(String);

impl Out {
    fn push(&mut self, text: &str) -> Result<()> {
        if self.0.len() + text.len() > LONGEST {
            return Err(Wrong::TooLong);
        }
        self.0.push_str(text);
        Ok(())
    }

    /// One word of several pieces, with a blank between it and the last.
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

/// What a call costs in the budget's steps.
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

/// Call a function on its expanded arguments; what is wrong with them else.
pub(crate) fn call(name: &str, arguments: &[String]) -> Result<String> {
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let (a, b) = (argument(0), argument(1));
    Ok(match name {
        "strip" => join(words(a))?,
        "subst" => subst(a, b, argument(2))?,
        "patsubst" => patsubst(a, b, argument(2))?,
        "filter" => filter(a, b, true)?,
        "filter-out" => filter(a, b, false)?,
        "findstring" => if b.contains(a) { a } else { "" }.to_owned(),
        "firstword" => words(a).next().unwrap_or_default().to_owned(),
        "lastword" => words(a).next_back().unwrap_or_default().to_owned(),
        "words" => words(a).count().to_string(),
        "word" => {
            let index = a.trim().parse().ok().filter(|index: &usize| *index > 0);
            let index = index.ok_or_else(|| {
                Wrong::Argument(format!(
                    "`$(word {a},…)`: the first argument must be a number from 1 on"
                ))
            })?;
            words(b).nth(index - 1).unwrap_or_default().to_owned()
        }
        "sort" => {
            let mut sorted: Vec<&str> = words(a).collect();
            sorted.sort_unstable();
            sorted.dedup();
            join(sorted.into_iter())?
        }
        "addprefix" => {
            let mut out = Out::default();
            words(b).try_for_each(|word| out.word(&[a, word]))?;
            out.0
        }
        "addsuffix" => {
            let mut out = Out::default();
            words(b).try_for_each(|word| out.word(&[word, a]))?;
            out.0
        }
        "dir" => join(words(a).map(|word| word.rfind('/').map_or("./", |slash| &word[..=slash])))?,
        "notdir" => {
            join(words(a).map(|word| word.rfind('/').map_or(word, |slash| &word[slash + 1..])))?
        }
        _ => return Err(Wrong::Argument(format!("function `{name}`"))),
    })
}

fn subst(from: &str, to: &str, text: &str) -> Result<String> {
    let mut out = Out::default();
    if from.is_empty() {
        // make appends to the end where there is nothing to look for.
        out.push(text)?;
        out.push(to)?;
        return Ok(out.0);
    }
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        out.push(before)?;
        out.push(to)?;
        rest = after;
    }
    out.push(rest)?;
    Ok(out.0)
}

/// The words of `text` that are, or are not, as one of `patterns` says.
fn filter(patterns: &str, text: &str, wanted: bool) -> Result<String> {
    let mut patterns = words(patterns);
    // Most filters have a handful; a list of millions would not fit.
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

/// The stem, where `word` is as the pattern says.
fn stem<'a>(before: &str, after: &str, word: &'a str) -> Option<&'a str> {
    word.strip_prefix(before)?.strip_suffix(after)
}

fn matches((before, after): &(String, Option<String>), word: &str) -> bool {
    match after {
        Some(after) => stem(before, after, word).is_some(),
        None => before == word,
    }
}

/// `$(patsubst …)`; a substitution reference is one too.
fn patsubst(pattern: &str, to: &str, text: &str) -> Result<String> {
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

    fn of(name: &str, arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        call(name, &arguments).unwrap()
    }

    #[test]
    fn words_in_and_out() {
        assert_eq!(of("strip", &["  a \t b\n"]), "a b");
        assert_eq!(of("filter", &["t true %1", "true x a1 t"]), "true a1 t");
        assert_eq!(of("filter-out", &["a%", "a ab b"]), "b");
        assert_eq!(of("lastword", &["a b "]), "b");
        assert_eq!(of("sort", &["b a b"]), "a b");
        assert_eq!(of("patsubst", &["%.c", "%.o", "a.c b"]), "a.o b");
        assert_eq!(of("subst", &["", "x", "ab"]), "abx");
        assert_eq!(of("dir", &["a/b c"]), "a/ ./");
        assert_eq!(of("subst", &["a", "bb", "xaya"]), "xbbybb");
        assert_eq!(of("patsubst", &["a", "b", "a  aa\ta"]), "b  aa\tb");
    }

    #[test]
    fn a_product_of_arguments_is_never_made() {
        let many = "a ".repeat(1 << 20);
        let long = "b".repeat(1 << 20);
        for (name, arguments) in [
            ("subst", &["a", &long, &many][..]),
            ("subst", &["", &"c".repeat(LONGEST), &many]),
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
