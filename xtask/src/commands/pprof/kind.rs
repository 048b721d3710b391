//! Kinds of profiles, by the names that users and Go's handlers give them.

use std::fmt;

/// A kind of profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Heap,
    Allocs,
    Cpu,
    Goroutine,
    Block,
    Mutex,
    ThreadCreate,
    Trace,
    /// A profile that only this service has, by the name in its list.
    Other(String),
}

/// Names by kind. The handler of CPU profiles is older than the word `cpu`.
const NAMES: [(&str, Kind); 9] = [
    ("heap", Kind::Heap),
    ("allocs", Kind::Allocs),
    ("cpu", Kind::Cpu),
    ("profile", Kind::Cpu),
    ("goroutine", Kind::Goroutine),
    ("block", Kind::Block),
    ("mutex", Kind::Mutex),
    ("threadcreate", Kind::ThreadCreate),
    ("trace", Kind::Trace),
];

/// The names that every Go service knows.
pub(super) const KNOWN: [&str; NAMES.len()] = {
    let mut names = [""; NAMES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = NAMES[at].0;
        at += 1;
    }
    names
};

impl Kind {
    pub(super) fn new(name: &str) -> Self {
        let known = NAMES.into_iter().find(|(known, _)| *known == name);
        known.map_or_else(|| Self::Other(name.to_owned()), |(_, kind)| kind)
    }

    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    pub(super) fn name(&self) -> &str {
        if let Self::Other(name) = self {
            return name;
        }
        let known = NAMES.iter().find(|(_, kind)| kind == self);
        known.map_or("", |(name, _)| name)
    }

    /// The last part of the path below `/debug/pprof/`.
    pub(super) fn handler(&self) -> &str {
        match self {
            Self::Cpu => "profile",
            _ => self.name(),
        }
    }

    /// Whether the service records for some seconds before it answers.
    pub(super) fn is_recorded(&self) -> bool {
        matches!(self, Self::Cpu | Self::Trace)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_name() {
        for (name, kind) in NAMES {
            assert_eq!(Kind::new(name), kind);
            assert_eq!(Kind::new(kind.name()), kind);
        }
        assert_eq!(Kind::new("profile").name(), "cpu");
        assert_eq!(Kind::Cpu.handler(), "profile");
        assert_eq!(Kind::new("x/y").handler(), "x/y");
        assert_eq!(KNOWN[0], "heap");
    }
}
