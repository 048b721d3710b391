//! The guide's three expectations as facts, each with its evidence. Lines of the helper's
//! log are not enough: the guide's line for a working proxy is printed at once when it
//! does not work, and only at the end when it does.

use foundation::ctx::airgap::AirGap;
use foundation::ctx::cluster::ClusterView;
use foundation::files;
use serde::Serialize;
use traffic::{Kind, Report};

use super::text::{clock, node_name};

/// One expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    pub(super) holds: bool,
    pub(super) evidence: Vec<String>,
}

/// Evidence of one fact that is shown.
const MOST: usize = 4;
/// Talos' words for a certificate that no CA of it has signed, and for the download.
const UNKNOWN_AUTHORITY: &str = "certificate signed by unknown authority";
const DOWNLOADED: &str = "downloaded manifest";
/// What the helper's manifest creates.
const CREATED: &str = "created apps/v1/DaemonSet/default/debug-container";

pub(super) fn facts(gap: &AirGap, view: &ClusterView, report: &Report) -> Vec<Fact> {
    let consoles = consoles(view);
    let discovery = report
        .contacts
        .iter()
        .filter(|contact| contact.kind == Kind::Discovery)
        .flat_map(|contact| {
            contact.nodes.iter().map(|(node, attempts)| {
                let node = node_name(view, *node);
                let first = clock(attempts.first);
                format!(
                    "{first} {node} asked for {}: {}",
                    contact.name(),
                    contact.state.as_str()
                )
            })
        });
    let mut facts = vec![fact(
        "discovery",
        "the discovery service was tried",
        discovery,
    )];
    if !gap.mode.has_helper() {
        return facts;
    }
    let untrusted = report
        .untrusted
        .iter()
        .map(|(at, node, why)| format!("{} {}: {why}", clock(*at), node_name(view, *node)));
    let refused = lines(&consoles, &[UNKNOWN_AUTHORITY, "debug.yaml"]);
    facts.push(fact(
        "untrusted",
        "the helper's certificate was not trusted before the patch",
        untrusted.chain(refused),
    ));
    let fetched = lines(&consoles, &[DOWNLOADED, "debug.yaml"]);
    facts.push(fact(
        "fetched",
        "the manifest of the patch was fetched",
        fetched,
    ));
    let applied = lines(&consoles, &[CREATED]);
    facts.push(fact(
        "applied",
        "the manifest of the patch was applied",
        applied,
    ));
    facts
}

fn fact(id: &'static str, what: &'static str, evidence: impl IntoIterator<Item = String>) -> Fact {
    let evidence: Vec<String> = evidence.into_iter().take(MOST).collect();
    Fact {
        id,
        what,
        holds: !evidence.is_empty(),
        evidence,
    }
}

/// Consoles of all nodes, by node.
fn consoles(view: &ClusterView) -> Vec<(String, String)> {
    let read = |node: &foundation::ctx::cluster::NodeView| {
        let bytes = files::read(&node.console, files::LARGE).ok()??;
        Some((
            node.name.clone(),
            String::from_utf8_lossy(&bytes).into_owned(),
        ))
    };
    view.nodes.iter().filter_map(read).collect()
}

/// Lines that contain all of `words`.
fn lines(consoles: &[(String, String)], words: &[&str]) -> Vec<String> {
    let is_it = |line: &&str| words.iter().all(|word| line.contains(word));
    consoles
        .iter()
        .flat_map(|(node, text)| {
            let found = text.lines().filter(is_it);
            found.map(move |line| format!("console of {node}: {}", line.trim()))
        })
        .collect()
}
