//! YAML that others may have written. The parser looks at each open bracket for
//! each token and keeps every one of them, so what is nested deeply or large is
//! refused before it sees it.

use serde::de::{DeserializeOwned, Error};

/// The largest kubeconfigs, of hundreds of clusters, are far smaller.
const LARGEST: usize = 8 << 20;
/// Open brackets; the parser itself goes no deeper than 128.
const DEEPEST: usize = 1000;

/// As `serde_yaml_ng::from_str`, in bounded time and memory.
///
/// # Errors
/// What does not parse, and what is larger or nested deeper than any that tools
/// or people write.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_yaml_ng::Error> {
    if text.len() > LARGEST {
        return Err(serde_yaml_ng::Error::custom("it is larger than 8 MiB"));
    }
    // Those in a text count too: there each `[` has its `]`.
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > DEEPEST {
            return Err(serde_yaml_ng::Error::custom("it is nested too deeply"));
        }
    }
    serde_yaml_ng::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_yaml_ng::Value;

    #[test]
    fn only_what_people_write_is_parsed() {
        let value: Value = from_str("a: [1, {b: '[['}]\n").unwrap();
        assert_eq!(value["a"][1]["b"], "[[");
        for bad in [
            "[".repeat(10_000_000 / 2),
            "{".repeat(100_000),
            "- ".repeat(100_000),
            "a: ".repeat(100_000),
            "? ".repeat(100_000),
            "#".repeat(9 << 20),
        ] {
            from_str::<Value>(&bad).unwrap_err();
        }
    }
}
