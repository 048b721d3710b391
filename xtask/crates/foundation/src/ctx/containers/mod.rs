//! Containers and volumes as the docker client reports them. Read-only: steps
//! of plans change them.

pub mod files;
mod inspected;

use std::time::Duration;

use serde::Deserialize;

use super::probe::Probe;
use crate::failure::{Failure, Result};
use crate::typed;
use crate::units::parse_size;
use inspected::Inspected;

/// The engine may need long to compute the size of its volumes.
const LIMIT: Duration = Duration::from_secs(30);
/// Log lines of a stopped container in an error.
const EXCERPT: usize = 3;
/// The label of containers that this program creates; no other container is
/// ever removed.
pub const LABEL: &str = "talos-xtask";

/// One container of `docker container inspect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub name: String,
    /// As requested: `registry:2`.
    pub image: String,
    /// Id of the image: `sha256:…`.
    pub image_id: String,
    pub state: State,
    /// RFC 3339.
    pub created: String,
    /// Created by this program.
    pub is_ours: bool,
    pub ports: Vec<Published>,
    /// `NAME=value`
    pub env: Vec<String>,
    pub command: Vec<String>,
    /// Names of its volumes and their paths inside the container.
    pub volumes: Vec<(String, String)>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// `5000/tcp`
    pub inner: String,
    /// Empty or 0.0.0.0 for all addresses.
    pub address: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// It exits and is restarted repeatedly.
    Restarting,
    Stopped,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
        }
    }
}

impl Container {
    /// Whether the container publishes `port` of this machine.
    pub fn publishes(&self, port: u16) -> bool {
        self.ports.iter().any(|published| published.port == port)
    }

    /// Whether other machines can reach it.
    pub fn is_public(&self) -> bool {
        let is_loopback = |address: &str| address.starts_with("127.") || address == "::1";
        self.ports
            .iter()
            .any(|published| !is_loopback(&published.address))
    }

    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Inspects the containers of these names that exist, in one call.
///
/// # Errors
/// If docker is not installed or its engine does not respond.
pub fn inspect(names: &[&str]) -> Result<Vec<Container>> {
    let argv = [&["docker", "container", "inspect"], names].concat();
    let output = Probe::new(&argv).timeout(LIMIT).run();
    let output = output.map_err(|error| no_docker(&error.to_string()))?;
    // A missing container makes the command fail, but the others are printed.
    let found: Vec<Inspected> = match serde_json::from_str(output.stdout.trim()) {
        Ok(found) => found,
        Err(_) if output.stdout.trim().is_empty() && is_absence(&output.stderr) => Vec::new(),
        Err(error) => {
            let said = output.stderr.trim().lines().last().unwrap_or_default();
            return Err(match said {
                "" => no_docker(&error.to_string()),
                said => no_docker(said),
            });
        }
    };
    if !output.success && !is_absence(&output.stderr) {
        return Err(no_docker(
            output.stderr.trim().lines().last().unwrap_or_default(),
        ));
    }
    Ok(found.into_iter().map(Inspected::into_container).collect())
}

/// The client has no separate exit code for a missing container.
fn is_absence(stderr: &str) -> bool {
    stderr
        .lines()
        .filter(|line| !line.trim().is_empty())
        .all(|line| line.contains("No such container"))
}

fn no_docker(cause: &str) -> Failure {
    Failure::host("docker does not answer")
        .cause(cause)
        .hint(typed!("doctor"))
}

/// Returns the name of the running container that publishes `port`.
///
/// # Errors
/// If docker does not respond.
pub fn publishing(port: u16) -> Result<Option<String>> {
    let filter = format!("publish={port}");
    let names = docker_output(&["ps", "--filter", &filter, "--format", "{{.Names}}"])?;
    Ok(names.lines().next().map(str::to_owned))
}

/// Returns the names of all volumes.
///
/// # Errors
/// If docker does not respond.
pub fn volumes() -> Result<Vec<String>> {
    let names = docker_output(&["volume", "ls", "--format", "{{.Name}}"])?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Returns the output of a docker command that must succeed.
fn docker_output(words: &[&str]) -> Result<String> {
    let argv = [&["docker"], words].concat();
    let output = Probe::new(argv).timeout(LIMIT).stdout();
    output.map_err(|error| no_docker(&error.to_string()))
}

/// Returns the last lines of a container's log.
pub fn last_lines(name: &str, lines: usize) -> Vec<String> {
    let count = lines.to_string();
    let argv = ["docker", "logs", "--tail", &count, name];
    let Ok(output) = Probe::new(argv).timeout(LIMIT).run() else {
        return Vec::new();
    };
    let both = [output.stdout, output.stderr].concat();
    both.lines().map(str::to_owned).collect()
}

/// Returns the log lines that explain why a registry does not respond.
pub fn telling_lines(name: &str) -> Vec<String> {
    telling(&last_lines(name, 40))
}

/// A registry that cannot reach its upstream panics and prints stack traces.
fn telling(lines: &[String]) -> Vec<String> {
    let is_telling = |line: &&String| {
        [
            "panic:",
            "level=fatal",
            "level=error",
            "configuration error",
        ]
        .iter()
        .any(|word| line.contains(word))
    };
    let mut found: Vec<String> = lines.iter().filter(is_telling).cloned().collect();
    if found.is_empty() {
        found = lines.to_vec();
    }
    found.split_off(found.len().saturating_sub(EXCERPT))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    size: String,
}

/// Returns the size of each volume in bytes, as precise as docker prints it.
/// The engine computes it, so no root is needed.
pub fn volume_sizes() -> Vec<(String, u64)> {
    let argv = [
        "docker",
        "system",
        "df",
        "-v",
        "--format",
        "{{json .Volumes}}",
    ];
    let output = Probe::new(argv).timeout(LIMIT).stdout().ok();
    let volumes: Vec<Volume> = output
        .and_then(|output| serde_json::from_str(&output).ok())
        .unwrap_or_default();
    volumes
        .into_iter()
        .filter_map(|volume| Some((volume.name, parse_size(&volume.size)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with Docker 20.10, shortened.
    const INSPECTED: &str = r#"[{"Id":"7d1f","Created":"2026-11-21T10:00:00.1Z","Name":"/local","Image":"sha256:aa",
        "State":{"Status":"exited"},"Mounts":[{"Type":"volume","Name":"v1","Destination":"/var/lib/registry"}],
        "HostConfig":{"PortBindings":{"5000/tcp":[{"HostIp":"","HostPort":"5005"}]}},
        "Config":{"Image":"registry:2","Env":["PATH=/bin","A=b"],"Cmd":["serve","/etc/c.yml"],"Labels":{}}}]"#;

    #[test]
    fn a_container_made_by_the_guides_line() {
        let found: Vec<Inspected> = serde_json::from_str(INSPECTED).unwrap();
        let found = found.into_iter().next().unwrap().into_container();
        assert_eq!(
            (found.name.as_str(), found.image.as_str()),
            ("local", "registry:2")
        );
        assert_eq!(found.state, State::Stopped);
        assert!(found.publishes(5005) && !found.publishes(5000));
        assert!(found.is_public() && !found.is_ours);
        assert_eq!(found.variable("A"), Some("b"));
        assert_eq!(
            found.volumes,
            [("v1".to_owned(), "/var/lib/registry".to_owned())]
        );
    }

    #[test]
    fn only_a_missing_container_is_no_trouble() {
        assert!(is_absence(
            "Error: No such container: a\nError: No such container: b\n"
        ));
        assert!(!is_absence(
            "Cannot connect to the Docker daemon at unix:///x.\n"
        ));
    }

    #[test]
    fn of_a_panic_the_reason_is_shown() {
        let lines = [
            "goroutine 1 [running]:",
            "panic: Get \"https://quay.io/v2/\": no such host",
            "main.go:7",
        ]
        .map(str::to_owned);
        assert_eq!(telling(&lines), [lines[1].clone()]);
        assert_eq!(telling(&lines[2..]), [lines[2].clone()]);
    }
}
