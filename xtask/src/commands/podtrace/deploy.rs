//! `podtrace deploy`: the operator and its agents from podtrace's own chart, on nodes
//! whose kernel lets them work. For one look at a pod, `kubectl podtrace` needs none of it.

use camino::Utf8PathBuf;
use clap::Args;
use foundation::ctx::host::Host;
use foundation::ctx::probe::Probe;
use foundation::failure::{Exit, Failure, Result};
use foundation::plan::{Action, Effect, Plan, Step};
use foundation::program;
use foundation::ui;

use super::checks::kernel_checks;
use crate::app::App;
use crate::checklist::{Check, Verdict};
use crate::commands::cluster::Which;
use crate::commands::cluster::client::find_kubectl;
use crate::commands::cluster::reach::{Reached, reach};

const CHART: &str = "oci://ghcr.io/gma1k/charts/podtrace";
const CERTIFICATES: &str = "https://charts.jetstack.io";
/// Its webhook's certificate is from this issuer.
const ISSUER: &str = "issuers.cert-manager.io";
/// Images are pulled meanwhile.
const TIMEOUT: &str = "10m";

#[derive(Debug, Clone, Args)]
pub struct DeployArgs {
    /// Node to check first: name, end of it, or address
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
    /// Namespace of the operator and its agents
    #[arg(long, value_name = "NAMESPACE", default_value = "podtrace-system")]
    pub namespace: String,
    /// Version of the chart [default: the newest]
    #[arg(long, value_name = "VERSION")]
    pub chart_version: Option<String>,
    /// Leave out the webhook that validates resources, and cert-manager, which it needs
    #[arg(long)]
    pub without_webhook: bool,
    #[command(flatten)]
    pub which: Which,
}

pub(super) fn run(app: &App<'_>, args: &DeployArgs) -> Result<u8> {
    let mut reached = Vec::new();
    for word in &args.nodes {
        reached.push(reach(app, &args.which, word)?);
    }
    let programs = Programs::find(app)?;
    check(app, &reached)?;
    let kubeconfig = reached.first().map(|node| node.kubeconfig.to_string());
    let cluster = format!("--kubeconfig={}", kubeconfig.unwrap_or_default());
    let issuer = app.ctx.dirs.state.join("podtrace-issuer.yaml");
    let plan = plan(args, &programs, &cluster, issuer);
    if app.carry_out(&plan)? {
        ui::print(&format!(
            "  next: {}\n  next: {}\n",
            program!("kubectl -n {} get pods", args.namespace),
            program!("kubectl podtrace -n {} POD", "default")
        ));
    }
    Ok(0)
}

struct Programs {
    kubectl: String,
    helm: String,
}

impl Programs {
    /// A plan can be shown without them.
    fn find(app: &App<'_>) -> Result<Self> {
        let kubectl = find_kubectl(&app.ctx).map(Utf8PathBuf::into_string);
        let helm = Host::which("helm").map(Utf8PathBuf::into_string);
        let mut missing = Vec::new();
        let mut take = |found: Option<String>, name: &str| {
            found.unwrap_or_else(|| {
                missing.push(format!("`{name}` is not on PATH"));
                name.to_owned()
            })
        };
        let programs = Self {
            kubectl: take(kubectl, "kubectl"),
            helm: take(helm, "helm"),
        };
        if missing.is_empty() || app.is_dry() {
            return Ok(programs);
        }
        let mut failure = Failure::host("programs are missing")
            .hint("install them: https://helm.sh/docs/intro/install, https://kubernetes.io/docs/tasks/tools");
        failure.causes = missing;
        Err(failure)
    }
}

/// Agents would start on such a node, and fail with a text about something else.
fn check(app: &App<'_>, nodes: &[Reached]) -> Result<()> {
    let mut obstacles = Vec::new();
    for node in nodes {
        for check in kernel_checks(&node.api) {
            let Check {
                what,
                verdict,
                evidence,
                fix,
                ..
            } = check;
            let evidence = evidence.join("; ");
            match verdict {
                Verdict::Passed => {}
                Verdict::NotChecked => {
                    app.ui.note(&format!(
                        "{}: not checked that {what}: {evidence}",
                        node.name
                    ));
                }
                Verdict::Failed => {
                    let fix = fix.map_or_else(String::new, |fix| format!(": {fix}"));
                    obstacles.push(format!("{}: {evidence}{fix}", node.name));
                }
            }
        }
    }
    if obstacles.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Checks, "podtrace cannot work on these nodes");
    failure.causes = obstacles;
    Err(failure)
}

fn plan(args: &DeployArgs, programs: &Programs, cluster: &str, path: Utf8PathBuf) -> Plan {
    let mut plan = Plan::new(format!("Install podtrace in {}", args.namespace));
    let install = |name: &str, chart: &str, more: &[&str]| -> Vec<String> {
        let words = [&programs.helm, "upgrade", "--install", name, chart];
        let last = ["--wait", "--timeout", TIMEOUT, cluster];
        let words = words.iter().chain(more).chain(&last);
        words.map(|word| (*word).to_owned()).collect()
    };
    let namespace = format!("--namespace={}", args.namespace);
    let version = args.chart_version.as_ref();
    let version = version.map(|version| format!("--version={version}"));
    let mut options = vec![namespace.as_str(), "--create-namespace"];
    options.extend(version.as_deref());
    if !args.without_webhook {
        if has_certificates(&programs.kubectl, cluster) {
            plan.note("cert-manager is installed already");
        } else {
            let words = [
                "--repo",
                CERTIFICATES,
                "--namespace=cert-manager",
                "--create-namespace",
                "--set",
                "crds.enabled=true",
            ];
            plan.push(
                Step::run(
                    "Install cert-manager, which gives the webhook its certificate",
                    install("cert-manager", "cert-manager", &words),
                )
                .effect(Effect::Creates),
            );
        }
        let file = format!("--filename={path}");
        plan.push(
            Step::new(
                "Write the namespace and the issuer of the webhook's certificate",
                Action::WriteFile {
                    path,
                    contents: issuer(&args.namespace),
                    mode: 0o600,
                },
            )
            .effect(Effect::Creates),
        );
        plan.push(
            Step::run(
                "Create them",
                [programs.kubectl.as_str(), cluster, "apply", &file],
            )
            .effect(Effect::Creates),
        );
        options.extend(["--set", "webhook.enabled=true"]);
    }
    plan.push(
        Step::run(
            "Install podtrace's operator, which starts an agent on each node",
            install("podtrace", CHART, &options),
        )
        .effect(Effect::Creates),
    );
    plan
}

/// Whether another one would be installed over it.
fn has_certificates(kubectl: &str, cluster: &str) -> bool {
    let argv = [
        kubectl,
        cluster,
        "get",
        "customresourcedefinition",
        ISSUER,
        "--output=name",
    ];
    Probe::new(argv).stdout().is_ok()
}

fn issuer(namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n---\n\
         apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata:\n  name: podtrace-selfsigned\n  namespace: {namespace}\n\
         spec:\n  selfSigned: {{}}\n"
    )
}
