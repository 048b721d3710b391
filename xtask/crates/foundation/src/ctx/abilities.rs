//! What tests need and whether this host has it; each need is probed once.

use std::collections::BTreeMap;

use camino::Utf8Path;
use gotest::Need;

use super::host::Host;
use super::loops::Loops;
use super::name_server;
use super::probe::Probe;

/// How this program can become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The program runs as root.
    Here,
    /// Through sudo; it may ask for a password.
    Sudo,
    No,
}

/// Cached answers: a thousand tests have the same needs.
#[derive(Debug)]
pub struct Abilities {
    pub root: Root,
    /// What sudo printed when it did not start the helper of tests.
    sudo_refused: Option<String>,
    pub loops: Loops,
    known: BTreeMap<Need, Option<String>>,
}

/// `CAP_SYS_ADMIN`
const SYS_ADMIN: u32 = 21;

impl Abilities {
    pub fn probe(host: &Host) -> Self {
        let root = if host.is_root() {
            Root::Here
        } else if Host::which("sudo").is_some() {
            Root::Sudo
        } else {
            Root::No
        };
        Self {
            root,
            sudo_refused: None,
            loops: Loops::probe(Utf8Path::new("")),
            known: BTreeMap::new(),
        }
    }

    /// Sets what sudo printed instead of starting the helper of tests.
    pub fn refuse_sudo(&mut self, said: String) {
        self.sudo_refused = Some(said);
        self.known.remove(&Need::Root);
    }

    /// Whether tests as root can have namespaces of their own. Without, root can run
    /// tests only as it runs any other program.
    pub fn has_namespaces(&self) -> bool {
        self.root != Root::Here || has_capability(SYS_ADMIN)
    }

    /// Returns why a test with this need cannot run here and how to fix that, or
    /// `None` if it can run.
    pub fn obstacle(&mut self, need: &Need) -> Option<String> {
        if let Some(known) = self.known.get(need) {
            return known.clone();
        }
        let answer = self.probe_need(need);
        self.known.insert(need.clone(), answer.clone());
        answer
    }

    fn probe_need(&self, need: &Need) -> Option<String> {
        let exists = |path: &str| Utf8Path::new(path).exists();
        match need {
            Need::Root if self.root == Root::No => {
                Some("needs root, and there is no sudo; run it as root".to_owned())
            }
            Need::Root => self.sudo_refused.as_ref().map(|said| {
                format!("needs root, and sudo would ask for a password ({said}); `sudo -v`, or a terminal")
            }),
            Need::Loop => self
                .loops
                .obstacle()
                .map(|why| format!("needs a loop device: {why}")),
            Need::Partition => (!has_partition()).then(|| {
                "needs a disk with a partition, and no disk of this host has one".to_owned()
            }),
            Need::BlockNodes => block_device_without_node().map(|name| {
                format!(
                    "/dev/{name} is missing for a block device of the host; mount the host's /dev"
                )
            }),
            Need::PartitionNodes => (!self.loops.devtmpfs).then(|| {
                "creates partitions on its loop device, and this /dev does not show them; \
                 mount the host's /dev"
                    .to_owned()
            }),
            Need::Mount => (!self.has_namespaces()).then(|| {
                "needs to mount, and root is without CAP_SYS_ADMIN; in a container: `--privileged`"
                    .to_owned()
            }),
            Need::Namespaces => (!self.has_namespaces()).then(|| {
                "needs namespaces, and root is without CAP_SYS_ADMIN; in a container: `--privileged`"
                    .to_owned()
            }),
            Need::Module(name) => self.obstacle_of_module(name),
            Need::DeviceMapper => (!exists("/dev/mapper/control"))
                .then(|| "needs the device mapper; `modprobe dm_mod`".to_owned()),
            Need::Lvm if Host::which("lvm").is_none() => {
                Some("needs `lvm`; `apt-get install lvm2`".to_owned())
            }
            Need::Lvm => (!exists("/run/lock"))
                .then(|| "needs `/run/lock`, where lvm locks; `mkdir /run/lock`".to_owned()),
            // The path that Talos' root file system and its tests use.
            Need::Containerd => (!exists("/bin/containerd")).then(|| {
                "needs /bin/containerd, as in Talos' rootfs; `--in buildx` has it".to_owned()
            }),
            Need::Internet if !has_default_route() => {
                Some("needs the internet, and there is no default route".to_owned())
            }
            Need::Internet => name_server::obstacle()
                .map(|why| format!("needs names of hosts of the internet, and {why}")),
            Need::Buildkit => (host_name() != "buildkitsandbox")
                .then(|| "runs only in the Makefile's unit-tests target; `--in buildx`".to_owned()),
            Need::CgroupV1 => exists("/sys/fs/cgroup/cgroup.controllers")
                .then(|| "needs control groups v1; this host has v2".to_owned()),
            Need::Tool(name) => is_missing(name).then(|| {
                format!("needs `{name}`, which is not on PATH; `--in buildx` has Talos' tools")
            }),
            Need::Env(name) => {
                let unset = std::env::var_os(name).is_none_or(|value| value.is_empty());
                unset.then(|| format!("needs the variable {name}"))
            }
            Need::Path(path) => (!exists(path)).then(|| format!("needs `{path}`")),
        }
    }
}

impl Abilities {
    /// Asks the kernel for a link of this kind, in a network namespace that ends with the
    /// question. A module can be loaded by that, as by the test itself.
    fn obstacle_of_module(&self, name: &str) -> Option<String> {
        if Utf8Path::new("/sys/module").join(name).exists() {
            return None;
        }
        let kind = match name {
            "8021q" => "vlan",
            "bonding" => "bond",
            other => other,
        };
        let user: &[&str] = match self.root {
            Root::Here => &[],
            _ => &["--map-root-user"],
        };
        let link: &[&str] = match kind {
            "vlan" => &["link", "lo", "name", "x", "type", kind, "id", "2"],
            "vrf" => &["name", "x", "type", kind, "table", "10"],
            _ => &["name", "x", "type", kind],
        };
        let words = ["unshare"].iter().chain(user);
        let words = words.chain(&["--net", "ip", "link", "add"]).chain(link);
        let said = Probe::new(words).run().ok()?;
        let is_unknown = said.stderr.contains("Unknown device type");
        (!said.success && is_unknown).then(|| {
            format!("needs the kernel module `{name}`; `modprobe {name}`, where the kernel has it")
        })
    }

    /// Like [`Self::obstacle`], for a test as root: its environment and PATH are not ours.
    ///
    /// # Arguments
    /// `variables`: the names of variables that it gets.
    pub fn obstacle_as_root(&mut self, need: &Need, variables: &[String]) -> Option<String> {
        match need {
            Need::Env(name) if !variables.contains(name) => Some(format!(
                "needs the variable {name}, which tests as root do not get; `--env {name}`"
            )),
            Need::Tool(name) if !name.starts_with('/') && !is_in_path_of_root(name) => {
                Some(format!(
                    "needs `{name}`, which is in no folder of PATH for tests as root \
                     ({PATH_OF_ROOT}); `--in buildx` has Talos' tools"
                ))
            }
            _ => self.obstacle(need),
        }
    }
}

fn is_in_path_of_root(name: &str) -> bool {
    PATH_OF_ROOT
        .split(':')
        .any(|folder| Utf8Path::new(folder).join(name).exists())
}

/// The PATH of a test as root: no folder that a user can write to.
pub const PATH_OF_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs in sbin count: root's PATH includes them.
fn is_missing(name: &str) -> bool {
    if name.starts_with('/') {
        return !Utf8Path::new(name).exists();
    }
    let in_sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"]
        .iter()
        .any(|dir| Utf8Path::new(dir).join(name).exists());
    !in_sbin && Host::which(name).is_none()
}

fn block_devices() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// In sysfs a partition is a folder below its disk, with a file `partition`.
fn has_partition() -> bool {
    block_devices().iter().any(|disk| {
        let inside = std::fs::read_dir(format!("/sys/block/{disk}"));
        let mut inside = inside.into_iter().flatten().flatten();
        inside.any(|entry| entry.path().join("partition").exists())
    })
}

fn block_device_without_node() -> Option<String> {
    block_devices()
        .into_iter()
        .find(|name| !Utf8Path::new("/dev").join(name.replace('!', "/")).exists())
}

fn has_capability(bit: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_none_or(|set| set & (1 << bit) != 0)
}

/// A default route has destination and mask zero, in IPv4 or IPv6.
fn has_default_route() -> bool {
    let v4 = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let zero = "0".repeat(32);
    v4.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"00000000") && words.get(7) == Some(&"00000000")
    }) || v6.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first() == Some(&zero.as_str())
            && words.get(1) == Some(&"00")
            && words.last() != Some(&"lo")
    })
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
