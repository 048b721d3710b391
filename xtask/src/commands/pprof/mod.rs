//! `pprof`: profiles of a whole cluster, or of any file. The engine is the
//! crate `pprof`; files, nodes, time zones and texts are here.

pub mod args;
mod budget;
mod cluster;
mod compare;
mod controllers;
mod endpoint;
mod export;
mod fetch;
mod flame;
mod groups;
mod honoured;
mod kept;
mod kind;
mod leak;
mod load;
mod operands;
mod present;
mod rank;
pub(crate) mod recorded;
pub mod select;
mod series;
mod show;
mod sources;
mod store;
mod summary;
mod target;
mod trend;
mod watch;
mod web;
pub(crate) mod words;

use std::fmt::Write;

use camino::Utf8Path;

use crate::app::App;
use args::{OpenArgs, PprofCommand, PprofVerb};
use endpoint::ConnectionArgs;
use foundation::failure::Result;
use foundation::typed;
use foundation::ui::text::one_line;
use foundation::ui::{self, Style};
use operands::Operands;
use present::{Form, Presentation};

/// Rows of a file's default form in a terminal.
const PAGE: usize = 30;

pub(crate) fn run(app: &App<'_>, command: &PprofCommand) -> Result<u8> {
    match &command.verb {
        Some(PprofVerb::Open(args)) => open(app, args),
        Some(PprofVerb::List { json }) => list(app, *json),
        None => cluster::run(
            app,
            &command.fetch,
            &Presentation::new(&command.show, false)?,
        ),
    }
}

fn open(app: &App<'_>, args: &OpenArgs) -> Result<u8> {
    let mut present = Presentation::new(&args.show, args.diff)?;
    let is_default = present.form == Form::Nodes && !present.json && present.output.is_none();
    if is_default && present.rows.is_none() && app.ui.has_screen() {
        present.query.nodecount = PAGE;
    }
    let profiles = &match Operands::new(app, &args.profiles)? {
        Operands::Files(files) => files,
        Operands::Fetch(mut fetch) => {
            fetch.connection = ConnectionArgs {
                insecure: args.connection.insecure || fetch.connection.insecure,
                ..args.connection.clone()
            };
            return cluster::run(app, &fetch, &present);
        }
    };
    if args.diff {
        return compare::run(app, profiles, &present);
    }
    let root = store::root(&app.ctx.dirs.state);
    if let [name] = &profiles[..]
        && !name.exists()
        && let Some(found) = store::find(&root, name.as_str())
    {
        return cluster::reopen(app, found?, &present);
    }
    if present.form == Form::Leak {
        return series::leak(app, profiles, &present);
    }
    let name = match &profiles[..] {
        [file] => file.file_name().unwrap_or("profile").to_owned(),
        files => format!("{} profiles", files.len()),
    };
    if present.form.is_picture() {
        let sides = load::Sides::of_files(app, profiles, &present.compare)?;
        let code = draw(app, &sides, &name, &present)?;
        let named = sides.named().into_iter();
        let named: Vec<(Option<&str>, String, &dyn kept::Readable)> = named
            .map(|(name, profile)| (None, name.to_owned(), profile as &dyn kept::Readable))
            .collect();
        budget::check(&present.fail_if, &present.query, &named)?;
        return Ok(code);
    }
    if present.form == Form::Controllers {
        return groups::compare(app, profiles, &present);
    }
    load::tell_merged(app, profiles);
    let subject = load::files(profiles, &present.compare)?;
    if present.fail_if.is_empty()
        && let load::Subject::Less(difference) = &subject
        && let Some(code) = show::difference(app, difference, &present)?
    {
        return Ok(code);
    }
    let profile = subject.merged()?;
    let code = show::show(app, &profile, &present)?;
    let name = profiles[0].to_string();
    budget::check(&present.fail_if, &present.query, &[(None, name, &profile)])?;
    Ok(code)
}

/// Draws stacks, as a picture or for another tool.
fn draw(app: &App<'_>, sides: &load::Sides, title: &str, present: &Presentation) -> Result<u8> {
    match present.form {
        Form::Export(export) => export::write(app, sides, title, export, present),
        Form::Web => web::write(app, sides, title, present),
        _ => flame::show(app, sides, title, present),
    }
}

/// Ids of fetched profiles for a shell's completion, newest first.
pub(crate) fn set_names(state: &Utf8Path) -> Vec<(String, String)> {
    let sets = store::list(&store::root(state)).unwrap_or_default();
    let mut found = vec![("latest".to_owned(), "The newest".to_owned())];
    found.extend(sets.into_iter().map(|set| (set.id, String::new())));
    found
}

fn list(app: &App<'_>, json: bool) -> Result<u8> {
    let root = store::root(&app.ctx.dirs.state);
    let sets = store::list(&root)?;
    if json {
        ui::print_report(serde_json::json!({"dir": root, "sets": sets}));
        return Ok(0);
    }
    if sets.is_empty() {
        let next = typed!("pprof machined heap");
        ui::print(&format!("no profiles fetched yet\n  next: {next}\n"));
        return Ok(0);
    }
    let mut out = String::new();
    for set in &sets {
        let missing = set
            .entries
            .iter()
            .filter(|entry| entry.file.is_none())
            .count();
        let rounds = match set.rounds() {
            0 | 1 => String::new(),
            rounds => format!("  in {rounds} rounds"),
        };
        let note = if missing > 0 {
            app.ui.paint(Style::Warn, &format!("  {missing} missing"))
        } else {
            String::new()
        };
        let _ = writeln!(
            out,
            "{:<44} {:>3} profile(s){rounds}{note}",
            one_line(&set.id),
            set.entries.len() - missing
        );
    }
    let _ = writeln!(out, "  {} {root}", app.ui.paint(Style::Dim, "in"));
    ui::print(&out);
    Ok(0)
}
