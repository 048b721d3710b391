//! Ranges of versions as the Go package blang/semver reads them: `>= 1.10.0 < 1.13.x ||
//! 1.14.0`. Its mistakes are kept: the imager uses it.

/// Major, minor, patch.
pub(crate) type Core = (u64, u64, u64);

/// Why a range is refused, as the imager says it.
pub(crate) type Refusal = String;

/// A version and whether it is a release, which comes after its pre-releases.
type Version = (Core, bool);

/// Whether `version`, without its pre-release as the imager compares it, is in `range`.
///
/// # Errors
/// If the imager cannot parse the range.
pub(crate) fn satisfies(range: &str, version: Core) -> Result<bool, Refusal> {
    let parts = parts(&without_v(range));
    if parts.first().is_some_and(|part| part == "||") {
        return Err("First element in range is '||'".to_owned());
    }
    // The imager says so about a range of spaces, too.
    if parts.last().is_none_or(|part| part == "||") {
        return Err("Last element in range is '||'".to_owned());
    }
    let mut satisfied = false;
    for alternative in parts.split(|part| part == "||") {
        if alternative.is_empty() {
            return Err("nothing is between '||' and '||'".to_owned());
        }
        let mut all = true;
        for part in alternative {
            for (operator, text) in expanded(part)? {
                let refused = |why: String| format!("Could not parse Range {part:?}: {why}");
                let bound = semver(&text).map_err(refused)?;
                let holds = compare(&operator, (version, true), bound);
                all &= holds
                    .ok_or_else(|| refused(format!("Could not parse comparator {operator:?}")))?;
            }
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

/// Splits at spaces, but not after an operator. Parts of one character are lost, `!` among them.
fn parts(range: &str) -> Vec<String> {
    let mut parts: Vec<&str> = Vec::new();
    let mut start = 0;
    let mut before = ' ';
    for (at, c) in range.char_indices() {
        if c == ' ' && !matches!(before, '<' | '>' | '=') {
            parts.push(&range[start..at]);
            start = at + 1;
        } else if c != ' ' {
            before = c;
        }
    }
    parts.push(&range[start..]);
    parts.retain(|part| part.len() > 1);
    parts.iter().map(|part| part.replace(' ', "")).collect()
}

/// The operator is what is before the first digit.
fn split(part: &str) -> Result<(&str, &str), Refusal> {
    let at = part.find(|c: char| c.is_ascii_digit());
    let at = at.ok_or_else(|| format!("Could not get version from string: {part:?}"))?;
    Ok(part.split_at(at))
}

/// `1.12.x` is two bounds. A part with any other `x` in it goes the same way.
fn expanded(part: &str) -> Result<Vec<(String, String)>, Refusal> {
    let (operator, text) = split(part)?;
    if !part.contains('x') {
        return Ok(vec![(operator.to_owned(), text.to_owned())]);
    }
    let fields: Vec<&str> = text.split('.').collect();
    let mut low = text.replacen(".x.x", ".x", 1).replacen(".x", ".0", 1);
    if low.split('.').count() == 2 {
        low += ".0";
    }
    let next = |place: usize| {
        let mut numbers: Vec<String> = low.split('.').map(str::to_owned).collect();
        let number: u64 = numbers.get(place)?.parse().ok()?;
        numbers[place] = (number + 1).to_string();
        Some(numbers.join("."))
    };
    let high = match (fields.len(), fields.last()) {
        (2, Some(&"x")) => next(0),
        (3, Some(&"x")) => next(1),
        _ => None,
    };
    let high = || {
        high.clone()
            .ok_or_else(|| format!("Could not get version from string: {part:?}"))
    };
    let bound = |operator: &str, text: String| (operator.to_owned(), text);
    Ok(match operator {
        "" | "=" | "==" => vec![bound(">=", low.clone()), bound("<", high()?)],
        "!" | "!=" => vec![bound("<", low.clone()), bound(">=", high()?)],
        ">" => vec![bound(">=", high()?)],
        "<=" => vec![bound("<", high()?)],
        ">=" | "<" => vec![bound(operator, low)],
        // The operator is lost.
        _ => vec![bound("", low)],
    })
}

fn compare(operator: &str, version: Version, bound: Version) -> Option<bool> {
    Some(match operator {
        "" | "=" | "==" => version == bound,
        ">" => version > bound,
        ">=" => version >= bound,
        "<" => version < bound,
        "<=" => version <= bound,
        "!" | "!=" => version != bound,
        _ => return None,
    })
}

fn semver(text: &str) -> Result<Version, String> {
    let mut fields = text.splitn(3, '.');
    let (Some(major), Some(minor), Some(rest)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (rest, build) = match rest.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (rest, None),
    };
    let (patch, pre) = match rest.split_once('-') {
        Some((patch, pre)) => (patch, Some(pre)),
        None => (rest, None),
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
    let core = (
        number(major, "Major")?,
        number(minor, "Minor")?,
        number(patch, "Patch")?,
    );
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    for word in pre.iter().flat_map(|pre| pre.split('.')) {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        if !is_word(word) || (is_number && word.len() > 1 && word.starts_with('0')) {
            return Err(format!("Invalid prerelease {word:?}"));
        }
    }
    if !build.iter().flat_map(|it| it.split('.')).all(is_word) {
        return Err("Invalid build meta data".to_owned());
    }
    Ok((core, pre.is_none()))
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
            // A release comes after its pre-releases.
            ("> 1.12.0-rc.1", (1, 12, 0), true),
            ("<= 1.12.0-rc.1", (1, 12, 0), false),
            // As the imager reads them.
            ("1.x.x", (1, 12, 0), false),
            ("! 1.12.0", (1, 12, 0), true),
            ("~1.x", (1, 12, 0), false),
            ("x.1.0", (1, 0, 0), true),
        ] {
            assert_eq!(satisfies(range, version), Ok(expected), "{range}");
        }
        for (bad, part) in [
            ("~1.10", "Could not parse Range \"~1.10\""),
            (">= 1.10", "No Major.Minor.Patch"),
            ("|| 1.0.0", "First element"),
            (">= 01.0.0", "leading zeroes"),
            ("latest", "Could not get version"),
            (" ", "Last element"),
            (">= 1.0.0 ||", "Last element"),
            (">= 1.0.0 || || 2.0.0", "nothing is between"),
            (">= 1.10.0-", "prerelease"),
            ("1.0.0-next", "Could not get version"),
        ] {
            let error = satisfies(bad, (1, 12, 0)).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }
}
