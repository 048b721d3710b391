//! Which registries this machine really has: a port is a registry when it
//! answers as one, not because a script would have started it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use talos::version::{LOCAL_REGISTRY_PORT, TalosVersion};

use super::checkout::Checkout;

/// A registry on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The image host that it stands for.
    pub host: String,
    pub port: u16,
}

/// quay.io is in the guide and in the tests, but not in the script.
const QUAY: (&str, u16) = ("quay.io", 5002);

/// The mirrors that answer, and the local registry where it does.
pub fn probe(checkout: &Checkout) -> Vec<Mirror> {
    let mut wanted = wanted(checkout);
    wanted.push(Mirror {
        host: QUAY.0.into(),
        port: QUAY.1,
    });
    wanted.push(local());
    wanted.sort_by_key(|mirror| mirror.port);
    let answers: Vec<bool> = std::thread::scope(|scope| {
        let asked: Vec<_> = wanted
            .iter()
            .map(|mirror| scope.spawn(|| is_registry(mirror.port)))
            .collect();
        asked
            .into_iter()
            .map(|thread| thread.join().unwrap_or(false))
            .collect()
    });
    wanted
        .into_iter()
        .zip(answers)
        .filter_map(|(mirror, up)| up.then_some(mirror))
        .collect()
}

/// The guide's own registry, to which builds push.
pub fn local() -> Mirror {
    Mirror {
        host: format!("127.0.0.1:{LOCAL_REGISTRY_PORT}"),
        port: LOCAL_REGISTRY_PORT,
    }
}

/// `repository:tag` in the local registry, when the registry has it.
pub fn installer_in_local_registry(tag: &str) -> Option<String> {
    let path = format!("/v2/siderolabs/installer/manifests/{tag}");
    let response = get(LOCAL_REGISTRY_PORT, &path)?;
    (response == 200).then(|| format!("127.0.0.1:{LOCAL_REGISTRY_PORT}/siderolabs/installer:{tag}"))
}

/// The checkout's own script says which there are; the known table stands in
/// where the script is not.
fn wanted(checkout: &Checkout) -> Vec<Mirror> {
    let script = checkout.dir.join("hack/start-registry-proxies.sh");
    let read = std::fs::read_to_string(script).map(|text| parse_script(&text));
    match read {
        Ok(mirrors) if !mirrors.is_empty() => mirrors,
        _ => known(&checkout.version),
    }
}

fn known(version: &TalosVersion) -> Vec<Mirror> {
    version
        .registry_proxies()
        .iter()
        .map(|proxy| Mirror {
            host: proxy.host.to_owned(),
            port: proxy.port,
        })
        .collect()
}

/// `docker run … -p PORT:5000 … --name registry-HOST …`, one each.
fn parse_script(text: &str) -> Vec<Mirror> {
    text.split("docker run")
        .filter_map(|command| {
            let mut words = command.split_whitespace();
            let (mut port, mut host) = (None, None);
            while let Some(word) = words.next() {
                match word {
                    "-p" => port = words.next()?.split_once(':')?.0.parse().ok(),
                    "--name" => host = words.next()?.strip_prefix("registry-").map(str::to_owned),
                    _ => {}
                }
            }
            Some(Mirror {
                host: host?,
                port: port?,
            })
        })
        .collect()
}

/// A registry answers `/v2/` with 200, or 401 where it wants a login.
pub fn is_registry(port: u16) -> bool {
    matches!(get(port, "/v2/"), Some(200 | 401))
}

fn get(port: u16, path: &str) -> Option<u16> {
    // Refused at once where nothing listens; the agent would take longer.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(2)))
        .http_status_as_error(false);
    let agent = ureq::Agent::from(config.build());
    let response = agent
        .get(format!("http://127.0.0.1:{port}{path}"))
        .header("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json")
        .call()
        .ok()?;
    Some(response.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_read_command_by_command() {
        let text = "#!/bin/sh\nset -e\ndocker run -d -p 5000:5000 \\\n -e REGISTRY_PROXY_REMOTEURL=https://x \\\n --name registry-docker.io registry:2\n\ndocker run -d -p 5003:5000 \\\n --name registry-gcr.io registry:2\ndocker run -d --name other y\n";
        let mirror = |host: &str, port| Mirror {
            host: host.into(),
            port,
        };
        assert_eq!(
            parse_script(text),
            [mirror("docker.io", 5000), mirror("gcr.io", 5003)]
        );
    }
}
