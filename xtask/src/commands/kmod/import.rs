//! `kmod import`: takes an existing package of a module, checks it for this Talos
//! line, and scaffolds what is missing around it.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use talos::version::TalosVersion;

use super::checkouts::{CheckoutArgs, Checkouts};
use super::new::driver::{Driver, Origin};
use super::new::edit::List;
use super::new::writes::{Writes, existing};
use super::new::{self, Tree};
use super::schema::{Package, variables};
use crate::app::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::typed;

#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Folder with the package's pkg.yaml, in the pkgs checkout or anywhere else
    #[arg(value_name = "DIR")]
    pub dir: Utf8PathBuf,
    /// Version of the driver [default: that in the Pkgfile]
    #[arg(long, value_name = "VERSION")]
    pub driver_version: Option<String>,
    /// Name of a module [default: the package's name without -pkg]
    #[arg(long, value_name = "MODULE")]
    pub module: Vec<String>,
    /// Folder of the extension in the extensions checkout
    #[arg(long, value_name = "DIR", default_value = "drivers")]
    pub category: String,
    /// Author in the manifest [default: user.name of git]
    #[arg(long, value_name = "NAME")]
    pub author: Option<String>,
    /// Overwrite existing files and variables that differ
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    pub checkouts: CheckoutArgs,
}

/// Variables that bldr itself sets.
const BUILT_IN: [&str; 8] = [
    "ARCH", "TARGET", "BUILD", "HOST", "VENDOR", "CFLAGS", "LDFLAGS", "PATH",
];

pub(super) fn run(app: &App<'_>, args: &ImportArgs) -> Result<u8> {
    let checkouts = Checkouts::find(app, &args.checkouts)?;
    let dir = app.ctx.cwd.join(&args.dir);
    let dir = dir
        .canonicalize_utf8()
        .map_err(|error| Failure::usage(format!("cannot read the folder `{dir}`")).cause(error))?;
    let path = dir.join("pkg.yaml");
    let text = existing(&path)?.ok_or_else(|| {
        Failure::usage(format!("there is no pkg.yaml in `{dir}`"))
            .hint(typed!("kmod new NAME --source URL"))
    })?;
    let refused = |causes: Vec<String>| {
        let mut failure = Failure::new(
            Exit::Checks,
            format!(
                "`{path}` does not build modules for Talos {}",
                checkouts.talos.version.line()
            ),
        );
        failure.causes = causes;
        failure
    };
    let package = Package::parse(&text).map_err(|error| refused(vec![error]))?;
    let name = package.name.trim_end_matches("-pkg").to_owned();
    new::check_name(&name)?;
    let mut plan = Plan::new(format!(
        "Take the package {} for Talos {}",
        package.name, checkouts.talos.version
    ));
    let mut driver = Driver {
        modules: match &args.module[..] {
            [] => vec![name.replace('-', "_")],
            named => named.to_vec(),
        },
        author: new::author(args.author.as_deref(), &checkouts.extensions),
        description: format!("Kernel modules of {name}"),
        origin: Origin::Package {
            name: package.name.clone(),
            version: String::new(),
        },
        name,
    };
    let tree = Tree::find(&checkouts, &driver, &mut plan)?;
    let pkgfile = tree.text("Pkgfile")?.unwrap_or_default();
    let own = existing(&dir.join("vars.yaml"))?.unwrap_or_default();
    let mut mistakes = mistakes(&package, &checkouts.talos.version);
    mistakes.extend(unset(&text, &[&pkgfile, &own]));
    if !mistakes.is_empty() {
        return Err(refused(mistakes));
    }
    let found = version_in(&pkgfile, &driver.prefix());
    let version = args.driver_version.clone().or(found).ok_or_else(|| {
        Failure::usage(format!("the version of {} is not known", driver.name))
            .cause(format!(
                "`Pkgfile` does not set `{}_version`",
                driver.prefix()
            ))
            .hint("add `--driver-version VERSION`")
    })?;
    driver.origin = Origin::Package {
        name: package.name.clone(),
        version,
    };
    let mut writes = Writes::new(args.replace);
    copy(&checkouts, &dir, args.replace, &mut plan)?;
    let texts = [tree.text(".kres.yaml")?, tree.text("Makefile")?];
    new::list(
        &mut writes,
        &checkouts.pkgs,
        texts,
        &package.name,
        List::Modules,
    )?;
    new::add_extension(&checkouts, &driver, &args.category, &mut writes)?;
    let build = typed!("kmod build {}", driver.name);
    writes.into_plan(&mut plan, &build)?;
    new::finish(app, &plan, &build)
}

/// A package outside of pkgs is copied into it.
fn copy(checkouts: &Checkouts, dir: &Utf8Path, replaces: bool, plan: &mut Plan) -> Result<()> {
    if dir.starts_with(&checkouts.pkgs) {
        return Ok(());
    }
    let to = checkouts.pkgs.join(dir.file_name().unwrap_or_default());
    if to.exists() && !replaces {
        return Err(Failure::usage(format!("`{to}` exists"))
            .hint("add `--replace` to overwrite it, or import that folder"));
    }
    let action = Action::CopyTree {
        from: dir.to_owned(),
        to,
        except: vec![".git".into()],
    };
    plan.push(Step::new("Copy the package into pkgs", action).effect(Effect::Creates));
    Ok(())
}

/// What fails in the build, in the imager or on the node.
fn mistakes(package: &Package, talos: &TalosVersion) -> Vec<String> {
    let mut found = Vec::new();
    let line = talos.line();
    for (stage, why) in [
        ("base", "the tools of the build"),
        (
            "kernel-build",
            "the built kernel, and the key that signs modules",
        ),
    ] {
        if !package.has_stage(stage) {
            found.push(format!("`stage: {stage}` is missing: {why}"));
        }
    }
    let has_llvm = package
        .steps
        .iter()
        .any(|step| step.env.contains_key("LLVM"))
        || package.scripts().any(|line| line.contains("LLVM=1"));
    if talos.kernel_needs_llvm() != has_llvm {
        found.push(if has_llvm {
            format!("`LLVM: 1` is set, but the kernel of Talos {line} is built by gcc")
        } else {
            format!(
                "the kernel of Talos {line} is built by clang: add `LLVM: 1` to `env`, and the image \"{{{{ .LLVM_IMAGE }}}}:{{{{ .TOOLS_REV }}}}\""
            )
        });
    }
    let has = |text: &str| package.scripts().any(|line| line.contains(text));
    if has("/etc/udev") {
        found.push(
            "udev rules in /etc/udev are not allowed in extensions: use /usr/lib/udev/rules.d"
                .to_owned(),
        );
    }
    if has("uname -r") {
        found.push(
            "`uname -r` is the kernel of the build host: the built one is at /src".to_owned(),
        );
    }
    let outside = |line: &str| {
        let path = line
            .split("INSTALL_MOD_PATH=")
            .nth(1)?
            .split_whitespace()
            .next()?;
        (path.trim_end_matches('/') != "/rootfs/usr").then(|| path.to_owned())
    };
    if let Some(path) = package.scripts().find_map(outside) {
        found.push(format!(
            "INSTALL_MOD_PATH is {path}: modules have to be below /rootfs/usr"
        ));
    }
    found
}

/// Variables that nothing sets: bldr writes `<no value>` for them.
fn unset(pkg_yaml: &str, texts: &[&str]) -> Vec<String> {
    let set: BTreeSet<&str> = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| Some(line.trim().split_once(':')?.0))
        .collect();
    let unset = variables(pkg_yaml).into_iter().filter(|name| {
        !set.contains(name.as_str())
            && !BUILT_IN.contains(&name.as_str())
            && !name.starts_with("BUILD_ARG_")
    });
    unset
        .map(|name| format!("the variable `{name}` is not set in the Pkgfile"))
        .collect()
}

fn version_in(pkgfile: &str, prefix: &str) -> Option<String> {
    pkgfile.lines().find_map(|line| {
        let (name, value) = line.trim().split_once(':')?;
        let value = value.split(" #").next()?.trim().trim_matches('"');
        (name == format!("{prefix}_version")).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_mistakes_are_named() {
        let text = "name: a-pkg\nvariant: scratch\ndependencies:\n  - stage: base\nsteps:\n  - install:\n      - |\n        make KDIR=/lib/modules/$(uname -r)/build\n        make modules_install INSTALL_MOD_PATH=/rootfs\n        cp x.rules /rootfs/etc/udev/rules.d/\nfinalize:\n  - from: /rootfs\n    to: /\n";
        let package = Package::parse(text).unwrap();
        let of = |line: &str| mistakes(&package, &TalosVersion::parse(line).unwrap()).join("\n");
        let found = of("v1.13.0");
        for wanted in [
            "kernel-build",
            "built by clang",
            "/etc/udev",
            "uname -r",
            "INSTALL_MOD_PATH is /rootfs:",
        ] {
            assert!(found.contains(wanted), "{wanted}: {found}");
        }
        assert!(!of("v1.12.0").contains("clang"));
    }

    #[test]
    fn variables_that_nothing_sets_are_named() {
        let text = "{{ .a_version }} {{ .ARCH }} {{ .BUILD_ARG_TAG }} {{ .b }}";
        assert_eq!(
            unset(text, &["vars:\n  a_version: 1\n"]),
            ["the variable `b` is not set in the Pkgfile"]
        );
        assert_eq!(
            version_in("vars:\n  a_version: \"1.10\" # x\n", "a").as_deref(),
            Some("1.10")
        );
    }
}
