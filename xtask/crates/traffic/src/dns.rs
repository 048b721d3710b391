//! DNS messages: the question, and of an answer its code and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name has at most 255 bytes, so at most as many labels.
const MOST_LABELS: usize = 128;
/// Records of an answer that are looked at.
const MOST_RECORDS: u16 = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) name: String,
    /// `A`, `AAAA`, or a number.
    pub(crate) kind: String,
    /// `None` for a question.
    pub(crate) answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The response code, 0 for success.
    pub(crate) code: u8,
    pub(crate) addresses: Vec<IpAddr>,
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Message> {
    let header = bytes.first_chunk::<12>()?;
    let is_answer = header[2] & 0x80 != 0;
    let questions = u16::from_be_bytes([header[4], header[5]]);
    // Only standard queries; no client asks several questions at once.
    if header[2] & 0x78 != 0 || questions != 1 {
        return None;
    }
    let (name, at) = read_name(bytes, 12)?;
    let kind = number(bytes, at)?;
    let answer = is_answer.then(|| Answer {
        code: header[3] & 0x0f,
        addresses: addresses(bytes, at + 4, u16::from_be_bytes([header[6], header[7]])),
    });
    Some(Message {
        name,
        kind: match kind {
            1 => "A".to_owned(),
            28 => "AAAA".to_owned(),
            other => other.to_string(),
        },
        answer,
    })
}

/// Addresses of the answer's records, as far as the message was captured.
fn addresses(bytes: &[u8], mut at: usize, count: u16) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for _ in 0..count.min(MOST_RECORDS) {
        let Some(next) = record(bytes, at, &mut found) else {
            break;
        };
        at = next;
    }
    found
}

/// Reads one record and returns the place of the next.
fn record(bytes: &[u8], at: usize, found: &mut Vec<IpAddr>) -> Option<usize> {
    let at = skip_name(bytes, at)?;
    let kind = number(bytes, at)?;
    let length = usize::from(number(bytes, at + 8)?);
    let data = bytes.get(at + 10..at + 10 + length)?;
    match (kind, data.len()) {
        (1, 4) => found.push(Ipv4Addr::from(*data.first_chunk::<4>()?).into()),
        (28, 16) => found.push(Ipv6Addr::from(*data.first_chunk::<16>()?).into()),
        _ => {}
    }
    Some(at + 10 + length)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// The name of a question, which is never compressed, and the place after it.
fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    for _ in 0..MOST_LABELS {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > 63 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = bytes.get(at..at + length)?;
        name.push_str(&String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    None
}

/// A name of a record may end with a pointer.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..MOST_LABELS {
        let length = usize::from(*bytes.get(at)?);
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + length,
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A question, or its answer with a code and one address.
    pub(crate) fn message(name: &str, answer: Option<(u8, [u8; 4])>) -> Vec<u8> {
        let flags = if answer.is_some() { 0x81 } else { 0x01 };
        let code = answer.map_or(0, |(code, _)| code);
        let records = u8::from(answer.is_some_and(|(code, _)| code == 0));
        let mut bytes = vec![7, 7, flags, code, 0, 1, 0, records, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.bytes());
        }
        bytes.extend([0, 0, 1, 0, 1]);
        if let Some((0, address)) = answer {
            bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            bytes.extend(address);
        }
        bytes
    }

    #[test]
    fn questions_and_answers() {
        let asked = parse(&message("Ghcr.io", None)).unwrap();
        assert_eq!((asked.name.as_str(), asked.kind.as_str()), ("ghcr.io", "A"));
        assert_eq!(asked.answer, None);
        let answered = parse(&message("ghcr.io", Some((0, [192, 0, 2, 7])))).unwrap();
        let addresses = vec!["192.0.2.7".parse().unwrap()];
        assert_eq!(answered.answer, Some(Answer { code: 0, addresses }));
        let missing = parse(&message("ghcr.io", Some((3, [0; 4])))).unwrap();
        assert_eq!(missing.answer.unwrap().code, 3);
    }

    #[test]
    fn a_cut_message_gives_what_was_captured() {
        let whole = message("ghcr.io", Some((0, [192, 0, 2, 7])));
        for end in 0..whole.len() {
            if let Some(message) = parse(&whole[..end]) {
                assert_eq!(message.name, "ghcr.io");
                assert!(message.answer.unwrap().addresses.is_empty());
            }
        }
    }
}
