//! A run as a page: one file that loads nothing and has no script.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::Clean;
use foundation::hash::sha256;
use foundation::record::runs::{Event, has_begun};
use foundation::ui::text::escape;

const STYLE: &str = include_str!("style.css");
/// Bytes of the end of a log that are shown.
const LOG: usize = 256 << 10;
/// Height of a row of the timeline.
const ROW: usize = 22;
/// Columns of the timeline, in its own units: names, bars, durations.
const NAMES: usize = 330;
const WIDTH: usize = 960;
const TIMES: usize = 70;

struct Bar<'a> {
    number: usize,
    why: &'a str,
    /// Milliseconds since the run began.
    begins: u64,
    ms: u64,
    failure: Option<&'a str>,
}

/// `log` returns what a step (from 0) printed, without secrets.
pub(super) fn render(clean: &Clean, mut log: impl FnMut(usize) -> String) -> String {
    let bars = bars(clean);
    let digest = BASE64_STANDARD.encode(sha256(STYLE.as_bytes()));
    let title = text(&clean.summary.command);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'; \
        base-uri 'none'; form-action 'none'\">\n\
        <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
        <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n"
    );
    for (what, value) in &clean.about {
        let _ = writeln!(out, "<tr><th>{what}</th><td>{}</td></tr>", text(value));
    }
    out.push_str("</table>\n<h2>Timeline</h2>\n");
    out.push_str(&timeline(&bars, clean.summary.milliseconds()));
    out.push_str("<h2>Steps</h2>\n");
    let steps = clean.plan["steps"].as_array();
    for (index, step) in steps.map_or(&[][..], Vec::as_slice).iter().enumerate() {
        let bar = bars.iter().find(|bar| bar.number == index + 1);
        let why = text(step["why"].as_str().unwrap_or_default());
        let how = match bar {
            None if has_begun(&clean.events, index + 1) => {
                "<span class=\"bad\">stopped</span>".to_owned()
            }
            None => "<span>not run</span>".to_owned(),
            Some(bar) if bar.failure.is_some() => {
                format!(
                    "<span class=\"bad\">failed after {}</span>",
                    super::super::took(bar.ms)
                )
            }
            Some(bar) => format!("<span>{}</span>", super::super::took(bar.ms)),
        };
        let open = if bar.is_some_and(|bar| bar.failure.is_some()) {
            " open"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "<details{open}><summary>{}. {why} {how}</summary>",
            index + 1
        );
        if let Some(failure) = bar.and_then(|bar| bar.failure) {
            let _ = writeln!(out, "<pre>error: {}</pre>", text(failure));
        }
        let printed = if bar.is_some() {
            log(index)
        } else {
            String::new()
        };
        if !printed.is_empty() {
            let _ = writeln!(out, "<pre>{}</pre>", text(end_of(&printed)));
        }
        out.push_str("</details>\n");
    }
    out.push_str("</body>\n</html>\n");
    out
}

fn bars(clean: &Clean) -> Vec<Bar<'_>> {
    let began = clean.summary.started;
    let finished = clean.events.iter().filter_map(|line| match &line.event {
        Event::Finish { step, ms, failure } => Some(Bar {
            number: *step,
            why: clean.plan["steps"][step.saturating_sub(1)]["why"]
                .as_str()
                .unwrap_or_default(),
            begins: line.at.saturating_sub(*ms).saturating_sub(began),
            ms: *ms,
            failure: failure.as_deref(),
        }),
        _ => None,
    });
    finished.collect()
}

fn timeline(bars: &[Bar<'_>], total: u64) -> String {
    let height = bars.len() * ROW + 4;
    let room = WIDTH - NAMES - TIMES;
    let scaled = |ms: u64| {
        let share = u128::from(ms) * room as u128 / u128::from(total.max(1));
        usize::try_from(share).unwrap_or(room).min(room)
    };
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n");
    for (row, bar) in bars.iter().enumerate() {
        let top = row * ROW;
        let (x, width) = (NAMES + scaled(bar.begins), scaled(bar.ms).max(2));
        let class = if bar.failure.is_some() {
            "failed"
        } else {
            "ok"
        };
        let name: String = bar.why.chars().take(46).collect();
        let base = top + 15;
        let _ = writeln!(
            out,
            "<text class=\"name\" x=\"0\" y=\"{base}\">{}. {}</text>\
            <rect class=\"track\" x=\"{NAMES}\" y=\"{y}\" width=\"{room}\" height=\"14\"/>\
            <rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"14\"/>\
            <text class=\"time\" x=\"{WIDTH}\" y=\"{base}\">{}</text>",
            bar.number,
            text(&name),
            super::super::took(bar.ms),
            y = top + 4,
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The last lines of a long log.
fn end_of(log: &str) -> &str {
    let mut from = log.len().saturating_sub(LOG);
    while !log.is_char_boundary(from) {
        from += 1;
    }
    match log[from..].split_once('\n') {
        Some((_, rest)) if from > 0 => rest,
        _ => &log[from..],
    }
}

/// Text for HTML, with control characters spelled out.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
