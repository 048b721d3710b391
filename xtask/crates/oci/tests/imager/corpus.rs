//! Good and bad images, what Talos' imager says about each, and what it does not notice.

use serde_json::json;
use talos::TalosVersion;
use tar::EntryType;

use crate::common::module::{Ko, RELEASE};
use crate::common::{Memory, Tar, gzip, image, layout, zstd};

/// An image, and what is expected of both sides.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) files: Memory,
    /// The imager's failures; at most one for a line.
    pub(crate) fails: Vec<Fails>,
    /// Rules of the lint's other errors and warnings: the node's, and those that nothing of Talos makes.
    pub(crate) blind: Vec<Blind>,
    /// What files become without a word of the imager.
    pub(crate) becomes: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy)]
pub(crate) struct Fails {
    pub(crate) rule: u8,
    /// Of the imager's message.
    pub(crate) part: &'static str,
    lines: (u64, u64),
}

#[derive(Clone, Copy)]
pub(crate) struct Blind {
    pub(crate) rule: u8,
    lines: (u64, u64),
}

const ALL: (u64, u64) = (0, u64::MAX);

fn is_in(lines: (u64, u64), version: &TalosVersion) -> bool {
    let (_, minor, _) = version.core();
    lines.0 <= minor && minor < lines.1
}

impl Fails {
    pub(crate) fn holds(&self, version: &TalosVersion) -> bool {
        is_in(self.lines, version)
    }
}

impl Blind {
    pub(crate) fn holds(&self, version: &TalosVersion) -> bool {
        is_in(self.lines, version)
    }
}

impl Case {
    fn of(name: &'static str, files: Memory) -> Self {
        Self {
            name,
            files,
            fails: Vec::new(),
            blind: Vec::new(),
            becomes: &[],
        }
    }

    /// An extension with the usual manifest, and what `fill` adds.
    fn with(name: &'static str, fill: impl FnOnce(&mut Tar)) -> Self {
        Self::layers(name, &[gzip(&extension(fill))])
    }

    fn layers(name: &'static str, layers: &[Vec<u8>]) -> Self {
        let mut files = Memory::default();
        let (descriptor, _) = image(&mut files, "amd64", layers);
        layout(&mut files, &[descriptor]);
        Self::of(name, files)
    }

    fn manifest(name: &'static str, manifest: impl AsRef<[u8]>) -> Self {
        let mut tar = Tar::default();
        tar.file("manifest.yaml", manifest).dir("rootfs");
        Self::layers(name, &[tar.finish()])
    }

    fn spec(name: &'static str, spec: &str) -> Self {
        Self::with(name, |tar| service(tar, spec))
    }

    /// A layer whose bytes change after its digest was taken.
    fn damaged(name: &'static str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut files = Memory::default();
        let layer = gzip(&extension(|tar| with_module(tar, &Ko::new("x"))));
        let (descriptor, layers) = image(&mut files, "amd64", &[layer]);
        layout(&mut files, &[descriptor]);
        files.damage(&layers[0], change);
        Self::of(name, files)
    }

    fn fails(mut self, rule: u8, part: &'static str) -> Self {
        self.fails.push(Fails {
            rule,
            part,
            lines: ALL,
        });
        self
    }

    fn fails_in(mut self, lines: (u64, u64), rule: u8, part: &'static str) -> Self {
        self.fails.push(Fails { rule, part, lines });
        self
    }

    fn blind(mut self, rules: &[u8]) -> Self {
        let rules = rules.iter().map(|rule| Blind {
            rule: *rule,
            lines: ALL,
        });
        self.blind.extend(rules);
        self
    }

    fn blind_in(mut self, lines: (u64, u64), rule: u8) -> Self {
        self.blind.push(Blind { rule, lines });
        self
    }

    fn becomes(mut self, files: &'static [(&'static str, &'static str)]) -> Self {
        self.becomes = files;
        self
    }
}

const MANIFEST: &str = "version: v1alpha1\nmetadata:\n  name: hello\n  version: 1.2.3\n";
const MODULES: &str = "rootfs/usr/lib/modules/6.18.1-talos";
const FIRMWARE: &str = "rootfs/usr/lib/firmware";
const SPEC: &str = "name: hello\ncontainer:\n  entrypoint: /bin/hello\n  args: [--x]\n\
    depends:\n  - service: cri\n  - network: [addresses]\nrestart: always\n";

fn extension(fill: impl FnOnce(&mut Tar)) -> Vec<u8> {
    let mut tar = Tar::default();
    tar.file("manifest.yaml", MANIFEST).dir("rootfs");
    fill(&mut tar);
    tar.finish()
}

fn with_module(tar: &mut Tar, ko: &Ko) {
    let name = &ko.modinfo[0].1;
    tar.dirs(&format!("{MODULES}/extras"));
    tar.file(&format!("{MODULES}/extras/{name}.ko"), ko.build());
}

fn service(tar: &mut Tar, spec: &str) {
    tar.dirs("rootfs/usr/local/etc/containers");
    tar.file("rootfs/usr/local/etc/containers/hello.yaml", spec);
    tar.dirs("rootfs/usr/local/lib/containers/hello/bin");
    tar.program(
        "rootfs/usr/local/lib/containers/hello/bin/hello",
        b"\x7fELF",
    );
}

fn file(path: &'static str) -> impl FnOnce(&mut Tar) {
    move |tar| {
        tar.dirs(path.rsplit_once('/').unwrap().0).file(path, "x");
    }
}

fn special(kind: EntryType, mode: u32) -> impl FnOnce(&mut Tar) {
    move |tar| {
        tar.dirs("rootfs/usr/local");
        tar.add(Tar::header(kind, mode, 0), "rootfs/usr/local/x", b"");
    }
}

fn firmware(from: &'static str, to: &'static str) -> impl FnOnce(&mut Tar) {
    move |tar| {
        tar.dirs(&format!("{FIRMWARE}/v"));
        tar.file(&format!("{FIRMWARE}/v/m.bin"), "m");
        tar.symlink(&format!("{FIRMWARE}/{from}"), to);
    }
}

fn build_link(to: &'static str) -> impl FnOnce(&mut Tar) {
    move |tar| {
        with_module(tar, &Ko::new("x"));
        tar.symlink(&format!("{MODULES}/build"), to);
    }
}

/// The kernel whose modules are in the initramfs, as a layer of its image.
pub(crate) fn kernel() -> Vec<u8> {
    let mut base = Ko::new("base");
    base.exports = vec!["base_symbol"];
    let folder = format!("usr/lib/modules/{RELEASE}");
    let mut tar = Tar::default();
    tar.dirs(&format!("{folder}/kernel"));
    tar.file(&format!("{folder}/kernel/base.ko"), base.build());
    tar.file(
        &format!("{folder}/modules.builtin"),
        "kernel/drivers/loop.ko\n",
    );
    tar.file(&format!("{folder}/modules.order"), "kernel/base.ko\n");
    tar.dir("boot");
    tar.file("boot/System.map", "ffffffff82000000 r __ksymtab__printk\n");
    gzip(&tar.finish())
}

pub(crate) fn corpus() -> Vec<Case> {
    let mut all = Vec::new();
    all.extend(good());
    all.extend(tops());
    all.extend(manifests());
    all.extend(constraints());
    all.extend(contents());
    all.extend(modules());
    all.extend(firmwares());
    all.extend(services());
    all.extend(layers());
    all.extend(damaged());
    all
}

fn good() -> Vec<Case> {
    vec![
        Case::with("good-module", |tar| with_module(tar, &Ko::new("x"))),
        Case::with("good-empty", |_| {}),
        Case::spec("good-service", SPEC),
        Case::with("good-firmware", firmware("v/a.bin", "m.bin")),
        Case::with("good-udev", file("rootfs/usr/lib/udev/rules.d/51-x.rules")),
        Case::layers("good-tar", &[extension(|_| {})]),
        Case::layers(
            "good-zstd",
            &[zstd(&extension(|tar| with_module(tar, &Ko::new("x"))))],
        ),
        // `tar -C FOLDER -c .`
        Case::layers(
            "good-dot",
            &[{
                let mut tar = Tar::default();
                tar.dir("./")
                    .file("./manifest.yaml", MANIFEST)
                    .dir("./rootfs");
                tar.dirs("rootfs/usr/local")
                    .file("./rootfs/usr/local/x", "x");
                tar.finish()
            }],
        ),
        Case::layers(
            "good-absolute",
            &[{
                let mut tar = Tar::default();
                tar.add_raw(
                    Tar::header(EntryType::Regular, 0o644, MANIFEST.len()),
                    "/manifest.yaml",
                    MANIFEST.as_bytes(),
                );
                tar.add_raw(Tar::header(EntryType::Directory, 0o755, 0), "/rootfs/", b"");
                tar.finish()
            }],
        ),
        Case::layers(
            "good-two-layers",
            &[
                Tar::default()
                    .file("manifest.yaml", "old")
                    .dir("rootfs")
                    .finish(),
                gzip(&extension(file("rootfs/usr/local/x"))),
            ],
        ),
        Case::layers(
            "good-whiteout",
            &[
                Tar::default().file("README.md", "x").finish(),
                gzip(&extension(|tar| {
                    tar.file(".wh.README.md", "");
                })),
            ],
        ),
        Case::with("good-absolute-link", |tar| {
            tar.dirs("rootfs/usr/local/glibc");
            tar.symlink("rootfs/usr/local/glibc/libx.so", "/usr/lib/libx.so.1");
        }),
        Case::with("good-long-name", |tar| {
            tar.dirs("rootfs/usr/local");
            tar.file(&format!("rootfs/usr/local/{}", "x".repeat(255)), "x");
        }),
    ]
}

fn tops() -> Vec<Case> {
    let without = |fill: &dyn Fn(&mut Tar)| {
        let mut tar = Tar::default();
        fill(&mut tar);
        tar.finish()
    };
    vec![
        Case::with("top-file", |tar| _ = tar.file("README.md", "x"))
            .fails(1, "unexpected file \"README.md\""),
        Case::with("top-folder", |tar| _ = tar.dir("bin")).fails(1, "unexpected file \"bin\""),
        Case::layers(
            "top-no-rootfs",
            &[without(&|tar| _ = tar.file("manifest.yaml", MANIFEST))],
        )
        .fails(1, "rootfs is missing"),
        Case::layers("top-no-manifest", &[without(&|tar| _ = tar.dir("rootfs"))])
            .fails(1, "manifest is missing"),
        Case::layers("top-empty", &[without(&|_| {})]).fails(18, "manifest is missing"),
        Case::layers("top-no-layers", &[]).fails(18, "manifest is missing"),
        Case::layers(
            "top-package",
            &[without(&|tar| _ = tar.dirs("usr/lib/modules"))],
        )
        .fails(1, "unexpected file \"usr\""),
        Case::layers(
            "top-manifest-folder",
            &[without(&|tar| _ = tar.dir("manifest.yaml").dir("rootfs"))],
        )
        .fails(2, "is a directory"),
        Case::layers(
            "top-manifest-link",
            &[without(&|tar| {
                tar.dirs("rootfs/usr/local")
                    .file("rootfs/usr/local/m.yaml", MANIFEST);
                tar.symlink("manifest.yaml", "rootfs/usr/local/m.yaml");
            })],
        )
        .blind(&[2]),
        Case::layers(
            "top-manifest-dangling",
            &[without(&|tar| {
                _ = tar.dir("rootfs").symlink("manifest.yaml", "m.yaml")
            })],
        )
        .fails(2, "no such file or directory"),
        Case::layers(
            "top-manifest-hardlink",
            &[without(&|tar| {
                tar.dirs("rootfs/usr/local")
                    .file("rootfs/usr/local/m.yaml", MANIFEST);
                tar.link(EntryType::Link, "manifest.yaml", "rootfs/usr/local/m.yaml");
            })],
        )
        .fails(2, "EOF"),
        Case::layers(
            "top-rootfs-file",
            &[without(&|tar| {
                _ = tar.file("manifest.yaml", MANIFEST).file("rootfs", "x")
            })],
        )
        .fails(1, "not a directory"),
        Case::layers(
            "top-global-header",
            &[{
                let mut tar = Tar::default();
                let record = b"52 comment=0123456789012345678901234567890123456789\n";
                tar.add(
                    Tar::header(EntryType::XGlobalHeader, 0o644, record.len()),
                    "pax_global_header",
                    record,
                );
                tar.file("manifest.yaml", MANIFEST).dir("rootfs");
                tar.finish()
            }],
        )
        .fails(1, "unexpected file \"pax_global_header\""),
    ]
}

fn manifests() -> Vec<Case> {
    let of = |name, from: &str, to: &str| Case::manifest(name, MANIFEST.replace(from, to));
    vec![
        Case::manifest("manifest-empty", "").fails(2, "EOF"),
        Case::manifest("manifest-comment", "# nothing\n").fails(2, "EOF"),
        Case::manifest("manifest-mark", "---\n")
            .fails(2, "unsupported manifest version: \"\"")
            .blind(&[8]),
        Case::manifest("manifest-null", "null\n").fails(2, "unsupported manifest version: \"\""),
        Case::manifest("manifest-map", "{}\n")
            .fails(2, "unsupported manifest version: \"\"")
            .blind(&[8]),
        Case::manifest("manifest-list", "[]\n").fails(2, "!!seq into extensions.Manifest"),
        Case::manifest("manifest-text", "v1alpha1\n").fails(2, "into extensions.Manifest"),
        Case::manifest("manifest-broken", "version: [\n").fails(2, "yaml"),
        Case::manifest("manifest-tab", "version: v1alpha1\nmetadata:\n\tname: x\n")
            .fails(2, "yaml"),
        Case::manifest("manifest-twice", format!("{MANIFEST}version: v1alpha1\n"))
            .fails(2, "already"),
        of("manifest-v1", "v1alpha1", "v1").fails(2, "unsupported manifest version: \"v1\""),
        of("manifest-number", "v1alpha1", "1").fails(2, "unsupported manifest version: \"1\""),
        of("manifest-name-list", "hello", "[x]").fails(2, "!!seq into string"),
        of("manifest-name-null", "hello", "~").blind(&[8]),
        of("manifest-name-true", "hello", "true"),
        of("manifest-name-number", "hello", "12"),
        of("manifest-version-number", "1.2.3", "0.10"),
        of("manifest-version-date", "1.2.3", "2001-01-01").blind(&[9]),
        of("manifest-version-octal", "1.2.3", "0o17").blind(&[9]),
        of("manifest-no-value", "1.2.3", "\"<no value>\"").blind(&[9]),
        Case::manifest("manifest-no-metadata", "version: v1alpha1\n").blind(&[8]),
        Case::manifest("manifest-metadata-null", "version: v1alpha1\nmetadata:\n").blind(&[8]),
        Case::manifest("manifest-metadata-text", "version: v1alpha1\nmetadata: x\n")
            .fails(2, "into extensions.Metadata"),
        Case::manifest("manifest-unknown", format!("{MANIFEST}other: 1\n")),
        Case::manifest(
            "manifest-two-documents",
            format!("{MANIFEST}---\nversion: [\n"),
        ),
        Case::manifest("manifest-leading-mark", format!("---\n{MANIFEST}")),
        Case::manifest("manifest-directive", format!("%YAML 1.2\n---\n{MANIFEST}"))
            .fails(2, "incompatible YAML document"),
        Case::manifest("manifest-end-mark", format!("{MANIFEST}...\n")),
        Case::manifest("manifest-windows", MANIFEST.replace('\n', "\r\n")),
        Case::manifest("manifest-bom", format!("\u{feff}{MANIFEST}")),
        Case::manifest(
            "manifest-latin",
            b"version: v1alpha1\nmetadata:\n  name: \xe4\n",
        )
        .fails(2, "yaml"),
        Case::manifest(
            "manifest-alias",
            "version: &v v1alpha1\nmetadata: {name: x, version: *v}\n",
        )
        .blind(&[9]),
        Case::manifest(
            "manifest-json",
            r#"{"version":"v1alpha1","metadata":{"name":"x","version":"1.2.3"}}"#,
        ),
        Case::manifest(
            "manifest-merge",
            "a: &a {name: x, version: 1.2.3}\nversion: v1alpha1\nmetadata:\n  <<: *a\n",
        ),
        Case::manifest(
            "manifest-control",
            "version: v1alpha1\nmetadata: {name: \"a\u{1}\"}\n",
        )
        .fails(2, "control"),
    ]
}

fn constraints() -> Vec<Case> {
    let of = |name, range: &str| {
        let text = format!("{MANIFEST}  compatibility:\n    talos:\n      version: \"{range}\"\n");
        Case::manifest(name, text)
    };
    let fails = "error parsing Talos version constraint";
    let never = "can't be satisfied with Talos version";
    vec![
        of("range-good", ">= v1.10.0"),
        of("range-alpha", ">= 1.9.0-alpha.0"),
        of("range-alpha-of-line", ">= v1.10.0-beta.1"),
        of("range-or", "< 1.0.0 || >= v1.10.0"),
        of("range-and", ">=1.10.0 <1.99.0 !=1.12.99"),
        of("range-x", "1.x"),
        of("range-x-x", "1.x.x").fails(3, never),
        of("range-exact", "1.99.0").fails(3, never),
        of("range-new", ">= v1.99.0").fails(3, never),
        of("range-line", "< 1.12.0").fails_in((12, 99), 3, never),
        of("range-x-line", "1.11.x")
            .fails_in((0, 11), 3, never)
            .fails_in((12, 99), 3, never),
        of("range-tilde", "~1.10").fails(3, fails),
        of("range-caret", "^1.10.0").fails(3, fails),
        of("range-two", ">= 1.10").fails(3, fails),
        of("range-zero", ">= 01.0.0").fails(3, fails),
        of("range-word", "latest").fails(3, fails),
        of("range-star", "*").fails(3, fails),
        of("range-or-first", "|| 1.0.0").fails(3, fails),
        of("range-or-last", ">= 1.0.0 ||").fails(3, fails),
        of("range-comma", ">= 1.10.0, < 2.0.0").fails(3, fails),
        of("range-space", " ").fails(3, "Last element in range"),
        of("range-spaces", ">=  1.10.0"),
        of("range-glued", ">=1.10.0<2.0.0").fails(3, fails),
        of("range-arrow", "=> 1.10.0").fails(3, fails),
        of("range-build", ">= 1.10.0+build"),
        of("range-bad-alpha", ">= 1.10.0-").fails(3, fails),
        of("range-minus", ">= -1.0.0").fails(3, fails),
        of("range-not", "! 1.99.0").fails(3, never),
        of("range-x-first", "x.1.0").fails(3, never),
        of("range-capital", ">= V1.10.0").fails(3, fails),
        of("range-greater-x", "> 1.9.x"),
        of("range-less-x", "< 2.x"),
    ]
}

fn contents() -> Vec<Case> {
    vec![
        Case::with("path-etc", file("rootfs/etc/udev/rules.d/51.rules")),
        Case::with("path-bin", file("rootfs/usr/bin/nvme")),
        Case::with("path-loader", file("rootfs/usr/lib/ld-linux-aarch64.so.1")),
        Case::with("path-lib", file("rootfs/usr/lib64/a.so")),
        Case::with("path-boot", file("rootfs/boot/vmlinuz")),
        Case::with("path-root", file("rootfs/x")),
        Case::with("path-split", file("rootfs/lib/modules/6.18.1-talos/x")),
        Case::with("path-folders", |tar| _ = tar.dirs("rootfs/etc/x")),
        Case::with("path-link", |tar| {
            _ = tar
                .dirs("rootfs/etc")
                .symlink("rootfs/etc/x", "/usr/local/x")
        }),
        Case::with("path-alike", file("rootfs/usr/localfoo")).blind(&[7]),
        Case::with("path-alike-folder", file("rootfs/usr/lib/modulesX/y")).blind(&[7]),
        Case::with("fifo", special(EntryType::Fifo, 0o644))
            .blind(&[5])
            .becomes(&[("rootfs/usr/local/x", "-rw-r--r-- 0")]),
        Case::with("device", special(EntryType::Char, 0o600))
            .blind(&[5])
            .becomes(&[("rootfs/usr/local/x", "-rw------- 0")]),
        Case::with("writable", special(EntryType::Regular, 0o666))
            .blind(&[6])
            .becomes(&[("rootfs/usr/local/x", "-rw-rw-rw- 0")]),
        Case::with("setuid", special(EntryType::Regular, 0o4755))
            .becomes(&[("rootfs/usr/local/x", "urwxr-xr-x 0")]),
        Case::with("closed-folder", special(EntryType::Directory, 0))
            .becomes(&[("rootfs/usr/local/x", "drwx------")]),
        Case::with("hardlink", |tar| {
            tar.dirs("rootfs/usr/local")
                .file("rootfs/usr/local/a", "abc");
            tar.link(EntryType::Link, "rootfs/usr/local/b", "rootfs/usr/local/a");
        })
        .blind(&[10])
        .becomes(&[
            ("rootfs/usr/local/a", "-rw-r--r-- 3"),
            ("rootfs/usr/local/b", "-rwxrwxrwx 0"),
        ]),
        Case::with("capabilities", |tar| {
            tar.dirs("rootfs/usr/local");
            tar.pax(&[("SCHILY.xattr.security.capability", b"\x01")]);
            tar.file("rootfs/usr/local/a", "a");
        })
        .blind(&[28]),
        Case::with("sbom", |tar| {
            tar.dirs("rootfs/usr/local/share/spdx");
            tar.file("rootfs/usr/local/share/spdx/x.spdx.json", "{");
        })
        .blind(&[34]),
    ]
}

fn modules() -> Vec<Case> {
    let at = |folder: &'static str| {
        move |tar: &mut Tar| {
            let folder = format!("rootfs/usr/lib/modules{folder}");
            let release = folder.rsplit('/').next().unwrap();
            let ko = Ko::new("x").set(
                "vermagic",
                &format!("{release} SMP preempt mod_unload modversions "),
            );
            tar.dirs(&folder)
                .file(&format!("{folder}/x.ko"), ko.build());
        }
    };
    let changed = |name, change: &dyn Fn(&mut Ko)| {
        let mut ko = Ko::new("x");
        change(&mut ko);
        Case::with(name, |tar| with_module(tar, &ko))
    };
    vec![
        Case::with("module-other-kernel", at("/6.18.2-talos"))
            .fails(11, "copying kernel modules from"),
        Case::with("module-no-kernel", at("")).fails(19, "copying kernel modules from"),
        Case::with("module-no-folder", |tar| {
            _ = tar.dirs("rootfs/usr/lib/modules")
        })
        .fails(19, "copying kernel modules from"),
        Case::with("module-folder-is-file", file("rootfs/usr/lib/modules"))
            .fails(19, "copying kernel modules from"),
        Case::with("module-release-is-link", |tar| {
            tar.dirs("rootfs/usr/lib/modules/extras");
            tar.file("rootfs/usr/lib/modules/extras/x.ko", Ko::new("x").build());
            tar.symlink(MODULES, "extras");
        })
        .blind(&[11, 12]),
        Case::with("module-two-kernels", |tar| {
            at("/6.18.1-talos")(tar);
            at("/6.18.2-talos")(tar);
        })
        .blind(&[11]),
        Case::with("module-build", build_link("/usr/src/linux-of-nothing"))
            .fails(20, "build: no such file or directory"),
        Case::with("module-build-relative", build_link("nowhere"))
            .fails(20, "build: no such file or directory"),
        Case::with("module-build-itself", build_link("build"))
            .fails(20, "too many levels of symbolic links"),
        Case::with("module-build-circle", build_link("../6.18.1-talos"))
            .fails(20, "copying kernel modules from"),
        Case::with("module-build-inside", build_link("extras")),
        Case::with("module-over-folder", |tar| {
            tar.dirs(MODULES).file(&format!("{MODULES}/kernel"), "x");
        })
        .fails(35, "kernel: is a directory"),
        Case::with("module-folder-over-file", |tar| {
            tar.dirs(&format!("{MODULES}/kernel/base.ko"));
        })
        .fails(35, "base.ko: not a directory"),
        changed("module-unsigned", &|ko| ko.signer = None).blind(&[12]),
        changed("module-foreign-key", &|ko| {
            ko.signer = Some(("Build time throw-away kernel key", 9))
        })
        .blind(&[12]),
        changed("module-machine", &|ko| ko.machine = 183).blind(&[12]),
        changed("module-vermagic", &|ko| {
            ko.modinfo[1].1 = "6.18.2-talos SMP ".into()
        })
        .blind(&[12]),
        changed("module-checksum", &|ko| ko.versions[0].1 = 1).blind(&[12]),
        changed("module-symbol", &|ko| ko.imports.push("missing_symbol")).blind(&[13]),
        changed("module-depends", &|ko| ko.modinfo[2].1 = "nowhere".into()).blind(&[13]),
        Case::with("module-builtin", |tar| with_module(tar, &Ko::new("loop"))).blind(&[14]),
        Case::with("module-text", |tar| {
            _ = tar.dirs(MODULES).file(&format!("{MODULES}/x.ko"), "text")
        })
        .blind(&[12]),
        Case::with("module-empty", |tar| {
            _ = tar.dirs(MODULES).file(&format!("{MODULES}/x.ko"), "")
        })
        .blind(&[12]),
        Case::with("module-shorter", |tar| {
            let mut ko = Ko::new("base");
            ko.exports = Vec::new();
            tar.dirs(&format!("{MODULES}/kernel"));
            tar.file(&format!("{MODULES}/kernel/base.ko"), ko.build());
        })
        .blind(&[32]),
    ]
}

fn firmwares() -> Vec<Case> {
    let ucode = |tar: &mut Tar| {
        tar.dirs(&format!("{FIRMWARE}/intel-ucode"));
        tar.file(&format!("{FIRMWARE}/intel-ucode/06-0a-00"), "x");
    };
    vec![
        Case::with("firmware-later", firmware("v/z.bin", "m.bin"))
            .fails(21, "z.bin: no such file or directory"),
        Case::with("firmware-folder", firmware("a", "v")),
        Case::with("firmware-folder-later", firmware("z", "v"))
            .fails(21, "z: no such file or directory"),
        Case::with(
            "firmware-absolute",
            firmware("v/a.bin", "/usr/lib/firmware/v/of-nothing"),
        )
        .fails(21, "a.bin: no such file or directory"),
        Case::with("firmware-itself", firmware("loop", "loop"))
            .fails(21, "too many levels of symbolic links"),
        Case::with("firmware-circle", firmware("a", "."))
            .fails(21, "too many levels of symbolic links"),
        Case::with("firmware-is-file", file("rootfs/usr/lib/firmware"))
            .fails(21, "firmware: no such file or directory"),
        Case::with("firmware-is-link", |tar| {
            tar.dirs("rootfs/usr/local/f")
                .file("rootfs/usr/local/f/x", "x");
            tar.dirs("rootfs/usr/lib").symlink(FIRMWARE, "../local/f");
        }),
        Case::with("firmware-dangling", |tar| {
            tar.dirs("rootfs/usr/lib").symlink(FIRMWARE, "../local/f");
        }),
        Case::with("ucode", ucode),
        Case::with("ucode-amd", |tar| {
            tar.dirs(&format!("{FIRMWARE}/amd-ucode"));
            tar.file(
                &format!("{FIRMWARE}/amd-ucode/microcode_amd_fam19h.bin"),
                "x",
            );
            tar.file(&format!("{FIRMWARE}/amd-ucode/README"), "x");
        }),
        Case::with("ucode-folder", |tar| {
            ucode(tar);
            tar.dir(&format!("{FIRMWARE}/intel-ucode/later"));
        })
        .fails(21, "is a directory"),
        Case::with("ucode-link", |tar| {
            ucode(tar);
            tar.symlink(&format!("{FIRMWARE}/intel-ucode/06-00-00"), "06-0a-00");
        }),
        Case::with("ucode-link-later", |tar| {
            ucode(tar);
            tar.symlink(&format!("{FIRMWARE}/intel-ucode/06-ff-00"), "06-0a-00");
        })
        .fails(21, "06-ff-00: no such file or directory"),
        Case::with("ucode-linked", |tar| {
            ucode(tar);
            tar.symlink(&format!("{FIRMWARE}/a.bin"), "intel-ucode/06-0a-00");
        })
        .fails(21, "a.bin: no such file or directory"),
    ]
}

fn services() -> Vec<Case> {
    let of = |name, from: &str, to: &str| Case::spec(name, &SPEC.replace(from, to));
    vec![
        of("service-configuration", "service: cri", "configuration: true").blind(&[23]),
        of("service-name", "name: hello", "name: Hello!"),
        of("service-no-name", "name: hello\n", ""),
        of("service-no-restart", "restart: always", ""),
        of("service-restart", "always", "sometimes"),
        of("service-restart-case", "always", "ALWAYS"),
        of("service-restart-never", "always", "never"),
        of("service-restart-until", "always", "untilSuccess"),
        of("service-no-entrypoint", "  entrypoint: /bin/hello\n", ""),
        of("service-missing-entrypoint", "/bin/hello", "/bin/other").blind(&[24]),
        of("service-two-kinds", "service: cri", "{service: cri, time: true}"),
        of("service-no-kind", "service: cri", "{}"),
        of("service-false", "service: cri", "time: false"),
        of("service-path", "service: cri", "path: x"),
        of("service-good-path", "service: cri", "path: /var"),
        of("service-network", "[addresses]", "[dns]"),
        of("service-network-case", "[addresses]", "[Addresses]"),
        of("service-network-all", "[addresses]", "[addresses, connectivity, hostname, etcfiles]"),
        of("service-yes", "service: cri", "time: yes"),
        of("service-time-text", "service: cri", "time: \"true\""),
        of("service-args-text", "[--x]", "--x"),
        of("service-unknown", "restart: always", "restart: always\nother: 1"),
        Case::spec("service-empty", ""),
        Case::spec("service-list", "[]"),
        Case::spec("service-broken", "name: ["),
        Case::spec("service-mounts", &format!("{SPEC}logToConsole: true\n").replace(
            "  args",
            "  mounts:\n    - {source: /dev, destination: /dev, type: bind, options: [bind, rw]}\n  security: {writeableRootfs: true}\n  args",
        )),
        Case::spec("service-mount-options", &SPEC.replace("  args", "  mounts:\n    - {source: /dev, destination: /dev, options: bind}\n  args")),
        Case::spec("service-log", &format!("{SPEC}logToConsole: maybe\n")),
        Case::with("service-twice", |tar| {
            service(tar, SPEC);
            tar.file("rootfs/usr/local/etc/containers/other.yaml", SPEC);
        }),
        Case::with("service-other-name", |tar| {
            service(tar, SPEC);
            tar.file("rootfs/usr/local/etc/containers/README.md", "[");
            tar.file("rootfs/usr/local/etc/containers/x.yml", "[");
        }),
    ]
}

fn layers() -> Vec<Case> {
    let in_local = |fill: &dyn Fn(&mut Tar)| {
        gzip(&extension(|tar| {
            tar.dirs("rootfs/usr/local");
            fill(tar);
        }))
    };
    vec![
        Case::with("no-folders", |tar| _ = tar.file("rootfs/usr/local/a", "a"))
            .fails_in((0, 14), 22, "no such file or directory")
            .blind_in((14, 99), 22),
        Case::layers(
            "upper-first",
            &[
                Tar::default().dirs("rootfs/usr/local").finish(),
                Tar::default()
                    .file("manifest.yaml", MANIFEST)
                    .file("rootfs/usr/local/a", "a")
                    .finish(),
            ],
        )
        .fails_in((0, 14), 22, "no such file or directory"),
        Case::layers(
            "twice",
            &[in_local(&|tar| {
                _ = tar
                    .file("rootfs/usr/local/a", "1")
                    .file("rootfs/usr/local/a", "22")
            })],
        )
        .blind(&[27])
        .becomes(&[("rootfs/usr/local/a", "-rw-r--r-- 1")]),
        Case::layers(
            "twice-absolute",
            &[in_local(&|tar| {
                tar.file("rootfs/usr/local/a", "1");
                tar.add_raw(
                    Tar::header(EntryType::Regular, 0o644, 1),
                    "/rootfs/usr/local/a",
                    b"2",
                );
            })],
        )
        .fails(36, "file exists"),
        Case::layers(
            "below-link",
            &[in_local(&|tar| {
                tar.symlink("rootfs/usr/local/l", "/tmp");
                tar.file("rootfs/usr/local/l/a", "1");
            })],
        )
        .blind(&[37])
        .becomes(&[("rootfs/usr/local/l/a", "nothing")]),
        Case::layers(
            "opaque",
            &[
                in_local(&|tar| {
                    _ = tar
                        .dir("rootfs/usr/local/d")
                        .file("rootfs/usr/local/d/old", "1")
                }),
                Tar::default()
                    .dirs("rootfs/usr/local/d")
                    .file("rootfs/usr/local/d/.wh..wh..opq", "")
                    .finish(),
            ],
        )
        .blind(&[38])
        .becomes(&[("rootfs/usr/local/d/old", "-rw-r--r-- 1")]),
        Case::layers(
            "whiteout-of-folder",
            &[
                in_local(&|tar| {
                    _ = tar
                        .dir("rootfs/usr/local/d")
                        .file("rootfs/usr/local/d/old", "1")
                }),
                Tar::default()
                    .dirs("rootfs/usr/local")
                    .file("rootfs/usr/local/.wh.d", "")
                    .finish(),
            ],
        )
        .becomes(&[("rootfs/usr/local/d", "nothing")]),
        Case::layers(
            "whiteout-is-folder",
            &[
                in_local(&|tar| _ = tar.file("rootfs/usr/local/d", "1")),
                Tar::default()
                    .dirs("rootfs/usr/local")
                    .dir("rootfs/usr/local/.wh.d")
                    .finish(),
            ],
        )
        .becomes(&[("rootfs/usr/local/d", "-rw-r--r-- 1")]),
        Case::layers(
            "dots",
            &[in_local(&|tar| {
                tar.add_raw(
                    Tar::header(EntryType::Regular, 0o644, 0),
                    "rootfs/usr/local/../local/x",
                    b"",
                );
            })],
        )
        .blind(&[33])
        .becomes(&[("rootfs/usr/local/x", "-rw-r--r-- 0")]),
        Case::layers(
            "climbs",
            &[in_local(&|tar| {
                tar.add_raw(
                    Tar::header(EntryType::Regular, 0o644, 0),
                    "../../rootfs/usr/local/x",
                    b"",
                );
            })],
        )
        .blind_in((0, 14), 33)
        .becomes(&[("rootfs/usr/local/x", "-rw-r--r-- 0")]),
        Case::layers(
            "link-out",
            &[in_local(&|tar| {
                tar.symlink("rootfs/usr/local/l", "../../../../etc");
            })],
        )
        .blind_in((13, 99), 39),
        Case::layers(
            "link-to-the-top",
            &[in_local(&|tar| {
                tar.symlink("rootfs/usr/local/l", "../../../x");
            })],
        ),
        Case::layers(
            "long-name",
            &[in_local(&|tar| {
                tar.file(&format!("rootfs/usr/local/{}", "x".repeat(256)), "x");
            })],
        )
        .fails(36, "file name too long"),
        Case::layers(
            "long-link",
            &[in_local(&|tar| {
                tar.symlink("rootfs/usr/local/l", &"x/".repeat(2100));
            })],
        )
        .fails(36, "file name too long"),
        Case::layers(
            "empty-link",
            &[in_local(&|tar| {
                let header = Tar::header(EntryType::Symlink, 0o777, 0);
                tar.add_raw(header, "rootfs/usr/local/l", b"");
            })],
        )
        .fails(36, "no such file or directory"),
        Case::layers(
            "file-then-folder",
            &[in_local(&|tar| {
                tar.file("rootfs/usr/local/a", "1")
                    .dir("rootfs/usr/local/a")
                    .file("rootfs/usr/local/a/b", "1");
            })],
        )
        .blind(&[37]),
        Case::layers(
            "owner",
            &[in_local(&|tar| {
                let mut header = Tar::header(EntryType::Regular, 0o644, 0);
                header.set_uid(1000);
                tar.add(header, "rootfs/usr/local/a", b"");
            })],
        ),
    ]
}

fn damaged() -> Vec<Case> {
    let mut all = vec![
        Case::damaged("damaged-trailer", |layer| {
            let end = layer.len();
            layer[end - 6] ^= 1;
        })
        .blind(&[29]),
        Case::damaged("damaged-half", |layer| layer.truncate(layer.len() / 2)).fails(29, ""),
        Case::damaged("damaged-start", |layer| layer.truncate(100)).fails(29, ""),
        Case::damaged("damaged-html", |layer| {
            *layer = b"<html>Bad gateway</html>".to_vec()
        })
        .fails(29, "manifest is missing"),
        Case::damaged("damaged-empty", Vec::clear).fails(29, "manifest is missing"),
        Case::layers(
            "damaged-xz",
            &[b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4F".repeat(100)],
        )
        .fails(29, ""),
    ];
    let mut files = Memory::default();
    let (descriptor, layers) = image(
        &mut files,
        "amd64",
        &[extension(file("rootfs/usr/local/x"))],
    );
    layout(&mut files, &[descriptor]);
    files.damage(&layers[0], |layer| {
        let at = layer.windows(2).rposition(|it| it == b"x\0").unwrap();
        layer[at] = b'y';
    });
    all.push(Case::of("damaged-digest", files).blind(&[29]));
    let mut files = Memory::default();
    let (descriptor, layers) = image(&mut files, "amd64", &[extension(|_| {})]);
    layout(&mut files, &[descriptor]);
    let name = layers[0]["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "blobs/sha256/");
    files.0.remove(&name);
    all.push(Case::of("damaged-missing", files).fails(29, "manifest is missing"));
    let mut files = Memory::default();
    let (mut descriptor, _) = image(&mut files, "amd64", &[extension(|_| {})]);
    descriptor["platform"] = json!({"os": "linux", "architecture": "arm64"});
    layout(&mut files, &[descriptor]);
    all.push(Case::of("platform-differs", files).blind(&[16]));
    all
}
