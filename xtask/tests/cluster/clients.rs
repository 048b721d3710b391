//! What people and programs do with a running cluster: consoles, archives for bug
//! reports, reboots and upgrades through the API, and contexts in the user's files.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::in_lab::Lab;
use crate::{INVENTORY, status};

#[test]
fn a_cluster_is_used_through_its_own_configuration() {
    let Some(lab) = Lab::own("a_cluster_is_used_through_its_own_configuration") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    lab.ok(&["cluster", "up", "--workers", "1", "--merge"]);
    let contexts = lab.sh("grep -c talos-default ~/.talos/config ~/.kube/config");
    assert_eq!(contexts.lines().count(), 2, "{contexts}");
    a_console_is_followed(&lab);
    an_archive_has_no_secrets(&lab);

    let proof = lab.ok(&["cluster", "reboot", "--graceful", "worker-1"]);
    assert!(proof.contains("talos-default-worker-1 rebooted"), "{proof}");
    // The worker is by name, the control plane untouched.
    let pid = status(&lab)["nodes"][0]["pid"].clone();
    let image = "127.0.0.1:5005/siderolabs/installer:v1.12.0";
    let words = ["cluster", "upgrade", "--image", image, "worker-1", "--json"];
    let proof: serde_json::Value = serde_json::from_str(&lab.ok(&words)).unwrap();
    assert_eq!(proof["nodes"][0]["name"], "talos-default-worker-1");
    assert_eq!(status(&lab)["nodes"][0]["pid"], pid);

    let said = lab.ok(&["cluster", "destroy", "--yes"]);
    assert!(said.ends_with("nothing is left\n"), "{said}");
    assert_eq!(lab.sh(INVENTORY), before);
}

fn a_console_is_followed(lab: &Lab) {
    let mut console = lab
        .command(&["--lab", "cluster", "console", "worker-1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(console.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("read-only; Ctrl-C leaves"), "{line}");
    let mut lines = BufReader::new(console.stdout.take().unwrap()).split(b'\n');
    // The first bytes may be the end of a line.
    assert!(lines.by_ref().any(|line| !line.unwrap().is_empty()));
    // Bytes that come later, as they are.
    lab.sh("printf 'raw \\033[31m\\377\\n' >>~/.talos/clusters/talos-default/talos-default-worker-1.log");
    let raw = b"raw \x1b[31m\xff";
    assert!(lines.any(|line| line.unwrap().ends_with(raw)));
    console.kill().unwrap();
    console.wait().unwrap();
    lab.fails(2, &["cluster", "console", "*"]);
}

fn an_archive_has_no_secrets(lab: &Lab) {
    let own = "~/.local/state/talos-xtask/clusters/talos-default";
    // The console repeats what is secret.
    lab.sh(&format!(
        "awk '/key:/ {{print \"token seen:\", $2}}' {own}/talosconfig >>~/.talos/clusters/talos-default/talos-default-worker-1.log"
    ));
    lab.ok(&["cluster", "support", "-o", "s.tar.gz"]);
    let output = lab.command(&[]).get_current_dir().unwrap().join("s.tar.gz");
    let script = format!(
        "rm -rf ~/s; mkdir ~/s; tar -xzf {} -C ~/s; cd ~/s/*; ",
        output.display()
    );
    let names = lab.sh(&format!("{script} find . -type f"));
    for name in [
        "./MANIFEST",
        "./status.json",
        "./explain.json",
        "./doctor.json",
        "./versions.json",
        "./state/state.yaml",
        "./state/talos-default-worker-1.log",
        "/run.json",
    ] {
        assert!(names.contains(name), "{name}: {names}");
    }
    let leaks = format!(
        "{script} for key in $(awk '/key:/ {{print $2}}' {own}/talosconfig) $(awk '/key-data:/ {{print $2}}' {own}/kubeconfig); \
         do test ${{#key}} -gt 40 && ! grep -rqF -e \"$key\" . || exit 1; done; \
         ! grep -rqE 'PRIVATE KEY|LS0tLS1CRUdJTi' ."
    );
    lab.sh(&leaks);
    let manifest = lab.sh(&format!("{script} cat MANIFEST"));
    for withheld in [
        "talosconfig: contains secrets",
        "worker-1.config: contains secrets",
    ] {
        assert!(manifest.contains(withheld), "{manifest}");
    }
}

#[test]
fn what_failed_can_be_kept() {
    let Some(lab) = Lab::own("what_failed_can_be_kept") else {
        return;
    };
    let before = lab.sh(INVENTORY);
    lab.sh("head -c 100000 /dev/urandom > ~/bad-kernel");
    let kernel = "--vmlinuz-path=bad-kernel";
    let home = lab.sh("echo ~");
    let kernel = kernel.replace("bad-kernel", &format!("{}/bad-kernel", home.trim()));
    let words = ["cluster", "up", "--keep-failed", "--", &kernel];
    let said = lab.fails(5, &words);
    assert!(said.contains("kept, by --keep-failed"), "{said}");
    assert!(!said.contains("undoing"), "{said}");
    lab.sh("ls ~/.talos/clusters/talos-default/*.log");
    lab.ok(&["cluster", "destroy", "--yes"]);
    lab.sh("rm ~/bad-kernel");
    assert_eq!(lab.sh(INVENTORY), before);
}
