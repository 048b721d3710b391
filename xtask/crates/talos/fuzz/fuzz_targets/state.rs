#![no_main]
//! No file of a state folder, no settings in YAML and no process may make the readers panic, hang or recurse without end.

use libfuzzer_sys::fuzz_target;
use talos::network::Cidr;
use talos::process::identify;
use talos::state::{CniAttachment, ClusterState, LaunchConfig, classify, nodes_of, parse_pid};
use talos::version::TalosVersion;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(state) = ClusterState::parse(text) {
        let _ = state.sorted_nodes().len();
    }
    // As a talosconfig or a kubeconfig.
    let _ = talos::yaml::from_str::<yaml_serde::Value>(text);
    let _ = LaunchConfig::parse(text);
    if let Ok(node) = CniAttachment::parse(text) {
        let _ = node.netns_name().map(str::to_owned);
    }
    let _ = parse_pid(text);
    let _ = classify(text);
    let _ = nodes_of(text.lines());
    let _ = Cidr::parse(text).map(|cidr| cidr.gateway());
    let _ = TalosVersion::parse(text);
    let _ = talos::duration(text);
    let argv: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let _ = identify(&argv, argv.last().map(String::as_str));
});
