//! What is outside the subset is refused by name, and only where it counts.

use std::collections::BTreeMap;

use makefile::{Ask, Error, Invocation, Item, Makefile, Passage, Planned, Reply, World};
use proptest::prelude::*;

struct Nothing;

impl World for Nothing {
    fn shell(&self, _: &Ask<'_>) -> Reply {
        Reply::Later
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

fn evaluate(text: &str, arguments: &[&str]) -> Result<Planned, Error> {
    let invocation = Invocation {
        directory: "/checkout".into(),
        environment: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        make_command: "make".into(),
    };
    makefile::plan(&Makefile::parse("Makefile", text)?, &invocation, &Nothing)
}

fn lines(planned: &Planned) -> Vec<&str> {
    planned
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Line(line) => Some(line.text.as_str()),
            _ => None,
        })
        .collect()
}

/// A Makefile and the expected message.
const REFUSED: &[(&str, &str)] = &[
    (
        "override X = 1\nall:\n",
        "Makefile:1: `override` is not supported",
    ),
    (
        "all:: x\n",
        "Makefile:1: a double-colon rule is not supported",
    ),
    (
        "a b &: c\n",
        "Makefile:1: a grouped-targets rule (`&:`) is not supported",
    ),
    (
        ".SECONDEXPANSION:\nall:\n",
        "Makefile:1: special target `.SECONDEXPANSION` is not supported",
    ),
    (
        "all: *.c\n",
        "Makefile:1: `*.c`: wildcards and escapes in a rule is not supported",
    ),
    (
        "all: a\n\t@echo $(wildcard *.c)\na:\n\t@touch a.c\n",
        "Makefile:2: function `wildcard` in a recipe that others precede is not supported",
    ),
    (
        "CC ?= gcc\nall:\n",
        "Makefile:1: make's own variable `CC` is not supported",
    ),
    (
        "all:\n\t@echo $?\n",
        "Makefile:2: make's own variable `?` is not supported",
    ),
    (
        "all:\n\t$(RM) x\n",
        "Makefile:2: make's own variable `RM` is not supported",
    ),
    (
        "export\nall:\n",
        "Makefile:1: `export` of everything is not supported",
    ),
    (
        "%:\n\techo\n",
        "Makefile:1: the pattern `%`, which matches everything is not supported",
    ),
    (
        "all: x\nx:\n\techo $*\n",
        "Makefile:3: `$*` in the recipe of a target that is not a pattern is not supported",
    ),
    ("all\n", "Makefile:1: missing separator"),
    (
        "all:\nX = $(X) y\nY := $(X)\n",
        "Makefile:3: variable `X` refers to itself",
    ),
    (
        "all:\nA = aaaaaaaa\nB = $(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)$(A)\nC = $(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)$(B)\nD = $(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)$(C)\nE = $(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)$(D)\nF := $(E)$(E)\n",
        "Makefile:7: evaluation takes more than 2000000 steps, in the variable `B`",
    ),
    (
        "ifeq (a,a)\nall:\n",
        "Makefile:2: a condition without `endif`",
    ),
    ("endif\nall:\n", "Makefile:1: `endif` without a condition"),
    ("define X\nall:\n", "Makefile:1: `define` without `endef`"),
    (
        "X := $(Y\nall:\n",
        "Makefile:1: unterminated variable reference `$(Y`",
    ),
    (
        "all:\n\t@$(MAKE) all\n",
        "`$(MAKE)` calls itself 24 levels deep, last for `all`",
    ),
    (
        "all:\n\t@$(MAKE) $(shell date)\n",
        "Makefile:2: a goal of `$(MAKE)` needs the output of `$(shell date)`, which is known only while running",
    ),
    (
        "all:\n\t@echo $(strip $(shell date))\n",
        "Makefile:2: function `strip` needs the output of `$(shell date)`, which is known only while running",
    ),
];

#[test]
fn each_construct_is_named_with_its_line() {
    for (text, expected) in REFUSED {
        let error = evaluate(text, &[]).expect_err(text);
        assert_eq!(error.to_string(), *expected, "{text}");
    }
}

#[test]
fn what_has_no_effect_is_no_error() {
    let text = "ifeq (a,b)\ninclude other.mk\nendif\nX = $(realpath *)\nall:\n\t@echo ok\nother:\n\t$(X) $?\n";
    assert_eq!(lines(&evaluate(text, &[]).unwrap()), ["echo ok"]);
    assert!(evaluate(text, &["other"]).is_err());
}

#[test]
fn newlines_in_values_are_refused() {
    let error = evaluate("all:\n\t@echo $(X)\n", &["X=a\nrm -rf /"]).unwrap_err();
    assert!(matches!(error, Error::Usage(_)), "{error}");
    let planned = evaluate("all:\n\t@echo $(X)\n", &["X=\"a'b"]).unwrap();
    assert_eq!(lines(&planned), ["echo \"a'b"]);
}

#[test]
fn a_missing_prerequisite_stops_at_its_turn() {
    let planned = evaluate("all: first gone\nfirst:\n\techo one\n", &[]).unwrap();
    assert_eq!(lines(&planned), ["echo one"]);
    let Some(Item::Require { error, .. }) = planned.items.last() else {
        panic!("{:?}", planned.items);
    };
    assert_eq!(
        error.to_string(),
        "no rule to make target `gone`, needed by `all`"
    );
}

#[test]
fn slots_travel_into_nested_makes() {
    let text = "x:\n\t@$(MAKE) docker-$@ ARGS=\"--tag=$@:$(shell bldr eval $@) --push\"\ndocker-%:\n\t@build $* $(ARGS)\n";
    let planned = evaluate(text, &["x"]).unwrap();
    let shown = makefile::fill(lines(&planned)[0], |slot| {
        format!("<{}>", planned.captures[slot].command)
    });
    assert_eq!(shown, "build x --tag=x:<bldr eval x> --push");
    assert_eq!(planned.captures[0].passage, Passage::Quoted);
    let planned = evaluate(&text.replace('"', ""), &["x"]).unwrap_err();
    assert!(planned.to_string().contains("--push"), "{planned}");
    let text = "x:\n\t@$(MAKE) y A=$(shell cat f)\ny:\n\t@build $(A)\n";
    let planned = evaluate(text, &["x"]).unwrap();
    assert_eq!(planned.captures[0].passage, Passage::Words);
    let text = "x:\n\t@$(MAKE) y A='$(shell cat f)'\ny:\n\t@for i in 1; do $(MAKE) z; done\n";
    let planned = evaluate(text, &["x"]).unwrap();
    assert_eq!(planned.captures[0].passage, Passage::Words, "by MAKEFLAGS");
    assert!(matches!(planned.items[0], Item::Capture { slot: 0, .. }));
}

/// Files of a checkout, so that make's own rules would apply.
struct Sources;

impl World for Sources {
    fn shell(&self, _: &Ask<'_>) -> Reply {
        Reply::Later
    }
    fn exists(&self, path: &str) -> bool {
        ["main.c", "docs.sh"].contains(&path)
    }
    fn read(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn glob(&self, pattern: &str) -> Vec<String> {
        vec![pattern.replace('*', "main")]
    }
}

#[test]
fn rules_of_make_itself_are_refused_by_name() {
    let plan = |text: &str| {
        let invocation = Invocation {
            directory: "/checkout".into(),
            ..Invocation::default()
        };
        makefile::plan(
            &Makefile::parse("Makefile", text).unwrap(),
            &invocation,
            &Sources,
        )
    };
    for (text, expected) in [
        (
            "all: main.o\n\techo\nmain.o:\n",
            "Makefile:3: make's own rule for `main.o` from `main.c` is not supported",
        ),
        (
            "all: docs\n\techo\n",
            "Makefile:0: make's own rule for `docs` from `docs.sh` is not supported",
        ),
    ] {
        assert_eq!(plan(text).unwrap_err().to_string(), expected);
    }
    let phony = ".PHONY: docs\nall: docs\n\t@echo $(wildcard *.c)\ndocs:\n";
    assert_eq!(lines(&plan(phony).unwrap()), ["echo main.c"]);
}

#[test]
fn reads_know_where_values_come_from() {
    let text = "A ?= one\nB := $(A) two\nUNUSED := x\nall:\n\t@$(MAKE) sub C=three\nsub:\n\t@echo $(B) $(C) $(PATH)\n";
    let planned = evaluate(text, &["all", "A=mine"]).unwrap();
    let of = |name: &str| {
        planned
            .reads
            .iter()
            .rfind(|read| read.name == name)
            .map(|read| format!("{} {:?}", read.value, read.origin))
    };
    assert_eq!(of("A").unwrap(), "mine CommandLine(None)");
    assert!(
        of("B").unwrap().starts_with("mine two File"),
        "{:?}",
        of("B")
    );
    assert!(of("C").unwrap().contains("line: 5"), "{:?}", of("C"));
    assert_eq!(of("PATH").unwrap(), "/bin Environment");
    assert_eq!(of("UNUSED"), None);
}

#[test]
fn a_report_asks_for_nothing_more() {
    let planned = evaluate("X = $(shell later)\nall:\n\t@echo $(X)\n", &[]).unwrap();
    assert_eq!((planned.items.len(), planned.captures.len()), (2, 1));
    assert_eq!(planned.reads.len(), 1);
    assert!(makefile::contains_slot(&planned.reads[0].value));
}

#[test]
fn documented_targets_have_their_group() {
    let text = "# Build\n\nall: x ## All of it.\n# renovate: no heading\nX ?= 1\n\n# Tests\n\nunit-%: | $(OUT)  ## Unit tests.\n";
    let makefile = Makefile::parse("Makefile", text).unwrap();
    let found: Vec<_> = makefile
        .documented()
        .iter()
        .map(|it| (it.group.as_str(), it.target.as_str(), it.text.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("Build", "all", "All of it."),
            ("Tests", "unit-%", "Unit tests.")
        ]
    );
    assert!(makefile.reads().contains("OUT"));
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "[a-z$(){}:=#\\\\,%.|\n\t +?!@-]{0,200}") {
        let _ = evaluate(&text, &["all", "X=1"]);
    }

    #[test]
    fn values_arrive_as_they_were_given(value in "[ -~]{0,40}") {
        // `$` is make's, `#` is the file's: from the command line it is plain.
        let value = value.replace('$', "$$");
        let argument = format!("X={value}");
        let planned = evaluate("all:\n\t@$(MAKE) one\none:\n\t@$(MAKE) two Y=1\ntwo:\n\tshow '$(X)'\n", &["all", &argument]).unwrap();
        let expected = format!("show '{}'", value.trim_start().replace("$$", "$"));
        prop_assert_eq!(lines(&planned), vec![expected.as_str()]);
    }

    #[test]
    fn simple_commands_split_as_sh_does(words in prop::collection::vec("[a-z '\"\\\\$]{0,8}", 1..5)) {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        prop_assert_eq!(makefile::split_words(&quoted.join(" ")).unwrap(), words);
    }
}
