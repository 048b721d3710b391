//! Shuts guests down through the power button that QEMU's monitor has, so that
//! they write to their disks what they have in memory.
//!
//! Nodes run with `talos.shutdown=halt` (`pkg/provision/providers/qemu/node.go`):
//! the kernel's last line is the end, and QEMU stays.

use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::interrupted;
use super::step::StepContext;
use crate::failure::Result;
use crate::files;
use crate::plan::Guest;
use crate::wait::{Wait, Waited};

/// The last line of a kernel that does not reboot.
const ENDS: [&[u8]; 2] = [b"reboot: System halted", b"reboot: Power down"];
const LOOK: Duration = Duration::from_millis(50);
/// A monitor answers at once, or another client is connected.
const ANSWER: Duration = Duration::from_secs(5);

/// Presses the power buttons and waits. A guest that does not shut down is only
/// noted.
///
/// # Errors
/// When the user has asked to stop.
pub(super) fn shut_down(
    guests: &[Guest],
    grace_seconds: u64,
    context: &StepContext<'_>,
) -> Result<()> {
    let wait = Wait::default().within(Duration::from_secs(grace_seconds));
    let wait = wait.or_signal(context.signals);
    let mut running = Vec::new();
    for guest in guests {
        match Running::press(guest) {
            Ok(guest) => running.push(guest),
            // QEMU has ended: nothing is left to shut down.
            Err(error) if is_gone(error.kind()) => {}
            Err(error) => {
                let note = format!("cannot shut `{}` down: its monitor: {error}", guest.node);
                context.ui.note(&note);
            }
        }
    }
    let Ok(waited) = wait.look_every(LOOK, || {
        running.retain_mut(|guest| !guest.has_halted());
        Ok::<_, Infallible>(running.is_empty().then_some(()))
    });
    if waited == Waited::Interrupted {
        return Err(interrupted());
    }
    for guest in running {
        context.ui.note(&format!(
            "`{}` has not shut down within {grace_seconds} s",
            guest.node
        ));
    }
    Ok(())
}

fn is_gone(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
    )
}

/// A guest whose power button was pressed.
struct Running {
    node: String,
    /// Closed when QEMU ends.
    monitor: UnixStream,
    console: Utf8PathBuf,
    /// Bytes of the console that were read.
    offset: u64,
    /// The last bytes that were read, which may be the beginning of a line.
    rest: Vec<u8>,
}

impl Running {
    fn press(guest: &Guest) -> std::io::Result<Self> {
        let offset = std::fs::metadata(&guest.console).map_or(0, |found| found.len());
        let mut monitor = UnixStream::connect(&guest.monitor)?;
        monitor.set_write_timeout(Some(ANSWER))?;
        monitor.write_all(b"system_powerdown\n")?;
        monitor.set_nonblocking(true)?;
        Ok(Self {
            node: guest.node.clone(),
            monitor,
            console: guest.console.clone(),
            offset,
            rest: Vec::new(),
        })
    }

    fn has_halted(&mut self) -> bool {
        let mut answer = [0; 512];
        loop {
            match self.monitor.read(&mut answer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_gone(error.kind()) => return true,
                Err(_) => break,
            }
        }
        let Ok(Some(console)) = files::open(&self.console) else {
            return false;
        };
        let mut block = vec![0; 1 << 16];
        while let Ok(read @ 1..) = console.read_at(&mut block, self.offset) {
            self.offset += read as u64;
            self.rest.extend_from_slice(&block[..read]);
            let shows = |end: &&[u8]| self.rest.windows(end.len()).any(|bytes| bytes == *end);
            if ENDS.iter().any(shows) {
                return true;
            }
            let kept = self.rest.len().saturating_sub(ENDS[0].len());
            self.rest.drain(..kept);
        }
        false
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write the console")]
mod tests {
    use super::*;
    use camino::Utf8Path;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_kernels_last_line_is_the_end_wherever_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let guest = Guest {
            node: "n1".into(),
            monitor: root.join("monitor"),
            console: root.join("console"),
        };
        let listener = UnixListener::bind(&guest.monitor).unwrap();
        // The line of an earlier boot.
        let mut text = b"[   9.1] reboot: System halted\r\n".to_vec();
        std::fs::write(&guest.console, &text).unwrap();
        let mut running = Running::press(&guest).unwrap();
        let (mut qemu, _) = listener.accept().unwrap();
        let mut line = [0; 17];
        qemu.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"system_powerdown\n");
        assert!(!running.has_halted());
        for part in [&b"[  20.0] reboot: Sys"[..], b"tem halt"] {
            text.extend_from_slice(part);
            std::fs::write(&guest.console, &text).unwrap();
            assert!(!running.has_halted());
        }
        text.extend_from_slice(b"ed\r\n");
        std::fs::write(&guest.console, &text).unwrap();
        assert!(running.has_halted());
        let mut running = Running::press(&guest).unwrap();
        drop((qemu, listener));
        assert!(running.has_halted(), "QEMU has ended");
    }
}
