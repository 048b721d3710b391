//! What a child prints, given to the step's log, the terminal and the error
//! message that may follow.

use std::collections::VecDeque;
use std::io::Write;

use camino::Utf8Path;
use talos::console::clean;

use super::Reader;
use crate::failure::{Because, Result};
use crate::record::own;
use crate::ui::Ui;

/// A log is evidence, not a disk filler.
const LOG_LIMIT: usize = 64 << 20;
/// Last lines kept, among which those for the error message are, and how much
/// of each.
const TAIL: usize = 100;
const TAIL_WIDTH: usize = 400;

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
    pub(super) fn open(log: Option<&Utf8Path>, ui: &'a Ui) -> Result<Self> {
        let open =
            |path: &Utf8Path| own::create(path, 0o600).because(|| format!("cannot write `{path}`"));
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

    pub(super) fn write(&mut self, chunk: &[u8]) {
        self.write_log(chunk);
        match &mut self.reader {
            Some(reader) => reader.read(chunk),
            None if self.quiet => {}
            None => self.ui.child_output(chunk),
        }
        self.remember(chunk);
    }

    pub(super) fn write_output(&mut self, chunk: &[u8]) {
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
