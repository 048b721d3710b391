//! `airgap report`: what nodes asked for, from the observer's log, the helper's log and
//! the nodes' consoles.

use std::net::IpAddr;

use camino::Utf8PathBuf;
use clap::Args;
use serde_json::json;
use talos::version::TalosVersion;
use traffic::{Contact, Exit as Way, Expected, Gateway, Mirror, Pull, Report, Severity};

use super::facts::{self, Fact};
use super::{existing, text};
use crate::app::App;
use crate::commands::cluster::{Which, existing_name};
use foundation::ctx::airgap::{
    AirGap, HTTPS_PORT, Mode, PROXY_PORT, REVERSE_PROXY_PORT, SECURE_PROXY_PORT,
};
use foundation::ctx::cluster::{ClusterView, NodeState};
use foundation::ctx::own_files;
use foundation::ctx::probe::Probe;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::files;
use foundation::ui;

#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    pub which: Which,
    /// List of names that may be asked for; any other fails
    #[arg(long, value_name = "FILE")]
    pub expect: Option<Utf8PathBuf>,
    /// List of the mirror's images, one a line [default: of `talosctl image default`]
    #[arg(long, value_name = "FILE")]
    pub images: Option<Utf8PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Everything that is shown.
pub(super) struct Shown<'a> {
    pub(super) gap: &'a AirGap,
    pub(super) view: &'a ClusterView,
    pub(super) report: &'a Report,
    pub(super) facts: &'a [Fact],
    pub(super) verdict: &'a str,
    /// Images that the mirror's list does not have; none without a list.
    pub(super) missing: Option<&'a [String]>,
    pub(super) traps: &'a [String],
    pub(super) unexpected: &'a [String],
}

pub(super) fn run(app: &App<'_>, args: &ReportArgs) -> Result<u8> {
    let ctx = &app.ctx;
    let name = existing_name(app, &args.which)?;
    let gap = existing(ctx, &name)?;
    let expected = args.expect.as_ref().map(read_list).transpose()?;
    let expected = expected.as_deref().map(Expected::parse);
    let view = ClusterView::probe(ctx, name.as_str());
    let report = read(&gap)?;
    let checkout = ctx.checkout().ok();
    let talosctl = Talosctl::find(ctx, checkout.as_ref());
    let list = match &args.images {
        Some(path) => Some(read_list(path)?),
        None => talosctl.as_ref().and_then(default_images),
    };
    let missing = list.map(|list| missing_images(&report.pulls, &list));
    let traps = traps(talosctl.as_ref().map(|talosctl| &talosctl.version), &report);
    let unexpected: Vec<String> = expected
        .iter()
        .flat_map(|expected| {
            let contacts = report.contacts.iter();
            contacts.filter(|contact| !expected.has(&contact.host, contact.port))
        })
        .map(Contact::name)
        .collect();
    let facts = facts::facts(&gap, &view, &report);
    let verdict = verdict(app, &gap, &report);
    let shown = Shown {
        gap: &gap,
        view: &view,
        report: &report,
        facts: &facts,
        verdict: &verdict,
        missing: missing.as_deref(),
        traps: &traps,
        unexpected: &unexpected,
    };
    if args.json {
        ui::print_report(to_json(&shown));
    } else {
        ui::print(&text::report(app.ui, &shown));
    }
    Ok(if unexpected.is_empty() {
        0
    } else {
        Exit::Checks.code()
    })
}

fn read_list(path: &Utf8PathBuf) -> Result<String> {
    files::text(path, files::MEDIUM)?
        .ok_or_else(|| Failure::usage(format!("`{path}` does not exist")))
}

/// Reads the logs.
fn read(gap: &AirGap) -> Result<Report> {
    let read = |path: &Utf8PathBuf| {
        let bytes = own_files::read(path, files::LARGE).because(|| format!("cannot read `{path}`"));
        bytes.map(|bytes| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let (events, damaged) = traffic::parse_events(&read(&gap.events())?);
    if damaged > 0 {
        return Err(Failure::host(format!(
            "`{}` has {damaged} lines that are not events",
            gap.events()
        )));
    }
    let helper = traffic::helper_log::parse(&read(&gap.helper_log())?);
    let cidr = gap
        .network()
        .ok_or_else(|| Failure::host(format!("{} is not a network", gap.cidr)))?;
    let listens = |port: u16| gap.helper_ports.contains(&port).then_some(port);
    let gateway = Gateway {
        cidr,
        mirrors: gap
            .mirrors
            .iter()
            .map(|(port, host, is_pull_through)| Mirror {
                port: *port,
                host: host.clone(),
                is_pull_through: *is_pull_through,
            })
            .collect(),
        proxy: listens(PROXY_PORT),
        // Names of the other proxy are on the bridge, with their nodes.
        secure_proxy: listens(SECURE_PROXY_PORT).filter(|_| gap.mode == Mode::SecureProxy),
        reverse_proxy: listens(REVERSE_PROXY_PORT),
        https: listens(HTTPS_PORT),
    };
    Ok(Report::new(events, &helper, &gateway))
}

/// One sentence. A run in which anything left the host is never called air-gapped, nor
/// one that was not observed.
fn verdict(app: &App<'_>, gap: &AirGap, report: &Report) -> String {
    if !report.exits.is_empty() {
        let ways: Vec<String> = report.exits.iter().map(way).collect();
        return format!("traffic left this host: {}", ways.join("; "));
    }
    let faults = if app.ctx.host.is_root() || foundation::run::become_root(app.ui).is_ok() {
        gap.faults()
    } else {
        vec![foundation::ctx::airgap::Fault {
            what: "the rules could not be looked at".to_owned(),
            cause: None,
        }]
    };
    let mut doubts: Vec<String> = faults.into_iter().map(|fault| fault.what).collect();
    if report.lost > 0 {
        doubts.push(format!("{} packets were not seen", report.lost));
    }
    if report.observed.is_empty() {
        doubts.push("no node has sent anything yet".to_owned());
    }
    if !doubts.is_empty() {
        return format!(
            "nothing was seen leaving this host, but {}",
            doubts.join("; ")
        );
    }
    match gap.mode {
        Mode::Gap => "air-gapped: nothing left this host".to_owned(),
        _ => "nothing left this host by the proxy so far".to_owned(),
    }
}

fn way(way: &Way) -> String {
    match way {
        Way::Direct { to } => format!("{to} was reached past the proxy"),
        Way::Proxy { to } => format!("the proxy made a tunnel to {to}"),
        Way::Mirror { host, port } => {
            format!("the pull-through proxy of {host} on port {port} was used")
        }
        Way::Names { name } => format!("the DNS servers of this host resolved {name}"),
    }
}

/// `talosctl image default` prints one image a line.
fn default_images(talosctl: &Talosctl) -> Option<String> {
    let argv = [talosctl.path.as_str(), "image", "default"];
    Probe::new(argv).stdout().ok()
}

/// Images that were asked for and are not on the list, sorted; an image with both tag and
/// digest on the list is on it by either.
fn missing_images(pulls: &[Pull], list: &str) -> Vec<String> {
    let listed: Vec<&str> = list
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .collect();
    let is_listed = |pull: &Pull| {
        listed.iter().any(|line| {
            let (tagged, digest) = line.split_once('@').unwrap_or((line, ""));
            let (repository, _) = pull.image.split_once('@').unwrap_or((&pull.image, ""));
            *line == pull.image
                || tagged == pull.image
                || (!digest.is_empty() && pull.image.ends_with(&format!("@{digest}")) && {
                    tagged
                        .strip_prefix(repository)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
                })
        })
    };
    let missing = pulls.iter().filter(|pull| !is_listed(pull));
    let mut missing: Vec<String> = missing.map(|pull| pull.image.clone()).collect();
    missing.sort();
    missing.dedup();
    missing
}

/// What a list of images of that line does not have, as far as it was asked for.
fn traps(version: Option<&TalosVersion>, report: &Report) -> Vec<String> {
    let Some(version) = version else {
        return Vec::new();
    };
    let asks = |word: &str| {
        report.pulls.iter().any(|pull| pull.image.contains(word))
            || report
                .contacts
                .iter()
                .any(|contact| contact.host.contains(word))
    };
    let mut traps = Vec::new();
    let line = version.line();
    if !version.lists_installer_as_default_image() && asks("installer") {
        traps.push(format!(
            "Talos {line}: `talosctl image default` does not list the installer"
        ));
    }
    if version.installs_from_factory() && asks("factory.talos.dev") {
        traps.push(format!(
            "Talos {line}: the default installer comes from factory.talos.dev, which needs a mirror of its own"
        ));
    }
    if version.pulls_signatures() && report.pulls.iter().any(Pull::is_signature) {
        traps.push(format!(
            "Talos {line}: signatures are pulled too, by tags `sha256-DIGEST.sig`"
        ));
    }
    traps
}

/// Judged by which nodes are ready now.
pub(super) fn severity(view: &ClusterView, contact: &Contact) -> Option<Severity> {
    contact.severity(|ip: IpAddr| {
        let mut nodes = view.nodes.iter();
        let node = nodes.find(|node| node.ip == Some(ip));
        node.is_some_and(|node| node.state == NodeState::Ready)
    })
}

/// Stable: fields are added, never changed.
fn to_json(shown: &Shown<'_>) -> serde_json::Value {
    let Shown { view, report, .. } = shown;
    let contacts: Vec<serde_json::Value> = report
        .contacts
        .iter()
        .map(|contact| {
            let nodes: Vec<_> = contact
                .nodes
                .iter()
                .map(|(ip, attempts)| {
                    json!({
                        "node": text::node_name(view, *ip),
                        "address": ip,
                        "count": attempts.count,
                        "first": attempts.first,
                        "last": attempts.last,
                        "boots": attempts.boots.keys().collect::<Vec<_>>(),
                    })
                })
                .collect();
            let severity = severity(view, contact);
            json!({
                "name": contact.name(),
                "kind": contact.kind,
                "protocol": contact.protocol,
                "via": contact.via,
                "state": contact.state,
                "statuses": contact.statuses,
                "bytes": contact.bytes,
                "count": contact.count(),
                "nodes": nodes,
                "severity": severity,
            })
        })
        .collect();
    json!({
        "cluster": shown.gap.name,
        "mode": shown.gap.mode,
        "verdict": shown.verdict,
        "left": report.exits,
        "observed": report.observed,
        "lost": report.lost,
        "boots": report.boots,
        "names": contacts,
        "pulls": report.pulls,
        "facts": shown.facts,
        "missing": shown.missing,
        "traps": shown.traps,
        "unexpected": shown.unexpected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_images_by_tag_or_digest() {
        let pull = |image: &str| Pull {
            image: image.into(),
            endpoint: "172.20.0.1:5000".into(),
            digest: None,
            statuses: [200].into(),
            bytes: 0,
            first: 0,
            last: 0,
            nodes: std::collections::BTreeSet::new(),
            boots: std::collections::BTreeMap::new(),
        };
        let pulls = [
            pull("docker.io/a:1"),
            pull("docker.io/b:1"),
            pull("docker.io/c@sha256:00"),
            pull("docker.io/cc@sha256:00"),
        ];
        let list = "# images\ndocker.io/a:1\ndocker.io/c:9@sha256:00\n";
        assert_eq!(
            missing_images(&pulls, list),
            ["docker.io/b:1", "docker.io/cc@sha256:00"]
        );
    }
}
