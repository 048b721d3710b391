//! The help of the root, with the commands in the order in which they are used, and the
//! form of help below it.

use std::fmt::Write;

use foundation::ui;
use foundation::ui::text::wrapped;

/// Groups of commands, in the order of use; commands that are not listed are in the last.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Set up",
        &[
            "status", "doctor", "setup", "lab", "builder", "registry", "proxies",
        ],
    ),
    ("Build", &["build", "installer", "images", "image", "kmod"]),
    (
        "Run clusters",
        &["cluster", "dev", "talosctl", "kubectl", "airgap"],
    ),
    ("Test", &["test", "exec-root"]),
    ("Find causes", &["pprof", "selinux", "podtrace"]),
    ("This tool", &[]),
];

/// What to type first, and what it does.
const FIRST: [(&str, &str); 4] = [
    ("doctor", "Check this host"),
    ("setup", "Set up what is missing"),
    ("build kernel initramfs talosctl", "Build what nodes boot"),
    ("cluster", "Create a cluster"),
];

/// Commands of which some steps need root.
const ROOT: &[&str] = &[
    "airgap down",
    "airgap up",
    "cluster",
    "cluster clean",
    "cluster destroy",
    "cluster reboot",
    "cluster start",
    "cluster stop",
    "cluster up",
    "dev",
    "doctor",
    "exec-root",
    "lab down",
    "lab up",
    "test at",
    "test integration",
    "test unit",
    "test upgrade",
];

/// Returns the command line with the help that this file describes.
pub(crate) fn with_help(root: clap::Command) -> clap::Command {
    let width = ui::columns();
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}Options of every command:\n{{options}}{{after-help}}\n",
        commands(&root, width)
    );
    root.help_template(template)
        .mut_subcommands(move |command| below(command, "", width))
}

fn below(command: clap::Command, above: &str, width: usize) -> clap::Command {
    let path = format!("{above}{}", command.get_name());
    let root = if ROOT.contains(&path.as_str()) {
        let text = "Steps that need root are run through sudo; `--dry-run` marks them";
        format!("{}\n", wrapped(text, 0, width))
    } else {
        String::new()
    };
    let above = format!("{path} ");
    command
        .help_template(format!(
            "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n\
            {{all-args}}{{after-help}}\n\n{root}Options of every command: `cargo xtask help`\n"
        ))
        .mut_subcommands(move |command| below(command, &above, width))
}

/// Lists the commands by group, in lines of at most `width` columns.
fn commands(root: &clap::Command, width: usize) -> String {
    let shown: Vec<&clap::Command> = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .collect();
    let longest = shown.iter().map(|command| command.get_name().len()).max();
    // Two spaces, the name, a mark, two spaces.
    let column = longest.unwrap_or_default() + 5;
    let mut out = "First steps:\n".to_owned();
    let longest = FIRST.iter().map(|(words, _)| words.len()).max();
    let longest = longest.unwrap_or_default();
    for (words, text) in FIRST {
        let line = format!("  cargo xtask {words:<longest$}  ");
        let text = wrapped(text, line.len(), width);
        let _ = writeln!(out, "{line}{text}");
    }
    let listed: Vec<&str> = GROUPS
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .collect();
    for (title, names) in GROUPS {
        let _ = writeln!(out, "\n{title}:");
        let named = names
            .iter()
            .filter_map(|name| shown.iter().find(|it| it.get_name() == *name));
        let others = shown
            .iter()
            .filter(|it| names.is_empty() && !listed.contains(&it.get_name()));
        for command in named.chain(others) {
            let name = command.get_name();
            let mark = if needs_root(name) { "*" } else { "" };
            let about = command.get_about().map(ToString::to_string);
            let about = wrapped(&about.unwrap_or_default(), column, width);
            let label = format!("{name}{mark}");
            let _ = writeln!(out, "  {label:<pad$}{about}", pad = column - 2);
        }
    }
    let mark = "* runs steps that need root through sudo; `--dry-run` marks them";
    let _ = write!(out, "\n{}\n", wrapped(mark, 2, width));
    let more = "`cargo xtask help COMMAND` has the options of a command; without a command, \
        `cargo xtask` shows what there is and what to type next";
    let _ = write!(out, "{}\n\n", wrapped(more, 0, width));
    out
}

/// Whether a command, or one below it, has steps that need root.
fn needs_root(name: &str) -> bool {
    let mut paths = ROOT.iter();
    paths.any(|path| path.split(' ').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn what_is_listed_exists() {
        let root = Cli::command();
        for (_, names) in GROUPS {
            for name in names {
                assert!(root.find_subcommand(name).is_some(), "{name}");
            }
        }
        let words = FIRST.iter().map(|(words, _)| *words);
        for path in words.chain(ROOT.iter().copied()) {
            let mut at = &root;
            let mut words = path.split(' ');
            while let Some(below) = words.next().and_then(|word| at.find_subcommand(word)) {
                at = below;
            }
            assert_ne!(at.get_name(), root.get_name(), "{path}");
        }
    }

    #[test]
    fn every_command_is_in_one_group() {
        let root = Cli::command();
        let text = commands(&root, 100);
        for command in root.get_subcommands().filter(|it| !it.is_hide_set()) {
            let name = command.get_name();
            let line = |line: &&str| {
                let label = line.strip_prefix("  ").unwrap_or_default();
                let label = label.split(' ').next().unwrap_or_default();
                label.trim_end_matches('*') == name
            };
            assert_eq!(text.lines().filter(line).count(), 1, "{name}: {text}");
        }
    }
}
