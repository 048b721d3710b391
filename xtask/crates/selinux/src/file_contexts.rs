//! Labels by path: `file_contexts`, as libselinux reads it (`selabel_file(5)`).

use regex::Regex;

/// What a rule is limited to.
const KINDS: &[&str] = &["--", "-d", "-c", "-b", "-s", "-l", "-p"];

/// A line of `file_contexts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labeled<'a> {
    pub pattern: &'a str,
    /// `--` for files, `-d` for folders and so on; `None` for any.
    pub kind: Option<&'a str>,
    pub context: &'a str,
    /// From 1.
    pub line: usize,
}

/// The rules that fit the path, the one that counts first: the last in the file, per kind.
pub fn labels<'a>(file: &'a str, path: &str) -> Vec<Labeled<'a>> {
    let mut found: Vec<Labeled<'a>> = Vec::new();
    let lines: Vec<(usize, &str)> = file.lines().enumerate().collect();
    for (at, line) in lines.into_iter().rev() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (pattern, kind, context) = match words.as_slice() {
            [pattern, ..] if pattern.starts_with('#') => continue,
            [pattern, context] => (*pattern, None, *context),
            [pattern, kind, context] if KINDS.contains(kind) => (*pattern, Some(*kind), *context),
            _ => continue,
        };
        let is_hidden = found.iter().any(|it| it.kind == kind || it.kind.is_none());
        let fits =
            || Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(path));
        if !is_hidden && fits() {
            found.push(Labeled {
                pattern,
                kind,
                context,
                line: at + 1,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# comment
/usr(/.*)?	u:object_r:usr_t:s0
/usr/bin(/.*)?	u:object_r:bin_t:s0
/usr/bin/init	--	u:object_r:init_exec_t:s0
/usr/lib/hwdb[.]bin	--	u:object_r:hwdb_t:s0
";

    fn of(path: &str) -> Vec<(usize, Option<&str>)> {
        labels(FILE, path)
            .iter()
            .map(|it| (it.line, it.kind))
            .collect()
    }

    #[test]
    fn the_last_rule_counts_for_each_kind() {
        assert_eq!(of("/usr/bin/init"), [(4, Some("--")), (3, None)]);
        assert_eq!(of("/usr/bin"), [(3, None)]);
        assert_eq!(of("/usr/lib/hwdb.bin"), [(5, Some("--")), (2, None)]);
        assert_eq!(of("/usr/lib/hwdbxbin"), [(2, None)]);
        assert_eq!(of("/var"), []);
    }
}
