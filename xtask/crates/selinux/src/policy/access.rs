//! What a policy allows, type by type: attributes are expanded, conditions are as they
//! are set, and constraints are left out.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{Effect, Policy, Rule};

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
    pub(super) fn access(&self) -> FxHashMap<Triple, u32> {
        let members = self.members();
        let none = Vec::new();
        let mut access = FxHashMap::default();
        for rule in &self.rules {
            let Effect::Allow(bits) = rule.effect else {
                continue;
            };
            if !self.is_on(rule) {
                continue;
            }
            let (source, target, class) = rule.key;
            for from in members.get(&source).unwrap_or(&none) {
                for to in members.get(&target).unwrap_or(&none) {
                    *access.entry((*from, *to, class)).or_insert(0) |= bits;
                }
            }
        }
        access
    }

    /// Calls for each allowed permission: source, target, class, permission.
    pub fn each_access(&self, each: &mut dyn FnMut(&str, &str, &str, &str)) {
        for ((source, target, class), bits) in self.access() {
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
