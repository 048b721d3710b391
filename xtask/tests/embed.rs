//! `embed` into a fresh checkout with Talos' ignore rules: git shows nothing of
//! it, or all of it with `--shared`, cargo can read it, and no edit is lost.
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
use regex::Regex;
use tempfile::TempDir;
use xshell::{Shell, cmd};

/// Of Talos' .gitignore: what could hide something of ours.
const IGNORED: &str = ".env\nbin\n_out\n.vscode\ntalosconfig\n/kubeconfig\n[._]*.s[a-v][a-z]\n.artifacts/\ngo.work.sum\n*.lock\nnode_modules\n";

/// In memory where there is such a folder: a copy has more than a thousand files.
fn temporary() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

struct Checkout {
    dir: TempDir,
    git: Shell,
}

impl Checkout {
    /// Committed, with files of Talos' own that must stay as they are.
    fn fresh() -> Self {
        let dir = temporary();
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

    fn git_prints(&self, words: &[&str]) -> String {
        cmd!(self.git, "git {words...}").quiet().read().unwrap()
    }

    /// Makes what is there now a copy of another version, as its `embed` would
    /// have written it.
    fn record(&self) {
        let list = "find xtask Cargo.toml Cargo.lock .cargo/config.toml -type f \\
            -not -path 'xtask/target/*' -not -name .embedded.sha256 -print0 |
            xargs -0 sha256sum >list && mv list xtask/.embedded.sha256";
        cmd!(self.git, "sh -c {list}").quiet().run().unwrap();
    }

    /// What `embed --shared` prints first: it adds all that it copied and is not
    /// ignored.
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
    embed_with(dir, flags, &[])
}

fn embed_with(dir: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let home = temporary();
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("embed")
        .arg(dir)
        .args(flags)
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH", std::env::var("PATH").unwrap())
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn git_behaves_as_without_the_copy() {
    let checkout = Checkout::fresh();
    checkout.write(".git/info/exclude", "# mine\n*.swp");
    checkout.git_prints(&["tag", "v1.12.0"]);
    let other = temporary();
    let worktree = other.path().join("other");
    checkout.git_prints(&["worktree", "add", "-q", worktree.to_str().unwrap()]);
    let before = checkout.tree();
    let said = checkout.embed_well(&[]);
    assert!(said.contains("git does not show it"), "{said}");
    let sources = fs::read(checkout.path().join("xtask/src/main.rs")).unwrap();
    // The user's settings do not cause `-dirty` either.
    checkout.write(".cargo/xtask.toml", "");
    let looks_clean = |checkout: &Checkout| {
        for words in [
            &["status", "--porcelain"][..],
            &["clean", "-nd"],
            &["stash", "--include-untracked", "--quiet"],
            &["ls-files", "--others", "--exclude-standard"],
        ] {
            assert_eq!(checkout.git_prints(words), "", "{words:?}");
        }
        assert_eq!(checkout.git_prints(&["stash", "list"]), "");
        let described = checkout.git_prints(&["describe", "--tag", "--always", "--dirty"]);
        assert_eq!(described, "v1.12.0");
    };
    looks_clean(&checkout);
    assert_eq!(
        fs::read(checkout.path().join("xtask/src/main.rs")).unwrap(),
        sources
    );
    // A worktree has the same rules; a second time changes nothing in them.
    let rules = fs::read_to_string(checkout.path().join(".git/info/exclude")).unwrap();
    assert!(rules.starts_with("# mine\n*.swp\n"), "{rules}");
    let told = embed(&worktree, &[]);
    assert!(told.status.success(), "{told:?}");
    let status = Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(&worktree)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&status.stdout), "");
    let again = fs::read_to_string(checkout.path().join(".git/info/exclude")).unwrap();
    assert_eq!(again, rules);

    checkout.write("xtask/target/xtask/xtask", "built");
    let said = checkout.embed_well(&["--remove"]);
    assert!(said.starts_with("removed from"), "{said}");
    // The other worktree's copy stays hidden.
    let kept = fs::read_to_string(checkout.path().join(".git/info/exclude")).unwrap();
    assert_eq!(kept, rules);
    let told = embed(&worktree, &["--remove"]);
    assert!(told.status.success(), "{told:?}");
    let mut after = checkout.tree();
    for kept in [".cargo", ".cargo/xtask.toml"] {
        assert!(after.remove(kept).is_some(), "{kept}");
    }
    assert_eq!(after, before);
    let rules = fs::read_to_string(checkout.path().join(".git/info/exclude")).unwrap();
    assert_eq!(rules, "# mine\n*.swp\n");
    let refused = checkout.embed(&["--remove"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn a_shared_copy_is_whole_in_git_and_cargo_reads_it() {
    let checkout = Checkout::fresh();
    let before = checkout.tree();
    // A private copy becomes a shared one.
    checkout.embed_well(&[]);
    let said = checkout.embed_well(&["--shared"]);
    // Exactly one file is hidden, and the output says how to add it.
    let force = said.lines().find(|line| line.contains("--force")).unwrap();
    assert!(force.contains("add --force Cargo.lock   # "), "{said}");
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
fn the_copy_is_whole() {
    let checkout = Checkout::fresh();
    checkout.embed_well(&[]);
    programs_stay_programs_and_the_licence_goes_along(&checkout);
    go_files_begin_with_the_licence_as_talos_wants_it(&checkout);
    the_copy_has_what_its_sources_and_tests_read(&checkout);
}

fn programs_stay_programs_and_the_licence_goes_along(checkout: &Checkout) {
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
    checkout.record();
    let differs = checkout.embed(&["--check"]);
    assert_eq!(differs.status.code(), Some(1), "{differs:?}");
    let said = String::from_utf8_lossy(&differs.stdout);
    for name in [
        "src/gone_upstream.rs",
        "src/lib.rs",
        "not as in this version",
    ] {
        assert!(said.contains(name), "{said}");
    }
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
fn edits_are_not_lost_whether_git_tracks_them_or_not() {
    for is_committed in [false, true] {
        let checkout = Checkout::fresh();
        checkout.embed_well(if is_committed { &["--shared"] } else { &[] });
        let same = checkout.embed(&["--check"]);
        assert_eq!(same.status.code(), Some(0), "{same:?}");
        checkout.write("xtask/src/lib.rs", "work in progress");
        checkout.write("xtask/src/mine.rs", "");
        let manifest = fs::read_to_string(checkout.path().join("Cargo.toml")).unwrap();
        checkout.write("Cargo.toml", &format!("{manifest}# more\n"));
        if is_committed {
            checkout.add();
            git::commit(&checkout.git);
        }
        let before = checkout.tree();
        for flags in [&[][..], &["--remove"], &["--check"]] {
            let refused = checkout.embed(flags);
            let code = if flags == ["--check"] { 1 } else { 3 };
            assert_eq!(refused.status.code(), Some(code), "{refused:?}");
            let said = errors(&refused) + &String::from_utf8_lossy(&refused.stdout);
            for name in ["`xtask/src/lib.rs`", "`xtask/src/mine.rs`", "`Cargo.toml`"] {
                assert!(said.contains(name), "{said}");
            }
            assert!(!said.contains("main.rs"), "{said}");
            assert_eq!(checkout.tree(), before);
        }
        checkout.embed_well(&["--force"]);
        assert!(!checkout.path().join("xtask/src/mine.rs").exists());
        let same = checkout.embed(&["--check"]);
        assert_eq!(same.status.code(), Some(0), "{same:?}");
        // What is committed stays visible to git.
        assert_eq!(
            !checkout
                .git_prints(&["ls-files", "xtask/src/lib.rs"])
                .is_empty(),
            is_committed
        );
        let rules = fs::read_to_string(checkout.path().join(".git/info/exclude"));
        assert_eq!(rules.unwrap_or_default().contains("xtask"), !is_committed);
    }
}

#[test]
fn without_git_edits_are_known_too() {
    let checkout = Checkout::fresh();
    fs::remove_dir_all(checkout.path().join(".git")).unwrap();
    checkout.embed_well(&[]);
    // As after a run that was killed before it wrote the list.
    fs::remove_file(checkout.path().join("xtask/.embedded.sha256")).unwrap();
    checkout.embed_well(&[]);
    checkout.write("xtask/src/lib.rs", "work in progress");
    let before = checkout.tree();
    let refused = checkout.embed(&[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert_eq!(checkout.tree(), before);
    checkout.embed_well(&["--remove", "--force"]);
    assert!(!checkout.path().join("xtask").exists());
}

/// The files of an embedded copy whose names end with `suffix`.
fn embedded(checkout: &Checkout, suffix: &str) -> Vec<(String, String)> {
    let tree = checkout.tree().into_iter();
    tree.filter(|(path, _)| path.starts_with("xtask/") && path.ends_with(suffix))
        .map(|(path, (_, text))| (path, String::from_utf8(text).unwrap()))
        .collect()
}

/// What Talos' .conform.yaml demands: this prefix of every `.go` file but generated ones.
fn go_files_begin_with_the_licence_as_talos_wants_it(checkout: &Checkout) {
    let header = "// This Source Code Form is subject to the terms of the Mozilla Public\n\
        // License, v. 2.0. If a copy of the MPL was not distributed with this\n\
        // file, You can obtain one at http://mozilla.org/MPL/2.0/.\n";
    let files = embedded(checkout, ".go");
    assert!(files.len() > 80, "{}", files.len());
    for (path, text) in files {
        assert!(text.starts_with(header), "{path} has no licence header");
    }
}

/// `cargo check --tests` in the copy would take minutes: each file that the
/// sources name at compile time, or by their own folder, is in it.
fn the_copy_has_what_its_sources_and_tests_read(checkout: &Checkout) {
    let included = Regex::new(r#"include_(?:str|bytes)!\(\s*"([^"]+)"\s*\)"#).unwrap();
    let built = Regex::new(r#"include_(?:str|bytes)!\(\s*concat!\(\s*"([^"]+)/""#).unwrap();
    let own = Regex::new(
        r#"CARGO_MANIFEST_DIR"\)\s*,\s*"/?([^"{]+)"|CARGO_MANIFEST_DIR"\)\)\s*\.join\("([^"]+)"\)"#,
    )
    .unwrap();
    let (mut checked, mut missing) = (0, Vec::new());
    for (path, text) in embedded(checkout, ".rs") {
        let path = Path::new(&path);
        let package = path
            .ancestors()
            .find(|dir| checkout.path().join(dir).join("Cargo.toml").is_file());
        let own = own
            .captures_iter(&text)
            .map(|found| (package.unwrap(), found));
        let beside = [&included, &built]
            .into_iter()
            .flat_map(|pattern| pattern.captures_iter(&text))
            .map(|found| (path.parent().unwrap(), found));
        for (dir, found) in own.chain(beside) {
            let name = found.get(1).or(found.get(2)).unwrap().as_str();
            // The test of this file, and what only a clone has.
            if [path.ends_with("tests/embed.rs"), name == ".."].contains(&true) {
                continue;
            }
            checked += 1;
            if !checkout.path().join(dir).join(name).exists() {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(checked > 60, "only {checked} paths were found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn printed_commands_can_be_typed_whatever_the_folder_is_called() {
    let above = temporary();
    let dir = above.path().join("my talos; touch PWN #");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("go.mod"), "module github.com/siderolabs/talos\n").unwrap();
    let git = git::repository(&dir);
    let told = embed(&dir, &["--shared"]);
    assert!(told.status.success(), "{told:?}");
    let told = String::from_utf8(told.stdout).unwrap();
    let lines: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_once("next: "))
        .map(|it| it.1)
        .collect();
    let cd = lines.iter().find(|line| line.starts_with("cd ")).unwrap();
    let cd = cd.replace("cargo xtask doctor", "pwd");
    for line in lines.iter().filter(|line| line.starts_with("git ")) {
        cmd!(git, "sh -c {line}").quiet().run().unwrap();
    }
    let at = cmd!(git, "sh -c {cd}").quiet().read().unwrap();
    assert!(at.contains("my talos; touch PWN #"), "{at}");
    let added = cmd!(git, "git ls-files --cached").quiet().read().unwrap();
    assert!(added.contains("xtask/src/main.rs") && !dir.join("PWN").exists());
}

/// Checkouts that share a target folder share the binary, too.
#[test]
fn the_sources_are_those_that_cargo_was_started_in() {
    let (one, other) = (Checkout::fresh(), Checkout::fresh());
    one.embed_well(&[]);
    one.write("xtask/src/only_here.rs", "");
    let manifest = one.path().join("xtask");
    let by_cargo = |name| {
        [
            ("CARGO_PKG_NAME", name),
            ("CARGO_MANIFEST_DIR", manifest.to_str().unwrap()),
        ]
    };
    let told = embed_with(other.path(), &[], &by_cargo("another"));
    assert!(told.status.success(), "{told:?}");
    assert!(!other.path().join("xtask/src/only_here.rs").exists());
    let told = embed_with(other.path(), &[], &by_cargo("xtask"));
    assert!(told.status.success(), "{told:?}");
    assert!(other.path().join("xtask/src/only_here.rs").exists());
    // Whole, though git hides all of it there.
    assert!(other.path().join("xtask/README.md").exists());
    // A copy compares itself with what was written.
    let told = embed_with(one.path(), &["--check"], &by_cargo("xtask"));
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("only_here.rs"));
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
    // Digests stand for contents.
    let json = one.embed_well(&["--force", "--format", "json"]);
    assert!(json.len() < 8000 && json.contains("sha256"), "{json}");
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
    let script = one.embed_well(&["--remove", "--format", "sh"]);
    let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    for gone in ["xtask", ".cargo", "Cargo.toml", "Cargo.lock"] {
        assert!(!one.path().join(gone).exists(), "{gone}");
    }
}

#[test]
fn only_a_talos_checkout_is_embedded_into() {
    let dir = temporary();
    fs::write(dir.path().join("go.mod"), "module example.com/other\n").unwrap();
    let refused = embed(dir.path(), &["--force"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(errors(&refused).contains("not a Talos checkout"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let refused = embed(Path::new(own), &["--force"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
