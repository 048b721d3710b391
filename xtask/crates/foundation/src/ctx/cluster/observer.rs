//! Watches the nodes of a cluster while it is created: talosctl does not notice
//! that QEMU died and waits until its own timeout, or reports success (T6).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::console::death_of;
use super::{ClusterView, ConsoleFollower, NodeView, console_tail};
use crate::ctx::processes;
use crate::failure::{Exit, Failure};
use crate::typed;

/// Looks while a child runs; a failure ends the child at once.
pub type Observer = Box<dyn FnMut() -> Option<Failure>>;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);
/// A node that dies while booting is restarted without a limit: this number of deaths is a boot loop.
const DEATHS: usize = 3;
/// Console lines in the error.
const EXCERPT: usize = 15;

struct Nodes {
    cluster: String,
    state_dir: Utf8PathBuf,
    next: Instant,
    down_since: Option<Instant>,
    followers: BTreeMap<String, ConsoleFollower>,
}

impl ClusterView {
    /// Returns an observer that ends a `create` whose nodes died.
    pub fn observer(name: &str, state_dir: &Utf8Path) -> Observer {
        let mut nodes = Nodes {
            cluster: name.to_owned(),
            state_dir: state_dir.to_owned(),
            next: Instant::now(),
            down_since: None,
            followers: BTreeMap::new(),
        };
        Box::new(move || nodes.check())
    }
}

impl Nodes {
    fn check(&mut self) -> Option<Failure> {
        if Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + LOOK;
        let view =
            ClusterView::from_table(&self.cluster, self.state_dir.clone(), processes::try_scan());
        self.dead(&view)
            .or_else(|| self.dying_again_and_again(&view))
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
        (since.elapsed() >= node.patience()).then(|| self.failure(node, node.death.clone()))
    }

    fn dying_again_and_again(&mut self, view: &ClusterView) -> Option<Failure> {
        for node in &view.nodes {
            let follower = self
                .followers
                .entry(node.name.clone())
                .or_insert_with(|| ConsoleFollower::from_start(&node.name, &node.console));
            follower.read();
            let mut deaths = follower.boots().iter().filter_map(death_of);
            if let Some(last) = deaths.nth(DEATHS - 1) {
                let why = format!("it died {DEATHS} times while booting, the last time of: {last}");
                return Some(self.failure(node, Some(why)));
            }
        }
        None
    }

    fn failure(&self, node: &NodeView, why: Option<String>) -> Failure {
        let what = format!("node `{}` died while the cluster was starting", node.name);
        let mut failure = Failure::new(Exit::NodeDied, what);
        failure.causes.extend(why);
        failure
            .cause(format!("its console is {}", node.console))
            .excerpt(console_tail(&node.console, EXCERPT))
            .hint(typed!("cluster destroy --name {}", self.cluster))
    }
}
