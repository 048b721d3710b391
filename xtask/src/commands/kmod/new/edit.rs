//! Edits of the files that list packages: `.kres.yaml`, `Makefile` and `Pkgfile`.
//! Lines are added; comments, order and everything else stay as they are.

/// Where a target is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum List {
    /// In pkgs: below `kernel`, among the packages with its modules.
    Modules,
    /// In extensions: among all.
    Extensions,
}

/// Adds a target to `.kres.yaml`; `None` if its list of targets is not found.
/// The same text if the target is listed.
pub(in super::super) fn kres(text: &str, name: &str, list: List) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| line.trim() == "targets:")? + 1;
    let indent = indent_of(lines.get(start)?);
    let end = lines[start..]
        .iter()
        .position(|line| indent_of(line) < indent || line.trim().is_empty())
        .map_or(lines.len(), |len| start + len);
    let item = |line: &str| -> Option<String> {
        let item = line.trim().strip_prefix("- ")?;
        Some(item.split(" #").next()?.trim().trim_matches('"').to_owned())
    };
    let line = format!("{}- {name}", " ".repeat(indent));
    insert(&lines, (start, end), name, &line, list, item)
}

/// Adds a target to `TARGETS` of the Makefile, as kres does from `.kres.yaml`.
pub(in super::super) fn makefile(text: &str, name: &str, list: List) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let item = |line: &str| -> Option<String> {
        let value = line.strip_prefix("TARGETS ")?;
        let value = value.strip_prefix("+=").or(value.strip_prefix('='))?;
        Some(value.trim().to_owned())
    };
    let start = lines.iter().position(|line| item(line).is_some())?;
    let end = lines[start..]
        .iter()
        .position(|line| item(line).is_none())
        .map_or(lines.len(), |len| start + len);
    let line = format!("TARGETS += {name}");
    insert(&lines, (start, end), name, &line, list, item)
}

/// Inserts before the first item that sorts later. The first item stays the first:
/// in the Makefile its line is the only one with `=`.
fn insert(
    lines: &[&str],
    (start, end): (usize, usize),
    name: &str,
    line: &str,
    list: List,
    item: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let is = |line: &&str, name: &str| item(line).as_deref() == Some(name);
    let block = &lines[start..end];
    if block.iter().any(|line| is(line, name)) {
        return Some(joined(lines));
    }
    let after = match list {
        List::Modules => block.iter().position(|line| is(line, "kernel"))?,
        List::Extensions => block.iter().position(|line| item(line).is_some())?,
    };
    let later = block[after + 1..]
        .iter()
        .position(|line| item(line).is_none_or(|other| *other > *name));
    let at = later.map_or(end, |at| start + after + 1 + at);
    let mut lines = lines.to_vec();
    lines.insert(at, line);
    Some(joined(&lines))
}

/// Sets variables of a Pkgfile. Missing ones are added as one group, after its
/// comment: in pkgs before the group that sorts later, in extensions at the end of
/// the first group. `None` if there is no `vars:`, or if one has another value and
/// `replaces` is false.
///
/// # Errors
/// The variable that has another value, with that value.
pub(in super::super) fn pkgfile(
    text: &str,
    comment: &str,
    variables: &[(String, String)],
    list: List,
    replaces: bool,
) -> Result<Option<String>, (String, String)> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(start) = lines.iter().position(|line| line == "vars:") else {
        return Ok(None);
    };
    let start = start + 1;
    let end = lines[start..]
        .iter()
        .position(|line| !line.is_empty() && indent_of(line) == 0)
        .map_or(lines.len(), |len| start + len);
    let mut missing = Vec::new();
    for (name, value) in variables {
        let found = (start..end).find(|at| key(&lines[*at]) == Some(name));
        let Some(at) = found else {
            missing.push(format!("  {name}: {}", scalar(value)));
            continue;
        };
        let (_, rest) = lines[at].split_once(':').unwrap_or_default();
        let (old, tail) = match rest.split_once(" #") {
            Some((old, tail)) => (old, format!(" #{tail}")),
            None => (rest, String::new()),
        };
        let old = old.trim().trim_matches('"').to_owned();
        if old != *value {
            if !replaces {
                return Err((name.clone(), old));
            }
            lines[at] = format!("  {name}: {}{tail}", scalar(value));
        }
    }
    if let Some(first) = variables.first().filter(|_| !missing.is_empty()) {
        let group = match list {
            List::Modules => grouped(&lines, (start, end), &first.0, comment, missing),
            List::Extensions => {
                let len = lines[start..end].iter().position(String::is_empty);
                (len.map_or(end, |len| start + len), missing)
            }
        };
        lines.splice(group.0..group.0, group.1);
    }
    Ok(Some(lines.join("\n") + "\n"))
}

/// The place and the lines of a new group: groups are separated by empty lines, and
/// the first one has the images of tools.
fn grouped(
    lines: &[String],
    (start, end): (usize, usize),
    name: &str,
    comment: &str,
    mut variables: Vec<String>,
) -> (usize, Vec<String>) {
    if !comment.is_empty() {
        variables.insert(0, format!("  # {comment}"));
    }
    let starts = (start + 1..end).filter(|at| lines[at - 1].is_empty() && !lines[*at].is_empty());
    let later = starts.into_iter().find(|at| {
        let first = lines[*at..end].iter().find_map(|line| key(line));
        first.is_some_and(|first| first > name)
    });
    if let Some(at) = later {
        variables.push(String::new());
        return (at, variables);
    }
    let last = (start..end).rfind(|at| !lines[*at].is_empty());
    variables.insert(0, String::new());
    (last.map_or(end, |at| at + 1), variables)
}

/// The name of a variable's line.
fn key(line: &str) -> Option<&str> {
    let line = line.strip_prefix("  ")?;
    let (name, _) = line.split_once(':')?;
    (!name.starts_with(['#', ' '])).then_some(name)
}

/// In quotes if YAML would read it as a number: `1.10` is not `1.1`.
fn scalar(value: &str) -> String {
    let is_number = value.parse::<f64>().is_ok() || value.is_empty();
    if is_number {
        format!("\"{value}\"")
    } else {
        value.to_owned()
    }
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn joined(lines: &[&str]) -> String {
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const KRES: &str = "---\nkind: pkgfile.Build\nspec:\n  targets:\n    # - unrelated\n    - musl\n    - zstd\n    # - modules\n    - kernel\n    - ena-pkg\n    - zfs-pkg\n  additionalTargets:\n    nonfree:\n      - x\n";
    const PKGFILE: &str = "# syntax = x\n\nvars:\n  TOOLS_REV: v1\n\n  # renovate: a\n  ena_version: 2\n  ena_sha256: a\n\n  # renovate: z\n  zfs_version: 3\n\nlabels:\n  a: b\n";

    fn vars(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn a_target_is_added_in_order_and_once() {
        let edited = kres(KRES, "hello-pkg", List::Modules).unwrap();
        assert_eq!(
            edited,
            KRES.replace("    - zfs-pkg", "    - hello-pkg\n    - zfs-pkg")
        );
        assert_eq!(kres(&edited, "hello-pkg", List::Modules).unwrap(), edited);
        // The names before the kernel do not count, and the last place is one too.
        let last = kres(KRES, "zz-pkg", List::Modules).unwrap();
        assert!(last.contains("    - zfs-pkg\n    - zz-pkg\n  additional"));
        let extension = kres(KRES, "aaa", List::Extensions).unwrap();
        assert!(
            extension.contains("    - musl\n    - aaa\n    - zstd"),
            "{extension}"
        );
        assert_eq!(kres("kind: x\n", "a", List::Modules), None);
    }

    #[test]
    fn the_makefile_keeps_its_first_line() {
        let text = "A := 1\nTARGETS = kernel\nTARGETS += ena-pkg\nNONFREE_TARGETS = n\n\nall: $(TARGETS)\n";
        let edited = makefile(text, "aa-pkg", List::Modules).unwrap();
        assert!(
            edited.contains("TARGETS = kernel\nTARGETS += aa-pkg\nTARGETS += ena-pkg\nNONFREE")
        );
        assert_eq!(makefile(&edited, "aa-pkg", List::Modules).unwrap(), edited);
    }

    #[test]
    fn variables_are_a_group_in_its_place() {
        let set = |text: &str, replaces| {
            pkgfile(
                text,
                "c",
                &vars("hello_version", "1.10"),
                List::Modules,
                replaces,
            )
        };
        let edited = set(PKGFILE, false).unwrap().unwrap();
        let wanted = "  ena_sha256: a\n\n  # c\n  hello_version: \"1.10\"\n\n  # renovate: z";
        assert!(edited.contains(wanted), "{edited}");
        assert_eq!(set(&edited, false).unwrap().unwrap(), edited);
        let other = edited.replace("1.10", "1.9");
        assert_eq!(
            set(&other, false),
            Err(("hello_version".into(), "1.9".into()))
        );
        assert_eq!(set(&other, true).unwrap().unwrap(), edited);
        let last = pkgfile(PKGFILE, "c", &vars("zz", "1"), List::Modules, false);
        let last = last.unwrap().unwrap();
        assert!(
            last.contains("zfs_version: 3\n\n  # c\n  zz: \"1\"\n\nlabels:"),
            "{last}"
        );
        let first = pkgfile(PKGFILE, "", &vars("HELLO", "1"), List::Extensions, false);
        assert!(
            first
                .unwrap()
                .unwrap()
                .contains("  TOOLS_REV: v1\n  HELLO: \"1\"\n\n")
        );
    }
}
