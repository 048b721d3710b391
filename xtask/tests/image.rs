//! `image`: what is in images of our own, from every place, and what a registry that
//! does not behave leads to.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

mod common;
#[path = "../crates/oci/tests/common/mod.rs"]
mod images;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use common::{Home, Said, run};
use images::{Memory, Tar, gzip, zstd};
use serde_json::Value;

const MANIFEST: &str = "version: v1alpha1\nmetadata:\n  name: hello\n";

fn layers() -> [Vec<u8>; 2] {
    let mut lower = Tar::default();
    lower
        .dirs("rootfs/usr/local")
        .program("rootfs/usr/local/hello", "\x7fELF");
    let mut upper = Tar::default();
    upper
        .file("manifest.yaml", MANIFEST)
        .symlink("rootfs/usr/local/hi", "hello");
    [gzip(&lower.finish()), zstd(&upper.finish())]
}

/// A layout of two platforms, with its index.
fn both() -> (Memory, Vec<u8>) {
    let mut files = Memory::default();
    let (amd64, _) = images::image(&mut files, "amd64", &layers());
    let (arm64, _) = images::image(&mut files, "arm64", &layers());
    let index = images::layout(&mut files, &[amd64, arm64]);
    (files, index)
}

fn store(home: &Home, name: &str, files: &Memory) {
    for (path, bytes) in &files.0 {
        let path = home.path(name).join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn xtask(home: &Home, words: &[&str]) -> Said {
    run(&mut home.xtask(words))
}

const LISTING: &str = "\
-rw-r--r--  0:0  42  manifest.yaml
drwxr-xr-x  0:0   0  rootfs
drwxr-xr-x  0:0   0  rootfs/usr
drwxr-xr-x  0:0   0  rootfs/usr/local
-rwxr-xr-x  0:0   4  rootfs/usr/local/hello
lrwxrwxrwx  0:0   0  rootfs/usr/local/hi -> hello
";

#[test]
fn a_layout_an_archive_and_a_registry_show_the_same() {
    let home = Home::new();
    let (files, index) = both();
    store(&home, "layout", &files);
    std::fs::write(home.path("saved.tar"), files.archive().into_inner()).unwrap();
    let address = serve(Arc::new(move |path: &str| {
        let tag = path == "/v2/u/hello/manifests/v1";
        let blob = || {
            files
                .0
                .get(&format!("blobs/sha256/{}", path.split_once("sha256:")?.1))
        };
        if tag {
            Some(index.clone())
        } else {
            blob().cloned()
        }
    }));
    for place in ["layout", "saved.tar", &format!("{address}/u/hello:v1")] {
        let said = xtask(&home, &["image", "ls", place, "--platform", "linux/amd64"]);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(0), LISTING),
            "{}",
            said.stderr
        );
        let words = [
            "image",
            "cat",
            place,
            "/manifest.yaml",
            "--platform",
            "linux/arm64",
        ];
        let said = xtask(&home, &words);
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (Some(0), MANIFEST),
            "{}",
            said.stderr
        );
        let said = xtask(&home, &["image", "inspect", place, "--json"]);
        let report: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(report["platforms"][1]["platform"], "linux/arm64");
        assert_eq!(
            report["platforms"][0]["layers"].as_array().unwrap().len(),
            2
        );
        assert_eq!(report["schema"], 1);
    }
}

#[test]
fn layers_and_folders_are_images_too() {
    let home = Home::new();
    let [lower, _] = layers();
    std::fs::write(home.path("layer.tgz"), lower).unwrap();
    home.write("unpacked/manifest.yaml", MANIFEST);
    let said = xtask(
        &home,
        &["image", "ls", "layer.tgz", "rootfs/usr/local/hello"],
    );
    assert_eq!(said.stdout, "-rwxr-xr-x  0:0  4  rootfs/usr/local/hello\n");
    let said = xtask(&home, &["image", "cat", "unpacked", "manifest.yaml"]);
    assert_eq!(said.stdout, MANIFEST);
    let said = xtask(&home, &["image", "cat", "layer.tgz", "rootfs/usr"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.stderr.contains("`rootfs/usr` is a directory"),
        "{}",
        said.stderr
    );
}

#[test]
fn what_cannot_be_read_is_named_with_the_next_command() {
    let home = Home::new();
    let (files, _) = both();
    store(&home, "layout", &files);
    std::fs::write(
        home.path("saved.tar.gz"),
        gzip(&files.archive().into_inner()),
    )
    .unwrap();
    home.write("text", "hello\n");
    for (words, code, part) in [
        (
            &["image", "ls", "nothing"][..],
            2,
            "neither a path nor a reference",
        ),
        (
            &["image", "ls", "ghcr.io/u/x:v1"],
            3,
            "skopeo copy docker://ghcr.io/u/x:v1",
        ),
        (&["image", "ls", "text"], 3, "cannot read `text`"),
        (&["image", "ls", "saved.tar.gz"], 3, "gunzip"),
        (
            &["image", "cat", "layout", "manifest.yaml"],
            2,
            "--platform linux/amd64",
        ),
        (
            &["image", "ls", "layout", "--platform", "linux/s390x"],
            2,
            "linux/amd64, linux/arm64",
        ),
        (
            &["image", "ls", "layout", "rootfs/x"],
            2,
            "has no file `rootfs/x`",
        ),
    ] {
        let said = xtask(&home, words);
        assert_eq!(said.code, Some(code), "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(part), "{words:?}: {}", said.stderr);
    }
}

#[test]
fn a_registry_that_goes_away_or_sends_html_is_named() {
    let home = Home::new();
    let html = serve(Arc::new(|_: &str| {
        Some(b"<html>Please log in</html>".to_vec())
    }));
    let said = xtask(&home, &["image", "ls", &format!("{html}/u/x:v1")]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr.contains("/u/x:v1 is HTML, not JSON"),
        "{}",
        said.stderr
    );

    let (files, index) = both();
    let broken = serve_with(Arc::new(move |path: &str| {
        let blob = || {
            files
                .0
                .get(&format!("blobs/sha256/{}", path.split_once("sha256:")?.1))
        };
        let bytes = if path.ends_with("/v1") {
            Some(&index)
        } else {
            blob()
        };
        // Layers break off in the middle.
        let is_layer = |bytes: &&Vec<u8>| bytes.starts_with(b"\x1f\x8b");
        bytes.map(|it| {
            (
                it.clone(),
                if is_layer(&it) {
                    it.len() / 2
                } else {
                    it.len()
                },
            )
        })
    }));
    let place = format!("{broken}/u/x:v1");
    let said = xtask(&home, &["image", "ls", &place, "--platform", "linux/amd64"]);
    assert!(
        said.code != Some(0) && said.stderr.contains("blob sha256:"),
        "{}",
        said.stderr
    );
    assert!(said.stdout.is_empty());
}

type Pages = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;
type BrokenPages = dyn Fn(&str) -> Option<(Vec<u8>, usize)> + Send + Sync;

fn serve(pages: Arc<Pages>) -> String {
    serve_with(Arc::new(move |path: &str| {
        pages(path).map(|bytes| {
            let length = bytes.len();
            (bytes, length)
        })
    }))
}

/// An HTTP server on a free port: a page, and how many of its bytes arrive.
fn serve_with(pages: Arc<BrokenPages>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pages = pages.clone();
            std::thread::spawn(move || answer(stream, &*pages));
        }
    });
    address
}

fn answer(mut stream: TcpStream, pages: &BrokenPages) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    while lines.next()?.ok()?.as_str() != "" {}
    let path = request.split(' ').nth(1)?;
    let (status, bytes, arriving) = match pages(path) {
        Some((bytes, arriving)) => ("200 OK", bytes, arriving),
        None => ("404 Not Found", Vec::new(), 0),
    };
    let length = bytes.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&bytes[..arriving]).ok()
}
