//! Whatever a stranger sends: decode it and ask everything. What comes out
//! is an error or an answer, never a panic and never more than the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pprof::{Base, Difference, Limits, Query, Source, export, flame::Flame, report};

/// Small, so that what passes the limits is found.
const LIMITS: Limits = Limits {
    inflated: 1 << 20,
    entries: 1 << 12,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = pprof::decode_within(bytes.to_vec(), LIMITS) else {
        return;
    };
    let time = |_, _| String::new();
    let plain = Query::default();
    let odd = Query {
        tagfocus: Some("bytes=1kb:".into()),
        tagroot: Some("node".into()),
        focus: Some("main|runtime".into()),
        hide: Some("sync".into()),
        mean: true,
        trim: false,
        divide_by: 3.0,
        ..Query::default()
    };
    for query in [&plain, &odd] {
        let _ = report::top_text(&profile, query, &time);
        let _ = report::tree(&profile, query, &time);
        let _ = report::peek(&profile, query, ".", &time);
        let _ = report::traces(&profile, query, &time);
        let _ = report::raw(&profile, query, &time);
        let _ = report::tags(&profile, query);
        let _ = report::goroutines(&profile, query, "node");
        let _ = report::compare(&profile, &profile, query);
        if let Ok(flame) = Flame::new(&[("one", &profile)], query, "node", 0.0) {
            let _ = export::folded(&flame);
            let _ = export::speedscope(&flame, "title");
            let _ = export::firefox(&flame, "title", 0.0);
            let _ = export::svg(&flame, "title");
        }
    }
    if let Ok(file) = pprof::compress(&profile) {
        let again = pprof::decode(file).expect("what was written is read");
        assert_eq!(again.sample_count(), profile.sample_count());
    }
    let labelled = Source::new(profile.clone()).label("node", "one");
    if let Ok(merged) = pprof::merge(vec![labelled, Source::new(profile.clone())]) {
        let _ = report::top(&merged, &plain);
    }
    let difference = Difference {
        profile: profile.clone(),
        base: profile.clone(),
        how: Base::Compare,
        normalize: false,
    };
    if let Ok(Some(told)) = report::difference_top(&difference, &plain) {
        let merged = difference.merged().expect("what can be told can be merged");
        let top = report::top(&merged, &plain).expect("what can be told");
        assert_eq!(told, top);
    }
    let _ = pprof::diff(profile.clone(), profile, Base::Compare, true);
});
