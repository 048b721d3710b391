//! Watches the nodes of a cluster while it is created: talosctl does not notice
//! that QEMU died or that nothing can ever answer, and waits until its own timeout, or reports
//! success (T6).

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::console::death_of;
use super::{ClusterView, ConsoleFollower, Fault, FaultKind, NodeState, NodeView, console_tail};
use crate::ctx::{Ctx, processes};
use crate::failure::{Exit, Failure};
use crate::typed;

/// Looks while a child runs.
pub type Observer = Box<dyn FnMut() -> Option<Observed>>;

/// What an observer has to report.
#[derive(Debug)]
pub enum Observed {
    /// Shown; the child goes on.
    Note(String),
    /// Ends the child at once.
    Failure(Failure),
}

impl From<Failure> for Observed {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// How often everything around the nodes is checked until one is ready.
const DIAGNOSE: Duration = Duration::from_secs(15);
/// A node that dies while booting is restarted without a limit: this number of deaths is a boot loop.
const DEATHS: usize = 3;
/// Console lines in the error.
const EXCERPT: usize = 15;

struct Nodes {
    ctx: Ctx,
    cluster: String,
    state_dir: Utf8PathBuf,
    next: Instant,
    down_since: Option<Instant>,
    followers: BTreeMap<String, ConsoleFollower>,
    diagnosis: Periodic,
}

/// A diagnosis every few seconds, made by a thread because its checks wait.
struct Periodic {
    next: Instant,
    running: Option<Receiver<Option<Fault>>>,
    /// What the newest one found.
    cause: Option<Fault>,
}

impl ClusterView {
    /// Returns an observer that ends a `create` whose nodes died, or cannot become ready.
    pub fn observer(ctx: &Ctx, name: &str, state_dir: &Utf8Path) -> Observer {
        let mut nodes = Nodes {
            ctx: ctx.clone(),
            cluster: name.to_owned(),
            state_dir: state_dir.to_owned(),
            next: Instant::now(),
            down_since: None,
            followers: BTreeMap::new(),
            diagnosis: Periodic {
                next: Instant::now() + DIAGNOSE,
                running: None,
                cause: None,
            },
        };
        Box::new(move || nodes.check())
    }
}

impl Nodes {
    fn check(&mut self) -> Option<Observed> {
        if Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + LOOK;
        let view =
            ClusterView::from_table(&self.cluster, self.state_dir.clone(), processes::try_scan());
        self.dead(&view)
            .or_else(|| self.again_and_again(&view))
            .map(Observed::Failure)
            .or_else(|| self.stalled(&view))
    }

    fn dead(&mut self, view: &ClusterView) -> Option<Failure> {
        // A node that has not started yet has no console.
        let is_dead = |node: &&NodeView| {
            node.console.exists() && (node.is_down_for_good() || node.death.is_some())
        };
        let Some(node) = view.nodes.iter().find(is_dead) else {
            self.down_since = None;
            return None;
        };
        let since = *self.down_since.get_or_insert_with(Instant::now);
        let what = format!("node `{}` died while the cluster was starting", node.name);
        (since.elapsed() >= node.patience()).then(|| self.failure(node, what, node.death.clone()))
    }

    /// Deaths and failed sequences that would repeat without a limit.
    fn again_and_again(&mut self, view: &ClusterView) -> Option<Failure> {
        for node in &view.nodes {
            let follower = self
                .followers
                .entry(node.name.clone())
                .or_insert_with(|| ConsoleFollower::from_start(&node.name, &node.console));
            follower.read();
            let mut deaths = follower.boots().iter().filter_map(death_of);
            if let Some(last) = deaths.nth(DEATHS - 1) {
                let what = format!("node `{}` died while the cluster was starting", node.name);
                let why = format!("it died {DEATHS} times while booting, the last time of: {last}");
                return Some(self.failure(node, what, Some(why)));
            }
            if let Some(why) = follower.repeated_failure() {
                let what = format!("node `{}` cannot finish its boot", node.name);
                return Some(self.failure(node, what, Some(why)));
            }
        }
        None
    }

    /// A cause that talosctl does not see. The same cause twice, with no node
    /// ready, ends the wait where waiting cannot help.
    fn stalled(&mut self, view: &ClusterView) -> Option<Observed> {
        let is_any_ready = view.nodes.iter().any(|node| node.state == NodeState::Ready);
        let fault = self.diagnosis.poll(&self.ctx, &self.cluster)?;
        let is_known = self.diagnosis.cause.replace(fault.clone()).as_ref() == Some(&fault);
        if !is_known {
            let evidence = fault
                .evidence
                .map_or_else(String::new, |line| format!(" ({line})"));
            return Some(Observed::Note(format!("{}{evidence}", fault.what)));
        }
        let is_final = !is_any_ready && fault.kind.outlasts_waiting();
        is_final.then(|| {
            let what = format!("cluster `{}` cannot become ready", self.cluster);
            let failure = Failure::host(what).cause(fault.what);
            let failure = fault.evidence.into_iter().fold(failure, Failure::cause);
            Observed::Failure(failure.hint(fault.hint.unwrap_or_default()))
        })
    }

    fn failure(&self, node: &NodeView, what: String, why: Option<String>) -> Failure {
        let mut failure = Failure::new(Exit::NodeDied, what);
        failure.causes.extend(why);
        failure
            .cause(format!("its console is {}", node.console))
            .excerpt(console_tail(&node.console, EXCERPT))
            .hint(typed!("cluster destroy --name {}", self.cluster))
    }
}

impl Periodic {
    /// The cause that a diagnosis has found since the last call.
    fn poll(&mut self, ctx: &Ctx, cluster: &str) -> Option<Fault> {
        match self.running.as_ref().map(Receiver::try_recv) {
            Some(Ok(fault)) => {
                self.running = None;
                self.next = Instant::now() + DIAGNOSE;
                if fault.is_none() {
                    self.cause = None;
                }
                return fault;
            }
            Some(Err(TryRecvError::Empty)) => return None,
            Some(Err(TryRecvError::Disconnected)) => self.running = None,
            None => {}
        }
        if Instant::now() >= self.next {
            let (sender, receiver) = mpsc::channel();
            let (ctx, cluster) = (ctx.clone(), cluster.to_owned());
            // The receiver is gone if the child ends first.
            std::thread::spawn(move || drop(sender.send(cause_of_stall(&ctx, &cluster))));
            self.running = Some(receiver);
            self.next = Instant::now() + DIAGNOSE;
        }
        None
    }
}

/// The first cause that is not merely a boot that goes on.
fn cause_of_stall(ctx: &Ctx, cluster: &str) -> Option<Fault> {
    let diagnosis = ClusterView::diagnose_creation(ctx, cluster);
    diagnosis
        .cause()
        .filter(|fault| fault.kind < FaultKind::Api)
        .cloned()
}
