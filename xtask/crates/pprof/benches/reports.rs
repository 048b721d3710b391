//! Decode and ask, on the corpus. Against `go tool pprof` and on large
//! profiles: `scripts/bench-pprof`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use pprof::{Base, Query, report};

fn bytes(name: &str) -> Vec<u8> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/pprof");
    std::fs::read(corpus.join(name)).unwrap()
}

fn reports(c: &mut Criterion) {
    let query = Query::default();
    for name in ["heap.pb.gz", "cpu.pb.gz"] {
        let file = bytes(name);
        c.bench_function(&format!("decode {name}"), |b| {
            b.iter(|| pprof::decode(black_box(file.clone())).unwrap());
        });
        let profile = pprof::decode(file).unwrap();
        c.bench_function(&format!("top {name}"), |b| {
            b.iter(|| report::top(black_box(&profile), &query).unwrap());
        });
        c.bench_function(&format!("diff {name}"), |b| {
            b.iter(|| pprof::diff(profile.clone(), profile.clone(), Base::Compare, false).unwrap());
        });
    }
}

criterion_group!(benches, reports);
criterion_main!(benches);
