//! How the processes of a cluster are started again: from its `state.yaml` and
//! the launch configurations of its nodes.

use camino::{Utf8Path, Utf8PathBuf};
use talos::TalosVersion;
use talos::names::Role;
use talos::process::Helper;
use talos::state::files::STATE_FILE;
use talos::state::{ClusterState, LaunchConfig, NodeFile, StateFile, classify};
use talos::version::HelperNetwork;

use super::cluster::ClusterView;
use super::host::Host;
use super::talosctl::Talosctl;
use crate::failure::{Failure, Result};
use crate::files;
use crate::plan::Launch;
use crate::typed;

/// Kubernetes' port, where the endpoint names none.
const CONTROL_PLANE_PORT: u16 = 6443;
/// An Ethernet frame without its header, where `state.yaml` has none.
const MTU: u32 = 1500;

/// What a cluster's folder has for starting it.
#[derive(Debug, Clone)]
pub struct Launches {
    /// Addresses of the bridge with their prefix, as `ip` takes them.
    pub addresses: Vec<String>,
    pub mtu: u32,
    pub helpers: Vec<Launch>,
    /// Launches by node.
    pub nodes: Vec<(String, Launch)>,
}

impl Launches {
    /// Reads the folder for the helpers and the nodes that `helpers` and `nodes`
    /// name. Relative paths of boot files are in the folder `checkout`.
    ///
    /// # Errors
    /// All that is missing, and the command that destroys the cluster.
    pub fn read(
        view: &ClusterView,
        talosctl: &Talosctl,
        checkout: &Utf8Path,
        helpers: &[Helper],
        nodes: &[String],
    ) -> Result<Self> {
        let mut missing = Vec::new();
        let found = read_state(view).map(|state| {
            let network = network(view, &state);
            let helpers = helpers.iter().filter_map(|helper| {
                let args = talosctl.version.helper_args(*helper, &network);
                if args.is_none() {
                    let why = why_not(*helper, &talosctl.version);
                    missing.push(format!("{} cannot be started again: {why}", helper.stem()));
                }
                args.map(|args| launch(view, talosctl, checkout, args, helper.stem(), None))
            });
            let helpers = helpers.collect();
            let nodes = nodes.iter().filter_map(|node| {
                let input = NodeFile::Config.name(node);
                match check_node(view, &talosctl.version, checkout, &input) {
                    Ok(()) => {
                        let args = vec!["qemu-launch".to_owned()];
                        let launch = launch(view, talosctl, checkout, args, node, Some(input));
                        Some((node.clone(), launch))
                    }
                    Err(why) => {
                        missing.extend(why);
                        None
                    }
                }
            });
            Self {
                nodes: nodes.collect(),
                helpers,
                addresses: addresses(&state),
                mtu: Some(state.cluster.network.mtu)
                    .filter(|mtu| *mtu > 0)
                    .unwrap_or(MTU),
            }
        });
        match found {
            Ok(found) if missing.is_empty() => Ok(found),
            Ok(_) => Err(refused(view, missing)),
            Err(why) => Err(refused(view, vec![why])),
        }
    }
}

/// Why a helper's arguments are not known: see `CreateKMS`, `CreateSiderolinkAgent` and
/// `CreateImageCache` in `pkg/provision/providers/vm`.
fn why_not(helper: Helper, version: &TalosVersion) -> String {
    match helper {
        Helper::Kms => "its random key was in its arguments only",
        Helper::Siderolink => "the random identities of the nodes were in its arguments only",
        Helper::ImageCache => "the paths of its images and certificate were in its arguments only",
        Helper::Virtiofsd => {
            "`virtiofsd` is not installed, or the folders of its disks are missing"
        }
        _ => {
            return format!(
                "talosctl {version} does not have it, or its arguments are not in the folder"
            );
        }
    }
    .to_owned()
}

/// What virtiofsd serves: `FOLDER:SOCKET` for each disk, as their names are in the folder.
fn virtiofs(view: &ClusterView) -> Vec<String> {
    let names = files::names_in(&view.state_dir).unwrap_or_default();
    let share = |name: &String| match classify(name)? {
        StateFile::Node {
            node,
            file: NodeFile::VirtiofsDir(disk),
        } => {
            let socket = NodeFile::VirtiofsSocket(disk).name(&node);
            let paths = [view.state_dir.join(name), view.state_dir.join(socket)];
            Some(paths.map(Utf8PathBuf::into_string).join(":"))
        }
        _ => None,
    };
    let mut shares: Vec<String> = names.iter().filter_map(share).collect();
    shares.sort();
    shares
}

/// Where talosctl looks for it (`FindVirtiofsd`).
fn virtiofsd() -> Option<String> {
    let installed = Utf8Path::new("/usr/libexec/virtiofsd");
    let found =
        Host::which("virtiofsd").or_else(|| installed.is_file().then(|| installed.to_owned()));
    found.map(Utf8PathBuf::into_string)
}

fn refused(view: &ClusterView, causes: Vec<String>) -> Failure {
    let mut failure = Failure::host(format!("cluster `{}` cannot be started", view.name))
        .hint(typed!("cluster destroy --name {}", view.name));
    failure.causes = causes;
    failure.causes.sort();
    failure.causes.dedup();
    failure
}

fn launch(
    view: &ClusterView,
    talosctl: &Talosctl,
    cwd: &Utf8Path,
    words: Vec<String>,
    stem: &str,
    input: Option<String>,
) -> Launch {
    let mut argv = vec![talosctl.path.to_string()];
    argv.extend(words);
    Launch {
        argv,
        env: Vec::new(),
        cwd: cwd.to_owned(),
        state_dir: view.state_dir.clone(),
        stem: stem.to_owned(),
        input,
    }
}

fn read_state(view: &ClusterView) -> std::result::Result<ClusterState, String> {
    let path = view.state_dir.join(STATE_FILE);
    let text =
        files::read_text(&path, files::MEDIUM).map_err(|error| format!("{path}: {error}"))?;
    let text = text.ok_or_else(|| format!("`{path}` is missing"))?;
    ClusterState::parse(&text).map_err(|error| format!("{path}: {error}"))
}

fn network(view: &ClusterView, state: &ClusterState) -> HelperNetwork {
    let cluster = &state.cluster;
    let port = cluster.kubernetes_endpoint.rsplit_once(':');
    let nodes = state.sorted_nodes().into_iter();
    let is_control_plane =
        |node: &&talos::state::NodeState| !matches!(node.role(), Some(Role::Worker) | None);
    HelperNetwork {
        state_dir: view.state_dir.to_string(),
        bridge: view.bridge.clone(),
        gateways: cluster
            .network
            .gateways
            .iter()
            .map(ToString::to_string)
            .collect(),
        control_planes: nodes
            .filter(is_control_plane)
            .filter_map(|node| node.ip().map(|ip| ip.to_string()))
            .collect(),
        control_plane_port: port
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(CONTROL_PLANE_PORT),
        virtiofs: virtiofs(view),
        virtiofsd: virtiofsd(),
    }
}

/// Gateways and networks are in the same order.
fn addresses(state: &ClusterState) -> Vec<String> {
    let network = &state.cluster.network;
    let pairs = network.gateways.iter().zip(&network.cidrs);
    pairs
        .filter_map(|(gateway, cidr)| Some(format!("{gateway}/{}", cidr.split_once('/')?.1)))
        .collect()
}

/// Whether a node can boot again from its launch configuration.
///
/// # Errors
/// All that is missing.
fn check_node(
    view: &ClusterView,
    version: &TalosVersion,
    checkout: &Utf8Path,
    config: &str,
) -> std::result::Result<(), Vec<String>> {
    let path = view.state_dir.join(config);
    let text = match files::read_text(&path, files::MEDIUM) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(vec![format!("`{path}` is missing")]),
        Err(error) => return Err(vec![format!("{path}: {error}")]),
    };
    let config = LaunchConfig::parse(&text).map_err(|error| vec![format!("{path}: {error}")])?;
    let mut missing = Vec::new();
    if config.api.is_some() != version.launch_config_has_address() {
        missing.push(format!(
            "`{path}` was written by another line of talosctl than {version}"
        ));
    }
    if !config.tftp_server.is_empty() {
        missing.push("its nodes boot through iPXE, whose script is not in the folder".to_owned());
    }
    let here = |file: &str| -> Utf8PathBuf { checkout.join(file) };
    let disks = config.disks.iter();
    let disks = disks.filter(|disk| !here(disk).exists());
    missing.extend(disks.map(|disk| format!("disk `{disk}` is missing")));
    for (file, target) in [(&config.kernel, "kernel"), (&config.initramfs, "initramfs")] {
        if !file.is_empty() && !here(file).is_file() {
            missing.push(format!(
                "the {target} `{}` is missing; `{}` makes it",
                here(file),
                typed!("build {}", target)
            ));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing)
    }
}
