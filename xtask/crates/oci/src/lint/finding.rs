//! A finding, and the report of one image.

use crate::lint::rule::{RULES, Rule};

/// How bad it is. Errors make the command fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Error,
    Warning,
    /// Something to know, or something that was not checked.
    Note,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub level: Level,
    /// Number of the rule: 4 of `L4`.
    pub number: u8,
    /// In the image, if it is about one file.
    pub path: Option<String>,
    pub what: String,
}

impl Finding {
    pub fn rule(&self) -> Option<&'static Rule> {
        RULES.iter().find(|rule| rule.number == self.number)
    }
}

/// One image for one platform.
#[derive(Debug, Clone)]
pub struct Report {
    pub name: String,
    pub platform: String,
    /// Name and version of the manifest.
    pub extension: Option<String>,
    pub modules: usize,
    pub findings: Vec<Finding>,
}

/// Collects findings of one level and rule in few words.
pub(crate) trait Findings {
    fn add(&mut self, level: Level, number: u8, path: Option<&str>, what: impl Into<String>);

    fn error(&mut self, number: u8, path: Option<&str>, what: impl Into<String>) {
        self.add(Level::Error, number, path, what);
    }

    fn warning(&mut self, number: u8, path: Option<&str>, what: impl Into<String>) {
        self.add(Level::Warning, number, path, what);
    }

    fn note(&mut self, number: u8, path: Option<&str>, what: impl Into<String>) {
        self.add(Level::Note, number, path, what);
    }
}

impl Findings for Vec<Finding> {
    fn add(&mut self, level: Level, number: u8, path: Option<&str>, what: impl Into<String>) {
        self.push(Finding {
            level,
            number,
            path: path.map(str::to_owned),
            what: what.into(),
        });
    }
}
