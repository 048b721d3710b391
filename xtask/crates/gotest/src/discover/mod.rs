//! Discovers every test of a checkout with its needs, from sources to rows.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::constraint::Target;
use crate::file::{self, File};
use crate::graph::Graph;
use crate::need::Test;
use crate::parallel;
use crate::parse::Cut;
use crate::program::{Program, SourceFile};
use crate::workspace::{LARGEST_SOURCE, Source, Unread, Workspace, join};

mod rows;

use rows::Rows;

/// The extent of a discovery.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub target: Target,
    /// Reads bodies too, for suites, subtests and needs. Without: what `go test
    /// -list` prints.
    pub deep: bool,
}

/// Tests, and what could not be read of the sources: tests and needs of it may
/// be missing.
#[derive(Debug, Clone, Default)]
pub struct Discovered {
    pub tests: Vec<Test>,
    /// Sorted, each file once.
    pub unread: Vec<Unread>,
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
) -> Discovered {
    let wanted = wanted(workspace, chosen, options.deep);
    let mut found = parsed_files(source, &wanted, &options.target, |files, unread| {
        let program = Program::new(workspace, files);
        let mut rows = Rows {
            program: &program,
            graph: Graph::default(),
            deep: options.deep,
            tests: Vec::new(),
            left_out: None,
        };
        rows.all();
        unread.extend(rows.left_out);
        unread.extend(program.files.iter().filter_map(cut));
        Discovered {
            tests: rows.tests,
            unread: std::mem::take(unread),
        }
    });
    found.unread.extend_from_slice(&workspace.unread);
    found.unread.sort();
    found.unread.dedup_by(|a, b| a.path == b.path);
    found
}

/// The part of a file that was not read.
fn cut(file: &SourceFile<'_>) -> Option<Unread> {
    let why = match file.file.cut.get() {
        Cut::Nothing => return None,
        Cut::Deep => "a part is nested too deeply and was skipped",
        Cut::Work => "the analysis of its functions takes too long; needs of tests may be missing",
        Cut::Long => "it is too long; the end was skipped",
    };
    Some(Unread {
        path: file.path.clone(),
        why: why.to_owned(),
    })
}

/// Maximum bytes of all sources together, which stay in memory.
const MOST_TEXT: u64 = 1 << 30;

/// Reads and parses those of the files that are built, and passes them to `then`, with
/// the files that could not be read. Runs on a thread with a large stack, because the
/// parser is recursive.
pub(crate) fn parsed_files<R: Send>(
    source: &dyn Source,
    wanted: &[(usize, String)],
    target: &Target,
    then: impl FnOnce(Vec<(usize, String, File<'_>)>, &mut Vec<Unread>) -> R + Send,
) -> R {
    parallel::on_a_stack(|| {
        let left = AtomicU64::new(MOST_TEXT);
        let texts = parallel::map(wanted, |(folder, path)| {
            let text = read(source, path, &left)?;
            let name = path.rsplit('/').next().unwrap_or(path);
            let is_built = text
                .as_ref()
                .is_some_and(|it| file::is_built(name, it, target));
            Ok(text
                .filter(|_| is_built)
                .map(|text| (*folder, path.clone(), text)))
        });
        let mut unread = Vec::new();
        let mut built = Vec::with_capacity(texts.len());
        for text in texts {
            match text {
                Ok(text) => built.extend(text),
                Err(failed) => unread.push(failed),
            }
        }
        let files = parallel::map(&built, parsed);
        let uses_c = |file: &File<'_>| file.imports.iter().any(|import| import.path == "C");
        let files = built
            .iter()
            .zip(files)
            .filter(|(_, file)| target.cgo || !uses_c(file))
            .map(|((folder, path, _), file)| (*folder, path.clone(), file))
            .collect();
        then(files, &mut unread)
    })
}

fn read(source: &dyn Source, path: &str, left: &AtomicU64) -> Result<Option<String>, Unread> {
    let failed = |why: String| Unread {
        path: path.to_owned(),
        why,
    };
    let Some(text) = source
        .read(path)
        .map_err(|error| failed(error.to_string()))?
    else {
        return Ok(None);
    };
    let size = text.len() as u64;
    if size > LARGEST_SOURCE {
        return Err(failed("it is larger than 16 MiB".to_owned()));
    }
    let take = |left: u64| left.checked_sub(size);
    match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(failed(
            "all sources together are larger than 1 GiB".to_owned(),
        )),
    }
}

fn parsed(text: &(usize, String, String)) -> File<'_> {
    File::parse(&text.2)
}

/// Files to read: the chosen folders' tests, and for needs all that they may
/// call. Generated messages call nothing that depends on the host.
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
