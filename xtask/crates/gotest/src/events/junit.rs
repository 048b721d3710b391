//! XML in the shape of `JUnit`, as Jenkins, GitLab and GitHub's actions read it.

use std::fmt::Write;

use super::{Package, State, Test};

/// All packages as one document. `flaky` says of a test function whether it
/// failed first and passed later.
pub fn junit<'a>(
    packages: impl Iterator<Item = &'a Package>,
    flaky: impl Fn(&str, &str) -> bool,
) -> String {
    let mut suites = String::new();
    let (mut tests, mut failures, mut seconds) = (0, 0, 0.0);
    for package in packages {
        let counts = package.counts();
        let by_itself = package.failed_by_itself();
        let forgiven = package.tests.iter().filter(|test| {
            test.state.is_failure() && flaky(&package.name, package.root(&test.name))
        });
        let (all, bad) = (
            counts.total + usize::from(by_itself),
            counts.failed - forgiven.count() + usize::from(by_itself),
        );
        tests += all;
        failures += bad;
        seconds += package.seconds;
        let _ = writeln!(
            suites,
            r#"  <testsuite name="{}" tests="{all}" failures="{bad}" errors="0" skipped="{}" time="{:.3}">"#,
            escaped(&package.name),
            counts.skipped,
            package.seconds,
        );
        for test in &package.tests {
            case(&mut suites, package, test, &flaky);
        }
        if by_itself && let Some(verdict) = &package.verdict {
            let _ = write!(
                suites,
                r#"    <testcase classname="{}" name="(package)" time="0">
      <failure message="{}" type="{}">{}</failure>
    </testcase>
"#,
                escaped(&package.name),
                escaped(&verdict.describe()),
                verdict.word(),
                escaped(&package.output.text()),
            );
        }
        suites.push_str("  </testsuite>\n");
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"0\" time=\"{seconds:.3}\">\n{suites}</testsuites>\n"
    )
}

fn case(out: &mut String, package: &Package, test: &Test, flaky: &impl Fn(&str, &str) -> bool) {
    let _ = write!(
        out,
        r#"    <testcase classname="{}" name="{}" time="{:.3}""#,
        escaped(&package.name),
        escaped(&test.name),
        test.seconds,
    );
    let output = || escaped(&test.output.text());
    let inner = match test.state {
        State::Passed => None,
        State::Skipped => Some(format!(
            r#"<skipped message="{}"/>"#,
            escaped(test.reason.as_deref().unwrap_or_default())
        )),
        _ if flaky(&package.name, package.root(&test.name)) => Some(format!(
            r#"<flakyFailure message="passed when it was run again" type="flaky">{}</flakyFailure>"#,
            output()
        )),
        State::Failed => Some(format!(
            r#"<failure message="failed" type="failed">{}</failure>"#,
            output()
        )),
        State::Aborted | State::Running | State::Paused => {
            let verdict = package.verdict.as_ref();
            let why = verdict.map_or_else(String::new, super::Verdict::describe);
            Some(format!(
                r#"<failure message="{}" type="aborted">{}</failure>"#,
                escaped(&why),
                output()
            ))
        }
    };
    match inner {
        Some(inner) => {
            let _ = writeln!(out, ">\n      {inner}\n    </testcase>");
        }
        None => out.push_str("/>\n"),
    }
}

/// As XML 1.0 takes it: no control bytes, which no escape can express either,
/// and no terminal's colours.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            '\x1b' if characters.peek() == Some(&'[') => {
                characters.next();
                while characters
                    .next()
                    .is_some_and(|next| !next.is_ascii_alphabetic())
                {}
            }
            '\u{fffe}' | '\u{ffff}' => {}
            control if control < ' ' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_left_out() {
        assert_eq!(
            escaped("a\x00b\x1b[31mred\x1b[0m <&\">\n"),
            "abred &lt;&amp;&quot;&gt;\n"
        );
        assert_eq!(escaped("\x1b"), "");
    }
}
