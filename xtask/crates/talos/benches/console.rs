//! What `cluster status` and `cluster logs` cost in this crate.
//!
//! `cargo bench -p talos`. The consoles are 50 MB: one of a node that rebooted
//! hundreds of times, one of a node that booted once and then only logged (the
//! worst case for a search from the end).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use talos::console::{BootTracker, Console, last_boot, merge};
use talos::state::{ClusterState, LaunchConfig};

const SIZE: usize = 50 << 20;
const BOOT: &[u8] = include_bytes!("../../../testdata/console/boot.log");
const STATE: &str = include_str!("../../../testdata/state/1.12.0/state.yaml");
const LAUNCH: &str = include_str!("../../../testdata/state/1.12.0/lab-worker-1.config");

fn chatter(bytes: &mut Vec<u8>, upto: usize) {
    let mut time = 20.0;
    while bytes.len() < upto {
        time += 0.037;
        let line = format!(
            "[{time:12.6}] [talos] service[etcd](Running): Health check successful {{\"component\": \"controller-runtime\"}}\r\n"
        );
        bytes.extend_from_slice(line.as_bytes());
    }
}

fn many_boots() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE + (1 << 20));
    while bytes.len() < SIZE {
        bytes.extend_from_slice(BOOT);
        let upto = bytes.len() + 100_000;
        chatter(&mut bytes, upto);
    }
    bytes
}

fn one_boot() -> Vec<u8> {
    let mut bytes = BOOT.to_vec();
    chatter(&mut bytes, SIZE);
    bytes
}

fn track(bytes: &[u8]) -> usize {
    let mut tracker = BootTracker::default();
    for chunk in bytes.chunks(64 * 1024) {
        tracker.feed(chunk);
    }
    tracker.finish();
    tracker.boots().len()
}

fn last(bytes: &[u8]) -> bool {
    let boot = last_boot(bytes.len() as u64, |at, buffer: &mut [u8]| {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let got = buffer.len().min(bytes.len() - from);
        buffer[..got].copy_from_slice(&bytes[from..from + got]);
        Ok(got)
    });
    boot.is_ok_and(|boot| boot.is_some_and(|boot| boot.ready.is_some()))
}

fn console(c: &mut Criterion) {
    let (many, one) = (many_boots(), one_boot());
    let mut group = c.benchmark_group("console 50 MB");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.bench_function("track, many boots", |b| b.iter(|| track(black_box(&many))));
    group.bench_function("last boot, many boots", |b| {
        b.iter(|| last(black_box(&many)));
    });
    group.bench_function("last boot, one boot", |b| b.iter(|| last(black_box(&one))));
    group.bench_function("merge two", |b| {
        b.iter(|| {
            let half = |node, bytes| Console {
                node,
                bytes,
                newest_ms: 1_700_000_000_000,
            };
            merge(&[half("a", &many[..SIZE / 2]), half("b", &one[..SIZE / 2])]).count()
        });
    });
    group.finish();
}

fn state(c: &mut Criterion) {
    c.bench_function("state.yaml", |b| {
        b.iter(|| ClusterState::parse(black_box(STATE)));
    });
    c.bench_function("launch config", |b| {
        b.iter(|| LaunchConfig::parse(black_box(LAUNCH)));
    });
}

criterion_group!(benches, console, state);
criterion_main!(benches);
