//! The builders of buildx, as `docker buildx ls` lists them, and the current
//! builder as buildx' files name it: a build must not wait for a process to
//! find it.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::probe::Probe;
use crate::files;

/// buildx waits 20 s for a remote builder that does not respond.
const LIMIT: Duration = Duration::from_secs(30);

/// One line of `docker buildx ls --format json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Builder {
    pub name: String,
    pub driver: String,
    /// Selected by `docker buildx use`.
    pub current: bool,
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    pub name: String,
    pub endpoint: String,
    pub driver_opts: Option<BTreeMap<String, String>>,
    pub flags: Option<Vec<String>>,
    /// `running`, `stopped` or `inactive`; empty if buildx does not know.
    pub status: String,
    /// The version of BuildKit; empty unless the node runs.
    pub version: String,
    #[serde(rename = "GCPolicy")]
    pub gc_policy: Option<Vec<GcRule>>,
}

/// One rule of BuildKit's garbage collection; sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GcRule {
    /// Whether the rule applies to everything that other rules kept.
    pub all: bool,
    pub max_used_space: u64,
}

/// The builder that a build uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentBuilder {
    pub name: String,
    pub driver: String,
    pub endpoint: String,
    /// The name of its first node.
    pub node: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Current {
    name: String,
}

impl CurrentBuilder {
    /// The container in which buildx runs it; `None` for other drivers.
    pub fn container(&self) -> Option<String> {
        let is_container = self.driver == "docker-container";
        is_container.then(|| format!("buildx_buildkit_{}", self.node))
    }

    /// Whether the builder runs on another machine, where 127.0.0.1 is a
    /// different host.
    pub fn is_remote(&self) -> bool {
        match self.driver.as_str() {
            "kubernetes" => true,
            "remote" => !is_here(&self.endpoint),
            _ => false,
        }
    }
}

/// Whether an endpoint of the driver `remote` is on this machine.
pub fn is_here(endpoint: &str) -> bool {
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return true;
    };
    match scheme {
        "tcp" => super::image_reference::is_local(rest),
        // For example `docker-container://NAME` and `unix://PATH`.
        _ => scheme != "kube-pod" && scheme != "ssh",
    }
}

/// Lists all builders.
///
/// # Errors
/// The message of buildx.
pub fn list() -> Result<Vec<Builder>, String> {
    let argv = ["docker", "buildx", "ls", "--format", "json"];
    let output = Probe::new(argv).timeout(LIMIT).run();
    let output = output.map_err(|error| error.to_string())?;
    if output.success {
        return parse(&output.stdout);
    }
    let line = output.stderr.lines().rfind(|line| !line.trim().is_empty());
    Err(line.unwrap_or("it printed no reason").trim().to_owned())
}

/// A line that cannot be parsed is an error: it may be the wanted builder.
fn parse(text: &str) -> Result<Vec<Builder>, String> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(line).map_err(|error| {
                format!("`docker buildx ls` prints a line that is not a builder: {error}")
            })
        })
        .collect()
}

/// Returns the builder that a build uses by default; `None` for docker's
/// built-in one.
pub fn current_builder(home: &Utf8Path) -> Option<CurrentBuilder> {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let dir = named("BUILDX_CONFIG").map_or_else(
        || {
            named("DOCKER_CONFIG")
                .map_or_else(|| home.join(".docker"), Utf8PathBuf::from)
                .join("buildx")
        },
        Utf8PathBuf::from,
    );
    let name = named("BUILDX_BUILDER").or_else(|| {
        let text = files::read_text(&dir.join("current"), files::SMALL).ok()??;
        let current: Current = serde_json::from_str(&text).ok()?;
        Some(current.name).filter(|name| !name.is_empty())
    })?;
    // buildx' own file has the same field names as its list.
    let text = files::read_text(&dir.join("instances").join(&name), files::SMALL).ok()??;
    let builder: Builder = serde_json::from_str(&text).ok()?;
    let node = builder.nodes.into_iter().next()?;
    Some(CurrentBuilder {
        name,
        driver: builder.driver,
        endpoint: node.endpoint,
        node: node.name,
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests prepare files")]
mod tests {
    use super::*;

    /// Recorded with buildx 0.29.1: a running and an inactive builder.
    const RUNS: &str = r#"{"Current":true,"Driver":"docker-container","Dynamic":false,"Name":"local1","Nodes":[{"DriverOpts":{"network":"host"},"Endpoint":"unix:///var/run/docker.sock","Flags":["--allow-insecure-entitlement","security.insecure"],"GCPolicy":[{"all":false,"filter":null,"keepDuration":0,"maxUsedSpace":512000000},{"all":true,"filter":null,"maxUsedSpace":100000000000}],"Name":"local10","Status":"running","Version":"v0.25.2"}]}
{"Current":false,"Driver":"remote","Name":"r","Nodes":[{"Endpoint":"tcp://10.0.0.1:1234","Name":"r0","Status":"inactive"}]}
"#;

    #[test]
    fn buildx_lists_one_builder_a_line() {
        let found = parse(RUNS).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].current, found[0].nodes[0].version.as_str()),
            (true, "v0.25.2")
        );
        assert_eq!(
            found[0].nodes[0].gc_policy.as_ref().unwrap()[1].max_used_space,
            100_000_000_000
        );
        assert_eq!(found[1].nodes[0].driver_opts, None);
        assert!(parse(&format!("{RUNS}unknown flag: --format\n")).is_err());
    }

    #[test]
    fn the_chosen_one_is_read_without_a_process() {
        let root = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(root.path()).unwrap();
        assert_eq!(current_builder(home), None);
        let dir = home.join(".docker/buildx");
        std::fs::create_dir_all(dir.join("instances")).unwrap();
        std::fs::write(
            dir.join("current"),
            r#"{"Key":"x","Name":"r","Global":false}"#,
        )
        .unwrap();
        assert_eq!(current_builder(home), None);
        let instance = r#"{"Name":"r","Driver":"remote","Nodes":[{"Name":"r0","Endpoint":"tcp://10.0.0.1:1"}]}"#;
        std::fs::write(dir.join("instances/r"), instance).unwrap();
        assert!(current_builder(home).unwrap().is_remote());
    }

    #[test]
    fn this_machine_is_told_from_others() {
        for here in [
            "unix:///x",
            "tcp://127.0.0.1:1234",
            "docker-container://x",
            "default",
        ] {
            assert!(is_here(here), "{here}");
        }
        for there in ["tcp://build1:1234", "kube-pod://x", "ssh://me@build1"] {
            assert!(!is_here(there), "{there}");
        }
    }
}
