//! `ci`: prints a workflow that runs the same commands as a developer types.

mod builder;
mod github;

use std::fmt::Write;

use camino::Utf8Path;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app::{App, PlanFormat};
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::shell::quote;
use foundation::typed;
use foundation::ui;

#[derive(Debug, Subcommand)]
pub enum CiCommand {
    /// Print a workflow for GitHub Actions: build, lint, and unit tests on many machines
    #[command(
        after_help = "Examples:\n  cargo xtask ci github > .github/workflows/xtask.yaml\n  \
        cargo xtask ci github --dry-run                 jobs and commands on one page\n  \
        cargo xtask ci github --runner self-hosted --runner talos --shards 8\n\n\
        The checkout needs a committed copy of this program: `cargo xtask embed DIR --shared`.\n\
        A remote builder of .cargo/xtask.toml is used; its certificates are secrets of the\n\
        repository: BUILDER_CACERT, BUILDER_CERT and BUILDER_KEY."
    )]
    Github(GithubArgs),
}

#[derive(Debug, Clone, Args)]
pub struct GithubArgs {
    /// Label of the runners; may be repeated [default: `runner` below [ci] of .cargo/xtask.toml, or
    /// ubuntu-latest]
    #[arg(long, value_name = "LABEL")]
    pub runner: Vec<String>,
    /// Number of machines for unit tests
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub shards: u8,
    /// Targets to build
    #[arg(value_name = "TARGET", default_values = ["initramfs", "kernel", "talosctl-linux-amd64"])]
    pub targets: Vec<String>,
}

/// A job: its name, what it waits for, and its steps.
struct Job {
    name: &'static str,
    needs: &'static [&'static str],
    /// Number of machines that run it.
    machines: u8,
    /// Whether it also runs when what it waits for failed.
    always: bool,
    steps: Vec<Step>,
}

enum Step {
    /// An action with its inputs.
    Uses {
        action: &'static str,
        with: Vec<(&'static str, String)>,
        always: bool,
    },
    /// Lines for bash, with variables from secrets.
    Run {
        name: &'static str,
        lines: Vec<String>,
        secrets: Vec<String>,
    },
}

pub(crate) fn run(app: &App<'_>, command: &CiCommand) -> Result<u8> {
    let CiCommand::Github(args) = command;
    let checkout = app.ctx.checkout()?.dir.clone();
    let makefile = checkout.join("Makefile");
    let text = files::text(&makefile, files::MEDIUM)?.unwrap_or_default();
    for target in args.targets.iter().map(String::as_str).chain(["lint"]) {
        let is_target = |line: &str| {
            let names = line.split_once(':').map_or("", |(names, _)| names);
            names
                .split_whitespace()
                .any(|name| match name.split_once('%') {
                    Some((head, tail)) => target.starts_with(head) && target.ends_with(tail),
                    None => name == target,
                })
        };
        if !text.lines().any(is_target) {
            return Err(
                Failure::usage(format!("`{makefile}` has no target `{target}`"))
                    .hint(typed!("build --list")),
            );
        }
    }
    let runner = match (&args.runner[..], &app.ctx.config.ci.runner) {
        ([], Some(labels)) => labels.clone(),
        ([], None) => vec!["ubuntu-latest".to_owned()],
        (labels, _) => labels.to_vec(),
    };
    let jobs = jobs(app, &checkout, args)?;
    match app.global.format {
        Some(PlanFormat::Json) => ui::print_report(to_json(&runner, &jobs)),
        Some(PlanFormat::Sh) => {
            return Err(Failure::usage("a workflow is not a shell script")
                .hint(typed!("ci github --format json")));
        }
        _ if app.is_dry() => ui::print(&page(&runner, &jobs)),
        _ => ui::print(&github::workflow(&runner, &jobs)),
    }
    if !is_committed(&checkout, &COPY) {
        app.ui.note(&format!(
            "the workflow needs a committed copy of this program: {}",
            typed!("embed {} --shared", checkout)
        ));
    }
    Ok(0)
}

/// What a clone needs to run this program.
const COPY: [&str; 3] = [".cargo/config.toml", "xtask/Cargo.toml", "Cargo.lock"];

/// Whether a clone of the checkout has all of `paths`.
fn is_committed(checkout: &Utf8Path, paths: &[&str]) -> bool {
    let argv = ["git", "ls-files", "--error-unmatch", "--"];
    let argv = argv.iter().chain(paths);
    Probe::new(argv).current_dir(checkout).stdout().is_ok()
}

fn jobs(app: &App<'_>, checkout: &Utf8Path, args: &GithubArgs) -> Result<Vec<Job>> {
    let builder = builder::steps(app, checkout)?;
    let targets: Vec<_> = args.targets.iter().map(|it| quote(it)).collect();
    let job = |name, own: Vec<Step>| Job {
        name,
        needs: &[],
        machines: 1,
        always: false,
        steps: prepared(own),
    };
    let built = |name, line: String| {
        let mut steps: Vec<Step> = builder.iter().map(Step::copied).collect();
        steps.push(Step::run(name, [line]));
        steps
    };
    let shard = format!(
        "cargo xtask test unit --shard ${{{{ matrix.shard }}}}/{0} --report legs/${{{{ matrix.shard }}}}.json",
        args.shards
    );
    let report = |action, mut with: Vec<(&'static str, String)>| {
        with.push(("path", "legs".to_owned()));
        Step::Uses {
            action,
            with,
            always: true,
        }
    };
    let name = ("name", "legs-${{ matrix.shard }}".to_owned());
    let mut test = job(
        "test",
        vec![
            Step::run("Test", [shard]),
            report("actions/upload-artifact@v4", vec![name]),
        ],
    );
    test.machines = args.shards;
    let mut merge = job(
        "report",
        vec![
            report(
                "actions/download-artifact@v4",
                vec![
                    ("pattern", "legs-*".to_owned()),
                    ("merge-multiple", "true".to_owned()),
                ],
            ),
            Step::run(
                "Merge the reports",
                ["cargo xtask test report --merge legs".to_owned()],
            ),
        ],
    );
    merge.needs = &["test"];
    merge.always = true;
    Ok(vec![
        job(
            "build",
            built("Build", format!("cargo xtask build {}", targets.join(" "))),
        ),
        job("lint", built("Lint", "cargo xtask build lint".to_owned())),
        test,
        merge,
    ])
}

/// What every job begins with: the sources with tags, which name the version,
/// the compilers, and what cargo built before.
fn prepared(own: Vec<Step>) -> Vec<Step> {
    let uses = |action, with: &[(&'static str, &str)]| Step::Uses {
        action,
        with: with
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        always: false,
    };
    let mut steps = vec![
        uses("actions/checkout@v4", &[("fetch-depth", "0")]),
        uses("actions/setup-go@v5", &[("go-version-file", "go.mod")]),
        uses(
            "actions/cache@v4",
            &[
                ("path", "~/.cargo/registry\nxtask/target/xtask"),
                (
                    "key",
                    "xtask-${{ runner.os }}-${{ hashFiles('Cargo.lock', 'xtask/.embedded.sha256') }}",
                ),
            ],
        ),
        Step::run(
            "Compile xtask",
            [
                "rustup toolchain install stable --profile minimal".to_owned(),
                "cargo xtask --version".to_owned(),
            ],
        ),
    ];
    steps.extend(own);
    steps
}

impl Step {
    fn run(name: &'static str, lines: impl IntoIterator<Item = String>) -> Self {
        Self::Run {
            name,
            lines: lines.into_iter().collect(),
            secrets: Vec::new(),
        }
    }

    fn copied(&self) -> Self {
        match self {
            Self::Uses {
                action,
                with,
                always,
            } => Self::Uses {
                action,
                with: with.clone(),
                always: *always,
            },
            Self::Run {
                name,
                lines,
                secrets,
            } => Self::Run {
                name,
                lines: lines.clone(),
                secrets: secrets.clone(),
            },
        }
    }

    /// The commands of this program in it.
    fn commands(&self) -> impl Iterator<Item = &str> {
        let lines = match self {
            Self::Uses { .. } => &[][..],
            Self::Run { lines, .. } => lines,
        };
        lines
            .iter()
            .map(String::as_str)
            .filter(|line| line.starts_with("cargo xtask "))
    }
}

/// Jobs and commands on one page.
fn page(runner: &[String], jobs: &[Job]) -> String {
    let mut text = format!(
        "a workflow of {} jobs on {}\n",
        jobs.len(),
        runner.join(", ")
    );
    for job in jobs {
        let machines = if job.machines > 1 {
            format!(" on {} machines", job.machines)
        } else {
            String::new()
        };
        let after = if job.needs.is_empty() {
            String::new()
        } else {
            format!(" after {}", job.needs.join(", "))
        };
        let _ = writeln!(text, "  {}{machines}{after}", job.name);
        for command in job.steps.iter().flat_map(Step::commands) {
            let _ = writeln!(text, "      {command}");
        }
    }
    text
}

fn to_json(runner: &[String], jobs: &[Job]) -> Value {
    let jobs: Vec<Value> = jobs
        .iter()
        .map(|job| {
            let commands: Vec<&str> = job.steps.iter().flat_map(Step::commands).collect();
            json!({"name": job.name, "needs": job.needs, "machines": job.machines, "commands": commands})
        })
        .collect();
    json!({"runner": runner, "jobs": jobs})
}
