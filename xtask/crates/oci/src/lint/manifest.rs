//! The top of an extension and its manifest: L1, L2, L3, L8, L9, L16, L18, L30.

use std::collections::BTreeSet;

use regex::Regex;
use serde::{Deserialize, Deserializer};
use talos::{TalosVersion, yaml};

use crate::entry::Kind;
use crate::lint::files::{Found, Root};
use crate::lint::finding::{Finding, Findings};
use crate::lint::scan::Scan;
use crate::lint::{Against, constraint, files};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    #[serde(deserialize_with = "nullable")]
    version: String,
    #[serde(deserialize_with = "nullable")]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    version: String,
    #[serde(deserialize_with = "nullable")]
    compatibility: Compatibility,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Compatibility {
    #[serde(deserialize_with = "nullable")]
    talos: Constraint,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Constraint {
    #[serde(deserialize_with = "nullable")]
    version: String,
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn parse(bytes: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directive = text.lines().find_map(|line| line.strip_prefix("%YAML "));
    if directive.is_some_and(|version| version.trim() != "1.1") {
        return Err("found incompatible YAML document".to_owned());
    }
    let first = first_document(text);
    if first
        .lines()
        .all(|line| line.trim().is_empty() || line.starts_with('#'))
    {
        return Err("EOF".to_owned());
    }
    yaml::from_str(first).map_err(|error| error.to_string())
}

/// Talos decodes the first document and leaves the rest.
pub(crate) fn first_document(text: &str) -> &str {
    let mut has_content = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let is_mark = line.trim_end() == "---";
        if is_mark && has_content {
            return &text[..at];
        }
        has_content |= !is_mark && !line.trim().is_empty() && !line.starts_with('#');
        at += line.len();
    }
    text
}

/// Name and version, for the title of a report.
pub(crate) fn title(scan: &Scan) -> Option<String> {
    let manifest = parse(scan.manifest.as_deref()?).ok()?;
    let metadata = manifest.metadata;
    Some(format!("{} {}", metadata.name, metadata.version))
}

pub(crate) fn name(scan: &Scan) -> Option<String> {
    let manifest = parse(scan.manifest.as_deref()?).ok()?;
    Some(manifest.metadata.name)
}

pub(crate) fn check(scan: &Scan, against: &Against, found: &mut Vec<Finding>) {
    config(scan, found);
    let is_damaged = found.iter().any(|it| it.number == 29);
    if scan.files.is_empty() {
        if !is_damaged {
            let platform = &scan.platform;
            found.error(18, None, format!("the image for {platform} is empty"));
        }
        return;
    }
    layout(scan, is_damaged, found);
    let Some(bytes) = &scan.manifest else {
        return;
    };
    let path = Some("manifest.yaml");
    let manifest = match parse(bytes) {
        Ok(manifest) => manifest,
        Err(reason) => {
            found.error(2, path, format!("it cannot be decoded: {reason}"));
            return;
        }
    };
    if manifest.version != "v1alpha1" {
        let version = &manifest.version;
        found.error(
            2,
            path,
            format!("unsupported manifest version: {version:?}"),
        );
    }
    let metadata = &manifest.metadata;
    for (name, value) in [("name", &metadata.name), ("version", &metadata.version)] {
        if value.trim().is_empty() {
            found.error(8, path, format!("metadata.{name} is empty"));
        }
    }
    let range = &metadata.compatibility.talos.version;
    if !range.is_empty() {
        match constraint::satisfies(range, against.version.core()) {
            Ok(true) => {}
            Ok(false) => found.error(
                3,
                path,
                format!("`{range}` does not allow Talos {}", against.version),
            ),
            Err(reason) => found.error(3, path, reason),
        }
    }
    names(scan, metadata, against, found);
}

fn names(scan: &Scan, metadata: &Metadata, against: &Against, found: &mut Vec<Finding>) {
    let path = Some("manifest.yaml");
    if let Some(target) = &scan.target
        && !metadata.name.is_empty()
        && *target != metadata.name
    {
        let name = &metadata.name;
        found.warning(
            9,
            path,
            format!("its name is `{name}`, the image's `{target}`"),
        );
    }
    let version = metadata.version.as_str();
    if version.is_empty() {
        return;
    }
    if version.contains("<no value>") {
        found.error(
            9,
            path,
            format!("a variable of the template has no value: `{version}`"),
        );
    } else if !is_upstream_version(version) {
        found.warning(
            9,
            path,
            format!("`{version}` is not a form of version that extensions use"),
        );
    }
    if let Some((_, tag)) = version.split_once("-v")
        && let Ok(built_for) = TalosVersion::parse(&format!("v{tag}"))
        && !built_for.has_line_of(&against.version)
        // nvidia-container-toolkit has a `-v1.19.1` of its own, which is not a Talos.
        && built_for.core() < TalosVersion::newest().core()
    {
        found.warning(
            30,
            path,
            format!(
                "it was built for Talos {built_for}, not {}",
                against.version
            ),
        );
    }
}

/// The forms that extensions-validator takes.
fn is_upstream_version(version: &str) -> bool {
    const SUFFIX: &str =
        r"-v\d+\.\d+\.\d+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(-\d+-g[0-9a-f]+(-dirty)?)?$";
    [
        r"^v?\d+\.\d+\.\d+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$",
        r"^\d{8}(\.\d)?$",
        &format!(r"^\d+\.\d+\.\d+{SUFFIX}"),
        &format!(r"^[0-9a-f]+{SUFFIX}"),
        r"^v?\d+\.\d+$",
    ]
    .iter()
    .any(|form| Regex::new(form).is_ok_and(|form| form.is_match(version)))
}

fn layout(scan: &Scan, is_damaged: bool, found: &mut Vec<Finding>) {
    let top: Vec<&str> = {
        let mut top: Vec<&str> = scan
            .files
            .keys()
            .filter_map(|path| path.split('/').next())
            .collect();
        top.dedup();
        top
    };
    let unexpected: Vec<&str> = top
        .iter()
        .copied()
        .filter(|name| !["manifest.yaml", "rootfs"].contains(name))
        .collect();
    let is_extension = top.contains(&"manifest.yaml");
    if let Some(first) = unexpected.first() {
        let more = match unexpected.len() {
            1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        let kind = if is_extension { None } else { kind_of(scan) };
        let kind = kind.map_or_else(String::new, |kind| format!("; it looks like {kind}"));
        found.error(
            1,
            Some(first),
            format!("unexpected file {first:?}{more}{kind}"),
        );
    }
    // Entries after the damage are unknown.
    if is_damaged {
        return;
    }
    if scan.manifest.is_none() {
        without_manifest(scan, found);
    }
    let rootfs = scan.files.get("rootfs");
    if rootfs.is_some_and(|node| !node.is_dir()) {
        found.error(1, Some("rootfs"), "it is not a directory");
    } else if !top.contains(&"rootfs") {
        found.error(1, None, "extension rootfs is missing");
    } else if is_extension && files::below(&scan.files, "rootfs").all(|(_, node)| node.is_dir()) {
        found.note(18, Some("rootfs"), "it has no files for this platform");
    }
}

/// Only a regular file is read while layers are streamed.
fn without_manifest(scan: &Scan, found: &mut Vec<Finding>) {
    let path = Some("manifest.yaml");
    let Some(node) = scan.files.get("manifest.yaml") else {
        found.error(1, None, "extension manifest is missing");
        return;
    };
    match &node.kind {
        Kind::Directory => found.error(2, path, "it is a directory"),
        Kind::Symlink(to) => {
            let gone = BTreeSet::new();
            match files::resolve(&scan.files, "manifest.yaml", Root::Elsewhere, &gone) {
                Found::At(_) => {
                    let text = format!("not checked: it is a link to `{to}`");
                    found.warning(2, path, text);
                }
                _ => found.error(
                    2,
                    path,
                    format!("it is a link to `{to}`, which does not exist"),
                ),
            }
        }
        _ => found.error(2, path, "EOF: the imager makes an empty file of it"),
    }
}

/// What an image is that is not an extension.
fn kind_of(scan: &Scan) -> Option<&'static str> {
    let has = |path: &str| scan.files.contains_key(path);
    let entrypoint = match &scan.config {
        Some(config) => config.config.entrypoint.first().map(String::as_str),
        None => None,
    };
    if entrypoint == Some("/bin/imager") || entrypoint == Some("/bin/installer") {
        return Some("an imager or an installer");
    }
    if has("boot/vmlinuz") {
        return Some("a kernel image");
    }
    let has_modules = scan
        .files
        .keys()
        .any(|path| path.starts_with("usr/lib/modules/"));
    has_modules.then_some("a package of pkgs: an extension has its files below rootfs")
}

fn config(scan: &Scan, found: &mut Vec<Finding>) {
    if !scan.has_manifest {
        return;
    }
    let Some(config) = &scan.config else {
        found.warning(16, None, "the configuration of the image is missing");
        return;
    };
    if config.architecture.is_empty() || config.os.is_empty() {
        found.warning(16, None, "the configuration has no architecture or no os");
    } else if !scan.arch.is_empty() && config.architecture != scan.arch {
        found.error(
            16,
            None,
            format!(
                "the configuration is for {}, the index entry for {}",
                config.architecture, scan.arch
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_forms_of_the_validator() {
        for good in [
            "0.1",
            "4.21.0-a358137",
            "v1.2.3",
            "20250311",
            "20250311.1",
            "4.24.0-v1.12.0",
            "4.24.0-v1.14.0-beta.1-12-g26822f5-dirty",
            "8721136-v1.12.0",
        ] {
            assert!(is_upstream_version(good), "{good}");
        }
        for bad in ["8721136", "1", "1.2.3.4", "latest", ""] {
            assert!(!is_upstream_version(bad), "{bad}");
        }
    }

    #[test]
    fn scalars_are_text_as_go_reads_them() {
        let text =
            b"version: v1alpha1\nmetadata:\n  name: x\n  version: 0.10\n  author:\n---\nother: [";
        let manifest = parse(text).unwrap();
        assert_eq!(manifest.metadata.version, "0.10");
        assert_eq!(parse(b"").unwrap_err(), "EOF");
        assert_eq!(parse(b"\n# x\n").unwrap_err(), "EOF");
        parse(b"version: [").unwrap_err();
        parse(b"version: [1]").unwrap_err();
        parse(b"\xff").unwrap_err();
    }
}
