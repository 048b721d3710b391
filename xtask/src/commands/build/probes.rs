//! Which `$(shell …)` may be asked without changing anything.

/// Only look at the machine or at the repository's history: what they say does
/// not depend on what a build has made so far.
const STABLE: &[&str] = &[
    "basename", "cut", "date", "dirname", "echo", "expr", "git", "head", "id", "nproc", "printf",
    "sed", "sort", "tail", "tr", "true", "uname", "uniq", "wc",
];
/// Read files.
const READING: &[&str] = &["cat", "grep", "ls", "readlink", "test", "[", "yq", "jq"];
/// Of git what only reads.
const GIT: &[&str] = &[
    "describe",
    "log",
    "rev-list",
    "rev-parse",
    "show",
    "symbolic-ref",
    "tag",
];

/// How far a command can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Says the same whenever it is asked.
    Stable,
    /// Changes nothing, but what it says may change.
    Reads,
    /// May do anything.
    None,
}

/// Judged by its programs; what is not understood is not trusted.
pub(super) fn trust(command: &str) -> Trust {
    let Some(parts) = programs(command) else {
        return Trust::None;
    };
    let of = |words: &Vec<String>| match words.first().map(String::as_str) {
        None => Trust::Stable,
        Some("git") => {
            let verb = words.iter().skip(1).find(|word| !word.starts_with('-'));
            if verb.is_some_and(|verb| GIT.contains(&verb.as_str())) {
                Trust::Stable
            } else {
                Trust::None
            }
        }
        Some("sed")
            if words
                .iter()
                .any(|word| word.starts_with("-i") || word.starts_with("--in-place")) =>
        {
            Trust::None
        }
        Some("yq") if words.iter().any(|word| word == "-i" || word == "--inplace") => Trust::None,
        Some(program) if STABLE.contains(&program) => Trust::Stable,
        Some(program) if READING.contains(&program) => Trust::Reads,
        Some(_) => Trust::None,
    };
    parts
        .iter()
        .map(of)
        .fold(Trust::Stable, |worst, next| match (worst, next) {
            (Trust::None, _) | (_, Trust::None) => Trust::None,
            (Trust::Reads, _) | (_, Trust::Reads) => Trust::Reads,
            _ => Trust::Stable,
        })
}

/// The words of each command of a pipeline or list. Nothing where a shell does
/// more: substitution, background, writing to a file.
fn programs(command: &str) -> Option<Vec<Vec<String>>> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut part = String::new();
    let mut quote = None;
    let mut chars = command.chars().peekable();
    while let Some(character) = chars.next() {
        match (quote, character) {
            (None | Some('"'), '`') => return None,
            (None | Some('"'), '$') if chars.peek() == Some(&'(') => return None,
            (None | Some('"'), '\\') => {
                part.push('\\');
                part.extend(chars.next());
            }
            (None, '\'' | '"') => {
                quote = Some(character);
                part.push(character);
            }
            (Some(open), _) if open == character => {
                quote = None;
                part.push(character);
            }
            (None, '|' | ';') => {
                chars.next_if_eq(&'|');
                parts.push(words(&std::mem::take(&mut part))?);
            }
            (None, '&') => {
                chars.next_if_eq(&'&')?;
                parts.push(words(&std::mem::take(&mut part))?);
            }
            (None, '>') => discard(&mut part, &mut chars)?,
            _ => part.push(character),
        }
    }
    parts.push(words(&part)?);
    Some(parts)
}

/// `2>/dev/null` and `2>&1` write nowhere.
fn discard(part: &mut String, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<()> {
    if part.ends_with(|c: char| c.is_ascii_digit()) {
        part.pop();
    }
    let target: String =
        std::iter::from_fn(|| chars.next_if(|c| !c.is_whitespace() && !";|".contains(*c)))
            .collect();
    matches!(target.as_str(), "/dev/null" | "&1" | "&2").then_some(())
}

/// `$x` and patterns stay as they are: only the program and its flags count.
fn words(part: &str) -> Option<Vec<String>> {
    let plain: String = part
        .chars()
        .map(|c| if "$*?[~#".contains(c) { '_' } else { c })
        .collect();
    let bracket = part.trim_start().starts_with('[');
    let words = makefile::split_words(&plain)?;
    Some(if bracket { vec!["[".to_owned()] } else { words })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_makefiles_ask_is_known() {
        for command in [
            "git describe --match=none --always --abbrev=8 --dirty",
            r"git log --oneline --format=%B -n 1 HEAD^2 -- 2>/dev/null | head -n 1 | sed -nE 's/^release\((.*)\):.*$/\1/p'",
            "uname -m | sed 's/x86_64/amd64/' | sed 's/aarch64/arm64/'",
            "git describe --tags >/dev/null 2>/dev/null && git describe --tag --abbrev=0 || echo 'undefined'",
            "id -u",
            "echo linux/amd64 | tr \",\" \" \"",
        ] {
            assert_eq!(trust(command), Trust::Stable, "{command}");
        }
        assert_eq!(trust("cat _out/list"), Trust::Reads);
        assert_eq!(trust("cat list | grep -vE 'a|b'"), Trust::Reads);
    }

    #[test]
    fn what_could_change_something_is_not_trusted() {
        for command in [
            "git checkout main",
            "sed -i s/a/b/ f",
            "_out/bldr eval --target x",
            "echo $(rm -rf /)",
            "echo `reboot`",
            "cat a > b",
            "echo hi & rm x",
            "cat x | xargs rm",
            "make --quiet image-list",
            "crane export x | tar x",
        ] {
            assert_eq!(trust(command), Trust::None, "{command}");
        }
    }
}
