//! `--web`: writes the page and prints its path.

use ::pprof::Profile;
use ::pprof::flame::Flame;
use ::pprof::web::{self, Page};

use super::kept;
use super::leak::Moment;
use super::load;
use super::present::Presentation;
use crate::app::App;
use foundation::failure::{Because, Result};
use foundation::record::files;
use foundation::ui;

/// Smaller shares of the whole are thinner than a line on any screen.
const LEAST: f64 = 0.0005;

/// Writes the page of a profile; with a base, both sides are kept.
pub(super) fn write(
    app: &App<'_>,
    profile: &Profile,
    title: &str,
    present: &Presentation,
) -> Result<u8> {
    let sides = load::Sides::read(profile, &present.compare)?;
    let page = Page {
        title,
        differ: sides.differ(),
        moments: &[],
    };
    page_of(app, &sides.named("now"), &page, present)
}

/// Writes the page of a series: each node at each time.
pub(super) fn series(
    app: &App<'_>,
    moments: &[Moment],
    title: &str,
    present: &Presentation,
) -> Result<u8> {
    let profiles = kept::together(moments.iter().map(|of| &of.profile))?;
    let sides = moments.iter().zip(&profiles);
    let sides = sides.map(|(of, profile)| (of.node.as_str(), &**profile));
    let times: Vec<web::Moment> = moments
        .iter()
        .map(|of| web::Moment {
            node: of.node.clone(),
            seconds: of.time,
        })
        .collect();
    let page = Page {
        title,
        differ: false,
        moments: &times,
    };
    page_of(app, &sides.collect::<Vec<_>>(), &page, present)
}

fn page_of(
    app: &App<'_>,
    profiles: &[(&str, &Profile)],
    page: &Page<'_>,
    present: &Presentation,
) -> Result<u8> {
    let least = if present.query.trim { LEAST } else { 0.0 };
    let flame = Flame::new(profiles, &present.query, "node", least);
    let flame = flame.map_err(|error| load::engine(&error))?;
    let text = web::page(&flame, page);
    let path = if let Some(path) = &present.output {
        app.ctx.cwd.join(path)
    } else {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name = page.title.replace(|c| !fits(c), "-");
        let stamp = super::store::stamp(jiff::Timestamp::now());
        let root = super::store::root(&app.ctx.dirs.state);
        root.join("web").join(format!("{name}-{stamp}.html"))
    };
    files::replace(&path, text.as_bytes(), 0o644).because(|| format!("cannot write `{path}`"))?;
    ui::print(&format!("{path}\n"));
    Ok(0)
}
