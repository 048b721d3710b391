//! What a node reports about its extensions and kernel modules. Each look can fail by
//! itself, and a failed look is not "nothing there".

use std::collections::BTreeMap;

use camino::Utf8Path;
use foundation::ctx::node_api::{NodeApi, is_missing, is_unknown_type};
use serde_json::Value;

/// The result of one look, or why it failed.
pub(super) type Look<T> = Result<T, String>;

/// Where extensions of the kernel's release have their modules.
pub(super) const MODULES: &str = "/usr/lib/modules";
/// How much of a folder is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    All,
    One,
}
/// Name of the extension that the imager makes for modules.
pub(super) const MODULES_DEP: &str = "modules.dep";

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) name: String,
    pub(super) version: String,
}

/// A line of /proc/modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    /// `Live`, `Loading` or `Unloading`.
    pub(super) state: String,
    /// `(OE)`: `O` out of tree, `E` without a valid signature; empty for most.
    pub(super) taint: String,
}

/// A service of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) id: String,
    pub(super) state: String,
    /// The last event.
    pub(super) event: String,
}

#[derive(Debug)]
pub(super) struct NodeState {
    pub(super) release: Look<String>,
    pub(super) extensions: Look<Vec<Installed>>,
    /// By name, with `_` for `-`.
    pub(super) loaded: Look<BTreeMap<String, Loaded>>,
    /// Names that the machine configuration asks for, as written there.
    pub(super) wanted: Look<Vec<String>>,
    pub(super) cmdline: Look<Vec<String>>,
    /// Arguments in the machine configuration, which a UKI ignores.
    pub(super) configured_arguments: Look<Vec<String>>,
    pub(super) signatures_enforced: Look<bool>,
    pub(super) log: Look<String>,
    pub(super) services: Look<Vec<Service>>,
    /// Names of the documents `ExtensionServiceConfig`.
    pub(super) service_configurations: Look<Vec<String>>,
    /// Files of modules with their sizes, by path.
    pub(super) modules: Look<BTreeMap<String, u64>>,
}

impl NodeState {
    pub(super) fn read(api: &NodeApi) -> Self {
        let release = read(api, "/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        let modules = match &release {
            Ok(release) => files_below(api, &format!("{MODULES}/{release}"), Depth::All),
            Err(error) => Err(error.clone()),
        };
        Self {
            extensions: extensions(api),
            loaded: read(api, "/proc/modules").map(|text| loaded_in(&text)),
            wanted: wanted(api),
            cmdline: read(api, "/proc/cmdline").map(|text| words(&text)),
            configured_arguments: configured_arguments(api),
            signatures_enforced: signatures_enforced(api),
            log: api.text(&["dmesg"]).map_err(|error| error.to_string()),
            services: api
                .text(&["services"])
                .map(|table| services_in(&table))
                .map_err(|error| error.to_string()),
            service_configurations: service_configurations(api),
            release,
            modules,
        }
    }
}

fn read(api: &NodeApi, path: &str) -> Look<String> {
    api.read(Utf8Path::new(path))
        .map_err(|error| format!("cannot read {path}: {error}"))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The name of a module as the kernel has it.
pub(super) fn module_name(name: &str) -> String {
    name.replace('-', "_")
}

/// The module that a file is, by its name.
pub(super) fn module_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    file.strip_suffix(".ko").map(module_name)
}

fn resources(api: &NodeApi, kind: &str) -> Look<Vec<Value>> {
    api.resources(kind).map_err(|error| {
        if is_unknown_type(&error) {
            format!("this Talos has no resource `{kind}`")
        } else {
            error.to_string()
        }
    })
}

fn extensions(api: &NodeApi) -> Look<Vec<Installed>> {
    let found = resources(api, "extensions")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let installed = found.iter().map(|resource| {
        let metadata = &resource["spec"]["metadata"];
        Installed {
            name: text(&metadata["name"]),
            version: text(&metadata["version"]),
        }
    });
    Ok(installed.collect())
}

fn service_configurations(api: &NodeApi) -> Look<Vec<String>> {
    let found = resources(api, "extensionserviceconfigs")?;
    let ids = found.iter().filter_map(|it| it["metadata"]["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// `hailo_pci 135168 0 - Live 0xffffffffc0a00000 (OE)`
fn loaded_in(text: &str) -> BTreeMap<String, Loaded> {
    let lines = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [name, _, _, _, state, _, taint @ ..] = &fields[..] else {
            return None;
        };
        let loaded = Loaded {
            state: (*state).to_owned(),
            taint: taint.concat(),
        };
        Some((module_name(name), loaded))
    });
    lines.collect()
}

fn wanted(api: &NodeApi) -> Look<Vec<String>> {
    let specs = resources(api, "kernelmodulespecs")?;
    let names = specs.iter().filter_map(|spec| {
        let spec = &spec["spec"];
        // The field is called `string` up to 1.13.
        let name = spec["name"].as_str().or_else(|| spec["string"].as_str());
        name.map(str::to_owned)
    });
    Ok(names.collect())
}

/// Only the arguments are kept: the rest has secrets.
fn configured_arguments(api: &NodeApi) -> Look<Vec<String>> {
    let configs = resources(api, "machineconfigs")?;
    let spec = configs.iter().find(|it| it["metadata"]["id"] == "v1alpha1");
    let spec = spec.ok_or("the node has no machine configuration")?;
    let Some(text) = spec["spec"].as_str() else {
        return Ok(arguments_in(&spec["spec"]));
    };
    // Several documents: the one with a `machine`.
    for document in text.split("\n---") {
        let value: Result<Value, _> = talos::yaml::from_str(document);
        if let Ok(value) = value
            && value.get("machine").is_some()
        {
            return Ok(arguments_in(&value));
        }
    }
    Err("the machine configuration cannot be parsed".to_owned())
}

fn arguments_in(config: &Value) -> Vec<String> {
    let arguments = config["machine"]["install"]["extraKernelArgs"].as_array();
    let arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
    arguments.map(str::to_owned).collect()
}

/// The resource has it from 1.12 on; before that, the kernel.
fn signatures_enforced(api: &NodeApi) -> Look<bool> {
    let states = resources(api, "securitystate").unwrap_or_default();
    let reported = states
        .iter()
        .find_map(|state| state["spec"]["moduleSignatureEnforced"].as_bool());
    if let Some(reported) = reported {
        return Ok(reported);
    }
    let parameter = "/sys/module/module/parameters/sig_enforce";
    read(api, parameter).map(|text| text.trim() == "Y")
}

/// `NODE SERVICE STATE HEALTH LAST-CHANGE LAST-EVENT` of `talosctl services`.
fn services_in(table: &str) -> Vec<Service> {
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    let columns = ["SERVICE", "STATE", "HEALTH", "LAST EVENT"].map(|name| header.find(name));
    let [Some(service), Some(state), Some(health), Some(event)] = columns else {
        return Vec::new();
    };
    let services = lines.filter_map(|line| {
        let cell = |from: usize, to: usize| line.get(from..to).unwrap_or_default().trim();
        let id = cell(service, state);
        id.starts_with("ext-").then(|| Service {
            id: id.to_owned(),
            state: cell(state, health).to_owned(),
            event: line.get(event..).unwrap_or_default().trim().to_owned(),
        })
    });
    services.collect()
}

/// Files with their sizes below a folder of the node; empty if it does not exist.
pub(super) fn files_below(
    api: &NodeApi,
    folder: &str,
    depth: Depth,
) -> Look<BTreeMap<String, u64>> {
    let depth = match depth {
        Depth::All => "--recurse",
        Depth::One => "--depth=1",
    };
    match api.text(&["list", "--long", depth, folder]) {
        Ok(table) => Ok(files_in(&table, folder.trim_end_matches('/'))),
        Err(error) if is_missing(&error) => Ok(BTreeMap::new()),
        Err(error) => Err(format!("cannot list {folder}: {error}")),
    }
}

/// `NODE MODE UID GID SIZE(B) LASTMOD LABEL NAME` of `talosctl list --long`.
fn files_in(table: &str, folder: &str) -> BTreeMap<String, u64> {
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default();
    let columns = ["MODE", "SIZE(B)", "LASTMOD", "NAME"].map(|name| header.rfind(name));
    let [Some(mode), Some(size), Some(time), Some(name)] = columns else {
        return BTreeMap::new();
    };
    let files = lines.filter_map(|line| {
        let path = line.get(name..)?.trim();
        let size = line.get(size..time)?.trim().parse().ok()?;
        let is_file = line.get(mode..)?.starts_with('-');
        is_file.then(|| (format!("{folder}/{path}"), size))
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_their_state_and_taint() {
        let loaded = loaded_in(
            "hailo-pci 135168 0 - Live 0xffffffffc0a00000 (OE)\nvirtio 20480 3 virtio_blk,virtio_net, Live 0xffffffffc02f9000\nbroken\n",
        );
        assert_eq!(loaded.len(), 2);
        assert_eq!(loaded["hailo_pci"].taint, "(OE)");
        assert_eq!(
            (
                loaded["virtio"].state.as_str(),
                loaded["virtio"].taint.as_str()
            ),
            ("Live", "")
        );
    }

    #[test]
    fn tables_of_talosctl_are_read_by_their_columns() {
        let table = "NODE         MODE         UID   GID   SIZE(B)   LASTMOD             LABEL                 NAME\n\
            172.20.0.3   drwxr-xr-x   0     0     140       Jan  1 1970 00:00   system_u:object_r:x   .\n\
            172.20.0.3   -rw-r--r--   0     0     23249     Jan  1 1970 00:00                         extras/a b.ko\n\
            172.20.0.3   Lrwxrwxrwx   0     0     4         Jan  1 1970 00:00                         build -> /src\n";
        let files = files_in(table, "/m");
        assert_eq!(
            files,
            BTreeMap::from([("/m/extras/a b.ko".to_owned(), 23249)])
        );

        let table = "NODE         SERVICE     STATE     HEALTH   LAST CHANGE   LAST EVENT\n\
            172.20.0.3   ext-lldpd   Waiting   ?        13s ago       Waiting for extension service config\n\
            172.20.0.3   kubelet     Running   OK       13s ago       Health check successful\n";
        let services = services_in(table);
        assert_eq!(services.len(), 1);
        assert_eq!(
            (services[0].id.as_str(), services[0].state.as_str()),
            ("ext-lldpd", "Waiting")
        );
        assert_eq!(services[0].event, "Waiting for extension service config");
    }
}
