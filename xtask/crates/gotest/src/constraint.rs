//! Build constraints: `//go:build` lines and file names such as `x_linux.go`,
//! as go/build reads them (src/go/build/build.go, src/internal/syslist).

/// The platform, tags and cgo setting of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `linux`
    pub os: String,
    /// `amd64`
    pub arch: String,
    /// Values of `-tags`.
    pub tags: Vec<String>,
    /// Whether files with `import "C"` are built. Talos' Makefile sets `CGO_ENABLED=0`.
    pub cgo: bool,
    /// The minor version N: release tags up to `go1.N` hold.
    pub go_minor: u32,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            tags: Vec::new(),
            cgo: false,
            go_minor: 26,
        }
    }
}

/// Systems for which the tag `unix` holds, and the others.
const UNIX: [&str; 12] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "linux",
    "netbsd",
    "openbsd",
    "solaris",
];
const OTHER_SYSTEMS: [&str; 6] = ["js", "nacl", "plan9", "wasip1", "windows", "zos"];
const ARCHITECTURES: [&str; 17] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv", "riscv64", "s390x", "sparc64", "wasm", "armbe",
];

impl Target {
    fn has(&self, tag: &str) -> bool {
        if self.tags.iter().any(|known| known == tag) {
            return true;
        }
        if let Some(minor) = tag.strip_prefix("go1.") {
            return minor.parse().is_ok_and(|minor: u32| minor <= self.go_minor);
        }
        match tag {
            "cgo" => self.cgo,
            "gc" => true,
            "unix" => UNIX.contains(&self.os.as_str()),
            "linux" => matches!(self.os.as_str(), "linux" | "android"),
            // GOAMD64=v1 holds whatever higher level is set.
            "amd64.v1" => self.arch == "amd64",
            _ => tag == self.os || tag == self.arch,
        }
    }
}

/// Evaluates the constraint in a name such as `name_GOOS_GOARCH[_test].go`; a name
/// without `_` has none.
pub(crate) fn by_name(name: &str, target: &Target) -> bool {
    let stem = name.strip_suffix(".go").unwrap_or(name);
    let stem = stem.split_once('.').map_or(stem, |(stem, _)| stem);
    // The part before the first `_` is never a suffix: `linux.go` is for all systems.
    let Some((_, suffixes)) = stem.split_once('_') else {
        return true;
    };
    let mut parts: Vec<&str> = suffixes.split('_').collect();
    if parts.last() == Some(&"test") {
        parts.pop();
    }
    let is_arch = |part: &str| ARCHITECTURES.contains(&part);
    let is_os = |part: &str| UNIX.contains(&part) || OTHER_SYSTEMS.contains(&part);
    match parts.as_slice() {
        [.., os, arch] if is_os(os) && is_arch(arch) => target.has(os) && target.has(arch),
        [.., one] if is_os(one) || is_arch(one) => target.has(one),
        _ => true,
    }
}

/// The `//go:build` line before the package clause.
pub(crate) fn by_text(text: &str, target: &Target) -> bool {
    let mut in_comment = false;
    for line in text.lines() {
        let line = line.trim();
        if in_comment {
            in_comment = !line.contains("*/");
            continue;
        }
        if let Some(rest) = line.strip_prefix("//go:build") {
            if rest.starts_with([' ', '\t']) {
                return evaluate(rest, target);
            }
        } else if line.starts_with("/*") {
            in_comment = !line.contains("*/");
        } else if !line.is_empty() && !line.starts_with("//") {
            break;
        }
    }
    true
}

/// Evaluates `a && (b || !c)`. An invalid constraint does not hold: go refuses
/// it.
fn evaluate(text: &str, target: &Target) -> bool {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let length = if rest.starts_with("&&") || rest.starts_with("||") {
            2
        } else if rest.starts_with(['(', ')', '!']) {
            1
        } else {
            let end = rest.find([' ', '\t', '(', ')', '!', '&', '|']);
            end.unwrap_or(rest.len()).max(1)
        };
        let Some((word, after)) = rest.split_at_checked(length) else {
            return false;
        };
        words.push(word);
        rest = after.trim_start();
    }
    let mut terms = Terms {
        words: &words,
        target,
        depth: 0,
    };
    terms
        .or()
        .is_some_and(|holds| holds && terms.words.is_empty())
}

struct Terms<'a> {
    words: &'a [&'a str],
    target: &'a Target,
    depth: usize,
}

impl Terms<'_> {
    fn eat(&mut self, word: &str) -> bool {
        let there = self.words.first() == Some(&word);
        if there {
            self.words = &self.words[1..];
        }
        there
    }

    fn or(&mut self) -> Option<bool> {
        let mut holds = self.and()?;
        while self.eat("||") {
            holds |= self.and()?;
        }
        Some(holds)
    }

    fn and(&mut self) -> Option<bool> {
        let mut holds = self.not()?;
        while self.eat("&&") {
            holds &= self.not()?;
        }
        Some(holds)
    }

    fn not(&mut self) -> Option<bool> {
        self.depth += 1;
        if self.depth > 1000 {
            return None;
        }
        if self.eat("!") {
            return self.not().map(|holds| !holds);
        }
        if self.eat("(") {
            let holds = self.or()?;
            return self.eat(")").then_some(holds);
        }
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        let tag = first.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        tag.then(|| self.target.has(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(tags: &[&str]) -> Target {
        Target {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Target::default()
        }
    }

    #[test]
    fn names_say_what_they_are_built_for() {
        let linux = target(&[]);
        for (name, built) in [
            ("x.go", true),
            ("linux.go", true),
            ("windows.go", true),
            ("x_linux.go", true),
            ("x_windows.go", false),
            ("x_linux_arm64.go", false),
            ("x_linux_amd64_test.go", true),
            ("x_darwin_test.go", false),
            ("x_arm64.go", false),
            ("x_unix.go", true),
            ("x_linux_more.go", true),
            ("x_test.go", true),
        ] {
            assert_eq!(by_name(name, &linux), built, "{name}");
        }
    }

    #[test]
    fn constraints_are_evaluated() {
        for (line, tags, built) in [
            ("//go:build linux", &[][..], true),
            ("//go:build !linux && !darwin", &[], false),
            (
                "//go:build integration_api && integration_k8s",
                &["integration_api"],
                false,
            ),
            (
                "//go:build integration && !integration_k8s",
                &["integration"],
                true,
            ),
            ("//go:build !(amd64 || arm64)", &[], false),
            ("//go:build go1.21", &[], true),
            ("//go:build !go1.99", &[], true),
            ("//go:build cgo", &[], false),
            ("//go:build ignore", &[], false),
            ("//go:build (linux", &[], false),
        ] {
            let text = format!("// Copyright\n/* a\n*/\n{line}\n\npackage x\n");
            assert_eq!(by_text(&text, &target(tags)), built, "{line} {tags:?}");
        }
    }

    #[test]
    fn a_constraint_below_the_package_clause_is_a_comment() {
        assert!(by_text("package x\n//go:build ignore\n", &target(&[])));
    }
}
