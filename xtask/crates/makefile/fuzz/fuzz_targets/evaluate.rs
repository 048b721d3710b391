#![no_main]
//! No text may make evaluation panic, hang or recurse without end.

use libfuzzer_sys::fuzz_target;
use makefile::{Ask, Invocation, Makefile, Reply, World};

struct Later;

impl World for Later {
    fn shell(&self, _: &Ask<'_>) -> Reply {
        Reply::Later
    }
    fn exists(&self, path: &str) -> bool {
        path.len() % 2 == 0
    }
}

fuzz_target!(|text: &str| {
    if let Ok(makefile) = Makefile::parse("Makefile", text) {
        let _ = makefile.reads();
        let invocation = Invocation { make_command: "make".into(), ..Invocation::default() };
        let _ = makefile::plan(&makefile, &invocation, &Later);
    }
});
