//! The names that a cluster may ask for: one a line, `HOST`, `HOST:PORT` or a URL, `*` for
//! any characters, `#` before a comment.

/// A list of expected names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    patterns: Vec<String>,
}

impl Expected {
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            // The fragment of a URL does not matter either.
            let word = line.split('#').next().unwrap_or_default().trim();
            (!word.is_empty()).then(|| pattern(&word.to_lowercase()))
        };
        Self {
            patterns: text.lines().filter_map(line).collect(),
        }
    }

    /// Whether a line names this host, at this port or at any.
    pub fn has(&self, host: &str, port: u16) -> bool {
        let host = host.to_lowercase();
        let with_port = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| matches(pattern, &host) || matches(pattern, &with_port))
    }
}

/// A URL stands for its host at its port; what is behind them is not visible inside TLS.
fn pattern(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    match (has_port, scheme) {
        (false, "https") => format!("{authority}:443"),
        (false, "http") => format!("{authority}:80"),
        _ => authority.to_owned(),
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
    fn a_url_names_its_host_at_its_port() {
        let expected = Expected::parse(
            "https://discovery.talos.dev/\nhttp://192.0.2.1:9080/x?y#z\nHTTPS://*.Example\n\
             http://user@mirror.test # of images\nhttps://[fd00::1]/v2/\n",
        );
        assert!(expected.has("discovery.talos.dev", 443));
        assert!(!expected.has("discovery.talos.dev", 80));
        assert!(expected.has("192.0.2.1", 9080) && !expected.has("192.0.2.1", 80));
        assert!(expected.has("a.example", 443) && !expected.has("a.example", 8443));
        assert!(expected.has("mirror.test", 80) && !expected.has("mirror.test", 443));
        assert!(expected.has("fd00::1", 443) && !expected.has("fd00::1", 80));
    }

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
