//! `pprof`: profiles of a whole cluster, or of any file. The engine is the
//! crate `pprof`; here are files, nodes, time zones and words for people.

pub mod args;
mod load;
mod show;

use super::App;
use crate::failure::Result;
use args::{PprofCommand, PprofVerb};

pub(super) fn run(app: &App<'_>, command: &PprofCommand) -> Result<u8> {
    match &command.verb {
        PprofVerb::Open(args) => {
            let profile = load::files(&args.profiles, &args.show.compare)?;
            show::show(app, &profile, &args.show)
        }
    }
}
