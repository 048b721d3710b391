//! A profile seen through the filters of a query: the remaining lines of each
//! location, frames of a stack, and samples.
//!
//! The rules and their order are those of github.com/google/pprof/profile
//! (filter.go, prune.go) and `driver_focus.go`.

mod names;
mod prune;

use regex::Regex;

use crate::error::{Error, Result};
use crate::profile::{Label, Profile};
use crate::query::Query;
use crate::tags::TagFilter;
use names::{Matches, NameFilters};

const FOCUSED: u8 = 1;
const IGNORED: u8 = 2;
const HIDDEN: u8 = 4;
const PRUNED: u8 = 8;
const PRUNED_BENEATH: u8 = 16;
const SHOW_FROM: u8 = 32;
const PRUNE_FROM: u8 = 64;

/// The filters, applied to every location once.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each filter")]
pub struct View {
    /// The remaining indices in `Profile::lines`.
    lines: Vec<u32>,
    /// Per location, its range in `lines`.
    ranges: Vec<(u32, u32)>,
    flags: Vec<u8>,
    prunes: bool,
    by_name: bool,
    hides: bool,
    show_from: bool,
    prune_from: bool,
    focus_tag: Option<TagFilter>,
    ignore_tag: Option<TagFilter>,
    /// Filters that matched nothing, as text.
    pub warnings: Vec<String>,
}

/// Compiles an expression, naming the option in errors.
///
/// # Errors
/// An expression that does not compile.
pub fn compile(option: &str, value: Option<&str>) -> Result<Option<Regex>> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let compiled = Regex::new(value);
    compiled
        .map(Some)
        .map_err(|error| Error::Query(format!("`{option}`: {error}")))
}

impl View {
    /// The rules of the profile itself, without the filters of the query.
    ///
    /// # Errors
    /// Expressions that do not compile.
    pub(crate) fn pruned(profile: &Profile, query: &Query) -> Result<Self> {
        let all = u32::try_from(profile.lines.len()).unwrap_or(u32::MAX);
        let mut view = Self {
            lines: (0..all).collect(),
            ranges: profile.locations.iter().map(|of| of.lines).collect(),
            flags: vec![0; profile.locations.len()],
            prunes: false,
            by_name: false,
            hides: false,
            show_from: false,
            prune_from: false,
            focus_tag: None,
            ignore_tag: None,
            warnings: Vec::new(),
        };
        if !query.all_frames {
            view.prune(profile)?;
        }
        Ok(view)
    }

    /// # Errors
    /// Expressions that do not compile, malformed samples.
    pub fn new(profile: &Profile, query: &Query) -> Result<Self> {
        let mut view = Self::pruned(profile, query)?;
        view.filter_names(profile, query)?;
        view.filter_show_from(profile, query)?;
        let units = || crate::tags::number_units(profile);
        view.focus_tag = TagFilter::new("tagfocus", query.tagfocus.as_deref(), units)?;
        view.ignore_tag = TagFilter::new("tagignore", query.tagignore.as_deref(), units)?;
        view.filter_prune_from(profile, query)?;
        if query.noinlines {
            for range in &mut view.ranges {
                range.0 = range.0.max(range.1.saturating_sub(1));
            }
        }
        Ok(view)
    }

    /// Returns the remaining lines of a location, innermost first, as indices
    /// in `Profile::lines`.
    pub fn lines(&self, location: u32) -> &[u32] {
        let (start, end) = self.ranges[location as usize];
        &self.lines[start as usize..end as usize]
    }

    /// The range of each location's remaining lines in `Profile::lines`, if none was left out
    /// in between.
    pub(crate) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Whether the result depends on the labels of samples.
    pub(crate) fn needs_labels(&self) -> bool {
        self.focus_tag.is_some() || self.ignore_tag.is_some()
    }

    /// Whether stacks pass unchanged.
    pub(crate) fn is_plain(&self) -> bool {
        !(self.prunes || self.by_name || self.show_from || self.prune_from)
    }

    /// Whether a sample with these labels is wanted.
    pub fn keeps_labels(&self, profile: &Profile, labels: &[Label]) -> bool {
        let matches = |filter: &TagFilter| filter.matches(profile, labels);
        self.focus_tag.as_ref().is_none_or(matches)
            && !self.ignore_tag.as_ref().is_some_and(matches)
    }

    /// Removes unwanted frames, leaf first; returns whether the sample stays.
    pub fn keeps_stack(&self, stack: &mut Vec<u32>) -> bool {
        if self.prunes {
            self.cut_pruned(stack);
        }
        if self.by_name {
            let mut focused = false;
            for location in &*stack {
                let flags = self.flags[*location as usize];
                if flags & IGNORED != 0 {
                    return false;
                }
                focused |= flags & FOCUSED != 0;
            }
            if !focused {
                return false;
            }
            if self.hides {
                stack.retain(|location| self.flags[*location as usize] & HIDDEN == 0);
                if stack.is_empty() {
                    return false;
                }
            }
        }
        if self.show_from {
            let has = |location: &u32| self.flags[*location as usize] & SHOW_FROM != 0;
            let Some(highest) = stack.iter().rposition(has) else {
                return false;
            };
            stack.truncate(highest + 1);
        }
        if self.prune_from {
            let has = |location: &u32| self.flags[*location as usize] & PRUNE_FROM != 0;
            if let Some(lowest) = stack.iter().position(has) {
                stack.drain(..lowest);
            }
        }
        true
    }

    fn filter_names(&mut self, profile: &Profile, query: &Query) -> Result<()> {
        let Some(filters) = NameFilters::new(profile, query)? else {
            return Ok(());
        };
        self.by_name = true;
        let (hide, show) = (&filters.hide, &filters.show);
        let mut found = [
            filters.focus.is_none(),
            filters.ignore.is_none(),
            hide.is_none(),
            show.is_none(),
        ];
        let mut left = Vec::with_capacity(self.lines.len());
        for place in 0..self.ranges.len() {
            let (start, end) = self.ranges[place];
            let lines = &self.lines[start as usize..end as usize];
            let mapping = profile.locations[place].mapping;
            let flag = filters.flag(profile, lines, mapping);
            found[0] |= flag == FOCUSED;
            found[1] |= flag == IGNORED;
            self.flags[place] |= flag;
            let from = u32::try_from(left.len()).unwrap_or(u32::MAX);
            let hiding = hide
                .as_ref()
                .filter(|of| of.location(profile, lines, mapping));
            found[2] |= hiding.is_some();
            let unhidden = |line: &u32| {
                hiding.is_none_or(|of| !of.mapping(mapping) && !of.line(profile, *line))
            };
            let shown = |line: &u32| {
                show.as_ref()
                    .is_none_or(|of| of.mapping(mapping) || of.line(profile, *line))
            };
            left.extend(lines.iter().filter(|line| unhidden(line) && shown(line)));
            let to = u32::try_from(left.len()).unwrap_or(u32::MAX);
            found[3] |= show.is_some() && from != to;
            if from == to && (hiding.is_some() || show.is_some()) {
                self.flags[place] |= HIDDEN;
                self.hides = true;
            }
            self.ranges[place] = (from, to);
        }
        self.lines = left;
        for (found, option) in found.iter().zip(["Focus", "Ignore", "Hide", "Show"]) {
            self.warn(*found, option);
        }
        Ok(())
    }

    fn warn(&mut self, found: bool, option: &str) {
        if !found {
            let warning = format!("{option} expression matched no samples");
            self.warnings.push(warning);
        }
    }

    fn filter_show_from(&mut self, profile: &Profile, query: &Query) -> Result<()> {
        let Some(regex) = compile("show_from", query.show_from.as_deref())? else {
            return Ok(());
        };
        let matches = Matches::new(profile, &regex);
        self.show_from = true;
        let mut found = false;
        for (place, range) in self.ranges.iter_mut().enumerate() {
            let lines = &self.lines[range.0 as usize..range.1 as usize];
            if !matches.mapping(profile.locations[place].mapping) {
                let hit = lines.iter().rposition(|line| matches.line(profile, *line));
                let Some(last) = hit else { continue };
                range.1 = range.0 + u32::try_from(last + 1).unwrap_or(0);
            }
            self.flags[place] |= SHOW_FROM;
            found = true;
        }
        self.warn(found, "ShowFrom");
        Ok(())
    }
}
