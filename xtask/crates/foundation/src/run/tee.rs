//! The output of a step's child, which goes to the log, the terminal, and the
//! error message that may follow.

use std::collections::VecDeque;

use camino::Utf8Path;
use talos::console::clean;

use super::core::{Follow, Stream};
use super::log::Log;
use super::waits::WaitFilter;
use super::{Observed, Observer, Reader};
use crate::failure::{Because, Failure, Result};
use crate::ui::Ui;

/// How many last lines are kept for an error message, and how many characters of
/// each.
const TAIL: usize = 100;
const TAIL_WIDTH: usize = 400;
/// A helper answers with a few lines.
const ANSWER_LIMIT: usize = 1 << 20;

/// Log, terminal and the last lines for an error message.
pub(super) struct Tee<'a> {
    log: Log,
    ui: &'a Ui,
    tail: VecDeque<String>,
    /// The standard output is data for that of this process.
    pub(super) output_is_ours: bool,
    /// Nothing goes to the terminal.
    pub(super) quiet: bool,
    /// Chooses the lines that go to the terminal.
    pub(super) filter: Option<WaitFilter>,
    /// Gets the output in place of the terminal.
    pub(super) reader: Option<&'a mut dyn Reader>,
    pub(super) observer: Option<&'a mut Observer>,
    /// Gets the standard output of a helper.
    pub(super) answer: Option<Vec<u8>>,
}

impl<'a> Tee<'a> {
    /// # Errors
    /// When the log cannot be made.
    pub(super) fn open(log: Option<&Utf8Path>, ui: &'a Ui) -> Result<Self> {
        let open = |path: &Utf8Path| Log::create(path).because(|| format!("cannot write `{path}`"));
        Ok(Self {
            log: log.map(open).transpose()?.unwrap_or_default(),
            ui,
            tail: VecDeque::new(),
            output_is_ours: false,
            quiet: false,
            filter: None,
            reader: None,
            observer: None,
            answer: None,
        })
    }

    /// The last lines, and the answer of a helper.
    pub(super) fn into_parts(mut self) -> (Vec<String>, Vec<u8>) {
        if let Some(filter) = &mut self.filter {
            self.ui.child_output(&filter.finish());
        }
        (self.tail.into(), self.answer.unwrap_or_default())
    }

    fn write(&mut self, chunk: &[u8], is_data: bool) {
        // A full disk must not stop the work that is logged.
        if let Err(error) = self.log.write(chunk) {
            self.ui
                .note(&format!("the log of this step is not complete: {error}"));
        }
        match &mut self.reader {
            _ if is_data => self.ui.data(chunk),
            Some(reader) => reader.read(chunk),
            None if self.quiet => {}
            None => match &mut self.filter {
                Some(filter) => self.ui.child_output(&filter.feed(chunk)),
                None => self.ui.child_output(chunk),
            },
        }
        self.remember(chunk);
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

impl Follow for Tee<'_> {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if let (Stream::Out, Some(answer)) = (stream, &mut self.answer) {
            let room = ANSWER_LIMIT - answer.len();
            return answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.write(bytes, stream == Stream::Out && self.output_is_ours);
    }

    fn look(&mut self) -> Option<Failure> {
        if let Some(reader) = &mut self.reader {
            reader.tick();
        }
        match self.observer.as_mut().and_then(|look| look())? {
            Observed::Note(text) => {
                self.ui.note(&text);
                None
            }
            Observed::Failure(failure) => Some(failure),
        }
    }

    fn note(&mut self, text: &str) {
        self.ui.note(text);
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
            tee.output(Stream::Err, format!("line {number}\r\n").as_bytes());
        }
        tee.output(Stream::Err, b"\x1b[31mred\x1b[0m\n\n\xff\xfe broken\n");
        tee.output(
            Stream::Err,
            &[vec![b'y'; 70_000], b"\nend".to_vec()].concat(),
        );
        let tail = tee.into_parts().0;
        assert_eq!(tail.len(), TAIL);
        assert_eq!(tail[TAIL - 1], "end");
        assert_eq!(tail[TAIL - 2].chars().count(), TAIL_WIDTH + 1);
        assert_eq!(tail[TAIL - 3], "\u{fffd}\u{fffd} broken");
        assert_eq!(tail[TAIL - 4], "red");
        assert_eq!(tail[TAIL - 5], format!("line {}", 2 * TAIL - 1));
    }
}
