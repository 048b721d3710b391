//! The text of a package in pkgs: `pkg.yaml`, and its variables in the Pkgfile.

use std::fmt::Write;

use talos::version::TalosVersion;

use super::driver::{Driver, OutOfTree, Source, Version};

/// `pkg.yaml`, as bldr reads it.
pub(in super::super) fn pkg_yaml(driver: &Driver, it: &OutOfTree, talos: &TalosVersion) -> String {
    let (name, prefix) = (&driver.name, driver.prefix());
    let mut out = format!(
        "name: {name}-pkg\nvariant: scratch\nshell: /bin/bash\ndependencies:\n  - stage: base\n  \
         # The built kernel at /src, with the key that signs modules.\n  - stage: kernel-build\n"
    );
    if talos.kernel_needs_llvm() {
        out += "  - image: \"{{ .LLVM_IMAGE }}:{{ .TOOLS_REV }}\"\n";
    }
    out += "steps:\n  - sources:\n";
    for source in &it.sources {
        out += &source_yaml(source, &prefix, &it.version);
    }
    out += "    env:\n      ARCH: {{ if eq .ARCH \"aarch64\" }}arm64{{ else }}x86_64{{ end }}\n";
    if talos.kernel_needs_llvm() {
        out += "      LLVM: 1\n";
    }
    let archive = it.sources.first().map_or("", |it| &it.destination);
    let _ = write!(
        out,
        "    prepare:\n      - |\n        tar xf {archive} --strip-components=1\n    build:\n      - |\n"
    );
    let cd = match &it.folder {
        Some(folder) => format!("        cd {folder}\n"),
        None => String::new(),
    };
    let make = if it.make.is_empty() {
        "-C /src M=$(pwd)".to_owned()
    } else {
        it.make.join(" ")
    };
    let _ = write!(
        out,
        "{cd}        make -j $(nproc) {make}\n    install:\n      - |\n"
    );
    if let Some((file, path)) = &it.firmware {
        let _ = writeln!(
            out,
            "        install -D -m 644 {file} /rootfs/usr/lib/firmware/{path}"
        );
    }
    let _ = writeln!(
        out,
        "{cd}        make -j $(nproc) -C /src M=$(pwd) modules_install INSTALL_MOD_PATH=/rootfs/usr \
         INSTALL_MOD_DIR={} INSTALL_MOD_STRIP=1",
        it.install_dir
    );
    if let Some(rules) = &it.udev {
        let file = rules.rsplit('/').next().unwrap_or(rules);
        let _ = writeln!(
            out,
            "        install -D -m 644 {rules} /rootfs/usr/lib/udev/rules.d/{file}"
        );
    }
    out + TESTS
}

/// Without a module, the first test of pkgs would pass: `find` finds nothing.
const TESTS: &str = "    test:
      - |
        test -n \"$(find /rootfs/usr/lib/modules -name '*.ko')\"
        find /rootfs/usr/lib/modules -name '*.ko' -exec grep -FL '~Module signature appended~' {} \\+
      - |
        fhs-validator /rootfs
finalize:
  - from: /rootfs
    to: /
";

fn source_yaml(source: &Source, prefix: &str, version: &Version) -> String {
    let variable = match version {
        Version::Release(_) => format!("{{{{ .{prefix}_version }}}}"),
        Version::Commit(_) => format!("{{{{ .{prefix}_ref }}}}"),
    };
    let url = source.url.replace(version.text(), &variable);
    let (destination, sums) = (&source.destination, &source.prefix);
    format!(
        "      - url: {url}\n        destination: {destination}\n        \
         sha256: \"{{{{ .{sums}_sha256 }}}}\"\n        sha512: \"{{{{ .{sums}_sha512 }}}}\"\n"
    )
}

/// The variables of the Pkgfile, in order.
pub(in super::super) fn variables(driver: &Driver, it: &OutOfTree) -> Vec<(String, String)> {
    let prefix = driver.prefix();
    let version = match &it.version {
        Version::Release(text) => (format!("{prefix}_version"), text.clone()),
        Version::Commit(text) => (format!("{prefix}_ref"), text.clone()),
    };
    let mut out = vec![version];
    for source in &it.sources {
        out.push((format!("{}_sha256", source.prefix), source.sha256.clone()));
        out.push((format!("{}_sha512", source.prefix), source.sha512.clone()));
    }
    out
}

/// The comment by which Renovate finds new releases; empty for other places than
/// GitHub.
pub(in super::super) fn renovate(it: &OutOfTree) -> String {
    let url = it.sources.first().map_or("", |source| &source.url);
    let Some(rest) = url.strip_prefix("https://github.com/") else {
        return String::new();
    };
    let mut parts = rest.split('/');
    let (Some(owner), Some(repository)) = (parts.next(), parts.next()) else {
        return String::new();
    };
    match &it.version {
        Version::Release(text) if url.contains(&format!("/v{text}")) => format!(
            "renovate: datasource=github-tags extractVersion=^v(?<version>.*)$ depName={owner}/{repository}"
        ),
        Version::Release(_) => {
            format!("renovate: datasource=github-tags depName={owner}/{repository}")
        }
        Version::Commit(_) => format!(
            "renovate: datasource=git-refs versioning=git depName=https://github.com/{owner}/{repository}.git"
        ),
    }
}
