#![no_main]
//! No text may make the reader of policy sources panic or run without an end.

use libfuzzer_sys::fuzz_target;
use selinux::cil::Sources;

fuzz_target!(|text: &str| {
    if let Ok(sources) = Sources::read([("fuzz.cil", text)]) {
        sources.forbidding("a", "b", "file", "read");
        sources.home("a", "b");
        sources.for_attributes("a", "b", "file", &["read"]);
        sources.class_map("a", "b", "file", &["read"]);
    }
});
