//! The checks of `kmod verify`: from what a node reports to verdicts with evidence.

use std::collections::BTreeMap;

use foundation::typed;
use talos::TalosVersion;
use talos::module_failure::find;

use super::super::expected::Expected;
use super::super::node_state::{
    Look, MODULES, MODULES_DEP, NodeState, Service, module_name, module_of,
};
use crate::checklist::Check;

/// What the user says should be true.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) extensions: Vec<Expected>,
    pub(super) modules: Vec<String>,
    pub(super) arguments: Vec<String>,
    /// The node as the user named it.
    pub(super) node: String,
    /// Of the node, for the paths that extensions may have.
    pub(super) version: Option<TalosVersion>,
}

/// Every check, in the order in which one depends on another. `files` are those that
/// the node has below the folders of the images.
pub(super) fn checks(
    state: &NodeState,
    wanted: &Wanted,
    files: &Look<BTreeMap<String, u64>>,
) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    checks.extend(extensions(state, wanted));
    checks.push(modules_dep(state, wanted));
    checks.extend(wanted.extensions.iter().map(|it| files_of(it, files)));
    checks.extend(allowed_paths(wanted));
    checks.push(modules(state, wanted));
    checks.push(signatures(state));
    checks.extend(arguments(state, wanted));
    checks.push(log(state, wanted));
    checks.push(services(state));
    checks
}

fn extensions(state: &NodeState, wanted: &Wanted) -> Vec<Check> {
    const ID: &str = "extension";
    let installed = match &state.extensions {
        Ok(installed) => installed,
        Err(error) => return vec![Check::not_checked(ID, "extensions", error)],
    };
    let listed = |evidence: &mut Vec<String>| {
        let named = installed.iter().filter(|it| it.name != MODULES_DEP);
        evidence.extend(named.map(|it| format!("{} {}", it.name, it.version)));
        if evidence.is_empty() {
            evidence.push("the node has no extensions".to_owned());
        }
    };
    if wanted.extensions.is_empty() {
        let mut evidence = Vec::new();
        listed(&mut evidence);
        let reason = format!("no IMAGE is named; installed: {}", evidence.join(", "));
        return vec![Check::not_checked(ID, "extensions", reason)];
    }
    let checked = wanted.extensions.iter().map(|it| {
        let what = format!("extension {} {} is installed", it.name, it.version);
        match installed.iter().find(|found| found.name == it.name) {
            Some(found) if found.version == it.version => {
                Check::passed(ID, what, vec![format!("{} {}", found.name, found.version)])
            }
            Some(found) => Check::failed(
                ID,
                what,
                vec![format!("the node has version {}", found.version)],
            )
            .fix("install the installer with this version: `talosctl upgrade --image INSTALLER`"),
            None => {
                let mut evidence = Vec::new();
                listed(&mut evidence);
                Check::failed(ID, what, evidence).fix(
                    "the installer was built without it, or the node was not upgraded: `talosctl upgrade --image INSTALLER`",
                )
            }
        }
    });
    checked.collect()
}

/// The imager adds this entry if it saw modules in an extension.
fn modules_dep(state: &NodeState, wanted: &Wanted) -> Check {
    const ID: &str = "modules.dep";
    let what = "modules.dep is of the running kernel";
    let (installed, release) = match (&state.extensions, &state.release) {
        (Ok(installed), Ok(release)) => (installed, release),
        (Err(error), _) | (_, Err(error)) => return Check::not_checked(ID, what, error),
    };
    let has_modules = wanted.extensions.iter().any(|it| !it.modules().is_empty());
    let entry = installed.iter().find(|it| it.name == MODULES_DEP);
    match entry {
        Some(entry) if entry.version == *release => Check::passed(
            ID,
            what,
            vec![format!("extension {MODULES_DEP} {}", entry.version)],
        ),
        Some(entry) => Check::failed(
            ID,
            what,
            vec![format!(
                "it is of {}, the kernel is {release}",
                entry.version
            )],
        )
        .fix("build the installer with the imager of the Talos that runs"),
        None if has_modules => Check::failed(
            ID,
            what,
            vec![format!("the node has no extension `{MODULES_DEP}`")],
        )
        .fix("the imager saw no modules of its kernel's release: check the image with `kmod lint`"),
        None => Check::not_checked(ID, what, "no extension is known to have kernel modules"),
    }
}

fn files_of(expected: &Expected, files: &Look<BTreeMap<String, u64>>) -> Check {
    const ID: &str = "files";
    let what = format!("the files of {} are on the node", expected.name);
    let files = match files {
        Ok(files) => files,
        Err(error) => return Check::not_checked(ID, what, error),
    };
    let mut wrong = Vec::new();
    let mut is_empty = false;
    for (path, size) in &expected.files {
        match files.get(path) {
            Some(found) if found == size => {}
            Some(0) => {
                is_empty = true;
                wrong.push(format!("{path} is empty, in the image it has {size} bytes"));
            }
            Some(found) => {
                wrong.push(format!("{path} has {found} bytes, in the image {size}"));
            }
            None => wrong.push(format!("{path} is missing")),
        }
    }
    if wrong.is_empty() {
        let counted = format!("{} files with the sizes of the image", expected.files.len());
        return Check::passed(ID, what, vec![counted]);
    }
    let check = Check::failed(ID, what, wrong);
    if is_empty {
        check
            .fix("a hard link in the image becomes an empty file: copy the file (`kmod lint`, L10)")
    } else {
        check.fix("another extension has the same path, or the node runs another build of this one")
    }
}

/// A node takes such files without a word, or hides them.
fn allowed_paths(wanted: &Wanted) -> Option<Check> {
    const ID: &str = "paths";
    let version = wanted.version.as_ref()?;
    let allowed = version.allowed_extension_paths();
    let paths = wanted.extensions.iter().flat_map(|it| it.files.keys());
    let is_refused = |path: &&String| !allowed.iter().any(|it| path.starts_with(it));
    let refused: Vec<String> = paths.filter(is_refused).cloned().collect();
    if wanted.extensions.is_empty() {
        return None;
    }
    let what = format!("paths are allowed in extensions of Talos {version}");
    Some(if refused.is_empty() {
        Check::passed(ID, what, Vec::new())
    } else {
        Check::failed(ID, what, refused)
            .fix("install below /usr/local, or use the extension of this release (`kmod lint`, L4)")
    })
}

fn modules(state: &NodeState, wanted: &Wanted) -> Check {
    const ID: &str = "modules";
    let what = "kernel modules are loaded";
    let loaded = match &state.loaded {
        Ok(loaded) => loaded,
        Err(error) => return Check::not_checked(ID, what, error),
    };
    let configured = state.wanted.as_deref().unwrap_or_default();
    let names: Vec<&String> = if wanted.modules.is_empty() {
        configured.iter().collect()
    } else {
        wanted.modules.iter().collect()
    };
    if names.is_empty() {
        let reason = match &state.wanted {
            Err(error) => error.clone(),
            Ok(_) => {
                "the machine configuration loads no module; name some with --module".to_owned()
            }
        };
        return Check::not_checked(ID, what, reason);
    }
    let (mut evidence, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match loaded.get(&module_name(name)) {
            Some(found) if found.state == "Live" => {
                evidence.push(
                    format!("{name}: Live {}", found.taint)
                        .trim_end()
                        .to_owned(),
                );
            }
            Some(found) => missing.push(format!("{name}: {}", found.state)),
            None => missing.push(unloaded(state, configured, name)),
        }
    }
    if missing.is_empty() {
        return Check::passed(ID, what, evidence);
    }
    Check::failed(ID, what, missing).fix(typed!("kmod why {}", wanted.node))
}

/// Why a module may be missing, as far as the node's files say.
fn unloaded(state: &NodeState, configured: &[String], name: &str) -> String {
    let wanted = module_name(name);
    let has_file = state.modules.as_ref().ok().map(|files| {
        let is_it = |path: &&String| module_of(path).as_ref() == Some(&wanted);
        files.keys().find(is_it)
    });
    let is_configured = configured.iter().any(|it| module_name(it) == wanted);
    match has_file {
        Some(None) => format!("{name}: not loaded, no file of this name below {MODULES}"),
        Some(Some(path)) if is_configured => format!("{name}: not loaded, although {path} exists"),
        Some(Some(path)) => {
            format!("{name}: not loaded; {path} exists, the machine configuration does not load it")
        }
        None => format!("{name}: not loaded"),
    }
}

fn signatures(state: &NodeState) -> Check {
    const ID: &str = "signatures";
    let what = "modules have the kernel's signature";
    let loaded = match &state.loaded {
        Ok(loaded) => loaded,
        Err(error) => return Check::not_checked(ID, what, error),
    };
    let unsigned = loaded.iter().filter(|(_, it)| it.taint.contains('E'));
    let unsigned: Vec<String> = unsigned
        .map(|(name, it)| format!("{name} {}: loaded without a valid signature", it.taint))
        .collect();
    if !unsigned.is_empty() {
        return Check::failed(ID, what, unsigned).fix(
            "build kernel and module together, once; a kernel that enforces signatures refuses them",
        );
    }
    match &state.signatures_enforced {
        Ok(true) => Check::passed(ID, what, vec!["signatures are enforced".to_owned()]),
        Ok(false) => Check::passed(
            ID,
            what,
            vec!["signatures are not enforced; no loaded module is without one".to_owned()],
        ),
        Err(error) => Check::not_checked(ID, what, error),
    }
}

fn arguments(state: &NodeState, wanted: &Wanted) -> Option<Check> {
    const ID: &str = "arguments";
    let what = "kernel arguments are in effect";
    let cmdline = match &state.cmdline {
        Ok(cmdline) => cmdline,
        Err(error) => return Some(Check::not_checked(ID, what, error)),
    };
    let configured = match &state.configured_arguments {
        Ok(configured) => configured.as_slice(),
        Err(error) if wanted.arguments.is_empty() => {
            return Some(Check::not_checked(ID, what, error));
        }
        Err(_) => &[],
    };
    let all = wanted.arguments.iter().chain(configured);
    let missing: Vec<String> = all
        .clone()
        .filter(|it| !is_in_effect(cmdline, it))
        .cloned()
        .collect();
    if missing.is_empty() {
        let all: Vec<String> = all.cloned().collect();
        return (!all.is_empty()).then(|| Check::passed(ID, what, all));
    }
    let evidence = missing
        .iter()
        .map(|it| format!("{it} is not in effect by /proc/cmdline"))
        .collect();
    Some(Check::failed(ID, what, evidence).fix(
        "a UKI ignores machine.install.extraKernelArgs: build the installer with `--extra-kernel-arg`, and upgrade",
    ))
}

/// `-NAME` and `-NAME=VALUE` remove an argument.
pub(in crate::commands::kmod) fn is_in_effect(cmdline: &[String], argument: &str) -> bool {
    let name_of = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    match argument.strip_prefix('-') {
        Some(removed) if removed.contains('=') => !cmdline.iter().any(|it| it == removed),
        Some(removed) => !cmdline.iter().any(|it| name_of(it) == removed),
        None => cmdline.iter().any(|it| it == argument),
    }
}

fn log(state: &NodeState, wanted: &Wanted) -> Check {
    const ID: &str = "log";
    let what = "the log has no failures of extensions and modules";
    let text = match &state.log {
        Ok(text) => text,
        Err(error) => return Check::not_checked(ID, what, error),
    };
    let found = find(text.lines());
    if found.is_empty() {
        let lines = text.lines().count();
        return Check::passed(ID, what, vec![format!("{lines} lines of dmesg")]);
    }
    let evidence = found.iter().map(|it| it.text.clone()).collect();
    Check::failed(ID, what, evidence).fix(typed!("kmod why {}", wanted.node))
}

fn services(state: &NodeState) -> Check {
    const ID: &str = "services";
    let what = "services of extensions run";
    let services = match &state.services {
        Ok(services) => services,
        Err(error) => return Check::not_checked(ID, what, error),
    };
    if services.is_empty() {
        return Check::not_checked(ID, what, "the node has no services of extensions");
    }
    let (running, stopped): (Vec<_>, Vec<_>) =
        services.iter().partition(|it| it.state == "Running");
    let shown = |it: &Service| format!("{} {}: {}", it.id, it.state, it.event);
    if stopped.is_empty() {
        return Check::passed(ID, what, running.into_iter().map(shown).collect());
    }
    let first = stopped.first().map_or("", |it| it.id.as_str());
    let fix = typed!("talosctl -- logs {}", first);
    Check::failed(ID, what, stopped.into_iter().map(shown).collect()).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checklist::Verdict;
    use crate::commands::kmod::node_state::{Installed, Loaded};

    type Fault = fn(&mut NodeState);

    const RELEASE: &str = "6.18.1-talos";
    const FILE: &str = "/usr/lib/modules/6.18.1-talos/extras/hailo_pci.ko";

    /// A node on which all is well.
    fn state() -> NodeState {
        let installed = |name: &str, version: &str| Installed {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        let loaded = Loaded {
            state: "Live".to_owned(),
            taint: "(O)".to_owned(),
        };
        NodeState {
            release: Ok(RELEASE.to_owned()),
            extensions: Ok(vec![
                installed("hailort", "4.21.0"),
                installed(MODULES_DEP, RELEASE),
            ]),
            loaded: Ok(BTreeMap::from([("hailo_pci".to_owned(), loaded)])),
            wanted: Ok(vec!["hailo-pci".to_owned()]),
            cmdline: Ok(vec!["module.sig_enforce=1".to_owned(), "a=1".to_owned()]),
            configured_arguments: Ok(vec!["a=1".to_owned(), "-quiet".to_owned()]),
            signatures_enforced: Ok(true),
            service_configurations: Ok(Vec::new()),
            log: Ok("hailo_pci: loading out-of-tree module taints kernel.".to_owned()),
            services: Ok(vec![Service {
                id: "ext-hailo".to_owned(),
                state: "Running".to_owned(),
                event: "Started".to_owned(),
            }]),
            modules: Ok(BTreeMap::from([(FILE.to_owned(), 7)])),
        }
    }

    fn wanted() -> Wanted {
        Wanted {
            extensions: vec![Expected {
                name: "hailort".to_owned(),
                version: "4.21.0".to_owned(),
                files: BTreeMap::from([(FILE.to_owned(), 7)]),
                configured_services: Vec::new(),
            }],
            node: "worker-1".to_owned(),
            version: Some(TalosVersion::release(1, 12, 0)),
            ..Wanted::default()
        }
    }

    fn with(verdict: Verdict, state: &NodeState, wanted: &Wanted) -> Vec<&'static str> {
        let files = state.modules.clone();
        let checks = checks(state, wanted, &files);
        let found = checks.iter().filter(|it| it.verdict == verdict);
        found.map(|it| it.id).collect()
    }

    #[test]
    fn each_check_turns_red_by_its_own_fault() {
        assert_eq!(with(Verdict::NotChecked, &state(), &wanted()), [""; 0]);
        assert_eq!(with(Verdict::Failed, &state(), &wanted()), [""; 0]);
        let faults: [(&str, Fault); 8] = [
            ("extension", |it| {
                it.extensions.as_mut().unwrap()[0].version = "4.20.0".into();
            }),
            ("modules.dep", |it| {
                it.extensions.as_mut().unwrap()[1].version = "6.18.0-talos".into();
            }),
            ("files", |it| {
                it.modules.as_mut().unwrap().insert(FILE.to_owned(), 0);
            }),
            ("modules", |it| it.loaded.as_mut().unwrap().clear()),
            ("signatures", |it| {
                it.loaded
                    .as_mut()
                    .unwrap()
                    .get_mut("hailo_pci")
                    .unwrap()
                    .taint = "(OE)".into();
            }),
            ("arguments", |it| it.cmdline.as_mut().unwrap().truncate(1)),
            ("log", |it| {
                it.log = Ok("Loading of unsigned module is rejected".into());
            }),
            ("services", |it| {
                it.services.as_mut().unwrap()[0].state = "Waiting".into();
            }),
        ];
        for (id, break_it) in faults {
            let mut state = state();
            break_it(&mut state);
            assert_eq!(with(Verdict::Failed, &state, &wanted()), [id]);
        }
        let mut outside = wanted();
        outside.extensions[0].files = BTreeMap::from([("/etc/udev/rules.d/1".to_owned(), 1)]);
        assert!(with(Verdict::Failed, &state(), &outside).contains(&"paths"));
    }

    #[test]
    fn a_failed_look_is_not_passed() {
        let gone = || "no answer".to_owned();
        let state = NodeState {
            release: Err(gone()),
            extensions: Err(gone()),
            loaded: Err(gone()),
            wanted: Err(gone()),
            cmdline: Err(gone()),
            configured_arguments: Err(gone()),
            signatures_enforced: Err(gone()),
            service_configurations: Err(gone()),
            log: Err(gone()),
            services: Err(gone()),
            modules: Err(gone()),
        };
        let unknown = [
            "extension",
            "modules.dep",
            "files",
            "modules",
            "signatures",
            "arguments",
            "log",
            "services",
        ];
        assert_eq!(with(Verdict::NotChecked, &state, &wanted()), unknown);
        assert_eq!(with(Verdict::Passed, &state, &wanted()), ["paths"]);
    }
}
