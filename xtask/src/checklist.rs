//! Checks with evidence: what was looked at is shown for those that passed, too, and what
//! could not be looked at is not "passed".

use std::fmt::Write;

use foundation::ui::text::one_line;
use foundation::ui::{Style, Ui};
use serde_json::{Value, json};

/// Evidence of one check that is shown.
const MOST: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    NotChecked,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) verdict: Verdict,
    /// What was found, or why it was not checked.
    pub(crate) evidence: Vec<String>,
    pub(crate) fix: Option<String>,
}

impl Check {
    pub(crate) fn passed(id: &'static str, what: impl Into<String>, evidence: Vec<String>) -> Self {
        Self {
            id,
            what: what.into(),
            verdict: Verdict::Passed,
            evidence,
            fix: None,
        }
    }

    pub(crate) fn failed(
        id: &'static str,
        what: impl Into<String>,
        mut evidence: Vec<String>,
    ) -> Self {
        let more = evidence.len().saturating_sub(MOST);
        evidence.truncate(MOST);
        if more > 0 {
            evidence.push(format!("and {more} more"));
        }
        Self {
            verdict: Verdict::Failed,
            ..Self::passed(id, what, evidence)
        }
    }

    pub(crate) fn not_checked(
        id: &'static str,
        what: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::NotChecked,
            ..Self::passed(id, what, vec![reason.into()])
        }
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Whether a check failed.
pub(crate) fn has_failed(checks: &[Check]) -> bool {
    checks.iter().any(|it| it.verdict == Verdict::Failed)
}

fn counts(checks: &[Check]) -> [usize; 3] {
    [Verdict::Passed, Verdict::Failed, Verdict::NotChecked]
        .map(|verdict| checks.iter().filter(|it| it.verdict == verdict).count())
}

pub(crate) fn to_json(node: &str, checks: &[Check]) -> Value {
    let check = |check: &Check| {
        json!({
            "id": check.id,
            "what": check.what,
            "verdict": check.verdict.name(),
            "evidence": check.evidence,
            "fix": check.fix,
        })
    };
    let [passed, failed, not_checked] = counts(checks);
    json!({
        "node": node,
        "passed": passed,
        "failed": failed,
        "not_checked": not_checked,
        "checks": checks.iter().map(check).collect::<Vec<_>>(),
    })
}

pub(crate) fn to_text(ui: &Ui, node: &str, checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let style = match check.verdict {
            Verdict::Passed => Style::Good,
            Verdict::Failed => Style::Bad,
            Verdict::NotChecked => Style::Dim,
        };
        let verdict = format!("{:<11}", check.verdict.name());
        let what = one_line(&check.what);
        let _ = writeln!(out, "{} {what}", ui.paint(style, &verdict));
        for line in &check.evidence {
            let _ = writeln!(out, "            {}", one_line(line));
        }
        if let Some(fix) = &check.fix {
            let _ = writeln!(out, "            fix: {}", one_line(fix));
        }
    }
    let [passed, failed, not_checked] = counts(checks);
    let node = one_line(node);
    let _ = writeln!(
        out,
        "{node}: {passed} ok, {failed} failed, {not_checked} not checked"
    );
    out
}
