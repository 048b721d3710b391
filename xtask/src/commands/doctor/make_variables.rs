//! Finds make variables that are set in the environment: every `NAME ?= …` uses
//! that value, and desktops export `USERNAME=<login>` (T11).

use foundation::files;
use std::fmt::Write;

use super::finding::Finding;
use super::inputs::Inputs;

/// The variables that the Makefile of every line sets with `?=`; they name
/// images.
const KNOWN: [&str; 6] = ["USERNAME", "TAG", "SHA", "REGISTRY", "PLATFORM", "PUSH"];
/// Maximum length of a shown value: it may be anything.
const SHOWN: usize = 40;

pub(super) fn look(inputs: &Inputs) -> Vec<Finding> {
    let path = inputs.checkout().map(|found| found.dir.join("Makefile"));
    let text = match path
        .map(|path| files::text(&path, files::MEDIUM))
        .transpose()
    {
        Ok(text) => text.flatten(),
        Err(failure) => return vec![Finding::warn("make-variables", failure.in_one_line())],
    };
    let names = text
        .as_deref()
        .map_or_else(|| KNOWN.map(str::to_owned).to_vec(), conditional_names);
    let environment = |name: &str| std::env::var(name).ok();
    let from = if text.is_some() {
        "the Makefile's"
    } else {
        "the Makefile's best known"
    };
    vec![finding(&names, environment, from)]
}

fn finding(names: &[String], environment: impl Fn(&str) -> Option<String>, from: &str) -> Finding {
    let set: Vec<(&str, String)> = names
        .iter()
        .filter_map(|name| Some((name.as_str(), environment(name)?)))
        .collect();
    if set.is_empty() {
        let text = format!(
            "the environment sets none of {from} {} `?=` variables",
            names.len()
        );
        return Finding::ok("make-variables", text);
    }
    let mut shown = String::new();
    let mut unset = "env".to_owned();
    for (name, value) in &set {
        let comma = if shown.is_empty() { "" } else { ", " };
        if KNOWN.contains(name) {
            let value: String = value.chars().take(SHOWN).collect();
            let _ = write!(shown, "{comma}`{name}={value}`");
        } else {
            // The value is not printed, because it may be a secret.
            let _ = write!(shown, "{comma}`{name}`");
        }
        let _ = write!(unset, " -u {name}");
    }
    Finding::warn(
        "make-variables",
        format!("the environment sets make variables: {shown}"),
    )
    .why("the Makefile takes them (`?=`): images get other names, tags or platforms than meant")
    .cure(format!("{unset} make …"))
}

/// Names that a makefile assigns with `?=`, outside of recipes, each once.
fn conditional_names(makefile: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in makefile.lines().filter(|line| !line.starts_with('\t')) {
        let Some((left, _)) = line.split_once("?=") else {
            continue;
        };
        // `export NAME ?= value`.
        let left = left.trim();
        let name = left.strip_prefix("export ").unwrap_or(left).trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.is_empty() && name.chars().all(is_name) && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of Talos' Makefile at v1.12.0.
    const MAKEFILE: &str = "REGISTRY ?= ghcr.io
USERNAME ?= siderolabs
TAG ?= $(shell git describe --tag --always --dirty --match v[0-9]\\*)
IMAGE_REGISTRY ?= $(REGISTRY)
NAME = Talos
CLOUD_IMAGES_EXTRA_ARGS ?= \"\"
GO_MACHINED_LDFLAGS ?= -X x=y # see https://github.com/siderolabs/talos/issues/8514
COMMON_ARGS += --build-arg=NAME=$(NAME)
# PUSH ?= in a comment
\t@echo \"$${FOO ?= bar}\"
ifneq (, $(filter $(WITH_RACE), t true TRUE y yes 1))
  CGO_ENABLED ?= 1
endif
TAG ?= twice
";

    #[test]
    fn conditional_assignments_are_read() {
        assert_eq!(
            conditional_names(MAKEFILE),
            [
                "REGISTRY",
                "USERNAME",
                "TAG",
                "IMAGE_REGISTRY",
                "CLOUD_IMAGES_EXTRA_ARGS",
                "GO_MACHINED_LDFLAGS",
                "CGO_ENABLED"
            ]
        );
    }

    #[test]
    fn what_leaks_is_named_with_the_way_out() {
        let names = conditional_names(MAKEFILE);
        let set = |name: &str| match name {
            "USERNAME" => Some("dev".to_owned()),
            "CGO_ENABLED" => Some("1".to_owned()),
            _ => None,
        };
        let found = finding(&names, set, "the Makefile's");
        assert!(
            found.what.ends_with("`USERNAME=dev`, `CGO_ENABLED`"),
            "{}",
            found.what
        );
        assert_eq!(found.cure.unwrap(), "env -u USERNAME -u CGO_ENABLED make …");
    }
}
