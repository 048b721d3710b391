//! `--folded`, `--speedscope`, `--firefox`, `--svg`: formats of other tools.
//! Nodes are separate, as are several files, and both sides of a comparison.

use ::pprof::export;
use ::pprof::flame::{Flame, Split};
use clap::Args;

use super::load::{self, Sides};
use super::present::{Export, Presentation};
use super::show::{Content, output};
use crate::app::App;
use foundation::failure::Result;

/// The formats of other tools.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Export")]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub struct ExportArgs {
    /// Export folded stacks, `a;b;c 7`
    #[arg(long, group = "form")]
    pub folded: bool,
    /// Export for speedscope.app
    #[arg(long, group = "form")]
    pub speedscope: bool,
    /// Export for profiler.firefox.com
    #[arg(long, group = "form")]
    pub firefox: bool,
    /// Export the graph of calls for graphviz
    #[arg(long, group = "form")]
    pub dot: bool,
    /// Export costs of lines and calls for kcachegrind
    #[arg(long, group = "form")]
    pub callgrind: bool,
    /// Export a flame graph as SVG
    #[arg(long, group = "form")]
    pub svg: bool,
}

/// Calls narrower than this share cannot be seen in a picture.
pub(super) const LEAST: f64 = 0.0002;

/// Prints the export, or writes it to the file.
pub(super) fn write(
    app: &App<'_>,
    sides: &Sides,
    title: &str,
    export: Export,
    present: &Presentation,
) -> Result<u8> {
    // Other tools trim for themselves.
    let least = if export == Export::Svg && present.query.trim {
        LEAST
    } else {
        0.0
    };
    let flame = Flame::new(&sides.named(), &present.query, Split::Label("node"), least);
    let flame = flame.map_err(|error| load::engine(&error))?;
    let below_zero = export::calls_below_zero(&flame);
    if below_zero > 0 {
        app.ui.note(&format!(
            "{below_zero} call(s) below zero are left out: the format has no negative values"
        ));
    }
    #[allow(clippy::cast_precision_loss)] // milliseconds
    let started = sides.first().header.time_nanos as f64 / 1e6;
    let text = match export {
        Export::Folded => export::folded(&flame).map_err(|error| load::engine(&error))?,
        Export::Speedscope => export::speedscope(&flame, title),
        Export::Firefox => export::firefox(&flame, title, started),
        Export::Svg => export::svg(&flame, title),
    };
    let content = match export {
        Export::Speedscope | Export::Firefox => Content::JsonText(&text),
        Export::Folded | Export::Svg => Content::Text(&text),
    };
    output(present, content)
}
