//! Matches regular expressions with names, once per function and mapping,
//! however many locations have it.

use regex::Regex;

use super::{FOCUSED, IGNORED, compile};
use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::query::Query;

/// The matches of an expression.
pub(super) struct Matches {
    functions: Vec<bool>,
    mappings: Vec<bool>,
}

impl Matches {
    /// By function name, file name and mapping file.
    pub(super) fn new(profile: &Profile, regex: &Regex) -> Self {
        let matches = |text| regex.is_match(&profile.text(text));
        let functions = profile.functions.iter();
        let mappings = profile.mappings.iter();
        Self {
            functions: functions
                .map(|function| matches(function.name) || matches(function.file))
                .collect(),
            mappings: mappings.map(|mapping| matches(mapping.file)).collect(),
        }
    }

    pub(super) fn line(&self, profile: &Profile, line: u32) -> bool {
        self.functions[profile.lines[line as usize].function as usize]
    }

    pub(super) fn mapping(&self, mapping: u32) -> bool {
        self.mappings
            .get(mapping as usize)
            .copied()
            .unwrap_or(false)
    }

    pub(super) fn location(&self, profile: &Profile, lines: &[u32], mapping: u32) -> bool {
        lines.iter().any(|line| self.line(profile, *line)) || self.mapping(mapping)
    }
}

/// The filters of a query that match names.
pub(super) struct NameFilters {
    pub(super) focus: Option<Matches>,
    pub(super) ignore: Option<Matches>,
    pub(super) hide: Option<Matches>,
    pub(super) show: Option<Matches>,
}

impl NameFilters {
    /// Returns `None` if the query has no such filter.
    ///
    /// # Errors
    /// Expressions that do not compile.
    pub(super) fn new(profile: &Profile, query: &Query) -> Result<Option<Self>> {
        let matches = |option, value: &Option<String>| {
            let regex = compile(option, value.as_deref())?;
            Ok::<_, Error>(regex.map(|regex| Matches::new(profile, &regex)))
        };
        let filters = Self {
            focus: matches("focus", &query.focus)?,
            ignore: matches("ignore", &query.ignore)?,
            hide: matches("hide", &query.hide)?,
            show: matches("show", &query.show)?,
        };
        let all = [
            &filters.focus,
            &filters.ignore,
            &filters.hide,
            &filters.show,
        ];
        let is_any = all.iter().any(|filter| filter.is_some());
        Ok(is_any.then_some(filters))
    }

    /// The effect of a location with these lines on its stacks: `IGNORED`, `FOCUSED` or
    /// none.
    pub(super) fn flag(&self, profile: &Profile, lines: &[u32], mapping: u32) -> u8 {
        let matches = |of: &Matches| of.location(profile, lines, mapping);
        if self.ignore.as_ref().is_some_and(matches) {
            IGNORED
        } else if self.focus.as_ref().is_none_or(matches) {
            FOCUSED
        } else {
            0
        }
    }
}

/// Per function, whether its simplified name matches; functions without a name never
/// do.
pub(super) fn simplified(profile: &Profile, is_meant: impl Fn(&str) -> bool) -> Vec<bool> {
    let functions = profile.functions.iter();
    functions
        .map(|function| {
            let name = profile.text(function.name);
            !name.is_empty() && is_meant(simplify(&name))
        })
        .collect()
}

/// Removes the argument list, as pprof does: up to the first `(` that is not
/// part of `(anonymous namespace)` or `operator()`.
fn simplify(name: &str) -> &str {
    let name = name.strip_prefix('.').unwrap_or(name);
    let mut at = 0;
    while let Some(found) = name[at..].find('(') {
        let place = at + found;
        if name[place..].starts_with("(anonymous namespace)") {
            at = place + "(anonymous namespace)".len();
        } else if name[..place].ends_with("operator") && name[place..].starts_with("()") {
            at = place + 2;
        } else {
            return &name[..place];
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::simplify;

    #[test]
    fn argument_lists_go_and_reserved_parentheses_stay() {
        assert_eq!(simplify("ns::f(int)"), "ns::f");
        assert_eq!(simplify(".f"), "f");
        assert_eq!(
            simplify("(anonymous namespace)::g(x)"),
            "(anonymous namespace)::g"
        );
        assert_eq!(simplify("operator()(int)"), "operator()");
        assert_eq!(simplify("main.(*T).Run"), "main.");
    }
}
