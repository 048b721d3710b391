//! The files of an extension: its manifest, package, variables, README, and for
//! modules of the kernel's own sources the list of them.

use std::fmt::Write;

use talos::version::TalosVersion;

use super::driver::{Driver, Origin, Version};

/// Paths relative to the extension's folder, and their texts.
pub(in super::super) fn files(driver: &Driver, talos: &TalosVersion) -> Vec<(String, String)> {
    let mut files = vec![
        (
            talos.extension_manifest().to_owned(),
            manifest(driver, talos),
        ),
        ("pkg.yaml".to_owned(), pkg_yaml(driver, talos)),
        ("vars.yaml".to_owned(), vars(driver)),
        ("README.md".to_owned(), readme(driver, talos)),
    ];
    if let Origin::InTree(modules) = &driver.origin {
        let lists = [
            "modules.order",
            "modules.builtin",
            "modules.builtin.modinfo",
        ];
        let mut list: Vec<&str> = lists.to_vec();
        list.extend(modules.iter().map(String::as_str));
        files.push(("files/modules.txt".to_owned(), list.join("\n") + "\n"));
    }
    files
}

/// The variable in the Pkgfile of extensions; a module of the kernel has none.
pub(in super::super) fn variables(driver: &Driver) -> Vec<(String, String)> {
    let name = driver.prefix().to_uppercase();
    match &driver.origin {
        Origin::InTree(_) => Vec::new(),
        Origin::Package { version, .. } => vec![(format!("{name}_VERSION"), version.clone())],
        Origin::OutOfTree(it) => {
            // The validator takes a commit in short form only.
            let text = match &it.version {
                Version::Release(text) => text.clone(),
                Version::Commit(text) => text.chars().take(7).collect(),
            };
            vec![(format!("{name}_VERSION"), text)]
        }
    }
}

fn is_template(talos: &TalosVersion) -> bool {
    talos.extension_manifest() != "manifest.yaml"
}

fn manifest(driver: &Driver, talos: &TalosVersion) -> String {
    let version = if is_template(talos) {
        "{{ .VERSION }}"
    } else {
        "$VERSION"
    };
    let tier = if is_template(talos) {
        "[{{ .TIER }}] "
    } else {
        ""
    };
    let (name, line) = (&driver.name, talos.line());
    let author = driver.author.replace('"', "'");
    let mut out = format!(
        "version: v1alpha1\nmetadata:\n  name: {name}\n  version: \"{version}\"\n  author: \"{author}\"\n  description: |\n"
    );
    for (index, text) in driver.description.lines().enumerate() {
        let tier = if index == 0 { tier } else { "" };
        let _ = writeln!(out, "    {tier}{text}");
    }
    let _ = write!(
        out,
        "  compatibility:\n    talos:\n      version: \">= v{line}.0\"\n"
    );
    out
}

fn pkg_yaml(driver: &Driver, talos: &TalosVersion) -> String {
    let image = driver.package().unwrap_or_else(|| "kernel".to_owned());
    let mut out = format!(
        "name: {}\nvariant: scratch\nshell: /bin/bash\ndependencies:\n  - stage: base\n  \
         # Built together with the kernel of this Talos: only its key signs modules.\n  \
         - image: \"{{{{ .BUILD_ARG_PKGS_PREFIX }}}}/{image}:{{{{ .BUILD_ARG_PKGS }}}}\"\nsteps:\n",
        driver.name
    );
    if !is_template(talos) {
        out += "  - prepare:\n      - |\n        sed -i 's#$VERSION#{{ .VERSION }}#' /pkg/manifest.yaml\n";
    }
    out += "  - install:\n      - |\n";
    match &driver.origin {
        Origin::InTree(_) => out += IN_TREE,
        Origin::Package { .. } => out += MODULES,
        Origin::OutOfTree(it) => {
            out += MODULES;
            if it.firmware.is_some() {
                out += &copied("firmware");
            }
            if it.udev.is_some() {
                out += &copied("udev");
            }
        }
    }
    out + TESTS
}

const MODULES: &str = "        mkdir -p /rootfs/usr/lib/modules
        cp -R /usr/lib/modules/* /rootfs/usr/lib/modules/
";

const IN_TREE: &str = "        KERNELRELEASE=$(find /usr/lib/modules -maxdepth 1 -name '*-talos' -exec basename {} \\;)
        xargs -a /pkg/files/modules.txt -I {} install -D /usr/lib/modules/${KERNELRELEASE}/{} /rootfs/usr/lib/modules/${KERNELRELEASE}/{}
        depmod -b /rootfs/usr ${KERNELRELEASE}
";

fn copied(folder: &str) -> String {
    format!(
        "        mkdir -p /rootfs/usr/lib/{folder}\n        cp -R /usr/lib/{folder}/* /rootfs/usr/lib/{folder}/\n"
    )
}

/// The imager does not check contents, so the validator has to.
const TESTS: &str = "    test:
      - |
        find /rootfs/usr/lib/modules -name '*.ko' -exec grep -FL '~Module signature appended~' {} \\+
      - |
        mkdir -p /extensions-validator-rootfs
        cp -r /rootfs/ /extensions-validator-rootfs/rootfs
        cp /pkg/manifest.yaml /extensions-validator-rootfs/manifest.yaml
        /extensions-validator validate --rootfs=/extensions-validator-rootfs --pkg-name=\"${PKG_NAME}\"
finalize:
  - from: /rootfs
    to: /rootfs
  - from: /pkg/manifest.yaml
    to: /
";

/// The validator takes `1.2.3-TAG`, `1.2` and `COMMIT-TAG`; the tag says for which
/// Talos it was built.
fn vars(driver: &Driver) -> String {
    let name = driver.prefix().to_uppercase();
    let version = match &driver.origin {
        Origin::InTree(_) => "{{ .BUILD_ARG_TAG }}".to_owned(),
        Origin::OutOfTree(it) => joined(&name, &it.version),
        Origin::Package { version, .. } => joined(&name, &Version::Release(version.clone())),
    };
    format!("VERSION: \"{version}\"\nTIER: \"extra\"\n")
}

fn joined(name: &str, version: &Version) -> String {
    let alone = format!("{{{{ .{name}_VERSION }}}}");
    match version {
        Version::Release(text) if text.split('.').count() != 3 => alone,
        _ => format!("{alone}-{{{{ .BUILD_ARG_TAG }}}}"),
    }
}

/// The document or patch that loads the modules.
pub(in super::super) fn machine_config(modules: &[String], talos: &TalosVersion) -> String {
    if talos.has_kernel_module_document() {
        let documents = modules
            .iter()
            .map(|name| format!("apiVersion: v1alpha1\nkind: KernelModuleConfig\nname: {name}\n"));
        return documents.collect::<Vec<_>>().join("---\n");
    }
    let list = modules.iter().map(|name| format!("      - name: {name}\n"));
    format!(
        "machine:\n  kernel:\n    modules:\n{}",
        list.collect::<String>()
    )
}

fn readme(driver: &Driver, talos: &TalosVersion) -> String {
    let (name, description) = (&driver.name, &driver.description);
    let config = machine_config(&driver.modules, talos);
    let modules: Vec<String> = driver.modules.iter().map(|it| format!("`{it}`")).collect();
    let mut out = format!(
        "# {name}\n\n{description}.\n\n## Installation\n\n\
         See [Installing Extensions](https://github.com/siderolabs/extensions#installing-extensions).\n\n\
         ## Usage\n\nLoad the modules ({}) by the machine configuration:\n\n```yaml\n{config}```\n\n\
         ## Verification\n\n```console\n$ talosctl read /proc/modules | grep {}\n```\n",
        modules.join(", "),
        driver.modules.first().unwrap_or(name)
    );
    if matches!(driver.origin, Origin::InTree(_)) {
        out += "\n## Compatibility\n\nThe kernel's configuration (`kernel/build/config-*` in pkgs) must build these modules with `=m`.\n";
    }
    out
}
