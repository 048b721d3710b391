//! Finds nodes that stand out: for each name the median over the nodes, the
//! maximum and its node.

use std::collections::BTreeMap;

/// A function or a controller over the nodes.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) median: i64,
    pub(super) max: i64,
    /// The node with the maximum.
    pub(super) node: usize,
    /// No other node has it.
    pub(super) alone: bool,
    /// The change on that node since the last time.
    pub(super) change: Option<i64>,
}

impl Function {
    /// Maximum over median; none without a median.
    #[allow(clippy::cast_precision_loss)] // for people
    pub(super) fn ratio(&self) -> Option<f64> {
        (self.median > 0 && !self.alone).then(|| self.max as f64 / self.median as f64)
    }
}

/// Ranks the weights over the nodes, heaviest first.
pub(super) fn rank(
    nodes: &[BTreeMap<String, i64>],
    before: &[Option<BTreeMap<String, i64>>],
) -> Vec<Function> {
    let mut weights: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (node, of) in nodes.iter().enumerate() {
        for (name, value) in of {
            let values = weights.entry(name);
            values.or_insert_with(|| vec![0; nodes.len()])[node] = *value;
        }
    }
    let mut rows: Vec<Function> = weights
        .into_iter()
        .map(|(name, values)| {
            let (node, max) = largest(&values);
            let last = before[node].as_ref();
            Function {
                name: name.to_owned(),
                median: median(&values),
                max,
                node,
                alone: !(values.iter().enumerate())
                    .any(|(other, value)| other != node && *value != 0),
                change: last.map(|last| max.wrapping_sub(last.get(name).copied().unwrap_or(0))),
            }
        })
        .filter(|row| row.max != 0)
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.max.wrapping_abs()));
    rows
}

fn largest(values: &[i64]) -> (usize, i64) {
    let places = values.iter().copied().enumerate();
    let largest =
        places.max_by_key(|(place, value)| (value.wrapping_abs(), std::cmp::Reverse(*place)));
    largest.unwrap_or((0, 0))
}

fn median(values: &[i64]) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    match sorted.len() {
        0 => 0,
        len if len % 2 == 1 => sorted[len / 2],
        len => i64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_of_two_nodes_has_is_only_there() {
        let node = |values: &[(&str, i64)]| {
            let values = values.iter();
            values
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect()
        };
        let nodes = [node(&[("a", 6), ("b", 9)]), node(&[("a", 2)])];
        let rows = rank(&nodes, &[None, None]);
        let found: Vec<_> = rows
            .iter()
            .map(|row| (&*row.name, row.max, row.ratio()))
            .collect();
        assert_eq!(found, [("b", 9, None), ("a", 6, Some(1.5))]);
    }

    #[test]
    fn medians_and_maxima_know_their_place() {
        assert_eq!(median(&[3, 1, 2]), 2);
        assert_eq!(median(&[4, 1, 2, 3]), 2);
        assert_eq!(median(&[]), 0);
        assert_eq!(largest(&[1, -9, 9]), (1, -9));
        assert_eq!(largest(&[]), (0, 0));
    }
}
