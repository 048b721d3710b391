//! `pprof` with real nodes.

use serde_json::Value;

use crate::XTASK;
use crate::in_lab::Lab;

/// Real net/http/pprof in both machines.
pub(crate) fn come_from_all_nodes(lab: &Lab) {
    let nodes = ["talos-default-controlplane-1", "talos-default-worker-1"];
    for words in [
        &["machined", "heap"][..],
        &["machined", "goroutine"],
        &["apid", "cpu", "--seconds", "3"],
    ] {
        let words = [&["pprof", "--json", "-q"], words].concat();
        let told: Value = serde_json::from_str(&lab.ok(&words)).unwrap();
        let summary = &told["summaries"][0]["summary"];
        let found: Vec<&str> = summary["nodes"]
            .as_array()
            .unwrap()
            .iter()
            // apid has no requests now: it may have spent no time at all.
            .filter(|node| words.contains(&"cpu") || node["total"].as_i64() > Some(0))
            .filter_map(|node| node["name"].as_str())
            .collect();
        assert_eq!(found, nodes, "{words:?}");
    }
    let sets = || -> Value {
        let told: Value = serde_json::from_str(&lab.ok(&["pprof", "list", "--json"])).unwrap();
        told["sets"].clone()
    };
    // Everything of every service: trustd is on the control plane alone.
    lab.ok(&["pprof", "--all", "--seconds", "1", "--json", "-q"]);
    let all = &sets()[0];
    let entries = all["entries"].as_array().unwrap();
    assert!(
        entries.iter().all(|entry| entry["file"].is_string()),
        "{all}"
    );
    for (service, count) in [("apid", 2), ("machined", 2), ("trustd", 1)] {
        for profile in [
            "heap",
            "cpu",
            "goroutine",
            "block",
            "mutex",
            "allocs",
            "threadcreate",
        ] {
            let same = |entry: &&Value| entry["service"] == service && entry["profile"] == profile;
            assert_eq!(
                entries.iter().filter(same).count(),
                count,
                "{service} {profile}"
            );
        }
    }
    // Each file says where it comes from and what ran there.
    let (id, heap) = (all["id"].as_str().unwrap(), &entries[0]);
    let file = format!(
        "~/.local/state/talos-xtask/pprof/{id}/{}",
        heap["file"].as_str().unwrap()
    );
    let tags = lab.sh(&format!("{XTASK} pprof open {file} --tags"));
    for label in [nodes[0], "controlplane", "v1.12.0"] {
        assert!(tags.contains(label), "{label}: {tags}");
    }
    // A series, and what is closed.
    lab.ok(&[
        "pprof",
        "machined",
        "goroutine",
        "--every",
        "1s",
        "--for",
        "2s",
        "-q",
    ]);
    let entries = sets()[0]["entries"].as_array().unwrap().len();
    assert!(entries >= 4, "{entries}");
    let refused = lab.fails(4, &["pprof", "machined", "heap", "--port", "9999"]);
    assert!(
        refused.contains("WITH_DEBUG=1") && refused.contains(nodes[1]),
        "{refused}"
    );
    let refused = lab.fails(2, &["pprof", "trustd", "heap", "--node", "worker-1"]);
    assert!(refused.contains("control planes only"), "{refused}");
}
