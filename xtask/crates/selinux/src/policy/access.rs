//! What a policy allows, type by type: attributes are expanded, conditions are as they
//! are set, and constraints are left out.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{Effect, Policy, PolicyError, Rule};

/// Maximum number of source, target and class that attributes expand to; Talos' policies
/// have some tens of thousands.
const TRIPLES: usize = 1 << 20;
/// Maximum number of pairs that are looked at: rules may repeat each other.
const PAIRS: usize = 1 << 24;

/// Source, target and class by value.
pub(super) type Triple = (u16, u16, u16);

impl Policy {
    /// The types of an attribute, or the type itself; by value.
    fn members(&self) -> FxHashMap<u16, Vec<u16>> {
        let mut members: FxHashMap<u16, Vec<u16>> = FxHashMap::default();
        for (at, bits) in self.attributes.iter().enumerate() {
            if self.types.get(at).is_none_or(|it| it.is_attribute) {
                continue;
            }
            let Ok(value) = u16::try_from(at + 1) else {
                continue;
            };
            for attribute in bits.iter() {
                if let Ok(attribute) = u16::try_from(attribute + 1) {
                    members.entry(attribute).or_default().push(value);
                }
            }
        }
        members
    }

    /// Permissions as bits, by source, target and class.
    ///
    /// # Errors
    /// If attributes expand to more than a policy in use has.
    pub(super) fn access(&self) -> Result<FxHashMap<Triple, u32>, PolicyError> {
        let members = self.members();
        let none = Vec::new();
        let mut access = FxHashMap::default();
        let mut pairs = 0_usize;
        for rule in &self.rules {
            let Effect::Allow(bits) = rule.effect else {
                continue;
            };
            if !self.is_on(rule) {
                continue;
            }
            let (source, target, class) = rule.key;
            let sources = members.get(&source).unwrap_or(&none);
            let targets = members.get(&target).unwrap_or(&none);
            pairs = pairs.saturating_add(sources.len().saturating_mul(targets.len()));
            for from in sources {
                if pairs > PAIRS || access.len() > TRIPLES {
                    return Err(PolicyError::TooLarge {
                        what: "what its attributes expand to",
                        limit: TRIPLES,
                    });
                }
                for to in targets {
                    *access.entry((*from, *to, class)).or_insert(0) |= bits;
                }
            }
        }
        Ok(access)
    }

    /// Calls for each allowed permission: source, target, class, permission.
    ///
    /// # Errors
    /// If there are more than a policy in use has.
    pub fn each_access(
        &self,
        each: &mut dyn FnMut(&str, &str, &str, &str),
    ) -> Result<(), PolicyError> {
        for ((source, target, class), bits) in self.access()? {
            let (source, target) = (self.kind(source.into()), self.kind(target.into()));
            let Some(class) = self.classes.get(usize::from(class).wrapping_sub(1)) else {
                continue;
            };
            for (bit, name) in class.permissions.iter().enumerate() {
                if bits >> bit & 1 == 1 {
                    each(&source.name, &target.name, &class.name, name);
                }
            }
        }
        Ok(())
    }

    /// Attributes with the names of their types.
    pub(super) fn attribute_members(&self) -> Vec<(String, BTreeSet<String>)> {
        let members = self.members();
        let attributes = self.types.iter().enumerate();
        let attributes = attributes.filter(|(_, it)| it.is_attribute && !it.name.is_empty());
        attributes
            .filter_map(|(at, it)| {
                let value = u16::try_from(at + 1).ok()?;
                let types = members.get(&value)?.iter();
                let names = types.map(|kind| self.kind(u32::from(*kind)).name.clone());
                Some((it.name.clone(), names.collect()))
            })
            .collect()
    }

    /// Rules that decide which label something new gets, one line each.
    pub(super) fn transitions(&self) -> BTreeSet<String> {
        let name = |value: u32| self.kind(value).name.as_str();
        let class_name = |value: u32| {
            let class = self.classes.get((value as usize).wrapping_sub(1));
            class.map_or("", |class| class.name.as_str())
        };
        let of_rule = |rule: &Rule| {
            let Effect::Transition { kind, value } = rule.effect else {
                return None;
            };
            let kind = match kind {
                0x10 => "typetransition",
                0x20 => "typemember",
                _ => "typechange",
            };
            let (source, target, class) = rule.key;
            Some(format!(
                "{kind} {} {} {} {}",
                name(source.into()),
                name(target.into()),
                class_name(class.into()),
                name(value)
            ))
        };
        let by_type = self.rules.iter().filter_map(of_rule);
        let by_name = self.file_transitions.iter().flat_map(|it| {
            it.sources.iter().map(move |source| {
                format!(
                    "typetransition {} {} {} \"{}\" {}",
                    name(source + 1),
                    name(it.target),
                    class_name(it.class),
                    it.name,
                    name(it.result)
                )
            })
        });
        let ranges = self.range_transitions.iter().map(|it| {
            format!(
                "rangetransition {} {} {} {}",
                name(it.source),
                name(it.target),
                class_name(it.class),
                self.range_text(&it.range)
            )
        });
        by_type.chain(by_name).chain(ranges).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::Bits;
    use super::super::{Class, Type};
    use super::*;

    /// One attribute of all types, and rules from it to itself.
    fn policy(types: u16, rules: usize) -> Policy {
        let kind = |is_attribute| Type {
            name: "a".to_owned(),
            is_attribute,
            bounds: 0,
        };
        let mut of_all = Bits::default();
        of_all.set(0);
        let rule = Rule {
            key: (1, 1, 1),
            effect: Effect::Allow(1),
            condition: None,
        };
        Policy {
            types: (0..=types).map(|at| kind(at == 0)).collect(),
            attributes: (0..=types).map(|_| of_all.clone()).collect(),
            classes: vec![Class::default()],
            rules: vec![rule; rules],
            ..Policy::default()
        }
    }

    /// A small file may say that everything is allowed to everything.
    #[test]
    fn what_attributes_expand_to_is_limited() {
        let too_large =
            |policy: &Policy| matches!(policy.access(), Err(PolicyError::TooLarge { .. }));
        assert!(!too_large(&policy(100, 10)));
        assert!(too_large(&policy(u16::MAX - 1, 1)));
        // The same pairs again and again.
        assert!(too_large(&policy(1000, 20)));
        assert!(too_large(&policy(2000, 1)));
        let (small, large) = (policy(10, 1), policy(u16::MAX - 1, 1));
        assert!(small.difference(&large).is_err());
        assert!(large.difference(&small).is_err());
    }
}
