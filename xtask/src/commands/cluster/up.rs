//! `cluster up`: the guide's "Running Talos cluster".

use camino::Utf8Path;
use clap::Args;
use talos::names::{NodeSocket, Role, check_socket_paths};
use talos::network::Cidr;
use talos::version::{Support, TalosVersion};

use super::facts::Facts;
use super::keep::KeepFailed;
use super::machine::{MachineArgs, value_of};
use super::settings::{Settings, Size};
use super::{Which, relay, security, status};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::airgap::{AirGap, Mode, REVERSE_PROXY_PORT};
use foundation::ctx::client_config::ClientConfig;
use foundation::ctx::cluster::{ClusterState, ClusterView, FaultKind, NodeState, NodeView, UP};
use foundation::ctx::network;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Plan, Resource, Step, Watch};
use foundation::record::lock;
use foundation::run::Options;
use foundation::typed;
use foundation::wait::{Wait, Waited};
use std::time::Duration;

#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct UpArgs {
    #[command(flatten)]
    pub which: Which,
    /// Network of the cluster [default: 172.20.0.0/24]
    #[arg(long)]
    pub cidr: Option<String>,
    /// Number of control planes: 1, 3 or more [default: 3, fewer if memory is short]
    #[arg(long, value_name = "N")]
    pub controlplanes: Option<u32>,
    /// Number of workers [default: 2, fewer if memory is short]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Memory per node, in MiB or with a unit: GB is 10^9 bytes, GiB is 2^30
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Talos version of the machine configuration
    #[arg(long, value_name = "VERSION")]
    pub talos_version: Option<String>,
    /// Patch of the machine configuration, or @FILE; may be repeated
    #[arg(long, value_name = "PATCH")]
    pub config_patch: Vec<String>,
    /// Install Talos to disk and boot from there [default: each boot loads the built initramfs]
    #[arg(long)]
    pub with_bootloader: bool,
    /// Boot with SELinux enforcing, and verify it on each node
    #[arg(long)]
    pub enforcing: bool,
    /// Send every SELinux denial to the console: boot with all kernel arguments of `selinux cmdline`
    #[arg(long)]
    pub selinux_debug: bool,
    /// Wait until Kubernetes is ready (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Return once the Talos API responds (talosctl always waits for that)
    #[arg(long)]
    pub no_wait: bool,
    /// Also add the cluster's contexts to your talosconfig and kubeconfig
    #[arg(long)]
    pub merge: bool,
    /// Keep the nodes on their bridge, and record what they ask for; see `airgap up`
    #[arg(long, value_enum, value_name = "MODE")]
    pub airgap: Option<Mode>,
    /// If creation fails, keep what there is of the cluster
    #[arg(long)]
    pub keep_failed: bool,
    #[command(flatten)]
    pub machine: Box<MachineArgs>,
    /// Arguments for `talosctl cluster create`
    #[arg(last = true, value_name = "TALOSCTL ARGS")]
    pub talosctl_args: Vec<String>,
}

/// The lock under which a network is chosen, for all clusters of this user.
const NETWORKS: &str = "networks";
/// talosctl's own limit is 20 minutes of waiting; emulation is slower.
const DEADLINE_SECONDS: u64 = 45 * 60;
/// Longest time from the last check of talosctl until every node prints that it is
/// ready.
const READY_SOON: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Without a verb: creates the cluster, or shows the status of an existing one.
pub(super) fn run_or_status(app: &App<'_>, args: &UpArgs, json: bool) -> Result<u8> {
    let settings = Settings::new(&app.ctx, args)?;
    let view = ClusterView::examine(&app.ctx, settings.name.as_str());
    match view.state {
        ClusterState::Absent => create(app, args, settings, json),
        _ if is_without_relay_only(&view) => existing(app, args, &view, json),
        _ => Ok(status::report(app, &view, json)),
    }
}

pub(super) fn run(app: &App<'_>, args: &UpArgs) -> Result<u8> {
    let settings = Settings::new(&app.ctx, args)?;
    let view = ClusterView::examine(&app.ctx, settings.name.as_str());
    match view.state {
        ClusterState::Absent => create(app, args, settings, false),
        _ => existing(app, args, &view, false),
    }
}

fn create(app: &App<'_>, args: &UpArgs, mut settings: Settings, json: bool) -> Result<u8> {
    let ctx = &app.ctx;
    // Usage errors are reported before what is missing on the machine.
    settings.size(None)?;
    // What is missing on this machine is reported before a network in use.
    let mut plan = gather_and_plan(ctx, &settings, app.is_dry())?;
    if app.is_dry() {
        match choose_network(ctx, &mut settings) {
            Ok(true) => plan = gather_and_plan(ctx, &settings, true)?,
            Ok(false) => {}
            Err(failure) if failure.what == network::UNKNOWN => plan.note(failure.in_one_line()),
            Err(failure) => return Err(failure),
        }
        app.show(&plan)?;
        return Ok(0);
    }
    ctx.needs_linux("cluster up")?;
    let name = settings.name.clone();
    let _lock = super::lock(app, name.as_str(), UP)?;
    // Another run may have created it while this one waited for the lock.
    let view = ClusterView::examine(ctx, name.as_str());
    if view.state != ClusterState::Absent {
        return existing(app, args, &view, json);
    }
    {
        // Two runs must not choose one network: the ledger has it before the
        // lock is free.
        let _networks = lock::take_soon(&ctx.dirs.state, NETWORKS, UP)?;
        if choose_network(ctx, &mut settings)? {
            plan = gather_and_plan(ctx, &settings, false)?;
        }
        for made in plan.steps.iter().filter_map(|step| step.makes.as_ref()) {
            if matches!(made, Resource::Cluster { .. }) {
                app.runner().intend(made)?;
            }
        }
    }
    let keep = KeepFailed { undo: app.undo };
    let mut runner = app.runner();
    if args.keep_failed {
        runner.undo = &keep;
    }
    runner.run(&plan, Options::default())?;
    let view = created(app, name.as_str(), settings.wait)?;
    if let Some(node) = view.nodes.iter().find(|node| node.state == NodeState::Down) {
        return Err(super::death_of(&view, node, "the cluster came up, but"));
    }
    security::verify(app, &settings, &view)?;
    let code = status::report(app, &view, json);
    // With `--no-wait` the nodes still boot.
    Ok(if settings.wait { code } else { 0 })
}

/// Examines the created cluster. talosctl is content before the last node prints
/// that it is ready, so with `wait` this waits for that.
fn created(app: &App<'_>, name: &str, wait: bool) -> Result<ClusterView> {
    let examine = || ClusterView::examine(&app.ctx, name);
    let has_settled = |view: &ClusterView| {
        let waits = |node: &NodeView| matches!(node.state, NodeState::Starting | NodeState::Booted);
        !view.nodes.iter().any(waits)
    };
    if wait {
        let limit = Wait::default().within(READY_SOON).or_signal(app.signals);
        let look = || {
            let view = examine();
            Ok::<_, Failure>(has_settled(&view).then_some(view))
        };
        if let Waited::Found(view) = limit.look_every(LOOK_AGAIN, look)? {
            return Ok(view);
        }
    }
    Ok(examine())
}

/// Handles a cluster that exists.
fn existing(app: &App<'_>, args: &UpArgs, view: &ClusterView, json: bool) -> Result<u8> {
    let name = &view.name;
    let is_running = view.state == ClusterState::Running || is_without_relay_only(view);
    if !is_running {
        return Err(in_the_way(view));
    }
    if let Some(difference) = difference(&app.ctx, args, view) {
        return Err(
            Failure::host(format!("cluster `{name}` is running with other settings"))
                .cause(difference)
                .hint(typed!("cluster destroy --name {}", name)),
        );
    }
    let settings = Settings::new(&app.ctx, args)?;
    if !app.is_dry() {
        security::verify(app, &settings, view)?;
    }
    if relay::repair(app, view)? {
        if app.is_dry() {
            return Ok(0);
        }
        let repaired = ClusterView::examine(&app.ctx, name);
        return Ok(status::report(app, &repaired, json));
    }
    app.ui.note(&format!("cluster `{name}` is already running"));
    Ok(status::report(app, view, json))
}

/// Whether only the relay is gone, which `cluster up` starts again.
fn is_without_relay_only(view: &ClusterView) -> bool {
    let mut faults = view.faults.iter();
    !view.faults.is_empty() && faults.all(|fault| fault.kind == FaultKind::Relay)
}

/// Returns the first requested setting that the cluster does not have.
fn difference(ctx: &Ctx, args: &UpArgs, view: &ClusterView) -> Option<String> {
    let config = &ctx.config.cluster;
    let count = |role: Role| {
        let nodes = view.nodes.iter().filter(|node| node.role == Some(role));
        u32::try_from(nodes.count()).unwrap_or(u32::MAX)
    };
    let counts = [
        (
            "control plane(s)",
            args.controlplanes.or(config.controlplanes),
            Role::ControlPlane,
        ),
        ("worker(s)", args.workers.or(config.workers), Role::Worker),
    ];
    for (what, asked, role) in counts {
        let has = count(role);
        if let Some(asked) = asked.filter(|asked| *asked != has) {
            return Some(format!("it has {has} {what}, not {asked}"));
        }
    }
    let cidr = args.cidr.as_ref().or(config.cidr.as_ref());
    let asked = cidr.and_then(|cidr| Cidr::parse(cidr).ok());
    if let (Some(asked), Some(has)) = (asked, view.cidr)
        && asked != has
    {
        return Some(format!("its network is {has}, not {asked}"));
    }
    if let Some(mode) = args.airgap {
        let gap = AirGap::read(ctx, &view.name).ok().flatten();
        if gap.is_none_or(|gap| gap.mode != mode) {
            return Some(format!("it has no air gap of mode {}", mode.as_str()));
        }
    }
    let asked = args.memory.as_ref()?;
    let settings = Settings::new(ctx, args).ok()?;
    let other = view.nodes.iter().find(|node| {
        node.memory
            .is_some_and(|bytes| Some(bytes >> 20) != settings.memory)
    })?;
    let mib = other.memory.unwrap_or_default() >> 20;
    Some(format!(
        "{} has {mib} MiB of memory, not {asked}",
        other.name
    ))
}

/// Returns why a cluster of that name cannot be created, with a command.
fn in_the_way(view: &ClusterView) -> Failure {
    let name = &view.name;
    let failure = Failure::host(format!(
        "cluster `{name}` already exists and is {}",
        view.state.as_str()
    ));
    let first = view.faults.first();
    let failure = match first {
        Some(fault) => {
            let failure = failure.cause(&fault.what);
            fault.evidence.iter().fold(failure, Failure::cause)
        }
        None => view.creator.iter().fold(failure, |failure, creator| {
            failure.cause(format!("it is being created by {creator}"))
        }),
    };
    failure.hint(match view.state {
        ClusterState::Stopped => typed!("cluster start --name {}", name),
        ClusterState::Creating => typed!("cluster status --name {}", name),
        ClusterState::Foreign => typed!("cluster up --name {}", format!("{name}-qemu")),
        ClusterState::Degraded => typed!("cluster explain --name {}", name),
        _ => first
            .and_then(|fault| fault.hint.clone())
            .unwrap_or_else(|| typed!("cluster destroy --name {}", name)),
    })
}

fn gather_and_plan(ctx: &Ctx, settings: &Settings, is_dry: bool) -> Result<Plan> {
    let facts = Facts::gather(ctx, settings, is_dry)?;
    let size = settings.size(facts.memory_available)?;
    plan_up(settings, &size, &facts)
}

/// Refuses a network that is in use, because two clusters on one network both
/// "succeed" and share a bridge address (T10). If no network is requested, the
/// next free one is chosen and the result is true.
///
/// # Errors
/// Also if the networks in use are unknown.
fn choose_network(ctx: &Ctx, settings: &mut Settings) -> Result<bool> {
    let wanted = settings.cidr;
    let taken = network::networks_in_use(ctx, settings.name.as_str())?;
    let Some(other) = taken.iter().find(|other| other.cidr.overlaps(wanted)) else {
        return Ok(false);
    };
    let free = network::first_free(&taken, wanted.prefix());
    if !settings.is_cidr_given
        && let Ok(cidr) = Cidr::parse(&free)
    {
        settings.cidr = cidr;
        return Ok(true);
    }
    Err(
        Failure::host(format!("the network {wanted} is already in use"))
            .cause(format!("{} has {}", other.who, other.cidr))
            .hint(format!("--cidr {free}")),
    )
}

/// Returns the steps of the guide's section.
pub(crate) fn plan_up(settings: &Settings, size: &Size, facts: &Facts) -> Result<Plan> {
    let name = settings.name.as_str();
    let state_dir = facts.talos_home.join("clusters").join(name);
    let nodes = settings.name.nodes(size.controlplanes, size.workers);
    check_socket_paths(state_dir.as_str(), &nodes, &NodeSocket::ALWAYS).map_err(|error| {
        Failure::usage(error.to_string())
            .hint("a shorter --name, or a shorter TALOS_HOME (Talos 1.12 and newer)")
    })?;
    let version = &facts.talosctl.version;
    let mut plan = Plan::new(format!(
        "cluster `{name}`: {} control plane(s) and {} worker(s) on {}, talosctl {version}",
        size.controlplanes, size.workers, settings.cidr,
    ));
    plan.notes.extend(size.note.clone());
    plan.notes.extend(facts.notes.iter().cloned());
    match version.support() {
        Support::Known => {}
        Support::TooOld { oldest } => {
            return Err(Failure::host(format!(
                "talosctl {version} is older than {oldest}, the oldest supported release"
            )));
        }
        Support::Newer { newest } => plan.note(format!(
            "talosctl {version} is newer than {newest}, the newest supported release; treating it as {newest}"
        )),
    }
    // The lab's nodes do not pull, or pull from its own registries.
    if facts.mirrors.is_empty() && !facts.inside_lab {
        plan.note("no registry and no pull-through proxy answers on this machine: nodes pull from the internet");
    }
    if settings.with_bootloader && !settings.secure_boot {
        plan.note("with a bootloader nodes boot from disk: a rebuilt initramfs needs a new installer image");
    }
    if !settings.kernel_args.is_empty() && (settings.with_bootloader || settings.secure_boot) {
        plan.note(security::LOST_AFTER_INSTALL);
    }
    let gets_extra_disks =
        value_of(&settings.talosctl_args, "extra-disks").is_some_and(|n| n != "0");
    if gets_extra_disks
        && size.workers == 0
        && version.extra_disks_on_controlplanes_flag().is_none()
    {
        plan.note(format!(
            "no node gets an extra disk: talosctl {version} adds them to workers only, and there are none"
        ));
    }
    check_debug_shell(settings, version)?;
    plan.steps.extend(own_folders(facts));
    if let Some(relaying) = &facts.relaying {
        plan.push(relay::start(&facts.exe, relaying));
    }
    if let Some(wanted) = &facts.airgap {
        if !facts.has_airgap {
            plan.steps.extend(wanted.start());
        }
        plan.push(wanted.verify());
        if version.airgapped_flag().is_none() {
            plan.note(format!(
                "talosctl {version} has no `--airgapped`: only the rules keep nodes on the bridge"
            ));
        }
    }
    plan.steps.extend(own_files(settings, facts));
    plan.push(create_step(settings, size, facts, &state_dir));
    plan.steps.extend(give_back(facts));
    plan.steps.extend(select(settings, facts));
    plan.steps.extend(merge(settings, facts));
    Ok(plan)
}

/// Folders that talosctl would create as root.
fn own_folders(facts: &Facts) -> Vec<Step> {
    let folders: &[&str] = match facts.owner {
        // The last folder is read when something has to be cleaned up.
        Some(_) => &["clusters", "cni/bin", "cni/conf.d", "cni/cache/results"],
        None => &[],
    };
    let create = |folder: &&str| {
        let path = facts.talos_home.join(folder);
        let why = "create the folder first, because talosctl runs as root";
        Step::new(why, Action::CreateDir { path }).effect(Effect::Creates)
    };
    folders.iter().map(create).collect()
}

/// The cluster's own talosconfig and kubeconfig. talosctl, as root, writes into
/// what it finds, so the files stay the user's.
fn own_files(settings: &Settings, facts: &Facts) -> Vec<Step> {
    let client = &facts.client;
    let mut steps = Vec::new();
    for (what, path, contents) in [
        (
            "talosconfig",
            client.talosconfig(),
            ClientConfig::EMPTY_TALOSCONFIG,
        ),
        (
            "kubeconfig",
            client.kubeconfig(),
            ClientConfig::EMPTY_KUBECONFIG,
        ),
    ] {
        if is_given(settings, what) {
            continue;
        }
        let action = Action::WriteFile {
            path,
            contents: contents.to_owned(),
            mode: 0o600,
        };
        let why = format!("create the cluster's own {what} as you");
        steps.push(Step::new(why, action).effect(Effect::Creates));
    }
    steps
}

/// Whether the user's arguments set the path of that file.
fn is_given(settings: &Settings, file: &str) -> bool {
    file == "talosconfig" && value_of(&settings.talosctl_args, file).is_some()
}

/// Links `talosctl` for `cluster env`, and selects the default node.
fn select(settings: &Settings, facts: &Facts) -> Vec<Step> {
    let bin = facts.client.bin();
    let link = bin.join("talosctl");
    let mut steps = vec![
        Step::new("create a folder for PATH", Action::CreateDir { path: bin })
            .effect(Effect::Creates),
        Step::run(
            "link talosctl for `cluster env`",
            ["ln", "-sfn", facts.talosctl.path.as_str(), link.as_str()],
        )
        .effect(Effect::Creates),
    ];
    let first = settings.cidr.node(0);
    if let Some(node) = first.filter(|_| !is_given(settings, "talosconfig")) {
        let talosconfig = format!("--talosconfig={}", facts.client.talosconfig());
        let argv = [
            facts.talosctl.path.as_str(),
            "config",
            "nodes",
            &node.to_string(),
            &talosconfig,
        ];
        steps.push(Step::run("select the first control plane by default", argv));
    }
    steps
}

/// Adds contexts to the user's own files, as the user.
fn merge(settings: &Settings, facts: &Facts) -> Vec<Step> {
    if !settings.merge {
        return Vec::new();
    }
    let (talosconfig, kubeconfig) = &facts.user_files;
    let own = facts.client.talosconfig();
    let talosctl = facts.talosctl.path.as_str();
    let mut steps = vec![Step::run(
        "add the context to your talosconfig",
        [
            talosctl,
            "config",
            "merge",
            own.as_str(),
            &format!("--talosconfig={talosconfig}"),
        ],
    )];
    // With `--no-wait` there may be no Kubernetes yet.
    if settings.wait {
        steps.push(Step::run(
            "add the context to your kubeconfig",
            [
                talosctl,
                "kubeconfig",
                kubeconfig.as_str(),
                &format!("--talosconfig={own}"),
            ],
        ));
    }
    steps
}

/// # Errors
/// On lines without it.
fn check_debug_shell(settings: &Settings, version: &TalosVersion) -> Result<()> {
    if !settings.debug_shell || version.has_debug_shell() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "talosctl {version} has no debug shell on the console"
    ))
    .cause("`talosctl debug` replaced it: it runs a container on a node that has booted")
    .hint(typed!(
        "talosctl -- debug docker.io/library/alpine:latest --args /bin/sh"
    )))
}

fn create_step(settings: &Settings, size: &Size, facts: &Facts, state_dir: &Utf8Path) -> Step {
    let name = settings.name.as_str();
    let mut step = Step::run(
        "create the cluster and wait for it",
        create_argv(settings, size, facts),
    )
    .as_root()
    .condense_waits()
    .cwd(facts.checkout.clone())
    .env("KUBECONFIG", facts.client.kubeconfig())
    .deadline(DEADLINE_SECONDS)
    .makes(Resource::Cluster {
        name: name.to_owned(),
        state_dir: state_dir.to_owned(),
        bridge: settings.name.bridge(),
        cidr: settings.cidr.to_string(),
    })
    .watch(Watch::ClusterNodes {
        name: name.to_owned(),
        state_dir: state_dir.to_owned(),
    });
    if let Some(home) = &facts.talos_home_env {
        step = step.env("TALOS_HOME", home);
    }
    step
}

fn create_argv(settings: &Settings, size: &Size, facts: &Facts) -> Vec<String> {
    let version = &facts.talosctl.version;
    let mut argv = vec![facts.talosctl.path.to_string()];
    argv.extend(version.create_args().iter().map(ToString::to_string));
    let mut flag = |name: &str, value: String| argv.push(format!("--{name}={value}"));
    flag("name", settings.name.as_str().to_owned());
    flag("cidr", settings.cidr.to_string());
    flag("controlplanes", size.controlplanes.to_string());
    flag("workers", size.workers.to_string());
    if let Some(mib) = settings.memory {
        flag("memory", version.memory_value(mib));
    }
    if let Some(mib) = settings.memory_workers {
        flag("memory-workers", version.memory_value(mib));
    }
    for (name, file) in [
        ("vmlinuz-path", &facts.kernel),
        ("initrd-path", &facts.initramfs),
        ("iso-path", &facts.iso),
    ] {
        if let Some(file) = file {
            flag(name, file.to_string());
        }
    }
    let with_bootloader = settings.with_bootloader || settings.secure_boot;
    flag("with-bootloader", with_bootloader.to_string());
    if !is_given(settings, "talosconfig") {
        flag("talosconfig", facts.client.talosconfig().into_string());
    }
    let gateway = settings
        .cidr
        .gateway()
        .map(|address| address.to_string())
        .unwrap_or_default();
    let target = facts
        .airgap
        .as_ref()
        .and_then(|wanted| wanted.gap.reverse_target());
    let is_target = |host: &str| target.iter().any(|target| target.registry == host);
    for mirror in &facts.mirrors {
        if !is_target(&mirror.host) {
            let url = format!("http://{gateway}:{}", mirror.port);
            flag("registry-mirror", format!("{}={url}", mirror.host));
        }
    }
    // As in Talos' CI: images of that registry come by the reverse proxy.
    if let Some(target) = &target {
        let url = format!("https://{gateway}:{REVERSE_PROXY_PORT}");
        flag("registry-mirror", format!("{}={url}", target.registry));
    }
    if let Some(image) = &facts.install_image {
        flag("install-image", image.clone());
    }
    if let Some(contract) = &settings.talos_version {
        flag("talos-version", contract.clone());
    }
    for patch in &settings.config_patches {
        flag("config-patch", patch.clone());
    }
    if let Some(wanted) = &facts.airgap
        && wanted.gap.mode.has_helper()
    {
        flag("config-patch", format!("@{}", wanted.gap.patch()));
    }
    if !settings.wait {
        flag("wait", "false".to_owned());
    }
    if settings.debug_shell {
        flag("with-debug-shell", "true".to_owned());
    }
    let is_gap = settings.airgap == Some(Mode::Gap);
    argv.extend(
        version
            .airgapped_flag()
            .filter(|_| is_gap)
            .map(str::to_owned),
    );
    argv.extend(settings.talosctl_args.iter().cloned());
    let has_extra_disks = value_of(&settings.talosctl_args, "extra-disks").is_some();
    let on_controlplanes = version.extra_disks_on_controlplanes_flag();
    let on_controlplanes = on_controlplanes.filter(|_| has_extra_disks && size.workers == 0);
    argv.extend(on_controlplanes.map(str::to_owned));
    argv
}

/// talosctl does not know the user behind sudo (T14). What it downloads and
/// caches is given back to the user; after a failed run this is found by
/// looking.
fn give_back(facts: &Facts) -> Option<Step> {
    let (uid, gid) = facts.owner?;
    let argv = [
        "chown".to_owned(),
        "-R".into(),
        "--from=0:0".into(),
        "--silent".into(),
        format!("{uid}:{gid}"),
        facts.talos_home.join("cni").into_string(),
        facts.talos_home.join("cache").into_string(),
    ];
    // Not all of them exist.
    Some(
        Step::run("give back to you what talosctl downloaded", argv)
            .as_root()
            .also_ok(&[1]),
    )
}
