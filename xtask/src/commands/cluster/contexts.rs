//! What `cluster create` merged into the user's talosconfig and kubeconfig, and
//! `cluster destroy` leaves there: the next cluster of that name would get a
//! context `NAME-1` (T14). Only entries that point into this cluster's network
//! are its own.

use camino::Utf8PathBuf;

use foundation::ctx::Ctx;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::host::Host;
use foundation::ctx::kubeconfig::Kubeconfig;
use foundation::ctx::talosctl::Talosctl;
use foundation::plan::{Action, Effect, Plan, Step};

/// Adds the steps that take this cluster's contexts out of both files.
pub(super) fn add(plan: &mut Plan, ctx: &Ctx, view: &ClusterView, talosctl: Option<&Talosctl>) {
    plan.steps.extend(talosconfig_steps(ctx, view, talosctl));
    match kubeconfig_steps(ctx, view) {
        Some(steps) => plan.steps.extend(steps),
        None => plan.note(format!(
            "{} keeps this cluster's entry beside others: no kubectl here to take it out with",
            ctx.kubeconfig_path()
        )),
    }
}

fn is_of_cluster(view: &ClusterView, address: &str) -> bool {
    address
        .parse()
        .is_ok_and(|address| view.cidr.is_some_and(|cidr| cidr.contains(address)))
}

/// talosctl does not remove the current context: it moves to another first.
fn talosconfig_steps(ctx: &Ctx, view: &ClusterView, talosctl: Option<&Talosctl>) -> Vec<Step> {
    let path = ctx.talosconfig_path();
    let Some(config) = ctx.talosconfig() else {
        return Vec::new();
    };
    let Some(context) = config.contexts.get(&view.name) else {
        return Vec::new();
    };
    if !context
        .endpoints
        .iter()
        .any(|endpoint| is_of_cluster(view, endpoint))
    {
        return Vec::new();
    }
    let why = "remove its context from talosconfig";
    let Some(other) = config.contexts.keys().find(|name| **name != view.name) else {
        return vec![remove_file(why, path)];
    };
    let found = talosctl
        .cloned()
        .or_else(|| Talosctl::find(ctx, ctx.checkout().ok().as_ref()));
    let Some(found) = found else {
        return Vec::new();
    };
    let command = |words: &[&str]| {
        let argv = [
            &[found.path.as_str(), "config"],
            words,
            &["--talosconfig", path.as_str()],
        ];
        Step::run(why, argv.concat()).effect(Effect::Destroys)
    };
    let mut steps = Vec::new();
    if config.current == view.name {
        steps.push(command(&["context", other]));
    }
    steps.push(command(&["remove", &view.name, "--noconfirm"]));
    steps
}

/// None where entries have to go and nothing here can take them out.
fn kubeconfig_steps(ctx: &Ctx, view: &ClusterView) -> Option<Vec<Step>> {
    let path = ctx.kubeconfig_path();
    let Some(config) = Kubeconfig::read(&path) else {
        return Some(Vec::new());
    };
    let ours =
        |server: &str| Kubeconfig::host(server).is_some_and(|host| is_of_cluster(view, host));
    let clusters: Vec<&str> = config.clusters_at(ours);
    if clusters.is_empty() {
        return Some(Vec::new());
    }
    let why = "remove its context from kubeconfig";
    if config.has_only(&clusters) {
        return Some(vec![remove_file(why, path)]);
    }
    let kubectl = Host::which("kubectl")?;
    let flag = format!("--kubeconfig={path}");
    let command = |words: &[&str]| {
        let argv = [&[kubectl.as_str(), flag.as_str(), "config"], words];
        Step::run(why, argv.concat()).effect(Effect::Destroys)
    };
    let mut steps = Vec::new();
    for context in config.contexts_of(&clusters) {
        if config.current == context.name {
            steps.push(command(&["unset", "current-context"]));
        }
        steps.push(command(&["delete-context", &context.name]));
        steps.push(command(&["delete-user", &context.context.user]));
    }
    steps.extend(
        clusters
            .iter()
            .map(|cluster| command(&["delete-cluster", cluster])),
    );
    Some(steps)
}

/// Nothing else is in the file.
fn remove_file(why: &str, path: Utf8PathBuf) -> Step {
    Step::new(why, Action::Remove { path }).effect(Effect::Destroys)
}
