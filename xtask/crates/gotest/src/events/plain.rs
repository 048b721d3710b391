//! Reads the output of `go test` without `-v` and `-json`, as in the Makefile's
//! unit-tests: failed tests with their output, then a line for each package. Passed
//! tests are not named there, and output of a test may look like the end of another:
//! only names that are in the sources count.

use super::{End, Event, Exit, Package, Verdict, What};

/// Returns the packages of such a text in its order, without lines that belong
/// to none.
///
/// # Arguments `lines`: without newlines; `is_test`: whether a package, by its
/// path, has a test function of this name.
///
/// # Arguments
/// `lines`: without newlines; `is_test`: whether a package, by its path, has a
/// test function of this name.
pub fn plain<'a>(
    lines: impl Iterator<Item = &'a str>,
    is_test: impl Fn(&str, &str) -> bool,
) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut before: Vec<&str> = Vec::new();
    for line in lines {
        match summary(line) {
            Some(summary) => {
                packages.push(package(&summary, &before, &is_test));
                before.clear();
            }
            None => before.push(line),
        }
    }
    packages
}

/// The line that a package ends with.
struct Summary<'a> {
    name: &'a str,
    failed: bool,
    seconds: f64,
    /// The text after the time, or in place of it: `[build failed]`.
    remark: &'a str,
}

/// `ok  \tNAME\t0.5s\tcoverage: …`, `FAIL\tNAME [build failed]`, and so on
/// (cmd/go/internal/test/test.go).
fn summary(line: &str) -> Option<Summary<'_>> {
    let (word, rest) = line.split_once('\t')?;
    let failed = match word.trim_end() {
        "ok" | "?" | "" => false,
        "FAIL" => true,
        _ => return None,
    };
    let end = rest.find(['\t', ' ']);
    let (name, remark) = rest.split_at(end.unwrap_or(rest.len()));
    let remark = remark.trim();
    let time = remark.split(['\t', ' ']).next().unwrap_or_default();
    let seconds = time.strip_suffix('s').and_then(|it| it.parse().ok());
    // With coverage, a package without tests has a line too.
    let is_one = seconds.is_some() || time.starts_with('[') || time == "(cached)";
    let is_one = is_one || remark.starts_with("coverage: ");
    (is_one && !name.is_empty()).then(|| Summary {
        name,
        failed,
        seconds: seconds.unwrap_or_default(),
        remark,
    })
}

fn package(
    summary: &Summary<'_>,
    before: &[&str],
    is_test: &impl Fn(&str, &str) -> bool,
) -> Package {
    let mut package = Package::new(summary.name);
    package.seconds = summary.seconds;
    if !summary.failed {
        let tests = !summary.remark.contains("[no test") && !summary.remark.starts_with("coverage");
        package.close(if tests {
            Verdict::Passed
        } else {
            Verdict::NoTests
        });
        return package;
    }
    let mut exit = None;
    let mut last = None;
    let mut open: Option<(String, End, Option<f64>)> = None;
    for line in before {
        let bytes = format!("{line}\n").into_bytes();
        let is_one = |(name, ..): &(String, End, Option<f64>)| {
            is_test(summary.name, name.split('/').next().unwrap_or_default())
        };
        if let Some((name, end, seconds)) = header(line).filter(is_one) {
            close(&mut package, open.take());
            let test = Some(name.clone());
            let what = What::Run;
            package.apply(Event { test, what });
            open = Some((name, end, seconds));
        } else if !line.starts_with([' ', '\t']) {
            // Output of a test is indented.
            close(&mut package, open.take());
            match line.strip_prefix("exit status ") {
                Some(code) => exit = code.parse().ok().map(Exit::Code),
                None if *line == "FAIL" => last = Some(End::Fail),
                None => {}
            }
        }
        let test = open.as_ref().map(|(name, ..)| name.clone());
        let what = What::Output(bytes);
        package.apply(Event { test, what });
    }
    close(&mut package, open);
    if summary.remark.contains(" failed]") {
        package.close(Verdict::BuildFailed);
    } else {
        // A panic's exit code is not always printed.
        let quiet = if last.is_none() && package.seems_to_have_panicked() {
            Exit::Code(2)
        } else {
            Exit::Code(1)
        };
        package.end(exit.unwrap_or(quiet), last);
    }
    package
}

fn close(package: &mut Package, open: Option<(String, End, Option<f64>)>) {
    if let Some((name, end, seconds)) = open {
        let test = Some(name);
        let what = What::End(end, seconds);
        package.apply(Event { test, what });
    }
}

/// Reads `    --- FAIL: TestA/b (0.01s)`, which may follow text without a
/// newline.
fn header(line: &str) -> Option<(String, End, Option<f64>)> {
    let (_, rest) = line.rsplit_once("--- ")?;
    let (word, rest) = rest.split_once(": ")?;
    let end = match word {
        "FAIL" => End::Fail,
        "SKIP" => End::Skip,
        "PASS" => End::Pass,
        _ => return None,
    };
    let (name, seconds) = rest.split_once(" (")?;
    let seconds = seconds.strip_suffix("s)")?.parse().ok()?;
    Some((name.to_owned(), end, Some(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::State;

    const SAID: &str = "\
go: downloading example.org/x v1.0.0
ok  \texample.org/m/a\t0.512s\tcoverage: 12.0% of statements in ./...
?   \texample.org/m/none\t[no test files]
\texample.org/m/bare\t\tcoverage: 0.0% of statements
ok  \texample.org/m/zero\t0.001s [no tests to run]
printed by a test
--- FAIL: TestNobody (0.00s)
without a newline--- FAIL: TestBad (0.25s)
    bad_test.go:9: it is not fine
    --- FAIL: TestBad/inner (0.10s)
        bad_test.go:12: nor is this
    --- SKIP: TestBad/later (0.00s)
        bad_test.go:15: needs root
FAIL
coverage: 1.0% of statements
FAIL\texample.org/m/bad\t0.300s
# example.org/m/unbuilt
unbuilt/x.go:3:1: undefined: y
FAIL\texample.org/m/unbuilt [build failed]
panic: it is broken

goroutine 1 [running]:
FAIL\texample.org/m/dies\t0.010s
signal: killed
FAIL
";

    #[test]
    fn every_package_is_told_by_its_line() {
        let packages = plain(SAID.lines(), |_, test| test != "TestNobody");
        let words: Vec<_> = packages
            .iter()
            .map(|it| {
                let name = it.name.rsplit('/').next().unwrap();
                (name, it.verdict.as_ref().unwrap().word())
            })
            .collect();
        assert_eq!(
            words,
            [
                ("a", "passed"),
                ("none", "no-tests"),
                ("bare", "no-tests"),
                ("zero", "no-tests"),
                ("bad", "failed"),
                ("unbuilt", "build-failed"),
                ("dies", "panicked"),
            ]
        );
        let bad = &packages[4];
        let tests: Vec<_> = bad
            .tests
            .iter()
            .map(|it| (it.name.as_str(), it.state))
            .collect();
        assert_eq!(
            tests,
            [
                ("TestBad", State::Failed),
                ("TestBad/inner", State::Failed),
                ("TestBad/later", State::Skipped),
            ]
        );
        assert_eq!(bad.tests[2].reason.as_deref(), Some("needs root"));
        assert!(bad.output_of("TestBad").contains("nor is this"));
        assert!((bad.tests[0].seconds - 0.25).abs() < 1e-9);
        assert!(bad.output.text().starts_with("printed by a test\n"));
        assert!(packages[5].output.text().contains("undefined: y"));
    }
}
