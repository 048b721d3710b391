//! Selects which tests run, as which user and beside which others, and which
//! cannot run here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use camino::Utf8Path;
use gotest::{Kind, Need, Pattern, Test};

use super::Sudo;
use crate::commands::test::filter::Unwanted;
use crate::commands::test::results::selected::{Function, SelectedPackage};
use foundation::ctx::abilities::{Abilities, Root};
use foundation::failure::{Failure, Result};
use foundation::record::results::Failed;
use foundation::run::gotest::Pool;

/// The tests that `-run` and `-skip` leave.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) run: Option<Pattern>,
    pub(super) skip: Option<Pattern>,
}

impl Wanted {
    /// # Errors
    /// A pattern that Go refuses.
    pub(super) fn new(run: Option<&str>, skip: Option<&str>) -> Result<Self> {
        let parse = |flag: &str, text: Option<&str>| {
            let parsed = text.map(|text| {
                Pattern::parse(text).map_err(|error| {
                    Failure::usage(format!("invalid pattern `{text}` of `{flag}`"))
                        .cause(error)
                        .hint("go doc regexp/syntax")
                })
            });
            parsed.transpose()
        };
        Ok(Self {
            run: parse("-run", run)?,
            skip: parse("-skip", skip)?,
        })
    }

    fn includes(&self, name: &str) -> bool {
        self.run.as_ref().is_none_or(|run| run.selects(name))
            && !self.skip.as_ref().is_some_and(|skip| skip.leaves_out(name))
    }
}

/// What the host has, and what tests as root get of it.
pub(super) struct Here<'a> {
    pub(super) sudo: Sudo,
    pub(super) abilities: &'a mut Abilities,
    /// Names of the variables of tests as root.
    pub(super) variables: Vec<String>,
}

/// Returns the selected packages in their order.
pub(super) fn packages(
    dir: &Utf8Path,
    tests: &[Test],
    wanted: &Wanted,
    here: &mut Here<'_>,
) -> Vec<SelectedPackage> {
    let mut packages: BTreeMap<&str, SelectedPackage> = BTreeMap::new();
    let mut roots: HashMap<(&str, &str), usize> = HashMap::new();
    for test in tests {
        let package = packages.entry(&test.package).or_default();
        if package.name.is_empty() {
            package.name.clone_from(&test.package);
            let folder = Utf8Path::new(&test.file).parent();
            package.folder = folder.map_or_else(|| dir.to_owned(), |folder| dir.join(folder));
        }
        if !matches!(test.kind, Kind::Benchmark) && wanted.includes(&test.name) {
            let root = test.name.split('/').next().unwrap_or_default();
            let at = *roots.entry((&test.package, root)).or_insert_with(|| {
                package.roots.push(Function {
                    name: root.to_owned(),
                    pool: None,
                    why: None,
                    left_out: None,
                    has_needs: false,
                    parts_left_out: Vec::new(),
                    unwanted: Vec::new(),
                });
                package.roots.len() - 1
            });
            add(&mut package.roots[at], test, here);
        }
    }
    packages.into_values().collect()
}

fn add(function: &mut Function, test: &Test, here: &mut Here<'_>) {
    let needs = |need: &Need| test.needs.iter().find(|needed| needed.need == *need);
    function.has_needs |= !test.needs.is_empty();
    let reason = left_out(test, here);
    if let Some(reason) = reason {
        if test.name == function.name {
            function.left_out = Some(reason);
        } else {
            function.parts_left_out.push((test.name.clone(), reason));
        }
        return;
    }
    // Without namespaces root runs all tests in the same way.
    if here.sudo == Sudo::Never || !here.abilities.has_namespaces() {
        return;
    }
    if let Some(needed) = needs(&Need::Root) {
        let shares = [
            Need::Loop,
            Need::DeviceMapper,
            Need::Lvm,
            Need::Containerd,
            Need::Internet,
        ];
        let pool = if shares.iter().any(|need| needs(need).is_some()) {
            Pool::Host
        } else {
            Pool::Isolated
        };
        // A function runs on the host if one of its parts does.
        if function.pool != Some(Pool::Host) {
            function.pool = Some(pool);
        }
        function.why.get_or_insert_with(|| needed.because.clone());
    } else if here.sudo == Sudo::Always {
        function.pool.get_or_insert(Pool::Isolated);
    }
}

/// Returns why a test cannot run here. A test that would skip itself without
/// root is run if sudo is not wanted, so that it reports the skip itself.
fn left_out(test: &Test, here: &mut Here<'_>) -> Option<String> {
    let Here {
        sudo,
        abilities,
        variables,
    } = here;
    let mut reasons: Vec<String> = Vec::new();
    let needs_root = test.needs.iter().any(|needed| needed.need == Need::Root);
    let as_root = match sudo {
        Sudo::Auto => needs_root,
        Sudo::Never => false,
        Sudo::Always => true,
    };
    for needed in &test.needs {
        if needed.need == Need::Root && *sudo == Sudo::Never {
            // As root it would not skip itself.
            if !needed.skips || abilities.root == Root::Here {
                reasons.push("needs root; run it without `--sudo never`".to_owned());
            }
            continue;
        }
        reasons.extend(if as_root && abilities.has_namespaces() {
            abilities.obstacle_as_root(&needed.need, variables)
        } else {
            abilities.obstacle(&needed.need)
        });
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Runs only the functions that the filter has left, without their unwanted parts.
pub(super) fn only_matching(packages: &mut [SelectedPackage], mut unwanted: Unwanted) {
    for package in packages {
        let names = package.roots.iter().map(|root| root.name.clone());
        package.only = Some(names.collect());
        for root in &mut package.roots {
            let key = (package.name.clone(), root.name.clone());
            root.unwanted = unwanted.remove(&key).unwrap_or_default();
        }
    }
}

/// Keeps only what failed last time.
pub(super) fn only_failed(packages: Vec<SelectedPackage>, failed: &Failed) -> Vec<SelectedPackage> {
    packages
        .into_iter()
        .filter_map(|mut package| {
            let tests = failed.packages.get(&package.name)?;
            if !tests.is_empty() {
                let known: BTreeSet<&str> = tests.iter().map(String::as_str).collect();
                package
                    .roots
                    .retain(|root| known.contains(root.name.as_str()));
                package.only = Some(tests.clone());
            }
            Some(package)
        })
        .collect()
}
