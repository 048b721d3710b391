//! Paths as Go's `path` package sees them.

/// The last element of a path.
pub fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// As Go's `path.Clean`; nothing stays nothing.
pub(super) fn clean(path: &str) -> String {
    let path = ["/proc/self/cwd/./", "/proc/self/cwd/"]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        .unwrap_or(path);
    if path.is_empty() {
        return String::new();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, want) in [
            ("", ""),
            ("/a//b/./c/../d", "/a/b/d"),
            ("../x", "../x"),
            ("/..", "/"),
            ("a/..", "."),
            ("/proc/self/cwd/./x.c", "x.c"),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
    }
}
