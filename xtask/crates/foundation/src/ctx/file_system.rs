//! File systems whose changes by others, such as a server or the host of a virtual machine,
//! are not reported to this system.

use camino::Utf8Path;

/// Names by the type that statfs(2) returns (linux/magic.h, and the sources of those that are
/// not in it).
#[cfg(target_os = "linux")]
const WITHOUT_EVENTS: [(u32, &str); 9] = [
    (0x6969, "NFS"),
    // Also the drives of Windows in WSL 2.
    (0x0102_1997, "9p"),
    // Also virtiofs: the folders of a host.
    (0x6573_5546, "FUSE"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x786f_4256, "vboxsf"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    // The drives of Windows in WSL 1.
    (0x5346_4846, "drvfs"),
];

/// The name of the file system of `path`, if it does not report every change.
#[cfg(target_os = "linux")]
pub(crate) fn without_events(path: &Utf8Path) -> Option<&'static str> {
    let found = rustix::fs::statfs(path.as_std_path()).ok()?;
    // Types have 32 bits; some architectures extend the sign.
    named(u32::try_from(i128::from(found.f_type) & 0xffff_ffff).ok()?)
}

#[cfg(target_os = "linux")]
fn named(kind: u32) -> Option<&'static str> {
    let mut known = WITHOUT_EVENTS.iter();
    known.find(|(it, _)| *it == kind).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn without_events(_path: &Utf8Path) -> Option<&'static str> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known() {
        assert_eq!(named(0x6969), Some("NFS"));
        assert_eq!(named(0xef53), None, "ext4");
        assert_eq!(named(0x794c_7630), None, "overlay: its upper layer reports");
        assert_eq!(without_events("/proc".into()), None);
    }
}
