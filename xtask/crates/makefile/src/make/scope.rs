//! Variables of single targets: `TARGET: NAME = VALUE`. They are valid for the target and
//! while its prerequisites are updated.

use super::Make;
use crate::assign::Op;
use crate::error::{Error, Place, Result};
use crate::limits::ENTRY;
use crate::rules::{TargetVariable, plain_name};
use crate::variables::{Origin, Variable};

/// A variable of one target.
#[derive(Debug, Clone)]
pub(crate) struct Scoped {
    name: String,
    variable: Variable,
    /// `+=`: the value comes after that of the scopes around.
    appends: bool,
}

/// The variables of one target.
pub(crate) type Scope = Vec<Scoped>;

impl Make<'_, '_> {
    /// `record_target_var`.
    pub(super) fn set_of_target(&mut self, of: &TargetVariable<'_>, place: &Place) -> Result<()> {
        if let Some(modifier) = of.modifier {
            return Err(Error::unsupported(
                place,
                format!("`{modifier}` of a variable of one target"),
            ));
        }
        let targets = self.expand(of.targets, place)?;
        let name = self.expand(of.name, place)?;
        self.needs_now(&[&targets, &name], "a variable of one target", place)?;
        self.check_settable(&name, of.op, place)?;
        if matches!(name.as_str(), "SHELL" | ".SHELLFLAGS" | ".DEFAULT_GOAL") {
            return Err(Error::unsupported(place, format!("`{name}` of one target")));
        }
        let global = self.variables.get(&name);
        let is_given = global.is_some_and(|it| matches!(it.origin, Origin::CommandLine(_)));
        for target in targets.split_ascii_whitespace().map(plain_name) {
            if target.contains(['%', '*', '?', '[', '~', '\\']) {
                return Err(Error::unsupported(
                    place,
                    format!("a variable of the pattern `{target}`"),
                ));
            }
            if is_given {
                continue;
            }
            let value = match of.op {
                Op::Simple => self.expand(of.value, place)?,
                Op::Shell => {
                    return Err(Error::unsupported(place, "`!=` of one target"));
                }
                _ => of.value.to_owned(),
            };
            let there = self.rules.variables.get(&target).map_or(0, Vec::len);
            self.spend(1 + there / 8, place)?;
            self.hold(value.len() + name.len() + target.len() + ENTRY, place)?;
            self.set_in_scope(target, &name, of, value, place)?;
        }
        Ok(())
    }

    fn set_in_scope(
        &mut self,
        target: String,
        name: &str,
        of: &TargetVariable<'_>,
        value: String,
        place: &Place,
    ) -> Result<()> {
        let is_known = self.variables.get(name).is_some();
        let scope = self.rules.variables.entry(target).or_default();
        let old = scope.iter().position(|it| it.name == name);
        let mut new = Scoped {
            name: name.to_owned(),
            variable: Variable {
                value,
                recursive: of.op != Op::Simple,
                origin: Origin::File(place.clone()),
                export: of.export,
            },
            appends: false,
        };
        match (of.op, old) {
            (Op::Conditional, None) if !is_known => {}
            (Op::Conditional, _) => return Ok(()),
            (Op::Append, None) => new.appends = true,
            (Op::Append, Some(at)) => {
                let old = &scope[at];
                if !old.variable.recursive {
                    return Err(Error::unsupported(
                        place,
                        "`+=` to a `:=` variable of one target",
                    ));
                }
                let (before, added) = (&old.variable.value, &new.variable.value);
                new.variable.value = format!("{before} {added}");
                new.variable.export |= old.variable.export;
                new.appends = old.appends;
            }
            _ => {}
        }
        match old {
            Some(at) => scope[at] = new,
            None => scope.push(new),
        }
        Ok(())
    }

    /// Makes the variables of a target valid, until `scopes` is shorter again.
    pub(super) fn enter_scope(&mut self, target: &str, place: &Place) -> Result<()> {
        let scope = self
            .rules
            .variables
            .get(target)
            .cloned()
            .unwrap_or_default();
        let sizes = scope.iter();
        let sizes = sizes.map(|it| it.name.len() + it.variable.value.len() + ENTRY);
        self.hold(sizes.sum(), place)?;
        self.scopes.push(scope);
        Ok(())
    }

    /// The variable in the innermost scope that has it.
    pub(super) fn scoped(&self, name: &str) -> Option<&Scoped> {
        self.scoped_below(name, self.scopes.len())
            .map(|(_, scoped)| scoped)
    }

    fn scoped_below(&self, name: &str, below: usize) -> Option<(usize, &Scoped)> {
        let mut scopes = self.scopes[..below].iter().enumerate().rev();
        scopes.find_map(|(at, scope)| Some((at, scope.iter().find(|it| it.name == name)?)))
    }

    /// The value of a variable of a target; none if no target has it
    /// (`variable_append`).
    pub(super) fn value_in_scope(
        &mut self,
        name: &str,
        below: usize,
        place: &Place,
    ) -> Result<Option<String>> {
        let searched: usize = self.scopes.iter().map(Vec::len).sum();
        self.spend(searched / 8, place)?;
        let Some((at, scoped)) = self.scoped_below(name, below) else {
            return Ok(None);
        };
        let Scoped {
            variable, appends, ..
        } = scoped.clone();
        let own = if variable.recursive {
            self.expand_value_of(name, &variable.value, place)?
        } else {
            variable.value
        };
        if !appends {
            return Ok(Some(own));
        }
        let outer = match self.value_in_scope(name, at, place)? {
            Some(outer) => outer,
            None => self.global_value(name, place)?,
        };
        let blank = if outer.is_empty() { "" } else { " " };
        Ok(Some(format!("{outer}{blank}{own}")))
    }

    /// Names that are exported to recipes because of a variable of a target.
    pub(super) fn scoped_exports(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for scoped in self.scopes.iter().flatten() {
            let global = self.variables.get(&scoped.name);
            if scoped.variable.export || global.is_some_and(|global| global.export) {
                names.push(scoped.name.clone());
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Scoped {
    pub(super) fn variable(&self) -> &Variable {
        &self.variable
    }
}
