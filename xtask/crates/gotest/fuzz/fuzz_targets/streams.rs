#![no_main]
//! No output of a test binary and no stream of events may make the readers
//! panic, hang or keep more than a part of what was printed. The first byte says
//! in which pieces it comes.

use gotest::events::{Exit, Framer, Package, Stream, Verdict, junit, plain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (first, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let size = usize::from(*first).max(1);
    let mut framer = Framer::default();
    let mut package = Package::new("p");
    package.keep_all = first % 2 == 0;
    package.depth = usize::from(first % 3);
    for piece in bytes.chunks(size) {
        framer.feed(piece, &mut |event| package.apply(event));
    }
    let last = framer.finish(&mut |event| package.apply(event));
    package.end(Exit::Code(i32::from(first % 4)), last);
    let names: Vec<String> = package.failed_roots().into_iter().map(str::to_owned).collect();
    for name in names.iter().take(20) {
        let _ = package.output_of(name);
    }
    let mut stream = Stream::default();
    for piece in bytes.chunks(size) {
        stream.feed(piece);
    }
    stream.finish();
    let _ = stream.tally.counts();
    let text = String::from_utf8_lossy(bytes);
    let packages = plain(text.lines(), |package, test| package.len() > test.len());
    let all = stream.tally.packages.iter().chain(&packages).chain([&package]);
    let xml = junit(all, &[], |_, root| root.len() % 2 == 0);
    assert!(xml.chars().all(|char| char >= ' ' || matches!(char, '\n' | '\t')));
    if let Some((word, detail)) = text.split_once(' ') {
        let _ = Verdict::parse(word, detail).map(|verdict| verdict.describe());
    }
});
