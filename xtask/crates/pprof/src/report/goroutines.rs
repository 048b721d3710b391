//! Goroutines in groups of the same place and state, with the longest wait and the
//! count per node. States, waits and creators are labels of `debug=2`; profiles without
//! them are grouped by stack alone.

use std::fmt::Write;

use pprof_engine::{Budget, Label, Profile, Query, Result, Sample, View};
use rustc_hash::FxHashMap;

use crate::legacy::{CREATED_BY, STATE, WAIT};

/// Maximum number of nodes, and of counts of all groups on all nodes.
const NODES: usize = 1024;
const CELLS: usize = 1 << 24;
/// Frames shown of a group, unless nothing is to be trimmed.
const FRAMES: usize = 8;

/// Goroutines in groups, the largest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goroutines {
    pub total: i64,
    /// Values of the label that distinguishes nodes; one empty value without it.
    pub nodes: Vec<String>,
    pub groups: Vec<Group>,
    pub warnings: Vec<String>,
}

/// Goroutines that do the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    pub count: i64,
    /// Empty if the profile does not contain it.
    pub state: String,
    /// Minutes that the oldest has waited; 0 for less than one.
    pub wait: i64,
    pub created_by: String,
    /// In the order of `Goroutines::nodes`.
    pub counts: Vec<i64>,
    /// Names, innermost first, without the runtime's own.
    pub stack: Vec<String>,
    /// Place in the source for each of `stack`; may be empty.
    pub places: Vec<String>,
}

/// One frame: a name, and the line of the source.
type Frame = (String, String);

/// Groups what the filters keep; `split` is the key of the nodes' label.
///
/// # Errors
/// Malformed samples; a query that does not fit.
pub fn goroutines(profile: &Profile, query: &Query, split: &str) -> Result<Goroutines> {
    let value = profile.sample_index(query.sample_index.as_deref())?;
    let view = View::new(profile, query)?;
    let mut found = Goroutines {
        total: 0,
        nodes: Vec::new(),
        groups: Vec::new(),
        warnings: view.warnings.clone(),
    };
    let mut places: FxHashMap<(String, String, Vec<String>), usize> = FxHashMap::default();
    let mut budget = Budget::names(profile, "the text of all stacks");
    let mut cells = Budget::new(CELLS, "the number of groups on all nodes");
    let mut sample = Sample::default();
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        let count = sample.values[value];
        let labels = &sample.labels;
        if count == 0
            || !view.keeps_labels(profile, labels)
            || !view.keeps_stack(&mut sample.locations)
        {
            continue;
        }
        let text = |key: &str| {
            let label = find(profile, labels, key);
            label.map_or_else(String::new, |label| profile.row(label.str).into_owned())
        };
        let frames = frames(profile, &view, &sample.locations, &mut budget)?;
        let (names, lines): (Vec<String>, Vec<String>) = frames.into_iter().unzip();
        let key = (text(STATE), text(CREATED_BY), names);
        let next = found.groups.len();
        let place = *places.entry(key.clone()).or_insert(next);
        if place == next {
            found.groups.push(Group {
                state: key.0,
                created_by: key.1,
                stack: key.2,
                places: lines,
                ..Group::default()
            });
        }
        let node = found.node(text(split));
        let wait = find(profile, labels, WAIT).map_or(0, |label| label.num);
        let group = &mut found.groups[place];
        cells.take((node + 1).saturating_sub(group.counts.len()))?;
        group.add(count, node, wait);
        found.total = found.total.wrapping_add(count);
    }
    // Each group has a count for each node.
    cells = Budget::new(CELLS, "the number of groups on all nodes");
    cells.take(found.groups.len().saturating_mul(found.nodes.len()))?;
    sort(&mut found);
    Ok(found)
}

fn find<'a>(profile: &Profile, labels: &'a [Label], key: &str) -> Option<&'a Label> {
    let mut labels = labels.iter();
    labels.find(|label| profile.text_bytes(label.key) == key.as_bytes())
}

/// Nodes by name, the largest and oldest groups first.
fn sort(found: &mut Goroutines) {
    let mut order: Vec<usize> = (0..found.nodes.len()).collect();
    order.sort_by(|left, right| found.nodes[*left].cmp(&found.nodes[*right]));
    found.nodes = order.iter().map(|of| found.nodes[*of].clone()).collect();
    for group in &mut found.groups {
        let counts = order.iter().map(|of| group.counts.get(*of).copied());
        group.counts = counts.map(Option::unwrap_or_default).collect();
    }
    found.groups.sort_by(|left, right| {
        let weight = |of: &Group| std::cmp::Reverse((of.count.wrapping_abs(), of.wait));
        weight(left)
            .cmp(&weight(right))
            .then_with(|| left.stack.cmp(&right.stack))
            .then_with(|| left.state.cmp(&right.state))
    });
}

/// Returns frames, innermost first, without the runtime's own frames at that
/// end, which only show that the goroutine waits.
fn frames(
    profile: &Profile,
    view: &View,
    stack: &[u32],
    budget: &mut Budget,
) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for location in stack {
        let lines = view.lines(*location);
        if lines.is_empty() {
            let address = profile.locations[*location as usize].address;
            frames.push((format!("{address:#x}"), String::new()));
        }
        for line in lines {
            let line = profile.line(*line);
            let function = profile.functions[line.function as usize];
            let file = profile.row(function.file);
            let place = match (&*file, line.line) {
                ("", _) => String::new(),
                (file, 0) => file.to_owned(),
                (file, line) => format!("{file}:{line}"),
            };
            let name = profile.row(function.name).into_owned();
            budget.take(size_of::<Frame>() + name.len() + place.len())?;
            frames.push((name, place));
        }
    }
    let waits = |(name, _): &Frame| {
        let own = [
            "runtime.",
            "internal/poll.",
            "internal/runtime/",
            "internal/sync.",
        ];
        own.iter().any(|own| name.starts_with(own))
    };
    Ok(match frames.iter().position(|frame| !waits(frame)) {
        Some(first) => frames.split_off(first),
        None => frames,
    })
}

impl Goroutines {
    /// Returns the index of a node among `nodes`; nodes beyond the limit share
    /// the last.
    fn node(&mut self, name: String) -> usize {
        let known = self.nodes.iter().position(|node| *node == name);
        known.unwrap_or_else(|| {
            if self.nodes.len() < NODES {
                self.nodes.push(name);
            }
            self.nodes.len() - 1
        })
    }

    /// Returns at most `groups` groups with their stacks as text; long stacks
    /// are cut if `trim` is set.
    pub fn text(&self, groups: usize, trim: bool) -> String {
        let mut text = format!(
            "{} goroutine{} in {} group{}\n",
            self.total,
            if self.total == 1 { "" } else { "s" },
            self.groups.len(),
            if self.groups.len() == 1 { "" } else { "s" }
        );
        for group in self.groups.iter().take(groups) {
            group.write(&mut text, &self.nodes, trim);
        }
        if self.groups.len() > groups {
            let _ = writeln!(text, "\n… {} more groups: -n N", self.groups.len() - groups);
        }
        text
    }
}

impl Group {
    /// Adds `count` goroutines of a node, of which one has waited for `wait`.
    fn add(&mut self, count: i64, node: usize, wait: i64) {
        self.count = self.count.wrapping_add(count);
        self.wait = self.wait.max(wait);
        self.counts.resize(self.counts.len().max(node + 1), 0);
        self.counts[node] = self.counts[node].wrapping_add(count);
    }

    /// State, oldest wait and creator in one line.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if !self.state.is_empty() {
            parts.push(self.state.clone());
        }
        if self.wait > 0 {
            parts.push(format!("up to {} min", self.wait));
        }
        if !self.created_by.is_empty() {
            parts.push(format!("created by {}", self.created_by));
        }
        parts.join(", ")
    }

    fn write(&self, out: &mut String, nodes: &[String], trim: bool) {
        let line = format!("\n{:>6}  {}", self.count, self.describe());
        let _ = writeln!(out, "{}", line.trim_end());
        if nodes.len() > 1 {
            let counts = nodes.iter().zip(&self.counts);
            let counts: Vec<String> = counts
                .filter(|(_, count)| **count != 0)
                .map(|(node, count)| format!("{node} {count}"))
                .collect();
            let _ = writeln!(out, "        on {}", counts.join(", "));
        }
        let frames = if trim { FRAMES } else { usize::MAX };
        for (name, place) in self.stack.iter().zip(&self.places).take(frames) {
            let gap = if place.is_empty() { "" } else { "  " };
            let _ = writeln!(out, "          {name}{gap}{place}");
        }
        if self.stack.len() > frames {
            let _ = writeln!(out, "          … {} more", self.stack.len() - frames);
        }
    }
}
