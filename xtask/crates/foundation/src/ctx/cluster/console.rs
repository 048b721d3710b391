//! Console files of nodes: the state of the current boot, the last lines, and
//! following a console.

use std::os::unix::fs::FileExt;

use camino::{Utf8Path, Utf8PathBuf};
use talos::console::{
    Boot, BootState, BootTracker, Death, DeathKind, Oops, SequenceFailure, clean, last_boot,
};

use crate::files;
use crate::typed;

/// Talos reboots after a failed sequence: the same failure twice is not transient.
const FAILURES: usize = 2;
/// Bytes per read.
const BLOCK: usize = 64 << 10;
/// Maximum length of a console line in an error message: the launcher prints
/// its arguments in one long line.
const EXCERPT_WIDTH: usize = 240;

/// The state of the current boot.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) state: Option<BootState>,
    pub(super) seconds: Option<f64>,
    pub(super) has_network: bool,
    /// Why it died.
    pub(super) death: Option<String>,
    /// The sequence that failed, in this boot or in the one before it, which
    /// caused this one.
    pub(super) failure: Option<String>,
    /// The line about a process that the guest killed because memory ran out.
    pub(super) out_of_memory: Option<String>,
    /// A bug of the kernel or of a module that the node survived.
    pub(super) oops: Option<String>,
    pub(super) talos: Option<String>,
}

/// Reads only the current boot, from the end of the file, because consoles grow
/// large; of a boot that is not complete the one before it, too.
pub(super) fn report(console: &Utf8Path) -> Report {
    let Some((boot, previous)) = current_boots(console) else {
        return Report::default();
    };
    let failure = match boot.failure() {
        Some(failure) => Some(failure.to_string()),
        None if boot.state() == BootState::Starting => previous.as_ref().and_then(failure_before),
        None => None,
    };
    let killed = boot
        .warnings
        .iter()
        .find(|warning| warning.kind == DeathKind::GuestMemory);
    Report {
        state: Some(boot.state()),
        seconds: boot.seconds(),
        has_network: boot.has_network(),
        death: death_of(&boot),
        failure,
        out_of_memory: killed.map(|warning| warning.line.clone()),
        oops: boot.oops.as_ref().map(Oops::to_string),
        talos: boot.talos,
    }
}

fn failure_before(previous: &Boot) -> Option<String> {
    let failure = previous.failure().map(|failure| failure.to_string());
    let why = failure.or_else(|| {
        previous
            .death
            .as_ref()
            .map(|death| line_of(previous, death))
    })?;
    Some(format!("{why} (in the boot before this one)"))
}

/// The newest boot, and the one before it unless the newest is ready.
fn current_boots(console: &Utf8Path) -> Option<(Boot, Option<Boot>)> {
    let file = files::open(console).ok()??;
    let length = file.metadata().ok()?.len();
    // A sparse file can have any length.
    let from = length.saturating_sub(files::LARGE);
    let read = |length: u64| {
        last_boot(length, |offset, buffer| file.read_at(buffer, from + offset))
            .ok()
            .flatten()
    };
    let boot = read(length - from)?;
    let is_over = boot.state() == BootState::Ready || boot.offset == 0;
    let previous = if is_over { None } else { read(boot.offset) };
    Some((boot, previous))
}

pub(super) fn death_of(boot: &Boot) -> Option<String> {
    // The `talos` crate knows the subcommand, not how this program is started.
    let build = typed!("build initramfs");
    let told = |death: &Death| {
        let hint = death.hint.replace("build initramfs", &build);
        format!("{} ({hint})", line_of(boot, death))
    };
    let death = boot.death.as_ref();
    // A kernel without its initramfs panics later, for want of a root file system.
    let unpacking = boot
        .warnings
        .iter()
        .find(|warning| warning.kind == DeathKind::Initramfs);
    death
        .map(|death| told(unpacking.unwrap_or(death)))
        .or_else(|| boot.launcher_exit.clone())
}

/// The line of a death, and after that of a panic the bug that led to it.
fn line_of(boot: &Boot, death: &Death) -> String {
    match &boot.oops {
        Some(oops) if death.kind == DeathKind::KernelPanic => format!("{}: {oops}", death.line),
        _ => death.line.clone(),
    }
}

/// Returns the last lines of a console, without control sequences.
pub fn console_tail(console: &Utf8Path, lines: usize) -> Vec<String> {
    let Ok(Some(file)) = files::open(console) else {
        return Vec::new();
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let from = length.saturating_sub(BLOCK as u64);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
    let read = file.read_at(&mut bytes, from).unwrap_or(0);
    let text: Vec<String> = bytes[..read]
        .split(|byte| *byte == b'\n')
        .map(|line| String::from_utf8_lossy(&clean(line)).trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    text[text.len().saturating_sub(lines)..]
        .iter()
        .map(|line| shortened(line))
        .collect()
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(EXCERPT_WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Follows a console from its current end.
#[derive(Debug)]
pub struct ConsoleFollower {
    pub node: String,
    pub console: Utf8PathBuf,
    offset: u64,
    tracker: BootTracker,
}

impl ConsoleFollower {
    pub fn from_end(node: &str, console: &Utf8Path) -> Self {
        let offset = std::fs::metadata(console).map_or(0, |metadata| metadata.len());
        let tracker = BootTracker::at(offset);
        Self {
            node: node.to_owned(),
            console: console.to_owned(),
            offset,
            tracker,
        }
    }

    /// Follows a console from its first byte.
    pub fn from_start(node: &str, console: &Utf8Path) -> Self {
        Self {
            node: node.to_owned(),
            console: console.to_owned(),
            offset: 0,
            tracker: BootTracker::default(),
        }
    }

    /// Why no boot succeeds, if the last boots that ended failed at the same phase.
    pub fn repeated_failure(&self) -> Option<String> {
        let failures = self.tracker.boots().iter().rev();
        let failures: Vec<SequenceFailure> = failures
            .skip_while(|boot| boot.state() == BootState::Starting)
            .map_while(Boot::failure)
            .take(FAILURES)
            .collect();
        let last = failures.first()?;
        let is_same = failures
            .iter()
            .all(|failure| failure.is_at_same_phase(last));
        (failures.len() == FAILURES && is_same).then(|| format!("{last} ({FAILURES} times)"))
    }

    /// All boots read so far, oldest first.
    pub fn boots(&self) -> &[Boot] {
        self.tracker.boots()
    }

    /// Reads what was written since the last call.
    pub fn read(&mut self) {
        let Ok(Some(file)) = files::open(&self.console) else {
            return;
        };
        let mut buffer = vec![0; BLOCK];
        // The rest is left to the next call.
        let end = self.offset + files::LARGE;
        while self.offset < end
            && let Ok(read @ 1..) = file.read_at(&mut buffer, self.offset)
        {
            self.tracker.feed(&buffer[..read]);
            self.offset += read as u64;
        }
    }

    /// The newest boot that began after this follower.
    pub fn new_boot(&self) -> Option<&Boot> {
        self.tracker
            .current()
            .filter(|boot| boot.launched.is_some() || boot.banner_offset.is_some())
    }

    /// The new boot, if its kernel banner and ready line were printed.
    pub fn ready_boot(&self) -> Option<&Boot> {
        self.new_boot()
            .filter(|boot| boot.banner_offset.is_some() && boot.ready.is_some())
    }

    /// Why the new boot died, if the console shows it.
    pub fn death(&self) -> Option<String> {
        self.new_boot().and_then(death_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_the_bug_that_led_to_it() {
        let console = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../testdata/console/real-oops.log"
        );
        let death = report(Utf8Path::new(console)).death.unwrap();
        let told = "Kernel panic - not syncing: Fatal exception: \
            BUG: kernel NULL pointer dereference, address: 0000000000000000, \
            in `lab_crash_init+0xc/0x1000 [lab_crash]` (";
        assert!(death.starts_with(told), "{death}");
    }
}
