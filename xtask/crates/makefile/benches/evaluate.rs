//! Evaluating a Makefile of Talos' size without its shell calls; the aim is
//! 5 ms for a goal that calls make twice.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use makefile::{Ask, Invocation, Makefile, Reply, World};

struct Answers;

impl World for Answers {
    fn shell(&self, _: &Ask<'_>) -> Reply {
        Reply::Text("v1.14.0-beta.1-84-gad8823176".into())
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

/// 60 images, 100 build arguments, 60 targets, two levels of make.
fn text() -> String {
    let mut text = "TAG ?= $(shell git describe)\nPKGS ?= v1\nPREFIX ?= ghcr.io/siderolabs\nARGS := --file=x\n".to_owned();
    for n in 0..60 {
        let _ = writeln!(text, "PKG_{n} ?= $(PREFIX)/pkg-{n}:$(PKGS)");
        let _ = writeln!(text, "ARGS += --build-arg=PKG_{n}=$(PKG_{n})");
        let _ = writeln!(text, "ARGS += --build-arg=TAG_{n}=\"$(TAG)\"");
    }
    text.push_str(
        "target-%: ## Build.\n\t@docker build \\\n\t\t--target=$* $(ARGS) $(TARGET_ARGS) .\n",
    );
    text.push_str("local-%:\n\t@$(MAKE) target-$* TARGET_ARGS=\"--output=$(DEST) $(TARGET_ARGS)\"\n\t@./fix.sh\n");
    for n in 0..60 {
        let _ = writeln!(
            text,
            ".PHONY: t{n}\nt{n}: ## Target {n}.\n\t@$(MAKE) local-$@ DEST=_out PUSH=false"
        );
    }
    text
}

fn bench(c: &mut Criterion) {
    let text = text();
    let invocation = Invocation {
        directory: "/checkout".into(),
        environment: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
        arguments: vec!["t7".into(), "t8".into()],
        make_command: "make".into(),
    };
    c.bench_function("evaluate two goals, three makes each", |b| {
        b.iter(|| {
            let makefile = Makefile::parse("Makefile", black_box(&text));
            makefile.and_then(|makefile| makefile::plan(&makefile, &invocation, &Answers))
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
