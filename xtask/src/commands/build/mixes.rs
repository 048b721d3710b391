//! Combinations of images that fail only at the end, or not at all: `installer` refuses
//! them, `build` notes them.

use makefile::Planned;

use foundation::ctx::image_reference;
use foundation::failure::{Failure, Result};
use foundation::typed;

/// Returns what is wrong with these variables.
pub(in crate::commands) fn mixes(words: &[String], planned: &Planned) -> Vec<Failure> {
    let mut found = Vec::new();
    // What only the recipe will know is not judged.
    if let Some(tag) = value(planned, "TAG").filter(|tag| !is_version(tag)) {
        found.push(Failure::usage(format!("the tag `{tag}` is not a version"))
            .cause("it is baked into the image; extensions are then refused with `Invalid character(s) found in major number`")
            .cause("`git describe` gives such a tag in a clone without release tags")
            .hint(format!("git fetch --tags; or `{}`", typed!("installer --tag v1.12.0-dev"))));
    }
    let arguments = given(words, "IMAGER_ARGS").unwrap_or_default();
    let base = arguments
        .split_once("--base-installer-image")
        .and_then(|(_, rest)| {
            rest.trim_start_matches(['=', ' '])
                .split_whitespace()
                .next()
        });
    if let Some(base) = base.filter(|base| is_imager(base)) {
        found.push(Failure::usage(format!("`{base}` is the imager, not a base installer"))
            .cause("nothing refuses it later: the node gets an installer that cannot install (siderolabs/talos#11426)")
            .hint("leave --base-installer-image out: the Makefile gives the right one"));
    }
    found.extend(check_kernel(words).err());
    found
}

/// The value of a variable, if it is known.
pub(in crate::commands) fn value(planned: &Planned, name: &str) -> Option<String> {
    let read = planned.reads.iter().rfind(|read| read.name == name)?;
    (!makefile::contains_slot(&read.value)).then(|| read.value.clone())
}

fn given<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    words
        .iter()
        .rev()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

fn is_imager(reference: &str) -> bool {
    image_reference::split(reference).is_some_and(|(_, repository, _)| {
        repository
            .rsplit('/')
            .next()
            .is_some_and(|name| name == "imager" || name.starts_with("imager-"))
    })
}

/// `v1.12.0`, `v1.12.0-4-gabcdef-dirty`: what Talos' own parser takes.
fn is_version(tag: &str) -> bool {
    talos::version::TalosVersion::parse(tag).is_ok()
}

/// `INSTALLER_ARCH=all` needs the kernel's image for both architectures.
fn check_kernel(words: &[String]) -> Result<()> {
    let Some(kernel) = given(words, "PKG_KERNEL") else {
        return Ok(());
    };
    if !matches!(given(words, "INSTALLER_ARCH"), None | Some("all"))
        || given(words, "WITH_RACE").is_some()
    {
        return Ok(());
    }
    // A registry that does not respond is not a reason to refuse.
    let Ok(Some(architectures)) = image_reference::architectures(kernel) else {
        return Ok(());
    };
    if ["amd64", "arm64"]
        .iter()
        .all(|needed| architectures.iter().any(|has| has == needed))
    {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`{kernel}` is for {} alone",
        architectures.join(", ")
    ))
    .cause("INSTALLER_ARCH=all, the default, needs the kernel for amd64 and arm64")
    .hint(typed!(
        "installer INSTALLER_ARCH={} PKG_KERNEL={}",
        architectures.first().map_or("amd64", String::as_str),
        kernel
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_that_cost_days_are_refused() {
        assert!(is_version("v1.14.0-beta.1-84-gad8823176-dirty") && !is_version("ad8823176"));
        assert!(is_imager("127.0.0.1:5005/siderolabs/imager:v1"));
        assert!(!is_imager("127.0.0.1:5005/siderolabs/installer-base:v1"));
    }
}
