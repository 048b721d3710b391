//! Parses YAML from untrusted files. For each token the parser looks at every open
//! bracket, and it stores every token, so deeply nested and large texts are refused
//! before they reach it. The parser itself limits aliases.

use serde::de::{DeserializeOwned, Error};

/// Maximum size in bytes. The largest kubeconfigs, of hundreds of clusters, are far smaller.
const MAX_BYTES: usize = 8 << 20;
/// Maximum number of open brackets; the parser's own limit of 128 levels comes later.
const MAX_OPEN: usize = 1000;

/// Parses `text` like `yaml_serde::from_str`, in bounded time and memory, and applies
/// merge keys (`<<: *defaults`).
///
/// # Errors
/// `text` is invalid, is larger than 8 MiB, has more than 1000 open brackets, or
/// expands too far through its aliases.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, yaml_serde::Error> {
    if text.len() > MAX_BYTES {
        return Err(yaml_serde::Error::custom("larger than 8 MiB"));
    }
    // Brackets within strings are counted too: usually they are balanced.
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_OPEN {
            return Err(yaml_serde::Error::custom("nested too deeply"));
        }
    }
    // As Go's parser does; without merge keys, errors keep their line.
    if text.contains("<<") {
        let mut value: yaml_serde::Value = yaml_serde::from_str(text)?;
        value.apply_merge()?;
        return yaml_serde::from_value(value);
    }
    yaml_serde::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use yaml_serde::Value;

    #[test]
    fn aliases_expand_within_a_limit() {
        let shared: Value = from_str("a: &a [1, 2]\nb: *a\n").unwrap();
        assert_eq!(shared["b"], shared["a"]);
        let level = |level: u32| match level {
            0 => "a0: &a0 [lol, lol, lol]\n".to_owned(),
            _ => format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1),
        };
        let laughs: String = (0..30).map(level).collect();
        from_str::<Value>(&laughs).unwrap_err();
        from_str::<Value>("a: &a [*a]\n").unwrap_err();
    }

    #[test]
    fn merge_keys_are_applied_and_own_keys_win() {
        let text = "base: &base {name: a, size: 1}\nx:\n  <<: *base\n  size: 2\n";
        let value: Value = from_str(text).unwrap();
        assert_eq!(value["x"]["name"], "a");
        assert_eq!(value["x"]["size"], 2);
        let text: Value = from_str("a: '<<'\n").unwrap();
        assert_eq!(text["a"], "<<");
        from_str::<Value>("<<: 1\n").unwrap_err();
    }

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
