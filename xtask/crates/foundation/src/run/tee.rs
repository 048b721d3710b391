//! What a child prints: read without waiting, cut into whole lines, and given
//! to the step's log, the terminal and the error message that may follow.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rustix::io::Errno;
use talos::console::clean;

use super::Reader;
use crate::failure::{Because, Result};
use crate::ui::Ui;

/// A log is evidence, not a disk filler.
const LOG_LIMIT: usize = 64 << 20;
/// Last lines kept, among which those for the error message are, and how much
/// of each.
const TAIL: usize = 100;
const TAIL_WIDTH: usize = 400;
/// Read at once.
const BLOCK: usize = 64 << 10;
/// Blocks read before the signals are looked at again.
const TURN: usize = 32;
/// A line without its end is shown after this: it may be a prompt.
const STALE: Duration = Duration::from_millis(200);

/// Log, terminal and the last lines for an error message.
pub(super) struct Tee<'a> {
    log: Option<std::fs::File>,
    logged: usize,
    ui: &'a Ui,
    tail: VecDeque<String>,
    /// The standard output is data for ours.
    output_is_ours: bool,
    /// Only the log is written.
    quiet: bool,
    /// Gets it in place of the terminal.
    reader: Option<&'a mut dyn Reader>,
}

impl<'a> Tee<'a> {
    /// # Errors
    /// When the log cannot be made.
    #[expect(clippy::disallowed_methods, reason = "`run` writes the step's log")]
    pub(super) fn open(log: Option<&Utf8Path>, ui: &'a Ui) -> Result<Self> {
        let open = |path: &Utf8Path| {
            std::fs::File::create(path).because(|| format!("cannot write `{path}`"))
        };
        Ok(Self {
            log: log.map(open).transpose()?,
            logged: 0,
            ui,
            tail: VecDeque::new(),
            output_is_ours: false,
            quiet: false,
            reader: None,
        })
    }

    /// From here on the standard output goes to ours.
    pub(super) fn output_is_ours(&mut self, ours: bool) {
        self.output_is_ours = ours;
    }

    /// From here on the terminal shows nothing of it.
    pub(super) fn quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// From here on somebody else gets it in place of the terminal.
    pub(super) fn reader(&mut self, reader: Option<&'a mut dyn Reader>) {
        self.reader = reader;
    }

    /// For whoever reads.
    pub(super) fn tick(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.tick();
        }
    }

    pub(super) fn tail(self) -> Vec<String> {
        self.tail.into()
    }

    fn write(&mut self, chunk: &[u8]) {
        self.write_log(chunk);
        match &mut self.reader {
            Some(reader) => reader.read(chunk),
            None if self.quiet => {}
            None => self.ui.child_output(chunk),
        }
        self.remember(chunk);
    }

    fn write_output(&mut self, chunk: &[u8]) {
        if !self.output_is_ours {
            return self.write(chunk);
        }
        self.write_log(chunk);
        self.ui.data(chunk);
        self.remember(chunk);
    }

    /// A full disk must not stop the work that is logged, but is said.
    fn write_log(&mut self, chunk: &[u8]) {
        let Some(log) = &mut self.log else { return };
        let room = LOG_LIMIT - self.logged;
        let part = &chunk[..chunk.len().min(room)];
        self.logged += part.len();
        let mut result = log.write_all(part);
        if part.len() < chunk.len() {
            result = result.and_then(|()| log.write_all(b"\n[log ends here: 64 MiB]\n"));
            self.log = None;
        }
        if let Err(error) = result {
            self.log = None;
            self.ui
                .note(&format!("the log of this step is not complete: {error}"));
        }
    }

    /// Only the end of a chunk can be in the last lines.
    fn remember(&mut self, chunk: &[u8]) {
        let lines = chunk
            .rsplit(|byte| matches!(byte, b'\n' | b'\r'))
            .map(shortened)
            .filter(|line| !line.trim().is_empty())
            .take(TAIL);
        let mut lines: Vec<String> = lines.collect();
        lines.reverse();
        self.tail.extend(lines);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }
}

fn shortened(line: &[u8]) -> String {
    // Four bytes make a character at most; escape sequences come on top.
    let start = &line[..line.len().min(TAIL_WIDTH * 8)];
    let text = String::from_utf8_lossy(&clean(start)).into_owned();
    match text.char_indices().nth(TAIL_WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Our end of a pipe; the child's stays as the child expects it.
///
/// # Errors
/// The system's.
pub(super) fn never_wait(fd: impl AsFd) -> std::io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(
        &fd,
        flags | rustix::fs::OFlags::NONBLOCK,
    )?)
}

/// One output stream of a child.
#[derive(Default)]
pub(super) struct Stream {
    fd: Option<OwnedFd>,
    partial: Vec<u8>,
    read_at: Option<Instant>,
}

impl Stream {
    /// # Errors
    /// The system's.
    pub(super) fn new(fd: Option<impl Into<OwnedFd>>) -> std::io::Result<Self> {
        let fd = fd.map(Into::into);
        if let Some(fd) = &fd {
            never_wait(fd)?;
        }
        Ok(Self {
            fd,
            ..Self::default()
        })
    }

    /// To be polled; none once it is closed.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Take what is there, and at the end what has no line end.
    pub(super) fn read_into(&mut self, tee: &mut Tee<'_>) {
        self.read(|chunk| tee.write(chunk));
    }

    /// As [`Self::read_into`], for the standard output.
    pub(super) fn read_output(&mut self, tee: &mut Tee<'_>) {
        self.read(|chunk| tee.write_output(chunk));
    }

    /// As bytes, for a stream that is no log; at most `limit`.
    pub(super) fn read_to(&mut self, bytes: &mut Vec<u8>, limit: usize) {
        self.read(|chunk| {
            let room = limit.saturating_sub(bytes.len());
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        });
    }

    fn read(&mut self, mut sink: impl FnMut(&[u8])) {
        let Some(fd) = &self.fd else { return };
        let mut buffer = vec![0; BLOCK];
        // Bounded, so that a flood cannot keep us from looking at signals.
        for _ in 0..TURN {
            match rustix::io::read(fd, &mut buffer) {
                Ok(read @ 1..) => {
                    self.read_at = Some(Instant::now());
                    whole_lines(&mut self.partial, &buffer[..read], &mut sink);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Ok(0) | Err(_) => {
                    self.fd = None;
                    break;
                }
            }
        }
        if !self.partial.is_empty()
            && (self.fd.is_none() || self.read_at.is_none_or(|at| at.elapsed() > STALE))
        {
            sink(&self.partial);
            self.partial.clear();
        }
    }

    /// As [`Self::finish`], for the standard output.
    pub(super) fn finish_output(&mut self, tee: &mut Tee<'_>) {
        self.read_output(tee);
        if !self.partial.is_empty() {
            tee.write_output(&self.partial);
            self.partial.clear();
        }
    }

    /// Whatever it still holds is never completed.
    pub(super) fn finish(&mut self, tee: &mut Tee<'_>) {
        self.read_into(tee);
        if !self.partial.is_empty() {
            tee.write(&self.partial);
            self.partial.clear();
        }
    }
}

/// Hand on everything up to the last line end; keep the rest.
fn whole_lines(partial: &mut Vec<u8>, new: &[u8], sink: &mut impl FnMut(&[u8])) {
    // Progress bars end their lines with a carriage return only.
    let end = new.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    let cut = end.map_or(0, |end| end + 1);
    let (whole, rest) = new.split_at(cut);
    if !whole.is_empty() {
        if partial.is_empty() {
            sink(whole);
        } else {
            partial.extend_from_slice(whole);
            sink(partial);
            partial.clear();
        }
    }
    partial.extend_from_slice(rest);
    if partial.len() > BLOCK {
        sink(partial);
        partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Color;

    fn tee(ui: &Ui) -> Tee<'_> {
        Tee::open(None, ui).unwrap()
    }

    fn quiet() -> Ui {
        Ui::new(Color::Never, true, false)
    }

    #[test]
    fn lines_are_whole_whatever_the_blocks() {
        let text = b"one\ntwo\rthree\nrest";
        for size in 1..text.len() {
            let (mut partial, mut out) = (Vec::new(), Vec::<Vec<u8>>::new());
            for block in text.chunks(size) {
                whole_lines(&mut partial, block, &mut |chunk: &[u8]| {
                    out.push(chunk.to_vec());
                });
            }
            assert!(
                out.iter()
                    .all(|chunk| chunk.ends_with(b"\n") || chunk.ends_with(b"\r")),
                "{out:?}"
            );
            assert_eq!([out.concat(), partial].concat(), text);
        }
    }

    #[test]
    fn a_line_without_end_does_not_grow_in_memory() {
        let (mut partial, mut seen) = (Vec::new(), 0);
        for _ in 0..100 {
            whole_lines(&mut partial, &[b'x'; 10_000], &mut |chunk: &[u8]| {
                seen += chunk.len();
            });
            assert!(partial.len() <= BLOCK);
        }
        assert_eq!(seen + partial.len(), 1_000_000);
    }

    #[test]
    fn the_tail_is_the_last_lines_in_order_clean_and_short() {
        let ui = quiet();
        let mut tee = tee(&ui);
        for number in 0..2 * TAIL {
            tee.write(format!("line {number}\r\n").as_bytes());
        }
        tee.write(b"\x1b[31mred\x1b[0m\n\n\xff\xfe broken\n");
        tee.write(&[vec![b'y'; 70_000], b"\nend".to_vec()].concat());
        let tail = tee.tail();
        assert_eq!(tail.len(), TAIL);
        assert_eq!(tail[TAIL - 1], "end");
        assert_eq!(tail[TAIL - 2].chars().count(), TAIL_WIDTH + 1);
        assert_eq!(tail[TAIL - 3], "\u{fffd}\u{fffd} broken");
        assert_eq!(tail[TAIL - 4], "red");
        assert_eq!(tail[TAIL - 5], format!("line {}", 2 * TAIL - 1));
    }

    #[test]
    fn a_log_is_bounded_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("log");
        let ui = quiet();
        let mut tee = Tee::open(Some(&path), &ui).unwrap();
        let mut chunk = vec![b'z'; 1 << 20];
        chunk[(1 << 20) - 1] = b'\n';
        for _ in 0..70 {
            tee.write(&chunk);
        }
        let log = std::fs::read(&path).unwrap();
        assert_eq!(log.len(), LOG_LIMIT + b"\n[log ends here: 64 MiB]\n".len());
        assert!(log.ends_with(b"[log ends here: 64 MiB]\n"));
    }
}
