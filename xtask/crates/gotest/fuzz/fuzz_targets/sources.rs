#![no_main]
//! No checkout may make discovery panic, hang or recurse without end. Files are
//! parted by a line of `---` and its name; the first is go.work.

use std::collections::BTreeMap;

use gotest::{Entry, Options, Source, Target, Workspace, discover, named_suites, newest_source};
use libfuzzer_sys::fuzz_target;

struct Files<'a>(BTreeMap<&'a str, &'a str>);

const NAMES: [&str; 6] = [
    "go.mod",
    "a/a_test.go",
    "a/a.go",
    "b/b.go",
    "b/x_test.go",
    "b/go.mod",
];

impl Source for Files<'_> {
    fn list(&self, dir: &str) -> std::io::Result<Vec<Entry>> {
        let entry = |name: &str, is_dir| Entry {
            name: name.to_owned(),
            is_dir,
            stamp: (1, 1),
        };
        Ok(if dir.is_empty() {
            vec![entry("a", true), entry("b", true), entry("go.mod", false)]
        } else {
            let names = self.0.keys().filter_map(|path| path.strip_prefix(dir)?.strip_prefix('/'));
            names.map(|name| entry(name, false)).collect()
        })
    }

    fn read(&self, file: &str) -> std::io::Result<Option<String>> {
        Ok(self.0.get(file).map(|text| (*text).to_owned()))
    }
}

fuzz_target!(|text: &str| {
    let mut parts = text.split("---\n");
    let mut files = BTreeMap::new();
    match parts.next().unwrap_or_default() {
        "" => {}
        work => drop(files.insert("go.work", work)),
    }
    for (name, part) in NAMES.iter().zip(parts) {
        files.insert(name, part);
    }
    files.entry("go.mod").or_insert("module m\n");
    let source = Files(files);
    let workspace = Workspace::open(&source).expect("all of it can be read");
    let all: Vec<usize> = (0..workspace.folders.len()).collect();
    for deep in [false, true] {
        let options = Options {
            target: Target::default(),
            deep,
        };
        let found = discover(&source, &workspace, &all, &options);
        assert!(found.unread.iter().all(|unread| !unread.why.is_empty()));
    }
    let target = Target::default();
    let _ = newest_source(&source, &workspace, &target, "a");
    let _ = named_suites(&source, &workspace, &target, "a");
    let patterns: Vec<String> = text.split_whitespace().take(4).map(str::to_owned).collect();
    let _ = workspace.matching(&patterns, "a");
});
