//! A driver to scaffold: where its source is, how it is built, what it brings.

use foundation::failure::{Failure, Result};
use foundation::hash::Checksums;
use talos::version::TalosVersion;

/// The texts of a package and an extension follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Driver {
    /// Name of the extension.
    pub(in super::super) name: String,
    /// Modules as `/proc/modules` names them.
    pub(in super::super) modules: Vec<String>,
    pub(in super::super) author: String,
    pub(in super::super) description: String,
    pub(in super::super) origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Origin {
    /// Modules that the kernel's own sources have: paths below `/usr/lib/modules/KVER`.
    InTree(Vec<String>),
    /// An existing package of pkgs, with the version of its driver.
    Package {
        name: String,
        version: String,
    },
    OutOfTree(OutOfTree),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct OutOfTree {
    pub(in super::super) version: Version,
    /// The archive, then files beside it.
    pub(in super::super) sources: Vec<Source>,
    /// Folder of the driver in the archive.
    pub(in super::super) folder: Option<String>,
    /// Arguments of make; without any, the kernel's own build is called.
    pub(in super::super) make: Vec<String>,
    /// Below `/usr/lib/modules/KVER`.
    pub(in super::super) install_dir: String,
    /// A rules file of udev in `folder`.
    pub(in super::super) udev: Option<String>,
    /// Downloaded file and its path below `/usr/lib/firmware`.
    pub(in super::super) firmware: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Source {
    /// With the version in it.
    pub(in super::super) url: String,
    pub(in super::super) destination: String,
    /// Beginning of its variables: `hailort_fw` of `hailort_fw_sha256`.
    pub(in super::super) prefix: String,
    pub(in super::super) sha256: String,
    pub(in super::super) sha512: String,
}

/// What changes with each release of the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Version {
    Release(String),
    /// A commit of 40 digits.
    Commit(String),
}

impl Version {
    pub(in super::super) fn text(&self) -> &str {
        match self {
            Self::Release(text) | Self::Commit(text) => text,
        }
    }

    /// Finds it in a URL: a commit, else the last `1.2` or `1.2.3` in it.
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let is_commit =
            |word: &&str| word.len() == 40 && word.chars().all(|c| c.is_ascii_hexdigit());
        if let Some(commit) = url.split(['/', '.', '-', '_']).find(is_commit) {
            return Some(Self::Commit(commit.to_owned()));
        }
        let (_, path) = url.split_once("://")?;
        let (_, path) = path.split_once('/')?;
        let form = regex::Regex::new(r"[0-9]+(\.[0-9]+)+").ok()?;
        let found = form.find_iter(path).last()?;
        Some(Self::Release(found.as_str().to_owned()))
    }
}

impl Driver {
    /// Name of the package in pkgs.
    pub(in super::super) fn package(&self) -> Option<String> {
        match &self.origin {
            Origin::InTree(_) => None,
            Origin::Package { name, .. } => Some(name.clone()),
            Origin::OutOfTree(_) => Some(format!("{}-pkg", self.name)),
        }
    }

    /// Beginning of the variables in a Pkgfile.
    pub(in super::super) fn prefix(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// The kinds of archives that tar unpacks by itself, by their first bytes.
const ARCHIVES: [(&str, &str); 4] = [
    ("1f8b", "tar.gz"),
    ("fd377a585a00", "tar.xz"),
    ("425a68", "tar.bz2"),
    ("28b52ffd", "tar.zst"),
];
/// `ustar` at 257, in hexadecimal.
const USTAR: (usize, &str) = (257 * 2, "7573746172");

/// The file name suffix of the archive with these first bytes.
///
/// # Errors
/// For anything that is not an archive, such as a page of a web site.
pub(super) fn suffix(what: &str, sums: &Checksums) -> Result<&'static str> {
    let known = ARCHIVES
        .iter()
        .find(|(head, _)| sums.head.starts_with(head));
    let (at, ustar) = USTAR;
    let is_tar = sums
        .head
        .get(at..)
        .is_some_and(|rest| rest.starts_with(ustar));
    match known {
        Some((_, suffix)) => Ok(suffix),
        None if is_tar => Ok("tar"),
        None => Err(Failure::usage(format!("`{what}` is not a tar archive"))
            .cause(format!(
                "its first bytes are {}, those of neither gzip, xz, bzip2, zstd nor tar",
                sums.head.get(..16).unwrap_or(&sums.head)
            ))
            .hint("name the archive itself, such as https://github.com/OWNER/REPO/archive/refs/tags/v1.2.3.tar.gz")),
    }
}

/// The driver of the guide, in the version that pkgs has for the line.
///
/// Figures are those of `Pkgfile` in pkgs: release-1.11, release-1.12 (and 1.13), main.
pub(super) fn hailort(name: &str, version: &TalosVersion, author: String) -> Driver {
    let release = HAILORT
        .iter()
        .rfind(|it| version.line().minor >= it.since)
        .unwrap_or(&HAILORT[0]);
    let prefix = name.replace('-', "_");
    let (driver, firmware) = (release.driver, release.firmware);
    let source = |url: String, destination: &str, prefix: String, sums: (&str, &str)| Source {
        url,
        destination: destination.to_owned(),
        prefix,
        sha256: sums.0.to_owned(),
        sha512: sums.1.to_owned(),
    };
    let number = release.version;
    Driver {
        name: name.to_owned(),
        modules: vec!["hailo_pci".to_owned()],
        author,
        description: "Driver of Hailo-8 AI accelerators on PCIe and M.2".to_owned(),
        origin: Origin::OutOfTree(OutOfTree {
            version: Version::Release(number.to_owned()),
            sources: vec![
                source(
                    format!(
                        "https://github.com/hailo-ai/hailort-drivers/archive/refs/tags/v{number}.tar.gz"
                    ),
                    &format!("{name}.tar.gz"),
                    prefix.clone(),
                    driver,
                ),
                source(
                    format!(
                        "https://hailo-hailort.s3.eu-west-2.amazonaws.com/Hailo8/{number}/FW/hailo8_fw.{number}.bin"
                    ),
                    "hailo8_fw.bin",
                    format!("{prefix}_fw"),
                    firmware,
                ),
            ],
            folder: Some("linux/pcie".to_owned()),
            make: vec!["KERNEL_DIR=/src".to_owned(), "all".to_owned()],
            install_dir: "kernel/drivers/misc".to_owned(),
            udev: Some("51-hailo-udev.rules".to_owned()),
            firmware: Some(("hailo8_fw.bin".to_owned(), "hailo/hailo8_fw.bin".to_owned())),
        }),
    }
}

/// The oldest line in which pkgs has the driver.
pub(super) const HAILORT_SINCE: u64 = HAILORT[0].since;

struct Release {
    /// Minor version of Talos.
    since: u64,
    version: &'static str,
    driver: (&'static str, &'static str),
    firmware: (&'static str, &'static str),
}

const HAILORT: [Release; 3] = [
    Release {
        since: 11,
        version: "4.21.0",
        driver: (
            "624468126c1e5609475389271b3d2878cb6e7e40df9e85bad95be464a3e11be3",
            "857f56f1788a05a666051c232bdfe4ad01bc22587cc83ef1e14079a71ab0083aefa98253d40999880c3570b774baf7ac585ccd7618ba7f28a056b7bc07c1701c",
        ),
        firmware: (
            "2a5c94591d9e70d884242e64bf2388b0d2d46b816a335b4c00c3f81a07832635",
            "43b36a7d958f4dba25f79ee37ad2ffa303c446a5c4516f7d882fb94c6ea0bee72089305b061a55b8bc37fc327ffce9db08f1f171a92c2421dd1a52a7c1695267",
        ),
    },
    Release {
        since: 12,
        version: "4.23.0",
        driver: (
            "245c7157746c2fd48b2fab4a990c8fb3b786921dd72c9e5348f5b5619ee05ec3",
            "b5abdf3ca5cb4cbb9d3189ed6bae52d66e52dbce99ed1698ece8ff1f5f32db7560990e66bab740f2f0102e13175eb3fc0ae41162b75ee743684fb64ff845db07",
        ),
        firmware: (
            "1ba9528972091ec17bebc0dc7ea2e6f4449efe70664890f6387ccbc7b60626ee",
            "6280e4bddc120ab6e9a4a4fdac529816ee1f94d343e0e0ef6c36fd474b579f85032e22b24a8f758b23028d429ef5936780fa07ed3c0abc512f5fd72985fc982c",
        ),
    },
    Release {
        since: 14,
        version: "4.24.0",
        driver: (
            "6ed54bdb80b97fa2ac7e0dee2102a9b609b2b9a4d12dbae4c190ad769c7bc636",
            "ce73660a8be5b5cb253f892b70411136e4efa6cb8e5a3a6f019489033034dd52c69cac06b06813287c02af7d7813e2fd7dccb72e93cf816104d0767efcd2aa48",
        ),
        firmware: (
            "3ebeb209987bb0e484353be23774d3893908de84069016c4e37361c871d8433a",
            "53ffd641086e7bc1298e6b41c7204199e49e595feeb06bcfa339c15e4a73de6133e59293cf3f5dfdd72b052f2c829fc5ad93da5d325ed084b702e450f999594c",
        ),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_last_number_of_the_path() {
        let of = |url: &str| Version::of_url(url);
        let release = |text: &str| Some(Version::Release(text.to_owned()));
        assert_eq!(
            of("https://a.b/x/archive/refs/tags/v4.21.0.tar.gz"),
            release("4.21.0")
        );
        assert_eq!(
            of("https://10.0.0.1/x-2.5/x-2.5.1.tar.xz"),
            release("2.5.1")
        );
        assert_eq!(of("https://10.0.0.1/x.tar.xz"), None);
        let commit = "5815ee3908a46a415aac616ac7b9aedcb98a504c";
        assert_eq!(
            of(&format!("https://github.com/a/b/archive/{commit}.tar.gz")),
            Some(Version::Commit(commit.to_owned()))
        );
    }

    #[test]
    fn a_page_is_not_an_archive() {
        let of = |bytes: &[u8]| suffix("x", &Checksums::of(bytes).unwrap());
        assert_eq!(of(b"\x1f\x8b\x08rest").unwrap(), "tar.gz");
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(of(&tar).unwrap(), "tar");
        assert!(
            of(b"<!DOCTYPE html>")
                .unwrap_err()
                .what
                .contains("not a tar archive")
        );
        assert!(of(b"").is_err());
    }

    #[test]
    fn the_guides_driver_is_that_of_the_line() {
        for (line, number) in [
            ("v1.10.0", "4.21.0"),
            ("v1.11.2", "4.21.0"),
            ("v1.13.0", "4.23.0"),
            ("v1.15.0", "4.24.0"),
        ] {
            let version = TalosVersion::parse(line).unwrap();
            let Origin::OutOfTree(it) = hailort("hailort", &version, String::new()).origin else {
                panic!("not out of tree");
            };
            assert_eq!(it.version.text(), number);
            assert!(
                it.sources
                    .iter()
                    .all(|source| source.sha256.len() == 64 && source.sha512.len() == 128)
            );
        }
    }
}
