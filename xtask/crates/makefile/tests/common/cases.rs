//! Small Makefiles with what is expected of them, out of one file.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests prepare files"
)]

use std::path::Path;
use std::time::{Duration, SystemTime};

#[derive(Debug, Default)]
pub struct Case {
    pub name: String,
    pub arguments: Vec<String>,
    pub refused: Option<String>,
    pub environment: Vec<(String, String)>,
    pub older: Vec<String>,
    pub newer: Vec<String>,
    pub files: Vec<(String, Vec<u8>)>,
}

/// All cases of a file such as `testdata/make/cases.txt`.
pub fn read(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n### ").skip(1).map(case).collect()
}

fn case(text: &str) -> Case {
    let (head, body) = text.split_once('\n').unwrap_or((text, ""));
    let mut parts = head.split(" | ");
    let mut case = Case {
        name: parts.next().unwrap().trim().to_owned(),
        ..Case::default()
    };
    for part in parts {
        match part.strip_prefix("refused: ") {
            Some(refused) => case.refused = Some(refused.trim().to_owned()),
            None => case.arguments = shlex::split(part.trim()).unwrap(),
        }
    }
    let mut file = ("Makefile".to_owned(), String::new());
    for line in body.split_inclusive('\n') {
        let plain = line.trim_end_matches('\n');
        if let Some(variable) = plain.strip_prefix("#! env: ") {
            let (name, value) = variable.split_once('=').unwrap();
            case.environment.push((name.to_owned(), value.to_owned()));
        } else if let Some(name) = plain.strip_prefix("#! file: ") {
            case.older.push(name.to_owned());
        } else if let Some(name) = plain.strip_prefix("#! newer: ") {
            case.newer.push(name.to_owned());
        } else if let Some(name) = plain.strip_prefix("@@ ") {
            let next = (name.to_owned(), String::new());
            let (name, text) = std::mem::replace(&mut file, next);
            case.files.push((name, bytes(&text)));
        } else {
            file.1.push_str(line);
        }
    }
    // The newline before the next heading was split off.
    case.files.push((file.0, bytes(&(file.1 + "\n"))));
    case
}

fn bytes(text: &str) -> Vec<u8> {
    let text = text.replace("<CR>", "\r").replace("<BOM>", "\u{feff}");
    let mut out = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['<']) {
        let byte = match rest.get(at..at + 4) {
            Some("<E9>") => 0xe9,
            Some("<EF>") => 0xef,
            _ => {
                out.extend_from_slice(&rest.as_bytes()[..=at]);
                rest = &rest[at + 1..];
                continue;
            }
        };
        out.extend_from_slice(&rest.as_bytes()[..at]);
        out.push(byte);
        rest = &rest[at + 4..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

impl Case {
    pub fn prepare(&self, dir: &Path) {
        for (name, content) in &self.files {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let older = SystemTime::now() - Duration::from_secs(100);
        for name in &self.older {
            let file = std::fs::File::create(dir.join(name)).unwrap();
            file.set_modified(older).unwrap();
        }
        for name in &self.newer {
            std::fs::write(dir.join(name), "").unwrap();
        }
    }
}
