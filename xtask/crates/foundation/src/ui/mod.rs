//! The output of this program: data on stdout, everything else on stderr;
//! colour only where it is wanted. The only place that writes to the standard
//! streams, and all text passes [`text::rendered`] on its way.
#![expect(
    clippy::disallowed_methods,
    reason = "this module prints for all others"
)]

pub mod keys;
pub mod screen;
pub mod text;

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use text::{hanging, rendered, sgr};

use crate::failure::Failure;
use crate::plan::{Action, Privilege, Step, in_words};
use crate::typed::as_started;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether output is coloured: `--color` goes before the environment.
    /// <https://no-color.org> and <https://bixense.com/clicolors>: set and not empty.
    fn is_wanted(self, terminal: bool) -> bool {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_zero = |name| std::env::var_os(name).is_some_and(|value| value == "0");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if is_set("NO_COLOR") => false,
            Self::Auto if is_set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") => true,
            Self::Auto => {
                let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                terminal && !is_dumb && !is_zero("CLICOLOR")
            }
        }
    }
}

/// Whether the terminal can only print one line after another.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// The first error of writing to standard output.
static UNWRITTEN: OnceLock<String> = OnceLock::new();
/// Whether a report was printed as JSON.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Remembers why something could not be written. A closed pipe (`| head`) is not an error.
fn noted<T>(written: std::io::Result<T>) -> std::io::Result<T> {
    written.inspect_err(|error| {
        if error.kind() != ErrorKind::BrokenPipe {
            let _ = UNWRITTEN.set(error.to_string());
        }
    })
}

/// The failure of a run whose standard output is not complete.
pub fn unwritten() -> Option<Failure> {
    let cause = UNWRITTEN.get()?;
    Some(Failure::step("cannot write to standard output").cause(cause))
}

/// Output settings of this run.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "properties of a terminal")]
pub struct Ui {
    color_out: bool,
    color_err: bool,
    quiet: bool,
    yes: bool,
    interactive: bool,
    screen: bool,
    /// The log is one of GitHub Actions, which folds groups of lines.
    has_groups: bool,
}

/// Lines of a log that are folded until this is dropped.
#[derive(Debug)]
pub struct Group(());

impl Drop for Group {
    fn drop(&mut self) {
        say("::endgroup::\n");
    }
}

/// Terminal styles by meaning.
#[derive(Debug, Clone, Copy)]
pub enum Style {
    Good,
    Warn,
    Bad,
    Dim,
    Bold,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }
}

impl Ui {
    pub fn new(color: Color, quiet: bool, yes: bool) -> Self {
        Self {
            screen: std::io::stdout().is_terminal() && !is_dumb(),
            color_out: color.is_wanted(std::io::stdout().is_terminal()),
            color_err: color.is_wanted(std::io::stderr().is_terminal()),
            quiet,
            yes,
            interactive: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            has_groups: std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true"),
        }
    }

    /// Whether a user can answer a question.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Whether standard output is a terminal with cursor control.
    pub fn has_screen(&self) -> bool {
        self.screen
    }

    /// Whether a full-screen view may use colours.
    pub fn has_colour(&self) -> bool {
        self.color_out || (!self.screen && self.color_err)
    }

    /// Styles text for stdout.
    pub fn paint(&self, style: Style, text: &str) -> String {
        painted(self.color_out, style, text)
    }

    fn paint_err(&self, style: Style, text: &str) -> String {
        painted(self.color_err, style, text)
    }

    /// Folds what is printed from now on below `title`, where the log can do so.
    pub fn group(&self, title: &str) -> Option<Group> {
        if !self.has_groups || self.quiet {
            return None;
        }
        say(&format!("::group::{}\n", text::one_line(title)));
        Some(Group(()))
    }

    /// Prints the reason of a step and its command as it could be typed.
    pub fn step(&self, step: &Step) {
        if self.quiet {
            return;
        }
        let root = if step.privilege == Privilege::Root {
            " [root]"
        } else {
            ""
        };
        let mark = self.paint_err(Style::Bold, "▸");
        let why = hanging(&step.why, 2);
        if matches!(&step.action, Action::Run(run) if run.silent) {
            return say(&format!("{mark} {why}{root}\n"));
        }
        let command = in_words(step).replace('\n', "\n  ");
        let command = self.paint_err(Style::Dim, &command);
        say(&format!("{mark} {why}{root}\n  {command}\n"));
    }

    /// Prints that a part of long work begins: `▸ 2/5 talosctl 1.12.0 (after 41 s)`.
    pub fn part(&self, number: usize, of: usize, name: &str, elapsed: Duration) {
        if self.quiet {
            return;
        }
        let after = match elapsed.as_secs() {
            0 => String::new(),
            seconds => format!(" (after {seconds} s)"),
        };
        let mark = self.paint_err(Style::Bold, "▸");
        say(&format!(
            "{mark} {number}/{of} {}{after}\n",
            text::one_line(name)
        ));
    }

    /// Prints a decision made for the user.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            say(&format!(
                "{} {}\n",
                self.paint_err(Style::Warn, "note:"),
                hanging(text, "note: ".len())
            ));
        }
    }

    /// Prints the progress of work without a child process.
    pub fn progress(&self, text: &str) {
        if !self.quiet {
            say(&format!("{}\n", self.paint_err(Style::Dim, text)));
        }
    }

    /// Whether standard error is a terminal with cursor control.
    pub fn can_draw(&self) -> bool {
        std::io::stderr().is_terminal() && !self.quiet && !is_dumb()
    }

    /// Replaces the last `lines` lines by text.
    pub fn draw(&self, lines: usize, text: &str) {
        let text = rendered(text);
        write_err(&match lines {
            0 => text.into_owned(),
            _ => format!("\x1b[{lines}A\x1b[J{text}"),
        });
    }

    /// Columns and lines of the terminal at standard error.
    pub fn size(&self) -> Option<(usize, usize)> {
        let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
        let (width, height) = (usize::from(size.ws_col), usize::from(size.ws_row));
        (width > 0 && height > 0).then_some((width, height))
    }

    /// Styles text for standard error.
    pub fn paint_drawn(&self, style: Style, text: &str) -> String {
        self.paint_err(style, text)
    }

    /// Prints a report for the user if standard output has JSON.
    pub fn report(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// Passes the output of a child on, unchanged.
    pub fn child_output(&self, chunk: &[u8]) {
        if !self.quiet {
            let _ = std::io::stderr().write_all(chunk);
        }
    }

    /// Passes the output of a child to standard output. A closed pipe is not an
    /// error of the child.
    pub fn data(&self, chunk: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = noted(out.write_all(chunk).and_then(|()| out.flush()));
    }

    pub fn failure(&self, failure: &Failure) {
        say(&format!(
            "{} {failure}\n",
            self.paint_err(Style::Bad, "error:")
        ));
    }

    /// Asks on the terminal; `--yes` answers. `None` without a terminal.
    pub fn confirm(&self, question: &str) -> Option<bool> {
        if self.yes {
            return Some(true);
        }
        if !self.interactive {
            return None;
        }
        say(&format!("{question} [y/N] "));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim(), "y" | "Y" | "yes"))
    }
}

/// Breaks a paragraph that begins at column `indent` so that it fits the terminal; what goes
/// to a file or a pipe stays one line.
pub fn paragraph(text: &str, indent: usize) -> String {
    if std::io::stdout().is_terminal() && !text.contains('\n') {
        return text::wrapped(text, indent, columns());
    }
    hanging(text, indent).into_owned()
}

/// Columns of the terminal, as clap finds them for help: at most 100.
pub fn columns() -> usize {
    let mut sizes = [
        rustix::termios::tcgetwinsize(std::io::stdout()),
        rustix::termios::tcgetwinsize(std::io::stderr()),
        rustix::termios::tcgetwinsize(std::io::stdin()),
    ]
    .into_iter();
    let terminal = sizes.find_map(|size| size.ok().map(|size| usize::from(size.ws_col)));
    let asked = || std::env::var("COLUMNS").ok()?.parse().ok();
    let columns = terminal.filter(|columns| *columns > 0).or_else(asked);
    columns.unwrap_or(WIDEST).clamp(NARROWEST, WIDEST)
}

const WIDEST: usize = 100;
const NARROWEST: usize = 40;

/// Prints clap's message about a command line: help and the version on stdout,
/// coloured as wanted; a usage error on stderr. Of an error only `error:` is
/// coloured, because the rest quotes what was typed.
pub fn clap_message(error: &clap::Error, color: Color) {
    let text = error.render();
    if !error.use_stderr() {
        return print(&if color.is_wanted(std::io::stdout().is_terminal()) {
            text::with_marks(&as_started(&text.ansi().to_string()))
        } else {
            as_started(&text.to_string())
        });
    }
    let text = as_started(&text.to_string());
    let prefix = "error:";
    say(&match text.strip_prefix(prefix) {
        Some(rest) if color.is_wanted(std::io::stderr().is_terminal()) => {
            painted(true, Style::Bad, prefix) + rest
        }
        _ => text,
    });
}

/// Prints to stderr, in one piece.
pub fn say(text: &str) {
    write_err(&rendered(text));
}

/// Ignores a closed pipe, which must not end the program in the middle of its
/// work, as `eprintln!` would.
fn write_err(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Prints text to stdout. A closed pipe (`| head`) is not an error.
pub fn print(text: &str) {
    let _ = try_print(text);
}

/// Prints bytes to stdout.
pub fn print_bytes(bytes: &[u8]) {
    let _ = try_print_bytes(bytes);
}

/// Prints bytes as they are, for callers that stop when the pipe is closed.
///
/// # Errors
/// I/O errors, including a broken pipe.
pub fn try_print_bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    noted(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Prints text to stdout, for callers that stop when the pipe is closed.
///
/// # Errors
/// I/O errors, including a broken pipe.
pub fn try_print(text: &str) -> std::io::Result<()> {
    try_print_bytes(rendered(text).as_bytes())
}

/// Returns a report, an object, with the version of its schema. Fields are added
/// to reports, never changed.
#[must_use]
pub fn with_schema(mut fields: serde_json::Value) -> serde_json::Value {
    fields["schema"] = 1.into();
    fields
}

/// Prints a report as JSON to stdout.
pub fn print_report(fields: serde_json::Value) {
    print_json(&with_schema(fields));
}

/// Prints a report with a list, which may be too long to be in memory as a whole.
pub fn print_listing(
    fields: serde_json::Value,
    list: &str,
    items: impl Iterator<Item = serde_json::Value>,
) {
    REPORTED.store(true, Ordering::Relaxed);
    // A closed pipe (`| head`) is not an error.
    let _ = try_print_listing(&with_schema(fields), list, items);
}

fn try_print_listing(
    fields: &serde_json::Value,
    list: &str,
    items: impl Iterator<Item = serde_json::Value>,
) -> std::io::Result<()> {
    let fields = format!("{fields:#}");
    let head = fields.strip_suffix("\n}").unwrap_or(&fields);
    try_print_json(&format!("{head},\n  \"{list}\": ["))?;
    let mut separator = "\n    ";
    let mut end = "]\n}\n";
    for item in items {
        // In strings, line ends are escaped.
        let item = format!("{item:#}").replace('\n', "\n    ");
        try_print_json(&format!("{separator}{item}"))?;
        separator = ",\n    ";
        end = "\n  ]\n}\n";
    }
    try_print(end)
}

/// [`text::json`] leaves nothing that [`try_print`] would escape.
fn try_print_json(text: &str) -> std::io::Result<()> {
    try_print_bytes(text::json(text).as_bytes())
}

/// Prints a failure as JSON to stdout, in one line, unless a report is there already.
pub fn print_failure(failure: &Failure) {
    if !REPORTED.load(Ordering::Relaxed) {
        print_json_line(&with_schema(failure.to_json()));
    }
}

/// Prints JSON to stdout.
pub fn print_json(value: &serde_json::Value) {
    REPORTED.store(true, Ordering::Relaxed);
    let _ = try_print_json(&format!("{value:#}\n"));
}

/// Prints JSON to stdout in one line.
pub fn print_json_line(value: &serde_json::Value) {
    REPORTED.store(true, Ordering::Relaxed);
    let _ = try_print_json(&format!("{value}\n"));
}

fn painted(wanted: bool, style: Style, text: &str) -> String {
    if wanted {
        format!("{}{text}{}", sgr(style.code()), sgr("0"))
    } else {
        text.to_owned()
    }
}
