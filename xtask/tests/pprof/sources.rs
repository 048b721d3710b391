//! `--list`: the lines that `go tool pprof -list` shows, from this host.

use pprof::Source;
use xshell::cmd;

use crate::common::git::repository;
use crate::common::{Home, said};
use crate::node::{corpus, profile};

#[test]
fn the_same_lines_as_go_tool_pprof() {
    let home = Home::new();
    let golden = std::fs::read_to_string(corpus("golden/160.txt")).unwrap();
    let (question, want) = golden.split_once('\n').unwrap();
    assert!(question.starts_with("-list=^main"), "{question}");
    let output = home
        .xtask(&["pprof", "open", "--list", r"^main\.|no.such.file"])
        .arg(corpus("cpu.pb.gz"))
        .current_dir(corpus(""))
        .output();
    let told = said(&output.unwrap());
    assert_eq!(told.stdout, want, "{}", told.stderr);
}

/// A checkout of Talos as far as we look at it.
fn checkout(home: &Home) -> String {
    let dir = home.path("talos");
    std::fs::create_dir_all(dir.join("load")).unwrap();
    std::fs::copy(corpus("load/main.go"), dir.join("load/main.go")).unwrap();
    home.write("talos/go.mod", "module github.com/siderolabs/talos\n");
    home.write("talos/pkg/machinery/gendata/data/tag", "v1.13.0\n");
    let git = repository(&dir);
    cmd!(git, "git tag v1.13.0").quiet().run().unwrap();
    dir.to_string()
}

#[test]
fn another_commit_than_the_nodes_run_is_told() {
    let home = Home::new();
    let talos = checkout(&home);
    let of = |build: &str| {
        let source = Source::new(profile("cpu.pb.gz")).label("talos", build);
        let labelled = pprof::merge(vec![source]).unwrap();
        let file = home.path("cpu.pb.gz");
        std::fs::write(&file, pprof::compress(&labelled).unwrap()).unwrap();
        let words = [
            "-C",
            &talos,
            "pprof",
            "open",
            file.as_str(),
            "--list",
            r"^main\.fib",
        ];
        said(&home.xtask(&words).current_dir(&talos).output().unwrap())
    };
    let same = of("v1.13.0");
    assert!(
        same.stdout.contains("func fib(n int) int {"),
        "{}",
        same.stderr
    );
    assert!(!same.stderr.contains("lines may be off"), "{}", same.stderr);
    let other = of("v1.13.0-7-gabc1234");
    assert!(
        other.stdout.contains("func fib(n int) int {"),
        "{}",
        other.stderr
    );
    assert!(
        other.stderr.contains("lines may be off"),
        "{}",
        other.stderr
    );
    assert!(
        other.stderr.contains("checkout abc1234"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_source_that_is_not_here_is_told_and_the_numbers_stay() {
    let home = Home::new();
    let output = home
        .xtask(&["pprof", "open", "--list", r"^main\.fib"])
        .arg(corpus("cpu.pb.gz"))
        .output();
    let told = said(&output.unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stdout.contains("Error: no source of `load/main.go`"),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains("49.18% of Total"), "{}", told.stdout);
    let folder = corpus("");
    let output = home
        .xtask(&["pprof", "open", "--list", r"^main\.fib", "--source_path"])
        .args([folder.as_str(), corpus("cpu.pb.gz").as_str()])
        .output();
    let told = said(&output.unwrap());
    assert!(
        told.stdout.contains("func fib(n int) int {"),
        "{}",
        told.stdout
    );
}
