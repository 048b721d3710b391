//! `test list`: the tests, their needs, and whether they can run on this host.

use std::fmt::Write;

use clap::Args;
use gotest::{Kind, Need, Test};
use serde_json::{Value, json};

use super::args::Selection;
use super::discovered;
use super::filter;
use crate::app::App;
use crate::typo::most_alike;
use foundation::ctx::abilities::{Abilities, Root};
use foundation::failure::{Failure, Result};
use foundation::record::results::History;
use foundation::typed;
use foundation::ui::text::one_line;
use foundation::ui::{self, Style};

#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub chosen: Selection,
    /// List only the tests that need this: root, loop, mount, containerd, tool:NAME, …
    #[arg(long, value_name = "NEED")]
    pub needs: Vec<String>,
    /// List only the tests that match an expression, as in `test unit --filter`
    #[arg(short = 'E', long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// Explain why a test can or cannot run on this host
    #[arg(long, value_name = "TEST")]
    pub explain: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &ListArgs) -> Result<u8> {
    let all = discovered::tests(app, &args.chosen)?;
    let mut abilities = Abilities::probe(&app.ctx.host);
    let history = super::history(app);
    if let Some(name) = &args.explain {
        return explain(app, &mut abilities, &all, name);
    }
    let needs: Vec<Need> = args.needs.iter().cloned().map(Need::from).collect();
    let has = |test: &&Test| {
        needs
            .iter()
            .all(|need| test.needs.iter().any(|known| known.need == *need))
    };
    let filter = args.filter.as_deref().map(filter::parse).transpose()?;
    let matches = |test: &&Test| {
        let filter = filter.as_ref();
        filter.is_none_or(|filter| filter::matches(filter, &history, test))
    };
    let tests: Vec<&Test> = all.iter().filter(has).filter(matches).collect();
    if args.json {
        let tests = tests
            .iter()
            .map(|test| as_json(&mut abilities, &history, test));
        // Not through `json!`, which would copy thousands of tests.
        let report = Value::from_iter([("tests", tests.collect::<Value>())]);
        ui::print_json_line(&ui::with_schema(report));
        return Ok(0);
    }
    table(app, &mut abilities, &history, &tests);
    Ok(0)
}

/// Returns why a test cannot run on this host: its unmet needs, joined.
pub(super) fn lacking(abilities: &mut Abilities, test: &Test) -> Option<String> {
    let reasons: Vec<String> = test
        .needs
        .iter()
        .filter_map(|needed| abilities.obstacle(&needed.need))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn as_json(abilities: &mut Abilities, history: &History, test: &Test) -> Value {
    let lacking = lacking(abilities, test);
    let needs: Vec<String> = test
        .needs
        .iter()
        .map(|needed| needed.need.to_string())
        .collect();
    json!({
        "package": test.package, "name": test.name, "kind": test.kind,
        "file": test.file, "line": test.line, "needs": needs,
        "runs_here": lacking.is_none(), "reason": lacking,
        // Milliseconds since 1970; null before its first run on this machine.
        "last": history.of(&test.package, &test.name).map(|past| {
            json!({"result": past.last, "seconds": past.seconds, "at": past.at, "flake_rate": past.flake_rate()})
        }),
    })
}

fn table(app: &App<'_>, abilities: &mut Abilities, history: &History, tests: &[&Test]) {
    let mut out = String::new();
    let mut package = "";
    let mut left_out = 0;
    for test in tests {
        if test.package != package {
            package = &test.package;
            let _ = writeln!(out, "{}", app.ui.paint(Style::Bold, &one_line(package)));
        }
        let needs: Vec<String> = test
            .needs
            .iter()
            .map(|needed| needed.need.to_string())
            .collect();
        let needs = if needs.is_empty() {
            String::new()
        } else {
            format!("  {}", app.ui.paint(Style::Dim, &needs.join(" ")))
        };
        let kind = match test.kind {
            Kind::Test | Kind::Method | Kind::Subtest => "",
            Kind::Benchmark => "  (benchmark)",
            Kind::Fuzz => "  (fuzz)",
            Kind::Example => "  (example)",
        };
        let depth = test.name.matches('/').count().min(4);
        let name = if matches!(test.kind, Kind::Method | Kind::Subtest) {
            test.name
                .rsplit_once('/')
                .map_or(test.name.as_str(), |(_, name)| name)
        } else {
            &test.name
        };
        let name = one_line(name);
        let _ = write!(out, "  {}{name}{kind}{needs}", "  ".repeat(depth));
        if let Some(past) = history.of(&test.package, &test.name) {
            let last = format!("  {} {:.1}s", past.last, past.seconds);
            let _ = write!(out, "{}", app.ui.paint(Style::Dim, &last));
        }
        if let Some(why) = lacking(abilities, test) {
            left_out += 1;
            let _ = write!(
                out,
                "  {}",
                app.ui.paint(Style::Warn, &format!("not here: {why}"))
            );
        }
        out.push('\n');
    }
    ui::print(&out);
    let count = |kind: Kind| tests.iter().filter(|test| test.kind == kind).count();
    app.ui.progress(&format!(
        "{} tests, {} suite methods, {} subtests, {} benchmarks, {} fuzz targets, {} examples; {left_out} cannot run here",
        count(Kind::Test),
        count(Kind::Method),
        count(Kind::Subtest),
        count(Kind::Benchmark),
        count(Kind::Fuzz),
        count(Kind::Example),
    ));
}

fn explain(app: &App<'_>, abilities: &mut Abilities, tests: &[Test], name: &str) -> Result<u8> {
    let meant: Vec<&Test> = tests.iter().filter(|test| is_meant(test, name)).collect();
    if meant.is_empty() {
        let nearest = most_alike(name, tests.iter().map(|test| test.name.as_str()));
        let failure = Failure::usage(format!("there is no test `{name}`"));
        return Err(match nearest {
            Some((_, nearest)) => failure.hint(format!("did you mean `{nearest}`?")),
            None => failure.hint(typed!("test list")),
        });
    }
    let mut out = String::new();
    for test in meant {
        let _ = writeln!(
            out,
            "{}  {}\n  {}:{}",
            app.ui.paint(Style::Bold, &one_line(&test.name)),
            one_line(&test.package),
            one_line(&test.file),
            test.line
        );
        for needed in &test.needs {
            let way = if needed.skips {
                "skips itself without"
            } else {
                "fails without"
            };
            let _ = writeln!(out, "  {way} {}: {}", needed.need, needed.because);
            if needed.through.len() > 1 {
                let _ = writeln!(out, "    through {}", needed.through.join(" > "));
            }
        }
        let verdict = if let Some(why) = lacking(abilities, test) {
            let text = format!("does not run here: {why}");
            app.ui.paint(Style::Warn, &text)
        } else {
            let root = test.needs.iter().any(|needed| needed.need == Need::Root);
            let how = match abilities.root {
                Root::Sudo if root => "runs here, as root through sudo",
                Root::Here if root => "runs here, as root",
                _ => "runs here",
            };
            app.ui.paint(Style::Good, how)
        };
        let _ = writeln!(out, "  {verdict}");
    }
    ui::print(&out);
    Ok(0)
}

/// Whether `name` is the test's full name, its name with the package, or the
/// end of its name.
fn is_meant(test: &Test, name: &str) -> bool {
    test.name == name
        || test.name.ends_with(&format!("/{name}"))
        || format!("{}.{}", test.package, test.name).ends_with(&format!("/{name}"))
}
