//! A small runner for plans, and GNU make beside it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests run both makes for real"
)]

pub mod cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use makefile::{
    Ask, Decisions, Failures, Invocation, Item, Makefile, Moment, Planned, Reply, World,
};

/// What came out: standard output and whether it succeeded.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub stdout: String,
    pub success: bool,
    /// Whether the Makefile could not be evaluated; the text is the error then.
    pub refused: bool,
}

/// Asks for real; in recipes nothing is known before its turn.
pub struct Real<'a> {
    pub dir: &'a Path,
    /// Answer recipes at once too.
    pub eager: bool,
}

impl World for Real<'_> {
    fn shell(&self, ask: &Ask<'_>) -> Reply {
        if ask.moment == Moment::Report || (ask.moment != Moment::Reading && !self.eager) {
            return Reply::EachTime;
        }
        let output = Command::new(&ask.shell[0])
            .args(&ask.shell[1..])
            .arg(ask.command)
            .current_dir(self.dir)
            .env_clear()
            .envs(ask.environment)
            .output()
            .unwrap();
        Reply::Text(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.dir.join(path).exists()
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.dir.join(path)).ok()
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        let script = format!("for f in {pattern}; do [ -e \"$f\" ] && echo \"$f\"; done; true");
        let output = Command::new("/bin/sh")
            .args(["-c", &script])
            .env("LC_ALL", "C")
            .current_dir(self.dir)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}

/// The environment both makes start with.
pub fn environment(dir: &Path, extra: &[(String, String)]) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = ["PATH", "HOME"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect();
    environment.insert("PWD".into(), dir.to_str().unwrap().into());
    environment.insert("LC_ALL".into(), "C".into());
    environment.extend(extra.iter().cloned());
    environment
}

pub fn gnu_make(
    dir: &Path,
    environment: &BTreeMap<String, String>,
    arguments: &[String],
) -> Outcome {
    let output = Command::new("make")
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .envs(environment)
        .output()
        .expect("GNU make is needed: apt-get install make");
    // Messages of make itself are not part of the work.
    let talk = |line: &&str| !line.starts_with("make[") && !line.starts_with("make:");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().filter(talk).collect();
    Outcome {
        stdout: lines.join("\n"),
        success: output.status.success(),
        refused: false,
    }
}

pub fn ours(
    dir: &Path,
    environment: &BTreeMap<String, String>,
    arguments: &[String],
    eager: bool,
) -> Outcome {
    let text = std::fs::read(dir.join("Makefile")).unwrap();
    let invocation = Invocation {
        directory: dir.to_str().unwrap().into(),
        environment: environment.clone(),
        arguments: arguments.to_vec(),
        make_command: "make".into(),
    };
    let world = Real { dir, eager };
    let planned = Makefile::parse_bytes("Makefile", &text)
        .and_then(|makefile| makefile::plan(&makefile, &invocation, &world));
    match planned {
        Ok(planned) => carry_out(dir, environment, &planned),
        Err(error) => Outcome {
            stdout: format!("{error}"),
            success: false,
            refused: true,
        },
    }
}

fn carry_out(dir: &Path, base: &BTreeMap<String, String>, planned: &Planned) -> Outcome {
    let changed = |path: &str| Some(std::fs::metadata(dir.join(path)).ok()?.modified().unwrap());
    let mut decisions = Decisions::default();
    let mut values: BTreeMap<usize, String> = BTreeMap::new();
    let mut stdout = String::new();
    let mut failures = Failures::default();
    let mut success = true;
    for item in &planned.items {
        let (Item::Line(makefile::Line { condition, job, .. })
        | Item::Capture { condition, job, .. }
        | Item::Require { condition, job, .. }) = item;
        if failures.reach(&planned.jobs, *job) {
            continue;
        }
        if condition
            .is_some_and(|condition| !decisions.runs(&planned.conditions, condition, &changed))
        {
            continue;
        }
        let fill = |text: &str| makefile::fill(text, |slot| values[&slot].clone());
        let run = |shell: &[String], text: &str, environment: &[(String, String)]| {
            Command::new(&shell[0])
                .args(&shell[1..])
                .arg(fill(text))
                .current_dir(dir)
                .env_clear()
                .envs(base)
                .envs(environment.iter().map(|(name, value)| (name, fill(value))))
                .output()
                .unwrap()
        };
        match item {
            Item::Capture { slot, .. } => {
                let capture = &planned.captures[*slot];
                let output = run(&capture.shell, &capture.command, &capture.environment);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let text = text.trim_end_matches('\n').replace('\n', " ");
                values.insert(*slot, text);
                continue;
            }
            Item::Line(line) => {
                if !line.silent {
                    writeln!(stdout, "{}", fill(&line.text)).unwrap();
                }
                let output = run(&line.shell, &line.text, &line.environment);
                stdout.push_str(&String::from_utf8_lossy(&output.stdout));
                if output.status.success() || line.ignores_failure {
                    continue;
                }
            }
            Item::Require { path, .. } => {
                if changed(path).is_some() {
                    continue;
                }
            }
        }
        success = false;
        match job {
            Some(job) => failures.add(*job),
            None => break,
        }
    }
    end(&stdout, success)
}

fn end(stdout: &str, success: bool) -> Outcome {
    let talk = |line: &&str| !line.starts_with("make[") && !line.starts_with("make:");
    let lines: Vec<&str> = stdout.lines().filter(talk).collect();
    Outcome {
        stdout: lines.join("\n"),
        success,
        refused: false,
    }
}

/// `testdata/make` of the workspace.
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/make")
}

/// A Makefile with what its first comments say.
pub struct Scenario {
    pub name: String,
    pub text: String,
    pub cases: Vec<Vec<String>>,
    pub environment: Vec<(String, String)>,
    pub files: Vec<String>,
}

pub fn scenarios() -> Vec<Scenario> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(testdata())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mk"))
        .collect();
    paths.sort();
    paths.iter().map(|path| scenario(path)).collect()
}

fn scenario(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    let of = |key: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| Some(line.strip_prefix(key)?.to_owned()))
            .collect()
    };
    Scenario {
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
        cases: of("# case: ")
            .iter()
            .map(|case| shlex::split(case).unwrap())
            .collect(),
        environment: of("# env: ")
            .iter()
            .map(|line| {
                line.split_once('=')
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .unwrap()
            })
            .collect(),
        files: of("# file: "),
        text,
    }
}
