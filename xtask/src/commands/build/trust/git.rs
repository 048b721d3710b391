//! Git commands that only read: their verbs, and the known options of each.

use super::Trust;
use super::options::Options;
use super::shell::Word;

const LOG: &[&str] = &[
    "abbrev-commit",
    "abbrev=?",
    "after=",
    "all",
    "author=",
    "before=",
    "branches=?",
    "count",
    "cherry-pick",
    "date-order",
    "date=",
    "decorate=?",
    "first-parent",
    "follow",
    "format=",
    "grep=",
    "invert-grep",
    "left-right",
    "max-count=",
    "max-parents=",
    "merges",
    "min-parents=",
    "name-only",
    "name-status",
    "no-color",
    "no-decorate",
    "no-merges",
    "no-patch",
    "no-walk",
    "oneline",
    "pretty=?",
    "remotes=?",
    "reverse",
    "simplify-by-decoration",
    "since=",
    "skip=",
    "stat",
    "tags=?",
    "topo-order",
    "until=",
    "max-age=",
    "min-age=",
    "timestamp",
];

const VERBS: &[(&str, Options)] = &[
    (
        "describe",
        Options {
            short: "",
            // `--tag` is what Talos writes for `--tags`.
            long: &[
                "abbrev=?",
                "all",
                "always",
                "broken=?",
                "candidates=",
                "contains",
                "dirty=?",
                "exact-match",
                "exclude=",
                "first-parent",
                "long",
                "match=",
                "tag",
                "tags",
            ],
            number: false,
        },
    ),
    (
        "log",
        Options {
            short: "n:si",
            long: LOG,
            number: true,
        },
    ),
    (
        "rev-list",
        Options {
            short: "n:i",
            long: LOG,
            number: true,
        },
    ),
    (
        "rev-parse",
        Options {
            short: "q",
            long: &[
                "abbrev-ref=?",
                "absolute-git-dir",
                "all",
                "branches=?",
                "git-common-dir",
                "git-dir",
                "is-bare-repository",
                "is-inside-work-tree",
                "is-shallow-repository",
                "quiet",
                "short=?",
                "show-cdup",
                "show-prefix",
                "show-toplevel",
                "symbolic",
                "symbolic-full-name",
                "tags=?",
                "verify",
            ],
            number: false,
        },
    ),
    (
        "show",
        Options {
            short: "s",
            long: LOG,
            number: false,
        },
    ),
    (
        "symbolic-ref",
        Options {
            short: "q",
            long: &["quiet", "short"],
            number: false,
        },
    ),
    (
        "tag",
        Options {
            short: "li",
            long: &[
                "contains=",
                "ignore-case",
                "list",
                "merged=",
                "no-contains=",
                "no-merged=",
                "points-at=",
                "sort=",
            ],
            number: false,
        },
    ),
];

/// Returns how far `git` with these words can be trusted; `is_here` returns
/// whether a folder is the one that git would use anyway.
pub(super) fn trust(words: &[Word], is_here: &dyn Fn(&str) -> bool) -> Trust {
    let known = known(words, is_here);
    known.map_or(Trust::None, |()| Trust::Stable)
}

fn known(words: &[Word], is_here: &dyn Fn(&str) -> bool) -> Option<()> {
    let mut rest = words;
    let verb = loop {
        let (word, behind) = rest.split_first()?;
        if !word.is_exact() {
            return None;
        }
        rest = behind;
        match word.text.as_str() {
            "--no-pager" | "-P" => {}
            // Another folder has settings of its own, which name programs.
            "-C" => {
                let (folder, behind) = rest.split_first()?;
                if !folder.is_exact() || !is_here(&folder.text) {
                    return None;
                }
                rest = behind;
            }
            verb => break verb,
        }
    };
    let (_, options) = VERBS.iter().find(|(name, _)| *name == verb)?;
    let given = options.read(rest)?;
    // A signature is verified by another program.
    let verifies = |value: &String| value.contains("%G") || value.contains("signature");
    if given.options.iter().any(|(_, value)| verifies(value)) {
        return None;
    }
    match verb {
        // With a name these verbs create a tag, or set HEAD.
        "tag" => given.operands.is_empty() || given.has(&["l", "--list"]),
        "symbolic-ref" => given.operands.len() == 1 && given.operands[0].is_exact(),
        _ => true,
    }
    .then_some(())
}
