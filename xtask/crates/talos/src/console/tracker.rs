//! Turns bytes of a console into boots.

use super::boot::{Boot, End, Launch};
use super::clock::{Clock, Stamped};
use super::death::{self, Death, Source};
use super::line::{Lines, clean};
use super::marker::{Marker, last_words, marker};
use super::oops::Oops;
use super::phases;
use super::talos_line::TalosLine;
use memchr::memmem::find;

/// Boots that a tracker keeps: a node that panics restarts every few seconds,
/// for days. The oldest go first.
pub const MAX_BOOTS: usize = 64;
/// Warnings kept of a boot, for the same reason.
const MAX_WARNINGS: usize = 16;

/// Follows one console, which is fed in chunks of any size.
#[derive(Debug, Default)]
pub struct BootTracker {
    lines: Lines,
    facts: Facts,
}

impl BootTracker {
    /// Follows a console from `offset` on, the first byte of a line.
    pub fn at(offset: u64) -> Self {
        Self {
            lines: Lines::at(offset),
            facts: Facts::default(),
        }
    }

    /// Takes the next bytes of the console.
    pub fn feed(&mut self, chunk: &[u8]) {
        let facts = &mut self.facts;
        self.lines
            .feed(chunk, |offset, line| facts.line(offset, line));
    }

    /// Takes the last line even without a newline: for a console that has ended.
    pub fn finish(&mut self) {
        let facts = &mut self.facts;
        self.lines.finish(|offset, line| facts.line(offset, line));
    }

    /// Continues at `offset`, the first byte of a line, as if nothing important
    /// were in between.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.finish();
        self.lines = Lines::at(offset);
    }

    /// Boots so far, oldest first, at most [`MAX_BOOTS`].
    pub fn boots(&self) -> &[Boot] {
        &self.facts.boots
    }

    /// The newest boot.
    pub fn current(&self) -> Option<&Boot> {
        self.facts.boots.last()
    }

    pub(super) fn into_current(mut self) -> Option<Boot> {
        self.facts.boots.pop()
    }
}

#[derive(Debug, Default)]
struct Facts {
    boots: Vec<Boot>,
    /// The next line is the launcher's arguments.
    args_next: bool,
    /// That of the newest boot.
    clock: Clock,
    /// Sequence that phases belong to.
    sequence: String,
    /// QEMU's newest error message: the reason if it ends with an error.
    last_qemu_line: Option<String>,
}

impl Facts {
    fn line(&mut self, offset: u64, line: &[u8]) {
        let end = offset + line.len() as u64 + 1;
        let text = clean(line);
        self.text(offset, &text);
        if let Some(boot) = self.boots.last_mut() {
            boot.end_offset = end;
            boot.last_time = self.clock.last();
        }
    }

    fn text(&mut self, offset: u64, text: &[u8]) {
        // A launcher's line can follow an incomplete one: then it does not have
        // the other's arguments.
        let is_args = text.starts_with(b"-") && marker(text).is_none();
        if std::mem::take(&mut self.args_next) && is_args {
            if let Some(Launch { args, .. }) =
                self.boots.last_mut().and_then(|b| b.launched.as_mut())
            {
                *args = lossy(text);
            }
            return;
        }
        match marker(text) {
            Some(Marker::Launch { qemu }) => self.launched(offset, qemu),
            Some(Marker::Banner { version }) => self.banner(offset, version),
            None => match self.clock.read(text) {
                Some(Stamped::Kernel(time, rest)) => self.kernel(offset, time, rest),
                Some(Stamped::Container(time, talos)) => self.talos(offset, time, talos),
                None => self.plain(offset, text),
            },
        }
    }

    fn push(&mut self, boot: Boot) {
        if self.boots.len() == MAX_BOOTS {
            self.boots.remove(0);
        }
        self.clock = Clock::default();
        self.sequence.clear();
        self.last_qemu_line = None;
        self.boots.push(boot);
    }

    fn launched(&mut self, offset: u64, qemu: &[u8]) {
        let launched = Some(Launch {
            qemu: lossy(qemu),
            args: String::new(),
        });
        self.push(Boot {
            offset,
            launched,
            ..Boot::default()
        });
        self.args_next = true;
    }

    /// A banner in a boot that had one already is a new boot: kexec.
    fn banner(&mut self, offset: u64, version: &[u8]) {
        if self
            .boots
            .last()
            .is_none_or(|boot| boot.banner_offset.is_some())
        {
            self.push(Boot {
                offset,
                ..Boot::default()
            });
        }
        let Some(boot) = self.boots.last_mut() else {
            return;
        };
        boot.banner_offset = Some(offset);
        boot.kernel = version.split(|b| *b == b' ').next().map(lossy);
    }

    fn kernel(&mut self, offset: u64, time: f64, rest: &[u8]) {
        let Some(boot) = self.boots.last_mut() else {
            return;
        };
        if let Some(talos) = rest.strip_prefix(b"[talos] ") {
            self.talos(offset, time, talos);
        } else if let Some(death) = death::find(Source::Kernel, rest, rest, offset) {
            record(boot, death);
        } else if rest.starts_with(b"reboot: ") && boot.end.is_none() {
            boot.end = match rest {
                b"reboot: Power down" | b"reboot: System halted" => Some(End::Shutdown),
                _ => Some(End::Reboot),
            };
        } else if boot.death.is_none() {
            Oops::read(&mut boot.oops, rest);
        }
        if find(rest, b"exiting VM as ").is_some() {
            self.stopping(rest);
        }
    }

    fn talos(&mut self, offset: u64, time: f64, talos: &[u8]) {
        let Some(boot) = self.boots.last_mut() else {
            return;
        };
        if let Some(death) = death::find(Source::Talos, talos, talos, offset) {
            record(boot, death);
        }
        let Ok(text) = std::str::from_utf8(talos) else {
            return;
        };
        let Some(line) = TalosLine::parse(text) else {
            return;
        };
        match line {
            TalosLine::Init { tag } => {
                boot.initramfs.get_or_insert(time);
                boot.talos = boot.talos.take().or_else(|| tag.map(str::to_owned));
            }
            TalosLine::Ready => {
                boot.ready.get_or_insert(time);
            }
            TalosLine::SequenceBegan { name } => {
                boot.machined.get_or_insert(time);
                boot.end = boot.end.take().or_else(|| phases::end_of(name));
                name.clone_into(&mut self.sequence);
            }
            TalosLine::SequenceDone { name: "boot" } => {
                boot.booted.get_or_insert(time);
            }
            TalosLine::SequenceDone { .. } => {}
            TalosLine::SequenceFailed { name } => {
                boot.end = Some(End::Failed {
                    sequence: name.to_owned(),
                });
            }
            _ => phases::apply(boot, &self.sequence, time, line),
        }
    }

    fn plain(&mut self, offset: u64, text: &[u8]) {
        if text.starts_with(b"qemu") {
            self.last_qemu_line = Some(lossy(text));
            self.found(death::find(Source::Qemu, text, text, offset));
        } else if find(text, b"exiting VM as ").is_some()
            || text.starts_with(b"gracefully shutting down VM ")
        {
            self.stopping(text);
        } else if let Some(words) = last_words(text) {
            self.launcher_exit(offset, words);
        } else if let Some(death) = death::find(Source::Plain, text, text, offset) {
            if death.line.starts_with("error ") {
                self.launcher_exit(offset, text);
            } else {
                self.found(Some(death));
            }
        }
    }

    fn found(&mut self, death: Option<Death>) {
        if let (Some(boot), Some(death)) = (self.boots.last_mut(), death) {
            record(boot, death);
        }
    }

    fn stopping(&mut self, text: &[u8]) {
        let Some(boot) = self.boots.last_mut() else {
            return;
        };
        boot.end.get_or_insert(match () {
            () if text.starts_with(b"gracefully ") => End::Shutdown,
            () if find(text, b"as signal ").is_some() => End::Stopped,
            // The stop command of the API: power-off or reboot, as the next boot will
            // show.
            () => End::Reboot,
        });
    }

    /// The launcher has ended, perhaps before it started QEMU.
    fn launcher_exit(&mut self, offset: u64, words: &[u8]) {
        if self
            .boots
            .last()
            .is_none_or(|boot| boot.launcher_exit.is_some())
        {
            self.push(Boot {
                offset,
                ..Boot::default()
            });
        }
        let words = lossy(words).trim().to_owned();
        let by_pattern = death::find(Source::Plain, words.as_bytes(), words.as_bytes(), offset);
        let last_qemu_line = self.last_qemu_line.take();
        let Some(boot) = self.boots.last_mut() else {
            return;
        };
        if let Some(death) =
            by_pattern.or_else(|| death::by_launcher(&words, last_qemu_line.as_deref(), offset))
        {
            record(boot, death);
        }
        boot.launcher_exit = Some(words);
    }
}

fn record(boot: &mut Boot, death: Death) {
    if !death.kind.is_fatal() {
        if boot.warnings.len() < MAX_WARNINGS {
            boot.warnings.push(death);
        }
    } else if boot.death.is_none() {
        boot.death = Some(death);
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
