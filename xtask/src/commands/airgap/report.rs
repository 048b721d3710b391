//! `airgap report`: what nodes asked for, from the observer's log, the helper's log and
//! the nodes' consoles.

use std::net::IpAddr;

use camino::Utf8PathBuf;
use clap::Args;
use serde_json::json;
use traffic::{
    Contact, Exit as Way, Expected, Gateway, Mirror, Readiness, Report, Severity, State, Target,
};

use super::facts::{self, Fact};
use super::images::{self, Images};
use super::{existing, text};
use crate::app::App;
use crate::commands::cluster::{Which, existing_name};
use foundation::ctx::airgap::{
    AirGap, HTTPS_PORT, Mode, PROXY_PORT, REVERSE_PROXY_PORT, SECURE_PROXY_PORT,
};
use foundation::ctx::cluster::{ClusterView, NodeState};
use foundation::ctx::own_files;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::files;
use foundation::record::runs::now_ms;
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
    pub(super) images: &'a Images,
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
        None => talosctl.as_ref().and_then(images::default_list),
    };
    let version = talosctl.as_ref().map(|talosctl| &talosctl.version);
    let images = Images::new(&report, list.as_deref(), version, &gap);
    let unexpected: Vec<String> = expected
        .iter()
        .flat_map(|expected| {
            let contacts = report.contacts.iter();
            contacts.filter(|contact| !expected.has(&contact.host, contact.port))
        })
        .map(Contact::name)
        .collect();
    let facts = facts::facts(&gap, &view, &report);
    let verdict = verdict(&gap, &report);
    let shown = Shown {
        gap: &gap,
        view: &view,
        report: &report,
        facts: &facts,
        verdict: &verdict,
        images: &images,
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
        secure_proxy: listens(SECURE_PROXY_PORT),
        reverse_proxy: listens(REVERSE_PROXY_PORT),
        https: listens(HTTPS_PORT),
        patched: match gap.mode {
            Mode::Proxy => Some(PROXY_PORT),
            Mode::SecureProxy => Some(SECURE_PROXY_PORT),
            Mode::Gap | Mode::ReverseProxy => None,
        },
        target: gap.reverse_target().map(|target| Target {
            host: target.host,
            port: target.port,
            is_local: target.is_local,
        }),
    };
    Ok(Report::new(events, &helper, &gateway))
}

/// One sentence. A run in which anything left the host is never called air-gapped, nor
/// one that was not observed.
fn verdict(gap: &AirGap, report: &Report) -> String {
    if !report.exits.is_empty() {
        let ways: Vec<String> = report.exits.iter().map(way).collect();
        return format!("traffic left this host: {}", ways.join("; "));
    }
    let faults = gap.faults().into_iter();
    let mut doubts: Vec<String> = faults.map(|fault| fault.what).collect();
    // The helper logs neither a status nor a failure of these.
    let is_unknown = |contact: &&Contact| contact.from_helper > 0 && contact.state == State::Tried;
    let unknown = report.contacts.iter().filter(is_unknown);
    doubts.extend(unknown.map(|contact| {
        let name = contact.name();
        format!("what became of requests to {name} is inside TLS and not known")
    }));
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
        Mode::ReverseProxy if report.pulls.iter().any(|pull| pull.inside_tls) => {
            "nothing left this host: the target of the reverse proxy is on it".to_owned()
        }
        _ => "nothing left this host by the proxy so far".to_owned(),
    }
}

fn way(way: &Way) -> String {
    match way {
        Way::Direct { to } => format!("{to} was reached past the proxy"),
        Way::Proxy { to } => format!("the proxy made a tunnel to {to}"),
        Way::ReverseProxy { to } => format!("the reverse proxy reached {to}"),
        Way::Mirror { host, port } => {
            format!("the pull-through proxy of {host} on port {port} was used")
        }
        Way::Names { name } => format!("the DNS servers of this host resolved {name}"),
    }
}

/// Judged by when nodes became ready.
pub(super) fn severity(view: &ClusterView, report: &Report, contact: &Contact) -> Option<Severity> {
    let end = report.observed.last().and_then(|(_, end)| *end);
    contact.severity(end.unwrap_or_else(now_ms), |ip: IpAddr| {
        let mut nodes = view.nodes.iter();
        let node = nodes.find(|node| node.ip == Some(ip));
        Readiness {
            ready: node
                .map(|node| report.ready(&node.name, ip))
                .unwrap_or_default(),
            is_ready: node.is_some_and(|node| node.state == NodeState::Ready),
            boots: report.boots.get(&ip).copied().unwrap_or(1),
        }
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
            let severity = severity(view, report, contact);
            json!({
                "name": contact.name(),
                "kind": contact.kind,
                "protocol": contact.protocol,
                "via": contact.via,
                "state": contact.state,
                "statuses": contact.statuses,
                "bytes": contact.bytes,
                "count": contact.count(),
                "inside_tls": contact.inside_tls,
                "from_helper": contact.from_helper,
                "unattributed": contact.unattributed,
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
        "ready": report.ready,
        "names": contacts,
        "pulls": report.pulls,
        "facts": shown.facts,
        "missing": shown.images.missing,
        "unlisted": shown.images.unlisted,
        "traps": shown.images.traps,
        "unexpected": shown.unexpected,
    })
}
