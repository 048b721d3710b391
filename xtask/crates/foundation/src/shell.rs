//! Shell quoting. A value in a printed command must be one word for any shell,
//! and safe to show on a terminal.

use std::borrow::Cow;
use std::fmt::Write;

use crate::ui::text::is_hidden;

/// Quotes one word for any shell. Control characters are written as a `printf`
/// call, so that the line can be shown and copied without changing its meaning.
pub fn quote(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    // zsh expands `=ls` to the path of ls.
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('=') {
        return Cow::Borrowed(word);
    }
    if !word.contains(is_unshown) {
        return Cow::Owned(single(word));
    }
    let mut out = String::with_capacity(word.len() + 32);
    let mut rest = word;
    while let Some(at) = rest.find(is_unshown) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c| !is_unshown(c)).unwrap_or(from.len());
        let (hidden, after) = from.split_at(end);
        if !before.is_empty() {
            out.push_str(&single(before));
        }
        out.push_str("\"$(printf '");
        for byte in hidden.bytes() {
            let _ = write!(out, "\\{byte:03o}");
        }
        out.push_str("')\"");
        rest = after;
    }
    if !rest.is_empty() {
        out.push_str(&single(rest));
    }
    Cow::Owned(out)
}

/// Quotes and joins words.
pub fn join<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let quoted = words
        .into_iter()
        .map(|word| quote(word.as_ref()).into_owned());
    quoted.collect::<Vec<_>>().join(" ")
}

/// Newlines and tabs are safe between quotes; a command substitution would drop
/// a newline at the end of `printf`'s output.
fn is_unshown(c: char) -> bool {
    is_hidden(c) && !matches!(c, '\n' | '\t')
}

fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::probe::Probe;
    use crate::ui::text;

    #[test]
    fn words_are_quoted_only_where_they_must_be() {
        for (word, quoted) in [
            ("--name=a/b:c,d@e%f+g_h", "--name=a/b:c,d@e%f+g_h"),
            ("", "''"),
            ("a b", "'a b'"),
            ("x; touch PWN #", "'x; touch PWN #'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
            ("=ls", "'=ls'"),
            ("\u{e4}", "'\u{e4}'"),
            ("a\x1b[2J", r#"'a'"$(printf '\033')"'[2J'"#),
            ("\u{202e}", r#""$(printf '\342\200\256')""#),
        ] {
            assert_eq!(quote(word), quoted);
        }
    }

    #[test]
    fn a_shell_reads_the_word_and_a_terminal_obeys_nothing() {
        let mut every: String = ('\x01'..='\u{ff}').collect();
        every.push_str("\u{202e}\u{2028}\u{e0041}\u{fdd0}\r\n\n");
        for word in [&every, "\x1b", "\n", "a\r", "-e\\033\x1b", "%s\x07%%"] {
            let quoted = quote(word);
            assert_eq!(text::escape(&quoted), quoted);
            let script = format!("set -- {quoted}.; printf '%s' \"$1\" | od -An -v -tx1");
            let said = Probe::new(["sh", "-c", &script]).stdout().unwrap();
            let bytes: Vec<u8> = said
                .split_whitespace()
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect();
            assert_eq!(String::from_utf8(bytes).unwrap(), format!("{word}."));
        }
    }
}
