//! Names of bridges, chains, namespaces and cache files that are derived from a
//! cluster's name.

/// Bridge of a network: `talos` and the first 8 hex digits of sha256(name).
/// A cluster's network has the cluster's name.
pub fn bridge_name(network: &str) -> String {
    format!("talos{}", hashed(network, 8))
}

/// Whether `link` has the form of a [`bridge_name`], for any network.
pub fn is_bridge_name(link: &str) -> bool {
    is_hashed(link, "talos", 8)
}

/// Whether `link` has the form of a [`fabric_bridge_name`].
pub fn is_fabric_bridge_name(link: &str) -> bool {
    is_hashed(link, "bgp", 11)
}

fn is_hashed(link: &str, prefix: &str, digits: usize) -> bool {
    link.strip_prefix(prefix)
        .is_some_and(|hex| hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Bridge between one node's uplink and this host in a BGP fabric
/// (`--with-bgp-clos`, 1.14+, 2193b5781): `bgp` and the first 11 hex digits of
/// sha256(network-node-uplink), both counted from 0.
pub fn fabric_bridge_name(network: &str, node: u32, uplink: u32) -> String {
    let of = format!("{network}-{node}-{uplink}");
    format!("bgp{}", hashed(&of, 11))
}

/// Whether a bridge is one of this network's fabric. More nodes than a host
/// holds, and twice the uplinks that talosctl makes, are tried.
pub fn is_fabric_bridge(network: &str, bridge: &str) -> bool {
    is_fabric_bridge_name(bridge)
        && (0..128)
            .any(|node| (0..4).any(|uplink| fabric_bridge_name(network, node, uplink) == bridge))
}

/// Whether a name in /run/netns has the form of CNI's test helper, which talosctl's
/// launcher uses: `cnitest-<uuid>`.
pub fn is_cni_netns(name: &str) -> bool {
    name.strip_prefix("cnitest-").is_some_and(is_uuid)
}

/// Container id in the name of a CNI cache file of `network`:
/// `<network>-<uuid>-veth0` in `cni/cache/results`.
pub fn cni_cache_container<'a>(network: &str, file: &'a str) -> Option<&'a str> {
    let id = file
        .strip_prefix(network)?
        .strip_prefix('-')?
        .strip_suffix("-veth0")?;
    is_uuid(id).then_some(id)
}

/// `8-4-4-4-12` hexadecimal digits.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// The first `digits` hexadecimal digits of sha256(text), at most 16.
fn hashed(text: &str, digits: usize) -> String {
    let hash = hmac_sha256::Hash::hash(text.as_bytes());
    let first = hash[..8]
        .iter()
        .fold(0_u64, |first, byte| first << 8 | u64::from(*byte));
    let mut name = format!("{first:016x}");
    name.truncate(digits);
    name
}
