//! Each rule on a small image of our own that breaks it, and on good ones that do not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::module::{Ko, RELEASE};
use common::{Memory, Tar, gzip, image, layout};
use oci::lint::{Against, Kernel, Level, Report, Scan, check, scan};
use talos::TalosVersion;
use tar::EntryType;

const MANIFEST: &str = "version: v1alpha1\nmetadata:\n  name: hello\n  version: 1.2.3-v1.12.0\n  \
    compatibility:\n    talos:\n      version: \">= v1.10.0\"\n";
const MODULES: &str = "rootfs/usr/lib/modules/6.18.1-talos";

fn against(version: &str) -> Against {
    let version = TalosVersion::parse(version).unwrap();
    let allowed = version.allowed_extension_paths();
    Against {
        allowed: allowed.into_iter().map(str::to_owned).collect(),
        version,
        kernel_release: Some(RELEASE.into()),
        kernels: Vec::new(),
        exceptions: Vec::new(),
    }
}

fn scans(layers: &[Vec<u8>], target: &str, hashes: bool) -> Vec<Scan> {
    let mut files = Memory::default();
    let (descriptor, _) = image(&mut files, "amd64", layers);
    layout(&mut files, &[descriptor]);
    let images = oci::layout(&files, target).unwrap();
    images
        .iter()
        .map(|image| scan(image, Some(target), hashes).unwrap())
        .collect()
}

/// An extension with the manifest and what `fill` adds.
fn extension(fill: impl FnOnce(&mut Tar)) -> Vec<u8> {
    let mut tar = Tar::default();
    tar.file("manifest.yaml", MANIFEST).dir("rootfs");
    fill(&mut tar);
    gzip(&tar.finish())
}

fn lint_for(version: &str, fill: impl FnOnce(&mut Tar)) -> Report {
    let scans = scans(&[extension(fill)], "hello", false);
    check(&scans, &against(version)).remove(0)
}

fn lint(fill: impl FnOnce(&mut Tar)) -> Report {
    lint_for("v1.12.0", fill)
}

/// The levels and rules of findings that are not notes.
fn serious(report: &Report) -> Vec<(Level, u8)> {
    let findings = report.findings.iter().filter(|it| it.level != Level::Note);
    findings.map(|it| (it.level, it.number)).collect()
}

#[track_caller]
fn is(report: &Report, level: Level, number: u8, part: &str) {
    assert_eq!(serious(report), [(level, number)], "{:#?}", report.findings);
    let found = report
        .findings
        .iter()
        .find(|it| it.number == number && it.level == level);
    let found = found.unwrap();
    let text = format!("{}: {}", found.path.clone().unwrap_or_default(), found.what);
    assert!(text.contains(part), "{text}");
}

#[track_caller]
fn is_good(report: &Report) {
    assert_eq!(serious(report), [], "{:#?}", report.findings);
}

fn with_module(tar: &mut Tar, ko: &Ko) {
    let name = &ko.modinfo[0].1;
    tar.dirs(&format!("{MODULES}/extras"));
    tar.file(&format!("{MODULES}/extras/{name}.ko"), ko.build());
}

fn service(tar: &mut Tar, spec: &str, program: &[u8]) {
    tar.dirs("rootfs/usr/local/etc/containers");
    tar.file("rootfs/usr/local/etc/containers/hello.yaml", spec);
    tar.dirs("rootfs/usr/local/lib/containers/hello/bin");
    tar.program("rootfs/usr/local/lib/containers/hello/bin/hello", program);
}

const SPEC: &str = "name: hello\ncontainer:\n  entrypoint: /bin/hello\n  args: [--x]\n\
    depends:\n  - service: cri\n  - network: [addresses]\nrestart: always\n";

/// The start of a 64-bit ELF program with an interpreter.
fn program(interpreter: &str) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for field in [3_u16, 62] {
        file.extend(field.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for field in [0_u64, 64, 0] {
        file.extend(field.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for field in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    for field in [3_u32, 4] {
        file.extend(field.to_le_bytes());
    }
    let size = interpreter.len() as u64 + 1;
    for field in [120_u64, 0, 0, size, size, 1] {
        file.extend(field.to_le_bytes());
    }
    file.extend(interpreter.bytes().chain([0]));
    file
}

#[test]
fn good_extensions_have_no_findings() {
    is_good(&lint(|tar| with_module(tar, &Ko::new("hello"))));
    is_good(&lint(|tar| service(tar, SPEC, b"\x7fELF")));
    // Empty on purpose, as drivers for one architecture are on the other.
    is_good(&lint(|_| {}));
    // Links of glibc and drivers are absolute and lead nowhere in the image.
    is_good(&lint(|tar| {
        tar.dirs("rootfs/usr/local/glibc/lib");
        tar.symlink("rootfs/usr/local/glibc/lib/libx.so", "/usr/lib/libx.so.1");
        tar.dirs("rootfs/usr/lib/firmware/a");
        tar.file("rootfs/usr/lib/firmware/a/z.bin", "z");
        tar.symlink("rootfs/usr/lib/firmware/a/b.bin", "z.bin");
    }));
    // The nvidia kind: everything comes through mounts.
    let spec = "name: hello\ncontainer:\n  entrypoint: /usr/local/bin/x\n  mounts:\n  \
        - {source: /usr/local/bin, destination: /usr/local/bin, type: bind}\nrestart: always\n";
    is_good(&lint(|tar| service(tar, spec, b"")));
}

#[test]
fn l1_the_top_is_a_manifest_and_a_rootfs() {
    is(
        &lint(|tar| {
            tar.file("README.md", "x");
        }),
        Level::Error,
        1,
        "unexpected file \"README.md\"",
    );
    let mut tar = Tar::default();
    tar.file("manifest.yaml", MANIFEST);
    let scans_of = scans(&[tar.finish()], "hello", false);
    is(
        &check(&scans_of, &against("v1.12.0"))[0],
        Level::Error,
        1,
        "rootfs is missing",
    );
    let mut tar = Tar::default();
    tar.dirs("usr/lib/modules/6.18.1-talos")
        .file("usr/lib/modules/6.18.1-talos/x.ko", "");
    let scans_of = scans(&[tar.finish()], "hello", false);
    let report = &check(&scans_of, &against("v1.12.0"))[0];
    assert!(
        report
            .findings
            .iter()
            .any(|it| it.what.contains("package of pkgs")),
        "{report:?}"
    );
    assert_eq!(report.extension, None);
}

#[test]
fn l2_l3_l8_l9_l30_the_manifest() {
    let with = |manifest: &str| {
        let mut tar = Tar::default();
        tar.file("manifest.yaml", manifest).dir("rootfs");
        let scans = scans(&[tar.finish()], "hello", false);
        check(&scans, &against("v1.12.0")).remove(0)
    };
    let of = |from: &str, to: &str| with(&MANIFEST.replace(from, to));
    is(&with(""), Level::Error, 2, "EOF");
    is(&with("a: ["), Level::Error, 2, "cannot be decoded");
    is(
        &of("v1alpha1", "v1"),
        Level::Error,
        2,
        "unsupported manifest version: \"v1\"",
    );
    is(
        &of(">= v1.10.0", "~1.10"),
        Level::Error,
        3,
        "Could not parse Range \"~1.10\"",
    );
    is(
        &of(">= v1.10.0", ">= v1.13.0"),
        Level::Error,
        3,
        "does not allow Talos v1.12.0",
    );
    is_good(&of(">= v1.10.0", ">= 1.9.0-alpha.0"));
    is(
        &of("name: hello", "name:"),
        Level::Error,
        8,
        "metadata.name is empty",
    );
    is(
        &of("name: hello", "name: other"),
        Level::Warning,
        9,
        "the image's `hello`",
    );
    is(
        &of("1.2.3-v1.12.0", "8721136"),
        Level::Warning,
        9,
        "`8721136`",
    );
    is(
        &of("1.2.3-v1.12.0", "\"<no value>\""),
        Level::Error,
        9,
        "has no value",
    );
    is(
        &of("1.2.3-v1.12.0", "1.2.3-v1.10.4"),
        Level::Warning,
        30,
        "built for Talos v1.10.4",
    );
    // The suffix is not a version of Talos.
    is_good(&of("1.2.3-v1.12.0", "1.19.1-v1.19.1"));
    // A number stays the text that it is.
    is_good(&of("1.2.3-v1.12.0", "0.10"));
}

#[test]
fn l4_l7_paths_are_those_of_the_line() {
    let rules = |tar: &mut Tar| {
        tar.dirs("rootfs/etc/udev/rules.d")
            .file("rootfs/etc/udev/rules.d/51.rules", "");
    };
    is(&lint(rules), Level::Error, 4, "/etc/udev/rules.d/51.rules");
    let nvme = |tar: &mut Tar| {
        tar.dirs("rootfs/usr/bin").file("rootfs/usr/bin/nvme", "");
    };
    is(&lint_for("v1.12.0", nvme), Level::Error, 4, "usr/bin/nvme");
    let report = lint_for("v1.13.0", nvme);
    assert!(
        report.findings.iter().all(|it| it.number != 4),
        "{report:?}"
    );
    let alike = |tar: &mut Tar| {
        _ = tar
            .dirs("rootfs/usr/localfoo")
            .file("rootfs/usr/localfoo/x", "");
    };
    is(&lint(alike), Level::Warning, 7, "begins like `/usr/local`");
}

#[test]
fn l5_l6_l10_l26_l28_attributes_of_files() {
    let add = |kind, mode| {
        move |tar: &mut Tar| {
            tar.dirs("rootfs/usr/local")
                .add(Tar::header(kind, mode, 0), "rootfs/usr/local/x", b"");
        }
    };
    is(
        &lint(add(EntryType::Fifo, 0o644)),
        Level::Error,
        5,
        "special files",
    );
    is(
        &lint(add(EntryType::Char, 0o644)),
        Level::Error,
        5,
        "special files",
    );
    is(
        &lint(add(EntryType::Regular, 0o666)),
        Level::Warning,
        6,
        "mode 0666",
    );
    is_good(&lint(add(EntryType::Directory, 0o1777)));
    let report = lint(add(EntryType::Regular, 0o4755));
    is_good(&report);
    assert!(
        report.findings.iter().any(|it| it.number == 26),
        "{report:?}"
    );
    is(
        &lint(|tar| {
            tar.dirs("rootfs/usr/local").file("rootfs/usr/local/a", "a");
            tar.link(EntryType::Link, "rootfs/usr/local/b", "rootfs/usr/local/a");
        }),
        Level::Error,
        10,
        "empty file",
    );
    is(
        &lint(|tar| {
            tar.dirs("rootfs/usr/local");
            tar.pax(&[("SCHILY.xattr.security.capability", b"\x01")]);
            tar.file("rootfs/usr/local/a", "a");
        }),
        Level::Warning,
        28,
        "capabilities",
    );
}

#[test]
fn l11_l19_modules_are_for_the_kernel() {
    let at = |folder: &'static str| {
        move |tar: &mut Tar| {
            let folder = format!("rootfs/usr/lib/modules{folder}");
            let release = folder.rsplit('/').next().unwrap();
            let ko = Ko::new("x").set("vermagic", &format!("{release} SMP "));
            tar.dirs(&folder)
                .file(&format!("{folder}/x.ko"), ko.build());
        }
    };
    is(
        &lint(at("/6.18.2-talos")),
        Level::Error,
        11,
        "6.18.2-talos, the kernel is 6.18.1-talos",
    );
    let report = lint(at(""));
    assert_eq!(serious(&report), [(Level::Error, 19)], "{report:#?}");
    let both = |tar: &mut Tar| {
        at("/6.18.1-talos")(tar);
        at("/6.18.2-talos")(tar);
    };
    is(&lint(both), Level::Warning, 11, "never loaded");
}

#[test]
fn l12_a_module_is_signed_and_of_this_machine() {
    let mut ko = Ko::new("x");
    ko.signer = None;
    is(
        &lint(|tar| with_module(tar, &ko)),
        Level::Error,
        12,
        "it is not signed",
    );
    let mut ko = Ko::new("x");
    ko.machine = 183;
    is(
        &lint(|tar| with_module(tar, &ko)),
        Level::Error,
        12,
        "it is for arm64, the image for amd64",
    );
    let ko = Ko::new("x").set("vermagic", "6.18.2-talos SMP ");
    is(
        &lint(|tar| with_module(tar, &ko)),
        Level::Error,
        12,
        "vermagic is for \"6.18.2-talos\"",
    );
    let text = |tar: &mut Tar| {
        tar.dirs(MODULES).file(&format!("{MODULES}/x.ko"), "text");
    };
    let report = lint(text);
    assert!(
        serious(&report).iter().all(|it| *it == (Level::Error, 12)),
        "{report:?}"
    );
    let mut other = Ko::new("y");
    other.signer = Some(("Build time throw-away kernel key", 8));
    let two = |tar: &mut Tar| {
        with_module(tar, &Ko::new("x"));
        with_module(tar, &other);
    };
    is(&lint(two), Level::Error, 12, "different keys");
}

/// A kernel image with one module, a list of symbols and of built-in modules.
fn kernel(key: u8, with_map: bool) -> Kernel {
    let mut ko = Ko::new("base");
    ko.signer = Some(("Build time throw-away kernel key", key));
    ko.exports = vec!["base_symbol"];
    let mut tar = Tar::default();
    let folder = "usr/lib/modules/6.18.1-talos";
    tar.dirs(&format!("{folder}/kernel"));
    tar.file(&format!("{folder}/kernel/base.ko"), ko.build());
    tar.file(
        &format!("{folder}/modules.builtin"),
        "kernel/drivers/loop.ko\n",
    );
    tar.dir("boot");
    if with_map {
        tar.file(
            "boot/System.map",
            "ffffffff81000000 T _printk\nffffffff82000000 r __ksymtab__printk\n",
        );
    }
    Kernel::of(&scans(&[gzip(&tar.finish())], "kernel", false)[0]).unwrap()
}

fn lint_with(kernel: Kernel, fill: impl FnOnce(&mut Tar)) -> Report {
    let scans = scans(&[extension(fill)], "hello", false);
    let mut against = against("v1.12.0");
    against.kernels.push(kernel);
    check(&scans, &against).remove(0)
}

#[test]
fn l12_l13_l14_l32_modules_fit_the_kernel_image() {
    let mut good = Ko::new("x").set("depends", "base");
    good.imports.push("base_symbol");
    let report = lint_with(kernel(7, true), |tar| with_module(tar, &good));
    is_good(&report);
    assert!(
        report
            .findings
            .iter()
            .all(|it| it.number != 12 && it.number != 13),
        "{report:?}"
    );
    let report = lint_with(kernel(9, true), |tar| with_module(tar, &good));
    is(
        &report,
        Level::Error,
        12,
        "key 1F:07 of `Build time throw-away kernel key` (sha512), the kernel's modules with key 1F:09",
    );
    let ko = Ko::new("x").set("vermagic", "6.18.1-talos SMP ");
    is(
        &lint_with(kernel(7, true), |tar| with_module(tar, &ko)),
        Level::Error,
        12,
        "is not the kernel's",
    );
    let mut ko = Ko::new("x");
    ko.versions = vec![("module_layout", 1), ("of_no_module", 2)];
    is(
        &lint_with(kernel(7, true), |tar| with_module(tar, &ko)),
        Level::Error,
        12,
        "the checksum of `module_layout` differs",
    );
    let ko = Ko::new("x").set("depends", "nowhere");
    is(
        &lint_with(kernel(7, true), |tar| with_module(tar, &ko)),
        Level::Error,
        13,
        "`nowhere`, which nothing has",
    );
    let mut ko = Ko::new("x");
    ko.imports.push("missing_symbol");
    is(
        &lint_with(kernel(7, true), |tar| with_module(tar, &ko)),
        Level::Error,
        13,
        "`missing_symbol`",
    );
    let report = lint_with(kernel(7, false), |tar| with_module(tar, &ko));
    is_good(&report);
    assert!(
        report
            .findings
            .iter()
            .any(|it| it.what.contains("no /boot/System.map")),
        "{report:?}"
    );
    let ko = Ko::new("loop");
    is(
        &lint_with(kernel(7, true), |tar| with_module(tar, &ko)),
        Level::Error,
        14,
        "built in",
    );
}

#[test]
fn l15_l23_l24_services() {
    let with = |from: &str, to: &str| {
        let spec = SPEC.replace(from, to);
        lint(|tar| service(tar, &spec, b"\x7fELF"))
    };
    is(
        &with("name: hello", "name: Hello!"),
        Level::Error,
        15,
        "\"Hello!\" is invalid",
    );
    is(
        &with("restart: always", ""),
        Level::Error,
        15,
        "restart \"\"",
    );
    is(
        &with("  entrypoint: /bin/hello", "  entrypoint:"),
        Level::Error,
        15,
        "endpoint can't be empty",
    );
    is(
        &with("service: cri", "{service: cri, time: true}"),
        Level::Error,
        15,
        "more than a single",
    );
    is(
        &with("service: cri", "path: x"),
        Level::Error,
        15,
        "not absolute",
    );
    is(&with("[addresses]", "[dns]"), Level::Error, 15, "dns");
    is(
        &with("service: cri", "configuration: true"),
        Level::Warning,
        23,
        "ExtensionServiceConfig named `hello`",
    );
    is(
        &with("/bin/hello", "/bin/other"),
        Level::Error,
        24,
        "`/bin/other` does not exist in /usr/local/lib/containers/hello",
    );
    let dynamic = program("/lib64/ld-linux-x86-64.so.2");
    is(
        &lint(|tar| service(tar, SPEC, &dynamic)),
        Level::Error,
        24,
        "needs `/lib64/ld-linux-x86-64.so.2`",
    );
    is_good(&lint(|tar| {
        service(tar, SPEC, &dynamic);
        tar.symlink("rootfs/usr/local/lib/containers/hello/lib64", "usr/lib");
        tar.dirs("rootfs/usr/local/lib/containers/hello/usr/lib");
        tar.file(
            "rootfs/usr/local/lib/containers/hello/usr/lib/ld-linux-x86-64.so.2",
            "",
        );
    }));
    is(
        &lint(|tar| service(tar, SPEC, b"#!/bin/bash\n")),
        Level::Error,
        24,
        "needs `/bin/bash`",
    );
    is(
        &lint(|tar| {
            service(tar, &SPEC.replace("/bin/hello", "./run"), b"");
            tar.file("rootfs/usr/local/lib/containers/hello/run", "");
        }),
        Level::Error,
        24,
        "not executable",
    );
}

#[test]
fn l16_l18_every_platform_of_an_index_is_an_extension() {
    let mut files = Memory::default();
    let (amd64, _) = image(&mut files, "amd64", &[extension(|_| {})]);
    let (arm64, _) = image(&mut files, "arm64", &[]);
    layout(&mut files, &[amd64.clone(), arm64]);
    let lint = |files: &Memory| {
        let images = oci::layout(files, "x").unwrap();
        let scans: Vec<Scan> = images
            .iter()
            .map(|it| scan(it, None, false).unwrap())
            .collect();
        check(&scans, &against("v1.12.0"))
    };
    let reports = lint(&files);
    is_good(&reports[0]);
    is(
        &reports[1],
        Level::Error,
        18,
        "the image for linux/arm64 is empty",
    );
    let mut wrong = amd64;
    wrong["platform"]["architecture"] = "arm64".into();
    layout(&mut files, &[wrong]);
    is(
        &lint(&files)[0],
        Level::Error,
        16,
        "the configuration is for amd64",
    );
}

#[test]
fn l20_l21_links_lead_where_the_imager_looks() {
    let build = |to: &'static str| {
        move |tar: &mut Tar| {
            with_module(tar, &Ko::new("x"));
            tar.symlink(&format!("{MODULES}/build"), to);
        }
    };
    is(
        &lint(build("/usr/src/linux")),
        Level::Error,
        20,
        "does not exist in the imager",
    );
    is(&lint(build("nowhere")), Level::Error, 20, "nowhere");
    is(&lint(build("build")), Level::Error, 20, "itself");
    is(
        &lint(build("../6.18.1-talos")),
        Level::Error,
        20,
        "contains it",
    );
    is_good(&lint(build("extras")));
    let firmware = |from: &'static str, to: &'static str| {
        move |tar: &mut Tar| {
            tar.dirs("rootfs/usr/lib/firmware/v")
                .file("rootfs/usr/lib/firmware/v/m.bin", "m");
            tar.symlink(&format!("rootfs/usr/lib/firmware/{from}"), to);
        }
    };
    is_good(&lint(firmware("v/a.bin", "m.bin")));
    is(
        &lint(firmware("v/z.bin", "m.bin")),
        Level::Error,
        21,
        "moved away before it",
    );
    is_good(&lint(firmware("a", "v")));
    is(
        &lint(firmware("z", "v")),
        Level::Error,
        21,
        "moved away before it",
    );
    is(
        &lint(firmware("v/a.bin", "/usr/lib/firmware/v/m.bin")),
        Level::Error,
        21,
        "does not exist in the imager",
    );
    is(&lint(firmware("loop", "loop")), Level::Error, 21, "itself");
}

#[test]
fn l22_folders_come_before_their_files() {
    let orphan = |tar: &mut Tar| {
        tar.file("rootfs/usr/local/a", "a");
    };
    is(
        &lint_for("v1.12.0", orphan),
        Level::Error,
        22,
        "rootfs/usr/local/a: it comes before",
    );
    let report = lint_for("v1.14.0", orphan);
    let found: Vec<_> = report
        .findings
        .iter()
        .filter(|it| it.number == 22)
        .collect();
    assert_eq!(found.len(), 1, "{report:#?}");
    assert_eq!(found[0].level, Level::Warning);
    assert_eq!(found[0].path.as_deref(), Some("rootfs/usr"));
    // The imager reads the top layer first.
    let lower = Tar::default().dirs("rootfs/usr/local").finish();
    let upper = Tar::default()
        .file("manifest.yaml", MANIFEST)
        .file("rootfs/usr/local/a", "a")
        .finish();
    let scans = scans(&[lower, upper], "hello", false);
    is(
        &check(&scans, &against("v1.12.0"))[0],
        Level::Error,
        22,
        "usr/local/a",
    );
}

#[test]
fn l25_firmware_that_is_in_no_image_is_noted() {
    let mut ko = Ko::new("x");
    ko.modinfo.push(("firmware", "v/x.bin".into()));
    let report = lint(|tar| with_module(tar, &ko));
    is_good(&report);
    assert!(
        report.findings.iter().any(|it| it.number == 25),
        "{report:?}"
    );
    let report = lint(|tar| {
        with_module(tar, &ko);
        tar.dirs("rootfs/usr/lib/firmware/v")
            .file("rootfs/usr/lib/firmware/v/x.bin.xz", "");
    });
    assert!(
        report.findings.iter().all(|it| it.number != 25),
        "{report:?}"
    );
}

#[test]
fn l27_l29_l33_l34_layers_are_whole() {
    is(
        &lint(|tar| {
            tar.dirs("rootfs/usr/local")
                .file("rootfs/usr/local/a", "1")
                .file("rootfs/usr/local/a", "2");
        }),
        Level::Warning,
        27,
        "twice",
    );
    let climbing = |tar: &mut Tar| {
        tar.dirs("rootfs/usr/local");
        tar.add_raw(
            Tar::header(EntryType::Regular, 0o644, 0),
            "rootfs/usr/local/../local/x",
            b"",
        );
    };
    is(&lint(climbing), Level::Error, 33, "`..`");
    is(
        &lint(|tar| {
            tar.dirs("rootfs/usr/local/share/spdx")
                .file("rootfs/usr/local/share/spdx/x.spdx.json", "{");
        }),
        Level::Warning,
        34,
        "EOF",
    );
    let mut layer = extension(|tar| {
        tar.dirs("rootfs/usr/local");
    });
    let end = layer.len();
    layer[end - 6] ^= 1;
    is(
        &check(&scans(&[layer], "hello", false), &against("v1.12.0"))[0],
        Level::Error,
        29,
        "gzip",
    );
}

#[test]
fn l17_l31_l32_sets() {
    let named = |name: &str, fill: &dyn Fn(&mut Tar)| {
        let mut tar = Tar::default();
        tar.file("manifest.yaml", MANIFEST.replace("hello", name))
            .dir("rootfs");
        fill(&mut tar);
        scans(&[gzip(&tar.finish())], name, true).remove(0)
    };
    let file = |path: &'static str, text: &'static str| {
        move |tar: &mut Tar| {
            tar.dirs(path.rsplit_once('/').unwrap().0).file(path, text);
        }
    };
    let pair = |path, one, two| {
        let scans = [named("a", &file(path, one)), named("b", &file(path, two))];
        check(&scans, &against("v1.12.0"))
    };
    let reports = pair("rootfs/usr/local/x", "1", "2");
    is(
        &reports[1],
        Level::Warning,
        17,
        "`a` and `b` have different files",
    );
    is_good(&reports[0]);
    is_good(&pair("rootfs/usr/local/x", "same", "same")[1]);
    // Upstream lists it as shared.
    let list = "- images: [r/a, r/b]\n  files: [rootfs/usr/*/x]\n";
    let mut with_list = against("v1.12.0");
    with_list.exceptions = oci::lint::Exception::parse(list, "amd64").unwrap();
    let both = [
        named("a", &file("rootfs/usr/local/x", "1")),
        named("b", &file("rootfs/usr/local/x", "2")),
    ];
    is_good(&check(&both, &with_list)[1]);
    // Written again by the imager.
    is_good(
        &pair(
            "rootfs/usr/lib/modules/6.18.1-talos/modules.order",
            "1",
            "2",
        )[1],
    );
    let reports = pair("rootfs/usr/lib/firmware/x", "longer", "short");
    assert_eq!(
        serious(&reports[1]),
        [(Level::Error, 32), (Level::Warning, 17)]
    );
    let many: Vec<Scan> = (0..11)
        .map(|at| named(&format!("e{at}"), &|_| {}))
        .collect();
    is(
        &check(&many, &against("v1.12.0"))[10],
        Level::Warning,
        31,
        "11 extensions",
    );
}

/// One extension completes a service of another.
#[test]
fn services_are_judged_with_all_that_is_installed() {
    let spec = |tar: &mut Tar| {
        tar.dirs("rootfs/usr/local/etc/containers");
        tar.file("rootfs/usr/local/etc/containers/hello.yaml", SPEC);
    };
    let program = |tar: &mut Tar| {
        tar.dirs("rootfs/usr/local/lib/containers/hello/bin");
        tar.program("rootfs/usr/local/lib/containers/hello/bin/hello", b"");
    };
    let mut both = scans(&[extension(spec)], "hello", true);
    is(
        &check(&both, &against("v1.12.0"))[0],
        Level::Error,
        24,
        "does not exist",
    );
    both.extend(scans(&[extension(program)], "hello", true));
    is_good(&check(&both, &against("v1.12.0"))[0]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Modules, specs and manifests come from others.
    #[test]
    fn any_change_of_a_module_is_read_without_panic(
        at in 0..1600_usize, byte in proptest::prelude::any::<u8>(), cut in 0..1600_usize,
    ) {
        let mut bytes = Ko::new("x").build();
        let length = bytes.len();
        bytes[at % length] = byte;
        let _ = oci::module::of_module(&bytes);
        let _ = oci::module::Module::parse(&bytes);
        bytes.truncate(cut.min(length));
        let _ = oci::module::of_module(&bytes);
        let _ = oci::module::Module::parse(&bytes);
        let _ = oci::module::program(&bytes);
    }

    #[test]
    fn any_text_as_a_manifest_or_spec_is_read_without_panic(text in "[ -~\n]{0,200}") {
        let report = lint(|tar| service(tar, &text, text.as_bytes()));
        proptest::prop_assert!(report.findings.len() < 100);
        let mut tar = Tar::default();
        tar.file("manifest.yaml", &text).dir("rootfs");
        check(&scans(&[tar.finish()], "x", false), &against("v1.12.0"));
    }
}
