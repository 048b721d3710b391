//! A plan: steps as data, run from top to bottom. Commands that change
//! something are functions from arguments and probes to a `Plan`. Nothing here
//! changes the system, so a dry run cannot differ from a run.

mod action;
mod human;
mod resource;
pub mod secrets;
mod sh;

use camino::Utf8PathBuf;
use makefile::Condition;
use serde::{Deserialize, Serialize};

pub use action::{Action, AwaitedRegistry, Guest, Launch, Owned, OwnedEntry, ProcessIdentity, Run};
pub use human::{in_words, render as render_human};
pub use resource::Resource;
pub use sh::render as render_sh;

/// A flat list of steps, with notes for the reader.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub title: String,
    /// Decisions made for the user, such as a smaller cluster.
    pub notes: Vec<String>,
    /// When a file must be built; referenced by `Step::only_if`. Paths are
    /// absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// For each job the jobs that it needs; referenced by `Step::job`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<Vec<usize>>,
    pub steps: Vec<Step>,
}

/// One step: a reason and an action. All other fields have defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub why: String,
    pub action: Action,
    #[serde(default)]
    pub effect: Effect,
    #[serde(default)]
    pub privilege: Privilege,
    /// Seconds after which the step is stopped; `None` for the runner's
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Resources written to the ledger before the step starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makes: Option<Resource>,
    /// Resources removed from the ledger after the step succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmakes: Option<Resource>,
    /// Watched while the step runs; a death ends the step immediately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Run only if `Plan::conditions[only_if]` holds at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<usize>,
    /// When the step fails, the plan goes on with what does not need `Plan::jobs[job]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<usize>,
    /// The output of its command is a value for later steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learns: Option<Learns>,
    /// What it is a part of, such as `talosctl 1.12.0`. A run shows one line for each
    /// part; its steps and their output only go to the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// A value that is known only after its step has run. Texts of later steps
/// contain it as a slot of the crate `makefile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learns {
    pub slot: usize,
    /// Displayed as `<name>`.
    pub name: String,
    /// What it must not contain, because a shell would evaluate it again.
    #[serde(default)]
    pub passage: makefile::Passage,
    /// It is or contains the value of a secret variable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// The effect of a step on the system.
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
    /// Root; through sudo if the caller is another user.
    Root,
}

/// What is watched while a child runs.
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

    /// Makes all steps since the first `from` steps one part.
    pub fn join(&mut self, from: usize, part: &str) {
        for step in self.steps.iter_mut().skip(from) {
            step.part.get_or_insert_with(|| part.to_owned());
        }
    }

    /// Whether every step only reads.
    pub fn changes_nothing(&self) -> bool {
        self.steps.iter().all(|step| step.effect == Effect::Reads)
    }

    /// Whether any step needs sudo if the caller is not root.
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
            job: None,
            learns: None,
            part: None,
        }
    }

    /// A child process with only its argv.
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

    /// For a `Run` step; built-ins have no working directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<Utf8PathBuf>) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.cwd = Some(dir.into());
        }
        self
    }

    /// For a `Run` step; built-ins do not read the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.env.push((name.into(), value.into()));
        }
        self
    }

    /// For a `Run` step: marks its command as a test binary.
    #[must_use]
    pub fn tests(mut self) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.tests = true;
        }
        self
    }

    /// Shows one line for each wait of `talosctl cluster create`.
    #[must_use]
    pub fn condense_waits(mut self) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.condense_waits = true;
        }
        self
    }

    /// For a `Run` step: further exit codes that count as success.
    #[must_use]
    pub fn also_ok(mut self, codes: &[i32]) -> Self {
        if let Action::Run(run) = &mut self.action {
            run.also_ok.extend_from_slice(codes);
        }
        self
    }
}
