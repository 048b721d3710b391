//! `kmod new`: the package of a driver in pkgs and its extension, as files and as
//! lines in the files that list them.

pub(super) mod driver;
pub(super) mod edit;
pub(super) mod extension;
mod package;
mod source;
pub(super) mod writes;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};
use regex::Regex;

use super::checkouts::{CheckoutArgs, Checkouts, Position};
use super::packages;
use crate::app::App;
use driver::{Driver, Origin, OutOfTree, Source, Version};
use edit::List;
use foundation::ctx::probe::Probe;
use foundation::failure::{Failure, Result};
use foundation::plan::Plan;
use foundation::typed;
use foundation::ui;
use writes::{Writes, existing};

#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("origin").required(true).args(["source", "in_tree", "like"]))]
pub struct NewArgs {
    /// Name of the extension, such as my-driver; its package is my-driver-pkg
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Archive with the source of the driver; its version is read from the URL
    #[arg(long, value_name = "URL")]
    pub source: Option<String>,
    /// Modules of the kernel's own sources: no package is needed
    #[arg(long, requires = "module")]
    pub in_tree: bool,
    /// Known driver to start from: hailort
    #[arg(long, value_enum, value_name = "DRIVER", hide_possible_values = true)]
    pub like: Option<Like>,
    /// Copy of the archive on this machine, for its checksums [default: download]
    #[arg(long, value_name = "FILE", requires = "source")]
    pub source_file: Option<Utf8PathBuf>,
    /// Version or commit of the driver in the URL [default: the last number in it]
    #[arg(long, value_name = "VERSION", requires = "source")]
    pub source_version: Option<String>,
    /// Name of a module; with --in-tree its path, such as kernel/drivers/input/joydev.ko [default:
    /// NAME]
    #[arg(long, value_name = "MODULE")]
    pub module: Vec<String>,
    /// Folder of the driver in the archive
    #[arg(long, value_name = "DIR", requires = "source")]
    pub folder: Option<String>,
    /// Argument of make that builds the driver, such as KDIR=/src [default: -C /src M=$(pwd)]
    #[arg(long, value_name = "ARG", requires = "source")]
    pub make_arg: Vec<String>,
    /// Folder of the installed modules, below the kernel's
    #[arg(
        long,
        value_name = "DIR",
        default_value = "extras",
        requires = "source"
    )]
    pub install_dir: String,
    /// Rules file of udev in the driver's folder, installed to /usr/lib/udev/rules.d
    #[arg(long, value_name = "FILE", requires = "source")]
    pub udev: Option<String>,
    /// Folder of the extension in the extensions checkout
    #[arg(long, value_name = "DIR", default_value = "drivers")]
    pub category: String,
    /// Author in the manifest [default: user.name of git]
    #[arg(long, value_name = "NAME")]
    pub author: Option<String>,
    /// Description in the manifest
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Overwrite existing files and variables that differ
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub checkouts: CheckoutArgs,
}

/// A driver whose facts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Like {
    /// Hailo-8 AI accelerators, with firmware and udev rules
    Hailort,
}

pub(super) fn run(app: &App<'_>, args: &NewArgs) -> Result<u8> {
    check(args)?;
    let checkouts = Checkouts::find(app, &args.checkouts)?;
    let mut plan = Plan::new(format!(
        "Scaffold the extension {} for Talos {}",
        args.name, checkouts.talos.version
    ));
    let driver = driver_of(app, args, &checkouts, &mut plan)?;
    let tree = Tree::find(&checkouts, &driver, &mut plan)?;
    let mut writes = Writes::new(args.replace);
    if let Origin::OutOfTree(it) = &driver.origin {
        add_package(&tree, &driver, it, &mut writes)?;
    }
    add_extension(&checkouts, &driver, &args.category, &mut writes)?;
    let build = typed!("kmod build {}", args.name);
    writes.into_plan(&mut plan, &build)?;
    finish(app, &plan, &build)
}

/// Runs the plan and names the next command.
pub(super) fn finish(app: &App<'_>, plan: &Plan, build: &str) -> Result<u8> {
    if plan.steps.is_empty() && !app.is_dry() {
        ui::print(&format!(
            "nothing to do: all files are there\n  next: {build}\n"
        ));
        return Ok(0);
    }
    if app.carry_out(plan)? {
        ui::print(&format!("  next: {build}\n"));
    }
    Ok(0)
}

/// Refuses words that would not survive YAML, a shell or a reference of an image.
fn check(args: &NewArgs) -> Result<()> {
    check_name(&args.name)?;
    let words = [
        ("--folder", args.folder.as_ref()),
        ("--install-dir", Some(&args.install_dir)),
        ("--udev", args.udev.as_ref()),
        ("--category", Some(&args.category)),
        ("--source-version", args.source_version.as_ref()),
    ];
    let words = words
        .into_iter()
        .filter_map(|(flag, word)| Some((flag, word?)));
    let lists = [("--module", &args.module), ("--make-arg", &args.make_arg)];
    let lists = lists
        .into_iter()
        .flat_map(|(flag, list)| list.iter().map(move |word| (flag, word)));
    for (flag, word) in words.chain(lists) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
        let is_path = !matches!(flag, "--make-arg");
        let leaves = word.split('/').any(|part| part == "..") || word.starts_with('/');
        if word.is_empty() || !word.chars().all(plain) || (is_path && leaves) {
            return Err(Failure::usage(format!("invalid value `{word}` for `{flag}`"))
                .cause("letters, digits and @%+=:,./_- are possible, and no path that leaves its folder"));
        }
    }
    if let Some(url) = &args.source {
        let is_plain = |c: char| c.is_ascii_graphic() && !"\"'`{}$\\<>".contains(c);
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        if !is_web || !url.chars().all(is_plain) || url.contains(" #") {
            return Err(Failure::usage(format!("invalid URL `{url}`"))
                .cause("it has to begin with https:// or http://")
                .hint("for a copy on this machine add `--source-file FILE`"));
        }
    }
    if args.in_tree
        && let Some(path) = args
            .module
            .iter()
            .find(|it| Utf8Path::new(it).extension() != Some("ko"))
    {
        return Err(
            Failure::usage(format!("`{path}` is not the path of a module"))
                .cause(
                    "with `--in-tree` a module is named by its path below /usr/lib/modules/VERSION",
                )
                .hint(typed!(
                    "kmod new {} --in-tree --module kernel/drivers/input/joydev.ko",
                    args.name
                )),
        );
    }
    Ok(())
}

/// Names become part of image references, and of variables of Go's templates.
pub(super) fn check_name(name: &str) -> Result<()> {
    let form = Regex::new(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$");
    if !form.is_ok_and(|form| form.is_match(name)) || name.ends_with("-pkg") {
        return Err(Failure::usage(format!("invalid name `{name}`"))
            .cause("lower-case letters, digits and single dashes are possible, and no `-pkg` at the end")
            .cause("the package in pkgs gets the name NAME-pkg by itself"));
    }
    Ok(())
}

fn driver_of(
    app: &App<'_>,
    args: &NewArgs,
    checkouts: &Checkouts,
    plan: &mut Plan,
) -> Result<Driver> {
    let author = author(args.author.as_deref(), &checkouts.extensions);
    let version = &checkouts.talos.version;
    let mut driver = match args.like {
        Some(Like::Hailort) => {
            if version.line().minor < driver::HAILORT_SINCE {
                plan.note(format!(
                    "pkgs of Talos {} has no HailoRT driver: this is the version of Talos 1.{}, which upstream never built for this kernel",
                    version.line(),
                    driver::HAILORT_SINCE
                ));
            }
            driver::hailort(&args.name, version, author)
        }
        None => given(app, args, author)?,
    };
    if let Some(description) = &args.description {
        description
            .trim_end_matches('.')
            .clone_into(&mut driver.description);
    }
    Ok(driver)
}

fn given(app: &App<'_>, args: &NewArgs, author: String) -> Result<Driver> {
    let origin = match &args.source {
        Some(url) => Origin::OutOfTree(out_of_tree(app, args, url)?),
        None => Origin::InTree(args.module.clone()),
    };
    let module = |path: &String| {
        let file = path.rsplit('/').next().unwrap_or(path);
        file.trim_end_matches(".ko").replace('-', "_")
    };
    let modules = match &args.module[..] {
        [] => vec![args.name.replace('-', "_")],
        named => named.iter().map(module).collect(),
    };
    Ok(Driver {
        name: args.name.clone(),
        modules,
        author,
        description: format!("Kernel modules of {}", args.name),
        origin,
    })
}

fn out_of_tree(app: &App<'_>, args: &NewArgs, url: &str) -> Result<OutOfTree> {
    let version = match &args.source_version {
        Some(text) if !url.contains(text.as_str()) => {
            return Err(
                Failure::usage(format!("the version `{text}` is not in `{url}`"))
                    .cause("the URL of the next release is made from it"),
            );
        }
        Some(text) if text.len() == 40 => Version::Commit(text.clone()),
        Some(text) => Version::Release(text.clone()),
        None => Version::of_url(url).ok_or_else(|| {
            Failure::usage(format!("`{url}` has no version in it"))
                .cause("neither a number such as 1.2.3 nor a commit")
                .hint("name what changes with the next release: `--source-version VERSION`")
        })?,
    };
    let (what, sums) = match &args.source_file {
        Some(file) => (file.as_str(), source::of_file(&app.ctx.cwd.join(file))?),
        None => (url, source::of_url(url)?),
    };
    let suffix = driver::suffix(what, &sums)?;
    Ok(OutOfTree {
        version,
        sources: vec![Source {
            url: url.to_owned(),
            destination: format!("{}.{suffix}", args.name),
            prefix: args.name.replace('-', "_"),
            sha256: sums.sha256,
            sha512: sums.sha512,
        }],
        folder: args.folder.clone(),
        make: args.make_arg.clone(),
        install_dir: args.install_dir.clone(),
        udev: args.udev.clone(),
        firmware: None,
    })
}

/// The given author, or that of the user's commits.
pub(super) fn author(given: Option<&str>, dir: &Utf8Path) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    let name = Probe::new(["git", "config", "user.name"])
        .current_dir(dir)
        .stdout();
    name.ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The pkgs checkout as it is when the files are written: at the pinned commit.
pub(super) struct Tree<'a> {
    checkouts: &'a Checkouts,
    /// The commit that a step of the plan checks out first.
    switches: bool,
}

impl<'a> Tree<'a> {
    /// # Errors
    /// If the checkout is at another commit and has changes.
    pub(super) fn find(checkouts: &'a Checkouts, driver: &Driver, plan: &mut Plan) -> Result<Self> {
        checkouts.note(plan)?;
        let switches = match checkouts.position()? {
            Position::SameKernel => false,
            // Nothing is written to pkgs; `kmod build` looks again.
            _ if matches!(driver.origin, Origin::InTree(_)) => false,
            Position::Clean => true,
            Position::Changed => return Err(checkouts.elsewhere()),
        };
        if switches {
            plan.push(checkouts.switch());
        }
        Ok(Self {
            checkouts,
            switches,
        })
    }

    pub(super) fn text(&self, path: &str) -> Result<Option<String>> {
        let there = existing(&self.checkouts.pkgs.join(path))?;
        if !self.switches {
            return Ok(there);
        }
        let text = self.checkouts.text_at(&self.checkouts.pin.commit, path)?;
        if !text.is_empty() {
            return Ok(Some(text));
        }
        // What only the present commit has is gone then; untracked files stay.
        let tracked = self.checkouts.text_at("HEAD", path)?;
        Ok(there.filter(|_| tracked.is_empty()))
    }
}

fn add_package(
    tree: &Tree<'_>,
    driver: &Driver,
    it: &OutOfTree,
    writes: &mut Writes,
) -> Result<()> {
    let (pkgs, name) = (&tree.checkouts.pkgs, &driver.name);
    let path = format!("{name}/pkg.yaml");
    if !tree.switches {
        refuse_second(pkgs, &format!("{name}-pkg"), &path)?;
    }
    let text = package::pkg_yaml(driver, it, &tree.checkouts.talos.version);
    writes.file(pkgs.join(&path), text, tree.text(&path)?.as_deref());
    let pkgfile = tree.text("Pkgfile")?.unwrap_or_default();
    let variables = package::variables(driver, it);
    set(
        writes,
        &pkgs.join("Pkgfile"),
        &pkgfile,
        &package::renovate(it),
        &variables,
        List::Modules,
    )?;
    let (kres, makefile) = (tree.text(".kres.yaml")?, tree.text("Makefile")?);
    list(
        writes,
        pkgs,
        [kres, makefile],
        &format!("{name}-pkg"),
        List::Modules,
    )
}

pub(super) fn add_extension(
    checkouts: &Checkouts,
    driver: &Driver,
    category: &str,
    writes: &mut Writes,
) -> Result<()> {
    let (dir, name) = (&checkouts.extensions, &driver.name);
    let folder = Utf8Path::new(category).join(name);
    refuse_second(dir, name, folder.join("pkg.yaml").as_str())?;
    for (file, text) in extension::files(driver, &checkouts.talos.version) {
        let path = dir.join(&folder).join(file);
        let there = existing(&path)?;
        writes.file(path, text, there.as_deref());
    }
    let variables = extension::variables(driver);
    if !variables.is_empty() {
        let path = dir.join("Pkgfile");
        let text = existing(&path)?.unwrap_or_default();
        set(writes, &path, &text, "", &variables, List::Extensions)?;
    }
    let texts = [
        existing(&dir.join(".kres.yaml"))?,
        existing(&dir.join("Makefile"))?,
    ];
    list(writes, dir, texts, name, List::Extensions)
}

/// Names are unique over the whole tree for bldr.
fn refuse_second(dir: &Utf8Path, name: &str, path: &str) -> Result<()> {
    match packages::find(dir, name)? {
        Some(found) if found != dir.join(path) => Err(Failure::usage(format!(
            "a package `{name}` exists: `{found}`"
        ))
        .cause("bldr refuses a tree with two packages of one name")
        .hint(format!(
            "choose another name, or build it as it is: {}",
            typed!("kmod build {}", name.trim_end_matches("-pkg"))
        ))),
        _ => Ok(()),
    }
}

fn set(
    writes: &mut Writes,
    path: &Utf8Path,
    text: &str,
    comment: &str,
    variables: &[(String, String)],
    list: List,
) -> Result<()> {
    match edit::pkgfile(text, comment, variables, list, writes.replaces()) {
        Ok(Some(edited)) => writes.edit(path.to_owned(), edited, text),
        Ok(None) => {
            return Err(Failure::host(format!("`{path}` has no `vars:`"))
                .hint("name a checkout of siderolabs/pkgs and of siderolabs/extensions"));
        }
        Err((name, value)) => {
            return Err(
                Failure::usage(format!("`{path}` sets `{name}` to `{value}`"))
                    .hint("add `--replace` to change it"),
            );
        }
    }
    Ok(())
}

/// Lists a target in `.kres.yaml` and in the Makefile, which kres makes from it.
pub(super) fn list(
    writes: &mut Writes,
    dir: &Utf8Path,
    [kres, makefile]: [Option<String>; 2],
    name: &str,
    list: List,
) -> Result<()> {
    let files = [
        (
            ".kres.yaml",
            kres,
            edit::kres as fn(&str, &str, List) -> Option<String>,
        ),
        ("Makefile", makefile, edit::makefile),
    ];
    for (file, text, add) in files {
        let text = text.unwrap_or_default();
        let edited = add(&text, name, list).ok_or_else(|| {
            Failure::host(format!(
                "cannot find the list of targets in `{}`",
                dir.join(file)
            ))
            .cause("it is not laid out as kres does")
        })?;
        writes.edit(dir.join(file), edited, &text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::Package;
    use super::*;
    use serde::Deserialize;
    use talos::version::TalosVersion;

    /// Names of keys as `pkg/machinery/extensions` has them.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Manifest {
        version: String,
        metadata: Metadata,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Metadata {
        name: String,
        version: String,
        author: String,
        description: String,
        compatibility: Compatibility,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Compatibility {
        talos: Constraint,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Constraint {
        version: String,
    }

    fn drivers(talos: &TalosVersion) -> Vec<Driver> {
        let mut plain = driver::hailort("hello-world", talos, "A: \"b\"".to_owned());
        plain.origin = match plain.origin {
            Origin::OutOfTree(it) => Origin::OutOfTree(OutOfTree {
                folder: None,
                make: Vec::new(),
                udev: None,
                firmware: None,
                sources: it.sources[..1].to_vec(),
                ..it
            }),
            other => other,
        };
        let in_tree = Driver {
            origin: Origin::InTree(vec!["kernel/drivers/input/joydev.ko".to_owned()]),
            name: "joydev".to_owned(),
            ..plain.clone()
        };
        let package = Driver {
            origin: Origin::Package {
                name: "a-pkg".to_owned(),
                version: "1.2".to_owned(),
            },
            ..plain.clone()
        };
        let hailort = driver::hailort("hailort", talos, "me".to_owned());
        vec![plain, in_tree, package, hailort]
    }

    #[test]
    fn generated_files_are_valid_in_every_line() {
        for line in [
            "v1.10.0",
            "v1.11.0",
            "v1.12.0",
            "v1.13.0",
            "v1.14.0",
            "v1.15.0-alpha.0",
        ] {
            let talos = TalosVersion::parse(line).unwrap();
            for driver in drivers(&talos) {
                if let Origin::OutOfTree(it) = &driver.origin {
                    let text = package::pkg_yaml(&driver, it, &talos);
                    let parsed =
                        Package::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
                    assert_eq!(parsed.name, format!("{}-pkg", driver.name));
                    assert!(parsed.has_stage("kernel-build"));
                    assert_eq!(
                        parsed.steps[0].env.contains_key("LLVM"),
                        talos.kernel_needs_llvm()
                    );
                    // Each variable is set by the scaffold, by bldr or by the checkout.
                    let set = package::variables(&driver, it);
                    for name in super::super::schema::variables(&text) {
                        let is_set = set.iter().any(|(variable, _)| *variable == name);
                        assert!(
                            is_set || ["ARCH", "LLVM_IMAGE", "TOOLS_REV"].contains(&name.as_str()),
                            "{name}"
                        );
                    }
                }
                let files = extension::files(&driver, &talos);
                let text = |name: &str| {
                    let file = files.iter().find(|(file, _)| file == name);
                    file.map(|(_, text)| text.clone()).unwrap()
                };
                let parsed = Package::parse(&text("pkg.yaml")).unwrap();
                assert_eq!(parsed.name, driver.name);
                assert!(
                    parsed
                        .scripts()
                        .any(|line| line.contains("/extensions-validator"))
                );
                let manifest = text(talos.extension_manifest())
                    .replace("{{ .VERSION }}", "1")
                    .replace("{{ .TIER }}", "extra");
                let manifest: Manifest = yaml_serde::from_str(&manifest).unwrap();
                assert_eq!(
                    (manifest.version.as_str(), &manifest.metadata.name),
                    ("v1alpha1", &driver.name)
                );
                assert!(
                    !manifest.metadata.version.is_empty() && !manifest.metadata.author.is_empty()
                );
                assert!(manifest.metadata.description.contains("Hailo"));
                assert_eq!(
                    manifest.metadata.compatibility.talos.version,
                    format!(">= v{}.0", talos.line())
                );
                let vars: std::collections::BTreeMap<String, String> =
                    yaml_serde::from_str(&text("vars.yaml")).unwrap();
                assert!(vars.contains_key("VERSION") && vars.contains_key("TIER"));
                let document = text("README.md").contains("KernelModuleConfig");
                assert_eq!(document, talos.has_kernel_module_document());
            }
        }
    }

    #[test]
    fn names_that_break_references_are_refused() {
        for name in ["Hello", "a_b", "-a", "a--b", "a-pkg", "a/b", "", "1a"] {
            check_name(name).unwrap_err();
        }
        check_name("hailo-8l").unwrap();
    }
}
