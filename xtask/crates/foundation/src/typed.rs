//! Commands that are printed for the user to type. They start this program the
//! same way as it was started, repeat the options that also apply to the next
//! command, and quote every word.

use std::fmt::Display;
use std::sync::OnceLock;

use crate::shell::quote;

/// A command line of this program: `typed!("cluster up --cidr {}", free)`. The
/// literal contains the subcommand and its options; each `{}` becomes one word,
/// or the end of one. `--lab`, `-C` and `--name` are added automatically.
#[macro_export]
macro_rules! typed {
    ($pattern:literal $(, $value:expr)* $(,)?) => {
        $crate::typed::command($pattern, &[$(&$value as &dyn $crate::typed::Value),*])
    };
}

/// A command line of another program: `program!("docker logs {}", name)`.
/// Programs that work on the lab's own resources run inside the lab.
#[macro_export]
macro_rules! program {
    ($pattern:literal $(, $value:expr)* $(,)?) => {
        $crate::typed::other($pattern, &[$(&$value as &dyn $crate::typed::Value),*])
    };
}

/// The value of a `{}`.
pub trait Value {
    /// Returns the unquoted words; each is quoted separately.
    fn words(&self) -> Vec<String>;
}

impl<T: Display + ?Sized> Value for T {
    fn words(&self) -> Vec<String> {
        vec![self.to_string()]
    }
}

/// Several words in place of one `{}`.
#[derive(Debug, Clone)]
pub struct Words(Vec<String>);

impl<S: Into<String>> FromIterator<S> for Words {
    fn from_iter<I: IntoIterator<Item = S>>(words: I) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }
}

impl Value for Words {
    fn words(&self) -> Vec<String> {
        self.0.clone()
    }
}

/// Where this program runs, as far as it matters for the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lab {
    #[default]
    Outside,
    /// In the lab by `--lab`: the next command needs it too.
    ByOption,
    /// In a shell inside the lab, where `--lab` is refused.
    Shell,
}

/// How this program was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The command that starts it, quoted for a shell.
    pub tool: String,
    pub lab: Lab,
    /// `-C`.
    pub talos_dir: Option<String>,
    /// `--name`, the cluster.
    pub name: Option<String>,
    /// Whether the subcommand that these words begin with takes `--name`.
    pub takes_name: fn(&[&str]) -> bool,
}

impl Default for Started {
    fn default() -> Self {
        Self {
            tool: BY_CARGO.to_owned(),
            lab: Lab::default(),
            talos_dir: None,
            name: None,
            takes_name: |_| false,
        }
    }
}

const BY_CARGO: &str = "cargo xtask";
/// The variable that passes the start command into the lab.
pub const TOOL: &str = "XTASK_TYPED_AS";
/// The placeholder for the start command and its options in messages of a
/// helper: only its caller knows them. A noncharacter, which valid text does
/// not contain.
const CALLER: &str = "\u{fdd1}";
/// Programs that work on the lab's own resources.
const OF_THE_LAB: [&str; 8] = [
    "kill",
    "docker",
    "talosctl",
    "kubectl",
    "ip",
    "iptables",
    "nft",
    "firewall-cmd",
];

static STARTED: OnceLock<Started> = OnceLock::new();

/// Sets the values once, before anything is printed.
pub fn remember(started: Started) {
    let _ = STARTED.set(started);
}

/// For a helper, whose failures are printed by its caller through
/// [`by_caller`].
pub fn remember_helper() {
    remember(Started {
        tool: CALLER.to_owned(),
        ..Started::default()
    });
}

/// Fills the start command and the options into a message of a helper.
pub fn by_caller(text: &str) -> String {
    let started = started();
    let mut pieces = text.split(CALLER);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(['`', '\n', ';']).unwrap_or(piece.len());
        let (command, rest) = piece.split_at(end);
        let words = command.split_whitespace().map(|word| Word::of(word, false));
        out += &started.filled(words.collect());
        out += rest;
    }
    out
}

fn started() -> &'static Started {
    STARTED.get_or_init(Started::default)
}

/// The command that starts this program, quoted for a shell.
pub fn tool() -> &'static str {
    &started().tool
}

/// Determines how this program was started, from the environment and the first
/// word of the command line.
pub fn tool_of(handed_on: Option<String>, package: Option<&str>, first: Option<&str>) -> String {
    match (handed_on, package, first) {
        (Some(tool), ..) if !tool.is_empty() => tool,
        (_, Some("xtask"), _) | (_, _, None | Some("")) => BY_CARGO.to_owned(),
        (_, _, Some(first)) => quote(first).into_owned(),
    }
}

/// Names this program in a text of its command line as it was started: those
/// texts are written for `cargo xtask`. `tool` is what [`tool_of`] returned, and
/// `is_built` whether the program is where cargo builds: the alias works there.
pub fn as_started(text: &str, tool: &str, is_built: bool) -> String {
    if is_built && tool.contains('/') {
        return text.to_owned();
    }
    text.replace(BY_CARGO, tool)
}

/// See [`typed!`](crate::typed!).
pub fn command(pattern: &str, values: &[&dyn Value]) -> String {
    started().command(pattern, values)
}

/// See [`program!`](crate::program!).
pub fn other(pattern: &str, values: &[&dyn Value]) -> String {
    started().other(pattern, values)
}

impl Started {
    fn command(&self, pattern: &str, values: &[&dyn Value]) -> String {
        self.filled(fill(pattern, values))
    }

    /// The start command and the words, with the options that were given.
    fn filled(&self, mut words: Vec<Word>) -> String {
        let asks_for_lab = words.first().is_some_and(|word| word.text == "--lab");
        if asks_for_lab {
            words.remove(0);
        }
        let has = |option: &str| {
            let mut ours = words.iter().take_while(|word| word.text != "--");
            ours.any(|word| !word.foreign && word.text == option)
        };
        let (has_dir, has_name) = (has("-C"), has("--name"));
        let lab = match self.lab {
            // The lab itself is managed from outside.
            Lab::ByOption => words.first().is_none_or(|word| word.text != "lab"),
            Lab::Outside => asks_for_lab,
            Lab::Shell => false,
        };
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        let is_named = has_name || self.name.is_none() || !(self.takes_name)(&texts);
        let given = [
            ("--name", self.name.as_ref().filter(|_| !is_named)),
            ("-C", self.talos_dir.as_ref().filter(|_| !has_dir)),
        ];
        let given = given
            .into_iter()
            .filter_map(|(option, value)| Some([Word::of(option, false), Word::of(value?, true)]));
        let at = (0..words.len()).find(|at| ends_options(&words, *at));
        let at = at.unwrap_or(words.len());
        words.splice(at..at, given.flatten());
        let lab = if lab { " --lab" } else { "" };
        format!("{}{lab}{}", self.tool, line(&words))
    }

    fn other(&self, pattern: &str, values: &[&dyn Value]) -> String {
        let words = fill(pattern, values);
        let mut programs = words.iter().map(|word| word.text.as_str());
        let program = programs.find(|word| *word != "sudo").unwrap_or_default();
        if self.lab == Lab::ByOption && OF_THE_LAB.contains(&program) {
            let shell = ["lab", "shell", "--"].map(|word| Word::of(word, false));
            return self.filled(shell.into_iter().chain(words).collect());
        }
        let words: Vec<String> = words.into_iter().map(|word| word.quoted).collect();
        words.join(" ")
    }
}

/// A word, unquoted and quoted.
struct Word {
    text: String,
    quoted: String,
    /// The whole word is a value.
    foreign: bool,
}

impl Word {
    /// A value that looks like an option.
    fn has_dash(&self) -> bool {
        self.foreign && self.text.starts_with('-')
    }

    fn of(text: &str, foreign: bool) -> Self {
        Self {
            text: text.to_owned(),
            quoted: if foreign {
                quote(text).into_owned()
            } else {
                text.to_owned()
            },
            foreign,
        }
    }
}

/// Only the values are quoted: the pattern is a literal.
fn fill(pattern: &str, values: &[&dyn Value]) -> Vec<Word> {
    let mut values = values.iter().map(|value| value.words());
    let mut words = Vec::new();
    for word in pattern.split(' ').filter(|word| !word.is_empty()) {
        if word == "{}" {
            let value = values.next().unwrap_or_default();
            words.extend(value.iter().map(|word| Word::of(word, true)));
            continue;
        }
        let mut pieces = word.split("{}");
        let mut filled = Word::of(pieces.next().unwrap_or_default(), false);
        for piece in pieces {
            let value = values.next().unwrap_or_default().join(" ");
            filled.text += &value;
            filled.quoted += &quote(&value);
            filled.text += piece;
            filled.quoted += piece;
        }
        words.push(filled);
    }
    debug_assert!(values.next().is_none(), "more values than {{}}: {pattern}");
    words
}

/// Whether no option can be inserted at `at`: after `--`, or before a value
/// with a leading dash, which must not be read as an option.
fn ends_options(words: &[Word], at: usize) -> bool {
    let word = &words[at];
    word.text == "--" || (word.has_dash() && !is_options_value(words, at))
}

/// Whether the word is the value of the preceding option.
fn is_options_value(words: &[Word], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &words[before]);
    before.is_some_and(|before| {
        !before.foreign
            && before.text.starts_with('-')
            && before.text != "--"
            && !before.text.contains('=')
    })
}

/// Appends words, each with a space before it.
fn line(words: &[Word]) -> String {
    let mut out = String::new();
    let mut is_closed = false;
    for (at, word) in words.iter().enumerate() {
        out.push_str(if is_closed || !word.has_dash() {
            " "
        } else if is_options_value(words, at) {
            "="
        } else {
            is_closed = true;
            " -- "
        });
        is_closed |= word.text == "--";
        out.push_str(&word.quoted);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes_name(words: &[&str]) -> bool {
        words[0] == "cluster" && words.get(1) != Some(&"list")
    }

    fn started(lab: Lab) -> Started {
        Started {
            lab,
            talos_dir: Some("dir with space; touch PWN #".to_owned()),
            name: Some("mine".to_owned()),
            takes_name,
            ..Started::default()
        }
    }

    #[test]
    fn what_was_given_is_carried() {
        let dir = "-C 'dir with space; touch PWN #'";
        let line = |pattern: &str| started(Lab::ByOption).command(pattern, &[]);
        for (pattern, wanted) in [
            ("cluster", format!("--lab cluster --name mine {dir}")),
            (
                "cluster logs -f",
                format!("--lab cluster logs -f --name mine {dir}"),
            ),
            ("cluster list", format!("--lab cluster list {dir}")),
            ("--lab cluster", format!("--lab cluster --name mine {dir}")),
            ("doctor -- -C x", format!("--lab doctor {dir} -- -C x")),
            ("lab down", format!("lab down {dir}")),
        ] {
            assert_eq!(line(pattern), format!("cargo xtask {wanted}"));
        }
        let outside = started(Lab::Outside);
        assert_eq!(
            outside.command(
                "--lab build {} -C {}",
                &[&Words::from_iter(["a b", "c"]), &"d"]
            ),
            "cargo xtask --lab build 'a b' c -C d"
        );
        let shell = started(Lab::Shell);
        assert_eq!(
            shell.command("--lab cluster destroy --name {}", &[&"x"]),
            format!("cargo xtask cluster destroy --name x {dir}")
        );
        assert_eq!(
            outside.command("pprof open {}", &[&"-y"]),
            format!("cargo xtask pprof open {dir} -- -y")
        );
    }

    #[test]
    fn every_value_is_one_word_and_no_option() {
        let plain = Started::default();
        let line = |pattern: &str, value: &str| plain.command(pattern, &[&value]);
        let of = |rest: &str| format!("cargo xtask {rest}");
        assert_eq!(
            line("cluster destroy --name {}", "x; rm -rf ~ #"),
            of("cluster destroy --name 'x; rm -rf ~ #'")
        );
        assert_eq!(line("embed {}", "--force"), of("embed -- --force"));
        assert_eq!(
            line("cluster up --cidr {}", "-y"),
            of("cluster up --cidr=-y")
        );
        assert_eq!(line("pprof open {}", "-y"), of("pprof open -- -y"));
        assert_eq!(
            line("installer PKG_KERNEL={}", "a b"),
            of("installer PKG_KERNEL='a b'")
        );
        assert_eq!(
            line("runs {}", "\x1b]0;x\x07"),
            of("runs \"$(printf '\\033')\"']0;x'\"$(printf '\\007')\"")
        );
    }

    #[test]
    fn what_the_lab_has_of_its_own_is_asked_inside() {
        let line = |lab, pattern: &str| {
            Started {
                lab,
                ..Started::default()
            }
            .other(pattern, &[&"a b"])
        };
        assert_eq!(line(Lab::Outside, "docker logs {}"), "docker logs 'a b'");
        assert_eq!(line(Lab::Shell, "docker logs {}"), "docker logs 'a b'");
        assert_eq!(
            line(Lab::ByOption, "sudo ip link delete {}"),
            "cargo xtask lab shell -- sudo ip link delete 'a b'"
        );
        assert_eq!(
            line(Lab::ByOption, "git -C {} status"),
            "git -C 'a b' status"
        );
    }

    #[test]
    fn the_tool_is_named_as_it_was_started() {
        let handed = || Some("cargo xtask".to_owned());
        assert_eq!(tool_of(handed(), None, Some("/x")), "cargo xtask");
        assert_eq!(tool_of(None, Some("xtask"), Some("/x")), "cargo xtask");
        assert_eq!(
            tool_of(None, Some("other"), Some("./a b/xtask")),
            "'./a b/xtask'"
        );
        assert_eq!(tool_of(None, None, None), "cargo xtask");
    }

    #[test]
    fn help_names_the_tool_as_it_was_started() {
        let usage = "Usage: cargo xtask test";
        for (tool, is_built, named) in [
            ("cargo xtask", true, "cargo xtask"),
            ("xtask", false, "xtask"),
            ("xtask", true, "xtask"),
            ("/opt/xtask", false, "/opt/xtask"),
            ("/w/target/debug/xtask", true, "cargo xtask"),
        ] {
            let text = as_started(usage, tool, is_built);
            assert_eq!(text, format!("Usage: {named} test"));
        }
    }

    #[test]
    fn a_helper_speaks_for_its_caller() {
        let helper = Started {
            tool: CALLER.to_owned(),
            ..Started::default()
        };
        let hint = helper.command("cluster status", &[]);
        assert_eq!(by_caller(&hint), "cargo xtask cluster status");
    }
}
