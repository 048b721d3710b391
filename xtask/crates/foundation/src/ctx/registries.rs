//! The registries of a Talos developer's machine: the guide's local registry,
//! to which builds push, and the pull-through proxies of the checkout's Talos
//! line.

use std::collections::BTreeMap;

use talos::version::{LOCAL_REGISTRY_PORT, TalosVersion};

use super::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::files;
use crate::program;

/// A registry and its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The name of its container.
    pub name: String,
    /// The image host that it serves: `docker.io`, `127.0.0.1:5005`.
    pub host: String,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The upstream URL; `None` for the registry that builds push to.
    pub upstream: Option<String>,
}

/// The name in the guide.
pub const LOCAL: &str = "local";
/// The checkout's script with the list.
pub const SCRIPT: &str = "hack/start-registry-proxies.sh";
/// Used in the guide and in Talos' tests, but missing in the script.
const QUAY: (&str, u16, &str) = ("quay.io", 5002, "https://quay.io");

/// The guide's local registry.
pub fn local() -> Spec {
    Spec {
        name: LOCAL.to_owned(),
        host: format!("127.0.0.1:{LOCAL_REGISTRY_PORT}"),
        port: LOCAL_REGISTRY_PORT,
        upstream: None,
    }
}

/// Returns the pull-through proxies of this Talos line by port: those of the
/// checkout's script, or the known table if the script is missing. `upstreams`
/// (host to URL) are the user's settings.
///
/// # Errors
/// If the script cannot be read.
pub fn proxies(checkout: &Checkout, upstreams: &BTreeMap<String, String>) -> Result<Vec<Spec>> {
    let path = checkout.dir.join(SCRIPT);
    let script = files::read_text(&path, files::SMALL).map_err(|error| {
        Failure::host(format!(
            "cannot read the list of registry proxies, `{path}`"
        ))
        .cause(error)
        .hint(program!("git -C {} checkout -- {}", checkout.dir, SCRIPT))
    })?;
    let mut proxies = parse_script(&script.unwrap_or_default());
    if proxies.is_empty() {
        proxies = known(&checkout.version);
    }
    let (host, port, upstream) = QUAY;
    if !proxies
        .iter()
        .any(|other| other.host == host || other.port == port)
    {
        proxies.push(proxy(host, port, upstream));
    }
    for spec in &mut proxies {
        if let Some(upstream) = upstreams.get(&spec.host) {
            spec.upstream = Some(upstream.clone());
        }
    }
    proxies.sort_by_key(|spec| spec.port);
    Ok(proxies)
}

fn proxy(host: &str, port: u16, upstream: &str) -> Spec {
    Spec {
        name: format!("registry-{host}"),
        host: host.to_owned(),
        port,
        upstream: Some(upstream.to_owned()),
    }
}

fn known(version: &TalosVersion) -> Vec<Spec> {
    let upstream = |host: &str| match host {
        "docker.io" => "https://registry-1.docker.io".to_owned(),
        other => format!("https://{other}"),
    };
    version
        .registry_proxies()
        .iter()
        .map(|known| proxy(known.host, known.port, &upstream(known.host)))
        .collect()
}

/// Parses lines
/// `docker run … -p PORT:5000 … -e REGISTRY_PROXY_REMOTEURL=URL … --name registry-HOST …`.
fn parse_script(text: &str) -> Vec<Spec> {
    text.split("docker run").filter_map(parse_command).collect()
}

fn parse_command(command: &str) -> Option<Spec> {
    let mut words = command.split_whitespace();
    let (mut port, mut name, mut upstream) = (None, None, None);
    while let Some(word) = words.next() {
        match word {
            "-p" => port = words.next()?.split_once(':')?.0.parse().ok(),
            "--name" => name = Some(words.next()?.to_owned()),
            "-e" => {
                let value = words.next()?.trim_matches(['"', '\'']);
                upstream = value
                    .strip_prefix("REGISTRY_PROXY_REMOTEURL=")
                    .map(str::to_owned)
                    .or(upstream);
            }
            _ => {}
        }
    }
    let name = name?;
    Some(Spec {
        host: name.strip_prefix("registry-")?.to_owned(),
        name,
        port: port?,
        upstream: Some(upstream?),
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test creates the script")]
mod tests {
    use super::*;
    use camino::Utf8Path;

    #[test]
    fn the_script_is_read_command_by_command() {
        let text = "#!/bin/sh\nset -e\ndocker run -d -p 5000:5000 \\\n -e REGISTRY_PROXY_REMOTEURL=https://x \\\n --name registry-docker.io registry:2\n\ndocker run -d -p 5003:5000 \\\n -e REGISTRY_PROXY_REMOTEURL=https://gcr.io --name registry-gcr.io registry:2\ndocker run -d --name other y\n";
        assert_eq!(
            parse_script(text),
            [
                proxy("docker.io", 5000, "https://x"),
                proxy("gcr.io", 5003, "https://gcr.io")
            ]
        );
    }

    #[test]
    fn quay_is_added_where_the_script_lacks_it_and_users_have_upstreams_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let checkout = Checkout {
            dir: Utf8Path::from_path(dir.path()).unwrap().to_owned(),
            found_by: "",
            version: TalosVersion::parse("v1.12.0").unwrap(),
            version_from: "",
        };
        let own = BTreeMap::from([("docker.io".to_owned(), "http://cache.corp".to_owned())]);
        let found = proxies(&checkout, &own).unwrap();
        let of = |host: &str| found.iter().find(|spec| spec.host == host).unwrap();
        assert_eq!(
            (of("quay.io").port, of("quay.io").name.as_str()),
            (5002, "registry-quay.io")
        );
        assert_eq!(
            of("docker.io").upstream.as_deref(),
            Some("http://cache.corp")
        );
        assert_eq!(of("ghcr.io").upstream.as_deref(), Some("https://ghcr.io"));
        assert!(found.is_sorted_by_key(|spec| spec.port));
        // An unreadable script is not the same as a missing one.
        std::fs::create_dir_all(checkout.dir.join(SCRIPT)).unwrap();
        proxies(&checkout, &own).unwrap_err();
    }
}
