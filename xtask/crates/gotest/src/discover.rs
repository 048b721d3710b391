//! Every test of a checkout, with what it needs: the way from sources to rows.

use serde::{Deserialize, Serialize};

use crate::constraint::Target;
use crate::file::{self, File};
use crate::graph::Graph;
use crate::names::Kind;
use crate::need::Need;
use crate::parallel;
use crate::program::Program;
use crate::workspace::{Source, Workspace, join};

mod rows;

use rows::Rows;

/// One test, suite method, subtest, benchmark, fuzz target or example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Import path.
    pub package: String,
    /// As `go test -run` takes it and `go test -v` prints it: `TestA/b`.
    pub name: String,
    pub kind: Kind,
    /// From the checkout's root.
    pub file: String,
    /// 1-based.
    pub line: usize,
    /// Sorted; empty when only names were asked for.
    pub needs: Vec<Needed>,
}

/// A need and how it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    pub need: Need,
    /// The test skips itself without it; else it fails.
    pub skips: bool,
    /// `file:line`, or the reason of an override.
    pub because: String,
    /// The functions on the way there, the test's own first.
    pub through: Vec<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub target: Target,
    /// Read bodies: suites, subtests and needs. Without: what `go test -list` prints.
    pub deep: bool,
}

/// The tests of the chosen folders, in the order of packages, files and lines.
///
/// # Arguments
/// `chosen`: indices into the workspace's folders.
pub fn discover(
    source: &dyn Source,
    workspace: &Workspace,
    chosen: &[usize],
    options: &Options,
) -> Vec<Test> {
    let wanted = wanted(workspace, chosen, options.deep);
    parsed_files(source, &wanted, &options.target, |files| {
        let program = Program::new(workspace, files);
        let mut rows = Rows {
            program: &program,
            graph: Graph::default(),
            deep: options.deep,
            tests: Vec::new(),
        };
        rows.all();
        rows.tests
    })
}

/// Read and parse these files, those that are built, and do something with them.
pub(crate) fn parsed_files<R>(
    source: &dyn Source,
    wanted: &[(usize, String)],
    target: &Target,
    then: impl FnOnce(Vec<(usize, String, File<'_>)>) -> R,
) -> R {
    let texts = parallel::map(wanted, |(folder, path)| {
        let text = source.read(path)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        file::is_built(name, &text, target).then(|| (*folder, path.clone(), text))
    });
    let texts: Vec<_> = texts.into_iter().flatten().collect();
    let files = parallel::map(&texts, parsed);
    let uses_c = |file: &File<'_>| file.imports.iter().any(|import| import.path == "C");
    let files = texts
        .iter()
        .zip(files)
        .filter(|(_, file)| target.cgo || !uses_c(file))
        .map(|((folder, path, _), file)| (*folder, path.clone(), file))
        .collect();
    then(files)
}

fn parsed(text: &(usize, String, String)) -> File<'_> {
    File::parse(&text.2)
}

/// Files to read: the chosen folders' tests, and for needs all that they may
/// call. Generated messages call nothing that a host could lack.
fn wanted(workspace: &Workspace, chosen: &[usize], deep: bool) -> Vec<(usize, String)> {
    let mut wanted = Vec::new();
    for (index, folder) in workspace.folders.iter().enumerate() {
        let is_chosen = chosen.binary_search(&index).is_ok();
        for (name, _) in &folder.files {
            let read = if name.ends_with("_test.go") {
                is_chosen
            } else {
                deep && !name.ends_with(".pb.go")
            };
            if read {
                wanted.push((index, join(&folder.dir, name)));
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests;
