//! `--folded`, `--speedscope`, `--firefox`, `--svg`: for other tools. Nodes
//! are told apart; with a base, both sides are.

use ::pprof::Profile;
use ::pprof::export;
use ::pprof::flame::Flame;
use clap::Args;

use super::args::ShowArgs;
use super::load;
use super::show::{Form, output};
use crate::app::App;
use foundation::failure::Result;

/// The forms of other tools.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Export")]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct ExportArgs {
    /// Folded stacks, `a;b;c 7`
    #[arg(long, group = "form")]
    pub folded: bool,
    /// For speedscope.app
    #[arg(long, group = "form")]
    pub speedscope: bool,
    /// For profiler.firefox.com
    #[arg(long, group = "form")]
    pub firefox: bool,
    /// A flame graph as a picture
    #[arg(long, group = "form")]
    pub svg: bool,
}

impl ExportArgs {
    pub(super) fn is_asked(&self) -> bool {
        self.folded || self.speedscope || self.firefox || self.svg
    }
}

/// Calls narrower than this share cannot be seen in a picture.
const LEAST: f64 = 0.0002;

/// Print or write it.
pub(super) fn write(_app: &App<'_>, profile: &Profile, title: &str, args: &ShowArgs) -> Result<u8> {
    let sides = load::Sides::of(profile, &args.compare)?;
    // Other tools leave out what they like.
    let least = if args.export.svg && !args.value.no_trim {
        LEAST
    } else {
        0.0
    };
    let flame = Flame::new(&sides.named(title), &args.query(), "node", least);
    let flame = flame.map_err(|error| load::engine(&error))?;
    let text = if args.export.folded {
        export::folded(&flame).map_err(|error| load::engine(&error))?
    } else if args.export.speedscope {
        export::speedscope(&flame, title)
    } else if args.export.firefox {
        #[allow(clippy::cast_precision_loss)] // milliseconds
        let started = profile.header.time_nanos as f64 / 1e6;
        export::firefox(&flame, title, started)
    } else {
        export::svg(&flame, title)
    };
    let form = if args.export.speedscope || args.export.firefox {
        Form::JsonText(&text)
    } else {
        Form::Text(&text)
    };
    output(args, form)
}
