//! Talos' own integration tests, of the version of the nodes, against a node of Talos itself.

use super::Lab;
use crate::in_lab::talos;

/// Suites that pass, chosen for what they touch and for their seconds. Not those that give a node a moment for something, which
/// is too short for an emulated one: `TestStreaming` of `api.DmesgSuite`, `TestRestart` of `cli.ServicesSuite`.
const PASS: &[&str] = &[
    "api.ContainersSuite",
    "api.DiskUsageSuite",
    "api.HardwareSuite",
    "api.KernelSuite",
    "api.MachineStatusSuite",
    "api.SecuritySuite",
    "cli.ListSuite",
    "cli.MemorySuite",
    "cli.MountsSuite",
    "cli.ReadSuite",
    "cli.VersionSuite",
];

#[test]
fn suites_of_talos_pass() {
    let Some(lab) = Lab::alone("suites_of_talos_pass") else {
        return;
    };
    talos::create_cluster(&lab);
    let words = [&["--lab", "test", "integration", "--json"], PASS].concat();
    let output = lab.xtask(&words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["counts"]["failed"], 0, "{report:#}\n{stderr}");
    assert!(
        report["counts"]["passed"].as_u64().unwrap() > PASS.len() as u64,
        "{report:#}"
    );
}
