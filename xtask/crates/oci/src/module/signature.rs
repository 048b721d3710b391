//! The signature at the end of a module, and who made it.
//!
//! Not the crates cms and x509-cert: cms is a pre-release, and three fields of a
//! structure with definite lengths are wanted. `scripts/sign-file` writes no other.

use std::fmt;

const MAGIC: &[u8] = b"~Module signature appended~\n";
/// `struct module_signature` of the kernel.
const TRAILER: usize = 12;
const PKCS7: u8 = 2;
/// Largest signature: a key of 4096 bits needs 512 bytes and a name.
const LONGEST: usize = 64 << 10;

/// Who signed a module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    /// The common name of the certificate's issuer; empty with a bare key identifier.
    pub signer: String,
    /// The certificate's serial number or its key identifier, as modinfo shows it.
    pub key: String,
    /// Of the digest, such as `sha512`.
    pub hash: String,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.key.chars().take(23).collect();
        write!(f, "key {short} of `{}` ({})", self.signer, self.hash)
    }
}

/// Why a module's signature cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("it is not signed")]
    Unsigned,
    #[error("its signature is not PKCS#7")]
    NotPkcs7,
    #[error("its signature cannot be parsed")]
    Invalid,
}

/// Reads the signature of a module, whose end is `bytes`.
///
/// # Errors
/// If it has none, or one of another form.
pub fn of_module(bytes: &[u8]) -> Result<Signature, SignatureError> {
    let rest = bytes.strip_suffix(MAGIC).ok_or(SignatureError::Unsigned)?;
    let (rest, trailer) = rest
        .split_last_chunk::<TRAILER>()
        .ok_or(SignatureError::Invalid)?;
    let [_, _, id_type, signer, key, _, _, _, size @ ..] = trailer;
    if *id_type != PKCS7 || *signer != 0 || *key != 0 {
        return Err(SignatureError::NotPkcs7);
    }
    let size = usize::try_from(u32::from_be_bytes(*size)).map_err(|_| SignatureError::Invalid)?;
    if size > LONGEST || size > rest.len() {
        return Err(SignatureError::Invalid);
    }
    signer_of(&rest[rest.len() - size..]).ok_or(SignatureError::Invalid)
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
/// `[0] IMPLICIT OCTET STRING`, a key identifier.
const KEY_ID: u8 = 0x80;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// `ContentInfo`, in it `SignedData`, in it the first `SignerInfo`.
fn signer_of(der: &[u8]) -> Option<Signature> {
    let mut info = Der(Der(der).take(SEQUENCE)?);
    info.take(OID)?;
    let mut signed = Der(Der(info.take(CONTEXT_0)?).take(SEQUENCE)?);
    signed.take(INTEGER)?;
    signed.take(SET)?;
    signed.take(SEQUENCE)?;
    // Certificates and revocation lists; the kernel has its own.
    signed.skip(CONTEXT_0);
    signed.skip(CONTEXT_1);
    let mut entry = Der(Der(signed.take(SET)?).take(SEQUENCE)?);
    entry.take(INTEGER)?;
    let (name, key) = if let Some(key) = entry.take(KEY_ID) {
        (String::new(), key)
    } else {
        let mut id = Der(entry.take(SEQUENCE)?);
        let issuer = common_name(id.take(SEQUENCE)?);
        (issuer, id.take(INTEGER)?)
    };
    let hash = Der(entry.take(SEQUENCE)?).take(OID)?;
    let hex: Vec<String> = key.iter().map(|byte| format!("{byte:02X}")).collect();
    Some(Signature {
        signer: name,
        key: hex.join(":"),
        hash: hash_name(hash),
    })
}

fn common_name(names: &[u8]) -> String {
    let mut names = Der(names);
    while let Some(name) = names.take(SET) {
        let mut pair = Der(Der(name).take(SEQUENCE).unwrap_or_default());
        if pair.take(OID) == Some(COMMON_NAME)
            && let Some((_, value)) = pair.next()
        {
            return String::from_utf8_lossy(value).into_owned();
        }
    }
    String::new()
}

fn hash_name(oid: &[u8]) -> String {
    match oid {
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, n] => match n {
            1 => "sha256",
            2 => "sha384",
            3 => "sha512",
            8 => "sha3-256",
            9 => "sha3-384",
            10 => "sha3-512",
            _ => "an unknown hash",
        },
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => "sha1",
        _ => "an unknown hash",
    }
    .to_owned()
}

/// DER with definite lengths.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let count = usize::from(first & 0x7f);
            if !(1..=3).contains(&count) || rest.len() < count {
                return None;
            }
            let (bytes, after) = rest.split_at(count);
            length = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            rest = after;
        }
        let value = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((tag, value))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        match self.next() {
            Some((found, value)) if found == tag => Some(value),
            _ => {
                self.0 = before;
                None
            }
        }
    }

    fn skip(&mut self, tag: u8) {
        let _ = self.take(tag);
    }
}
