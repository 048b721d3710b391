//! `dev` in the lab: edits of a small checkout, whose programs Go compiles, until a node has
//! booted them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::in_lab::{Lab, TALOSCTL};
use serde_json::Value;

/// Longer than any round takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

const DOCKERFILE: &str = "\
FROM scratch AS base
WORKDIR /src
COPY ./go.mod ./
COPY ./cmd ./cmd
COPY ./internal ./internal
FROM base AS machined-build
WORKDIR /src/internal/app/machined
RUN go build -o /machined
FROM scratch AS initramfs
COPY --from=machined-build /machined /machined
COPY hack/motd /motd
FROM base AS talosctl-build
WORKDIR /src/cmd/talosctl
RUN go build -o /talosctl
FROM scratch AS talosctl-linux-amd64
COPY --from=talosctl-build /talosctl /talosctl
";

/// An initramfs with the digest of machined in the file `mark`, before the one of the lab: the
/// kernel unpacks both. A build waits while a test has made a gate.
const MAKEFILE: &str = r"
.PHONY: initramfs talosctl-linux-amd64
initramfs: ## Builds the initramfs.
	@echo initramfs >> _out/builds
	@if [ -p _out/gate ]; then echo waits > _out/began; cat _out/gate; fi
	@go build -trimpath -buildvcs=false -o _out/machined ./internal/app/machined
	@sh hack/pack _out/machined hack/motd > _out/mark
	@cat _out/mark _out/base > _out/new
	@mv _out/new _out/initramfs-amd64.xz
talosctl-linux-amd64:
	@go build -trimpath -buildvcs=false -o _out/new-talosctl ./cmd/talosctl
";

/// Header, name and data of a cpio archive with one file.
const PACK: &str = r#"
digest=$(cat "$@" | sha256sum | cut -d' ' -f1)
entry() { printf 070701; printf %08X 0 "$1" 0 0 1 0 "$2" 0 0 0 0 "$3" 0; }
entry 33188 64 5
printf 'mark\000\000'
printf %s "$digest"
entry 0 0 11
printf 'TRAILER!!!\000\000\000\000'
"#;

fn program(text: &str) -> String {
    format!("package main\n\nfunc main() {{\n\tprintln(\"{text}\")\n}}\n")
}

/// The lab's checkout.
struct Checkout(PathBuf);

impl Checkout {
    fn make(lab: &Lab) -> Self {
        let checkout = Self(lab.sh("pwd").trim().into());
        for (name, text) in [
            ("go.mod", "module github.com/siderolabs/talos\n\ngo 1.24\n"),
            ("Makefile", MAKEFILE),
            ("Dockerfile", DOCKERFILE),
            (".gitignore", "_out\n"),
            ("hack/pack", PACK),
            ("hack/motd", "hello\n"),
            ("internal/app/machined/main.go", &program("one")),
            ("cmd/talosctl/main.go", &program("ctl")),
            ("docs/guide.md", "text\n"),
        ] {
            let path = checkout.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let out = checkout.path("_out");
        std::fs::copy(out.join("initramfs-amd64.xz"), out.join("base")).unwrap();
        checkout.git(&["init", "--quiet", "--initial-branch=main"]);
        checkout.commit();
        checkout.git(&["switch", "--quiet", "--create", "other"]);
        checkout.write_machined("another release");
        checkout.write("docs/guide.md", "other\n");
        checkout.commit();
        checkout.git(&["switch", "--quiet", "main"]);
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn write_machined(&self, text: &str) {
        self.write("internal/app/machined/main.go", &program(text));
    }

    fn git(&self, words: &[&str]) {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(words)
            .current_dir(&self.0);
        assert!(git.status().unwrap().success(), "{words:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "x"]);
    }

    fn builds(&self) -> usize {
        let text = std::fs::read_to_string(self.path("_out/builds"));
        text.unwrap_or_default().lines().count()
    }

    /// The next build waits until the gate is opened.
    fn close_gate(&self) {
        let mut mkfifo = Command::new("mkfifo");
        assert!(
            mkfifo
                .arg(self.path("_out/gate"))
                .status()
                .unwrap()
                .success()
        );
    }

    fn await_gate(&self) {
        let began = self.path("_out/began");
        assert!(crate::common::within(LIMIT, || began.exists()));
        std::fs::remove_file(began).unwrap();
    }

    fn open_gate(&self) {
        let gate = self.path("_out/gate");
        std::fs::write(&gate, "").unwrap();
        std::fs::remove_file(gate).unwrap();
    }

    /// What was built last.
    fn mark(&self) -> String {
        let mark = std::fs::read(self.path("_out/mark")).unwrap();
        String::from_utf8_lossy(&mark[116..180]).into_owned()
    }
}

/// `dev` as it runs.
struct Dev {
    child: Child,
    rounds: Receiver<String>,
    said: Receiver<String>,
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    lines
}

impl Dev {
    fn start(lab: &Lab, words: &[&str]) -> Self {
        let cache = Command::new("go").args(["env", "GOCACHE"]).output();
        let cache = String::from_utf8(cache.unwrap().stdout).unwrap();
        let cache = format!("GOCACHE={}", cache.trim());
        let before = ["lab", "shell", "--", "env", &cache, lab.binary(), "dev"];
        let mut command = lab.command(&[&before[..], words].concat());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            rounds: lines(child.stdout.take().unwrap()),
            said: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// What it says up to a line with these words.
    fn until(&self, words: &str) -> String {
        let mut said = String::new();
        loop {
            let line = self.said.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no `{words}`: {said}"));
            said.push_str(&line);
            said.push('\n');
            if line.contains(words) {
                return said;
            }
        }
    }

    fn round(&self) -> Value {
        let line = self.rounds.recv_timeout(LIMIT);
        let line =
            line.unwrap_or_else(|_| panic!("{:?}", self.said.try_iter().collect::<Vec<_>>()));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn interrupt(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        crate::common::run(Command::new("kill").args(["-INT", &id]));
        assert!(crate::common::within(LIMIT, || self
            .child
            .try_wait()
            .unwrap()
            .is_some()));
        self.child.wait().unwrap().code()
    }
}

#[test]
fn each_edit_is_built_booted_and_checked_once() {
    let Some(lab) = Lab::own("each_edit_is_built_booted_and_checked_once") else {
        return;
    };
    let checkout = Checkout::make(&lab);
    lab.ok(&["cluster", "up", "--workers", "0"]);
    let boot_id = || {
        let read = format!("{TALOSCTL} read /proc/sys/kernel/random/boot_id");
        let id = lab.sh(&format!(
            "for i in $(seq 100); do {read} && exit; sleep 0.1; done 2>/dev/null"
        ));
        assert!(!id.is_empty());
        id
    };
    let first = boot_id();
    let dev = Dev::start(&lab, &["--json", "--then", "test ! -e _out/bad"]);
    let said = dev.until("waiting for changes");
    assert!(
        said.contains("cluster talos-default running: talos-default-controlplane-1 ready"),
        "{said}"
    );

    what_changes_nothing_starts_nothing(&checkout, &dev);
    an_edit_is_booted(&lab, &checkout, &dev);
    let second = boot_id();
    assert_ne!(first, second);
    a_failed_build_leaves_the_node_alone(&checkout, &dev);
    assert_eq!(second, boot_id());
    another_branch_and_back_is_one_more_build(&checkout, &dev);
    edits_during_a_build_are_one_more_build(&lab, &checkout, &dev);
    talosctl_and_checks_boot_nothing(&checkout, &dev);
    lost_events_lose_no_edit(&lab, &checkout, &dev);
    a_rebase_is_one_build_of_its_end(&checkout, &dev);
    assert_eq!(dev.interrupt(), Some(130));
    keys_start_what_they_stand_for(&lab, &checkout);
}

fn what_changes_nothing_starts_nothing(checkout: &Checkout, dev: &Dev) {
    let main = "internal/app/machined/main.go";
    checkout.write_machined("one");
    let file = std::fs::File::open(checkout.path(main)).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    let swap = "internal/app/machined/.main.go.swp";
    checkout.write(swap, "x");
    std::fs::remove_file(checkout.path(swap)).unwrap();
    checkout.write("docs/guide.md", "more\n");
    let said = dev.until("nothing to boot");
    assert!(said.contains("docs/guide.md is documentation"), "{said}");
    assert_eq!(checkout.builds(), 0);
}

fn an_edit_is_booted(lab: &Lab, checkout: &Checkout, dev: &Dev) {
    // As editors do: another file takes its place.
    let main = checkout.path("internal/app/machined/main.go");
    std::fs::write(main.with_extension("tmp"), program("two")).unwrap();
    std::fs::rename(main.with_extension("tmp"), &main).unwrap();
    let round = dev.round();
    assert_eq!(round["round"], 1, "{round}");
    assert_eq!(round["ok"], true, "{round}");
    let why = round["why"].as_str().unwrap();
    assert!(
        why.ends_with("machined/main.go is in machined: initramfs"),
        "{why}"
    );
    assert_eq!(round["built"], serde_json::json!(["initramfs"]));
    assert_eq!(round["nodes"][0]["name"], "talos-default-controlplane-1");
    assert_eq!(round["check_code"], 0);
    let parts = [
        "build_seconds",
        "boot_seconds",
        "ready_seconds",
        "check_seconds",
    ];
    assert!(parts.iter().all(|part| round[part].is_number()), "{round}");
    assert_eq!(checkout.builds(), 1);
    let sum = Command::new("sha256sum")
        .arg(checkout.path("_out/initramfs-amd64.xz"))
        .output();
    let sum = String::from_utf8(sum.unwrap().stdout).unwrap();
    assert!(
        sum.starts_with(round["initramfs_sha256"].as_str().unwrap()),
        "{round}"
    );
    assert_eq!(booted(lab), checkout.mark());
    let id = round["init_build_id"].as_str().unwrap();
    let runs = "talos-default-controlplane-1 runs the init of this build";
    let said = dev.until(runs);
    let end = id.rsplit('/').next().unwrap();
    assert!(said.contains(&format!("{runs} ({end})")), "{said}");
}

/// The digest of machined in the initramfs that the node has booted.
fn booted(lab: &Lab) -> String {
    let read = format!("{TALOSCTL} read /mark");
    lab.sh(&format!(
        "for i in $(seq 100); do {read} && exit; sleep 0.1; done 2>/dev/null"
    ))
}

fn a_failed_build_leaves_the_node_alone(checkout: &Checkout, dev: &Dev) {
    checkout.write(
        "internal/app/machined/main.go",
        "package main\n\nfunc main() {\n\tmissing()\n}\n",
    );
    let round = dev.round();
    assert_eq!(
        (&round["round"], &round["failed"]),
        (&2.into(), &"build".into()),
        "{round}"
    );
    let message = "internal/app/machined/main.go:4:2: undefined: missing";
    assert_eq!(round["messages"], serde_json::json!([message]));
    assert_eq!(round["failure"]["code"], 4);
    // The compiler's message comes before everything else about it.
    let said = dev.until("waiting for changes");
    let said = dev.until("error:") + &said;
    assert!(said.contains(message), "{said}");
}

fn another_branch_and_back_is_one_more_build(checkout: &Checkout, dev: &Dev) {
    checkout.close_gate();
    checkout.write_machined("three");
    checkout.await_gate();
    checkout.commit();
    checkout.git(&["switch", "--quiet", "other"]);
    checkout.git(&["switch", "--quiet", "main"]);
    checkout.open_gate();
    let round = dev.round();
    assert_eq!(
        (&round["round"], &round["ok"]),
        (&3.into(), &true.into()),
        "{round}"
    );
    let before = checkout.mark();
    // The build may have read the other branch.
    let round = dev.round();
    assert_eq!(
        (&round["round"], &round["ok"]),
        (&4.into(), &true.into()),
        "{round}"
    );
    assert_eq!(round["same_initramfs"], true, "{round}");
    assert_eq!(checkout.mark(), before);
    assert_eq!(checkout.builds(), 4);
}

fn edits_during_a_build_are_one_more_build(lab: &Lab, checkout: &Checkout, dev: &Dev) {
    checkout.close_gate();
    checkout.write("hack/motd", "welcome\n");
    checkout.await_gate();
    for number in 0..10 {
        checkout.write_machined(&format!("edit {number}"));
        checkout.write("hack/motd", &format!("welcome {number}\n"));
    }
    // In the end all is as the node has booted it.
    checkout.write_machined("three");
    checkout.write("hack/motd", "hello\n");
    checkout.open_gate();
    let round = dev.round();
    let why = round["why"].as_str().unwrap();
    assert_eq!(why, "hack/motd is copied by the stage initramfs: initramfs");
    assert_eq!(round["same_initramfs"], true, "{round}");
    let round = dev.round();
    assert_eq!(
        (&round["round"], &round["ok"]),
        (&6.into(), &true.into()),
        "{round}"
    );
    assert_eq!(round["same_initramfs"], true, "{round}");
    assert_eq!(checkout.builds(), 6);
    assert_eq!(booted(lab), checkout.mark());
}

fn talosctl_and_checks_boot_nothing(checkout: &Checkout, dev: &Dev) {
    checkout.write("_out/bad", "");
    checkout.write("cmd/talosctl/main.go", &program("new"));
    let round = dev.round();
    assert_eq!(round["round"], 7, "nothing came in between: {round}");
    assert_eq!(round["built"], serde_json::json!(["talosctl"]));
    assert_eq!(round["boot_seconds"], Value::Null);
    assert_eq!(
        (&round["check_code"], &round["ok"]),
        (&1.into(), &false.into())
    );
    assert_eq!(checkout.builds(), 6);
}

/// The kernel's queue has room for 16,384 events, and nothing reads them.
fn lost_events_lose_no_edit(lab: &Lab, checkout: &Checkout, dev: &Dev) {
    let signal = |signal: &str| lab.sh(&format!("pkill -{signal} -f '[x]task dev --json'"));
    signal("STOP");
    for _ in 0..10_000 {
        checkout.write("docs/guide.md", "x\n");
        checkout.write("hack/motd", "hello\n");
    }
    checkout.write("cmd/talosctl/main.go", &program("newer"));
    checkout.write("docs/guide.md", "more\n");
    signal("CONT");
    let round = dev.round();
    assert_eq!(round["round"], 8, "{round}");
    let why = round["why"].as_str().unwrap();
    assert_eq!(why, "cmd/talosctl/main.go is in talosctl: talosctl");
    assert_eq!(checkout.builds(), 6);
}

fn a_rebase_is_one_build_of_its_end(checkout: &Checkout, dev: &Dev) {
    std::fs::remove_file(checkout.path("_out/bad")).unwrap();
    checkout.commit();
    checkout.close_gate();
    let amend = "echo rebased >hack/motd; git commit --quiet --all --amend --no-edit";
    let exec = format!("echo half >hack/motd; : >_out/began; cat _out/gate; {amend}");
    std::thread::scope(|scope| {
        let rebase =
            scope.spawn(|| checkout.git(&["rebase", "--quiet", "--exec", &exec, "HEAD~1"]));
        checkout.await_gate();
        let said = dev.until("nothing is built before git is done");
        assert!(said.contains("rebase-merge"), "{said}");
        checkout.open_gate();
        rebase.join().unwrap();
    });
    let round = dev.round();
    assert_eq!(
        (&round["round"], &round["ok"]),
        (&9.into(), &true.into()),
        "{round}"
    );
    let why = round["why"].as_str().unwrap();
    assert_eq!(why, "hack/motd is copied by the stage initramfs: initramfs");
    assert_eq!(checkout.builds(), 7);
}

/// At a terminal, which is afterwards as it was before.
fn keys_start_what_they_stand_for(lab: &Lab, checkout: &Checkout) {
    let builds = checkout.builds();
    let script = format!(
        r#"mkfifo _out/keys
        exec 3<>_out/keys
        seen() {{ until [ "$(grep -c "$1" _out/screen)" -ge "$2" ]; do sleep 0.05; done; }}
        {{
            script -qec 'stty -a; NO_COLOR=1 {x} dev --manual; echo code $?; stty -a' /dev/null <_out/keys &
            seen 'q ends' 1
            printf l >&3; seen 'running and ready' 1
            sed -i 's/newer/newest/' cmd/talosctl/main.go
            sed -i 's/three/four/' internal/app/machined/main.go; seen 'b builds it' 1
            wc -l <_out/builds >_out/before
            printf b >&3; seen 'q ends' 2
            printf r >&3; seen 'q ends' 3
            printf q >&3; wait
        }} >_out/screen; cat _out/screen"#,
        x = lab.binary()
    );
    let seen = lab.sh(&script);
    assert!(seen.contains("code 0"), "{seen}");
    let modes: Vec<&str> = seen
        .lines()
        .filter(|line| line.contains("icanon"))
        .collect();
    let [before, after] = modes[..] else {
        panic!("{seen}");
    };
    assert_eq!(before, after);
    assert!(
        !before.contains("-icanon") && Path::new("/dev/null").exists(),
        "{seen}"
    );
    let before = std::fs::read_to_string(checkout.path("_out/before")).unwrap();
    assert_eq!(before.trim(), builds.to_string(), "built before b: {seen}");
    assert_eq!(checkout.builds(), builds + 1, "{seen}");
    for round in ["round 1 ok: ", "round 2 ok: "] {
        let line = seen.lines().find(|line| line.contains(round));
        assert!(line.is_some_and(|line| line.contains("→ ready ")), "{seen}");
    }
    assert_eq!(booted(lab), checkout.mark(), "{seen}");
}
