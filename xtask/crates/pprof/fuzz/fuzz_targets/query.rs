//! Any question of a real profile: expressions, ranges, units, names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pprof::{Profile, Query};
use pprof_fuzz::ask;

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let files: [&[u8]; 3] = [
        include_bytes!("../../../../testdata/pprof/heap.pb.gz"),
        include_bytes!("../../../../testdata/pprof/goroutine.pb.gz"),
        include_bytes!("../../../../testdata/pprof/drop.pb.gz"),
    ];
    let profiles = files.map(|file| pprof::decode(file.to_vec()).expect("ours"));
    profiles.into()
});

fuzz_target!(|text: &str| {
    let mut parts = text.split('\0').map(|part| Some(part.to_owned()));
    let mut next = || parts.next().flatten().filter(|part| !part.is_empty());
    let profile = &PROFILES[text.len() % PROFILES.len()];
    let query = Query {
        focus: next(),
        ignore: next(),
        hide: next(),
        show: next(),
        show_from: next(),
        prune_from: next(),
        tagfocus: next(),
        tagignore: next(),
        tagshow: next(),
        taghide: next(),
        tagroot: next(),
        tagleaf: next(),
        sample_index: next(),
        unit: next().unwrap_or_else(|| "minimum".into()),
        divide_by: next().and_then(|part| part.parse().ok()).unwrap_or(1.0),
        nodecount: next().and_then(|part| part.parse().ok()).unwrap_or(0),
        ..Query::default()
    };
    ask(profile, &query);
});
