//! Two runs may want the lab at once: one makes it, the other waits and finds
//! it made.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::place::Place;
use crate::commands::App;
use crate::failure::{Exit, Failure, Result};
use crate::record::lock::{self, Lock};

/// Held while parts are built: they are shared by all labs of a user.
pub(super) const PARTS: &str = "parts";
const LOOK: Duration = Duration::from_millis(200);

/// Held while a lab is started or taken down.
pub(super) fn of_lab(place: &Place) -> String {
    let mut hasher = DefaultHasher::new();
    place.dir.as_str().hash(&mut hasher);
    format!("lab-{:08x}", hasher.finish() >> 32)
}

/// Take a lock at once or fail with who holds it.
///
/// # Errors
/// When another run holds it.
pub(super) fn take(place: &Place, name: &str, doing: &str) -> Result<Lock> {
    lock::take(&place.parts.join(".locks"), name, doing)
}

/// Take a lock, waiting for whoever holds it until Ctrl-C.
///
/// # Errors
/// When interrupted, or the lock cannot be opened.
pub(super) fn wait(app: &App<'_>, place: &Place, name: &str, doing: &str) -> Result<Lock> {
    let mut told = false;
    loop {
        match take(place, name, doing) {
            Err(held) if held.exit == Exit::HostNotReady => {
                if !told {
                    let holder = held.causes.first().map_or("another run", String::as_str);
                    app.ui.note(&format!("waiting for {holder}"));
                    told = true;
                }
            }
            other => return other,
        }
        if app.signals.count() > 0 {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        let fd = app.signals.fd();
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK.subsec_nanos()),
        };
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout));
        app.signals.drain();
    }
}
