//! A command line read as one of `pprof` alone. To build what clap must know
//! of every other command takes longer than a small profile does.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::{Cli, Command, Global};
use crate::commands::pprof::args::PprofCommand;

#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version)]
struct Narrow {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Only,
}

#[derive(Debug, Subcommand)]
enum Only {
    Pprof(Box<PprofCommand>),
}

/// None for whatever is not a whole and right command line of `pprof`: what
/// there is to say of it, the parser of all commands says.
pub(super) fn read(words: &[OsString]) -> Option<Cli> {
    if !words.iter().any(|word| word == "pprof") {
        return None;
    }
    let mut command = Narrow::command();
    let matches = command.try_get_matches_from_mut(words);
    // To take its hundreds of parts apart would cost as much as it did to
    // put them together, and the process gives them all back at once.
    std::mem::forget(command);
    let read = Narrow::from_arg_matches_mut(&mut matches.ok()?).ok()?;
    let Only::Pprof(pprof) = read.command;
    Some(Cli {
        global: read.global,
        command: Command::Pprof(pprof),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn what_is_read_alone_is_what_all_commands_read() {
        for line in [
            "xtask pprof machined heap --all-nodes",
            "xtask --quiet pprof open --top --focus main a.pb.gz b.pb.gz",
            "xtask --color never pprof list --json -q",
            "xtask -C pprof pprof open x",
        ] {
            let narrow = read(&words(line)).unwrap();
            let whole = Cli::try_parse_from(words(line)).unwrap();
            assert_eq!(format!("{narrow:?}"), format!("{whole:?}"));
        }
    }

    #[test]
    fn other_commands_and_mistakes_are_left_to_the_whole_parser() {
        for line in [
            "xtask cluster",
            "xtask build pprof",
            "xtask -C pprof cluster",
            "xtask help pprof",
            "xtask pprof --help",
            "xtask pprof open --no-such-flag x",
        ] {
            assert!(read(&words(line)).is_none(), "{line}");
        }
    }
}
