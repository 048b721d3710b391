//! speedscope's own JSON
//! (github.com/jlfwong/speedscope, src/lib/file-format-spec.ts), in its evented
//! form, which has each call once and not once per stack.

use pprof_engine::flame::Flame;
use serde::Serialize;

use super::{Node, Tree};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'a str,
    active_profile_index: usize,
    shared: Shared<'a>,
    profiles: Vec<Profile<'a>>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    r#type: &'static str,
    name: &'a str,
    unit: &'static str,
    start_value: i64,
    end_value: i64,
    events: Vec<Event>,
}

/// The opening (`O`) or closing (`C`) of a call.
#[derive(Serialize)]
struct Event {
    r#type: char,
    frame: u32,
    at: i64,
}

/// Writes a file with one profile per side of the flame graph.
pub fn speedscope(flame: &Flame, title: &str) -> String {
    let frames = flame.names.iter().map(|name| Frame { name });
    let profiles = flame.sides.iter().enumerate().map(|(place, name)| {
        let tree = Tree::of_side(flame, place);
        Profile {
            r#type: "evented",
            name,
            unit: unit(&flame.unit),
            start_value: 0,
            end_value: tree.total(),
            events: events(&tree.kept()),
        }
    });
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: "xtask pprof",
        name: title,
        active_profile_index: 0,
        shared: Shared {
            frames: frames.collect(),
        },
        profiles: profiles.collect(),
    };
    serde_json::to_string(&file).unwrap_or_default() + "\n"
}

/// Calls open and close one after the other; a call's own share comes last.
fn events(nodes: &[Node]) -> Vec<Event> {
    let event = |r#type, frame, at| Event { r#type, frame, at };
    let mut events = Vec::with_capacity(nodes.len() * 2);
    let mut open: Vec<(u32, i64)> = Vec::new();
    let mut at = 0_i64;
    for node in nodes {
        while open.len() >= node.level as usize {
            if let Some((frame, end)) = open.pop() {
                events.push(event('C', frame, end));
                at = end;
            }
        }
        events.push(event('O', node.name, at));
        open.push((node.name, at.saturating_add(node.total)));
    }
    let closing = open.into_iter().rev();
    events.extend(closing.map(|(frame, end)| event('C', frame, end)));
    events
}

/// speedscope's name of the unit; `none` for units that it does not know.
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
