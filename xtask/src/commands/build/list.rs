//! `build --list`: the targets and stages of a repository.

use std::collections::BTreeSet;
use std::fmt::Write;

use camino::Utf8Path;
use makefile::Documented;
use serde_json::{Value, json};

use super::repository::{Repository, refused};
use super::shells::{For, Shells};
use super::stages;
use crate::app::App;
use foundation::failure::Result;
use foundation::ui::text::one_line;
use foundation::ui::{self, Style, Ui};

pub(super) fn run(
    app: &App<'_>,
    repository: &Repository,
    words: &[String],
    json: bool,
) -> Result<u8> {
    let invocation = repository.invocation(words, "make");
    let shells = Shells::new(&repository.dir, &repository.environment, For::Look);
    let all = shells
        .settle(
            &repository.makefile,
            &invocation,
            |makefile, invocation, world| makefile::targets(makefile, invocation, world),
        )
        .map_err(|error| refused(&error))?;
    let documented = repository.makefile.documented();
    let named: BTreeSet<&str> = documented.iter().map(|it| it.target.as_str()).collect();
    let listed = Listed {
        documented,
        others: all
            .iter()
            .map(String::as_str)
            .filter(|name| !named.contains(name))
            .collect(),
        stages: stages(&repository.dir)?,
    };
    if json {
        ui::print_report(listed.json(&repository.dir));
    } else {
        ui::print(&listed.text(app.ui));
    }
    Ok(0)
}

/// The targets and stages.
struct Listed<'a> {
    documented: &'a [Documented],
    /// Targets without a description.
    others: Vec<&'a str>,
    /// The stages of the Dockerfile.
    stages: Vec<String>,
}

impl Listed<'_> {
    /// Stable: fields are added, never changed.
    fn json(&self, dir: &Utf8Path) -> Value {
        let documented: Vec<_> = self
            .documented
            .iter()
            .map(|it| json!({"target": it.target, "text": it.text, "group": it.group, "line": it.place.line}))
            .collect();
        json!({"dir": dir, "documented": documented, "others": self.others, "stages": self.stages})
    }

    /// Returns the list as text.
    fn text(&self, ui: &Ui) -> String {
        let mut out = String::new();
        let mut group = None;
        for it in self.documented {
            if group != Some(&it.group) {
                let heading = if it.group.is_empty() {
                    "Targets"
                } else {
                    &it.group
                };
                let _ = writeln!(
                    out,
                    "{}{}",
                    if group.is_some() { "\n" } else { "" },
                    ui.paint(Style::Bold, heading)
                );
                group = Some(&it.group);
            }
            let _ = writeln!(
                out,
                "  {:<32} {}",
                one_line(&it.target),
                first_sentence(&it.text)
            );
        }
        let stages: Vec<&str> = self.stages.iter().map(String::as_str).collect();
        for (heading, names) in [
            ("Without a description", &self.others),
            (
                "Stages of the Dockerfile: target-X, local-X DEST=…, docker-X DEST=…, registry-X",
                &stages,
            ),
        ] {
            if !names.is_empty() {
                let _ = writeln!(out, "\n{}", ui.paint(Style::Bold, heading));
                columns(&mut out, names);
            }
        }
        out
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first)
}

/// Fills lines of at most 100 characters.
fn columns(out: &mut String, names: &[&str]) {
    let mut line = String::from(" ");
    for name in names {
        if line.len() + name.len() + 1 > 100 {
            let _ = writeln!(out, "{line}");
            line = String::from(" ");
        }
        let _ = write!(line, " {}", one_line(name));
    }
    let _ = writeln!(out, "{line}");
}

/// Returns `NAME` of each `FROM … AS NAME`, in the file's order.
pub(super) fn parse_stages(dockerfile: &str) -> Vec<String> {
    dockerfile
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let is_from = words
                .first()
                .is_some_and(|word| word.eq_ignore_ascii_case("from"));
            let at = words
                .iter()
                .position(|word| word.eq_ignore_ascii_case("as"))?;
            let name = words.get(at + 1).filter(|_| is_from)?;
            (!name.contains('$')).then(|| (*name).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_names() {
        let text = "FROM --platform=amd64 scratch AS kernel\nCOPY as x\nfrom a as initramfs\nFROM scratch\nFROM x AS t-$ARCH\n";
        assert_eq!(parse_stages(text), ["kernel", "initramfs"]);
    }
}
