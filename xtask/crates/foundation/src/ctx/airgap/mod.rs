//! A cluster's air gap: the rules of its bridge, the observer, and for the modes with a
//! proxy talosctl's helper. Its files are in a private folder of its own.

mod certificate;
mod target;

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use talos::names::ClusterName;
use talos::network::Cidr;

use super::Ctx;
use super::as_root;
use super::ledger::Ledger;
use super::network::has_interface;
use super::own_files;
use super::ports::{self, Protocol};
use super::processes::{self, Process};
use crate::failure::{Failure, Result};
use crate::files;
use crate::plan::Resource;

pub use certificate::Certificate;
pub use target::ReverseTarget;

/// By which way nodes may leave their bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// No way: each attempt is recorded and refused
    Gap,
    /// Only by an HTTP proxy
    Proxy,
    /// Only by an HTTP proxy that is itself reached over TLS
    SecureProxy,
    /// Only by a reverse proxy to one server
    ReverseProxy,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Proxy => "proxy",
            Self::SecureProxy => "secure-proxy",
            Self::ReverseProxy => "reverse-proxy",
        }
    }

    pub fn has_helper(self) -> bool {
        self != Self::Gap
    }
}

/// Ports of talosctl's helper, by its defaults.
pub const HTTPS_PORT: u16 = 8001;
pub const PROXY_PORT: u16 = 8002;
pub const SECURE_PROXY_PORT: u16 = 8003;
pub const REVERSE_PROXY_PORT: u16 = 8004;

/// What was set up. It is written to the folder before anything else is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AirGap {
    pub name: String,
    pub mode: Mode,
    pub dir: Utf8PathBuf,
    pub bridge: String,
    pub cidr: String,
    /// Ports of the gateway whose requests are recorded.
    pub ports: Vec<u16>,
    /// Those of them that are pull-through proxies, with the registry that they stand for.
    pub mirrors: Vec<(u16, String, bool)>,
    /// Ports of the helper; empty without one.
    pub helper_ports: Vec<u16>,
    /// The URL behind the reverse proxy; `None` in other modes.
    #[serde(default)]
    pub target: Option<String>,
    /// Folders in which the cluster's consoles may be.
    #[serde(default)]
    pub consoles: Vec<Utf8PathBuf>,
}

/// The state of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub what: String,
    pub cause: Option<String>,
    /// It could not be looked at, so it may work.
    pub is_unknown: bool,
}

impl Fault {
    fn new(what: String, cause: Option<String>) -> Self {
        Self {
            what,
            cause,
            is_unknown: false,
        }
    }
}

impl AirGap {
    /// The folder of that cluster's air gap.
    pub fn dir(ctx: &Ctx, name: &str) -> Utf8PathBuf {
        ctx.dirs.state.join("airgap").join(name)
    }

    /// What was set up for that cluster; `None` if nothing was.
    ///
    /// # Errors
    /// If the file exists and cannot be read.
    pub fn read(ctx: &Ctx, name: &str) -> Result<Option<Self>> {
        let path = Self::dir(ctx, name).join("airgap.json");
        let cannot = || Failure::host(format!("cannot read `{path}`"));
        let bytes = own_files::read(&path, files::SMALL).map_err(|error| cannot().cause(error))?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let found: Self = serde_json::from_slice(&bytes).map_err(|error| cannot().cause(error))?;
        // Rules and processes are found by these.
        let bridge = ClusterName::existing(name).map(|name| name.bridge());
        if found.name != name || bridge.ok().as_deref() != Some(found.bridge.as_str()) {
            return Err(cannot().cause("it is about another cluster"));
        }
        Ok(Some(found))
    }

    /// Whether the ledger lists it, also if its file is gone.
    pub fn is_recorded(ctx: &Ctx, name: &str) -> bool {
        let dir = Self::dir(ctx, name);
        let entries = Ledger::in_dir(&ctx.dirs.state).live().unwrap_or_default();
        let mut entries = entries.into_iter();
        entries.any(
            |entry| matches!(&entry.resource, Resource::AirGap { dir: other, .. } if *other == dir),
        )
    }

    pub fn file(&self) -> Utf8PathBuf {
        self.dir.join("airgap.json")
    }

    pub fn events(&self) -> Utf8PathBuf {
        self.dir.join("observed.jsonl")
    }

    /// The name under which the helper writes it to its folder.
    pub fn patch(&self) -> Utf8PathBuf {
        self.dir.join("air-gapped-patch.yaml")
    }

    pub fn helper_log(&self) -> Utf8PathBuf {
        self.dir.join("helper.log")
    }

    pub fn resource(&self) -> Resource {
        Resource::AirGap {
            name: self.name.clone(),
            dir: self.dir.clone(),
            bridge: self.bridge.clone(),
        }
    }

    /// The server behind the reverse proxy.
    pub fn reverse_target(&self) -> Option<ReverseTarget> {
        let gateway = self.network().and_then(Cidr::gateway);
        ReverseTarget::parse(self.target.as_deref()?, gateway)
    }

    pub fn network(&self) -> Option<Cidr> {
        Cidr::parse(&self.cidr).ok()
    }

    /// The nftables table of that bridge.
    pub fn table(bridge: &str) -> String {
        format!("xtask_{bridge}")
    }

    /// The rules, as one transaction: nothing of the bridge is forwarded, and only the
    /// bridge and this host reach the helper.
    pub fn rules(&self) -> String {
        let (table, bridge) = (Self::table(&self.bridge), &self.bridge);
        // The first two lines make it a replacement. TCP is refused by ICMP too: a reset goes
        // to the bridge's port, past the bridge and its observer (nf_send_reset in Linux).
        let mut rules = format!(
            "add table inet {table}\ndelete table inet {table}\nadd table inet {table}\n\
             add chain inet {table} forward {{ type filter hook forward priority -10; }}\n\
             add rule inet {table} forward iifname \"{bridge}\" oifname != \"{bridge}\" counter reject with icmpx admin-prohibited\n"
        );
        if !self.helper_ports.is_empty() {
            let ports: Vec<String> = self.helper_ports.iter().map(ToString::to_string).collect();
            let _ = write!(
                rules,
                "add chain inet {table} input {{ type filter hook input priority -10; }}\n\
                 add rule inet {table} input iifname != {{ \"lo\", \"{bridge}\" }} tcp dport {{ {} }} counter reject with tcp reset\n",
                ports.join(", ")
            );
        }
        rules
    }

    /// Arguments of this program that run the observer (`serve`) or start it in the
    /// background.
    pub fn observer_args(&self, serve: bool) -> Vec<String> {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        let mut args: Vec<String> = ["internal", "observe"].map(str::to_owned).into();
        args.push(format!("--dir={}", self.dir));
        args.push(format!("--bridge={}", self.bridge));
        args.push(format!("--cidr={}", self.cidr));
        args.push(format!("--ports={}", ports.join(",")));
        let consoles = self.consoles.iter();
        args.extend(consoles.map(|dir| format!("--consoles={dir}")));
        args.extend(serve.then(|| "--serve".to_owned()));
        args
    }

    /// Running observers of the folder.
    pub fn observers(dir: &Utf8Path) -> Vec<Process> {
        let of = format!("--dir={dir}");
        own(|process| {
            let [_, internal, observe, dir, rest @ ..] = process.argv.as_slice() else {
                return false;
            };
            (internal.as_str(), observe.as_str(), dir) == ("internal", "observe", &of)
                && rest.last().is_some_and(|last| last == "--serve")
        })
    }

    /// Running helpers in the folder: their files go there.
    pub fn helpers(dir: &Utf8Path) -> Vec<Process> {
        own(|process| {
            process.argv.iter().any(|word| word == "air-gapped")
                && process.current_dir().as_deref() == Some(dir)
        })
    }

    /// Whether the rules are in the kernel. Asks root.
    ///
    /// # Errors
    /// If that cannot be determined.
    pub fn has_rules(bridge: &str) -> Result<bool> {
        let table = Self::table(bridge);
        let tables = as_root::answer(&["nft", "list", "tables", "inet"]).map_err(|error| {
            Failure::host("cannot tell which packet filter rules there are").cause(error)
        })?;
        let line = format!("table inet {table}");
        Ok(tables.lines().any(|found| found.trim() == line))
    }

    /// What does not work. Asks root about the rules, through sudo without a password.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        match Self::has_rules(&self.bridge) {
            Ok(true) => {}
            Ok(false) => faults.push(Fault::new(
                format!(
                    "the packet filter rules of {} are gone: nodes may leave the bridge",
                    self.bridge
                ),
                None,
            )),
            Err(failure) => faults.push(Fault {
                is_unknown: true,
                ..Fault::new(failure.what, failure.causes.into_iter().next())
            }),
        }
        let mut add = |what: String, cause: Option<String>| faults.push(Fault::new(what, cause));
        let log = self.dir.join("observer.log");
        match Self::observers(&self.dir).first() {
            None => add(
                "the observer does not run: nothing is recorded".to_owned(),
                last_line(&log),
            ),
            Some(observer)
                if has_interface(&self.bridge).unwrap_or(true) && !captures(observer) =>
            {
                add(
                    "the observer does not capture: nothing is recorded".to_owned(),
                    last_line(&log),
                );
            }
            Some(_) => {}
        }
        if self.mode.has_helper() {
            faults.extend(self.helper_faults());
        }
        faults
    }

    fn helper_faults(&self) -> Vec<Fault> {
        let fault = |what: String, cause: Option<String>| vec![Fault::new(what, cause)];
        let helpers = Self::helpers(&self.dir);
        if helpers.is_empty() {
            let cause = last_line(&self.helper_log());
            return fault("talosctl's helper does not run".to_owned(), cause);
        }
        let listeners = ports::listeners();
        for port in &self.helper_ports {
            let found = listeners
                .iter()
                .find(|listener| listener.port == *port && listener.protocol == Protocol::Tcp);
            let holder = found.and_then(|listener| ports::holder(listener.inode));
            match (found, holder) {
                (None, _) => return fault(format!("nothing listens on port {port}"), None),
                (Some(_), Some(holder))
                    if helpers.iter().any(|helper| helper.pid == holder.pid) => {}
                (Some(listener), _) => {
                    return fault(
                        format!("port {port} is not the helper's"),
                        Some(format!("{} has it", ports::holder_name(listener))),
                    );
                }
            }
        }
        let Some(gateway) = self.network().and_then(Cidr::gateway) else {
            return fault(format!("{} has no gateway", self.cidr), None);
        };
        match Certificate::in_patch(&self.patch()) {
            Err(failure) => fault(failure.what, failure.causes.into_iter().next()),
            Ok(certificate) => {
                let address = certificate::reachable_at(gateway, &self.bridge);
                certificate
                    .fault(address, HTTPS_PORT)
                    .map_or_else(Vec::new, |(what, cause)| fault(what, cause))
            }
        }
    }
}

/// Whether it has a tcpdump.
fn captures(observer: &Process) -> bool {
    let mut processes = processes::scan().into_iter();
    processes.any(|process| process.parent == observer.pid && process.comm == "tcpdump")
}

/// Only processes of this user: another user can start one with the same arguments.
fn own(wanted: impl Fn(&Process) -> bool) -> Vec<Process> {
    let uid = rustix::process::geteuid().as_raw();
    let mut found = processes::scan();
    found.retain(|process| wanted(process) && process.owner() == Some(uid));
    found
}

fn last_line(path: &Utf8Path) -> Option<String> {
    let bytes = own_files::read(path, files::MEDIUM).ok()??;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(format!("the last line of `{path}`: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_of_one_bridge_and_replace_their_own_table_only() {
        let gap = AirGap {
            name: "a".into(),
            mode: Mode::Proxy,
            dir: "/s/airgap/a".into(),
            bridge: "talos00000000".into(),
            cidr: "172.20.0.0/24".into(),
            ports: vec![5000, 8001],
            mirrors: Vec::new(),
            helper_ports: vec![8001, 8002],
            target: None,
            consoles: Vec::new(),
        };
        let rules = gap.rules();
        assert!(
            rules
                .lines()
                .all(|line| line.contains("xtask_talos00000000"))
        );
        assert!(rules.contains("{ 8001, 8002 }"), "{rules}");
        assert!(
            !AirGap {
                helper_ports: Vec::new(),
                ..gap
            }
            .rules()
            .contains("input")
        );
    }
}
