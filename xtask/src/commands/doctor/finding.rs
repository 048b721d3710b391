//! One result of a check: its status, why it matters, and how to fix it.

use foundation::plan::Step;

/// The status of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Ok,
    /// Worth knowing, or needed for something other than a cluster.
    Warn,
    /// `cluster up` cannot work like this.
    Missing,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Missing => "missing",
        }
    }
}

/// What a finding is about; the order is that of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Talos,
    Machines,
    Root,
    Network,
    Capacity,
    Leftovers,
    Builds,
}

impl Group {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Talos => "Talos",
            Self::Machines => "Virtual machines",
            Self::Root => "Root and its tools",
            Self::Network => "Network",
            Self::Capacity => "Memory, disk, paths",
            Self::Leftovers => "Left behind",
            Self::Builds => "Builds",
        }
    }
}

/// The action of `--fix` for a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fix {
    Steps(Vec<Step>),
    /// A Debian package, installed together with the others.
    Package(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Stable, kebab-case. Findings about several similar things share one.
    pub(super) id: String,
    /// Set by the table of checks.
    pub(super) group: Group,
    pub(super) status: Status,
    /// The text, with literals in backticks.
    pub(super) what: String,
    pub(super) why: Option<String>,
    /// A command to type, or one sentence.
    pub(super) cure: Option<String>,
    pub(super) fix: Option<Fix>,
}

impl Finding {
    fn new(status: Status, id: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            group: Group::Talos,
            status,
            what: what.into(),
            why: None,
            cure: None,
            fix: None,
        }
    }

    pub(super) fn ok(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Status::Ok, id, what)
    }

    pub(super) fn warn(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Status::Warn, id, what)
    }

    pub(super) fn missing(id: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Status::Missing, id, what)
    }

    #[must_use]
    pub(super) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    #[must_use]
    pub(super) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    #[must_use]
    pub(super) fn fix(mut self, fix: Option<Fix>) -> Self {
        self.fix = fix;
        self
    }
}
