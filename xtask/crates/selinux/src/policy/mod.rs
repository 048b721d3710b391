//! Binary policies as the kernel loads them, and questions to them. No system
//! library is used, so that it works on every host.

mod access;
mod bits;
mod constraint;
mod decode;
mod diff;
mod query;

use rustc_hash::{FxHashMap, FxHashSet};

pub use diff::{Change, Difference, Names};
pub use query::{Answer, AppliedRule, Denied, Verdict};

use bits::Bits;
use constraint::{Constraint, Range};

/// Why a policy cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("it is not a binary SELinux policy")]
    NotPolicy,
    #[error(
        "its numbers are in the byte order of another machine: the kernel reads little-endian policies only"
    )]
    ByteOrder,
    #[error("it is a policy module, not a policy that a kernel loads")]
    Module,
    #[error("it is a policy for Xen")]
    Xen,
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge { what: &'static str, limit: usize },
    #[error("its version {version} is not one of 30 to 35")]
    Version { version: u32 },
    #[error("it is truncated: it ends at byte {at}, within a table")]
    Truncated { at: usize },
    #[error("invalid {what} at byte {at}")]
    Invalid { at: usize, what: &'static str },
}

/// What the kernel does about classes and permissions that the policy does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownClasses {
    Allow,
    #[default]
    Deny,
    /// It does not load the policy.
    Reject,
}

impl UnknownClasses {
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Reject => "reject",
        }
    }
}

/// A policy in memory.
#[derive(Debug, Default)]
pub struct Policy {
    version: u32,
    unknown: UnknownClasses,
    has_mls: bool,
    permissive: Bits,
    /// By value minus 1, as all lists.
    classes: Vec<Class>,
    types: Vec<Type>,
    type_count: usize,
    aliases: FxHashMap<String, u32>,
    roles: Vec<Role>,
    users: Vec<User>,
    booleans: Vec<Boolean>,
    sensitivities: FxHashMap<String, u32>,
    categories: FxHashMap<String, u32>,
    /// Sorted by key.
    rules: Vec<Rule>,
    conditionals: Vec<Conditional>,
    role_allows: FxHashSet<(u32, u32)>,
    file_transitions: Vec<FileTransition>,
    range_transitions: Vec<RangeTransition>,
    /// The attributes of each type, and itself; by value minus 1.
    attributes: Vec<Bits>,
    class_by_name: FxHashMap<String, u32>,
    type_by_name: FxHashMap<String, u32>,
}

#[derive(Debug, Clone, Default)]
struct Class {
    name: String,
    permissions: Vec<String>,
    constraints: Vec<Constraint>,
}

#[derive(Debug, Clone, Default)]
struct Type {
    name: String,
    is_attribute: bool,
    /// The type that limits it; 0 if none does.
    bounds: u32,
}

#[derive(Debug, Clone, Default)]
struct Role {
    name: String,
    dominates: Bits,
    types: Bits,
}

#[derive(Debug, Clone, Default)]
struct User {
    name: String,
    roles: Bits,
    range: Range,
}

#[derive(Debug, Clone, Default)]
struct Boolean {
    name: String,
    is_on: bool,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Source, target and class.
    key: (u16, u16, u16),
    effect: Effect,
    /// The conditional, and in which branch of it.
    condition: Option<(u32, bool)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    Allow(u32),
    Audit(u32),
    AllowExtended {
        kind: u8,
        driver: u8,
        bits: [u32; 8],
    },
    Transition {
        kind: u16,
        value: u32,
    },
    Other,
}

/// Terms in postfix order: kind and number of the boolean.
#[derive(Debug, Clone)]
struct Conditional {
    expression: Vec<(u32, u32)>,
}

#[derive(Debug, Clone)]
struct FileTransition {
    name: String,
    sources: Bits,
    target: u32,
    class: u32,
    result: u32,
}

#[derive(Debug, Clone)]
struct RangeTransition {
    source: u32,
    target: u32,
    class: u32,
    range: Range,
}

impl Conditional {
    /// `None` if its terms do not leave exactly one value.
    fn evaluate(&self, booleans: &[Boolean]) -> Option<bool> {
        let mut stack: Vec<bool> = Vec::new();
        for (kind, boolean) in &self.expression {
            if *kind == 1 {
                let boolean = booleans.get((*boolean as usize).wrapping_sub(1))?;
                stack.push(boolean.is_on);
                continue;
            }
            let b = stack.pop()?;
            if *kind == 2 {
                stack.push(!b);
                continue;
            }
            let a = stack.pop()?;
            stack.push(match kind {
                3 => a || b,
                4 => a && b,
                5 | 7 => a != b,
                6 => a == b,
                _ => return None,
            });
        }
        let value = stack.pop()?;
        stack.is_empty().then_some(value)
    }
}

impl Policy {
    /// Reads a binary policy.
    ///
    /// # Errors
    /// If it is not a policy of these versions, or is cut.
    pub fn read(bytes: &[u8]) -> Result<Self, PolicyError> {
        decode::decode(bytes)
    }

    fn index(&mut self) {
        let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        let classes = self.classes.iter().enumerate();
        self.class_by_name = classes
            .map(|(at, class)| (class.name.clone(), number(at)))
            .collect();
        let types = self.types.iter().enumerate();
        self.type_by_name = types
            .filter(|(_, it)| !it.name.is_empty())
            .map(|(at, it)| (it.name.clone(), number(at)))
            .collect();
        let aliases = self.aliases.iter();
        let aliases: Vec<(String, u32)> = aliases
            .map(|(name, value)| (name.clone(), *value))
            .collect();
        self.type_by_name.extend(aliases);
    }

    /// Version of the format.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn unknown_classes(&self) -> UnknownClasses {
        self.unknown
    }

    pub fn has_type(&self, name: &str) -> bool {
        self.type_by_name
            .get(name)
            .is_some_and(|value| !self.kind(*value).is_attribute)
    }

    pub fn has_class(&self, name: &str) -> bool {
        self.class_by_name.contains_key(name)
    }

    /// Names of all types, without attributes.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        let types = self.types.iter();
        types
            .filter(|it| !it.is_attribute && !it.name.is_empty())
            .map(|it| it.name.as_str())
    }

    /// Names of the classes with their permissions.
    pub fn classes(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        let classes = self.classes.iter().filter(|class| !class.name.is_empty());
        classes.map(|class| {
            let names = class.permissions.iter().filter(|name| !name.is_empty());
            (class.name.as_str(), names.map(String::as_str))
        })
    }

    fn kind(&self, value: u32) -> &Type {
        const NONE: &Type = &Type {
            name: String::new(),
            is_attribute: false,
            bounds: 0,
        };
        self.types
            .get((value as usize).wrapping_sub(1))
            .unwrap_or(NONE)
    }

    fn rules_for(&self, key: (u16, u16, u16)) -> &[Rule] {
        let start = self.rules.partition_point(|rule| rule.key < key);
        let rest = &self.rules[start..];
        let end = rest.partition_point(|rule| rule.key == key);
        &rest[..end]
    }
}
