use super::*;

const DIR: &str = "/home/dev/.talos/clusters/lab";

/// Processes of real clusters: target of fd 1, then the argv (testdata/state).
const RECORDED: [&str; 3] = [
    include_str!("../../../../testdata/state/1.11.0/processes.tsv"),
    include_str!("../../../../testdata/state/1.12.0/processes.tsv"),
    include_str!("../../../../testdata/state/1.13.0/processes.tsv"),
];

#[test]
fn every_process_of_real_clusters_is_told() {
    for (text, helpers) in RECORDED.into_iter().zip([3, 4, 4]) {
        let found: Vec<_> = text
            .lines()
            .map(|line| {
                let fields: Vec<_> = line.split('\t').collect();
                identify(&fields[1..], Some(fields[0])).unwrap_or_else(|| panic!("{line}"))
            })
            .collect();
        assert!(found.iter().all(|process| process.is_of(DIR)));
        let count = |is: fn(&Kind) -> bool| found.iter().filter(|p| is(&p.kind)).count();
        assert_eq!(count(|k| matches!(k, Kind::Qemu { .. })), 2);
        assert_eq!(
            count(|k| matches!(k, Kind::QemuLaunch { node: Some(_) })),
            2
        );
        assert_eq!(
            count(|k| matches!(
                k,
                Kind::Helper {
                    address: Some(_),
                    ..
                }
            )),
            helpers
        );
        let nodes = found
            .iter()
            .filter(|p| p.node() == Some("lab-worker-1"))
            .count();
        assert_eq!(nodes, 2, "launcher and QEMU");
    }
}

#[test]
fn a_launcher_without_its_log_is_nobodys() {
    let process = identify(&["talosctl", "qemu-launch"], None).unwrap();
    assert_eq!(process.kind, Kind::QemuLaunch { node: None });
    assert!(!process.is_of(DIR));
    let elsewhere = identify(&["talosctl", "qemu-launch"], Some("/dev/null")).unwrap();
    assert_eq!(elsewhere.state_dir, None);
}

#[test]
fn a_deleted_folder_still_names_its_cluster() {
    let log = format!("{DIR}/lab-worker-1.log (deleted)");
    let process = identify(&["/x/talosctl", "qemu-launch"], Some(&log)).unwrap();
    assert!(process.is_of(DIR));
    assert_eq!(process.node(), Some("lab-worker-1"));
}

#[test]
fn helpers_need_their_own_log() {
    let argv = [
        "talosctl",
        "kms-launch",
        "--kms-addr=172.20.0.1:4050",
        "--kms-key",
        "x",
    ];
    let right = identify(&argv, Some("/s/lab/kms.log")).unwrap();
    assert_eq!(right.state_dir.as_deref(), Some("/s/lab"));
    assert_eq!(
        right.kind,
        Kind::Helper {
            helper: Helper::Kms,
            address: Some("172.20.0.1:4050".into())
        }
    );
    assert_eq!(
        identify(&argv, Some("/s/lab/lb.log")).unwrap().state_dir,
        None
    );
}

#[test]
fn the_kinds_that_were_not_recorded() {
    let cache = [
        "talosctl",
        "image",
        "cache-serve",
        "--address",
        "10.5.0.1:5000",
    ];
    let process = identify(&cache, Some("/s/lab/image-cache.log")).unwrap();
    assert!(matches!(
        process.kind,
        Kind::Helper {
            helper: Helper::ImageCache,
            ..
        }
    ));
    let tpm = [
        "swtpm",
        "socket",
        "--tpmstate",
        "dir=/s/lab/lab-worker-1-tpm,mode=0644",
    ];
    let process = identify(&tpm, None).unwrap();
    assert_eq!(
        process.kind,
        Kind::Swtpm {
            node: "lab-worker-1".into()
        }
    );
    assert!(process.is_of("/s/lab"));
    let fs = [
        "/usr/libexec/virtiofsd",
        "--socket-path",
        "/s/lab/lab-worker-1-1.virtiofs.sock",
    ];
    let process = identify(&fs, None).unwrap();
    assert_eq!(
        process.kind,
        Kind::VirtiofsdWorker {
            node: "lab-worker-1".into()
        }
    );
    for helper in [Helper::Virtiofsd, Helper::Siderolink, Helper::Bgp] {
        let mut argv = vec!["talosctl"];
        argv.extend(helper.subcommand());
        let log = format!("/s/lab/{}.log", helper.stem());
        assert!(
            identify(&argv, Some(&log)).unwrap().is_of("/s/lab/"),
            "{helper:?}"
        );
    }
}

#[test]
fn strangers_are_not_ours() {
    for argv in [
        &["sleep", "600"][..],
        &["talosctl", "cluster", "show"],
        &["talosctl", "image", "list"],
        &["grep", "qemu-launch", "x"],
        &["vim", "lab-worker-1.monitor"],
        &["qemu-system-x86_64", "-monitor", "stdio"],
        &[
            "qemu-system-x86_64",
            "-monitor",
            "unix:/s/.monitor,server,nowait",
        ],
        &["swtpm", "socket", "--tpmstate", "dir=/var/lib/other"],
        &[],
    ] {
        // `grep qemu-launch` has the subcommand at the same index as talosctl.
        let told = identify(argv, None);
        assert!(
            told.is_none_or(|process| process.state_dir.is_none()),
            "{argv:?}"
        );
    }
}

#[test]
fn stems_round_trip() {
    for helper in Helper::ALL {
        assert_eq!(Helper::from_stem(helper.stem()), Some(helper));
    }
    assert_eq!(Helper::from_stem("sshd"), None);
}
