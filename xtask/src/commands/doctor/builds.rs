//! Checks what builds need: Docker with buildx, make and its helpers, and the
//! ports of registries. A cluster needs none of it.

use talos::version::{InstallerFlow, LOCAL_REGISTRY_PORT};

use super::finding::Finding;
use super::inputs::Inputs;
use super::packages::{Need, with_package};
use foundation::ctx::docker::{self, Engine};
use foundation::ctx::host::Host;
use foundation::ctx::mirrors;
use foundation::ctx::ports::{self, Listener, Protocol};
use foundation::typed;

const FOR_BUILDS: &str = "needed for builds, not for clusters";
/// The ports that talosctl's air-gapped test tool binds, in all lines.
const AIR_GAPPED: [u16; 4] = [8001, 8002, 8003, 8004];
/// The port of quay.io: in the guide, not in the script.
const QUAY: (&str, u16) = ("quay.io", 5002);

pub(super) fn docker(inputs: &Inputs) -> Vec<Finding> {
    let root = inputs.ctx.host.is_root();
    let Some(path) = docker::client() else {
        let finding = Finding::warn("docker-client", "no `docker`").why(FOR_BUILDS);
        return vec![with_package(finding, Need::Docker, root)];
    };
    let said = docker::versions();
    let version = said.client.unwrap_or_default();
    let client = Finding::ok("docker-client", format!("docker {version} at `{path}`"));
    let has_engine = Host::which_as_root("dockerd").is_some();
    let engine = engine(&said.engine, docker_host().as_deref(), has_engine, root);
    vec![client, engine]
}

/// Set by users and by contexts of other tools; the client follows it.
fn docker_host() -> Option<String> {
    std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty())
}

fn engine(engine: &Engine, docker_host: Option<&str>, has_engine: bool, root: bool) -> Finding {
    let id = "docker-engine";
    let at = docker_host.map_or_else(String::new, |host| format!(" at DOCKER_HOST `{host}`"));
    let sudo = if root { "" } else { "sudo " };
    let reason = match engine {
        Engine::Answers(version) => {
            return Finding::ok(id, format!("docker engine {version}{at} answers"));
        }
        Engine::Hangs => {
            return Finding::warn(id, format!("the docker engine{at} does not answer in time"))
                .why(FOR_BUILDS)
                .cure(format!("{sudo}systemctl restart docker"));
        }
        Engine::Refuses(reason) => reason,
    };
    let why = format!("{FOR_BUILDS}; the client says: {reason}");
    if reason.contains("permission denied") {
        return Finding::warn(id, format!("the docker engine{at} does not let you in"))
            .why(why)
            .cure("sudo usermod -aG docker \"$USER\", then log in again");
    }
    let finding = Finding::warn(
        id,
        format!("there is a docker client, and no engine answers{at}"),
    )
    .why(why);
    match (docker_host, has_engine) {
        (Some(_), _) => finding.cure("start it, or `unset DOCKER_HOST`"),
        (None, true) => finding.cure(format!("{sudo}systemctl start docker")),
        (None, false) => with_package(finding, Need::Docker, root),
    }
}

pub(super) fn buildx(inputs: &Inputs) -> Vec<Finding> {
    // Without a client there is no place for a plugin.
    if docker::client().is_none() {
        return Vec::new();
    }
    vec![docker::buildx().map_or_else(
        || {
            let finding = Finding::warn("docker-buildx", "no `docker buildx`").why(FOR_BUILDS);
            with_package(finding, Need::Buildx, inputs.ctx.host.is_root())
        },
        |version| Finding::ok("docker-buildx", format!("buildx {version}")),
    )]
}

pub(super) fn tools(inputs: &Inputs) -> Vec<Finding> {
    let root = inputs.ctx.host.is_root();
    let mut lacking = Vec::new();
    for (name, need) in [("make", Need::Make), ("git", Need::Git)] {
        if Host::which_as_root(name).is_none() {
            let finding = Finding::warn(name, format!("no `{name}`")).why(FOR_BUILDS);
            lacking.push(with_package(finding, need, root));
        }
    }
    let crane = inputs.version().installer_flow() == InstallerFlow::BaseAndImager;
    if crane && Host::which_as_root("crane").is_none() {
        lacking.push(
            Finding::warn("crane", "no `crane`")
                .why(format!("`{}` pushes with it", typed!("installer")))
                .cure("go install github.com/google/go-containerregistry/cmd/crane@latest"),
        );
    }
    if lacking.is_empty() {
        let names = if crane {
            "make, git, crane"
        } else {
            "make, git"
        };
        lacking.push(Finding::ok("build-tools", names));
    }
    lacking
}

/// A registry that responds is the expected user of these ports.
pub(super) fn registries(inputs: &Inputs) -> Vec<Finding> {
    let version = inputs.version();
    let mut wanted: Vec<(String, u16)> = version
        .registry_proxies()
        .iter()
        .map(|proxy| (proxy.host.to_owned(), proxy.port))
        .collect();
    wanted.push((QUAY.0.to_owned(), QUAY.1));
    wanted.push(("the local registry".to_owned(), LOCAL_REGISTRY_PORT));
    wanted.sort_by_key(|(_, port)| *port);
    let listeners = ports::listeners();
    let held: Vec<(&(String, u16), Listener)> = wanted
        .iter()
        .filter_map(|entry| Some((entry, *holder_of(&listeners, entry.1)?)))
        .collect();
    // Each may take some time, so they are asked in parallel.
    let answers: Vec<bool> = std::thread::scope(|scope| {
        let inputs: Vec<_> = held
            .iter()
            .map(|((_, port), _)| scope.spawn(|| mirrors::is_registry(*port)))
            .collect();
        inputs
            .into_iter()
            .map(|thread| thread.join().unwrap_or(false))
            .collect()
    });
    let mut findings = Vec::new();
    let mut up = Vec::new();
    for (((host, port), holder), answers) in held.iter().zip(answers) {
        if answers {
            up.push(format!("{host} ({port})"));
        } else {
            findings.push(held_by_another(*port, host, holder));
        }
    }
    let text = if up.is_empty() {
        "no registry on ports 5000 to 5006: nodes pull from the internet".to_owned()
    } else {
        format!("registries answer: {}", up.join(", "))
    };
    let finding = Finding::ok("registries", text);
    findings.insert(
        0,
        if up.is_empty() {
            finding.cure(typed!("setup"))
        } else {
            finding
        },
    );
    findings
}

fn held_by_another(port: u16, host: &str, holder: &Listener) -> Finding {
    Finding::warn(
        format!("port-{port}"),
        format!(
            "port {port} is held by {}, which is not a registry",
            ports::holder_name(holder)
        ),
    )
    .why(format!("it is the port of the registry for {host}"))
    .cure(format!(
        "stop it, then `{}` or `{}`",
        typed!("registry up"),
        typed!("proxies up")
    ))
}

fn holder_of(listeners: &[Listener], port: u16) -> Option<&Listener> {
    let loopback = std::net::Ipv4Addr::LOCALHOST.into();
    listeners.iter().find(|listener| {
        listener.port == port && listener.protocol == Protocol::Tcp && listener.takes(loopback)
    })
}

/// talosctl's tool drops the error when a port is taken (facts: `debug
/// air-gapped`), so only this check reports it.
pub(super) fn air_gapped(_: &Inputs) -> Vec<Finding> {
    let listeners = ports::listeners();
    let held: Vec<Finding> = AIR_GAPPED
        .iter()
        .filter_map(|port| {
            let holder = listeners
                .iter()
                .find(|listener| listener.port == *port && listener.protocol == Protocol::Tcp)?;
            Some(
                Finding::warn(format!("port-{port}"), format!("port {port} is held by {}", ports::holder_name(holder)))
                    .why("talosctl's air-gapped test tool wants it, and says nothing when it cannot have it")
                    .cure("stop it before you test air-gapped clusters"),
            )
        })
        .collect();
    if held.is_empty() {
        return vec![Finding::ok(
            "air-gapped-ports",
            "ports 8001 to 8004 are free",
        )];
    }
    held
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    #[test]
    fn each_way_of_having_no_engine_has_its_own_cure() {
        let cure = |engine: &Engine, host| super::engine(engine, host, true, false).cure.unwrap();
        let gone = Engine::Refuses("Cannot connect to the Docker daemon at unix:///x.".into());
        let denied = Engine::Refuses(
            "permission denied while trying to connect to the Docker daemon socket".into(),
        );
        assert!(cure(&gone, None).contains("systemctl start docker"));
        assert!(cure(&gone, Some("unix:///x")).contains("unset DOCKER_HOST"));
        assert!(cure(&denied, None).contains("usermod"));
        assert!(cure(&Engine::Hangs, None).contains("restart"));
        let fine = super::engine(&Engine::Answers("28.2.2".into()), None, true, false);
        assert_eq!((fine.status, fine.cure), (Status::Ok, None));
    }
}
