//! Everything that can be asked of a profile.

use pprof::{
    Base, Difference, Granularity, Limits, Profile, Query, Source, export, flame::{Flame, Split}, report,
    web,
};

/// Small, so that what passes the limits is found.
pub const LIMITS: Limits = Limits {
    inflated: 1 << 20,
    entries: 1 << 12,
};

/// Every report, picture and export.
pub fn ask(profile: &Profile, query: &Query) {
    let time = |_, _| String::new();
    let source = |name: &str| {
        if name.len() % 2 == 0 {
            Ok(vec![name.to_owned(); 10])
        } else {
            Err("none".to_owned())
        }
    };
    let _ = report::top_text(profile, query, &time);
    let _ = report::tree(profile, query, &time);
    let _ = report::peek(profile, query, ".", &time);
    let _ = report::traces(profile, query, &time);
    let _ = report::raw(profile, query, &time);
    let _ = report::tags(profile, query);
    let _ = report::comments(profile);
    let _ = report::goroutines(profile, query, "node").map(|of| of.text(10, true));
    let _ = report::stacks(profile, query);
    let _ = report::groups(profile, query, &|name, file| Some([name, file].concat()));
    let _ = report::list_text(profile, query, ".", &source);
    let _ = report::compare_text(profile, profile, query, ["one", "other"]);
    let _ = profile.label_values("node");
    for sides in [&[("one", profile)][..], &[("one", profile), ("other", profile)]] {
        let Ok(flame) = Flame::new(sides, query, Split::Label("node"), 0.0) else {
            continue;
        };
        let _ = export::folded(&flame);
        let _ = export::speedscope(&flame, "title");
        let _ = export::firefox(&flame, "title", 0.0);
        let _ = export::svg(&flame, "title");
        let page = web::Page {
            title: "title",
            differ: true,
            moments: &[],
            sources: &[],
        };
        let text = web::page(std::slice::from_ref(&flame), &page);
        assert_eq!(text.matches("</script").count(), 1, "a name left its script");
    }
}

/// What is written is read again, merges and differs as it should.
pub fn write(profile: &Profile) {
    let plain = Query::default();
    if let Ok(file) = pprof::compress(profile) {
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
    let _ = pprof::diff(profile.clone(), profile.clone(), Base::Compare, true);
}

/// Questions that reach different parts.
pub fn queries() -> [Query; 4] {
    [
        Query::default(),
        Query {
            tagfocus: Some("bytes=1kb:".into()),
            tagroot: Some("node".into()),
            focus: Some("main|runtime".into()),
            hide: Some("sync".into()),
            mean: true,
            trim: false,
            divide_by: 3.0,
            ..Query::default()
        },
        Query {
            granularity: Granularity::Addresses,
            noinlines: true,
            show_from: Some(".".into()),
            tagleaf: Some("bytes,node".into()),
            relative_percentages: true,
            cum: true,
            ..Query::default()
        },
        Query {
            granularity: Granularity::Lines,
            showcolumns: true,
            prune_from: Some("f".into()),
            tagignore: Some("x".into()),
            all_frames: true,
            drop_negative: true,
            ..Query::default()
        },
    ]
}
