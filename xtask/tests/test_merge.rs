//! `test unit --shard` on a small workspace of ours, and `test report --merge`:
//! the legs together are the whole run, and what is not whole is refused.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start their own processes"
)]

mod common;

use std::process::Command;

use camino::Utf8PathBuf;
use common::go::{Workspace, has};
use common::{Said, git, run};
use serde_json::Value;
use xshell::Shell;

const PACKAGES: [&str; 4] = ["./ok", "./bad", "./dies", "./sub/..."];

struct Legs {
    workspace: Workspace,
    git: Shell,
}

impl Legs {
    /// A commit of the workspace; None where there is no Go.
    fn new(test: &str) -> Option<Self> {
        if !has(test, &["git"]) {
            return None;
        }
        let workspace = Workspace::new(test)?;
        let git = git::repository(&workspace.dir);
        Some(Self { workspace, git })
    }

    fn xtask(&self, words: &[&str]) -> Said {
        run(self.workspace.xtask(words).env("DIES", "panic"))
    }

    /// Runs `test unit` with its report in `folder`.
    fn unit(&self, folder: &str, words: &[&str]) -> Said {
        let folder = self.workspace.home.path(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let report = folder.join("report.json");
        let words = [&["test", "unit", "--report", report.as_str()], words].concat();
        self.xtask(&words)
    }

    fn leg(&self, folder: &str, shard: &str, packages: &[&str]) -> Said {
        self.unit(folder, &[packages, &["--shard", shard]].concat())
    }

    fn merge(&self, folders: &[&str], words: &[&str]) -> Said {
        let paths: Vec<Utf8PathBuf> = folders
            .iter()
            .map(|it| self.workspace.home.path(it))
            .collect();
        let paths: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
        self.xtask(&[&["test", "report"], words, &["--merge"], &paths].concat())
    }

    fn report(&self, folder: &str) -> Value {
        let path = self.workspace.home.path(folder).join("report.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Writes another report into `folder`, changed from the one in `from`.
    fn changed(&self, from: &str, folder: &str, change: impl FnOnce(&mut Value)) {
        let mut report = self.report(from);
        change(&mut report);
        let folder = self.workspace.home.path(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("report.json"), report.to_string()).unwrap();
    }
}

/// Package, test, state; with the verdicts of packages.
fn results(report: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for package in report["packages"].as_array().unwrap() {
        out.push(format!("{} {}", package["package"], package["verdict"]));
        for test in package["tests"].as_array().unwrap() {
            out.push(format!(
                "{} {} {}",
                package["package"], test["name"], test["state"]
            ));
        }
    }
    out.sort();
    out
}

fn refused(said: &Said, why: &str) {
    assert_eq!(said.code, Some(3), "{why}: {}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains(why), "{why}: {}", said.stderr);
    assert_eq!(said.stdout, "", "{why}");
}

#[test]
fn legs_are_merged_when_they_are_whole() {
    let Some(legs) = Legs::new("legs_are_merged_when_they_are_whole") else {
        return;
    };
    legs.unit("all", &PACKAGES);
    legs.leg("1", "1/2", &PACKAGES);
    legs.leg("2", "2/2", &PACKAGES);
    for leg in ["1", "2"] {
        assert_ne!(results(&legs.report(leg)), Vec::<String>::new());
    }
    let junit = legs.workspace.home.path("junit.xml");
    let said = legs.merge(&["1", "2"], &["--json", "--junit", junit.as_str()]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let merged: Value = serde_json::from_str(&said.stdout).unwrap();
    let all = legs.report("all");
    assert_eq!(results(&merged), results(&all));
    assert_eq!(merged["counts"], all["counts"]);
    assert_eq!(merged["not_run"], all["not_run"]);
    let junit = std::fs::read_to_string(junit).unwrap();
    let failed = format!(r#"failures="{}""#, all["counts"]["failed"]);
    assert!(
        junit.lines().nth(1).unwrap().contains(&failed),
        "{failed}: {junit}"
    );
    assert!(junit.contains("it is not fine"), "{junit}");
    let said = legs.merge(&["2", "1"], &[]);
    assert!(
        said.stdout.contains("bad TestFails\n") && said.stdout.contains(" of 2 legs: "),
        "{}",
        said.stdout
    );

    refused(&legs.merge(&["1"], &[]), "leg 2/2 is missing");
    refused(&legs.merge(&["2"], &[]), "leg 1/2 is missing");
    let twice = legs.merge(&["1", "2", "1"], &[]);
    refused(&twice, "leg 1/2 is there 2 times");
    refused(&legs.merge(&["1", "all"], &[]), "which leg of `--shard`");
    std::fs::create_dir(legs.workspace.home.path("cut")).unwrap();
    std::fs::write(
        legs.workspace.home.path("cut/report.json"),
        "{\"packages\": [",
    )
    .unwrap();
    refused(
        &legs.merge(&["1", "2", "cut"], &[]),
        "is not a complete report",
    );
    assert_eq!(legs.merge(&["nowhere"], &[]).code, Some(2));

    // A test that a leg lost, and one that it has run for another.
    legs.changed("1", "lost", |report| {
        report["not_run"] = Value::Array(Vec::new());
        for package in report["packages"].as_array_mut().unwrap() {
            package["tests"] = Value::Array(Vec::new());
        }
    });
    refused(&legs.merge(&["lost", "2"], &[]), "is missing in leg 1/2");
    let strange = legs.report("2")["packages"][0].clone();
    legs.changed("1", "double", |report| {
        report["packages"].as_array_mut().unwrap().push(strange);
    });
    refused(&legs.merge(&["double", "2"], &[]), "is not of leg 1/2");
    refused(&legs.merge(&["double", "2"], &[]), "is in legs 1/2 and 2/2");

    // Of another commit.
    git::commit(&legs.git);
    legs.leg("later", "2/2", &PACKAGES);
    let said = legs.merge(&["1", "later"], &[]);
    refused(&said, "legs 1/2 and 2/2 are not of one run");
    assert!(said.stderr.contains("commits "), "{}", said.stderr);
}

#[test]
fn what_passed_in_all_legs_has_passed() {
    let Some(legs) = Legs::new("what_passed_in_all_legs_has_passed") else {
        return;
    };
    let packages = ["./ok", "./sub/..."];
    assert_eq!(legs.leg("1", "1/2", &packages).code, Some(0));
    assert_eq!(legs.leg("2", "2/2", &packages).code, Some(0));
    let said = legs.merge(&["1", "2"], &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    // Other options are another run.
    legs.leg("other", "2/2", &["./ok", "./sub/...", "--timeout", "9m"]);
    let said = legs.merge(&["1", "other"], &[]);
    refused(&said, "other options of `test unit`");
}

/// What is printed for machines is run as they would run it.
#[test]
fn printed_legs_are_whole_commands() {
    let Some(legs) = Legs::new("printed_legs_are_whole_commands") else {
        return;
    };
    let printed = |words: &[&str]| -> Value {
        let shards = ["test", "shards", "--n", "2", "./ok", "./sub/..."];
        let options = ["--", "--timeout", "9m", "--", "-short"];
        let said = legs.xtask(&[&shards, words, &options].concat());
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        serde_json::from_str(&said.stdout).unwrap()
    };
    let run_line = |line: &str, index: &str| {
        let xtask = legs.workspace.xtask(&[]);
        let line = line.replace("cargo xtask ", "\"$XTASK\" ");
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(&legs.workspace.dir);
        for (name, value) in xtask.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.env("XTASK", xtask.get_program());
        let said = run(shell.env("JOB_COMPLETION_INDEX", index));
        assert_eq!(said.code, Some(0), "{line}: {}{}", said.stdout, said.stderr);
    };
    let reports = legs.workspace.home.path("of a matrix");
    let matrix = printed(&["--reports", reports.as_str()]);
    for leg in matrix["include"].as_array().unwrap() {
        run_line(leg["run"].as_str().unwrap(), "");
        let report = leg["report"].as_str().unwrap();
        assert!(std::fs::exists(report).unwrap(), "{report}");
    }
    let said = legs.merge(&["of a matrix"], &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);

    let job = printed(&[
        "--for",
        "kubernetes",
        "--image",
        "image",
        "--claim",
        "claim",
    ]);
    let pod = &job["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mounted = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let line = container["command"][2].as_str().unwrap();
    let reports = legs.workspace.home.path("of-a-job");
    let line = line.replace(mounted, reports.as_str());
    assert_eq!(job["spec"]["completions"], 2);
    for index in ["0", "1"] {
        run_line(&line, index);
    }
    let said = legs.merge(&["of-a-job"], &[]);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    std::fs::remove_file(reports.join("2.json")).unwrap();
    refused(&legs.merge(&["of-a-job"], &[]), "leg 2/2 is missing");
}
