//! Print a checkout's tests: `tests DIR [names]`.
use gotest::{Entry, Options, Source, Target, Workspace, discover};

struct Disk(String);

impl Source for Disk {
    fn list(&self, dir: &str) -> Vec<Entry> {
        let Ok(entries) = std::fs::read_dir(format!("{}/{dir}", self.0)) else {
            return Vec::new();
        };
        entries
            .flatten()
            .map(|entry| Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: entry.file_type().is_ok_and(|kind| kind.is_dir()),
                stamp: (0, 0),
            })
            .collect()
    }

    fn read(&self, file: &str) -> Option<String> {
        let bytes = std::fs::read(format!("{}/{file}", self.0)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().cloned().unwrap_or_else(|| ".".to_owned());
    let deep = args.get(1).is_none_or(|arg| arg != "names");
    let source = Disk(dir);
    let start = std::time::Instant::now();
    let workspace = Workspace::open(&source);
    let opened = start.elapsed();
    let all: Vec<usize> = (0..workspace.folders.len()).collect();
    let options = Options {
        target: Target::default(),
        deep,
    };
    let tests = discover(&source, &workspace, &all, &options);
    eprintln!(
        "{} tests, {opened:?} to walk, {:?} in all",
        tests.len(),
        start.elapsed()
    );
    for test in tests {
        let needs: Vec<String> = test
            .needs
            .iter()
            .map(|needed| {
                format!(
                    "{}[{} {}]",
                    needed.need,
                    needed.because,
                    needed.through.join(">")
                )
            })
            .collect();
        println!(
            "{}\t{:?}\t{}\t{}:{}\t{}",
            test.package,
            test.kind,
            test.name,
            test.file,
            test.line,
            needs.join(" ")
        );
    }
}
