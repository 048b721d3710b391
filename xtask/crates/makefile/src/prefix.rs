//! Splits the text of a recipe into commands as make does.

use crate::lines::{is_continued, reference_end};

/// `@`, `-` and `+` in front of a command.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Prefix {
    pub(crate) silent: bool,
    pub(crate) ignores_failure: bool,
}

impl Prefix {
    /// Removes them; returns the command.
    pub(crate) fn take<'a>(&mut self, text: &'a str) -> &'a str {
        let end = text
            .find(|c: char| !" \t@-+".contains(c))
            .unwrap_or(text.len());
        self.silent |= text[..end].contains('@');
        self.ignores_failure |= text[..end].contains('-');
        &text[end..]
    }
}

/// A newline that is not escaped ends a command, quotes or not
/// (`construct_command_argv_internal`).
pub(crate) fn split_commands(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices('\n') {
        if !is_continued(&text[from..at]) {
            out.push(&text[from..at]);
            from = at + 1;
        }
    }
    out.push(&text[from..]);
    out
}

/// Backslash-newlines inside references become one space, those outside stay
/// for the shell.
pub(crate) fn collapse_in_references(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let end = reference_end(rest, at);
        let reference = &rest[at..end];
        if reference.len() > 2 && reference.contains('\n') {
            out.push_str(&crate::lines::collapse(reference));
        } else {
            out.push_str(reference);
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_off_in_any_order() {
        let mut prefix = Prefix::default();
        assert_eq!(prefix.take(" -@ rm x"), "rm x");
        assert!(prefix.silent && prefix.ignores_failure);
        let mut none = Prefix::default();
        assert_eq!(none.take("echo -n @"), "echo -n @");
        assert!(!none.silent && !none.ignores_failure);
    }

    #[test]
    fn a_newline_ends_a_command_unless_it_is_escaped() {
        assert_eq!(split_commands("a\nb"), ["a", "b"]);
        assert_eq!(split_commands("a \\\nb"), ["a \\\nb"]);
        assert_eq!(split_commands("a \\\\\nb"), ["a \\\\", "b"]);
    }

    #[test]
    fn escaped_newlines_stay_outside_of_references_only() {
        assert_eq!(collapse_in_references("a \\\n b"), "a \\\n b");
        assert_eq!(
            collapse_in_references("$(shell a \\\n  b) \\\n c"),
            "$(shell a b) \\\n c"
        );
    }
}
