//! GNU make and this crate on the same Makefiles: the recipes must print the
//! same, with the same variables in their environment, and end the same.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod corpus;

use std::path::Path;

fn compare(scenario: &common::Scenario, case: &[String], eager: bool) -> Result<(), String> {
    let run = |which: &dyn Fn(&Path) -> common::Outcome| {
        let dir = tempfile::tempdir().unwrap();
        // The same path for both, since recipes may print it.
        let place = dir.path().join("checkout");
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("Makefile"), &scenario.text).unwrap();
        for file in &scenario.files {
            std::fs::write(place.join(file), "").unwrap();
        }
        let mut outcome = which(&place);
        outcome.stdout = outcome.stdout.replace(place.to_str().unwrap(), "DIR");
        outcome
    };
    let make =
        run(&|dir| common::gnu_make(dir, &common::environment(dir, &scenario.environment), case));
    let ours = run(&|dir| {
        common::ours(
            dir,
            &common::environment(dir, &scenario.environment),
            case,
            eager,
        )
    });
    if make == ours {
        return Ok(());
    }
    Err(format!(
        "{} {case:?} (eager {eager})\n--- make, success {}\n{}\n--- ours, success {}\n{}\n",
        scenario.name, make.success, make.stdout, ours.success, ours.stdout
    ))
}

#[test]
fn the_same_as_gnu_make() {
    let scenarios = common::scenarios();
    assert!(scenarios.len() >= 8, "testdata/make is not where it was");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for scenario in &scenarios {
        assert!(!scenario.cases.is_empty(), "{} has no cases", scenario.name);
        for case in &scenario.cases {
            // Recipes that ask early and recipes that ask when it is their turn.
            for eager in [false, true] {
                // Asked early, a file that an earlier line writes is not there.
                if eager && scenario.text.contains("# case: captured") && case[0] == "captured" {
                    continue;
                }
                compared += 1;
                wrong.extend(compare(scenario, case, eager).err());
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
