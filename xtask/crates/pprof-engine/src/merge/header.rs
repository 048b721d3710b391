//! The sample types and units that merged profiles have in common.

use super::tables::Tables;
use crate::error::{Error, Result};
use crate::profile::{Header, Profile, Text, ValueType};
use crate::unit;

/// The mapping of the sources' columns to those of the result.
pub(super) struct Plan {
    /// Kind and unit.
    pub(super) types: Vec<(String, String)>,
    /// Per source and type: the column in the source, and its factor.
    pub(super) columns: Vec<Vec<(usize, f64)>>,
    period_type: (String, String),
    default_sample_type: String,
}

type Kind = (String, String);

fn kind(profile: &Profile, kind: ValueType) -> Kind {
    let text = |text: Text| profile.text(text).into_owned();
    (text(kind.kind), text(kind.unit))
}

fn kinds(profile: &Profile) -> Vec<Kind> {
    let types = profile.header.sample_types.iter();
    types.map(|of| kind(profile, *of)).collect()
}

/// # Errors
/// No common sample type, units that do not convert, different periods.
pub(super) fn plan(sources: &[&Profile]) -> Result<Plan> {
    let all: Vec<Vec<Kind>> = sources.iter().map(|source| kinds(source)).collect();
    let Some((first, others)) = all.split_first() else {
        return Err(Error::Query("no profiles to merge".into()));
    };
    let mut types: Vec<Kind> = first
        .iter()
        .filter(|of| others.iter().all(|other| find(other, &of.0).is_some()))
        .cloned()
        .collect();
    if types.is_empty() {
        let names = |of: &[Kind]| of.iter().map(|of| of.0.clone()).collect::<Vec<_>>();
        let lists: Vec<String> = all.iter().map(|of| names(of).join(", ")).collect();
        return Err(Error::Query(format!(
            "the profiles have no sample type in common: {}",
            lists.join(" | ")
        )));
    }
    let mut columns = vec![Vec::new(); sources.len()];
    for kept in &mut types {
        let found: Vec<(usize, &Kind)> = all
            .iter()
            .filter_map(|of| find(of, &kept.0).map(|place| (place, &of[place])))
            .collect();
        let finest = finest(&found)?;
        for ((place, of), columns) in found.iter().zip(&mut columns) {
            columns.push((*place, unit::scale(1, &of.1, &finest).0));
        }
        kept.1 = finest;
    }
    Ok(Plan {
        period_type: period_type(sources)?,
        default_sample_type: default_type(sources, &types),
        types,
        columns,
    })
}

fn find(kinds: &[Kind], name: &str) -> Option<usize> {
    kinds.iter().position(|of| of.0 == name)
}

fn finest(found: &[(usize, &Kind)]) -> Result<String> {
    let mut finest = found[0].1;
    for (_, of) in &found[1..] {
        if !unit::convertible(&finest.1, &of.1) {
            return Err(Error::Query(format!(
                "`{}` is counted in {} and in {}",
                of.0, finest.1, of.1
            )));
        }
        if unit::scale(1, &of.1, &finest.1).0 < 1.0 {
            finest = of;
        }
    }
    Ok(finest.1.clone())
}

fn period_type(sources: &[&Profile]) -> Result<Kind> {
    let of = |source: &Profile| kind(source, source.header.period_type);
    let first = of(sources[0]);
    for source in &sources[1..] {
        let other = of(source);
        if other != first {
            return Err(Error::Query(format!(
                "profiles of different kinds: one samples every {} {}, another every {} {}",
                first.0, first.1, other.0, other.1
            )));
        }
    }
    Ok(first)
}

/// As in pprof, a default type that was dropped is replaced by the first remaining
/// type.
fn default_type(sources: &[&Profile], types: &[Kind]) -> String {
    for source in sources {
        let profile = *source;
        let default = profile.text(profile.header.default_sample_type);
        let changed = kinds(profile)
            .iter()
            .map(|of| &of.0)
            .ne(types.iter().map(|of| &of.0));
        if changed && find(types, &default).is_none() {
            return types[0].0.clone();
        }
        if !default.is_empty() {
            return default.into_owned();
        }
    }
    String::new()
}

impl Plan {
    /// The result's header, its strings in the result's table.
    pub(super) fn header(&self, sources: &[&Profile], tables: &mut Tables) -> Header {
        let first = sources[0];
        let copy = |text: Text, tables: &mut Tables| tables.text(first.text_bytes(text));
        let mut header = Header {
            drop_frames: copy(first.header.drop_frames, tables),
            keep_frames: copy(first.header.keep_frames, tables),
            period_type: ValueType {
                kind: tables.text(self.period_type.0.as_bytes()),
                unit: tables.text(self.period_type.1.as_bytes()),
            },
            default_sample_type: tables.text(self.default_sample_type.as_bytes()),
            ..Header::default()
        };
        for (kind, unit) in &self.types {
            let kind = tables.text(kind.as_bytes());
            let unit = tables.text(unit.as_bytes());
            header.sample_types.push(ValueType { kind, unit });
        }
        for source in sources {
            let theirs = &source.header;
            if header.time_nanos == 0 || theirs.time_nanos < header.time_nanos {
                header.time_nanos = theirs.time_nanos;
            }
            header.duration_nanos = header.duration_nanos.wrapping_add(theirs.duration_nanos);
            header.period = if header.period == 0 {
                theirs.period
            } else {
                header.period.max(theirs.period)
            };
            for comment in &theirs.comments {
                let comment = tables.text(source.text_bytes(*comment));
                if !header.comments.contains(&comment) {
                    header.comments.push(comment);
                }
            }
            if header.doc_url == 0 {
                header.doc_url = tables.text(source.text_bytes(theirs.doc_url));
            }
        }
        header
    }
}
