//! Services of extensions: L15, L23, L24.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};
use talos::yaml;

use crate::entry::Kind;
use crate::lint::files::{Files, Found, Root, resolve};
use crate::lint::finding::{Finding, Findings};
use crate::lint::manifest::first_document;
use crate::lint::scan::{CONTAINERS, Scan};
use crate::module::Program;

const RESTARTS: [&str; 3] = ["always", "never", "untilsuccess"];
const NETWORK: [&str; 4] = ["addresses", "connectivity", "hostname", "etcfiles"];
/// Where a runtime looks for a program without a slash in its name.
const PATH: [&str; 6] = [
    "usr/local/sbin",
    "usr/local/bin",
    "usr/sbin",
    "usr/bin",
    "sbin",
    "bin",
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    container: Container,
    #[serde(deserialize_with = "nullable")]
    depends: Vec<Dependency>,
    #[serde(deserialize_with = "nullable")]
    restart: String,
    #[serde(deserialize_with = "switch", rename = "logToConsole")]
    _log_to_console: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    #[serde(deserialize_with = "nullable")]
    entrypoint: String,
    #[serde(deserialize_with = "nullable")]
    mounts: Vec<Mount>,
    // The node decodes these, and refuses the spec if they are of another type.
    #[serde(deserialize_with = "nullable", rename = "environment")]
    _environment: Vec<Option<String>>,
    #[serde(deserialize_with = "nullable", rename = "environmentFile")]
    _environment_file: String,
    #[serde(deserialize_with = "nullable", rename = "args")]
    _args: Vec<Option<String>>,
    #[serde(deserialize_with = "nullable", rename = "security")]
    _security: Security,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Security {
    #[serde(deserialize_with = "switch", rename = "writeableSysfs")]
    _writeable_sysfs: bool,
    #[serde(deserialize_with = "nullable", rename = "maskedPaths")]
    _masked_paths: Vec<Option<String>>,
    #[serde(deserialize_with = "nullable", rename = "readonlyPaths")]
    _readonly_paths: Vec<Option<String>>,
    #[serde(deserialize_with = "switch", rename = "writeableRootfs")]
    _writeable_rootfs: bool,
    #[serde(deserialize_with = "nullable", rename = "rootfsPropagation")]
    _rootfs_propagation: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mount {
    #[serde(deserialize_with = "nullable")]
    destination: String,
    #[serde(deserialize_with = "nullable", rename = "type")]
    _type: String,
    #[serde(deserialize_with = "nullable", rename = "source")]
    _source: String,
    #[serde(deserialize_with = "nullable", rename = "options")]
    _options: Vec<Option<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dependency {
    #[serde(deserialize_with = "nullable")]
    service: String,
    #[serde(deserialize_with = "nullable")]
    path: String,
    #[serde(deserialize_with = "nullable")]
    network: Vec<String>,
    #[serde(deserialize_with = "switch")]
    time: bool,
    #[serde(deserialize_with = "switch")]
    configuration: bool,
}

/// Go's YAML library takes the words of YAML 1.1 where a boolean is wanted.
fn switch<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Switch {
        Bool(bool),
        Word(String),
    }
    match Option::deserialize(from)? {
        None => Ok(false),
        Some(Switch::Bool(value)) => Ok(value),
        Some(Switch::Word(word)) => match word.as_str() {
            "y" | "Y" | "yes" | "on" => Ok(true),
            "n" | "N" | "no" | "off" => Ok(false),
            _ => Err(serde::de::Error::custom(format!(
                "`{word}` is not a boolean"
            ))),
        },
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Judges the specs of one image; the files of all that are installed together are
/// `files`, because one may mount or complete what another brings.
pub(crate) fn check(scan: &Scan, files: &Files, found: &mut Vec<Finding>) {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (path, bytes) in &scan.specs {
        let spec = match parse(bytes) {
            Ok(spec) => spec,
            Err(reason) => {
                found.error(15, Some(path), format!("it cannot be decoded: {reason}"));
                continue;
            }
        };
        let before = found.len();
        validate(path, &spec, found);
        if let Some(other) = names.insert(spec.name.clone(), path) {
            let text = format!("`{other}` has a service of this name, too");
            found.error(15, Some(path), text);
        }
        if spec.depends.iter().any(|it| it.configuration) {
            let name = &spec.name;
            let text = format!(
                "service `{name}` waits for an ExtensionServiceConfig named `{name}`; without it the node never finishes booting"
            );
            found.warning(23, Some(path), text);
        }
        if found.len() == before || spec.depends.iter().any(|it| it.configuration) {
            entrypoint(path, &spec, files, found);
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Spec, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    yaml::from_str(first_document(text)).map_err(|error| error.to_string())
}

fn validate(path: &str, spec: &Spec, found: &mut Vec<Finding>) {
    let mut error = |text: String| found.error(15, Some(path), text);
    let is_name = |c: char| matches!(c, '-' | '_' | 'a'..='z' | '0'..='9');
    if spec.name.is_empty() || !spec.name.chars().all(is_name) {
        error(format!(
            "name {:?} is invalid: only a-z, 0-9, - and _",
            spec.name
        ));
    }
    if !RESTARTS.contains(&spec.restart.to_lowercase().as_str()) {
        error(format!(
            "restart {:?} is not always, never or untilSuccess",
            spec.restart
        ));
    }
    if spec.container.entrypoint.is_empty() {
        error("container endpoint can't be empty".into());
    }
    for dependency in &spec.depends {
        let kinds = [
            !dependency.service.is_empty(),
            !dependency.path.is_empty(),
            !dependency.network.is_empty(),
            dependency.time,
            dependency.configuration,
        ];
        match kinds.iter().filter(|it| **it).count() {
            0 => error("no dependency specified".into()),
            1 => {}
            _ => error("more than a single dependency is set".into()),
        }
        if !dependency.path.is_empty() && !dependency.path.starts_with('/') {
            error(format!("path is not absolute: {:?}", dependency.path));
        }
        for status in &dependency.network {
            if !NETWORK.contains(&status.to_lowercase().as_str()) {
                error(format!("invalid network dependency: {status}"));
            }
        }
    }
}

/// Where a path of a container is found.
enum Place {
    File(String),
    /// A mount covers it: the node's own files are unknown here.
    Mounted,
    Missing,
}

fn locate(path: &str, root: &str, spec: &Spec, files: &Files) -> Place {
    let absolute = format!("/{}", path.trim_start_matches("./").trim_start_matches('/'));
    let is_mounted = |path: &str| {
        spec.container.mounts.iter().any(|mount| {
            let destination = mount.destination.trim_end_matches('/');
            path.strip_prefix(destination)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    if is_mounted(&absolute) {
        return Place::Mounted;
    }
    match resolve(
        files,
        &format!("{root}{absolute}"),
        Root::At(root),
        &BTreeSet::new(),
    ) {
        Found::At(real) if is_mounted(real.strip_prefix(root).unwrap_or_default()) => {
            Place::Mounted
        }
        Found::At(real) => Place::File(real),
        Found::Missing(at) if is_mounted(at.strip_prefix(root).unwrap_or_default()) => {
            Place::Mounted
        }
        // A link through a folder that a mount covers.
        _ if through_mount(&absolute, root, spec, files) => Place::Mounted,
        _ => Place::Missing,
    }
}

/// Whether a link on the way, such as `/lib64`, leads into a mount.
fn through_mount(path: &str, root: &str, spec: &Spec, files: &Files) -> bool {
    path.match_indices('/')
        .skip(1)
        .map(|(at, _)| &path[..at])
        .chain([path])
        .any(|part| {
            let Some(Kind::Symlink(to)) = files.get(&format!("{root}{part}")).map(|it| &it.kind)
            else {
                return false;
            };
            let to = crate::lint::files::target(part, to);
            let to = format!("/{}", to.trim_start_matches('/'));
            spec.container
                .mounts
                .iter()
                .any(|mount| to.starts_with(mount.destination.trim_end_matches('/')))
        })
}

fn entrypoint(path: &str, spec: &Spec, files: &Files, found: &mut Vec<Finding>) {
    let root = format!("{}/{}", &CONTAINERS["rootfs/".len()..], spec.name);
    let entry = spec.container.entrypoint.as_str();
    let candidates: Vec<String> = if entry.contains('/') {
        vec![entry.to_owned()]
    } else {
        PATH.iter()
            .map(|folder| format!("/{folder}/{entry}"))
            .chain([entry.to_owned()])
            .collect()
    };
    let mut at = None;
    for candidate in &candidates {
        match locate(candidate, &root, spec, files) {
            Place::File(file) => {
                at = Some(file);
                break;
            }
            Place::Mounted => return,
            Place::Missing => {}
        }
    }
    let Some(file) = at else {
        let text = format!("its entrypoint `{entry}` does not exist in /{root}");
        found.error(24, Some(path), text);
        return;
    };
    let Some(node) = files.get(&file) else { return };
    if node.is_dir() {
        found.error(
            24,
            Some(path),
            format!("its entrypoint `{entry}` is a directory"),
        );
        return;
    }
    if node.mode & 0o111 == 0 {
        found.error(
            24,
            Some(path),
            format!("its entrypoint `{entry}` is not executable"),
        );
        return;
    }
    let Some(Program::Dynamic { interpreter, .. } | Program::Script { interpreter }) =
        &node.program
    else {
        return;
    };
    if matches!(locate(interpreter, &root, spec, files), Place::Missing) {
        let text = format!("`{entry}` needs `{interpreter}`, which does not exist in /{root}");
        found.error(24, Some(path), text);
    }
}
