//! `build` and the script that it prints, beside GNU make, on the Makefiles of
//! testdata/make: the same output, the same end.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used)]

#[path = "../crates/makefile/tests/common/cases.rs"]
mod cases;
mod common;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

struct Scenario {
    name: String,
    text: String,
    cases: Vec<Vec<String>>,
    environment: Vec<(String, String)>,
    files: Vec<String>,
}

fn scenarios() -> Vec<Scenario> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/make");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "mk"));
    paths.iter().map(|path| scenario(path)).collect()
}

fn scenario(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).unwrap();
    let of = |key: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| Some(line.strip_prefix(key)?.to_owned()))
            .collect()
    };
    let pair = |line: &String| {
        line.split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .unwrap()
    };
    Scenario {
        name: path.file_name().unwrap().to_str().unwrap().to_owned(),
        cases: of("# case: ")
            .iter()
            .map(|case| shlex::split(case).unwrap())
            .collect(),
        environment: of("# env: ").iter().map(pair).collect(),
        files: of("# file: "),
        text,
    }
}

impl Scenario {
    /// Run in a fresh folder that has the same name each time, with both makes
    /// silent, so that only the recipes speak.
    fn run(&self, root: &Path, program: &str, arguments: &[String]) -> Output {
        let checkout = root.join("checkout");
        let _ = std::fs::remove_dir_all(&checkout);
        std::fs::create_dir(&checkout).unwrap();
        std::fs::write(checkout.join("Makefile"), &self.text).unwrap();
        for file in &self.files {
            std::fs::write(checkout.join(file), "").unwrap();
        }
        Command::new(program)
            .args(arguments)
            .current_dir(&checkout)
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", root)
            .env("PWD", &checkout)
            .env("LC_ALL", "C")
            .env("MAKEFLAGS", "s")
            .envs(self.environment.iter().cloned())
            .output()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
    }
}

fn words(first: &[&str], rest: &[String]) -> Vec<String> {
    first
        .iter()
        .map(|word| (*word).to_owned())
        .chain(rest.iter().cloned())
        .collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `-s` is in MAKEFLAGS already, and no word of ours.
fn without_flags(case: &[String]) -> Vec<String> {
    case.iter().filter(|word| *word != "-s").cloned().collect()
}

#[test]
fn build_does_what_make_does() {
    let root = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        for case in &scenario.cases {
            let case = without_flags(case);
            let make = scenario.run(root.path(), "make", &case);
            let build = words(&["-C", ".", "build", "--no-preflight"], &case);
            let ours = scenario.run(root.path(), env!("CARGO_BIN_EXE_xtask"), &build);
            if stdout(&make) != stdout(&ours) || make.status.success() != ours.status.success() {
                wrong.push(format!(
                    "{} {case:?}\n--- make {}\n{}--- ours {}\n{}{}",
                    scenario.name,
                    make.status,
                    stdout(&make),
                    ours.status,
                    stdout(&ours),
                    String::from_utf8_lossy(&ours.stderr)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The parts of `testdata/make/cases.txt` that depend on how commands are started, not on
/// the evaluation alone.
#[test]
fn build_starts_commands_as_make_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/make/cases.txt");
    let mut cases = cases::read(&path);
    let is_about = |name: &str| {
        [
            "shell",
            "SHELL",
            "nested make",
            "include",
            "Latin-1",
            "carriage",
        ]
        .iter()
        .any(|about| name.contains(about))
    };
    cases.retain(|case| is_about(&case.name) && case.refused.is_none());
    assert!(cases.len() > 40, "only {} cases", cases.len());
    let root = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let run = |program: &str, first: &[&str]| {
            let checkout = root.path().join("checkout");
            let _ = std::fs::remove_dir_all(&checkout);
            std::fs::create_dir(&checkout).unwrap();
            case.prepare(&checkout);
            Command::new(program)
                .args(words(first, &case.arguments))
                .current_dir(&checkout)
                .env_clear()
                .env("PATH", std::env::var("PATH").unwrap())
                .env("HOME", root.path())
                .env("PWD", &checkout)
                .env("LC_ALL", "C")
                .env("MAKEFLAGS", "s")
                .envs(case.environment.iter().cloned())
                .output()
                .unwrap()
        };
        let make = run("make", &[]);
        let ours = run(
            env!("CARGO_BIN_EXE_xtask"),
            &["-C", ".", "build", "--no-preflight"],
        );
        if make.stdout != ours.stdout || make.status.success() != ours.status.success() {
            wrong.push(format!(
                "{}\n--- make {}\n{}--- ours {}\n{}{}",
                case.name,
                make.status,
                String::from_utf8_lossy(&make.stdout),
                ours.status,
                String::from_utf8_lossy(&ours.stdout),
                String::from_utf8_lossy(&ours.stderr)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_working_folder_keeps_the_links_by_which_it_was_entered() {
    let (root, dir) = fresh("all: ; @echo '$(PWD)' \"$$PWD\" '$(CURDIR)' '$(shell pwd)'\n");
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&link)
            .env("PWD", &link)
            .env("HOME", root.path())
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .output()
            .unwrap();
        stdout(&output)
    };
    let make = run("make", &[]);
    assert!(make.contains("/link "), "{make}");
    let ours = ["-C", ".", "build", "--no-preflight"];
    assert_eq!(run(env!("CARGO_BIN_EXE_xtask"), &ours), make);
}

#[test]
fn the_script_does_what_make_does() {
    let root = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for scenario in scenarios() {
        for case in &scenario.cases {
            let case = without_flags(case);
            let make = scenario.run(root.path(), "make", &case);
            let shown = words(&["-C", ".", "build", "--format", "sh"], &case);
            let script = scenario.run(root.path(), env!("CARGO_BIN_EXE_xtask"), &shown);
            if !script.status.success() {
                assert!(
                    !make.status.success(),
                    "{} {case:?}: {}",
                    scenario.name,
                    String::from_utf8_lossy(&script.stderr)
                );
                continue;
            }
            let file = root.path().join("plan.sh");
            std::fs::write(&file, &script.stdout).unwrap();
            let ours = scenario.run(root.path(), "sh", &[file.to_str().unwrap().to_owned()]);
            if stdout(&make) != stdout(&ours) || make.status.success() != ours.status.success() {
                wrong.push(format!(
                    "{} {case:?}\n--- make {}\n{}--- script {}\n{}{}\n{}",
                    scenario.name,
                    make.status,
                    stdout(&make),
                    ours.status,
                    stdout(&ours),
                    String::from_utf8_lossy(&ours.stderr),
                    stdout(&script)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn fresh(text: &str) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("checkout");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("Makefile"), text).unwrap();
    (root, dir)
}

fn xtask(root: &Path, dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(arguments)
        .current_dir(dir)
        .env("HOME", root)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap()
}

#[test]
fn a_dry_run_runs_nothing() {
    let text = "X := $(shell touch parsed)\nall:\n\t@touch made $(X)\n\t@$(MAKE) sub\n\t@for i in 1; do $(MAKE) sub; done\nsub:\n\t@touch $(shell touch asked; echo made2)\n";
    let (root, dir) = fresh(text);
    for arguments in [
        &["-C", ".", "build", "-n", "all"][..],
        &["-C", ".", "build", "--explain", "all"],
        &["-C", ".", "build", "--list"],
    ] {
        let output = xtask(root.path(), &dir, arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(
        std::fs::read_dir(&dir).unwrap().count(),
        1,
        "only the Makefile"
    );
    assert!(!root.path().join(".local").exists(), "no record either");
}

#[test]
fn mistakes_are_named_before_anything_runs() {
    let text = "TAG ?= x\nall: one\n\t@touch all\none:\n\t@touch one\ninclude-me:\n\t@echo $(realpath *)\nloop:\n\t@$(MAKE) loop\n";
    let (root, dir) = fresh(text);
    let of = |arguments: &[&str]| {
        let output = xtask(
            root.path(),
            &dir,
            &[&["-C", ".", "build"], arguments].concat(),
        );
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = of(&["all", "onee"]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("no rule to make target `onee`") && said.contains("did you mean `one`?"),
        "{said}"
    );
    let (code, said) = of(&["include-me"]);
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains("Makefile:7: function `realpath` is not supported"),
        "{said}"
    );
    let (code, said) = of(&["loop"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("24 levels deep"), "{said}");
    let (code, said) = of(&["all", "TAG=a\nb"]);
    assert_eq!(code, 2, "{said}");
    let (code, said) = of(&["-n", "all", "TGA=1"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("never reads TGA") && said.contains("did you mean TAG?"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    let output = xtask(root.path(), &dir, &["-C", "nowhere", "build"]);
    assert_eq!(output.status.code(), Some(2));
    std::fs::remove_file(dir.join("Makefile")).unwrap();
    let (code, said) = of(&["all"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("there is no Makefile"), "{said}");
}

#[test]
fn errors_of_the_shell_are_shown_and_an_empty_tag_is_refused() {
    let text = "TAG ?= $(shell git describe --always)\nBAD = $(shell echo no such device >&2; exit 1)\nNOTHING := $(shell exit 3)\nall:\n\t@echo image:$(TAG)\nbad:\n\t@echo '[$(BAD)]'\n";
    let (root, dir) = fresh(text);
    let git = |words: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
            .args(words)
            .current_dir(&dir)
            .output();
        assert!(output.unwrap().status.success(), "{words:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "x"]);
    let of = |words: &[&str], owner: &str| {
        let words = [&["-C", ".", "build", "--no-preflight"], words].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(words)
            .current_dir(&dir)
            .env("HOME", root.path());
        // git's own way to test a checkout of another user.
        let output = command
            .env("GIT_TEST_ASSUME_DIFFERENT_OWNER", owner)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), stdout(&output), stderr)
    };
    let (code, out, said) = of(&["bad"], "0");
    assert_eq!((code, out.as_str()), (Some(0), "[]\n"), "{said}");
    assert!(said.contains("no such device"), "{said}");
    assert!(
        said.contains("`$(shell exit 3)`: it failed, and printed nothing"),
        "{said}"
    );
    assert!(
        !said.contains("echo '[]'"),
        "a line with `@` is not shown: {said}"
    );

    let (code, out, said) = of(&["all"], "1");
    assert_eq!((code, out.as_str()), (Some(3), ""), "{said}");
    assert!(said.contains("error: TAG is empty"), "{said}");
    assert!(said.contains("dubious ownership"), "{said}");
    let hint = format!("git config --global --add safe.directory {}", dir.display());
    assert!(said.contains(&hint), "{said}");
    let (code, _, said) = of(&["all", "TAG="], "0");
    assert_eq!(code, Some(3), "{said}");
    let (code, out, said) = of(&["all", "--tag", "v1"], "1");
    assert_eq!((code, out.as_str()), (Some(0), "image:v1\n"), "{said}");
}

#[test]
fn a_build_that_keeps_going_makes_what_needs_no_failed_target() {
    let makefile = ".PHONY: all a b c\nall: a b ; @echo all\na: c ; @echo a\nb: ; @echo b\n\
                    c: ; @echo no compiler; false\n";
    let (root, dir) = fresh(makefile);
    for words in [
        &["-C", ".", "build", "--keep-going", "all"][..],
        &["-C", ".", "build", "--", "-k", "all"],
    ] {
        let output = xtask(root.path(), &dir, words);
        assert_eq!(stdout(&output), "no compiler\nb\n");
        assert_eq!(output.status.code(), Some(4));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            errors.contains("error: 1 step failed, and 2 steps after them did not run")
                && errors.contains("cause: step \"c (Makefile:5)\" failed"),
            "{errors}"
        );
    }
    let words = ["-C", ".", "build", "-k", "all", "-n", "--format", "sh"];
    assert_eq!(xtask(root.path(), &dir, &words).status.code(), Some(2));
}

#[test]
fn an_interrupted_recipe_leaves_no_half_made_file() {
    let text = "all: _out/whole _out/half\n_out/whole:\n\t@mkdir -p _out\n\t@echo whole >$@\n_out/half:\n\t@$(MAKE) inner\n.PHONY: inner\ninner:\n\t@echo half >_out/half\n\t@touch begun; sleep 300\n";
    let makes = [
        ("make", vec![]),
        (
            env!("CARGO_BIN_EXE_xtask"),
            vec!["-C", ".", "build", "--no-preflight"],
        ),
    ];
    for signal in [Signal::INT, Signal::TERM] {
        for (program, first) in &makes {
            let (root, dir) = fresh(text);
            let mut command = Command::new(program);
            command
                .args(first)
                .arg("all")
                .current_dir(&dir)
                .env("HOME", root.path());
            // Ctrl-C is sent to a group of processes.
            let mut child = command
                .process_group(0)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            assert!(common::within(Duration::from_mins(1), || dir
                .join("begun")
                .exists()));
            rustix::process::kill_process_group(Pid::from_child(&child), signal).unwrap();
            assert!(!child.wait().unwrap().success());
            let files = |name: &str| dir.join("_out").join(name).exists();
            assert!(files("whole") && !files("half"), "{program} {signal:?}");
        }
    }
}

/// Answers every request as a registry that has the image.
fn registry(digest: &'static str) -> u16 {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let read = stream.read(&mut request).unwrap();
            let is_asked = String::from_utf8_lossy(&request[..read])
                .starts_with("HEAD /v2/u/installer/manifests/v1 ");
            let status = if is_asked { "200 OK" } else { "404 Not Found" };
            let answer = format!(
                "HTTP/1.1 {status}\r\nDocker-Content-Digest: {digest}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

/// A program of that name that is first on PATH.
fn stand_in(bin: &Path, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = bin.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn pushed_images_are_noted_by_digest() {
    let port = registry("sha256:aaaa");
    let text = format!(
        "R ?= 127.0.0.1:{port}\nimager:\n\t@docker buildx build --push=$(PUSH) --output type=image,name=$(R)/u/$@:v1,rewrite-timestamp=true .\n\
         installer:\n\t@crane push _out/x.tar $(R)/u/installer:v1\n\
         lost:\n\t@crane push _out/x.tar $(R)/u/lost:v1\n"
    );
    let (root, dir) = fresh(&text);
    let bin = root.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let metadata = "for word; do case $word in --metadata-file=*) echo '{\"containerimage.digest\": \"sha256:bbbb\"}' > \"${word#*=}\";; esac; done\n";
    stand_in(&bin, "docker", metadata);
    stand_in(&bin, "crane", "exit 0\n");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let of = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .current_dir(&dir)
            .env("HOME", root.path())
            .env("PATH", &path)
            .env_remove("XDG_STATE_HOME")
            .output()
            .unwrap()
    };
    let build = of(&[
        "-C",
        ".",
        "build",
        "--no-preflight",
        "imager",
        "installer",
        "lost",
        "PUSH=true",
    ]);
    let said = String::from_utf8(build.stderr).unwrap();
    assert!(build.status.success(), "{said}");
    assert!(
        said.contains("the digest of 127.0.0.1") && said.contains("/u/lost:v1 is not known"),
        "{said}"
    );
    // Not pushed, so not noted.
    assert!(
        of(&["-C", ".", "build", "--no-preflight", "imager", "PUSH=false"])
            .status
            .success()
    );
    let images: serde_json::Value =
        serde_json::from_slice(&of(&["images", "--json"]).stdout).unwrap();
    let found: Vec<(&str, &str)> = images["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| {
            (
                image["name"].as_str().unwrap().rsplit('/').next().unwrap(),
                image["digest"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [("installer", "sha256:aaaa"), ("imager", "sha256:bbbb")]
    );
}

#[test]
fn recipes_see_nothing_of_cargo() {
    let root = tempfile::tempdir().unwrap();
    let text =
        "FROM_SHELL := $(shell env | grep -c CARGO_PKG)\nall:\n\t@env; echo shell=$(FROM_SHELL)\n";
    std::fs::write(root.path().join("Makefile"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["-C", ".", "build", "--no-preflight"])
        .current_dir(root.path())
        .env("XDG_STATE_HOME", root.path())
        .env("CARGO_PKG_NAME", "xtask")
        .env("CARGO_MANIFEST_DIR", "/checkout/xtask")
        .env("RUSTUP_TOOLCHAIN", "stable")
        .env("CARGO_HOME", "/home/me/.cargo")
        .env("LD_LIBRARY_PATH", "/r/lib/rustlib/x/lib:/opt/lib")
        .output()
        .unwrap();
    let said = stdout(&output);
    let leaked = |line: &&str| {
        [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "RUSTUP_TOOLCHAIN",
            "CARGO=",
        ]
        .iter()
        .any(|name| line.starts_with(name))
    };
    assert_eq!(said.lines().filter(leaked).collect::<Vec<_>>(), [""; 0]);
    for kept in [
        "CARGO_HOME=/home/me/.cargo",
        "LD_LIBRARY_PATH=/opt/lib",
        "shell=0",
    ] {
        assert!(said.lines().any(|line| line == kept), "{kept}:\n{said}");
    }
}

/// What `build` prints, and all that it records, of a Makefile with secrets in it.
#[test]
fn secrets_are_neither_shown_nor_recorded() {
    const SECRETS: &[&str] = &[
        "ghp_of_the_environment",
        "of-the-makefile",
        "of-the-command-line",
        "proxy-password",
        "learnt-value",
        "given-to-nested",
    ];
    let text = "export BUILD_TOKEN := of-the-makefile\nLEARNT_KEY = $(shell sh -c 'cat ../learnt')\n\
        all:\n\
        \tprintf '<%s>' '$(GITHUB_TOKEN)' '$(BUILD_TOKEN)' '$(PASS)' '$(http_proxy)' '$(LEARNT_KEY)' > out\n\
        \t@$(MAKE) nested API_KEY=given-to-nested\n\
        \t@echo $(PASS) >&2; printf '%s' \"$$BUILD_TOKEN\" >> out\n\
        nested:\n\
        \t@: $(API_KEY)\n\
        broken:\n\
        \t@exit 3 # $(PASS)\n";
    let (root, dir) = fresh(text);
    std::fs::write(root.path().join("learnt"), "learnt-value\n").unwrap();
    let of = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&dir);
        command
            .env("HOME", root.path())
            .env_remove("XDG_STATE_HOME")
            .env("GITHUB_TOKEN", "ghp_of_the_environment")
            .env("http_proxy", "http://user:proxy-password@proxy:3128");
        let output = command.output().unwrap();
        let said = format!(
            "{}{}",
            stdout(&output),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code(), said)
    };
    let ours = |arguments: &[&str]| {
        let given = ["-C", ".", "build", "PASS=of-the-command-line"];
        of(env!("CARGO_BIN_EXE_xtask"), &[&given, arguments].concat())
    };
    let clean = |text: &str, what: &str| {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in {what}:\n{text}");
        }
    };
    for shown in [
        &["-n"][..],
        &["--explain"],
        &["--format", "json"],
        &["--format", "sh"],
        &["--list"],
    ] {
        let (code, said) = ours(shown);
        assert_eq!(code, Some(0), "{said}");
        clean(&said, &format!("{shown:?}"));
    }
    let (_, explained) = ours(&["--explain"]);
    assert!(explained.contains("GITHUB_TOKEN = ***"), "{explained}");
    assert!(
        explained.contains("http_proxy = http://user:***@proxy:3128"),
        "{explained}"
    );

    // What runs has them all.
    let expected = "<ghp_of_the_environment><of-the-makefile><of-the-command-line>\
        <http://user:proxy-password@proxy:3128><learnt-value>of-the-makefile";
    let (code, said) = ours(&["--no-preflight"]);
    assert_eq!(code, Some(0), "{said}");
    // Only the recipe itself prints one.
    assert_eq!(said.matches("of-the-command-line").count(), 1, "{said}");
    clean(&said.replace("of-the-command-line", ""), "a run");
    assert_eq!(std::fs::read_to_string(dir.join("out")).unwrap(), expected);
    let (code, said) = ours(&["--no-preflight", "broken"]);
    assert_eq!(code, Some(4), "{said}");
    clean(&said, "a failure");

    // The script, too, with what it asks for.
    let (_, script) = ours(&["--format", "sh"]);
    std::fs::write(dir.join("plan.sh"), script).unwrap();
    std::fs::remove_file(dir.join("out")).unwrap();
    let (code, said) = of("sh", &["plan.sh"]);
    assert!(
        code != Some(0) && said.contains("KEY: must be set"),
        "{said}"
    );
    let given = [
        "PASS=of-the-command-line",
        "BUILD_TOKEN=of-the-makefile",
        "API_KEY=given-to-nested",
    ];
    let (code, said) = of("env", &[&given[..], &["sh", "plan.sh"]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(dir.join("out")).unwrap(), expected);

    records_are_private(&root.path().join(".local/state/talos-xtask/runs"), &clean);
}

/// What the recipes print is theirs; all else has no secret, and all of it is the owner's.
fn records_are_private(runs: &Path, clean: &dyn Fn(&str, &str)) {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(runs), 0o700);
    let mut files = 0;
    for run in std::fs::read_dir(runs).unwrap() {
        let run = run.unwrap().path();
        assert_eq!(mode(&run), 0o700, "{}", run.display());
        for file in std::fs::read_dir(run).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            if path.extension().is_none_or(|it| it != "log") {
                let text = std::fs::read_to_string(&path).unwrap();
                clean(&text, path.to_str().unwrap());
            }
            files += 1;
        }
    }
    assert!(files >= 8, "{files} files");
}
