//! `--flame`: the flame graph in the terminal.

mod paint;
mod tree;
mod view;

use std::future::pending;

use ::pprof::Profile;
use ::pprof::flame::{Flame, Split};

use super::kept;
use super::leak::Moment;
use super::load::{self, Sides};
use super::present::Presentation;
use crate::app::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::ui::screen::Screen;
use tree::Tree;
use view::{Next, View};

/// Calls smaller than this share are not kept: no user zooms in so far.
const LEAST: f64 = 0.00005;

/// Shows profiles side by side; the nodes of a single one are sides.
pub(super) fn show(
    app: &App<'_>,
    sides: &Sides,
    title: &str,
    present: &Presentation,
) -> Result<u8> {
    let flame = Flame::new(&sides.named(), &present.query, Split::Label("node"), LEAST);
    let flame = flame.map_err(|error| load::engine(&error))?;
    let colour = app.ui.has_colour();
    explore(
        app,
        View::new(Tree::new(flame), title, sides.differ, colour),
    )
}

/// Shows a series, with each node at each time as a side.
pub(super) fn series(
    app: &App<'_>,
    moments: &[Moment],
    title: &str,
    present: &Presentation,
) -> Result<u8> {
    let names: Vec<String> = moments.iter().map(side_name).collect();
    let profiles = kept::together(moments.iter().map(|moment| &moment.profile))?;
    let sides = names.iter().zip(&profiles);
    let sides: Vec<(&str, &Profile)> = sides
        .map(|(name, profile)| (name.as_str(), &**profile))
        .collect();
    let flame = Flame::new(&sides, &present.query, Split::Label("node"), LEAST);
    let flame = flame.map_err(|error| load::engine(&error))?;
    let mut view = View::new(Tree::new(flame), title, false, app.ui.has_colour());
    view.show_last();
    explore(app, view)
}

fn side_name(moment: &Moment) -> String {
    #[allow(clippy::cast_possible_truncation)] // whole seconds are shown
    let stamp = jiff::Timestamp::from_second(moment.time as i64).unwrap_or_default();
    let time = stamp.to_zoned(jiff::tz::TimeZone::system());
    format!("{} {}", moment.node, time.strftime("%H:%M:%S"))
}

fn explore(app: &App<'_>, mut view: View) -> Result<u8> {
    let mut screen = Screen::open(app.signals)?;
    loop {
        let rows = view.render(screen.size());
        screen.draw(&rows);
        match view.handle(screen.event(pending())) {
            Next::Stay => {}
            Next::Quit => return Ok(0),
            Next::Interrupted => return Err(Failure::new(Exit::Interrupted, "interrupted")),
        }
    }
}
