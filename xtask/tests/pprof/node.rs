//! Nodes that serve the profiles of the repository, and commands that ask them.

use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use camino::Utf8PathBuf;
use flate2::read::GzDecoder;
use pprof::{Profile, Source};
use serde_json::Value;

use crate::common::Home;
use crate::common::node;
pub(crate) use crate::common::node::{send, serve};

/// The profiles that the repository keeps.
pub(crate) fn corpus(name: &str) -> Utf8PathBuf {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pprof");
    Utf8PathBuf::from(corpus).join(name)
}

pub(crate) fn profile(name: &str) -> Profile {
    pprof::decode(std::fs::read(corpus(name)).unwrap()).unwrap()
}

/// The profile repeated, of the moment `seconds`.
pub(crate) fn grown(name: &str, times: f64, seconds: i64) -> Vec<u8> {
    let mut source = Source::new(profile(name));
    source.factor = times;
    let mut profile = pprof::merge(vec![source]).unwrap();
    profile.header.time_nanos = seconds * 1_000_000_000;
    pprof::compress(&profile).unwrap()
}

/// The data of a page, as JSON.
pub(crate) fn page_data(text: &str) -> Value {
    let (_, data) = text.split_once("id=\"data\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let bytes = BASE64_STANDARD.decode(data).unwrap();
    serde_json::from_reader(GzDecoder::new(&bytes[..])).unwrap()
}

/// A node that answers each request with the same profile.
pub(crate) fn healthy(name: &str) -> String {
    let body = std::fs::read(corpus(name)).unwrap();
    serve(move |stream, _, _| send(stream, &body))
}

/// `xtask pprof WORDS --endpoint …`
pub(crate) fn ask(home: &Home, words: &[&str], endpoints: &[&String]) -> Command {
    let mut command = home.xtask(&["pprof"]);
    command.args(words);
    for endpoint in endpoints {
        command.args(["--endpoint", endpoint]);
    }
    command
}

/// What the newest fetch saved.
pub(crate) fn saved(home: &Home) -> serde_json::Value {
    let output = home.xtask(&["pprof", "list", "--json"]).output().unwrap();
    let mut list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sets = list["sets"].as_array_mut().unwrap();
    sets.first_mut()
        .map_or(serde_json::Value::Null, serde_json::Value::take)
}

/// Returns a profile that no Go program writes: its sample type and its unit are
/// `kind` and `unit`, and one stack calls all of `names`, the first from the root.
pub(crate) fn odd(kind: &[u8], unit: &[u8], names: &[&[u8]]) -> Vec<u8> {
    let from_leaf: Vec<&[u8]> = names.iter().copied().rev().collect();
    node::profile(kind, unit, &from_leaf, 1)
}
