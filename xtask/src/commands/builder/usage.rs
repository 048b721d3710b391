//! `builder usage` and `builder prune`: the contents of BuildKit's cache.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::spec::BuilderSpec;
use crate::app::App;
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::plan::{Effect, Plan, Step};
use foundation::typed;
use foundation::ui;
use foundation::units::{human_size, parse_size};

/// Summing up a large cache takes long.
const LIMIT: Duration = Duration::from_mins(2);
const DEADLINE: u64 = 3600;

/// One line of `docker buildx du --format json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Record {
    size: String,
    reclaimable: bool,
    r#type: String,
}

/// Sums of one kind of record, or of all, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    records: u64,
    bytes: u64,
    reclaimable: u64,
}

pub(super) fn usage(spec: &BuilderSpec, as_json: bool) -> Result<u8> {
    let sums = ask(spec)?;
    let all = total(&sums);
    if as_json {
        let kinds: Vec<_> = sums.iter().map(|(kind, sum)| to_json(kind, *sum)).collect();
        ui::print_report(
            json!({"builder": spec.name, "total": to_json("all", all), "kinds": kinds}),
        );
        return Ok(0);
    }
    let mut out = String::new();
    for (kind, sum) in &sums {
        let _ = writeln!(
            out,
            "{kind:<24} {:>10}  {} records",
            human_size(sum.bytes),
            sum.records
        );
    }
    let _ = writeln!(
        out,
        "{:<24} {:>10}  of which {} could go: {}",
        "all",
        human_size(all.bytes),
        human_size(all.reclaimable),
        typed!("builder prune")
    );
    ui::print(&out);
    Ok(0)
}

pub(super) fn prune(app: &App<'_>, spec: &BuilderSpec, keep: Option<&str>) -> Result<u8> {
    if let Some(keep) = keep.filter(|keep| parse_size(keep).is_none()) {
        return Err(Failure::usage(format!("invalid size `{keep}`"))
            .hint(typed!("builder prune --keep 20GB")));
    }
    let before = if app.is_dry() {
        Sum::default()
    } else {
        total(&ask(spec)?)
    };
    let mut argv: Vec<String> = [
        "docker",
        "buildx",
        "prune",
        "--builder",
        &spec.name,
        "--force",
    ]
    .map(str::to_owned)
    .to_vec();
    if let Some(keep) = keep.and_then(parse_size) {
        argv.extend(["--max-used-space".to_owned(), keep.to_string()]);
    }
    let mut plan = Plan::new(format!("prune the cache of the builder {}", spec.name));
    plan.push(
        Step::run("remove what the cache could do without", argv)
            .effect(Effect::Destroys)
            .deadline(DEADLINE),
    );
    if app.carry_out(&plan)? {
        let after = total(&ask(spec)?);
        let freed = before.bytes.saturating_sub(after.bytes);
        ui::print(&format!(
            "{} freed; {} are left\n",
            human_size(freed),
            human_size(after.bytes)
        ));
    }
    Ok(0)
}

fn ask(spec: &BuilderSpec) -> Result<BTreeMap<String, Sum>> {
    let name = &spec.name;
    if super::there(spec)?.is_none() {
        return Err(
            Failure::host(format!("there is no builder `{name}`")).hint(typed!("builder create"))
        );
    }
    let argv = [
        "docker",
        "buildx",
        "du",
        "--builder",
        name,
        "--format",
        "json",
    ];
    let output = Probe::new(argv).timeout(LIMIT).run().map_err(|error| {
        Failure::step(format!("the builder `{name}` does not respond"))
            .cause(error)
            .hint(typed!("builder status"))
    })?;
    let failed = |cause: &str| {
        Failure::step(format!(
            "the builder `{name}` does not say what its cache holds"
        ))
        .cause(cause)
        .hint(typed!("builder repair"))
    };
    if !output.success {
        return Err(failed(output.stderr.trim()));
    }
    sums(&output.stdout).map_err(|why| failed(&why))
}

/// A record that cannot be parsed would be missing from the totals.
fn sums(text: &str) -> Result<BTreeMap<String, Sum>, String> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let record: Record = serde_json::from_str(line).map_err(|error| {
            format!("`docker buildx du` prints a line that is not a record: {error}")
        })?;
        let size = parse_size(&record.size)
            .ok_or_else(|| format!("`docker buildx du` prints the size `{}`", record.size))?;
        let sum = sums.entry(record.r#type).or_default();
        sum.records += 1;
        sum.bytes = sum.bytes.saturating_add(size);
        if record.reclaimable {
            sum.reclaimable = sum.reclaimable.saturating_add(size);
        }
    }
    Ok(sums)
}

fn total(sums: &BTreeMap<String, Sum>) -> Sum {
    sums.values().fold(Sum::default(), |all, sum| Sum {
        records: all.records + sum.records,
        bytes: all.bytes.saturating_add(sum.bytes),
        reclaimable: all.reclaimable.saturating_add(sum.reclaimable),
    })
}

fn to_json(kind: &str, sum: Sum) -> serde_json::Value {
    json!({"kind": kind, "records": sum.records, "bytes": sum.bytes, "reclaimable": sum.reclaimable})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_summed_by_kind() {
        let text = r#"{"ID":"a","Reclaimable":true,"Size":"4.096kB","Type":"source.local"}
{"ID":"b","Reclaimable":false,"Size":"26.43MB","Type":"regular"}
{"ID":"c","Reclaimable":true,"Size":"1B","Type":"regular"}
"#;
        let sums = sums(text).unwrap();
        let regular = Sum {
            records: 2,
            bytes: 26_430_001,
            reclaimable: 1,
        };
        assert_eq!(sums["regular"], regular);
        assert_eq!(total(&sums).bytes, 26_434_097);
    }

    #[test]
    fn a_record_that_is_not_understood_is_an_error() {
        for text in ["Reclaimable: 3GB", r#"{"ID":"a","Size":"many","Type":"x"}"#] {
            sums(text).unwrap_err();
        }
        assert_eq!(sums("\n"), Ok(BTreeMap::new()));
    }
}
