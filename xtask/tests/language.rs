//! Plain technical English (`xtask/docs/style.md`): words that are not written in
//! comments, strings, pages and scripts, and the form of `--help`.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests read the sources"
)]

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Arg, Command, CommandFactory};
use regex::Regex;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The list of digests that `embed` writes.
const EMBEDDED: &str = ".embedded.sha256";

/// A pattern between word boundaries, what to write in its place, and the
/// phrases in which it is plain English.
struct Word {
    pattern: &'static str,
    instead: &'static str,
    unless: &'static [&'static str],
}

const fn word(pattern: &'static str, instead: &'static str) -> Word {
    unless(pattern, instead, &[])
}

const fn unless(
    pattern: &'static str,
    instead: &'static str,
    unless: &'static [&'static str],
) -> Word {
    Word {
        pattern,
        instead,
        unless,
    }
}

const WORDS: &[Word] = &[
    unless(
        "(is|are) no",
        "`invalid X` or `not an X`",
        &[
            "there is no",
            "there are no",
            "is no longer",
            "are no longer",
            "is no more than",
            "is no less than",
            "is no larger than",
            // What the test's image prints.
            "stdin is no terminal",
        ],
    ),
    word("(is|are) told", "`is passed`, `is reported`, `learns from`"),
    word("(is|are) said", "`is printed`, `is reported`"),
    word("in words", "`as text`"),
    word(
        "lack|lacks|lacked|lacking",
        "`is missing`, `needs`, `without`",
    ),
    word("mend|mends|mended", "`fix`, `repair`"),
    word("cure|cures", "`fix`, `hint`"),
    word("anew", "`again`"),
    word("all the same", "`nevertheless`, `anyway`"),
    unless(
        "for ever|forever",
        "`without a limit`, `indefinitely`",
        // Messages of Talos, which the stand-in node prints.
        &["sleeping forever", "restart forever"],
    ),
    word(
        "stranger|strangers",
        "`unrelated process`, `another user`, `someone else's`",
    ),
    unless(
        "nobody|somebody",
        "`no process`, `no one`, `another user`, `the user`",
        &["user nobody", "os:nobody"],
    ),
    word(
        "whoever|whom|whomever",
        "a noun: `the caller`, `the reader`",
    ),
    word("cannot be meant", "`is invalid`"),
    word(
        "(what )?(is|are) meant",
        "`refers to`, `stands for`, `on purpose`",
    ),
    unless(
        "so (many|long)",
        "a number: `N`, `at most N`, `for SECONDS`",
        &["so long as"],
    ),
    word("as for go", "`as in \u{60}go test -FLAG\u{60}`"),
    word("ones? that (is|are)", "the noun: `a registry that is`"),
];

/// What is checked: prose of our own. Recorded output of other programs is not.
fn is_checked(path: &Utf8Path) -> bool {
    let path_text = path.as_str();
    if path_text.starts_with("xtask/testdata/") {
        return path_text.ends_with("README.md") || path_text.starts_with("xtask/testdata/cli/");
    }
    // These name the words that they ask for.
    if ["xtask/tests/language.rs", "xtask/docs/style.md"].contains(&path_text) {
        return false;
    }
    match path.extension() {
        Some(extension) => ["rs", "md", "go", "sh", "toml"].contains(&extension),
        None => path_text.starts_with("scripts/") || path_text.starts_with("xtask/lab/"),
    }
}

/// Every checked file, by its path below the root, with its text.
fn files() -> Vec<(Utf8PathBuf, String)> {
    let root = Utf8Path::new(ROOT);
    let mut found = Vec::new();
    let mut folders = vec![root.join("xtask")];
    // In a Talos checkout the rest is Talos'.
    if !root.join("xtask").join(EMBEDDED).exists() {
        folders.push(root.join("scripts"));
        for name in ["README.md", "Cargo.toml"] {
            let text = std::fs::read_to_string(root.join(name)).unwrap();
            found.push((name.into(), text));
        }
    }
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            let below = entry.path().strip_prefix(root).unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                let skipped = ["target", ".git", "corpus", "artifacts", "_out"];
                if !skipped.contains(&entry.file_name()) {
                    folders.push(entry.into_path());
                }
            } else if is_checked(&below)
                && let Ok(text) = std::fs::read_to_string(entry.path())
            {
                found.push((below, text));
            }
        }
    }
    found.sort();
    found
}

/// Comments and strings of Rust or Go, or a whole text, as pieces of prose in
/// which single spaces stand for line ends, with the line of each byte.
fn prose(path: &Utf8Path, text: &str) -> Vec<(String, Vec<usize>)> {
    if let Some("rs" | "go") = path.extension() {
        return source_prose(text);
    }
    let mut piece = Piece::default();
    for (at, line) in text.lines().enumerate() {
        piece.push_line(line, at + 1);
    }
    vec![piece.finish()]
}

#[derive(Default)]
struct Piece {
    text: String,
    lines: Vec<usize>,
}

impl Piece {
    fn push_line(&mut self, line: &str, number: usize) {
        let line = line.trim().trim_start_matches(['/', '!', '#', '*']).trim();
        self.text.push_str(line);
        self.text.push(' ');
        self.lines.resize(self.text.len(), number);
    }

    fn finish(self) -> (String, Vec<usize>) {
        (self.text, self.lines)
    }
}

fn source_prose(text: &str) -> Vec<(String, Vec<usize>)> {
    let token = Regex::new(concat!(
        r#"(?s)//[^\n]*(?:\n[ \t]*//[^\n]*)*|/\*.*?\*/"#,
        r##"|b?r#".*?"#|b?r"[^"]*"|"(?:\\.|[^"\\])*"|`[^`]*`"##,
        // A character, so that `'"'` begins no string.
        r"|'(?:\\.[^']*|[^'\\])'",
    ))
    .unwrap();
    token
        .find_iter(text)
        .map(|found| {
            let mut piece = Piece::default();
            let first = text[..found.start()].matches('\n').count() + 1;
            for (at, line) in found.as_str().lines().enumerate() {
                piece.push_line(line.trim_end_matches('\\'), first + at);
            }
            piece.finish()
        })
        .collect()
}

/// `PATH:LINE: what is wrong`, for each word of the list.
fn findings(path: &Utf8Path, text: &str, words: &[(Regex, &Word)]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (piece, lines) in prose(path, text) {
        let lower = piece.to_lowercase();
        // Keys of JSON are a contract, whatever their words.
        if lower.trim() == "\"cure\"" || lower.len() != piece.len() {
            continue;
        }
        for (pattern, word) in words {
            for hit in pattern.find_iter(&lower) {
                let is_plain = word.unless.iter().any(|phrase| {
                    lower
                        .match_indices(phrase)
                        .any(|(at, _)| at <= hit.start() && hit.end() <= at + phrase.len())
                });
                if !is_plain {
                    found.insert((lines[hit.start()], hit.as_str().to_owned(), word.instead));
                }
            }
        }
    }
    found
        .into_iter()
        .map(|(line, hit, instead)| format!("{path}:{line}: `{hit}`: write {instead}"))
        .collect()
}

fn patterns() -> Vec<(Regex, &'static Word)> {
    let compile = |word: &Word| Regex::new(&format!(r"\b(?:{})\b", word.pattern)).unwrap();
    WORDS.iter().map(|word| (compile(word), word)).collect()
}

#[test]
fn prose_is_plain_english() {
    let words = patterns();
    let files = files();
    let found = files
        .iter()
        .flat_map(|(path, text)| findings(path, text, &words));
    let found: Vec<String> = found.collect();
    assert!(
        found.is_empty(),
        "{}\nsee xtask/docs/style.md",
        found.join("\n")
    );
}

#[test]
fn the_word_list_finds_words_and_leaves_plain_phrases() {
    let words = patterns();
    let count = |name: &str, text: &str| findings(Utf8Path::new(name), text, &words).len();
    assert_eq!(count("a.rs", "// `5x` is no\n// duration\n"), 1);
    assert_eq!(count("a.rs", "let a = \"it is told\\\n   nobody\";"), 2);
    assert_eq!(count("a.rs", "let nobody = stranger(whom);"), 0);
    assert_eq!(count("a.rs", "let q = '\"'; let nobody = 1; // lacks"), 1);
    assert_eq!(count("a.rs", "json!({\"cure\": text})"), 0);
    assert_eq!(count("a.go", "a := `so many`"), 1);
    assert_eq!(
        count("README.md", "There is no file; it is no longer used"),
        0
    );
    assert_eq!(count("README.md", "secure, blackened, nowhom"), 0);
}

/// First words of help lines of commands: imperative verbs.
const VERBS: &[&str] = &[
    "Add",
    "Boot",
    "Build",
    "Check",
    "Clean",
    "Collect",
    "Compare",
    "Configure",
    "Copy",
    "Create",
    "Delete",
    "Destroy",
    "Diff",
    "Download",
    "Export",
    "Fetch",
    "Find",
    "Fix",
    "Follow",
    "Free",
    "Generate",
    "Inspect",
    "Install",
    "List",
    "Manage",
    "Merge",
    "Open",
    "Power-cycle",
    "Print",
    "Profile",
    "Prune",
    "Push",
    "Reboot",
    "Recreate",
    "Remove",
    "Repair",
    "Run",
    "Search",
    "Set",
    "Show",
    "Split",
    "Start",
    "Stop",
    "Take",
    "Test",
    "Update",
    "Upgrade",
    "Verify",
    "Watch",
];

/// First words that leave a help line without a noun or a verb.
const HEADLESS: &[&str] = &[
    "As", "At", "From", "Of", "To", "What", "When", "Where", "Whether", "Which", "Whose", "With",
    "Without",
];

/// What is wrong with the help lines of a command, without its subcommands.
fn help_findings(command: &Command, path: &str) -> Vec<String> {
    let mut bad = Vec::new();
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let first = about
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .trim_end_matches(',');
    if command.get_name() != "xtask" && !VERBS.contains(&first) {
        bad.push(format!(
            "`{path}`: \"{about}\" begins with no verb of VERBS"
        ));
    }
    let own = |arg: &&Arg| !arg.is_global_set() || command.get_name() == "xtask";
    for arg in command.get_arguments().filter(own) {
        let mut lines = vec![arg.get_help().map(ToString::to_string).unwrap_or_default()];
        for value in arg
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
        {
            lines.extend(value.get_help().map(ToString::to_string));
        }
        for line in lines {
            let first = line.split_whitespace().next().unwrap_or_default();
            let is_headless = HEADLESS.contains(&first.trim_end_matches([',', ':']));
            if !first.starts_with(|c: char| c.is_uppercase() || c == '`') || is_headless {
                bad.push(format!(
                    "`{path} {}`: \"{line}\" begins with `{first}`",
                    arg.get_id()
                ));
            }
        }
    }
    bad
}

fn walk(command: &Command, path: &str, visit: &mut dyn FnMut(&Command, &str)) {
    visit(command, path);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        if sub.get_name() != "help" {
            walk(sub, format!("{path} {}", sub.get_name()).trim(), visit);
        }
    }
}

#[test]
fn help_begins_with_a_verb_or_a_noun() {
    let mut found = Vec::new();
    walk(&xtask::cli::Cli::command(), "", &mut |command, path| {
        found.extend(help_findings(command, path));
    });
    assert!(
        found.is_empty(),
        "{}\nsee xtask/docs/style.md",
        found.join("\n")
    );
}
