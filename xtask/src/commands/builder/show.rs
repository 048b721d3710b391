//! `builder status`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::differ::{Difference, differences, limit, state};
use super::spec::BuilderSpec;
use crate::app::App;
use foundation::ctx::buildx::Builder;
use foundation::failure::Result;
use foundation::typed;
use foundation::ui::{self, Style};
use foundation::units::human_size;

/// Shows the builder. The exit code is 1 if it is not as specified.
pub(super) fn status(app: &App<'_>, spec: &BuilderSpec, as_json: bool) -> Result<u8> {
    let there = super::there(spec)?;
    let differ = there.as_ref().map(|there| differences(spec, there));
    let is_fine = differ.as_ref().is_some_and(Vec::is_empty);
    if as_json {
        ui::print_report(to_json(spec, there.as_ref(), differ.as_deref(), is_fine));
    } else {
        ui::print(&to_text(app, spec, there.as_ref(), differ.as_deref()));
    }
    Ok(u8::from(!is_fine))
}

fn to_json(
    spec: &BuilderSpec,
    there: Option<&Builder>,
    differ: Option<&[Difference]>,
    is_fine: bool,
) -> Value {
    let builder = there.map(|there| {
        let node = there.nodes.first();
        json!({
            "driver": there.driver,
            "current": there.current,
            "state": node.map(state),
            "endpoint": node.map(|node| &node.endpoint),
            "options": node.and_then(|node| node.driver_opts.as_ref()),
            "flags": node.and_then(|node| node.flags.as_ref()),
            "buildkit": node.map(|node| &node.version).filter(|version| !version.is_empty()),
            "max_used_space": node.and_then(limit),
        })
    });
    json!({
        "name": spec.name,
        "ok": is_fine,
        "builder": builder,
        "wanted": {
            "driver": spec.driver.name(),
            "options": spec.options.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "endpoint": spec.endpoint,
            "entitlement": spec.entitlement,
            "max_used_space": spec.max_used_space.as_ref().map(|(bytes, _)| bytes),
        },
        "differences": differ.unwrap_or_default(),
    })
}

fn to_text(
    app: &App<'_>,
    spec: &BuilderSpec,
    there: Option<&Builder>,
    differ: Option<&[Difference]>,
) -> String {
    let name = &spec.name;
    let (Some(there), Some(differ)) = (there, differ) else {
        let absent = app.ui.paint(Style::Dim, "absent");
        return format!(
            "builder {name} is {absent}\nnext:\n  {}\n",
            typed!("builder create")
        );
    };
    let repair = format!("next:\n  {}\n", typed!("builder repair"));
    let Some(node) = there.nodes.first() else {
        return format!("builder {name} has no node\n{repair}");
    };
    let style = if node.status == "running" {
        Style::Good
    } else {
        Style::Bad
    };
    let mut out = format!("builder {name} is {}", app.ui.paint(style, state(node)));
    if !node.version.is_empty() {
        let _ = write!(out, "  BuildKit {}", node.version);
    }
    let _ = writeln!(out, "\n  driver {}  at {}", there.driver, node.endpoint);
    let options = node.driver_opts.iter().flatten();
    let options: Vec<String> = options
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !options.is_empty() {
        let _ = writeln!(out, "  options {}", options.join(" "));
    }
    if let Some(limit) = limit(node) {
        let _ = writeln!(out, "  cache up to {}", human_size(limit));
    }
    for it in differ {
        let line = format!("{} is {}, wanted {}", it.what, it.there, it.wanted);
        let _ = writeln!(out, "  {} {line}", app.ui.paint(Style::Bad, "differs:"));
    }
    out.push_str(if differ.is_empty() {
        "  as it is wanted\n"
    } else {
        &repair
    });
    out
}
