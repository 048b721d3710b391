//! Targets with a `##` comment.

use std::sync::Arc;

use crate::error::Place;

/// A target with a `##` comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documented {
    /// As in the Makefile: `target-%`, `$(ARTIFACTS)/kubectl`.
    pub target: String,
    pub text: String,
    /// The `# Heading` above it, empty without one.
    pub group: String,
    pub place: Place,
}

/// `target: … ## text`, under the last `# Heading` that a blank line follows.
pub(crate) fn read(name: &Arc<str>, text: &str) -> Vec<Documented> {
    let mut out = Vec::new();
    let mut group = String::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut in_define = false;
    for (index, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split_ascii_whitespace().take(2).collect();
        match words[..] {
            ["define", ..] | ["export", "define"] => in_define = true,
            ["endef", ..] => in_define = false,
            _ => {}
        }
        if in_define || line.starts_with('\t') {
            continue;
        }
        if let Some(heading) = line.strip_prefix("# ")
            && lines
                .get(index + 1)
                .is_none_or(|next| next.trim().is_empty())
            && index
                .checked_sub(1)
                .is_none_or(|before| lines[before].trim().is_empty())
        {
            heading.trim().clone_into(&mut group);
        }
        let Some((rule, doc)) = line.split_once("##") else {
            continue;
        };
        if let Some((target, _)) = rule.split_once(':')
            && !target.trim().is_empty()
            && !target.contains(['=', '#'])
        {
            out.push(Documented {
                target: target.trim().to_owned(),
                text: doc.trim().to_owned(),
                group: group.clone(),
                place: Place {
                    file: name.clone(),
                    line: index + 1,
                },
            });
        }
    }
    out
}
