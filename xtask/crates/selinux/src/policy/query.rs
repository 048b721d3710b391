//! Is it allowed, and by which rule; if not, why not.
//! As `context_struct_compute_av` of the kernel decides.

use super::bits::Bits;
use super::constraint::{Constraint, Level, Range, Subject};
use super::{Effect, Policy, Rule};
use crate::context::Context;

/// Types that limit each other, at most this deep (`POLICYDB_BOUNDS_MAXDEPTH`).
const DEEPEST: usize = 4;

/// The answer for one permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// The policy does not enforce anything on the source type.
    pub is_permissive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allowed(Vec<AppliedRule>),
    Denied(Denied),
}

impl Verdict {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// A rule that allows a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedRule {
    /// A type or an attribute.
    pub source: String,
    pub target: String,
    /// The booleans that switch it on.
    pub condition: Option<String>,
}

/// Why a permission is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The policy does not know a type.
    UnknownType(String),
    UnknownClass(String),
    UnknownPermission {
        class: String,
        permission: String,
    },
    /// A part of a context is unknown, or the parts do not belong together.
    InvalidContext {
        context: String,
        why: &'static str,
    },
    /// No rule.
    NoRule,
    /// A rule whose condition is not met.
    Condition {
        rule: AppliedRule,
    },
    /// A rule, but not for this command of `ioctl`.
    ExtendedPermission {
        command: u16,
    },
    /// A rule, and a constraint on levels and categories.
    Levels,
    /// A rule, and another constraint.
    Constraint,
    /// A rule, and the roles may not follow each other.
    Role {
        from: String,
        to: String,
    },
    /// A rule that the type that limits the source does not have.
    Bounds {
        by: String,
    },
}

impl Denied {
    /// A word for JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownType(_) => "unknown-type",
            Self::UnknownClass(_) => "unknown-class",
            Self::UnknownPermission { .. } => "unknown-permission",
            Self::InvalidContext { .. } => "invalid-context",
            Self::NoRule => "no-rule",
            Self::Condition { .. } => "condition",
            Self::ExtendedPermission { .. } => "extended-permission",
            Self::Levels => "levels",
            Self::Constraint => "constraint",
            Self::Role { .. } => "role",
            Self::Bounds { .. } => "bounds",
        }
    }

    /// A sentence part.
    pub fn text(&self) -> String {
        match self {
            Self::UnknownType(name) => format!("the policy has no type `{name}`"),
            Self::UnknownClass(name) => format!("the policy has no class `{name}`"),
            Self::UnknownPermission { class, permission } => {
                format!("the policy has no permission `{permission}` of class `{class}`")
            }
            Self::InvalidContext { context, why } => format!("invalid context `{context}`: {why}"),
            Self::NoRule => "no rule allows it".to_owned(),
            Self::Condition { rule } => format!(
                "the rule for `{}` and `{}` is off: it needs {}",
                rule.source,
                rule.target,
                rule.condition.as_deref().unwrap_or_default()
            ),
            Self::ExtendedPermission { command } => {
                format!("`ioctl` is allowed, but not its command {command:#06x}")
            }
            Self::Levels => {
                "a rule allows it, but a constraint on levels and categories denies it".to_owned()
            }
            Self::Constraint => "a rule allows it, but a constraint denies it".to_owned(),
            Self::Role { from, to } => {
                format!("a rule allows it, but role `{from}` may not become `{to}`")
            }
            Self::Bounds { by } => {
                format!("a rule allows it, but not for the type `{by}` that limits the source")
            }
        }
    }
}

impl Policy {
    /// Asks for one permission; `command` is that of an `ioctl`.
    pub fn ask(
        &self,
        source: &str,
        target: &str,
        class: &str,
        permission: &str,
        command: Option<u16>,
    ) -> Answer {
        match self.decide(source, target, class, permission, command) {
            Ok((rules, is_permissive)) => Answer {
                verdict: Verdict::Allowed(rules),
                is_permissive,
            },
            Err(denied) => Answer {
                is_permissive: self.is_permissive(source),
                verdict: Verdict::Denied(denied),
            },
        }
    }

    fn is_permissive(&self, source: &str) -> bool {
        let kind = Context::parse(source).map(|context| context.kind);
        let value = kind.and_then(|kind| self.type_by_name.get(kind));
        // Bits of types count from 1 here.
        value.is_some_and(|value| self.permissive.has(*value))
    }

    fn decide(
        &self,
        source: &str,
        target: &str,
        class: &str,
        permission: &str,
        command: Option<u16>,
    ) -> Result<(Vec<AppliedRule>, bool), Denied> {
        let from = self.subject(source)?;
        let to = self.subject(target)?;
        let class_value = self.class_by_name.get(class);
        let class_value = *class_value.ok_or_else(|| Denied::UnknownClass(class.to_owned()))?;
        let known = &self.classes[class_value as usize - 1];
        let bit = known.permissions.iter().position(|name| name == permission);
        let bit = bit.filter(|_| !permission.is_empty());
        let bit = bit.ok_or_else(|| Denied::UnknownPermission {
            class: class.to_owned(),
            permission: permission.to_owned(),
        })?;
        let mask = 1u32 << bit;
        let rules = self.allowing(from.kind, to.kind, class_value, mask);
        let (on, off): (Vec<&Rule>, Vec<&Rule>) =
            rules.into_iter().partition(|rule| self.is_on(rule));
        if on.is_empty() {
            return Err(match off.first() {
                Some(rule) => Denied::Condition {
                    rule: self.applied(rule),
                },
                None => Denied::NoRule,
            });
        }
        if let Some(command) = command.filter(|_| permission == "ioctl")
            && !self.allows_command(from.kind, to.kind, class_value, command)
        {
            return Err(Denied::ExtendedPermission { command });
        }
        if let Some(constraint) = self.broken_constraint(&from, &to, class_value, mask) {
            return Err(if constraint.is_mls() {
                Denied::Levels
            } else {
                Denied::Constraint
            });
        }
        let is_transition =
            class == "process" && matches!(permission, "transition" | "dyntransition");
        if is_transition
            && from.role != to.role
            && !self.role_allows.contains(&(from.role, to.role))
        {
            let name = |role: u32| {
                let role = self.roles.get((role as usize).wrapping_sub(1));
                role.map_or(String::new(), |role| role.name.clone())
            };
            return Err(Denied::Role {
                from: name(from.role),
                to: name(to.role),
            });
        }
        if let Some(by) = self.bound(&from, &to, class_value, mask, 0) {
            return Err(Denied::Bounds { by });
        }
        let applied = on.into_iter().map(|rule| self.applied(rule)).collect();
        Ok((applied, self.is_permissive(source)))
    }

    fn broken_constraint(
        &self,
        source: &Subject,
        target: &Subject,
        class: u32,
        mask: u32,
    ) -> Option<&Constraint> {
        let dominates = |a: u32, b: u32| {
            let role = self.roles.get((a as usize).wrapping_sub(1));
            role.is_some_and(|role| role.dominates.has(b.wrapping_sub(1)))
        };
        let class = self.classes.get((class as usize).wrapping_sub(1))?;
        class.constraints.iter().find(|constraint| {
            constraint.permissions & mask != 0 && !constraint.is_met(source, target, &dominates)
        })
    }

    /// The name of the type that limits the source and is not allowed itself.
    fn bound(
        &self,
        source: &Subject,
        target: &Subject,
        class: u32,
        mask: u32,
        depth: usize,
    ) -> Option<String> {
        let bounds = self.kind(source.kind).bounds;
        if bounds == 0 || depth >= DEEPEST {
            return None;
        }
        let source = Subject {
            kind: bounds,
            ..source.clone()
        };
        let mut target = target.clone();
        target.kind = match self.kind(target.kind).bounds {
            0 => target.kind,
            bounds => bounds,
        };
        let rules = self.allowing(source.kind, target.kind, class, mask);
        // Constraints limit it, too.
        if !rules.iter().any(|rule| self.is_on(rule))
            || self
                .broken_constraint(&source, &target, class, mask)
                .is_some()
        {
            return Some(self.kind(bounds).name.clone());
        }
        self.bound(&source, &target, class, mask, depth + 1)
    }

    /// The rules that allow it, also those whose condition is not met.
    fn allowing(&self, source: u32, target: u32, class: u32, mask: u32) -> Vec<&Rule> {
        let mut found = Vec::new();
        self.each_rule(source, target, class, &mut |rule| {
            if matches!(rule.effect, Effect::Allow(bits) if bits & mask != 0) {
                found.push(rule);
            }
        });
        found
    }

    fn each_rule<'a>(
        &'a self,
        source: u32,
        target: u32,
        class: u32,
        each: &mut dyn FnMut(&'a Rule),
    ) {
        let none = Bits::default();
        let of = |value: u32| {
            self.attributes
                .get((value as usize).wrapping_sub(1))
                .unwrap_or(&none)
                .iter()
        };
        let narrow = |value: u32| u16::try_from(value).unwrap_or(0);
        for from in of(source) {
            for to in of(target) {
                let key = (narrow(from + 1), narrow(to + 1), narrow(class));
                for rule in self.rules_for(key) {
                    each(rule);
                }
            }
        }
    }

    /// Commands are only limited if a rule names some.
    fn allows_command(&self, source: u32, target: u32, class: u32, command: u16) -> bool {
        let [function, driver_of_command] = command.to_le_bytes();
        let (mut is_limited, mut is_allowed) = (false, false);
        self.each_rule(source, target, class, &mut |rule| {
            let Effect::AllowExtended { kind, driver, bits } = &rule.effect else {
                return;
            };
            if !self.is_on(rule) {
                return;
            }
            let has = |bit: u8| bits[usize::from(bit >> 5)] >> (bit & 31) & 1 == 1;
            match kind {
                1 => {
                    is_limited = true;
                    is_allowed |= *driver == driver_of_command && has(function);
                }
                2 => {
                    is_limited = true;
                    is_allowed |= has(driver_of_command);
                }
                _ => {}
            }
        });
        !is_limited || is_allowed
    }

    pub(super) fn is_on(&self, rule: &Rule) -> bool {
        let Some((number, branch)) = rule.condition else {
            return true;
        };
        let conditional = self.conditionals.get(number as usize);
        conditional.and_then(|it| it.evaluate(&self.booleans)) == Some(branch)
    }

    fn applied(&self, rule: &Rule) -> AppliedRule {
        let name = |value: u16| self.kind(u32::from(value)).name.clone();
        let condition = rule.condition.and_then(|(number, branch)| {
            let conditional = self.conditionals.get(number as usize)?;
            let booleans = conditional.expression.iter().filter(|term| term.0 == 1);
            let names: Vec<String> = booleans
                .filter_map(|term| self.booleans.get((term.1 as usize).wrapping_sub(1)))
                .map(|boolean| format!("`{}`", boolean.name))
                .collect();
            let branch = if branch { "on" } else { "off" };
            Some(format!("{} {branch}", names.join(", ")))
        });
        AppliedRule {
            source: name(rule.key.0),
            target: name(rule.key.1),
            condition,
        }
    }

    fn subject(&self, text: &str) -> Result<Subject, Denied> {
        let invalid = |why: &'static str| Denied::InvalidContext {
            context: text.to_owned(),
            why,
        };
        let context =
            Context::parse(text).ok_or_else(|| invalid("it is not user:role:type:level"))?;
        let kind = self.type_by_name.get(context.kind).copied();
        let kind = kind.filter(|kind| !self.kind(*kind).is_attribute);
        let kind = kind.ok_or_else(|| Denied::UnknownType(context.kind.to_owned()))?;
        let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
        let user = self.users.iter().position(|user| user.name == context.user);
        let user = user.ok_or_else(|| invalid("the policy does not have the user"))?;
        let role = self.roles.iter().position(|role| role.name == context.role);
        let role = role.ok_or_else(|| invalid("the policy does not have the role"))?;
        let range = if self.has_mls {
            self.range(context.range).map_err(invalid)?
        } else {
            Range::default()
        };
        let (user_of, role_value) = (&self.users[user], number(role));
        // Objects have a role that every user and every type may have.
        if context.role != "object_r" {
            if !user_of.roles.has(role_value - 1) {
                return Err(invalid("the user may not have the role"));
            }
            if !self.roles[role].types.has(kind - 1) {
                return Err(invalid("the role may not have the type"));
            }
            if self.has_mls && !user_of.range.contains(&range) {
                return Err(invalid("the user may not have the range"));
            }
        }
        Ok(Subject {
            user: number(user),
            role: role_value,
            kind,
            range,
        })
    }

    fn range(&self, text: &str) -> Result<Range, &'static str> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let range = Range {
            low: self.level(low)?,
            high: self.level(high)?,
        };
        range
            .is_valid()
            .then_some(range)
            .ok_or("its low level is above its high level")
    }

    /// As contexts are written, with one category after another.
    pub(super) fn range_text(&self, range: &Range) -> String {
        let level = |level: &Level| {
            let by_value = |names: &rustc_hash::FxHashMap<String, u32>, value: u32| {
                let mut names: Vec<&String> = names
                    .iter()
                    .filter(|it| *it.1 == value)
                    .map(|it| it.0)
                    .collect();
                names.sort();
                names.first().map_or(String::new(), |name| (*name).clone())
            };
            let sensitivity = by_value(&self.sensitivities, level.sensitivity);
            let categories = level
                .categories
                .iter()
                .map(|bit| by_value(&self.categories, bit + 1));
            let categories = categories.collect::<Vec<_>>().join(",");
            if categories.is_empty() {
                sensitivity
            } else {
                format!("{sensitivity}:{categories}")
            }
        };
        if range.low == range.high {
            return level(&range.low);
        }
        format!("{}-{}", level(&range.low), level(&range.high))
    }

    fn level(&self, text: &str) -> Result<Level, &'static str> {
        let (sensitivity, categories) = text.split_once(':').unwrap_or((text, ""));
        let sensitivity = self.sensitivities.get(sensitivity);
        let sensitivity = *sensitivity.ok_or("the policy does not have the sensitivity")?;
        let mut bits = Bits::default();
        let category = |name: &str| {
            let value = self.categories.get(name).copied();
            value
                .filter(|value| *value > 0)
                .ok_or("the policy does not have the category")
        };
        for part in categories.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('.').unwrap_or((part, part));
            let (first, last) = (category(first)?, category(last)?);
            // Values are at most 16 bits wide.
            for value in first..=last.min(1 << 16) {
                bits.set(value - 1);
            }
        }
        Ok(Level {
            sensitivity,
            categories: bits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compilers refuse a type that may more than the one that limits it, but a kernel
    /// can be given such a policy.
    #[test]
    fn a_type_may_not_more_than_the_type_that_limits_it() {
        let bytes = include_bytes!("../../../../testdata/selinux/policy.33");
        let mut policy = Policy::read(bytes).unwrap();
        let (limited, by) = (policy.type_by_name["pod_t"], policy.type_by_name["init_t"]);
        policy.types[limited as usize - 1].bounds = by;
        let ask = |permission| {
            let from = "system_u:system_r:pod_t:s0";
            let answer = policy.ask(
                from,
                "system_u:object_r:tmpfs_t:s0",
                "file",
                permission,
                None,
            );
            answer.verdict
        };
        assert!(ask("read").is_allowed());
        let by = "init_t".to_owned();
        assert_eq!(ask("open"), Verdict::Denied(Denied::Bounds { by }));
    }
}
