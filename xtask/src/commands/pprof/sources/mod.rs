//! Finds the sources that a profile names on this host. Images are built
//! elsewhere: in `/src`, with their own module cache and Go, or with
//! `-trimpath`, which leaves only module and package.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use ::pprof::Profile;
use camino::{Utf8Path, Utf8PathBuf};

use super::args::SourceArgs;
use super::load::engine;
use crate::app::App;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::probe::Probe;
use foundation::failure::Result;
use foundation::files;
use foundation::program;

/// Source files are smaller.
const LARGEST: u64 = 16 << 20;
/// Maximum depth of folders: a path from an untrusted profile decides how often
/// a file is looked for.
const DEEPEST: usize = 40;
const TALOS: &str = "github.com/siderolabs/talos";
/// The label in which a fetch notes what the node runs.
pub(super) const BUILD_LABEL: &str = "talos";

/// A module whose working tree is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Module {
    path: String,
    dir: Utf8PathBuf,
}

/// Go's own folders.
#[derive(Debug, Clone, Default)]
struct GoDirs {
    modules: Option<Utf8PathBuf>,
    root: Option<Utf8PathBuf>,
}

/// Finds and reads sources; remembers where it found them.
#[derive(Debug)]
pub(super) struct Sources {
    modules: Vec<Module>,
    checkout: Option<Checkout>,
    cwd: Utf8PathBuf,
    home: Option<Utf8PathBuf>,
    search: Vec<Utf8PathBuf>,
    trim: Vec<String>,
    go: OnceCell<GoDirs>,
    /// Paths on this host by names in the profile, of files that were read.
    found: RefCell<BTreeMap<String, Utf8PathBuf>>,
}

impl Sources {
    pub(super) fn new(app: &App<'_>, args: &SourceArgs) -> Self {
        let cwd = app.ctx.cwd.clone();
        let checkout = app.ctx.checkout().ok();
        let mut modules: Vec<Module> = cwd.ancestors().filter_map(module).collect();
        if let Some(checkout) = &checkout {
            modules.insert(
                0,
                Module {
                    path: TALOS.into(),
                    dir: checkout.dir.clone(),
                },
            );
        }
        let split = |list: &Option<String>| -> Vec<String> {
            let list = list.as_deref().unwrap_or_default().split(':');
            list.filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let search = split(&args.source_path);
        Self {
            modules,
            checkout,
            search: search.iter().map(|dir| cwd.join(dir)).collect(),
            trim: split(&args.trim_path),
            home: std::env::var("HOME").ok().map(Utf8PathBuf::from),
            cwd,
            go: OnceCell::new(),
            found: RefCell::default(),
        }
    }

    /// A file's lines, or why there are none.
    pub(super) fn read(&self, name: &str) -> std::result::Result<Vec<String>, String> {
        let places = self.places(name);
        let file = places
            .iter()
            .find(|place| place.is_file())
            .ok_or_else(|| format!("no source of `{name}` on this host"))?;
        let bytes = files::read(file, LARGEST)
            .map_err(|error| format!("`{file}`: {error}"))?
            .ok_or_else(|| format!("`{file}` is gone"))?;
        self.found
            .borrow_mut()
            .insert(name.to_owned(), file.clone());
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Possible paths, the likeliest first.
    fn places(&self, name: &str) -> Vec<Utf8PathBuf> {
        let mut places = Vec::new();
        for prefix in &self.trim {
            let rest = name.strip_prefix(prefix.trim_end_matches('/'));
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix('/')) {
                places.extend(self.search_for(rest));
            }
        }
        places.extend(self.in_modules(name));
        let path = Utf8Path::new(name);
        if path.is_absolute() {
            places.push(path.to_owned());
        }
        // The parent folder may have had any name there.
        let parts = parts(name);
        places.extend(parts.iter().flat_map(|rest| self.search_for(rest)));
        if name.contains('@') {
            let cache = self.go().modules.as_ref();
            places.extend(parts.iter().flat_map(|rest| {
                let cache = cache.iter();
                cache.flat_map(move |cache| [cache.join(rest), cache.join(escaped(rest))])
            }));
        }
        places.extend(self.in_vendor(name));
        if let Some(root) = &self.go().root {
            places.extend(in_go_root(name).map(|rest| root.join("src").join(rest)));
        }
        if !path.is_absolute() {
            let here = self.cwd.ancestors().take(DEEPEST);
            places.extend(here.map(|dir| dir.join(path)));
        }
        places
    }

    fn search_for(&self, rest: &str) -> Vec<Utf8PathBuf> {
        let of = |dir: &Utf8PathBuf| dir.join(rest);
        self.search.iter().map(of).collect()
    }

    /// `/src/…` as Talos' Dockerfile has it, `MODULE/…` and `MODULE@VERSION/…`
    /// as `-trimpath` does.
    fn in_modules(&self, name: &str) -> Vec<Utf8PathBuf> {
        let mut places = Vec::new();
        if let (Some(checkout), Some(rest)) = (&self.checkout, name.strip_prefix("/src/")) {
            places.push(checkout.dir.join(rest));
        }
        // A module that is replaced by a folder has its version in the name.
        let plain: Vec<&str> = name
            .split('/')
            .map(|part| part.split('@').next().unwrap_or(part))
            .collect();
        let plain = plain.join("/");
        for module in &self.modules {
            let rest = plain.strip_prefix(&module.path);
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix('/')) {
                places.push(module.dir.join(rest));
            }
        }
        places
    }

    /// In the `vendor` folder of a module that uses the one in the name, which has a version.
    fn in_vendor(&self, name: &str) -> Vec<Utf8PathBuf> {
        let below = name.rsplit_once("/pkg/mod/").map_or(name, |(_, rest)| rest);
        let Some((module, rest)) = below.split_once('@') else {
            return Vec::new();
        };
        let Some((_, file)) = rest.split_once('/') else {
            return Vec::new();
        };
        let vendored = |of: &Module| of.dir.join("vendor").join(module).join(file);
        self.modules.iter().map(vendored).collect()
    }

    /// Asked once, and only if a file must be looked for there.
    fn go(&self) -> &GoDirs {
        self.go.get_or_init(|| {
            let dir = |name: &str| {
                let dir = std::env::var(name).ok().filter(|dir| !dir.is_empty());
                dir.map(Utf8PathBuf::from)
            };
            let (modules, root) = (dir("GOMODCACHE"), dir("GOROOT"));
            if modules.is_some() && root.is_some() {
                return GoDirs { modules, root };
            }
            let said = Probe::new(["go", "env", "GOMODCACHE", "GOROOT"]);
            let said = said.current_dir(&self.cwd).stdout();
            let mut said = said.iter().flat_map(|text| text.lines());
            let mut told = || said.next().filter(|dir| !dir.is_empty());
            let (told_modules, told_root) =
                (told().map(Utf8PathBuf::from), told().map(Utf8PathBuf::from));
            let usual = self.home.as_ref().map(|home| home.join("go/pkg/mod"));
            GoDirs {
                modules: modules.or(told_modules).or(usual),
                root: root.or(told_root),
            }
        })
    }

    /// Files that were read from another place than the profile names, as
    /// folders: there and here.
    pub(super) fn moved(&self) -> Vec<(String, Utf8PathBuf)> {
        let mut moved = BTreeMap::new();
        for (name, file) in &*self.found.borrow() {
            let same = |(one, other): &(&str, &str)| one == other;
            let theirs: Vec<&str> = name.split('/').collect();
            let ours: Vec<&str> = file.as_str().split('/').collect();
            let (back, forth) = (theirs.iter().rev().copied(), ours.iter().rev().copied());
            let common = back.zip(forth).take_while(same).count();
            if common == theirs.len() && common == ours.len() {
                continue;
            }
            let theirs = theirs[..theirs.len() - common].join("/");
            moved.insert(theirs, ours[..ours.len() - common].join("/").into());
        }
        moved.into_iter().collect()
    }

    /// Returns a warning that lines may be wrong: the checkout is at another
    /// commit than the build of the nodes.
    ///
    /// # Errors
    /// Malformed samples.
    pub(super) fn mismatch(&self, profile: &Profile) -> Result<Option<String>> {
        let Some(checkout) = &self.checkout else {
            return Ok(None);
        };
        let from_checkout = |file: &Utf8PathBuf| file.starts_with(&checkout.dir);
        if !self.found.borrow().values().any(from_checkout) {
            return Ok(None);
        }
        let builds = profile
            .label_values(BUILD_LABEL)
            .map_err(|error| engine(&error))?;
        let here = checkout.tag().unwrap_or_else(|| {
            format!("v{}", checkout.version.to_string().trim_start_matches('v'))
        });
        Ok(differs(&builds, &here).map(|build| {
            format!(
                "the profile is of Talos {build}, `{}` is {here}: lines may be off ({})",
                checkout.dir,
                program!("git -C {} checkout {}", checkout.dir, commit_of(build))
            )
        }))
    }
}

/// Returns the first build of another commit than `here`. Changes that are not
/// committed do not count, because nothing shows which they were.
fn differs<'a>(builds: &'a [String], here: &str) -> Option<&'a str> {
    let clean = |tag: &str| tag.trim_end_matches("-dirty").to_owned();
    let here = clean(here);
    let mut builds = builds.iter().map(String::as_str);
    builds.find(|build| clean(build) != here)
}

/// `v1.12.0-3-gabc1234-dirty` is commit `abc1234`; a tag is itself.
fn commit_of(build: &str) -> &str {
    let build = build.trim_end_matches("-dirty");
    let commit = build.rsplit_once("-g").map(|(_, commit)| commit);
    commit
        .filter(|commit| commit.len() >= 7 && commit.bytes().all(|c| c.is_ascii_hexdigit()))
        .unwrap_or(build)
}

/// The path, then the path without its first folder, without its first two, and
/// so on.
fn parts(name: &str) -> Vec<&str> {
    let name = name.trim_start_matches('/');
    let rest = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
    std::iter::once(name).chain(rest).take(DEEPEST).collect()
}

/// Below `GOROOT/src`, of another Go or as `-trimpath` writes it.
fn in_go_root(name: &str) -> impl Iterator<Item = &str> {
    let bare = Some(name).filter(|name| !name.starts_with('/') && !name.contains('@'));
    let below = name.match_indices("/src/").map(|(at, _)| &name[at + 5..]);
    bare.into_iter().chain(below)
}

/// Escapes as in the module cache: an upper-case letter is `!` and its lower
/// case, except in versions.
fn escaped(path: &str) -> String {
    let end = path.find('@').unwrap_or(path.len());
    let mut out = String::new();
    for c in path[..end].chars() {
        if c.is_ascii_uppercase() {
            out.push('!');
        }
        out.push(c.to_ascii_lowercase());
    }
    out + &path[end..]
}

fn module(dir: &Utf8Path) -> Option<Module> {
    let text = files::read_text(&dir.join("go.mod"), files::SMALL).ok()??;
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("module "))?
        .trim();
    Some(Module {
        path: path.trim_matches('"').to_owned(),
        dir: dir.to_owned(),
    })
}

#[cfg(test)]
mod tests;
