//! The part of the output of `docker container inspect` that is used.

use serde::Deserialize;

use super::{Container, LABEL, Published, State};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    name: String,
    image: String,
    created: String,
    state: InspectedState,
    config: InspectedConfig,
    host_config: HostConfig,
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedConfig {
    image: String,
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    port_bindings: Option<std::collections::BTreeMap<String, Option<Vec<Binding>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    #[serde(default)]
    host_ip: String,
    #[serde(default)]
    host_port: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    #[serde(default)]
    name: String,
    #[serde(default)]
    destination: String,
}

impl Inspected {
    pub(super) fn into_container(self) -> Container {
        let bindings = self.host_config.port_bindings.unwrap_or_default();
        let published = |(inner, bound): (String, Option<Vec<Binding>>)| {
            bound
                .unwrap_or_default()
                .into_iter()
                .filter_map(move |bound| {
                    Some(Published {
                        inner: inner.clone(),
                        address: bound.host_ip,
                        port: bound.host_port.parse().ok()?,
                    })
                })
        };
        Container {
            id: self.id,
            name: self.name.trim_start_matches('/').to_owned(),
            image: self.config.image,
            image_id: self.image,
            state: match self.state.status.as_str() {
                "running" => State::Running,
                "restarting" => State::Restarting,
                _ => State::Stopped,
            },
            created: self.created,
            is_ours: self.config.labels.unwrap_or_default().contains_key(LABEL),
            ports: bindings.into_iter().flat_map(published).collect(),
            env: self.config.env.unwrap_or_default(),
            command: self.config.cmd.unwrap_or_default(),
            volumes: self
                .mounts
                .into_iter()
                .filter(|mount| !mount.name.is_empty())
                .map(|mount| (mount.name, mount.destination))
                .collect(),
        }
    }
}
