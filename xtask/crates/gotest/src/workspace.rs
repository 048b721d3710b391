//! The modules of a checkout and the folders with Go files in them, as
//! `go list ./...` sees them (`go help packages`, `go help work`).

use std::collections::BTreeSet;
use std::fmt;

/// Access to sources: folders and files below the root of a checkout, named with `/`
/// and without a leading one; the root is the empty name.
pub trait Source: Sync {
    /// Returns the entries of a folder in any order; none if the folder does not exist.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn list(&self, dir: &str) -> std::io::Result<Vec<Entry>>;
    /// Returns the text of a file; `None` only if the file does not exist.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&self, file: &str) -> std::io::Result<Option<String>>;
}

/// Sources that people write are smaller; what is read is kept in memory.
pub const LARGEST_SOURCE: u64 = 16 << 20;

/// A file or folder of which something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    /// From the checkout's root.
    pub path: String,
    pub why: String,
}

impl std::error::Error for Unread {}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "."
        } else {
            &self.path
        };
        write!(f, "`{path}`: {}", self.why)
    }
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
    /// Size in bytes and time of change in nanoseconds, of files; what a cache
    /// is keyed by.
    pub stamp: (u64, i128),
}

/// A module of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its import path.
    pub path: String,
    /// Its folder, from the checkout's root.
    pub dir: String,
}

/// A folder with Go files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    pub import_path: String,
    pub dir: String,
    /// Index in [`Workspace::modules`].
    pub module: usize,
    /// Names of its `.go` files, sorted, with their stamps.
    pub files: Vec<(String, (u64, i128))>,
}

/// All that `./...` means in each module of the workspace.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    pub modules: Vec<Module>,
    /// Sorted by import path.
    pub folders: Vec<Folder>,
    /// `N` of the `go 1.N` line.
    pub go_minor: Option<u32>,
    /// Folders that could not be looked into.
    pub unread: Vec<Unread>,
}

impl Workspace {
    /// Reads the checkout's go.work, or its go.mod if there is none.
    ///
    /// # Errors
    /// When one of these cannot be read: the modules decide everything else.
    pub fn open(source: &dyn Source) -> Result<Self, Unread> {
        let read = |file: String| match source.read(&file) {
            Ok(text) => Ok(text),
            Err(error) => Err(Unread {
                path: file,
                why: error.to_string(),
            }),
        };
        let work = read("go.work".to_owned())?;
        let main = read("go.mod".to_owned())?;
        let dirs = match &work {
            Some(text) => uses(text),
            None => vec![String::new()],
        };
        let go_minor = work
            .as_deref()
            .or(main.as_deref())
            .and_then(|text| directive(text, "go"))
            .and_then(|version| {
                version
                    .strip_prefix("1.")?
                    .split(['.', 'r', 'b'])
                    .next()?
                    .parse()
                    .ok()
            });
        let mut modules: Vec<Module> = Vec::new();
        let mut known = BTreeSet::new();
        let mut dirs = dirs.into_iter().filter(|dir| known.insert(dir.clone()));
        for dir in dirs.by_ref().take(MOST_MODULES) {
            let Some(text) = read(join(&dir, "go.mod"))? else {
                continue;
            };
            if let Some(path) = directive(&text, "module") {
                let path = path.to_owned();
                modules.push(Module { path, dir });
            }
        }
        let mut workspace = Self {
            go_minor,
            ..Self::default()
        };
        if dirs.next().is_some() {
            workspace.unread.push(Unread {
                path: "go.work".to_owned(),
                why: format!("only the first {MOST_MODULES} modules were read"),
            });
        }
        for (index, module) in modules.iter().enumerate() {
            let ignored = match read(join(&module.dir, "go.mod"))? {
                Some(text) => entries(&text, "ignore"),
                None => Vec::new(),
            };
            walk(source, module, (index, &ignored), &mut workspace);
        }
        workspace
            .folders
            .sort_by(|a, b| a.import_path.cmp(&b.import_path));
        workspace.modules = modules;
        Ok(workspace)
    }

    /// Returns the folders that patterns match: `./pkg`, `./pkg/...`, import
    /// paths, `...` anywhere; all folders without patterns.
    ///
    /// # Arguments `here`: the folder, from the root, that `./` starts from.
    ///
    /// # Errors
    /// The first pattern that matches nothing.
    pub fn matching(&self, patterns: &[String], here: &str) -> Result<Vec<usize>, String> {
        if patterns.is_empty() {
            return Ok((0..self.folders.len()).collect());
        }
        let mut chosen = BTreeSet::new();
        for pattern in patterns {
            let mut any = false;
            for (index, folder) in self.folders.iter().enumerate() {
                if is_meant(pattern, folder, here) {
                    any = true;
                    chosen.insert(index);
                }
            }
            if !any {
                return Err(pattern.clone());
            }
        }
        Ok(chosen.into_iter().collect())
    }

    /// The unread file or folder that this import path refers to, if any.
    pub(crate) fn unread_at(&self, import_path: &str) -> Option<&Unread> {
        self.unread.iter().find(|unread| {
            self.modules.iter().any(|module| {
                let below = if module.dir.is_empty() {
                    Some(unread.path.as_str())
                } else if unread.path == module.dir {
                    Some("")
                } else {
                    let rest = unread.path.strip_prefix(&module.dir);
                    rest.and_then(|rest| rest.strip_prefix('/'))
                };
                below.is_some_and(|below| {
                    let prefix = join(&module.path, below);
                    let prefix = prefix.trim_end_matches('/');
                    let rest = import_path.strip_prefix(prefix);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            })
        })
    }

    /// The folder of an import path.
    pub fn folder(&self, import_path: &str) -> Option<usize> {
        self.folders
            .binary_search_by(|folder| folder.import_path.as_str().cmp(import_path))
            .ok()
    }
}

fn is_meant(pattern: &str, folder: &Folder, here: &str) -> bool {
    let relative = pattern == "."
        || pattern == ".."
        || pattern.starts_with("./")
        || pattern.starts_with("../");
    if relative {
        return matches(&normal(&join(here, pattern)), &folder.dir);
    }
    if pattern == "all" {
        return true;
    }
    matches(pattern.trim_end_matches('/'), &folder.import_path)
            // Users also type a folder without `./`.
            || matches(&normal(&join(here, pattern)), &folder.dir)
}

/// Names are case-sensitive, as in go: `.GO` is not a Go file.
fn is_go(name: &str) -> bool {
    name.strip_suffix(".go").is_some()
}

/// `dir/name` where either may be empty.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

/// Resolves `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `...` matches any string; `x/...` also matches `x`.
fn matches(pattern: &str, path: &str) -> bool {
    if let Some(parent) = pattern.strip_suffix("/...")
        && matches(parent, path)
    {
        return true;
    }
    if pattern == "..." {
        return true;
    }
    let mut pieces = pattern.split("...");
    let Some(mut rest) = path.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut ends_open = false;
    for piece in pieces {
        ends_open = piece.is_empty();
        match rest.rfind(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty() || ends_open
}

/// Workspaces that people write have fewer modules.
const MOST_MODULES: usize = 1000;
/// Maximum number of folders of one checkout, counting those that are found
/// again.
const MOST_FOLDERS: usize = 100_000;
const DEEPEST_FOLDER: usize = 64;

/// Whether go.mod's `ignore` leaves out this folder, `below` the module's own: `./a` is
/// that folder, and `a` each folder with this path at its end.
fn is_ignored(ignored: &[String], below: &str) -> bool {
    ignored.iter().any(|entry| match entry.strip_prefix("./") {
        Some(path) => path == below,
        None => below == entry || below.ends_with(&format!("/{entry}")),
    })
}

/// # Arguments
/// `index`, `ignored`: the module's number, and its `ignore` lines.
fn walk(
    source: &dyn Source,
    module: &Module,
    (index, ignored): (usize, &[String]),
    workspace: &mut Workspace,
) {
    let Workspace {
        folders, unread, ..
    } = workspace;
    let mut met = 0;
    let mut open = vec![(module.dir.clone(), module.path.clone(), 0)];
    while let Some((dir, import_path, depth)) = open.pop() {
        met += 1;
        if met > MOST_FOLDERS {
            unread.push(Unread {
                path: module.dir.clone(),
                why: format!("only the first {MOST_FOLDERS} folders were read"),
            });
            return;
        }
        let entries = source.list(&dir).unwrap_or_else(|error| {
            unread.push(Unread {
                path: dir.clone(),
                why: error.to_string(),
            });
            Vec::new()
        });
        let is_other = !dir.is_empty()
            && dir != module.dir
            && entries
                .iter()
                .any(|entry| entry.name == "go.mod" && !entry.is_dir);
        if is_other {
            continue;
        }
        let mut files = Vec::new();
        for entry in entries {
            let hidden = entry.name.starts_with(['.', '_']);
            if entry.is_dir {
                let path = join(&dir, &entry.name);
                let below = path.strip_prefix(module.dir.as_str()).unwrap_or(&path);
                let skipped = hidden
                    || matches!(entry.name.as_str(), "testdata" | "vendor")
                    || is_ignored(ignored, below.trim_start_matches('/'));
                if skipped {
                    continue;
                }
                // Real import paths have fewer parts.
                if depth < DEEPEST_FOLDER {
                    open.push((
                        join(&dir, &entry.name),
                        format!("{import_path}/{}", entry.name),
                        depth + 1,
                    ));
                } else {
                    unread.push(Unread {
                        path: join(&dir, &entry.name),
                        why: format!("it is more than {DEEPEST_FOLDER} folders deep"),
                    });
                }
            } else if !hidden && is_go(&entry.name) {
                files.push((entry.name, entry.stamp));
            }
        }
        if !files.is_empty() {
            files.sort();
            folders.push(Folder {
                import_path,
                dir,
                module: index,
                files,
            });
        }
    }
}

/// The folders of go.work's `use` lines.
fn uses(text: &str) -> Vec<String> {
    entries(text, "use").iter().map(|dir| normal(dir)).collect()
}

/// The paths after `word`, in one line or several in parentheses.
fn entries(text: &str, word: &str) -> Vec<String> {
    let mut dirs = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let dir = if inside {
            inside = line != ")";
            line
        } else if let Some(rest) = line
            .strip_prefix(word)
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '(', '"']))
        {
            let rest = rest.trim();
            inside = rest == "(";
            rest
        } else {
            ""
        };
        let dir = dir.trim_matches('"');
        if !dir.is_empty() && !matches!(dir, "(" | ")") {
            dirs.push(dir.trim_end_matches('/').to_owned());
        }
    }
    dirs
}

/// The text after `word` at the beginning of a line.
fn directive<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix(word)?;
        rest.starts_with([' ', '\t']).then(|| {
            rest.split("//")
                .next()
                .unwrap_or_default()
                .trim()
                .trim_matches('"')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_go_says() {
        for (pattern, path, meant) in [
            ("a/...", "a", true),
            ("a/...", "a/b/c", true),
            ("a/...", "ab", false),
            ("a/.../c", "a/b/c", true),
            ("...", "x/y", true),
            ("a", "a/b", false),
            ("a/b", "a/b", true),
            (".../api/...", "x/api", true),
        ] {
            assert_eq!(matches(pattern, path), meant, "{pattern} {path}");
        }
    }

    #[test]
    fn ignored_folders_are_read() {
        let text =
            "module x\n\nignore ./node_modules\nignore (\n\tstatic // why\n\t./a/b\n)\nignored x\n";
        let ignored = entries(text, "ignore");
        assert_eq!(ignored, ["./node_modules", "static", "./a/b"]);
        for (below, is_it) in [
            ("node_modules", true),
            ("x/node_modules", false),
            ("static", true),
            ("x/static", true),
            ("xstatic", false),
            ("a/b", true),
        ] {
            assert_eq!(is_ignored(&ignored, below), is_it, "{below}");
        }
    }

    #[test]
    fn go_work_is_read() {
        let text = "go 1.24.5\n\nuse (\n\t.\n\t./pkg/machinery // why\n)\nuse ./tools\n";
        assert_eq!(uses(text), ["", "pkg/machinery", "tools"]);
        assert_eq!(directive(text, "go"), Some("1.24.5"));
    }
}
