//! What `go tool pprof` says about the profiles of `testdata/pprof`, byte for
//! byte: see the README there.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::path::{Path, PathBuf};

use pprof::report::{self, TimeStyle};
use pprof::{Base, Difference, Granularity, Profile, Query, Source};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/pprof")
}

fn load(name: &str) -> Profile {
    let mut bytes = std::fs::read(corpus().join(name)).unwrap();
    if name.starts_with("text/") {
        // Names stand in comments, which pprof does not read.
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        bytes = lines
            .flat_map(|line| [line, "\n"])
            .collect::<String>()
            .into();
    }
    pprof::decode(bytes).unwrap()
}

/// UTC by hand: the answers were recorded so.
fn time(nanos: i64, style: TimeStyle) -> String {
    let (seconds, nanos) = (
        nanos.div_euclid(1_000_000_000),
        nanos.rem_euclid(1_000_000_000),
    );
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil from days: Howard Hinnant, chrono-compatible low-level date algorithms.
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (
        doy - (153 * mp + 2) / 5 + 1,
        if mp < 10 { mp + 3 } else { mp - 9 },
    );
    let year = yoe + era * 400 + i64::from(month <= 2);
    let date = format!("{year:04}-{month:02}-{day:02}");
    let clock = format!(
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    match style {
        TimeStyle::Short => format!("{date} {clock} UTC"),
        TimeStyle::Full => {
            let fraction = format!("{nanos:09}");
            let fraction = fraction.trim_end_matches('0');
            let dot = if fraction.is_empty() { "" } else { "." };
            format!("{date} {clock}{dot}{fraction} +0000 UTC")
        }
    }
}

/// Where the answers were recorded.
fn source(file: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(corpus().join(file));
    let text = text.map_err(|error| error.to_string())?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[derive(Default)]
struct Question {
    form: String,
    query: Query,
    files: Vec<String>,
    base: Option<(String, Base)>,
    normalize: bool,
}

fn parse(line: &str) -> Question {
    let mut question = Question::default();
    for word in line.split(' ') {
        let Some(flag) = word.strip_prefix('-') else {
            question.files.push(word.to_owned());
            continue;
        };
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let text = || Some(value.to_owned());
        let query = &mut question.query;
        match name {
            "cum" => query.cum = true,
            "nodecount" => query.nodecount = value.parse().unwrap(),
            "lines" => query.granularity = Granularity::Lines,
            "filefunctions" => query.granularity = Granularity::FileFunctions,
            "addresses" => query.granularity = Granularity::Addresses,
            "noinlines" => query.noinlines = true,
            "showcolumns" => query.showcolumns = true,
            "sample_index" => query.sample_index = text(),
            "mean" => query.mean = true,
            "focus" => query.focus = text(),
            "ignore" => query.ignore = text(),
            "hide" => query.hide = text(),
            "show" => query.show = text(),
            "show_from" => query.show_from = text(),
            "prune_from" => query.prune_from = text(),
            "tagfocus" => query.tagfocus = text(),
            "tagignore" => query.tagignore = text(),
            "tagroot" => query.tagroot = text(),
            "tagleaf" => query.tagleaf = text(),
            "nodefraction" => query.nodefraction = value.parse().unwrap(),
            "edgefraction" => query.edgefraction = value.parse().unwrap(),
            "unit" => value.clone_into(&mut query.unit),
            "divide_by" => query.divide_by = value.parse().unwrap(),
            "relative_percentages" => query.relative_percentages = true,
            "drop_negative" => query.drop_negative = true,
            "base" => question.base = Some((value.to_owned(), Base::Subtract)),
            "diff_base" => question.base = Some((value.to_owned(), Base::Compare)),
            "normalize" => question.normalize = true,
            _ => word.clone_into(&mut question.form),
        }
    }
    question
}

fn answer(question: &Question) -> String {
    let mut sources = question.files.iter().map(|file| Source::new(load(file)));
    let mut profile = if question.files.len() == 1 {
        sources.next().unwrap().profile
    } else {
        pprof::merge(sources.collect()).unwrap()
    };
    if let Some((base, how)) = &question.base {
        profile = pprof::diff(profile, load(base), *how, question.normalize).unwrap();
    }
    let query = &question.query;
    let (form, expression) = question
        .form
        .split_once('=')
        .unwrap_or((&question.form, ""));
    let text = match form {
        "-top" => report::top_text(&profile, query, &time),
        "-tree" => report::tree(&profile, query, &time),
        "-peek" => report::peek(&profile, query, expression, &time),
        "-traces" => report::traces(&profile, query, &time),
        "-raw" => report::raw(&profile, query, &time),
        "-tags" => report::tags(&profile, query),
        "-dot" => report::dot(&profile, query, &time),
        "-callgrind" => report::callgrind(&profile, query),
        "-list" => report::list_text(&profile, query, expression, &source),
        other => panic!("no such form: {other}"),
    };
    // Where pprof prints nothing but an error, so do we.
    text.map(|text| text.text).unwrap_or_default()
}

/// The top of a difference that is not merged, if it can be told so.
fn unmerged(question: &Question) -> Option<String> {
    let ([file], Some((base, how)), "-top") =
        (&question.files[..], &question.base, &*question.form)
    else {
        return None;
    };
    let difference = Difference {
        profile: load(file),
        base: load(base),
        how: *how,
        normalize: question.normalize,
    };
    let told = report::difference_text(&difference, &question.query, &time).unwrap();
    told.map(|text| text.text)
}

#[test]
fn every_answer_is_that_of_go_tool_pprof() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus().join("golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 150, "only {} answers recorded", files.len());
    let (mut different, mut unmerged_too) = (Vec::new(), 0);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let (line, want) = text.split_once('\n').unwrap();
        let got = answer(&parse(line));
        if let Some(text) = unmerged(&parse(line)) {
            unmerged_too += 1;
            assert_eq!(text, got, "{line}");
        }
        if got != want {
            let place = want
                .lines()
                .zip(got.lines())
                .find(|(want, got)| want != got);
            different.push(format!("{}: {line}\n  {place:?}", file.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(unmerged_too > 0, "every difference was merged");
}

/// What we write is what we read: the same questions, the same answers.
#[test]
fn written_profiles_answer_the_same() {
    for name in ["cpu", "heap", "goroutine", "mutex"] {
        let profile = load(&format!("{name}.pb.gz"));
        let again = pprof::decode(pprof::compress(&profile).unwrap()).unwrap();
        let raw = |profile| report::raw(profile, &Query::default(), &time).unwrap().text;
        assert_eq!(raw(&profile), raw(&again), "{name}");
    }
}

/// Labels given at a merge tell the sources apart again.
#[test]
fn a_merge_keeps_its_sources_apart_by_label() {
    let one = Source::new(load("heap.pb.gz")).label("node", "one");
    let two = Source::new(load("heap-before.pb.gz")).label("node", "two");
    let merged = pprof::merge(vec![one, two]).unwrap();
    let total = |profile: &Profile, tag: Option<&str>| {
        let query = Query {
            tagfocus: tag.map(str::to_owned),
            relative_percentages: true,
            ..Query::default()
        };
        report::top(profile, &query).unwrap().total
    };
    assert_eq!(
        total(&merged, Some("node=one")),
        total(&load("heap.pb.gz"), None)
    );
    assert_eq!(
        total(&merged, Some("node=two")),
        total(&load("heap-before.pb.gz"), None)
    );
}
