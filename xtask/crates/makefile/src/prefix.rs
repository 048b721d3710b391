//! Splits the text of a recipe into commands as make does.

use crate::lines::{is_continued, reference_end};
use crate::slots;

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

/// The shell of a make that sets no other.
pub(crate) const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Runs the program of a line in place of what the shell has built in.
const DIRECT: [&str; 4] = ["/bin/sh", "-c", "eval \"env $1\"", "sh"];
/// The same if the value of a slot has a backslash.
const MAYBE_DIRECT: [&str; 4] = [
    "/bin/sh",
    "-c",
    "case $1 in *\\\\*) eval \"env $1\";; *) eval \"$1\";; esac",
    "sh",
];
/// Characters that make leaves to a shell (`construct_command_argv_internal`).
const FOR_A_SHELL: &[char] = &[
    '#', ';', '"', '*', '?', '[', ']', '&', '|', '<', '>', '(', ')', '{', '}', '$', '`', '^', '~',
    '!', '\n',
];

/// The shell of a command: make starts a simple one without a shell, and the `echo` of a
/// shell is another one than the program.
pub(crate) fn shell_of(command: &str, shell: &[String]) -> Vec<String> {
    let mut words = command.split_ascii_whitespace();
    let differs = match words.next() {
        Some("echo") if slots::contains(command) => true,
        Some("echo") => command.contains('\\') || words.any(|word| word.starts_with('-')),
        // A shell names the links by which it came.
        Some("pwd") => true,
        Some("printf") => ["\\x", "\\e", "\\u", "\\U", "%q"]
            .iter()
            .any(|it| command.contains(it)),
        _ => false,
    };
    let mut quoted = false;
    let is_simple = command.chars().all(|c| {
        quoted ^= c == '\'';
        quoted || !FOR_A_SHELL.contains(&c)
    });
    if differs && is_simple && shell == DEFAULT_SHELL {
        let has_slot = slots::contains(command) && !command.contains('\\');
        let by = if has_slot { MAYBE_DIRECT } else { DIRECT };
        return by.map(str::to_owned).to_vec();
    }
    shell.to_vec()
}

/// Whether a shell only runs the command that it is given.
pub fn is_plain_shell(shell: &[String]) -> bool {
    if shell == DIRECT || shell == MAYBE_DIRECT {
        return true;
    }
    let [program, flags @ .., last] = shell else {
        return false;
    };
    let programs = ["/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/bash"];
    let is_flag = |flag: &String| {
        flag == "pipefail"
            || flag
                .strip_prefix('-')
                .is_some_and(|letters| letters.chars().all(|c| "euxo".contains(c)))
    };
    let is_command = last
        .strip_prefix('-')
        .and_then(|letters| letters.strip_suffix('c'))
        .is_some_and(|letters| letters.chars().all(|c| "eux".contains(c)));
    programs.contains(&program.as_str()) && flags.iter().all(is_flag) && is_command
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
    fn a_script_is_not_a_plain_shell() {
        let is_plain = |shell: &str| {
            let words: Vec<String> = shell.split(' ').map(str::to_owned).collect();
            is_plain_shell(&words)
        };
        assert!(is_plain("/bin/sh -c") && is_plain("/bin/bash -eu -o pipefail -c"));
        assert!(is_plain("/bin/sh -ec") && is_plain_shell(&DIRECT.map(str::to_owned)));
        for other in [
            "/bin/sh x.sh -c",
            "bash -c",
            "/bin/sh -c touch sh",
            "/bin/sh",
            "x -c",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }

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
