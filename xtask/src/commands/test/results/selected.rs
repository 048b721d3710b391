//! The tests of a run, by package.

use camino::Utf8PathBuf;

use foundation::run::gotest::Pool;

/// A package with tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::commands::test) struct SelectedPackage {
    /// Import path.
    pub(in crate::commands::test) name: String,
    pub(in crate::commands::test) folder: Utf8PathBuf,
    /// Its test functions.
    pub(in crate::commands::test) roots: Vec<Function>,
    /// Runs only these; `None` for all.
    pub(in crate::commands::test) only: Option<Vec<String>>,
}

/// A test function, with its suite's methods and subtests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands::test) struct Function {
    pub(in crate::commands::test) name: String,
    /// `None`: as the user, beside all others.
    pub(in crate::commands::test) pool: Option<Pool>,
    /// Why it runs as root.
    pub(in crate::commands::test) why: Option<String>,
    pub(in crate::commands::test) left_out: Option<String>,
    /// Whether a part of it needs something that not every host has.
    pub(in crate::commands::test) has_needs: bool,
    /// Subtests and methods that are left out, each with its reason.
    pub(in crate::commands::test) parts_left_out: Vec<(String, String)>,
    /// Subtests and methods that the filter excludes.
    pub(in crate::commands::test) unwanted: Vec<String>,
}

impl SelectedPackage {
    /// Whether a part of it runs as root, in namespaces.
    pub(in crate::commands::test) fn has_root(&self) -> bool {
        self.as_root().next().is_some()
    }

    /// The test functions that run as root.
    pub(in crate::commands::test) fn as_root(&self) -> impl Iterator<Item = &Function> {
        let runs = |root: &&Function| root.left_out.is_none() && root.pool.is_some();
        self.roots.iter().filter(runs)
    }

    /// Returns what is left out of it, as name and reason.
    pub(in crate::commands::test) fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        self.roots.iter().flat_map(|root| {
            let whole = root
                .left_out
                .as_deref()
                .map(|why| (root.name.as_str(), why));
            let parts = root
                .parts_left_out
                .iter()
                .filter(|_| root.left_out.is_none())
                .map(|(name, why)| (name.as_str(), why.as_str()));
            whole.into_iter().chain(parts)
        })
    }

    /// Test functions that run in `pool`.
    pub(in crate::commands::test) fn in_pool(
        &self,
        pool: Option<Pool>,
    ) -> impl Iterator<Item = &Function> {
        self.roots
            .iter()
            .filter(move |root| root.left_out.is_none() && root.pool == pool)
    }
}
