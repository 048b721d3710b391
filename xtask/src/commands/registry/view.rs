//! The state of each registry: its container, or what uses its port or name.

use serde_json::{Value, json};

use foundation::ctx::containers::{self, Container, State};
use foundation::ctx::ports;
use foundation::ctx::registries::Spec;
use foundation::ctx::{docker, mirrors};
use foundation::failure::{Exit, Failure, Result};
use foundation::program;

/// The folder of a registry's data.
pub(crate) const DATA: &str = "/var/lib/registry";

/// The state of one registry.
#[derive(Debug, Clone)]
pub(crate) enum RegistryState {
    Absent,
    /// The container of that name, publishing that port.
    Ours(Container),
    /// A registry that another program runs; it is used.
    Other {
        who: String,
    },
    /// The port is held by something that is not a registry.
    Taken {
        who: String,
    },
    /// A container of that name that is something else.
    NotIt {
        why: String,
    },
}

#[derive(Debug, Clone)]
pub(crate) struct RegistryView {
    pub(crate) spec: Spec,
    pub(crate) state: RegistryState,
    /// Whether the port responds like a registry.
    pub(crate) answers: bool,
    /// Why its container does not respond, from its log.
    pub(crate) reason: Option<String>,
}

/// Reads the state of the registries of `specs`, in their order.
///
/// # Errors
/// When docker does not respond.
pub(crate) fn read_views(specs: &[Spec]) -> Result<Vec<RegistryView>> {
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let found = containers::inspect(&names)?;
    specs
        .iter()
        .map(|spec| {
            let container = found.iter().find(|found| found.name == spec.name);
            let answers = mirrors::is_registry(spec.port);
            let lives = container.is_some_and(|found| found.state != State::Stopped);
            Ok(RegistryView {
                spec: spec.clone(),
                state: state_of(spec, container, answers)?,
                answers,
                reason: (lives && !answers)
                    .then(|| containers::telling_lines(&spec.name).pop())
                    .flatten(),
            })
        })
        .collect()
}

fn state_of(spec: &Spec, container: Option<&Container>, answers: bool) -> Result<RegistryState> {
    Ok(match container {
        Some(container) if !container.publishes(spec.port) => RegistryState::NotIt {
            why: format!(
                "container `{}` ({}) does not publish port {}",
                container.name, container.image, spec.port
            ),
        },
        Some(container) if container.state != State::Stopped => {
            RegistryState::Ours(container.clone())
        }
        stopped => match (holder(spec.port)?, stopped) {
            (Some(who), _) if !answers => RegistryState::Taken { who },
            (Some(who), _) => RegistryState::Other { who },
            (None, Some(container)) => RegistryState::Ours(container.clone()),
            (None, None) => RegistryState::Absent,
        },
    })
}

fn holder(port: u16) -> Result<Option<String>> {
    let listener = mirrors::holder(port);
    let container = containers::publishing(port)?;
    Ok(match (container, listener) {
        (Some(name), _) => Some(format!("container `{name}`")),
        (None, Some(listener)) => Some(ports::holder_name(&listener)),
        (None, None) => None,
    })
}

impl RegistryView {
    pub(crate) fn container(&self) -> Option<&Container> {
        match &self.state {
            RegistryState::Ours(container) => Some(container),
            _ => None,
        }
    }

    /// Returns one word, stable for programs.
    pub(crate) fn state(&self) -> &'static str {
        match &self.state {
            RegistryState::Absent => "absent",
            RegistryState::Ours(container)
                if container.state == State::Running && !self.answers =>
            {
                "silent"
            }
            RegistryState::Ours(container) => container.state.as_str(),
            RegistryState::Other { .. } => "other",
            RegistryState::Taken { .. } => "taken",
            RegistryState::NotIt { .. } => "not-it",
        }
    }

    /// Returns the bytes in its volume.
    pub(crate) fn size(&self, volumes: &[(String, u64)]) -> Option<u64> {
        let (volume, _) = self
            .container()?
            .volumes
            .iter()
            .find(|(_, at)| at == DATA)?;
        volumes
            .iter()
            .find(|(name, _)| name == volume)
            .map(|(_, size)| *size)
    }

    /// Returns remarks for the reader.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let spec = &self.spec;
        match &self.state {
            RegistryState::Ours(container) => {
                if !container.is_ours {
                    remarks.push("made by hand, and used as it is".to_owned());
                }
                if container.is_public() {
                    remarks.push(
                        "published on every address: any host that reaches this machine can use it"
                            .to_owned(),
                    );
                }
                let upstream = container.variable(UPSTREAM);
                if upstream != spec.upstream.as_deref() {
                    let text = upstream.unwrap_or("nowhere");
                    let upstream = spec.upstream.as_deref().unwrap_or("nowhere");
                    remarks.push(format!("it pulls from {text}, and should from {upstream}"));
                }
            }
            RegistryState::Other { who } => {
                remarks.push(format!("{who} answers there, and is used as it is"));
            }
            RegistryState::Taken { who } => {
                remarks.push(format!(
                    "port {} is held by {who}, which is not a registry",
                    spec.port
                ));
            }
            RegistryState::NotIt { why } => remarks.push(why.clone()),
            RegistryState::Absent => {}
        }
        remarks.extend(self.reason.iter().map(|line| format!("its log: {line}")));
        remarks
    }

    pub(crate) fn to_json(&self, volumes: &[(String, u64)]) -> Value {
        let container = self.container();
        json!({
            "name": self.spec.name,
            "host": self.spec.host,
            "address": format!("127.0.0.1:{}", self.spec.port),
            "port": self.spec.port,
            "upstream": self.spec.upstream,
            "state": self.state(),
            "answers": self.answers,
            "container": container.map(|container| &container.id),
            "image": container.map(|container| &container.image),
            "ours": container.map(|container| container.is_ours),
            "created": container.map(|container| &container.created),
            "bytes": self.size(volumes),
            "remarks": self.remarks(),
        })
    }
}

/// The variable that makes a registry a pull-through proxy.
pub(crate) const UPSTREAM: &str = "REGISTRY_PROXY_REMOTEURL";

/// Fails with everything that blocks the registries.
///
/// # Errors
/// When anything is.
pub(crate) fn check(views: &[RegistryView]) -> Result<()> {
    if let Some(host) = docker::engine_elsewhere()? {
        return Err(Failure::new(
            Exit::HostNotReady,
            format!("docker's engine is on another machine: {host}"),
        )
        .cause("what it publishes on 127.0.0.1 is not on this machine's, where builds push and clusters pull")
        .hint("docker context use default; unset DOCKER_HOST"));
    }
    let in_the_way: Vec<String> = views
        .iter()
        .filter_map(|view| {
            let text = match &view.state {
                RegistryState::Taken { who } => format!("held by {who}, which is not a registry"),
                RegistryState::NotIt { why } => why.clone(),
                _ => return None,
            };
            Some(format!(
                "127.0.0.1:{} for {}: {text}",
                view.spec.port, view.spec.host
            ))
        })
        .collect();
    if in_the_way.is_empty() {
        return Ok(());
    }
    let is_name = views.iter().find_map(|view| match &view.state {
        RegistryState::NotIt { .. } => Some(view.spec.name.clone()),
        _ => None,
    });
    let mut failure = Failure::new(
        Exit::HostNotReady,
        "something else is in the place of a registry",
    );
    failure.causes = in_the_way;
    Err(match is_name {
        Some(name) => failure.hint(program!("docker rename {} {}", name, format!("{name}-old"))),
        None => failure.hint("stop it, or move it to another port; nothing was changed"),
    })
}
