//! One boot of a node, read from its console.

use std::fmt;

use super::death::Death;
use super::oops::Oops;

/// The start of a node's QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Path of the executable.
    pub qemu: String,
    /// Its arguments, joined with blanks as the launcher prints them; empty
    /// until that line has come.
    pub args: String,
}

/// The progress of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhaseState {
    Running,
    Done,
    /// With the message of the failed task, if one was printed.
    Failed(String),
}

/// A phase of a Talos sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// `initialize`, `install`, `boot`, `reboot` …
    pub sequence: String,
    pub name: String,
    /// Counts from 1.
    pub number: u32,
    pub of: u32,
    /// Kernel time at which it began.
    pub began: f64,
    /// Duration as measured by Talos; none while the phase runs or when it failed.
    pub seconds: Option<f64>,
    pub state: PhaseState,
}

/// The event that ends a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Reboot,
    Shutdown,
    Upgrade,
    Reset,
    /// A sequence failed; Talos reboots after ten seconds.
    Failed {
        sequence: String,
    },
    /// The launcher stopped QEMU: a destroy or a poweroff through its API.
    Stopped,
}

/// A sequence that ended with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceFailure {
    /// `initialize`, `install`, `boot` …
    pub sequence: String,
    /// Empty if the console does not show it.
    pub phase: String,
    /// Message of the failed task; empty if none was printed.
    pub message: String,
}

impl SequenceFailure {
    /// Whether the same phase of the same sequence failed.
    pub fn is_at_same_phase(&self, other: &Self) -> bool {
        self.sequence == other.sequence && self.phase == other.phase
    }
}

/// As text: boot sequence failed in phase `mountUser`: no such file.
impl fmt::Display for SequenceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sequence failed", self.sequence)?;
        if !self.phase.is_empty() {
            write!(f, " in phase `{}`", self.phase)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// The state of a node according to its console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootState {
    /// Firmware, kernel or Talos sequences run.
    Starting,
    /// The boot sequence is done.
    Booted,
    /// `machine is running and ready` was printed.
    Ready,
    /// Rebooting, shutting down, upgrading.
    Ending,
    /// Something fatal was printed.
    Dead,
}

/// One boot. Times are seconds since the kernel's start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boot {
    /// Offset of the first byte: the launcher's line, else the kernel's banner.
    pub offset: u64,
    /// None for a boot without a launcher line, as after kexec.
    pub launched: Option<Launch>,
    /// Offset of the kernel's first line.
    pub banner_offset: Option<u64>,
    /// `6.1.0-56-cloud-amd64`.
    pub kernel: Option<String>,
    /// Tag that Talos' initramfs names: `v1.12.0`.
    pub talos: Option<String>,
    /// Talos' init began.
    pub initramfs: Option<f64>,
    /// machined's first sequence began.
    pub machined: Option<f64>,
    pub phases: Vec<Phase>,
    /// The boot sequence was done.
    pub booted: Option<f64>,
    /// `machine is running and ready`.
    pub ready: Option<f64>,
    pub end: Option<End>,
    /// First fatal thing on the console.
    pub death: Option<Death>,
    /// First bug of the kernel, which ends the boot where it panics.
    pub oops: Option<Oops>,
    /// Things that did not end the boot: a process killed for memory, an incomplete initramfs.
    pub warnings: Vec<Death>,
    /// The launcher's last line: the node stays down until it is destroyed.
    pub launcher_exit: Option<String>,
    /// Newest time stamp.
    pub last_time: f64,
    /// One past the newest byte seen of this boot.
    pub end_offset: u64,
}

impl Boot {
    /// Returns the state of the node during this boot.
    pub fn state(&self) -> BootState {
        if self.death.is_some() || self.launcher_exit.is_some() {
            BootState::Dead
        } else if self.end.is_some() {
            BootState::Ending
        } else if self.ready.is_some() {
            BootState::Ready
        } else if self.booted.is_some() {
            BootState::Booted
        } else {
            BootState::Starting
        }
    }

    /// Returns the sequence that failed, with the task's message if one was printed.
    pub fn failure(&self) -> Option<SequenceFailure> {
        let Some(End::Failed { sequence }) = &self.end else {
            return None;
        };
        let failed = self
            .phases
            .iter()
            .rev()
            .find_map(|phase| match &phase.state {
                PhaseState::Failed(message) => Some((phase.name.clone(), message.clone())),
                PhaseState::Running | PhaseState::Done => None,
            });
        let (phase, message) = failed.unwrap_or_default();
        Some(SequenceFailure {
            sequence: sequence.clone(),
            phase,
            message,
        })
    }

    /// Whether devices have been found, which is when Talos configures the network:
    /// phase `earlyServices` has ended (docs/talos-facts.md#console).
    pub fn has_network(&self) -> bool {
        let ended = |phase: &Phase| phase.name == "earlyServices" && phase.seconds.is_some();
        self.phases.iter().any(ended) || self.phases.iter().any(|phase| phase.sequence == "boot")
    }

    /// Seconds of the whole boot: until ready, else until the boot sequence was done.
    pub fn seconds(&self) -> Option<f64> {
        self.ready.or(self.booted)
    }
}
