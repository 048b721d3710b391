use super::*;
use proptest::prelude::*;

fn cidr(text: &str) -> Cidr {
    Cidr::parse(text).unwrap()
}

#[test]
fn addresses_of_the_guide() {
    let network = cidr("172.20.0.0/24");
    assert_eq!(network.gateway(), Some(Ipv4Addr::new(172, 20, 0, 1)));
    assert_eq!(network.node(0), Some(Ipv4Addr::new(172, 20, 0, 2)));
    assert_eq!(network.vip(), Some(Ipv4Addr::new(172, 20, 0, 50)));
}

#[test]
fn what_is_refused() {
    for bad in [
        "",
        "172.20.0.0",
        "172.20.0.0/",
        "172.20.0.0/33",
        "172.20.0.0/+4",
        "1.2.3/8",
        "172.020.0.0/24",
        "a/24",
        "172.20.0.0/24/1",
    ] {
        assert!(
            matches!(Cidr::parse(bad), Err(CidrError::Malformed { .. })),
            "{bad}"
        );
    }
    assert!(matches!(
        Cidr::parse("fd00::/64"),
        Err(CidrError::Ipv6 { .. })
    ));
    let CidrError::HostBits { network, .. } = Cidr::parse("172.20.0.7/24").unwrap_err() else {
        panic!("host bits pass");
    };
    assert_eq!(network.to_string(), "172.20.0.0/24");
    for reserved in ["127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "0.0.0.0/0"] {
        assert!(
            matches!(Cidr::parse(reserved), Err(CidrError::Reserved { .. })),
            "{reserved}"
        );
    }
}

#[test]
fn too_small_says_what_it_takes() {
    cidr("10.5.0.0/29").check_fits(5, false).unwrap();
    let error = cidr("10.5.0.0/29").check_fits(6, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "CIDR 10.5.0.0/29 is too small: it needs 9 addresses for 6 nodes and has 8, use a /28 or larger"
    );
    let error = cidr("10.5.0.0/27").check_fits(2, true).unwrap_err();
    assert!(matches!(
        error,
        CidrError::TooSmall {
            needs: 52,
            has: 32,
            prefix: 26,
            ..
        }
    ));
    assert!(matches!(
        cidr("10.5.0.0/32").check_fits(u32::MAX, false),
        Err(CidrError::TooSmall { prefix: 0, .. })
    ));
}

#[test]
fn the_virtual_address_is_no_nodes() {
    cidr("10.5.0.0/24").check_fits(48, true).unwrap();
    let error = cidr("10.5.0.0/24").check_fits(49, true).unwrap_err();
    assert!(matches!(error, CidrError::VipTaken { .. }), "{error}");
    cidr("10.5.0.0/24").check_fits(49, false).unwrap();
}

#[test]
fn overlaps_both_ways() {
    let (wide, narrow) = (cidr("172.16.0.0/12"), cidr("172.20.0.0/24"));
    assert!(wide.overlaps(narrow) && narrow.overlaps(wide));
    assert!(!narrow.overlaps(cidr("172.20.1.0/24")));
    let bridge = Cidr::containing("172.20.0.1/24").unwrap();
    assert!(bridge.overlaps(narrow));
    assert!(Cidr::containing("0.0.0.0/0").unwrap().overlaps(narrow));
}

#[test]
fn only_a_small_network_is_one_clusters() {
    let of = |text: &str| Cidr::containing(text).unwrap().may_be_a_clusters();
    for text in [
        "172.20.0.0/24",
        "10.5.0.0/16",
        "172.20.0.0/29",
        "203.0.113.0/24",
    ] {
        assert!(of(text), "{text}");
    }
    for text in [
        "203.0.0.0/8",
        "0.0.0.0/0",
        "10.0.0.0/15",
        "172.20.0.1/32",
        "127.0.0.0/16",
    ] {
        assert!(!of(text), "{text}");
    }
}

#[test]
fn a_network_that_destroy_would_not_believe_is_not_made() {
    let wide = Cidr::parse("10.0.0.0/15").unwrap();
    assert_eq!(
        wide.check_fits(3, false),
        Err(CidrError::TooWide { cidr: wide })
    );
    Cidr::parse("10.0.0.0/16")
        .unwrap()
        .check_fits(3, false)
        .unwrap();
}

proptest! {
    #[test]
    fn display_round_trips(bits: u32, prefix in 0u8..=32) {
        let network = Cidr::new(Ipv4Addr::from_bits(bits), prefix);
        prop_assert_eq!(Cidr::containing(&network.to_string()), Ok(network));
        prop_assert!(network.contains(Ipv4Addr::from_bits(bits)));
    }

    #[test]
    fn what_fits_has_addresses(bits: u32, prefix in 0u8..=32, nodes in 0u32..300, vip: bool) {
        let network = Cidr::new(Ipv4Addr::from_bits(bits), prefix);
        if network.check_fits(nodes, vip).is_ok() {
            prop_assert!(network.gateway().is_some());
            prop_assert!(nodes == 0 || network.node(nodes - 1).is_some());
            prop_assert!(!vip || network.vip().is_some());
        }
    }

    #[test]
    fn overlap_is_symmetric(a: u32, b: u32, p in 0u8..=32, q in 0u8..=32) {
        let (a, b) = (Cidr::new(Ipv4Addr::from_bits(a), p), Cidr::new(Ipv4Addr::from_bits(b), q));
        prop_assert_eq!(a.overlaps(b), b.overlaps(a));
    }

    #[test]
    fn parse_never_panics(text in "\\PC{0,30}") {
        let _ = Cidr::parse(&text);
    }
}
