//! The three checkouts of a kernel module's way: Talos, which pins a commit of
//! pkgs; pkgs, which builds the kernel and its modules; extensions.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;

use crate::app::App;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::plan::{Plan, Step};
use foundation::program;

#[derive(Debug, Clone, Default, Args)]
pub struct CheckoutArgs {
    /// Checkout of pkgs [default: pkgs beside the Talos checkout]
    #[arg(long, value_name = "DIR")]
    pub pkgs: Option<Utf8PathBuf>,
    /// Checkout of extensions [default: extensions beside the Talos checkout]
    #[arg(long, value_name = "DIR")]
    pub extensions: Option<Utf8PathBuf>,
}

pub(super) struct Checkouts {
    pub(super) talos: Checkout,
    pub(super) pkgs: Utf8PathBuf,
    pub(super) extensions: Utf8PathBuf,
    pub(super) pin: Pin,
}

/// The commit of pkgs that Talos is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    /// `v1.12.0-103-gf921142`, or a tag alone.
    pub(super) name: String,
    /// 40 digits.
    pub(super) commit: String,
}

/// How the pkgs checkout relates to the pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Its kernel is that of the pin.
    SameKernel,
    /// Another commit, without changes of tracked files.
    Clean,
    /// Another commit, with changes.
    Changed,
}

/// git may have to read packs of a large repository.
const LIMIT: Duration = Duration::from_mins(1);

impl Checkouts {
    /// # Errors
    /// Exit code 2 or 3 with everything that is missing.
    pub(super) fn find(app: &App<'_>, args: &CheckoutArgs) -> Result<Self> {
        let talos = app.ctx.checkout()?;
        let beside = |given: &Option<Utf8PathBuf>, name: &str| match given {
            Some(dir) => app.ctx.cwd.join(dir),
            None => talos.dir.parent().unwrap_or(&talos.dir).join(name),
        };
        let (pkgs, extensions) = (
            beside(&args.pkgs, "pkgs"),
            beside(&args.extensions, "extensions"),
        );
        let missing: Vec<(&str, &Utf8Path)> = [("pkgs", &*pkgs), ("extensions", &*extensions)]
            .into_iter()
            .filter(|(name, dir)| !is_of_kres(dir) || (*name == "pkgs") != is_pkgs(dir))
            .collect();
        if let Some((name, dir)) = missing.first() {
            let named = format!("name it: `--{name} DIR`");
            let mut failure = Failure::host("checkouts are missing").hint(if dir.exists() {
                named
            } else {
                format!(
                    "{}; or {named}",
                    program!(
                        "git clone https://github.com/siderolabs/{}.git {}",
                        name,
                        dir
                    )
                )
            });
            failure.causes = missing
                .iter()
                .map(|(name, dir)| format!("`{dir}` is not a checkout of siderolabs/{name}"))
                .collect();
            return Err(failure);
        }
        let real = |dir: Utf8PathBuf| dir.canonicalize_utf8().unwrap_or(dir);
        let (pkgs, extensions) = (real(pkgs), real(extensions));
        let pin = Pin::of(&talos.dir, &pkgs)?;
        Ok(Self {
            talos,
            pkgs,
            extensions,
            pin,
        })
    }

    /// # Errors
    /// When git does not answer.
    pub(super) fn position(&self) -> Result<Position> {
        let git = |words: &[&str]| git(&self.pkgs, words);
        let head = git(&["rev-parse", "--verify", "HEAD^{commit}"])?;
        // The user's own commits on top of it leave its kernel alone.
        let kernel = |commit: &str| -> Result<String> {
            git(&["rev-parse", "--verify", &format!("{commit}:kernel")])
        };
        if head == self.pin.commit
            || (kernel(&head)? == kernel(&self.pin.commit)?
                && linux_version(&self.text_at(&head, "Pkgfile")?)
                    == linux_version(&self.text_at(&self.pin.commit, "Pkgfile")?)
                && is_ancestor(&self.pkgs, &self.pin.commit, &head)?)
        {
            return Ok(Position::SameKernel);
        }
        let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
        Ok(if changes.is_empty() {
            Position::Clean
        } else {
            Position::Changed
        })
    }

    /// The text of a file of pkgs at a commit, empty if it does not exist there.
    ///
    /// # Errors
    /// When git does not answer.
    pub(super) fn text_at(&self, commit: &str, path: &str) -> Result<String> {
        let listed = git(&self.pkgs, &["ls-tree", "--name-only", commit, "--", path])?;
        if listed.is_empty() {
            return Ok(String::new());
        }
        let argv = ["git", "show", &format!("{commit}:{path}")];
        let text = Probe::new(argv).current_dir(&self.pkgs).timeout(LIMIT);
        text.exact_stdout().map_err(|error| {
            Failure::host(format!("cannot read `{path}` of {commit}")).cause(error)
        })
    }

    /// The step that puts the pinned commit into the pkgs checkout. Branches stay where
    /// they are.
    pub(super) fn switch(&self) -> Step {
        let argv = ["git", "switch", "--detach", &self.pin.commit];
        Step::run(
            format!(
                "Check out the commit of pkgs that Talos pins, {}",
                self.pin.name
            ),
            argv,
        )
        .cwd(&self.pkgs)
    }

    /// The failure for a pkgs checkout of another commit with changes.
    pub(super) fn elsewhere(&self) -> Failure {
        Failure::usage(format!(
            "`{}` is not at the commit that Talos pins, and has changes",
            self.pkgs
        ))
        .cause(format!(
            "Talos {} is built with pkgs {}; modules of another kernel do not load",
            self.talos.version, self.pin.name
        ))
        .hint(program!(
            "git -C {} switch --merge --detach {}",
            self.pkgs,
            self.pin.commit
        ))
    }

    /// A note if the extensions checkout is of another Talos line.
    pub(super) fn note(&self, plan: &mut Plan) -> Result<()> {
        let theirs = pinned(&self.extensions)?.unwrap_or_default();
        let line = |name: &str| name.split('.').take(2).collect::<Vec<_>>().join(".");
        if line(&theirs) != line(&self.pin.name) {
            plan.note(format!(
                "{} is for pkgs {theirs}, but Talos pins {}: check out the branch of the same line",
                self.extensions, self.pin.name
            ));
        }
        Ok(())
    }
}

impl Pin {
    fn of(talos: &Utf8Path, pkgs: &Utf8Path) -> Result<Self> {
        let name = pinned(talos)?.ok_or_else(|| {
            Failure::host(format!("`{talos}/Makefile` does not set PKGS"))
                .cause("which commit of pkgs this Talos is built with is not known")
        })?;
        let revision = match commit_in(&name) {
            Some(short) => short.to_owned(),
            None => format!("refs/tags/{name}"),
        };
        let wanted = format!("{revision}^{{commit}}");
        let argv = ["git", "rev-parse", "--verify", "--quiet", &wanted];
        let commit = Probe::new(argv).current_dir(pkgs).timeout(LIMIT).run();
        let commit = commit.map_err(|error| {
            Failure::host(format!("cannot look for {name} in `{pkgs}`")).cause(error)
        })?;
        if !commit.success {
            let is_git = pkgs.join(".git").exists();
            return Err(Failure::host(format!(
                "`{pkgs}` does not have pkgs {name}, which Talos pins"
            ))
            .cause(if is_git {
                "the clone is shallow or older than the pin"
            } else {
                "it is not a git clone"
            })
            .hint(program!("git -C {} fetch --tags origin", pkgs)));
        }
        Ok(Self {
            name,
            commit: commit.stdout.trim().to_owned(),
        })
    }
}

/// `f921142` of `v1.12.0-103-gf921142`; `None` of a tag alone.
fn commit_in(pin: &str) -> Option<&str> {
    let (_, commit) = pin.rsplit_once("-g")?;
    let is_hex = commit.len() >= 7 && commit.chars().all(|c| c.is_ascii_hexdigit());
    is_hex.then_some(commit)
}

/// `PKGS` of a Makefile.
fn pinned(dir: &Utf8Path) -> Result<Option<String>> {
    let text = files::text(&dir.join("Makefile"), files::MEDIUM)?.unwrap_or_default();
    Ok(pkgs_of(&text))
}

fn pkgs_of(makefile: &str) -> Option<String> {
    makefile.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.trim_end_matches(['?', ':']).trim();
        (name == "PKGS").then(|| value.trim().to_owned())
    })
}

pub(super) fn linux_version(pkgfile: &str) -> Option<&str> {
    pkgfile.lines().find_map(|line| {
        let value = line.trim().strip_prefix("linux_version:")?;
        Some(value.split('#').next()?.trim().trim_matches('"'))
    })
}

fn is_of_kres(dir: &Utf8Path) -> bool {
    ["Pkgfile", ".kres.yaml", "Makefile"]
        .iter()
        .all(|name| dir.join(name).is_file())
}

fn is_pkgs(dir: &Utf8Path) -> bool {
    dir.join("kernel").is_dir()
}

fn is_ancestor(dir: &Utf8Path, older: &str, newer: &str) -> Result<bool> {
    Ok(git(dir, &["merge-base", older, newer])? == older)
}

fn git(dir: &Utf8Path, words: &[&str]) -> Result<String> {
    let argv = [&["git"], words].concat();
    let probe = Probe::new(argv).current_dir(dir).timeout(LIMIT);
    probe
        .stdout()
        .map_err(|error| Failure::host(format!("git does not answer in `{dir}`")).cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_a_commit_or_a_tag_alone() {
        assert_eq!(commit_in("v1.12.0-103-gf921142"), Some("f921142"));
        assert_eq!(commit_in("v1.15.0-alpha.0-7-gb914c26"), Some("b914c26"));
        assert_eq!(commit_in("v1.13.0"), None);
        assert_eq!(commit_in("v1.14.0-gamma"), None);
    }

    #[test]
    fn the_pin_is_read_from_the_makefile() {
        let text = "PKGS_PREFIX ?= ghcr.io/siderolabs\nPKGS ?= v1.13.0\nPKG_FHS ?= $(PKGS)\n";
        assert_eq!(pkgs_of(text).as_deref(), Some("v1.13.0"));
        assert_eq!(pkgs_of("PKGS_PREFIX ?= x\n"), None);
        assert_eq!(
            linux_version("vars:\n  linux_version: 6.18.1 # x\n"),
            Some("6.18.1")
        );
    }
}
