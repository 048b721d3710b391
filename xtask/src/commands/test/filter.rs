//! `--filter`: tests by package, name, need and last result.

use std::collections::{BTreeMap, HashMap};

use camino::Utf8Path;
use gotest::{Candidate, Filter, Test};

use foundation::failure::{Failure, Result};
use foundation::record::results::History;

/// Reads the expression of a command line.
pub(super) fn parse(text: &str) -> Result<Filter> {
    Filter::parse(text).map_err(|error| {
        Failure::usage(format!("invalid filter `{text}`"))
            .cause(error)
            .hint(
                "such as `--filter 'need(root) & !package(internal/integration*) & !last(passed)'`",
            )
    })
}

pub(super) fn matches(filter: &Filter, history: &History, test: &Test) -> bool {
    let past = past(history, test);
    filter.matches(&Candidate {
        package: &test.package,
        folder: Utf8Path::new(&test.file)
            .parent()
            .map_or("", Utf8Path::as_str),
        name: &test.name,
        needs: &test.needs,
        last: past,
    })
}

/// The last result of a test, else of the test that it is a part of.
fn past<'a>(history: &'a History, test: &Test) -> Option<&'a str> {
    let mut name = test.name.as_str();
    loop {
        if let Some(past) = history.of(&test.package, name) {
            return Some(&past.last);
        }
        (name, _) = name.rsplit_once('/')?;
    }
}

/// Parts that do not run, by import path and function.
pub(super) type Unwanted = BTreeMap<(String, String), Vec<String>>;

/// Returns the tests that match with the functions that they are parts of, and the known
/// parts of these functions that do not match.
pub(super) fn choose(
    filter: &Filter,
    history: &History,
    tests: Vec<Test>,
) -> (Vec<Test>, Unwanted) {
    let function = |test: &Test| test.name.split('/').next().unwrap_or_default().to_owned();
    let mut functions: HashMap<(String, String), Vec<(Test, bool)>> = HashMap::new();
    let mut order = Vec::new();
    for test in tests {
        let is_match = matches(filter, history, &test);
        let key = (test.package.clone(), function(&test));
        let parts = functions.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Vec::new()
        });
        parts.push((test, is_match));
    }
    let (mut chosen, mut unwanted) = (Vec::new(), Unwanted::new());
    for key in order {
        let parts = functions.remove(&key).unwrap_or_default();
        let matching: Vec<&str> = parts
            .iter()
            .filter(|(_, it)| *it)
            .map(|(test, _)| test.name.as_str())
            .collect();
        if matching.is_empty() {
            continue;
        }
        let has_match = |name: &str| {
            let below = format!("{name}/");
            matching
                .iter()
                .any(|it| *it == name || it.starts_with(&below))
        };
        let (kept, dropped): (Vec<Test>, Vec<Test>) = {
            let keep: Vec<bool> = parts
                .iter()
                .map(|(test, _)| has_match(&test.name))
                .collect();
            let mut keep = keep.into_iter();
            parts
                .into_iter()
                .map(|(test, _)| test)
                .partition(|_| keep.next().unwrap_or_default())
        };
        // The parts of a part that does not run need no mention.
        let is_inner = |test: &Test| {
            dropped.iter().any(|outer| {
                test.name
                    .strip_prefix(&outer.name)
                    .is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let names = dropped
            .iter()
            .filter(|test| !is_inner(test))
            .map(|test| test.name.clone());
        unwanted.insert(key, names.collect());
        chosen.extend(kept);
    }
    (chosen, unwanted)
}

/// The failure of a filter that selects nothing.
pub(super) fn nothing(text: &str) -> Failure {
    Failure::usage(format!("no test matches the filter `{text}`"))
        .hint(foundation::typed!("test list --filter {}", text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gotest::{Kind, Need, Needed};

    fn test(name: &str, needs_root: bool) -> Test {
        let needed = Needed {
            need: Need::Root,
            skips: false,
            because: String::new(),
            through: Vec::new(),
        };
        Test {
            package: "m/a".to_owned(),
            name: name.to_owned(),
            kind: Kind::Test,
            file: "a/a_test.go".to_owned(),
            line: 1,
            needs: needs_root.then_some(needed).into_iter().collect(),
        }
    }

    fn chosen(filter: &str) -> (Vec<String>, Vec<String>) {
        let tests = vec![
            test("TestA", false),
            test("TestA/user", false),
            test("TestA/user/deep", false),
            test("TestA/root", true),
            test("TestB", true),
        ];
        let filter = parse(filter).unwrap();
        let (tests, unwanted) = choose(&filter, &History::default(), tests);
        let names = tests.into_iter().map(|test| test.name).collect();
        (names, unwanted.into_values().flatten().collect())
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_function_runs_with_its_parts_that_match() {
        let cases: [(&str, &[&str], &[&str]); 5] = [
            (
                "test(TestA)",
                &["TestA", "TestA/user", "TestA/user/deep", "TestA/root"],
                &[],
            ),
            (
                "need(root)",
                &["TestA", "TestA/root", "TestB"],
                &["TestA/user"],
            ),
            (
                "!need(root)",
                &["TestA", "TestA/user", "TestA/user/deep"],
                &["TestA/root"],
            ),
            (
                "test(TestA/user/deep)",
                &["TestA", "TestA/user", "TestA/user/deep"],
                &["TestA/root"],
            ),
            ("last(failed)", &[], &[]),
        ];
        for (filter, tests, unwanted) in cases {
            assert_eq!(
                chosen(filter),
                (strings(tests), strings(unwanted)),
                "{filter}"
            );
        }
    }
}
