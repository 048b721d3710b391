#![no_main]
//! No index, manifest or configuration may make the readers panic. All of them are the
//! same bytes, whatever their digest.

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;

struct Same<'a>(&'a [u8]);

impl oci::Files for Same<'_> {
    fn open(&self, _: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        Ok(Some(Box::new(self.0)))
    }
}

struct Registry<'a>(&'a [u8]);

impl oci::Transport for Registry<'_> {
    fn address(&self) -> &str {
        "127.0.0.1:5000"
    }

    fn get(&self, _: oci::Request<'_>) -> Result<oci::Response<'_>, String> {
        Ok(oci::Response {
            status: 200,
            content_type: "application/json".to_owned(),
            body: Box::new(self.0),
        })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let _ = oci::layout(&Same(bytes), "x");
    let _ = oci::docker_archive(&Same(bytes), "x");
    let Ok(reference) = oci::Reference::parse("127.0.0.1:5000/u/x:v1") else {
        return;
    };
    let _ = oci::registry(&Registry(bytes), &reference);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = oci::Reference::parse(text);
    }
});
