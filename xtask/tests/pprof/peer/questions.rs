//! Reports equal those of `go tool pprof`, byte for byte.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::inputs::{Input, inputs};
use super::parallel::each;
use crate::common::go::has;
use crate::common::{Home, Said, run};

const FORMS: [&str; 10] = [
    "-top",
    "-tree",
    "-peek=mid|reconcile|ssa",
    "-traces",
    "-tags",
    "-raw",
    "-comments",
    "-callgrind",
    "-list=main.*(mid|fib|outer)",
    "-dot",
];

/// As `go tool pprof` spells them. `BASE` is the profile to compare with.
const OPTIONS: [&str; 42] = [
    "",
    "-cum",
    "-nodecount=3",
    "-nodecount=12",
    "-lines",
    "-filefunctions",
    "-addresses",
    "-noinlines",
    "-noinlines -addresses",
    "-showcolumns -lines",
    "-mean",
    "-focus=mid|reconcile|ssa",
    "-ignore=runtime|small",
    "-hide=runtime|mid",
    "-show=main|types",
    "-show_from=mid|main|ssa",
    "-prune_from=mid|reconcile|types",
    "-hide=main -focus=mid|reconcile",
    "-focus=nothing.like.it",
    "-nodefraction=0",
    "-nodefraction=0.05",
    "-edgefraction=0.1",
    "-trim=false",
    "-unit=ms",
    "-unit=kB",
    "-unit=auto",
    "-unit=furlongs",
    "-divide_by=3",
    "-relative_percentages -focus=mid|reconcile|ssa",
    "-tagfocus=area=network|Link|area3",
    "-tagfocus=bytes=64b:4kb",
    "-tagignore=net",
    "-tagshow=area|node",
    "-taghide=area|bytes",
    "-tagroot=area,controller,node",
    "-tagleaf=bytes",
    "-drop_negative",
    "-base=BASE",
    "-diff_base=BASE",
    "-diff_base=BASE -normalize",
    "-base=BASE -drop_negative -cum",
    "-diff_base=BASE -lines",
];

struct Question<'a> {
    input: &'a Input,
    words: Vec<String>,
}

impl Question<'_> {
    /// Whether values may differ in their sign alone. Go sorts them by size and takes others for
    /// equal: its answers differ from one run to the next.
    fn has_ties(&self) -> bool {
        let base = self.input.base.as_str();
        self.input.is_below_zero || self.words.iter().any(|word| word.ends_with(base))
    }
}

/// In a run of the usual length, each report of each input is asked for with some of the
/// options, and each option for some of the inputs.
fn questions(inputs: &[Input], all: bool) -> Vec<Question<'_>> {
    let mut questions = Vec::new();
    for (place, input) in inputs.iter().enumerate() {
        for (row, form) in FORMS.iter().enumerate() {
            for (column, option) in OPTIONS.iter().enumerate() {
                for (index, sample_type) in input.types.iter().enumerate() {
                    let turn = place + 3 * row + 5 * column + 7 * index;
                    let every = if *form == "-top" { 11 } else { 31 };
                    if !all && turn % every != 0 {
                        continue;
                    }
                    let mut words = vec![(*form).to_owned()];
                    // The tables have all sample types.
                    if *form != "-raw" && *form != "-comments" {
                        words.push(format!("-sample_index={sample_type}"));
                    }
                    // Numbers of names depend on their order.
                    let is_unordered = input.is_below_zero || option.contains("BASE");
                    if ["-callgrind", "-dot"].contains(form) && is_unordered {
                        continue;
                    }
                    let option = option.replace("BASE", input.base.as_str());
                    words.extend(option.split_whitespace().map(str::to_owned));
                    questions.push(Question { input, words });
                }
            }
        }
    }
    questions
}

fn ours(home: &Home, question: &Question<'_>) -> Said {
    let words = question.words.iter().map(|word| match word.as_str() {
        "-trim=false" => "--no-trim".to_owned(),
        word => format!("-{word}"),
    });
    let mut command = home.xtask(&["pprof", "open"]);
    command
        .args(words)
        .arg(&question.input.file)
        .env("TZ", "UTC");
    run(&mut command)
}

/// What Go installs for `go tool pprof`.
fn built(home: &Home) -> Utf8PathBuf {
    // It is compiled when it is first used.
    run(Command::new("go")
        .args(["tool", "pprof", "-help"])
        .current_dir(&home.root));
    let told = run(Command::new("go")
        .args(["tool", "-n", "pprof"])
        .current_dir(&home.root));
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    Utf8PathBuf::from(told.stdout.trim())
}

fn theirs(home: &Home, pprof: &Utf8Path, question: &Question<'_>) -> Said {
    let mut command = Command::new(pprof);
    // Names of C++ are shortened where they are read, as by default.
    if question.input.name != "made-names" {
        command.arg("-symbolize=none");
    }
    command.args(&question.words).arg(&question.input.file);
    command
        .env("TZ", "UTC")
        .env("PPROF_TMPDIR", &home.root)
        .env("HOME", &home.root);
    run(command.current_dir(&home.root))
}

/// What is not compared. Go invents a mapping for profiles without one, and its words for a
/// missing source are others.
fn compared(form: &str, text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with(" Error: "));
    let lines = lines.filter(|line| *line != "1: 0x0/0x0/0x0   ");
    lines
        .map(|line| match form {
            "-raw" => line.replacen(" M=1 ", " ", 1),
            _ => line.to_owned(),
        })
        .collect()
}

/// Where both differ: the question, and the first lines that are not equal.
fn difference(question: &Question<'_>, ours: &Said, theirs: &Said) -> Option<String> {
    let form = question.words[0].as_str();
    let (is_refused, fails) = (ours.code != Some(0), theirs.code != Some(0));
    let (mut left, mut right) = (compared(form, &ours.stdout), compared(form, &theirs.stdout));
    if question.has_ties() {
        left.sort();
        right.sort();
    }
    if is_refused == fails && (fails || left == right) {
        return None;
    }
    let (mut left, mut right) = (left.iter(), right.iter());
    let lines = loop {
        match (left.next(), right.next()) {
            (Some(left), Some(right)) if left == right => {}
            lines => break lines,
        }
    };
    let (words, name) = (question.words.join(" "), &question.input.name);
    Some(format!(
        "{name} {words}\n  ours   {:?} {:?} {}\n  theirs {:?} {:?} {}",
        ours.code,
        lines.0,
        ours.stderr.lines().next().unwrap_or_default(),
        theirs.code,
        lines.1,
        theirs.stderr.lines().last().unwrap_or_default(),
    ))
}

#[test]
fn every_report_is_that_of_go_tool_pprof() {
    if !has("every_report_is_that_of_go_tool_pprof", &["go"]) {
        return;
    }
    let home = Home::new();
    let pprof = built(&home);
    let inputs = inputs(&home.root);
    assert!(inputs.len() > 35, "only {} inputs", inputs.len());
    let all = std::env::var_os("XTASK_TEST_REAL").is_some();
    let questions = questions(&inputs, all);
    let different = each(&questions, |question| {
        let ours = ours(&home, question);
        // The form would ignore the option.
        if ours.stderr.contains("would ignore it") {
            return None;
        }
        difference(question, &ours, &theirs(&home, &pprof, question))
    });
    let (different, asked) = (different.join("\n"), questions.len());
    assert!(different.is_empty(), "of {asked} answers:\n{different}");
}
