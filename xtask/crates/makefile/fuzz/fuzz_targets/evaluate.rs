#![no_main]
//! No text may make evaluation panic, hang, recurse without end or take more
//! than its budget. The first line says how it is called: what `$(shell …)`
//! answers, goals and variables.

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use makefile::{Ask, Invocation, Item, Makefile, Reply, World};

/// What a plan may take, with what its parts take besides their text.
const MOST: usize = 64 << 20;

/// Answers later, with the command, or with much text.
struct Answers(u8);

impl World for Answers {
    fn shell(&self, ask: &Ask<'_>) -> Reply {
        match self.0 % 3 {
            0 => Reply::Later,
            1 => Reply::Text(ask.command.to_owned()),
            _ => Reply::Text("word ".repeat(1 << 16)),
        }
    }
    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn glob(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn exists(&self, path: &str) -> bool {
        path.len() % 2 == 0
    }
}

fuzz_target!(|text: &str| {
    let (call, text) = text.split_once('\n').unwrap_or(("", text));
    // Values that double reach what a few bytes alone do not.
    let long = format!("{text}\nB0 := some words of it\nB1 = $(B0) $(B0)\nB2 = $(B1) $(B1)$(B1)\n\
        B3 = $(B2)$(B2) $(B2)$(B2)\nB4 = $(B3)$(B3)$(B3) $(B3)\nB5 := $(B4)$(B4) $(B4)$(B4)\n");
    for text in [text, &long] {
        let Ok(makefile) = Makefile::parse("Makefile", text) else {
            continue;
        };
        let _ = (makefile.reads(), makefile.sets(), makefile.documented().len());
        let invocation = Invocation {
            directory: "/checkout".to_owned(),
            environment: BTreeMap::from([("HOME".to_owned(), "/h".to_owned()), ("X".to_owned(), "$(Y)".to_owned())]),
            arguments: call.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            make_command: "make".into(),
        };
        let world = Answers(call.len() as u8);
        let _ = makefile::targets(&makefile, &invocation, &world);
        let Ok(planned) = makefile::plan(&makefile, &invocation, &world) else {
            continue;
        };
        let lines = planned.items.iter().map(|item| match item {
            Item::Line(line) => {
                let shown = makefile::fill(&line.text, |slot| planned.captures[slot].command.chars().take(makefile::SHOWN_COMMAND).collect::<String>());
                shown.len() + line.environment.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            }
            _ => 0,
        });
        let lines: usize = lines.sum();
        let reads: usize = planned.reads.iter().map(|read| read.name.len() + read.value.len()).sum();
        assert!(lines + reads <= MOST + (64 << 10), "{lines} and {reads} bytes");
        let _ = makefile::split_words(text);
    }
});
