//! Small Makefiles, one construct each: the same as GNU make, or refused by name.

use std::path::Path;

use super::common;
use common::cases::{self, Case};

/// What both makes make of a case.
struct Compared<'a>(&'a Case);

impl Compared<'_> {
    fn run(&self, which: &dyn Fn(&Path) -> common::Outcome) -> common::Outcome {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("checkout");
        std::fs::create_dir(&dir).unwrap();
        self.0.prepare(&dir);
        let mut outcome = which(&dir);
        outcome.stdout = outcome.stdout.replace(dir.to_str().unwrap(), "DIR");
        outcome
    }

    fn difference(&self) -> Option<String> {
        let environment = |dir: &Path| common::environment(dir, &self.0.environment);
        let make = self.run(&|dir| common::gnu_make(dir, &environment(dir), &self.0.arguments));
        let ours = self.run(&|dir| common::ours(dir, &environment(dir), &self.0.arguments, false));
        let is_right = match &self.0.refused {
            Some(text) => !ours.success && ours.stdout.contains(text),
            // Both say in their own words why they refuse the file.
            None => {
                make.success == ours.success
                    && (make.stdout == ours.stdout || (ours.refused && make.stdout.is_empty()))
            }
        };
        (!is_right).then(|| {
            format!(
                "{} {:?}\n--- make, success {}\n{}\n--- ours, success {}\n{}\n",
                self.0.name, self.0.arguments, make.success, make.stdout, ours.success, ours.stdout
            )
        })
    }
}

#[test]
fn each_construct_is_equal_or_refused_by_name() {
    let cases = cases::read(&common::testdata().join("cases.txt"));
    assert!(cases.len() > 200, "only {} cases", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| Compared(case).difference())
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
