//! Names made from contents. They outlive this binary, so the function that
//! makes them must never change.

use std::fmt::Write;

use hmac_sha256::Hash;

/// Hashes parts in order; where one part ends is hashed too.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "the hash has none")]
pub struct Name(Hash);

impl Name {
    #[must_use]
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// The first `digits` hexadecimal digits of the SHA-256, at most 64.
    pub fn digits(self, digits: usize) -> String {
        let mut text = hex(&self.0.finalize());
        text.truncate(digits);
        text
    }
}

/// The SHA-256 of data that comes in pieces.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "the hash has none")]
pub struct Sha256(Hash);

impl Sha256 {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// 64 hexadecimal digits.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Two hexadecimal digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_as_they_are() {
        let name = |parts: &[&str]| {
            let name = parts.iter().fold(Name::default(), Name::part);
            name.digits(16)
        };
        assert_eq!(name(&["/home/me/talos"]), "32bea9c8f0391a05");
        assert_ne!(name(&["a", "b"]), name(&["ab"]));
        assert_eq!(name(&[]).len(), 16);
    }
}
