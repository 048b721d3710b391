use std::collections::BTreeMap;

use super::*;
use crate::workspace::Entry;

/// Files of a checkout, in memory.
struct Texts(BTreeMap<String, String>);

impl Source for Texts {
    fn list(&self, dir: &str) -> Vec<Entry> {
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
        entries.into_iter().map(entry).collect()
    }

    fn read(&self, file: &str) -> Option<String> {
        self.0.get(file).cloned()
    }
}

fn found(files: &[(&str, &str)]) -> Vec<Test> {
    let mut texts: BTreeMap<String, String> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    texts.insert(
        "go.mod".to_owned(),
        "module example.org/m\n\ngo 1.24\n".to_owned(),
    );
    let source = Texts(texts);
    let workspace = Workspace::open(&source);
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
        /// What others wrote may be anything: it is read to its end.
        #[test]
        fn anything_is_read(pieces in proptest::collection::vec(0..PIECES.len(), 0..200)) {
            let body: String = pieces.into_iter().map(|piece| PIECES[piece]).collect();
            let text = format!("package a\nfunc TestA(t *testing.T) {{\n{body}");
            found(&[("a/a_test.go", &text)]);
            found(&[("a/a_test.go", &format!("package a\n{body}"))]);
        }
    }

    #[test]
    fn deep_nesting_ends() {
        for piece in [
            "(",
            "[",
            "{",
            "func() {",
            "if x {",
            "switch { case ",
            "*",
            "!",
            "t.Run(\"a\", func() {",
            "a+(",
            "map[a]",
        ] {
            let text = format!(
                "package a\nfunc TestA(t *testing.T) {{\n{}",
                piece.repeat(20_000)
            );
            found(&[("a/a_test.go", &text)]);
        }
    }
}
