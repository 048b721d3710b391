//! What steps do, as data.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::secrets::Secrets;

/// What a step does: an argv, or a named built-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    Run(Run),
    /// Through a temporary and rename; parent folders are made.
    WriteFile {
        path: Utf8PathBuf,
        contents: String,
        mode: u32,
    },
    /// Fail with `message` unless the path exists.
    Require {
        path: Utf8PathBuf,
        message: String,
    },
    /// Note which digest an image was pushed with.
    RecordImages {
        /// As pushed, with registry and tag; asked of its registry.
        references: Vec<String>,
        /// What buildx wrote about the push; asked first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Utf8PathBuf>,
        /// The checkout that it was built from.
        tree: Utf8PathBuf,
        /// The list that it goes on.
        list: Utf8PathBuf,
    },
    /// Until each answers as a registry does; fails at once when its container
    /// has ended.
    WaitRegistries {
        registries: Vec<AwaitedRegistry>,
    },
    /// Manifests of the registry at `address` (`HOST:PORT`), as repository and
    /// digest; already gone is success.
    DeleteManifests {
        address: String,
        manifests: Vec<(String, String)>,
    },
    /// With its parents; already there is success.
    CreateDir {
        path: Utf8PathBuf,
    },
    /// A file or a folder with all in it; already gone is success.
    Remove {
        path: Utf8PathBuf,
    },
    /// Something of a cluster or the lab, with all in it. Looked at when its turn
    /// comes: what is not what it is named for stays, and is a failure; already
    /// gone is success.
    RemoveOwned {
        path: Utf8PathBuf,
        owned: Owned,
    },
    /// A file, if its contents still have this SHA-256; already gone is success.
    RemoveFile {
        path: Utf8PathBuf,
        sha256: String,
    },
    /// Fail unless the file's contents have this SHA-256: what follows was
    /// decided by them.
    RequireFile {
        path: Utf8PathBuf,
        sha256: String,
    },
    /// A cluster's bridge, unless something of others is on it; already gone is
    /// success.
    RemoveBridge {
        bridge: String,
    },
    /// Make a folder a copy of another, swapped in whole. `except`, relative to
    /// both, is not copied, and stays as it is where the copy goes.
    CopyTree {
        from: Utf8PathBuf,
        to: Utf8PathBuf,
        except: Vec<Utf8PathBuf>,
    },
    /// Through a pidfd, after looking that it still is that process.
    Stop {
        process: ProcessIdentity,
        grace_seconds: u64,
    },
    /// Power-cycle a node: the launcher's control API, else `q` to the monitor.
    HardReboot {
        node: String,
        control: Option<String>,
        monitor: Utf8PathBuf,
    },
}

/// What a path is that root removes; see `ctx::owned_path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owned {
    /// `HOME/clusters/NAME` of talosctl's state folder HOME.
    Cluster,
    /// `*.pid` in a cluster's folder.
    PidFile,
    /// A file in `HOME/cni/cache/results`.
    CniCache,
    /// The lab's folder.
    Lab,
}

/// A registry that is starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedRegistry {
    pub container: String,
    /// On 127.0.0.1.
    pub port: u16,
}

/// A child process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the JSON")]
pub struct Run {
    pub argv: Vec<String>,
    /// Added to the environment; with root, all that the child gets besides
    /// HOME and PATH.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Utf8PathBuf>,
    /// Exit codes besides 0 that are success, decided by looking afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_ok: Vec<i32>,
    /// A line of a recipe: its standard output is ours, its environment is
    /// make's and not shown to people.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recipe: bool,
    /// Its output goes to the log alone; a failure shows the end of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// However it ends, the plan goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_fail: bool,
    /// A test binary: what it prints is one stream for whoever reads results,
    /// so its `-test.v` is said as `-test.v=test2json`, which marks its lines;
    /// its exit code is its own; at its deadline it prints its goroutines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tests: bool,
    /// Values in its texts that are neither shown nor recorded.
    #[serde(skip)]
    pub secrets: Secrets,
}

/// A process that cannot be mistaken for another: a pid alone is recycled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    pub boot_id: String,
    pub pid: i32,
    /// Clock ticks after boot, `/proc/PID/stat` field 22.
    pub start_ticks: u64,
    /// The executable where it may be read, else the command name.
    pub exe: String,
    /// For people: `qemu-launch of talos-default-worker-1`.
    pub what: String,
    /// The folder of the cluster that it is of: root, who may read what others
    /// may not, looks once more before it signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Utf8PathBuf>,
}
