//! Recorded `go test -json` streams: the counts are those of gotestsum, except
//! where gotestsum is wrong, with the reason.

use super::{Exit, Framer, Package, State, Stream, Verdict, What};

const STREAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/gotest/streams");

/// Differences to gotestsum: stream, our count, reason.
const WE_DIFFER: &[(&str, &str, &str)] = &[
    (
        "bench",
        "1 tests",
        "a benchmark ends with `bench`, or without a word, and gotestsum takes it for one that hangs",
    ),
    (
        "looks-alike",
        "1 tests, 1 failure",
        "TestMain printed a result of a test that never began",
    ),
    (
        "timeout",
        "2 tests, 1 failure",
        "one test passed and one hung; gotestsum counts the package as a failure beside it",
    ),
];

fn read(name: &str) -> Stream {
    let bytes = std::fs::read(format!("{STREAMS}/{name}.json")).unwrap();
    let mut stream = Stream::default();
    // In pieces, as a pipe gives them.
    for piece in bytes.chunks(777) {
        stream.feed(piece);
    }
    stream.finish();
    stream
}

fn verdict(stream: &Stream, package: &str) -> Verdict {
    let end = format!("/{package}");
    let package = stream
        .tally
        .packages
        .iter()
        .find(|it| it.name.ends_with(&end));
    package.unwrap().verdict.clone().unwrap()
}

/// Like the last line of gotestsum.
fn summary(stream: &Stream) -> String {
    let counts = stream.tally.counts();
    let errors = stream
        .tally
        .packages
        .iter()
        .filter(|package| package.verdict == Some(Verdict::BuildFailed))
        .count();
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let (failed, skipped) = (counts.failed, counts.skipped);
    let mut parts = vec![format!("{} tests", counts.total)];
    if skipped > 0 {
        parts.push(format!("{skipped} skipped"));
    }
    if failed > 0 {
        parts.push(format!("{failed} failure{}", plural(failed)));
    }
    if errors > 0 {
        parts.push(format!("{errors} error{}", plural(errors)));
    }
    parts.join(", ")
}

#[test]
fn counts_are_gotestsums() {
    let mut seen = 0;
    for entry in std::fs::read_dir(STREAMS).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "gotestsum")
        {
            continue;
        }
        seen += 1;
        let name = path.file_stem().unwrap().to_str().unwrap();
        let theirs = std::fs::read_to_string(&path).unwrap();
        let ours = summary(&read(name));
        match WE_DIFFER.iter().find(|(known, ..)| *known == name) {
            Some((_, wanted, why)) => {
                assert_eq!(ours, *wanted, "{name}: {why}");
                assert_ne!(ours, theirs.trim(), "{name}: gotestsum counts it now");
            }
            None => assert_eq!(ours, theirs.trim(), "{name}"),
        }
    }
    assert!(seen >= 14, "{seen} streams");
}

#[test]
fn verdicts_are_told_apart() {
    for (name, package, wanted) in [
        ("passing", "ok", Verdict::Passed),
        ("none", "ok", Verdict::NoTests),
        ("failing", "bad", Verdict::Failed),
        ("unbuilt", "unbuilt", Verdict::BuildFailed),
        (
            "panic",
            "dies",
            Verdict::Panicked("panic: it is broken".to_owned()),
        ),
        ("panic", "ok", Verdict::Passed),
        // The go command does not print the exit code.
        ("exit", "dies", Verdict::Exited(1)),
        ("killed", "dies", Verdict::Killed(9)),
        ("timeout", "slow", Verdict::TimedOut),
        ("race", "racy", Verdict::Raced),
        ("bench", "ok", Verdict::Passed),
        ("fuzz", "ok", Verdict::Passed),
    ] {
        assert_eq!(verdict(&read(name), package), wanted, "{name} {package}");
    }
}

#[test]
fn a_stream_that_was_cut_says_so() {
    let stream = read("truncated");
    assert_eq!(stream.others_count, 1, "{:?}", stream.others);
    assert_eq!(verdict(&stream, "bad"), Verdict::Incomplete);
    let states: Vec<State> = stream.tally.packages[0]
        .tests
        .iter()
        .map(|it| it.state)
        .collect();
    assert!(states.contains(&State::Aborted), "{states:?}");
}

#[test]
fn what_is_printed_in_the_middle_of_a_line_is_lost_nowhere() {
    let stream = read("panic");
    let dies = stream
        .tally
        .packages
        .iter()
        .find(|it| it.name.ends_with("/dies"))
        .unwrap();
    let said = dies.output_of("TestDies") + &dies.output.text();
    assert!(said.contains("in the middle of a line "), "{said}");
    assert!(said.contains("goroutine "), "{said}");
}

#[test]
fn a_hundred_megabytes_fit() {
    let mut framer = Framer::default();
    let mut package = Package::new("p");
    let mut feed = |framer: &mut Framer, bytes: &[u8]| {
        framer.feed(bytes, &mut |event| package.apply(event));
    };
    feed(&mut framer, b"\x16=== RUN   TestMuch\nfirst\n");
    let block = format!("{}\n", "x".repeat(1023)).repeat(1 << 10);
    for _ in 0..100 {
        feed(&mut framer, block.as_bytes());
    }
    feed(
        &mut framer,
        b"last\n\x16--- FAIL: TestMuch (1.00s)\n\x16FAIL\n",
    );
    let last = framer.finish(&mut |event| package.apply(event));
    package.end(Exit::Code(1), last);
    let test = &package.tests[0];
    assert_eq!(test.state, State::Failed);
    let output = test.output.text();
    assert!(output.len() < 8 << 20, "{}", output.len());
    assert!(output.contains("first\n") && output.contains("last\n"));
    assert!(test.output.left_out() > 90 << 20);
}

proptest::proptest! {
    /// Every byte of any input, in any chunks, is in the result.
    #[test]
    fn no_byte_is_lost(pieces in proptest::collection::vec(
        proptest::prelude::prop_oneof![
            proptest::prelude::Just(b"\x16=== RUN   TestA\n".to_vec()),
            proptest::prelude::Just(b"\x16--- PASS: TestA (0.00s)\n".to_vec()),
            proptest::prelude::Just(b"\x16    --- FAIL: TestA/b (0.00s)\n".to_vec()),
            proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
        ], 0..40)) {
        let mut framer = Framer::default();
        let mut out = Vec::new();
        let all: Vec<u8> = pieces.concat();
        for piece in &pieces {
            framer.feed(piece, &mut |event| if let What::Output(bytes) = event.what {
                out.extend(bytes);
            });
        }
        framer.finish(&mut |event| if let What::Output(bytes) = event.what {
            out.extend(bytes);
        });
        // Except for the marks, and `=== NAME`, which names the test that prints.
        let plain = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().copied().filter(|byte| *byte != 0x16).collect()
        };
        proptest::prop_assert_eq!(plain(&out), plain(&all));
    }
}

/// A test binary may begin any number of tests, and print for each of them.
#[test]
fn tests_and_output_without_end_are_bounded() {
    let mut framer = Framer::default();
    let mut package = Package::new("p");
    for number in 0..400_000 {
        let lines = format!("\x16=== RUN   Test{number}\nsaid\n");
        framer.feed(lines.as_bytes(), &mut |event| package.apply(event));
    }
    assert!(package.tests.len() < 400_000);
    assert!(package.output.text().contains("are not listed]"));

    let mut package = Package::new("p");
    let block = "x".repeat(1 << 20) + "\n";
    for number in 0..200 {
        let lines = format!("\x16=== RUN   Test{number}\n{block}{block}");
        Framer::default().feed(lines.as_bytes(), &mut |event| package.apply(event));
    }
    let kept: usize = package.tests.iter().map(|test| test.output.len()).sum();
    assert!(kept < 300 << 20, "{kept}");
    let last = &package.tests[199].output;
    assert!(last.text().contains("bytes are left out here"), "{last:?}");
}

/// An incomplete event is dropped and takes no memory.
#[test]
fn a_line_of_a_stream_without_end_is_cut() {
    let mut stream = Stream::default();
    stream.feed(br#"{"Action":"output","Package":"p","Output":""#);
    for _ in 0..100 {
        stream.feed(&vec![b'x'; 1 << 20]);
    }
    stream.feed(b"\"}\n{\"Action\":\"start\",\"Package\":\"p\"}\n");
    stream.finish();
    assert_eq!(stream.others_count, 1);
    assert!(stream.others[0].len() <= 1000);
    assert_eq!(verdict_of(&stream), [Verdict::Incomplete]);
}

fn verdict_of(stream: &Stream) -> Vec<Verdict> {
    let packages = stream.tally.packages.iter();
    packages.filter_map(|it| it.verdict.clone()).collect()
}

/// Ends of packages are read in proportion to their number.
#[test]
fn ends_without_end_are_read_in_proportion() {
    let mut stream = Stream::default();
    let output = r#"{"Action":"output","Package":"p","Output":"x\n"}"#;
    let skip = r#"{"Action":"skip","Package":"p","Test":"TestA"}"#;
    let end = r#"{"Action":"fail","Package":"p","FailedBuild":"p"}"#;
    stream.feed(b"{\"Action\":\"run\",\"Package\":\"p\",\"Test\":\"TestA\"}\n");
    let word = "x".repeat(500_000);
    let built =
        format!("{{\"Action\":\"build-output\",\"ImportPath\":\"p\",\"Output\":\"{word}\"}}\n");
    for _ in 0..8 {
        stream.feed(built.as_bytes());
    }
    for _ in 0..20_000 {
        stream.feed(format!("{output}\n{skip}\n{end}\n").as_bytes());
    }
    stream.finish();
    assert_eq!(verdict_of(&stream), [Verdict::BuildFailed]);
}
