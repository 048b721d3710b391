//! The Docker engine that builds use, through the client: only the client knows
//! `DOCKER_HOST`, `DOCKER_CONTEXT` and its settings.

use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::host::Host;
use super::probe::Probe;
use crate::failure::{Failure, Result};
use crate::program;

/// A client that takes longer waits for an engine that hangs.
const LIMIT: Duration = Duration::from_secs(3);

/// The output of `docker version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    pub client: Option<String>,
    pub engine: Engine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    Answers(String),
    /// With the client's message.
    Refuses(String),
    /// The client did not return in time.
    Hangs,
}

#[derive(Deserialize)]
struct Versions {
    #[serde(rename = "Client")]
    client: Option<Version>,
    #[serde(rename = "Server")]
    server: Option<Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "Version")]
    version: String,
}

/// The path of the client; a missing client is a different problem than a
/// missing engine.
pub fn client() -> Option<Utf8PathBuf> {
    Host::which("docker")
}

/// Asks the client for both versions.
pub fn versions() -> Docker {
    let version = Probe::new(["docker", "version", "--format", "{{json .}}"]);
    match version.timeout(LIMIT).run() {
        Ok(output) => parse(&output.stdout, &output.stderr),
        Err(_) => Docker {
            client: None,
            engine: Engine::Hangs,
        },
    }
}

/// Returns the engine's address if it runs on another machine, where 127.0.0.1
/// is a different host. `DOCKER_HOST` takes precedence over contexts.
///
/// # Errors
/// If the client does not report it.
pub fn engine_elsewhere() -> Result<Option<String>> {
    let set = std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty());
    let host = match set {
        Some(host) => host,
        None => context_host()?,
    };
    Ok(is_elsewhere(&host).then_some(host))
}

fn context_host() -> Result<String> {
    let format = "{{.Endpoints.docker.Host}}";
    let argv = ["docker", "context", "inspect", "--format", format];
    let unknown = |cause: &str| {
        Failure::host("cannot determine on which machine the Docker engine runs")
            .cause(cause)
            .hint(program!("docker context inspect"))
    };
    let output = Probe::new(argv).run();
    let output = output.map_err(|error| unknown(&error.to_string()))?;
    if !output.success {
        return Err(unknown(&reason(&output.stderr)));
    }
    Ok(output.stdout.trim().to_owned())
}

fn is_elsewhere(host: &str) -> bool {
    let Some((scheme, rest)) = host.split_once("://") else {
        return false;
    };
    let name = rest.rsplit('@').next().unwrap_or(rest);
    let is_here =
        name.starts_with("127.") || name.starts_with("localhost") || name.starts_with("[::1]");
    matches!(scheme, "tcp" | "ssh" | "http" | "https") && !is_here
}

/// `docker buildx version` prints `github.com/docker/buildx v0.29.1 SHA`;
/// without the plugin it is an unknown command.
pub fn buildx() -> Option<String> {
    let version = Probe::new(["docker", "buildx", "version"]).timeout(LIMIT);
    let version = version.stdout().ok()?;
    let words: Vec<&str> = version.split_whitespace().collect();
    let version = words.get(1).or(words.first()).copied().unwrap_or("buildx");
    Some(version.to_owned())
}

fn parse(stdout: &str, stderr: &str) -> Docker {
    let versions: Option<Versions> = serde_json::from_str(stdout.trim()).ok();
    let (client, server) = versions.map_or((None, None), |both| (both.client, both.server));
    let engine = match server {
        Some(server) => Engine::Answers(server.version),
        None => Engine::Refuses(reason(stderr)),
    };
    Docker {
        client: client.map(|client| client.version),
        engine,
    }
}

/// The last line has the reason; warnings come before it.
fn reason(stderr: &str) -> String {
    let line = stderr.lines().rfind(|line| !line.trim().is_empty());
    line.unwrap_or("it printed no reason").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with Docker 28.2.2.
    const NO_ENGINE: &str = r#"{"Client":{"Version":"28.2.2","ApiVersion":"1.50","Os":"linux","Context":"default"},"Server":null}"#;

    #[test]
    fn a_client_without_an_engine_is_told_from_none() {
        let said =
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?\n";
        let docker = parse(NO_ENGINE, said);
        assert_eq!(docker.client.as_deref(), Some("28.2.2"));
        assert_eq!(docker.engine, Engine::Refuses(said.trim().to_owned()));
    }

    #[test]
    fn an_engine_of_another_machine_is_told_from_ours() {
        for (host, elsewhere) in [
            ("unix:///var/run/docker.sock", false),
            ("tcp://127.0.0.1:2375", false),
            ("tcp://build1:2376", true),
            ("ssh://me@build1", true),
            ("", false),
        ] {
            assert_eq!(is_elsewhere(host), elsewhere, "{host}");
        }
    }

    #[test]
    fn an_engine_has_a_version() {
        let text =
            r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"20.10.24","Os":"linux"}}"#;
        assert_eq!(parse(text, "").engine, Engine::Answers("20.10.24".into()));
    }

    #[test]
    fn something_else_named_docker_is_no_engine() {
        let docker = parse("Emulate Docker CLI using podman.", "");
        assert_eq!(docker.client, None);
        assert!(matches!(docker.engine, Engine::Refuses(_)));
    }
}
