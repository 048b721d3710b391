//! `kmod lint`: the findings of the rules, by image and platform.

use std::fmt::Write;

use clap::Args;
use oci::lint::{Finding, Level, RULES, Report, Scan, Upstream, check, scan};
use serde_json::{Value, json};

use super::against::{Chosen, choose};
use crate::app::App;
use foundation::ctx::image_source::{ImageSource, failure};
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use foundation::ui::text::{counted, one_line};
use foundation::ui::{self, Style, Ui};

#[derive(Debug, Clone, Args)]
pub struct LintArgs {
    /// Reference in a registry on this machine, OCI layout, archive, layer or folder
    #[arg(value_name = "IMAGE", required_unless_present = "explain")]
    pub images: Vec<String>,
    /// Kernel image that the modules are built with
    #[arg(long, value_name = "IMAGE")]
    pub kernel: Option<String>,
    /// Talos version to check for [default: that of the checkout]
    #[arg(long, value_name = "VERSION")]
    pub talos_version: Option<String>,
    /// Print the table of rules, and what Talos does about each
    #[arg(long, conflicts_with_all = ["images", "kernel", "talos_version"])]
    pub explain: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &LintArgs) -> Result<u8> {
    if args.explain {
        explain(args.json);
        return Ok(0);
    }
    let chosen = choose(app, args.talos_version.as_deref(), args.kernel.as_deref())?;
    let mut scans = Vec::new();
    for word in &args.images {
        scans.extend(scans_of(app, word, args.images.len() > 1)?);
    }
    let reports = check(&scans, &chosen.against);
    let errors = count(&reports, Level::Error);
    if args.json {
        ui::print_report(to_json(&chosen, &reports));
    } else {
        ui::print(&to_text(app.ui, &chosen, &reports));
    }
    Ok(if errors == 0 { 0 } else { Exit::Checks.code() })
}

fn scans_of(app: &App<'_>, word: &str, is_set: bool) -> Result<Vec<Scan>> {
    let source = ImageSource::open(&app.ctx.cwd, word)?;
    let images = source.images().map_err(|error| failure(word, &error))?;
    if images.is_empty() {
        return Err(Failure::new(Exit::Checks, format!("`{word}` has no image")));
    }
    images
        .iter()
        .map(|image| scan(image, source.target(), is_set).map_err(|error| failure(word, &error)))
        .collect()
}

fn count(reports: &[Report], level: Level) -> usize {
    let findings = reports.iter().flat_map(|report| &report.findings);
    findings.filter(|finding| finding.level == level).count()
}

fn explain(as_json: bool) {
    if as_json {
        let rules: Vec<Value> = RULES
            .iter()
            .map(|rule| {
                json!({
                    "rule": format!("L{}", rule.number),
                    "title": rule.title,
                    "noticed_by": rule.upstream.name(),
                    "what_happens": rule.upstream.text(),
                    "fix": rule.fix,
                })
            })
            .collect();
        ui::print_report(json!({"rules": rules}));
        return;
    }
    let mut out = String::new();
    for rule in RULES {
        let id = format!("L{}", rule.number);
        let by = noticed_by(rule.upstream);
        let _ = writeln!(out, "{id:<4} {}", rule.title);
        let _ = writeln!(out, "     {by}: {}", rule.upstream.text());
        let _ = writeln!(out, "     fix: {}", rule.fix);
    }
    ui::print(&out);
}

fn noticed_by(upstream: Upstream) -> &'static str {
    match upstream {
        Upstream::Silent(_) => "not noticed by Talos",
        _ => upstream.name(),
    }
}

fn to_json(chosen: &Chosen, reports: &[Report]) -> Value {
    let finding = |finding: &Finding| {
        let rule = finding.rule();
        json!({
            "rule": format!("L{}", finding.number),
            "level": finding.level.name(),
            "path": finding.path,
            "message": finding.what,
            "noticed_by": rule.map(|rule| rule.upstream.name()),
            "what_happens": rule.map(|rule| rule.upstream.text()),
            "fix": rule.map(|rule| rule.fix),
        })
    };
    let images = reports.iter().map(|report| {
        json!({
            "image": report.name,
            "platform": report.platform,
            "extension": report.extension,
            "modules": report.modules,
            "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    });
    let against = &chosen.against;
    json!({
        "talos": against.version.to_string(),
        "talos_from": chosen.from,
        "kernel": against.kernels.first().map(|kernel| kernel.release.clone())
            .or_else(|| against.kernel_release.clone()),
        "kernel_images": against.kernels.iter().map(|it| it.name.clone()).collect::<Vec<_>>(),
        "errors": count(reports, Level::Error),
        "warnings": count(reports, Level::Warning),
        "images": images.collect::<Vec<_>>(),
    })
}

fn to_text(ui: &Ui, chosen: &Chosen, reports: &[Report]) -> String {
    let mut out = String::new();
    for report in reports {
        let extension = report.extension.as_deref().unwrap_or("not an extension");
        let _ = writeln!(
            out,
            "{}  {}  {}",
            one_line(&report.name),
            report.platform,
            one_line(extension)
        );
        for finding in &report.findings {
            write_finding(&mut out, ui, finding);
        }
    }
    let against = &chosen.against;
    let (errors, warnings) = (count(reports, Level::Error), count(reports, Level::Warning));
    let verdict = match (errors, warnings) {
        (0, 0) => "no errors".to_owned(),
        (0, n) => format!("no errors, {}", counted(n as u64, "warning")),
        (n, 0) => counted(n as u64, "error"),
        (n, m) => format!(
            "{}, {}",
            counted(n as u64, "error"),
            counted(m as u64, "warning")
        ),
    };
    let _ = writeln!(
        out,
        "{verdict} for Talos {} ({})",
        against.version, chosen.from
    );
    if errors + warnings > 0 {
        let _ = writeln!(out, "  rules: {}", typed!("kmod lint --explain"));
    }
    out
}

fn write_finding(out: &mut String, ui: &Ui, finding: &Finding) {
    let style = match finding.level {
        Level::Error => Style::Bad,
        Level::Warning => Style::Warn,
        Level::Note => Style::Dim,
    };
    let level = ui.paint(style, finding.level.name());
    let path = match &finding.path {
        Some(path) => format!("{}: ", one_line(path)),
        None => String::new(),
    };
    let id = finding.number;
    let _ = writeln!(out, "  {level} L{id}: {path}{}", one_line(&finding.what));
    if finding.level != Level::Note
        && let Some(rule) = finding.rule()
    {
        let (by, text) = (noticed_by(rule.upstream), rule.upstream.text());
        let _ = writeln!(out, "      {by}: {text}");
        let _ = writeln!(out, "      fix: {}", rule.fix);
    }
}
