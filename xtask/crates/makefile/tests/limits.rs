//! Makefiles that ask for more than any machine has end with a message that
//! names the place and the variable, in bounded memory and time.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;

use makefile::{Ask, Invocation, Makefile, Reply, World};

struct Answers;

impl World for Answers {
    fn shell(&self, ask: &Ask<'_>) -> Reply {
        match ask.command {
            "later" => Reply::Later,
            "large" => Reply::Text("x".repeat(1 << 20)),
            _ => Reply::Text("x".to_owned()),
        }
    }
    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn glob(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn exists(&self, _: &str) -> bool {
        false
    }
}

fn refused(text: &str) -> String {
    let invocation = Invocation {
        directory: "/checkout".into(),
        environment: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
        make_command: "make".into(),
        ..Invocation::default()
    };
    let makefile = Makefile::parse("Makefile", text);
    if let Ok(makefile) = &makefile {
        let _ = (makefile.reads().len(), makefile.sets().len());
    }
    let planned = makefile.and_then(|it| makefile::plan(&it, &invocation, &Answers));
    match planned {
        Ok(_) => panic!("accepted: {}", &text[..text.len().min(200)]),
        Err(error) => error.to_string(),
    }
}

/// `B` has `2^count` words of `word`.
fn big(word: &str, count: usize) -> String {
    let mut text = format!("B0 := {word}\n");
    for n in 1..=count {
        let _ = writeln!(text, "B{n} := $(B{}) $(B{})", n - 1, n - 1);
    }
    let _ = writeln!(text, "B := $(B{count})");
    text
}

/// Recursive variables of which each names the one before twice.
fn doubling(first: &str, count: usize) -> String {
    let mut text = format!("A0 = {first}\n");
    for n in 1..=count {
        let _ = writeln!(text, "A{n} = $(A{0})$(A{0})", n - 1);
    }
    text
}

#[test]
fn functions_do_not_make_the_product_of_their_arguments() {
    let big = big("aaaaaaaa", 17);
    for call in [
        "subst a,$(B),$(B)",
        "subst ,$(B) $(B) $(B) $(B),$(B) $(B) $(B) $(B)",
        "patsubst %,$(B)%,$(B)",
        "patsubst aaaaaaaa,$(B),$(B)",
        "addprefix $(B),$(B)",
        "addsuffix $(B),$(B)",
        "B:%=$(B)%",
        "B:a=$(B)",
        "foreach x,$(B),$(B)",
        "foreach x,$(B),$(foreach y,$(B),$(x)$(y))",
    ] {
        let error = refused(&format!("{big}X := $({call})\nall:\n\t@echo $(X)\n"));
        assert!(
            error.starts_with("Makefile:20: ")
                && (error.contains("a value of more than 8388608 bytes")
                    || error.contains("steps"))
                && error.ends_with("in the variable `X`"),
            "{call}: {error}"
        );
    }
    for call in ["filter $(P),$(B)", "filter-out $(P),$(B)"] {
        let text = format!("{big}P := $(addsuffix %,$(B))\nX := $({call})\nall:\n");
        let error = refused(&text);
        assert!(
            error.starts_with("Makefile:21: ") && error.ends_with("in the variable `X`"),
            "{call}: {error}"
        );
    }
}

#[test]
fn values_that_double_end_whether_they_are_empty_or_not() {
    let steps = "Makefile:100: evaluation takes more than 2000000 steps, in the variable `A";
    let error = refused(&format!("{}X := $(A97)\nall:\n", doubling("", 98)));
    assert!(error.starts_with(steps), "{error}");
    let error = refused(&format!("{}X := $(A97)\nall:\n", doubling("word", 98)));
    assert!(error.contains("in the variable `A"), "{error}");
    let long = "x".repeat(1 << 16);
    let error = refused(&format!("{}X := $(A9)\nall:\n", doubling(&long, 9)));
    assert_eq!(
        error,
        "Makefile:11: a value of more than 8388608 bytes, in the variable `A8`"
    );
    // In a recipe, in a condition, in what a nested make is given.
    for end in [
        "all:\n\t@echo $(A97)\n",
        "ifeq ($(A97),x)\nendif\nall:\n",
        "all:\n\t@$(MAKE) x Y=$(A97)\n",
    ] {
        let error = refused(&format!("{}{end}", doubling("", 98)));
        assert!(error.contains("2000000 steps"), "{error}");
    }
}

#[test]
fn many_values_are_counted_together() {
    // Each is allowed; a hundred are not.
    let mut text = big("aaaaaaaa", 19);
    for n in 0..100 {
        let _ = writeln!(text, "V{n} := $(B)");
    }
    let error = refused(&format!("{text}all:\n"));
    assert!(error.contains("more than 64 MiB of text"), "{error}");
    // As the lines of a plan, their environment, the goals and names of rules.
    let big = big("aaaaaaaa", 17);
    for end in [
        format!("all:\n{}", "\t@echo $(B)\n".repeat(100)),
        format!("export B\nall:\n{}", "\t@echo\n".repeat(100)),
        format!("all: t\nt: $(B)\n{}", "\t@echo\n".repeat(100)),
        "T := $(foreach x,$(B),a)\n$(T:a=b) x y z w: $(B)\nall:\n".to_owned(),
        format!("{}all:\n", "X := $(X) $(shell large)\n".repeat(100)),
    ] {
        let error = refused(&format!("{big}{end}"));
        assert!(
            error.contains("MiB of text") || error.contains("steps") || error.contains("8388608"),
            "{error}"
        );
    }
}

#[test]
fn targets_times_prerequisites_are_not_made() {
    let names = |prefix: &str| {
        let mut text = String::new();
        for n in 0..10_000 {
            let _ = write!(text, " {prefix}{n}");
        }
        text
    };
    let error = refused(&format!("{}:{}\n", names("t"), names("p")));
    assert!(error.starts_with("Makefile:1: "), "{error}");
    // One target to which each rule adds, patterns that are each compared.
    for line in ["a: b\n\techo\n", "p-%: q-%\n\techo\n"] {
        let line = |n: usize| line.replace("p-", &format!("p{n}-"));
        let text: String = (0..40_000).map(line).collect();
        let error = refused(&format!("all: x\n{text}"));
        assert!(
            error.contains("steps") || error.contains("no rule"),
            "{error}"
        );
    }
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let deep = |open: &str, close: &str| {
        let most = (1 << 20) / (open.len() + close.len() + 1);
        let count = most.min(100_000);
        let (open, close) = (open.repeat(count), close.repeat(count));
        (format!("{open}x{close}"), open)
    };
    for (open, close) in [
        ("$(", ")"),
        ("${", "}"),
        ("$(subst a,b,", ")"),
        ("$(if x,", ")"),
        ("$(shell ", ")"),
    ] {
        let (closed, unclosed) = deep(open, close);
        for value in [closed, unclosed] {
            for text in [
                format!("X := {value}\nall:\n"),
                format!("{value} := x\nall:\n"),
                format!("all:\n\t@echo {value}\n"),
                format!("ifeq ({value},x)\nendif\nall:\n"),
                format!("ifdef {value}\nendif\nall:\n"),
                format!("all: {value}\n"),
                format!("export {value}\nall:\n"),
            ] {
                let error = refused(&text);
                assert!(error.len() < 500, "{} bytes", error.len());
                assert!(
                    ["nested 100 deep", "unterminated", "neither", "steps"]
                        .iter()
                        .any(|it| error.contains(it)),
                    "{error}"
                );
            }
        }
    }
    let error = refused(&format!("{}all:\n", "ifeq (a,a)\n".repeat(20_000)));
    assert!(error.contains("without `endif`"), "{error}");
    let error = refused(&format!("{}all:\n", "define X\n".repeat(20_000)));
    assert!(error.contains("without `endef`"), "{error}");
}

#[test]
fn prerequisites_and_nested_makes_share_one_depth() {
    let mut text = "all: t0\n".to_owned();
    for n in 0..1000 {
        let _ = writeln!(text, "t{n}: t{}", n + 1);
    }
    let error = refused(&text);
    assert_eq!(error, "a chain of more than 200 prerequisites, last `t199`");
    // Twenty makes with nineteen prerequisites each are as deep.
    let mut text = "all: a0\na19:\n\t@$(MAKE) all\n".to_owned();
    for n in 0..19 {
        let _ = writeln!(text, "a{n}: a{}", n + 1);
    }
    let error = refused(&text);
    assert!(
        error.starts_with("a chain of more than 200 prerequisites"),
        "{error}"
    );
}

#[test]
fn commands_to_ask_are_counted() {
    let mut text = String::new();
    for n in 0..33_000 {
        let _ = writeln!(text, "X{n} := $(shell echo {n})");
    }
    let error = refused(&format!("{text}all:\n"));
    assert_eq!(
        error,
        "Makefile:4097: evaluation runs more than 4096 commands of `$(shell)`, in the variable `X4096`"
    );
    let list: String = (0..5000).fold(String::new(), |list, n| format!("{list} {n}"));
    let error = refused(&format!(
        "all:\n\t@echo $(foreach x,{list},$(shell echo $(x)))\n"
    ));
    assert!(error.contains("4096 commands"), "{error}");
    // A slot is short; the command that stands for it is not.
    let error = refused(&format!(
        "{}X = $(shell later)\nall:\n\t@echo $(foreach x,$(B),$(X))\n",
        big("a", 19)
    ));
    assert!(
        error.contains("text") || error.contains("steps") || error.contains("8388608"),
        "{error}"
    );
}

#[test]
fn a_makefile_has_a_size() {
    let error = refused(&"#\n".repeat(1 << 20));
    assert!(error.contains("more than 1048576 bytes"), "{error}");
}
