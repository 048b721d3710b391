//! A large profile out of a small one, for measuring: stacks are spliced from
//! two of the seed's, and each is written once per node with labels.
//!
//! `grow SEED OUT STACKS NODES SERVICES`; no labels with 0 nodes.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a tool for measuring, not a part of the product"
)]

use std::io::Write;

use pprof::proto::{Label, Profile, Sample};
use prost::Message;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [seed, out, stacks, nodes, services] = &args[..] else {
        panic!("grow SEED OUT STACKS NODES SERVICES");
    };
    let stacks: usize = stacks.parse().expect("a number of stacks");
    let nodes: usize = nodes.parse().expect("a number of nodes");
    let services: usize = services.parse().expect("a number of services");
    let bytes = std::fs::read(seed).expect("the seed");
    let profile = pprof::decode(bytes).expect("a profile");
    let whole = pprof::encode(&profile).expect("readable samples");
    let mut whole = Profile::decode(&whole[..]).expect("messages");
    let seeds = std::mem::take(&mut whole.sample);
    let mut text = |text: &str| {
        whole.string_table.push(text.as_bytes().to_vec());
        i64::try_from(whole.string_table.len() - 1).expect("few strings")
    };
    let (node, service) = (text("node"), text("service"));
    let names: Vec<i64> = (0..nodes)
        .map(|at| text(&format!("10.5.0.{}", at + 2)))
        .collect();
    let services: Vec<i64> = (0..services)
        .map(|at| text(&format!("service-{at}")))
        .collect();
    let mut random = Random(1);
    let once: Vec<Sample> = (0..stacks).map(|_| spliced(&seeds, &mut random)).collect();
    if nodes == 0 {
        whole.sample = once;
    } else {
        // One node after the other, as a merge writes them.
        for name in &names {
            let label = |key, str| Label {
                key,
                str,
                ..Label::default()
            };
            for sample in &once {
                let own = services[random.below(services.len())];
                whole.sample.push(Sample {
                    label: vec![label(node, *name), label(service, own)],
                    ..sample.clone()
                });
            }
        }
    }
    let file = std::fs::File::create(out).expect("the output");
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::new(6));
    encoder.write_all(&whole.encode_to_vec()).expect("written");
    encoder.finish().expect("written");
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }
}

/// The leaves of one stack on the roots of another.
fn spliced(seeds: &[Sample], random: &mut Random) -> Sample {
    let leaf = &seeds[random.below(seeds.len())];
    let root = &seeds[random.below(seeds.len())];
    let mut location_id = leaf.location_id[..random.below(leaf.location_id.len() + 1)].to_vec();
    location_id.extend(&root.location_id[random.below(root.location_id.len())..]);
    let count = i64::try_from(random.below(9) + 1).expect("small");
    Sample {
        location_id,
        value: leaf.value.iter().map(|_| count * 10_000_000).collect(),
        label: Vec::new(),
    }
}
