//! Built-in steps about registries: wait until one answers, delete from one.

use std::time::{Duration, Instant};

use super::interrupted;
use super::step::How;
use crate::ctx::containers::{self, State};
use crate::ctx::registry_api::Api;
use crate::failure::{Failure, Result};
use crate::plan::AwaitedRegistry;
use crate::{program, typed};

/// One with a large cache is up in a second.
const WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// All of them; each that ends says so at once, and the others go on.
pub(super) fn wait(registries: &[AwaitedRegistry], how: &How<'_>) -> Result<()> {
    let end = Instant::now() + WITHIN.min(how.deadline);
    let mut waiting: Vec<&AwaitedRegistry> = registries.iter().collect();
    let mut died = Vec::new();
    loop {
        waiting.retain(|registry| Api::on_loopback(registry.port).ping().is_err());
        if waiting.is_empty() {
            break;
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
        if waiting.is_empty() || Instant::now() > end {
            break;
        }
        if how.signals.count() > 0 {
            return Err(interrupted());
        }
        how.signals.wait_until(Instant::now() + LOOK);
    }
    if waiting.is_empty() && died.is_empty() {
        return Ok(());
    }
    Err(not_up(&waiting, &died))
}

fn not_up(silent: &[&AwaitedRegistry], died: &[AwaitedRegistry]) -> Failure {
    let all: Vec<&str> = silent
        .iter()
        .map(|registry| registry.container.as_str())
        .chain(died.iter().map(|registry| registry.container.as_str()))
        .collect();
    let mut failure = Failure::step(format!("no registry answers from {}", all.join(", ")));
    for registry in silent {
        failure = failure.cause(format!(
            "{} lives, and is silent at 127.0.0.1:{}",
            registry.container, registry.port
        ));
    }
    for registry in died {
        failure = failure.cause(format!(
            "{} ends as soon as it has started",
            registry.container
        ));
        failure = failure.excerpt(containers::telling_lines(&registry.container));
    }
    match all.first() {
        Some(name) => failure.hint(program!("docker logs {}", name)),
        None => failure,
    }
}

/// Only what has no tag is asked for, so that nothing is taken from anybody.
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
                return Err(failed(
                    "the registry was started without leave to delete".to_owned(),
                ));
            }
            Ok(response) => return Err(failed(format!("it answers {}", response.status()))),
            Err(error) => return Err(failed(error.to_string())),
        }
    }
    Ok(())
}
