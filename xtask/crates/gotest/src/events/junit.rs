//! XML of `JUnit`, as Jenkins, GitLab and GitHub's actions read it.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::{Package, State, Test, Verdict};

/// Writes all packages as one document. `properties` are those of the run; `flaky` returns, for a package and a test
/// function, whether it failed first and passed when it was run again.
pub fn junit<'a>(
    packages: impl Iterator<Item = &'a Package>,
    properties: &[(&str, String)],
    flaky: impl Fn(&str, &str) -> bool,
) -> String {
    let mut report = Report::unnamed();
    let mut time = Duration::ZERO;
    for package in packages {
        let seconds = seconds(package.seconds);
        time = time.saturating_add(seconds);
        let mut suite = TestSuite::new(printable(&package.name));
        suite.set_time(seconds);
        if let Some(started) = &package.started {
            let extra = [("timestamp", started.as_str())];
            suite
                .extra
                .extend(extra.map(|(key, value)| (key.into(), value.into())));
        }
        for (key, value) in properties {
            suite.add_property((*key, printable(value).as_str()));
        }
        for test in &package.tests {
            let is_flaky = flaky(&package.name, package.root(&test.name));
            suite.add_test_case(case(package, test, is_flaky));
        }
        let is_bad = package.verdict.as_ref().is_some_and(|it| !it.is_ok());
        if let Some(seed) = package.shuffle_seed() {
            suite.add_property(("shuffle", seed.as_str()));
        }
        if is_bad && !package.failed_by_itself() {
            suite.set_system_out(printable(&package.own_words()));
        }
        if package.failed_by_itself()
            && let Some(verdict) = &package.verdict
        {
            let message = verdict.describe();
            let status = failure(verdict.word(), &message, &package.output.text());
            let mut case = TestCase::new("(package)", status);
            case.set_classname(printable(&package.name));
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.set_time(time);
    // Writing to memory cannot fail.
    report.to_string().unwrap_or_default()
}

fn case(package: &Package, test: &Test, is_flaky: bool) -> TestCase {
    let status = match test.state {
        State::Passed => TestCaseStatus::success(),
        State::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(printable(test.reason.as_deref().unwrap_or_default()));
            status
        }
        _ if is_flaky => {
            let mut run = TestRerun::new(NonSuccessKind::Failure);
            run.set_message("passed when it was run again");
            run.set_type("flaky");
            run.set_description(printable(&test.output.text()));
            let mut status = TestCaseStatus::success();
            status.add_rerun(run);
            status
        }
        State::Failed => {
            let message = test.first_message();
            let message = message.as_deref().unwrap_or("failed");
            failure("failed", message, &test.output.text())
        }
        State::Paused => {
            let mut status = TestCaseStatus::skipped();
            status.set_message("paused by t.Parallel until the package ended");
            status
        }
        State::Aborted | State::Running => {
            let why = package.verdict.as_ref().map(Verdict::describe);
            failure("aborted", &why.unwrap_or_default(), &test.output.text())
        }
    };
    let mut case = TestCase::new(printable(&test.name), status);
    case.set_classname(printable(&package.name));
    case.set_time(seconds(test.seconds));
    for (key, value) in &test.attributes {
        case.add_property((printable(key).as_str(), printable(value).as_str()));
    }
    case
}

fn failure(kind: &str, message: &str, output: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind);
    status.set_message(printable(message));
    status.set_description(printable(output));
    status
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Removes what XML 1.0 cannot hold, even escaped: control characters, and with them
/// the colours of terminals. `XmlString` does so too, but takes all that follows an
/// unfinished escape sequence for a part of it.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => out.push(character),
            '\x1b' if characters.peek() == Some(&'[') => {
                characters.next();
                while characters
                    .next()
                    .is_some_and(|next| !next.is_ascii_alphabetic())
                {}
            }
            '\u{fffe}' | '\u{ffff}' => {}
            control if control.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{End, Event, Exit, What};

    fn package(output: &str) -> Package {
        let mut package = Package::new("a/b");
        let names = ["TestA", "TestB"];
        for (name, end) in names.into_iter().zip([End::Fail, End::Pass]) {
            let event = |what| Event {
                test: Some(name.to_owned()),
                what,
            };
            package.apply(event(What::Run));
            package.apply(event(What::Output(output.into())));
            package.apply(event(What::End(end, Some(0.25))));
        }
        package.end(Exit::Code(1), Some(End::Fail));
        package
    }

    #[test]
    fn what_xml_cannot_hold_is_left_out() {
        let output = "a\x00b\x1b[31mred\x1b[0m <&\">\n";
        assert_eq!(printable(output), "abred <&\">\n");
        assert_eq!(printable("\x1b"), "");
        let xml = junit([package(output)].iter(), &[], |_, _| false);
        assert!(xml.contains("abred &lt;&amp;"), "{xml}");
        let xml = junit(
            [package("a \x1b] title of a terminal")].iter(),
            &[],
            |_, _| false,
        );
        assert!(xml.contains("title of a terminal"), "{xml}");
    }

    #[test]
    fn a_flaky_test_is_not_a_failure() {
        let counts = |flaky: bool| {
            let xml = junit([package("said")].iter(), &[], |_, root| {
                flaky && root == "TestA"
            });
            assert!(xml.contains("said") && xml.contains("tests=\"2\""), "{xml}");
            assert_eq!(xml.contains("<flakyFailure "), flaky, "{xml}");
            xml.matches("failures=\"0\"").count()
        };
        assert_eq!((counts(false), counts(true)), (0, 2));
    }
}
