//! The kubeconfig that `cluster create` merges into, without its secrets.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::Ctx;

#[derive(Debug, Deserialize)]
pub struct Kubeconfig {
    #[serde(default, rename = "current-context")]
    pub current: String,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    #[serde(default)]
    server: String,
}

#[derive(Debug, Deserialize)]
pub struct NamedContext {
    pub name: String,
    pub context: Context,
}

#[derive(Debug, Deserialize)]
pub struct Context {
    #[serde(default)]
    pub cluster: String,
    #[serde(default)]
    pub user: String,
}

impl Kubeconfig {
    /// None where there is none that parses.
    pub fn read(path: &Utf8Path) -> Option<Self> {
        serde_yaml_ng::from_str(&std::fs::read_to_string(path).ok()?).ok()
    }

    /// The host of `https://HOST:PORT`.
    pub fn host(server: &str) -> Option<&str> {
        let rest = server.split_once("://")?.1;
        rest.split(['/', ':']).next()
    }

    /// Names of the clusters whose server is one that `ours` accepts.
    pub fn clusters_at(&self, ours: impl Fn(&str) -> bool) -> Vec<&str> {
        let found = self
            .clusters
            .iter()
            .filter(|cluster| ours(&cluster.cluster.server));
        found.map(|cluster| cluster.name.as_str()).collect()
    }

    /// Whether the file holds nothing but these clusters and their contexts.
    pub fn has_only(&self, clusters: &[&str]) -> bool {
        self.clusters.len() == clusters.len()
            && self.contexts_of(clusters).len() == self.contexts.len()
    }

    pub fn contexts_of(&self, clusters: &[&str]) -> Vec<&NamedContext> {
        let of = |context: &&NamedContext| clusters.contains(&context.context.cluster.as_str());
        self.contexts.iter().filter(of).collect()
    }
}

impl Ctx {
    /// The first file of `KUBECONFIG`, else `~/.kube/config`.
    pub fn kubeconfig_path(&self) -> Utf8PathBuf {
        let named = std::env::var("KUBECONFIG").ok();
        let first = named
            .as_deref()
            .and_then(|paths| paths.split(':').find(|path| !path.is_empty()));
        first.map_or_else(|| self.dirs.home.join(".kube/config"), Utf8PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "clusters:\n- name: talos-default\n  cluster:\n    server: https://172.20.0.1:6443\n- name: work\n  cluster:\n    server: https://k8s.example.org\ncontexts:\n- name: admin@talos-default\n  context: {cluster: talos-default, user: admin@talos-default}\n- name: work\n  context: {cluster: work, user: me}\ncurrent-context: work\n";

    #[test]
    fn clusters_are_known_by_their_server() {
        let config: Kubeconfig = serde_yaml_ng::from_str(TEXT).unwrap();
        let ours = config.clusters_at(|server| Kubeconfig::host(server) == Some("172.20.0.1"));
        assert_eq!(ours, ["talos-default"]);
        assert!(!config.has_only(&ours));
        assert!(config.has_only(&["talos-default", "work"]));
        assert_eq!(config.contexts_of(&ours)[0].name, "admin@talos-default");
        assert_eq!(
            Kubeconfig::host("https://k8s.example.org/x"),
            Some("k8s.example.org")
        );
    }
}
