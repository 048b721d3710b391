//! What a registry answers: names that it lists, manifests, and digests in them.
#![no_main]

use foundation::ctx::registry_api::{names, parse_manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let plain = |text: &str| !text.chars().any(char::is_control) && !text.contains("..");
    if names::is_repository(text) {
        assert!(plain(text) && !text.contains(['?', '#', ' ', ':', '@']));
    }
    if names::is_tag(text) || names::is_digest(text) {
        assert!(!text.chars().any(char::is_control) && !text.contains(['/', '?', '#', ' ']));
    }
    if let Some(manifest) = parse_manifest("sha256:0", text) {
        let blobs = manifest.blobs.iter().map(|(digest, _)| digest);
        for digest in manifest.manifests.iter().chain(blobs) {
            assert!(names::is_digest(digest), "{digest}");
        }
    }
});
