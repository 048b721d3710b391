//! Labels of samples as boxes beside the nodes of a graph: all labels with text as one box,
//! sizes in bytes in a few ranges (github.com/google/pprof/internal/graph, nodelets).

use std::collections::BTreeMap;

use pprof_engine::{BASE_LABEL, Label, Profile, Query, Result, Shown, number_units, unit};

/// Maximum number of boxes of each kind.
pub(super) const MOST: usize = 4;

/// The only numbers that are drawn.
const SIZE: &str = "bytes";

/// A box: the text of the labels, or a size, and what the samples with it weigh.
#[derive(Debug, Clone, Default)]
pub(super) struct Tag {
    pub(super) name: String,
    value: i64,
    pub(super) flat: i64,
    pub(super) cum: i64,
}

impl Tag {
    /// Of a node that calls others, what ends in it.
    pub(super) fn weight(&self, is_flat: bool) -> i64 {
        if is_flat { self.flat } else { self.cum }
    }

    fn add(&mut self, weight: i64, is_flat: bool) {
        let sum = if is_flat {
            &mut self.flat
        } else {
            &mut self.cum
        };
        *sum = sum.wrapping_add(weight);
    }

    fn is_large(&self, least: i64) -> bool {
        self.flat.wrapping_abs() >= least || self.cum.wrapping_abs() >= least
    }
}

/// Reads the labels of samples.
pub(super) struct Reader<'a> {
    profile: &'a Profile,
    shown: Shown,
    /// Of sizes.
    unit: String,
    /// Of reports.
    to: &'a str,
}

/// The labels of a sample.
pub(super) struct SampleLabels {
    text: String,
    sizes: Vec<(String, i64)>,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// Malformed samples, expressions that do not compile.
    pub(super) fn new(profile: &'a Profile, query: &'a Query) -> Result<Self> {
        let unit = number_units(profile)?.remove(SIZE);
        Ok(Self {
            profile,
            shown: Shown::new(query)?,
            unit: unit.unwrap_or_default(),
            to: &query.unit,
        })
    }

    pub(super) fn read(&self, labels: &[Label]) -> SampleLabels {
        let (mut texts, mut sizes) = (Vec::new(), Vec::new());
        for label in labels {
            let key = self.profile.text(label.key);
            if key == BASE_LABEL || !self.shown.shows(&key) {
                continue;
            }
            if label.str != 0 {
                texts.push(format!("{key}:{}", self.profile.text(label.str)));
            } else if key == SIZE {
                let name = unit::label(label.num, &self.unit, self.to);
                sizes.push((name, label.num));
            }
        }
        texts.sort();
        SampleLabels {
            text: texts.join("\n"),
            sizes,
        }
    }

    /// At most [`MOST`] boxes, the heaviest first: sizes that are near to each other are one.
    pub(super) fn collapsed(&self, sizes: &[Tag], is_flat: bool) -> Vec<Tag> {
        if sizes.len() <= MOST {
            return sizes.to_vec();
        }
        let (first, rest) = sizes.split_at(MOST);
        let mut groups: Vec<Vec<&Tag>> = first.iter().map(|tag| vec![tag]).collect();
        for tag in rest {
            let distance = |group: &Vec<&Tag>| group[0].value.abs_diff(tag.value);
            let nearest = groups.iter().map(distance).enumerate();
            let nearest = nearest.min_by_key(|(_, distance)| *distance);
            if let Some((nearest, _)) = nearest {
                groups[nearest].push(tag);
            }
        }
        let format = |value: i64| unit::label(value, &self.unit, "auto");
        let groups = groups.iter().map(|group| {
            let mut sum = group[0].clone();
            for tag in &group[1..] {
                sum.flat = sum.flat.wrapping_add(tag.flat);
                sum.cum = sum.cum.wrapping_add(tag.cum);
            }
            let values = group.iter().map(|tag| tag.value);
            let (least, most) = (values.clone().min(), values.max());
            let (least, most) = (least.unwrap_or(0), most.unwrap_or(0));
            sum.name = if group.len() == 1 {
                format(least)
            } else {
                format!("{}..{}", format(least), format(most))
            };
            sum
        });
        sorted(groups, is_flat)
    }
}

/// The labels of a node's samples.
#[derive(Debug, Default)]
pub(super) struct NodeLabels {
    texts: BTreeMap<String, Tag>,
    /// By the text of the other labels.
    sizes: BTreeMap<String, BTreeMap<String, Tag>>,
}

impl NodeLabels {
    pub(super) fn add(&mut self, labels: &SampleLabels, weight: i64, is_flat: bool) {
        let tag = |tags: &mut BTreeMap<String, Tag>, name: &str, value: i64| {
            let new = || Tag {
                name: name.to_owned(),
                value,
                ..Tag::default()
            };
            let tag = tags.entry(name.to_owned()).or_insert_with(new);
            tag.add(weight, is_flat);
        };
        if !labels.text.is_empty() {
            tag(&mut self.texts, &labels.text, 0);
        }
        for (name, value) in &labels.sizes {
            let tags = self.sizes.entry(labels.text.clone()).or_default();
            tag(tags, name, *value);
        }
    }

    /// Removes what weighs less.
    pub(super) fn trim(&mut self, least: i64) {
        let all = self.sizes.values_mut().chain([&mut self.texts]);
        for tags in all {
            tags.retain(|_, tag| tag.is_large(least));
        }
    }

    /// The number of boxes with weight of their own.
    pub(super) fn count(&self) -> usize {
        let all = self.sizes.values().chain([&self.texts]);
        let tags = all.flat_map(BTreeMap::values);
        tags.filter(|tag| tag.flat != 0).count()
    }

    /// Labels with text, the heaviest first.
    pub(super) fn texts(&self, is_flat: bool) -> Vec<Tag> {
        sorted(self.texts.values().cloned(), is_flat)
    }

    /// Sizes in samples whose other labels are `text`, the heaviest first.
    pub(super) fn sizes(&self, text: &str, is_flat: bool) -> Vec<Tag> {
        let sizes = self.sizes.get(text).into_iter();
        sorted(sizes.flat_map(BTreeMap::values).cloned(), is_flat)
    }
}

fn sorted(tags: impl Iterator<Item = Tag>, is_flat: bool) -> Vec<Tag> {
    let mut tags: Vec<Tag> = tags.collect();
    tags.sort_by(|left, right| {
        let size = |value: i64| value.wrapping_abs();
        let by_cum = if is_flat || left.cum == right.cum {
            std::cmp::Ordering::Equal
        } else {
            size(right.cum).cmp(&size(left.cum))
        };
        let by_flat = if left.flat == right.flat {
            std::cmp::Ordering::Equal
        } else {
            size(right.flat).cmp(&size(left.flat))
        };
        by_cum
            .then(by_flat)
            .then_with(|| left.name.cmp(&right.name))
    });
    tags
}
