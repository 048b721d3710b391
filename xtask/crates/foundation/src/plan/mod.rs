//! A plan: steps as data, run top to bottom. Commands that change something
//! are functions from arguments and probes to a `Plan`; nothing here touches
//! the world, so a dry run cannot drift from a run.

mod action;
mod human;
mod resource;
pub mod secrets;
mod sh;

use camino::Utf8PathBuf;
use makefile::Condition;
use serde::{Deserialize, Serialize};

pub use action::{Action, AwaitedRegistry, Owned, ProcessIdentity, Run};
pub use human::{in_words, render as render_human};
pub use resource::Resource;
pub use sh::render as render_sh;

/// A flat list of steps with what a reader should know beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub title: String,
    /// Decisions taken on the user's behalf, such as a scaled-down cluster.
    pub notes: Vec<String>,
    /// When a file has to be made; named by `Step::only_if`. Paths are absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    pub steps: Vec<Step>,
}

/// One step: a sentence of why and what is done. All else has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub why: String,
    pub action: Action,
    #[serde(default)]
    pub effect: Effect,
    #[serde(default)]
    pub privilege: Privilege,
    /// Seconds after which the step is stopped; none for the runner's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Written to the ledger before the step starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makes: Option<Resource>,
    /// Taken off the ledger when the step has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmakes: Option<Resource>,
    /// Looked at while the step runs; a death ends the step at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Taken only if `Plan::conditions[only_if]` holds when its turn comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<usize>,
    /// What its command prints is a value for later steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learns: Option<Learns>,
}

/// A value that is known only once its step has run. Texts of later steps have
/// it as a slot of the engine `makefile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learns {
    pub slot: usize,
    /// For people, printed as `<name>`.
    pub name: String,
    /// A shell would look at it again: only a value without characters that
    /// are special there can be used.
    #[serde(default)]
    pub plain: bool,
    /// It is the value, or a part of it, of a variable that is not shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// What a step does to the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Reads,
    Creates,
    #[default]
    Changes,
    Destroys,
}

/// Who runs a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    #[default]
    User,
    /// Root; through sudo when the caller is not.
    Root,
}

/// Looked at while a child runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "on")]
pub enum Watch {
    /// The consoles and processes of a cluster's nodes.
    ClusterNodes {
        name: String,
        state_dir: Utf8PathBuf,
    },
}

impl Plan {
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Whether any step goes through sudo for a caller who is not root.
    pub fn needs_root(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.privilege == Privilege::Root)
    }
}

impl Step {
    /// Whether its command is a test binary.
    pub fn runs_tests(&self) -> bool {
        matches!(&self.action, Action::Run(run) if run.tests)
    }

    pub fn new(why: impl Into<String>, action: Action) -> Self {
        Self {
            why: why.into(),
            action,
            effect: Effect::default(),
            privilege: Privilege::default(),
            deadline: None,
            makes: None,
            unmakes: None,
            watch: None,
            only_if: None,
            learns: None,
        }
    }

    /// A child process with nothing but its argv.
    pub fn run<S: Into<String>>(why: impl Into<String>, argv: impl IntoIterator<Item = S>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self::new(
            why,
            Action::Run(Run {
                argv,
                ..Run::default()
            }),
        )
    }

    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    #[must_use]
    pub fn as_root(mut self) -> Self {
        self.privilege = Privilege::Root;
        self
    }

    #[must_use]
    pub fn deadline(mut self, seconds: u64) -> Self {
        self.deadline = Some(seconds);
        self
    }

    #[must_use]
    pub fn makes(mut self, resource: Resource) -> Self {
        self.effect = Effect::Creates;
        self.makes = Some(resource);
        self
    }

    #[must_use]
    pub fn unmakes(mut self, resource: Resource) -> Self {
        self.effect = Effect::Destroys;
        self.unmakes = Some(resource);
        self
    }

    #[must_use]
    pub fn watch(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// For a `Run` step; ignored by built-ins, which have no folder.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<Utf8PathBuf>) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.cwd = Some(dir.into());
        }
        self
    }

    /// For a `Run` step; ignored by built-ins, which read no environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.env.push((name.into(), value.into()));
        }
        self
    }

    /// For a `Run` step: its command is a test binary.
    #[must_use]
    pub fn tests(mut self) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.tests = true;
        }
        self
    }

    /// For a `Run` step: further exit codes that are success.
    #[must_use]
    pub fn also_ok(mut self, codes: &[i32]) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.also_ok.extend_from_slice(codes);
        }
        self
    }
}
