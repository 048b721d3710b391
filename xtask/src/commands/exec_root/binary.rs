//! One test binary as root.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::ExecRootArgs;
use crate::app::Global;
use foundation::ctx::host::Host;
use foundation::ctx::own_executable::own_executable;
use foundation::failure::{Failure, Result};
use foundation::run::become_root_for_tests;
use foundation::run::exec_root::{Request, check_variable, listed_environment, run as run_as_root};
use foundation::signals::Signals;
use foundation::typed;
use foundation::ui::{self, Ui};

/// Default timeout of `go test` per package.
const GOS_LIMIT: Duration = Duration::from_mins(10);
/// A binary ends itself at its timeout; after this additional time it counts as
/// hung.
const MORE: Duration = Duration::from_secs(30);
/// The deadline with `-timeout 0`.
const NO_TIMEOUT: Duration = Duration::from_hours(24);

pub(crate) fn run(
    args: &ExecRootArgs,
    global: &Global,
    ui: &Ui,
    signals: &'static Signals,
) -> Result<u8> {
    for name in &args.env {
        check_variable(name)?;
    }
    if args.print {
        ui::print(&format!("{}\n", words(args)?));
        return Ok(0);
    }
    let host = Host::probe();
    if host.os != "linux" {
        return Err(Failure::host("tests as root need Linux's namespaces"));
    }
    let request = request(args)?;
    if global.dry_run || global.format.is_some() {
        return Err(
            Failure::usage("`exec-root` has no plan to show").hint(typed!("test unit --dry-run"))
        );
    }
    if !host.is_root() {
        become_root_for_tests(ui)?;
    }
    run_as_root(&request, ui, signals)
}

/// The words for `-exec`, which splits at blanks and knows quotes.
fn words(args: &ExecRootArgs) -> Result<String> {
    let mut words = vec![quoted(own_executable()?.as_str())?, "exec-root".to_owned()];
    if args.isolate {
        words.push("--isolate".to_owned());
    }
    for name in &args.env {
        words.push(quoted(&format!("--env={name}"))?);
    }
    Ok(words.join(" "))
}

/// go's own quoting has no escapes.
fn quoted(word: &str) -> Result<String> {
    if !word.contains([' ', '\t', '\n', '\'', '"']) {
        return Ok(word.to_owned());
    }
    for quote in ['\'', '"'] {
        if !word.contains(quote) {
            return Ok(format!("{quote}{word}{quote}"));
        }
    }
    Err(Failure::usage(format!(
        "`{word}` has both kinds of quotes, which `go test -exec` cannot take"
    )))
}

fn request(args: &ExecRootArgs) -> Result<Request> {
    let folder = std::env::current_dir()
        .ok()
        .and_then(|dir| Utf8PathBuf::from_path_buf(dir).ok())
        .ok_or_else(|| Failure::host("cannot tell the current folder"))?;
    let (binary, arguments) = args
        .command
        .split_first()
        .ok_or_else(|| Failure::usage("no test binary"))?;
    Ok(Request {
        binary: in_its_folder(&folder.join(binary))?,
        deadline: deadline(arguments).as_secs(),
        arguments: arguments.to_vec(),
        environment: listed_environment(&args.env),
        isolate: args.isolate,
        folder,
    })
}

/// The folder may be reached by links, such as a linked TMPDIR; the binary
/// itself must not be a link.
pub(super) fn in_its_folder(binary: &Utf8Path) -> Result<Utf8PathBuf> {
    let missing = || Failure::usage(format!("no test binary `{binary}`"));
    let (Some(folder), Some(name)) = (binary.parent(), binary.file_name()) else {
        return Err(missing());
    };
    let folder = folder
        .canonicalize_utf8()
        .map_err(|error| missing().cause(error))?;
    Ok(folder.join(name))
}

/// Returns the deadline by `-test.timeout`.
fn deadline(arguments: &[String]) -> Duration {
    let given = arguments.iter().rev().find_map(|argument| {
        let argument = argument.trim_start_matches('-');
        talos::duration(argument.strip_prefix("test.timeout=")?)
    });
    match given {
        Some(Duration::ZERO) => NO_TIMEOUT,
        Some(limit) => limit.saturating_add(MORE),
        None => GOS_LIMIT + MORE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_go_reads_them() {
        assert_eq!(quoted("/a/b").unwrap(), "/a/b");
        assert_eq!(quoted("/a b/c").unwrap(), "'/a b/c'");
        assert_eq!(quoted("/it's/c").unwrap(), "\"/it's/c\"");
        quoted("/it's \"c\"").unwrap_err();
    }

    #[test]
    fn the_deadline_is_later_than_the_tests_own() {
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            deadline(&words).as_secs()
        };
        assert_eq!(of(&["-test.timeout=1m30s"]), 120);
        assert_eq!(of(&["-test.timeout=0s"]), 24 * 3600);
        assert_eq!(of(&["-test.v"]), 630);
    }
}
