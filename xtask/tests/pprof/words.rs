//! What users of `go tool pprof` type first works, or is answered with the word to type.

use crate::common::{Home, run};
use crate::node::corpus;

/// Words after `pprof`, the exit code, and a part of what is printed.
const TYPED: &[(&str, i32, &str)] = &[
    ("open -top HEAP", 0, "flat%"),
    ("-top HEAP", 0, "flat%"),
    ("HEAP", 0, "flat"),
    ("-alloc_space -top HEAP", 0, "Type: alloc_space"),
    ("open --inuse_objects --top HEAP", 0, "Type: inuse_objects"),
    ("open -mean_delay -top MUTEX", 0, "Type: mean_delay"),
    ("open -peek=main HEAP", 0, "main"),
    ("open -top -cum=true -trim=false HEAP", 0, "flat%"),
    (
        "open -flat -no_browser -alloc_space=1 -top HEAP",
        0,
        "Type: alloc_space",
    ),
    (
        "open -call_tree -dot HEAP",
        2,
        "only `go tool pprof` has it",
    ),
    (
        "open --diff --fail-if inuse_space>1MB HEAP HEAP",
        1,
        "a budget is exceeded",
    ),
    (
        "open --leak --fail-if inuse_space>1MB HEAP HEAP HEAP",
        1,
        "a budget is exceeded",
    ),
    ("-top ./app HEAP", 0, "the executable `./app` is not read"),
    ("open ./app", 2, "is an executable, not a profile"),
    ("open -http=:8080 HEAP", 2, "`--web --open` shows a page"),
    ("open --http :8080 HEAP", 2, "`--web --open` shows a page"),
    (
        "open --seconds 5 HEAP",
        2,
        "`pprof SERVICE PROFILE --seconds N`",
    ),
    ("open -disasm main HEAP", 2, "only `go tool pprof` has it"),
    ("open -png HEAP", 2, "draw flame graphs"),
    (
        "open http://127.0.0.1:1/debug/pprof/profile?seconds=5",
        4,
        "nothing listens on `127.0.0.1:1`",
    ),
    (
        "open http://127.0.0.1:1/debug/pprof/heap?debug=1",
        2,
        "`debug` asks for text",
    ),
    (
        "open HEAP http://127.0.0.1:1/debug/pprof/heap",
        2,
        "files and URLs cannot be opened together",
    ),
    (
        "open unix:/missing.sock",
        2,
        "the socket `/missing.sock` does not exist",
    ),
    // An option that the form would ignore.
    (
        "open --svg --mean HEAP",
        2,
        "`--mean` cannot be used with `--svg`",
    ),
    (
        "open --web -n 3 HEAP",
        2,
        "`--nodecount` cannot be used with `--web`",
    ),
    (
        "open --raw --lines HEAP",
        2,
        "`--lines` cannot be used with `--raw`",
    ),
    (
        "open --tree --json HEAP",
        2,
        "`--json` cannot be used with `--tree`",
    ),
    (
        "open --top --open HEAP",
        2,
        "`--open` cannot be used with `--top`",
    ),
    (
        "open --top --normalize HEAP",
        2,
        "`--normalize` needs a base",
    ),
    ("open --top HEAP HEAP", 0, "2 profiles are merged"),
    (
        "open --folded --fail-if inuse_space>1MB HEAP",
        1,
        "inuse_space is ",
    ),
    ("open missing.pb.gz", 4, "cannot read `missing.pb.gz`"),
    // Files may be named like services and profiles.
    (
        "app goroutine --endpoint 127.0.0.1:1",
        4,
        "nothing listens on `127.0.0.1:1`",
    ),
    (
        "app heap --endpoint 127.0.0.1:1",
        4,
        "nothing listens on `127.0.0.1:1`",
    ),
];

#[test]
fn words_of_go_tool_pprof_are_understood() {
    let home = Home::new();
    home.write("heap", "");
    home.write("app", "\u{7f}ELF and more");
    for (words, code, expected) in TYPED {
        let words = words
            .replace("HEAP", corpus("heap.pb.gz").as_str())
            .replace("MUTEX", corpus("mutex.pb.gz").as_str());
        let words: Vec<&str> = std::iter::once("pprof").chain(words.split(' ')).collect();
        let said = run(home.xtask(&words).current_dir(home.path("")));
        let all = format!("{}{}", said.stdout, said.stderr);
        assert_eq!(said.code, Some(*code), "{words:?}: {all}");
        assert!(all.contains(expected), "{words:?}: {all}");
    }
}
