//! The graph of calls as graphviz and kcachegrind draw it: nodes that are left out are
//! bridged by residual edges, and the most telling nodes are kept
//! (github.com/google/pprof/internal/graph).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use pprof_engine::{
    Frames, Info, Profile, Query, Result, Sample, View, Weighing, Weight, cutoff, with_tag_frames,
};

use super::node_labels::{self, NodeLabels, Reader};
use super::{Question, Text};

/// Calls from one node to another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Call {
    pub(super) weight: i64,
    /// Goes over nodes that are left out.
    pub(super) residual: bool,
    /// Always inlined.
    pub(super) inline: bool,
}

/// Nodes with their weights, and the calls between them.
pub(super) struct CallGraph {
    pub(super) weights: Vec<Weight>,
    /// Indices of nodes in `Frames::infos`, in their order.
    pub(super) shown: Vec<u32>,
    pub(super) calls: BTreeMap<(u32, u32), Call>,
    pub(super) labels: Labels,
    /// Before the number of nodes was limited.
    pub(super) original: usize,
    pub(super) dropped_nodes: usize,
    pub(super) dropped_calls: usize,
}

/// What the graph is made of.
pub(super) struct Input<'a> {
    pub(super) profile: &'a Profile,
    pub(super) view: &'a View,
    pub(super) frames: &'a Frames,
    pub(super) query: &'a Query,
    pub(super) weighing: Weighing,
    /// Printable names of the frames.
    pub(super) names: &'a [String],
}

/// Answers a question about the graph of a profile; `objects` tells nodes of several
/// programs apart.
///
/// # Errors
/// Malformed samples, a query that does not fit the profile.
pub(super) fn asked(
    profile: &Profile,
    query: &Query,
    objects: bool,
    tell: impl FnOnce(&Question<'_>, &Input<'_>) -> Result<String>,
) -> Result<Text> {
    with_tag_frames(profile, query, |profile, query| {
        let question = Question::new(profile, query)?;
        let view = View::new(profile, query)?;
        let frames = Frames::new(profile, &view, query, objects)?;
        let names: Vec<String> = frames.infos.iter().map(Info::printable).collect();
        let input = Input {
            profile,
            view: &view,
            frames: &frames,
            query,
            weighing: question.weighing,
            names: &names,
        };
        let text = tell(&question, &input)?;
        Ok(Text {
            text,
            warnings: view.warnings,
        })
    })
}

impl CallGraph {
    /// All nodes and calls.
    ///
    /// # Errors
    /// Malformed samples.
    pub(super) fn whole(input: &Input<'_>) -> Result<Self> {
        build(input, None)
    }

    /// The nodes that tell most, at most `count` with their labels, and the calls above the
    /// fractions of the query; calls that other paths stand for are left out.
    ///
    /// # Errors
    /// Malformed samples.
    pub(super) fn trimmed(input: &Input<'_>, count: usize) -> Result<Self> {
        let mut graph = build(input, None)?;
        let sum = graph.sum();
        let (least, least_call) = (
            cutoff(sum, input.query.nodefraction),
            cutoff(sum, input.query.edgefraction),
        );
        let mut dropped_nodes = 0;
        if least > 0 {
            let kept: BTreeSet<u32> = graph
                .shown
                .iter()
                .copied()
                .filter(|node| graph.weights[*node as usize].cum.wrapping_abs() >= least)
                .collect();
            dropped_nodes = graph.shown.len() - kept.len();
            if dropped_nodes > 0 {
                graph = build(input, Some(&kept))?;
            }
        }
        let original = graph.shown.len();
        graph.sort(input);
        if count > 0 {
            graph.trim(least, least_call);
            let counted = |node: u32| {
                let labels = graph.labels.get(&node).map_or(0, NodeLabels::count);
                labels.min(node_labels::MOST) + 1
            };
            let mut sum = 0;
            let end = graph.shown.iter().position(|node| {
                sum += counted(*node);
                sum >= count
            });
            let kept: BTreeSet<u32> = match end {
                Some(end) => graph.shown[..=end].iter().copied().collect(),
                None => graph.shown.iter().take(count).copied().collect(),
            };
            if kept.len() < graph.shown.len() {
                graph = build(input, Some(&kept))?;
                graph.sort(input);
            }
        }
        // As in pprof, what was dropped above is not counted if all nodes are kept.
        graph.dropped_calls = graph.trim(least, least_call);
        graph.remove_redundant(input.names);
        Ok(Self {
            original,
            dropped_nodes,
            ..graph
        })
    }

    /// Removes labels and calls that weigh less; returns the number of the calls.
    fn trim(&mut self, least: i64, least_call: i64) -> usize {
        let labels = self.labels.values_mut();
        labels.for_each(|labels| labels.trim(least));
        let before = self.calls.len();
        self.calls
            .retain(|_, call| call.weight.wrapping_abs() >= least_call);
        before - self.calls.len()
    }

    fn sum(&self) -> i64 {
        let flat = self
            .shown
            .iter()
            .map(|node| self.weights[*node as usize].flat);
        flat.fold(0, i64::wrapping_add)
    }

    /// Nodes whose calls have the most information come first.
    fn sort(&mut self, input: &Input<'_>) {
        let (mut into, mut from): (BTreeMap<u32, Vec<i64>>, BTreeMap<u32, Vec<i64>>) =
            (BTreeMap::new(), BTreeMap::new());
        for ((caller, callee), call) in &self.calls {
            into.entry(*callee).or_default().push(call.weight);
            from.entry(*caller).or_default().push(call.weight);
        }
        let score = |node: u32| {
            let weight = &self.weights[node as usize];
            let calls = |calls: &BTreeMap<u32, Vec<i64>>, own: i64| {
                // Where a stack begins or ends is worth a point.
                calls.get(&node).map_or(1.0, |calls| entropy(calls, own))
            };
            let points = calls(&into, 0) + calls(&from, weight.flat);
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // as pprof
            let score = (points * weight.cum as f64) as i64;
            score.wrapping_add(weight.flat)
        };
        let infos = &input.frames.infos;
        let mut sorted: Vec<(i64, u32)> = self
            .shown
            .iter()
            .map(|node| (score(*node).wrapping_abs(), *node))
            .collect();
        sorted.sort_by(|(a_score, a), (b_score, b)| {
            let (left, right) = (*a as usize, *b as usize);
            let flat = |node: usize| self.weights[node].flat.wrapping_abs();
            b_score
                .cmp(a_score)
                .then_with(|| input.names[left].cmp(&input.names[right]))
                .then_with(|| flat(right).cmp(&flat(left)))
                .then_with(|| infos[left].tie().cmp(&infos[right].tie()))
        });
        self.shown = sorted.into_iter().map(|(_, node)| node).collect();
    }

    /// Calls in order of their weight.
    pub(super) fn sorted<'g>(
        calls: impl Iterator<Item = (&'g (u32, u32), &'g Call)>,
        names: &[String],
    ) -> Vec<((u32, u32), Call)> {
        let mut sorted: Vec<((u32, u32), Call)> =
            calls.map(|(nodes, call)| (*nodes, *call)).collect();
        let name = |node: u32| &names[node as usize];
        sorted.sort_by(|((a_from, a_to), a), ((b_from, b_to), b)| {
            let size = |call: &Call| call.weight.wrapping_abs();
            let by_size = if a.weight == b.weight {
                std::cmp::Ordering::Equal
            } else {
                size(b).cmp(&size(a))
            };
            by_size
                .then_with(|| name(*a_from).cmp(name(*b_from)))
                .then_with(|| name(*a_to).cmp(name(*b_to)))
        });
        sorted
    }

    /// Removes residual calls to nodes that the caller reaches in another way, the lightest
    /// first.
    fn remove_redundant(&mut self, names: &[String]) {
        for node in self.shown.clone().into_iter().rev() {
            let into = self.calls.iter().filter(|((_, callee), _)| *callee == node);
            for (pair, call) in Self::sorted(into, names).into_iter().rev() {
                // A call that is lighter than a direct one may confuse.
                if !call.residual {
                    break;
                }
                if self.is_redundant(pair) {
                    self.calls.remove(&pair);
                }
            }
        }
    }

    fn is_redundant(&self, pair: (u32, u32)) -> bool {
        let (start, end) = pair;
        let mut callers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (from, to) in self.calls.keys() {
            callers.entry(*to).or_default().push(*from);
        }
        let mut seen = BTreeSet::from([end]);
        let mut waiting = vec![end];
        while let Some(node) = waiting.pop() {
            for from in callers.get(&node).into_iter().flatten() {
                if (*from, node) == pair || seen.contains(from) {
                    continue;
                }
                if *from == start {
                    return true;
                }
                seen.insert(*from);
                waiting.push(*from);
            }
        }
        false
    }
}

#[allow(clippy::cast_precision_loss)] // as pprof
fn entropy(calls: &[i64], own: i64) -> f64 {
    let positive = calls.iter().filter(|weight| **weight > 0);
    let total = positive.fold(own, |sum, weight| sum.wrapping_add(*weight));
    if total == 0 {
        return 0.0;
    }
    let part = |weight: i64| {
        let share = weight.wrapping_abs() as f64 / total as f64;
        // Nothing has no information; pprof would get no number.
        if share > 0.0 {
            -share * share.log2()
        } else {
            0.0
        }
    };
    let calls: f64 = calls.iter().map(|weight| part(*weight)).sum();
    calls + if own > 0 { part(own) } else { 0.0 }
}

/// By node.
pub(super) type Labels = BTreeMap<u32, NodeLabels>;

fn build(input: &Input<'_>, kept: Option<&BTreeSet<u32>>) -> Result<CallGraph> {
    let Input {
        profile, frames, ..
    } = input;
    let reader = Reader::new(profile, input.query)?;
    let mut weights = vec![Weight::default(); frames.infos.len()];
    let mut calls: BTreeMap<(u32, u32), Call> = BTreeMap::new();
    let mut labels = Labels::new();
    let mut sample = Sample::default();
    let (mut seen, mut seen_calls) = (HashSet::new(), HashSet::new());
    for index in 0..profile.sample_count() {
        profile.sample(index, &mut sample)?;
        let weight = sample.values[input.weighing.value];
        let is_kept = input.view.keeps_labels(profile, &sample.labels)
            && input.view.keeps_stack(&mut sample.locations);
        if weight == 0 || !is_kept {
            continue;
        }
        seen.clear();
        seen_calls.clear();
        let read = reader.read(&sample.labels);
        let (mut caller, mut residual) = (None, false);
        for location in sample.locations.iter().rev() {
            let nodes = frames.of_location(*location);
            for (place, node) in nodes.iter().enumerate().rev() {
                if kept.is_some_and(|kept| !kept.contains(node)) {
                    residual = true;
                    continue;
                }
                if seen.insert(*node) {
                    let of = &mut weights[*node as usize];
                    of.cum = of.cum.wrapping_add(weight);
                    labels.entry(*node).or_default().add(&read, weight, false);
                }
                if let Some(caller) = caller.filter(|caller| caller != node)
                    && seen_calls.insert((caller, *node))
                {
                    let call = calls.entry((caller, *node)).or_insert(Call {
                        weight: 0,
                        residual,
                        inline: true,
                    });
                    call.weight = call.weight.wrapping_add(weight);
                    call.residual |= residual;
                    call.inline &= place + 1 != nodes.len();
                }
                caller = Some(*node);
                residual = false;
            }
        }
        if let Some(leaf) = caller.filter(|_| !residual) {
            let of = &mut weights[leaf as usize];
            of.flat = of.flat.wrapping_add(weight);
            labels.entry(leaf).or_default().add(&read, weight, true);
        }
    }
    let shown = (0..)
        .zip(&weights)
        .filter(|(_, of)| of.cum != 0 || of.flat != 0)
        .map(|(node, _)| node)
        .collect();
    let graph = CallGraph {
        weights,
        shown,
        calls,
        labels,
        original: 0,
        dropped_nodes: 0,
        dropped_calls: 0,
    };
    Ok(graph)
}
