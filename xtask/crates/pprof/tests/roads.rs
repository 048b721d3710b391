//! A large profile with labels is summed while it inflates; its
//! reports equal those of the same profile read in full.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::io::Write;

use pprof::proto::{Function, Label, Line, Location, Profile, Sample, ValueType};
use pprof::{Query, report};
use prost::Message;

/// Without it a profile is not large.
const LARGE: usize = 1 << 18;

/// Samples of three nodes, with stacks that only differ between samples.
fn whole() -> Profile {
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let stacks: Vec<Vec<u64>> = (0..4000)
        .map(|_| (0..next(30)).map(|_| next(400) + 1).collect())
        .collect();
    let sample = |node: i64, stack: &Vec<u64>, value: u64| Sample {
        location_id: stack.clone(),
        value: vec![1, i64::try_from(value).unwrap()],
        label: vec![Label {
            key: 3,
            str: node,
            ..Label::default()
        }],
    };
    let names = ["", "samples", "count", "node", "n1", "n2", "n3"].map(str::to_owned);
    let names = names
        .into_iter()
        .chain((0..400).map(|of| format!("main.f{of}")));
    Profile {
        sample_type: vec![ValueType { r#type: 1, unit: 2 }; 2],
        sample: (4..7)
            .flat_map(|node| stacks.iter().map(move |stack| (node, stack)))
            .map(|(node, stack)| sample(node, stack, next(1 << 40)))
            .collect(),
        location: (1..=400)
            .map(|id| Location {
                id,
                line: vec![Line {
                    function_id: id,
                    ..Line::default()
                }],
                ..Location::default()
            })
            .collect(),
        function: (1..=400)
            .map(|id| Function {
                id,
                name: i64::try_from(id).unwrap() + 6,
                ..Function::default()
            })
            .collect(),
        string_table: names.map(String::into_bytes).collect(),
        ..Profile::default()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    let out = encoder.finish().unwrap();
    assert!(out.len() > LARGE);
    out
}

/// Reports on a profile's samples, on all of it, and on one node.
fn said(bytes: Vec<u8>) -> Result<[String; 3], String> {
    let profile = pprof::decode(bytes).map_err(|error| error.to_string())?;
    let time = |_, _| String::new();
    let plain = Query::default();
    let one = Query {
        tagfocus: Some("n2".into()),
        ..Query::default()
    };
    let all = [
        report::raw(&profile, &plain, &time),
        report::top_text(&profile, &plain, &time),
        report::top_text(&profile, &one, &time),
    ];
    let [raw, top, one] = all.map(|text| text.map(|text| text.text));
    let all = raw.and_then(|raw| Ok([raw, top?, one?]));
    all.map_err(|error| error.to_string())
}

#[test]
fn both_roads_say_the_same() {
    let bytes = whole().encode_to_vec();
    let said_of = said(gzip(&bytes)).unwrap();
    assert!(said_of[1].contains("main.f"), "{}", said_of[1]);
    assert_ne!(said_of[1], said_of[2]);
    assert_eq!(said_of, said(bytes).unwrap());
}

#[test]
fn what_is_unusual_is_read_as_well() {
    let usual = whole();
    let len = usual.sample.len();
    let mut unlabelled = usual.clone();
    unlabelled.sample[len / 2].label.clear();
    let mut two_labels = usual.clone();
    let label = two_labels.sample[0].label[0];
    two_labels.sample[len - 1].label.push(label);
    // A type after the samples: legal, but no known program writes it.
    let mut late = usual.encode_to_vec();
    late.extend([0x0a, 0]);
    // Fields of one sample that do not stand together.
    let mut apart = usual.encode_to_vec();
    apart.extend([0x12, 10, 0x0a, 1, 1, 0x12, 2, 1, 4, 0x0a, 1, 1]);
    for bytes in [
        unlabelled.encode_to_vec(),
        two_labels.encode_to_vec(),
        late,
        apart,
    ] {
        assert_eq!(said(gzip(&bytes)), said(bytes));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let len = whole().sample.len();
    let broken = |change: fn(&mut Sample)| {
        let mut whole = whole();
        change(&mut whole.sample[len / 2]);
        let bytes = whole.encode_to_vec();
        let error = said(gzip(&bytes)).unwrap_err();
        assert_eq!(error, said(bytes).unwrap_err());
        error
    };
    let error = broken(|sample| sample.value.push(1));
    assert!(error.contains("3 values"), "{error}");
    let error = broken(|sample| sample.location_id.push(401));
    assert!(error.contains("location 401"), "{error}");
    let error = broken(|sample| sample.label[0].str = 9999);
    assert!(error.contains("string 9999"), "{error}");
    let bytes = gzip(&whole().encode_to_vec());
    let error = said(bytes[..bytes.len() / 2].to_vec()).unwrap_err();
    assert!(error.contains("cannot inflate"), "{error}");
}
