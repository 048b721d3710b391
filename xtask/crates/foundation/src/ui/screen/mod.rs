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
use std::io::{ErrorKind, Read, Write};
use std::pin::pin;
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::runtime::Runtime;
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use self::keys::{Parsed, parse};
use super::text::rendered;
use crate::failure::{Because, Failure, Result};
use crate::signals::{Attention, Signals};
use crate::wait::runtime;

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
    /// The caller's own event.
    Other,
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

/// The terminal in full-screen use.
#[derive(Debug)]
pub struct Screen<'a> {
    runtime: Runtime,
    events: Events,
    terminal: File,
    before: Termios,
    size: (u16, u16),
    /// The rows that the screen shows.
    shown: Vec<String>,
    _attention: Attention<'a>,
}

/// What a screen waits for.
#[derive(Debug)]
struct Events {
    /// Closed when the terminal is gone.
    typed: UnboundedReceiver<Vec<u8>>,
    resized: Signal,
    stops: watch::Receiver<usize>,
    input: Vec<u8>,
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
        let runtime = runtime()?;
        let cannot = || "cannot read the terminal".to_owned();
        let events = Events::new(&runtime, &terminal, signals).because(cannot)?;
        let mut raw = before.clone();
        raw.make_raw();
        let mut screen = Self {
            size: size(&terminal),
            runtime,
            events,
            terminal,
            before,
            shown: Vec::new(),
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

    /// Returns the next event, or `Other` when `other` is done.
    pub fn event(&mut self, other: impl Future<Output = ()>) -> Event {
        let event = self.runtime.block_on(self.events.next(other));
        if event == Event::Resize {
            self.size = size(&self.terminal);
            self.shown.clear();
            let _ = self.terminal.write_all(b"\x1b[2J");
        }
        event
    }
}

impl Events {
    fn new(runtime: &Runtime, terminal: &File, signals: &Signals) -> std::io::Result<Self> {
        let _context = runtime.enter();
        let resized = signal(SignalKind::window_change())?;
        let (typing, typed) = unbounded_channel();
        let terminal = terminal.try_clone()?;
        // A thread, since not every system can wait for `/dev/tty` otherwise. It
        // ends with the process.
        let thread = std::thread::Builder::new().name("terminal".to_owned());
        thread.spawn(move || read(terminal, &typing))?;
        Ok(Self {
            typed,
            resized,
            stops: signals.subscribe(),
            input: Vec::new(),
        })
    }

    async fn next(&mut self, other: impl Future<Output = ()>) -> Event {
        let mut other = pin!(other);
        loop {
            if *self.stops.borrow() > 0 {
                return Event::Stop;
            }
            if let Some(event) = self.parsed().await {
                return event;
            }
            select! {
                biased;
                _ = self.stops.wait_for(|count| *count > 0) => return Event::Stop,
                _ = self.resized.recv() => return Event::Resize,
                typed = self.typed.recv() => match typed {
                    Some(typed) => self.input.extend(typed),
                    None => return Event::Stop,
                },
                () = &mut other => return Event::Other,
            }
        }
    }

    async fn parsed(&mut self) -> Option<Event> {
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
                    if let Ok(Some(typed)) = timeout(SEQUENCE, self.typed.recv()).await {
                        self.input.extend(typed);
                        continue;
                    }
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

/// Passes on what is typed, until the terminal is gone.
fn read(mut terminal: File, typing: &UnboundedSender<Vec<u8>>) {
    let mut buffer = [0; 1024];
    loop {
        match terminal.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) if typing.send(buffer[..read].to_vec()).is_err() => return,
            Err(error) if error.kind() != ErrorKind::Interrupted => return,
            _ => {}
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
