//! The kubeconfig that `cluster create` merges into, without its secrets.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use yaml_serde::Value;

use super::Ctx;
use crate::files;

#[derive(Debug, Deserialize)]
pub struct Kubeconfig {
    #[serde(default, rename = "current-context", deserialize_with = "or_default")]
    pub current: String,
    #[serde(default, deserialize_with = "or_default")]
    clusters: Vec<NamedCluster>,
    #[serde(default, deserialize_with = "or_default")]
    contexts: Vec<NamedContext>,
    #[serde(default, deserialize_with = "or_default")]
    users: Vec<NamedUser>,
    /// `preferences`, `extensions` and all other keys.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    cluster: Cluster,
}

#[derive(Debug, Default, Deserialize)]
struct Cluster {
    #[serde(default, deserialize_with = "or_default")]
    server: String,
    #[serde(default)]
    extensions: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    context: Context,
}

#[derive(Debug, Default, Deserialize)]
struct Context {
    #[serde(default, deserialize_with = "or_default")]
    cluster: String,
    #[serde(default, deserialize_with = "or_default")]
    user: String,
    #[serde(default)]
    extensions: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct NamedUser {
    name: String,
}

/// Some programs write an empty list as `null`.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Names of the entries of one Talos cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    pub clusters: Vec<String>,
    pub contexts: Vec<String>,
    pub users: Vec<String>,
}

impl Kubeconfig {
    /// Reads a kubeconfig; `None` if the file does not exist.
    ///
    /// # Errors
    /// If it cannot be read or is invalid.
    pub fn read(path: &Utf8Path) -> io::Result<Option<Self>> {
        files::read_text(path, files::MEDIUM)?
            .map(|text| Self::parse(&text))
            .transpose()
    }

    fn parse(text: &str) -> io::Result<Self> {
        talos::yaml::from_str(text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    /// Returns the host of `https://HOST:PORT`.
    pub fn host(server: &str) -> Option<&str> {
        let rest = server.split_once("://")?.1;
        rest.split(['/', ':']).next()
    }

    /// Returns the names of all contexts.
    pub fn contexts(&self) -> Vec<&str> {
        let names = self.contexts.iter();
        names.map(|context| context.name.as_str()).collect()
    }

    /// Returns the entries that `talosctl` merged for the cluster `name`: named
    /// `NAME`, `NAME-1` and so on, with a server that `is_its` accepts. Entries
    /// that other contexts refer to are left out.
    pub fn entries_of(&self, name: &str, is_its: impl Fn(&str) -> bool) -> Entries {
        let clusters: Vec<&NamedCluster> = self
            .clusters
            .iter()
            .filter(|entry| is_named(&entry.name, name) && is_its(&entry.cluster.server))
            .collect();
        let has_cluster = |of: &str| clusters.iter().any(|entry| entry.name == of);
        let is_admin = |of: &str| {
            let rest = of.strip_prefix("admin@");
            rest.is_some_and(|rest| is_named(rest, name))
        };
        let (ours, others): (Vec<&NamedContext>, Vec<&NamedContext>) = self
            .contexts
            .iter()
            .partition(|entry| is_admin(&entry.name) && has_cluster(&entry.context.cluster));
        let is_user_of = |contexts: &[&NamedContext], user: &str| {
            contexts.iter().any(|entry| entry.context.user == user)
        };
        let is_cluster_of = |of: &str| others.iter().any(|entry| entry.context.cluster == of);
        Entries {
            clusters: clusters
                .iter()
                .map(|entry| entry.name.clone())
                .filter(|name| !is_cluster_of(name))
                .collect(),
            contexts: ours.iter().map(|entry| entry.name.clone()).collect(),
            users: self
                .users
                .iter()
                .map(|entry| entry.name.clone())
                .filter(|user| {
                    is_admin(user) && is_user_of(&ours, user) && !is_user_of(&others, user)
                })
                .collect(),
        }
    }

    /// Whether the file contains only these entries.
    pub fn has_only(&self, entries: &Entries) -> bool {
        let is_empty = |value: &Value| match value {
            Value::Null => true,
            Value::Mapping(map) => map.is_empty(),
            Value::Sequence(list) => list.is_empty(),
            _ => false,
        };
        let is_plain = |(key, value): (&String, &Value)| {
            matches!(key.as_str(), "apiVersion" | "kind") || is_empty(value)
        };
        let names = |all: Vec<&str>, ours: &[String]| all.iter().eq(ours.iter());
        self.rest.iter().all(is_plain)
            && self
                .clusters
                .iter()
                .all(|entry| entry.cluster.extensions.is_none())
            && self
                .contexts
                .iter()
                .all(|entry| entry.context.extensions.is_none())
            && names(
                self.clusters
                    .iter()
                    .map(|entry| entry.name.as_str())
                    .collect(),
                &entries.clusters,
            )
            && names(self.contexts(), &entries.contexts)
            && names(
                self.users.iter().map(|entry| entry.name.as_str()).collect(),
                &entries.users,
            )
    }
}

/// Whether an entry is named `NAME`, or `NAME-1` and so on: talosctl appends a
/// number if a name exists.
pub fn is_named(entry: &str, name: &str) -> bool {
    let Some(rest) = entry.strip_prefix(name) else {
        return false;
    };
    let digits = rest.strip_prefix('-');
    rest.is_empty()
        || digits.is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

impl Ctx {
    /// The first file in `KUBECONFIG`, or `~/.kube/config`.
    pub fn kubeconfig_path(&self) -> Utf8PathBuf {
        let named = std::env::var("KUBECONFIG").ok();
        let first = named
            .as_deref()
            .and_then(|paths| paths.split(':').find(|path| !path.is_empty()));
        first.map_or_else(|| self.default_kubeconfig(), Utf8PathBuf::from)
    }

    /// All files that talosctl may have written contexts to.
    pub fn kubeconfig_paths(&self) -> Vec<Utf8PathBuf> {
        let mut paths = vec![self.kubeconfig_path(), self.default_kubeconfig()];
        paths.dedup();
        paths
    }

    fn default_kubeconfig(&self) -> Utf8PathBuf {
        self.dirs.home.join(".kube/config")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "apiVersion: v1
kind: Config
clusters:
- name: talos-default
  cluster: {server: 'https://172.20.0.1:6443'}
contexts:
- name: admin@talos-default
  context: {cluster: talos-default, user: admin@talos-default, namespace: default}
users:
- name: admin@talos-default
  user: {client-key-data: c2VjcmV0}
current-context: admin@talos-default
preferences: {}
";

    fn parse_entries(text: &str) -> (Kubeconfig, Entries) {
        let config = Kubeconfig::parse(text).unwrap();
        let is_its = |server: &str| Kubeconfig::host(server) == Some("172.20.0.1");
        let entries = config.entries_of("talos-default", is_its);
        (config, entries)
    }

    #[test]
    fn a_file_of_one_cluster_alone() {
        let (config, entries) = parse_entries(OURS);
        assert_eq!(entries.clusters, ["talos-default"]);
        assert_eq!(entries.contexts, ["admin@talos-default"]);
        assert_eq!(entries.users, ["admin@talos-default"]);
        assert!(config.has_only(&entries));
        let (config, entries) = parse_entries("clusters: null\ncontexts: []\n");
        assert_eq!(entries, Entries::default());
        assert!(config.has_only(&entries));
    }

    #[test]
    fn anything_else_in_the_file_is_somebodys() {
        for more in [
            "users:\n- name: me\n  user: {token: x}\n- name: admin@talos-default\n",
            "preferences: {colors: true}\n",
            "extensions:\n- name: x\n  extension: {}\n",
            "contexts:\n- name: work\n  context: {cluster: work, user: me}\n- name: admin@talos-default\n  context: {cluster: talos-default, user: admin@talos-default}\n",
            "clusters:\n- name: prod\n  cluster: {server: 'https://172.20.0.77:6443'}\n- name: talos-default\n  cluster: {server: 'https://172.20.0.1:6443'}\n",
        ] {
            let key = more.split(':').next().unwrap();
            // Replaces the existing key.
            let mut kept = Vec::new();
            let mut inside = false;
            for line in OURS.lines() {
                if !line.starts_with([' ', '-']) {
                    inside = line.starts_with(&format!("{key}:"));
                }
                if !inside {
                    kept.push(line);
                }
            }
            let text = format!("{}\n{more}", kept.join("\n"));
            let (config, entries) = parse_entries(&text);
            assert!(!config.has_only(&entries), "{text}");
            assert_eq!(entries.clusters, ["talos-default"], "{text}");
        }
    }

    #[test]
    fn names_and_servers_both_have_to_fit() {
        let prod = OURS.replace("talos-default", "prod");
        assert_eq!(parse_entries(&prod).1, Entries::default());
        let elsewhere = OURS.replace("172.20.0.1:", "172.20.0.77:");
        assert_eq!(parse_entries(&elsewhere).1, Entries::default());
        let second = OURS.replace("talos-default", "talos-default-1");
        assert_eq!(parse_entries(&second).1.contexts, ["admin@talos-default-1"]);
        // The cluster's context uses the credentials of another entry.
        let shared = OURS.replace("user: admin@talos-default,", "user: me,");
        let (config, entries) = parse_entries(&shared);
        assert!(entries.users.is_empty() && !config.has_only(&entries));
        // A context with another name refers to the cluster.
        let other = OURS.replace(
            "- name: admin@talos-default\n  context",
            "- name: mine\n  context",
        );
        assert_eq!(parse_entries(&other).1, Entries::default());
    }

    #[test]
    fn the_host_of_a_server() {
        assert_eq!(
            Kubeconfig::host("https://k8s.example.org/x"),
            Some("k8s.example.org")
        );
        assert!(is_named("lab-12", "lab") && !is_named("lab-x", "lab") && !is_named("lab-", "lab"));
    }
}
