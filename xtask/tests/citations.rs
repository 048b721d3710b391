//! Comments cite traps (`T7`) and sections of `docs/talos-facts.md`: each citation
//! leads somewhere, and none leads out of the repository.
#![allow(clippy::unwrap_used, reason = "tests read the sources")]

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use regex::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Sources, scripts and pages; what cargo builds is left out.
fn sources() -> Vec<(Utf8PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Utf8PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() && path.file_name() != Some("target") {
                folders.push(path);
            } else if matches!(path.extension(), Some("rs" | "go" | "sh" | "md" | "toml"))
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                found.push((path, text));
            }
        }
    }
    found
}

/// As a page's link names a heading.
fn anchor(heading: &str) -> String {
    heading.trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_citation_leads_to_a_place_in_the_repository() {
    let facts = std::fs::read_to_string(format!("{ROOT}/docs/talos-facts.md")).unwrap();
    let traps: BTreeSet<&str> = facts
        .lines()
        .filter_map(|line| line.strip_prefix("| T")?.split(' ').next())
        .collect();
    let sections: BTreeSet<String> = facts
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(anchor)
        .collect();
    let trap = Regex::new(r"\(T(\d{1,2})[,)]|[ ,]T(\d{1,2})\)").unwrap();
    let section = Regex::new(r"talos-facts\.md((?: and)?[ ]?#[a-z0-9-]+)+").unwrap();
    let name = Regex::new(r"#([a-z0-9-]+)").unwrap();
    let (mut cited, mut bad) = (0, Vec::new());
    for (path, text) in sources() {
        // This file names what it looks for.
        if path.file_name() == Some("citations.rs") {
            continue;
        }
        for found in trap.captures_iter(&text) {
            let number = found.get(1).or(found.get(2)).unwrap().as_str();
            cited += 1;
            if !traps.contains(number) {
                bad.push(format!("{path}: T{number}"));
            }
        }
        for found in section.find_iter(&text) {
            for found in name.captures_iter(found.as_str()) {
                cited += 1;
                if !sections.contains(&found[1]) {
                    bad.push(format!("{path}: #{}", &found[1]));
                }
            }
        }
        // Pages that only the authors had.
        for outside in ["facts/talos.md", "../shared/", "lab.md", "sister-repos.md"] {
            if text.contains(&format!(" {outside}")) || text.contains(&format!("({outside}")) {
                bad.push(format!("{path}: {outside} is not in the repository"));
            }
        }
    }
    assert!(cited > 30, "only {cited} citations found");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn every_place_on_the_map_exists() {
    let map = std::fs::read_to_string(format!("{ROOT}/ARCHITECTURE.md")).unwrap();
    let place =
        Regex::new(r"`((?:\.\./|src/|crates/|tests/|testdata/|lab/|docs/)[^`*]*)`").unwrap();
    let places: BTreeSet<String> = place
        .captures_iter(&map)
        .map(|found| found[1].to_owned())
        .collect();
    assert!(places.len() > 30, "{places:?}");
    let is_embedded = Utf8Path::new(ROOT).join(".embedded.sha256").exists();
    let missing: Vec<&String> = places
        .iter()
        // In a Talos checkout what is above is Talos'.
        .filter(|place| !(is_embedded && place.starts_with("../")))
        .filter(|place| !Utf8Path::new(ROOT).join(place).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Rows of a table whose head names the folder.
    let table = map
        .split("The files of `crates/foundation/src/run`:")
        .nth(1)
        .unwrap();
    let table = table.split("\n## ").next().unwrap();
    let file = Regex::new(r"`([a-z_]+(?:\.rs)?)`").unwrap();
    for found in file.captures_iter(table) {
        let path = Utf8Path::new(ROOT)
            .join("crates/foundation/src/run")
            .join(&found[1]);
        assert!(path.exists(), "{path}");
    }
}
