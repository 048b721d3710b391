//! Needs that the sources do not show or show wrongly: a short list with
//! reasons.

use crate::need::{Need, Needed, Test};

const TEXT: &str = include_str!("overrides.txt");

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Override<'a> {
    package: &'a str,
    test: &'a str,
    adds: bool,
    need: Need,
    reason: &'a str,
}

fn parse(text: &str) -> Vec<Override<'_>> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| {
            let parts: Vec<&str> = line.splitn(4, '|').map(str::trim).collect();
            let &[package, named, need, reason] = parts.as_slice() else {
                return None;
            };
            let (sign, need) = need.split_at_checked(1)?;
            Some(Override {
                package,
                test: named,
                adds: sign == "+",
                need: Need::from(need.to_owned()),
                reason,
            })
        })
        .collect()
}

impl Override<'_> {
    fn is_for(&self, test: &Test) -> bool {
        let package =
            test.package == self.package || test.package.ends_with(&format!("/{}", self.package));
        let name = self.test == "*"
            || test.name == self.test
            || test.name.starts_with(&format!("{}/", self.test));
        package && name
    }
}

pub(crate) fn apply(tests: &mut [Test]) {
    let all = parse(TEXT);
    for test in tests {
        for one in &all {
            if !one.is_for(test) {
                continue;
            }
            test.needs.retain(|needed| needed.need != one.need);
            if one.adds {
                test.needs.push(Needed {
                    need: one.need.clone(),
                    skips: false,
                    because: one.reason.to_owned(),
                    through: Vec::new(),
                });
                test.needs.sort_by(|a, b| a.need.cmp(&b.need));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_and_has_a_reason() {
        let lines = TEXT
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let all = parse(TEXT);
        assert_eq!(lines.count(), all.len());
        assert!(all.iter().all(|one| one.reason.len() > 20), "{all:?}");
    }
}
