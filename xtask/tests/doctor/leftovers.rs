//! What earlier clusters have left, and what `--fix` does about it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use crate::common::skip;
use crate::host::{Host, find, is, parse};

#[test]
fn half_made_and_stale_clusters_are_in_the_way() {
    let host = Host::ready();
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    host.write(
        "home/.talos/clusters/other/other-worker-1.pid",
        &bystander.id().to_string(),
    );
    let (code, report) = host.json(|_| ());
    assert_eq!(code, Some(0), "one of another name is not in the way");
    is(&report, "half-made-cluster", "warn");

    let recorded = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/state/1.12.0/state.yaml"
    );
    // On an unused network: other clusters may be up on this host.
    let state = fs::read_to_string(recorded).unwrap();
    let state = state.replace("172.20.0.", "10.213.77.");
    host.write("home/.talos/clusters/talos-default/state.yaml", &state);
    host.write(
        "home/.talos/clusters/talos-default/dhcpd.pid",
        &bystander.id().to_string(),
    );
    let (code, report) = host.json(|_| ());
    assert_eq!(code, Some(3));
    is(&report, "stale-cluster", "missing");
    let cure = find(&report, "stale-cluster").unwrap()["cure"]
        .as_str()
        .unwrap();
    assert_eq!(cure, "cargo xtask cluster start --name talos-default");
    assert!(
        bystander.try_wait().unwrap().is_none(),
        "it is not ours to signal"
    );
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn contexts_of_clusters_that_are_gone_are_named() {
    let host = Host::ready();
    let context = |name: &str| format!("  {name}:\n    endpoints: [10.5.0.2]\n");
    let contexts = ["talos-default", "talos-default-1", "prod-1"]
        .map(context)
        .concat();
    host.write(
        "home/.talos/config",
        &format!("context: prod-1\ncontexts:\n{contexts}"),
    );
    let (_, report) = host.json(|_| ());
    let cures: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"] == "talosconfig-context")
        .filter_map(|finding| finding["cure"].as_str())
        .collect();
    assert_eq!(
        cures,
        [
            "talosctl config remove talos-default",
            "talosctl config remove talos-default-1"
        ]
    );
}

#[test]
fn fix_forgets_what_is_gone_and_a_dry_run_does_not() {
    let host = Host::ready();
    host.program("test", "exec /usr/bin/test \"$@\"");
    let gone = host.path("no-such-lab");
    let ledger = "home/.local/state/talos-xtask/ledger.jsonl";
    let entry = format!(
        r#"{{"op":"intend","at":1,"boot_id":"b","run":"r","resource":{{"kind":"lab","dir":"{}"}}}}"#,
        gone.display()
    );
    host.write(ledger, &format!("{entry}\n"));
    let (_, report) = host.json(|_| ());
    is(&report, "ledger", "warn");
    assert_eq!(find(&report, "ledger").unwrap()["fixable"], true);

    let shown = host.command(&["--fix", "--dry-run"]).output().unwrap();
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(
        text.contains(&format!("test '!' -e {}", gone.display())),
        "{text}"
    );
    assert_eq!(
        fs::read_to_string(host.path(ledger)).unwrap(),
        format!("{entry}\n")
    );

    let arguments = host.arguments();
    let mut words = vec!["--fix", "--json"];
    words.extend(arguments.iter().map(String::as_str));
    let fixed = host.command(&words).output().unwrap();
    assert_eq!(fixed.status.code(), Some(0), "{fixed:?}");
    is(&parse(&fixed), "ledger", "ok");
    assert!(
        fs::read_to_string(host.path(ledger))
            .unwrap()
            .contains(r#""op":"gone""#)
    );
}

/// As a user without rights, on files that root really owns.
#[test]
fn files_left_to_root_are_given_back() {
    const NOBODY: u32 = 65534;
    let name = "files_left_to_root_are_given_back";
    if !rustix::process::geteuid().is_root() {
        return skip(name, "only root can leave files to root");
    }
    let host = Host::ready();
    host.program(
        "chown",
        "exec /usr/bin/env -i PATH=/usr/bin:/bin chown \"$@\"",
    );
    host.write("home/.talos/config", "contexts: {}\n");
    host.write("home/.talos/clusters/x/state.yaml", "");
    fs::set_permissions(host.root(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(host.home(), Some(NOBODY), Some(NOBODY)).unwrap();
    // The build's folder may be closed to others.
    let own = host.path("xtask");
    // By another process: what a test beside this one starts while we have the file
    // open for writing would keep it "busy".
    let mut install = Command::new("install");
    install.args(["-m", "755", env!("CARGO_BIN_EXE_xtask")]);
    assert!(install.arg(&own).status().unwrap().success());
    let as_nobody = |words: &[&str]| {
        use std::os::unix::process::CommandExt;
        let given = host.command(words);
        let mut command = Command::new(&own);
        command
            .args(given.get_args())
            .current_dir(host.path("talos"))
            .env_clear();
        command
            .env("HOME", host.home())
            .env("PATH", host.path("path"));
        command.uid(NOBODY).gid(NOBODY).output().unwrap()
    };
    let report = parse(&as_nobody(&["--json"]));
    is(&report, "ownership", "warn");
    let found = find(&report, "ownership").unwrap();
    assert_eq!(found["fixable"], true);
    assert!(
        !found["what"].as_str().unwrap().contains("clusters/x"),
        "{found}"
    );

    let script = as_nobody(&["--fix", "--format", "sh"]);
    let script = String::from_utf8(script.stdout).unwrap();
    assert!(
        script.contains("chown --no-dereference --from=0:0 65534:65534 --"),
        "{script}"
    );
    let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let owner = |name: &str| fs::symlink_metadata(host.home().join(name)).unwrap().uid();
    assert_eq!((owner(".talos"), owner(".talos/config")), (NOBODY, NOBODY));
    assert_eq!(owner(".talos/clusters/x"), 0, "not asked for");
    is(&parse(&as_nobody(&["--json"])), "ownership", "ok");
}
