//! Built-in steps for registries: wait until they respond, delete manifests.

use std::time::Duration;

use super::interrupted;
use super::step::StepContext;
use crate::ctx::containers::{self, State};
use crate::ctx::registry_api::Api;
use crate::failure::{Failure, Result};
use crate::plan::AwaitedRegistry;
use crate::wait::{Wait, Waited};
use crate::{program, typed};

/// A registry with a large cache starts within a second.
const WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// Waits for all of them. A registry that has exited is not waited for.
pub(super) fn wait(registries: &[AwaitedRegistry], context: &StepContext<'_>) -> Result<()> {
    let wait = Wait::default().within(WITHIN.min(context.deadline));
    let wait = wait.or_signal(context.signals);
    let mut waiting: Vec<&AwaitedRegistry> = registries.iter().collect();
    let mut died = Vec::new();
    let waited = wait.look_every(LOOK, || {
        waiting.retain(|registry| Api::on_loopback(registry.port).ping().is_err());
        if waiting.is_empty() {
            return Ok(Some(()));
        }
        let names: Vec<&str> = waiting
            .iter()
            .map(|registry| registry.container.as_str())
            .collect();
        let found = containers::inspect(&names)?;
        waiting.retain(|registry| {
            let container = found.iter().find(|found| found.name == registry.container);
            let lives = container.is_some_and(|found| found.state == State::Running);
            if !lives {
                died.push((*registry).clone());
            }
            lives
        });
        Ok::<_, Failure>(waiting.is_empty().then_some(()))
    })?;
    if waited == Waited::Interrupted {
        return Err(interrupted());
    }
    if waiting.is_empty() && died.is_empty() {
        return Ok(());
    }
    Err(not_up(&waiting, &died))
}

fn not_up(running: &[&AwaitedRegistry], died: &[AwaitedRegistry]) -> Failure {
    let all: Vec<&str> = running
        .iter()
        .map(|registry| registry.container.as_str())
        .chain(died.iter().map(|registry| registry.container.as_str()))
        .collect();
    let mut failure = Failure::step(format!("no response from {}", all.join(", ")));
    for registry in running {
        failure = failure.cause(format!(
            "{} is running but does not respond on 127.0.0.1:{}",
            registry.container, registry.port
        ));
    }
    for registry in died {
        failure = failure.cause(format!(
            "{} exits right after it starts",
            registry.container
        ));
        failure = failure.excerpt(containers::telling_lines(&registry.container));
    }
    match all.first() {
        Some(name) => failure.hint(program!("docker logs {}", name)),
        None => failure,
    }
}

/// Only untagged manifests are requested, so no image in use is deleted.
pub(super) fn delete(address: &str, manifests: &[(String, String)]) -> Result<()> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(15)))
        .max_redirects(0)
        .http_status_as_error(false);
    let agent = ureq::Agent::from(config.build());
    for (repository, digest) in manifests {
        let url = format!("http://{address}/v2/{repository}/manifests/{digest}");
        let failed = |cause: String| {
            Failure::step(format!("cannot delete {address}/{repository}@{digest}"))
                .cause(cause)
                .hint(typed!("registry status"))
        };
        match agent.delete(&url).call() {
            // 404: gone already.
            Ok(response) if matches!(response.status().as_u16(), 202 | 404) => {}
            Ok(response) if response.status().as_u16() == 405 => {
                return Err(failed("the registry does not allow deletion".to_owned()));
            }
            Ok(response) => return Err(failed(format!("it responded with {}", response.status()))),
            Err(error) => return Err(failed(error.to_string())),
        }
    }
    Ok(())
}
