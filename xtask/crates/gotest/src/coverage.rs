//! Profiles of `go test -coverprofile`, merged as the go command merges them.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The counts of blocks of statements, by their place in the sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// `set`, `count` or `atomic`.
    mode: String,
    /// `file:from,to`: number of statements, and how often they ran.
    blocks: BTreeMap<String, (u64, u64)>,
}

impl Coverage {
    /// Adds a profile. Lines that are not of this format are left out.
    pub fn add(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(mode) = line.strip_prefix("mode: ") {
                mode.clone_into(&mut self.mode);
                continue;
            }
            let mut words = line.rsplitn(3, ' ');
            let (Some(count), Some(statements), Some(place)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let (Ok(count), Ok(statements)) = (count.parse::<u64>(), statements.parse()) else {
                continue;
            };
            let block = self
                .blocks
                .entry(place.to_owned())
                .or_insert((statements, 0));
            block.1 = if self.mode == "set" {
                block.1.max(count)
            } else {
                block.1.saturating_add(count)
            };
        }
    }

    pub fn is_empty(&self) -> bool {
        self.mode.is_empty()
    }

    /// Percent of all statements; `None` without any.
    pub fn percent(&self) -> Option<f64> {
        let all: u64 = self.blocks.values().map(|(statements, _)| statements).sum();
        let ran = self.blocks.values().filter(|(_, count)| *count > 0);
        let ran: u64 = ran.map(|(statements, _)| statements).sum();
        #[expect(clippy::cast_precision_loss, reason = "numbers of statements")]
        (all > 0).then(|| 100.0 * ran as f64 / all as f64)
    }

    /// Returns the merged profile, as `go tool cover` reads it.
    pub fn text(&self) -> String {
        let mut out = format!("mode: {}\n", self.mode);
        for (place, (statements, count)) in &self.blocks {
            let _ = writeln!(out, "{place} {statements} {count}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_merged() {
        let mut coverage = Coverage::default();
        coverage.add("mode: set\na.go:1.1,2.2 3 1\na.go:3.1,4.2 1 0\n");
        coverage.add("mode: set\na.go:1.1,2.2 3 1\na b.go:1.1,2.2 4 0\nnonsense\n");
        assert_eq!(coverage.percent(), Some(37.5));
        let text = "mode: set\na b.go:1.1,2.2 4 0\na.go:1.1,2.2 3 1\na.go:3.1,4.2 1 0\n";
        assert_eq!(coverage.text(), text);
        let mut counts = Coverage::default();
        counts.add("mode: count\na.go:1.1,2.2 3 1\n");
        counts.add("mode: count\na.go:1.1,2.2 3 2\n");
        assert_eq!(counts.text(), "mode: count\na.go:1.1,2.2 3 3\n");
    }
}
