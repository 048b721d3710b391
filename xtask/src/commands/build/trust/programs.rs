//! Programs that only read, with the options that do not change this. A
//! program, an option or an operand that is not listed may do anything.

use super::Trust;
use super::options::{Given, Options};
use super::sed;
use super::shell::Word;

/// The meaning of a program's operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operands {
    /// All of them are texts.
    Texts,
    /// Files that are read; without one the program reads its standard input.
    Files,
    /// A filter or an expression, then files.
    ExpressionFiles,
    /// Names of files that are not opened.
    Names,
    None,
}

struct Program {
    name: &'static str,
    options: Options,
    operands: Operands,
}

const fn program(
    name: &'static str,
    short: &'static str,
    long: &'static [&'static str],
    operands: Operands,
) -> Program {
    let options = Options {
        short,
        long,
        number: false,
    };
    Program {
        name,
        options,
        operands,
    }
}

const PROGRAMS: &[Program] = &[
    program("basename", "as:z", &[], Operands::Texts),
    program("cat", "AbEenstTuv", &[], Operands::Files),
    program(
        "cut",
        "b:c:d:f:nsz",
        &[
            "delimiter=",
            "fields=",
            "complement",
            "only-delimited",
            "output-delimiter=",
        ],
        Operands::Files,
    ),
    program(
        "date",
        "uRI",
        &["utc", "universal", "iso-8601=?"],
        Operands::Texts,
    ),
    program("dirname", "z", &[], Operands::Texts),
    program("false", "", &[], Operands::Texts),
    program(
        "grep",
        "EFGace:hHilLm:noqsvwxA:B:C:rz",
        &[
            "extended-regexp",
            "fixed-strings",
            "ignore-case",
            "invert-match",
            "count",
            "quiet",
            "silent",
            "only-matching",
            "max-count=",
            "no-filename",
            "line-number",
            "include=",
            "exclude=",
            "exclude-dir=",
            "regexp=",
            "color=never",
        ],
        Operands::ExpressionFiles,
    ),
    program(
        "id",
        "ugnrGz",
        &["user", "group", "groups", "name", "real"],
        Operands::Texts,
    ),
    program(
        "jq",
        "rcejMSsna",
        &[
            "raw-output",
            "compact-output",
            "exit-status",
            "join-output",
            "monochrome-output",
            "sort-keys",
            "slurp",
            "null-input",
            "ascii-output",
        ],
        Operands::ExpressionFiles,
    ),
    program(
        "ls",
        "1aAdlhrtSRFipgGnoxXUv",
        &["color=never"],
        Operands::Names,
    ),
    program("nproc", "", &["all", "ignore="], Operands::None),
    program(
        "readlink",
        "femnqsvz",
        &[
            "canonicalize",
            "canonicalize-existing",
            "canonicalize-missing",
            "no-newline",
        ],
        Operands::Names,
    ),
    program(
        "sed",
        "nEe:rsuz",
        &[
            "quiet",
            "silent",
            "regexp-extended",
            "expression=",
            "posix",
            "sandbox",
        ],
        Operands::ExpressionFiles,
    ),
    program(
        "sort",
        "bdfghik:Mnrst:uVz",
        &[
            "key=",
            "field-separator=",
            "numeric-sort",
            "reverse",
            "unique",
            "version-sort",
            "stable",
            "zero-terminated",
        ],
        Operands::Files,
    ),
    program(
        "tr",
        "cCdst",
        &["complement", "delete", "squeeze-repeats", "truncate-set1"],
        Operands::Texts,
    ),
    program("true", "", &[], Operands::Texts),
    program(
        "uname",
        "asnrvmpio",
        &[
            "machine",
            "kernel-name",
            "kernel-release",
            "operating-system",
        ],
        Operands::None,
    ),
    program(
        "uniq",
        "cdDuif:s:w:z",
        &["count", "repeated", "unique", "ignore-case"],
        Operands::Files,
    ),
    program(
        "wc",
        "clmLw",
        &["bytes", "chars", "lines", "words"],
        Operands::Files,
    ),
    program(
        "yq",
        "reMNPo:p:",
        &[
            "raw-output",
            "exit-status",
            "no-colors",
            "no-doc",
            "prettyPrint",
            "output-format=",
            "input-format=",
            "unwrapScalar=?",
        ],
        Operands::ExpressionFiles,
    ),
];

/// `head` and `tail`: `-3` is short for `-n 3`. Not `-f`, which never ends.
const ENDS: Options = Options {
    short: "n:c:qvz",
    long: &["lines=", "bytes=", "quiet", "silent"],
    number: true,
};

/// Checks the paths that a program would open.
pub(super) type IsPlainFile<'a> = dyn Fn(&Word) -> bool + 'a;

/// Returns the trust in the command of these words, whatever the origin of
/// `name`. `git` is judged separately.
pub(super) fn trust(name: &str, words: &[Word], is_plain: &IsPlainFile<'_>) -> Trust {
    match name {
        // They do not interpret their words.
        "echo" | "expr" => Trust::Stable,
        // `printf -v`, `printf %n` and `test -v` of some shells set and
        // evaluate variables.
        "printf" if words.first().is_none_or(is_format) => Trust::Stable,
        "test" | "[" if words.iter().all(|word| is_no_option(word, &["-v", "-R"])) => Trust::Reads,
        "head" | "tail" => {
            known(&ENDS, Operands::Files, name, words, is_plain).unwrap_or(Trust::None)
        }
        _ => PROGRAMS
            .iter()
            .find(|program| program.name == name)
            .and_then(|it| known(&it.options, it.operands, name, words, is_plain))
            .unwrap_or(Trust::None),
    }
}

/// Whether it cannot be an option.
fn is_text(word: &Word) -> bool {
    let first = match (word.is_pattern, word.has_variable) {
        (true, _) => &word.text[..word.literal],
        // The value of the variable may be the beginning of an option.
        (false, true) => "",
        (false, false) => return !word.text.starts_with('-'),
    };
    !first.is_empty() && !first.starts_with('-')
}

/// Whether it is a format that only prints.
fn is_format(word: &Word) -> bool {
    let mut directives = word.text.split('%').skip(1);
    let counts = directives.any(|directive| {
        let behind = directive.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        behind.starts_with('n') || behind.starts_with(['h', 'l', 'j', 'z', 't', 'L'])
    });
    word.is_exact() && is_text(word) && !counts
}

/// Whether it is none of these options, and cannot expand to one.
fn is_no_option(word: &Word, refused: &[&str]) -> bool {
    !refused.contains(&word.text.as_str()) && (!word.is_pattern || is_text(word))
}

fn known(
    options: &Options,
    operands: Operands,
    name: &str,
    words: &[Word],
    is_plain: &IsPlainFile<'_>,
) -> Option<Trust> {
    // Texts are harmless to a program without an option that writes.
    if operands == Operands::Texts && matches!(name, "basename" | "dirname" | "true" | "false") {
        return Some(Trust::Stable);
    }
    let given = match name {
        "date" => date(options, words)?,
        _ => options.read(words)?,
    };
    let mut files = &given.operands[..];
    match name {
        "sed" => files = &files[script(&given)?..],
        "grep" => files = files.get(usize::from(!given.has(&["e", "--regexp"]))..)?,
        "jq" | "yq" => {
            let (filter, rest) = files.split_first()?;
            let is_call =
                name == "yq" && ["e", "ea", "eval", "eval-all"].contains(&filter.text.as_str());
            let (filter, rest) = if is_call {
                rest.split_first()?
            } else {
                (filter, rest)
            };
            // `load`, `system` and `eval` of yq open files and start programs.
            let opens = ["load", "system", "eval", "import", "include"];
            if !filter.is_exact() || opens.iter().any(|it| filter.text.contains(it)) {
                return None;
            }
            files = rest;
        }
        // The second operand is a file that it writes.
        "uniq" => match files {
            [] => {}
            [file] if file.is_exact() && given.operand_is_last => {}
            _ => return None,
        },
        _ => {}
    }
    match operands {
        Operands::Texts if name == "date" && !is_fixed(&given) => Some(Trust::Clock),
        Operands::Texts => Some(Trust::Stable),
        Operands::None => files.is_empty().then_some(Trust::Stable),
        Operands::Names => Some(Trust::Reads),
        Operands::Files | Operands::ExpressionFiles => {
            let by_name = files.iter().any(|file| file.text != "-");
            // A recursive search without a name reads the current folder.
            let reads = by_name || given.has(&["r"]) && name == "grep";
            let is_plain = files.iter().all(|file| is_plain(file));
            is_plain.then_some(if reads { Trust::Reads } else { Trust::Stable })
        }
    }
}

/// A `+FORMAT` and a given time; any other operand sets the clock.
fn date<'a>(options: &Options, words: &'a [Word]) -> Option<Given<'a>> {
    let options = Options {
        short: "uRId:",
        long: &["utc", "universal", "iso-8601=?", "date="],
        ..*options
    };
    let given = options.read(words)?;
    let is_format = |word: &&Word| word.is_exact() && word.text.starts_with('+');
    given.operands.iter().all(is_format).then_some(given)
}

/// Whether a date is given in seconds.
fn is_fixed(given: &Given<'_>) -> bool {
    let mut dates = given.options.iter();
    dates.any(|(name, date)| matches!(name.as_str(), "d" | "--date") && date.starts_with('@'))
}

/// Returns how many operands are the script; `None` if it does more than edit.
fn script(given: &Given<'_>) -> Option<usize> {
    let scripts: Vec<&str> = given
        .options
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "e" | "--expression"))
        .map(|(_, script)| script.as_str())
        .collect();
    if !scripts.is_empty() {
        return scripts.into_iter().all(sed::only_edits).then_some(0);
    }
    let script = given.operands.first()?;
    (script.is_exact() && sed::only_edits(&script.text)).then_some(1)
}
