//! Whatever comes from the network: an error that says what and where, and
//! neither a panic nor memory without bound.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::fmt::Write as _;
use std::io::{Read, Write};

use pprof::proto::{self as message, Label, Line, Location, Sample, ValueType};
use pprof::{Error, Limits, Query, report};
use proptest::prelude::*;
use prost::Message;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One function `f`, one location, one sample of 7.
fn small() -> message::Profile {
    let text = |text: &str| text.as_bytes().to_vec();
    message::Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }],
        sample: vec![Sample {
            location_id: vec![1],
            value: vec![7],
            label: Vec::new(),
        }],
        location: vec![Location {
            id: 1,
            line: vec![Line {
                function_id: 1,
                line: 3,
                column: 0,
            }],
            ..Location::default()
        }],
        function: vec![message::Function {
            id: 1,
            name: 3,
            ..message::Function::default()
        }],
        string_table: vec![text(""), text("space"), text("bytes"), text("f")],
        ..message::Profile::default()
    }
}

fn ask(bytes: Vec<u8>) -> pprof::Result<Vec<(String, i64)>> {
    let profile = pprof::decode(bytes)?;
    let top = report::top(&profile, &Query::default())?;
    Ok(top
        .rows
        .into_iter()
        .map(|row| (row.name, row.flat))
        .collect())
}

fn refused(change: impl FnOnce(&mut message::Profile)) -> String {
    let mut profile = small();
    change(&mut profile);
    ask(profile.encode_to_vec()).unwrap_err().to_string()
}

#[test]
fn every_wrapping_is_opened() {
    let plain = small().encode_to_vec();
    let want = vec![("f".to_owned(), 7)];
    assert_eq!(ask(plain.clone()).unwrap(), want);
    assert_eq!(ask(gzip(&plain)).unwrap(), want);
    let (one, two) = plain.split_at(plain.len() / 2);
    let members = [gzip(one), gzip(two)].concat();
    assert_eq!(ask(members).unwrap(), want, "several members");
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(&plain).unwrap();
    assert_eq!(ask(zlib.finish().unwrap()).unwrap(), want);
    let zstd =
        ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
    assert_eq!(ask(zstd).unwrap(), want);
}

#[test]
fn what_is_no_profile_is_named() {
    let what = |bytes: &[u8]| match pprof::decode(bytes.to_vec()) {
        Err(Error::NotAProfile { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(b""), "an empty body");
    assert_eq!(what(b" <!DOCTYPE html><p>login"), "HTML");
    assert_eq!(what(b"Could not enable CPU profiling\n"), "text");
    assert_eq!(what(&gzip(b"<html>")), "HTML");
    assert_eq!(
        what(b"go 1.26 trace\0\0\0"),
        "an execution trace (`go tool trace`)"
    );
}

#[test]
fn half_a_body_is_an_error() {
    let whole = gzip(&small().encode_to_vec());
    let error = pprof::decode(whole[..whole.len() / 2].to_vec()).unwrap_err();
    assert!(
        matches!(error, Error::Inflate { format: "gzip", .. }),
        "{error}"
    );
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let bomb = gzip(&vec![0; 4 << 20]);
    let limits = Limits {
        inflated: 1 << 20,
        ..Limits::default()
    };
    let error = pprof::decode_within(bomb, limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the inflated profile exceeds the limit of 1048576"
    );
}

/// One message of a field: tag, length, bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn what_is_claimed_is_not_believed() {
    // A string of a gigabyte, of which a byte is there.
    let mut bytes = small().encode_to_vec();
    let offset = bytes.len();
    bytes.extend([0x32, 0x80, 0x80, 0x80, 0x80, 0x04, b'x']);
    assert_eq!(
        ask(bytes).unwrap_err().to_string(),
        format!("byte {offset}: field 6 claims 1073741824 bytes, 1 are left")
    );
    let mut bytes = small().encode_to_vec();
    let offset = bytes.len();
    bytes.extend(field(6, &vec![b'x'; 2 << 20]));
    let error = ask(bytes).unwrap_err().to_string();
    let from = format!("byte {}: string 4 has 2097152 bytes", offset + 5);
    assert!(error.starts_with(&from), "{error}");
}

#[test]
fn tables_end_at_their_limit() {
    let limits = Limits {
        entries: 100,
        ..Limits::default()
    };
    let error = |number: u8, bytes: &[u8], times: usize| {
        let mut all = small().encode_to_vec();
        all.extend(field(number, bytes).repeat(times));
        pprof::decode_within(all, limits).unwrap_err().to_string()
    };
    assert_eq!(error(6, b"", 200), "strings exceeds the limit of 100");
    assert_eq!(error(2, b"", 500), "samples exceeds the limit of 100");
    let location = [vec![0x08, 7], [0x22, 2, 0x08, 1].repeat(200)].concat();
    assert_eq!(error(4, &location, 1), "lines exceeds the limit of 100");
}

/// A location of many lines, named many times by one stack: few bytes,
/// many frames.
#[test]
fn stacks_that_unfold_without_end_are_refused() {
    let mut profile = small();
    let line = profile.location[0].line[0];
    profile.location[0].line = vec![line; 70_000];
    profile.sample[0].location_id = vec![1; 70_000];
    let error = ask(profile.encode_to_vec()).unwrap_err().to_string();
    assert_eq!(
        error,
        "the number of frames exceeds the limit of 4294967296"
    );
}

#[test]
fn contradictions_say_what_and_where() {
    for (message, error) in [
        (
            "names location 9,",
            refused(|of| of.sample[0].location_id = vec![9]),
        ),
        (
            "names function 9,",
            refused(|of| of.location[0].line[0].function_id = 9),
        ),
        (
            "has 2 values, the profile 1",
            refused(|of| of.sample[0].value.push(1)),
        ),
        (
            "string 99 of a table of 4",
            refused(|of| of.function[0].name = 99),
        ),
        (
            "string 18446744073709551615 of",
            refused(|of| of.function[0].name = -1),
        ),
        ("reserved id 0", refused(|of| of.location[0].id = 0)),
        (
            "two locations have the id 1",
            refused(|of| of.location.push(of.location[0].clone())),
        ),
        (
            "string 0 is not the empty",
            refused(|of| of.string_table[0] = b"x".to_vec()),
        ),
        (
            "samples but no sample types",
            refused(|of| of.sample_type.clear()),
        ),
    ] {
        assert!(error.contains(message), "{error}");
    }
    let mut labelled = small();
    labelled.sample[0].label = vec![Label {
        key: 77,
        ..Label::default()
    }];
    let labelled = pprof::decode(labelled.encode_to_vec()).unwrap();
    let error = report::tags(&labelled, &Query::default()).unwrap_err();
    assert!(
        error.to_string().contains("string 77 of a table of 4"),
        "{error}"
    );
    let twice = [small(), small()].map(|mut of| {
        of.time_nanos = 5;
        of.encode_to_vec()
    });
    let error = ask(twice.concat()).unwrap_err().to_string();
    assert!(error.contains("a second profile begins here"), "{error}");
}

#[test]
fn the_largest_numbers_are_taken() {
    let mut profile = small();
    profile.sample[0].value = vec![i64::MIN];
    profile.sample.push(profile.sample[0].clone());
    profile.location[0].id = u64::MAX;
    for sample in &mut profile.sample {
        sample.location_id = vec![u64::MAX, u64::MAX];
        sample.label = vec![Label {
            key: 1,
            num: i64::MIN,
            ..Label::default()
        }];
    }
    ask(profile.encode_to_vec()).unwrap();
    let decoded = pprof::decode(profile.encode_to_vec()).unwrap();
    let time = |_, _| String::new();
    for query in [
        Query::default(),
        Query {
            mean: true,
            ..Query::default()
        },
        Query {
            tagroot: Some("space".into()),
            ..Query::default()
        },
        Query {
            divide_by: 1e-300,
            ..Query::default()
        },
    ] {
        report::tree(&decoded, &query, &time).unwrap();
        report::traces(&decoded, &query, &time).unwrap();
        report::tags(&decoded, &query).unwrap();
    }
    pprof::diff(decoded.clone(), decoded, pprof::Base::Compare, true).unwrap();
}

/// All reports, of which none may panic.
fn ask_everything(profile: &pprof::Profile) -> Vec<pprof::Result<()>> {
    let time = |_, _| String::new();
    let mut results = Vec::new();
    for query in [
        Query::default(),
        Query {
            granularity: pprof::Granularity::Lines,
            trim: false,
            ..Query::default()
        },
        Query {
            granularity: pprof::Granularity::Addresses,
            tagroot: Some("node".into()),
            mean: true,
            ..Query::default()
        },
    ] {
        results.push(report::top_text(profile, &query, &time).map(drop));
        results.push(report::tree(profile, &query, &time).map(drop));
        results.push(report::peek(profile, &query, ".", &time).map(drop));
        results.push(report::traces(profile, &query, &time).map(drop));
        results.push(report::raw(profile, &query, &time).map(drop));
        results.push(report::tags(profile, &query).map(drop));
        results.push(report::goroutines(profile, &query, "node").map(drop));
        results.push(report::stacks(profile, &query).map(drop));
        results.push(report::groups(profile, &query, &|name, _| Some(name.to_owned())).map(drop));
        results.push(report::compare(profile, profile, &query).map(drop));
        let nothing = |_: &str| Ok(Vec::new());
        results.push(report::list_text(profile, &query, ".", &nothing).map(drop));
        let flame = pprof::flame::Flame::new(
            &[("one", profile)],
            &query,
            pprof::flame::Split::Label("node"),
            0.0,
        );
        results.push(flame.and_then(|flame| {
            let page = pprof::web::Page {
                title: "t",
                differ: false,
                moments: &[],
                sources: &[],
            };
            let _ = pprof::web::page(std::slice::from_ref(&flame), &page);
            let _ = pprof::export::speedscope(&flame, "t");
            let _ = pprof::export::firefox(&flame, "t", 0.0);
            let _ = pprof::export::svg(&flame, "t");
            pprof::export::folded(&flame).map(drop)
        }));
    }
    results.push(pprof::compress(profile).map(drop));
    results.push(
        pprof::compress_kept(
            profile,
            &Query {
                focus: Some(".".into()),
                ..Query::default()
            },
        )
        .map(drop),
    );
    results.push(pprof::merge(vec![pprof::Source::new(profile.clone())]).map(drop));
    results
}

/// Calls without end, by themselves and from each other.
#[test]
fn a_stack_without_end_needs_no_stack_of_ours() {
    let mut profile = small();
    profile.sample[0].location_id = vec![1; 300_000];
    let again = pprof::decode(profile.encode_to_vec()).unwrap();
    // Each is reported or refused; on a thread with little room.
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let results = small.spawn(move || ask_everything(&again)).unwrap();
    assert!(results.join().unwrap().iter().any(Result::is_ok));
}

#[test]
fn sums_run_over_as_they_do_in_go() {
    let mut profile = small();
    let text = |text: &str| text.as_bytes().to_vec();
    profile
        .string_table
        .extend([text("key"), text("a"), text("b")]);
    for value in 5..=6 {
        profile.sample.push(Sample {
            location_id: vec![1],
            value: vec![i64::MAX],
            label: vec![Label {
                key: 4,
                str: value,
                ..Label::default()
            }],
        });
    }
    let decoded = pprof::decode(profile.encode_to_vec()).unwrap();
    for results in ask_everything(&decoded) {
        results.unwrap();
    }
    let tags = report::tags(&decoded, &Query::default()).unwrap();
    // Twice the largest number is -2.
    assert!(tags.text.contains("key: Total -2B"), "{}", tags.text);
}

/// Rust refuses to pad to more than 65535 columns, with a panic.
#[test]
fn a_key_wider_than_any_line_is_told() {
    let mut profile = small();
    profile.string_table.push(vec![b'k'; 100_000]);
    profile.sample[0].label = vec![Label {
        key: 4,
        num: 7,
        num_unit: 4,
        ..Label::default()
    }];
    let decoded = pprof::decode(profile.encode_to_vec()).unwrap();
    for results in ask_everything(&decoded) {
        results.unwrap();
    }
}

/// Some kilobytes, of which each line repeats a megabyte.
#[test]
fn names_that_are_repeated_have_an_end() {
    let mut profile = small();
    profile.string_table.push(vec![b'n'; 1 << 20]);
    profile.mapping = vec![message::Mapping {
        id: 1,
        filename: 4,
        ..message::Mapping::default()
    }];
    profile.location.clear();
    profile.function.clear();
    let count = 300;
    for id in 1..=count {
        profile.function.push(message::Function {
            id,
            // Of half of them only the file that is mapped is known.
            name: if id % 2 == 0 { 4 } else { 0 },
            start_line: i64::try_from(id).unwrap(),
            ..message::Function::default()
        });
        profile.location.push(Location {
            id,
            mapping_id: 1,
            address: id,
            line: vec![Line {
                function_id: id,
                line: i64::try_from(id).unwrap(),
                column: 0,
            }],
            ..Location::default()
        });
    }
    profile.sample[0].location_id = (1..=count).collect();
    let decoded = pprof::decode(profile.encode_to_vec()).unwrap();
    let error = report::top(&decoded, &Query::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the text of all names exceeds"),
        "{error}"
    );
    let results = ask_everything(&decoded);
    let refused = |results: &pprof::Result<()>| matches!(results, Err(Error::TooLarge { .. }));
    assert!(results.iter().any(refused));
}

/// Each goroutine on a node of its own, at a place of its own.
#[test]
fn groups_on_nodes_without_end_are_refused() {
    let mut profile = small();
    profile.sample.clear();
    profile.string_table.push(b"node".to_vec());
    for of in 0..40_000_i64 {
        profile.string_table.push(format!("n{of}").into_bytes());
        profile.location.push(Location {
            id: u64::try_from(of).unwrap() + 2,
            line: Vec::new(),
            address: u64::try_from(of).unwrap(),
            ..Location::default()
        });
        profile.sample.push(Sample {
            location_id: vec![u64::try_from(of).unwrap() + 2],
            value: vec![1],
            label: vec![Label {
                key: 4,
                str: of + 5,
                ..Label::default()
            }],
        });
    }
    let decoded = pprof::decode(profile.encode_to_vec()).unwrap();
    let error = report::goroutines(&decoded, &Query::default(), "node").unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

/// What has samples and no types is refused on both roads.
#[test]
fn samples_of_no_type_are_refused_however_large() {
    let mut profile = small();
    profile.sample_type.clear();
    profile.sample = (0..60_000)
        .map(|of| Sample {
            location_id: vec![1],
            value: Vec::new(),
            label: vec![Label {
                key: 1,
                num: of * 7_919,
                ..Label::default()
            }],
        })
        .collect();
    let bytes = profile.encode_to_vec();
    // Beyond this it is read while it inflates.
    let stored = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap()
    };
    assert!(stored.len() > 1 << 18);
    let message = "samples but no sample types";
    assert_eq!(pprof::decode(stored).unwrap_err().to_string(), message);
    assert_eq!(pprof::decode(bytes).unwrap_err().to_string(), message);
}

#[test]
fn text_forms_are_as_little_believed() {
    // The one quotient that does not fit.
    let text = format!(
        "heap profile: 1: 1 [1: 1] @ heap/1024\n-1: {} [1: 1] @ 0x1\n",
        i64::MIN
    );
    let decoded = pprof::decode(text.into_bytes()).unwrap();
    ask_everything(&decoded);
    // A stack of many addresses, of which each is described: not squared.
    let mut text = String::from("goroutine profile: total 1\n1 @");
    for address in 0..60_000 {
        let _ = write!(text, " {address:#x}");
    }
    text.push('\n');
    for address in 0..60_000 {
        let _ = writeln!(text, "#\t{address:#x}\tf+0x1\t/f.go:1");
    }
    let decoded = pprof::decode(text.into_bytes()).unwrap();
    assert_eq!(decoded.sample_count(), 1);
    let top = report::top(&decoded, &Query::default()).unwrap();
    assert!(top.rows.iter().any(|row| row.name == "f"));
    for text in [
        "goroutine 1 [running]:\nf(\n\t:-1\n",
        "goroutine 99999999999999999999 [x, 9223372036854775808 minutes]:\n\t:\n(\n\tx +0x\n",
        "--- contention:\ncycles/second=-9223372036854775808\nsampling period=9223372036854775807\n9223372036854775807 9223372036854775807 @ 0x1\n",
        "heap profile: 1: 1 [1: 1] @ heap/1\n9223372036854775807: 1 [9223372036854775807: 9223372036854775807] @\n",
    ] {
        if let Ok(decoded) = pprof::decode(text.as_bytes().to_vec()) {
            ask_everything(&decoded);
        }
    }
}

#[test]
fn names_need_not_be_text() {
    let mut profile = small();
    profile.string_table[3] = vec![0xff, 0xfe, b'x'];
    let rows = ask(profile.encode_to_vec()).unwrap();
    assert_eq!(rows[0].0, "\u{fffd}\u{fffd}x");
}

#[test]
fn unpacked_and_split_stacks_are_legal() {
    let mut profile = small();
    profile.sample.clear();
    let mut bytes = profile.encode_to_vec();
    // Sample: location 1, value 3, location 1, value absent of a second type.
    bytes.extend([0x12, 6, 0x08, 1, 0x10, 3, 0x08, 1]);
    // And one whose locations come packed in two pieces.
    bytes.extend([0x12, 8, 0x0a, 1, 1, 0x10, 4, 0x0a, 1, 1]);
    assert_eq!(ask(bytes).unwrap(), [("f".to_owned(), 7)]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = ask(bytes);
    }

    /// Damage to a real profile reaches deeper than noise does.
    #[test]
    fn no_damage_makes_it_panic(
        at in 0..4000_usize,
        with in any::<u8>(),
        cut in 0..8000_usize,
    ) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/pprof/heap.pb.gz");
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).unwrap();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        let len = bytes.len();
        bytes[at % len] = with;
        bytes.truncate(len - cut.min(len) / 2);
        if let Ok(profile) = pprof::decode(bytes) {
            let time = |_, _| String::new();
            let query = Query { tagfocus: Some("bytes=1kb:".into()), ..Query::default() };
            let _ = report::tree(&profile, &query, &time);
            let _ = report::raw(&profile, &Query::default(), &time);
            let _ = pprof::merge(vec![pprof::Source::new(profile)]);
        }
    }

    /// The streaming road sees what the whole road sees.
    #[test]
    fn both_roads_agree(values in proptest::collection::vec((1..4_u64, any::<i64>()), 0..40)) {
        let mut profile = small();
        for id in 2..4 {
            profile.location.push(Location { id, ..profile.location[0].clone() });
        }
        profile.sample = values
            .iter()
            .map(|(id, value)| Sample { location_id: vec![*id, 1], value: vec![*value], label: Vec::new() })
            .collect();
        let sum = values.iter().fold(0_i64, |sum, (_, value)| sum.wrapping_add(*value));
        let rows = ask(profile.encode_to_vec()).unwrap();
        let got = rows.iter().map(|row| row.1).sum::<i64>();
        prop_assert_eq!(got, sum);
        let decoded = pprof::decode(profile.encode_to_vec()).unwrap();
        let written = pprof::encode(&decoded).unwrap();
        let again = message::Profile::decode(&written[..]).unwrap();
        prop_assert_eq!(again.sample, profile.sample);
    }
}
