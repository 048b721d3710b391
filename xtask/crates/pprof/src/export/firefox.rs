//! The Firefox Profiler's processed format, version 54
//! (github.com/firefox-devtools/profiler, docs-developer/CHANGELOG-formats.md):
//! what it opens, it upgrades by itself. One thread for each side.

use std::fmt::Write;

use pprof_engine::flame::Flame;

use super::{Node, Tree, list, number};
use crate::web::quote;

/// The newest version whose tables stand in each thread.
const VERSION: u32 = 54;

/// A file for profiler.firefox.com; `started` in milliseconds since 1970.
pub fn firefox(flame: &Flame, title: &str, started: f64) -> String {
    let mut out = String::from("{\"meta\":{");
    let _ = write!(
        out,
        "\"version\":29,\"preprocessedProfileVersion\":{VERSION},\"interval\":1,\
         \"startTime\":{started},\"processType\":0,\"stackwalk\":0,\"debug\":false,\
         \"symbolicated\":true,\"markerSchema\":[],\
         \"categories\":[{{\"name\":\"Other\",\"color\":\"grey\",\"subcategories\":[\"Other\"]}}],\
         \"product\":"
    );
    quote(&mut out, title);
    out.push_str("},\"libs\":[],\"pages\":[],\"threads\":");
    list(
        &mut out,
        flame.sides.iter().enumerate(),
        |out, (place, side)| {
            let tree = Tree::of(flame, place);
            thread(out, flame, &tree.kept(), side, place);
        },
    );
    out.push_str("}\n");
    out
}

fn thread(out: &mut String, flame: &Flame, nodes: &[Node], name: &str, place: usize) {
    out.push_str("{\"processType\":\"default\",\"processName\":");
    quote(out, name);
    let _ = write!(
        out,
        ",\"processStartupTime\":0,\"processShutdownTime\":null,\"registerTime\":0,\
         \"unregisterTime\":null,\"pausedRanges\":[],\"isMainThread\":true,\
         \"pid\":\"{place}\",\"tid\":{place},\"name\":"
    );
    quote(out, name);
    samples(out, nodes, &flame.unit);
    tables(out, flame, nodes);
    out.push_str(
        ",\"markers\":{\"length\":0,\"data\":[],\"name\":[],\"startTime\":[],\"endTime\":[],\
         \"phase\":[],\"category\":[]}}",
    );
}

/// One sample for each call with a share of its own.
fn samples(out: &mut String, nodes: &[Node], unit: &str) {
    let own: Vec<(usize, i64)> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.own > 0)
        .map(|(place, node)| (place, node.own))
        .collect();
    let kind = match unit {
        "bytes" => "bytes",
        "nanoseconds" => "tracing-ms",
        _ => "samples",
    };
    let _ = write!(
        out,
        ",\"samples\":{{\"length\":{},\"weightType\":\"{kind}\",\"stack\":",
        own.len()
    );
    list(out, &own, |out, (place, _)| number(out, place));
    out.push_str(",\"time\":");
    list(out, 0..own.len(), number);
    out.push_str(",\"weight\":");
    list(out, &own, |out, (_, own)| {
        if kind == "tracing-ms" {
            // Exact: the last six digits are what is behind the point.
            let _ = write!(out, "{}.{:06}", own / 1_000_000, own % 1_000_000);
        } else {
            number(out, own);
        }
    });
    out.push('}');
}

/// Each name is a string, a function and a frame; each call is a stack.
fn tables(out: &mut String, flame: &Flame, nodes: &[Node]) {
    let count = flame.names.len();
    let column = |out: &mut String, name: &str, value: &str| {
        let _ = write!(out, ",\"{name}\":");
        list(out, 0..count, |out, _| out.push_str(value));
    };
    let _ = write!(
        out,
        ",\"stackTable\":{{\"length\":{},\"frame\":",
        nodes.len()
    );
    list(out, nodes, |out, node| number(out, node.name));
    out.push_str(",\"prefix\":");
    list(out, nodes, |out, node| match node.caller {
        Some(caller) => number(out, caller),
        None => out.push_str("null"),
    });
    let _ = write!(out, "}},\"frameTable\":{{\"length\":{count},\"func\":");
    list(out, 0..count, number);
    for (name, value) in [
        ("address", "-1"),
        ("inlineDepth", "0"),
        ("category", "0"),
        ("subcategory", "0"),
        ("nativeSymbol", "null"),
        ("innerWindowID", "0"),
        ("line", "null"),
        ("column", "null"),
    ] {
        column(out, name, value);
    }
    let _ = write!(out, "}},\"funcTable\":{{\"length\":{count},\"name\":");
    list(out, 0..count, number);
    for (name, value) in [
        ("isJS", "false"),
        ("relevantForJS", "false"),
        ("resource", "-1"),
        ("fileName", "null"),
        ("lineNumber", "null"),
        ("columnNumber", "null"),
    ] {
        column(out, name, value);
    }
    out.push_str(
        "},\"resourceTable\":{\"length\":0,\"lib\":[],\"name\":[],\"host\":[],\"type\":[]},\
         \"nativeSymbols\":{\"length\":0,\"libIndex\":[],\"address\":[],\"name\":[],\"functionSize\":[]},\
         \"stringArray\":",
    );
    list(out, &flame.names, |out, name| quote(out, name));
}
