//! Maps locations to the nodes of a report, with the granularity of the query.

use std::hash::Hash;

use hashbrown::HashMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::bounds::Budget;
use crate::error::Result;
use crate::profile::{Location, Profile};
use crate::query::{Granularity, Query};
use crate::view::View;

/// The identity of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Info {
    pub name: String,
    pub address: u64,
    pub file: String,
    pub start_line: i64,
    pub line: i64,
    pub column: i64,
    pub object: String,
}

impl Info {
    /// The name in reports.
    pub fn printable(&self) -> String {
        let mut parts = Vec::new();
        if self.address != 0 {
            parts.push(format!("{:016x}", self.address));
        }
        if !self.name.is_empty() {
            parts.push(self.name.clone());
        }
        if self.line != 0 {
            let mut place = format!("{}:{}", self.file, self.line);
            if self.column != 0 {
                place = format!("{place}:{}", self.column);
            }
            parts.push(place);
        } else if !self.file.is_empty() {
            parts.push(self.file.clone());
        } else if self.name.is_empty() && !self.object.is_empty() {
            parts.push(format!("[{}]", base(&self.object)));
        } else if self.name.is_empty() {
            parts.push("<unknown>".into());
        }
        parts.join(" ")
    }

    /// The last criterion of pprof's order: the fields as Go prints them.
    pub fn tie(&self) -> String {
        format!(
            "{{{}  {} {} {} {} {} {}}}",
            self.name,
            self.address,
            self.file,
            self.start_line,
            self.line,
            self.column,
            self.object
        )
    }
}

/// Nodes, and those of each location.
#[derive(Debug)]
pub struct Frames {
    pub infos: Vec<Info>,
    /// Nodes of the locations, innermost first.
    nodes: Vec<u32>,
    ranges: Vec<(u32, u32)>,
}

impl Frames {
    /// # Errors
    /// Names that are repeated until they fill the memory.
    pub fn new(profile: &Profile, view: &View, query: &Query, objects: bool) -> Result<Self> {
        let mut builder = Builder {
            budget: Budget::names(profile, "the text of all names"),
            profile,
            query,
            objects,
            infos: Vec::new(),
            places: HashMap::default(),
            by_function: vec![u32::MAX; profile.functions.len()],
            by_line: FxHashMap::default(),
        };
        let mut nodes = Vec::with_capacity(profile.lines.len());
        let mut ranges = Vec::with_capacity(profile.locations.len());
        for (place, location) in (0_u32..).zip(&profile.locations) {
            let from = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            let lines = view.lines(place);
            if lines.is_empty() {
                nodes.push(builder.nameless(location)?);
            }
            for line in lines {
                nodes.push(builder.line(location, *line)?);
            }
            let to = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            ranges.push((from, to));
        }
        Ok(Self {
            infos: builder.infos,
            nodes,
            ranges,
        })
    }

    /// All indices of locations.
    pub(crate) fn locations(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.ranges.len()).unwrap_or(u32::MAX)
    }

    /// Nodes, innermost first; all but the last are inlined.
    #[inline]
    pub fn of_location(&self, location: u32) -> &[u32] {
        let (start, end) = self.ranges[location as usize];
        &self.nodes[start as usize..end as usize]
    }

    /// Marks the nodes that are inlined anywhere.
    pub(crate) fn mark_inlined(&self, inlined: &mut [bool]) {
        for (start, end) in &self.ranges {
            let nodes = &self.nodes[*start as usize..*end as usize];
            for node in &nodes[..nodes.len().saturating_sub(1)] {
                inlined[*node as usize] = true;
            }
        }
    }

    /// Merges the nodes of `other` into these, which then contain all of its infos.
    pub(crate) fn join(&mut self, other: &mut Self) {
        let ours = self.infos.iter().cloned().zip(0_u32..);
        let mut places: HashMap<Info, u32, FxBuildHasher> = ours.collect();
        let infos = std::mem::take(&mut other.infos).into_iter();
        let moved: Vec<u32> = infos
            .map(|info| {
                let next = u32::try_from(self.infos.len()).unwrap_or(u32::MAX);
                let place = *places.entry(info.clone()).or_insert(next);
                if place == next {
                    self.infos.push(info);
                }
                place
            })
            .collect();
        for node in &mut other.nodes {
            *node = moved[*node as usize];
        }
    }
}

struct Builder<'a> {
    profile: &'a Profile,
    query: &'a Query,
    objects: bool,
    infos: Vec<Info>,
    places: HashMap<Info, u32, FxBuildHasher>,
    by_function: Vec<u32>,
    by_line: FxHashMap<(u32, i64, i64), u32>,
    budget: Budget,
}

impl Builder<'_> {
    fn intern(&mut self, info: Info) -> Result<u32> {
        // Counted for known nodes too, whose text was put together as well.
        let text = info.name.len() + info.file.len() + info.object.len();
        self.budget.take(text)?;
        let next = u32::try_from(self.infos.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry(info.clone()).or_insert(next);
        if place == next {
            self.infos.push(info);
        }
        Ok(place)
    }

    fn keeps_address(&self) -> bool {
        self.query.granularity == Granularity::Addresses
    }

    fn nameless(&mut self, location: &Location) -> Result<u32> {
        let info = Info {
            address: if self.keeps_address() {
                location.address
            } else {
                0
            },
            object: self.object(location),
            ..Info::default()
        };
        self.intern(info)
    }

    fn object(&self, location: &Location) -> String {
        let mapping = self.profile.mapping(location);
        mapping.map_or_else(String::new, |of| self.profile.row(of.file).into_owned())
    }

    fn line(&mut self, location: &Location, place: u32) -> Result<u32> {
        let line = self.profile.lines[place as usize];
        let function = self.profile.functions[line.function as usize];
        // A function with a name is one node wherever it is: its name need not
        // be looked at again.
        let nameless =
            !self.profile.has_text(function.name) || self.query.granularity == Granularity::Files;
        let cacheable = !nameless && !self.objects;
        match self.query.granularity {
            Granularity::Functions | Granularity::FileFunctions if cacheable => {
                let known = self.by_function[line.function as usize];
                if known != u32::MAX {
                    return Ok(known);
                }
            }
            Granularity::Lines if cacheable => {
                let key = (line.function, line.line, line.column);
                if let Some(known) = self.by_line.get(&key) {
                    return Ok(*known);
                }
            }
            _ => {}
        }
        let info = self.info(location, place);
        let node = self.intern(info)?;
        if cacheable {
            self.by_function[line.function as usize] = node;
            if self.query.granularity == Granularity::Lines {
                self.by_line
                    .insert((line.function, line.line, line.column), node);
            }
        }
        Ok(node)
    }

    fn info(&self, location: &Location, place: u32) -> Info {
        use Granularity::{Addresses, FileFunctions, Files, Functions, Lines};
        let line = self.profile.lines[place as usize];
        let function = self.profile.functions[line.function as usize];
        let of = self.query.granularity;
        let mut info = Info::default();
        if of != Files {
            info.name = self.profile.row(function.name).into_owned();
        }
        if matches!(of, FileFunctions | Files | Lines | Addresses) {
            info.file = clean(&self.profile.row(function.file));
        }
        if matches!(of, Lines | Addresses) {
            info.line = line.line;
            // Without aggregation, addresses keep their columns too.
            if self.query.showcolumns || (of == Addresses && !self.query.noinlines) {
                info.column = line.column;
            }
        }
        if self.keeps_address() {
            info.address = location.address;
        }
        // A file is one node, whichever functions are in it.
        if of != Files && (self.objects || info.name.is_empty()) {
            info.object = self.object(location);
            info.start_line = function.start_line;
        }
        debug_assert!(of != Functions || info.file.is_empty());
        info
    }
}

/// The last element of a path, like `path.Base` of Go.
pub fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// Cleans a path like `path.Clean` of Go, except that an empty path stays empty.
fn clean(path: &str) -> String {
    let path = ["/proc/self/cwd/./", "/proc/self/cwd/"]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        .unwrap_or(path);
    if path.is_empty() {
        return String::new();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, want) in [
            ("", ""),
            ("/a//b/./c/../d", "/a/b/d"),
            ("../x", "../x"),
            ("/..", "/"),
            ("a/..", "."),
            ("/proc/self/cwd/./x.c", "x.c"),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
    }

    #[test]
    fn nodes_are_named_by_what_is_known() {
        let info = |name: &str, object: &str| Info {
            name: name.into(),
            object: object.into(),
            ..Info::default()
        };
        assert_eq!(info("main.f", "").printable(), "main.f");
        assert_eq!(info("", "/usr/lib/libc.so").printable(), "[libc.so]");
        assert_eq!(info("", "").printable(), "<unknown>");
        let mut place = info("main.f", "");
        (place.file, place.line, place.address) = ("/m.go".into(), 7, 0x4a);
        assert_eq!(place.printable(), "000000000000004a main.f /m.go:7");
    }
}
