#![no_main]
//! No layer may make the lint panic or run without an end.

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use oci::lint::{Against, check, scan};
use talos::TalosVersion;

struct Layer<'a>(&'a [u8]);

impl oci::Files for Layer<'_> {
    fn open(&self, _: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(Some(Box::new(self.0)))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let files = Layer(bytes);
    let image = oci::single_layer(&files, "layer", "layer");
    if let Ok(scan) = scan(&image, None, true) {
        let against = Against {
            version: TalosVersion::parse("v1.13.0").expect("a version"),
            allowed: vec!["/usr/lib/".to_owned()],
            kernel_release: Some("6.18.0-talos".to_owned()),
            kernels: Vec::new(),
            exceptions: Vec::new(),
        };
        check(&[scan], &against);
    }
});
