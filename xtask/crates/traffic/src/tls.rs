//! The server name of a TLS hello (RFC 8446, 4.1.2; RFC 6066, 3). Go puts the
//! extension first, so the first segment of a long hello is enough.

/// Whether this begins a handshake record with the hello of a client.
pub(crate) fn is_hello(record: &[u8]) -> bool {
    matches!(record, [22, 3, _, _, _, 1, ..])
}

/// Returns the server name; a hello to an address has none.
pub(crate) fn server_name(record: &[u8]) -> Option<String> {
    // Record header 5, handshake header 4, version 2, random 32.
    let at = skip_short(record, 43)?;
    let at = skip_long(record, at)?;
    let at = skip_short(record, at)?;
    let end = record.len().min(at + 2 + long(record, at)?);
    let mut at = at + 2;
    while at + 4 <= end {
        let (kind, length) = (long(record, at)?, long(record, at + 2)?);
        if kind == 0 {
            // A list; its first entry is of type 0, a host name.
            let length = long(record, at + 7)?;
            let name = record.get(at + 9..at + 9 + length)?;
            return String::from_utf8(name.to_vec()).ok();
        }
        at += 4 + length;
    }
    None
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let pair = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_be_bytes([pair[0], pair[1]])))
}

fn skip_short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + 1 + usize::from(*bytes.get(at)?))
}

fn skip_long(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + 2 + long(bytes, at)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A hello with one extension before the name.
    pub(crate) fn hello(name: &str) -> Vec<u8> {
        let length = |value: usize| u16::try_from(value).unwrap().to_be_bytes();
        let mut extensions = vec![0xff, 1, 0, 1, 0];
        extensions.extend([0, 0]);
        extensions.extend(length(name.len() + 5));
        extensions.extend(length(name.len() + 3));
        extensions.push(0);
        extensions.extend(length(name.len()));
        extensions.extend(name.bytes());
        let mut bytes = vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
        bytes.extend([7; 32]);
        bytes.extend([0, 0, 2, 0x13, 1, 1, 0]);
        bytes.extend(length(extensions.len()));
        bytes.extend(extensions);
        bytes
    }

    #[test]
    fn the_name_is_found_and_a_cut_hello_is_a_hello() {
        let whole = hello("registry.k8s.io");
        assert!(is_hello(&whole));
        assert_eq!(server_name(&whole).as_deref(), Some("registry.k8s.io"));
        for end in 6..whole.len() {
            assert!(is_hello(&whole[..end]));
            assert_eq!(server_name(&whole[..end]), None, "{end}");
        }
        assert!(!is_hello(b"GET / HTTP/1.1\r\n"));
    }
}
