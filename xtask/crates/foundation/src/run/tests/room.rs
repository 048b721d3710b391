//! Everything a supervised child needs, with short limits.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::runtime::Runtime;

use crate::failure::Result;
use crate::plan::Run;
use crate::run::core::Grace;
use crate::run::step::{Shown, StepContext, run};
use crate::signals::Signals;
use crate::ui::{Color, Ui};
use crate::wait::runtime;

/// Longer than any child here runs.
pub(super) const LONG: Grace = Grace {
    interrupt: Duration::from_mins(2),
    terminate: Duration::from_mins(2),
};

/// Everything a supervised child needs, in a folder of its own.
pub(super) struct Room {
    pub(super) dir: tempfile::TempDir,
    pub(super) ui: Ui,
    pub(super) signals: Signals,
    runtime: Runtime,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            ui: Ui::new(Color::Never, true, false),
            signals: Signals::default(),
            runtime: runtime().unwrap(),
        }
    }

    pub(super) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(name)
    }

    pub(super) fn context(&self) -> StepContext<'_> {
        StepContext {
            log: Some(self.path("log")),
            deadline: Duration::from_secs(30),
            observer: None,
            shown: Shown::All,
            signals: &self.signals,
            runtime: &self.runtime,
            ui: &self.ui,
            grace: Grace {
                interrupt: Duration::from_millis(150),
                terminate: Duration::from_millis(150),
            },
            only_listed: false,
            kill_at: 2,
            output_is_ours: true,
            reader: None,
        }
    }

    /// Runs a script with bash under `how`.
    pub(super) fn bash(script: &str, context: StepContext<'_>) -> Result<()> {
        let step = Run {
            argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
            ..Run::default()
        };
        run(&step, "try it", context)
    }

    /// Interrupt `work` once for each of `marks`, as soon as that file is there.
    pub(super) fn interrupting<T>(&self, marks: &[Utf8PathBuf], work: impl FnOnce() -> T) -> T {
        interrupting(&self.signals, marks, work)
    }

    /// A script that runs its traps for a minute, and is late when it was not ended before.
    pub(super) fn minute(&self) -> String {
        minute(&self.path("late"))
    }

    pub(super) fn is_late(&self) -> bool {
        self.path("late").exists()
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap()).into_owned()
    }
}

/// A script that runs its traps for a minute, and then makes this file.
pub(super) fn minute(late: &Utf8Path) -> String {
    format!("i=0; while [ $i -lt 1200 ]; do sleep 0.05; i=$((i + 1)); done; touch {late}")
}

/// Raise `signals` once for each of `marks`, as soon as that file is there.
pub(super) fn interrupting<T>(
    signals: &Signals,
    marks: &[Utf8PathBuf],
    work: impl FnOnce() -> T,
) -> T {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for mark in marks {
                let end = Instant::now() + Duration::from_secs(30);
                while !mark.exists() && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(5));
                }
                assert!(mark.exists(), "no {mark}");
                signals.raise();
            }
        });
        work()
    })
}

/// SIGKILL takes effect a moment after it was sent.
pub(super) fn ends(pid: &str) -> bool {
    let end = Instant::now() + Duration::from_secs(2);
    while is_alive(pid) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    !is_alive(pid)
}

pub(super) fn is_alive(pid: &str) -> bool {
    let pid = pid.trim().parse().unwrap();
    crate::ctx::processes::Process::probe(pid).is_some_and(|process| process.is_alive())
}
