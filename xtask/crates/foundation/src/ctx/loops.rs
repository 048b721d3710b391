//! Loop devices: which exist, what uses them, and whether a test can get one.
//! Read-only: no device is created.

use camino::{Utf8Path, Utf8PathBuf};

/// One `/sys/block/loopN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    pub number: u32,
    /// The backing file; `None` while it is free.
    pub backing: Option<String>,
    /// Whether `/dev/loopN` exists.
    pub node: bool,
}

/// What decides whether a test gets a loop device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loops {
    /// All devices by number.
    pub devices: Vec<Loop>,
    /// Whether `/dev/loop-control` exists, to create more.
    pub control: bool,
    /// Whether new devices appear in `/dev` automatically.
    pub devtmpfs: bool,
    /// The module's limit of partitions per device; 0 is unlimited.
    pub max_part: Option<u32>,
}

impl Loops {
    /// Probes below `root`, which is empty except in tests.
    pub fn probe(root: &Utf8Path) -> Self {
        let below = |path: &str| -> Utf8PathBuf { Utf8PathBuf::from(format!("{root}{path}")) };
        let mut devices: Vec<Loop> = std::fs::read_dir(below("/sys/block"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let number = name.strip_prefix("loop")?.parse().ok()?;
                let backing = below(&format!("/sys/block/{name}/loop/backing_file"));
                Some(Loop {
                    number,
                    backing: std::fs::read_to_string(backing)
                        .ok()
                        .map(|text| text.trim().to_owned()),
                    node: below(&format!("/dev/{name}")).exists(),
                })
            })
            .collect();
        devices.sort_by_key(|device| device.number);
        let mounts = std::fs::read_to_string(below("/proc/self/mounts")).unwrap_or_default();
        let max_part = std::fs::read_to_string(below("/sys/module/loop/parameters/max_part"));
        Self {
            devices,
            control: below("/dev/loop-control").exists(),
            devtmpfs: is_devtmpfs(&mounts),
            max_part: max_part.ok().and_then(|text| text.trim().parse().ok()),
        }
    }

    /// The device that `LOOP_CTL_GET_FREE` would return: the first free one, or
    /// a new one with the lowest unused number (linux, drivers/block/loop.c,
    /// `loop_control_get_free`). The ioctl itself would create the device.
    pub fn next(&self) -> Option<u32> {
        if !self.control {
            return None;
        }
        let free = self.devices.iter().find(|device| device.backing.is_none());
        let unused = || {
            (0..=u32::from(u16::MAX))
                .find(|n| !self.devices.iter().any(|device| device.number == *n))
        };
        free.map(|device| device.number).or_else(unused)
    }

    /// Returns why no test can get a loop device, or `None` if it can.
    pub fn obstacle(&self) -> Option<String> {
        let Some(next) = self.next() else {
            return Some(format!(
                "no /dev/loop-control here{}; in a container: run it with `--privileged -v /dev:/dev`",
                self.held()
            ));
        };
        let known = self.devices.iter().find(|device| device.number == next);
        if known.is_some_and(|device| device.node) || self.devtmpfs {
            return None;
        }
        Some(format!(
            "the next free device is loop{next}, but this /dev does not show it{}; \
             `mknod /dev/loop{next} b 7 {next}`, or mount the host's /dev",
            self.held()
        ))
    }

    /// What uses the other devices.
    fn held(&self) -> String {
        let holders: Vec<String> = self
            .devices
            .iter()
            .filter_map(|device| {
                let backing = device.backing.as_deref()?;
                Some(format!(
                    "loop{} is in use by {}",
                    device.number,
                    holder(backing)
                ))
            })
            .collect();
        match holders.len() {
            0 => String::new(),
            1..=4 => format!(" ({})", holders.join(", ")),
            many => format!(" ({}, and {} more)", holders[..3].join(", "), many - 3),
        }
    }
}

/// A snap by its name, others by their file.
fn holder(backing: &str) -> String {
    let file = Utf8Path::new(backing).file_name().unwrap_or(backing);
    match file.strip_suffix(".snap") {
        Some(snap) if backing.contains("/snap") => format!("snap {snap}"),
        _ => backing.to_owned(),
    }
}

fn is_devtmpfs(mounts: &str) -> bool {
    // The last mount on a folder hides earlier ones.
    let kind = mounts.lines().rev().find_map(|line| {
        let mut words = line.split(' ');
        let (_, at, kind) = (words.next(), words.next()?, words.next()?);
        (at == "/dev").then(|| kind.to_owned())
    });
    kind.as_deref() == Some("devtmpfs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u32, backing: Option<&str>, node: bool) -> Loop {
        Loop {
            number,
            backing: backing.map(str::to_owned),
            node,
        }
    }

    #[test]
    fn without_control_there_is_none_and_the_holders_are_named() {
        let loops = Loops {
            devices: vec![
                device(0, Some("/var/lib/snapd/snaps/core20_2318.snap"), true),
                device(1, Some("/tmp/disk.img"), true),
                device(2, None, true),
            ],
            ..Loops::default()
        };
        let why = loops.obstacle().unwrap();
        assert!(why.contains("no /dev/loop-control"), "{why}");
        assert!(why.contains("loop0 is in use by snap core20_2318"), "{why}");
        assert!(why.contains("loop1 is in use by /tmp/disk.img"), "{why}");
    }

    #[test]
    fn a_device_that_can_be_made_counts_as_free() {
        let mut loops = Loops {
            devices: vec![device(0, Some("/a"), true), device(1, Some("/b"), true)],
            control: true,
            devtmpfs: true,
            max_part: Some(0),
        };
        assert_eq!((loops.next(), loops.obstacle()), (Some(2), None));
        // A private /dev does not show new devices.
        loops.devtmpfs = false;
        assert!(loops.obstacle().unwrap().contains("mknod /dev/loop2 b 7 2"));
        loops.devices.push(device(2, None, true));
        assert_eq!(loops.obstacle(), None);
    }

    #[test]
    fn only_low_nodes_that_others_hold_are_no_room() {
        let loops = Loops {
            devices: vec![device(0, Some("/a"), true), device(1, None, false)],
            control: true,
            devtmpfs: false,
            max_part: None,
        };
        assert_eq!(loops.next(), Some(1));
        assert!(loops.obstacle().unwrap().contains("loop0 is in use by /a"));
    }

    #[test]
    fn the_mount_that_shows_decides() {
        assert!(is_devtmpfs("udev /dev devtmpfs rw 0 0\n"));
        assert!(!is_devtmpfs(
            "udev /dev devtmpfs rw 0 0\ntmpfs /dev tmpfs rw 0 0\n"
        ));
        assert!(!is_devtmpfs("udev /dev/pts devpts rw 0 0\n"));
    }
}
