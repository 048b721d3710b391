use super::*;
use proptest::prelude::*;

#[test]
fn good_and_bad_names() {
    for good in ["a", "talos-default", "e2e-2", &"x".repeat(MAX_CLUSTER_NAME)] {
        assert_eq!(ClusterName::parse(good).unwrap().as_str(), good);
    }
    assert_eq!(ClusterName::parse(""), Err(NameError::Empty));
    for (bad, found) in [
        ("a/b", '/'),
        ("../x", '.'),
        ("Lab", 'L'),
        ("a b", ' '),
        ("ä", 'ä'),
    ] {
        let error = ClusterName::parse(bad).unwrap_err();
        assert_eq!(
            error,
            NameError::Character {
                name: bad.into(),
                found
            }
        );
    }
    assert!(matches!(
        ClusterName::parse("-a"),
        Err(NameError::Edge { .. })
    ));
    assert!(matches!(
        ClusterName::parse("a-"),
        Err(NameError::Edge { .. })
    ));
    let long = "x".repeat(MAX_CLUSTER_NAME + 1);
    assert!(matches!(
        ClusterName::parse(&long),
        Err(NameError::TooLong { len: 48, .. })
    ));
}

#[test]
fn existing_folders_may_have_odd_names() {
    assert!(ClusterName::existing("Odd_Name.x").is_ok());
    for bad in ["a/b", "/", ".", "..", "a\0b"] {
        assert!(
            matches!(
                ClusterName::existing(bad),
                Err(NameError::NotAFolder { .. })
            ),
            "{bad}"
        );
    }
    for bad in ["a\nb", "a\x1b[2J", "a\u{9b}b", "\t"] {
        let error = ClusterName::existing(bad).unwrap_err();
        assert!(matches!(error, NameError::Control { .. }), "{bad:?}");
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
}

#[test]
fn the_longest_name_has_legal_host_names() {
    let name = ClusterName::parse(&"x".repeat(MAX_CLUSTER_NAME)).unwrap();
    assert_eq!(name.node(Role::ControlPlane, 99).len(), 63);
}

#[test]
fn node_names() {
    let lab = ClusterName::parse("lab").unwrap();
    assert_eq!(
        lab.nodes(1, 2),
        ["lab-controlplane-1", "lab-worker-1", "lab-worker-2"]
    );
    assert_eq!(split_node("lab-worker-12"), Some(("lab", Role::Worker, 12)));
    for other in [
        "lab-worker-0",
        "lab-worker-01",
        "lab-worker-x",
        "worker-1",
        "-worker-1",
        "lab-init-1",
        "machine-2eb47ed4-ebac-4b5f-a52a-57e39fb1b517",
    ] {
        assert_eq!(split_node(other), None, "{other}");
    }
    assert_eq!(
        split_node("a-worker-1-worker-2"),
        Some(("a-worker-1", Role::Worker, 2))
    );
}

/// Recorded: bridge of clusters `tfacts` (docs/talos-facts.md#host-footprint)
/// and `lab`, whose CNI files are in testdata/state/1.12.0.
#[test]
fn derived_names_are_the_real_ones() {
    assert_eq!(bridge_name("tfacts"), "talos8a3dfddf");
    assert_eq!(bridge_name("lab"), "talosa51146d3");
    // sha256sum of `lab-1-0`.
    assert_eq!(fabric_bridge_name("lab", 1, 0), "bgpa60cbbd9850");
    assert!(is_fabric_bridge("lab", "bgpa60cbbd9850"));
    assert!(!is_fabric_bridge("other", "bgpa60cbbd9850"));
    let id = "23c3de8a-a539-4bf0-ac05-ae5ebb9630de";
    assert_eq!(
        cni_cache_container("lab", &format!("lab-{id}-veth0")),
        Some(id)
    );
    assert_eq!(
        cni_cache_container("lab", &format!("lab-2-{id}-veth0")),
        None
    );
    assert!(is_cni_netns("cnitest-4936a752-5b2a-9499-a159-ecf3af7c4d0c"));
    assert!(!is_cni_netns("cnitest-") && !is_cni_netns("mynet"));
}

#[test]
fn the_longest_socket_is_named() {
    let dir = format!("/home/{}/clusters/lab", "d".repeat(60));
    let nodes = ["lab-controlplane-1", "lab-worker-1"];
    check_socket_paths(&dir, &nodes, &NodeSocket::ALWAYS).unwrap();
    let error =
        check_socket_paths(&dir, &nodes, &[NodeSocket::Monitor, NodeSocket::Tpm]).unwrap_err();
    assert!(error.path.ends_with("/lab-controlplane-1-tpm/swtpm.sock"));
    assert_eq!(
        (error.len, error.over),
        (error.path.len(), error.path.len() - 107)
    );
}

#[test]
fn a_path_of_exactly_107_bytes_fits() {
    let file = "/n.monitor".len();
    let dir = format!("/{}", "d".repeat(107 - file - 1));
    check_socket_paths(&dir, &["n"], &NodeSocket::ALWAYS).unwrap();
    let error = check_socket_paths(&format!("{dir}x/"), &["n"], &NodeSocket::ALWAYS).unwrap_err();
    assert_eq!((error.len, error.over), (108, 1));
}

proptest! {
    #[test]
    fn node_names_round_trip(cluster in "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", index in 1u32.., worker: bool) {
        let name = ClusterName::parse(&cluster).unwrap();
        let role = if worker { Role::Worker } else { Role::ControlPlane };
        let node = name.node(role, index);
        prop_assert_eq!(split_node(&node), Some((&*cluster, role, index)));
    }

    #[test]
    fn parse_never_panics(name in "\\PC{0,60}") {
        let _ = ClusterName::parse(&name);
        let _ = ClusterName::existing(&name);
        let _ = split_node(&name);
    }
}
