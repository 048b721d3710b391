//! `image ls`: the files as they are unpacked, with what whiteouts hide left out.

use std::collections::BTreeMap;
use std::fmt::Write;

use oci::{Entry, Fate, Flow, Image, Kind};
use serde_json::{Value, json};

use super::{WhichImage, images, open};
use crate::app::App;
use foundation::ctx::image_source::failure;
use foundation::failure::{Failure, Result};
use foundation::typed;
use foundation::ui;
use foundation::ui::text::one_line;

pub(super) fn run(
    app: &App<'_>,
    which: &WhichImage,
    path: Option<&str>,
    as_json: bool,
) -> Result<u8> {
    let source = open(app, which)?;
    let images = images(&source, which)?;
    let below = path.unwrap_or_default().trim_matches('/');
    let mut found = Vec::new();
    for image in &images {
        let files = files(image, below).map_err(|error| failure(&source.name, &error))?;
        found.push((image.platform.to_string(), files));
    }
    if !below.is_empty() && found.iter().all(|(_, files)| files.is_empty()) {
        return Err(
            Failure::usage(format!("`{}` has no file `{below}`", source.name))
                .hint(typed!("image ls {}", source.name)),
        );
    }
    if as_json {
        let platforms: Vec<Value> = found
            .iter()
            .map(|(platform, files)| {
                let files: Vec<Value> = files.values().map(to_json).collect();
                json!({"platform": platform, "files": files})
            })
            .collect();
        ui::print_report(json!({"image": source.name, "platforms": platforms}));
        return Ok(0);
    }
    let mut out = String::new();
    for (platform, files) in &found {
        if found.len() > 1 {
            let _ = writeln!(out, "{platform}");
        }
        let width = files.values().map(|it| it.size.to_string().len()).max();
        for entry in files.values() {
            write_line(&mut out, entry, width.unwrap_or_default());
        }
    }
    ui::print(&out);
    Ok(0)
}

/// By path, so that layers do not show.
fn files(image: &Image<'_>, below: &str) -> oci::Result<BTreeMap<String, Entry>> {
    let mut files = BTreeMap::new();
    image.walk(|entry, fate, _| {
        let is_below = entry
            .path
            .strip_prefix(below)
            .is_some_and(|rest| below.is_empty() || rest.is_empty() || rest.starts_with('/'));
        if fate == Fate::Kept && is_below && !entry.path.is_empty() {
            files.insert(entry.path.clone(), entry.clone());
        }
        Ok(Flow::Continue)
    })?;
    Ok(files)
}

/// The letter of `ls -l`, and the name for JSON.
fn kind(kind: &Kind) -> (char, &'static str) {
    match kind {
        Kind::File => ('-', "file"),
        Kind::Directory => ('d', "directory"),
        Kind::Symlink(_) => ('l', "symlink"),
        Kind::HardLink(_) => ('h', "hard link"),
        Kind::Fifo => ('p', "fifo"),
        Kind::Device => ('c', "device"),
        Kind::Socket => ('s', "socket"),
    }
}

fn target(kind: &Kind) -> Option<&str> {
    match kind {
        Kind::Symlink(to) | Kind::HardLink(to) => Some(to),
        _ => None,
    }
}

fn to_json(entry: &Entry) -> Value {
    json!({
        "path": entry.path,
        "kind": kind(&entry.kind).1,
        "target": target(&entry.kind),
        "mode": format!("{:04o}", entry.mode),
        "uid": entry.uid,
        "gid": entry.gid,
        "size": entry.size,
        "layer": entry.layer,
    })
}

fn permissions(mode: u32) -> String {
    let bit = |shift: u32, letter: char| if mode >> shift & 1 == 1 { letter } else { '-' };
    let run = |shift: u32, special: u32, set: char| match (mode >> shift & 1, mode >> special & 1) {
        (0, 0) => '-',
        (1, 0) => 'x',
        (0, _) => set.to_ascii_uppercase(),
        _ => set,
    };
    [
        bit(8, 'r'),
        bit(7, 'w'),
        run(6, 11, 's'),
        bit(5, 'r'),
        bit(4, 'w'),
        run(3, 10, 's'),
        bit(2, 'r'),
        bit(1, 'w'),
        run(0, 9, 't'),
    ]
    .iter()
    .collect()
}

fn write_line(out: &mut String, entry: &Entry, width: usize) {
    let _ = write!(
        out,
        "{}{}  {}:{}  {:>width$}  {}",
        kind(&entry.kind).0,
        permissions(entry.mode),
        entry.uid,
        entry.gid,
        entry.size,
        one_line(&entry.path)
    );
    match target(&entry.kind) {
        Some(to) => {
            let _ = writeln!(out, " -> {}", one_line(to));
        }
        None => out.push('\n'),
    }
}

#[cfg(test)]
mod tests {
    use super::permissions;

    #[test]
    fn permissions_are_those_of_ls() {
        assert_eq!(permissions(0o755), "rwxr-xr-x");
        assert_eq!(permissions(0o4755), "rwsr-xr-x");
        assert_eq!(permissions(0o2644), "rw-r-Sr--");
        assert_eq!(permissions(0o1777), "rwxrwxrwt");
    }
}
