#![no_main]
//! No bytes may make the readers of kernel modules and their signatures panic.

use libfuzzer_sys::fuzz_target;
use oci::module::{Module, of_module, program};

fuzz_target!(|bytes: &[u8]| {
    let _ = Module::parse(bytes);
    let _ = of_module(bytes);
    let _ = program(bytes);
});
