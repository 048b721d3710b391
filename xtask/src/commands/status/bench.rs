//! What there is, read in parallel and within a limit of time: a look that does not end
//! in time is named in the report, and the rest is shown.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::next;
use foundation::ctx::Ctx;
use foundation::ctx::buildx::{CurrentBuilder, current_builder};
use foundation::ctx::checkout::Checkout;
use foundation::ctx::cluster::{ClusterState, ClusterView, NodeState};
use foundation::ctx::host::Host;
use foundation::ctx::probe::Probe;
use foundation::ctx::registries::{self, Spec};
use foundation::ctx::talosctl::Talosctl;
use foundation::ctx::{containers, inside_lab, mirrors};
use foundation::failure::{Exit, Result};
use foundation::record::run_summary::RunSummary;
use foundation::record::runs;

/// Answers that take longer are given up.
const WITHIN: Duration = Duration::from_secs(2);
/// Number of runs that are read.
const RUNS: usize = 5;

/// The state of everything that a developer of Talos works with.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bench {
    pub(super) checkout: Option<CheckoutState>,
    /// Programs that were not found.
    pub(super) missing_programs: Vec<&'static str>,
    /// `None` if builds use docker's built-in builder.
    pub(super) builder: Option<BuilderState>,
    pub(super) registry: RegistryState,
    /// `None` without a checkout, whose list of proxies counts.
    pub(super) proxies: Option<Vec<RegistryState>>,
    pub(super) clusters: Vec<Cluster>,
    /// Whether nodes run the stand-in of the lab.
    pub(super) stand_in: bool,
    /// Newest first.
    pub(super) runs: Vec<Run>,
    /// What could not be read, and why.
    pub(super) unread: Vec<String>,
    /// The command to type.
    pub(super) next: String,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct CheckoutState {
    pub(super) dir: Utf8PathBuf,
    pub(super) found_by: &'static str,
    pub(super) version: String,
    /// `1.12`
    pub(super) line: String,
    #[serde(flatten)]
    pub(super) git: Option<GitState>,
    /// Targets of the Makefile that create what nodes boot, and that were not built.
    pub(super) missing: Vec<&'static str>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct GitState {
    /// `None` if no branch is checked out.
    pub(super) branch: Option<String>,
    /// The commit.
    pub(super) head: String,
    /// Number of tracked files that were changed.
    pub(super) changed: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct BuilderState {
    pub(super) name: String,
    pub(super) driver: String,
    /// `running`, `stopped`, `absent`, or `remote`; `None` if it was not found out.
    pub(super) state: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct RegistryState {
    /// The image host.
    pub(super) host: String,
    /// On 127.0.0.1.
    pub(super) port: u16,
    pub(super) responds: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Cluster {
    pub(super) name: String,
    #[serde(serialize_with = "cluster_state")]
    pub(super) state: ClusterState,
    pub(super) cidr: Option<String>,
    pub(super) talos: Option<String>,
    pub(super) nodes: Vec<Node>,
    /// What is wrong, the first cause first.
    pub(super) faults: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) role: Option<&'static str>,
    pub(super) ip: Option<String>,
    #[serde(serialize_with = "node_state")]
    pub(super) state: NodeState,
    pub(super) cause: Option<String>,
    pub(super) boot_seconds: Option<f64>,
    pub(super) console: Utf8PathBuf,
}

/// A run, and how long it took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Run {
    #[serde(flatten)]
    pub(super) summary: RunSummary,
    pub(super) milliseconds: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn cluster_state<S: Serializer>(state: &ClusterState, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(state.as_str())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn node_state<S: Serializer>(state: &NodeState, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(state.as_str())
}

impl Bench {
    /// Reads everything.
    ///
    /// # Errors
    /// If the named folder is not a Talos checkout.
    pub(super) fn look(ctx: &Ctx) -> Result<Self> {
        let checkout = match ctx.checkout() {
            Ok(checkout) => Some(checkout),
            // None is needed; a folder that was named must be one.
            Err(failure) if failure.exit == Exit::HostNotReady => None,
            Err(failure) => return Err(failure),
        };
        let mut unread = Vec::new();
        let proxies = checkout.as_ref().and_then(|checkout| {
            let specs = registries::proxies(checkout, &ctx.config.proxies);
            specs
                .map_err(|failure| unread.push(format!("proxies: {}", failure.in_one_line())))
                .ok()
        });
        let builder = current_builder(&ctx.dirs.home);
        let looks = Looks::start(ctx, checkout.as_ref(), builder.as_ref(), proxies.as_deref());
        let end = Instant::now() + WITHIN;

        let git = looks
            .git
            .and_then(|look| look.until(end, "git", &mut unread))
            .flatten();
        let state = looks
            .builder
            .and_then(|look| look.until(end, "docker", &mut unread));
        let state = said("builder", state, &mut unread).flatten();
        let ports = looks
            .ports
            .until(end, "registries", &mut unread)
            .unwrap_or_default();
        let clusters = looks.clusters.until(end, "clusters", &mut unread);
        let clusters = said("clusters", clusters, &mut unread).unwrap_or_default();
        let runs = looks
            .runs
            .until(end, "runs", &mut unread)
            .unwrap_or_default();
        let state_of = |spec: Spec| RegistryState {
            responds: ports.contains(&spec.port),
            host: spec.host,
            port: spec.port,
        };
        let mut bench = Self {
            missing_programs: missing_programs(ctx, checkout.as_ref()),
            builder: builder.map(|builder| BuilderState {
                name: builder.name,
                driver: builder.driver,
                state,
            }),
            registry: state_of(registries::local()),
            proxies: proxies.map(|specs| specs.into_iter().map(state_of).collect()),
            clusters,
            stand_in: inside_lab::has_stand_in_nodes(),
            runs,
            unread,
            next: String::new(),
            checkout: checkout
                .as_ref()
                .map(|checkout| CheckoutState::new(ctx, checkout, git)),
        };
        bench.next = next::command(&bench, checkout.as_ref());
        Ok(bench)
    }

    /// Stable: fields are added, never changed.
    pub(super) fn to_json(&self) -> Value {
        json!(self)
    }
}

/// What is looked at in parallel.
struct Looks {
    git: Option<Look<Option<GitState>>>,
    builder: Option<Look<Result<Option<&'static str>, String>>>,
    /// Ports of registries that respond.
    ports: Look<Vec<u16>>,
    clusters: Look<Result<Vec<Cluster>, String>>,
    runs: Look<Vec<Run>>,
}

impl Looks {
    fn start(
        ctx: &Ctx,
        checkout: Option<&Checkout>,
        builder: Option<&CurrentBuilder>,
        proxies: Option<&[Spec]>,
    ) -> Self {
        let dir = checkout.map(|checkout| checkout.dir.clone());
        let builder = builder.cloned();
        let mut specs = vec![registries::local()];
        specs.extend_from_slice(proxies.unwrap_or_default());
        let (of_clusters, state) = (ctx.clone(), ctx.dirs.state.clone());
        Self {
            git: dir.map(|dir| Look::start(move || git_state(&dir))),
            builder: builder.map(|builder| Look::start(move || builder_state(&builder))),
            ports: Look::start(move || {
                let found = mirrors::probe(&specs);
                found.into_iter().map(|mirror| mirror.port).collect()
            }),
            clusters: Look::start(move || clusters(&of_clusters)),
            runs: Look::start(move || last_runs(&state)),
        }
    }
}

/// A look in a thread of its own, which nothing waits for once its time is over.
struct Look<T>(Receiver<T>);

impl<T: Send + 'static> Look<T> {
    fn start(read: impl FnOnce() -> T + Send + 'static) -> Self {
        let (found, look) = mpsc::channel();
        // Without a thread there is no answer.
        let _ = std::thread::Builder::new().spawn(move || found.send(read()));
        Self(look)
    }

    /// What was found until then; otherwise `what` is added to `unread`.
    fn until(self, end: Instant, what: &str, unread: &mut Vec<String>) -> Option<T> {
        let left = end.saturating_duration_since(Instant::now());
        let found = self.0.recv_timeout(left).ok();
        if found.is_none() {
            unread.push(format!("{what}: no answer within {} s", WITHIN.as_secs()));
        }
        found
    }
}

/// What was found; an error is added to `unread`.
fn said<T>(what: &str, found: Option<Result<T, String>>, unread: &mut Vec<String>) -> Option<T> {
    let found = found?.map_err(|why| unread.push(format!("{what}: {why}")));
    found.ok()
}

impl CheckoutState {
    fn new(ctx: &Ctx, checkout: &Checkout, git: Option<GitState>) -> Self {
        let arch = ctx.host.arch;
        let is_built = |name: String| checkout.out().join(name).is_file();
        let targets = [
            ("kernel", is_built(format!("vmlinuz-{arch}"))),
            ("initramfs", is_built(format!("initramfs-{arch}.xz"))),
            ("talosctl", Talosctl::path(ctx, Some(checkout)).is_some()),
        ];
        let missing = targets.into_iter().filter(|(_, is_built)| !is_built);
        Self {
            dir: checkout.dir.clone(),
            found_by: checkout.found_by,
            version: checkout.version.to_string(),
            line: checkout.version.line().to_string(),
            git,
            missing: missing.map(|(target, _)| target).collect(),
        }
    }
}

fn missing_programs(ctx: &Ctx, checkout: Option<&Checkout>) -> Vec<&'static str> {
    let programs = [
        ("docker", Host::which("docker").is_some()),
        // Of a checkout it is a target, which is listed there.
        (
            "talosctl",
            checkout.is_some() || Talosctl::path(ctx, None).is_some(),
        ),
    ];
    let missing = programs.into_iter().filter(|(_, is_found)| !is_found);
    missing.map(|(name, _)| name).collect()
}

/// `None` outside of git.
fn git_state(dir: &Utf8Path) -> Option<GitState> {
    let argv = [
        "git",
        "status",
        "--porcelain=v2",
        "--branch",
        "--untracked-files=no",
    ];
    let text = Probe::new(argv).current_dir(dir).stdout().ok()?;
    parse_git(&text)
}

fn parse_git(text: &str) -> Option<GitState> {
    let header = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| {
            line.strip_prefix("# branch.")?
                .strip_prefix(name)?
                .strip_prefix(' ')
        })
    };
    Some(GitState {
        head: header("oid")?.to_owned(),
        branch: header("head")
            .filter(|name| *name != "(detached)")
            .map(str::to_owned),
        changed: text.lines().filter(|line| !line.starts_with('#')).count(),
    })
}

/// The state of a builder: of its container, if it has one.
fn builder_state(builder: &CurrentBuilder) -> Result<Option<&'static str>, String> {
    if builder.is_remote() {
        return Ok(Some("remote"));
    }
    let Some(name) = builder.container() else {
        return Ok(None);
    };
    if Host::which("docker").is_none() {
        return Ok(None);
    }
    let found = containers::inspect(&[&name]).map_err(|failure| failure.in_one_line())?;
    Ok(Some(
        found
            .first()
            .map_or("absent", |container| container.state.as_str()),
    ))
}

fn clusters(ctx: &Ctx) -> Result<Vec<Cluster>, String> {
    let names = ClusterView::try_names(ctx).map_err(|failure| failure.in_one_line())?;
    let views: Vec<ClusterView> = std::thread::scope(|scope| {
        let looks: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(|| ClusterView::examine(ctx, name)))
            .collect();
        looks
            .into_iter()
            .filter_map(|look| look.join().ok())
            .collect()
    });
    Ok(views.iter().map(Cluster::new).collect())
}

impl Cluster {
    fn new(view: &ClusterView) -> Self {
        let node = |node: &foundation::ctx::cluster::NodeView| Node {
            name: node.name.clone(),
            role: node.role.map(talos::names::Role::as_str),
            ip: node.ip.map(|ip| ip.to_string()),
            state: node.state,
            cause: node.cause.clone(),
            boot_seconds: node.boot_seconds,
            console: node.console.clone(),
        };
        Self {
            name: view.name.clone(),
            state: view.state,
            cidr: view.cidr.map(|cidr| cidr.to_string()),
            talos: view.talos.clone(),
            nodes: view.nodes.iter().map(node).collect(),
            faults: view.faults.iter().map(|fault| fault.what.clone()).collect(),
        }
    }
}

fn last_runs(state: &Utf8Path) -> Vec<Run> {
    let ids = runs::list(state).into_iter();
    let summaries = ids.filter_map(|id| RunSummary::read(&state.join("runs").join(id)).ok());
    summaries
        .take(RUNS)
        .map(|summary| Run {
            milliseconds: summary.milliseconds(),
            summary,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_commits_and_changes_are_read_from_one_command() {
        let text = "# branch.oid 0123abc\n# branch.head release-1.12\n# branch.upstream origin/x\n\
                    1 .M N... 100644 100644 100644 a a go.mod\n2 R. N... 1 1 1 a b R100 x\ty\n";
        let git = parse_git(text).unwrap();
        assert_eq!(git.branch.as_deref(), Some("release-1.12"));
        assert_eq!((git.head.as_str(), git.changed), ("0123abc", 2));
        let detached = parse_git("# branch.oid 0123abc\n# branch.head (detached)").unwrap();
        assert_eq!((detached.branch, detached.changed), (None, 0));
        assert_eq!(parse_git(""), None);
    }

    #[test]
    fn a_look_that_hangs_is_given_up() {
        let (_hold, held) = mpsc::channel::<()>();
        let hanging = Look::start(move || held.recv());
        let quick = Look::start(|| 1);
        let mut unread = Vec::new();
        let end = Instant::now() + Duration::from_millis(50);
        assert!(hanging.until(end, "x", &mut unread).is_none());
        assert_eq!(unread, ["x: no answer within 2 s"]);
        assert_eq!(quick.until(end + WITHIN, "y", &mut unread), Some(1));
        assert_eq!(unread.len(), 1);
    }
}
