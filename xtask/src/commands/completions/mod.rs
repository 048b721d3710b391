//! `completions`: what a shell offers at Tab, for `cargo xtask` and for an installed `xtask`.

mod install;
mod line;
mod man;
mod values;

use std::ffi::OsString;
use std::fmt::Write;

use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine;

use foundation::ctx::dirs::Dirs;
use foundation::failure::{Failure, Result};
use foundation::typed;
use foundation::ui;
use foundation::ui::text::one_line;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask completions --install           for the shell that $SHELL names\n  \
        cargo xtask completions --install zsh\n  cargo xtask completions man --out ~/.local/share/man/man1\n\n\
        `cargo xtask` and Tab asks the binary of the checkout that the current folder is in. It is only asked \
        after you have run `cargo xtask` in that checkout; nothing is compiled."
)]
pub struct CompletionsCommand {
    #[command(subcommand)]
    pub verb: Option<CompletionsVerb>,
    /// Shell to print completions for [default, with --install: the one that $SHELL names]
    pub shell: Option<Shell>,
    /// Write the completions to a file, and a line that reads it to the startup file of the shell
    #[arg(long)]
    pub install: bool,
    /// Remove what --install has written
    #[arg(long, conflicts_with = "install")]
    pub uninstall: bool,
}

#[derive(Debug, Subcommand)]
pub enum CompletionsVerb {
    /// Print the manual page, or write one of each command to a folder
    Man {
        /// Folder for the pages, such as ~/.local/share/man/man1
        #[arg(long, value_name = "DIR")]
        out: Option<Utf8PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// Scripts that ask this program what to offer.
const BASH: &str = include_str!("bash.sh");
const ZSH: &str = include_str!("zsh.sh");
const FISH: &str = include_str!("fish.fish");

/// Longest help beside a value.
const HELP: usize = 80;

pub(crate) fn run(
    args: &CompletionsCommand,
    is_dry: bool,
    command: fn() -> clap::Command,
) -> Result<u8> {
    if let Some(CompletionsVerb::Man { out }) = &args.verb {
        return man::run(command(), out.as_deref(), is_dry);
    }
    if args.install || args.uninstall {
        let shell = args.shell.map_or_else(shell_of_user, Ok)?;
        return install::run(shell, args.uninstall, is_dry);
    }
    let Some(shell) = args.shell else {
        return Err(Failure::usage("no shell is named")
            .cause("it is bash, elvish, fish, powershell or zsh")
            .hint(format!(
                "{}, or `{}` for the shell that $SHELL names",
                typed!("completions bash"),
                typed!("completions --install")
            )));
    };
    ui::print(&script(shell, command));
    // Tab may run what the user has run. Without a state folder, it does not.
    if let Ok(dirs) = Dirs::from_env() {
        let _ = install::trust_own_binary(&dirs.state, true);
    }
    Ok(0)
}

fn script(shell: Shell, command: fn() -> clap::Command) -> String {
    let fixed = |shell: clap_complete::Shell| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(), "xtask", &mut script);
        String::from_utf8_lossy(&script).into_owned()
    };
    match shell {
        Shell::Bash => BASH.to_owned(),
        Shell::Zsh => ZSH.to_owned(),
        Shell::Fish => FISH.to_owned(),
        Shell::Elvish => fixed(clap_complete::Shell::Elvish),
        Shell::Powershell => fixed(clap_complete::Shell::PowerShell),
    }
}

fn shell_of_user() -> Result<Shell> {
    let shell = std::env::var("SHELL").unwrap_or_default();
    let name = shell.rsplit('/').next().unwrap_or_default();
    Shell::from_str(name, true).map_err(|_| {
        Failure::usage("cannot determine the shell")
            .cause(format!("SHELL is `{shell}`"))
            .hint(typed!("completions --install bash"))
    })
}

/// Remembers, once completions are installed, that the user runs this binary: Tab may ask it.
pub(crate) fn note_run() {
    if std::env::var("CARGO_PKG_NAME").as_deref() == Ok("xtask")
        && let Ok(dirs) = Dirs::from_env()
    {
        let _ = install::trust_own_binary(&dirs.state, false);
    }
}

/// Prints what the shell offers for the last of `words`, which begin with the program: a value
/// and its help in each line. `line` is in place of words, of a shell that divides it in its own way.
pub(crate) fn offer(
    line: Option<&str>,
    words: Vec<OsString>,
    command: fn() -> clap::Command,
) -> u8 {
    let words = match line {
        Some(line) => line::words(line).into_iter().map(OsString::from).collect(),
        None => words,
    };
    let Some(last) = words.len().checked_sub(1) else {
        return 0;
    };
    let texts: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut command = values::with_values(command(), &texts);
    let folder = std::env::current_dir().ok();
    let found = engine::complete(&mut command, words, last, folder.as_deref());
    let mut out = String::new();
    for candidate in found.unwrap_or_default() {
        let value = candidate.get_value().to_string_lossy();
        let help = candidate.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let help: String = help
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(HELP)
            .collect();
        let _ = writeln!(out, "{}\t{}", one_line(&value), one_line(&help));
    }
    ui::print(&out);
    0
}
