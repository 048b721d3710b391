//! A page with all of its data: no server, no network, to open or to send.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use pprof_engine::flame::{DirectCall, Flame, Function};
use pprof_engine::unit;
use serde::Serialize;

use crate::report::Routine;

const PAGE: &str = include_str!("page.html");
const PLACE: &str = "<!--DATA-->";

/// The contents of a page besides its flame graphs.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub title: &'a str,
    /// Whether the first side is compared with the second.
    pub differ: bool,
    /// For a series: node and time of each side. Otherwise empty.
    pub moments: &'a [Moment],
    /// Functions whose sources were found; their weights are those of the first flame graph.
    pub sources: &'a [Routine],
}

/// A node at a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    pub node: String,
    /// Seconds since 1970.
    #[serde(rename = "time")]
    pub seconds: f64,
}

/// Returns the page as HTML, with a flame graph for each sample type. All have the same
/// sides; the first is shown first.
pub fn page(flames: &[Flame], page: &Page<'_>) -> String {
    let mut title = String::new();
    text(&mut title, page.title);
    PAGE.replacen(PLACE, &packed(&data(flames, page)), 1)
        .replacen("<!--TITLE-->", &title, 1)
}

/// In gzip, because most numbers of many sides are small or zero, and in base64, because names in a profile may
/// come from anyone.
fn packed(data: &Data<'_>) -> String {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    // Neither the values nor writing to memory can fail.
    let json = serde_json::to_vec(data).unwrap_or_default();
    let _ = gzip.write_all(&json);
    BASE64_STANDARD.encode(gzip.finish().unwrap_or_default())
}

/// The data that the script of the page draws.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    title: &'a str,
    differ: bool,
    moments: &'a [Moment],
    sides: &'a [String],
    /// Per side, or empty.
    tags: &'a [Vec<String>],
    /// The first is the root's.
    names: Vec<&'a str>,
    files: Vec<&'a str>,
    /// Per name, its index in `files` and its line.
    place: Vec<Option<(usize, i64)>>,
    types: Vec<Drawing<'a>>,
    sources: Vec<Source<'a>>,
    source_type: &'a str,
}

/// The flame graph of a sample type.
#[derive(Serialize)]
struct Drawing<'a> {
    r#type: &'a str,
    unit: &'a str,
    elided: usize,
    /// One entry per call, as in `level` and in each of `totals`.
    name: Vec<usize>,
    level: Vec<u32>,
    /// One list per side.
    totals: Vec<Vec<i64>>,
    /// Calls that stand for small ones, and for how many.
    small: Vec<(usize, u32)>,
    /// Per side, one entry per name.
    flat: Vec<Vec<i64>>,
    cum: Vec<Vec<i64>>,
    /// Of the whole profile, if calls were left out.
    callers: Direct,
    callees: Direct,
}

/// Direct calls, one entry each, by function.
#[derive(Serialize)]
struct Direct {
    /// How much the name's index is above that of the call before.
    function: Vec<usize>,
    other: Vec<usize>,
    /// One list per side.
    totals: Vec<Vec<i64>>,
    /// Calls that stand for small ones, and for how many.
    small: Vec<(usize, u32)>,
}

/// Lines of a function: number, flat, cum, text.
#[derive(Serialize)]
struct Source<'a> {
    name: usize,
    file: &'a str,
    doubt: &'a str,
    lines: Vec<(i64, String, String, &'a str)>,
}

fn data<'a>(flames: &'a [Flame], page: &Page<'a>) -> Data<'a> {
    let mut table = Table::default();
    let types: Vec<Drawing<'a>> = flames.iter().map(|flame| table.drawing(flame)).collect();
    let table = table.finish(types);
    let sides = flames.first().map_or(&[][..], |flame| &flame.sides);
    // A list of another length could not be matched with the sides.
    let moments = if page.moments.len() == sides.len() {
        page.moments
    } else {
        &[]
    };
    let unit = flames.first().map_or("", |flame| &flame.unit);
    Data {
        title: page.title,
        differ: page.differ,
        moments,
        sides,
        tags: flames.first().map_or(&[][..], |flame| &flame.tags),
        sources: sources(&table, page.sources, unit),
        source_type: flames.first().map_or("", |flame| &flame.sample_type),
        names: table.names,
        files: table.files,
        place: table.place,
        types: table.types,
    }
}

/// The names that are used in any flame graph, each once.
#[derive(Default)]
struct Table<'a> {
    names: Vec<&'a str>,
    index: BTreeMap<&'a str, usize>,
    files: Vec<&'a str>,
    file_index: BTreeMap<&'a str, usize>,
    place: Vec<Option<(usize, i64)>>,
    functions: Vec<Vec<Option<&'a Function>>>,
    types: Vec<Drawing<'a>>,
}

impl<'a> Table<'a> {
    fn drawing(&mut self, flame: &'a Flame) -> Drawing<'a> {
        // The root is first, and not a function, whatever functions are named.
        if self.names.is_empty() {
            self.names.push(&flame.names[0]);
            self.place.push(None);
        }
        let counts = |of: &Function| of.cum.iter().chain(&of.flat).any(|value| *value != 0);
        let mut places = vec![0; flame.names.len()];
        let mut functions: Vec<Option<&Function>> = vec![None; self.names.len()];
        for (index, function) in flame.functions.iter().enumerate().skip(1) {
            if !counts(function) {
                continue;
            }
            let place = self.name(flame, index);
            places[index] = place;
            if functions.len() <= place {
                functions.resize(place + 1, None);
            }
            functions[place] = Some(function);
        }
        self.functions.push(functions);
        // Calls whose weights cancel each other out are calls as well.
        let drawn = flame.calls.iter().skip(1).filter(|call| call.small == 0);
        let known = [&flame.direct.callers, &flame.direct.callees];
        let known = known.into_iter().flatten().flat_map(|call| {
            let other = (call.small == 0).then_some(call.other);
            std::iter::once(call.function).chain(other)
        });
        for name in drawn.map(|call| call.name).chain(known) {
            let index = name as usize;
            if places[index] == 0 {
                places[index] = self.name(flame, index);
            }
        }
        let calls = flame.calls.iter();
        let totals = |side: usize| calls.clone().map(|call| call.totals[side]).collect();
        let small = calls.clone().enumerate();
        let small = small.filter(|(_, call)| call.small > 0);
        let sides = flame.sides.len();
        Drawing {
            callers: direct(&flame.direct.callers, &places, sides),
            callees: direct(&flame.direct.callees, &places, sides),
            r#type: &flame.sample_type,
            unit: &flame.unit,
            elided: flame.elided,
            name: calls
                .clone()
                .map(|call| place_of(&places, call.name, call.small))
                .collect(),
            level: calls.clone().map(|call| call.level).collect(),
            totals: (0..flame.sides.len()).map(totals).collect(),
            small: small.map(|(place, call)| (place, call.small)).collect(),
            flat: Vec::new(),
            cum: Vec::new(),
        }
    }

    fn name(&mut self, flame: &'a Flame, index: usize) -> usize {
        let name = flame.names[index].as_str();
        if let Some(place) = self.index.get(name) {
            return *place;
        }
        let place = self.names.len();
        self.index.insert(name, place);
        self.names.push(name);
        let at = flame.places[index].as_ref().map(|of| {
            let next = self.files.len();
            let file = *self.file_index.entry(&of.file).or_insert(next);
            if file == next {
                self.files.push(&of.file);
            }
            (file, of.line)
        });
        self.place.push(at);
        place
    }

    /// Adds to each type what its functions count.
    fn finish(mut self, types: Vec<Drawing<'a>>) -> Self {
        let count = self.names.len();
        self.types = types;
        for (of, functions) in self.types.iter_mut().zip(&self.functions) {
            let values = |pick: &dyn Fn(&Function) -> i64| {
                let each = (0..count).map(|name| functions.get(name).copied().flatten());
                each.map(|function| function.map_or(0, pick)).collect()
            };
            for side in 0..of.totals.len() {
                of.flat.push(values(&|function| function.flat[side]));
                of.cum.push(values(&|function| function.cum[side]));
            }
        }
        self
    }
}

/// The place of a call's function; calls that are drawn as one have none.
fn place_of(places: &[usize], function: u32, small: u32) -> usize {
    match small {
        0 => places[function as usize],
        _ => 0,
    }
}

fn direct(calls: &[DirectCall], places: &[usize], sides: usize) -> Direct {
    let mut calls: Vec<&DirectCall> = calls.iter().collect();
    calls.sort_by_key(|call| places[call.function as usize]);
    let mut before = 0;
    let functions = calls.iter().map(|call| {
        let place = places[call.function as usize];
        place - std::mem::replace(&mut before, place)
    });
    let small = calls.iter().enumerate();
    let small = small.filter(|(_, call)| call.small > 0);
    Direct {
        function: functions.collect(),
        other: calls
            .iter()
            .map(|call| place_of(places, call.other, call.small))
            .collect(),
        totals: (0..sides)
            .map(|side| calls.iter().map(|call| call.totals[side]).collect())
            .collect(),
        small: small.map(|(place, call)| (place, call.small)).collect(),
    }
}

fn sources<'a>(table: &Table<'_>, routines: &'a [Routine], of: &str) -> Vec<Source<'a>> {
    let format = |value: i64| match value {
        0 => String::new(),
        value => unit::label(value, of, "auto"),
    };
    let known = routines.iter().filter(|routine| !routine.lines.is_empty());
    known
        .filter_map(|routine| {
            let lines = routine.lines.iter();
            Some(Source {
                name: *table.index.get(routine.name.as_str())?,
                file: &routine.file,
                doubt: routine.doubt.as_deref().unwrap_or_default(),
                lines: lines
                    .map(|line| {
                        let (flat, cum) = (format(line.flat), format(line.cum));
                        (line.number, flat, cum, line.text.as_str())
                    })
                    .collect(),
            })
        })
        .collect()
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
