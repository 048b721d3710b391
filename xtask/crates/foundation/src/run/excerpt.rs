//! The lines of a failed child's output that explain the failure.

use crate::failure::Failure;

/// The number of lines shown.
const SHOWN: usize = 12;

/// The end of a failed build's output, as buildx prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailedStep<'a> {
    /// `[stage 2/3] RUN …`.
    step: &'a str,
    /// The output of that step.
    lines: &'a [String],
    /// `Dockerfile:12`.
    place: Option<&'a str>,
    error: Option<&'a str>,
}

/// Adds the failed Dockerfile step and its lines if buildx names one, else the
/// last lines.
pub(super) fn of(mut failure: Failure, tail: Vec<String>) -> Failure {
    let Some(failed) = failed_step(&tail) else {
        // Before its first step, buildx says all in the last line.
        if let Some(error) = tail.last().and_then(|line| build_error(line)) {
            return failure.cause(error);
        }
        let surplus = tail.len().saturating_sub(SHOWN);
        failure.excerpt = tail.into_iter().skip(surplus).collect();
        return failure;
    };
    let place = failed
        .place
        .map_or_else(String::new, |place| format!("{place}, "));
    failure = failure.cause(format!("{place}step {}", failed.step));
    if let Some(error) = failed.error {
        failure = failure.cause(error);
    }
    let surplus = failed.lines.len().saturating_sub(SHOWN);
    failure.excerpt = failed.lines[surplus..].to_vec();
    failure
}

/// The error that ends the output of buildx.
fn build_error(line: &str) -> Option<&str> {
    let error = line.strip_prefix("ERROR: ")?;
    error.starts_with("failed to build").then_some(error)
}

/// Between two lines of dashes: ` > [stage 2/3] RUN …:` or ` > exporting to image:`
/// and what it printed; then the place, an excerpt of the Dockerfile, and `ERROR: …`.
fn failed_step(tail: &[String]) -> Option<FailedStep<'_>> {
    let is_rule = |line: &String| line.starts_with("------");
    let ends_a_build = tail.last().is_some_and(|line| build_error(line).is_some());
    let names_a_step = |line: &str| {
        let line = line.trim_start();
        line.starts_with("> [") || (ends_a_build && line.starts_with("> "))
    };
    let named = (1..tail.len())
        .rev()
        .find(|at| names_a_step(&tail[*at]) && is_rule(&tail[at - 1]))?;
    let after = &tail[named + 1..];
    let end = after.iter().position(is_rule).unwrap_or(after.len());
    let rest = &after[end..];
    let place = rest.iter().find(|line| {
        line.rsplit_once(':').is_some_and(|(file, number)| {
            !file.contains(' ')
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    });
    let error = rest.iter().rfind(|line| line.starts_with("ERROR: "));
    Some(FailedStep {
        step: tail[named]
            .trim()
            .trim_start_matches("> ")
            .trim_end_matches(':'),
        lines: &after[..end],
        place: place.map(String::as_str),
        error: error.map(|line| line.trim_start_matches("ERROR: ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with buildx 0.29.1 and BuildKit 0.25.2.
    const FAILED: &str = "\
#5 ERROR: process \"/bin/busybox sh -euc exit 7\" did not complete successfully: exit code: 7
------
 > [broken 1/1] RUN for n in 1 2 3; do echo \"compiling part $n\"; done; exit 7:
0.083 compiling part 1
0.083 compiling part 2
0.083 undefined: machined
------
Dockerfile:61
--------------------
  61 | >>> RUN for n in 1 2 3; do echo \"compiling part $n\"; done; exit 7
--------------------
ERROR: failed to build: failed to solve: process \"/bin/busybox sh -euc exit 7\" did not complete successfully: exit code: 7
";

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_failed_build_ends_with_its_step_and_the_steps_lines() {
        let failure = of(Failure::step("x"), lines(FAILED));
        assert!(failure.causes[0].starts_with("Dockerfile:61, step [broken 1/1] RUN for n"));
        assert!(failure.causes[1].starts_with("failed to build: failed to solve"));
        assert_eq!(failure.excerpt.len(), 3);
        assert!(failure.excerpt[2].ends_with("undefined: machined"));
    }

    #[test]
    fn a_failed_push_ends_with_its_error_and_no_line_of_the_layers() {
        // Recorded with buildx 0.29.1, BuildKit 0.25.2 and a registry whose disk is full.
        let failed = "\
#14 pushing layers 1.1s done
#14 ERROR: failed to push 127.0.0.1:5006/siderolabs/imager:v1: unknown: blob upload invalid
------
 > exporting to image:
0.085 unknown: unknown error
0.085 retrying in 1s
------
 1 warning found (use docker --debug to expand):
ERROR: failed to build: failed to solve: failed to push 127.0.0.1:5006/siderolabs/imager:v1: unknown: blob upload invalid
";
        let failure = of(Failure::step("x"), lines(failed));
        assert_eq!(failure.causes[0], "step exporting to image");
        assert!(failure.causes[1].ends_with("blob upload invalid"));
        assert_eq!(failure.excerpt.len(), 2);
    }

    #[test]
    fn a_build_that_ends_before_its_first_step_is_its_error() {
        let failed = "\
#3 DONE 0.0s
ERROR: failed to build: failed to solve: failed to load LLB: security.insecure is not allowed
";
        let failure = of(Failure::step("x"), lines(failed));
        assert!(
            failure.causes[0].ends_with("failed to load LLB: security.insecure is not allowed")
        );
        assert!(failure.excerpt.is_empty());
    }

    #[test]
    fn anything_else_ends_with_its_last_lines() {
        let text: String = (0..40).fold(String::new(), |text, n| format!("{text}line {n}\n"));
        let failure = of(Failure::step("x"), lines(&text));
        assert_eq!(
            (failure.excerpt.len(), failure.excerpt[11].as_str()),
            (12, "line 39")
        );
        assert!(failure.causes.is_empty());
        let dashes = of(Failure::step("x"), lines("------\n------\n > [x\n"));
        assert_eq!(dashes.excerpt.len(), 0);
    }
}
