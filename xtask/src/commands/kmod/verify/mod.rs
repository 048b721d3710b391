//! `kmod verify`: whether extensions and kernel modules work on a node, as a checklist.

mod checks;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use clap::Args;

pub(super) use self::checks::is_in_effect;
use self::checks::{Wanted, checks};
use super::expected::Expected;
use super::node_state::{Depth, Look, NodeState, files_below};
use crate::app::App;
use crate::checklist;
use crate::commands::cluster::Which;
use crate::commands::cluster::reach::reach;
use foundation::ctx::node_api::NodeApi;
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use foundation::ui;
use talos::TalosVersion;

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Node: name, end of it, or address; an address may be of a machine outside of the cluster
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Image of an extension that should be installed
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Kernel module that should be loaded [default: those of the machine configuration]
    #[arg(long, value_name = "MODULE")]
    pub module: Vec<String>,
    /// Kernel argument that should be in effect, besides those of the machine configuration
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub kernel_arg: Vec<String>,
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &VerifyArgs) -> Result<u8> {
    let node = reach(app, &args.which, &args.node)?;
    // Without an answer there is nothing to check.
    let version = node.api.text(&["version"]).map_err(|error| {
        Failure::host(format!("node `{}` does not answer", node.name))
            .cause(error)
            .hint(typed!("kmod why {}", args.node))
    })?;
    let arch = architecture(&node.api);
    let extensions: Result<Vec<Expected>> = args
        .images
        .iter()
        .map(|word| Expected::read(app, word, arch))
        .collect();
    let wanted = Wanted {
        extensions: extensions?,
        modules: args.module.clone(),
        arguments: args.kernel_arg.clone(),
        node: args.node.clone(),
        version: version_of_server(&version),
    };
    let state = NodeState::read(&node.api);
    let files = files_of(&node.api, &wanted);
    let checks = checks(&state, &wanted, &files);
    if args.json {
        ui::print_report(checklist::to_json(&node.name, &checks));
    } else {
        ui::print(&checklist::to_text(app.ui, &node.name, &checks));
    }
    Ok(if checklist::has_failed(&checks) {
        Exit::Checks.code()
    } else {
        0
    })
}

/// From `talosctl version`, whose first tag is that of the client.
fn version_of_server(text: &str) -> Option<TalosVersion> {
    let (_, server) = text.split_once("Server:")?;
    let mut tags = server
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Tag:"));
    TalosVersion::parse(tags.next()?.trim()).ok()
}

/// As images name it; kernels before 6.1 do not report theirs.
pub(super) fn architecture(api: &NodeApi) -> Option<&'static str> {
    let arch = api.read(Utf8Path::new("/proc/sys/kernel/arch")).ok()?;
    match arch.trim() {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

/// The node's files below the folders that the images have files in.
fn files_of(api: &NodeApi, wanted: &Wanted) -> Look<BTreeMap<String, u64>> {
    let paths = wanted.extensions.iter().flat_map(|it| it.files.keys());
    let folders: BTreeSet<(String, Depth)> = paths.map(|path| folder_of(path)).collect();
    let mut files = BTreeMap::new();
    for (folder, depth) in folders {
        files.extend(files_below(api, &folder, depth)?);
    }
    Ok(files)
}

/// The folder to list for a file, and how deep: `/usr/lib/modules` with all that is
/// below it, so that lists are few; but never all of `/usr`.
fn folder_of(path: &str) -> (String, Depth) {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let parts: Vec<&str> = folder.split('/').collect();
    match parts.get(..4) {
        Some(top) => (top.join("/"), Depth::All),
        None if folder.is_empty() => ("/".to_owned(), Depth::One),
        None => (folder.to_owned(), Depth::One),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_node() {
        let text = "Client:\n\tTag:         v1.13.0\n\tSHA:         x\nServer:\n\tNODE:        172.20.0.2\n\tTag:         v1.12.0\n";
        assert_eq!(
            version_of_server(text),
            Some(TalosVersion::release(1, 12, 0))
        );
        assert_eq!(version_of_server("Client:\n\tTag: v1.13.0\n"), None);
    }

    #[test]
    fn a_list_is_never_of_the_whole_system() {
        for (path, folder, depth) in [
            (
                "/usr/lib/modules/6.1/extras/x.ko",
                "/usr/lib/modules",
                Depth::All,
            ),
            ("/usr/lib/udev/rules.d/1.rules", "/usr/lib/udev", Depth::All),
            ("/usr/bin/nvme", "/usr/bin", Depth::One),
            ("/etc/ld.so.conf", "/etc", Depth::One),
            ("/x", "/", Depth::One),
        ] {
            assert_eq!(folder_of(path), (folder.to_owned(), depth), "{path}");
        }
    }
}
