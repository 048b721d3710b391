//! Digests, and a reader that verifies one while it is read.

use std::fmt;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::error::{Cause, ImageError, Result};

/// `sha256:…`, the one algorithm that builders use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// # Errors
    /// If it is not `sha256:` and 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let hex = text
            .strip_prefix("sha256:")
            .ok_or_else(|| format!("`{text}` is not a SHA-256 digest"))?;
        Self::from_hex(hex).ok_or_else(|| format!("`{text}` is not a SHA-256 digest"))
    }

    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let hex = hex.as_bytes();
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    pub fn of(bytes: &[u8]) -> Self {
        Self(hmac_sha256::Hash::hash(bytes))
    }

    /// 64 hexadecimal digits, the name of the blob in an OCI layout.
    pub fn hex(&self) -> String {
        use fmt::Write;
        self.0.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // a String takes everything
            text
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// What a blob must be; an archive of docker's own form names neither.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) digest: Option<Digest>,
    pub(crate) size: Option<u64>,
}

/// Reads a blob and fails at its end, or past its size, if it is not the
/// expected one. Upstream does not notice this in an OCI layout.
pub(crate) struct Verified<R> {
    inner: R,
    what: String,
    expected: Expected,
    hash: hmac_sha256::Hash,
    read: u64,
    done: bool,
    cause: Cause,
}

impl<R: Read> Verified<R> {
    pub(crate) fn new(inner: R, what: String, expected: Expected, cause: Cause) -> Self {
        Self {
            inner,
            what,
            expected,
            hash: hmac_sha256::Hash::new(),
            read: 0,
            done: false,
            cause,
        }
    }

    fn check(&self) -> Result<()> {
        if let Some(size) = self.expected.size
            && self.read < size
        {
            return Err(ImageError::Truncated {
                what: self.what.clone(),
                got: self.read,
                expected: size,
            });
        }
        let actual = Digest(self.hash.finalize());
        match &self.expected.digest {
            Some(expected) if *expected != actual => Err(ImageError::Digest {
                what: self.what.clone(),
                expected: expected.clone(),
                actual,
            }),
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.inner.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                return Err(self.cause.stop(ImageError::io(self.what.clone(), &error)));
            }
        };
        if read == 0 && !buffer.is_empty() {
            if !self.done {
                self.done = true;
                self.check().map_err(|error| self.cause.stop(error))?;
            }
            return Ok(0);
        }
        self.read += read as u64;
        if let Some(size) = self.expected.size
            && self.read > size
        {
            return Err(self.cause.stop(ImageError::TooLong {
                what: self.what.clone(),
                expected: size,
            }));
        }
        if self.expected.digest.is_some() {
            self.hash.update(&buffer[..read]);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], digest: Option<Digest>, size: Option<u64>) -> Result<u64> {
        let cause = Cause::default();
        let expected = Expected { digest, size };
        let mut reader = Verified::new(bytes, "blob".into(), expected, cause.clone());
        io::copy(&mut reader, &mut io::sink())
            .map_err(|_| cause.or_else(|| ImageError::missing("a cause")))
    }

    #[test]
    fn text_form_is_that_of_the_specification() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::parse(text), Ok(digest));
        for bad in [
            "",
            "sha256:",
            "sha512:00",
            &text.to_uppercase(),
            &text[..70],
        ] {
            Digest::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn a_blob_is_what_its_descriptor_says_or_an_error() {
        let digest = Digest::of(b"hello");
        assert_eq!(read(b"hello", Some(digest.clone()), Some(5)), Ok(5));
        assert!(matches!(
            read(b"jello", Some(digest.clone()), Some(5)),
            Err(ImageError::Digest { .. })
        ));
        assert!(matches!(
            read(b"hell", Some(digest.clone()), Some(5)),
            Err(ImageError::Truncated { got: 4, .. })
        ));
        assert!(matches!(
            read(b"hello!", Some(digest), Some(5)),
            Err(ImageError::TooLong { .. })
        ));
    }
}
