//! The tree of calls as boxes: callers, callees and their widths.

use std::borrow::Cow;

use ::pprof::flame::Flame;
use foundation::ui::text::one_line;

/// The stacks that are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    All,
    One(usize),
    /// The first side against the second.
    Difference,
}

/// Calls in the order of `Flame::calls`: a caller before what it calls.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) flame: Flame,
    pub(super) parent: Vec<usize>,
    /// Where the calls below end.
    pub(super) end: Vec<usize>,
    left: Vec<f64>,
    width: Vec<f64>,
}

/// A call's place on the screen, in columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) call: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Tree {
    pub(super) fn new(mut flame: Flame) -> Self {
        // Cut and padded by columns, so as wide as they are shown.
        for name in flame.names.iter_mut().chain(&mut flame.sides) {
            if let Cow::Owned(shown) = one_line(name) {
                *name = shown;
            }
        }
        let count = flame.calls.len();
        let (mut parent, mut end) = (vec![0; count], vec![count; count]);
        let mut path: Vec<usize> = Vec::new();
        for (place, call) in flame.calls.iter().enumerate() {
            while path.len() > call.level as usize {
                if let Some(done) = path.pop() {
                    end[done] = place;
                }
            }
            parent[place] = path.last().copied().unwrap_or(0);
            path.push(place);
        }
        let mut tree = Self {
            flame,
            parent,
            end,
            left: Vec::new(),
            width: Vec::new(),
        };
        tree.lay(Side::All);
        tree
    }

    pub(super) fn level(&self, call: usize) -> usize {
        self.flame.calls[call].level as usize
    }

    /// Whether it stands for calls that were too small to keep.
    pub(super) fn is_small(&self, call: usize) -> bool {
        self.flame.calls[call].small > 0
    }

    pub(super) fn name(&self, call: usize) -> Cow<'_, str> {
        let call = &self.flame.calls[call];
        self.flame.label(call.name, call.small)
    }

    /// As the profile counts it.
    pub(super) fn value(&self, call: usize, side: Side) -> i64 {
        let totals = &self.flame.calls[call].totals;
        match side {
            Side::One(side) => totals.get(side).copied().unwrap_or(0),
            Side::All => totals.iter().fold(0, |sum, of| sum.saturating_add(*of)),
            Side::Difference => {
                let of = |side: usize| totals.get(side).copied().unwrap_or(0);
                of(0).saturating_sub(of(1))
            }
        }
    }

    /// Both sides of a difference keep their place: the larger one gives the
    /// width.
    #[allow(clippy::cast_precision_loss)] // a drawing
    fn weight(&self, call: usize, side: Side) -> f64 {
        let totals = &self.flame.calls[call].totals;
        let sizes = totals.iter().map(|of| of.unsigned_abs() as f64);
        match side {
            Side::One(side) => totals.get(side).map_or(0.0, |of| of.unsigned_abs() as f64),
            Side::All => sizes.sum(),
            Side::Difference => sizes.take(2).fold(0.0, f64::max),
        }
    }

    /// Gives every call its place for a side.
    pub(super) fn lay(&mut self, side: Side) {
        let count = self.flame.calls.len();
        // A caller is at least as wide as its callees: in a difference, or
        // where something shrank, the sums can be smaller.
        let mut need = vec![0.0; count];
        self.width = vec![0.0; count];
        for call in (0..count).rev() {
            self.width[call] = self.weight(call, side).max(need[call]);
            if call > 0 {
                need[self.parent[call]] += self.width[call];
            }
        }
        self.left = vec![0.0; count];
        let mut next = vec![0.0; count];
        for call in 1..count {
            let parent = self.parent[call];
            self.left[call] = self.left[parent] + next[parent];
            next[parent] += self.width[call];
        }
    }

    /// The visible calls below `zoom` on this number of columns, level by
    /// level.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // columns
    pub(super) fn rows(&self, zoom: usize, columns: usize) -> Vec<Vec<Drawn>> {
        let mut rows: Vec<Vec<Drawn>> = Vec::new();
        let whole = self.width[zoom];
        if whole <= 0.0 || columns == 0 {
            return rows;
        }
        let scale = columns as f64 / whole;
        let base = self.level(zoom);
        let mut call = zoom;
        while call < self.end[zoom] {
            let from = ((self.left[call] - self.left[zoom]) * scale).round() as usize;
            let to = ((self.left[call] + self.width[call] - self.left[zoom]) * scale).round();
            let to = (to as usize).min(columns);
            if to <= from {
                call = self.end[call];
                continue;
            }
            let level = self.level(call) - base;
            if rows.len() <= level {
                rows.resize(level + 1, Vec::new());
            }
            rows[level].push(Drawn { call, from, to });
            call += 1;
        }
        rows
    }

    /// Whether `call` is `above` or below it.
    pub(super) fn is_in(&self, call: usize, above: usize) -> bool {
        (above..self.end[above]).contains(&call)
    }

    /// Returns the heaviest callee.
    pub(super) fn heaviest(&self, call: usize) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut next = call + 1;
        while next < self.end[call] {
            if best.is_none_or(|best| self.width[next] > self.width[best]) {
                best = Some(next);
            }
            next = self.end[next];
        }
        best.filter(|best| self.width[*best] > 0.0)
    }
}
