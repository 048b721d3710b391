//! What stands before the text of a record: the prefix of the channel, the type,
//! the time and the serial number.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::{self, Finder};

/// When a record was made, and its number within the boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp<'a> {
    /// The characters between the parentheses, which are the same on each channel.
    pub(super) text: &'a [u8],
    /// Since 1970, or since the start before the clock is set.
    pub(super) millis: Option<u64>,
    pub(super) serial: u64,
    /// `ausearch -i`: values are spelled out.
    pub(super) is_interpreted: bool,
}

/// A record within a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) stamp: Option<Stamp<'a>>,
    pub(super) kind: Kind,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Avc,
    UserAvc,
    SelinuxErr,
    Syscall,
    Path,
    Cwd,
    Proctitle,
    /// Anything else of the audit system.
    Other,
}

impl Kind {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"AVC" | b"1400" => Self::Avc,
            b"USER_AVC" | b"1107" => Self::UserAvc,
            b"SELINUX_ERR" | b"1401" => Self::SelinuxErr,
            b"SYSCALL" | b"1300" | b"URINGOP" | b"1336" => Self::Syscall,
            b"PATH" | b"1302" => Self::Path,
            b"CWD" | b"1307" => Self::Cwd,
            b"PROCTITLE" | b"1327" => Self::Proctitle,
            b"" => return None,
            _ => Self::Other,
        })
    }
}

const OPEN: &[u8] = b"audit(";
/// Finds [`OPEN`]; every line is searched for it.
pub(super) static HEADER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(OPEN));
/// A header longer than this is not one.
const LONGEST: usize = 80;

/// Finds the records of a line: several if a line end was lost.
pub(super) fn records<'a>(line: &'a [u8], each: &mut impl FnMut(Found<'a>)) {
    let mut at = 0;
    // The record that waits for its end.
    let mut open: Option<(Option<Stamp<'a>>, Kind, usize)> = None;
    while let Some(found) = HEADER.find(&line[at..]) {
        let start = at + found;
        at = start + OPEN.len();
        let Some((stamp, body)) = stamp(line, at) else {
            continue;
        };
        let (header, kind) = header_before(line, start);
        match open {
            Some((stamp, kind, from)) => each(Found {
                stamp,
                kind,
                body: &line[from.min(header)..header],
            }),
            None => bare(&line[..header], each),
        }
        let kind = kind.unwrap_or(if starts_with_avc(&line[body..]) {
            Kind::Avc
        } else {
            Kind::Other
        });
        open = Some((Some(stamp), kind, body));
        at = body;
    }
    match open {
        Some((stamp, kind, from)) => each(Found {
            stamp,
            kind,
            body: &line[from..],
        }),
        None => bare(line, each),
    }
}

/// Records of journald and of pasted logs have no time and no number.
fn bare<'a>(text: &'a [u8], each: &mut impl FnMut(Found<'a>)) {
    if let Some(at) = memmem::find(text, b"avc:") {
        let before = &text[..at];
        let is_user = memmem::find(before, b"USER_AVC").is_some();
        let kind = if is_user { Kind::UserAvc } else { Kind::Avc };
        each(Found {
            stamp: None,
            kind,
            body: &text[at..],
        });
    }
}

fn starts_with_avc(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"avc:")
}

/// Reads `SECONDS.MILLIS:SERIAL)` and the colon after it; returns where the body
/// begins.
fn stamp(line: &[u8], from: usize) -> Option<(Stamp<'_>, usize)> {
    let rest = &line[from..];
    let close = memchr::memchr(b')', &rest[..rest.len().min(LONGEST)])?;
    let text = &rest[..close];
    let colon = memchr::memrchr(b':', text)?;
    let serial = decimal(&text[colon + 1..])?;
    let (millis, is_interpreted) = match epoch_millis(&text[..colon]) {
        Some(millis) => (Some(millis), false),
        None => (None, true),
    };
    let mut body = from + close + 1;
    while let Some(b':' | b' ') = line.get(body) {
        body += 1;
    }
    let stamp = Stamp {
        text,
        millis,
        serial,
        is_interpreted,
    };
    Some((stamp, body))
}

fn epoch_millis(text: &[u8]) -> Option<u64> {
    let dot = memchr::memchr(b'.', text)?;
    let (seconds, fraction) = (decimal(&text[..dot])?, &text[dot + 1..]);
    if fraction.len() != 3 {
        return None;
    }
    seconds.checked_mul(1000)?.checked_add(decimal(fraction)?)
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 {
        return None;
    }
    text.iter().try_fold(0u64, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

/// Returns where the header begins that `audit(` at `at` belongs to, and its type.
fn header_before(line: &[u8], at: usize) -> (usize, Option<Kind>) {
    let before = &line[..at];
    let trimmed = before.trim_ascii_end();
    let trimmed = trimmed.strip_suffix(b"msg=").unwrap_or(trimmed);
    let trimmed = trimmed.trim_ascii_end();
    let word = trimmed
        .iter()
        .rposition(|byte| *byte == b'=')
        .and_then(|equals| {
            let start = equals.checked_sub(4)?;
            (&trimmed[start..equals] == b"type").then_some((start, &trimmed[equals + 1..]))
        });
    match word {
        Some((start, name)) => (start, Kind::named(name)),
        None => (at, None),
    }
}

/// What the text before the first record says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Prefix<'a> {
    pub(super) node: Option<&'a [u8]>,
    /// Microseconds since the start, as printk writes them.
    pub(super) since_start: Option<u64>,
}

/// Reads the prefix of a line that does not begin with a record.
pub(super) fn prefix(line: &[u8]) -> Prefix<'_> {
    let line = line.trim_ascii_start();
    Prefix {
        node: node(line),
        since_start: since_start(line),
    }
}

/// `10.5.0.2: …` of talosctl, `10.5.0.2/service-logs/…` of an archive, or the host of a journal.
fn node(line: &[u8]) -> Option<&[u8]> {
    let word = &line[..line.iter().position(u8::is_ascii_whitespace)?];
    let is_address =
        |word: &[u8]| std::str::from_utf8(word).is_ok_and(|word| word.parse::<IpAddr>().is_ok());
    let candidates = [
        word.strip_suffix(b":"),
        word.iter()
            .position(|byte| *byte == b'/')
            .map(|end| &word[..end]),
    ];
    let address = candidates.into_iter().flatten().find(|it| is_address(it));
    address.or_else(|| journal_host(line))
}

/// `Oct 03 04:05:06 HOST audit[959]: …`
fn journal_host(line: &[u8]) -> Option<&[u8]> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let month = words.next()?;
    let is_month = month.len() == 3 && month.iter().all(u8::is_ascii_alphabetic);
    let day = words.next()?;
    let time = words.next()?;
    let host = words.next()?;
    let process = words.next()?;
    let is_time = time.len() >= 8 && memchr::memchr_iter(b':', time).count() == 2;
    let is_process = process.ends_with(b":");
    (is_month && day.iter().all(u8::is_ascii_digit) && is_time && is_process).then_some(host)
}

/// `[   12.345678]` anywhere in the first characters.
fn since_start(line: &[u8]) -> Option<u64> {
    let head: Range<usize> = 0..line.len().min(LONGEST);
    let open = memchr::memchr(b'[', &line[head.clone()])?;
    let rest = line[open + 1..head.end].trim_ascii_start();
    let close = memchr::memchr(b']', rest)?;
    let dot = memchr::memchr(b'.', &rest[..close])?;
    let (seconds, fraction) = (decimal(&rest[..dot])?, &rest[dot + 1..close]);
    if fraction.len() != 6 {
        return None;
    }
    seconds
        .checked_mul(1_000_000)?
        .checked_add(decimal(fraction)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &str) -> Vec<(Kind, Option<u64>, String)> {
        let mut found = Vec::new();
        records(line.as_bytes(), &mut |it| {
            let body = String::from_utf8_lossy(it.body).into_owned();
            found.push((it.kind, it.stamp.map(|stamp| stamp.serial), body));
        });
        found
    }

    #[test]
    fn headers_of_each_channel() {
        let body = "avc:  denied  { read } for pid=1";
        for (prefix, serial) in [
            ("type=AVC msg=audit(1791000000.101:501): ", Some(501)),
            (
                "10.0.0.2: type=AVC msg=audit(1791000000.101:501): ",
                Some(501),
            ),
            (
                "[   12.345678] audit: type=1400 audit(1.020:31): ",
                Some(31),
            ),
            (
                "01/01/1970 01:00:02 audit: type=1400 audit(3.327:3): ",
                Some(3),
            ),
            (
                "type=AVC msg=audit(03.10.2026 04:05:06.123:77) : ",
                Some(77),
            ),
            ("audit(1791000000.101:9): ", Some(9)),
            ("Oct 03 04:05:06 node-a audit[959]: AVC ", None),
            ("type=AVC ", None),
        ] {
            let found = all(&format!("{prefix}{body}"));
            assert_eq!(found, [(Kind::Avc, serial, body.to_owned())], "{prefix}");
        }
    }

    #[test]
    fn two_records_on_one_line_and_no_record() {
        let found = all(
            "[ 1.0] audit: type=1400 audit(1.000:3): avc: denied { read }[ 1.1] audit: type=1300 audit(1.000:3): syscall=1",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].0, Kind::Avc);
        assert_eq!(found[1], (Kind::Syscall, Some(3), "syscall=1".to_owned()));
        for text in [
            "audit(",
            "audit(x:)",
            "audit(1.000:)",
            "type=AVC msg=audit(1.000:1",
            "",
        ] {
            assert_eq!(all(text), [], "{text}");
        }
    }

    #[test]
    fn prefixes_name_the_node_and_the_time_since_the_start() {
        let text = |line: &'static str| {
            let found = prefix(line.as_bytes());
            let node = found
                .node
                .map(|node| String::from_utf8_lossy(node).into_owned());
            (node.unwrap_or_default(), found.since_start)
        };
        assert_eq!(
            text("10.77.0.2: kern: notice: [2026-10-03T04:05:06Z]: audit: "),
            ("10.77.0.2".into(), None)
        );
        assert_eq!(text("fd00::2: type=AVC"), ("fd00::2".into(), None));
        assert_eq!(
            text("172.20.1.2/service-logs/auditd.log:12: type"),
            ("172.20.1.2".into(), None)
        );
        assert_eq!(
            text("Oct 03 04:05:06 node-a audit[959]: AVC "),
            ("node-a".into(), None)
        );
        assert_eq!(
            text("[   12.345678] audit: "),
            (String::new(), Some(12_345_678))
        );
        assert_eq!(text("kernel: audit: "), (String::new(), None));
    }
}
