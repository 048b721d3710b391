//! Actions of steps, as data.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::secrets::Secrets;

/// The action of a step: a command line, or a built-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    Run(Run),
    /// Written to a temporary file and renamed; parent folders are created.
    WriteFile {
        path: Utf8PathBuf,
        contents: String,
        mode: u32,
    },
    /// Fails with `message` unless the path exists.
    Require {
        path: Utf8PathBuf,
        message: String,
    },
    /// Records the digest that an image was pushed with.
    RecordImages {
        /// References as pushed, with registry and tag; the fallback is to ask
        /// the registry.
        references: Vec<String>,
        /// buildx' metadata file of the push; read first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Utf8PathBuf>,
        /// The checkout that the image was built from.
        tree: Utf8PathBuf,
        /// The file of the list of pushed images.
        list: Utf8PathBuf,
    },
    /// Waits until each registry responds; fails immediately if its container
    /// ended.
    WaitRegistries {
        registries: Vec<AwaitedRegistry>,
    },
    /// Deletes manifests of the registry at `address` (`HOST:PORT`), as
    /// repository and digest; a missing manifest is success.
    DeleteManifests {
        address: String,
        manifests: Vec<(String, String)>,
    },
    /// Creates a folder with its parents; an existing one is success.
    CreateDir {
        path: Utf8PathBuf,
    },
    /// Removes a file or a folder with its contents; a missing one is success.
    Remove {
        path: Utf8PathBuf,
    },
    /// Removes a folder if nothing is in it; anything else is success.
    RemoveEmptyDir {
        path: Utf8PathBuf,
    },
    /// Removes a path of a cluster or the lab with its contents. It is verified
    /// right before: if it is not of the kind `owned`, the step fails and removes
    /// nothing; a missing path is success.
    RemoveOwned {
        path: Utf8PathBuf,
        owned: Owned,
    },
    /// Like [`Self::RemoveOwned`], for several paths in one step.
    RemoveAllOwned {
        paths: Vec<OwnedEntry>,
    },
    /// Removes a file if its contents still have this SHA-256; a missing file is
    /// success.
    RemoveFile {
        path: Utf8PathBuf,
        sha256: String,
    },
    /// Fails unless the file's contents have this SHA-256: the following steps
    /// were planned for them.
    RequireFile {
        path: Utf8PathBuf,
        sha256: String,
    },
    /// Removes a cluster's bridge, unless a foreign interface is attached; a
    /// missing bridge is success.
    RemoveBridge {
        bridge: String,
    },
    /// Replaces a folder by a copy of another in one operation. The paths
    /// `except`, relative to both, are not copied and stay unchanged in the
    /// target.
    CopyTree {
        from: Utf8PathBuf,
        to: Utf8PathBuf,
        except: Vec<Utf8PathBuf>,
    },
    /// Replaces a file by a copy of another, which must have this SHA-256.
    CopyFile {
        from: Utf8PathBuf,
        to: Utf8PathBuf,
        sha256: String,
        bytes: u64,
    },
    /// Writes the SHA-256 of files to `list`, as `sha256sum` prints them in the
    /// folder `root`. `paths` are files and folders with all files in them,
    /// without `except`; all are relative to `root`.
    RecordDigests {
        root: Utf8PathBuf,
        paths: Vec<Utf8PathBuf>,
        except: Vec<Utf8PathBuf>,
        list: Utf8PathBuf,
    },
    /// Ends a process through a pidfd, after verifying its identity.
    Stop {
        process: ProcessIdentity,
        grace_seconds: u64,
    },
    /// Starts a process of a cluster in the background, with its log and its pid
    /// file in the cluster's folder, as `talosctl cluster create` does.
    Launch(Launch),
    /// Presses the power button of guests and waits until they have halted. A
    /// guest that still runs after `grace_seconds` is success: ending its QEMU
    /// then is what a power failure is.
    ShutDown {
        guests: Vec<Guest>,
        grace_seconds: u64,
    },
    /// Power-cycles a node by the launcher's control API, or by `q` on QEMU's
    /// monitor.
    HardReboot {
        node: String,
        control: Option<String>,
        monitor: Utf8PathBuf,
    },
}

/// A process that outlives the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub argv: Vec<String>,
    /// As root, the whole environment besides HOME and PATH.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    pub cwd: Utf8PathBuf,
    /// The cluster's folder, verified right before the start.
    pub state_dir: Utf8PathBuf,
    /// Its files there are `STEM.log` and `STEM.pid`.
    pub stem: String,
    /// The file there that is its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
}

impl Launch {
    /// Paths of the log and of the pid file.
    pub fn files(&self) -> [Utf8PathBuf; 2] {
        ["log", "pid"].map(|suffix| self.state_dir.join(format!("{}.{suffix}", self.stem)))
    }

    /// The path of its standard input.
    pub fn input_path(&self) -> Utf8PathBuf {
        let input = self.input.as_ref();
        input.map_or_else(|| "/dev/null".into(), |input| self.state_dir.join(input))
    }
}

/// A virtual machine with Talos in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    pub node: String,
    /// The socket of QEMU's monitor.
    pub monitor: Utf8PathBuf,
    pub console: Utf8PathBuf,
}

/// The kind of a path that root removes; see `ctx::owned_path`.
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
    /// `/dev/shm/shm-NODE`, which no process uses.
    SharedMemory,
}

/// One path of [`Action::RemoveAllOwned`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedEntry {
    pub path: Utf8PathBuf,
    pub owned: Owned,
}

/// A registry to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedRegistry {
    pub container: String,
    /// The port on 127.0.0.1.
    pub port: u16,
}

/// A child process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the plan's JSON"
)]
pub struct Run {
    pub argv: Vec<String>,
    /// Added to the environment; as root, the whole environment besides HOME
    /// and PATH.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Utf8PathBuf>,
    /// Exit codes besides 0 that count as success.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_ok: Vec<i32>,
    /// A line of a recipe: its standard output goes to this program's, and its
    /// environment is that of make and not displayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recipe: bool,
    /// A line of a recipe that begins with `@`: only its target is displayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// The output is that of `talosctl cluster create`: each wait is shown as one line,
    /// and the table at the end is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub condense_waits: bool,
    /// Its output only goes to the log; a failure shows the last lines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// The plan continues even if it fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_fail: bool,
    /// A test binary: its output is one stream for the reader of results, so
    /// `-test.v` becomes `-test.v=test2json`, which marks its lines. Its exit
    /// code is passed through, and at its deadline it prints its goroutines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tests: bool,
    /// Secret values in its texts, which are neither displayed nor recorded.
    #[serde(skip)]
    pub secrets: Secrets,
}

/// The identity of a process: a pid alone may be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    pub boot_id: String,
    pub pid: i32,
    /// Clock ticks after boot, `/proc/PID/stat` field 22.
    pub start_ticks: u64,
    /// The path of the executable, or the command name if it cannot be read.
    pub exe: String,
    /// For display: `qemu-launch of talos-default-worker-1`.
    pub what: String,
    /// The folder of its cluster: root, which can read more, verifies it again
    /// before signalling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Utf8PathBuf>,
}
