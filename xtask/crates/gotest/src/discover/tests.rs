use std::collections::BTreeMap;

use super::*;
use crate::workspace::Entry;

/// Files of a checkout, in memory.
struct Texts(BTreeMap<String, String>);

impl Source for Texts {
    fn list(&self, dir: &str) -> std::io::Result<Vec<Entry>> {
        let mut entries: BTreeMap<String, bool> = BTreeMap::new();
        for path in self.0.keys() {
            let rest = if dir.is_empty() {
                path.as_str()
            } else {
                match path
                    .strip_prefix(dir)
                    .and_then(|rest| rest.strip_prefix('/'))
                {
                    Some(rest) => rest,
                    None => continue,
                }
            };
            match rest.split_once('/') {
                Some((name, _)) => entries.insert(name.to_owned(), true),
                None => entries.insert(rest.to_owned(), false),
            };
        }
        let entry = |(name, is_dir)| Entry {
            name,
            is_dir,
            stamp: (0, 0),
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    fn read(&self, file: &str) -> std::io::Result<Option<String>> {
        match self.0.get(file).map(String::as_str) {
            Some(UNREADABLE) => Err(std::io::Error::other("it is a FIFO")),
            text => Ok(text.map(str::to_owned)),
        }
    }
}

/// Stands for a file that cannot be read.
const UNREADABLE: &str = "\0";

fn found(files: &[(&str, &str)]) -> Vec<Test> {
    discovered(files).tests
}

fn discovered(files: &[(&str, &str)]) -> Discovered {
    let mut texts: BTreeMap<String, String> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    texts.insert(
        "go.mod".to_owned(),
        "module example.org/m\n\ngo 1.24\n".to_owned(),
    );
    let source = Texts(texts);
    let workspace = Workspace::open(&source).unwrap();
    let all: Vec<usize> = (0..workspace.folders.len()).collect();
    let options = Options {
        target: Target::default(),
        deep: true,
    };
    discover(&source, &workspace, &all, &options)
}

/// `name: needs`
fn rows(files: &[(&str, &str)]) -> Vec<String> {
    let rows = found(files).into_iter().map(|test| {
        let needs: Vec<String> = test
            .needs
            .iter()
            .map(|needed| needed.need.to_string())
            .collect();
        format!("{}: {}", test.name, needs.join(" "))
    });
    rows.collect()
}

#[test]
fn a_skip_is_followed_through_helpers_of_other_packages() {
    let helper = "package need\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\
        func isRoot() bool { return os.Geteuid() == 0 }\n\
        func Root(t *testing.T) {\n\tt.Helper()\n\tif !isRoot() {\n\t\tt.Skip(\"no\")\n\t}\n}\n";
    let test = "package a_test\nimport (\n\t\"testing\"\n\t\"example.org/m/need\"\n)\n\
        func setup(t *testing.T) { need.Root(t) }\n\
        func TestA(t *testing.T) { setup(t) }\n\
        func TestB(t *testing.T) {}\n";
    let rows = rows(&[("need/need.go", helper), ("a/a_test.go", test)]);
    assert_eq!(rows, ["TestA: root", "TestB: "]);
}

#[test]
fn a_condition_is_read_by_what_it_asks() {
    let test = "package a\nimport (\n\t\"os\"\n\t\"os/exec\"\n\t\"testing\"\n)\n\
        func TestUid(t *testing.T) {\n\tuid := os.Getuid()\n\tif uid != 0 {\n\t\tt.Skipf(\"uid %d\", uid)\n\t}\n}\n\
        func TestAsUser(t *testing.T) {\n\tif os.Geteuid() == 0 {\n\t\tt.Skip(\"not as root\")\n\t}\n}\n\
        func TestTool(t *testing.T) {\n\tif _, err := exec.LookPath(\"nft\"); err != nil {\n\t\tt.Skip()\n\t}\n}\n\
        func TestTools(t *testing.T) {\n\tfor _, tool := range []string{\"objcopy\", \"xxd\"} {\n\t\tif _, err := exec.LookPath(tool); err != nil {\n\t\t\tt.Skip()\n\t\t}\n\t}\n}\n\
        func TestEnv(t *testing.T) {\n\tif os.Getenv(\"KEY\") == \"\" {\n\t\tt.Skip()\n\t}\n}\n\
        func TestCI(t *testing.T) {\n\tif os.Getenv(\"CI\") != \"\" {\n\t\tt.Skip()\n\t}\n}\n\
        func TestDaemon(t *testing.T) {\n\t_, err := os.Stat(\"/bin/containerd\")\n\tif err != nil {\n\t\tt.Skip()\n\t}\n}\n\
        func measured() { exec.Command(\"systemd-measure\").Run() }\n\
        func TestIfThere(t *testing.T) {\n\tif _, err := exec.LookPath(\"systemd-measure\"); err == nil {\n\t\tmeasured()\n\t\texec.Command(\"xxd\").Run()\n\t}\n}\n\
        func TestAnyway(t *testing.T) {\n\tif err := t.Context().Err(); err == nil {\n\t\tmeasured()\n\t}\n}\n\
        func TestHere(t *testing.T) {\n\thostname, _ := os.Hostname()\n\tif hostname == \"buildkitsandbox\" {\n\t\tt.Skip()\n\t}\n}\n\
        func TestThere(t *testing.T) {\n\thostname, _ := os.Hostname()\n\tif hostname != \"buildkitsandbox\" {\n\t\tt.Skip()\n\t}\n}\n";
    assert_eq!(
        rows(&[("a/a_test.go", test)]),
        [
            "TestUid: root",
            "TestAsUser: ",
            "TestTool: tool:nft",
            "TestTools: tool:objcopy tool:xxd",
            "TestEnv: env:KEY",
            "TestCI: ",
            "TestDaemon: containerd",
            "TestIfThere: ",
            "TestAnyway: tool:systemd-measure",
            "TestHere: ",
            "TestThere: buildkit",
        ]
    );
}

#[test]
fn suites_have_the_methods_that_they_embed_and_the_needs_of_their_set_up() {
    let base = "package base\nimport \"github.com/stretchr/testify/suite\"\n\
        type Base struct{ suite.Suite }\n\
        func (b *Base) TestBase() {}\n\
        func (b *Base) Helper() {}\n";
    let test = "package a\nimport (\n\t\"os\"\n\t\"testing\"\n\t\"example.org/m/base\"\n\t\"github.com/stretchr/testify/suite\"\n)\n\
        type ASuite struct {\n\tbase.Base\n\tname string\n}\n\
        func (suite *ASuite) SetupTest() { suite.needRoot() }\n\
        func (suite *ASuite) needRoot() {\n\tif os.Geteuid() != 0 {\n\t\tsuite.T().Skip(\"requires root\")\n\t}\n}\n\
        func (suite *ASuite) TestOne() { suite.Run(\"in side\", func() {}) }\n\
        func (suite *ASuite) TestWith(x int) {}\n\
        func TestA(t *testing.T) { suite.Run(t, &ASuite{name: \"x\"}) }\n\
        func TestTwice(t *testing.T) {\n\tfor _, reaper := range []bool{true, false} {\n\t\tt.Run(fmt.Sprintf(\"reaper=%v\", reaper), func(t *testing.T) { suite.Run(t, new(ASuite)) })\n\t}\n}\n";
    let test = test.replace("\"os\"\n", "\"fmt\"\n\t\"os\"\n");
    assert_eq!(
        rows(&[("base/base.go", base), ("a/a_test.go", &test)]),
        [
            "TestA: ",
            "TestA/TestBase: root",
            "TestA/TestOne: root",
            "TestA/TestOne/in_side: root",
            "TestTwice: ",
            "TestTwice/reaper=true: ",
            "TestTwice/reaper=true/TestBase: root",
            "TestTwice/reaper=true/TestOne: root",
            "TestTwice/reaper=true/TestOne/in_side: root",
            "TestTwice/reaper=false: ",
            "TestTwice/reaper=false/TestBase: root",
            "TestTwice/reaper=false/TestOne: root",
            "TestTwice/reaper=false/TestOne/in_side: root",
        ]
    );
}

#[test]
fn tables_name_their_subtests() {
    let test = "package a\nimport \"testing\"\n\
        type row struct {\n\tname string\n\tn int\n}\n\
        var shared = []row{{\"by place\", 1}, {name: \"by key\"}}\n\
        func TestTable(t *testing.T) {\n\
        \tfor _, test := range []struct {\n\t\tname string\n\t\tok bool\n\t}{\n\t\t{name: \"a b\"},\n\t\t{name: \"a b\"},\n\t\t{name: \"c/d\", ok: true},\n\t} {\n\
        \t\tt.Run(test.name, func(t *testing.T) {\n\t\t\tt.Run(\"in\", func(t *testing.T) {})\n\t\t})\n\t}\n}\n\
        func TestShared(t *testing.T) {\n\tfor _, tt := range shared {\n\t\tt.Run(tt.name, func(t *testing.T) {})\n\t}\n}\n\
        func TestMap(t *testing.T) {\n\ttests := map[string]row{\"one\": {}, \"two\": {}}\n\tfor name := range tests {\n\t\tt.Run(name, func(t *testing.T) {})\n\t}\n}\n\
        func TestNested(t *testing.T) {\n\tfor _, a := range []string{\"x\", \"y\"} {\n\t\tfor _, b := range []string{\"1\", \"2\"} {\n\t\t\tt.Run(a+b, func(t *testing.T) {})\n\t\t}\n\t}\n}\n\
        func TestUnknown(t *testing.T) {\n\tfor _, f := range files() {\n\t\tt.Run(f, func(t *testing.T) {\n\t\t\tt.Run(\"in\", func(t *testing.T) {})\n\t\t})\n\t}\n}\n";
    let names: Vec<String> = found(&[("a/a_test.go", test)])
        .into_iter()
        .map(|test| test.name)
        .collect();
    assert_eq!(
        names,
        [
            "TestTable",
            "TestTable/a_b",
            "TestTable/a_b/in",
            "TestTable/a_b#01",
            "TestTable/a_b#01/in",
            "TestTable/c/d",
            "TestTable/c/d/in",
            "TestShared",
            "TestShared/by_place",
            "TestShared/by_key",
            "TestMap",
            "TestMap/one",
            "TestMap/two",
            "TestNested",
            "TestNested/x1",
            "TestNested/x2",
            "TestNested/y1",
            "TestNested/y2",
            "TestUnknown",
        ]
    );
}

#[test]
fn a_call_that_cannot_do_without_is_a_need_and_one_that_may_not_happen_is_none() {
    let code = "package disk\nimport (\n\t\"github.com/freddierice/go-losetup/v2\"\n\t\"golang.org/x/sys/unix\"\n)\n\
        type Disk struct{ dev losetup.Device }\n\
        func (d *Disk) Attach() error {\n\tvar err error\n\td.dev, err = losetup.Attach(\"x\", 0, false)\n\treturn err\n}\n\
        func New() *Disk { return &Disk{} }\n\
        func Perhaps(really bool) {\n\tif really {\n\t\tunix.Mount(\"a\", \"b\", \"c\", 0, \"\")\n\t}\n}\n";
    let test = "package disk_test\nimport (\n\t\"testing\"\n\t\"example.org/m/disk\"\n)\n\
        func TestAttach(t *testing.T) {\n\td := disk.New()\n\tif err := d.Attach(); err != nil {\n\t\tt.Fatal(err)\n\t}\n}\n\
        func TestPerhaps(t *testing.T) { disk.Perhaps(false) }\n";
    let tests = found(&[("disk/disk.go", code), ("disk/disk_test.go", test)]);
    let needs: Vec<String> = tests[0]
        .needs
        .iter()
        .map(|needed| needed.need.to_string())
        .collect();
    assert_eq!(needs, ["root", "loop"]);
    assert_eq!(tests[0].needs[1].because, "disk/disk.go:9");
    assert_eq!(tests[0].needs[1].through, ["TestAttach", "Disk.Attach"]);
    assert_eq!(tests[1].needs, []);
}

#[test]
fn what_stands_behind_an_early_return_need_not_happen() {
    let code = "package pack\nimport (\n\t\"errors\"\n\t\"os/exec\"\n)\n\
        func Pack(files []string) error {\n\tif len(files) == 0 {\n\t\treturn nil\n\t}\n\
        \treturn exec.Command(\"cpio\").Run()\n}\n\
        func Always(err error) error {\n\tif err != nil {\n\t\treturn errors.New(\"no\")\n\t}\n\
        \treturn exec.Command(\"xz\").Run()\n}\n";
    let test = "package pack\nimport \"testing\"\n\
        func TestPack(t *testing.T) { Pack(nil) }\n\
        func TestAlways(t *testing.T) { Always(nil) }\n";
    assert_eq!(
        rows(&[("pack/pack.go", code), ("pack/pack_test.go", test)]),
        ["TestPack: ", "TestAlways: tool:xz"]
    );
}

#[test]
fn partitions_of_a_loop_device_need_their_nodes() {
    let code = "package disk\nimport \"github.com/siderolabs/go-blockdevice/v2/partitioning\"\n\
        func Part(disk string) string { return partitioning.DevName(disk, 1) }\n";
    let test = "package disk\nimport (\n\t\"testing\"\n\t\"github.com/freddierice/go-losetup/v2\"\n)\n\
        func TestName(t *testing.T) { Part(\"/dev/sda\") }\n\
        func TestPart(t *testing.T) {\n\tlosetup.Attach(\"x\", 0, false)\n\tPart(\"/dev/loop0\")\n}\n";
    assert_eq!(
        rows(&[("disk/disk.go", code), ("disk/disk_test.go", test)]),
        ["TestName: ", "TestPart: root loop partition-nodes"]
    );
}

#[test]
fn only_a_subtest_that_skips_has_the_need() {
    let test = "package a\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\
        func TestA(t *testing.T) {\n\
        \tt.Run(\"as root\", func(t *testing.T) {\n\t\tif os.Geteuid() != 0 {\n\t\t\tt.Skip()\n\t\t}\n\t})\n\
        \tt.Run(\"as anybody\", func(t *testing.T) {})\n}\n";
    assert_eq!(
        rows(&[("a/a_test.go", test)]),
        ["TestA: ", "TestA/as_root: root", "TestA/as_anybody: "]
    );
}

#[test]
fn files_for_others_and_folders_of_no_package_are_left_out() {
    let test =
        |name: &str| format!("package a\nimport \"testing\"\nfunc {name}(t *testing.T) {{}}\n");
    let tagged = format!("//go:build integration_api\n\n{}", test("TestTagged"));
    let rows = rows(&[
        ("a/a_test.go", &test("TestHere")),
        ("a/a_windows_test.go", &test("TestWindows")),
        ("a/tagged_test.go", &tagged),
        ("a/testdata/b_test.go", &test("TestData")),
        ("a/_x/b_test.go", &test("TestHidden")),
        ("other/go.mod", "module example.org/other\n"),
        ("other/a_test.go", &test("TestOther")),
    ]);
    assert_eq!(rows, ["TestHere: "]);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    const PIECES: [&str; 34] = [
        "func ",
        "TestA",
        "(t *testing.T)",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "if ",
        "for ",
        "range ",
        "switch ",
        "case ",
        "t.Run(",
        "\"x\"",
        ",",
        ":=",
        "=",
        ".",
        "*",
        "&",
        "struct",
        "map[",
        "\n",
        ";",
        "var ",
        "type ",
        "`",
        "/*",
        "//",
        "func(",
        "else ",
        "é",
    ];

    proptest! {
        /// Any input is read to its end.
        #[test]
        fn anything_is_read(pieces in proptest::collection::vec(0..PIECES.len(), 0..200)) {
            let body: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let text = format!("package a\nfunc TestA(t *testing.T) {{\n{body}");
            found(&[("a/a_test.go", &text)]);
            found(&[("a/a_test.go", &format!("package a\n{body}"))]);
        }
    }

    /// Returns what is left out when one test is beside a file of others, read
    /// on a small stack: the test is found whatever the others contain.
    fn beside(hostile: &str) -> Vec<Unread> {
        std::thread::scope(|scope| {
            let read = || {
                let ours = "package b\nimport \"testing\"\nfunc TestOurs(t *testing.T) {}\n";
                let found = discovered(&[("a/a_test.go", hostile), ("b/b_test.go", ours)]);
                assert!(found.tests.iter().any(|test| test.name == "TestOurs"));
                assert!(
                    found
                        .unread
                        .iter()
                        .all(|unread| unread.path == "a/a_test.go")
                );
                found.unread
            };
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            thread.spawn_scoped(scope, read).unwrap().join().unwrap()
        })
    }

    const TURNS: usize = 20_000;

    /// `head piece piece … middle tail tail …` as a function's body, as a
    /// variable's value and as a declaration.
    fn everywhere(head: &str, piece: &str, middle: &str, tail: &str) -> [Vec<Unread>; 3] {
        let text = format!(
            "{head}{}{middle}{}",
            piece.repeat(TURNS),
            tail.repeat(TURNS)
        );
        [
            format!("package a\nimport \"testing\"\nfunc TestA(t *testing.T) {{\n{text}\n}}\n"),
            format!("package a\nimport \"testing\"\nvar a = {text}\nfunc TestA(t *testing.T) {{ t.Run(a, b) }}\n"),
            format!("package a\n{text}\n"),
        ]
        .map(|text| beside(&text))
    }

    #[test]
    fn nesting_is_cut_and_said() {
        for (head, piece, middle, tail) in [
            ("x = ", "(", "1", ")"),
            ("x = ", "[", "1", "]"),
            ("", "{", "x()", "}"),
            ("x = ", "func() { y = ", "1", "}"),
            ("", "if x {", "x()", "}"),
            ("", "if x {} else ", "{}", ""),
            ("", "switch { case x: ", "x()", "}"),
            ("", "switch { case f(func() {", "x()", "})}"),
            ("", "select { case x = <-f(func() {", "x()", "})}"),
            ("", "for range f(func() {", "x()", "}) {}"),
            ("x = ", "*", "x", ""),
            ("x = ", "!", "x", ""),
            ("x = ", "- ", "x", ""),
            ("x = ", "<-", "x", ""),
            ("x = ", "& ", "x", ""),
            ("", "t.Run(\"a\", func(t *testing.T) {", "x()", "})"),
            ("x = ", "a+(", "1", ")"),
            ("x = ", "T{", "1", "}"),
            ("x = ", "T{a: ", "1", "}"),
            ("x = []int", "{", "1", "}"),
            ("x = ", "a[", "1", "]"),
            ("x = ", "f(", "1", ")"),
            ("var x ", "map[a]", "int", ""),
            ("var x ", "map[", "int", "]int"),
            ("var x ", "[]", "int", ""),
            ("x = ", "[]", "int{}", ""),
            ("var x ", "[a[1]]", "int", ""),
            ("var x ", "*", "int", ""),
            ("var x ", "chan ", "int", ""),
            ("var x ", "<-chan ", "int", ""),
            ("var x ", "func(", "int", ")"),
            ("var x ", "func() ", "int", ""),
            ("var x ", "struct { a ", "int", "}"),
            ("type T ", "struct { a ", "int", "}"),
            ("type T ", "struct { ", "int", "}"),
            ("type T ", "A[", "int", "]"),
            ("func f(a ", "A[", "int", "])"),
            ("func f(a ", "func(a ", "int", ")"),
        ] {
            let unread = everywhere(head, piece, middle, tail);
            assert!(unread.iter().any(|it| !it.is_empty()), "{head}{piece}");
        }
    }

    /// Skipped parts do not count as nesting.
    #[test]
    fn type_parameters_are_stepped_over() {
        for unread in everywhere("type T[P ", "A[", "int", "] any] int") {
            assert_eq!(unread, []);
        }
    }

    #[test]
    fn chains_are_cut_and_said() {
        for (head, piece) in [
            ("x = a", ".b"),
            ("x = f", "()"),
            ("x = f", "().g"),
            ("x = a", "[0]"),
            ("x = a", "[0][0:1]"),
            ("x = a", ".(b)"),
            ("x = a", ".b(c.d().e, func() { f().g() })"),
        ] {
            let unread = everywhere(head, piece, "", "");
            assert!(!unread[0].is_empty(), "{head}{piece}");
        }
    }

    /// Generators write sums of thousands of strings.
    #[test]
    fn sums_are_read_whole_however_long() {
        for (head, piece) in [
            ("x = 1", "+1"),
            ("x = a", "&&a"),
            ("x = a", "||b&&c"),
            ("x = a", "==b"),
            ("x = \"a\"", "+\"a\""),
            ("x = \"a\"", "+\n\"a\"+f(1*2)"),
        ] {
            for unread in everywhere(head, piece, "", "") {
                assert_eq!(unread, [], "{head}{piece}");
            }
        }
        let sum = "\"a\"+".repeat(5000);
        let text = format!(
            "package a\nimport \"os/exec\"\nfunc TestA(t *testing.T) {{\nx := {sum}exec.Command(\"lvm\").String()\n}}\n"
        );
        assert_eq!(
            rows(&[("a/a_test.go", &text)]),
            ["TestA: root lvm tool:lvm"]
        );
    }

    #[test]
    fn rows_of_labels_and_comments_are_no_nesting() {
        for piece in [
            "{}", "[]int{}", "a:\n", "/* x */", "// x\n", ";", "\n", "`x`;", "goto a;",
        ] {
            for unread in everywhere("", piece, "x()", "") {
                assert_eq!(unread, [], "{piece:?}");
            }
        }
    }

    /// Values that double are limited, whether they are copied or evaluated
    /// repeatedly.
    #[test]
    fn doubling_ends() {
        let lines = |line: &dyn Fn(usize) -> String| -> String { (1..60).map(line).collect() };
        let structs = "struct { a, b ".repeat(100) + "int" + &"}".repeat(100);
        let sums = lines(&|n| format!("a{n} := a{} + a{}\n", n - 1, n - 1));
        let formats = lines(&|n| {
            let args = format!("a{}, ", n - 1).repeat(20);
            format!("a{n} := fmt.Sprintf(\"%s%s%s%s\", {args})\n")
        });
        let calls = lines(&|n| format!("a{n} := f({})\n", format!("a{}, ", n - 1).repeat(50)));
        let helpers = lines(&|n| {
            let calls = format!("f{}() || ", n - 1).repeat(50);
            format!("func f{n}() bool {{ return {calls} f0() }}\n")
        });
        let loops = (0..30).map(|n| {
            format!(
                "for _, a{n} := range []string{{{}}} {{\n",
                "\"x\",".repeat(1000)
            )
        });
        let sum = (0..30).fold(String::new(), |sum, n| sum + &format!("a{n} + "));
        let subtests = "for _, a := range []string{\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\"} {\nt.Run(a, func(t *testing.T) {\n".repeat(20);
        let cases = "switch { case [func() {".repeat(60);
        for body in [
            format!("var x {structs}"),
            format!("a0 := \"x\"\n{sums}t.Run(a59, func(t *testing.T) {{}})"),
            format!("a0 := \"x\"\n{sums}if a59 {{ t.Skip() }}"),
            format!("a0 := \"xxxxxxxxxxxx\"\n{formats}t.Run(a59, func(t *testing.T) {{}})"),
            format!("a0 := 1\n{calls}if a59 {{ t.Skip() }}\nexec.Command(a59)"),
            format!(
                "if f59() {{ t.Skip() }}\n}}\n{helpers}func f0() bool {{ return os.Geteuid() == 0"
            ),
            format!(
                "{}t.Run({sum}\"\", func(t *testing.T) {{}})",
                loops.collect::<String>()
            ),
            subtests,
            cases,
        ] {
            let imports = "import (\n\"fmt\"\n\"os\"\n\"os/exec\"\n\"testing\"\n)";
            beside(&format!(
                "package a\n{imports}\nfunc TestA(t *testing.T) {{\n{body}\n}}\n"
            ));
        }
        beside(&format!(
            "package a\ntype T {structs}\nfunc f(a, b, c {structs}) {{}}\n"
        ));
    }

    /// Declarations that refer to themselves.
    #[test]
    fn circles_end() {
        for text in [
            "var a a\n",
            "var a b\nvar b a\n",
            "var a = a\n",
            "var a = b\nvar b = a\n",
            "const a = a + a\n",
            "type a a\n",
            "type a struct { a }\n",
            "type a struct { b }\ntype b struct { a }\n",
            "type a []a\n",
            "type a = b\ntype b = a\n",
            "func a() bool { return a() }\n",
            "func a() a\n",
            "var a = a()\n",
            "import a \"a\"\nvar a a.a\n",
        ] {
            let test = "func TestA(t *testing.T) {\nvar x a\nx.a()\na.a.a()\nfor _, a := range a { t.Run(a, a) }\nt.Run(a, func(t *testing.T) {})\nif a() { t.Skip() }\nif a { t.Skip() }\na := a\nt.Run(a, a)\na(a)\n}\n";
            beside(&format!("package a\nimport \"testing\"\n{text}{test}"));
            beside(&format!("package a\nimport \"testing\"\n{test}{text}"));
        }
    }

    /// Time and memory grow in proportion to the input.
    #[test]
    fn many_of_all_are_read_in_proportion() {
        let many = |each: &dyn Fn(usize) -> String| -> String { (0..30_000).map(each).collect() };
        let locals = many(&|n| format!("a{n} := a{}\n", n / 2));
        for text in [
            many(&|n| format!("func TestA{n}(t *testing.T) {{ x.y() }}\n")),
            many(&|n| format!("import \"a/b{n}\"\n")) + "func TestA(t *testing.T) { x() }\n",
            format!("func TestA(t *testing.T) {{\n{locals}}}\n"),
            format!("func TestA({}int) {{}}\n", many(&|n| format!("a{n}, "))),
            format!(
                "type T struct {{\n{}}}\nfunc TestA(t *testing.T) {{\nvar x T\n{}}}\n",
                many(&|n| format!("a{n} int\n")),
                many(&|n| format!("x.b{n}()\n"))
            ),
            format!(
                "type T struct {{\n{}int\n}}\n",
                many(&|n| format!("a{n}, "))
            ),
            format!(
                "func TestA(t *testing.T) {{ x = f({}) }}\n",
                many(&|_| ",".to_owned())
            ),
            format!(
                "func TestA(t *testing.T) {{\n{}}}\n",
                many(&|n| format!("exec.Command(\"a{n}\")\n"))
            ),
            many(&|n| format!("func f{n}() {{ f{}(); exec.Command(\"a{n}\") }}\n", n + 1))
                + "func TestA(t *testing.T) { f0() }\n",
            format!(
                "func TestA(t *testing.T) {{\n{}}}\n",
                many(&|_| "suite.Run(t, &S{})\n".to_owned())
            ),
        ] {
            let imports = "import (\n\"os/exec\"\n\"testing\"\n)";
            beside(&format!("package a\n{imports}\n{text}"));
        }
    }

    #[test]
    fn what_is_too_large_is_named() {
        let large = "package a\n".to_owned() + &" ".repeat(17 << 20);
        let [unread] = &beside(&large)[..] else {
            panic!("one file is too large");
        };
        assert_eq!(
            unread.to_string(),
            "`a/a_test.go`: it is larger than 16 MiB"
        );
        // A table of more elements than are kept.
        let table = format!("package a\nvar a = []int{{{}}}\n", "0,".repeat(5 << 20));
        assert!(beside(&table)[0].why.contains("too long"));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_read() {
        let [unread] = &beside(UNREADABLE)[..] else {
            panic!("one file cannot be read");
        };
        assert_eq!(unread.to_string(), "`a/a_test.go`: it is a FIFO");
    }

    #[test]
    fn modules_that_cannot_be_read_are_an_error() {
        for name in ["go.work", "go.mod", "sub/go.mod"] {
            let mut texts = BTreeMap::new();
            texts.insert("go.work".to_owned(), "use .\nuse ./sub\n".to_owned());
            texts.insert("go.mod".to_owned(), "module m\n".to_owned());
            texts.insert(name.to_owned(), UNREADABLE.to_owned());
            let failed = Workspace::open(&Texts(texts)).unwrap_err();
            assert_eq!(failed.path, name);
        }
    }
}

#[test]
fn names_that_a_branch_decides_are_not_listed() {
    let test = r#"package p

import "testing"

func TestBranch(t *testing.T) {
	name := "without"
	if testing.Short() {
		name = "with"
	}
	t.Run(name, func(t *testing.T) {})
	for _, row := range []string{"one", "two"} {
		if row == "two" {
			continue
		}
		t.Run(row, func(t *testing.T) {})
	}
	for _, row := range []string{"three", "four"} {
		t.Run(row, func(t *testing.T) {})
	}
}

func TestEscapes(t *testing.T) {
	t.Run("a\u200bb\u00adc\u180ed\U000e0001e\u00e9", func(t *testing.T) {})
}
"#;
    let tests = found(&[("p/a_test.go", test)]);
    let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "TestBranch",
            "TestBranch/three",
            "TestBranch/four",
            "TestEscapes",
            r"TestEscapes/a\u200bb\u00adc_d\U000e0001eé",
        ]
    );
}

#[test]
fn changes_affect_the_packages_that_import_them() {
    let texts = Texts(
        [
            ("go.mod", "module m\n\ngo 1.24\n"),
            ("a/a.go", "package a\n"),
            ("a/a_test.go", "package a\n"),
            ("a/testdata/x.json", ""),
            ("a/files/embedded.txt", ""),
            ("b/b.go", "package b\n\nimport \"m/a\"\n"),
            ("c/c.go", "package c\n\nimport _ \"m/b\"\n"),
            ("d/d.go", "package d\n"),
            ("d/d_test.go", "package d_test\n\nimport \"m/a\"\n"),
            ("e/e.go", "package e\n\nimport \"m/d\"\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into(),
    );
    let workspace = Workspace::open(&texts).unwrap();
    let of = |files: &[&str]| -> String {
        let files = files.iter().map(|it| (*it).to_owned()).collect();
        let affected = crate::affected(&texts, &workspace, &Target::default(), &files).unwrap();
        let names = affected.into_iter().map(|at| &*workspace.folders[at].dir);
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(&["a/a.go"]), "a b c d", "e imports d, not its tests");
    assert_eq!(of(&["a/files/embedded.txt"]), "a b c d");
    assert_eq!(of(&["a/a_test.go", "a/testdata/x.json"]), "a");
    assert_eq!(of(&["d/d.go", "c/gone.go"]), "c d e");
    assert_eq!(of(&["go.mod"]), "a b c d e");
    assert_eq!(of(&["README.md"]), "");
}
