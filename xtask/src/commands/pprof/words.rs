//! What users of `go tool pprof` type: its options with one dash, its words that this
//! command does not have, and a file in place of a service.

use std::ffi::OsString;
use std::path::Path;

use super::kind::KNOWN;

/// Sample types that are options of `go tool pprof`.
const SAMPLES: &[(&str, &[&str])] = &[
    ("inuse_space", &["--sample_index=inuse_space"]),
    ("inuse_objects", &["--sample_index=inuse_objects"]),
    ("alloc_space", &["--sample_index=alloc_space"]),
    ("alloc_objects", &["--sample_index=alloc_objects"]),
    ("contentions", &["--sample_index=contentions"]),
    ("total_delay", &["--sample_index=delay"]),
    ("mean_delay", &["--sample_index=delay", "--mean"]),
];

/// Switches of `go tool pprof` without a word here: the words if on, and if off.
const SWITCHES: &[(&str, &[&str], &[&str])] = &[
    ("flat", &[], &["--cum"]),
    ("no_browser", &[], &[]),
    ("trim", &[], &["--no-trim"]),
];

/// Words of `go tool pprof` that are not here, and what to type instead.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "http",
        "`--web --open` shows a page that needs no server, `--flame` one in the terminal",
    ),
    (
        "seconds",
        "only what fetches takes it: `pprof SERVICE PROFILE --seconds N`",
    ),
    ("disasm", GO),
    ("call_tree", GO),
    ("compact_labels", GO),
    ("intel_syntax", GO),
    ("topproto", "`--top --json` is for programs"),
    (
        "weblist",
        "`--list` shows source lines; machine code is in `go tool pprof`",
    ),
    ("gif", GRAPH),
    ("pdf", GRAPH),
    ("png", GRAPH),
    ("ps", GRAPH),
    ("gv", GRAPH),
    ("eog", GRAPH),
    ("evince", GRAPH),
    ("kcachegrind", "`--callgrind` writes what kcachegrind opens"),
    ("tools", GO),
    ("symbolize", GO),
    ("buildid", GO),
    ("add_comment", GO),
    ("timeout", GO),
];
const GO: &str = "only `go tool pprof` has it";
const GRAPH: &str =
    "`--svg` and `--web` draw flame graphs, and `--dot` writes the graph for graphviz";

/// Rewrites the words after `pprof` to words of this command, which `root` has. Words after
/// `--` are kept.
pub(crate) fn arguments(
    words: Vec<OsString>,
    root: impl FnOnce() -> clap::Command,
) -> Vec<OsString> {
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    if !words[..end].iter().any(|word| word == "pprof") {
        return words;
    }
    let root = root();
    let mut commands = words[..end].iter().enumerate().skip(1);
    let found = commands.find(|(_, word)| {
        word.to_str()
            .is_some_and(|word| root.find_subcommand(word).is_some())
    });
    let (Some((at, word)), Some(pprof)) = (found, root.find_subcommand("pprof")) else {
        return words;
    };
    if word != "pprof" {
        return words;
    }
    let options = Options::of(pprof);
    let mut ours = Vec::new();
    for word in &words[at + 1..end] {
        match options.translated(&word.to_string_lossy()) {
            Some(translated) => ours.extend(translated.into_iter().map(OsString::from)),
            None => ours.push(word.clone()),
        }
    }
    if options.name_only_files(&ours) {
        ours.insert(0, "open".into());
    }
    [&words[..=at], &ours, &words[end..]].concat()
}

/// What to type instead of an option that does not exist here.
pub(crate) fn instead_of(option: &str) -> Option<&'static str> {
    let name = option.trim_start_matches('-');
    let name = name.split('=').next().unwrap_or_default();
    let mut known = ELSEWHERE.iter();
    known
        .find(|(word, _)| *word == name)
        .map(|(_, instead)| *instead)
}

/// Options of `pprof` and of its subcommands without dashes, and whether they take a value.
struct Options<'a> {
    long: Vec<(&'a str, bool)>,
    short: Vec<(char, bool)>,
    verbs: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn of(pprof: &'a clap::Command) -> Self {
        let (mut long, mut short) = (Vec::new(), Vec::new());
        for command in std::iter::once(pprof).chain(pprof.get_subcommands()) {
            for arg in command.get_arguments() {
                let takes_value = arg.get_action().takes_values();
                let aliases = arg.get_all_aliases().unwrap_or_default();
                let names = arg.get_long().into_iter().chain(aliases);
                long.extend(names.map(|name| (name, takes_value)));
                short.extend(arg.get_short().map(|letter| (letter, takes_value)));
            }
        }
        let verbs = pprof.get_subcommands().map(clap::Command::get_name);
        Self {
            long,
            short,
            verbs: verbs.chain(["help"]).collect(),
        }
    }

    fn takes_value(&self, name: &str) -> Option<bool> {
        let mut long = self.long.iter();
        long.find(|(long, _)| *long == name)
            .map(|(_, takes)| *takes)
    }

    /// `None` if the word stays as it is.
    fn translated(&self, word: &str) -> Option<Vec<String>> {
        let name = word.strip_prefix('-')?;
        let (is_short, name) = match name.strip_prefix('-') {
            Some(name) => (false, name),
            None => (true, name),
        };
        let (bare, value) = name.split_once('=').unwrap_or((name, "true"));
        // As Go reads switches.
        let is_on = match value {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => None,
        };
        let owned = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        if let Some(is_on) = is_on {
            if let Some((_, words)) = SAMPLES.iter().find(|(sample, _)| *sample == bare) {
                return owned(if is_on { words } else { &[] });
            }
            if let Some((_, on, off)) = SWITCHES.iter().find(|(switch, ..)| *switch == bare) {
                return owned(if is_on { on } else { off });
            }
            if bare.len() > 1 && bare != name && self.takes_value(bare) == Some(false) {
                return Some(is_on.then(|| format!("--{bare}")).into_iter().collect());
            }
        }
        // clap would read several options of one letter.
        let is_known = self.takes_value(bare).is_some() || instead_of(bare).is_some();
        (is_short && bare.len() > 1 && is_known).then(|| vec![format!("--{name}")])
    }

    /// Whether the words that are neither options nor their values are files. A file may be
    /// named like a service, so the last one must not be a kind of profile.
    fn name_only_files(&self, words: &[OsString]) -> bool {
        let mut operands: Vec<&OsString> = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            if operands.is_empty() && self.verbs.contains(&&*text) {
                return false;
            }
            let Some(option) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                operands.push(word);
                continue;
            };
            let long = option.strip_prefix('-');
            let takes_value = match long {
                Some(long) => self.takes_value(long) == Some(true),
                // A letter with its value, such as `-n20`, is longer.
                None => self
                    .short
                    .iter()
                    .any(|(letter, takes)| *takes && option == letter.to_string()),
            };
            if takes_value {
                words.next();
            }
        }
        let is_kind = |word: &OsString| KNOWN.iter().any(|kind| word == kind);
        operands.iter().all(|word| Path::new(word).is_file())
            && operands.last().is_some_and(|word| !is_kind(word))
    }
}
