//! Reads the state folder of a cluster, complete or partially written.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use camino::{Utf8Path, Utf8PathBuf};
use talos::network::Cidr;
use talos::state::{self, NodeFile};

use super::{Member, NodeState, NodeView};
use crate::ctx::bridge::Bridge;
use crate::files;

impl NodeView {
    fn new(name: &str, state_dir: &Utf8Path) -> Self {
        Self {
            name: name.to_owned(),
            role: talos::names::split_node(name).map(|(_, role, _)| role),
            memory: None,
            ip: None,
            launcher: None,
            qemu: None,
            state: NodeState::Down,
            boot_seconds: None,
            has_network: false,
            death: None,
            failure: None,
            out_of_memory: None,
            oops: None,
            cause: None,
            console: state_dir.join(NodeFile::Log.name(name)),
            monitor: state_dir.join(NodeFile::Monitor.name(name)),
            control: None,
        }
    }

    pub(super) fn of_saved(
        saved: &state::NodeState,
        gateway: Option<IpAddr>,
        state_dir: &Utf8Path,
    ) -> Self {
        let control = gateway.filter(|_| saved.api_port != 0);
        Self {
            role: saved.role(),
            memory: Some(saved.memory),
            ip: saved.ip(),
            control: control.map(|gateway| format!("http://{gateway}:{}", saved.api_port)),
            ..Self::new(&saved.name, state_dir)
        }
    }

    pub(super) fn attach(&mut self, members: &[Member]) {
        use talos::process::Kind;
        for member in members
            .iter()
            .filter(|member| member.node.as_deref() == Some(&self.name))
        {
            match member.kind {
                Kind::QemuLaunch { .. } => self.launcher = Some(member.process.clone()),
                Kind::Qemu { .. } => self.qemu = Some(member.process.clone()),
                _ => {}
            }
        }
    }
}

/// The contents of a cluster's state folder.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) dir: Utf8PathBuf,
    /// Whether it is a real folder, not a link.
    pub(super) exists: bool,
    /// Names of the files in it.
    pub(super) files: Vec<String>,
    pub(super) saved: Option<state::ClusterState>,
    pub(super) problems: Vec<String>,
    launches: Vec<(String, Option<state::LaunchConfig>)>,
}

impl Folder {
    /// Reads the folder. What exists but cannot be read is added to `unread`,
    /// so that it does not count as absent.
    pub(super) fn read(dir: &Utf8Path, unread: &mut Vec<String>) -> Self {
        let mut folder = Self {
            dir: dir.to_owned(),
            ..Self::default()
        };
        match dir.symlink_metadata() {
            Ok(found) if found.is_dir() => folder.exists = true,
            Ok(found) => {
                let what = if found.is_symlink() {
                    "a link"
                } else {
                    "a file"
                };
                folder
                    .problems
                    .push(format!("{dir} is {what}, not a folder"));
                return folder;
            }
            Err(error) if is_absence(&error) => return folder,
            Err(error) => {
                unread.push(format!("{dir}: {error}"));
                return folder;
            }
        }
        match files::names_in(dir) {
            Ok(files) => folder.files = files,
            Err(error) => unread.push(format!("{dir}: {error}")),
        }
        let path = dir.join(state::files::STATE_FILE);
        match files::read_text(&path, files::MEDIUM) {
            Ok(Some(text)) => match state::ClusterState::parse(&text) {
                Ok(mut saved) => {
                    // A name with a slash would refer to a file outside the
                    // folder.
                    saved.cluster.nodes.retain(|node| {
                        let is_name = !node.name.contains('/');
                        if !is_name {
                            let problem = format!("{path}: node `{}` is a path", node.name);
                            folder.problems.push(problem);
                        }
                        is_name
                    });
                    folder.saved = Some(saved);
                }
                Err(error) => folder.problems.push(format!("{path}: {error}")),
            },
            Ok(None) => folder.problems.push(format!("{path} does not exist")),
            // Truncated within a character: partially written.
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                folder.problems.push(format!("{path}: {error}"));
            }
            Err(error) => {
                folder.problems.push(format!("{path}: {error}"));
                unread.push(format!("{path}: {error}"));
            }
        }
        if folder.saved.is_none() {
            let nodes = state::nodes_of(&folder.files);
            let launches = nodes.into_iter().map(|node| {
                let launch = read_launch(dir, &node, unread);
                (node, launch)
            });
            folder.launches = launches.collect();
        }
        folder
    }

    pub(super) fn network(&self, name: &str) -> (Option<Cidr>, Option<IpAddr>) {
        if let Some(network) = self.saved.as_ref().map(|saved| &saved.cluster.network) {
            let cidr = network.cidrs.iter().find_map(|text| Cidr::parse(text).ok());
            return (cidr, network.gateways.first().copied());
        }
        // A partially created cluster has its network in the nodes' launch
        // configurations at best.
        let known = self
            .launches
            .iter()
            .filter_map(|(_, launch)| launch.as_ref());
        let mut texts = known.flat_map(|launch| &launch.network.cidrs);
        let cidr = texts
            .find_map(|text| Cidr::parse(text).ok())
            .or_else(|| bridge_network(&talos::names::bridge_name(name)));
        let gateway = cidr.and_then(Cidr::gateway).map(IpAddr::V4);
        (cidr, gateway)
    }

    /// Returns the nodes of a folder without `state.yaml`.
    pub(super) fn nodes(&self) -> Vec<NodeView> {
        let node = |(name, launch): &(String, Option<state::LaunchConfig>)| {
            let mut node = NodeView::new(name, &self.dir);
            if let Some(launch) = launch {
                node.ip = launch.network.ips.first().copied();
                let api = launch.api.as_ref();
                node.control = api.map(|api| format!("http://{}:{}", api.ip, api.port));
            }
            node
        };
        self.launches.iter().map(node).collect()
    }
}

/// Falls back to the network of the bridge's address.
fn bridge_network(bridge: &str) -> Option<Cidr> {
    let found = Bridge::probe(bridge).ok()??;
    found.networks.first().copied()
}

fn read_launch(
    dir: &Utf8Path,
    node: &str,
    unread: &mut Vec<String>,
) -> Option<state::LaunchConfig> {
    let path = dir.join(NodeFile::Config.name(node));
    match files::read_text(&path, files::MEDIUM) {
        Ok(text) => state::LaunchConfig::parse(&text?).ok(),
        Err(error) if error.kind() == ErrorKind::InvalidData => None,
        Err(error) => {
            unread.push(format!("{path}: {error}"));
            None
        }
    }
}

/// Returns the names of the subfolders; links are skipped.
pub(super) fn folders_in(dir: &Utf8Path) -> io::Result<Vec<String>> {
    let mut names = files::names_in(dir)?;
    names.retain(|name| {
        let found = dir.join(name).symlink_metadata();
        found.is_ok_and(|found| found.is_dir())
    });
    Ok(names)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
