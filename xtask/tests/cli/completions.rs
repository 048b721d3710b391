//! Tab in real shells, on a terminal: what is typed with it runs as completed.
#![allow(
    clippy::disallowed_methods,
    reason = "tests make their own small worlds"
)]

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::common::{Home, run, run_with, skip, within};

const SOON: Duration = Duration::from_mins(1);
const PROMPT: &str = "READY>";
/// An id of a run.
const RUN: &str = "01999999999-build-kernel";

/// A home with two checkouts that have a binary, only the first of which was run, and a `cargo`
/// that writes down what it is called with.
struct World {
    home: Home,
    binary: Utf8PathBuf,
}

impl World {
    fn new() -> Self {
        let home = Home::new();
        for folder in ["work", "other"] {
            home.write(&format!("{folder}/xtask/Cargo.toml"), "");
        }
        let binary = home.path("work/xtask/target/xtask/xtask");
        std::fs::create_dir_all(binary.parent().unwrap()).unwrap();
        let built = env!("CARGO_BIN_EXE_xtask");
        std::fs::hard_link(built, &binary)
            .or_else(|_| std::fs::copy(built, &binary).map(drop))
            .unwrap();
        home.program(
            "other/xtask/target/xtask/xtask",
            b"#!/bin/sh\ntouch ~/PWN\necho cluster\n",
        );
        home.program("bin/cargo", b"#!/bin/sh\nprintf '%s\\n' \"$*\" >>~/ran\n");
        let installed = format!(
            "#!/bin/sh\nif [ \"$1\" = internal ]; then exec {binary} \"$@\"; fi\nprintf 'installed %s\\n' \"$*\" >>~/ran\n"
        );
        home.program("bin/xtask", installed.as_bytes());
        home.write(".talos/clusters/mine/state.yaml", "");
        let record = format!(".local/state/talos-xtask/runs/{RUN}/run.json");
        home.write(
            &record,
            r#"{"id":"x","command":["xtask","build","kernel"],"started":1}"#,
        );
        home.write("work/talos/go.mod", "module github.com/siderolabs/talos\n");
        home.write("work/talos/pkg/machinery/gendata/data/tag", "v1.12.0");
        home.write(
            "work/talos/Makefile",
            "initramfs: ## The initramfs\n\techo\n",
        );
        home.write("work/talos/Dockerfile", "");
        Self { home, binary }
    }

    /// The tool as cargo starts it.
    fn tool(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(words)
            .env("HOME", &self.home.root)
            .env("CARGO_PKG_NAME", "xtask")
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("ZDOTDIR")
            .current_dir(self.home.path("work"));
        command
    }

    fn install(&self, shell: &str) {
        let said = run(&mut self.tool(&["completions", "--install", shell]));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert!(said.stdout.contains("added one line to"), "{}", said.stdout);
        let again = run(&mut self.tool(&["completions", "--install", shell]));
        assert!(again.stdout.contains("unchanged"), "{}", again.stdout);
    }

    /// Types each line into an interactive shell; returns what the programs were called with.
    fn typed(&self, line: &str, keys: &[&str]) -> Vec<String> {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", line, "/dev/null"])
            .env_clear()
            .envs([
                ("HOME", self.home.root.as_str()),
                ("PATH", &format!("{}:/usr/bin:/bin", self.home.path("bin"))),
                ("SHELL", "/bin/sh"),
                ("TERM", "xterm-256color"),
                ("LANG", "C.UTF-8"),
            ])
            .current_dir(self.home.path("work"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let drawn = Arc::new(Mutex::new(Vec::new()));
        let (mut out, into) = (child.stdout.take().unwrap(), Arc::clone(&drawn));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        let text = || String::from_utf8_lossy(&drawn.lock().unwrap()).into_owned();
        let prompts = || text().matches(PROMPT).count();
        assert!(within(SOON, || prompts() > 0), "no prompt: {:?}", text());
        let mut keyboard = child.stdin.take().unwrap();
        for (at, keys) in keys.iter().enumerate() {
            let line = format!("{keys}; echo done-{at} >>~/ran\r");
            keyboard.write_all(line.as_bytes()).unwrap();
            let end = format!("done-{at}\n");
            let ran = || std::fs::read_to_string(self.home.path("ran")).unwrap_or_default();
            assert!(
                within(SOON, || ran().contains(&end)),
                "{keys}: {:?}",
                text()
            );
        }
        keyboard.write_all(b"exit\r").unwrap();
        assert!(
            within(SOON, || child.try_wait().unwrap().is_some()),
            "{:?}",
            text()
        );
        reader.join().unwrap();
        let ran = self.home.read("ran");
        std::fs::remove_file(self.home.path("ran")).unwrap();
        let lines = ran.lines().filter(|line| !line.starts_with("done-"));
        lines.map(|line| line.trim_end().to_owned()).collect()
    }
}

/// The folder of the toolchain, whose completions are cargo's own.
fn sysroot() -> String {
    run(Command::new("rustc").args(["--print", "sysroot"]))
        .stdout
        .trim()
        .to_owned()
}

fn is_there(test: &str, shell: &str) -> bool {
    let is_there = ["script", shell]
        .iter()
        .all(|name| foundation::ctx::host::Host::which(name).is_some());
    if !is_there {
        skip(test, &format!("{shell} or `script` is missing"));
    }
    is_there
}

/// What is typed, and what runs. The other checkout was never run by the user.
const CASES: &[(&str, &str)] = &[
    ("cargo xtask clu\treb\t--al\t", "xtask cluster reboot --all"),
    (
        "cargo +stable xtask -C talos build initr\t",
        "+stable xtask -C talos build initramfs",
    ),
    (
        "cargo xtask runs show 0\t",
        "xtask runs show 01999999999-build-kernel",
    ),
    (
        "cargo xtask cluster status --name mi\t",
        "xtask cluster status --name mine",
    ),
    (
        "cargo xtask cluster status --name=mi\t",
        "xtask cluster status --name=mine",
    ),
    ("cargo build --rel\t", "build --release"),
    ("xtask clu\tsta\t", "installed cluster sta"),
    ("cd talos/pkg", ""),
    ("cargo xtask clu\texp\t", "xtask cluster explain"),
    ("cd ~/third", ""),
    ("cargo xtask fro\t", "xtask frobnicate"),
    ("cd ~/other", ""),
    ("cargo xtask cluste\t", "xtask cluste"),
    ("cd", ""),
    ("cargo xtask clust\t", "xtask clust"),
];

fn check(world: &World, line: &str) {
    // A third checkout, of another version, was run as well.
    let home = &world.home;
    home.write("third/xtask/Cargo.toml", "");
    let answers = b"#!/bin/sh\nprintf 'frobnicate\\t\\n'\n";
    let third = home.program("third/xtask/target/xtask/xtask", answers);
    let list = ".local/state/talos-xtask/completing-binaries";
    home.write(list, &format!("{}{third}\n", home.read(list)));
    let keys: Vec<&str> = CASES.iter().map(|(keys, _)| *keys).collect();
    let ran = world.typed(line, &keys);
    for (keys, wanted) in CASES.iter().filter(|(_, wanted)| !wanted.is_empty()) {
        assert!(ran.iter().any(|it| it == wanted), "{keys:?}: {ran:#?}");
    }
    assert!(
        !world.home.path("PWN").exists(),
        "a binary that was never run is not asked"
    );
    // One that others can write to is not asked, either.
    let chmod = |mode| {
        run(Command::new("chmod")
            .arg(mode)
            .arg(world.binary.parent().unwrap()))
    };
    chmod("o+w");
    let ran = world.typed(line, &["cargo xtask clu\t"]);
    assert!(ran.contains(&"xtask clu".to_owned()), "{ran:#?}");
    chmod("o-w");
}

#[test]
fn bash_completes_cargo_xtask_and_cargo() {
    if !is_there("bash_completes", "bash") {
        return;
    }
    let world = World::new();
    let own = format!(". {}/etc/bash_completion.d/cargo\n", sysroot());
    world
        .home
        .write(".local/share/bash-completion/completions/cargo", &own);
    let rc = format!("PS1='{PROMPT} '\n. /usr/share/bash-completion/bash_completion\n");
    world.home.write(".bashrc", &rc);
    world.install("bash");
    assert!(world.home.read(".bashrc").starts_with(&rc));
    check(&world, "bash -i");
}

#[test]
fn zsh_completes_cargo_xtask_and_cargo() {
    if !is_there("zsh_completes", "zsh") {
        return;
    }
    let world = World::new();
    let rc = format!(
        "PROMPT='{PROMPT} '\nfpath+=({}/share/zsh/site-functions)\nautoload -Uz compinit && compinit -u\n",
        sysroot()
    );
    world.home.write(".zshrc", &rc);
    world.install("zsh");
    check(&world, "zsh -i");
}

#[test]
fn fish_completes_cargo_xtask_and_cargo() {
    if !is_there("fish_completes", "fish") {
        return;
    }
    let world = World::new();
    world.home.write(
        ".config/fish/completions/cargo.fish",
        "complete -c cargo -n __fish_use_subcommand -a build\n\
        complete -c cargo -n '__fish_seen_subcommand_from build' -l release\n",
    );
    world.home.write(
        ".config/fish/config.fish",
        &format!(
            "function fish_prompt; echo '{PROMPT} '; end\nset -g fish_autosuggestion_enabled 0\n"
        ),
    );
    world.install("fish");
    check(&world, "fish -i");
}

#[test]
fn what_was_installed_is_removed_and_nothing_else() {
    let world = World::new();
    let text = "alias ll='ls -l'\n# the end";
    world.home.write("dotfiles/bashrc", text);
    std::os::unix::fs::symlink("dotfiles/bashrc", world.home.path(".bashrc")).unwrap();
    let dry = run(&mut world.tool(&["completions", "--install", "bash", "-n"]));
    assert!(
        dry.stdout.starts_with("would add one line to"),
        "{}",
        dry.stdout
    );
    assert_eq!(world.home.read(".bashrc"), text);
    let mut by_shell = world.tool(&["completions", "--install"]);
    let said = run(by_shell.env("SHELL", "/usr/bin/bash"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(world.home.path(".bashrc").is_symlink(), "a link stays one");
    assert!(world.home.read("dotfiles/bashrc").starts_with(text));
    let said = run(&mut world.tool(&["completions", "--uninstall", "bash"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(world.home.read("dotfiles/bashrc").trim_end(), text);
    assert!(
        !world
            .home
            .path(".local/share/talos-xtask/completions.bash")
            .exists()
    );
    let unknown = run(world
        .tool(&["completions", "--install"])
        .env("SHELL", "/bin/tcsh"));
    assert_eq!(unknown.code, Some(2), "{}", unknown.stdout);
}

/// Without cargo, nothing is added to the list of binaries that Tab may ask; with it, only where
/// completions are installed.
#[test]
fn a_checkout_is_known_once_it_was_run() {
    let world = World::new();
    let list = world.home.state().join("completing-binaries");
    run(&mut world.tool(&["runs"]));
    assert!(!list.exists());
    run(&mut world.tool(&["completions", "bash"]));
    assert_eq!(
        std::fs::read_to_string(&list).unwrap(),
        format!("{}\n", world.binary)
    );
    let second = world.home.path("second/xtask/xtask");
    std::fs::create_dir_all(second.parent().unwrap()).unwrap();
    std::fs::hard_link(&world.binary, &second).unwrap();
    let mut by_hand = Command::new(&second);
    run(by_hand
        .arg("runs")
        .env("HOME", &world.home.root)
        .env_remove("CARGO_PKG_NAME"));
    assert!(!std::fs::read_to_string(&list).unwrap().contains("second"));
    let mut by_cargo = Command::new(&second);
    run(by_cargo
        .arg("runs")
        .env("HOME", &world.home.root)
        .env("CARGO_PKG_NAME", "xtask"));
    assert!(std::fs::read_to_string(&list).unwrap().contains("second"));
}

/// What is offered for a line up to the cursor.
fn offered(world: &World, line: &str) -> Vec<String> {
    let said = run(&mut world.tool(&["internal", "complete", "--line", line]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let values = said
        .stdout
        .lines()
        .map(|line| line.split('\t').next().unwrap());
    values.map(str::to_owned).collect()
}

#[test]
fn values_are_those_of_this_moment() {
    let world = World::new();
    let suite = "package api\n\ntype VersionSuite struct{}\n\nfunc (s *VersionSuite) SuiteName() string {\n\treturn \"api.VersionSuite\"\n}\n\nfunc (s *VersionSuite) TestExpected() {}\n\nfunc init() {\n\tallSuites = append(allSuites, new(VersionSuite))\n}\n";
    world.home.write(
        "work/talos/internal/pkg/dns/dns_test.go",
        "package dns\n\nfunc TestServe(t *testing.T) {}\n",
    );
    world
        .home
        .write("work/talos/internal/integration/api/version.go", suite);
    let has = |line: &str, value: &str| {
        let line = format!("cargo xtask -C talos {line}");
        let offered = offered(&world, &line);
        assert!(offered.iter().any(|it| it == value), "{line}: {offered:?}");
    };
    has("build ", "initramfs");
    has("test unit ./internal/pkg/", "./internal/pkg/dns/");
    has("test unit ./int", "./internal/");
    has("cluster destroy --name ", "mine");
    has("runs export l", "latest");
    has("runs export --as ", "trace");
    has("pprof machined h", "heap");
    has("completions ", "fish");
    has("--color ", "never");
    has("cluster up --a", "--airgap");
    let tests = world
        .tool(&[
            "internal",
            "complete",
            "--line",
            "xtask test unit --run Test",
        ])
        .current_dir(world.home.path("work/talos/internal/pkg/dns"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&tests.stdout), "TestServe\t\n");
    // Hidden commands are not offered.
    assert!(!offered(&world, "xtask ").contains(&"internal".to_owned()));
    // Nothing breaks on what is not complete.
    for line in [
        "",
        "xtask",
        "cargo xtask 'a",
        "cargo xtask --name= ",
        "cargo xtask -C /nowhere build ",
    ] {
        offered(&world, line);
    }
}

#[test]
fn scripts_are_accepted_by_their_shells() {
    let script = |shell: &str| {
        let home = Home::new();
        let said = run(&mut home.xtask(&["completions", shell]));
        assert_eq!(said.code, Some(0), "{shell}: {}", said.stderr);
        said.stdout
    };
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        // bash is everywhere; the others are checked where they are.
        if shell == "bash" || foundation::ctx::host::Host::which(shell).is_some() {
            let checked = run_with(Command::new(shell).arg(check), script(shell).as_bytes());
            assert_eq!(
                (checked.code, checked.stderr.as_str()),
                (Some(0), ""),
                "{shell}"
            );
        }
    }
    for shell in ["elvish", "powershell"] {
        assert!(script(shell).contains("reboot"), "{shell}");
    }
    let home = Home::new();
    assert_eq!(run(&mut home.xtask(&["completions", "tcsh"])).code, Some(2));
}

#[test]
fn manual_pages_are_of_every_command() {
    let home = Home::new();
    let said = run(&mut home.xtask(&["completions", "man", "--out", "man"]));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let page = home.read("man/cargo-xtask-cluster-up.1");
    assert!(
        page.contains(".TH cargo-xtask-cluster-up 1") && page.contains("controlplanes"),
        "{page}"
    );
    let first = run(&mut home.xtask(&["completions", "man"])).stdout;
    assert_eq!(first, home.read("man/cargo-xtask.1"));
    assert!(home.path("man").read_dir_utf8().unwrap().count() > 70);
    assert!(!home.path("man/cargo-xtask-internal.1").exists());
}
