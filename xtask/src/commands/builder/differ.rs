//! Compares the wanted builder with the existing one: each difference as a
//! sentence, with its repair.

use serde::Serialize;

use super::spec::BuilderSpec;
use foundation::ctx::buildx::{Builder, Node};
use foundation::units::human_size;

/// The first BuildKit with `rewrite-timestamp`, which Talos' Makefile uses.
const OLDEST_BUILDKIT: (u64, u64) = (0, 13);

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) what: String,
    pub(super) wanted: String,
    pub(super) there: String,
    pub(super) cure: Repair,
}

/// Repairs, from the smallest to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Repair {
    /// `docker buildx use`.
    Use,
    /// Its container starts when it is asked for.
    Start,
    /// Remove it, keep its state and recreate it.
    Recreate,
}

pub(super) fn differences(spec: &BuilderSpec, there: &Builder) -> Vec<Difference> {
    let mut found = Found::default();
    found.compare(
        "driver",
        spec.driver.name(),
        &there.driver,
        Repair::Recreate,
    );
    let nothing = Node::default();
    let node = there.nodes.first().unwrap_or(&nothing);
    for (name, value) in &spec.options {
        let has = node
            .driver_opts
            .as_ref()
            .and_then(|options| options.get(name));
        found.compare(
            name,
            value,
            has.map_or("", String::as_str),
            Repair::Recreate,
        );
    }
    if let Some(endpoint) = &spec.endpoint {
        found.compare("endpoint", endpoint, &node.endpoint, Repair::Recreate);
    }
    if let Some(entitlement) = spec.entitlement {
        let has = if grants(node, entitlement) {
            entitlement
        } else {
            ""
        };
        found.compare("entitlement", entitlement, has, Repair::Recreate);
    }
    found.compare("state", "running", state(node), Repair::Start);
    if node.status == "running" {
        found.compare_running(spec, node);
    }
    if !there.current && std::env::var_os("BUILDX_BUILDER").is_none() {
        found.compare("used by builds", "yes", "no", Repair::Use);
    }
    found.differences
}

#[derive(Default)]
struct Found {
    differences: Vec<Difference>,
}

impl Found {
    fn compare(&mut self, what: &str, wanted: &str, there: &str, cure: Repair) {
        if wanted != there {
            self.differences.push(Difference {
                what: what.to_owned(),
                wanted: wanted.to_owned(),
                there: if there.is_empty() { "none" } else { there }.to_owned(),
                cure,
            });
        }
    }

    /// Compares what a node only reports while it runs.
    fn compare_running(&mut self, spec: &BuilderSpec, node: &Node) {
        if let (Some((bytes, _)), Some(has)) = (&spec.max_used_space, limit(node)) {
            self.compare(
                "cache limit",
                &human_size(*bytes),
                &human_size(has),
                Repair::Recreate,
            );
        }
        if let Some(version) = version(&node.version).filter(|version| *version < OLDEST_BUILDKIT) {
            self.compare(
                "BuildKit",
                &format!("{}.{} or newer", OLDEST_BUILDKIT.0, OLDEST_BUILDKIT.1),
                &format!("{}.{}", version.0, version.1),
                Repair::Recreate,
            );
        }
    }
}

/// Returns buildx's word, or another one if it is unknown.
pub(super) fn state(node: &Node) -> &str {
    if node.status.is_empty() {
        "not reachable"
    } else {
        &node.status
    }
}

fn grants(node: &Node, entitlement: &str) -> bool {
    let flags = node.flags.iter().flatten();
    let mut after = "";
    for flag in flags {
        if after == "--allow-insecure-entitlement" && flag == entitlement {
            return true;
        }
        if flag.strip_prefix("--allow-insecure-entitlement=") == Some(entitlement) {
            return true;
        }
        after = flag;
    }
    false
}

/// Returns the maximum size of the whole cache in bytes.
pub(super) fn limit(node: &Node) -> Option<u64> {
    let rules = node.gc_policy.as_ref()?;
    let last = rules.iter().rfind(|rule| rule.all)?;
    Some(last.max_used_space).filter(|bytes| *bytes > 0)
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.trim_start_matches('v').split('.');
    let version = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    // A build that does not know its version.
    (version != (0, 0)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundation::ctx::buildx::GcRule;
    use foundation::ctx::config::BuilderDriver;

    fn spec() -> BuilderSpec {
        BuilderSpec {
            name: "local1".to_owned(),
            driver: BuilderDriver::DockerContainer,
            options: vec![("network".to_owned(), "host".to_owned())],
            endpoint: None,
            entitlement: Some("security.insecure"),
            max_used_space: None,
        }
    }

    fn as_specified() -> Builder {
        Builder {
            name: "local1".to_owned(),
            driver: "docker-container".to_owned(),
            current: true,
            nodes: vec![Node {
                driver_opts: Some([("network".to_owned(), "host".to_owned())].into()),
                flags: Some(vec![
                    "--allow-insecure-entitlement".to_owned(),
                    "security.insecure".to_owned(),
                ]),
                status: "running".to_owned(),
                version: "v0.25.2".to_owned(),
                gc_policy: Some(vec![GcRule {
                    all: true,
                    max_used_space: 7,
                }]),
                ..Node::default()
            }],
        }
    }

    fn told(spec: &BuilderSpec, there: &Builder) -> Vec<(String, Repair)> {
        let found = differences(spec, there);
        found
            .into_iter()
            .map(|it| {
                (
                    format!("{}: {}, not {}", it.what, it.there, it.wanted),
                    it.cure,
                )
            })
            .collect()
    }

    #[test]
    fn one_as_the_guide_makes_it_does_not_differ() {
        assert_eq!(told(&spec(), &as_specified()), []);
    }

    #[test]
    fn each_difference_is_said_with_its_cure() {
        let mut there = as_specified();
        there.driver = "docker".to_owned();
        there.current = false;
        there.nodes[0].driver_opts = None;
        there.nodes[0].flags = Some(vec!["--allow-insecure-entitlement=network.host".to_owned()]);
        there.nodes[0].status = "stopped".to_owned();
        let recreate = Repair::Recreate;
        assert_eq!(
            told(&spec(), &there),
            [
                ("driver: docker, not docker-container".to_owned(), recreate),
                ("network: none, not host".to_owned(), recreate),
                (
                    "entitlement: none, not security.insecure".to_owned(),
                    recreate
                ),
                ("state: stopped, not running".to_owned(), Repair::Start),
                ("used by builds: no, not yes".to_owned(), Repair::Use),
            ]
        );
    }

    #[test]
    fn limits_and_versions_are_compared_where_they_are_known() {
        let mut spec = spec();
        spec.max_used_space = Some((40_000_000_000, "/x".into()));
        let mut there = as_specified();
        there.nodes[0].version = "v0.12.4".to_owned();
        let told = told(&spec, &there);
        assert_eq!(told[0].0, "cache limit: 7 B, not 40 GB");
        assert_eq!(told[1].0, "BuildKit: 0.12, not 0.13 or newer");
        assert_eq!(version("v0.0.0+unknown"), None);
    }
}
