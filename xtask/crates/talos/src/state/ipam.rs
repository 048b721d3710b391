//! `ipam.db`: the addresses that dhcpd hands out, one JSON object a line,
//! appended at every start of a launcher.
//!
//! Source: pkg/provision/providers/vm/ipam.go. It has the interface's real MAC,
//! which `VMMac` in `<node>.config` is not.

use super::StateError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

const FILE: &str = "ipam.db";

/// One address of one node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamRecord {
    #[serde(rename = "IP")]
    pub ip: IpAddr,
    /// Prefix length.
    pub netmask: u8,
    #[serde(rename = "MAC")]
    pub mac: String,
    /// The node's name; empty with `--disable-dhcp-hostname`.
    pub hostname: String,
    pub gateway: IpAddr,
    #[serde(rename = "MTU", default)]
    pub mtu: u32,
    #[serde(default)]
    pub nameservers: Option<Vec<IpAddr>>,
}

/// Reads `ipam.db`: for each address the last record wins, in order of address.
///
/// # Errors
/// [`StateError::Malformed`] with the line. A last line without its newline is
/// being written and left out.
pub fn parse(text: &str) -> Result<Vec<IpamRecord>, StateError> {
    let mut records: BTreeMap<IpAddr, IpamRecord> = BTreeMap::new();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for (number, line) in whole
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let record: IpamRecord = serde_json::from_str(line).map_err(|error| {
            let column = error.column();
            StateError::Malformed {
                file: FILE,
                line: number + 1,
                column,
                reason: error.to_string(),
            }
        })?;
        records.insert(record.ip, record);
    }
    Ok(records.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../../../../../testdata/state/1.12.0/ipam.db");

    #[test]
    fn a_real_one() {
        let records = parse(RECORDED).unwrap();
        let names: Vec<_> = records
            .iter()
            .map(|record| record.hostname.as_str())
            .collect();
        assert_eq!(names, ["lab-controlplane-1", "lab-worker-1"]);
        assert_eq!(records[0].ip.to_string(), "172.20.0.2");
        assert_eq!((records[0].netmask, records[0].mtu), (24, 1500));
    }

    #[test]
    fn the_last_record_of_an_address_wins() {
        let again = RECORDED.replace("66:2c:e0:2f:da:6f", "02:00:00:00:00:01");
        let records = parse(&format!("{RECORDED}{again}")).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].mac, "02:00:00:00:00:01");
    }

    #[test]
    fn a_line_in_the_making_is_left_out_and_a_broken_one_told() {
        assert_eq!(parse(&RECORDED[..RECORDED.len() - 9]).unwrap().len(), 1);
        assert_eq!(parse("").unwrap(), []);
        let error = parse(&format!("{RECORDED}{{\"IP\":1}}\n")).unwrap_err();
        assert!(
            matches!(error, StateError::Malformed { line: 3, .. }),
            "{error}"
        );
    }
}
