//! Plans that start and stop registries: the guide's `docker run`, on 127.0.0.1
//! only and with a named volume.

use super::view::{DATA, RegistryState, RegistryView, UPSTREAM};
use foundation::ctx::containers::{self, Container, LABEL, State};
use foundation::ctx::registries::Spec;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, AwaitedRegistry, Effect, Plan, Resource, Step};
use foundation::program;

/// The image of the guide and the script.
const IMAGE: &str = "registry:2";
/// The image may have to be pulled.
const RUN_DEADLINE: u64 = 600;
/// A container has ten seconds to end.
const STOP_DEADLINE: u64 = 60;

/// Returns the steps that start what does not run; none if nothing is to be
/// done.
pub(crate) fn plan_up(title: &str, views: &[RegistryView]) -> Plan {
    let mut plan = Plan::new(title);
    let mut awaited = Vec::new();
    for one in views {
        let spec = &one.spec;
        let before = plan.steps.len();
        match &one.state {
            RegistryState::Absent => plan.push(run(spec)),
            RegistryState::Ours(container)
                if container.is_ours && !is_as_wanted(container, spec) =>
            {
                let why = format!(
                    "`{}` has different options: recreate it, keeping its volume",
                    spec.name
                );
                plan.push(docker(&why, &["rm", "-f", &spec.name], Effect::Destroys));
                plan.push(run(spec));
            }
            RegistryState::Ours(container) if container.state == State::Stopped => {
                let why = format!("start {}, which is there already", what(spec));
                plan.push(docker(&why, &["start", &spec.name], Effect::Changes));
            }
            _ => {}
        }
        // A running registry that does not respond is waited for too: its log
        // has the reason.
        let is_silent = one.container().is_some() && !one.answers;
        if plan.steps.len() > before || is_silent {
            awaited.push(AwaitedRegistry {
                container: spec.name.clone(),
                port: spec.port,
            });
        }
    }
    if !awaited.is_empty() {
        let action = Action::WaitRegistries {
            registries: awaited,
        };
        plan.push(Step::new("wait until what was started answers", action).effect(Effect::Reads));
    }
    plan
}

/// Describes the registry, or the proxy for a host.
fn what(spec: &Spec) -> String {
    match &spec.upstream {
        Some(upstream) => format!("the pull-through proxy for {} ({upstream})", spec.host),
        None => "the registry that builds push to".to_owned(),
    }
}

/// The name of the volume, which outlives the container.
fn volume(spec: &Spec) -> String {
    format!("talos-xtask-{}", spec.name)
}

fn run(spec: &Spec) -> Step {
    let publish = format!("127.0.0.1:{}:5000", spec.port);
    let volume = format!("{}:{DATA}", volume(spec));
    let (kind, variable) = match &spec.upstream {
        Some(upstream) => ("proxy", format!("{UPSTREAM}={upstream}")),
        None => (
            "registry",
            "REGISTRY_STORAGE_DELETE_ENABLED=true".to_owned(),
        ),
    };
    let label = format!("{LABEL}={kind}");
    let words = [
        "run",
        "-d",
        "-p",
        &publish,
        "-e",
        &variable,
        "-v",
        &volume,
        "--label",
        &label,
        // Not `always`: a stopped registry stays stopped.
        "--restart",
        "unless-stopped",
        "--name",
        &spec.name,
        IMAGE,
    ];
    docker(&format!("start {}", what(spec)), &words, Effect::Creates)
        .deadline(RUN_DEADLINE)
        .makes(Resource::Container {
            name: spec.name.clone(),
        })
}

fn is_as_wanted(container: &Container, spec: &Spec) -> bool {
    !container.is_public() && container.variable(UPSTREAM) == spec.upstream.as_deref()
}

pub(super) fn docker(why: &str, words: &[&str], effect: Effect) -> Step {
    Step::run(why, [&["docker"], words].concat())
        .effect(effect)
        .deadline(STOP_DEADLINE)
}

/// Returns the steps that stop what runs, or remove it with its volume.
/// `volumes` are the existing ones: a volume may have outlived its container.
///
/// # Errors
/// When something that this program did not create would be removed.
pub(crate) fn plan_down(
    title: &str,
    views: &[RegistryView],
    volumes: &[String],
    purge: bool,
) -> Result<Plan> {
    let mut plan = Plan::new(title);
    for one in views {
        let spec = &one.spec;
        match one.container() {
            Some(container) if purge && !container.is_ours => {
                return Err(Failure::usage(format!(
                    "container `{}` was made by hand: it is yours to remove",
                    spec.name
                ))
                .hint(program!("docker rm -f -v {}", spec.name)));
            }
            Some(_) if purge => {
                let why = format!("remove {}", what(spec));
                let gone = Resource::Container {
                    name: spec.name.clone(),
                };
                plan.push(docker(&why, &["rm", "-f", &spec.name], Effect::Destroys).unmakes(gone));
            }
            Some(container) if container.state != State::Stopped => {
                let why = format!("stop {}; what it holds stays", what(spec));
                plan.push(docker(&why, &["stop", &spec.name], Effect::Changes));
            }
            _ => {}
        }
        let volume = volume(spec);
        if purge && volumes.contains(&volume) {
            let why = format!("remove the data of {}", what(spec));
            plan.push(docker(
                &why,
                &["volume", "rm", "-f", &volume],
                Effect::Destroys,
            ));
        }
    }
    Ok(plan)
}

/// Returns the volumes for [`plan_down`], which only needs them for a purge.
///
/// # Errors
/// When docker does not respond.
pub(crate) fn volumes_to_purge(purge: bool) -> Result<Vec<String>> {
    if purge {
        containers::volumes()
    } else {
        Ok(Vec::new())
    }
}

/// Verifies that everything that `plan_down` was to stop or remove is stopped
/// or removed.
///
/// # Errors
/// What is not, or that docker does not respond.
pub(crate) fn check_down(views: &[RegistryView], purge: bool) -> Result<()> {
    let specs: Vec<&Spec> = views.iter().map(|one| &one.spec).collect();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let found = containers::inspect(&names)?;
    let mut left: Vec<String> = found
        .iter()
        .filter(|container| purge || container.state != State::Stopped)
        .map(|container| {
            format!(
                "container `{}` is {}",
                container.name,
                container.state.as_str()
            )
        })
        .collect();
    if purge {
        let volumes = containers::volumes()?;
        let held = specs.iter().map(|spec| volume(spec));
        let held = held.filter(|volume| volumes.contains(volume));
        left.extend(held.map(|volume| format!("volume `{volume}` exists")));
    }
    if left.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::step("docker reported success, and not everything is gone");
    failure.causes = left;
    Err(failure.hint(program!("docker ps -a")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundation::ctx::containers::Published;
    use foundation::plan::render_sh;

    fn container(is_ours: bool, state: State, address: &str) -> Container {
        Container {
            id: "1".into(),
            name: "local".into(),
            image: IMAGE.into(),
            image_id: "sha256:1".into(),
            state,
            created: String::new(),
            is_ours,
            ports: vec![Published {
                inner: "5000/tcp".into(),
                address: address.into(),
                port: 5005,
            }],
            env: Vec::new(),
            command: Vec::new(),
            volumes: Vec::new(),
        }
    }

    fn views(state: RegistryState) -> [RegistryView; 1] {
        let answers =
            matches!(&state, RegistryState::Ours(container) if container.state == State::Running);
        [RegistryView {
            spec: foundation::ctx::registries::local(),
            state,
            answers,
            reason: None,
        }]
    }

    fn commands(plan: &Plan) -> Vec<String> {
        let docker = |step: &Step| match &step.action {
            Action::Run(run) => Some(run.argv.join(" ")),
            _ => None,
        };
        plan.steps.iter().filter_map(docker).collect()
    }

    #[test]
    fn it_listens_on_loopback_alone_and_may_delete() {
        let plan = plan_up("t", &views(RegistryState::Absent));
        assert_eq!(
            commands(&plan),
            [
                "docker run -d -p 127.0.0.1:5005:5000 -e REGISTRY_STORAGE_DELETE_ENABLED=true \
              -v talos-xtask-local:/var/lib/registry --label talos-xtask=registry \
              --restart unless-stopped --name local registry:2"
            ]
        );
        assert!(render_sh(&plan).contains("until curl"));
    }

    #[test]
    fn one_that_is_silent_is_waited_for() {
        let mut silent = views(RegistryState::Ours(container(
            true,
            State::Restarting,
            "127.0.0.1",
        )));
        silent[0].answers = false;
        let plan = plan_up("t", &silent);
        assert_eq!(plan.steps.len(), 1);
        assert!(matches!(
            &plan.steps[0].action,
            Action::WaitRegistries { .. }
        ));
    }

    #[test]
    fn what_is_up_is_left_alone_whoever_made_it() {
        for (is_ours, address) in [(true, "127.0.0.1"), (false, "")] {
            let up = views(RegistryState::Ours(container(
                is_ours,
                State::Running,
                address,
            )));
            assert_eq!(plan_up("t", &up).steps, []);
        }
        let other = views(RegistryState::Other { who: "x".into() });
        assert_eq!(plan_up("t", &other).steps, []);
    }

    #[test]
    fn what_was_made_by_hand_is_started_and_never_removed() {
        let by_hand = views(RegistryState::Ours(container(
            false,
            State::Stopped,
            "0.0.0.0",
        )));
        assert_eq!(commands(&plan_up("t", &by_hand)), ["docker start local"]);
        plan_down("t", &by_hand, &[], true).unwrap_err();
        assert_eq!(plan_down("t", &by_hand, &[], false).unwrap().steps, []);
        let running = views(RegistryState::Ours(container(
            false,
            State::Running,
            "0.0.0.0",
        )));
        assert_eq!(
            commands(&plan_down("t", &running, &[], false).unwrap()),
            ["docker stop local"]
        );
    }

    #[test]
    fn ours_is_made_anew_where_it_is_not_as_wanted_and_keeps_its_volume() {
        let public = views(RegistryState::Ours(container(
            true,
            State::Running,
            "0.0.0.0",
        )));
        let commands = commands(&plan_up("t", &public));
        assert_eq!(commands[0], "docker rm -f local");
        assert!(commands[1].contains("-v talos-xtask-local:"));
    }
}
