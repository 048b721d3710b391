//! Makefiles, and what a dry run executes. Each way to look (`-n`, `--explain`,
//! `--list`, the shown formats, `installer -n`) is tried on each Makefile, beside
//! canaries: files, tags, branches, settings and programs that all stay as they are.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;

use camino::Utf8PathBuf;

use crate::Case;
use crate::stage::{Outcome, Stage};

/// Ways to look at a build; `--talos-dir` is in front of them.
const LOOKS: &[&[&str]] = &[
    &["build", "-n"],
    &["build", "--explain"],
    &["build", "--list"],
    &["build", "--list", "--json"],
    &["build", "--format", "json"],
    &["build", "--format", "sh"],
    &["installer", "-n"],
    &["installer", "--format", "json"],
];

/// Commands of a checkout by name; `canary` is a file with a line, `ext` and
/// `bin/cat` are programs that make `PWNED`.
fn checkout(stage: &Stage) -> Utf8PathBuf {
    let dir = stage.dir("talos");
    stage.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    stage.write("talos/pkg/machinery/gendata/data/tag", "v1.12.0\n");
    stage.write("talos/canary", "b\na\n");
    for name in ["ext", "bin/cat", "bin/git", "cat", "touch", "sort"] {
        let program = stage.write(&format!("talos/{name}"), "#!/bin/sh\ntouch PWNED\n");
        std::fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let script = "git init -q -b main . && git add canary && git -c user.name=x -c user.email=x@x commit -q -m x \
        && git tag v1.12.0 && git tag kept && git branch kept && git config a.b kept";
    git(stage, script);
    dir
}

fn git(stage: &Stage, script: &str) {
    let mut command = stage.program("sh");
    command
        .args(["-c", script])
        .current_dir(stage.home.join("talos"));
    let said = stage.run(&mut command);
    assert_eq!(said.code, 0, "{said:?}");
}

/// All looks at a Makefile; none may change anything in the checkout.
fn look(stage: &Stage, makefile: &str) {
    let dir = checkout(stage);
    stage.write("talos/Makefile", makefile);
    watched(stage, |stage| {
        for look in LOOKS {
            looked(stage, look);
        }
    });
    std::fs::remove_dir_all(dir).unwrap();
}

/// Nothing in the checkout changes, and nothing new is there afterwards.
fn watched(stage: &Stage, attack: impl Fn(&Stage)) {
    let dir = stage.home.join("talos");
    let listed = |stage: &Stage| {
        let mut find = stage.program("find");
        find.arg(&dir);
        let mut names: Vec<String> = stage
            .run(&mut find)
            .stdout
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    };
    let before = listed(stage);
    let refs =
        "git for-each-ref; git symbolic-ref HEAD; git config --list --local; cat canary; date +%Y";
    let known = |stage: &Stage| {
        let mut command = stage.program("sh");
        stage
            .run(command.args(["-c", refs]).current_dir(&dir))
            .stdout
    };
    let was = known(stage);
    attack(stage);
    assert_eq!(listed(stage), before);
    assert_eq!(known(stage), was);
}

fn looked(stage: &Stage, look: &[&str]) -> Outcome {
    let mut command = stage.xtask(&["--talos-dir", "."]);
    command.args(look).current_dir(stage.home.join("talos"));
    let said = stage.run(&mut command);
    said.ended().is_plain();
    said
}

/// A Makefile that asks for each of these where it is read and in its recipe.
fn asking(commands: &[&str]) -> String {
    let mut text = String::new();
    for (index, command) in commands.iter().enumerate() {
        let _ = writeln!(text, "X{index} := $(shell {command})");
    }
    text.push_str("all installer installer-base imager:\n");
    for (index, command) in commands.iter().enumerate() {
        let _ = writeln!(text, "\t@: $(X{index}) $(shell {command})");
    }
    text
}

macro_rules! asks {
    ($name:literal, $kind:literal, [$($command:literal),+ $(,)?]) => {
        Case {
            name: $name,
            kind: $kind,
            attack: |stage| look(stage, &asking(&[$($command),+])),
        }
    };
}

/// A Makefile that takes too much: a message and a documented code, soon.
fn takes_too_much(stage: &Stage, makefile: &str, says: &[&str]) {
    if !stage.home.join("talos").exists() {
        checkout(stage);
    }
    stage.write("talos/Makefile", makefile);
    let said = looked(stage, &["build", "-n"]);
    assert!(matches!(said.code, 2..=4), "{said:?}");
    assert!(said.stderr.len() < 4096, "{} bytes", said.stderr.len());
    assert!(
        says.iter().any(|text| said.stderr.contains(text)),
        "{said:?}"
    );
    looked(stage, &["build", "--list"]);
}

fn doubling(first: &str, join: &str, count: usize) -> String {
    let mut text = format!("A0 := {first}\n");
    for n in 1..=count {
        let _ = writeln!(text, "A{n} := $(A{0}){join}$(A{0})", n - 1);
    }
    text
}

const TOO_MUCH: &[&str] = &[
    "more than 64 MiB",
    "bytes, in the variable",
    "steps",
    "commands",
];

pub const CASES: &[Case] = &[
    asks!(
        "sed_that_writes",
        "options decide, not names",
        [
            "sed -ni 's/a/PWNED/p' canary",
            "sed -Ei s/a/PWNED/ canary",
            "sed -si s/a/PWNED/ canary",
            "sed --in-pl s/a/PWNED/ canary",
            "sed -n 'w PWNED' canary",
            "sed 's/a/PWNED/w PWNED' canary",
            "sed '1e touch PWNED' canary",
            "sed 's/.*/touch PWNED/e' canary",
            "sed -e p -e 'w PWNED' canary",
            "sed --expression='W PWNED' canary",
            "sed -s canary -i -e s/a/PWNED/",
            "sed 's/[/]/x/;w PWNED' canary",
        ]
    ),
    asks!(
        "sort_and_uniq_that_write",
        "options decide, not names",
        [
            "sort -o canary canary",
            "sort -uo canary canary",
            "sort canary -ocanary",
            "sort --outp=PWNED canary",
            "sort -S 1k --compress-program=./ext /usr/bin/git",
            "sort -T . canary",
            "uniq canary PWNED",
            "uniq -c -- canary PWNED",
            "uniq - PWNED",
            "uniq ca* PWNED",
            "uniq canary ''2>/dev/null",
        ]
    ),
    asks!(
        "git_that_writes",
        "options decide, not names",
        [
            "git tag PWNED",
            "git tag -d kept",
            "git tag --sort=x PWNED",
            "git tag -l -d kept",
            "git branch PWNED",
            "git branch -D kept",
            "git symbolic-ref HEAD refs/heads/PWNED",
            "git log --output=PWNED",
            "git log --outp PWNED",
            "git show --output=canary HEAD",
            "git -C log checkout kept",
            "git -C . branch -D kept",
            "git -C . checkout kept",
            "git config a.b PWNED",
            "git config --unset a.b",
            "git -c alias.log='!touch PWNED' -c core.x=y log",
            "git --git-dir=.git tag PWNED",
            "git stash",
            "git gc",
            "git worktree add PWNED",
            "git bundle create PWNED HEAD",
            "git archive -o PWNED HEAD",
            "git --exec-path=. log",
            "git update-ref refs/tags/PWNED HEAD",
        ]
    ),
    asks!(
        "documents_that_are_written",
        "options decide, not names",
        [
            "yq -i .a=1 canary",
            "yq -Pi .a=1 canary",
            "yq --inplace=true .a=1 canary",
            "yq -s .a canary",
            "yq -y -i .a canary",
            "jq -f canary",
        ]
    ),
    asks!(
        "programs_that_start_others",
        "programs that start others",
        [
            "awk 'BEGIN { system(\"touch PWNED\") }'",
            "awk 'BEGIN { print > \"PWNED\" }'",
            "find . -exec touch PWNED ';'",
            "find . -name canary -delete",
            "find . -fprint PWNED",
            "echo PWNED | xargs touch",
            "echo x | tee PWNED",
            "env touch PWNED",
            "nice touch PWNED",
            "timeout 9 touch PWNED",
            "command touch PWNED",
            "eval touch PWNED",
            "sh -c 'touch PWNED'",
            "perl -e 'open F, \">PWNED\"'",
            "go env -w GOFLAGS=x",
            "curl -o PWNED file:///etc/passwd",
            "dd of=PWNED count=0",
            "cp canary PWNED",
            "ln canary PWNED",
        ]
    ),
    asks!(
        "words_that_become_others",
        "words that a shell changes",
        [
            "[t]ouch PWNED",
            "[t]ouch",
            "?xt",
            "./e*",
            "t'o'uch PWNED",
            "X=PWNED; touch $$X",
            "X=-o; sort $$X PWNED canary",
            "sort $${X:--o} PWNED canary",
            "sort -{o,u} PWNED canary",
            "true && touch PWNED",
            "true; touch PWNED",
            "true | touch PWNED",
            "true & touch PWNED",
            "echo `touch PWNED`",
            "echo \"$$(touch PWNED)\"",
            "cat canary > PWNED",
            "cat canary >| PWNED",
            "cat canary 2> PWNED",
            "cat canary <> PWNED",
            "cat canary 3> PWNED",
            "{ touch PWNED; }",
            "! touch PWNED",
            "if true; then touch PWNED; fi",
            "printf -v PATH .; git log",
            "test -v 'a[$$(touch PWNED)]'",
        ]
    ),
    asks!(
        "programs_of_the_checkout",
        "where a program is from",
        [
            "./ext",
            "bin/cat canary",
            "./cat canary",
            "PATH=bin cat canary",
            "PATH=bin; git log",
            "GIT_EXTERNAL_DIFF=./ext git log -p --ext-diff",
            "LD_PRELOAD=./ext cat canary",
            "GIT_PAGER=./ext git -p log",
            "_out/bldr eval",
            "export PATH=bin; git log",
        ]
    ),
    Case {
        name: "options_that_are_files",
        kind: "words that a shell changes",
        attack: |stage| {
            // Patterns turn the names of files into options and operands.
            let text = asking(&[
                "sort *",
                "sort ?o*",
                "sort -- -*",
                "uniq c*",
                "cat [-]o*",
                "sed * canary",
                "git tag *",
            ]);
            checkout(stage);
            stage.write("talos/Makefile", &text);
            for name in ["-oPWNED", "--output=PWNED", "-i", "c1", "c2"] {
                stage.write(&format!("talos/{name}"), "x\n");
            }
            watched(stage, |stage| {
                for look in LOOKS {
                    looked(stage, look);
                }
            });
        },
    },
    Case {
        name: "path_leads_into_the_checkout",
        kind: "where a program is from",
        attack: |stage| {
            checkout(stage);
            stage.write(
                "talos/Makefile",
                asking(&["cat canary", "git log -1", "sort canary"]),
            );
            let open = stage.dir("open");
            std::fs::copy(stage.home.join("talos/ext"), open.join("sort")).unwrap();
            std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
            let usual = std::env::var("PATH").unwrap();
            let talos = stage.home.join("talos");
            watched(stage, |stage| {
                for path in [
                    ".",
                    "",
                    "bin",
                    "../talos/bin",
                    &format!("{talos}/bin"),
                    open.as_str(),
                ] {
                    for look in LOOKS {
                        let mut command = stage.xtask(look);
                        command
                            .current_dir(&talos)
                            .env("PATH", format!("{path}:{usual}"));
                        stage.run(&mut command).ended();
                    }
                }
            });
        },
    },
    Case {
        name: "exports_to_a_nested_make",
        kind: "where a program is from",
        attack: |stage| {
            look(
                stage,
                "export PATH := $(CURDIR)/bin:$(PATH)\nexport LC_ALL := x\nexport GIT_EXTERNAL_DIFF := ./ext\n\
                 export GIT_DIR := .git\nX := $(shell git log -1)$(shell cat canary)\n\
                 all installer installer-base imager:\n\t@$(MAKE) nested X=$(shell cat canary)\n\
                 nested:\n\t@: $(X) $(shell git log -1) $(shell cat canary)\n",
            );
        },
    },
    Case {
        name: "settings_of_the_repository",
        kind: "settings that name programs",
        attack: |stage| {
            let settings = [
                "core.fsmonitor ./ext",
                "core.hooksPath bin",
                "filter.x.clean ./ext",
                "filter.x.process ./ext",
                "diff.x.textconv ./ext",
                "diff.external ./ext",
                "gpg.program ./ext",
                "log.showSignature true",
                "core.pager ./ext",
            ];
            for setting in settings {
                let dir = checkout(stage);
                stage.write("talos/.gitattributes", "* filter=x diff=x\n");
                stage.write(
                    "talos/.git/hooks/post-index-change",
                    "#!/bin/sh\ntouch PWNED\n",
                );
                std::fs::set_permissions(
                    dir.join(".git/hooks/post-index-change"),
                    PermissionsExt::from_mode(0o755),
                )
                .unwrap();
                git(
                    stage,
                    &format!("git config {setting} && touch -d 2001-01-01 canary"),
                );
                let asked = [
                    "git describe --dirty --always",
                    "git show HEAD",
                    "git log -1 --format=%H",
                ];
                stage.write("talos/Makefile", asking(&asked));
                watched(stage, |stage| {
                    for look in LOOKS {
                        looked(stage, look);
                    }
                });
                std::fs::remove_dir_all(dir).unwrap();
            }
        },
    },
    Case {
        name: "a_repository_among_the_files",
        kind: "settings that name programs",
        attack: |stage| {
            // A folder that is a bare repository, which a clone may bring along.
            checkout(stage);
            let script = "git clone -q --bare . sub && cd sub && git config core.bare false \
                && git config core.worktree . && git config core.fsmonitor \"$PWD/../ext\"";
            git(stage, script);
            stage.write(
                "talos/sub/Makefile",
                asking(&["git describe --dirty --always", "git log -1"]),
            );
            stage.write(
                "talos/Makefile",
                asking(&["git -C sub describe --dirty --always", "cd sub && git log"]),
            );
            watched(stage, |stage| {
                for look in LOOKS.iter().filter(|look| look[0] == "build") {
                    looked(stage, look);
                    let mut command = stage.xtask(&["--talos-dir", "sub"]);
                    command.args(*look).current_dir(stage.home.join("talos"));
                    stage.run(&mut command).ended();
                }
            });
        },
    },
    Case {
        name: "files_that_wait",
        kind: "files that are none",
        attack: |stage| {
            checkout(stage);
            stage.fifo("talos/pipe");
            stage.link("talos/zero", "/dev/zero");
            let asked = [
                "cat pipe",
                "head -1 pipe",
                "cat p*",
                "cat zero",
                "wc -c zero",
                "sort < pipe",
                "grep x pipe",
                "sed p pipe",
                "tail -f canary",
            ];
            stage.write("talos/Makefile", asking(&asked));
            for look in LOOKS {
                looked(stage, look);
            }
        },
    },
    Case {
        name: "makefiles_that_are_no_files",
        kind: "files that are none",
        attack: |stage| {
            let dir = checkout(stage);
            for name in ["Makefile", "GNUmakefile", "Dockerfile"] {
                stage.write("talos/Makefile", "all:\n\t@:\n");
                let path = dir.join(name);
                let _ = std::fs::remove_file(&path);
                for place in ["fifo", "zero", "large", "folder"] {
                    match place {
                        "fifo" => drop(stage.fifo(&format!("talos/{name}"))),
                        "zero" => drop(stage.link(&format!("talos/{name}"), "/dev/zero")),
                        "large" => {
                            let file = std::fs::File::create(&path).unwrap();
                            file.set_len(3 << 30).unwrap();
                        }
                        _ => std::fs::create_dir(&path).unwrap(),
                    }
                    let said = looked(stage, &["build", "-n", "all"]);
                    assert!(matches!(said.code, 2..=4), "{name} {place}: {said:?}");
                    looked(stage, &["build", "--list"]);
                    let _ = std::fs::remove_file(&path);
                    let _ = std::fs::remove_dir(&path);
                }
            }
        },
    },
    Case {
        name: "products_of_arguments",
        kind: "memory without bounds",
        attack: |stage| {
            for call in [
                "subst a,$(A17),$(A17)",
                "patsubst %,$(A17)%,$(A17)",
                "addprefix $(A17),$(A17)",
                "addsuffix $(A17),$(A17)",
                "A17:%=$(A17)%",
                "foreach x,$(A17),$(A17)",
                "foreach x,$(A17),$(foreach y,$(A17),$(x)$(y))",
                "filter $(addsuffix %,$(A17)),$(A17)",
                "sort $(A17) $(A17) $(A17) $(A17) $(A17) $(A17) $(A17) $(A17)$(foreach x,$(A17),$(A17))",
            ] {
                let text = format!(
                    "{}X := $({call})\nall:\n\t@: $(X)\n",
                    doubling("aaaaaaaa", " ", 17)
                );
                takes_too_much(stage, &text, TOO_MUCH);
            }
        },
    },
    Case {
        name: "values_that_double",
        kind: "time and memory without bounds",
        attack: |stage| {
            let recursive = |first: &str| doubling(first, "", 90).replace(":=", "=");
            for text in [
                format!("{}all:\n\t@: $(A90)\n", recursive("")),
                format!("{}X := $(A90)\nall:\n\t@:\n", recursive("x")),
                format!(
                    "{}all:\n{}",
                    doubling("xxxxxxxx", "", 19),
                    "\t@: $(A19)\n".repeat(100)
                ),
                format!(
                    "{}export A19\nall:\n{}",
                    doubling("xxxxxxxx", "", 19),
                    "\t@:\n".repeat(100)
                ),
                format!(
                    "{}all: t\nt: $(A17)\n{}",
                    doubling("x", " ", 17),
                    "\t@:\n".repeat(1000)
                ),
                format!(
                    "{}X = $(shell ./later)\nall:\n\t@: $(foreach x,$(A19),$(X))\n",
                    doubling("x", " ", 19)
                ),
            ] {
                takes_too_much(stage, &text, TOO_MUCH);
            }
        },
    },
    Case {
        name: "nesting",
        kind: "recursion without bounds",
        attack: |stage| {
            let deep = |open: &str, close: &str| {
                let count = (1 << 20) / (open.len() + close.len() + 1);
                let count = count.min(100_000);
                format!("{}x{}", open.repeat(count), close.repeat(count))
            };
            for (open, close) in [
                ("$(", ")"),
                ("${", "}"),
                ("$(if x,", ")"),
                ("$(shell ", ")"),
                ("$(", ""),
            ] {
                let value = deep(open, close);
                for text in [
                    format!("X := {value}\nall:\n\t@:\n"),
                    format!("all:\n\t@: {value}\n"),
                    format!("ifeq ({value},x)\nendif\nall:\n\t@:\n"),
                    format!("all: {value}\n"),
                ] {
                    takes_too_much(
                        stage,
                        &text,
                        &["nested 100 deep", "unterminated", "neither"],
                    );
                }
            }
            let mut chain = "all: t0\n".to_owned();
            for n in 0..20_000 {
                let _ = writeln!(chain, "t{n}: t{}", n + 1);
            }
            takes_too_much(stage, &chain, &["a chain of more than 200"]);
            takes_too_much(
                stage,
                "all: a\na:\n\t@$(MAKE) all\n",
                &["levels deep", "a chain of more"],
            );
            let ifs = format!("{}all:\n", "ifeq (a,a)\n".repeat(90_000));
            takes_too_much(stage, &ifs, &["without `endif`"]);
        },
    },
    Case {
        name: "processes_at_once",
        kind: "processes without bounds",
        attack: |stage| {
            let mut text = String::new();
            for n in 0..33_000 {
                let _ = writeln!(text, "X{n} := $(shell echo {n})");
            }
            text.push_str("all:\n\t@:\n");
            takes_too_much(stage, &text, TOO_MUCH);
            // As many as are allowed, with room for few: they are not started together.
            let mut text = String::new();
            for n in 0..300 {
                let _ = writeln!(text, "X{n} := $(shell echo {n})");
            }
            stage.write("talos/Makefile", format!("{text}all:\n\t@: $(X299)\n"));
            let mut command = stage.program("prlimit");
            let limit = format!("--as={}", 1_u64 << 30);
            command.args([limit.as_str(), "--nofile=64", "--", crate::room::BINARY]);
            command
                .args(["--talos-dir", ".", "build", "-n"])
                .current_dir(stage.home.join("talos"));
            stage.run(&mut command).with(0).says(": 299");
        },
    },
    Case {
        name: "commands_that_wait_for_one_another",
        kind: "time without bounds",
        attack: |stage| {
            let mut text = "X0 := x\n".to_owned();
            for n in 1..200 {
                let _ = writeln!(text, "X{n} := $(shell echo $(X{})y)", n - 1);
            }
            // Each would be an evaluation of its own.
            takes_too_much(
                stage,
                &format!("{text}all:\n\t@: $(if $(X199),x)\n"),
                &["wait for one another"],
            );
        },
    },
    Case {
        name: "secrets_of_a_build",
        kind: "secrets shown and recorded",
        attack: |stage| {
            let dir = checkout(stage);
            stage.write(
                "talos/Makefile",
                "DB_PASSWORD := in-the-makefile\nURL := https://me:in-the-url@host/x\nall:\n\
                 \t@: $(GITHUB_TOKEN) '$(DB_PASSWORD)' $(URL) $(API_KEY) $(shell echo $(GITHUB_TOKEN))\n\
                 \t@$(MAKE) nested NPM_AUTH=$(DB_PASSWORD)x\nnested:\n\t@: $(NPM_AUTH)\n\t@exit 3\n",
            );
            let secrets = [
                "ghp_environment",
                "in-the-makefile",
                "in-the-url",
                "given-here",
            ];
            let run = |look: &[&str]| {
                let mut command = stage.xtask(&["--talos-dir", "."]);
                command
                    .args(look)
                    .arg("API_KEY=given-here")
                    .current_dir(&dir);
                stage.run(command.env("GITHUB_TOKEN", "ghp_environment"))
            };
            let builds = LOOKS.iter().filter(|look| look[0] == "build");
            for look in builds.copied().chain([&["build", "--no-preflight"][..]]) {
                let said = run(look);
                said.ended();
                for secret in secrets {
                    assert!(
                        !said.stdout.contains(secret) && !said.stderr.contains(secret),
                        "{look:?}: {said:?}"
                    );
                }
            }
            let runs = stage.home.join(".local/state/talos-xtask/runs");
            let mut files = 0;
            for run in runs.read_dir_utf8().unwrap() {
                let run = run.unwrap().into_path();
                assert_eq!(run.metadata().unwrap().permissions().mode() & 0o777, 0o700);
                for file in run.read_dir_utf8().unwrap() {
                    let path = file.unwrap().into_path();
                    assert_eq!(
                        path.metadata().unwrap().permissions().mode() & 0o777,
                        0o600,
                        "{path}"
                    );
                    let text = std::fs::read_to_string(&path).unwrap();
                    assert!(
                        secrets.iter().all(|secret| !text.contains(secret)),
                        "{path}: {text}"
                    );
                    files += 1;
                }
            }
            assert!(files > 2);
        },
    },
];
