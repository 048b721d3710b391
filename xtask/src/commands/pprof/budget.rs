//! `--fail-if 'inuse_space(machined) > 80MiB'`: a budget that CI can check.

use ::pprof::{Query, report, unit};

use super::kept::Readable;
use super::load::engine;
use foundation::failure::{Exit, Failure, Result};

/// A bound that no node may pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Budget {
    /// As given.
    text: String,
    sample_type: String,
    service: Option<String>,
    operator: Operator,
    bound: f64,
    unit: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Operator {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
        }
    }
}

impl Budget {
    /// `TYPE[(SERVICE)] OPERATOR NUMBER[UNIT]`
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Failure::usage(format!("`--fail-if {text}`: {why}"))
                .hint("--fail-if 'inuse_space(machined) > 80MiB'")
        };
        let place = text
            .find(['<', '>'])
            .ok_or_else(|| refuse("no `>`, `>=`, `<` or `<=` in it"))?;
        let (subject, rest) = text.split_at(place);
        let (operator, rest) = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (">", Operator::Above),
            ("<", Operator::Below),
        ]
        .iter()
        .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)))
        .ok_or_else(|| refuse("no operator in it"))?;
        let subject = subject.trim();
        let (sample_type, service) = match subject.split_once('(') {
            Some((name, service)) => {
                let service = service.strip_suffix(')');
                let service = service.ok_or_else(|| refuse("`(` is not closed"))?;
                (name.trim(), Some(service.trim().to_owned()))
            }
            None => (subject, None),
        };
        if sample_type.is_empty() {
            return Err(refuse("names no sample type"));
        }
        let rest = rest.trim();
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, of) = rest.split_at(digits.unwrap_or(rest.len()));
        let of = of.trim();
        // pprof's MB is what others call MiB.
        let of = if of.len() == 3 && of.ends_with("iB") {
            of.replace('i', "")
        } else {
            of.to_owned()
        };
        if !of.is_empty() && unit::scale(1, &of, &of).1 == of.as_str() && !is_known(&of) {
            return Err(refuse(&format!("invalid unit `{of}`")));
        }
        Ok(Self {
            text: text.to_owned(),
            sample_type: sample_type.to_owned(),
            service,
            operator,
            bound: number
                .parse()
                .map_err(|_| refuse("no number after the operator"))?,
            unit: of,
        })
    }

    fn is_for(&self, service: Option<&str>, profile: &dyn Readable) -> bool {
        let right = self.service.is_none() || self.service.as_deref() == service;
        right && profile.types().contains(&self.sample_type)
    }

    /// Returns what exceeds the bound, as text; `None` if nothing does.
    fn breach(&self, whose: &str, profile: &dyn Readable, query: &Query) -> Result<Option<String>> {
        let query = Query {
            sample_index: Some(self.sample_type.clone()),
            relative_percentages: true,
            ..query.clone()
        };
        let top = report::top(&*profile.read()?, &query).map_err(|error| engine(&error))?;
        let unit = if self.unit.is_empty() {
            &top.unit
        } else {
            &self.unit
        };
        let (value, _) = unit::scale(top.total, &top.unit, unit);
        let value = if self.unit.is_empty() {
            exact(top.total)
        } else {
            value
        };
        Ok(self.operator.holds(value, self.bound).then(|| {
            let total = unit::label(top.total, &top.unit, "auto");
            format!("{whose}: {} is {total}", self.sample_type)
        }))
    }
}

#[allow(clippy::cast_precision_loss)] // a bound does not need more precision
fn exact(value: i64) -> f64 {
    value as f64
}

fn is_known(name: &str) -> bool {
    // A known unit is scaled to itself, an unknown one is passed on.
    ["bytes", "nanoseconds"]
        .iter()
        .any(|base| unit::scale(1, name, base).1 != *base || name == *base)
        && !unit::scale(1, name, "auto").1.is_empty()
}

/// Checks every profile, `(service, whose, profile)`, against every budget.
///
/// # Errors
/// Exit code 1 with every breach; a usage error for a budget that no profile
/// could break, since such a check could not fail.
pub(super) fn check(
    texts: &[String],
    query: &Query,
    profiles: &[(Option<&str>, String, &dyn Readable)],
) -> Result<()> {
    let mut breaches = Vec::new();
    for text in texts {
        let budget = Budget::parse(text)?;
        let mut meant = profiles
            .iter()
            .filter(|(service, _, profile)| budget.is_for(*service, *profile))
            .peekable();
        if meant.peek().is_none() {
            let mut names: Vec<String> = profiles
                .iter()
                .flat_map(|(_, _, profile)| profile.types())
                .collect();
            names.sort();
            names.dedup();
            return Err(
                Failure::usage(format!("`--fail-if {text}` fits no profile here"))
                    .cause(format!("sample types: {}", names.join(", "))),
            );
        }
        for (_, whose, profile) in meant {
            breaches.extend(
                budget
                    .breach(whose, *profile, query)?
                    .map(|breach| format!("{breach} (--fail-if '{}')", budget.text)),
            );
        }
    }
    if breaches.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Checks, "a budget is exceeded");
    failure.causes = breaches;
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap() -> ::pprof::Profile {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pprof/heap.pb.gz");
        ::pprof::decode(std::fs::read(path).unwrap()).unwrap()
    }

    fn checked(text: &str) -> Result<()> {
        let profile = heap();
        let whose = "worker-1".to_owned();
        check(
            &[text.to_owned()],
            &Query::default(),
            &[(Some("machined"), whose, &profile)],
        )
    }

    #[test]
    fn bounds_are_held_in_the_unit_given() {
        checked("inuse_space(machined) > 1GiB").unwrap();
        checked("inuse_space < 1KiB").unwrap();
        checked("inuse_objects >= 99999999").unwrap();
        let failure = checked("inuse_space(machined) > 1MiB").unwrap_err();
        assert_eq!(failure.exit, Exit::Checks);
        assert!(
            failure.causes[0].starts_with("worker-1: inuse_space is "),
            "{failure}"
        );
        assert_eq!(checked("inuse_space >= 1").unwrap_err().exit, Exit::Checks);
    }

    #[test]
    fn a_budget_that_nothing_could_break_is_refused() {
        for text in [
            "inuse_spice > 1MiB",
            "inuse_space(apid) > 1",
            "inuse_space",
            "inuse_space > x",
            "> 3",
            "inuse_space > 3 furlongs",
            "inuse_space(machined > 3",
        ] {
            assert_eq!(checked(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
