//! Locks of the lab: of two runs that need it, one starts it, and the other
//! waits and uses it.

use camino::Utf8PathBuf;

use super::folder::LabFolder;
use crate::app::App;
use foundation::failure::{Exit, Result};
use foundation::record::lock::{self, Lock};

/// Which lock, and for what.
#[derive(Debug)]
pub(super) struct LockRequest {
    dir: Utf8PathBuf,
    name: String,
    doing: &'static str,
}

impl LockRequest {
    /// Held while a lab is started or taken down.
    pub(super) fn lab(app: &App<'_>, lab_folder: &LabFolder, doing: &'static str) -> Self {
        Self {
            dir: app.ctx.dirs.state.clone(),
            name: format!("lab-{}", lab_folder.name()),
            doing,
        }
    }

    /// Held while parts are built: they are shared by all labs of a user.
    pub(super) fn parts(lab_folder: &LabFolder) -> Self {
        Self {
            dir: lab_folder.parts.clone(),
            name: ".parts".to_owned(),
            doing: "lab up",
        }
    }

    /// Held while the parts of Docker are built, which takes minutes that a
    /// plain lab need not wait.
    pub(super) fn docker_parts(lab_folder: &LabFolder) -> Self {
        Self {
            dir: lab_folder.parts.clone(),
            name: ".docker-parts".to_owned(),
            doing: "lab up --docker",
        }
    }

    /// Wait until the lock is free; Ctrl-C ends the wait.
    ///
    /// # Errors
    /// When the lock cannot be opened.
    pub(super) fn wait(&self, app: &App<'_>) -> Result<Lock> {
        let held = match self.take() {
            Err(held) if held.exit == Exit::HostNotReady => held,
            other => return other,
        };
        let holder = held.causes.first().map_or("another run", String::as_str);
        app.ui.note(&format!("waiting for {holder}"));
        lock::take_when_free(&self.dir, &self.name, self.doing, app.signals)
    }

    /// Fails with the holder, after a short wait: a child that a killed run was
    /// just starting holds the lock until its exec.
    ///
    /// # Errors
    /// When another run holds it.
    pub(super) fn take(&self) -> Result<Lock> {
        lock::take_soon(&self.dir, &self.name, self.doing)
    }
}
