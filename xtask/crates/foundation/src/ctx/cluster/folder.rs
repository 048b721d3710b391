//! What the folder of a cluster says, whole or half written.

use std::net::IpAddr;

use camino::Utf8Path;
use talos::network::Cidr;
use talos::state::{self, NodeFile};

use super::{Member, NodeState, NodeView};

impl NodeView {
    fn new(name: &str, state_dir: &Utf8Path) -> Self {
        Self {
            name: name.to_owned(),
            role: talos::names::split_node(name).map(|(_, role, _)| role),
            ip: None,
            launcher: None,
            qemu: None,
            state: NodeState::Down,
            boot_seconds: None,
            death: None,
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

pub(super) fn read_state(
    dir: &Utf8Path,
    has_folder: bool,
    problems: &mut Vec<String>,
) -> Option<state::ClusterState> {
    let path = dir.join(state::files::STATE_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => match state::ClusterState::parse(&text) {
            Ok(saved) => Some(saved),
            Err(error) => {
                problems.push(format!("{path}: {error}"));
                None
            }
        },
        Err(error) => {
            if has_folder {
                problems.push(format!("{path}: {error}"));
            }
            None
        }
    }
}

pub(super) fn network_of(
    saved: Option<&state::ClusterState>,
    dir: &Utf8Path,
    name: &str,
) -> (Option<Cidr>, Option<IpAddr>) {
    if let Some(network) = saved.map(|saved| &saved.cluster.network) {
        let cidr = network.cidrs.iter().find_map(|text| Cidr::parse(text).ok());
        return (cidr, network.gateways.first().copied());
    }
    // A half-made cluster has written down its network per node at best.
    let launch = node_names(dir)
        .into_iter()
        .find_map(|node| read_launch(dir, &node));
    let cidr = launch
        .as_ref()
        .and_then(|launch| {
            launch
                .network
                .cidrs
                .iter()
                .find_map(|text| Cidr::parse(text).ok())
        })
        .or_else(|| bridge_network(&talos::names::bridge_name(name)));
    let gateway = cidr.and_then(Cidr::gateway).map(IpAddr::V4);
    (cidr, gateway)
}

/// The bridge's own address says the network when nothing else does.
fn bridge_network(bridge: &str) -> Option<Cidr> {
    if !crate::ctx::network::has_interface(bridge) {
        return None;
    }
    let text = crate::ctx::probe::stdout(
        &["ip", "-brief", "-4", "address", "show", "dev", bridge],
        None,
    )?;
    text.split_whitespace()
        .find_map(|word| Cidr::containing(word).ok())
}

fn node_names(dir: &Utf8Path) -> Vec<String> {
    let Ok(entries) = dir.read_dir_utf8() else {
        return Vec::new();
    };
    let files: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_owned()))
        .collect();
    state::nodes_of(&files)
}

fn read_launch(dir: &Utf8Path, node: &str) -> Option<state::LaunchConfig> {
    let text = std::fs::read_to_string(dir.join(NodeFile::Config.name(node))).ok()?;
    state::LaunchConfig::parse(&text).ok()
}

pub(super) fn nodes_of_folder(dir: &Utf8Path) -> Vec<NodeView> {
    let names = node_names(dir);
    names
        .iter()
        .map(|name| {
            let mut node = NodeView::new(name, dir);
            if let Some(launch) = read_launch(dir, name) {
                node.ip = launch.network.ips.first().copied();
                node.control = Some(format!("http://{}:{}", launch.api.ip, launch.api.port));
            }
            node
        })
        .collect()
}
