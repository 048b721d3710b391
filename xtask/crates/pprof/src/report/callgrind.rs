//! `callgrind`: costs of lines and calls for kcachegrind, as `go tool pprof` writes them.

use std::collections::HashMap;
use std::fmt::Write;

use pprof_engine::{Granularity, Info, Profile, Query, Result, unit};

use super::call_graph::{CallGraph, Input, asked};
use super::question::total;
use super::{Out, Question, Text};

/// Returns the costs of all addresses.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub fn callgrind(profile: &Profile, query: &Query) -> Result<Text> {
    let query = Query {
        granularity: Granularity::Addresses,
        ..query.clone()
    };
    asked(profile, &query, true, |question, input| {
        let graph = CallGraph::whole(input)?;
        write(question, input, &graph, total(question, input.view)?)
    })
}

fn write(
    question: &Question<'_>,
    input: &Input<'_>,
    graph: &CallGraph,
    total: i64,
) -> Result<String> {
    let weights = graph.shown.iter().map(|node| {
        let weight = &graph.weights[*node as usize];
        (weight.flat, weight.cum)
    });
    // Costs are whole numbers, so the smallest one decides.
    let to = question.unit_for(weights, total, false);
    #[allow(clippy::cast_possible_truncation)] // as pprof
    let cost = |value: i64| unit::scale(value, &question.unit, &to).0 as i64;
    let mut sorted = graph.shown.clone();
    let infos = &input.frames.infos;
    sorted.sort_by(|a, b| {
        let (left, right) = (*a as usize, *b as usize);
        let size = |node: usize| {
            let weight = &graph.weights[node];
            let (flat, cum) = (weight.flat.wrapping_abs(), weight.cum.wrapping_abs());
            if input.query.cum {
                (cum, flat)
            } else {
                (flat, cum)
            }
        };
        size(right)
            .0
            .cmp(&size(left).0)
            .then_with(|| input.names[left].cmp(&input.names[right]))
            .then_with(|| size(right).1.cmp(&size(left).1))
            .then_with(|| infos[left].tie().cmp(&infos[right].tie()))
    });
    let mut out = Out::new(input.profile);
    let _ = writeln!(
        out,
        "positions: instr line\nevents: {}({to})",
        question.kind
    );
    let (mut objects, mut files, mut functions) =
        (Numbers::default(), Numbers::default(), Numbers::default());
    let same_names = SameNames::new(sorted.iter().map(|node| &infos[*node as usize]));
    let mut before: Option<&Info> = None;
    for node in sorted {
        let info = &infos[node as usize];
        let place = |info: &Info| (info.object.clone(), info.file.clone(), info.name.clone());
        if before.is_none_or(|before| place(before) != place(info)) {
            let _ = writeln!(
                out,
                "\nob={}\nfl={}\nfn={}",
                objects.name(&info.object),
                files.name(&info.file),
                functions.name(&info.name)
            );
        }
        let flat = cost(graph.weights[node as usize].flat);
        let _ = writeln!(
            out,
            "{} {} {flat}",
            address(before, info.address),
            info.line
        );
        let calls = graph.calls.range((node, 0)..=(node, u32::MAX));
        for ((_, callee), call) in CallGraph::sorted(calls, input.names) {
            let callee = &infos[callee as usize];
            let _ = writeln!(
                out,
                "cfl={}\ncfn={}\ncalls=0 {} {}\n* * {}",
                files.name(&callee.file),
                functions.name(&same_names.told_apart(callee)),
                address(before, callee.address),
                callee.line,
                cost(call.weight)
            );
        }
        before = Some(info);
        out.check()?;
    }
    out.finish()
}

/// Functions of one name in one file, such as those of several programs.
struct SameNames<'a>(HashMap<(&'a str, &'a str), Vec<Function<'a>>>);

/// Program and first line.
type Function<'a> = (&'a str, i64);

impl<'a> SameNames<'a> {
    fn new(infos: impl Iterator<Item = &'a Info>) -> Self {
        let mut by_name: HashMap<_, Vec<Function<'_>>> = HashMap::new();
        for info in infos {
            let functions = by_name.entry((&*info.file, &*info.name)).or_default();
            let function = (&*info.object, info.start_line);
            if !functions.contains(&function) {
                functions.push(function);
            }
        }
        Self(by_name)
    }

    /// The name, with its number among several.
    fn told_apart(&self, info: &Info) -> String {
        let functions = self.0.get(&(&*info.file, &*info.name));
        let functions = functions.map_or(&[][..], Vec::as_slice);
        let place = functions
            .iter()
            .position(|of| *of == (&*info.object, info.start_line));
        match place {
            Some(place) if functions.len() > 1 => {
                format!("{} [{}/{}]", info.name, place + 1, functions.len())
            }
            _ => info.name.clone(),
        }
    }
}

/// Each name is written once, and then its number.
#[derive(Default)]
struct Numbers(HashMap<String, usize>);

impl Numbers {
    fn name(&mut self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        if let Some(number) = self.0.get(name) {
            return format!("({number})");
        }
        let number = self.0.len() + 1;
        self.0.insert(name.to_owned(), number);
        format!("({number}) {name}")
    }
}

/// An address, or its distance from the one before if that is shorter.
fn address(before: Option<&Info>, address: u64) -> String {
    let whole = format!("{address:#x}");
    let Some(before) = before else {
        return whole;
    };
    if before.address == address {
        return "*".to_owned();
    }
    let distance = address.wrapping_sub(before.address).cast_signed();
    let relative = format!("{distance:+}");
    if relative.len() < whole.len() {
        relative
    } else {
        whole
    }
}
