//! Go sources, go.mod and go.work: what they cost, and what stands in their
//! place. One hostile file must not stop the commands about other files.

use std::fmt::Write;

use camino::Utf8PathBuf;

use crate::Case;
use crate::stage::{Outcome, Stage};

const OURS: &str = "package ours\nimport \"testing\"\nfunc TestOurs(t *testing.T) {}\n";

/// A checkout of Talos with a package of ours, and a folder for others'.
fn checkout(stage: &Stage) -> Utf8PathBuf {
    stage.write(
        "talos/go.mod",
        "module github.com/siderolabs/talos\n\ngo 1.24\n",
    );
    stage.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0");
    stage.write("talos/ours/a_test.go", OURS);
    stage.dir("talos/theirs")
}

fn list(stage: &Stage) -> Outcome {
    stage.attack(&["-C", "talos", "test", "list"])
}

/// The test of ours is listed, and the file is named.
fn beside(stage: &Stage) {
    list(stage)
        .with(0)
        .says("TestOurs")
        .says("cannot read all of `theirs/a_test.go`");
    // What is remembered must not say that all was read.
    list(stage).with(0).says("cannot read all of");
}

/// A function's body of this many turns.
fn body(head: &str, piece: &str, tail: &str) -> String {
    let (pieces, tails) = (piece.repeat(100_000), tail.repeat(100_000));
    format!(
        "package theirs\nimport \"testing\"\nfunc TestA(t *testing.T) {{\nx := {head}{pieces}1{tails}\n}}\n"
    )
}

fn is_cut(stage: &Stage, head: &str, piece: &str, tail: &str) {
    checkout(stage);
    stage.write("talos/theirs/a_test.go", body(head, piece, tail));
    beside(stage);
}

/// It is read to its end, in bounded time and memory, with or without a note.
fn is_read(stage: &Stage, text: &str) {
    checkout(stage);
    stage.write("talos/theirs/a_test.go", text);
    list(stage).with(0).says("TestOurs");
}

fn is_an_error(stage: &Stage, file: &str) {
    for words in [
        &["-C", "talos", "test", "list"][..],
        &["-C", "talos", "test", "unit", "--dry-run"],
        &["-C", "talos", "test", "integration", "--list"],
    ] {
        let said = stage.attack(words);
        said.says(&format!("cannot read `{}", stage.home.join(file)));
        assert_ne!(said.code, 0, "{said:?}");
        said.ended();
    }
}

fn sparse(stage: &Stage, file: &str) {
    let path = stage.write(file, "");
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(3 << 30).unwrap();
}

pub const CASES: &[Case] = &[
    Case {
        name: "selectors_without_end",
        kind: "recursion over what a loop has built",
        attack: |stage| is_cut(stage, "a", ".b", ""),
    },
    Case {
        name: "calls_of_calls",
        kind: "recursion over what a loop has built",
        attack: |stage| is_cut(stage, "f", "()", ""),
    },
    Case {
        name: "indices_of_indices",
        kind: "recursion over what a loop has built",
        attack: |stage| is_cut(stage, "a", "[0]", ""),
    },
    Case {
        name: "closures_in_closures",
        kind: "recursion without a bound",
        attack: |stage| is_cut(stage, "", "func() { y := ", "}"),
    },
    Case {
        name: "lists_of_lists",
        kind: "recursion without a bound",
        attack: |stage| is_cut(stage, "", "[]", "int{}"),
    },
    Case {
        name: "literals_in_literals",
        kind: "recursion without a bound",
        attack: |stage| is_cut(stage, "", "T{", "}"),
    },
    Case {
        name: "sums_of_a_hundred_thousand",
        kind: "recursion over what a loop has built",
        attack: |stage| {
            for piece in ["\"a\"+", "a&&", "1+"] {
                is_read(stage, &body("", piece, ""));
            }
        },
    },
    Case {
        name: "types_that_lead_to_themselves",
        kind: "a cycle that is followed",
        attack: |stage| {
            let text = "package theirs\nimport \"testing\"\nvar a a\nvar b c\nvar c b\ntype d d\n\
                        func TestA(t *testing.T) { a.x(); b.x(); c.x(); var e d; e.x() }\n";
            is_read(stage, text);
        },
    },
    Case {
        name: "structs_that_double",
        kind: "a copy of a copy",
        attack: |stage| {
            let (open, close) = ("struct { a, b ".repeat(150), "}".repeat(150));
            is_read(stage, &format!("package theirs\ntype T {open}int{close}\n"));
        },
    },
    Case {
        name: "names_that_double",
        kind: "a text of a text",
        attack: |stage| {
            let mut text =
                "package theirs\nimport \"testing\"\nfunc TestA(t *testing.T) {\na0 := \"xxxx\"\n"
                    .to_owned();
            for turn in 1..100 {
                let before = turn - 1;
                let _ = writeln!(text, "a{turn} := a{before} + a{before} + a{before}");
            }
            text += "for _, x := range []string{\"1\", \"2\"} {\nt.Run(a15+x, func(t *testing.T) {})\n\
                     t.Run(a99+x, func(t *testing.T) {})\n}\n}\n";
            is_read(stage, &text);
        },
    },
    Case {
        name: "subtests_that_multiply",
        kind: "a loop in a loop that is unrolled",
        attack: |stage| {
            let row = "\"a\", ".repeat(40);
            let open =
                format!("for _, x := range []string{{{row}}} {{\nt.Run(x, func(t *testing.T) {{\n")
                    .repeat(12);
            let text = format!(
                "package theirs\nimport \"testing\"\nfunc TestA(t *testing.T) {{\n{open}{}}}\n",
                "})\n}\n".repeat(12)
            );
            is_read(stage, &text);
        },
    },
    Case {
        name: "cases_that_are_read_twice_at_each_level",
        kind: "looking ahead that doubles",
        attack: |stage| {
            let text = format!(
                "package theirs\nimport \"testing\"\nfunc TestA(t *testing.T) {{\n{}\n",
                "switch { case [func() {".repeat(100)
            );
            is_read(stage, &text);
        },
    },
    Case {
        name: "a_million_tests",
        kind: "memory without a bound",
        attack: |stage| {
            checkout(stage);
            for file in 0..100 {
                let mut text = "package theirs\nimport \"testing\"\n".to_owned();
                for test in 0..10_000 {
                    let _ = writeln!(text, "func TestX{file}x{test}(t *testing.T) {{}}");
                }
                stage.write(&format!("talos/theirs/f{file}_test.go"), text);
            }
            list(stage)
                .with(0)
                .says("TestOurs")
                .says("only the first 300000 tests are read");
        },
    },
    Case {
        name: "a_fifo_among_the_sources",
        kind: "what is opened is not what it seems",
        attack: |stage| {
            checkout(stage);
            stage.fifo("talos/theirs/a_test.go");
            beside(stage);
        },
    },
    Case {
        name: "a_source_that_is_dev_zero",
        kind: "what is opened is not what it seems",
        attack: |stage| {
            checkout(stage);
            stage.link("talos/theirs/a_test.go", "/dev/zero");
            beside(stage);
        },
    },
    Case {
        name: "a_source_of_three_gigabytes",
        kind: "memory without a bound",
        attack: |stage| {
            checkout(stage);
            sparse(stage, "talos/theirs/a_test.go");
            beside(stage);
        },
    },
    Case {
        name: "a_go_work_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            checkout(stage);
            stage.fifo("talos/go.work");
            is_an_error(stage, "talos/go.work");
            std::fs::remove_file(stage.home.join("talos/go.work")).unwrap();
            stage.link("talos/go.work", "/dev/zero");
            is_an_error(stage, "talos/go.work");
            std::fs::remove_file(stage.home.join("talos/go.work")).unwrap();
            sparse(stage, "talos/go.work");
            is_an_error(stage, "talos/go.work");
        },
    },
    Case {
        name: "a_go_mod_that_cannot_be_read",
        kind: "what cannot be read counts as absent",
        attack: |stage| {
            checkout(stage);
            stage.write("talos/go.work", "go 1.24\nuse .\nuse ./sub\n");
            stage.fifo("talos/sub/go.mod");
            is_an_error(stage, "talos/sub/go.mod");
            std::fs::remove_file(stage.home.join("talos/go.mod")).unwrap();
            stage.fifo("talos/go.mod");
            is_an_error(stage, "talos/go.mod");
        },
    },
    Case {
        name: "a_go_work_of_a_million_modules",
        kind: "work without a bound",
        attack: |stage| {
            checkout(stage);
            let mut text = "go 1.24\nuse (\n".to_owned();
            for module in 0..500_000 {
                let _ = writeln!(text, "./m{module}\n.");
            }
            stage.write("talos/go.work", text + ")\n");
            stage.attack(&["-C", "talos", "test", "list"]).with(0);
        },
    },
    Case {
        name: "a_constraint_without_end",
        kind: "recursion without a bound",
        attack: |stage| {
            for piece in ["!", "(", "linux && ", "linux || "] {
                is_read(
                    stage,
                    &format!(
                        "//go:build {}linux\n\npackage theirs\n",
                        piece.repeat(100_000)
                    ),
                );
            }
        },
    },
];
