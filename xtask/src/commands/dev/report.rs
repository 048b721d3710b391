//! What a round says when it is over: one line of text, or one of JSON.

use foundation::failure::Failure;
use foundation::ui::text::one_line;
use foundation::ui::{Style, Ui};
use foundation::units::local_time;
use serde_json::{Value, json};

/// A part of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Build,
    /// Until the kernel starts.
    Boot,
    /// Until the node is ready.
    Ready,
    /// The user's command.
    Check,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Boot => "boot",
            Self::Ready => "ready",
            Self::Check => "check",
        }
    }
}

/// What came of a round.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) number: usize,
    pub(super) why: String,
    /// When the change was seen, in milliseconds since 1970.
    pub(super) saved: u64,
    /// What was built.
    pub(super) built: Vec<String>,
    /// Seconds of each part that ended well.
    pub(super) seconds: Vec<(Part, f64)>,
    /// The first digits of the digest of what the nodes have booted.
    pub(super) digest: Option<String>,
    /// The build id of the init in it, or why it is unknown.
    pub(super) init: Option<Result<String, String>>,
    /// Node, and the seconds until it was ready.
    pub(super) nodes: Vec<(String, f64)>,
    /// The phase of the slowest boot that took longest.
    pub(super) phase: Option<(String, f64)>,
    /// The initramfs is what the nodes have booted already.
    pub(super) is_same: bool,
    /// The exit code of the user's command.
    pub(super) checked: Option<u8>,
    /// Part that failed, and after how many seconds.
    pub(super) failed: Option<(Part, f64)>,
    pub(super) failure: Option<Failure>,
    /// Messages of the compiler.
    pub(super) messages: Vec<String>,
    /// From the end of the build to the request of the reboot.
    pub(super) request_delay: Option<f64>,
    pub(super) total: f64,
}

impl Report {
    pub(super) fn is_ok(&self) -> bool {
        self.failed.is_none() && self.checked.is_none_or(|code| code == 0)
    }

    fn seconds_of(&self, part: Part) -> Option<f64> {
        let mut known = self.seconds.iter();
        known
            .find(|(it, _)| *it == part)
            .map(|(_, seconds)| *seconds)
    }

    fn slowest(&self) -> Option<(Part, f64)> {
        let parts = self.seconds.iter().copied().chain(self.failed);
        parts.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// One line.
    pub(super) fn line(&self, ui: &Ui) -> String {
        let time = local_time(self.saved);
        let time = time.split(' ').nth(1).unwrap_or(&time);
        let mut steps = vec![format!("saved {time}")];
        if let Some(seconds) = self.seconds_of(Part::Build) {
            steps.push(format!("built {} {seconds:.1} s", self.built.join(", ")));
        }
        if self.is_same {
            steps.push("not booted: the initramfs is the same".to_owned());
        }
        if let Some(seconds) = self.seconds_of(Part::Boot) {
            steps.push(format!("booted {seconds:.1} s"));
        }
        if let Some(seconds) = self.seconds_of(Part::Ready) {
            steps.push(format!("ready {seconds:.1} s"));
        }
        if let (Some(seconds), Some(code)) = (self.seconds_of(Part::Check), self.checked) {
            steps.push(format!("checked {seconds:.1} s (exit code {code})"));
        }
        if let Some((part, seconds)) = self.failed {
            let left = if part == Part::Build {
                ", no node was rebooted"
            } else {
                ""
            };
            steps.push(format!("{} failed after {seconds:.1} s{left}", part.name()));
        }
        let digest = self.digest.as_ref();
        let booted = digest.map_or_else(String::new, |digest| {
            let nodes: Vec<&str> = self.nodes.iter().map(|(name, _)| name.as_str()).collect();
            format!("; {} booted {digest}", nodes.join(", "))
        });
        let slowest = match (self.slowest(), &self.phase) {
            (Some((Part::Ready, _)), Some((phase, seconds))) => {
                format!(
                    "; slowest: phase {} of the boot {seconds:.1} s",
                    one_line(phase)
                )
            }
            (Some((part, _)), _) => format!("; slowest: {}", part.name()),
            (None, _) => String::new(),
        };
        let verdict = if self.is_ok() {
            ui.paint(Style::Good, "ok")
        } else {
            ui.paint(Style::Bad, "failed")
        };
        format!(
            "round {} {verdict}: {}; {:.1} s{slowest}{booted} ({})\n",
            self.number,
            steps.join(" → "),
            self.total,
            one_line(&self.why)
        )
    }

    /// Stable: fields are added, never changed.
    pub(super) fn to_json(&self) -> Value {
        let of = |part| self.seconds_of(part).map(rounded);
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .map(|(name, seconds)| json!({"name": name, "ready_seconds": rounded(*seconds)}))
            .collect();
        let failure = self.failure.as_ref().map(Failure::to_json);
        json!({
            "round": self.number,
            "ok": self.is_ok(),
            "why": self.why,
            "saved_ms": self.saved,
            "built": self.built,
            "build_seconds": of(Part::Build),
            "boot_seconds": of(Part::Boot),
            "ready_seconds": of(Part::Ready),
            "check_seconds": of(Part::Check),
            "check_code": self.checked,
            "total_seconds": rounded(self.total),
            "slowest": self.slowest().map(|(part, _)| part.name()),
            "initramfs_sha256": self.digest,
            "init_build_id": self.init.as_ref().and_then(|id| id.as_ref().ok()),
            "same_initramfs": self.is_same,
            "nodes": nodes,
            "reboot_request_seconds": self.request_delay.map(rounded),
            "messages": self.messages,
            "failed": self.failed.map(|(part, _)| part.name()),
            "failure": failure.map(|it| it["error"].clone()),
        })
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use foundation::ui::Color;

    use super::*;

    fn ui() -> Ui {
        Ui::new(Color::Never, false, false)
    }

    #[test]
    fn a_round_is_one_line_with_its_slowest_part() {
        let report = Report {
            number: 2,
            why: "a.go is in machined: initramfs".to_owned(),
            built: vec!["initramfs".to_owned()],
            seconds: vec![
                (Part::Build, 41.23),
                (Part::Boot, 3.1),
                (Part::Ready, 14.0),
                (Part::Check, 0.4),
            ],
            digest: Some("3f2a".to_owned()),
            nodes: vec![("t-worker-1".to_owned(), 17.1)],
            checked: Some(0),
            total: 58.9,
            ..Report::default()
        };
        let line = report.line(&ui());
        let rest = line.split_once(" → ").unwrap().1;
        let expected = "built initramfs 41.2 s → booted 3.1 s → ready 14.0 s → checked 0.4 s (exit code 0); \
                        58.9 s; slowest: build; t-worker-1 booted 3f2a (a.go is in machined: initramfs)\n";
        assert_eq!(rest, expected);
        assert!(line.starts_with("round 2 ok: saved "), "{line}");
        assert_eq!(report.to_json()["slowest"], "build");
    }

    #[test]
    fn a_failed_build_says_that_no_node_was_rebooted() {
        let report = Report {
            failed: Some((Part::Build, 7.2)),
            total: 7.25,
            ..Report::default()
        };
        let line = report.line(&ui());
        let expected = "build failed after 7.2 s, no node was rebooted; 7.2 s; slowest: build ()";
        assert!(line.contains(expected), "{line}");
        assert!(line.starts_with("round 0 failed: "), "{line}");
    }
}
