//! The text forms that Go's handlers show in a browser. That their numbers
//! are those of `go tool pprof` is asked in `golden.rs`; here is what ours
//! reads beside them: names, labels, states.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use pprof::{Profile, Query, report};

fn load(name: &str) -> Profile {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/pprof/text/");
    pprof::decode(std::fs::read(format!("{corpus}{name}.txt")).unwrap()).unwrap()
}

fn names(profile: &Profile) -> Vec<String> {
    let query = Query {
        trim: false,
        ..Query::default()
    };
    let top = report::top(profile, &query).unwrap();
    top.rows.into_iter().map(|row| row.name).collect()
}

#[test]
fn addresses_have_the_names_beside_them() {
    for (form, name) in [
        ("heap-debug1", "main.(*controller).reconcile"),
        ("goroutine-debug1", "main.wait.func1"),
        ("mutex-debug1", "sync.(*Mutex).Unlock"),
        ("block-debug1", "main.work"),
    ] {
        let names = names(&load(form));
        assert!(names.iter().any(|of| of == name), "{form}: {names:?}");
        assert!(
            !names.iter().any(|of| of == "<unknown>"),
            "{form}: {names:?}"
        );
    }
}

#[test]
fn what_allocates_is_not_the_allocator() {
    let profile = load("heap-debug1");
    let flat = |all_frames| {
        let query = Query {
            all_frames,
            sample_index: Some("alloc_space".into()),
            trim: false,
            ..Query::default()
        };
        let top = report::top(&profile, &query).unwrap();
        let rows = top.rows.into_iter().filter(|row| row.flat > 0);
        rows.map(|row| row.name).collect::<Vec<_>>()
    };
    let hidden = |name: &String| name == "runtime.(hidden)";
    assert!(flat(true).iter().any(hidden));
    assert!(!flat(false).iter().any(hidden));
    assert!(
        flat(false)
            .iter()
            .any(|name| name == "internal/bytealg.MakeNoZero")
    );
}

#[test]
fn goroutines_keep_their_state_and_creator() {
    let text = "goroutine 1 [running]:\nmain.main()\n\t/m.go:3 +0x1d\n\n\
        goroutine 7 gp=0xc1 m=nil [chan receive (scan), 12 minutes, locked to thread labels:{\"area\": \"net\"}]:\n\
        main.(*T[...]).wait(0xc0, {0x1, 0x2})\n\t/t.go:9 +0x2 fp=0x1 sp=0x2 pc=0x3\n\
        ...additional frames elided...\ncreated by main.start in goroutine 1\n\t/t.go:4 +0x25\n\n\
        goroutine 8 [chan receive, 3 minutes]:\nmain.(*T[...]).wait(...)\n\t/t.go:9 +0x2\n\
        created by main.start in goroutine 1\n\t/t.go:4 +0x25\n\ngoroutine 9 [chan rec";
    let profile = pprof::decode(text.into()).unwrap();
    let found = report::goroutines(&profile, &Query::default(), "node").unwrap();
    assert_eq!(found.total, 3);
    let waiting = &found.groups[0];
    assert_eq!((waiting.count, waiting.state.as_str()), (2, "chan receive"));
    assert_eq!(
        (waiting.wait, waiting.created_by.as_str()),
        (12, "main.start")
    );
    assert_eq!(waiting.stack, ["main.(*T[...]).wait"]);
    let tags = report::tags(&profile, &Query::default()).unwrap().text;
    assert!(tags.contains("area"), "{tags}");
}

#[test]
fn both_forms_count_the_same_goroutines() {
    let total = |name| report::top(&load(name), &Query::default()).unwrap().total;
    assert_eq!(total("goroutine-debug1"), total("goroutine-debug2"));
}

#[test]
fn what_is_wrong_has_its_line() {
    let error = |text: &str| pprof::decode(text.into()).unwrap_err().to_string();
    let broken = error("goroutine profile: total 2\n1 @ 0x1 0x2\n# fine\nhello\n");
    assert_eq!(broken, "line 4: `hello` is not a sample");
    let broken = error("heap profile: 1: 2 [3: 4] @ heap/1048576\n0: 5 [0: 0] @ 0x1\n");
    assert_eq!(broken, "line 2: 5 bytes in 0 objects");
    let broken = error("goroutine profile: total 2\n1 @ 0x1 0x99999999999999999\n");
    assert!(broken.starts_with("line 2:"), "{broken}");
}
