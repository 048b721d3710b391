//! Results of a whole stream of `go test -json`. The product runs test binaries
//! itself; this reader compares [`Package`] with recorded streams and the
//! counts of gotestsum.

use rustc_hash::FxHashMap;

use super::{Counts, End, Exit, Line, Output, Package, Verdict, What, parse_line};

/// Maximum number of lines without an event that are kept; the rest is counted.
const OTHERS: usize = 200;
/// Maximum bytes of such a line.
const LONGEST_OTHER: usize = 1000;
/// Maximum bytes of an event: the go command splits longer lines of a test.
const LONGEST: usize = 1 << 20;
/// Maximum number of packages whose compiler output is kept.
const MOST_BUILT: usize = 1000;

/// Packages of a stream.
const MOST_PACKAGES: usize = 50_000;

/// Reads bytes in chunks of any size.
#[derive(Debug, Default)]
pub struct Stream {
    pub tally: Tally,
    /// Lines that are not events: output printed in between, or events that were cut
    /// off.
    pub others: Vec<String>,
    pub others_count: usize,
    pending: Vec<u8>,
    /// The pending line is longer than what is kept of it.
    is_cut: bool,
    exits: FxHashMap<String, Exit>,
    marks: FxHashMap<String, Marks>,
    /// Output of the compiler, by import path.
    built: FxHashMap<String, Output>,
}

/// Properties of the lines of a package outside of its tests.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    /// The go command could not build the package.
    is_unbuilt: bool,
    /// A line is `FAIL`.
    has_fail: bool,
}

impl Marks {
    fn scan(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        self.is_unbuilt |= text.contains(" [build failed]\n") || text.contains(" [setup failed]\n");
        self.has_fail |= text.lines().any(|line| line == "FAIL");
    }
}

impl Stream {
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.take(&rest[..at]);
            self.end_line();
            rest = &rest[at + 1..];
        }
        self.take(rest);
    }

    fn take(&mut self, part: &[u8]) {
        let fits = part.len().min(LONGEST - self.pending.len());
        self.pending.extend_from_slice(&part[..fits]);
        self.is_cut |= fits < part.len();
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.pending);
        if std::mem::take(&mut self.is_cut) {
            // An incomplete event is ignored.
            self.other(String::from_utf8_lossy(&line[..LONGEST_OTHER]).into_owned());
        } else {
            self.line(&line);
        }
        line.clear();
        self.pending = line;
    }

    /// Ends the stream: what has not ended yet never will.
    pub fn finish(&mut self) {
        if !self.pending.is_empty() {
            self.end_line();
        }
        for package in &mut self.tally.packages {
            if package.verdict.is_none() {
                package.end(Exit::Unknown, None);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        match parse_line(line) {
            Line::Start(package) => drop(self.tally.package(&package)),
            Line::Event(package, event) => {
                // The go command prints the state of the process before the result of
                // the package, as output of the last test.
                if let What::Output(bytes) = &event.what {
                    if event.test.is_none() {
                        self.marks.entry(package.clone()).or_default().scan(bytes);
                    }
                    if let Some(exit) = exit_of(bytes) {
                        self.exits.insert(package.clone(), exit);
                    } else if !bytes.starts_with(b"FAIL") {
                        self.exits.remove(&package);
                    }
                }
                self.tally.package(&package).apply(event);
            }
            Line::End {
                package,
                end,
                seconds,
                failed_build,
            } => self.end(&package, end, seconds, failed_build.as_ref()),
            Line::Build { package, output } => {
                if self.built.len() < MOST_BUILT || self.built.contains_key(&package) {
                    let built = self.built.entry(package).or_default();
                    built.push(output.as_bytes());
                }
            }
            Line::BuildFailed { .. } => {}
            Line::Other(text) => self.other(text),
        }
    }

    fn other(&mut self, mut text: String) {
        self.others_count += 1;
        if self.others.len() < OTHERS {
            let end = text.char_indices().nth(LONGEST_OTHER);
            text.truncate(end.map_or(text.len(), |(at, _)| at));
            self.others.push(text);
        }
    }

    fn end(&mut self, name: &str, end: End, seconds: Option<f64>, failed_build: Option<&String>) {
        let exit = self.exits.remove(name);
        let marks = self.marks.get(name).copied().unwrap_or_default();
        let built = failed_build.and_then(|id| self.built.get(id));
        let package = self.tally.package(name);
        package.seconds = seconds.unwrap_or_default();
        if let Some(built) = built.filter(|_| package.verdict.is_none()) {
            package.push_output(built.text().as_bytes());
        }
        if end != End::Fail {
            return package.end(Exit::Code(0), Some(End::Pass));
        }
        if failed_build.is_some() || marks.is_unbuilt {
            return package.close(Verdict::BuildFailed);
        }
        // A binary that failed in the regular way prints `FAIL` last, before
        // the lines of the go command.
        let last = marks.has_fail.then_some(End::Fail);
        // The go command does not print the code after other output.
        let quiet = if last.is_none() && package.seems_to_have_panicked() {
            Exit::Code(2)
        } else {
            Exit::Code(1)
        };
        package.end(exit.unwrap_or(quiet), last);
    }
}

/// `exit status 2`, `signal: killed`.
fn exit_of(line: &[u8]) -> Option<Exit> {
    let line = std::str::from_utf8(line).ok()?.trim_end();
    if let Some(code) = line.strip_prefix("exit status ") {
        return code.parse().ok().map(Exit::Code);
    }
    let name = line.strip_prefix("signal: ")?;
    let name = name.split(" (").next().unwrap_or_default();
    let known = [
        ("hangup", 1),
        ("interrupt", 2),
        ("quit", 3),
        ("aborted", 6),
        ("killed", 9),
        ("segmentation fault", 11),
        ("terminated", 15),
    ];
    let number = known.iter().find(|(known, _)| *known == name);
    Some(Exit::Signal(number.map_or(0, |(_, number)| *number)))
}

/// The results of a run.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub packages: Vec<Package>,
    index: FxHashMap<String, usize>,
}

impl Tally {
    /// Returns the package of that name. Beyond the limit, one package collects all
    /// further ones.
    pub fn package(&mut self, name: &str) -> &mut Package {
        let is_more = self.packages.len() >= MOST_PACKAGES && !self.index.contains_key(name);
        let name = if is_more { "(more packages)" } else { name };
        let at = *self.index.entry(name.to_owned()).or_insert_with(|| {
            self.packages.push(Package::new(name));
            self.packages.len() - 1
        });
        &mut self.packages[at]
    }

    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for package in &self.packages {
            let counts = package.counts();
            sum.total += counts.total;
            sum.passed += counts.passed;
            sum.failed += counts.failed + usize::from(package.failed_by_itself());
            sum.skipped += counts.skipped;
        }
        sum
    }
}
