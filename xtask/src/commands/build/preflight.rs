//! Checks what a build needs of this host, and reports everything that is
//! missing before anything starts. Only files are looked at, because a process
//! would cost too much time here.

use camino::Utf8PathBuf;

use crate::app::App;
use foundation::ctx::buildx::{self, CurrentBuilder};
use foundation::ctx::host::Host;
use foundation::ctx::image_reference;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Plan};
use foundation::typed;

/// Tools that recipes of the three repositories call, with their origin.
const TOOLS: &[(&str, &str)] = &[
    (
        "docker",
        "install Docker: https://docs.docker.com/engine/install/",
    ),
    (
        "crane",
        "go install github.com/google/go-containerregistry/cmd/crane@latest",
    ),
    ("yq", "go install github.com/mikefarah/yq/v4@latest"),
    ("curl", "install curl"),
    ("diffoscope", "install diffoscope"),
];

/// # Errors
/// Exit code 3 with every missing tool.
pub(crate) fn check(app: &App<'_>, plan: &Plan) -> Result<()> {
    let lines: Vec<&str> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Run(run) if run.recipe => run.argv.last().map(String::as_str),
            _ => None,
        })
        .collect();
    let uses = |tool: &str| {
        let calls = |line: &&str| {
            line.split(|c: char| c.is_whitespace() || ";|&()`".contains(c))
                .any(|word| word == tool)
        };
        lines.iter().any(calls)
    };
    let mut missing: Vec<String> = TOOLS
        .iter()
        .filter(|(tool, _)| uses(tool) && Host::which(tool).is_none())
        .map(|(tool, fix)| format!("`{tool}` is not on PATH: {fix}"))
        .collect();
    let builds = lines.iter().any(|line| line.contains("docker buildx"));
    if builds && Host::which("docker").is_some() && plugin(app).is_none() {
        missing.push("docker has no buildx plugin: install docker-buildx-plugin, or put `docker-buildx` into ~/.docker/cli-plugins".to_owned());
    }
    let builder = buildx::current_builder(&app.ctx.dirs.home);
    if builds {
        check_reach(plan, builder.as_ref())?;
    }
    let privileged = lines.iter().any(|line| line.contains("security.insecure"));
    if builds && privileged && builder.is_none() {
        missing.push(format!("it asks for the entitlement security.insecure, which docker's own builder does not grant: `{}`", typed!("builder create")));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::host("the build needs programs that are missing on this host").hint(
        format!("{}; `--no-preflight` looks at nothing", typed!("doctor")),
    );
    failure.causes = missing;
    Err(failure)
}

/// 127.0.0.1 of another machine is a different host: images pushed there would
/// be lost.
fn check_reach(plan: &Plan, builder: Option<&CurrentBuilder>) -> Result<()> {
    let Some(builder) = builder.filter(|builder| builder.is_remote()) else {
        return Ok(());
    };
    let pushed = plan.steps.iter().filter_map(|step| match &step.action {
        Action::RecordImages {
            references,
            metadata: Some(_),
            ..
        } => Some(references),
        _ => None,
    });
    let local = |reference: &&String| {
        image_reference::split(reference)
            .is_some_and(|(registry, ..)| image_reference::is_local(registry))
    };
    let Some(reference) = pushed.flatten().find(local) else {
        return Ok(());
    };
    Err(Failure::host(format!("the builder `{}` is on another machine and would push `{reference}` there", builder.name))
        .cause(format!("127.0.0.1 is the loopback of {}, where no registry of yours is", builder.endpoint))
        .hint("`--registry HOST:PORT` that both reach, or a builder of this machine: `docker buildx use NAME`"))
}

/// The folders in which docker looks for plugins.
fn plugin(app: &App<'_>) -> Option<Utf8PathBuf> {
    let config = std::env::var("DOCKER_CONFIG")
        .map_or_else(|_| app.ctx.dirs.home.join(".docker"), Utf8PathBuf::from);
    let system = [
        "/usr/local/lib",
        "/usr/local/libexec",
        "/usr/lib",
        "/usr/libexec",
    ];
    std::iter::once(config)
        .chain(system.map(|dir| Utf8PathBuf::from(dir).join("docker")))
        .map(|dir| dir.join("cli-plugins/docker-buildx"))
        .find(|path| path.exists())
}
