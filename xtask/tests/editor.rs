//! `editor` and `tasks`: files of users are merged and keep their bytes, and
//! what is written fits what go and buildx print.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make checkouts and drive the real binary"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::git;
use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

const LINTER: &str =
    "version: \"2\"\nrun:\n  build-tags:\n    - integration\n    - integration_api\n";

struct Checkout {
    dir: TempDir,
    git: xshell::Shell,
}

impl Checkout {
    fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("go.mod", "module github.com/siderolabs/talos\n\ngo 1.25\n"),
            (".gitignore", ".vscode\n.idea\n"),
            (".golangci.yml", LINTER),
            ("pkg/machinery/gendata/data/tag", "v1.12.0"),
        ] {
            write(dir.path(), name, text);
        }
        let git = git::repository(dir.path());
        Self { dir, git }
    }

    fn run(&self, words: &[&str]) -> Output {
        let home = tempfile::tempdir().unwrap();
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(words)
            .arg("-C")
            .arg(self.dir.path())
            .current_dir(home.path())
            .env_clear()
            .env("HOME", home.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("PATH", std::env::var("PATH").unwrap())
            .output()
            .unwrap()
    }

    fn run_well(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn code(&self, words: &[&str]) -> i32 {
        self.run(words).status.code().unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Every file, and the private ignore rules.
    fn files(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.dir.path()).unwrap();
                let name = name.to_str().unwrap().to_owned();
                let is_of_git = name.starts_with(".git/") && !name.starts_with(".git/info");
                if path.is_dir() {
                    folders.push(path);
                } else if !is_of_git {
                    found.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        found
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Without comments and trailing commas, of which these files have the plain kinds.
fn parsed(text: &str) -> Value {
    let lines = text.lines().map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => "",
        _ => line.split(" // ").next().unwrap(),
    });
    let text: String = lines.collect::<Vec<_>>().join("\n");
    let blocks = Regex::new(r"(?s)/\*.*?\*/").unwrap();
    let text = blocks.replace_all(&text, "");
    let commas = Regex::new(r",(\s*[\]}])").unwrap();
    serde_json::from_str(&commas.replace_all(&text, "$1")).unwrap()
}

fn labels(tasks: &Value) -> Vec<String> {
    let tasks = tasks["tasks"].as_array().unwrap();
    let label = |task: &Value| task["label"].as_str().unwrap().to_owned();
    tasks.iter().map(label).collect()
}

const TASKS: &str = ".vscode/tasks.json";
/// Files of users, all with a task `mine` unless there is nothing in them.
const KINDS: [(&str, &str); 8] = [
    (
        "comments",
        "// Of the team\n{\n  \"version\": \"2.0.0\", // the only one\n  \"tasks\": [\n    /* first */\n    { \"label\": \"mine\", \"type\": \"shell\" }\n    // last\n  ]\n}\n",
    ),
    (
        "trailing commas",
        "{\n  \"tasks\": [\n    {\n      \"label\": \"mine\",\n    },\n  ],\n  \"version\": \"2.0.0\",\n}\n",
    ),
    (
        "tabs",
        "{\n\t\"version\": \"2.0.0\",\n\t\"tasks\": [\n\t\t{\n\t\t\t\"label\": \"mine\"\n\t\t}\n\t]\n}\n",
    ),
    (
        "CRLF",
        "{\r\n  // windows\r\n  \"version\": \"2.0.0\",\r\n  \"tasks\": [\r\n    {\r\n      \"label\": \"mine\"\r\n    }\r\n  ]\r\n}\r\n",
    ),
    ("empty", ""),
    ("comment only", "// nothing yet\n"),
    (
        "one line",
        "{\"version\":\"2.0.0\",\"tasks\":[{\"label\":\"mine\"}]}",
    ),
    (
        "ours edited, between others",
        "{\n  \"version\": \"2.0.0\",\n  \"tasks\": [\n    { \"label\": \"mine\" },\n    { \"label\": \"xtask: cluster\", \"type\": \"shell\", \"command\": \"old\" }, // kept\n    { \"label\": \"other\" }\n  ],\n  \"inputs\": []\n}\n",
    ),
];

#[test]
fn eight_kinds_of_files_are_merged_and_twice_gives_the_same_bytes() {
    for (kind, before) in KINDS {
        let checkout = Checkout::fresh();
        write(checkout.dir.path(), TASKS, before);
        assert_eq!(checkout.code(&["editor", "vscode", "--check"]), 1, "{kind}");
        assert_eq!(checkout.read(TASKS), before);
        checkout.run_well(&["editor", "vscode"]);
        let once = checkout.files();
        checkout.run_well(&["editor", "vscode"]);
        assert_eq!(checkout.files(), once, "{kind}");
        assert_eq!(checkout.code(&["editor", "vscode", "--check"]), 0, "{kind}");

        let text = &once[TASKS];
        let added = labels(&parsed(text));
        let ours = added
            .iter()
            .filter(|label| label.starts_with("xtask: "))
            .count();
        assert_eq!(ours, 7, "{kind}: {added:?}");
        for line in before
            .lines()
            .filter(|line| line.contains("//") || line.contains("/*"))
        {
            let comment = line.trim().split("//").last().unwrap();
            assert!(
                text.contains(comment),
                "{kind}: `{comment}` is gone:\n{text}"
            );
        }
        if before.contains("\r\n") {
            assert_eq!(
                text.matches('\n').count(),
                text.matches("\r\n").count(),
                "{kind}"
            );
        }
        if kind == "tabs" {
            assert!(
                text.contains("\n\t\t{\n\t\t\t\"label\": \"xtask: "),
                "{text}"
            );
        }
        if kind.starts_with("ours") {
            assert_eq!(added[..3], ["mine", "xtask: cluster", "other"]);
            assert!(
                text.contains(", // kept") && !text.contains("\"old\""),
                "{text}"
            );
        }

        checkout.run_well(&["editor", "vscode", "--remove"]);
        match kind {
            "empty" => assert!(!checkout.dir.path().join(TASKS).exists()),
            "comment only" => assert!(checkout.read(TASKS).contains("// nothing yet")),
            "one line" | "ours edited, between others" => {
                let left = labels(&parsed(&checkout.read(TASKS)));
                assert!(
                    left.iter()
                        .all(|label| ["mine", "other"].contains(&label.as_str()))
                );
            }
            _ => assert_eq!(checkout.read(TASKS), before, "{kind}"),
        }
    }
}

#[test]
fn what_cannot_be_merged_is_refused_and_nothing_is_written() {
    for (text, why) in [
        ("\u{feff}{\"tasks\": []}", "byte order mark"),
        ("{\"tasks\": [", "Unterminated array"),
        ("{\"tasks\": {}}", "`tasks` in it is not an array"),
        ("[]", "it is not an object"),
        ("{tasks: []}", "line 1"),
    ] {
        let checkout = Checkout::fresh();
        write(checkout.dir.path(), TASKS, text);
        let before = checkout.files();
        let refused = checkout.run(&["editor", "vscode"]);
        assert_eq!(refused.status.code(), Some(3), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            said.contains(why) && said.contains("nothing was changed"),
            "{said}"
        );
        assert_eq!(checkout.files(), before);
    }
    let checkout = Checkout::fresh();
    let own = "[keys.normal.space.x]\nc = \":w\"\n";
    write(checkout.dir.path(), ".helix/config.toml", own);
    let before = checkout.files();
    assert_eq!(checkout.code(&["editor", "helix"]), 3);
    assert_eq!(checkout.files(), before);
}

#[test]
fn every_editors_files_come_and_go_and_git_shows_none() {
    for (editor, names) in [
        (
            "vscode",
            &[TASKS, ".vscode/launch.json", ".vscode/settings.json"][..],
        ),
        ("neovim", &[TASKS]),
        (
            "zed",
            &[".zed/tasks.json", ".zed/debug.json", ".zed/settings.json"],
        ),
        ("jetbrains", &[".idea/runConfigurations/xtask_cluster.xml"]),
        ("helix", &[".helix/config.toml", ".helix/languages.toml"]),
    ] {
        let checkout = Checkout::fresh();
        let before = checkout.files();
        checkout.run_well(&["editor", editor, "--dry-run"]);
        assert_eq!(checkout.files(), before);
        checkout.run_well(&["editor", editor]);
        let written = checkout.files();
        for name in names {
            assert!(written.contains_key(*name), "{editor}: {name}");
        }
        let status = xshell::cmd!(checkout.git, "git status --porcelain");
        assert_eq!(status.quiet().read().unwrap(), "", "{editor}");
        assert_eq!(checkout.code(&["editor", editor, "--check"]), 0);
        checkout.run_well(&["editor", editor]);
        assert_eq!(checkout.files(), written);
        checkout.run_well(&["editor", editor, "--remove"]);
        assert_eq!(checkout.files(), before, "{editor}");
        let folder = names[0].split('/').next().unwrap();
        assert!(
            !checkout.dir.path().join(folder).exists(),
            "{folder} is left"
        );
    }
}

#[test]
fn tags_are_those_of_the_linter_and_the_users_setting_wins() {
    let checkout = Checkout::fresh();
    let settings = ".vscode/settings.json";
    checkout.run_well(&["editor", "vscode"]);
    let tags = parsed(&checkout.read(settings))["go.buildTags"].clone();
    assert_eq!(tags, "integration,integration_api");
    let own = "{\n  \"go.buildTags\": \"mine\" // own\n}\n";
    write(checkout.dir.path(), settings, own);
    let plan = checkout.run_well(&["editor", "vscode", "--dry-run"]);
    assert!(plan.contains("has its own `go.buildTags`"), "{plan}");
    checkout.run_well(&["editor", "vscode"]);
    checkout.run_well(&["editor", "vscode", "--remove"]);
    assert_eq!(checkout.read(settings), own);
    write(
        checkout.dir.path(),
        ".zed/settings.json",
        "{\n  // mine\n  \"lsp\": {\n    \"x\": {}\n  }\n}\n",
    );
    checkout.run_well(&["editor", "zed"]);
    let zed = parsed(&checkout.read(".zed/settings.json"));
    let flags = &zed["lsp"]["gopls"]["initialization_options"]["buildFlags"];
    assert_eq!(flags[0], "-tags=integration,integration_api");
    assert_eq!(zed["lsp"]["x"], serde_json::json!({}));
}

#[test]
fn all_editors_and_other_runners_get_one_list() {
    let checkout = Checkout::fresh();
    checkout.run_well(&["editor", "vscode"]);
    checkout.run_well(&["editor", "zed"]);
    let listed: Value = serde_json::from_str(&checkout.run_well(&["tasks", "--json"])).unwrap();
    let vscode = parsed(&checkout.read(TASKS));
    let zed = parsed(&checkout.read(".zed/tasks.json"));
    assert_eq!(labels(&listed), labels(&vscode));
    let text = checkout.run_well(&["tasks"]);
    for (at, task) in listed["tasks"].as_array().unwrap().iter().enumerate() {
        assert!(text.contains(task["label"].as_str().unwrap()), "{text}");
        let words = task["command"].as_array().unwrap();
        let place = |with: &str| -> Vec<Value> {
            let words = words.iter().map(|word| match word.as_str().unwrap() {
                "FILE:LINE" => Value::from(with),
                _ => word.clone(),
            });
            words.collect()
        };
        for (entry, with) in [
            (&vscode["tasks"][at], "${relativeFile}:${lineNumber}"),
            (&zed[at], "${ZED_RELATIVE_FILE}:${ZED_ROW}"),
        ] {
            let command = std::iter::once(entry["command"].clone());
            let args = entry["args"].as_array().unwrap().iter().cloned();
            assert_eq!(command.chain(args).collect::<Vec<_>>(), place(with));
        }
    }
    // What a task runs is known to the command line.
    for task in listed["tasks"].as_array().unwrap() {
        let words = task["command"].as_array().unwrap();
        let mut words: Vec<&str> = words
            .iter()
            .skip(1)
            .map(|it| it.as_str().unwrap())
            .collect();
        words.push("--help");
        checkout.run_well(&words);
    }
}

/// Started through the alias beside the checkout, the tasks start in the clone.
#[test]
fn tasks_start_the_tool_as_it_was_started() {
    let checkout = Checkout::fresh();
    let dir = checkout.dir.path().canonicalize().unwrap();
    let tasks = |variables: &[(&str, &str)]| -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["tasks", "--json", "-C"])
            .arg(&dir)
            .env_clear()
            .env("HOME", &dir)
            .env("PATH", std::env::var("PATH").unwrap())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let by_path = tasks(&[]);
    assert_eq!(
        by_path["tasks"][1]["command"][0],
        env!("CARGO_BIN_EXE_xtask")
    );
    let by_cargo = [
        ("CARGO_PKG_NAME", "xtask"),
        ("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR")),
    ];
    let beside = tasks(&by_cargo);
    let command = &beside["tasks"][1]["command"];
    let wanted = serde_json::json!(["cargo", "xtask", "-C", dir.to_str().unwrap(), "cluster"]);
    assert_eq!(*command, wanted);
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(beside["tasks"][1]["cwd"], clone.to_str().unwrap());
    write(
        &dir,
        ".cargo/config.toml",
        "[alias]\nxtask = \"run --package xtask --\"\n",
    );
    let embedded = tasks(&by_cargo);
    assert_eq!(
        embedded["tasks"][1]["command"],
        serde_json::json!(["cargo", "xtask", "cluster"])
    );
    assert_eq!(embedded["tasks"][1]["cwd"], dir.to_str().unwrap());
}

/// The pattern that the editors get, and the place that it finds.
fn found(pattern: &Regex, line: &str) -> Option<(String, String)> {
    let found = pattern.captures(line)?;
    Some((found[1].to_owned(), found[2].to_owned()))
}

#[test]
fn the_problem_pattern_finds_what_go_prints() {
    let checkout = Checkout::fresh();
    checkout.run_well(&["editor", "vscode"]);
    let tasks = parsed(&checkout.read(TASKS));
    let pattern = &tasks["tasks"][0]["problemMatcher"][0]["pattern"];
    let pattern = Regex::new(pattern["regexp"].as_str().unwrap()).unwrap();

    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("go.mod", "module example.com/m\n\ngo 1.21\n"),
        (
            "internal/bad/bad.go",
            "package bad\n\nfunc F() int { return undefined }\n",
        ),
        (
            "internal/vet/vet.go",
            "package vet\n\nimport \"fmt\"\n\nfunc F() { fmt.Printf(\"%d\", \"x\") }\n",
        ),
        (
            "internal/t/a_test.go",
            "package t\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Error(\"wrong\") }\n",
        ),
    ] {
        write(dir.path(), name, text);
    }
    let go = |words: &[&str]| -> Vec<String> {
        let output = Command::new("go")
            .args(words)
            .current_dir(dir.path())
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .output()
            .unwrap();
        assert!(!output.status.success(), "go {words:?} is to fail");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    };
    for (words, file, line) in [
        (&["build", "./internal/bad"][..], "internal/bad/bad.go", "3"),
        (&["vet", "./internal/bad"], "internal/bad/bad.go", "3"),
        (&["vet", "./internal/vet"], "internal/vet/vet.go", "5"),
        (&["test", "./internal/bad"], "internal/bad/bad.go", "3"),
        // go prints the name alone; `test unit` prints the path.
        (&["test", "./internal/t"], "a_test.go", "5"),
    ] {
        let lines = go(words);
        let place = (file.to_owned(), line.to_owned());
        let places: Vec<_> = lines
            .iter()
            .filter_map(|line| found(&pattern, line))
            .collect();
        assert_eq!(
            places,
            std::slice::from_ref(&place),
            "go {words:?}: {lines:?}"
        );
        // As buildx prints the lines of a step, with and without Talos' folder.
        let line = lines
            .iter()
            .find(|line| found(&pattern, line).is_some())
            .unwrap();
        let steps = [
            format!("#25 12.34 {line}"),
            format!("#7 0.5 /src/{}", line.trim_start()),
        ];
        for step in &steps[..if line.starts_with("vet: ") { 1 } else { 2 }] {
            assert_eq!(found(&pattern, step), Some(place.clone()), "{step}");
        }
    }
    for other in [
        "ok  \texample.com/m\t0.01s",
        "#25 12.34 go: downloading example.com/x v1.0.0",
        "\t/usr/local/go/src/testing/testing.go:1934 +0xea",
        "--- FAIL: TestA (0.00s)",
    ] {
        assert_eq!(found(&pattern, other), None, "{other}");
    }
}
