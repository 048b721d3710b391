//! Ranges of versions as the Go package blang/semver reads them: `>= 1.10.0 < 1.13.x ||
//! 1.14.0`. Its mistakes are kept: the imager uses it.

/// Major, minor, patch.
pub(crate) type Core = (u64, u64, u64);

/// Why a range is refused, as the imager says it.
pub(crate) type Refusal = String;

/// Whether `version` is in `range`.
///
/// # Errors
/// If the imager cannot parse the range.
pub(crate) fn satisfies(range: &str, version: Core) -> Result<bool, Refusal> {
    let range = without_v(range);
    let refused = |part: &str, why: &str| format!("Could not parse Range {part:?}: {why}");
    let mut alternatives: Vec<Vec<String>> = vec![Vec::new()];
    for part in parts(&range) {
        if part != "||" {
            if let Some(last) = alternatives.last_mut() {
                last.push(part);
            }
        } else if alternatives.last().is_some_and(Vec::is_empty) {
            return Err("First element in range is '||'".to_owned());
        } else {
            alternatives.push(Vec::new());
        }
    }
    if alternatives.last().is_some_and(Vec::is_empty) && alternatives.len() > 1 {
        return Err("last element in range is '||'".to_owned());
    }
    let mut satisfied = false;
    for alternative in alternatives {
        let mut all = !alternative.is_empty();
        for part in alternative {
            let at = part.find(|c: char| c.is_ascii_digit() || c == 'x');
            let at = at.ok_or_else(|| refused(&part, "it has no version"))?;
            let (operator, text) = part.split_at(at);
            let holds = compare(operator, text, version).map_err(|why| refused(&part, &why))?;
            all &= holds;
        }
        satisfied |= all;
    }
    Ok(satisfied)
}

/// The imager drops each `v` that is before a digit.
fn without_v(range: &str) -> String {
    let bytes = range.as_bytes();
    let keeps =
        |(at, c): &(usize, char)| *c != 'v' || !bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    range.char_indices().filter(keeps).map(|(_, c)| c).collect()
}

/// Splits at spaces; an operator and its version belong together.
fn parts(range: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut open = false;
    for word in range.split_whitespace() {
        let only_operator = word.chars().all(|c| "<>=!".contains(c));
        if open && let Some(last) = parts.last_mut() {
            last.push_str(word);
        } else {
            parts.push(word.to_owned());
        }
        open = only_operator;
    }
    parts
}

fn compare(operator: &str, text: &str, version: Core) -> Result<bool, String> {
    let fields: Vec<&str> = text.split('.').collect();
    if fields.contains(&"x") {
        return wildcard(operator, &fields, version);
    }
    let found = semver(text)?;
    Ok(match operator {
        "" | "=" | "==" => version == found,
        ">" => version > found,
        ">=" => version >= found,
        "<" => version < found,
        "<=" => version <= found,
        "!" | "!=" => version != found,
        _ => return Err(format!("comparator {operator:?} is unknown")),
    })
}

/// A strict version; its pre-release counts only against itself, and Talos' is dropped.
fn semver(text: &str) -> Result<Core, String> {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let fields: Vec<&str> = core.split('.').collect();
    let [major, minor, patch] = fields[..] else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let number = |field: &str, name: &str| {
        if field.len() > 1 && field.starts_with('0') {
            return Err(format!(
                "{name} number must not contain leading zeroes {field:?}"
            ));
        }
        let digits = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
        let value = field.parse().ok().filter(|_| digits);
        value.ok_or_else(|| format!("Invalid character(s) found in {name} number {field:?}"))
    };
    Ok((
        number(major, "Major")?,
        number(minor, "Minor")?,
        number(patch, "Patch")?,
    ))
}

/// `1.x`, `1.12.x`, with each operator.
fn wildcard(operator: &str, fields: &[&str], version: Core) -> Result<bool, String> {
    let number = |field: &str| {
        field
            .parse::<u64>()
            .map_err(|_| format!("Invalid character(s) found in number {field:?}"))
    };
    let (low, high) = match fields {
        [major, "x"] | [major, "x", "x"] => {
            let major = number(major)?;
            ((major, 0, 0), (major + 1, 0, 0))
        }
        [major, minor, "x"] => {
            let (major, minor) = (number(major)?, number(minor)?);
            ((major, minor, 0), (major, minor + 1, 0))
        }
        _ => return Err("wildcards are allowed at the end only".to_owned()),
    };
    Ok(match operator {
        "" | "=" | "==" => low <= version && version < high,
        ">" => version >= high,
        ">=" => version >= low,
        "<" => version < low,
        "<=" => version < high,
        "!" | "!=" => version < low || version >= high,
        _ => return Err(format!("comparator {operator:?} is unknown")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_imager() {
        for (range, version, expected) in [
            (">= v1.10.0", (1, 12, 0), true),
            (">= v1.10.0", (1, 9, 0), false),
            (">= 1.9.0-alpha.0", (1, 12, 3), true),
            (">=1.10.0 <1.12.0", (1, 12, 0), false),
            (">=1.10.0 <1.12.0 || 1.14.0", (1, 14, 0), true),
            ("1.12.x", (1, 12, 7), true),
            (">1.12.x", (1, 12, 7), false),
            ("!=1.12.0", (1, 12, 0), false),
            ("> 1.9.9", (1, 10, 0), true),
        ] {
            assert_eq!(satisfies(range, version), Ok(expected), "{range}");
        }
        for (bad, part) in [
            ("~1.10", "Could not parse Range \"~1.10\""),
            (">= 1.10", "No Major.Minor.Patch"),
            ("|| 1.0.0", "First element"),
            (">= 01.0.0", "leading zeroes"),
            ("latest", "Could not parse"),
            (">= x.1.0", "wildcards"),
        ] {
            let error = satisfies(bad, (1, 12, 0)).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }
}
