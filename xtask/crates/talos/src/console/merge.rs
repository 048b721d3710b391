//! Merges the consoles of several nodes into one stream, in the order of
//! wall-clock time.
//!
//! Consoles carry no wall-clock time, only seconds since each kernel's start ([`Clock`]).
//! The newest boot is anchored at the time of the console's newest line (the
//! file's mtime), older boots directly precede it: firmware time, and time that
//! a node was off, are unknown and count as none.

use super::clock::Clock;
use super::line::{Lines, MAX_LINE, clean};
use super::marker::{Marker, marker};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A console to merge.
#[derive(Debug, Clone, Copy)]
pub struct Console<'a> {
    pub node: &'a str,
    pub bytes: &'a [u8],
    /// Wall-clock time of its newest line, milliseconds since 1970.
    pub newest_ms: i64,
}

/// A line of one console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedLine<'a> {
    /// Estimated, milliseconds since 1970; never runs backwards within a console.
    pub wall_ms: i64,
    pub node: &'a str,
    /// Without escape sequences; with its kernel time stamp.
    pub text: String,
}

/// Merges consoles; lines of one console keep their order, and of two lines of
/// one millisecond the one of the console given first comes first.
pub fn merge<'a>(consoles: &[Console<'a>]) -> Merged<'a> {
    let mut streams: Vec<_> = consoles
        .iter()
        .map(|console| Stream::new(*console))
        .collect();
    let heads = streams.iter_mut().enumerate();
    let heads = heads
        .filter_map(|(i, stream)| Some(Reverse((stream.load()?, i))))
        .collect();
    Merged { streams, heads }
}

/// Iterator of [`merge`].
#[derive(Debug)]
pub struct Merged<'a> {
    streams: Vec<Stream<'a>>,
    heads: BinaryHeap<Reverse<(i64, usize)>>,
}

impl<'a> Iterator for Merged<'a> {
    type Item = MergedLine<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((wall_ms, index)) = self.heads.pop()?;
        let stream = self.streams.get_mut(index)?;
        let text = std::mem::take(&mut stream.head);
        let node = stream.console.node;
        if let Some(next) = stream.load() {
            self.heads.push(Reverse((next, index)));
        }
        Some(MergedLine {
            wall_ms,
            node,
            text,
        })
    }
}

/// A boot in a console: where it begins, and the wall time of its kernel's start.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    zero_ms: i64,
}

/// One console, read line by line.
#[derive(Debug)]
struct Stream<'a> {
    console: Console<'a>,
    /// Boots not yet entered, newest first.
    ahead: Vec<Span>,
    zero_ms: i64,
    clock: Clock,
    at: usize,
    head: String,
    head_ms: i64,
}

impl<'a> Stream<'a> {
    fn new(console: Console<'a>) -> Self {
        let ahead = spans(console.bytes, console.newest_ms);
        // Lines before the first boot belong to its beginning.
        let zero_ms = ahead
            .last()
            .map_or(console.newest_ms, |first| first.zero_ms);
        Self {
            console,
            ahead,
            zero_ms,
            clock: Clock::default(),
            at: 0,
            head: String::new(),
            head_ms: i64::MIN,
        }
    }

    /// Makes the next line the head and returns its time.
    fn load(&mut self) -> Option<i64> {
        let rest = self
            .console
            .bytes
            .get(self.at..)
            .filter(|rest| !rest.is_empty())?;
        if let Some(span) = self.ahead.pop_if(|span| span.start <= self.at) {
            self.zero_ms = span.zero_ms;
            self.clock = Clock::default();
            self.head_ms = self.head_ms.max(span.zero_ms);
        }
        // In pieces if it is a line without end, as in `Lines`.
        let reach = rest.len().min(MAX_LINE + 1);
        let newline = memchr::memchr(b'\n', &rest[..reach]);
        let length = newline.unwrap_or(reach.min(MAX_LINE));
        self.at += length + usize::from(newline.is_some());
        let text = clean(&rest[..length]);
        if let Some(stamped) = self.clock.read(&text) {
            let wall_ms = self.zero_ms + millis(stamped.time());
            self.head_ms = self.head_ms.max(wall_ms);
        } else if self.head_ms == i64::MIN {
            self.head_ms = self.zero_ms;
        }
        self.head = String::from_utf8_lossy(&text).into_owned();
        Some(self.head_ms)
    }
}

/// Boots of a console with their wall times, newest first.
fn spans(bytes: &[u8], newest_ms: i64) -> Vec<Span> {
    // Start, clock, banner seen. The first boot is the one whose beginning is not in `bytes`, if it has any line.
    let mut boots: Vec<(usize, Clock, bool)> = vec![(0, Clock::default(), true)];
    let mut each = |offset: u64, line: &[u8]| {
        let text = clean(line);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match marker(&text) {
            Some(Marker::Launch { .. }) => boots.push((start, Clock::default(), false)),
            Some(Marker::Banner { .. }) => match boots.last_mut() {
                Some((_, _, banner)) if !*banner => *banner = true,
                _ => boots.push((start, Clock::default(), true)),
            },
            None => {}
        }
        if let Some((_, clock, _)) = boots.last_mut() {
            clock.read(&text);
        }
    };
    let mut lines = Lines::default();
    lines.feed(bytes, &mut each);
    lines.finish(&mut each);
    let mut end_ms = newest_ms;
    let newest_first = boots.into_iter().rev();
    newest_first
        .map(|(start, clock, _)| {
            end_ms -= millis(clock.last());
            Span {
                start,
                zero_ms: end_ms,
            }
        })
        .collect()
}

/// Kernel times stay far below the 52 bits that a float keeps exactly.
#[allow(clippy::cast_possible_truncation)]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"starting /q with args:\n-m 1\n[    0.000000] Linux version 6.1\n[    2.000000] a1\nstarting /q with args:\n-m 1\nfirmware\n[    0.000000] Linux version 6.1\n[    4.000000] a2\n";
    const B: &[u8] = b"[    0.000000] Linux version 6.1\r\n[    3.500000] b1\r\nplain\n[    3.000000] late\ntail";

    fn merged(consoles: &[Console]) -> Vec<(i64, String, String)> {
        merge(consoles)
            .map(|l| (l.wall_ms, l.node.to_owned(), l.text))
            .collect()
    }

    #[test]
    fn boots_are_laid_end_to_end_before_the_newest_line() {
        let lines = merged(&[Console {
            node: "a",
            bytes: A,
            newest_ms: 10_000,
        }]);
        let times: Vec<_> = lines.iter().map(|(time, _, _)| *time).collect();
        assert_eq!(
            times,
            [4000, 4000, 4000, 6000, 6000, 6000, 6000, 6000, 10_000]
        );
    }

    /// `logs -n` reads no more of a long console than it shows.
    #[test]
    fn the_end_of_a_console_has_the_times_of_the_whole() {
        let end =
            b"[    3.000000] a1\n[    4.000000] a2\nstarting /q with args:\n[    2.000000] b1\n";
        let lines = merged(&[Console {
            node: "a",
            bytes: end,
            newest_ms: 10_000,
        }]);
        let times: Vec<_> = lines.iter().map(|(time, _, _)| *time).collect();
        assert_eq!(times, [7000, 8000, 8000, 10_000]);
    }

    #[test]
    fn consoles_interleave_by_time() {
        let lines = merged(&[
            Console {
                node: "a",
                bytes: A,
                newest_ms: 10_000,
            },
            Console {
                node: "b",
                bytes: B,
                newest_ms: 10_000,
            },
        ]);
        let order: Vec<_> = lines.iter().map(|(_, node, _)| node.as_str()).collect();
        assert_eq!(order.concat(), "aaaaaaaabbabbb".replace("bbabbb", "babbbb"));
        assert!(lines.is_sorted_by_key(|(time, _, _)| *time));
        let b: Vec<_> = lines
            .iter()
            .filter(|l| l.1 == "b")
            .map(|l| l.2.as_str())
            .collect();
        assert_eq!(
            b[1..],
            ["[    3.500000] b1", "plain", "[    3.000000] late", "tail"]
        );
    }

    #[test]
    fn empty_and_bootless_consoles() {
        let lines = merged(&[
            Console {
                node: "a",
                bytes: b"",
                newest_ms: 5,
            },
            Console {
                node: "b",
                bytes: b"error provisioning CNI network\n",
                newest_ms: 7,
            },
        ]);
        assert_eq!(
            lines,
            [(7, "b".into(), "error provisioning CNI network".into())]
        );
    }
}
