//! `kmod deploy`: upgrades a node to an installer with extensions, unless it is known
//! beforehand that the node would not boot as it should.

use std::time::Duration;

use clap::Args;
use foundation::ctx::image_source::{ImageSource, failure};
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Plan, Step};
use foundation::typed;
use foundation::ui;
use foundation::units::parse_duration;

use super::expected::Expected;
use super::node_state::NodeState;
use super::verify::{architecture, is_in_effect};
use crate::app::App;
use crate::commands::cluster::Which;
use crate::commands::cluster::reach::reach;

#[derive(Debug, Clone, Args)]
pub struct DeployArgs {
    /// Node: name, end of it, or address; an address may be of a machine outside of the cluster
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Installer image, by a reference that the node can pull
    #[arg(value_name = "INSTALLER")]
    pub installer: String,
    /// Image of an extension in the installer, for what its services need on the node
    #[arg(long, value_name = "IMAGE")]
    pub extension: Vec<String>,
    /// Kernel argument that the installer was built with
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub kernel_arg: Vec<String>,
    /// Timeout for the upgrade, such as 90s or 10m; a plain number is seconds
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub which: Which,
}

pub(super) fn run(app: &App<'_>, args: &DeployArgs) -> Result<u8> {
    let node = reach(app, &args.which, &args.node)?;
    if let Err(error) = node.api.text(&["version"]) {
        return Err(Failure::host(format!("node `{}` does not answer", node.name)).cause(error));
    }
    let arch = architecture(&node.api);
    let mut extensions = Vec::new();
    for word in &args.extension {
        extensions.push(Expected::read(app, word, arch)?);
    }
    let mut obstacles = installer(app, &args.installer, arch)?;
    let state = NodeState::read(&node.api);
    obstacles.extend(services(&state, &extensions));
    obstacles.extend(arguments(&state, &args.kernel_arg));
    if !obstacles.is_empty() {
        let mut failure = Failure::new(
            Exit::Checks,
            format!("node `{}` is not ready for this installer", node.name),
        );
        failure.causes = obstacles;
        return Err(failure.hint(typed!("kmod lint --explain")));
    }
    let seconds = args.timeout.as_secs();
    let image = format!("--image={}", args.installer);
    let timeout = format!("--timeout={seconds}s");
    let line = node.api.argv(&["upgrade", &image, "--wait", &timeout]);
    let why = format!("upgrade {} and wait for it", node.name);
    let mut plan = Plan::new(format!("deploy {} to {}", args.installer, node.name));
    plan.push(Step::run(why, line).deadline(seconds));
    if app.carry_out(&plan)? {
        let mut next = typed!("kmod verify {}", args.node);
        for word in &args.extension {
            next.push(' ');
            next += &foundation::shell::quote(word);
        }
        ui::print(&format!("upgraded {}\n  next: {next}\n", node.name));
    }
    Ok(0)
}

/// What is wrong with the image. One in a registry elsewhere is not read.
fn installer(app: &App<'_>, word: &str, arch: Option<&str>) -> Result<Vec<String>> {
    let reference = oci::Reference::parse(word).map_err(|reason| {
        Failure::usage(format!("invalid reference `{word}`"))
            .cause(reason)
            .hint("name the installer with its registry: 127.0.0.1:5005/me/installer:v1.12.0")
    })?;
    if !reference.registry.starts_with("127.") && !reference.registry.starts_with("localhost") {
        app.ui.note(&format!(
            "`{word}` was not checked: its registry is not on this machine"
        ));
        return Ok(Vec::new());
    }
    let source = ImageSource::open(&app.ctx.cwd, word)?;
    let images = source.images().map_err(|error| failure(word, &error))?;
    let of_arch = |arch: &str| images.iter().any(|it| it.platform.architecture == arch);
    let mut obstacles = Vec::new();
    if let Some(arch) = arch.filter(|arch| !of_arch(arch)) {
        obstacles.push(format!("`{word}` has no image for {arch}"));
    }
    for image in &images {
        let entrypoint = image
            .config
            .as_ref()
            .and_then(|it| it.config.entrypoint.first());
        if entrypoint.is_none_or(|it| it != "/bin/installer") {
            obstacles.push(format!(
                "`{word}` is not an installer: its entrypoint is {}, not /bin/installer (`docker import` drops it)",
                entrypoint.map_or("missing", String::as_str)
            ));
        }
    }
    Ok(obstacles)
}

/// A service without its configuration keeps the node in the boot sequence.
fn services(state: &NodeState, extensions: &[Expected]) -> Vec<String> {
    let needed = extensions
        .iter()
        .flat_map(|it| it.configured_services.iter());
    let configured = match &state.service_configurations {
        Ok(configured) => configured,
        Err(error) => {
            let needed: Vec<&String> = needed.collect();
            return needed
                .first()
                .map(|name| format!("the service {name} needs an ExtensionServiceConfig; whether the node has it is unknown: {error}"))
                .into_iter()
                .collect();
        }
    };
    let missing = needed.filter(|name| !configured.contains(name));
    missing
        .map(|name| {
            format!("the service {name} waits for an ExtensionServiceConfig, without which the node never finishes booting: apply the document with `name: {name}`")
        })
        .collect()
}

/// Arguments that had no effect will have none after the upgrade.
fn arguments(state: &NodeState, in_installer: &[String]) -> Vec<String> {
    let (Ok(cmdline), Ok(configured)) = (&state.cmdline, &state.configured_arguments) else {
        return Vec::new();
    };
    let is_lost = |it: &&String| !is_in_effect(cmdline, it) && !in_installer.contains(it);
    let lost = configured.iter().filter(is_lost);
    lost.map(|it| {
        format!("the kernel argument {it} of the machine configuration is not in effect, as with a UKI: build the installer with `--extra-kernel-arg {it}`, and name it here with `--kernel-arg`")
    })
    .collect()
}
