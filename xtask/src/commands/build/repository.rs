//! The repository of the Makefile: Talos, pkgs, extensions, or any other.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use makefile::{Invocation, Makefile};

use crate::app::App;
use foundation::ctx::{Ctx, cargo_run};
use foundation::failure::{Failure, Result};
use foundation::files;

/// A folder with a readable Makefile.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) dir: Utf8PathBuf,
    pub(crate) makefile: Makefile,
    /// The environment that make would be started with.
    pub(crate) environment: BTreeMap<String, String>,
}

impl Repository {
    /// Finds it: `-C`, then this folder or one above, then the Talos checkout.
    ///
    /// # Errors
    /// If there is none, or its Makefile cannot be read.
    pub(crate) fn find(app: &App<'_>) -> Result<Self> {
        Self::find_from(&app.ctx)
    }

    /// The same, without an [`App`].
    ///
    /// # Errors
    /// Those of [`Repository::find`].
    pub(super) fn find_from(ctx: &Ctx) -> Result<Self> {
        if let Some(dir) = &ctx.talos_dir {
            return Self::open(&ctx.cwd.join(dir));
        }
        // A repository of kres, such as pkgs and extensions, is preferred to
        // the checkout for a developer inside of it.
        let kres = ctx
            .cwd
            .ancestors()
            .find(|dir| dir.join(".kres.yaml").exists() && dir.join("Makefile").exists());
        match kres {
            Some(dir) => Self::open(dir),
            None => Self::open(&ctx.checkout()?.dir),
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// Those of [`Repository::find`].
    pub(crate) fn open(dir: &Utf8Path) -> Result<Self> {
        Self::open_from(dir, dir)
    }

    /// Opens it for a make that was started in the folder `start` with `-C`: its `PWD`
    /// stays that of the start.
    ///
    /// # Errors
    /// Those of [`Repository::find`].
    pub(crate) fn open_from(start: &Utf8Path, dir: &Utf8Path) -> Result<Self> {
        let is_here = start == dir;
        let dir = dir
            .canonicalize_utf8()
            .map_err(|error| Failure::usage(format!("no folder `{dir}`")).cause(error))?;
        let path = ["GNUmakefile", "makefile", "Makefile"]
            .iter()
            .map(|name| dir.join(name))
            .find(|path| path.symlink_metadata().is_ok());
        let Some(path) = path else {
            return Err(Failure::usage(format!("there is no Makefile in `{dir}`"))
                .hint("name a checkout of Talos, pkgs or extensions: `-C DIR`"));
        };
        // It existed a moment ago.
        let text = files::read(&path, files::MEDIUM)
            .map_err(|error| Failure::step(format!("cannot read `{path}`")).cause(error))?
            .unwrap_or_default();
        let makefile = Makefile::parse_bytes(path.file_name().unwrap_or("Makefile"), &text)
            .map_err(|error| refused(&error))?;
        // The environment as after `cd DIR && make`.
        let mut environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        for (name, value) in cargo_run::leaked() {
            match value {
                Some(value) => environment.insert(name.clone(), value.clone()),
                None => environment.remove(name),
            };
        }
        if is_here {
            let pwd = environment.get("PWD").and_then(|pwd| logical(pwd, &dir));
            environment.insert("PWD".to_owned(), pwd.unwrap_or_else(|| dir.to_string()));
        }
        Ok(Self {
            dir,
            makefile,
            environment,
        })
    }

    pub(crate) fn invocation(&self, arguments: &[String], make_command: &str) -> Invocation {
        Invocation {
            directory: self.dir.to_string(),
            environment: self.environment.clone(),
            arguments: arguments.to_vec(),
            make_command: make_command.to_owned(),
        }
    }
}

/// The folder as `cd` would name it: the working folder or one above it, with the links by
/// which it was entered.
fn logical(pwd: &str, dir: &Utf8Path) -> Option<String> {
    let pwd = Utf8Path::new(pwd);
    let is_it = |folder: &&Utf8Path| folder.canonicalize_utf8().is_ok_and(|it| it == dir);
    let mut parts = pwd.as_str().split('/');
    let is_plain = pwd.is_absolute() && !parts.any(|part| part == "." || part == "..");
    let found = pwd.ancestors().find(is_it).filter(|_| is_plain)?;
    Some(found.to_string())
}

/// The failure for a construct that evaluation refuses.
pub(crate) fn refused(error: &makefile::Error) -> Failure {
    match error {
        makefile::Error::Usage(what) => Failure::usage(what.clone()),
        makefile::Error::TooMuch { .. } => {
            Failure::step(format!("cannot evaluate the Makefile: {error}"))
                .hint("look at how that variable is set; each value has to fit a command line")
        }
        makefile::Error::NoRule { .. }
        | makefile::Error::TooDeep { .. }
        | makefile::Error::SelfReference { .. } => Failure::step(error.to_string()),
        makefile::Error::Unsupported { .. }
        | makefile::Error::TooEarly { .. }
        | makefile::Error::Malformed { .. } => {
            Failure::step(format!("cannot evaluate the Makefile: {error}"))
                .hint("`make` itself still works; please report the construct")
        }
    }
}
