//! `test shards`: unit tests on many machines, through engines that users
//! already have. Each shard is the same command with `--shard I/N`; this
//! program schedules nothing.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use gotest::{Kind, Test, Weight, split};
use serde_json::{Value, json};

use super::TestCommand;
use super::args::{Selection, Shard};
use super::discovered;
use crate::app::{App, Global};
use clap::{Args, ValueEnum};
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::{Action, Plan, Step};
use foundation::typed;
use foundation::ui;

#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::doc_markdown, reason = "doc comments are the help")]
pub struct ShardsArgs {
    #[command(flatten)]
    pub chosen: Selection,
    /// Number of shards
    #[arg(long, value_name = "N")]
    pub n: usize,
    /// Format of the output
    #[arg(
        long = "for",
        value_enum,
        value_name = "ENGINE",
        default_value = "github"
    )]
    pub engine: Engine,
    /// Write the timings recorded on this host to the file of --times
    #[arg(long, requires = "times")]
    pub by_time: bool,
    /// Folder for the reports of the shards, for `test report --merge`
    #[arg(long, value_name = "DIR", default_value = "legs")]
    pub reports: Utf8PathBuf,
    /// Container image for the Job
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// PersistentVolumeClaim for the reports, in a folder named after the Job
    #[arg(long, value_name = "CLAIM")]
    pub claim: Option<String>,
    /// Options of `test unit` for each shard
    #[arg(last = true, value_name = "OPTIONS")]
    pub options: Vec<String>,
}

/// The engine that runs the shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Matrix for fromJSON in GitHub Actions
    #[default]
    Github,
    /// Indexed Job
    Kubernetes,
    /// Packages of each shard
    List,
}

pub(super) fn run(app: &App<'_>, args: &ShardsArgs) -> Result<u8> {
    if args.n == 0 {
        return Err(Failure::usage("0 machines run nothing").hint(typed!("test shards --n 4")));
    }
    check(args)?;
    let tests = discovered::tests(app, &args.chosen)?;
    if let (true, Some(file)) = (args.by_time, &args.chosen.times) {
        let times = times_of(app, &tests);
        if times.is_empty() {
            return Err(Failure::host("no test has run yet on this machine")
                .hint(format!("{}; or leave `--by-time` out", typed!("test unit"))));
        }
        let contents = format!("{:#}\n", ui::with_schema(json!({"seconds": times})));
        let mut plan = Plan::new("Times that all legs split by");
        plan.push(Step::new(
            "every leg has to split by the same times",
            Action::WriteFile {
                path: app.ctx.cwd.join(file),
                contents,
                mode: 0o644,
            },
        ));
        app.carry_out(&plan)?;
    }
    match args.engine {
        Engine::Github => ui::print_json(&github(args)),
        Engine::Kubernetes => ui::print_json(&kubernetes(args)?),
        Engine::List => {
            let split = split_of(app, &tests, args.n, args.chosen.times.as_deref())?;
            let legs: Vec<Value> = split
                .into_iter()
                .enumerate()
                .map(|(leg, packages)| json!({"shard": format!("{}/{}", leg + 1, args.n), "packages": packages}))
                .collect();
            ui::print_report(json!({"shards": legs}));
        }
    }
    Ok(0)
}

/// Returns the tests of one machine's packages.
///
/// # Errors
/// A file of times that cannot be read.
pub(super) fn of_shard(
    app: &App<'_>,
    tests: Vec<Test>,
    shard: Shard,
    times: Option<&Utf8Path>,
) -> Result<Vec<Test>> {
    let mut legs = split_of(app, &tests, shard.of, times)?;
    let mine = legs.swap_remove(shard.number - 1);
    let is_mine = |test: &Test| mine.binary_search(&test.package).is_ok();
    Ok(tests.into_iter().filter(is_mine).collect())
}

/// The packages of each machine, sorted by name.
///
/// # Errors
/// A file of times that cannot be read.
pub(super) fn split_of(
    app: &App<'_>,
    tests: &[Test],
    machines: usize,
    times: Option<&Utf8Path>,
) -> Result<Vec<Vec<String>>> {
    let weights = weights(tests, &times_in(app, times)?);
    Ok(split(&weights, machines))
}

/// Weighs packages by time where it is known, otherwise by a tenth of a second
/// per test.
fn weights(tests: &[Test], times: &BTreeMap<String, f64>) -> Vec<Weight> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for test in tests {
        let counted = matches!(
            test.kind,
            Kind::Test | Kind::Method | Kind::Fuzz | Kind::Example
        );
        *counts.entry(&test.package).or_default() += u32::from(counted);
    }
    let weight = |(package, count): (&str, u32)| Weight {
        package: package.to_owned(),
        weight: times
            .get(package)
            .copied()
            .unwrap_or(f64::from(count) * 0.1),
    };
    counts.into_iter().map(weight).collect()
}

fn times_of(app: &App<'_>, tests: &[Test]) -> BTreeMap<String, f64> {
    let history = super::history(app);
    let mut times = BTreeMap::new();
    for test in tests {
        if let Some(past) = history.of(&test.package, "") {
            times.insert(test.package.clone(), past.seconds);
        }
    }
    times
}

fn times_in(app: &App<'_>, file: Option<&Utf8Path>) -> Result<BTreeMap<String, f64>> {
    let Some(file) = file else {
        return Ok(BTreeMap::new());
    };
    let bad = |error: String| {
        Failure::usage(format!("cannot read the times in `{file}`"))
            .cause(error)
            .hint(typed!("test shards --by-time --times {} --n 4", file))
    };
    let text = files::read_text(&app.ctx.cwd.join(file), files::LARGE)
        .map_err(|error| bad(error.to_string()))?
        .ok_or_else(|| bad("there is no such file".to_owned()))?;
    let mut value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    serde_json::from_value(value["seconds"].take()).map_err(|error| bad(error.to_string()))
}

/// The command of a shard as its machine reads it.
#[derive(Debug, Parser)]
struct Leg {
    #[command(flatten)]
    _global: Global,
    #[command(subcommand)]
    command: TestCommand,
}

/// Returns the command of a shard for a shell.
///
/// # Arguments `shard`, `report`: unquoted, as they appear in the line.
///
/// # Arguments
/// `shard`, `report`: as they stand in the line.
fn leg(args: &ShardsArgs, shard: &str, report: &str) -> String {
    // The command runs on another machine, so the way this program was started
    // does not count.
    let mut words = vec!["cargo xtask test unit".to_owned()];
    words.extend(args.chosen.packages.iter().map(|it| quoted(it)));
    if !args.chosen.tags.is_empty() {
        words.push(format!("--tags {}", quoted(&args.chosen.tags.join(","))));
    }
    if let Some(times) = &args.chosen.times {
        words.push(format!("--times {}", quoted(times.as_str())));
    }
    words.push(format!("--shard {shard} --report {report}"));
    words.extend(args.options.iter().map(|it| quoted(it)));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

/// Refuses options that a shard would refuse, before machines are started.
fn check(args: &ShardsArgs) -> Result<()> {
    let refused = || Failure::usage("the legs would be refused").hint(typed!("test unit --help"));
    if args.chosen.shard.is_some() {
        return Err(Failure::usage("`test shards` makes all shards").hint("leave `--shard` out"));
    }
    let line = leg(args, "1/1", "report.json");
    let words = shlex::split(&line).ok_or_else(refused)?;
    // From `test` on, which clap takes for the program's name.
    let words = words.into_iter().skip(2).map(Into::into);
    let leg = Leg::try_parse_from(super::arguments(words)).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        refused().cause(first.trim_start_matches("error: "))
    })?;
    match &leg.command {
        TestCommand::Unit(unit) => super::unit::check(unit),
        _ => Err(refused()),
    }
}

/// For `strategy.matrix: ${{ fromJSON(…) }}`.
fn github(args: &ShardsArgs) -> Value {
    let legs: Vec<Value> = (1..=args.n)
        .map(|number| {
            let shard = format!("{number}/{}", args.n);
            // The name must also be valid for actions/upload-artifact.
            let report = format!("{}/{number}.json", args.reports);
            let run = leg(args, &shard, &quoted(&report));
            json!({"shard": shard, "run": run, "report": report})
        })
        .collect();
    json!({ "include": legs })
}

/// The folder in each pod where the claim is mounted.
const MOUNTED: &str = "/reports";

/// Returns an Indexed Job, as JSON for `kubectl create -f -`.
fn kubernetes(args: &ShardsArgs) -> Result<Value> {
    let missing = |what: &str, hint: &str| Failure::usage(what).hint(hint);
    let image = args.image.as_ref().ok_or_else(|| {
        missing(
            "a Job runs in an image",
            "--image: one that has the checkout as its working folder, Rust and Go",
        )
    })?;
    let claim = args.claim.as_ref().ok_or_else(|| {
        missing(
            "what is in a pod is gone with it, its report too",
            "--claim: a PersistentVolumeClaim that all pods may write to",
        )
    })?;
    let shard = format!(r#""$LEG/{}""#, args.n);
    let command = format!(
        "LEG=$((JOB_COMPLETION_INDEX + 1)); {}",
        leg(args, &shard, &format!(r#""{MOUNTED}/$LEG.json""#))
    );
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "talos-unit-tests-"},
        "spec": {
            "completionMode": "Indexed",
            "completions": args.n,
            "parallelism": args.n,
            "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "tests",
                    "image": image,
                    "command": ["sh", "-c", command],
                    "env": [{
                        "name": "JOB",
                        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['job-name']"}},
                    }],
                    "volumeMounts": [{
                        "name": "reports", "mountPath": MOUNTED, "subPathExpr": "$(JOB)",
                    }],
                }],
                "volumes": [{
                    "name": "reports", "persistentVolumeClaim": {"claimName": claim},
                }],
            }},
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ShardsArgs {
        ShardsArgs {
            n: 3,
            image: Some("example.org/talos:1".to_owned()),
            claim: Some("reports".to_owned()),
            reports: "legs".into(),
            ..ShardsArgs::default()
        }
    }

    #[test]
    fn every_leg_is_the_same_command_with_its_number() {
        let matrix = github(&args());
        let legs = matrix["include"].as_array().unwrap();
        assert_eq!(legs.len(), 3);
        assert_eq!(
            legs[1]["run"],
            "cargo xtask test unit --shard 2/3 --report legs/2.json"
        );
        let job = kubernetes(&args()).unwrap();
        assert_eq!(job["spec"]["completions"], 3);
        assert_eq!(
            job["spec"]["template"]["spec"]["containers"][0]["command"][2],
            "LEG=$((JOB_COMPLETION_INDEX + 1)); \
             cargo xtask test unit --shard \"$LEG/3\" --report \"/reports/$LEG.json\""
        );
    }
}
