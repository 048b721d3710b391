//! The API of one node, for commands that read it.

use std::net::IpAddr;

use camino::Utf8PathBuf;
use talos::names::ClusterName;

use super::client::{environment, find_talosctl};
use super::{Which, choose, existing_name};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::cluster::{ClusterState, ClusterView};
use foundation::ctx::node_api::NodeApi;
use foundation::failure::{Failure, Result};
use foundation::typed;

/// A node, and how its API is called.
pub(in crate::commands) struct Reached {
    /// As the cluster calls it, or the address.
    pub(in crate::commands) name: String,
    pub(in crate::commands) api: NodeApi,
    /// Of a node of a cluster on this host.
    pub(in crate::commands) console: Option<Utf8PathBuf>,
    /// For the cluster that the node is in.
    pub(in crate::commands) kubeconfig: Utf8PathBuf,
}

/// Finds the node that `word` names: one of the cluster, or any machine by its
/// address, which the user's own talosconfig is for.
///
/// # Errors
/// If it names no node or several, or there is no talosctl.
pub(in crate::commands) fn reach(app: &App<'_>, which: &Which, word: &str) -> Result<Reached> {
    let name = existing_name(app, which)?;
    let view = ClusterView::probe(&app.ctx, name.as_str());
    let is_absent = view.state == ClusterState::Absent;
    let address: Option<IpAddr> = word.parse().ok();
    let is_elsewhere = |ip| view.nodes.iter().all(|node| node.ip != Some(ip));
    if let Some(ip) = address.filter(|ip| is_absent || is_elsewhere(*ip)) {
        let api = NodeApi::new(
            find_talosctl(&app.ctx)?,
            app.ctx.talosconfig_path(),
            ip.to_string(),
        );
        return Ok(Reached {
            name: word.to_owned(),
            api,
            console: None,
            kubeconfig: app.ctx.kubeconfig_path(),
        });
    }
    if is_absent {
        return Err(
            Failure::usage(format!("there is no cluster `{name}` with a node `{word}`"))
                .cause("a machine outside of a cluster of this host is named by its address")
                .hint(typed!("cluster list")),
        );
    }
    let nodes = choose(&view, &[word.to_owned()])?;
    let [node] = nodes[..] else {
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        return Err(Failure::usage(format!("`{word}` names several nodes"))
            .cause(names.join(", "))
            .hint("name one"));
    };
    let Some(ip) = node.ip else {
        return Err(
            Failure::host(format!("the address of node `{}` is unknown", node.name))
                .hint(typed!("cluster status --name {}", name)),
        );
    };
    let own = app.ctx.client_config(name.as_str());
    let [(_, talosconfig), (_, kubeconfig)] = environment(&app.ctx, &own);
    Ok(Reached {
        name: node.name.clone(),
        api: NodeApi::new(find_talosctl(&app.ctx)?, talosconfig, ip.to_string()),
        console: Some(node.console.clone()),
        kubeconfig,
    })
}

/// The API of a node of a cluster.
///
/// # Errors
/// If there is no talosctl.
pub(in crate::commands) fn api_of(ctx: &Ctx, name: &ClusterName, ip: IpAddr) -> Result<NodeApi> {
    let [(_, talosconfig), _] = environment(ctx, &ctx.client_config(name.as_str()));
    let talosctl = find_talosctl(ctx)?;
    Ok(NodeApi::new(talosctl, talosconfig, ip.to_string()))
}
