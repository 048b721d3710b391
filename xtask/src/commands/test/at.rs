//! `test at FILE:LINE`: runs the test that contains a line, as editors ask for it.

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Parser};
use gotest::{Enclosing, enclosing};

use super::args::Selection;
use super::discovered;
use super::integration::{self, IntegrationArgs};
use super::results::suites::exactly;
use super::unit::{self, UnitArgs};
use crate::app::App;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::typed;

#[derive(Debug, Clone, Default, Args)]
pub struct AtArgs {
    /// File and line
    #[arg(value_name = "FILE:LINE")]
    pub place: String,
    /// Options of `test unit` or, for files of integration tests, `test integration`
    #[arg(last = true, value_name = "OPTIONS")]
    pub options: Vec<String>,
}

/// The folder of integration tests.
const INTEGRATION: &str = "internal/integration/";

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Unit {
    #[command(flatten)]
    args: UnitArgs,
}

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Integration {
    #[command(flatten)]
    args: IntegrationArgs,
}

pub(super) fn run(app: &App<'_>, args: &AtArgs) -> Result<u8> {
    let checkout = app.ctx.go_checkout()?;
    let (path, line) = parsed(&args.place)?;
    let absolute = app.ctx.cwd.join(&path);
    let absolute = absolute.canonicalize_utf8().map_err(|error| {
        Failure::usage(format!("cannot read `{path}`"))
            .cause(error)
            .hint("give the file relative to the working folder, or with its whole path")
    })?;
    let top = checkout.canonicalize_utf8();
    let top = top.as_deref().unwrap_or(&checkout);
    let Ok(file) = absolute.strip_prefix(top) else {
        return Err(
            Failure::usage(format!("`{path}` is not in the checkout {top}")).hint("-C DIR"),
        );
    };
    let text = files::read_text(&absolute, files::MEDIUM);
    let text = text
        .map_err(|error| Failure::host(format!("cannot read `{path}`")).cause(error))?
        .unwrap_or_default();
    if file.as_str().starts_with(INTEGRATION)
        && let Ok(checkout) = app.ctx.checkout()
    {
        let suite = integration::suite_at(&checkout, file, &text, line)?;
        return integration::run(app, &integration_args(&suite, &args.options)?);
    }
    let (folder, mut unit) = (
        file.parent().unwrap_or(Utf8Path::new("")),
        unit_args(&args.options)?,
    );
    let package = match folder.as_str() {
        "" => ".".to_owned(),
        folder => format!("./{folder}"),
    };
    unit.chosen.packages = vec![import_path(app, &checkout, &package)?];
    let tests = discovered::in_checkout(app, &checkout, &unit.chosen)?;
    let of_file: Vec<&gotest::Test> = tests.iter().filter(|it| it.file == *file).collect();
    let names = match enclosing(&text, line, &of_file) {
        Enclosing::Tests(names) => names,
        Enclosing::Helper(name) => {
            return Err(no_test(
                args,
                &format!("it is in `{name}`, which is not a test"),
            ));
        }
        Enclosing::Method(name) => {
            return Err(no_test(
                args,
                &format!("no suite that a test runs has its method `{name}`"),
            ));
        }
        Enclosing::Nothing => return Err(no_test(args, "it is outside of all functions")),
    };
    app.ui.progress(&names.join(", "));
    let patterns = names.iter().map(|name| {
        let parts: Vec<String> = name.split('/').map(exactly).collect();
        parts.join("/")
    });
    let patterns: Vec<String> = patterns.collect();
    if names[0].starts_with("Benchmark") {
        unit.run = Some("^$".to_owned());
        unit.go_flags
            .insert(0, format!("-bench={}", patterns.join("|")));
    } else {
        unit.run = Some(patterns.join("|"));
    }
    unit::run(app, &unit)
}

fn parsed(place: &str) -> Result<(Utf8PathBuf, usize)> {
    // Editors and compilers print `FILE:LINE:COLUMN`.
    let mut parts = place.rsplitn(3, ':');
    let numbers: Vec<Option<usize>> = parts.by_ref().take(2).map(|it| it.parse().ok()).collect();
    let found = match (numbers.as_slice(), parts.next()) {
        ([Some(_), Some(line)], Some(file)) => Some((file, *line)),
        ([Some(line), None], _) => place.rsplit_once(':').map(|(file, _)| (file, *line)),
        _ => place
            .rsplit_once(':')
            .zip(numbers.first().copied().flatten())
            .map(|((file, _), line)| (file, line)),
    };
    found
        .filter(|(file, line)| !file.is_empty() && *line > 0)
        .map(|(file, line)| (file.into(), line))
        .ok_or_else(|| {
            Failure::usage(format!("invalid place `{place}`"))
                .hint(typed!("test at internal/pkg/dns/dns_test.go:42"))
        })
}

fn no_test(args: &AtArgs, why: &str) -> Failure {
    Failure::usage(format!("no test at {}", args.place))
        .cause(why)
        .hint(typed!("test list"))
}

/// Patterns are relative to the working folder, and the folder here to the checkout.
fn import_path(app: &App<'_>, dir: &Utf8Path, package: &str) -> Result<String> {
    let chosen = Selection::default();
    let packages = discovered::Packages::open(app, dir, &chosen)?;
    let wanted = dir.join(package.trim_start_matches("./"));
    let folders = packages.folders();
    let folder = folders.iter().find(|folder| {
        folder.dir == wanted || (package == "." && folder.dir.as_str().trim_end_matches('/') == dir)
    });
    folder
        .map(|folder| folder.import_path.clone())
        .ok_or_else(|| {
            Failure::usage(format!("`{package}` is not a package of the checkout"))
                .hint(typed!("test list"))
        })
}

fn unit_args(options: &[String]) -> Result<UnitArgs> {
    let parsed = Unit::try_parse_from(options.iter().map(String::as_str));
    let args = parsed.map_err(|error| invalid(&error))?.args;
    if args.run.is_some() || !args.chosen.packages.is_empty() {
        return Err(
            Failure::usage("`test at` chooses the package and the test itself")
                .hint("leave packages and -run out, or use `test unit`"),
        );
    }
    Ok(args)
}

fn integration_args(suite: &str, options: &[String]) -> Result<IntegrationArgs> {
    let words = std::iter::once(suite).chain(options.iter().map(String::as_str));
    let parsed = Integration::try_parse_from(words);
    Ok(parsed.map_err(|error| invalid(&error))?.args)
}

fn invalid(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    Failure::usage(first.trim_start_matches("error: ")).hint(typed!("test unit --help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (text, file, line) in [
            ("a_test.go:3", "a_test.go", 3),
            ("x/a_test.go:3:7", "x/a_test.go", 3),
            ("a:b_test.go:12", "a:b_test.go", 12),
        ] {
            assert_eq!(parsed(text).unwrap(), (file.into(), line), "{text}");
        }
        for text in [
            "a_test.go",
            "a_test.go:",
            "a_test.go:0",
            ":3",
            "a_test.go:x",
        ] {
            assert_eq!(parsed(text).unwrap_err().exit.code(), 2, "{text}");
        }
    }
}
