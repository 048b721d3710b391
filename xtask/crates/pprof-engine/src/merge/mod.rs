//! Merges profiles: tables are unified, equal stacks with equal labels summed.
//! A difference is a merge in which the base counts negative.

mod header;
mod merger;
mod tables;

use crate::error::{Error, Result};
use crate::profile::Profile;
use merger::Merger;

/// Marks the samples of a difference's base, as `go tool pprof -diff_base`
/// does; percentages are then of the base.
pub const BASE_LABEL: &str = "pprof::base";

/// One profile of a merge.
#[derive(Debug)]
pub struct Source {
    pub profile: Profile,
    /// -1 for a base.
    pub factor: f64,
    /// Labels that replace those of the same key in each sample.
    pub labels: Vec<(String, String)>,
}

impl Source {
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            factor: 1.0,
            labels: Vec::new(),
        }
    }

    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }
}

impl Profile {
    /// Whether it may be a difference that keeps its base apart.
    pub(crate) fn marks_base(&self) -> bool {
        let mut strings = self.strings.iter();
        strings.any(|of| &self.bytes[of.start as usize..of.end()] == BASE_LABEL.as_bytes())
    }
}

/// The way to subtract a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Percentages of the difference; equal samples cancel out.
    Subtract,
    /// Percentages of the base.
    Compare,
}

/// Merges profiles of the same kind. Sample types that some of them do not have
/// are left out; units are converted to the finest.
///
/// # Errors
/// Profiles of different kinds; malformed samples.
pub fn merge(sources: Vec<Source>) -> Result<Profile> {
    let profiles: Vec<&Profile> = sources.iter().map(|source| &source.profile).collect();
    let plan = header::plan(&profiles)?;
    let mut merger = Merger::new(plan.types.len());
    let header = plan.header(&profiles, &mut merger.tables);
    for (source, columns) in sources.into_iter().zip(plan.columns) {
        // Dropped once it has been read: two large profiles are never both held
        // in full beside the result.
        merger.add(&source, &columns)?;
    }
    let zero = merger.has_zero();
    let profile = merger.finish(header)?;
    if zero {
        // Locations are dropped if all of their samples cancelled out.
        return merge(vec![Source::new(profile)]);
    }
    Ok(profile)
}

/// Returns the difference of two profiles.
///
/// # Errors
/// Those of [`merge`].
pub fn diff(profile: Profile, base: Profile, how: Base, normalize: bool) -> Result<Profile> {
    let mut source = Source::new(profile);
    let mut base = Source::new(base);
    base.factor = -1.0;
    if how == Base::Compare {
        base = base.label(BASE_LABEL, "true");
    }
    if normalize {
        source.profile = scaled(source.profile, &base.profile)?;
    }
    merge(vec![source, base])
}

/// The difference without its samples, and the columns of its sample types in the two
/// profiles; none if values would have to be converted.
pub(crate) fn head(
    profile: &Profile,
    base: &Profile,
) -> Result<Option<(Profile, [Vec<usize>; 2])>> {
    let sources = [profile, base];
    let plan = header::plan(&sources)?;
    let mut columns = [Vec::new(), Vec::new()];
    for (columns, plan) in columns.iter_mut().zip(&plan.columns) {
        for (column, ratio) in plan {
            #[allow(clippy::float_cmp)] // exactly what was set
            if *ratio != 1.0 {
                return Ok(None);
            }
            columns.push(*column);
        }
    }
    let mut merger = Merger::new(plan.types.len());
    let header = plan.header(&sources, &mut merger.tables);
    for source in sources {
        let mut places = tables::Places::new(source);
        merger.tables.first_mapping(source, &mut places);
    }
    Ok(Some((merger.finish(header)?, columns)))
}

/// Returns the profile with each type's sum as in the base.
fn scaled(profile: Profile, base: &Profile) -> Result<Profile> {
    let (ours, theirs) = (sums(&profile)?, sums(base)?);
    if ours.len() != theirs.len() {
        return Err(Error::Query(
            "the profiles have different sample types".into(),
        ));
    }
    #[allow(clippy::cast_precision_loss)] // so does pprof
    let ratios: Vec<f64> = ours
        .iter()
        .zip(&theirs)
        .map(|(ours, theirs)| match ours {
            0 => 0.0,
            ours => *theirs as f64 / *ours as f64,
        })
        .collect();
    let mut plan = header::plan(&[&profile])?;
    for (column, ratio) in plan.columns[0].iter_mut().zip(ratios) {
        column.1 *= ratio;
    }
    let mut merger = Merger::new(plan.types.len());
    let header = plan.header(&[&profile], &mut merger.tables);
    merger.add(&Source::new(profile), &plan.columns[0])?;
    merger.finish(header)
}

fn sums(profile: &Profile) -> Result<Vec<i64>> {
    let mut sums = vec![0_i64; profile.header.sample_types.len()];
    let mut values = sums.clone();
    for index in 0..profile.sample_count() {
        profile.raw(index, |place, value| {
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        })?;
        for (sum, value) in sums.iter_mut().zip(&values) {
            *sum = sum.wrapping_add(*value);
        }
    }
    Ok(sums)
}
