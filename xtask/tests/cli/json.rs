//! `--json` is honoured or refused by every command, and a failure is JSON too.

use clap::{Arg, ArgAction, Command, CommandFactory};
use serde_json::Value;

use crate::common::{Home, Said, run, xtask};

/// What runs another program with the words that follow, or is not typed.
const OTHERS: [&str; 4] = ["talosctl", "kubectl", "exec-root", "internal"];

/// Every command that does something by itself, with its words.
fn commands(command: &Command, above: &[String], found: &mut Vec<(Vec<String>, Command)>) {
    for sub in command.get_subcommands() {
        let name = sub.get_name();
        if OTHERS.contains(&name) || name == "help" {
            continue;
        }
        let path = [above, &[name.to_owned()]].concat();
        if !sub.is_subcommand_required_set() {
            found.push((path.clone(), sub.clone()));
        }
        commands(sub, &path, found);
    }
}

fn all() -> Vec<(Vec<String>, Command)> {
    let mut found = Vec::new();
    commands(&xtask::cli::Cli::command(), &[], &mut found);
    assert!(found.len() > 70, "{}", found.len());
    found
}

fn has_json(command: &Command) -> bool {
    command
        .get_arguments()
        .any(|arg| arg.get_long() == Some("json"))
}

/// A value that is accepted at its place.
fn value(arg: &Arg) -> String {
    let possible = arg.get_possible_values();
    let first = possible.first().map(|value| value.get_name().to_owned());
    first.unwrap_or_else(|| "1".to_owned())
}

/// The arguments without which the command is refused.
fn required(command: &Command) -> Vec<String> {
    let required = command.get_arguments().filter(|arg| arg.is_required_set());
    let words = required.flat_map(|arg| {
        let long = arg.get_long().map(|long| format!("--{long}"));
        long.into_iter().chain([value(arg)])
    });
    words.collect()
}

/// Switches that can be given beside `--json`.
fn switches(command: &Command) -> Vec<String> {
    let is_switch = |arg: &&Arg| {
        matches!(arg.get_action(), ArgAction::SetTrue) && arg.get_long() != Some("json")
    };
    let longs = command.get_arguments().filter(is_switch);
    let longs = longs.filter_map(|arg| Some(format!("--{}", arg.get_long()?)));
    // It starts what follows the output of nodes until it is stopped.
    longs.filter(|long| long != "--follow").collect()
}

/// A home with a checkout, where no other program is found.
fn home() -> Home {
    let home = Home::new();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    home.write(
        "talos/Makefile",
        "kernel: ## Builds the kernel\n\t@echo kernel\n",
    );
    home.write("talos/Dockerfile", "FROM scratch AS kernel\n");
    std::fs::create_dir(home.path("bin")).unwrap();
    home
}

fn told(home: &Home, words: &[&str]) -> Said {
    let mut command = home.xtask(words);
    let command = command.env("PATH", home.path("bin"));
    run(command.current_dir(home.path("talos")))
}

/// The documents on standard output.
fn documents(said: &Said, words: &[&str]) -> Vec<Value> {
    let read = serde_json::Deserializer::from_str(&said.stdout).into_iter::<Value>();
    let read: Result<Vec<Value>, _> = read.collect();
    let read =
        read.unwrap_or_else(|error| panic!("{words:?}: {error}\n{}\n{}", said.stdout, said.stderr));
    assert!(
        !read.is_empty(),
        "{words:?} printed nothing: {}",
        said.stderr
    );
    read
}

/// Not one of them prints text for people in place of JSON.
#[test]
fn json_is_honoured_by_every_command_that_knows_it() {
    let home = home();
    let mut lines: Vec<Vec<String>> = Vec::new();
    for (path, command) in all().iter().filter(|(_, command)| has_json(command)) {
        let plain = [&path[..], &["--json".to_owned()], &required(command)].concat();
        let more = switches(command)
            .into_iter()
            .chain(["--dry-run".to_owned()]);
        lines.extend(more.map(|switch| [&plain[..], &[switch]].concat()));
        lines.push(plain);
    }
    assert!(lines.len() > 100, "{}", lines.len());
    // Some wait for what does not answer.
    std::thread::scope(|scope| {
        for part in lines.chunks(lines.len().div_ceil(4)) {
            scope.spawn(|| part.iter().for_each(|words| is_json(&home, words)));
        }
    });
}

fn is_json(home: &Home, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = told(home, &words);
    for document in documents(&said, &words) {
        assert_eq!(document["schema"], 1, "{words:?}: {document}");
        let failed = document.get("error").is_some();
        let code = &document["error"]["code"];
        assert!(
            !failed || *code == said.code.unwrap(),
            "{words:?}: {document}"
        );
    }
}

#[test]
fn json_is_refused_by_every_other_command() {
    for (path, _) in all().iter().filter(|(_, command)| !has_json(command)) {
        let said = run(xtask().args(path).arg("--json"));
        assert_eq!(said.code, Some(2), "{path:?}: {}", said.stdout);
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let document = &documents(&said, &words)[0];
        assert_eq!(document["error"]["kind"], "usage", "{path:?}: {document}");
    }
}

#[test]
fn a_failure_is_one_object_with_its_cause_and_hint() {
    let home = home();
    let said = told(&home, &["runs", "nothing", "--json"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.contains("error: no run `nothing`"),
        "{}",
        said.stderr
    );
    let document = &documents(&said, &[])[0];
    assert_eq!(document["schema"], 1);
    assert_eq!(document["error"]["message"], "no run `nothing`");
    assert_eq!(document["error"]["code"], 2);
    assert!(
        document["error"]["hint"]
            .as_str()
            .unwrap()
            .ends_with(" runs")
    );
    assert!(document["error"]["causes"].as_array().unwrap().is_empty());
    // Without a usable command line, too.
    let said = told(&home, &["cluster", "rebot", "--json"]);
    let document = &documents(&said, &[])[0];
    assert_eq!(document["error"]["kind"], "usage", "{document}");
    assert!(document["error"]["causes"].as_array().unwrap().is_empty());
    assert!(
        document["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("reboot"),
        "{document}"
    );
    // A report that names what fails is not followed by another document.
    let said = told(&home, &["cluster", "status", "--json"]);
    assert_eq!((said.code, documents(&said, &[]).len()), (Some(1), 1));
    let said = told(&home, &["cluster", "status", "--json", "--format", "sh"]);
    assert_eq!(said.code, Some(2), "{}", said.stdout);
}
