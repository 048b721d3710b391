//! The share of one machine. Each report of `test unit --shard` contains it, so
//! that `test report --merge` can prove that the machines together ran every
//! test exactly once.

use std::collections::BTreeMap;

use camino::Utf8Path;
use gotest::Kind;
use serde::{Deserialize, Serialize};

use super::args::Selection;
use super::unit::UnitArgs;
use super::{discovered, shards};
use crate::app::App;
use foundation::ctx::probe;
use foundation::failure::Result;

/// The `shard` of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leg {
    /// From 1.
    pub(super) number: usize,
    pub(super) of: usize,
    /// The commit, with `-dirty` if files were changed; `None` outside git.
    pub(super) commit: Option<String>,
    /// As Go names it: `linux/amd64`.
    pub(super) platform: String,
    /// The selection on the command line, without the number of the shard.
    pub(super) options: Options,
    /// The packages of every shard, as this one has split them.
    pub(super) split: Vec<Vec<String>>,
    /// The test functions of this shard's packages.
    pub(super) tests: BTreeMap<String, Vec<String>>,
}

/// Options that all shards of a run must have in common. The file of times is
/// not among them: it may have another path on each machine, and the split
/// shows its effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Options {
    pub(super) packages: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) run: Option<String>,
    pub(super) sudo: String,
    pub(super) race: bool,
    pub(super) timeout: Option<String>,
    pub(super) retries: u32,
    pub(super) strict: bool,
    pub(super) allow_flaky: bool,
    pub(super) go_flags: Vec<String>,
}

impl Leg {
    /// Returns `None` without `--shard`.
    ///
    /// # Errors
    /// Those of discovering tests.
    pub(super) fn new(app: &App<'_>, args: &UnitArgs, dir: &Utf8Path) -> Result<Option<Self>> {
        let Some(shard) = args.chosen.shard else {
            return Ok(None);
        };
        let chosen = Selection {
            shard: None,
            ..args.chosen.clone()
        };
        let all = discovered::in_checkout(app, dir, &chosen)?;
        let split = shards::split_of(app, &all, shard.of, chosen.times.as_deref())?;
        let mine = &split[shard.number - 1];
        let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for test in all {
            let counted = test.kind == Kind::Test && !test.name.contains('/');
            if counted && mine.binary_search(&test.package).is_ok() {
                tests.entry(test.package).or_default().push(test.name);
            }
        }
        Ok(Some(Self {
            number: shard.number,
            of: shard.of,
            commit: probe::commit(dir),
            platform: format!("linux/{}", app.ctx.host.arch),
            options: Options::new(args),
            split,
            tests,
        }))
    }

    /// `2/4`
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.number, self.of)
    }
}

impl Options {
    fn new(args: &UnitArgs) -> Self {
        Self {
            packages: args.chosen.packages.clone(),
            tags: args.chosen.tags.clone(),
            run: args.run.clone(),
            sudo: format!("{:?}", args.sudo).to_lowercase(),
            race: args.race,
            timeout: args.timeout.clone(),
            retries: args.results.retries,
            strict: args.strict,
            allow_flaky: args.results.allow_flaky,
            go_flags: args.go_flags.clone(),
        }
    }

    fn has_flag(&self, names: &[&str]) -> bool {
        self.go_flags.iter().any(|word| {
            let name = word.trim_start_matches('-').split('=').next();
            name.is_some_and(|name| names.contains(&name.trim_start_matches("test.")))
        })
    }

    /// Whether only some tests of each package run: only Go knows which.
    pub(super) fn selects(&self) -> bool {
        self.run.is_some() || self.has_flag(&["run", "skip", "list"])
    }

    /// Whether a test may run more than once in its shard.
    pub(super) fn repeats(&self) -> bool {
        self.has_flag(&["count", "cpu"])
    }
}
