//! The plan of a run of unit tests, to be shown or pasted.

use foundation::plan::{Action, Effect, Plan, Run, Step};
use foundation::run::gotest::{Job, Link, Pool};

/// Returns the steps of a run; `own` is the command that starts this program.
pub(super) fn plan(title: String, links: &[Link], jobs: &[Job], own: &str) -> Plan {
    let mut plan = Plan::new(title);
    for link in links {
        let count = link.packages.len();
        let mut argv = link.argv.clone();
        argv.extend(link.packages.iter().map(|(package, _)| package.clone()));
        argv.extend(link.untested.iter().cloned());
        let why = match link.untested.len() {
            0 => format!("Link the tests of {count} package(s), where they are not fresh"),
            more => format!("Build and vet {more} package(s) without tests"),
        };
        let step = Step::new(
            why,
            Action::Run(Run {
                argv,
                env: link.environment.clone(),
                cwd: Some(link.folder.clone()),
                ..Run::default()
            }),
        );
        plan.push(step.effect(Effect::Creates));
    }
    for job in jobs {
        let mut argv = Vec::new();
        if job.attempt.as_root {
            argv.extend([own.to_owned(), "exec-root".to_owned()]);
            if job.pool == Pool::Isolated {
                argv.push("--isolate".to_owned());
            }
        }
        argv.push(job.binary.to_string());
        argv.extend(job.arguments.iter().cloned());
        let user = match job.pool {
            Pool::Plain => "",
            Pool::Isolated => ", as root in a network of their own",
            Pool::Host => ", as root, one package at a time",
        };
        let step = Step::new(
            format!("The tests of {}{user}", job.attempt.package),
            Action::Run(Run {
                argv,
                env: if job.attempt.as_root {
                    Vec::new()
                } else {
                    job.environment.clone()
                },
                cwd: Some(job.folder.clone()),
                ..Run::default()
            }),
        );
        plan.push(step.deadline(job.deadline.as_secs()));
    }
    plan
}
