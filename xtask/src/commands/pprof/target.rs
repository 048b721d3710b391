//! Selects what to fetch: services, ports, nodes, profiles.

use std::collections::BTreeMap;

use talos::names::Role;
use talos::version::TalosVersion;

use super::args::FetchArgs;
use super::endpoint::{Endpoint, Transport, endpoint};
use super::kind::Kind;
use crate::app::App;
use crate::commands::cluster;
use crate::typo::closest;
use foundation::ctx::cluster::{ClusterState, ClusterView};
use foundation::failure::{Failure, Result};
use foundation::typed;

/// One profile of one service of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The node's name, or the endpoint as given.
    pub(super) node: String,
    pub(super) role: Option<Role>,
    /// `HOST:PORT`
    pub(super) address: String,
    /// Path before `/debug/pprof`, as of `kubectl proxy`; empty for a service itself.
    pub(super) prefix: String,
    pub(super) transport: Transport,
    /// Headers of each request.
    pub(super) headers: Vec<(String, String)>,
    pub(super) service: String,
    pub(super) kind: Kind,
    /// The Talos version that the node reports.
    pub(super) talos: Option<String>,
}

/// Maximum characters of a file name before the time and the extension.
const STEM: usize = 160;
/// Maximum number of profiles in a list; Go programs have a dozen.
const OFFERED: usize = 64;
/// Characters of one.
const LONGEST: usize = 128;

impl Target {
    /// Path and query of `net/http/pprof`.
    pub(super) fn path(&self, args: &FetchArgs) -> String {
        let mut query = Vec::new();
        if let Some(seconds) = self.seconds(args) {
            query.push(format!("seconds={seconds}"));
        }
        if args.gc && self.kind == Kind::Heap {
            query.push("gc=1".to_owned());
        }
        let query = if query.is_empty() {
            String::new()
        } else {
            format!("?{}", query.join("&"))
        };
        format!("{}{}{query}", self.index(), self.kind.handler())
    }

    /// Path of the text form, which has state, wait and creator; profile.proto cannot hold
    /// them. Changes over time are only in profile.proto.
    pub(super) fn dump_path(&self, args: &FetchArgs) -> Option<String> {
        let has_dump = self.kind == Kind::Goroutine && self.seconds(args).is_none();
        has_dump.then(|| format!("{}{}?debug=2", self.index(), self.kind.handler()))
    }

    /// The URL of a path, for messages.
    pub(super) fn url(&self, path: &str) -> String {
        match &self.transport {
            Transport::Tcp => format!("http://{}{path}", self.address),
            Transport::Tls => format!("https://{}{path}", self.address),
            Transport::Unix(socket) => format!("unix:{socket}{path}"),
        }
    }

    /// Path of the list of profiles.
    pub(super) fn index(&self) -> String {
        format!("{}/debug/pprof/", self.prefix)
    }

    /// Whether it is a node of a cluster: other programs have other reasons to fail.
    pub(super) fn is_talos(&self) -> bool {
        self.role.is_some() || self.talos.is_some()
    }

    /// The seconds that the node takes before it answers.
    pub(super) fn seconds(&self, args: &FetchArgs) -> Option<u64> {
        if self.kind.is_recorded() {
            return Some(args.seconds.unwrap_or(30));
        }
        // `--all` fetches what exists, not what changes meanwhile.
        args.seconds.filter(|_| !args.all)
    }

    /// Returns `node-service-profile`, safe for a file name.
    pub(super) fn stem(&self) -> String {
        let text = format!("{}-{}-{}", self.node, self.service, self.kind);
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let fitting = text
            .chars()
            .take(STEM)
            .map(|c| if fits(c) { c } else { '_' });
        fitting.collect()
    }

    /// Returns the target for messages.
    pub(super) fn describe(&self) -> String {
        format!("{} {} {}", self.node, self.service, self.kind)
    }
}

/// Returns everything to fetch. With `--all`, each service has one target,
/// whose kind is replaced by those that the nodes list.
pub(super) fn targets(app: &App<'_>, args: &FetchArgs) -> Result<Vec<Target>> {
    let (places, talos) = places(app, args)?;
    let services = services(args, &version_of(talos.as_deref()))?;
    let mut targets = Vec::new();
    for place in &places {
        for (service, (port, control_plane_only)) in &services {
            // Workers never run this service.
            if *control_plane_only && place.role == Some(Role::Worker) {
                continue;
            }
            targets.push(Target {
                node: place.node.clone(),
                role: place.role,
                address: format!("{}:{}", place.host, place.port.unwrap_or(*port)),
                prefix: place.prefix.clone(),
                transport: place.transport.clone(),
                headers: headers(place, args),
                service: service.clone(),
                kind: args.profile.as_deref().map_or(Kind::Heap, Kind::new),
                talos: talos.clone(),
            });
        }
    }
    if targets.is_empty() {
        let service = args.service.as_deref().unwrap_or_default();
        return Err(Failure::usage(format!(
            "none of the chosen nodes runs `{service}`: it is on control planes only"
        )));
    }
    Ok(targets)
}

fn headers(place: &Endpoint, args: &FetchArgs) -> Vec<(String, String)> {
    let authorization = place.authorization.clone();
    let authorization = authorization.map(|value| ("Authorization".to_owned(), value));
    let given = args.connection.header.iter().cloned();
    authorization.into_iter().chain(given).collect()
}

fn places(app: &App<'_>, args: &FetchArgs) -> Result<(Vec<Endpoint>, Option<String>)> {
    if !args.endpoint.is_empty() {
        let places: Result<Vec<Endpoint>> =
            args.endpoint.iter().map(|text| endpoint(text)).collect();
        return Ok((places?, None));
    }
    let name = cluster::existing_name(app, &args.which)?;
    let view = ClusterView::probe(&app.ctx, name.as_str());
    if matches!(view.state, ClusterState::Absent | ClusterState::Stale) {
        return Err(Failure::host(format!(
            "cluster `{}` is {}",
            view.name,
            view.state.as_str()
        ))
        .hint(format!(
            "{}; or name nodes: `--endpoint HOST`",
            typed!("cluster up")
        )));
    }
    let chosen = cluster::choose(&view, &args.node)?;
    let places = chosen
        .into_iter()
        .filter_map(|node| {
            Some(Endpoint {
                node: node.name.clone(),
                role: node.role,
                host: node.ip.map(|ip| match ip {
                    std::net::IpAddr::V6(ip) => format!("[{ip}]"),
                    std::net::IpAddr::V4(ip) => ip.to_string(),
                })?,
                ..Endpoint::default()
            })
        })
        .collect();
    Ok((places, view.talos))
}

fn version_of(told: Option<&str>) -> TalosVersion {
    // Newer Talos lines add services at the end of the list.
    told.and_then(|text| TalosVersion::parse(text).ok())
        .unwrap_or_else(TalosVersion::newest)
}

/// Returns the port of each requested service, and whether workers do not run
/// it.
fn services(args: &FetchArgs, version: &TalosVersion) -> Result<BTreeMap<String, (u16, bool)>> {
    let known = version.pprof_ports().iter();
    let known: BTreeMap<String, (u16, bool)> = known
        .map(|of| (of.service.to_owned(), (of.port, of.control_plane_only)))
        .collect();
    let Some(service) = &args.service else {
        return Ok(known);
    };
    let found = match (known.get(service), args.port) {
        (Some((_, control_plane_only)), Some(port)) => (port, *control_plane_only),
        (Some(found), None) => *found,
        (None, Some(port)) => (port, false),
        // Every endpoint may have its own port.
        (None, None)
            if !args.endpoint.is_empty()
                && args
                    .endpoint
                    .iter()
                    .all(|text| endpoint(text).is_ok_and(|place| place.port.is_some())) =>
        {
            (0, false)
        }
        (None, None) => {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let failure = Failure::usage(format!("`{service}` is not a profiled service"))
                .cause(format!("of Talos {version} known: {}", names.join(", ")));
            return Err(match closest(service, names.into_iter()) {
                Some(name) => failure.hint(format!("did you mean `{name}`?")),
                None => failure.hint("any other: say where it listens with `--port`"),
            });
        }
    };
    Ok(BTreeMap::from([(service.clone(), found)]))
}

/// Reads the links of `/debug/pprof/`, at most a plausible number of plausible
/// names.
pub(super) fn offered(index: &str) -> Vec<String> {
    let links = index.split("href=").skip(1);
    let names = links.filter_map(|rest| {
        let quote = rest.chars().next().filter(|c| "'\"".contains(*c))?;
        let link = rest[1..].split(quote).next()?;
        let name = link.split('?').next()?;
        is_profile_name(name).then(|| name.to_owned())
    });
    let mut seen = std::collections::BTreeSet::new();
    names
        .filter(|name| seen.insert(name.clone()))
        .take(OFFERED)
        .collect()
}

/// A relative path below `/debug/pprof/` that needs no escape.
pub(super) fn is_profile_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/._-+~%:,;=()[]*$!@".contains(c);
    (1..=LONGEST).contains(&name.len())
        && !name.starts_with('/')
        && name.chars().all(fits)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_offers_is_read_from_its_index() {
        // As Go 1.26 writes it.
        let index = "<tr><td>3</td><td><a href='allocs?debug=1'>allocs</a></td></tr>\n\
            <tr><td>2</td><td><a href='machinery/client/grpc.grpcConn?debug=1'>x</a></td></tr>\n\
            <a href='goroutine?debug=1'>x</a><a href=\"goroutine?debug=2\">full goroutine stack dump</a>";
        assert_eq!(
            offered(index),
            ["allocs", "machinery/client/grpc.grpcConn", "goroutine"]
        );
    }

    #[test]
    fn names_that_no_program_has_are_left_out() {
        let link = |name: &str| format!("<a href='{name}?debug=1'>x</a>");
        let long = "x".repeat(1000);
        let hostile = [
            "../../etc/passwd",
            "a/../b",
            "/absolute",
            "\u{1b}]52;c;x\u{7}",
            "a b",
            "a\nb",
            "a&lt;b",
            "a<b",
            "\u{202e}x",
            &long,
            "",
        ];
        let index: String = hostile.into_iter().map(link).collect();
        assert_eq!(offered(&index), [""; 0]);
        assert_eq!(offered("href=\u{e9}x href=' href="), [""; 0]);
        let many: String = (0..10_000).map(|of| link(&format!("p{of}"))).collect();
        assert_eq!(offered(&many).len(), OFFERED);
    }

    #[test]
    fn requests_say_how_long() {
        let target = |profile: &str| Target {
            node: "n/1".into(),
            role: None,
            address: "a:1".into(),
            prefix: String::new(),
            transport: Transport::default(),
            headers: Vec::new(),
            service: "machined".into(),
            kind: Kind::new(profile),
            talos: None,
        };
        let mut args = FetchArgs::default();
        assert_eq!(target("cpu").path(&args), "/debug/pprof/profile?seconds=30");
        assert_eq!(target("heap").path(&args), "/debug/pprof/heap");
        args.gc = true;
        args.seconds = Some(5);
        assert_eq!(
            target("heap").path(&args),
            "/debug/pprof/heap?seconds=5&gc=1"
        );
        args.all = true;
        assert_eq!(target("heap").seconds(&args), None);
        assert_eq!(target("cpu").seconds(&args), Some(5));
        assert_eq!(target("x/y").stem(), "n_1-machined-x_y");
    }
}
