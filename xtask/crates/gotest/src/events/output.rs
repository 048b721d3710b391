//! Output with a limit: complete up to the limit, then its beginning and its end.

use std::collections::VecDeque;

/// Bytes of the beginning, and as many of the end.
const HALF: usize = 2 << 20;

/// The output of a test or of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Output {
    pub fn push(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(HALF - self.head.len());
        self.head.extend_from_slice(&bytes[..fits]);
        self.tail.extend(&bytes[fits..]);
        let over = self.tail.len().saturating_sub(HALF);
        if over > 0 {
            self.tail.drain(..over);
            self.left_out += over as u64;
        }
    }

    /// Counts `bytes` as left out.
    pub fn leave_out(&mut self, bytes: &[u8]) {
        self.left_out += bytes.len() as u64;
    }

    /// Number of bytes that are kept.
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }

    /// Number of bytes that were left out.
    #[cfg(test)]
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The output as text, with a line where bytes were left out.
    pub fn text(&self) -> String {
        let mut bytes = self.head.clone();
        if self.left_out > 0 {
            let line = format!("\n[… {} bytes are left out here]\n", self.left_out);
            bytes.extend_from_slice(line.as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last `most` bytes at most, as text.
    pub fn end(&self, most: usize) -> String {
        let skip = self.len().saturating_sub(most);
        let (head, tail) = (self.head.iter(), self.tail.iter());
        let bytes: Vec<u8> = head.chain(tail).skip(skip).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Removes all output.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_kept_whole_and_much_at_both_ends() {
        let mut kept = Output::default();
        kept.push(b"first\n");
        kept.push(b"second\n");
        assert_eq!(kept.text(), "first\nsecond\n");
        for _ in 0..10_000 {
            kept.push(&[b'x'; 1000]);
        }
        kept.push(b"last\n");
        let text = kept.text();
        assert!(text.starts_with("first\nsecond\nxxx") && text.ends_with("xxxlast\n"));
        assert_eq!(kept.left_out(), 13 + 10_000_000 + 5 - 2 * HALF as u64);
    }
}
