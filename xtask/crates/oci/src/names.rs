//! Names by the distribution specification
//! (github.com/opencontainers/distribution-spec/blob/main/spec.md). They become
//! parts of requests and are printed, so no other names are accepted from a
//! registry.

/// Maximum bytes of a repository's name.
const LONGEST: usize = 255;
/// Maximum characters of a tag.
const LONGEST_TAG: usize = 128;

/// `siderolabs/imager`
#[must_use]
pub fn is_repository(name: &str) -> bool {
    name.len() <= LONGEST && name.split('/').all(is_component)
}

/// Lower-case words, with `.`, `_`, `__` or dashes between them.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_end = |byte: Option<&u8>| byte.is_some_and(|byte| is_word(*byte));
    let bytes = text.as_bytes();
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_separator =
        |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    is_end(bytes.first()) && is_end(bytes.last()) && { separators }.all(is_separator)
}

/// `v1.12.0-dirty`
#[must_use]
pub fn is_tag(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_other = |byte: u8| is_first(byte) || matches!(byte, b'.' | b'-');
    (1..=LONGEST_TAG).contains(&name.len())
        && name.bytes().next().is_some_and(is_first)
        && name.bytes().all(is_other)
}

/// `sha256:…`
#[must_use]
pub fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else {
        return false;
    };
    let is_algorithm = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !algorithm.is_empty()
        && algorithm.bytes().all(is_algorithm)
        && (1..=128).contains(&hex.len())
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for name in ["a", "u/x", "siderolabs/imager", "a-b__c.d/e0", "a---b"] {
            assert!(is_repository(name), "{name}");
        }
        let long = "a/".repeat(200) + "a";
        for name in [
            "",
            "/",
            "a/",
            "../a",
            "a/../b",
            "A",
            "a b",
            "a?n=1",
            "a\u{1b}[m",
            "a..b",
            "-a",
            &long,
        ] {
            assert!(!is_repository(name), "{name}");
        }
        assert!(is_tag("v1.12.0-dirty") && is_tag("_x") && is_tag("Latest"));
        for tag in ["", "-a", "a/b", "a b", "a\n", &"a".repeat(129)] {
            assert!(!is_tag(tag), "{tag}");
        }
        assert!(is_digest(&format!("sha256:{}", "0a".repeat(32))));
        for digest in [
            "",
            "sha256:",
            "sha256:xyz",
            "sha256:../../x",
            &"a".repeat(64),
        ] {
            assert!(!is_digest(digest), "{digest}");
        }
    }
}
