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
    /// `preferences`, `extensions` and whatever else a file can hold.
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

/// A list without entries is `null` to some writers.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What a file has of one Talos cluster: names of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    pub clusters: Vec<String>,
    pub contexts: Vec<String>,
    pub users: Vec<String>,
}

impl Kubeconfig {
    /// `None` where there is no such file.
    ///
    /// # Errors
    /// When it cannot be read or does not parse.
    pub fn read(path: &Utf8Path) -> io::Result<Option<Self>> {
        files::read_text(path, files::MEDIUM)?
            .map(|text| Self::parse(&text))
            .transpose()
    }

    fn parse(text: &str) -> io::Result<Self> {
        talos::yaml::from_str(text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    /// The host of `https://HOST:PORT`.
    pub fn host(server: &str) -> Option<&str> {
        let rest = server.split_once("://")?.1;
        rest.split(['/', ':']).next()
    }

    /// Names of all contexts.
    pub fn contexts(&self) -> Vec<&str> {
        let names = self.contexts.iter();
        names.map(|context| context.name.as_str()).collect()
    }

    /// The entries that `talosctl` merged for the cluster `name`: by their names,
    /// `NAME` or `NAME-1` and so on, and by a server that `is_its` accepts. An
    /// entry that others of the file refer to as well is theirs too.
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

    /// Whether the file holds these entries and nothing else.
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

/// `NAME`, or `NAME-1` and so on: talosctl counts where a name is taken.
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

    fn of(text: &str) -> (Kubeconfig, Entries) {
        let config = Kubeconfig::parse(text).unwrap();
        let is_its = |server: &str| Kubeconfig::host(server) == Some("172.20.0.1");
        let entries = config.entries_of("talos-default", is_its);
        (config, entries)
    }

    #[test]
    fn a_file_of_one_cluster_alone() {
        let (config, entries) = of(OURS);
        assert_eq!(entries.clusters, ["talos-default"]);
        assert_eq!(entries.contexts, ["admin@talos-default"]);
        assert_eq!(entries.users, ["admin@talos-default"]);
        assert!(config.has_only(&entries));
        let (config, entries) = of("clusters: null\ncontexts: []\n");
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
            // In place of the key that is there.
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
            let (config, entries) = of(&text);
            assert!(!config.has_only(&entries), "{text}");
            assert_eq!(entries.clusters, ["talos-default"], "{text}");
        }
    }

    #[test]
    fn names_and_servers_both_have_to_fit() {
        let prod = OURS.replace("talos-default", "prod");
        assert_eq!(of(&prod).1, Entries::default());
        let elsewhere = OURS.replace("172.20.0.1:", "172.20.0.77:");
        assert_eq!(of(&elsewhere).1, Entries::default());
        let second = OURS.replace("talos-default", "talos-default-1");
        assert_eq!(of(&second).1.contexts, ["admin@talos-default-1"]);
        // The context of ours has another's credentials.
        let shared = OURS.replace("user: admin@talos-default,", "user: me,");
        let (config, entries) = of(&shared);
        assert!(entries.users.is_empty() && !config.has_only(&entries));
        // A context of another's leads to our cluster.
        let other = OURS.replace(
            "- name: admin@talos-default\n  context",
            "- name: mine\n  context",
        );
        assert_eq!(of(&other).1, Entries::default());
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
