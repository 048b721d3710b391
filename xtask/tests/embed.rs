//! `embed` into a fresh checkout with Talos' ignore rules: what git then shows
//! is ours and whole, and cargo can read it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make checkouts and drive the real binary"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use common::git;
use tempfile::TempDir;
use xshell::{Shell, cmd};

/// Of Talos' .gitignore: what could hide something of ours.
const IGNORED: &str = ".env\nbin\n_out\n.vscode\ntalosconfig\n/kubeconfig\n[._]*.s[a-v][a-z]\n.artifacts/\ngo.work.sum\n*.lock\nnode_modules\n";

struct Checkout {
    dir: TempDir,
    git: Shell,
}

impl Checkout {
    /// Committed, with files of Talos' own that must stay as they are.
    fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("go.mod", "module github.com/siderolabs/talos\n\ngo 1.25\n"),
            (".gitignore", IGNORED),
            ("README.md", "Talos\n"),
            ("LICENSE", "Talos' own\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let git = git::repository(dir.path());
        Self { dir, git }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What `embed` prints first: it adds all that it copied and is not ignored.
    fn add(&self) {
        let add = cmd!(self.git, "git add Cargo.toml .cargo/config.toml xtask");
        add.quiet().run().unwrap();
    }

    fn add_lock_file(&self) {
        let add = cmd!(self.git, "git add --force Cargo.lock");
        add.quiet().run().unwrap();
    }

    fn embed(&self, flags: &[&str]) -> Output {
        embed(self.path(), flags)
    }

    fn embed_well(&self, flags: &[&str]) -> String {
        let output = self.embed(flags);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every path, with its contents and mode; git's own folder left out.
    fn tree(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut tree = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let name = path.strip_prefix(self.path()).unwrap();
                if name == Path::new(".git") {
                    continue;
                }
                let contents = if meta.is_dir() {
                    folders.push(path.clone());
                    Vec::new()
                } else {
                    fs::read(&path).unwrap()
                };
                let mode = meta.permissions().mode() & 0o7777;
                tree.insert(name.to_str().unwrap().to_owned(), (mode, contents));
            }
        }
        tree
    }
}

fn embed(dir: &Path, flags: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("embed")
        .arg(dir)
        .args(flags)
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH", std::env::var("PATH").unwrap())
        .output()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn git_shows_only_ours_and_cargo_reads_it() {
    let checkout = Checkout::fresh();
    let before = checkout.tree();
    let said = checkout.embed_well(&[]);
    // Exactly one file is hidden, and the output says how to add it.
    let force = said.lines().find(|line| line.contains("--force")).unwrap();
    assert!(force.contains("add --force Cargo.lock "), "{said}");
    checkout.add();
    checkout.add_lock_file();
    let status = cmd!(checkout.git, "git status --porcelain --ignored");
    let status = status.read().unwrap();
    for line in status.lines() {
        let path = line.strip_prefix("A  ").unwrap_or_else(|| panic!("{line}"));
        let ours = path.starts_with("xtask/")
            || ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"].contains(&path);
        assert!(ours, "{line}");
        let words: Vec<&str> = path.split('/').collect();
        assert!(
            !words.contains(&"bin") && !words.contains(&"target"),
            "{line}"
        );
    }
    let after = checkout.tree();
    for (path, was) in &before {
        assert_eq!(after.get(path), Some(was), "{path} is Talos'");
    }

    // What cargo builds stays out of sight.
    checkout.write("xtask/target/xtask/xtask", "built");
    let again = cmd!(checkout.git, "git status --porcelain");
    assert_eq!(again.read().unwrap(), status);
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(checkout.path())
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", errors(&metadata));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let target = checkout.path().canonicalize().unwrap().join("xtask/target");
    assert_eq!(metadata["target_directory"], target.to_str().unwrap());
}

#[test]
fn programs_stay_programs_and_the_licence_goes_along() {
    let checkout = Checkout::fresh();
    checkout.embed_well(&[]);
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/lab/init/init");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(
        mode(&checkout.path().join("xtask/lab/init/init")),
        mode(Path::new(own))
    );
    let licence = fs::read_to_string(checkout.path().join("xtask/LICENSE")).unwrap();
    assert!(licence.starts_with("Mozilla Public License Version 2.0"));
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/../LICENSE");
    assert_eq!(licence, fs::read_to_string(top).unwrap());
}

#[test]
fn embedding_again_replaces_ours_and_keeps_what_is_the_users() {
    let checkout = Checkout::fresh();
    checkout.embed_well(&[]);
    let first = checkout.tree();
    // Gone upstream, older upstream, built here, set here.
    checkout.write("xtask/src/gone_upstream.rs", "");
    checkout.write("xtask/src/lib.rs", "older");
    checkout.add();
    checkout.add_lock_file();
    git::commit(&checkout.git);
    checkout.write("xtask/target/xtask/xtask", "built");
    checkout.write(".cargo/xtask.toml", "[cluster]\nworkers = 0\n");
    checkout.write(".xtask-tmp-killed/new/half", "");
    checkout.embed_well(&[]);
    let mut second = checkout.tree();
    for kept in [
        "xtask/target",
        "xtask/target/xtask",
        "xtask/target/xtask/xtask",
        ".cargo/xtask.toml",
    ] {
        assert!(second.remove(kept).is_some(), "{kept}");
    }
    assert_eq!(second, first);
}

#[test]
fn what_is_not_ours_is_named_and_nothing_is_changed() {
    let checkout = Checkout::fresh();
    checkout.write("Cargo.toml", "[workspace]\nmembers = [\"other\"]\n");
    checkout.write("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n");
    checkout.write(".cargo/config.toml", "[build]\njobs = 1\n");
    let before = checkout.tree();
    let refused = checkout.embed(&[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    for name in ["`Cargo.toml`", "`xtask`", "`.cargo/config.toml`", "--force"] {
        assert!(errors(&refused).contains(name), "{}", errors(&refused));
    }
    assert_eq!(checkout.tree(), before);
    checkout.embed_well(&["--force"]);
    assert!(checkout.path().join("xtask/src/main.rs").is_file());
}

#[test]
fn changes_that_no_commit_has_are_not_lost() {
    let checkout = Checkout::fresh();
    checkout.embed_well(&[]);
    checkout.add();
    git::commit(&checkout.git);
    checkout.write("xtask/src/lib.rs", "work in progress");
    checkout.write("xtask/src/mine.rs", "");
    let refused = checkout.embed(&[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = errors(&refused);
    assert!(
        said.contains("src/lib.rs") && said.contains("src/mine.rs"),
        "{said}"
    );
    checkout.embed_well(&["--force"]);
    assert!(!checkout.path().join("xtask/src/mine.rs").exists());
}

#[test]
fn without_an_answer_of_git_a_copy_is_not_replaced() {
    let checkout = Checkout::fresh();
    checkout.embed_well(&[]);
    checkout.write("xtask/src/lib.rs", "work in progress");
    fs::remove_dir_all(checkout.path().join(".git")).unwrap();
    let before = checkout.tree();
    let refused = checkout.embed(&[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(
        errors(&refused).contains("cannot tell whether"),
        "{}",
        errors(&refused)
    );
    assert_eq!(checkout.tree(), before);
}

#[test]
fn nothing_is_written_through_a_link_that_leads_out_of_the_checkout() {
    for name in [".cargo", "xtask"] {
        let (checkout, outside) = (Checkout::fresh(), Checkout::fresh());
        outside.write("config.toml", "[build]\njobs = 1\n");
        std::os::unix::fs::symlink(outside.path(), checkout.path().join(name)).unwrap();
        let before = outside.tree();
        for flags in [&[][..], &["--force"]] {
            let refused = checkout.embed(flags);
            assert_eq!(refused.status.code(), Some(3), "{refused:?}");
            assert!(errors(&refused).contains("leads out of the checkout"));
        }
        assert_eq!(outside.tree(), before);
        assert!(checkout.path().join(name).is_symlink());
    }
}

#[test]
fn a_dry_run_changes_nothing_and_its_script_does_the_same() {
    let (one, other) = (Checkout::fresh(), Checkout::fresh());
    for checkout in [&one, &other] {
        checkout.write("xtask/target/built", "");
    }
    let before = one.tree();
    let script = one.embed_well(&["--force", "--format", "sh"]);
    one.embed_well(&["--force", "--dry-run"]);
    assert_eq!(one.tree(), before);
    let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    other.embed_well(&["--force"]);
    // The script takes new files' modes from the umask.
    let contents = |checkout: &Checkout| -> BTreeMap<String, Vec<u8>> {
        let tree = checkout.tree();
        tree.into_iter()
            .map(|(path, (_, text))| (path, text))
            .collect()
    };
    let (by_script, by_run) = (contents(&one), contents(&other));
    let paths: BTreeSet<&String> = by_script.keys().chain(by_run.keys()).collect();
    for path in paths {
        assert!(by_script.get(path) == by_run.get(path), "{path} differs");
    }
}

#[test]
fn only_a_talos_checkout_is_embedded_into() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("go.mod"), "module example.com/other\n").unwrap();
    let refused = embed(dir.path(), &["--force"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(errors(&refused).contains("not a Talos checkout"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let refused = embed(Path::new(own), &["--force"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
