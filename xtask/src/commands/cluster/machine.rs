//! Options of the cluster's machines and network, as arguments of `talosctl
//! cluster create`. Every Talos line has these flags; what differs between lines
//! is in `TalosVersion`.

use camino::Utf8Path;
use clap::Args;

use foundation::ctx::Ctx;
use foundation::ctx::config::ClusterConfig;
use foundation::failure::{Failure, Result};
use foundation::units::parse_mib;

#[derive(Debug, Clone, Default, Args)]
pub struct MachineArgs {
    /// Patch for control planes, or @FILE; may be repeated
    #[arg(long, value_name = "PATCH")]
    pub config_patch_control_plane: Vec<String>,
    /// Patch for workers, or @FILE; may be repeated
    #[arg(long, value_name = "PATCH")]
    pub config_patch_worker: Vec<String>,
    /// Memory per worker, as --memory [default: that of --memory]
    #[arg(long, value_name = "SIZE")]
    pub memory_workers: Option<String>,
    /// CPUs per control plane, such as 2.0
    #[arg(long, value_name = "N")]
    pub cpus: Option<String>,
    /// CPUs per worker
    #[arg(long, value_name = "N")]
    pub cpus_workers: Option<String>,
    /// Disk per node, in MiB or with a unit [default: 6GiB]
    #[arg(long, value_name = "SIZE")]
    pub disk: Option<String>,
    /// Number of extra disks per worker (per node from Talos 1.14 on, without workers)
    #[arg(long, value_name = "N")]
    pub extra_disks: Option<u32>,
    /// Size of each extra disk, in MiB or with a unit [default: 5GiB]
    #[arg(long, value_name = "SIZE")]
    pub extra_disks_size: Option<String>,
    /// UEFI firmware; false: BIOS (amd64) [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub with_uefi: Option<bool>,
    /// Emulated TPM 2.0, by swtpm
    #[arg(long)]
    pub with_tpm2: bool,
    /// Boot the checkout's secure boot ISO with UEFI and a TPM, and install to disk
    #[arg(long, conflicts_with = "with_uefi")]
    pub secure_boot: bool,
    /// IPv4 network [default: true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub ipv4: Option<bool>,
    /// IPv6 network, a ULA derived from --cidr [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub ipv6: Option<bool>,
    /// URL of the manifest of another CNI than Flannel
    #[arg(long, value_name = "URL")]
    pub custom_cni_url: Option<String>,
    /// Shell on the console instead of machined (up to Talos 1.13, debug builds)
    #[arg(long)]
    pub debug_shell: bool,
    /// Architecture of the nodes: amd64 or arm64 [default: the host's]
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,
}

/// Flags of talosctl whose value is a path, or a list of them.
const PATHS: [&str; 18] = [
    "vmlinuz-path",
    "initrd-path",
    "iso-path",
    "usb-path",
    "uki-path",
    "disk-image-path",
    "image-cache-path",
    "image-cache-tls-cert-file",
    "image-cache-tls-key-file",
    "cni-bin-path",
    "cni-bundle-url",
    "cni-cache-dir",
    "cni-conf-dir",
    "extra-uefi-search-paths",
    "input-dir",
    "talosconfig",
    "state",
    "ipxe-boot-script",
];
const PATCHES: [&str; 3] = [
    "config-patch",
    "config-patch-control-plane",
    "config-patch-worker",
];

/// Returns the options and settings as arguments of talosctl, followed by the
/// user's own arguments, which take precedence. Kernel arguments of settings and
/// user are joined. Paths are absolute: on the command line they are relative to
/// the current folder, in the settings to the folder of `.cargo`.
///
/// # Errors
/// For a size that is not one, or a patch that cannot be read.
pub(super) fn talosctl_args(
    ctx: &Ctx,
    args: &MachineArgs,
    own_args: &[String],
) -> Result<Vec<String>> {
    let base = ctx.config.base.as_deref().unwrap_or(&ctx.cwd);
    let mut all = role_patches(ctx, args, base)?;
    let options = options(&ctx.config.cluster, args)?.into_iter();
    all.extend(options.filter_map(|(flag, value)| Some(format!("--{flag}={}", value?))));
    all.extend(absolute(&ctx.config.cluster.talosctl_args, base)?);
    let (own_args, kernel_args) = split_kernel_args(absolute(own_args, &ctx.cwd)?);
    all.extend(own_args);
    let kernel_args: Vec<&str> = kernel_args.split_whitespace().collect();
    Ok(with_kernel_args(all, &kernel_args))
}

fn role_patches(ctx: &Ctx, args: &MachineArgs, base: &Utf8Path) -> Result<Vec<String>> {
    let config = &ctx.config.cluster;
    let mut all = Vec::new();
    for (flag, patches, dir) in [
        (PATCHES[1], &config.config_patches_control_plane, base),
        (PATCHES[1], &args.config_patch_control_plane, &ctx.cwd),
        (PATCHES[2], &config.config_patches_worker, base),
        (PATCHES[2], &args.config_patch_worker, &ctx.cwd),
    ] {
        for patch in patches {
            all.push(format!("--{flag}={}", absolute_patch(patch, dir)?));
        }
    }
    Ok(all)
}

/// Returns flags with their values; an option takes precedence over a setting.
fn options(
    config: &ClusterConfig,
    args: &MachineArgs,
) -> Result<Vec<(&'static str, Option<String>)>> {
    let text = |given: &Option<String>, configured: &Option<String>| {
        given.as_ref().or(configured.as_ref()).cloned()
    };
    let switch = |given: Option<bool>, configured: Option<bool>| {
        given.or(configured).map(|value| value.to_string())
    };
    let secure_boot = Some(true)
        .filter(|_| args.secure_boot)
        .or(config.secure_boot);
    let is_secure = secure_boot.filter(|secure| *secure);
    let with_tpm2 = Some(true).filter(|_| args.with_tpm2);
    let extra_disks = args.extra_disks.or(config.extra_disks);
    let extra_disks_size = text(&args.extra_disks_size, &config.extra_disks_size);
    Ok(vec![
        ("cpus", text(&args.cpus, &config.cpus)),
        (
            "cpus-workers",
            text(&args.cpus_workers, &config.cpus_workers),
        ),
        ("disk", mib("disk", text(&args.disk, &config.disk))?),
        ("extra-disks", extra_disks.map(|count| count.to_string())),
        (
            "extra-disks-size",
            mib("extra-disks-size", extra_disks_size)?,
        ),
        (
            "with-uefi",
            switch(is_secure.or(args.with_uefi), config.with_uefi),
        ),
        (
            "with-tpm2",
            switch(is_secure.or(with_tpm2), config.with_tpm2),
        ),
        ("ipv4", switch(args.ipv4, config.ipv4)),
        ("ipv6", switch(args.ipv6, config.ipv6)),
        (
            "custom-cni-url",
            text(&args.custom_cni_url, &config.custom_cni_url),
        ),
        ("arch", text(&args.arch, &config.arch)),
    ])
}

/// The value of a flag among arguments of talosctl; the last one counts.
pub(super) fn value_of<'a>(args: &'a [String], flag: &str) -> Option<&'a str> {
    let mut found = None;
    for (at, arg) in args.iter().enumerate() {
        let Some(rest) = arg
            .strip_prefix("--")
            .and_then(|arg| arg.strip_prefix(flag))
        else {
            continue;
        };
        found = match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => Some(args.get(at + 1).map_or("", String::as_str)),
            None => found,
        };
    }
    found
}

const KERNEL_ARGS: &str = "extra-boot-kernel-args";

/// Adds arguments of the kernel to those that are given already, of which talosctl takes
/// the last flag. Theirs of the same name are left out: of some names the first counts, of
/// others the last.
pub(super) fn with_kernel_args(args: Vec<String>, added: &[&str]) -> Vec<String> {
    if added.is_empty() {
        return args;
    }
    let (mut args, given) = split_kernel_args(args);
    let name = |arg: &str| arg.split('=').next().unwrap_or(arg).to_owned();
    let is_added = |word: &str| added.iter().any(|it| name(it) == name(word));
    let words = given.split_whitespace().filter(|word| !is_added(word));
    let words: Vec<&str> = words.chain(added.iter().copied()).collect();
    args.push(format!("--{KERNEL_ARGS}={}", words.join(" ")));
    args
}

/// The arguments without those of the kernel, and the latter.
fn split_kernel_args(args: Vec<String>) -> (Vec<String>, String) {
    let given = value_of(&args, KERNEL_ARGS).unwrap_or_default().to_owned();
    let flag = format!("--{KERNEL_ARGS}");
    let (mut kept, mut rest) = (Vec::new(), args.into_iter());
    while let Some(arg) = rest.next() {
        if arg == flag {
            rest.next();
        } else if !arg.starts_with(&format!("{flag}=")) {
            kept.push(arg);
        }
    }
    (kept, given)
}

/// A size as talosctl takes it: MiB without a unit.
fn mib(flag: &str, size: Option<String>) -> Result<Option<String>> {
    let Some(text) = size else { return Ok(None) };
    match parse_mib(&text) {
        Some(mib) if mib > 0 => Ok(Some(mib.to_string())),
        _ => Err(Failure::usage(format!("invalid size `{text}`"))
            .hint(format!("--{flag} 8GiB or --{flag} 8192 (MiB)"))),
    }
}

/// `@FILE` with an absolute path, which must be readable; anything else stays.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn absolute_patch(patch: &str, base: &Utf8Path) -> Result<String> {
    let Some(file) = patch.strip_prefix('@') else {
        return Ok(patch.to_owned());
    };
    let file = base.join(file);
    match std::fs::metadata(&file) {
        Ok(metadata) if metadata.is_file() => Ok(format!("@{file}")),
        Ok(_) => Err(Failure::usage(format!(
            "config patch `{file}` is not a file"
        ))),
        Err(error) => {
            Err(Failure::usage(format!("cannot read the config patch `{file}`")).cause(error))
        }
    }
}

/// Arguments of talosctl, with paths relative to `base` made absolute.
fn absolute(args: &[String], base: &Utf8Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    let mut pending: Option<&str> = None;
    for arg in args {
        if let Some(flag) = pending.take() {
            out.push(absolute_value(flag, arg, base)?);
            continue;
        }
        let name = if arg == "-i" {
            Some("input-dir")
        } else {
            arg.strip_prefix("--")
        };
        let Some(name) = name else {
            out.push(arg.clone());
            continue;
        };
        if let Some((flag, value)) = name.split_once('=') {
            out.push(format!("--{flag}={}", absolute_value(flag, value, base)?));
        } else {
            pending = Some(name).filter(|name| PATHS.contains(name) || PATCHES.contains(name));
            out.push(arg.clone());
        }
    }
    Ok(out)
}

fn absolute_value(flag: &str, value: &str, base: &Utf8Path) -> Result<String> {
    if PATCHES.contains(&flag) {
        return absolute_patch(value, base);
    }
    if !PATHS.contains(&flag) || value.contains("://") {
        return Ok(value.to_owned());
    }
    let paths = value.split(',').map(|path| base.join(path).into_string());
    Ok(paths.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test prepares a file")]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn kernel_arguments_join_those_that_are_given() {
        let join = |given: &[&str], added: &[&str]| {
            let given = given.iter().map(|it| (*it).to_owned()).collect();
            with_kernel_args(given, added).join("|")
        };
        assert_eq!(join(&["--cpus=2"], &[]), "--cpus=2");
        assert_eq!(join(&[], &["a=1"]), "--extra-boot-kernel-args=a=1");
        // Of two flags the last counts.
        assert_eq!(
            join(
                &[
                    "--extra-boot-kernel-args=b",
                    "--cpus=2",
                    "--extra-boot-kernel-args",
                    "lsm=x,y a=0 c"
                ],
                &["a=1", "d"]
            ),
            "--cpus=2|--extra-boot-kernel-args=lsm=x,y c a=1 d"
        );
    }

    #[test]
    fn paths_of_talosctl_are_relative_to_the_given_folder() {
        let dir = tempfile::tempdir().unwrap();
        let base = Utf8Path::from_path(dir.path()).unwrap();
        std::fs::write(base.join("p.yaml"), "").unwrap();
        let line = |text: &str| absolute(&words(text), base).map(|words| words.join(" "));
        for (given, wanted) in [
            (
                "--config-patch-worker @p.yaml",
                format!("--config-patch-worker @{base}/p.yaml"),
            ),
            (
                "--config-patch=@p.yaml",
                format!("--config-patch=@{base}/p.yaml"),
            ),
            (
                "--iso-path=a.iso --cpus 2",
                format!("--iso-path={base}/a.iso --cpus 2"),
            ),
            ("--iso-path /a.iso", "--iso-path /a.iso".to_owned()),
            ("--cni-bin-path a,/b", format!("--cni-bin-path {base}/a,/b")),
            (
                "--cni-bundle-url=https://x/y",
                "--cni-bundle-url=https://x/y".to_owned(),
            ),
            ("-i in", format!("-i {base}/in")),
            ("--with-uefi=false", "--with-uefi=false".to_owned()),
        ] {
            assert_eq!(line(given).unwrap(), wanted, "{given}");
        }
        let failure = line("--config-patch-worker @q.yaml").unwrap_err();
        assert!(failure.to_string().contains("q.yaml"), "{failure}");
    }

    #[test]
    fn the_last_value_of_a_flag_counts() {
        let args = words("--arch=amd64 --arch arm64 --archive=x");
        assert_eq!(value_of(&args, "arch"), Some("arm64"));
        assert_eq!(value_of(&args, "disk"), None);
    }
}
