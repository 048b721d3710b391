//! The Firefox Profiler's processed format, version 54
//! (github.com/firefox-devtools/profiler, docs-developer/CHANGELOG-formats.md):
//! the Profiler upgrades files that it opens. One thread per side.

use pprof_engine::flame::Flame;
use serde::Serialize;

use super::{Node, Tree};

/// The newest version in which each thread has its own tables.
const VERSION: u32 = 54;

type Empty = [(); 0];

#[derive(Serialize)]
struct File<'a> {
    meta: Meta<'a>,
    libs: Empty,
    pages: Empty,
    threads: Vec<Thread<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    version: u32,
    preprocessed_profile_version: u32,
    interval: u32,
    start_time: f64,
    process_type: u32,
    stackwalk: u32,
    debug: bool,
    symbolicated: bool,
    marker_schema: Empty,
    categories: [Category; 1],
    product: &'a str,
}

#[derive(Serialize)]
struct Category {
    name: &'static str,
    color: &'static str,
    subcategories: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names)] // as in the format
struct Thread<'a> {
    process_type: &'static str,
    process_name: &'a str,
    process_startup_time: u32,
    process_shutdown_time: Option<u32>,
    register_time: u32,
    unregister_time: Option<u32>,
    paused_ranges: Empty,
    is_main_thread: bool,
    pid: String,
    tid: usize,
    name: &'a str,
    samples: Samples,
    stack_table: StackTable,
    frame_table: FrameTable,
    func_table: FuncTable,
    resource_table: ResourceTable,
    native_symbols: NativeSymbols,
    string_array: &'a [String],
    markers: Markers,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples {
    length: usize,
    weight_type: &'static str,
    stack: Vec<usize>,
    time: Vec<usize>,
    weight: Vec<Weight>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Weight {
    Amount(i64),
    Milliseconds(f64),
}

#[derive(Serialize)]
struct StackTable {
    length: usize,
    frame: Vec<u32>,
    prefix: Vec<Option<usize>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FrameTable {
    length: usize,
    func: Vec<usize>,
    address: Vec<i32>,
    inline_depth: Vec<u32>,
    category: Vec<u32>,
    subcategory: Vec<u32>,
    native_symbol: Vec<Option<u32>>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<u32>,
    line: Vec<Option<u32>>,
    column: Vec<Option<u32>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FuncTable {
    length: usize,
    name: Vec<usize>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    resource: Vec<i32>,
    file_name: Vec<Option<usize>>,
    line_number: Vec<Option<u32>>,
    column_number: Vec<Option<u32>>,
}

#[derive(Serialize, Default)]
struct ResourceTable {
    length: usize,
    lib: Empty,
    name: Empty,
    host: Empty,
    r#type: Empty,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct NativeSymbols {
    length: usize,
    lib_index: Empty,
    address: Empty,
    name: Empty,
    function_size: Empty,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Markers {
    length: usize,
    data: Empty,
    name: Empty,
    start_time: Empty,
    end_time: Empty,
    phase: Empty,
    category: Empty,
}

/// Writes a file for profiler.firefox.com; `started` is in milliseconds since 1970.
pub fn firefox(flame: &Flame, title: &str, started: f64) -> String {
    let threads = flame.sides.iter().enumerate();
    let file = File {
        meta: Meta {
            version: 29,
            preprocessed_profile_version: VERSION,
            interval: 1,
            start_time: started,
            process_type: 0,
            stackwalk: 0,
            debug: false,
            symbolicated: true,
            marker_schema: [],
            categories: [Category {
                name: "Other",
                color: "grey",
                subcategories: ["Other"],
            }],
            product: title,
        },
        libs: [],
        pages: [],
        threads: threads
            .map(|(place, side)| thread(flame, side, place))
            .collect(),
    };
    serde_json::to_string(&file).unwrap_or_default() + "\n"
}

/// Each name is a string, a function and a frame; each call is a stack.
fn thread<'a>(flame: &'a Flame, name: &'a str, place: usize) -> Thread<'a> {
    let nodes = Tree::of_side(flame, place).kept();
    let count = flame.names.len();
    Thread {
        process_type: "default",
        process_name: name,
        process_startup_time: 0,
        process_shutdown_time: None,
        register_time: 0,
        unregister_time: None,
        paused_ranges: [],
        is_main_thread: true,
        pid: place.to_string(),
        tid: place,
        name,
        samples: samples(&nodes, &flame.unit),
        stack_table: StackTable {
            length: nodes.len(),
            frame: nodes.iter().map(|node| node.name).collect(),
            prefix: nodes.iter().map(|node| node.caller).collect(),
        },
        frame_table: FrameTable {
            length: count,
            func: (0..count).collect(),
            address: vec![-1; count],
            inline_depth: vec![0; count],
            category: vec![0; count],
            subcategory: vec![0; count],
            native_symbol: vec![None; count],
            inner_window_id: vec![0; count],
            line: vec![None; count],
            column: vec![None; count],
        },
        func_table: FuncTable {
            length: count,
            name: (0..count).collect(),
            is_js: vec![false; count],
            relevant_for_js: vec![false; count],
            resource: vec![-1; count],
            file_name: vec![None; count],
            line_number: vec![None; count],
            column_number: vec![None; count],
        },
        resource_table: ResourceTable::default(),
        native_symbols: NativeSymbols::default(),
        string_array: &flame.names,
        markers: Markers::default(),
    }
}

/// One sample for each call with a share of its own.
fn samples(nodes: &[Node], unit: &str) -> Samples {
    let own: Vec<(usize, i64)> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.own > 0)
        .map(|(place, node)| (place, node.own))
        .collect();
    let weight_type = match unit {
        "bytes" => "bytes",
        "nanoseconds" => "tracing-ms",
        _ => "samples",
    };
    let weight = |own: i64| match weight_type {
        #[allow(clippy::cast_precision_loss)] // the Profiler reads all numbers as doubles
        "tracing-ms" => Weight::Milliseconds(own as f64 / 1e6),
        _ => Weight::Amount(own),
    };
    Samples {
        length: own.len(),
        weight_type,
        stack: own.iter().map(|(place, _)| *place).collect(),
        time: (0..own.len()).collect(),
        weight: own.iter().map(|(_, own)| weight(*own)).collect(),
    }
}
