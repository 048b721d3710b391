//! `test unit --watch`: after each change, the tests of the packages that import what has
//! changed.

use foundation::ctx::go_flags;
use foundation::ctx::watch::Watch;
use foundation::failure::{Exit, Result};
use foundation::ui::text::counted;

use super::super::discovered::Packages;
use super::super::results::live;
use super::{UnitArgs, sorted};
use crate::app::App;

/// How many names a line has.
const NAMED: usize = 3;

/// Runs the chosen tests with `once`, and those of affected packages after each change.
/// Returns when the user asks to stop.
pub(super) fn run(
    app: &App<'_>,
    args: &UnitArgs,
    once: impl Fn(&UnitArgs) -> Result<u8>,
) -> Result<u8> {
    let mut chosen = args.chosen.clone();
    if chosen.tags.is_empty() {
        let tags = sorted(args)?.tags;
        chosen.tags = tags.as_deref().map_or_else(Vec::new, go_flags::split);
    }
    let dir = &app.ctx.go_checkout()?;
    // A change during the first run counts.
    let mut watch = Watch::start(dir)?;
    let mut code = once(args)?;
    loop {
        if code == Exit::Interrupted.code() {
            return Ok(code);
        }
        app.ui.note("waiting for changes, Ctrl-C ends");
        let Some(files) = watch.changes(app.signals)? else {
            return Ok(Exit::Interrupted.code());
        };
        let names: Vec<String> = files.iter().map(ToString::to_string).collect();
        let affected = Packages::open(app, dir, &chosen)
            .and_then(|packages| packages.affected(app, &chosen, files));
        let mut next = args.clone();
        next.chosen.packages = match affected {
            Ok(affected) => affected,
            // The user is in the middle of an edit: a file that cannot be read is reported, and
            // read again after the next change.
            Err(failure) => {
                app.ui.failure(&failure);
                continue;
            }
        };
        let packages = next.chosen.packages.iter().map(|path| live::short(path));
        let packages: Vec<&str> = packages.collect();
        app.ui.progress(&format!(
            "changed: {}; affected: {}",
            listed(&names),
            if packages.is_empty() {
                "no chosen package".to_owned()
            } else {
                listed(&packages)
            }
        ));
        if packages.is_empty() {
            continue;
        }
        code = once(&next).unwrap_or_else(|failure| {
            app.ui.failure(&failure);
            failure.exit.code()
        });
    }
}

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let first: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {}", first.join(", "), counted(more as u64, "other")),
    }
}
