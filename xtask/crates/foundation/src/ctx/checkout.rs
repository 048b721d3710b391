//! The Talos checkout: where it is, and its version.

use camino::{Utf8Path, Utf8PathBuf};
use talos::version::TalosVersion;

use super::Ctx;
use super::probe::Probe;
use crate::failure::{Failure, Result};
use crate::files;
use crate::typed;

/// A Talos working tree.
#[derive(Debug, Clone)]
pub struct Checkout {
    pub dir: Utf8PathBuf,
    /// How it was found, for `--explain` and errors.
    pub found_by: &'static str,
    pub version: TalosVersion,
    /// What the version was read from.
    pub version_from: &'static str,
}

const MODULE: &str = "module github.com/siderolabs/talos";

impl Checkout {
    /// `-C` > `TALOS_DIR` > `.cargo/xtask.toml` > upwards > `../talos`.
    ///
    /// # Errors
    /// If the named folder is not a Talos checkout, or none is found.
    pub fn find(ctx: &Ctx) -> Result<Self> {
        let env = std::env::var("TALOS_DIR")
            .ok()
            .filter(|dir| !dir.is_empty());
        let named = [
            ("-C", ctx.talos_dir.clone()),
            ("TALOS_DIR", env.map(Utf8PathBuf::from)),
            (".cargo/xtask.toml", ctx.config.talos_dir.clone()),
        ];
        for (by, dir) in named {
            if let Some(dir) = dir {
                return Self::open(&ctx.cwd.join(dir), by);
            }
        }
        for dir in ctx.cwd.ancestors() {
            if is_talos(dir)? {
                return Self::open(dir, "walking up");
            }
        }
        for parent in ctx.cwd.ancestors().skip(1) {
            let sibling = parent.join("talos");
            if is_talos(&sibling)? {
                return Self::open(&sibling, "sibling ../talos");
            }
        }
        Err(Failure::host(format!("no Talos checkout found from `{}`", ctx.cwd))
            .cause(format!("no go.mod here or above declares `{MODULE}`, and there is no `../talos`"))
            .hint(format!("name it: `-C DIR`, TALOS_DIR=DIR, or `talos-dir` in .cargo/xtask.toml; or try `{}`", typed!("--lab cluster"))))
    }

    fn open(dir: &Utf8Path, found_by: &'static str) -> Result<Self> {
        if !is_talos(dir)? {
            return Err(Failure::usage(format!("`{dir}` is not a Talos checkout"))
                .cause(match std::fs::metadata(dir.join("go.mod")) {
                    Ok(_) => format!("its go.mod does not declare `{MODULE}`"),
                    Err(error) => format!("{}: {error}", dir.join("go.mod")),
                })
                .hint(format!(
                    "named by {found_by}; point it at a clone of github.com/siderolabs/talos"
                )));
        }
        let dir = dir.canonicalize_utf8().unwrap_or_else(|_| dir.to_owned());
        let (version, version_from) = version_of(&dir)?;
        Ok(Self {
            dir,
            found_by,
            version,
            version_from,
        })
    }

    /// The command line that builds these targets of its Makefile.
    pub fn build(&self, targets: &str) -> String {
        typed!(
            "build {} -C {}",
            targets.split(' ').collect::<typed::Words>(),
            self.dir
        )
    }

    /// The folder that builds write to.
    pub fn out(&self) -> Utf8PathBuf {
        self.dir.join("_out")
    }

    /// `git describe` with the options of the Makefile's TAG; `None` outside
    /// git.
    pub fn tag(&self) -> Option<String> {
        Probe::new([
            "git", "describe", "--tag", "--always", "--dirty", "--match", "v[0-9]*",
        ])
        .current_dir(&self.dir)
        .stdout()
        .ok()
    }
}

/// # Errors
/// If its go.mod exists and cannot be read.
pub fn is_talos(dir: &Utf8Path) -> Result<bool> {
    let text = files::text(&dir.join("go.mod"), files::SMALL)?;
    Ok(text.is_some_and(|text| text.lines().any(|line| line.trim_end() == MODULE)))
}

/// The committed release tag is read first: it needs no process, and
/// `git describe` fails in a shallow clone or an unpacked archive.
fn version_of(dir: &Utf8Path) -> Result<(TalosVersion, &'static str)> {
    let committed = files::text(&dir.join("pkg/machinery/gendata/data/tag"), files::SMALL)?;
    if let Ok(version) = TalosVersion::parse(committed.as_deref().unwrap_or_default().trim()) {
        return Ok((version, "pkg/machinery/gendata/data/tag"));
    }
    let described = Probe::new([
        "git",
        "describe",
        "--tag",
        "--match",
        "v[0-9]*",
        "--abbrev=0",
    ])
    .current_dir(dir)
    .stdout();
    if let Ok(version) = TalosVersion::parse(described.as_deref().unwrap_or_default()) {
        return Ok((version, "git describe"));
    }
    Err(
        Failure::host(format!("cannot determine the Talos version of `{dir}`"))
            .cause("neither pkg/machinery/gendata/data/tag nor a git tag v* names a version")
            .hint("fetch the tags: `git fetch --tags`"),
    )
}
