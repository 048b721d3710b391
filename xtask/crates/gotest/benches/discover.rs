//! Discovery over a whole checkout. With `TALOS_DIR` set it is that one, else
//! one of Talos' size is made up in memory.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gotest::{Entry, Options, Source, Target, Workspace, discover};

/// A checkout on disk or in memory.
enum Checkout {
    Disk(String),
    Memory(BTreeMap<String, BTreeMap<String, Option<String>>>),
}

impl Source for Checkout {
    fn list(&self, dir: &str) -> std::io::Result<Vec<Entry>> {
        let entry = |name: String, is_dir| Entry {
            name,
            is_dir,
            stamp: (0, 0),
        };
        Ok(match self {
            Self::Disk(root) => std::fs::read_dir(format!("{root}/{dir}"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|found| {
                    let is_dir = found.file_type().is_ok_and(|kind| kind.is_dir());
                    entry(found.file_name().to_string_lossy().into_owned(), is_dir)
                })
                .collect(),
            Self::Memory(dirs) => dirs.get(dir).map_or_else(Vec::new, |entries| {
                let entries = entries.iter();
                entries
                    .map(|(name, text)| entry(name.clone(), text.is_none()))
                    .collect()
            }),
        })
    }

    fn read(&self, file: &str) -> std::io::Result<Option<String>> {
        Ok(match self {
            Self::Disk(root) => std::fs::read_to_string(format!("{root}/{file}")).ok(),
            Self::Memory(dirs) => {
                let (dir, name) = file.rsplit_once('/').unwrap_or(("", file));
                dirs.get(dir).and_then(|dir| dir.get(name)?.clone())
            }
        })
    }
}

/// 300 packages of 6 files and 3 test files each, some 10 MB.
fn made_up() -> Checkout {
    let mut dirs: BTreeMap<String, BTreeMap<String, Option<String>>> = BTreeMap::new();
    let root = dirs.entry(String::new()).or_default();
    root.insert(
        "go.mod".to_owned(),
        Some("module example.org/m\n\ngo 1.24\n".to_owned()),
    );
    for package in 0..300 {
        dirs.entry(String::new())
            .or_default()
            .insert(format!("p{package}"), None);
        let folder = dirs.entry(format!("p{package}")).or_default();
        for file in 0..6 {
            let mut text =
                format!("package p{package}\n\nimport \"os\"\n\ntype T{file} struct{{ n int }}\n");
            for function in 0..60 {
                let _ = write!(
                    text,
                    "\n// F{function} does it.\nfunc (t *T{file}) F{function}(a, b int) (int, error) {{\n\
                     \tif a > b {{\n\t\treturn t.n, os.ErrNotExist\n\t}}\n\tfor i := range b {{\n\t\tt.n += i\n\t}}\n\treturn a + b, nil\n}}\n"
                );
            }
            folder.insert(format!("f{file}.go"), Some(text));
        }
        for file in 0..3 {
            let mut text = format!(
                "package p{package}\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc need{file}(t *testing.T) {{\n\
                 \tif os.Geteuid() != 0 {{\n\t\tt.Skip(\"root\")\n\t}}\n}}\n"
            );
            for test in 0..8 {
                let _ = write!(
                    text,
                    "\nfunc Test{file}x{test}(t *testing.T) {{\n\tneed{file}(t)\n\tfor _, tt := range []struct{{ name string }}{{{{name: \"a\"}}, {{name: \"b\"}}}} {{\n\
                     \t\tt.Run(tt.name, func(t *testing.T) {{\n\t\t\tx := &T{file}{{}}\n\t\t\tx.F{test}(1, 2)\n\t\t}})\n\t}}\n}}\n"
                );
            }
            folder.insert(format!("f{file}_test.go"), Some(text));
        }
    }
    Checkout::Memory(dirs)
}

fn benches(criterion: &mut Criterion) {
    let checkout = std::env::var("TALOS_DIR").map_or_else(|_| made_up(), Checkout::Disk);
    let options = |deep| Options {
        target: Target::default(),
        deep,
    };
    let mut group = criterion.benchmark_group("discover");
    group.sample_size(10);
    for (name, deep) in [("names", false), ("needs", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                #[expect(clippy::unwrap_used, reason = "a checkout that can be read")]
                let workspace = Workspace::open(&checkout).unwrap();
                let all: Vec<usize> = (0..workspace.folders.len()).collect();
                black_box(discover(&checkout, &workspace, &all, &options(deep)))
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
