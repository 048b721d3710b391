//! Phases of a boot, from the lines about them.

use super::boot::{Boot, End, Phase, PhaseState};
use super::talos_line::TalosLine;

/// Phases kept of a boot.
const MAX_PHASES: usize = 512;

/// Returns how a sequence ends the boot in which it runs.
pub(super) fn end_of(sequence: &str) -> Option<End> {
    match sequence {
        "reboot" => Some(End::Reboot),
        "shutdown" => Some(End::Shutdown),
        "upgrade" | "stageUpgrade" | "maintenanceUpgrade" => Some(End::Upgrade),
        "reset" => Some(End::Reset),
        _ => None,
    }
}

/// Applies a line about a phase or its tasks.
pub(super) fn apply(boot: &mut Boot, sequence: &str, time: f64, line: TalosLine) {
    let running = |boot: &mut Boot, name: &str, state: PhaseState, seconds: Option<f64>| {
        let mut phases = boot.phases.iter_mut().rev();
        if let Some(phase) = phases.find(|p| p.name == name && p.state == PhaseState::Running) {
            phase.seconds = seconds;
            phase.state = state;
        }
    };
    match line {
        TalosLine::PhaseBegan { name, number, of } if boot.phases.len() < MAX_PHASES => {
            boot.phases.push(Phase {
                sequence: sequence.to_owned(),
                name: name.to_owned(),
                number,
                of,
                began: time,
                seconds: None,
                state: PhaseState::Running,
            });
        }
        TalosLine::PhaseDone { name, seconds } => {
            running(boot, name, PhaseState::Done, Some(seconds));
        }
        TalosLine::PhaseFailed { name } => {
            running(boot, name, PhaseState::Failed(String::new()), None);
        }
        // It comes before the phase's own failure, which must not erase the
        // reason.
        TalosLine::TaskFailed { message } => {
            if let Some(phase) = boot.phases.last_mut() {
                phase.state = PhaseState::Failed(message.to_owned());
            }
        }
        _ => {}
    }
}
