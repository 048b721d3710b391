//! What stops eBPF programs on a Talos node, most of it with messages that say something
//! else.

use camino::Utf8Path;
use foundation::ctx::node_api::{NodeApi, is_missing};
use foundation::ctx::probe::Probe;
use foundation::program;
use serde_json::Value;

use crate::app::App;
use crate::checklist::Check;
use crate::commands::cluster::client::find_kubectl;
use crate::commands::cluster::reach::Reached;

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
/// The present place, and the one within debugfs.
const TRACING: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const LABEL: &str = "pod-security.kubernetes.io/enforce";
/// Namespaces that Talos exempts from the admission of pods.
const EXEMPT: [&str; 1] = ["kube-system"];

pub(super) fn checks(app: &App<'_>, node: &Reached, namespace: &str) -> Vec<Check> {
    let mut checks = kernel_checks(&node.api);
    checks.push(pod_security(app, node, namespace));
    checks
}

/// Those that hold for every pod of a node.
pub(super) fn kernel_checks(api: &NodeApi) -> Vec<Check> {
    vec![lockdown(api), tracefs(api)]
}

fn lockdown(api: &NodeApi) -> Check {
    const ID: &str = "lockdown";
    let what = "the kernel lets BPF programs read memory";
    match api.read(Utf8Path::new(LOCKDOWN)) {
        Ok(text) => of_lockdown(&text),
        Err(error) if is_missing(&error) => Check::passed(
            ID,
            what,
            vec![format!("{LOCKDOWN} does not exist: no lockdown")],
        ),
        Err(error) => Check::not_checked(ID, what, format!("cannot read {LOCKDOWN}: {error}")),
    }
}

/// `none [integrity] confidentiality`
fn of_lockdown(text: &str) -> Check {
    const ID: &str = "lockdown";
    let what = "the kernel lets BPF programs read memory";
    let evidence = vec![format!("{LOCKDOWN}: {}", text.trim())];
    if text.contains("[confidentiality]") {
        return Check::failed(ID, what, evidence).fix(
            "build the image with the kernel arguments `-lockdown lockdown=integrity`; the verifier's text names a helper, not lockdown",
        );
    }
    Check::passed(ID, what, evidence)
}

fn tracefs(api: &NodeApi) -> Check {
    const ID: &str = "tracefs";
    let what = "tracefs is mounted";
    let mut errors = Vec::new();
    for folder in TRACING {
        match api.read(&Utf8Path::new(folder).join("kprobe_events")) {
            Ok(_) => {
                return Check::passed(ID, what, vec![format!("{folder}/kprobe_events exists")]);
            }
            Err(error) if is_missing(&error) => {}
            Err(error) => errors.push(error.to_string()),
        }
    }
    if let Some(error) = errors.first() {
        return Check::not_checked(ID, what, error);
    }
    let evidence = TRACING
        .map(|folder| format!("{folder} has no kprobe_events"))
        .to_vec();
    Check::failed(ID, what, evidence)
        .fix("use a Talos whose kernel has CONFIG_KPROBE_EVENTS (siderolabs/pkgs#963)")
}

fn pod_security(app: &App<'_>, node: &Reached, namespace: &str) -> Check {
    const ID: &str = "pod-security";
    let what = format!("namespace {namespace} allows privileged pods");
    if EXEMPT.contains(&namespace) {
        return Check::passed(
            ID,
            what,
            vec!["Talos exempts it from PodSecurity".to_owned()],
        );
    }
    let Some(kubectl) = find_kubectl(&app.ctx) else {
        return Check::not_checked(ID, what, "kubectl not found");
    };
    let from = format!("--kubeconfig={}", node.kubeconfig);
    let argv = [
        kubectl.as_str(),
        &from,
        "get",
        "namespace",
        namespace,
        "--output=json",
    ];
    let namespace_json = match Probe::new(argv).stdout() {
        Ok(text) => text,
        Err(error) => return Check::not_checked(ID, what, error.to_string()),
    };
    match serde_json::from_str(&namespace_json) {
        Ok(found) => of_namespace(&found, namespace),
        Err(error) => {
            Check::not_checked(ID, what, format!("kubectl printed invalid JSON: {error}"))
        }
    }
}

/// Without a label, the default of Talos holds: baseline.
fn of_namespace(found: &Value, namespace: &str) -> Check {
    const ID: &str = "pod-security";
    let what = format!("namespace {namespace} allows privileged pods");
    let level = found["metadata"]["labels"][LABEL].as_str();
    let evidence = match level {
        Some(level) => format!("label {LABEL}={level}"),
        None => format!("no label {LABEL}: Talos' default is baseline"),
    };
    if level == Some("privileged") {
        return Check::passed(ID, what, vec![evidence]);
    }
    let label = format!("{LABEL}=privileged");
    Check::failed(ID, what, vec![evidence]).fix(program!(
        "kubectl label --overwrite namespace {} {}",
        namespace,
        label
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checklist::Verdict;
    use serde_json::json;

    #[test]
    fn only_confidentiality_stops_programs() {
        for (text, verdict) in [
            ("[none] integrity confidentiality\n", Verdict::Passed),
            ("none [integrity] confidentiality\n", Verdict::Passed),
            ("none integrity [confidentiality]\n", Verdict::Failed),
        ] {
            assert_eq!(of_lockdown(text).verdict, verdict, "{text}");
        }
    }

    #[test]
    fn a_namespace_needs_the_label() {
        let with = |level: &str| json!({"metadata": {"labels": {LABEL: level}}});
        for (found, verdict) in [
            (with("privileged"), Verdict::Passed),
            (with("restricted"), Verdict::Failed),
            (json!({"metadata": {"name": "x"}}), Verdict::Failed),
        ] {
            let check = of_namespace(&found, "shop");
            assert_eq!(check.verdict, verdict);
            let is_failed = verdict == Verdict::Failed;
            assert_eq!(
                check.fix.is_some_and(|fix| fix.contains("namespace shop")),
                is_failed
            );
        }
    }
}
