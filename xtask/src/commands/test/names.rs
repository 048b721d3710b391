//! Resolves names of suites. An unknown name is refused with the nearest one,
//! because the binary itself would print "no tests to run" and succeed.

use std::fmt::Write;

use gotest::NamedSuite;

use super::args::ResultArgs;
use super::results::suites::{any_of, failed_before};
use crate::app::App;
use crate::typo::most_alike;
use foundation::ctx::checkout::Checkout;
use foundation::failure::{Failure, Result};

/// The selected tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SelectedTests {
    /// The value of `-test.run`; `None` for all tests.
    pub(super) pattern: Option<String>,
    /// Names such as `TestIntegration/api.ResetSuite/TestReset`, without those
    /// that are known only at run time.
    pub(super) tests: Vec<String>,
}

impl SelectedTests {
    /// Resolves the words.
    ///
    /// # Errors
    /// Exit code 2 for a name without a test.
    pub(super) fn new(words: &[String], suites: &[NamedSuite]) -> Result<Self> {
        let mut meant: Vec<(&str, Option<&str>)> = Vec::new();
        for word in words {
            let one = meant_by(word, suites)?;
            if !meant.contains(&one) {
                meant.push(one);
            }
        }
        let mut tests: Vec<String> = Vec::new();
        for suite in suites.iter().filter(|suite| !suite.name.contains('*')) {
            let all = meant.is_empty() || meant.contains(&(&suite.name, None));
            let is_meant = |method: &&String| {
                let mut of_suite = meant.iter().filter(|(name, _)| *name == suite.name);
                all || of_suite.any(|(_, one)| one.is_some_and(|one| root(one) == **method))
            };
            let methods = suite.methods.iter().filter(is_meant);
            tests.extend(methods.map(|method| format!("TestIntegration/{}/{method}", suite.name)));
        }
        Ok(Self {
            pattern: pattern(&meant),
            tests,
        })
    }

    /// With `--rerun-failed`, keeps only what failed last time; `None` if that
    /// is nothing.
    ///
    /// # Errors
    /// When the last failures are unknown.
    pub(super) fn or_failed(
        self,
        app: &App<'_>,
        args: &ResultArgs,
        checkout: &Checkout,
        package: &str,
    ) -> Result<Option<Self>> {
        if !args.rerun_failed {
            return Ok(Some(self));
        }
        let Some(mut names) = failed_before(app, &checkout.dir, package)? else {
            return Ok(None);
        };
        if names.is_empty() {
            // Everything that was run then.
            return Ok(Some(self));
        }
        if self.pattern.is_some() {
            let is_meant = |name: &String| {
                self.tests.iter().any(|test| {
                    let rest = test.strip_prefix(name.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            };
            names.retain(is_meant);
        }
        Ok(any_of(&names).map(|pattern| Self {
            pattern: Some(pattern),
            tests: names,
        }))
    }
}

/// Returns the suite, and the test if one is named.
fn meant_by<'a>(word: &'a str, suites: &[NamedSuite]) -> Result<(&'a str, Option<&'a str>)> {
    let word = word.strip_prefix("TestIntegration/").unwrap_or(word);
    let (name, method) = match word.split_once('/') {
        Some((name, method)) => (name, Some(method)),
        None => (word, None),
    };
    let suite = suites
        .iter()
        .find(|suite| suite.is_called(name))
        .ok_or_else(|| unknown(name, suites.iter().map(|suite| suite.name.as_str())))?;
    if let Some(method) = method
        && !suite.methods.iter().any(|known| known == root(method))
    {
        let known = suite.methods.iter().map(String::as_str);
        return Err(unknown(method, known).cause(format!("in suite `{name}`")));
    }
    Ok((name, method))
}

fn root(method: &str) -> &str {
    method.split('/').next().unwrap_or_default()
}

/// Anchored, because `api.Etcd` alone would run two suites.
fn pattern(meant: &[(&str, Option<&str>)]) -> Option<String> {
    let (first, _) = meant.first()?;
    let methods: Vec<&str> = meant.iter().filter_map(|(_, method)| *method).collect();
    if methods.is_empty() {
        let names: Vec<&str> = meant.iter().map(|(name, _)| *name).collect();
        return Some(format!("^TestIntegration$/{}", one_of(&names)));
    }
    if methods.len() == meant.len() && meant.iter().all(|(name, _)| name == first) {
        let (suite, methods) = (one_of(&[first]), one_of(&methods));
        return Some(format!("^TestIntegration$/{suite}/{methods}"));
    }
    let whole = |(name, method): &(&str, Option<&str>)| {
        let mut whole = format!("TestIntegration/{name}");
        if let Some(method) = method {
            let _ = write!(whole, "/{method}");
        }
        whole
    };
    any_of(&meant.iter().map(whole).collect::<Vec<_>>())
}

fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| name.replace('.', "\\.")).collect();
    match quoted.as_slice() {
        [one] => format!("^{one}$"),
        many => format!("^({})$", many.join("|")),
    }
}

pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let failure = Failure::usage(format!("there is no test `{name}`"));
    match most_alike(name, known) {
        Some((_, nearest)) => failure.hint(format!("did you mean `{nearest}`? `--list` shows all")),
        None => failure.hint("`--list` shows all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundation::failure::Exit;

    fn known() -> Vec<NamedSuite> {
        [
            ("api.EtcdSuite", "TestLeave"),
            ("api.EtcdRecoverSuite", "TestRecover"),
            ("provision.UpgradeSuite.*-TR*", "TestRolling"),
        ]
        .map(|(name, method)| NamedSuite {
            name: name.to_owned(),
            methods: vec![method.to_owned()],
            file: String::new(),
            line: 1,
        })
        .to_vec()
    }

    fn pattern_for(words: &[&str]) -> Result<Option<String>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(SelectedTests::new(&words, &known())?.pattern)
    }

    #[test]
    fn a_suite_is_itself_and_no_other() {
        assert_eq!(pattern_for(&[]), Ok(None));
        assert_eq!(
            pattern_for(&["api.EtcdSuite"]),
            Ok(Some(r"^TestIntegration$/^api\.EtcdSuite$".to_owned()))
        );
        assert_eq!(
            pattern_for(&["TestIntegration/api.EtcdSuite/TestLeave"]),
            Ok(Some(
                r"^TestIntegration$/^api\.EtcdSuite$/^TestLeave$".to_owned()
            ))
        );
        assert_eq!(
            pattern_for(&["api.EtcdSuite", "api.EtcdRecoverSuite"]),
            Ok(Some(
                r"^TestIntegration$/^(api\.EtcdSuite|api\.EtcdRecoverSuite)$".to_owned()
            ))
        );
        // Joined part by part, the pattern would match every pair.
        assert_eq!(
            pattern_for(&["api.EtcdSuite/TestLeave", "api.EtcdRecoverSuite"]),
            Ok(Some(
                r"^TestIntegration$/^api\.EtcdSuite$/^TestLeave$|^TestIntegration$/^api\.EtcdRecoverSuite$"
                    .to_owned()
            ))
        );
        assert!(pattern_for(&["provision.UpgradeSuite.v1.9.5-v1.10.0-TR0"]).is_ok());
    }

    #[test]
    fn what_is_none_is_refused_with_the_nearest() {
        let failure = pattern_for(&["api.EtcdSiute"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().contains("`api.EtcdSuite`"));
        let failure = pattern_for(&["api.EtcdSuite/TestLaeve"]).unwrap_err();
        assert!(failure.hint.unwrap().contains("`TestLeave`"));
    }

    #[test]
    fn what_is_meant_is_known_by_name() {
        let tests = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            SelectedTests::new(&words, &known()).unwrap().tests
        };
        let all = [
            "TestIntegration/api.EtcdSuite/TestLeave",
            "TestIntegration/api.EtcdRecoverSuite/TestRecover",
        ];
        assert_eq!(tests(&[]), all);
        assert_eq!(tests(&["api.EtcdSuite"]), all[..1]);
        assert_eq!(tests(&["api.EtcdRecoverSuite/TestRecover/sub"]), all[1..]);
    }
}
