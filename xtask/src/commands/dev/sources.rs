//! What each target is made of, read from the Dockerfile and from Go, and read again when an
//! edit may have changed it.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::typed;
use glob::Pattern;

use super::dockerfile::{self, Program, Stage};
use super::packages::{self, Closure};
use super::target::{Parts, Target};

#[derive(Debug)]
pub(super) struct Sources {
    root: Utf8PathBuf,
    arch: String,
    pub(super) parts: BTreeMap<Target, Parts>,
    /// Of the Go files of all programs.
    headers: BTreeMap<Utf8PathBuf, String>,
    /// Why Go does not tell which packages a program has: then every source counts.
    pub(super) unlisted: Option<Failure>,
}

impl Sources {
    /// # Errors
    /// When there is no Dockerfile with an initramfs.
    pub(super) fn read(root: &Utf8Path, arch: &str) -> Result<Self> {
        let path = root.join("Dockerfile");
        let text = files::text(&path, files::MEDIUM)?.unwrap_or_default();
        let stages = dockerfile::parse(
            &text,
            &[
                ("TARGETARCH", arch),
                ("TARGETOS", "linux"),
                ("BUILDARCH", arch),
                ("INSTALLER_ARCH", arch),
            ],
        );
        let mut reached: BTreeMap<Target, Vec<&Stage>> = BTreeMap::new();
        for target in Target::ALL {
            let all = target.stages(arch).into_iter();
            let all: Vec<&Stage> = all
                .flat_map(|name| dockerfile::reached(&stages, &name))
                .collect();
            if !all.is_empty() {
                reached.insert(target, all);
            }
        }
        if !reached.contains_key(&Target::Initramfs) {
            return Err(Failure::host(format!(
                "`{path}` has no stage `initramfs`, which nodes boot"
            ))
            .hint(typed!("build --list")));
        }
        let mut sources = Self {
            root: root.to_owned(),
            arch: arch.to_owned(),
            parts: BTreeMap::new(),
            headers: BTreeMap::new(),
            unlisted: None,
        };
        let closures = match sources.closures(&reached) {
            Ok(closures) => closures,
            Err(failure) => {
                sources.unlisted = Some(failure);
                BTreeMap::new()
            }
        };
        for (target, stages) in reached {
            let parts = sources.parts_of(&stages, &closures);
            sources.parts.insert(target, parts);
        }
        let folders = closures.values().flat_map(|it| &it.folders);
        let folders: BTreeSet<&Utf8PathBuf> = folders.collect();
        sources.headers = packages::headers(root, folders.into_iter());
        Ok(sources)
    }

    /// Reads again what these changes may have changed.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub(super) fn refresh(&mut self, changed: &BTreeSet<Utf8PathBuf>) -> Result<()> {
        if changed.iter().any(|path| self.is_outdated_by(path)) {
            *self = Self::read(&self.root, &self.arch)?;
        }
        Ok(())
    }

    fn is_outdated_by(&self, path: &Utf8Path) -> bool {
        let decides = ["Dockerfile", "go.mod", "go.sum", "go.work"];
        if decides.contains(&path.file_name().unwrap_or_default()) {
            return true;
        }
        if path.extension() != Some("go") {
            // A new file may be one that a package embeds.
            return self.unlisted.is_none() && !self.is_known(path);
        }
        let text = files::read_text(&self.root.join(path), files::MEDIUM);
        let text = text.ok().flatten();
        match (self.headers.get(path), text) {
            (Some(known), Some(text)) => packages::header(&text) != *known,
            // Tests of other packages than those of the integration tests decide nothing.
            (None, Some(_)) => !path.as_str().ends_with("_test.go"),
            (known, None) => known.is_some(),
        }
    }

    /// Whether what the file is for cannot have changed: it is embedded, or in no package.
    fn is_known(&self, path: &Utf8Path) -> bool {
        let programs = self
            .parts
            .values()
            .flat_map(|parts| parts.programs.values());
        let mut programs = programs.peekable();
        programs.peek().is_some()
            && programs.all(|program| {
                let mut above = path.ancestors().skip(1);
                program.embedded.contains(path)
                    || !above.any(|folder| program.folders.contains(folder))
            })
    }

    /// Go lists programs together that are built with the same tags.
    fn closures(
        &self,
        reached: &BTreeMap<Target, Vec<&Stage>>,
    ) -> Result<BTreeMap<Program, Closure>> {
        let stages = reached.values().flatten();
        let programs: BTreeSet<&Program> = stages.flat_map(|stage| &stage.programs).collect();
        let mut alike: BTreeMap<(bool, &str), Vec<&Program>> = BTreeMap::new();
        for program in programs {
            let key = (program.is_test, program.tags.as_str());
            alike.entry(key).or_default().push(program);
        }
        // Each run of go waits for the disk and computes little.
        let listed = std::thread::scope(|scope| {
            let runs: Vec<_> = alike
                .values()
                .map(|programs| scope.spawn(|| packages::closures(&self.root, programs)))
                .collect();
            let runs = runs.into_iter().zip(alike.values());
            runs.map(|(run, programs)| {
                let failed = |_| Err(Failure::host("cannot list the packages of the checkout"));
                Ok((programs, run.join().unwrap_or_else(failed)?))
            })
            .collect::<Result<Vec<_>>>()
        })?;
        let pairs = listed.into_iter().flat_map(|(programs, closures)| {
            let programs = programs.iter().map(|program| (*program).clone());
            programs.zip(closures)
        });
        Ok(pairs.collect())
    }

    fn parts_of(&self, stages: &[&Stage], closures: &BTreeMap<Program, Closure>) -> Parts {
        let mut parts = Parts::default();
        for stage in stages {
            for path in &stage.files {
                // Of a folder with packages only those that are in a program count.
                let is_listed = self.unlisted.is_none() && has_go(&self.root.join(path));
                if !is_listed && let Ok(pattern) = Pattern::new(path) {
                    parts.copied.push((pattern, stage.name.clone()));
                }
            }
            for program in &stage.programs {
                let name = Utf8Path::new(&program.package).file_name();
                let name = name.unwrap_or(&stage.name).to_owned();
                if let Some(closure) = closures.get(program) {
                    parts.programs.insert(name, closure.clone());
                }
            }
        }
        parts
    }
}

/// Whether there is a Go file in the folder or below.
fn has_go(folder: &Utf8Path) -> bool {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = folder.read_dir_utf8() else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.into_path();
            if path.extension() == Some("go") {
                return true;
            }
            if path.symlink_metadata().is_ok_and(|it| it.is_dir()) {
                open.push(path);
            }
        }
    }
    false
}
