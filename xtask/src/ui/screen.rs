//! The whole terminal, for a while: raw keys and the mouse come in, lines of
//! text go out, and whatever happens the terminal is given back as it was.
//! On rustix and a page of escape codes: a framework for widgets would add a
//! quarter to the time in which this binary compiles, and has no widget that
//! we would use.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::failure::{Because, Failure, Result};
use crate::run::{Attention, Signals};

/// What the user did.
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
    /// Nothing within the time that was given.
    Tick,
    /// SIGTERM or the like, or the terminal has gone.
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

/// Another screen, no cursor, clicks as numbers, no wrapping.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?1000h\x1b[?1006h\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?1006l\x1b[?1000l\x1b[?25h\x1b[0m\x1b[?1049l";
/// How long the rest of an escape sequence may take; alone it is the key.
const SEQUENCE: Duration = Duration::from_millis(40);
/// How often the size is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// The terminal while it is ours.
#[derive(Debug)]
pub struct Screen<'a> {
    terminal: File,
    before: Termios,
    signals: &'a Signals,
    size: (u16, u16),
    /// What is on it, row by row.
    shown: Vec<String>,
    input: Vec<u8>,
    _attention: Attention<'a>,
}

impl<'a> Screen<'a> {
    /// # Errors
    /// Where there is no terminal, exit code 2.
    pub fn open(signals: &'a Signals) -> Result<Self> {
        let none = || {
            Failure::usage("this needs a terminal")
                .hint("`--web` writes a page, `--top` prints text")
        };
        if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
            return Err(none());
        }
        // Not our standard streams: a profile may come from them.
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

    /// Show these rows; only those that changed are written. A terminal that
    /// has gone is told by the next event.
    pub fn draw(&mut self, rows: &[String]) {
        let mut out = String::new();
        for row in 0..usize::from(self.size.1) {
            let text = rows.get(row).map_or("", String::as_str);
            if self.shown.get(row).is_some_and(|shown| shown == text) {
                continue;
            }
            let _ = write!(out, "\x1b[{};1H\x1b[0m{text}\x1b[0m\x1b[K", row + 1);
        }
        self.shown = rows.to_vec();
        self.shown.resize(usize::from(self.size.1), String::new());
        let _ = self.terminal.write_all(out.as_bytes());
    }

    /// The next event, `Tick` after `limit`.
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
                // The rest of a sequence comes at once or not at all.
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
        let (terminal, wake) = (self.terminal.as_fd(), self.signals.fd());
        let mut fds = [
            PollFd::new(&terminal, PollFlags::IN),
            PollFd::new(&wake, PollFlags::IN),
        ];
        let _ = poll(&mut fds, Timespec::try_from(limit).ok().as_ref());
        let ready = fds[0].revents();
        self.signals.drain();
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

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// With the bytes that it took.
    Event(Event, usize),
    /// Bytes that mean nothing to us.
    Nothing(usize),
    More,
}

fn parse(input: &[u8]) -> Parsed {
    let key = |key, used| Parsed::Event(Event::Key(key), used);
    match input {
        [] | [0x1b] | [0x1b, b'O'] => Parsed::More,
        [0x1b, b'[', rest @ ..] => sequence(rest),
        [0x1b, b'O', letter, ..] => match arrow(*letter) {
            Some(arrow) => key(arrow, 3),
            None => Parsed::Nothing(3),
        },
        [0x1b, ..] => key(Key::Escape, 1),
        [b'\r' | b'\n', ..] => key(Key::Enter, 1),
        [b'\t', ..] => key(Key::Tab, 1),
        [0x7f | 0x08, ..] => key(Key::Backspace, 1),
        [0x03, ..] => key(Key::CtrlC, 1),
        [0..=0x1f, ..] => Parsed::Nothing(1),
        [first, ..] => {
            let len = match first {
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf7 => 4,
                _ => 1,
            };
            let Some(bytes) = input.get(..len) else {
                return Parsed::More;
            };
            let text = std::str::from_utf8(bytes).ok();
            match text.and_then(|text| text.chars().next()) {
                Some(c) => key(Key::Char(c), len),
                None => Parsed::Nothing(1),
            }
        }
    }
}

fn arrow(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'Z' => Key::BackTab,
        _ => return None,
    })
}

/// After `ESC [`.
fn sequence(rest: &[u8]) -> Parsed {
    let end = rest.iter().position(|c| (0x40..=0x7e).contains(c));
    let Some(end) = end else {
        // No terminal sends that much before the letter.
        return if rest.len() > 32 {
            Parsed::Nothing(rest.len() + 2)
        } else {
            Parsed::More
        };
    };
    let used = end + 3;
    let words = std::str::from_utf8(&rest[..end]).unwrap_or_default();
    let event = match rest[end] {
        letter @ (b'M' | b'm') if words.starts_with('<') => mouse(&words[1..], letter == b'M'),
        b'~' => match words.split(';').next() {
            Some("1" | "7") => Some(Event::Key(Key::Home)),
            Some("4" | "8") => Some(Event::Key(Key::End)),
            Some("5") => Some(Event::Key(Key::PageUp)),
            Some("6") => Some(Event::Key(Key::PageDown)),
            _ => None,
        },
        letter => arrow(letter).map(Event::Key),
    };
    event.map_or(Parsed::Nothing(used), |event| Parsed::Event(event, used))
}

/// `BUTTON;COLUMN;ROW`, from 1.
fn mouse(words: &str, pressed: bool) -> Option<Event> {
    let mut numbers = words.split(';').map(|word| word.parse::<u16>().ok());
    let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let (column, row) = (column.saturating_sub(1), row.saturating_sub(1));
    match button & !0b1_1100 {
        0 if pressed => Some(Event::Click(column, row)),
        2 if pressed => Some(Event::RightClick(column, row)),
        64 => Some(Event::Wheel(-3)),
        65 => Some(Event::Wheel(3)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(mut input: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match parse(input) {
                Parsed::Event(event, used) => {
                    events.push(event);
                    input = &input[used..];
                }
                Parsed::Nothing(used) => input = &input[used..],
                Parsed::More => return events,
            }
        }
    }

    #[test]
    fn keys_and_clicks_are_told_apart() {
        let key = Event::Key;
        assert_eq!(
            events("q\x1b[A\x1bOB\x1b[6~\x1b[1;5C\rä\x7f\x03".as_bytes()),
            [
                key(Key::Char('q')),
                key(Key::Up),
                key(Key::Down),
                key(Key::PageDown),
                key(Key::Right),
                key(Key::Enter),
                key(Key::Char('ä')),
                key(Key::Backspace),
                key(Key::CtrlC),
            ]
        );
        assert_eq!(
            events(b"\x1b[<0;11;5M\x1b[<0;11;5m\x1b[<2;1;1M\x1b[<64;1;1M\x1b[<65;1;1M"),
            [
                Event::Click(10, 4),
                Event::RightClick(0, 0),
                Event::Wheel(-3),
                Event::Wheel(3),
            ]
        );
        // What we do not know is passed over whole; half a sequence waits.
        assert_eq!(events(b"\x1b[200~x"), [key(Key::Char('x'))]);
        assert_eq!(parse(b"\x1b[<0;1"), Parsed::More);
        assert_eq!(parse(b"\x1b"), Parsed::More);
        assert_eq!(parse(&[0xff, b'x']), Parsed::Nothing(1));
    }
}
