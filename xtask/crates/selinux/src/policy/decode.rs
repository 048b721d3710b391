//! The kernel's binary format, versions 30 to 35 (`security/selinux/ss/policydb.c`).

use rustc_hash::FxHashMap;

use super::bits::Bits;
use super::constraint::{Constraint, Level, Range, Term, Validity};
use super::{
    Boolean, Class, Conditional, Effect, FileTransition, Policy, PolicyError, RangeTransition,
    Role, Rule, Type, UnknownClasses, User,
};

const MAGIC: u32 = 0xf97c_ff8c;
const MODULE_MAGIC: u32 = 0xf97c_ff8d;
/// Of the package that contains a module.
const PACKAGE_MAGIC: u32 = 0xf97c_ff8f;
const TARGET: &[u8] = b"SE Linux";
const XEN: &[u8] = b"XenFlask";

/// Oldest and newest version.
pub(super) const VERSIONS: std::ops::RangeInclusive<u32> = 30..=35;
/// File name transitions are grouped from this version on.
const GROUPED_TRANSITIONS: u32 = 33;
/// Types whose denials are never written.
const NEVER_AUDIT: u32 = 35;

type Result<T> = std::result::Result<T, PolicyError>;

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(PolicyError::Truncated {
            at: self.bytes.len(),
        })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number of items that follow, each of at least `size` bytes.
    fn count(&mut self, size: usize) -> Result<usize> {
        let at = self.at;
        let count = self.u32()? as usize;
        let left = self.bytes.len() - self.at;
        if count.checked_mul(size).is_none_or(|bytes| bytes > left) {
            // A number that is out of any range is an error of its own.
            return Err(if count > 1 << 24 {
                PolicyError::Invalid {
                    at,
                    what: "number of entries",
                }
            } else {
                PolicyError::Truncated {
                    at: self.bytes.len(),
                }
            });
        }
        Ok(count)
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let at = self.at;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|_| PolicyError::Invalid { at, what: "name" })
    }

    fn bits(&mut self) -> Result<Bits> {
        let at = self.at;
        let unit = self.u32()?;
        let _highest = self.u32()?;
        let count = self.count(12)?;
        if unit != 64 {
            return Err(PolicyError::Invalid {
                at,
                what: "bit set",
            });
        }
        let mut words = Vec::with_capacity(count);
        let mut last = None;
        for _ in 0..count {
            let (start, word) = (self.u32()?, self.u64()?);
            let is_after = last.is_none_or(|last| start > last);
            if !is_after || start % 64 != 0 || start > u32::MAX - 64 {
                return Err(PolicyError::Invalid {
                    at,
                    what: "bit set",
                });
            }
            last = Some(start);
            words.push((start, word));
        }
        Ok(Bits::from_words(words))
    }

    fn range(&mut self) -> Result<Range> {
        let at = self.at;
        let items = self.u32()?;
        if !(1..=2).contains(&items) {
            return Err(PolicyError::Invalid {
                at,
                what: "MLS range",
            });
        }
        let low = self.u32()?;
        let high = if items == 2 { self.u32()? } else { low };
        let low = Level {
            sensitivity: low,
            categories: self.bits()?,
        };
        let high = if items == 2 {
            Level {
                sensitivity: high,
                categories: self.bits()?,
            }
        } else {
            low.clone()
        };
        Ok(Range { low, high })
    }

    fn context(&mut self) -> Result<()> {
        self.take(12)?;
        self.range().map(drop)
    }
}

/// Symbols by value, from 1.
fn place<T: Clone + Default>(
    list: &mut Vec<T>,
    value: u32,
    item: T,
    at: usize,
    most: usize,
) -> Result<()> {
    let index = (value as usize).wrapping_sub(1);
    if index >= most {
        return Err(PolicyError::Invalid {
            at,
            what: "number of a symbol",
        });
    }
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    list[index] = item;
    Ok(())
}

pub(super) fn decode(bytes: &[u8]) -> Result<Policy> {
    let mut cursor = Cursor { bytes, at: 0 };
    let (version, config, symbols, contexts) = header(&mut cursor)?;
    let _capabilities = cursor.bits()?;
    let permissive = cursor.bits()?;
    if version >= NEVER_AUDIT {
        cursor.bits()?;
    }
    let mut policy = Policy {
        version,
        unknown: match (config & 2 != 0, config & 4 != 0) {
            (true, _) => UnknownClasses::Reject,
            (_, true) => UnknownClasses::Allow,
            _ => UnknownClasses::Deny,
        },
        has_mls: config & 1 != 0,
        permissive,
        ..Policy::default()
    };
    read_symbols(&mut cursor, &mut policy, symbols)?;
    read_rules(&mut cursor, &mut policy)?;
    read_roles(&mut cursor, &mut policy)?;
    read_file_transitions(&mut cursor, &mut policy)?;
    read_contexts(&mut cursor, contexts)?;
    read_generic_file_systems(&mut cursor)?;
    read_range_transitions(&mut cursor, &mut policy)?;
    for _ in 0..policy.type_count {
        let bits = cursor.bits()?;
        policy.attributes.push(bits);
    }
    policy.rules.sort_by_key(|rule| rule.key);
    policy.index();
    Ok(policy)
}

fn header(cursor: &mut Cursor<'_>) -> Result<(u32, u32, u32, u32)> {
    let magic = cursor.u32().map_err(|_| PolicyError::NotPolicy)?;
    if magic.swap_bytes() == MAGIC {
        return Err(PolicyError::ByteOrder);
    }
    if magic == MODULE_MAGIC || magic == PACKAGE_MAGIC {
        return Err(PolicyError::Module);
    }
    if magic != MAGIC {
        return Err(PolicyError::NotPolicy);
    }
    let length = cursor.u32()?;
    let target = cursor.take((length as usize).min(16))?;
    if target == XEN {
        return Err(PolicyError::Xen);
    }
    if target != TARGET {
        return Err(PolicyError::NotPolicy);
    }
    let version = cursor.u32()?;
    if !VERSIONS.contains(&version) {
        return Err(PolicyError::Version { version });
    }
    let at = cursor.at;
    let (config, symbols, contexts) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let expected = if version >= 31 { 9 } else { 7 };
    if symbols != 8 || contexts != expected {
        return Err(PolicyError::Invalid {
            at,
            what: "number of tables",
        });
    }
    Ok((version, config, symbols, contexts))
}

fn read_symbols(cursor: &mut Cursor<'_>, policy: &mut Policy, tables: u32) -> Result<()> {
    let mut commons: FxHashMap<String, Vec<String>> = FxHashMap::default();
    for table in 0..tables {
        let at = cursor.at;
        let highest = cursor.u32()? as usize;
        let count = cursor.count(8)?;
        // Numbers of symbols are at most 16 bits wide in rules.
        if highest > usize::from(u16::MAX) {
            return Err(PolicyError::Invalid {
                at,
                what: "number of symbols",
            });
        }
        if table == 3 {
            policy.type_count = highest;
            policy.types.resize(highest, Type::default());
        }
        for _ in 0..count {
            match table {
                0 => read_common(cursor, &mut commons)?,
                1 => read_class(cursor, policy, &commons, highest)?,
                2 => read_role(cursor, policy, highest)?,
                3 => read_type(cursor, policy, highest)?,
                4 => read_user(cursor, policy, highest)?,
                5 => read_boolean(cursor, policy, highest)?,
                6 => {
                    let (length, _alias) = (cursor.u32()?, cursor.u32()?);
                    let name = cursor.text(length as usize)?;
                    let sensitivity = cursor.u32()?;
                    cursor.bits()?;
                    policy.sensitivities.insert(name, sensitivity);
                }
                _ => {
                    let (length, value) = (cursor.u32()?, cursor.u32()?);
                    let _alias = cursor.u32()?;
                    let name = cursor.text(length as usize)?;
                    policy.categories.insert(name, value);
                }
            }
        }
    }
    Ok(())
}

fn read_permissions(cursor: &mut Cursor<'_>, count: usize, names: &mut Vec<String>) -> Result<()> {
    for _ in 0..count {
        let at = cursor.at;
        let (length, value) = (cursor.u32()?, cursor.u32()?);
        let name = cursor.text(length as usize)?;
        place(names, value, name, at, 32)?;
    }
    Ok(())
}

fn read_common(
    cursor: &mut Cursor<'_>,
    commons: &mut FxHashMap<String, Vec<String>>,
) -> Result<()> {
    let (length, _value, _highest) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let count = cursor.u32()? as usize;
    let name = cursor.text(length as usize)?;
    let mut names = Vec::new();
    read_permissions(cursor, count, &mut names)?;
    commons.insert(name, names);
    Ok(())
}

fn read_class(
    cursor: &mut Cursor<'_>,
    policy: &mut Policy,
    commons: &FxHashMap<String, Vec<String>>,
    highest: usize,
) -> Result<()> {
    let at = cursor.at;
    let (length, common, value) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let (_highest, permissions) = (cursor.u32()?, cursor.u32()? as usize);
    let constraints = cursor.u32()? as usize;
    let name = cursor.text(length as usize)?;
    let mut class = Class {
        name,
        ..Class::default()
    };
    if common > 0 {
        let name = cursor.text(common as usize)?;
        let names = commons.get(&name);
        class.permissions = names.cloned().ok_or(PolicyError::Invalid {
            at,
            what: "common permissions",
        })?;
    }
    read_permissions(cursor, permissions, &mut class.permissions)?;
    class.constraints = read_constraints(cursor, constraints)?;
    let transitions = cursor.u32()? as usize;
    read_constraints(cursor, transitions)?;
    cursor.take(16)?;
    place(&mut policy.classes, value, class, at, highest)
}

fn read_constraints(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Constraint>> {
    let mut constraints = Vec::new();
    for _ in 0..count {
        let at = cursor.at;
        let permissions = cursor.u32()?;
        let terms = cursor.count(12)?;
        let mut expression = Vec::with_capacity(terms);
        for _ in 0..terms {
            let (kind, attribute, operator) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            let mut names = Bits::default();
            if kind == 5 {
                names = cursor.bits()?;
                // As the source wrote them: attributes are not expanded.
                cursor.bits()?;
                cursor.bits()?;
                cursor.u32()?;
            }
            let term = Term::new(kind, attribute, operator, names);
            expression.push(term.ok_or(PolicyError::Invalid {
                at,
                what: "constraint",
            })?);
        }
        let constraint = Constraint {
            permissions,
            expression,
        };
        if constraint.validity() != Validity::Valid {
            return Err(PolicyError::Invalid {
                at,
                what: "constraint",
            });
        }
        constraints.push(constraint);
    }
    Ok(constraints)
}

fn read_role(cursor: &mut Cursor<'_>, policy: &mut Policy, highest: usize) -> Result<()> {
    let at = cursor.at;
    let (length, value, _bounds) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let name = cursor.text(length as usize)?;
    let role = Role {
        name,
        dominates: cursor.bits()?,
        types: cursor.bits()?,
    };
    place(&mut policy.roles, value, role, at, highest)
}

fn read_type(cursor: &mut Cursor<'_>, policy: &mut Policy, highest: usize) -> Result<()> {
    let at = cursor.at;
    let (length, value) = (cursor.u32()?, cursor.u32()?);
    let (properties, bounds) = (cursor.u32()?, cursor.u32()?);
    let name = cursor.text(length as usize)?;
    let is_primary = properties & 1 != 0;
    let is_attribute = properties & 2 != 0;
    if !is_primary && !is_attribute {
        policy.aliases.insert(name, value);
        return Ok(());
    }
    let item = Type {
        name,
        is_attribute,
        bounds,
    };
    place(&mut policy.types, value, item, at, highest)
}

fn read_user(cursor: &mut Cursor<'_>, policy: &mut Policy, highest: usize) -> Result<()> {
    let at = cursor.at;
    let (length, value, _bounds) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let name = cursor.text(length as usize)?;
    let roles = cursor.bits()?;
    let range = cursor.range()?;
    let _default = cursor.u32()?;
    cursor.bits()?;
    place(
        &mut policy.users,
        value,
        User { name, roles, range },
        at,
        highest,
    )
}

fn read_boolean(cursor: &mut Cursor<'_>, policy: &mut Policy, highest: usize) -> Result<()> {
    let at = cursor.at;
    let (value, state, length) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
    let name = cursor.text(length as usize)?;
    let boolean = Boolean {
        name,
        is_on: state != 0,
    };
    place(&mut policy.booleans, value, boolean, at, highest)
}

fn read_rules(cursor: &mut Cursor<'_>, policy: &mut Policy) -> Result<()> {
    let count = cursor.count(12)?;
    policy.rules.reserve(count);
    for _ in 0..count {
        let rule = read_rule(cursor, None)?;
        policy.rules.push(rule);
    }
    let conditions = cursor.count(16)?;
    for number in 0..conditions {
        let at = cursor.at;
        let _state = cursor.u32()?;
        let terms = cursor.count(8)?;
        let mut expression = Vec::with_capacity(terms);
        for _ in 0..terms {
            expression.push((cursor.u32()?, cursor.u32()?));
        }
        let conditional = Conditional { expression };
        if conditional.evaluate(&policy.booleans).is_none() {
            return Err(PolicyError::Invalid {
                at,
                what: "condition",
            });
        }
        policy.conditionals.push(conditional);
        for branch in [true, false] {
            let rules = cursor.count(12)?;
            for _ in 0..rules {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let rule = read_rule(cursor, Some((number, branch)))?;
                policy.rules.push(rule);
            }
        }
    }
    Ok(())
}

fn read_rule(cursor: &mut Cursor<'_>, condition: Option<(u32, bool)>) -> Result<Rule> {
    let at = cursor.at;
    let (source, target, class) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    // The highest bit says that a conditional rule was on.
    let specified = cursor.u16()? & 0x7fff;
    let effect = match specified {
        0x100 | 0x200 | 0x400 => {
            let (kind, driver) = (cursor.u8()?, cursor.u8()?);
            let mut bits = [0; 8];
            for word in &mut bits {
                *word = cursor.u32()?;
            }
            match specified {
                0x100 => Effect::AllowExtended { kind, driver, bits },
                _ => Effect::Other,
            }
        }
        _ => {
            let value = cursor.u32()?;
            match specified {
                1 => Effect::Allow(value),
                // What is not in this mask is not audited.
                4 => Effect::Audit(value),
                2 => Effect::Other,
                0x10 | 0x20 | 0x40 => Effect::Transition {
                    kind: specified,
                    value,
                },
                _ => return Err(PolicyError::Invalid { at, what: "rule" }),
            }
        }
    };
    Ok(Rule {
        key: (source, target, class),
        effect,
        condition,
    })
}

fn read_roles(cursor: &mut Cursor<'_>, policy: &mut Policy) -> Result<()> {
    let transitions = cursor.count(16)?;
    cursor.take(transitions * 16)?;
    let allows = cursor.count(8)?;
    for _ in 0..allows {
        policy.role_allows.insert((cursor.u32()?, cursor.u32()?));
    }
    Ok(())
}

fn read_file_transitions(cursor: &mut Cursor<'_>, policy: &mut Policy) -> Result<()> {
    let count = cursor.count(16)?;
    for _ in 0..count {
        let length = cursor.u32()?;
        let name = cursor.text(length as usize)?;
        if policy.version < GROUPED_TRANSITIONS {
            let (source, target) = (cursor.u32()?, cursor.u32()?);
            let (class, result) = (cursor.u32()?, cursor.u32()?);
            let mut sources = Bits::default();
            sources.set(source.wrapping_sub(1) & 0xffff);
            policy.file_transitions.push(FileTransition {
                name,
                sources,
                target,
                class,
                result,
            });
            continue;
        }
        let (target, class) = (cursor.u32()?, cursor.u32()?);
        let groups = cursor.count(16)?;
        for _ in 0..groups {
            let sources = cursor.bits()?;
            let result = cursor.u32()?;
            let name = name.clone();
            policy.file_transitions.push(FileTransition {
                name,
                sources,
                target,
                class,
                result,
            });
        }
    }
    Ok(())
}

/// Labels of ports, file systems and the like are skipped.
fn read_contexts(cursor: &mut Cursor<'_>, tables: u32) -> Result<()> {
    for table in 0..tables {
        let count = cursor.count(16)?;
        for _ in 0..count {
            match table {
                0 => {
                    cursor.take(4)?;
                }
                1 | 3 => {
                    let length = cursor.u32()?;
                    cursor.take(length as usize)?;
                    cursor.context()?;
                }
                2 => {
                    cursor.take(12)?;
                }
                4 => {
                    cursor.take(8)?;
                }
                5 => {
                    cursor.take(4)?;
                    let length = cursor.u32()?;
                    cursor.take(length as usize)?;
                }
                6 => {
                    cursor.take(32)?;
                }
                7 => {
                    cursor.take(16)?;
                }
                _ => {
                    let length = cursor.u32()?;
                    cursor.take(4)?;
                    cursor.take(length as usize)?;
                }
            }
            cursor.context()?;
        }
    }
    Ok(())
}

fn read_generic_file_systems(cursor: &mut Cursor<'_>) -> Result<()> {
    let count = cursor.count(8)?;
    for _ in 0..count {
        let length = cursor.u32()?;
        cursor.take(length as usize)?;
        let paths = cursor.count(8)?;
        for _ in 0..paths {
            let length = cursor.u32()?;
            cursor.take(length as usize)?;
            cursor.take(4)?;
            cursor.context()?;
        }
    }
    Ok(())
}

fn read_range_transitions(cursor: &mut Cursor<'_>, policy: &mut Policy) -> Result<()> {
    let count = cursor.count(12)?;
    for _ in 0..count {
        let (source, target, class) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
        let range = cursor.range()?;
        policy.range_transitions.push(RangeTransition {
            source,
            target,
            class,
            range,
        });
    }
    Ok(())
}
