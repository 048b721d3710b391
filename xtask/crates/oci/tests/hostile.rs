//! Images that are damaged, or made to harm: a clear error, no panic, bounded work.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Read;

use common::{Memory, Tar, gzip, image, layout, zstd};
use oci::{Archive, Files, Flow, ImageError, Reference, Request, Response, Transport};
use proptest::prelude::*;
use serde_json::{Value, json};

fn walk(files: &dyn Files) -> Result<(), ImageError> {
    for image in oci::layout(files, "x")? {
        image.walk(|_, _, body| {
            std::io::copy(body, &mut std::io::sink())?;
            Ok(Flow::Continue)
        })?;
    }
    Ok(())
}

fn one_layer(layer: Vec<u8>) -> (Memory, Value) {
    let mut files = Memory::default();
    let (descriptor, layers) = image(&mut files, "amd64", &[layer]);
    layout(&mut files, &[descriptor]);
    (files, layers[0].clone())
}

fn small() -> Vec<u8> {
    let noise: Vec<u8> = (0_u32..20_000)
        .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    Tar::default()
        .dir("rootfs")
        .file("rootfs/a", noise)
        .finish()
}

#[test]
fn damage_is_named() {
    for layer in [small(), gzip(&small()), zstd(&small())] {
        let (files, _) = one_layer(layer.clone());
        walk(&files).unwrap();

        let (mut files, blob) = one_layer(layer.clone());
        files.damage(&blob, |bytes| bytes.truncate(bytes.len() / 2));
        let error = walk(&files).unwrap_err();
        assert!(matches!(error, ImageError::Truncated { .. }), "{error}");
        assert!(error.is_damage());

        let (mut files, blob) = one_layer(layer.clone());
        files.damage(&blob, |bytes| bytes.push(0));
        let error = walk(&files).unwrap_err();
        assert!(matches!(error, ImageError::TooLong { .. }), "{error}");

        let (mut files, blob) = one_layer(layer.clone());
        // Past the headers, so that only the digest tells.
        files.damage(&blob, |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        });
        let error = walk(&files).unwrap_err();
        assert!(error.is_damage(), "{error}");

        let (mut files, blob) = one_layer(layer.clone());
        files.damage(&blob, |bytes| {
            bytes.clear();
            bytes.extend(b"<html>Bad gateway</html>");
        });
        let error = walk(&files).unwrap_err();
        assert!(
            matches!(
                error,
                ImageError::Html { .. } | ImageError::Truncated { .. }
            ),
            "{error}"
        );

        let (mut files, blob) = one_layer(layer);
        let name = blob["digest"].as_str().unwrap()[7..].to_owned();
        files.0.remove(&format!("blobs/sha256/{name}"));
        let error = walk(&files).unwrap_err();
        assert!(matches!(error, ImageError::Missing { .. }), "{error}");
        assert!(!error.is_damage());
    }
}

#[test]
fn an_uncompressed_layer_with_one_other_bit_has_another_digest() {
    let (mut files, blob) = one_layer(small());
    files.damage(&blob, |bytes| bytes[2000] ^= 1);
    let error = walk(&files).unwrap_err();
    assert!(matches!(error, ImageError::Digest { .. }), "{error}");
}

/// Upstream does not read the trailer of a layer.
#[test]
fn trailers_of_gzip_are_verified() {
    let mut layer = gzip(&small());
    let end = layer.len();
    layer[end - 6] ^= 1;
    let (files, _) = one_layer(layer);
    let error = walk(&files).unwrap_err();
    assert!(
        matches!(error, ImageError::Compression { format: "gzip", .. }),
        "{error}"
    );
    let mut layer = gzip(&small());
    layer.truncate(layer.len() - 8);
    let (files, _) = one_layer(layer);
    let error = walk(&files).unwrap_err();
    assert!(matches!(error, ImageError::Compression { .. }), "{error}");
}

#[test]
fn a_bomb_is_stopped_early() {
    // 4 GiB of zeros in a megabyte of members.
    let member = gzip(&vec![0; 64 << 20]);
    let mut header = Tar::header(tar::EntryType::Regular, 0o644, 4 << 30);
    header.set_path("rootfs/zeros").unwrap();
    header.set_cksum();
    let mut layer = gzip(header.as_bytes());
    for _ in 0..64 {
        layer.extend(&member);
    }
    let (files, _) = one_layer(layer);
    let error = walk(&files).unwrap_err();
    let ImageError::Bomb { bytes, .. } = error else {
        panic!("{error}");
    };
    assert!(bytes < 300 << 20, "{bytes}");
}

#[test]
fn records_of_any_size_are_not_kept_in_memory() {
    let mut tar = Tar::default();
    let mut records = Tar::header(tar::EntryType::XHeader, 0o644, 2 << 20);
    records.set_path("pax").unwrap();
    let mut bytes = b"2097152 comment=".to_vec();
    bytes.resize((2 << 20) - 1, b'x');
    bytes.push(b'\n');
    tar.add(records, "pax", &bytes).file("a", "");
    let (files, _) = one_layer(gzip(&tar.finish()));
    let error = walk(&files).unwrap_err();
    assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
}

#[test]
fn readers_that_disagree_are_an_error() {
    let mut tar = Tar::default();
    tar.pax(&[("size", b"1024")]).file("a", "xy");
    let (files, _) = one_layer(tar.finish());
    let error = walk(&files).unwrap_err();
    assert!(error.to_string().contains("sizes of an entry"), "{error}");
}

#[test]
fn documents_that_are_not_images_are_named() {
    let mut files = Memory::default();
    assert!(matches!(walk(&files), Err(ImageError::Missing { .. })));
    for (text, part) in [
        ("<html>", "HTML"),
        ("{}", "neither an index nor a manifest"),
        (
            r#"{"manifests":[{"digest":"sha256:../../etc/passwd"}]}"#,
            "SHA-256",
        ),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
    ] {
        files.0.insert("index.json".into(), text.into());
        let error = walk(&files).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // An index that contains itself cannot exist, but a deep one can.
    let mut inner = files.blob(br#"{"manifests":[]}"#);
    for _ in 0..10 {
        inner = files.blob(json!({"manifests": [inner]}).to_string().as_bytes());
    }
    layout(&mut files, &[inner]);
    let error = walk(&files).unwrap_err();
    assert!(matches!(error, ImageError::Limit { .. }), "{error}");
}

/// A registry that responds the same to everything.
struct Always(u16, &'static str, &'static [u8], bool);

impl Transport for Always {
    fn address(&self) -> &'static str {
        "127.0.0.1:1"
    }

    fn get(&self, _: Request<'_>) -> Result<Response<'_>, String> {
        let body: Box<dyn Read> = if self.3 {
            Box::new(self.2.chain(Gone))
        } else {
            Box::new(self.2)
        };
        Ok(Response {
            status: self.0,
            content_type: self.1.into(),
            body,
        })
    }
}

/// The connection breaks.
struct Gone;

impl Read for Gone {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn registries_that_do_not_behave_are_named() {
    let reference = Reference::parse("127.0.0.1:1/u/x:v1").unwrap();
    for (registry, part) in [
        (
            Always(200, "text/html; charset=utf-8", b"<html>", false),
            "HTML",
        ),
        (Always(200, "", b" <!doctype html>", false), "HTML"),
        (
            Always(404, "", b"", false),
            "127.0.0.1:1: manifest of u/x:v1: the registry does not have it",
        ),
        (Always(401, "", b"", false), "requires a login"),
        (Always(500, "", b"", false), "responded with 500"),
        (Always(200, "", b"{\"mani", true), "connection reset"),
    ] {
        let error = oci::registry(&registry, &reference)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    let pinned = format!("127.0.0.1:1/u/x@sha256:{}", "0".repeat(64));
    let pinned = Reference::parse(&pinned).unwrap();
    let error = oci::registry(&Always(200, "", b"{}", false), &pinned).unwrap_err();
    assert!(matches!(error, ImageError::Digest { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_as_a_layer_are_an_error_or_an_image(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = walk(&one_layer(bytes.clone()).0);
        let _ = walk(&one_layer(gzip(&bytes)).0);
        let _ = Archive::open("x", std::io::Cursor::new(bytes));
    }

    #[test]
    fn any_change_of_a_layer_is_an_error_or_an_image(
        at in 0..4000_usize, byte in any::<u8>(), cut in 0..4000_usize, kind in 0..3,
    ) {
        let mut layer = match kind {
            0 => small(),
            1 => gzip(&small()),
            _ => zstd(&small()),
        };
        let length = layer.len();
        layer[at % length] = byte;
        layer.truncate(length - cut.min(length - 1) / 4);
        let _ = walk(&one_layer(layer).0);
    }

    #[test]
    fn any_text_as_a_manifest_is_an_error_or_an_image(text in ".{0,200}") {
        let mut files = Memory::default();
        files.0.insert("index.json".into(), text.into());
        let _ = walk(&files);
    }
}

/// With each kind of header in few bytes.
fn tiny() -> Vec<u8> {
    let mut tar = Tar::default();
    tar.dir("rootfs").pax(&[("comment", b"x")]);
    tar.file("rootfs/a", "a").symlink("rootfs/b", "a").finish()
}

/// Every length and every byte of a small image, so that no place is left to chance.
#[test]
fn each_byte_of_a_layer_may_be_another_or_the_last() {
    let layers = [tiny(), gzip(&tiny()), zstd(&tiny())];
    for layer in layers {
        for length in 0..layer.len() {
            let (files, _) = one_layer(layer[..length].to_vec());
            let _ = walk(&files);
        }
        for at in 0..layer.len() {
            let mut changed = layer.clone();
            changed[at] ^= 0xff;
            let (files, _) = one_layer(changed);
            let _ = walk(&files);
        }
    }
}

#[test]
fn each_byte_of_an_archive_may_be_another_or_the_last() {
    let (files, _) = one_layer(gzip(&tiny()));
    let archive = files.archive().into_inner();
    let open = |bytes: Vec<u8>| {
        if let Ok(archive) = Archive::open("x", std::io::Cursor::new(bytes)) {
            let _ = oci::layout(&archive, "x").map(|images| images.len());
        }
    };
    for length in 0..archive.len() {
        open(archive[..length].to_vec());
    }
    for at in 0..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 0xff;
        open(changed);
    }
}
