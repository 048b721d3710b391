//! Causes that a node shows: in its log, in the events of its services, and in what it is
//! like where no message says it.

use camino::Utf8Path;
use foundation::ctx::node_api::NodeApi;
use foundation::failure::{Because, Failure, Result};
use foundation::files;
use foundation::typed;
use talos::console::BootTracker;

use super::node_state::{MODULES_DEP, NodeState, Service, module_name, module_of};
use super::verify::is_in_effect;
use super::why::Reason;
use crate::app::App;
use crate::commands::cluster::Which;
use crate::commands::cluster::reach::{Reached, reach};

/// Bytes of a console, from its end.
const CONSOLE: usize = 16 << 20;

/// Returns what was read, for the report, and the causes.
///
/// # Errors
/// If the node is unknown, or neither its API nor its console can be read.
pub(super) fn reasons(app: &App<'_>, which: &Which, word: &str) -> Result<(String, Vec<Reason>)> {
    let node = reach(app, which, word)?;
    let error = match node.api.text(&["dmesg"]) {
        Ok(log) => {
            let state = NodeState::read(&node.api);
            let mut reasons = Reason::of_log(&log);
            let of_state = of_state(&state);
            // The same with names.
            if of_state.iter().any(|it| it.id == "no-such-module") {
                reasons.retain(|it| it.id != "not-found");
            }
            if of_state.iter().any(|it| it.id == "empty-module") {
                reasons.retain(|it| it.id != "invalid-argument");
            }
            reasons.extend(of_state);
            reasons.extend(of_lockdown(&node.api, &reasons));
            return Ok((format!("dmesg of {}", node.name), reasons));
        }
        Err(error) => error,
    };
    let Some((path, text)) = console(&node)? else {
        return Err(
            Failure::host(format!("node `{}` does not answer", node.name))
                .cause(error)
                .hint(format!(
                    "save its console in a file: {}",
                    typed!("kmod why {}", "console.log")
                )),
        );
    };
    app.ui.note(&format!(
        "node `{}` does not answer ({error}): reading only its console",
        node.name
    ));
    Ok((path, Reason::of_log(&text)))
}

/// The path of the console and its newest boot.
fn console(node: &Reached) -> Result<Option<(String, String)>> {
    let Some(path) = &node.console else {
        return Ok(None);
    };
    let bytes = files::read(path, files::LARGE).because(|| format!("cannot read `{path}`"))?;
    Ok(bytes.map(|bytes| {
        let end = &bytes[bytes.len().saturating_sub(CONSOLE)..];
        let mut tracker = BootTracker::default();
        tracker.feed(end);
        tracker.finish();
        let boot = tracker.current().map_or(0, |boot| boot.offset);
        let boot = usize::try_from(boot).unwrap_or(0).min(end.len());
        let text = String::from_utf8_lossy(&end[boot..]).into_owned();
        (path.to_string(), text)
    }))
}

/// What no message says, or only one that misleads.
fn of_state(state: &NodeState) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(empty_modules(state));
    reasons.extend(stale_index(state));
    reasons.extend(unknown_names(state));
    reasons.extend(ignored_arguments(state));
    let services = state.services.iter().flatten();
    reasons.extend(services.filter_map(of_service));
    reasons
}

fn empty_modules(state: &NodeState) -> Option<Reason> {
    let files = state.modules.as_ref().ok()?;
    let is_empty = |(path, size): &(&String, &u64)| module_of(path).is_some() && **size == 0;
    let empty: Vec<&str> = files
        .iter()
        .filter(is_empty)
        .map(|(path, _)| path.as_str())
        .collect();
    (!empty.is_empty()).then(|| Reason {
        id: "empty-module",
        line: None,
        text: format!("{}: 0 bytes", empty.join(", ")),
        cause: "the module is a hard link in the image, of which the imager makes an empty file"
            .into(),
        fix: "copy the file in the package in place of a link".into(),
        rules: &[10],
    })
}

/// Modules are loaded by modules.dep, whatever files there are.
fn stale_index(state: &NodeState) -> Option<Reason> {
    let (files, extensions) = (
        state.modules.as_ref().ok()?,
        state.extensions.as_ref().ok()?,
    );
    let release = state.release.as_ref().ok()?;
    let wanted = missing_modules(state);
    let with_file = wanted
        .iter()
        .find_map(|name| Some((name, file_of(files.keys(), name)?)))?;
    let entry = extensions.iter().find(|it| it.name == MODULES_DEP);
    let text = match entry {
        Some(entry) if entry.version == *release => return None,
        Some(entry) => format!(
            "the extension {MODULES_DEP} is of {}, the kernel is {release}",
            entry.version
        ),
        None => format!(
            "{} exists, and the node has no extension `{MODULES_DEP}`",
            with_file.1
        ),
    };
    Some(Reason {
        id: "stale-index",
        line: None,
        text,
        cause: "Talos loads modules by modules.dep, which the imager makes only if it sees modules of its kernel's release".into(),
        fix: "build the installer with the imager of the Talos that runs, and check the extension with `kmod lint`".into(),
        rules: &[11, 19],
    })
}

/// Modules of the configuration that no file has.
fn unknown_names(state: &NodeState) -> Option<Reason> {
    let files = state.modules.as_ref().ok()?;
    let missing = missing_modules(state);
    let is_unknown = |name: &&String| file_of(files.keys(), name).is_none();
    let unknown: Vec<&str> = missing
        .iter()
        .filter(is_unknown)
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let names = unknown.join(", ");
    let installed = state.extensions.iter().flatten();
    let mut names_of_extensions = installed.filter(|it| unknown.contains(&it.name.as_str()));
    let cause = match names_of_extensions.next() {
        Some(extension) => format!(
            "`{}` is the name of an extension; the machine configuration needs the name of the .ko file",
            extension.name
        ),
        None => "no extension has a module of this name for the running kernel: it is not installed, its folder is of another release, or the name is wrong".into(),
    };
    Some(Reason {
        id: "no-such-module",
        line: None,
        text: format!("the machine configuration loads {names}; no file has this name"),
        cause,
        fix: "install the extension of this Talos release, and use the name of the .ko file without `.ko`".into(),
        rules: &[11, 19],
    })
}

/// Modules of the configuration that are not loaded.
fn missing_modules(state: &NodeState) -> Vec<String> {
    let Ok(loaded) = &state.loaded else {
        return Vec::new();
    };
    let wanted = state.wanted.iter().flatten();
    wanted
        .filter(|name| !loaded.contains_key(&module_name(name)))
        .cloned()
        .collect()
}

fn file_of<'a>(mut paths: impl Iterator<Item = &'a String>, name: &str) -> Option<&'a String> {
    let wanted = module_name(name);
    paths.find(|path| module_of(path).as_ref() == Some(&wanted))
}

fn ignored_arguments(state: &NodeState) -> Option<Reason> {
    let (cmdline, configured) = (
        state.cmdline.as_ref().ok()?,
        state.configured_arguments.as_ref().ok()?,
    );
    let missing = configured.iter().filter(|it| !is_in_effect(cmdline, it));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    (!missing.is_empty()).then(|| Reason {
        id: "arguments-ignored",
        line: None,
        text: format!("not in /proc/cmdline: {}", missing.join(" ")),
        cause: "machine.install.extraKernelArgs has no effect with a UKI, nor before the next installation".into(),
        fix: "build the installer with `--extra-kernel-arg`, and upgrade".into(),
        rules: &[],
    })
}

fn of_service(service: &Service) -> Option<Reason> {
    if service.state == "Running" {
        return None;
    }
    let text = format!("{} {}: {}", service.id, service.state, service.event);
    if service.event.contains("extension service config") {
        let name = service.id.trim_start_matches("ext-");
        return Some(Reason {
            id: "service-configuration",
            line: None,
            text,
            cause: format!(
                "the service waits for an ExtensionServiceConfig named `{name}`; until then the node does not finish booting"
            ),
            fix: format!("apply the document ExtensionServiceConfig with `name: {name}`"),
            rules: &[23],
        });
    }
    // The events have the texts of the log.
    Reason::of_log(&text)
        .into_iter()
        .next()
        .map(|reason| Reason {
            line: None,
            ..reason
        })
}

/// The verifier's text says nothing of lockdown.
fn of_lockdown(api: &NodeApi, found: &[Reason]) -> Option<Reason> {
    if !found.iter().any(|it| it.id == "lockdown-verifier") {
        return None;
    }
    let lockdown = api
        .read(Utf8Path::new("/sys/kernel/security/lockdown"))
        .ok()?;
    lockdown.contains("[confidentiality]").then(|| Reason {
        id: "lockdown",
        line: None,
        text: format!("/sys/kernel/security/lockdown: {}", lockdown.trim()),
        cause: "the kernel is locked down for confidentiality: BPF programs that read memory are refused".into(),
        fix: "build the image with the kernel arguments `-lockdown lockdown=integrity`".into(),
        rules: &[],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::commands::kmod::node_state::Installed;

    /// A node that loads `hailort` and has not loaded it.
    fn state(files: &[(&str, u64)], extensions: &[(&str, &str)]) -> NodeState {
        NodeState {
            release: Ok("6.18.1-talos".into()),
            extensions: Ok(extensions
                .iter()
                .map(|(name, version)| Installed {
                    name: (*name).into(),
                    version: (*version).into(),
                })
                .collect()),
            loaded: Ok(BTreeMap::new()),
            wanted: Ok(vec!["hailort".into()]),
            cmdline: Ok(vec!["console=ttyS0".into()]),
            configured_arguments: Ok(Vec::new()),
            signatures_enforced: Ok(true),
            service_configurations: Ok(Vec::new()),
            log: Ok(String::new()),
            services: Ok(Vec::new()),
            modules: Ok(files
                .iter()
                .map(|(path, size)| ((*path).into(), *size))
                .collect()),
        }
    }

    fn ids(state: &NodeState) -> Vec<&'static str> {
        of_state(state).iter().map(|it| it.id).collect()
    }

    #[test]
    fn what_no_message_says_is_found() {
        let other = state(&[("/m/hailo_pci.ko", 7)], &[("hailort", "1")]);
        assert_eq!(ids(&other), ["no-such-module"]);
        let reasons = of_state(&other);
        assert!(
            reasons[0]
                .cause
                .contains("`hailort` is the name of an extension")
        );

        let file = [("/m/hailort.ko", 7)];
        assert_eq!(ids(&state(&file, &[])), ["stale-index"]);
        let stale = [(MODULES_DEP, "6.18.0-talos")];
        assert_eq!(ids(&state(&file, &stale)), ["stale-index"]);
        let fresh = [(MODULES_DEP, "6.18.1-talos")];
        assert_eq!(ids(&state(&file, &fresh)), [""; 0]);
        assert_eq!(
            ids(&state(&[("/m/hailort.ko", 0)], &fresh)),
            ["empty-module"]
        );

        let mut ignored = state(&file, &fresh);
        ignored.configured_arguments = Ok(vec!["-console".into()]);
        assert_eq!(ids(&ignored), ["arguments-ignored"]);
    }

    #[test]
    fn a_service_says_what_it_waits_for() {
        let service = |event: &str| Service {
            id: "ext-lldpd".into(),
            state: "Waiting".into(),
            event: event.into(),
        };
        let reason = of_service(&service("Waiting for extension service config")).unwrap();
        assert_eq!(reason.id, "service-configuration");
        assert!(reason.fix.contains("name: lldpd"), "{}", reason.fix);
        let reason = of_service(&service("Error running: exit code 127")).unwrap();
        assert_eq!(reason.id, "service-interpreter");
        assert!(of_service(&service("Waiting for network")).is_none());
    }
}
