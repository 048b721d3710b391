//! The talosconfig and kubeconfig of a cluster, for its removal: the folder
//! with its own files, and its entries in the user's files, where `--merge` or
//! talosctl put them. talosctl leaves these, and the next cluster of that name
//! would get a context `NAME-1` (T14). An entry belongs to this cluster only if
//! its name and its endpoint do; a file is removed only if it contains nothing
//! else.

use camino::{Utf8Path, Utf8PathBuf};

use foundation::ctx::Ctx;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::host::Host;
use foundation::ctx::kubeconfig::{Entries, Kubeconfig, is_named};
use foundation::ctx::owned_path;
use foundation::ctx::ownership;
use foundation::ctx::talosctl::{Talosconfig, Talosctl};
use foundation::plan::{Action, Effect, Plan, Step};

/// Adds the steps that take the contexts of these clusters out of the user's files.
pub(super) fn add(plan: &mut Plan, ctx: &Ctx, views: &[&ClusterView], talosctl: Option<&Talosctl>) {
    for part in parts(ctx, views, talosctl) {
        match part {
            Ok(steps) => plan.steps.extend(steps),
            Err(note) => plan.note(note),
        }
    }
}

/// Returns the changes of each of the user's files.
fn parts(ctx: &Ctx, views: &[&ClusterView], talosctl: Option<&Talosctl>) -> Vec<Part> {
    // Nothing is removed because of values that are in doubt.
    let views = views.iter().copied().filter(|view| view.doubts.is_empty());
    let views: Vec<&ClusterView> = views.collect();
    let talosconfigs = ctx.talosconfig_paths().into_iter();
    let talosconfigs = talosconfigs.map(|path| talosconfig_steps(ctx, &views, talosctl, path));
    let kubeconfigs = ctx.kubeconfig_paths().into_iter();
    talosconfigs
        .chain(kubeconfigs.map(|path| kubeconfig_steps(&views, path)))
        .collect()
}

/// Entries of a removed cluster that are still in the user's files: one line for
/// each file. `view` is from before the removal.
pub(super) fn remaining(ctx: &Ctx, view: &ClusterView) -> Vec<String> {
    let remains = |part: Part| match part {
        Ok(steps) if steps.is_empty() => None,
        Ok(steps) => steps.last().map(|step| format!("not done: {}", step.why)),
        Err(note) => Some(note),
    };
    parts(ctx, &[view], None)
        .into_iter()
        .filter_map(remains)
        .collect()
}

/// Adds the step that removes the cluster's own files.
pub(super) fn add_own(plan: &mut Plan, ctx: &Ctx, name: &str) {
    let dir = ctx.client_config(name).dir;
    if dir.symlink_metadata().is_ok() {
        let action = Action::Remove { path: dir };
        let why = "remove the cluster's own talosconfig and kubeconfig";
        plan.push(Step::new(why, action).effect(Effect::Destroys));
    }
}

/// Adds the step that gives back what talosctl left to root in the user's folders.
pub(super) fn add_give_back(plan: &mut Plan, ctx: &Ctx) {
    let host = &ctx.host;
    if host.is_root() {
        return;
    }
    let mut found: Vec<Utf8PathBuf> = Vec::new();
    for home in ctx.dirs.cluster_homes() {
        found.extend(ownership::root_owned(&home, &ctx.dirs.home, host.uid));
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        return;
    }
    let owner = format!("{}:{}", host.uid, host.gid);
    let mut argv = vec!["chown", "--no-dereference", "--from=0:0", &owner, "--"];
    argv.extend(found.iter().map(|path| path.as_str()));
    plan.push(Step::run("give back to you what talosctl left to root", argv).as_root());
}

fn is_of_cluster(view: &ClusterView, address: &str) -> bool {
    let host = address
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let host = host.map_or(address, |(host, _)| host);
    // Without a state, the network in the ledger is all that is known.
    let is_inside = |address| {
        let cidr = view.cidr.filter(|cidr| cidr.may_be_a_clusters());
        view.nodes.is_empty() && cidr.is_some_and(|cidr| cidr.contains(address))
    };
    host.parse()
        .is_ok_and(|address| view.addresses().contains(&address) || is_inside(address))
}

/// Whether `server` is the one in `state.yaml` and in the cluster's network: a
/// virtual address belongs to no single node.
fn is_its_server(view: &ClusterView, server: &str) -> bool {
    let host = Kubeconfig::host(server);
    let is_inside = || {
        let cidr = view.cidr.filter(|cidr| cidr.may_be_a_clusters());
        let address = host.and_then(|host| host.parse().ok());
        cidr.zip(address)
            .is_some_and(|(cidr, address)| cidr.contains(address))
    };
    host.is_some_and(|host| is_of_cluster(view, host))
        || (view.endpoint.as_deref() == Some(server) && is_inside())
}

type Part = Result<Vec<Step>, String>;

/// talosctl does not remove the current context: it moves to another first.
fn talosconfig_steps(
    ctx: &Ctx,
    views: &[&ClusterView],
    talosctl: Option<&Talosctl>,
    path: Utf8PathBuf,
) -> Part {
    let config = match Talosconfig::read(&path) {
        Ok(Some(config)) => config,
        Ok(None) => return Ok(Vec::new()),
        Err(error) => return Err(format!("{path} stays as it is: {error}")),
    };
    let is_of = |view: &ClusterView, name: &String| {
        is_named(name, &view.name)
            && config.contexts.get(name).is_some_and(|context| {
                let mut endpoints = context.endpoints.iter();
                !context.endpoints.is_empty()
                    && endpoints.all(|endpoint| is_of_cluster(view, endpoint))
            })
    };
    let is_ours = |name: &String| views.iter().any(|view| is_of(view, name));
    let (ours, others): (Vec<&String>, Vec<&String>) =
        config.contexts.keys().partition(|name| is_ours(name));
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let why = "remove its context from talosconfig";
    if others.is_empty() && config.rest.is_empty() {
        return remove_file(why, path);
    }
    let found = talosctl
        .cloned()
        .or_else(|| Talosctl::find(ctx, ctx.checkout().ok().as_ref()));
    let (Some(found), Some(other)) = (found, others.first()) else {
        return Err(format!("{path} keeps this cluster's context"));
    };
    let command = |words: &[&str]| {
        let argv = [
            &[found.path.as_str(), "config"],
            &words[..1],
            &["--talosconfig", path.as_str()],
            &words[1..],
        ];
        Step::run(why, argv.concat()).effect(Effect::Destroys)
    };
    let mut steps = vec![unchanged(&path)?];
    if ours.contains(&&config.current) {
        steps.push(command(&["context", "--", other]));
    }
    let remove = |name: &&String| command(&["remove", "--noconfirm", "--", name]);
    steps.extend(ours.iter().map(remove));
    Ok(steps)
}

fn kubeconfig_steps(views: &[&ClusterView], path: Utf8PathBuf) -> Part {
    let config = match Kubeconfig::read(&path) {
        Ok(Some(config)) => config,
        Ok(None) => return Ok(Vec::new()),
        Err(error) => return Err(format!("{path} stays as it is: {error}")),
    };
    let mut entries = Entries::default();
    for view in views {
        let more = config.entries_of(&view.name, |server| is_its_server(view, server));
        entries.clusters.extend(more.clusters);
        entries.contexts.extend(more.contexts);
        entries.users.extend(more.users);
    }
    if entries.contexts.is_empty() && entries.clusters.is_empty() {
        return Ok(Vec::new());
    }
    let why = "remove its context from kubeconfig";
    let is_link = path
        .symlink_metadata()
        .is_ok_and(|found| found.is_symlink());
    if config.has_only(&entries) && !is_link {
        return remove_file(why, path);
    }
    let Some(kubectl) = Host::which("kubectl") else {
        return Err(format!(
            "{path} keeps this cluster's entry beside others: no kubectl here to take it out with"
        ));
    };
    let flag = format!("--kubeconfig={path}");
    let command = |words: &[&str]| {
        let argv = [&[kubectl.as_str(), flag.as_str(), "config"], words];
        Step::run(why, argv.concat()).effect(Effect::Destroys)
    };
    let mut steps = vec![unchanged(&path)?];
    if entries.contexts.contains(&config.current) {
        steps.push(command(&["unset", "current-context"]));
    }
    for (verb, names) in [
        ("delete-context", &entries.contexts),
        ("delete-user", &entries.users),
        ("delete-cluster", &entries.clusters),
    ] {
        steps.extend(names.iter().map(|name| command(&[verb, "--", name])));
    }
    Ok(steps)
}

fn digest(path: &Utf8Path) -> Result<String, String> {
    let stays = |why: &str| format!("{path} stays as it is: {why}");
    owned_path::digest(path)
        .map_err(|error| stays(&error.to_string()))?
        .ok_or_else(|| stays("it has gone"))
}

/// Other programs write to these files too.
fn unchanged(path: &Utf8Path) -> Result<Step, String> {
    let action = Action::RequireFile {
        path: path.to_owned(),
        sha256: digest(path)?,
    };
    Ok(Step::new("what was looked at is what is changed", action).effect(Effect::Reads))
}

/// Removes a file with nothing else in it.
fn remove_file(why: &str, path: Utf8PathBuf) -> Part {
    let sha256 = digest(&path)?;
    let action = Action::RemoveFile { path, sha256 };
    Ok(vec![Step::new(why, action).effect(Effect::Destroys)])
}
