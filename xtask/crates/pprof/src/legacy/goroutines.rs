//! Reads goroutines of `debug=2`, in the format of a panic: state, wait and
//! creator become labels of a profile of counts.

use super::Text;
use super::build::Builder;
use pprof_engine::proto::Label;
use pprof_engine::{Limits, Result};

/// Keys of the labels, and the unit of the wait.
pub(crate) const STATE: &str = "state";
pub(crate) const WAIT: &str = "wait";
pub(crate) const CREATED_BY: &str = "created_by";
const MINUTES: &str = "minutes";

/// Whether a line is a goroutine's head.
pub(super) fn begins(line: &str) -> bool {
    head(line).is_some()
}

/// `goroutine 7 [chan receive, 5 minutes, locked to thread]:`
fn head(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("goroutine ")?;
    let (id, rest) = rest.split_once(" [")?;
    let id = id.split(' ').next()?;
    let numbered = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    rest.strip_suffix("]:").filter(|_| numbered)
}

/// One goroutine as it is read.
#[derive(Default)]
struct Goroutine {
    labels: Vec<Label>,
    stack: Vec<u64>,
    /// The call whose place follows, and whether it is the creation.
    call: Option<(String, bool)>,
    begun: bool,
}

pub(super) fn read(text: Text<'_>, limits: Limits) -> Result<Builder> {
    let mut builder = Builder::new(limits);
    builder.kinds(&[("goroutine", "count")]);
    builder.period(("goroutine", "count"), 1);
    let mut goroutine = Goroutine::default();
    for (_, line) in text.lines() {
        if let Some(state) = head(&line) {
            close(&mut builder, &mut goroutine)?;
            goroutine.begun = true;
            goroutine.labels = describe(&mut builder, state);
        } else if line.is_empty() {
            close(&mut builder, &mut goroutine)?;
        } else if goroutine.begun {
            goroutine.line(&mut builder, &line);
        }
    }
    close(&mut builder, &mut goroutine)?;
    Ok(builder)
}

fn close(to: &mut Builder, goroutine: &mut Goroutine) -> Result<()> {
    let of = std::mem::take(goroutine);
    if of.begun {
        to.count(of.stack, of.labels)?;
    }
    Ok(())
}

impl Goroutine {
    fn line(&mut self, to: &mut Builder, line: &str) {
        if let Some(place) = line.strip_prefix('\t') {
            let Some((name, is_creation)) = self.call.take() else {
                return;
            };
            if is_creation {
                return;
            }
            let place = place.split(" +0x").next().unwrap_or(place);
            let (file, line) = place.rsplit_once(':').unwrap_or((place, "0"));
            // A frame pointer and a program counter may follow.
            let line = line.split(' ').next().unwrap_or(line);
            let location = to.place(&name, file, line.parse().unwrap_or(0));
            self.stack.push(location);
        } else if let Some(creator) = line.strip_prefix("created by ") {
            let name = creator.split(" in goroutine ").next().unwrap_or(creator);
            let label = to.label(CREATED_BY, name);
            self.labels.push(label);
            self.call = Some((name.to_owned(), true));
        } else if !line.starts_with("...") {
            // Arguments have no parentheses, names may.
            let name = line.rfind('(').map_or(line, |at| &line[..at]);
            self.call = Some((name.to_owned(), false));
        }
    }
}

/// `chan receive (scan), 5 minutes, locked to thread labels:{"a": "b"}`
fn describe(to: &mut Builder, state: &str) -> Vec<Label> {
    let (state, extra) = state.split_once(" labels:").unwrap_or((state, ""));
    let mut parts = state.split(", ");
    let what = parts.next().unwrap_or_default();
    let what = what.strip_suffix(" (scan)").unwrap_or(what);
    let mut found = vec![to.label(STATE, what)];
    for part in parts {
        if let Some(minutes) = part.strip_suffix(" minutes")
            && let Ok(minutes) = minutes.parse()
        {
            found.push(to.number(WAIT, minutes, MINUTES));
        }
    }
    found.extend(labels(to, extra));
    found
}

/// `{"key":"value", …}`: pairs of quoted strings.
pub(super) fn labels(to: &mut Builder, text: &str) -> Vec<Label> {
    let words = quoted(text);
    let pairs = words.chunks_exact(2);
    pairs.map(|pair| to.label(&pair[0], &pair[1])).collect()
}

fn quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (&mut word, c) {
            (None, '"') => word = Some(String::new()),
            (Some(_), '"') => words.extend(word.take()),
            (Some(word), '\\') => word.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(c) => c,
                None => '\\',
            }),
            (Some(word), c) => word.push(c),
            (None, _) => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_from_other_lines() {
        assert_eq!(head("goroutine 1 [running]:"), Some("running"));
        let long = "goroutine 7 gp=0xc1 m=nil [select, 5 minutes, locked to thread]:";
        assert_eq!(head(long), Some("select, 5 minutes, locked to thread"));
        for other in [
            "goroutine profile: total 6",
            "goroutine running on other thread",
            "goroutine x [y]:",
        ] {
            assert_eq!(head(other), None, "{other}");
        }
    }

    #[test]
    fn quotes_and_escapes_are_undone() {
        assert_eq!(
            quoted(r#"{"a":"b, \"c\"", "d": "\\"}"#),
            ["a", "b, \"c\"", "d", "\\"]
        );
        assert!(quoted(r#"{"broken"#).is_empty());
    }
}
