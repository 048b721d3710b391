#![no_main]
//! No archive may make the readers of images panic.

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use oci::lint::scan;

fuzz_target!(|bytes: &[u8]| {
    let Ok(archive) = oci::Archive::open("archive", Cursor::new(bytes)) else {
        return;
    };
    for images in [oci::docker_archive(&archive, "x"), oci::layout(&archive, "x")] {
        for image in images.iter().flatten() {
            let _ = scan(image, None, false);
        }
    }
});
