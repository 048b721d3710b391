//! The table of rules: what each is for, what upstream says where it looks, what happens
//! where it does not, and how to fix it.

/// What notices a violation without this lint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// The imager fails, with such a message.
    Imager(&'static str),
    /// The node shows it, after the upgrade.
    Node(&'static str),
    /// Only extensions-validator, in upstream's own builds.
    Validator(&'static str),
    /// Nothing; what happens instead.
    Silent(&'static str),
}

impl Upstream {
    pub fn name(self) -> &'static str {
        match self {
            Self::Imager(_) => "imager",
            Self::Node(_) => "node",
            Self::Validator(_) => "validator",
            Self::Silent(_) => "nothing",
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::Imager(text) | Self::Node(text) | Self::Validator(text) | Self::Silent(text) => {
                text
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// 4 of `L4`.
    pub number: u8,
    /// What holds for a good extension.
    pub title: &'static str,
    pub upstream: Upstream,
    pub fix: &'static str,
}

/// All rules, by number.
pub const RULES: &[Rule] = &[
    Rule {
        number: 1,
        title: "only manifest.yaml and rootfs at the top",
        upstream: Upstream::Imager(
            "error loading extension 0: unexpected file \"bin\"; extension rootfs is missing",
        ),
        fix: "copy files below /rootfs and the manifest to / in `finalize` of pkg.yaml",
    },
    Rule {
        number: 2,
        title: "manifest.yaml is of version v1alpha1",
        upstream: Upstream::Imager("unsupported manifest version: \"v1\"; EOF"),
        fix: "write `version: v1alpha1` and `metadata:`",
    },
    Rule {
        number: 3,
        title: "the constraint on Talos can be parsed and is satisfied",
        upstream: Upstream::Imager(
            "version constraint >= v1.10.0 can't be satisfied with Talos version 1.9.0",
        ),
        fix: "write a range such as `>= v1.10.0`, or use the extension of this Talos release",
    },
    Rule {
        number: 4,
        title: "paths are allowed in this line",
        upstream: Upstream::Silent(
            "extensions-validator refuses the path; the imager does not look, and the file is on the node or hidden there",
        ),
        fix: "install below /usr/local, or use the release of the extension for this Talos",
    },
    Rule {
        number: 5,
        title: "no fifos, devices and sockets",
        upstream: Upstream::Silent("an empty regular file takes its place"),
        fix: "create it when the service starts",
    },
    Rule {
        number: 6,
        title: "not writable by every user",
        upstream: Upstream::Silent("upstream's own check compares bits that are always 0"),
        fix: "chmod o-w in `install` of pkg.yaml",
    },
    Rule {
        number: 7,
        title: "paths are below an allowed folder, not only alike",
        upstream: Upstream::Silent("`/usr/localfoo` passes because it begins like /usr/local"),
        fix: "correct the path",
    },
    Rule {
        number: 8,
        title: "the manifest has a name and a version",
        upstream: Upstream::Silent("`talosctl get extensions` shows an empty name"),
        fix: "fill metadata.name and metadata.version",
    },
    Rule {
        number: 9,
        title: "name and version have upstream's forms",
        upstream: Upstream::Validator("invalid version format for extension"),
        fix: "set VERSION in vars.yaml: 1.2.3-{{ .BUILD_ARG_TAG }}",
    },
    Rule {
        number: 10,
        title: "no hard links",
        upstream: Upstream::Silent("the imager writes an empty file"),
        fix: "copy the file, or link it symbolically",
    },
    Rule {
        number: 11,
        title: "modules are for this kernel",
        upstream: Upstream::Imager(
            "copying kernel modules from … failed: … no such file or directory",
        ),
        fix: "build with PKGS of this Talos: pkg/machinery/gendata/data/pkgs",
    },
    Rule {
        number: 12,
        title: "modules are ELF files of this machine, with the kernel's vermagic, checksums of symbols and key",
        upstream: Upstream::Node(
            "key was rejected by service; disagrees about version of symbol module_layout; invalid module format",
        ),
        fix: "build kernel and package together, once: `make kernel x-pkg`",
    },
    Rule {
        number: 13,
        title: "dependencies and symbols of modules exist",
        upstream: Upstream::Node(
            "Unknown symbol … (err -2); load x failed: no such file or directory",
        ),
        fix: "add the module to files/modules.txt, or the extension that has it",
    },
    Rule {
        number: 14,
        title: "no module is built into the kernel",
        upstream: Upstream::Silent("the kernel's own one is used"),
        fix: "change the kernel's configuration to =m",
    },
    Rule {
        number: 15,
        title: "service specs are valid",
        upstream: Upstream::Node("error validating extension service spec"),
        fix: "correct the spec; see pkg/machinery/extensions/services",
    },
    Rule {
        number: 16,
        title: "the image's configuration names its platform",
        upstream: Upstream::Silent(
            "the imager takes an image of any platform that a plain manifest names",
        ),
        fix: "build with `docker buildx build --platform`",
    },
    Rule {
        number: 17,
        title: "two extensions have no different files of one path",
        upstream: Upstream::Silent("the one whose folder sorts last wins"),
        fix: "remove one extension, or build both for the same release",
    },
    Rule {
        number: 18,
        title: "the image has files for every platform",
        upstream: Upstream::Imager("error loading extension 0: extension manifest is missing"),
        fix: "ship an empty rootfs and the manifest on platforms without files",
    },
    Rule {
        number: 19,
        title: "modules are in the folder of a kernel release",
        upstream: Upstream::Imager(
            "copying kernel modules from … failed: … no such file or directory",
        ),
        fix: "install with `make modules_install INSTALL_MOD_PATH=/rootfs/usr`",
    },
    Rule {
        number: 20,
        title: "links among modules lead to files that the imager sees",
        upstream: Upstream::Imager(
            "copying kernel modules from … failed: stat …/build: no such file or directory",
        ),
        fix: "remove the links `build` and `source`",
    },
    Rule {
        number: 21,
        title: "firmware can be moved: links among it lead to files that sort later, microcode is files",
        upstream: Upstream::Imager(
            "error compressing extension: stat …: no such file or directory; is a directory",
        ),
        fix: "copy the file, or link from the later name to the earlier one",
    },
    Rule {
        number: 22,
        title: "layers have an entry for each folder, before its files",
        upstream: Upstream::Imager(
            "error creating file …: no such file or directory (until 1.13); folders of mode 0700 (from 1.14)",
        ),
        fix: "create folders with `mkdir -p` in `install` of pkg.yaml",
    },
    Rule {
        number: 23,
        title: "services that wait for a configuration are known",
        upstream: Upstream::Node(
            "service \"ext-x\" to be \"up\": context deadline exceeded; boot sequence: failed",
        ),
        fix: "apply an ExtensionServiceConfig of the service's name before the upgrade",
    },
    Rule {
        number: 24,
        title: "the service's program and its interpreter exist",
        upstream: Upstream::Node("exit code 127, going to restart forever"),
        fix: "copy the interpreter and its libraries into the service's root, or link statically",
    },
    Rule {
        number: 25,
        title: "firmware that modules ask for is in the images",
        upstream: Upstream::Node("Direct firmware load for … failed with error -2"),
        fix: "add the extension that has the firmware",
    },
    Rule {
        number: 26,
        title: "programs that run as their owner are known",
        upstream: Upstream::Silent("kept as they are"),
        fix: "chmod u-s,g-s, unless the service needs it",
    },
    Rule {
        number: 27,
        title: "no path twice in a layer",
        upstream: Upstream::Silent("the first entry is taken, where other tools take the last"),
        fix: "remove the duplicate",
    },
    Rule {
        number: 28,
        title: "nothing depends on owners or file capabilities",
        upstream: Upstream::Silent("every file becomes root's, capabilities are lost"),
        fix: "set owners and capabilities when the service starts",
    },
    Rule {
        number: 29,
        title: "layers are complete and have their digest",
        upstream: Upstream::Silent(
            "in an OCI layout a wrong digest passes; half a layer is only `extension rootfs is missing`",
        ),
        fix: "push or copy the image again",
    },
    Rule {
        number: 30,
        title: "the version's suffix is a Talos of this line",
        upstream: Upstream::Silent(
            "userland of another Talos fails later, such as `FSCONFIG_CMD_CREATE failed: invalid argument`",
        ),
        fix: "use the extension of this Talos release",
    },
    Rule {
        number: 31,
        title: "at most ten extensions, or an order that does not matter",
        upstream: Upstream::Silent("folders 0, 1, 10, 2 are sorted as text"),
        fix: "put extensions that must win at places 9 and below",
    },
    Rule {
        number: 32,
        title: "no shorter file over a longer one",
        upstream: Upstream::Silent("the longer file's end stays in the file (fixed on main)"),
        fix: "use the same release of both, or a Talos that has the fix",
    },
    Rule {
        number: 33,
        title: "names without `..`",
        upstream: Upstream::Silent("what happens depends on the line's go-containerregistry"),
        fix: "build the layer again with relative names",
    },
    Rule {
        number: 34,
        title: "SBOMs are JSON",
        upstream: Upstream::Node("failed to process SBOM file (from 1.11)"),
        fix: "write SPDX JSON to /usr/local/share/spdx",
    },
    Rule {
        number: 35,
        title: "no file among modules has the path of a folder of the kernel, nor a folder that of a file",
        upstream: Upstream::Imager(
            "copying kernel modules from … failed: open …: is a directory; mkdir …: not a directory",
        ),
        fix: "install modules below extras",
    },
    Rule {
        number: 36,
        title: "each file can be created, once",
        upstream: Upstream::Imager(
            "error creating file …: file exists; file name too long; error creating symlink",
        ),
        fix: "write names in one way, without a slash at their start, and shorter",
    },
    Rule {
        number: 37,
        title: "no entries below a file or a link of the same layer",
        upstream: Upstream::Silent("the imager leaves them out, where other tools follow the link"),
        fix: "install to the folder that the link leads to",
    },
    Rule {
        number: 38,
        title: "no opaque whiteouts",
        upstream: Upstream::Silent("until 1.13 the imager unpacks the files that they hide"),
        fix: "build the extension from scratch, in one layer",
    },
    Rule {
        number: 39,
        title: "no relative link climbs out of the image",
        upstream: Upstream::Silent("from 1.13 on the imager leaves the link out"),
        fix: "link to an absolute path",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_numbered_from_one() {
        for (at, rule) in RULES.iter().enumerate() {
            assert_eq!(usize::from(rule.number), at + 1);
            assert!(!rule.fix.is_empty() && !rule.upstream.text().is_empty());
        }
    }
}
