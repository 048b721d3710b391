//! What the engine sums in different ways agrees with itself, and what it
//! writes is what prost reads.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::collections::BTreeMap;

use pprof::flame::{Flame, Split};
use pprof::proto as message;
use pprof::report::{groups, stacks};
use pprof::{Base, Difference, Profile, Query};
use prost::Message;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/pprof/");

fn profile(name: &str) -> Profile {
    pprof::decode(std::fs::read(format!("{CORPUS}{name}")).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_what_prost_would_write() {
    for file in std::fs::read_dir(CORPUS).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".pb.gz") {
            continue;
        }
        let bytes = pprof::encode(&profile(&name)).unwrap();
        let read = message::Profile::decode(&bytes[..]).unwrap();
        assert!(!read.sample.is_empty(), "{name}");
        assert_eq!(read.encode_to_vec(), bytes, "{name}");
    }
}

#[test]
fn the_group_nearest_to_the_root_counts_once() {
    let profile = profile("cpu.pb.gz");
    let query = Query::default();
    let cum = |name: &str| {
        let query = Query {
            trim: false,
            ..query.clone()
        };
        let top = pprof::report::top(&profile, &query).unwrap();
        top.rows.iter().find(|row| row.name == name).unwrap().cum
    };
    // Recursion: `fib` under `fib` is still one.
    let by = |name: &str, _: &str| (name == "main.fib").then(|| "fib".to_owned());
    let found = groups(&profile, &query, &by).unwrap();
    assert_eq!(found.groups, [("fib".to_owned(), cum("main.fib"))]);
    // `Run` calls `reconcile`: all of it belongs to the caller.
    let by = |name: &str, _: &str| {
        let method = name.strip_prefix("main.(*controller).")?;
        Some(method.to_owned())
    };
    let found = groups(&profile, &query, &by).unwrap();
    let run = found.groups.iter().find(|(name, _)| name == "Run");
    assert_eq!(run.unwrap().1, cum("main.(*controller).Run"));
    assert!(
        found
            .groups
            .iter()
            .all(|(name, sum)| name == "Run" || *sum == 0)
    );
}

#[test]
fn stacks_hold_the_whole() {
    let profile = profile("heap.pb.gz");
    let query = Query::default();
    let found = stacks(&profile, &query).unwrap();
    let top = pprof::report::top(&profile, &query).unwrap();
    assert_eq!(found.total, top.total);
    let leaf = |name: &str| -> i64 {
        let of = found.stacks.iter();
        of.filter(|stack| found.names[stack.frames[0] as usize] == name)
            .map(|stack| stack.value)
            .sum()
    };
    assert_eq!(leaf(&top.rows[0].name), top.rows[0].flat);
}

#[test]
fn the_root_is_the_total_and_callees_fit_into_callers() {
    let profile = profile("cpu.pb.gz");
    let query = Query::default();
    let flame = Flame::new(&[("one", &profile)], &query, Split::Label("node"), 0.0).unwrap();
    let top = pprof::report::top(&profile, &query).unwrap();
    assert_eq!(flame.calls[0].totals, [top.total]);
    assert_eq!(flame.sides, ["one"]);
    assert_eq!(flame.elided, 0);
    for (place, call) in flame.calls.iter().enumerate() {
        let below = flame.calls[place + 1..].iter();
        let callees = below.take_while(|other| other.level > call.level);
        let sum: i64 = callees
            .filter(|other| other.level == call.level + 1)
            .map(|other| other.totals[0])
            .sum();
        assert!(sum <= call.totals[0], "{}", flame.names[call.name as usize]);
    }
}

/// What a drawing leaves out is counted, too: functions have the numbers of `top`,
/// and boxes for small calls make up for what is not drawn.
#[test]
fn functions_of_a_trimmed_flame_graph_have_the_numbers_of_top() {
    for (name, least) in [
        ("cpu.pb.gz", 0.0005),
        ("heap.pb.gz", 0.05),
        ("heap.pb.gz", 0.9),
        ("mutex.pb.gz", 0.2),
    ] {
        let profile = profile(name);
        let query = Query {
            trim: false,
            nodefraction: 0.0,
            ..Query::default()
        };
        let sides = [("one", &profile)];
        let flame = Flame::new(&sides, &query, Split::Label("node"), least).unwrap();
        let top = pprof::report::top(&profile, &query).unwrap();
        let counted = |name: &str| {
            let index = flame
                .names
                .iter()
                .skip(1)
                .position(|of| of == name)
                .unwrap()
                + 1;
            let function = &flame.functions[index];
            (function.flat[0], function.cum[0])
        };
        for row in &top.rows {
            assert_eq!(
                counted(&row.name),
                (row.flat, row.cum),
                "{name} {}",
                row.name
            );
        }
        let mut own: Vec<i64> = flame.calls.iter().map(|call| call.totals[0]).collect();
        let mut path: Vec<usize> = Vec::new();
        let (mut small, mut drawn) = (0, 0);
        for (place, call) in flame.calls.iter().enumerate() {
            path.truncate(call.level as usize);
            if let Some(caller) = path.last() {
                own[*caller] -= call.totals[0];
            }
            path.push(place);
        }
        for (call, own) in flame.calls.iter().zip(own) {
            if call.small > 0 {
                small += call.small as usize;
            }
            drawn += own;
        }
        assert_eq!((small, drawn), (flame.elided, top.total), "{name} {least}");
        assert_eq!(
            small > 0,
            least > 0.01 && name != "cpu.pb.gz" || flame.elided > 0
        );
    }
}

/// Callers and callees of a function weigh what `top` says of it, recursion included.
#[test]
fn callers_and_callees_add_up_to_their_function() {
    use pprof::flame::Direction;
    let profile = profile("cpu.pb.gz");
    let query = Query::default();
    let flame = Flame::new(&[("one", &profile)], &query, Split::Label("node"), 0.0).unwrap();
    let top = pprof::report::top(&profile, &query).unwrap();
    assert!(top.rows.iter().any(|row| row.name == "main.fib"));
    for row in &top.rows {
        let name = flame
            .names
            .iter()
            .skip(1)
            .position(|name| *name == row.name)
            .unwrap()
            + 1;
        let name = u32::try_from(name).unwrap();
        for direction in [Direction::Callers, Direction::Callees] {
            let tree = flame.around(name, direction);
            assert_eq!(tree.names[tree.calls[0].name as usize], row.name);
            assert_eq!(tree.calls[0].totals, [row.cum], "{}", row.name);
        }
        let callers = flame.around(name, Direction::Callers);
        let repeated = callers
            .calls
            .iter()
            .skip(1)
            .filter(|call| call.name == name);
        assert_eq!(repeated.count(), 0, "{}", row.name);
    }
}

/// Filters apply to what is written, as they do to reports of it.
#[test]
fn a_filtered_profile_that_is_written_reads_as_the_filters_show_it() {
    let profile = profile("heap.pb.gz");
    let some = |text: &str| Some(text.to_owned());
    for query in [
        Query {
            focus: some("reconcile"),
            ..Query::default()
        },
        Query {
            hide: some("reconcile"),
            ..Query::default()
        },
        Query {
            show_from: some("reconcile"),
            ..Query::default()
        },
        Query {
            tagfocus: some("bytes=64b:"),
            ..Query::default()
        },
        Query {
            taghide: some("bytes"),
            ..Query::default()
        },
        Query {
            tagroot: some("bytes"),
            noinlines: true,
            ..Query::default()
        },
    ] {
        let (bytes, warnings) = pprof::compress_kept(&profile, &query).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let written = pprof::decode(bytes).unwrap();
        let rows = |profile: &Profile, query: &Query| {
            let query = Query {
                trim: false,
                ..query.clone()
            };
            pprof::report::top(profile, &query).unwrap().rows
        };
        assert_eq!(
            rows(&written, &Query::default()),
            rows(&profile, &query),
            "{query:?}"
        );
    }
    let half = Query {
        divide_by: 2.0,
        ..Query::default()
    };
    let written = pprof::decode(pprof::compress_kept(&profile, &half).unwrap().0).unwrap();
    let total = |profile: &Profile| {
        pprof::report::top(profile, &Query::default())
            .unwrap()
            .total
    };
    assert!(total(&written).abs_diff(total(&profile) / 2) < 200);
}

#[test]
fn sides_are_labels_or_profiles() {
    let (one, two) = (profile("heap.pb.gz"), profile("heap-before.pb.gz"));
    let query = Query::default();
    let apart = Flame::new(
        &[("one", &one), ("two", &two)],
        &query,
        Split::Label("node"),
        0.0,
    )
    .unwrap();
    assert_eq!(apart.sides, ["one", "two"]);
    let labelled = [("one", one), ("two", two)]
        .map(|(name, profile)| pprof::Source::new(profile).label("node", name));
    let merged = pprof::merge(labelled.into()).unwrap();
    let split = Flame::new(&[("all", &merged)], &query, Split::Label("node"), 0.0).unwrap();
    assert_eq!(split.sides, ["one", "two"]);
    assert_eq!(split.calls[0].totals, apart.calls[0].totals);
}

#[test]
fn a_difference_that_was_written_is_one_that_is_read() {
    let (now, before) = (profile("heap.pb.gz"), profile("heap-before.pb.gz"));
    let whole = pprof::diff(now.clone(), before.clone(), Base::Compare, false).unwrap();
    let read = pprof::decode(pprof::compress(&whole).unwrap()).unwrap();
    let top = |profile: &Profile| pprof::report::top(profile, &Query::default()).unwrap();
    assert_eq!(top(&whole), top(&read));
    assert_eq!(top(&whole).total, top(&before).total);
    // What is below zero, or marks a base itself, has to be merged to be told.
    let of = |profile: &Profile, base: &Profile| {
        let difference = Difference {
            profile: profile.clone(),
            base: base.clone(),
            how: Base::Compare,
            normalize: false,
        };
        pprof::report::difference_top(&difference, &Query::default()).unwrap()
    };
    assert_eq!(of(&now, &before), Some(top(&whole)));
    assert_eq!(of(&whole, &before), None);
    let below = pprof::diff(now.clone(), before, Base::Subtract, false).unwrap();
    assert_eq!(of(&now, &below), None);
}

/// The same program built again: other addresses, lines and build id.
fn rebuilt(name: &str) -> Profile {
    let bytes = pprof::encode(&profile(name)).unwrap();
    let mut whole = message::Profile::decode(&bytes[..]).unwrap();
    whole.string_table.push(b"another build".to_vec());
    for mapping in &mut whole.mapping {
        mapping.build_id = i64::try_from(whole.string_table.len() - 1).unwrap();
        mapping.memory_limit += 0x5000;
    }
    for location in &mut whole.location {
        location.address += 0x1230;
        location.line.iter_mut().for_each(|line| line.line += 7);
    }
    pprof::decode(whole.encode_to_vec()).unwrap()
}

#[test]
fn builds_of_a_program_are_one_by_function() {
    let (one, two) = (profile("cpu.pb.gz"), rebuilt("cpu.pb.gz"));
    let query = Query {
        trim: false,
        ..Query::default()
    };
    let rows = |profile: &Profile| -> BTreeMap<String, (i64, i64)> {
        let top = pprof::report::top(profile, &query).unwrap();
        let rows = top.rows.into_iter();
        rows.map(|row| (row.name, (row.flat, row.cum))).collect()
    };
    let sources = [one.clone(), two.clone()].map(pprof::Source::new);
    let merged = pprof::merge(sources.into()).unwrap();
    let double = rows(&one).into_iter();
    let double: BTreeMap<_, _> = double
        .map(|(name, (flat, cum))| (name, (2 * flat, 2 * cum)))
        .collect();
    assert!(double.len() > 20);
    assert_eq!(rows(&merged), double);
    // By address they stay two.
    assert_eq!(
        merged.locations.len(),
        2 * pprof::merge(vec![pprof::Source::new(one.clone())])
            .unwrap()
            .locations
            .len()
    );
    let less = pprof::diff(two, one, Base::Subtract, false).unwrap();
    assert_eq!(rows(&less), BTreeMap::new());
}
