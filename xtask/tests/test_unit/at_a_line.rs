//! `test at FILE:LINE`.

use super::common::go::Workspace;
use super::common::run;

const TEST: &str = r#"package p

import "testing"

func TestA(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		t.Error("it fails")
	})
	t.Run("two", func(t *testing.T) {
		t.Log("it passes")
	})
}

func helper() {}

func BenchmarkB(b *testing.B) {
	helper()
}
"#;

#[test]
fn the_test_that_contains_a_line_is_run() {
    let Some(workspace) = Workspace::with("the_test_that_contains", &[("p/a_test.go", TEST)])
    else {
        return;
    };
    let at = |words: &[&str]| run(&mut workspace.xtask(&[&["test", "at"], words].concat()));
    let whole = at(&["p/a_test.go:5"]);
    assert_eq!(whole.code, Some(1), "{}{}", whole.stdout, whole.stderr);
    let one = at(&["p/a_test.go:7"]);
    assert_eq!(one.code, Some(1), "{}", one.stderr);
    // What is printed to run it alone does so.
    let alone = "test unit github.com/siderolabs/talos/p --run '^TestA$/^one$'";
    assert!(one.stderr.contains(alone), "{}", one.stderr);
    let two = at(&["p/a_test.go:10:3", "--", "--show", "tests"]);
    assert_eq!(two.code, Some(0), "{}{}", two.stdout, two.stderr);
    assert!(two.stdout.contains("it passes"), "{}", two.stdout);
    assert!(two.stdout.contains("2 passed"), "{}", two.stdout);
    let benchmark = at(&["p/a_test.go:17", "--", "--", "-benchtime=5x"]);
    assert_eq!(benchmark.code, Some(0), "{}", benchmark.stderr);
    assert!(benchmark.stdout.contains("ns/op"), "{}", benchmark.stdout);
    for (place, why) in [
        ("p/a_test.go:14", "`helper`, which is not a test"),
        ("p/a_test.go:4", "outside of all functions"),
        ("p/none_test.go:1", "cannot read"),
        ("p/a_test.go", "invalid place"),
    ] {
        let said = at(&[place]);
        assert_eq!(said.code, Some(2), "{place}: {}", said.stderr);
        assert!(said.stderr.contains(why), "{place}: {}", said.stderr);
    }
    // As an editor does it, from another folder.
    let file = workspace.dir.join("p/a_test.go:10");
    let mut command = workspace.xtask(&["-C", workspace.dir.as_str(), "test", "at", file.as_str()]);
    let said = run(command.current_dir(&workspace.home.root));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
