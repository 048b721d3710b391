//! make's functions on text alone.

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

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split_ascii_whitespace()
}

fn join<S: AsRef<str>>(words: impl Iterator<Item = S>) -> String {
    words.fold(String::new(), |mut out, word| {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word.as_ref());
        out
    })
}

/// Call a function on its expanded arguments; what is wrong with them else.
pub(crate) fn call(name: &str, arguments: &[String]) -> Result<String, String> {
    let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
    let (a, b) = (argument(0), argument(1));
    Ok(match name {
        "strip" => join(words(a)),
        "subst" => subst(a, b, argument(2)),
        "patsubst" => patsubst(a, b, argument(2)),
        "filter" => join(words(b).filter(|word| words(a).any(|pattern| matches(pattern, word)))),
        "filter-out" => {
            join(words(b).filter(|word| !words(a).any(|pattern| matches(pattern, word))))
        }
        "findstring" => if b.contains(a) { a } else { "" }.to_owned(),
        "firstword" => words(a).next().unwrap_or_default().to_owned(),
        "lastword" => words(a).next_back().unwrap_or_default().to_owned(),
        "words" => words(a).count().to_string(),
        "word" => {
            let index: usize = a
                .trim()
                .parse()
                .ok()
                .filter(|index| *index > 0)
                .ok_or_else(|| {
                    format!("`$(word {a},…)`: the first argument must be a number from 1 on")
                })?;
            words(b).nth(index - 1).unwrap_or_default().to_owned()
        }
        "sort" => {
            let mut sorted: Vec<&str> = words(a).collect();
            sorted.sort_unstable();
            sorted.dedup();
            join(sorted.into_iter())
        }
        "addprefix" => join(words(b).map(|word| format!("{a}{word}"))),
        "addsuffix" => join(words(b).map(|word| format!("{word}{a}"))),
        "dir" => join(words(a).map(|word| word.rfind('/').map_or("./", |slash| &word[..=slash]))),
        "notdir" => {
            join(words(a).map(|word| word.rfind('/').map_or(word, |slash| &word[slash + 1..])))
        }
        _ => return Err(format!("function `{name}`")),
    })
}

fn subst(from: &str, to: &str, text: &str) -> String {
    // make appends to the end where there is nothing to look for.
    if from.is_empty() {
        return format!("{text}{to}");
    }
    text.replace(from, to)
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

fn matches(pattern: &str, word: &str) -> bool {
    match percent(pattern) {
        (before, Some(after)) => stem(&before, &after, word).is_some(),
        (whole, None) => whole == word,
    }
}

/// `$(patsubst …)`; a substitution reference is one too.
pub(crate) fn patsubst(pattern: &str, to: &str, text: &str) -> String {
    let (before, after) = percent(pattern);
    let Some(after) = after else {
        return replace_words(&before, to, text);
    };
    let (to_before, to_after) = percent(to);
    join(words(text).map(|word| match stem(&before, &after, word) {
        None => word.to_owned(),
        Some(stem) => match &to_after {
            Some(to_after) => format!("{to_before}{stem}{to_after}"),
            None => to_before.clone(),
        },
    }))
}

/// Whole words replaced, blanks kept: a pattern without `%`.
fn replace_words(from: &str, to: &str, text: &str) -> String {
    let pieces = text.split_inclusive(|c: char| c.is_ascii_whitespace());
    pieces.fold(String::new(), |mut out, piece| {
        let word = piece.trim_end_matches(|c: char| c.is_ascii_whitespace());
        out.push_str(if word == from && !word.is_empty() {
            to
        } else {
            word
        });
        out.push_str(&piece[word.len()..]);
        out
    })
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
    }
}
