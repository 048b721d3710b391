//! speedscope's own JSON
//! (github.com/jlfwong/speedscope, src/lib/file-format-spec.ts): evented,
//! since each call is written once then and not once for each stack.

use super::{Node, Tree, comma, list, number};
use crate::web::quote;
use pprof_engine::flame::Flame;

/// A file with a profile for each side.
pub fn speedscope(flame: &Flame, title: &str) -> String {
    let mut out = String::from(
        "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"exporter\":\"xtask pprof\",\"name\":",
    );
    quote(&mut out, title);
    out.push_str(",\"activeProfileIndex\":0,\"shared\":{\"frames\":");
    list(&mut out, &flame.names, |out, name| {
        out.push_str("{\"name\":");
        quote(out, name);
        out.push('}');
    });
    out.push_str("},\"profiles\":");
    list(
        &mut out,
        flame.sides.iter().enumerate(),
        |out, (place, side)| {
            let tree = Tree::of(flame, place);
            out.push_str("{\"type\":\"evented\",\"name\":");
            quote(out, side);
            out.push_str(",\"unit\":");
            quote(out, unit(&flame.unit));
            out.push_str(",\"startValue\":0,\"endValue\":");
            number(out, tree.total());
            out.push_str(",\"events\":[");
            events(out, &tree.kept());
            out.push_str("]}");
        },
    );
    out.push_str("}\n");
    out
}

/// Calls open and close one after the other; a call's own share comes last.
fn events(out: &mut String, nodes: &[Node]) {
    let mut open: Vec<(u32, i64)> = Vec::new();
    let (mut at, mut count) = (0_i64, 0);
    let mut event = |out: &mut String, kind: char, frame: u32, at: i64| {
        comma(out, count);
        count += 1;
        out.push_str("{\"type\":\"");
        out.push(kind);
        out.push_str("\",\"frame\":");
        number(out, frame);
        out.push_str(",\"at\":");
        number(out, at);
        out.push('}');
    };
    for node in nodes {
        while open.len() >= node.level as usize {
            if let Some((frame, end)) = open.pop() {
                event(out, 'C', frame, end);
                at = end;
            }
        }
        event(out, 'O', node.name, at);
        open.push((node.name, at.saturating_add(node.total)));
    }
    while let Some((frame, end)) = open.pop() {
        event(out, 'C', frame, end);
    }
}

/// The units that speedscope knows; all else is a number.
fn unit(unit: &str) -> &'static str {
    let known = [
        "nanoseconds",
        "microseconds",
        "milliseconds",
        "seconds",
        "bytes",
    ];
    let found = known.iter().find(|known| **known == unit);
    found.copied().unwrap_or("none")
}
