//! `--web`: writes the page and prints its path.

use std::collections::BTreeSet;

use ::pprof::flame::{Flame, Split};
use ::pprof::report::{self, Routine};
use ::pprof::web::{self, Page};
use ::pprof::{Profile, Query};

use super::kept;
use super::leak::Moment;
use super::load::{self, Sides};
use super::present::Presentation;
use super::sources::Sources;
use crate::app::App;
use camino::Utf8Path;
use foundation::ctx::host::Host;
use foundation::ctx::probe::Probe;
use foundation::failure::{Because, Failure, Result};
use foundation::record::files;
use foundation::ui;

/// Number of calls on all sides and of all sample types that a page has, and of those that it
/// has in any case: so it stays below a megabyte.
const CELLS: usize = 24_000;
const CALLS: usize = 2_000;

/// Maximum number of sets of labels that are sides of their own, so that the page can
/// filter by labels.
const TAG_SETS: usize = 16;
/// Functions whose sources are in the page, by flat and by cumulative weight; and maximum
/// bytes of their lines.
const SOURCES: usize = 40;
const SOURCE_TEXT: usize = 100 << 10;

/// Writes the page of profiles side by side.
pub(super) fn write(
    app: &App<'_>,
    sides: &Sides,
    title: &str,
    present: &Presentation,
) -> Result<u8> {
    let query = &present.query;
    let profiles = sides.named();
    let (split, count) = match profiles[..] {
        [(_, profile)] => split_of(profile)?,
        _ => (Split::Label("node"), profiles.len()),
    };
    let mut flames = Vec::new();
    let types = sample_types(sides.first(), query)?;
    for sample_type in &types {
        let query = Query {
            sample_index: Some(sample_type.to_string()),
            ..query.clone()
        };
        flames.push(flame(&profiles, &query, split, count * types.len())?);
    }
    let routines = routines(app, sides.first(), &flames[0], present);
    let page = Page {
        title,
        differ: sides.differ,
        moments: &[],
        sources: &routines,
    };
    finish(app, &flames, &page, present)
}

/// What distinguishes the sides of a profile, and how many there are.
fn split_of(profile: &Profile) -> Result<(Split<'static>, usize)> {
    let count = profile.count_tags(TAG_SETS);
    if let Some(count) = count.map_err(|error| load::engine(&error))? {
        return Ok((Split::Tags, count));
    }
    let nodes = profile.label_values("node");
    let nodes = nodes.map_err(|error| load::engine(&error))?;
    Ok((Split::Label("node"), nodes.len()))
}

/// Indices of all sample types, the requested one first.
fn sample_types(profile: &Profile, query: &Query) -> Result<Vec<usize>> {
    let first = profile.sample_index(query.sample_index.as_deref());
    let first = first.map_err(|error| load::engine(&error))?;
    let others = (0..profile.header.sample_types.len()).filter(|place| *place != first);
    Ok(std::iter::once(first).chain(others).collect())
}

/// The flame graph of one of `trees`, which are the sides of all sample types.
fn flame(
    profiles: &[(&str, &Profile)],
    query: &Query,
    split: Split<'_>,
    trees: usize,
) -> Result<Flame> {
    let flame = if query.trim {
        let most = CELLS / trees.max(1);
        Flame::of_largest(profiles, query, split, most.max(CALLS), most / 2)
    } else {
        Flame::new(profiles, query, split, 0.0)
    };
    flame.map_err(|error| load::engine(&error))
}

/// The source of the heaviest functions, as far as it is on this host.
fn routines(
    app: &App<'_>,
    profile: &Profile,
    flame: &Flame,
    present: &Presentation,
) -> Vec<Routine> {
    let sum = |values: &[i64]| {
        let sizes = values.iter().map(|value| value.unsigned_abs());
        sizes.fold(0_u64, u64::saturating_add)
    };
    let weights = |of: usize| {
        let function = &flame.functions[of];
        (sum(&function.flat), sum(&function.cum))
    };
    let mut by_flat: Vec<usize> = (1..flame.names.len())
        .filter(|of| weights(*of).1 > 0)
        .collect();
    let mut by_cum = by_flat.clone();
    by_flat.sort_by_key(|of| std::cmp::Reverse(weights(*of).0));
    by_cum.sort_by_key(|of| std::cmp::Reverse(weights(*of).1));
    let wanted: BTreeSet<usize> = [by_flat, by_cum]
        .iter()
        .flat_map(|list| list.iter().take(SOURCES).copied())
        .collect();
    let names: Vec<String> = wanted
        .iter()
        .map(|of| regex::escape(&flame.names[*of]))
        .collect();
    let expression = format!("^(?:{})$", names.join("|"));
    let sources = Sources::new(app, &present.source);
    let read = |file: &str| sources.read(file);
    // Names of files or lines are not names of functions; a page without sources is a page.
    let Ok(listing) = report::list(profile, &present.query, &expression, &read) else {
        return Vec::new();
    };
    let mut room = SOURCE_TEXT;
    let mut routines = listing.routines;
    routines.sort_by_key(|routine| std::cmp::Reverse(routine.cum.unsigned_abs()));
    routines.retain(|routine| {
        let lines = routine.lines.iter().map(|line| line.text.len() + 16);
        let size = lines.sum::<usize>();
        let fits = size > 0 && size <= room;
        if fits {
            room -= size;
        }
        fits
    });
    routines
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
        sources: &[],
    };
    let sides: Vec<_> = sides.collect();
    let flame = flame(&sides, &present.query, Split::Label("node"), sides.len())?;
    finish(app, &[flame], &page, present)
}

fn finish(app: &App<'_>, flames: &[Flame], page: &Page<'_>, present: &Presentation) -> Result<u8> {
    let text = web::page(flames, page);
    let path = if let Some(path) = &present.output {
        app.ctx.cwd.join(path)
    } else {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name = page.title.replace(|c| !fits(c), "-");
        let stamp = super::store::stamp(jiff::Timestamp::now());
        let root = super::store::root(&app.ctx.dirs.state);
        root.join("web").join(format!("{name}-{stamp}.html"))
    };
    files::write_output(&path, text.as_bytes()).because(|| format!("cannot write `{path}`"))?;
    ui::print(&format!("{path}\n"));
    if present.open {
        open(app, &path)?;
    }
    Ok(0)
}

/// Opens the page as the desktop does; in CI and over ssh there is none.
fn open(app: &App<'_>, path: &Utf8Path) -> Result<()> {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let failure = Failure::host(format!("cannot open `{path}` in a browser"));
    // A browser that was not running runs on after this command.
    let detached: &[&str] = if cfg!(target_os = "macos") {
        &[]
    } else {
        &["setsid", "--fork"]
    };
    let failure = if Host::which(opener).is_none() {
        failure.cause(format!("`{opener}` is not installed"))
    } else {
        let words = detached.iter().copied().chain([opener, path.as_str()]);
        match Probe::new(words).stdout() {
            Ok(_) => return Ok(()),
            Err(error) => failure.cause(error),
        }
    };
    app.ui.note("the page is written");
    Err(failure.hint("open the file in any browser"))
}
