//! Profiles that are compared with `go tool pprof`: those that the repository keeps, and
//! small ones with what real ones have seldom.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use pprof::proto::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use prost::Message;

use crate::node::corpus;

/// A profile, and one with other values to compare it with.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) file: Utf8PathBuf,
    pub(super) base: Utf8PathBuf,
    pub(super) types: Vec<String>,
    /// Whether a stack of any sample type is below zero.
    pub(super) is_below_zero: bool,
}

/// All of them, as files in `dir`.
pub(super) fn inputs(dir: &Utf8Path) -> Vec<Input> {
    let recorded = ["", "kinds"].iter().flat_map(|folder| {
        let entries = corpus(folder).read_dir_utf8().unwrap();
        let files = entries.map(|entry| entry.unwrap().into_path());
        files.filter(|file| file.as_str().ends_with(".pb.gz"))
    });
    let recorded = recorded.map(|file| {
        let read = pprof::decode(std::fs::read(&file).unwrap()).unwrap();
        let profile = Profile::decode(&pprof::encode(&read).unwrap()[..]).unwrap();
        let name = file.file_name().unwrap().trim_end_matches(".pb.gz");
        (name.to_owned(), profile)
    });
    let mut all: Vec<(String, Profile)> = recorded.collect();
    all.sort_by(|left, right| left.0.cmp(&right.0));
    let made = made().into_iter();
    all.extend(made.map(|(name, profile)| (name.to_owned(), profile)));
    let written = all.into_iter().map(|(name, profile)| {
        let file = dir.join(format!("{name}.pb"));
        let base = dir.join(format!("{name}-base.pb"));
        std::fs::write(&file, profile.encode_to_vec()).unwrap();
        std::fs::write(&base, changed(profile.clone()).encode_to_vec()).unwrap();
        let text = |index: i64| {
            let text = &profile.string_table[usize::try_from(index).unwrap()];
            String::from_utf8(text.clone()).unwrap()
        };
        let mut values = profile.sample.iter().flat_map(|sample| &sample.value);
        Input {
            name,
            file,
            base,
            types: profile
                .sample_type
                .iter()
                .map(|of| text(of.r#type))
                .collect(),
            is_below_zero: values.any(|value| *value < 0),
        }
    });
    written.collect()
}

/// The profile before: some stacks are missing, others weigh more or less.
fn changed(mut profile: Profile) -> Profile {
    let samples = std::mem::take(&mut profile.sample).into_iter().enumerate();
    let kept = samples.filter(|(place, _)| place % 5 != 1);
    profile.sample = kept
        .map(|(place, mut sample)| {
            for value in &mut sample.value {
                *value = *value * i64::try_from(place % 3).unwrap() + i64::from(place % 7 == 0);
            }
            sample
        })
        .collect();
    profile
}

/// Builds a profile of functions by name.
#[derive(Default)]
struct Maker {
    profile: Profile,
    strings: BTreeMap<String, i64>,
    locations: BTreeMap<String, u64>,
    functions: BTreeMap<String, u64>,
}

impl Maker {
    fn new(types: &[(&str, &str)]) -> Self {
        let mut maker = Self::default();
        maker.text("");
        maker.profile.sample_type = types.iter().map(|of| maker.value_type(of)).collect();
        maker
    }

    fn value_type(&mut self, (name, unit): &(&str, &str)) -> ValueType {
        ValueType {
            r#type: self.text(name),
            unit: self.text(unit),
        }
    }

    fn text(&mut self, text: &str) -> i64 {
        let next = self.profile.string_table.len();
        let place = self.strings.entry(text.to_owned()).or_insert_with(|| {
            self.profile.string_table.push(text.as_bytes().to_vec());
            i64::try_from(next).unwrap()
        });
        *place
    }

    /// `NAME`, `NAME@FILE` or `NAME@FILE:LINE`.
    fn line(&mut self, frame: &str) -> Line {
        let (name, place) = frame.split_once('@').unwrap_or((frame, ""));
        let (file, line) = place.rsplit_once(':').unwrap_or((place, "0"));
        let key = format!("{name}@{file}");
        let next = self.functions.len() as u64 + 1;
        let function_id = *self.functions.entry(key).or_insert(next);
        if function_id == next {
            let function = Function {
                id: next,
                name: self.text(name),
                system_name: self.text(name),
                filename: self.text(file),
                start_line: 0,
            };
            self.profile.function.push(function);
        }
        Line {
            function_id,
            line: line.parse().unwrap(),
            column: 0,
        }
    }

    /// Frames that are inlined into the next are separated by ` < `.
    fn location(&mut self, frames: &str) -> u64 {
        if let Some(id) = self.locations.get(frames) {
            return *id;
        }
        let line = frames.split(" < ").map(|frame| self.line(frame)).collect();
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location {
            id,
            mapping_id: 0,
            address: 0x1000 + id * 16,
            line,
            is_folded: false,
        });
        self.locations.insert(frames.to_owned(), id);
        id
    }

    /// A stack from the root to the leaf.
    fn stack(&mut self, frames: &[&str], value: &[i64]) -> &mut Sample {
        let stack = frames.iter().rev();
        let location_id = stack.map(|frame| self.location(frame)).collect();
        self.profile.sample.push(Sample {
            location_id,
            value: value.to_vec(),
            label: Vec::new(),
        });
        self.profile.sample.last_mut().unwrap()
    }

    fn label(&mut self, key: &str, value: &str) {
        let (key, str) = (self.text(key), self.text(value));
        let label = Label {
            key,
            str,
            ..Label::default()
        };
        self.profile.sample.last_mut().unwrap().label.push(label);
    }

    fn number(&mut self, key: &str, num: i64, unit: &str) {
        let (key, num_unit) = (self.text(key), self.text(unit));
        let label = Label {
            key,
            num,
            num_unit,
            str: 0,
        };
        self.profile.sample.last_mut().unwrap().label.push(label);
    }

    fn mapping(&mut self, file: &str, build: &str) -> &mut Mapping {
        let id = self.profile.mapping.len() as u64 + 1;
        let (filename, build_id) = (self.text(file), self.text(build));
        self.profile.mapping.push(Mapping {
            id,
            memory_start: id << 20,
            memory_limit: (id + 1) << 20,
            filename,
            build_id,
            has_functions: true,
            ..Mapping::default()
        });
        self.profile.mapping.last_mut().unwrap()
    }
}

const TIME: &[(&str, &str)] = &[("samples", "count"), ("cpu", "nanoseconds")];

fn made() -> Vec<(&'static str, Profile)> {
    vec![
        ("made-small-calls", small_calls()),
        ("made-recursion", recursion()),
        ("made-inlined", inlined()),
        ("made-labels", labels()),
        ("made-nodes", nodes()),
        ("made-below-zero", below_zero()),
        ("made-nameless", nameless()),
        ("made-empty-strings", empty_strings()),
        ("made-names", names()),
        ("made-dropped", dropped()),
        ("made-files", files()),
        ("made-units", units()),
        ("made-deep", deep()),
        ("made-everything", everything()),
        ("made-nothing", Maker::new(TIME).profile),
        ("made-tangle", labelled(tangle(1, 400, 60, 400))),
        ("made-ties", labelled(tangle(2, 400, 40, 3))),
    ]
}

/// One function that is called from thousands of places, each too small to draw.
pub(crate) fn small_calls() -> Profile {
    let mut maker = Maker::new(TIME);
    for place in 0..7000 {
        let (area, caller) = (
            format!("main.area{}", place % 40),
            format!("main.caller{place}"),
        );
        let stack = ["main.main", "main.mid", &area, &caller, "time.Now"];
        maker.stack(&stack, &[1, 1_000_000 + place % 90]);
    }
    for place in 0..8 {
        let large = format!("main.large{place}");
        maker.stack(&["main.main", "main.work", &large], &[60, 60_000_000]);
    }
    maker.profile
}

fn recursion() -> Profile {
    let mut maker = Maker::new(TIME);
    let (even, odd) = ("main.even", "main.odd");
    maker.stack(
        &["main.main", even, odd, even, odd, "runtime.leaf"],
        &[3, 30],
    );
    maker.stack(&["main.main", odd, even, odd], &[2, 20]);
    maker.stack(&["main.main", "main.mid", "main.mid", "main.mid"], &[5, 55]);
    maker.stack(&["main.mid", "main.mid"], &[1, 10]);
    maker.stack(&["main.main", even, "main.mid", even], &[7, 70]);
    maker.profile
}

fn inlined() -> Profile {
    let mut maker = Maker::new(&[("alloc_objects", "count"), ("alloc_space", "bytes")]);
    let inner = "runtime.small@a.go:7 < main.mid@b.go:20 < main.outer@c.go:30";
    maker.stack(&["main.main@c.go:3", inner], &[4, 4096]);
    maker.stack(
        &["main.main@c.go:3", inner, "runtime.leaf@d.go:1"],
        &[1, 100],
    );
    maker.stack(
        &[
            "main.main@c.go:4",
            "main.mid@b.go:21 < main.outer@c.go:31",
            "main.mid@b.go:9",
        ],
        &[2, 64 << 10],
    );
    maker.stack(&["main.outer@c.go:31", "main.mid@b.go:21"], &[9, 1 << 20]);
    maker.stack(
        &["main.main@c.go:4", "main.again@e.go:2 < main.again@e.go:5"],
        &[3, 333],
    );
    maker.profile
}

fn labels() -> Profile {
    let mut maker = Maker::new(&[("objects", "count"), ("space", "bytes")]);
    let stacks: [&[&str]; 4] = [
        &["main.main", "main.mid", "runtime.alloc"],
        &["main.main", "main.other", "runtime.alloc"],
        &["main.main", "main.mid"],
        &["main.serve", "main.reconcile", "runtime.alloc"],
    ];
    for place in 0..24_i64 {
        let stack = stacks[usize::try_from(place % 4).unwrap()];
        maker.stack(stack, &[place % 5 + 1, (place + 1) * 777]);
        if place % 6 == 5 {
            continue;
        }
        maker.label(
            "area",
            ["network", "time", "k8s"][usize::try_from(place % 3).unwrap()],
        );
        if place % 4 == 1 {
            maker.label("area", "again");
            maker.label("user", "a name: x");
        }
        maker.number("bytes", 1 << (place % 12), "bytes");
        if place % 3 == 0 {
            maker.number("latency", 1_500_000 * place, "nanoseconds");
            maker.number("request", place, "");
            maker.number("other", place * 3, "");
        }
    }
    maker.profile
}

/// As a fetch merges nodes: each is a side of a picture.
fn nodes() -> Profile {
    let mut maker = Maker::new(TIME);
    for place in 0..30_i64 {
        let leaf = format!("main.leaf{}", place % 7);
        maker.stack(&["main.main", "main.mid", &leaf], &[1, 1000 * place + 1]);
        let node = ["cp-1", "worker-1", "worker-2"][usize::try_from(place % 3).unwrap()];
        maker.label("node", node);
        maker.label("service", "machined");
    }
    maker.profile
}

fn below_zero() -> Profile {
    let mut maker = Maker::new(&[("inuse_objects", "count"), ("inuse_space", "bytes")]);
    maker.stack(&["main.main", "main.mid", "runtime.alloc"], &[-3, -3 << 20]);
    maker.stack(&["main.main", "runtime.alloc"], &[3, 1 << 20]);
    maker.stack(&["main.main", "main.small"], &[0, 0]);
    maker.stack(&["main.main", "main.mid"], &[2, 3 << 20]);
    maker.stack(&["main.shrunk", "main.mid"], &[-1, -1000]);
    maker.profile
}

/// Addresses without functions, locations without lines, stacks without locations.
fn nameless() -> Profile {
    let mut maker = Maker::new(TIME);
    maker.mapping("/opt/none/app", "0123abcd");
    maker.mapping("/opt/none/libc.so.6", "");
    maker.mapping("[vdso]", "");
    maker.stack(&["main.main", "main.mid"], &[1, 10]);
    for location in &mut maker.profile.location {
        location.mapping_id = 1;
    }
    for id in 10..16 {
        maker.profile.location.push(Location {
            id,
            mapping_id: id % 4,
            address: (id % 4) << 20 | id << 8,
            ..Location::default()
        });
    }
    for (stack, value) in [
        (vec![10, 1], 5),
        (vec![11, 2, 1], 6),
        (vec![12, 11], 7),
        (vec![13], 8),
        (vec![14, 15], 9),
        (vec![], 4),
    ] {
        maker.profile.sample.push(Sample {
            location_id: stack,
            value: vec![value, value * 11],
            label: Vec::new(),
        });
    }
    maker.profile
}

/// The empty string has a second index, which names nothing either.
fn empty_strings() -> Profile {
    let mut maker = Maker::new(TIME);
    maker.stack(&["main.main", "main.mid"], &[1, 10]);
    maker.stack(&["main.main", "main.other"], &[2, 25]);
    maker.profile.string_table.push(Vec::new());
    let empty = i64::try_from(maker.profile.string_table.len() - 1).unwrap();
    let mapping = maker.mapping("", "");
    (mapping.filename, mapping.build_id) = (empty, empty);
    for location in &mut maker.profile.location {
        location.mapping_id = 1;
    }
    for function in &mut maker.profile.function {
        function.filename = empty;
    }
    maker.profile.doc_url = empty;
    maker.profile.comment = vec![empty];
    maker.profile.drop_frames = empty;
    maker.profile.default_sample_type = empty;
    maker.profile
}

/// Names of generics, of C++, and of packages with dots.
fn names() -> Profile {
    let mut maker = Maker::new(TIME);
    let names = [
        "main.main",
        "example.com/a.b/v2/c.(*Tree[go.shape.struct { A int; B []string }]).Insert",
        "main.mid[go.shape.interface { BlockSize() int; Reset() },go.shape.string]",
        "std::vector<int, std::allocator<int> >::push_back(int const&)",
        "(anonymous namespace)::run<std::map<a, b> >(void (*)(int))",
        "operator<<",
        "runtime.leaf",
        "a b  c;d",
        "crate::module::{{closure}}",
        "<alloc::vec::Vec<T> as core::ops::Drop>::drop",
        "java.util.concurrent.ThreadPoolExecutor$Worker.run",
    ];
    for (place, name) in (1..).zip(names) {
        maker.stack(&["main.main", name, names[place % names.len()]], &[1, 100]);
        let value = i64::try_from(place).unwrap();
        maker.stack(&["main.main", "main.main", name], &[value, value * 40]);
    }
    maker.profile
}

fn dropped() -> Profile {
    let mut maker = Maker::new(&[("contentions", "count"), ("delay", "nanoseconds")]);
    maker.stack(
        &["main.main", "main.mid", "runtime.lock", "runtime.spin"],
        &[1, 1000],
    );
    maker.stack(&["main.main", "runtime.lockslow"], &[2, 2_000_000]);
    maker.stack(&["runtime.lock"], &[3, 3_000_000_000]);
    maker.stack(&["main.main", "main.mid", "main.kept"], &[4, 4000]);
    maker.mapping("/opt/app/bin/app", "beef");
    for location in &mut maker.profile.location {
        location.mapping_id = 1;
    }
    let profile = (
        maker.text("runtime\\.lock.*"),
        maker.text("runtime\\.lockslow"),
    );
    (maker.profile.drop_frames, maker.profile.keep_frames) = profile;
    maker.profile.comment = vec![maker.text("first comment"), maker.text("second: 2 < 3")];
    maker.profile.default_sample_type = maker.text("contentions");
    maker.profile.doc_url = maker.text("https://example.com/doc");
    maker.profile.period_type = Some(maker.value_type(&("contentions", "count")));
    maker.profile.period = 1;
    maker.profile.time_nanos = 1_795_000_000_123_456_789;
    maker.profile.duration_nanos = 2_500_000_000;
    maker.profile
}

/// Functions of one name in several files, and places with columns.
fn files() -> Profile {
    let mut maker = Maker::new(TIME);
    let stacks: [&[&str]; 5] = [
        &["main.main@/src/a/main.go:10", "init@/src/a/x.go:3"],
        &["main.main@/src/a/main.go:12", "init@/src/b/x.go:3"],
        &[
            "main.main@/src/a/main.go:10",
            "main.mid@/src/a/mid.go:5",
            "init@/src/b/x.go:4",
        ],
        &["main.main@/src/a/main.go:10", "main.mid@/src/a/mid.go:5"],
        &["main.main@/src/a/main.go:11", "main.mid@/src/a/mid.go:6"],
    ];
    for (place, stack) in (1..).zip(stacks) {
        maker.stack(stack, &[place, place * 10_000_000]);
    }
    for function in &mut maker.profile.function {
        function.start_line = i64::try_from(function.id).unwrap() * 3;
    }
    for location in &mut maker.profile.location {
        location.line[0].column = i64::try_from(location.id).unwrap() + 4;
    }
    maker.profile
}

/// Units that are not those of Go, and more than two sample types.
fn units() -> Profile {
    let mut maker = Maker::new(&[
        ("requests", "count"),
        ("wall", "microseconds"),
        ("sent", "kilobytes"),
        ("cost", "widgets"),
        ("share", ""),
    ]);
    for place in 0..20_i64 {
        let leaf = format!("main.leaf{}", place % 6);
        let value = [
            place + 1,
            place * 12345,
            place * 700,
            place % 4,
            100 - place,
        ];
        maker.stack(&["main.main", "main.mid", &leaf], &value);
    }
    maker.profile
}

/// For each option, a stack whose answer it changes. Sources are in `SOURCES`.
fn everything() -> Profile {
    let mut maker = Maker::new(&[("contentions", "count"), ("delay", "nanoseconds")]);
    let controllers = [
        "net.(*AController)",
        "k8s.(*midController)",
        "net.(*BController)",
    ];
    let [a, mid_controller, b] =
        controllers.map(|name| format!("talos/controllers/{name}.Run@/src/c.go:9"));
    let inlined = format!("{b} < main.other@/src/a.go:20");
    let main = "main.main@/src/main.go:3";
    let (mid, lock) = ("main.mid@/src/a.go:5", "runtime.lock@/src/l.go:1");
    let levels: Vec<String> = (0..12)
        .map(|of| format!("main.level{of}@/src/d.go:1"))
        .collect();
    let levels: Vec<&str> = levels.iter().map(String::as_str).collect();
    let stacks: [(&[&str], i64); 13] = [
        (&[main, mid], 40),
        (
            &[
                "main.main@/src/main.go:4",
                "main.mid@/src/a.go:6",
                "main.leaf@/src/a.go:30",
            ],
            90,
        ),
        (&[main, "main.in@/src/a.go:9 < main.mid@/src/a.go:7"], 70),
        (&[main, "main.leaf@/src/b.go:30"], 200),
        (&[main, mid, lock], 8),
        (
            &[
                "main.other@/src/main.go:20",
                lock,
                "runtime.spin@/src/l.go:2",
            ],
            9,
        ),
        (
            &["main.(*C).Run@/src/c.go:1", mid, "main.rare@/src/r.go:1"],
            1,
        ),
        (&[mid], 3),
        (&[main, mid, &a], 11),
        (&[&a, mid], 12),
        (&[main, &mid_controller], 13),
        (&[main, &inlined], 14),
        (&[main, lock, &b], 15),
    ];
    let stacks = stacks.into_iter().chain([(&levels[..], 16)]);
    for (place, (stack, value)) in stacks.enumerate() {
        let count = i64::try_from(place).unwrap() + 2;
        maker.stack(stack, &[count, value * 1_000_000]);
        maker.label("area", ["network", "time", "k8s"][place % 3]);
        maker.number("bytes", 64 << place, "bytes");
    }
    for place in 0..200 {
        let caller = format!("main.rare{place}@/src/r.go:2");
        maker.stack(&[main, &caller, "main.leaf@/src/b.go:30"], &[1, 900]);
    }
    for location in &mut maker.profile.location {
        location.line[0].column = i64::try_from(location.id).unwrap();
    }
    maker.profile.drop_frames = maker.text("runtime\\.lock");
    maker.profile.comment = vec![maker.text("a comment")];
    maker.profile.duration_nanos = 1_000_000_000;
    maker.profile
}

fn deep() -> Profile {
    let mut maker = Maker::new(TIME);
    let names: Vec<String> = (0..600).map(|level| format!("main.f{level}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    maker.stack(&names, &[1, 10]);
    maker.stack(&names[..300], &[1, 10]);
    maker.stack(&[&names[..200], &["main.mid"]].concat(), &[3, 30]);
    maker.profile
}

/// Random stacks of `functions`; few different values make many ties.
pub(crate) fn tangle(seed: u64, stacks: usize, functions: u64, values: u64) -> Profile {
    let mut random = seed;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut maker = Maker::new(TIME);
    for _ in 0..stacks {
        let frames: Vec<String> = (0..=next(12))
            .map(|_| {
                let function = next(functions);
                let package =
                    ["main", "runtime", "k8s.io/api/v2"][usize::try_from(function % 3).unwrap()];
                format!("{package}.f{function}@{package}.go:{}", next(4) + 1)
            })
            .collect();
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let value = i64::try_from(next(values) + 1).unwrap();
        maker.stack(&frames, &[1, value * 1_000_000]);
    }
    maker.profile
}

/// Every third stack has labels.
fn labelled(profile: Profile) -> Profile {
    let mut maker = Maker {
        profile,
        ..Maker::default()
    };
    let texts = maker.profile.string_table.iter().zip(0..);
    let texts = texts.map(|(text, index)| (String::from_utf8(text.clone()).unwrap(), index));
    maker.strings = texts.collect();
    let samples = std::mem::take(&mut maker.profile.sample).into_iter();
    for (place, sample) in samples.enumerate() {
        maker.profile.sample.push(sample);
        if place % 3 == 0 {
            maker.label("area", &format!("area{}", place % 9 + place % 2));
            maker.number("bytes", 1 << (place % 10), "bytes");
        }
    }
    maker.profile
}
