//! One image from every kind of place, and what its files are.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::cell::RefCell;

use common::{Memory, Registry, Tar, gzip, image, layout, zstd};
use oci::{Archive, Entry, Fate, Flow, Image, Kind, Reference};
use serde_json::json;

fn listed(image: &Image<'_>) -> Vec<(String, Fate)> {
    let mut listed = Vec::new();
    let walked = image.walk(|entry, fate, body| {
        std::io::copy(body, &mut std::io::sink())?;
        listed.push((entry.path.clone(), fate));
        Ok(Flow::Continue)
    });
    walked.unwrap();
    listed
}

fn layers() -> [Vec<u8>; 3] {
    let mut lower = Tar::default();
    lower
        .dir("rootfs")
        .file("rootfs/a", "lower")
        .file("rootfs/gone", "x");
    let mut upper = Tar::default();
    upper.dir("./rootfs/").file("rootfs/.wh.gone", "");
    let mut top = Tar::default();
    top.file("rootfs/a", "upper")
        .file("manifest.yaml", "version: v1alpha1\n");
    [gzip(&lower.finish()), zstd(&upper.finish()), top.finish()]
}

const EXPECTED: [(&str, Fate); 7] = [
    ("rootfs/a", Fate::Kept),
    ("manifest.yaml", Fate::Kept),
    ("rootfs", Fate::Kept),
    ("rootfs/.wh.gone", Fate::Whiteout),
    ("rootfs", Fate::Hidden),
    ("rootfs/a", Fate::Hidden),
    ("rootfs/gone", Fate::Hidden),
];

fn check(image: &Image<'_>) {
    let expected: Vec<_> = EXPECTED.map(|(path, fate)| (path.to_owned(), fate)).into();
    assert_eq!(listed(image), expected);
    assert_eq!(image.platform.to_string(), "linux/amd64");
    assert!(image.has_manifest() && image.config.is_some());
}

#[test]
fn every_place_gives_the_same_files() {
    let mut files = Memory::default();
    let (descriptor, blobs) = image(&mut files, "amd64", &layers());
    let index = layout(&mut files, std::slice::from_ref(&descriptor));

    check(&oci::layout(&files, "x").unwrap()[0]);
    let archive = Archive::open("x.tar", files.archive()).unwrap();
    assert!(archive.has("oci-layout") && !archive.has("manifest.json"));
    check(&oci::layout(&archive, "x.tar").unwrap()[0]);

    let reference = Reference::parse("127.0.0.1:5005/u/x:v1").unwrap();
    let registry = Registry {
        files: files.clone(),
        repository: "u/x".into(),
        tag: index,
        requests: RefCell::default(),
    };
    let images = oci::registry(&registry, &reference).unwrap();
    assert!(registry.requests.borrow()[0].ends_with("/manifests/v1"));
    check(&images[0]);

    // As docker and the imager save.
    let name = |blob: &serde_json::Value| blob["digest"].as_str().unwrap()[7..].to_owned();
    let mut saved = Memory::default();
    let mut config = String::new();
    for (path, bytes) in &files.0 {
        if bytes.starts_with(br#"{"architecture"#) {
            config = format!("sha256:{}", path.rsplit_once('/').unwrap().1);
            saved.0.insert(config.clone(), bytes.clone());
        }
    }
    let layers: Vec<String> = blobs
        .iter()
        .map(|it| format!("{}.tar.gz", name(it)))
        .collect();
    for (layer, blob) in layers.iter().zip(&blobs) {
        let bytes = files.0[&format!("blobs/sha256/{}", name(blob))].clone();
        saved.0.insert(layer.clone(), bytes);
    }
    let manifest = json!([{"Config": config, "RepoTags": ["r/u/x:1"], "Layers": layers}]);
    saved
        .0
        .insert("manifest.json".into(), manifest.to_string().into());
    let archive = Archive::open("x.tar", saved.archive()).unwrap();
    let images = oci::docker_archive(&archive, "x.tar").unwrap();
    assert_eq!(images[0].name, "x.tar (r/u/x:1)");
    check(&images[0]);
}

#[test]
fn an_index_gives_every_platform_and_no_attestation() {
    let mut files = Memory::default();
    let (amd64, _) = image(&mut files, "amd64", &layers());
    let (arm64, _) = image(&mut files, "arm64", &layers());
    let (mut provenance, _) = image(&mut files, "unknown", &[]);
    provenance["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let inner = json!({"schemaVersion": 2, "manifests": [amd64, provenance, arm64]});
    let inner = files.blob(inner.to_string().as_bytes());
    layout(&mut files, &[inner]);
    let images = oci::layout(&files, "x").unwrap();
    let platforms: Vec<String> = images.iter().map(|it| it.platform.to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
}

#[test]
fn attributes_of_entries_are_read() {
    let long = format!("rootfs/{}/x", "d".repeat(200));
    let mut tar = Tar::default();
    let mut owned = Tar::header(tar::EntryType::Regular, 0o4755, 0);
    owned.set_uid(1000);
    tar.file(&long, "long")
        .add(owned, "rootfs/suid", b"")
        .pax(&[("SCHILY.xattr.security.capability", b"\x01\0\0\x02")])
        .file("rootfs/caps", "")
        .pax(&[("path", b"rootfs/pax"), ("mtime", b"1.5")])
        .file("rootfs/short", "")
        .link(tar::EntryType::Link, "rootfs/hard", "./rootfs/caps")
        .symlink("rootfs/soft", "../x")
        .add_raw(
            Tar::header(tar::EntryType::Regular, 0o644, 0),
            "../../up",
            b"",
        )
        .add(
            Tar::header(tar::EntryType::Fifo, 0o644, 0),
            "rootfs/fifo",
            b"",
        );
    let mut files = Memory::default();
    files.0.insert("l".into(), gzip(&tar.finish()));
    let image = oci::single_layer(&files, "l", "l");
    let mut entries: Vec<Entry> = Vec::new();
    let mut content = String::new();
    image
        .walk(|entry, _, body| {
            body.read_to_string(&mut content)?;
            entries.push(entry.clone());
            Ok(Flow::Continue)
        })
        .unwrap();
    let paths: Vec<&str> = entries.iter().map(|it| it.path.as_str()).collect();
    let named = ["suid", "caps", "pax", "hard", "soft"].map(|it| format!("rootfs/{it}"));
    assert_eq!(paths[0], long);
    assert_eq!(paths[1..6], named);
    assert_eq!(paths[6..], ["up", "rootfs/fifo"]);
    assert_eq!(content, "long");
    assert_eq!((entries[1].mode, entries[1].uid), (0o4755, 1000));
    assert!(entries[2].capabilities && !entries[3].capabilities);
    assert_eq!(entries[4].kind, Kind::HardLink("rootfs/caps".into()));
    assert_eq!(entries[5].kind, Kind::Symlink("../x".into()));
    assert!(entries[6].climbs);
    assert_eq!(entries[7].kind, Kind::Fifo);
    assert!(!image.has_manifest());
}

/// As go-containerregistry reads it: the file below stays.
#[test]
fn an_opaque_whiteout_hides_nothing_and_is_not_a_file() {
    let lower = Tar::default().dir("rootfs").file("rootfs/a", "x").finish();
    let upper = Tar::default().file("rootfs/.wh..wh..opq", "").finish();
    let mut files = Memory::default();
    let (descriptor, _) = image(&mut files, "amd64", &[lower, upper]);
    layout(&mut files, &[descriptor]);
    let listed = listed(&oci::layout(&files, "x").unwrap()[0]);
    assert_eq!(listed[0].1, Fate::Whiteout);
    assert_eq!(listed[2], ("rootfs/a".to_owned(), Fate::Kept));
}

#[test]
fn reading_stops_when_the_caller_has_enough() {
    let mut files = Memory::default();
    let mut tar = Tar::default();
    tar.file("a", "").file("b", "");
    let mut bytes = tar.finish();
    bytes.truncate(1200);
    files.0.insert("l".into(), bytes);
    let mut seen = 0;
    oci::single_layer(&files, "l", "l")
        .walk(|_, _, _| {
            seen += 1;
            Ok(Flow::Stop)
        })
        .unwrap();
    assert_eq!(seen, 1);
}
