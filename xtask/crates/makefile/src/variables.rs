//! The variables of one make and their origins.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Place;
use crate::limits::ENTRY;

/// Where the value of a variable came from, weakest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// make itself, such as `MAKE`.
    Default,
    Environment,
    File(Place),
    /// Given as `NAME=VALUE`: by the user, or by the recipe line at a place.
    CommandLine(Option<Place>),
    /// `$@` and similar ones.
    Automatic,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) value: String,
    /// Expanded when used, not when set.
    pub(crate) recursive: bool,
    pub(crate) origin: Origin,
    pub(crate) export: bool,
}

/// All variables by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    by_name: BTreeMap<String, Variable>,
    /// Names exported before they are set.
    exported: BTreeSet<String>,
    bytes: usize,
}

impl Variables {
    pub(crate) fn get(&self, name: &str) -> Option<&Variable> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.by_name
            .iter()
            .map(|(name, variable)| (name.as_str(), variable))
    }

    pub(crate) fn set_environment(&mut self, name: &str, value: &str) {
        let variable = Variable {
            value: value.to_owned(),
            recursive: true,
            origin: Origin::Environment,
            export: true,
        };
        self.insert(name, variable);
    }

    /// Bytes of all variables.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, name: &str, variable: Variable) {
        let size = |variable: &Variable| name.len() + variable.value.len() + 2 * ENTRY;
        self.bytes += size(&variable);
        if let Some(old) = self.by_name.insert(name.to_owned(), variable) {
            self.bytes -= size(&old);
        }
    }

    /// Sets a variable, unless a stronger origin has set it: the command line
    /// before the file, the file before the environment.
    pub(crate) fn set(&mut self, name: &str, value: String, recursive: bool, origin: Origin) {
        let old = self.by_name.get(name);
        let is_file = matches!(origin, Origin::File(_));
        if is_file && old.is_some_and(|old| matches!(old.origin, Origin::CommandLine(_))) {
            return;
        }
        let export = old.map_or_else(|| self.exported.contains(name), |old| old.export);
        let variable = Variable {
            value,
            recursive,
            origin,
            export,
        };
        self.insert(name, variable);
    }

    pub(crate) fn export(&mut self, name: &str) {
        match self.by_name.get_mut(name) {
            Some(variable) => variable.export = true,
            None if self.exported.insert(name.to_owned()) => self.bytes += name.len() + ENTRY,
            None => {}
        }
    }
}

/// Whether a shell can have a variable of that name; make exports no other.
pub(crate) fn is_exportable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
