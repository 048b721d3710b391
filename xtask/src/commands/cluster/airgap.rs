//! The air gap in the plans of `cluster` and `airgap`: it is there before the nodes, whose
//! first packets count too, and goes after them.

use camino::Utf8PathBuf;
use talos::names::ClusterName;
use talos::network::Cidr;

use foundation::ctx::Ctx;
use foundation::ctx::airgap::{
    AirGap, HTTPS_PORT, Mode, PROXY_PORT, REVERSE_PROXY_PORT, ReverseTarget, SECURE_PROXY_PORT,
};
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::host::Host;
use foundation::ctx::own_executable::own_executable;
use foundation::ctx::ports::{self, Protocol};
use foundation::ctx::registries;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Failure, Result};
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::run::Undoing;
use foundation::typed;

/// Neither has state to flush.
const GRACE_SECONDS: u64 = 2;
/// What the reverse proxy of `cluster up` stands for: the registry that builds push to.
pub(in crate::commands) const REVERSE_TARGET: &str = "http://127.0.0.1:5005";

/// A program, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 3] = [
    ("nft", "nftables"),
    ("tcpdump", "tcpdump"),
    ("setpriv", "util-linux"),
];
const PROGRAMS_OF_HELPER: [(&str, &str); 1] = [("curl", "curl")];

/// An air gap that is to be set up.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Wanted {
    pub(in crate::commands) gap: AirGap,
    exe: Utf8PathBuf,
    /// The helper's command line; empty without one.
    helper: Vec<String>,
    /// User and group of the observer; none if this process is root.
    owner: Option<(u32, u32)>,
}

/// How an air gap is asked for.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Request<'a> {
    pub(in crate::commands) name: &'a ClusterName,
    pub(in crate::commands) cidr: Cidr,
    pub(in crate::commands) mode: Mode,
    /// The URL behind the reverse proxy.
    pub(in crate::commands) target: &'a str,
}

impl Wanted {
    /// # Errors
    /// When the helper is too old for the mode, the network has no gateway, or the target is
    /// not a URL.
    pub(in crate::commands) fn new(
        ctx: &Ctx,
        request: &Request<'_>,
        talosctl: Option<&Talosctl>,
    ) -> Result<Self> {
        let Request {
            name,
            cidr,
            mode,
            target,
        } = request;
        let mut mirrors = vec![registries::local()];
        if let Ok(checkout) = ctx.checkout() {
            mirrors.extend(registries::proxies(&checkout, &ctx.config.proxies)?);
        }
        let mut gap = AirGap {
            name: name.as_str().to_owned(),
            mode: *mode,
            dir: AirGap::dir(ctx, name.as_str()),
            bridge: name.bridge(),
            cidr: cidr.to_string(),
            ports: mirrors.iter().map(|mirror| mirror.port).collect(),
            mirrors: mirrors
                .into_iter()
                .map(|mirror| (mirror.port, mirror.host, mirror.upstream.is_some()))
                .collect(),
            helper_ports: Vec::new(),
            target: (*mode == Mode::ReverseProxy).then(|| (*target).to_owned()),
            consoles: ClusterView::state_dirs(ctx, name.as_str()),
        };
        if *mode == Mode::ReverseProxy && ReverseTarget::parse(target, None).is_none() {
            return Err(Failure::usage(format!("invalid URL `{target}`"))
                .cause("the target of the reverse proxy is `http://HOST:PORT` or `https://HOST`")
                .hint(typed!(
                    "airgap up reverse-proxy --target {}",
                    REVERSE_TARGET
                )));
        }
        let mut helper = Vec::new();
        if mode.has_helper() {
            let talosctl = talosctl.ok_or_else(|| Failure::host("talosctl not found"))?;
            gap.helper_ports = vec![HTTPS_PORT, PROXY_PORT];
            if talosctl.version.airgap_helper_has_tls_proxies() {
                gap.helper_ports
                    .extend([SECURE_PROXY_PORT, REVERSE_PROXY_PORT]);
            } else if *mode != Mode::Proxy {
                return Err(Failure::usage(format!(
                    "talosctl {} has no {}",
                    talosctl.version,
                    mode.as_str()
                ))
                .hint("use `proxy`, or Talos 1.11 or newer"));
            }
            gap.ports.extend(&gap.helper_ports);
            helper = helper_argv(talosctl, *cidr, *mode, target)?;
        }
        Ok(Self {
            gap,
            exe: own_executable()?,
            helper,
            owner: (!ctx.host.is_root()).then_some((ctx.host.uid, ctx.host.gid)),
        })
    }

    /// Checks what has to be there, and that the helper's ports are free: it starts
    /// without an error if they are in use, and overwrites its patch.
    ///
    /// # Errors
    /// Exit code 3 with everything that is missing, or the process that has a port.
    pub(in crate::commands) fn check(&self) -> Result<()> {
        let has_helper = self.gap.mode.has_helper();
        let programs = PROGRAMS.iter().chain(if has_helper {
            PROGRAMS_OF_HELPER.iter()
        } else {
            [].iter()
        });
        let missing: Vec<&(&str, &str)> = programs
            .filter(|(program, _)| Host::which_as_root(program).is_none())
            .collect();
        if !missing.is_empty() {
            let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
            let failure = Failure::host("programs for air-gapped tests are missing");
            let failure = missing.iter().fold(failure, |failure, (program, package)| {
                failure.cause(format!("`{program}` (package {package})"))
            });
            return Err(failure.hint(format!("sudo apt-get install {}", packages.join(" "))));
        }
        let listeners = ports::listeners();
        let taken = self.gap.helper_ports.iter().find_map(|port| {
            listeners
                .iter()
                .find(|listener| listener.port == *port && listener.protocol == Protocol::Tcp)
        });
        let Some(listener) = taken else {
            return Ok(());
        };
        Err(
            Failure::host(format!("port {} is already in use", listener.port))
                .cause(format!("{} has it", ports::holder_name(listener)))
                .cause("talosctl's helper would start without an error, and write a patch with a certificate that nothing serves")
                .hint(typed!("airgap status")),
        )
    }

    /// The steps that set it up; they are recorded before.
    pub(in crate::commands) fn start(&self) -> Vec<Step> {
        let gap = &self.gap;
        let dir = gap.dir.as_str();
        let mut contents = serde_json::to_string_pretty(gap).unwrap_or_default();
        contents.push('\n');
        let file = Action::WriteFile {
            path: gap.file(),
            contents,
            mode: 0o600,
        };
        let mut steps = vec![
            Step::run(
                "create the private folder of the air gap",
                ["install", "-d", "-m", "700", dir],
            )
            .effect(Effect::Creates),
            Step::new("write down what is set up", file).effect(Effect::Creates),
            Step::run(
                "refuse what leaves the bridge",
                ["nft".to_owned(), gap.rules().trim_end().to_owned()],
            )
            .as_root()
            .effect(Effect::Creates)
            .deadline(30),
            self.observe(),
        ];
        if !self.helper.is_empty() {
            let ports: Vec<String> = gap.helper_ports.iter().map(ToString::to_string).collect();
            let mut argv = vec![
                self.exe.to_string(),
                "internal".to_owned(),
                "airgap-helper".to_owned(),
                format!("--dir={dir}"),
                format!("--ports={}", ports.join(",")),
                "--".to_owned(),
            ];
            argv.extend(self.helper.iter().cloned());
            let step = Step::run("start talosctl's helper and wait until it listens", argv);
            steps.push(step.effect(Effect::Creates).deadline(60));
        }
        // Whichever fails, all of it is removed.
        let made = |step: Step| step.makes(gap.resource());
        steps.into_iter().map(made).collect()
    }

    /// tcpdump needs one capability; everything else of the observer is the user's.
    fn observe(&self) -> Step {
        let mut argv: Vec<String> = Vec::new();
        if let Some((uid, gid)) = self.owner {
            argv.extend(["setpriv".to_owned(), format!("--reuid={uid}")]);
            argv.push(format!("--regid={gid}"));
            argv.extend(
                [
                    "--init-groups",
                    "--inh-caps=+net_raw",
                    "--ambient-caps=+net_raw",
                ]
                .map(str::to_owned),
            );
        }
        argv.push(self.exe.to_string());
        argv.extend(self.gap.observer_args(false));
        Step::run("record what the nodes ask for", argv)
            .as_root()
            .effect(Effect::Creates)
            .deadline(60)
    }

    /// Fails unless everything works: the patch is used next.
    pub(in crate::commands) fn verify(&self) -> Step {
        let argv = [
            self.exe.as_str(),
            "airgap",
            "status",
            "--name",
            &self.gap.name,
        ];
        Step::run("verify the air gap before nodes are created", argv)
            .effect(Effect::Reads)
            .deadline(60)
    }
}

fn helper_argv(talosctl: &Talosctl, cidr: Cidr, mode: Mode, target: &str) -> Result<Vec<String>> {
    let gateway = cidr
        .gateway()
        .ok_or_else(|| Failure::usage(format!("{cidr} has no gateway")))?;
    let mut argv = vec![talosctl.path.to_string()];
    argv.extend(talosctl.version.airgap_helper().map(str::to_owned));
    argv.push(format!("--advertised-address={gateway}"));
    match mode {
        Mode::Gap | Mode::Proxy => {}
        Mode::SecureProxy => argv.push("--use-secure-proxy".to_owned()),
        Mode::ReverseProxy => {
            argv.push("--inject-http-proxy=false".to_owned());
            argv.push(format!("--https-reverse-proxy-target={target}"));
        }
    }
    Ok(argv)
}

/// Returns the removal of the air gap of that cluster; empty if there is none.
pub(in crate::commands) fn stop(ctx: &Ctx, name: &str) -> Vec<Step> {
    let dir = AirGap::dir(ctx, name);
    let Ok(cluster) = ClusterName::existing(name) else {
        return Vec::new();
    };
    if dir.symlink_metadata().is_err() && !AirGap::is_recorded(ctx, name) {
        return Vec::new();
    }
    let bridge = cluster.bridge();
    let stop = |what: &str, processes: Vec<foundation::ctx::processes::Process>| {
        let step = |process: &foundation::ctx::processes::Process| {
            let action = Action::Stop {
                process: process.identity(&ctx.host, what),
                grace_seconds: GRACE_SECONDS,
            };
            Step::new(format!("stop {what}"), action).effect(Effect::Destroys)
        };
        processes.iter().map(step).collect::<Vec<Step>>()
    };
    let mut steps = stop("talosctl's helper", AirGap::helpers(&dir));
    steps.extend(stop("the observer", AirGap::observers(&dir)));
    steps.push(
        // An exit code of 1 also means that it was gone; a later look decides.
        Step::run(
            "remove the packet filter rules of the air gap",
            ["nft", "delete", "table", "inet", &AirGap::table(&bridge)],
        )
        .as_root()
        .also_ok(&[1])
        .effect(Effect::Destroys)
        .deadline(30),
    );
    let resource = foundation::plan::Resource::AirGap {
        name: name.to_owned(),
        dir: dir.clone(),
        bridge,
    };
    steps.push(
        Step::new(
            "remove the folder of the air gap",
            Action::Remove { path: dir },
        )
        .effect(Effect::Destroys)
        .unmakes(resource),
    );
    steps
}

pub(crate) fn undo(ctx: &Ctx, name: &str) -> Undoing {
    let mut plan = Plan::new(format!("remove the air gap of cluster `{name}`"));
    plan.steps = stop(ctx, name);
    if plan.steps.is_empty() {
        Undoing::Done
    } else {
        Undoing::Do(plan)
    }
}
