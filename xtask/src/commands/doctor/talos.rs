//! Checks the checkout, its line, its talosctl, and the builds in `_out`.

use talos::version::Support;

use super::finding::Finding;
use super::inputs::Inputs;
use foundation::ctx::probe::Probe;
use foundation::ctx::talosctl::{OTHER_BOOT, Talosctl};
use foundation::{program, typed};

pub(super) fn checkout(inputs: &Inputs) -> Vec<Finding> {
    if let Some(failure) = inputs.why_no_checkout() {
        let mut finding = Finding::missing("checkout", failure.what.clone());
        finding.why = failure.causes.first().cloned();
        finding.cure.clone_from(&failure.hint);
        return vec![finding];
    }
    let Some(checkout) = inputs.checkout() else {
        return Vec::new();
    };
    let version = &checkout.version;
    let found = Finding::ok(
        "checkout",
        format!(
            "Talos {version} at `{}` ({})",
            checkout.dir, checkout.found_by
        ),
    );
    let line = match version.support() {
        Support::Known => return [Some(found), ownership(inputs)].into_iter().flatten().collect(),
        Support::TooOld { oldest } => Finding::missing(
            "talos-line",
            format!("Talos {version} is older than {oldest}, the oldest supported release"),
        )
        .cure(program!("git -C {} checkout main", checkout.dir)),
        Support::Newer { newest } => Finding::warn(
            "talos-line",
            format!(
                "Talos {version} is newer than {newest}, the newest supported release; treating it as {newest}"
            ),
        )
        .cure("a newer xtask, when something does not fit"),
    };
    let all = [Some(found), Some(line), ownership(inputs)];
    all.into_iter().flatten().collect()
}

/// Without git's answers a build would have no tag.
fn ownership(inputs: &Inputs) -> Option<Finding> {
    let dir = &inputs.checkout()?.dir;
    let argv = ["git", "rev-parse", "--git-dir"];
    let output = Probe::new(argv).current_dir(dir).run().ok()?;
    if output.success || !output.stderr.contains("dubious ownership") {
        return None;
    }
    let finding = Finding::missing(
        "safe-directory",
        format!("git refuses to read `{dir}`, which belongs to another user"),
    );
    Some(
        finding
            .why("builds take their tag from git")
            .cure(program!("git config --global --add safe.directory {}", dir)),
    )
}

pub(super) fn talosctl(inputs: &Inputs) -> Vec<Finding> {
    let Some(found) = inputs.talosctl() else {
        return vec![no_talosctl(inputs)];
    };
    let Talosctl { path, version } = found;
    let fine = Finding::ok("talosctl", format!("talosctl {version} at `{path}`"));
    let Some(checkout) = inputs.checkout() else {
        return vec![fine];
    };
    if version.line() == checkout.version.line() {
        return vec![fine];
    }
    let other = Finding::warn(
        "talosctl-line",
        format!(
            "talosctl at `{path}` is of Talos {}, the checkout of {}",
            version.line(),
            checkout.version.line()
        ),
    )
    .why("commands speak the talosctl's dialect; machine configurations are of its line")
    .cure(checkout.build("talosctl"));
    vec![fine, other]
}

fn no_talosctl(inputs: &Inputs) -> Finding {
    let need = inputs
        .checkout()
        .map(|checkout| Talosctl::need(&inputs.ctx, checkout));
    match need {
        Some(Err(failure)) => {
            let mut finding = Finding::missing("talosctl", failure.what);
            finding.why = failure.causes.into_iter().next();
            finding.cure = failure.hint;
            finding
        }
        _ => Finding::missing(
            "talosctl",
            "no `talosctl` on PATH, and no checkout to hold one",
        )
        .cure(format!(
            "{} (it builds one of its own)",
            typed!("--lab cluster")
        )),
    }
}

/// Checks what nodes boot from the checkout, unless the arguments select
/// something else.
pub(super) fn artifacts(inputs: &Inputs) -> Vec<Finding> {
    let Some(checkout) = inputs.checkout() else {
        return Vec::new();
    };
    let other = OTHER_BOOT.iter().find(|flag| inputs.flag(flag).is_some());
    if let Some(flag) = other {
        return vec![Finding::ok(
            "artifact-kernel",
            format!("`{flag}` says what nodes boot"),
        )];
    }
    let arch = inputs
        .arch
        .map_or(inputs.ctx.host.arch, |arch| arch.go_name());
    let wanted = [
        ("artifact-kernel", "kernel", format!("vmlinuz-{arch}")),
        (
            "artifact-initramfs",
            "initramfs",
            format!("initramfs-{arch}.xz"),
        ),
    ];
    let look = |(id, target, file): (&str, &str, String)| {
        let path = checkout.out().join(file);
        if path.is_file() {
            return Finding::ok(id, format!("`{path}`"));
        }
        Finding::missing(id, format!("`{path}` is missing"))
            .why(format!(
                "nodes boot it; `{}` makes it",
                typed!("build {}", target)
            ))
            .cure(if arch == inputs.ctx.host.arch {
                checkout.build(target)
            } else {
                checkout.build(&format!("{target} PLATFORM=linux/{arch}"))
            })
    };
    wanted.into_iter().map(look).collect()
}
