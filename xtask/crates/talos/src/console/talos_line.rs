//! The lines that Talos' sequencer prints: `[talos] phase NAME (i/n): …`.
//!
//! Source: `v1alpha1_controller.go` in internal/app/machined/pkg/runtime/v1alpha1
//! and internal/app/init/main.go, the same from 1.9 to main.

use crate::duration;

/// A line printed by Talos.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TalosLine<'a> {
    /// `[initramfs] booting Talos v1.12.0`.
    Init {
        tag: Option<&'a str>,
    },
    SequenceBegan {
        name: &'a str,
    },
    SequenceDone {
        name: &'a str,
    },
    SequenceFailed {
        name: &'a str,
    },
    PhaseBegan {
        name: &'a str,
        number: u32,
        of: u32,
    },
    PhaseDone {
        name: &'a str,
        seconds: f64,
    },
    PhaseFailed {
        name: &'a str,
    },
    TaskFailed {
        message: &'a str,
    },
    /// `machine is running and ready`.
    Ready,
}

impl<'a> TalosLine<'a> {
    /// Reads a line after its `[talos] `.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.starts_with("machine is running and ready") {
            return Some(Self::Ready);
        }
        if let Some(init) = text.strip_prefix("[initramfs] ") {
            let tag = init
                .strip_prefix("booting ")
                .and_then(|rest| rest.split(' ').nth(1));
            return Some(Self::Init { tag });
        }
        if let Some(rest) = text.strip_prefix("phase ") {
            return phase(rest);
        }
        if let Some(rest) = text.strip_prefix("task ") {
            let (_, message) = rest.split_once("): failed: ")?;
            return Some(Self::TaskFailed { message });
        }
        sequence(text)
    }
}

/// `NAME sequence: …`; the name has no blanks.
fn sequence(text: &str) -> Option<TalosLine<'_>> {
    let (name, rest) = text.split_once(" sequence: ")?;
    if name.is_empty() || name.contains(' ') {
        return None;
    }
    if rest == "failed" {
        Some(TalosLine::SequenceFailed { name })
    } else if rest.starts_with("done") {
        Some(TalosLine::SequenceDone { name })
    } else if rest.ends_with(" phase(s)") {
        Some(TalosLine::SequenceBegan { name })
    } else {
        None
    }
}

/// `NAME (i/n): k tasks(s)`, `done, 1.2s` or `failed`.
fn phase(text: &str) -> Option<TalosLine<'_>> {
    let (head, rest) = text.split_once("): ")?;
    let (name, progress) = head.split_once(" (")?;
    if rest == "failed" {
        return Some(TalosLine::PhaseFailed { name });
    }
    if let Some(took) = rest.strip_prefix("done, ") {
        return Some(TalosLine::PhaseDone {
            name,
            seconds: duration(took.trim())?.as_secs_f64(),
        });
    }
    let (number, of) = progress.split_once('/')?;
    rest.ends_with(" tasks(s)").then_some(())?;
    Some(TalosLine::PhaseBegan {
        name,
        number: number.parse().ok()?,
        of: of.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_sequencer() {
        for (text, line) in [
            (
                "initialize sequence: 10 phase(s)",
                TalosLine::SequenceBegan { name: "initialize" },
            ),
            (
                "boot sequence: done: 12.3s",
                TalosLine::SequenceDone { name: "boot" },
            ),
            (
                "boot sequence: failed",
                TalosLine::SequenceFailed { name: "boot" },
            ),
            (
                "phase logger (2/10): 1 tasks(s)",
                TalosLine::PhaseBegan {
                    name: "logger",
                    number: 2,
                    of: 10,
                },
            ),
            (
                "phase logger (2/10): done, 1.5ms",
                TalosLine::PhaseDone {
                    name: "logger",
                    seconds: 0.0015,
                },
            ),
            (
                "phase x (1/2): failed",
                TalosLine::PhaseFailed { name: "x" },
            ),
            (
                "task y (1/1): failed: no (disk): gone",
                TalosLine::TaskFailed {
                    message: "no (disk): gone",
                },
            ),
            (
                "machine is running and ready {\"component\": \"x\"}",
                TalosLine::Ready,
            ),
            (
                "[initramfs] booting Talos v1.12.0",
                TalosLine::Init {
                    tag: Some("v1.12.0"),
                },
            ),
            (
                "[initramfs] entering the rootfs",
                TalosLine::Init { tag: None },
            ),
        ] {
            assert_eq!(TalosLine::parse(text), Some(line), "{text}");
        }
        for none in [
            "task y (1/1): starting",
            "task y (1/1): done, 1s",
            "in the sequence: failed",
            "hello",
        ] {
            assert_eq!(TalosLine::parse(none), None, "{none}");
        }
    }
}
