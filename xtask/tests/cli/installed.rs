//! `cargo install --path xtask` gives a program `xtask`: what it prints names it
//! so, because `cargo xtask` is not a command everywhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program, found through PATH in a folder that is not cargo's.
struct Installed {
    dir: PathBuf,
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Installed {
    fn new() -> Self {
        let name = format!("installed-{}/root/bin", std::process::id());
        let bin = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::hard_link(env!("CARGO_BIN_EXE_xtask"), bin.join("xtask")).unwrap();
        let dir = bin.ancestors().nth(2).unwrap().to_owned();
        Self { dir }
    }

    fn bin(&self) -> PathBuf {
        self.dir.join("root/bin")
    }

    fn run(&self, program: &Path, words: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(program)
            .args(words)
            .current_dir(&self.dir)
            .env_clear()
            .env("HOME", &self.dir)
            .env("PATH", format!("{}:{path}", self.bin().display()))
            .output()
            .unwrap()
    }
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(all).unwrap()
}

#[test]
fn what_is_installed_names_itself_as_it_was_started() {
    let installed = Installed::new();
    let by_path = installed.bin().join("xtask");
    for (program, name) in [
        (Path::new("xtask"), "xtask"),
        (by_path.as_path(), by_path.to_str().unwrap()),
    ] {
        for words in [
            &["--help"][..],
            &["cluster", "--help"],
            &["cluster", "up", "--no-such-option"],
            &["destroy"],
            // Hints of its own failures: outside of a checkout, and no run yet.
            &["embed", "/nowhere"],
            &["runs", "no-such-run"],
            &["test", "unit"],
        ] {
            let output = installed.run(program, words);
            let said = text(&output);
            assert!(!said.contains("cargo xtask"), "{words:?}: {said}");
            if words.contains(&"--help") {
                assert!(said.contains(&format!("Usage: {name} ")), "{said}");
            }
        }
    }
    let hint = text(&installed.run(Path::new("xtask"), &["runs", "no-such-run"]));
    assert!(hint.contains("hint: xtask runs"), "{hint}");
}
