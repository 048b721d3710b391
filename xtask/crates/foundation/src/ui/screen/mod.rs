//! Full-screen use of the terminal: raw keys and the mouse come in, lines of text
//! go out, and the terminal is always restored.
//!
//! crossterm 0.29 would replace about 110 lines, at five seconds of compile time, and
//! takes an escape sequence that arrives in two parts for the Escape key and its
//! letters. When the terminal hangs up, it polls without pause and reports nothing,
//! and its own handler for SIGWINCH would stand beside those of [`Signals`].

mod keys;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use self::keys::{Parsed, parse};
use super::text::rendered;
use crate::failure::{Because, Failure, Result};
use crate::signals::{Attention, Signals};

/// An event of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Key(Key),
    /// Column and row, from 0.
    Click(u16, u16),
    RightClick(u16, u16),
    /// Rows; negative is up.
    Wheel(i16),
    /// The terminal has another size.
    Resize,
    /// Nothing within the given time.
    Tick,
    /// SIGTERM, SIGINT or SIGHUP, or the terminal is gone.
    Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Tab,
    BackTab,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    CtrlC,
}

/// Alternate screen, no cursor, mouse reports as numbers, no wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1006h\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?1006l\x1b[?1000l\x1b[?25h\x1b[0m\x1b[?1049l";
/// How long to wait for the rest of an escape sequence; without it, it is the
/// Escape key.
const SEQUENCE: Duration = Duration::from_millis(40);
/// How often the size of the terminal and the count of signals are read.
const LOOK: Duration = Duration::from_millis(200);

/// The terminal in full-screen use.
#[derive(Debug)]
pub struct Screen<'a> {
    terminal: File,
    before: Termios,
    signals: &'a Signals,
    size: (u16, u16),
    /// The rows that the screen shows.
    shown: Vec<String>,
    input: Vec<u8>,
    _attention: Attention<'a>,
}

impl<'a> Screen<'a> {
    /// # Errors
    /// Exit code 2 when there is no terminal.
    pub fn open(signals: &'a Signals) -> Result<Self> {
        let none = || {
            Failure::usage("this needs a terminal")
                .hint("`--web` writes a page, `--top` prints text")
        };
        if super::is_dumb() {
            return Err(none());
        }
        // Not the standard streams: a profile may come from them.
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let terminal = rustix::fs::open("/dev/tty", flags, rustix::fs::Mode::empty());
        let terminal = File::from(terminal.map_err(|_| none())?);
        let before = tcgetattr(&terminal).map_err(|_| none())?;
        let attention = signals.attend();
        let mut raw = before.clone();
        raw.make_raw();
        let mut screen = Self {
            size: size(&terminal),
            terminal,
            before,
            signals,
            shown: Vec::new(),
            input: Vec::new(),
            _attention: attention,
        };
        tcsetattr(&screen.terminal, OptionalActions::Flush, &raw)
            .because(|| "cannot set up the terminal".to_owned())?;
        let entered = screen.terminal.write_all(ENTER.as_bytes());
        entered.because(|| "cannot write to the terminal".to_owned())?;
        Ok(screen)
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        self.size
    }

    /// Shows these rows, in styles of [`super::text::sgr`]; only changed rows are
    /// written. The next event reports a terminal that is gone.
    pub fn draw(&mut self, rows: &[String]) {
        let mut out = String::new();
        for row in 0..usize::from(self.size.1) {
            let text = rows.get(row).map_or("", String::as_str);
            if self.shown.get(row).is_some_and(|shown| shown == text) {
                continue;
            }
            // A line break would move what follows.
            let text = rendered(text).replace(['\n', '\r', '\t'], " ");
            let _ = write!(out, "\x1b[{};1H\x1b[0m{text}\x1b[0m\x1b[K", row + 1);
        }
        self.shown = rows.to_vec();
        self.shown.resize(usize::from(self.size.1), String::new());
        let _ = self.terminal.write_all(out.as_bytes());
    }

    /// Returns the next event, or `Tick` after `limit`.
    pub fn event(&mut self, limit: Duration) -> Event {
        let end = Instant::now() + limit;
        loop {
            if self.signals.count() > 0 {
                return Event::Stop;
            }
            let now = size(&self.terminal);
            if now != self.size {
                self.size = now;
                self.shown.clear();
                let _ = self.terminal.write_all(b"\x1b[2J");
                return Event::Resize;
            }
            if let Some(event) = self.parsed() {
                return event;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Tick;
            }
            if !self.fill(left.min(LOOK)) {
                return Event::Stop;
            }
        }
    }

    fn parsed(&mut self) -> Option<Event> {
        loop {
            match parse(&self.input) {
                Parsed::Event(event, used) => {
                    self.input.drain(..used);
                    return Some(event);
                }
                Parsed::Nothing(used) => {
                    self.input.drain(..used);
                }
                Parsed::More if self.input.is_empty() => return None,
                // The rest of a sequence arrives at once or never.
                Parsed::More => {
                    let had = self.input.len();
                    if !self.fill(SEQUENCE) || self.input.len() == had {
                        let escape = self.input.first() == Some(&0x1b);
                        self.input.remove(0);
                        if escape {
                            self.input.clear();
                            return Some(Event::Key(Key::Escape));
                        }
                    }
                }
            }
        }
    }

    /// Whether the terminal is still there.
    fn fill(&mut self, limit: Duration) -> bool {
        let terminal = self.terminal.as_fd();
        let mut fds = [PollFd::new(&terminal, PollFlags::IN)];
        let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
        let ready = fds[0].revents();
        if !ready.contains(PollFlags::IN) {
            return !ready.intersects(PollFlags::HUP | PollFlags::ERR);
        }
        let mut buffer = [0; 1024];
        match self.terminal.read(&mut buffer) {
            Ok(0) => false,
            Ok(read) => {
                self.input.extend_from_slice(&buffer[..read]);
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::Interrupted,
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.terminal.write_all(LEAVE.as_bytes());
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn size(terminal: &File) -> (u16, u16) {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}
