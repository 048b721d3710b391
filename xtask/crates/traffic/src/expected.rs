//! The names that a cluster may ask for: one a line, `HOST` or `HOST:PORT`, `*` for any
//! characters, `#` before a comment.

/// A list of expected names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    patterns: Vec<String>,
}

impl Expected {
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let word = line.split('#').next().unwrap_or_default().trim();
            (!word.is_empty()).then(|| word.to_lowercase())
        };
        Self {
            patterns: text.lines().filter_map(line).collect(),
        }
    }

    /// Whether a line names this host, at this port or at any.
    pub fn has(&self, host: &str, port: u16) -> bool {
        let host = host.to_lowercase();
        let with_port = format!("{host}:{port}");
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| matches(pattern, &host) || matches(pattern, &with_port))
    }
}

/// `*` stands for any characters, also none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_host_at_one_port_or_at_any() {
        let expected =
            Expected::parse("# of Talos\ndiscovery.talos.dev:443\n*.pool.ntp.org # time\n");
        assert!(expected.has("Discovery.talos.dev", 443));
        assert!(!expected.has("discovery.talos.dev", 80));
        assert!(expected.has("0.pool.ntp.org", 123));
        assert!(!expected.has("pool.ntp.org", 123));
        assert!(!Expected::default().has("a", 1));
        assert!(matches("a*b*c", "a--b--c") && !matches("a*b*c", "a--c"));
    }
}
