//! Where the talosconfig and the kubeconfig of one cluster are, apart from the
//! user's own files.

use camino::Utf8PathBuf;

use super::Ctx;

/// The files with which talosctl and kubectl reach one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The folder of these files, which contains nothing else.
    pub dir: Utf8PathBuf,
}

impl ClientConfig {
    /// A talosconfig without contexts. talosctl writes into an existing file,
    /// which keeps its owner.
    pub const EMPTY_TALOSCONFIG: &str = "context: \"\"\ncontexts: {}\n";
    /// A kubeconfig without clusters.
    pub const EMPTY_KUBECONFIG: &str = "apiVersion: v1\nkind: Config\n";

    pub fn talosconfig(&self) -> Utf8PathBuf {
        self.dir.join("talosconfig")
    }

    pub fn kubeconfig(&self) -> Utf8PathBuf {
        self.dir.join("kubeconfig")
    }

    /// A folder for PATH: it contains a link `talosctl`.
    pub fn bin(&self) -> Utf8PathBuf {
        self.dir.join("bin")
    }

    /// Whether the cluster has files of its own: one that talosctl created by
    /// itself has none.
    pub fn exists(&self) -> bool {
        self.talosconfig().is_file()
    }
}

impl Ctx {
    /// The files of the cluster `name`, which is one component of a path.
    pub fn client_config(&self, name: &str) -> ClientConfig {
        ClientConfig {
            dir: self.dirs.state.join("clusters").join(name),
        }
    }
}
