//! A page with all of its data: no server, no network, to open or to send.

use pprof_engine::flame::Flame;
use serde::Serialize;

use crate::json;

const PAGE: &str = include_str!("page.html");
const PLACE: &str = "/*DATA*/null";

/// The contents of a page besides its flame graph.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub title: &'a str,
    /// Whether the first side is compared with the second.
    pub differ: bool,
    /// For a series: node and time of each side. Otherwise empty.
    pub moments: &'a [Moment],
}

/// A node at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    pub node: String,
    /// Seconds since 1970.
    #[serde(rename = "time")]
    pub seconds: f64,
}

/// Returns the page of a flame graph, as HTML.
pub fn page(flame: &Flame, page: &Page<'_>) -> String {
    let mut title = String::new();
    text(&mut title, page.title);
    PAGE.replacen(PLACE, &json::to_string(&data(flame, page)), 1)
        .replacen("<!--TITLE-->", &title, 1)
}

/// The data that the script of the page draws.
#[derive(Serialize)]
struct Data<'a> {
    title: &'a str,
    r#type: &'a str,
    unit: &'a str,
    differ: bool,
    elided: usize,
    moments: &'a [Moment],
    sides: &'a [String],
    names: Vec<&'a String>,
    /// One entry per call, as in `level` and in each of `totals`.
    name: Vec<usize>,
    level: Vec<u32>,
    /// One list per side.
    totals: Vec<Vec<i64>>,
}

fn data<'a>(flame: &'a Flame, page: &Page<'a>) -> Data<'a> {
    // A list of another length could not be matched with the sides.
    let moments = if page.moments.len() == flame.sides.len() {
        page.moments
    } else {
        &[]
    };
    let (names, places) = drawn(flame);
    let calls = flame.calls.iter();
    let totals = |side: usize| calls.clone().map(|call| call.totals[side]).collect();
    Data {
        title: page.title,
        r#type: &flame.sample_type,
        unit: &flame.unit,
        differ: page.differ,
        elided: flame.elided,
        moments,
        sides: &flame.sides,
        names,
        name: calls
            .clone()
            .map(|call| places[call.name as usize].unwrap_or(0))
            .collect(),
        level: calls.clone().map(|call| call.level).collect(),
        totals: (0..flame.sides.len()).map(totals).collect(),
    }
}

/// The names that are drawn, and for each name its index among them.
fn drawn(flame: &Flame) -> (Vec<&String>, Vec<Option<usize>>) {
    let mut places = vec![None; flame.names.len()];
    let mut names = Vec::new();
    for call in &flame.calls {
        let place = &mut places[call.name as usize];
        if place.is_none() {
            *place = Some(names.len());
            names.push(&flame.names[call.name as usize]);
        }
    }
    (names, places)
}

fn text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_places() {
        assert_eq!(PAGE.matches(PLACE).count(), 1);
        assert_eq!(PAGE.matches("<!--TITLE-->").count(), 1);
        // The page's own policy forbids all requests, whatever its contents.
        let policy = "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ";
        let rest = PAGE.replacen(policy, "", 1);
        assert!(PAGE.contains(policy) && !rest.contains("http"));
    }
}
