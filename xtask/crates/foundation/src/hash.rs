//! Names made from contents. They outlive this binary, so the function that
//! makes them must never change.

use std::fmt::Write;
use std::io::{ErrorKind, Read};

use hmac_sha256::Hash;
use serde::{Deserialize, Serialize};

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

/// The SHA-256 of data in memory.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Hash::hash(bytes)
}

/// The checksums of a source, as pkgs states them, and what it begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    pub sha256: String,
    pub sha512: String,
    pub bytes: u64,
    /// The first bytes, at most 512, in hexadecimal.
    pub head: String,
}

impl Checksums {
    /// Reads to the end.
    ///
    /// # Errors
    /// I/O errors.
    pub fn of(mut from: impl Read) -> std::io::Result<Self> {
        let (mut sha256, mut sha512) = (Hash::new(), hmac_sha512::Hash::new());
        let (mut bytes, mut head) = (0, Vec::new());
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => &buffer[..read],
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            sha256.update(read);
            sha512.update(read);
            bytes += read.len() as u64;
            let wanted = HEAD.saturating_sub(head.len()).min(read.len());
            head.extend_from_slice(&read[..wanted]);
        }
        Ok(Self {
            sha256: hex(&sha256.finalize()),
            sha512: hex(&sha512.finalize()),
            bytes,
            head: hex(&head),
        })
    }
}

/// Enough for the signature of a tar archive, which is at 257.
const HEAD: usize = 512;

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

    /// The figures are those of sha256sum and sha512sum.
    #[test]
    fn checksums_are_those_of_coreutils() {
        let sums = Checksums::of(&b"abc\n"[..]).unwrap();
        assert_eq!(
            sums.sha256,
            "edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb"
        );
        assert!(
            sums.sha512
                .starts_with("4f285d0c0cc77286d8731798b7aae2639e28270d")
        );
        assert_eq!((sums.bytes, sums.head.as_str()), (4, "6162630a"));
        assert_eq!(sums.sha512.len(), 128);
    }

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
