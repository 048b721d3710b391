//! Finds what earlier clusters have left: folders, ledger entries, bridges,
//! files of root, contexts.

use camino::{Utf8Path, Utf8PathBuf};
use talos::names::ClusterName;
use talos::network::Cidr;

use super::finding::{Finding, Fix};
use super::inputs::Inputs;
use foundation::ctx::Ctx;
use foundation::ctx::airgap::AirGap;
use foundation::ctx::cluster::{ClusterState, ClusterView};
use foundation::ctx::ledger::Ledger;
use foundation::ctx::leftovers::{self, Nodes};
use foundation::ctx::owned_path::{self, OwnedPath};
use foundation::ctx::relay::RelayView;
use foundation::ctx::{containers, network, ownership, processes};
use foundation::plan::{Action, Owned, Resource, Step};
use foundation::shell::quote;
use foundation::ui::text::one_line;
use foundation::{program, typed};

pub(super) fn clusters(inputs: &Inputs) -> Vec<Finding> {
    let names = match ClusterView::try_names(&inputs.ctx) {
        Ok(names) => names,
        Err(failure) => {
            return vec![Finding::warn("clusters", failure.what).why(failure.causes.join("; "))];
        }
    };
    let mut findings: Vec<Finding> = names
        .iter()
        .map(|name| ClusterView::examine(&inputs.ctx, name))
        .filter_map(|view| cluster(&view, inputs.settings.name.as_str()))
        .collect();
    findings.extend(orphan_bridges(&names));
    if findings.is_empty() {
        let text = if names.is_empty() {
            "no clusters, and nothing left of any".to_owned()
        } else {
            let names: Vec<String> = names.iter().map(|name| shown(name)).collect();
            format!("none is stale, half made or degraded: {}", names.join(", "))
        };
        findings.push(Finding::ok("clusters", text));
    }
    findings
}

/// Returns a name on one line.
fn shown(name: &str) -> String {
    one_line(name).into_owned()
}

fn cluster(view: &ClusterView, inputs: &str) -> Option<Finding> {
    let name = &shown(&view.name);
    let destroy = typed!("cluster destroy --name {}", view.name);
    let clean = typed!("cluster clean");
    // A cluster that does not belong to this user is not proposed for removal.
    let refused = match ClusterName::existing(&view.name) {
        Err(error) => Some(error.to_string()),
        Ok(_) => OwnedPath::open(&view.state_dir, Owned::Cluster, owned_path::user())
            .err()
            .map(|error| error.to_string()),
    };
    if let Some(why) = refused {
        let text = format!("cluster `{name}` cannot be taken down by this user");
        return Some(Finding::warn("cluster", text).why(why));
    }
    if !view.unread.is_empty() {
        let text = format!("cannot tell what there is of cluster `{name}`");
        return Some(Finding::warn("cluster", text).why(view.unread.join("; ")));
    }
    // A cluster of the requested name blocks `cluster up`; others do not.
    let finding = |id, text| {
        if view.name == inputs {
            Finding::missing(id, text)
        } else {
            Finding::warn(id, text)
        }
    };
    let pid_files = view.stale_pid_files.len();
    let finding = match view.state {
        ClusterState::Stale => finding("stale-cluster", format!("cluster `{name}` is stale: none of its processes lives"))
            .why(format!("as after a reboot of this host; plain `talosctl cluster destroy` would signal unrelated processes: {pid_files} pid file(s) are stale")),
        ClusterState::Partial => finding("half-made-cluster", format!("cluster `{name}` is half made: its create did not finish"))
            .why("talosctl can neither create it again nor destroy it"),
        ClusterState::Degraded | ClusterState::Running if pid_files > 0 => {
            Finding::warn("stale-pid-files", format!("cluster `{name}` has {pid_files} pid file(s) that name none of its processes"))
                .why("bare `talosctl cluster destroy` would signal whatever has these pids now")
        }
        ClusterState::Degraded if !view.faults.is_empty() => {
            let finding = finding("degraded-cluster", format!("cluster `{name}` is degraded"));
            finding.why(shown(&view.faults[0].what))
        }
        _ => return None,
    };
    Some(finding.cure(match view.state {
        ClusterState::Degraded if pid_files == 0 => typed!("cluster explain --name {}", view.name),
        ClusterState::Stale => typed!("cluster start --name {}", view.name),
        ClusterState::Partial => clean,
        _ => destroy,
    }))
}

/// Bridges by talosctl's naming scheme that no cluster of this user has.
fn orphan_bridges(names: &[String]) -> Vec<Finding> {
    let known: Vec<String> = names
        .iter()
        .map(|name| talos::names::bridge_name(name))
        .collect();
    network::bridges()
        .into_iter()
        .filter(|link| !known.contains(link))
        .map(|link| {
            Finding::warn(
                "orphan-bridge",
                format!("bridge `{link}` is of no cluster of yours"),
            )
            .why("another user's, or left by a create that was killed")
            .cure(format!(
                "if nothing uses it: {} (as root)",
                program!("ip link delete {}", link)
            ))
        })
        .collect()
}

/// Finds entries of the ledger whose resource no longer exists.
pub(super) fn ledger(inputs: &Inputs) -> Vec<Finding> {
    let entries = match Ledger::in_dir(&inputs.ctx.dirs.state).live() {
        Ok(entries) => entries,
        Err(failure) => {
            let finding = Finding::warn("ledger", failure.in_one_line());
            return vec![finding.why("nothing is made or destroyed until it can be read")];
        }
    };
    let count = entries.len();
    let findings: Vec<Finding> = entries
        .into_iter()
        .filter_map(|entry| match &entry.resource {
            Resource::Cluster { .. } => cluster_entry(&inputs.ctx, &entry.resource),
            Resource::Start {
                name, state_dir, ..
            } => start_entry(name, state_dir, &entry.resource),
            Resource::Lab { dir } => lab_entry(&inputs.ctx, dir, &entry.resource),
            Resource::Relay { state_dir, .. } => {
                relay_entry(&inputs.ctx, state_dir, &entry.resource)
            }
            Resource::Container { name } => container_entry(&inputs.ctx, name, &entry.resource),
            Resource::AirGap { name, dir, .. } => airgap_entry(name, dir, &inputs.ctx),
        })
        .collect();
    if findings.is_empty() {
        let text = match count {
            0 => "the ledger names nothing".to_owned(),
            count => format!("all that the ledger names is there ({count})"),
        };
        return vec![Finding::ok("ledger", text)];
    }
    findings
}

fn cluster_entry(ctx: &Ctx, resource: &Resource) -> Option<Finding> {
    let Resource::Cluster {
        name,
        state_dir,
        cidr,
        ..
    } = resource
    else {
        return None;
    };
    let dirs = ClusterView::state_dirs(ctx, name);
    if ClusterName::existing(name).is_err() || !dirs.contains(state_dir) {
        return Some(elsewhere(ctx, name, state_dir, resource));
    }
    let view = ClusterView::probe(ctx, name);
    if view.state != ClusterState::Absent || state_dir.symlink_metadata().is_ok() {
        return None;
    }
    let mut footprint = view.footprint();
    footprint.cidr = Cidr::parse(cidr).ok();
    let left = leftovers::find(&footprint, &Nodes::default(), true);
    let clean = typed!("cluster clean");
    if !left.describe().is_empty() {
        let text = format!(
            "cluster `{name}` is gone, and left: {}",
            left.describe().join("; ")
        );
        return Some(Finding::warn("leftovers", text).cure(clean));
    }
    let finding = Finding::warn(
        "ledger",
        format!("the ledger names cluster `{name}`, which is gone"),
    );
    // Only root can see rules: without a look no entry is dropped.
    Some(if left.unseen.is_empty() {
        finding
            .cure(typed!("doctor --fix"))
            .fix(Some(forget(state_dir, resource)))
    } else {
        finding.cure(clean)
    })
}

fn start_entry(name: &str, state_dir: &Utf8Path, resource: &Resource) -> Option<Finding> {
    if state_dir.symlink_metadata().is_ok() {
        return None;
    }
    let name = shown(name);
    let text = format!("the ledger names a start of cluster `{name}`, which is gone");
    let finding = Finding::warn("ledger", text).cure(typed!("doctor --fix"));
    Some(finding.fix(Some(forget(state_dir, resource))))
}

/// An entry outside of this user's clusters: by mistake, by forgery, or with
/// another `TALOS_HOME`. Nothing is done about what it names.
fn elsewhere(ctx: &Ctx, name: &str, state_dir: &Utf8Path, resource: &Resource) -> Finding {
    let text = format!(
        "the ledger names cluster `{}` in `{}`, which is not a cluster folder of yours",
        shown(name),
        shown(state_dir.as_str())
    );
    let finding = Finding::warn("ledger", text);
    let is_a_clusters = ClusterName::existing(name).is_ok()
        && state_dir.file_name() == Some(name)
        && matches!(
            OwnedPath::open(state_dir, Owned::Cluster, owned_path::user()),
            Ok(Some(_))
        );
    let home = state_dir.parent().and_then(Utf8Path::parent);
    match home.filter(|_| is_a_clusters) {
        Some(home) => finding
            .why("it seems to have been made with another `TALOS_HOME`")
            .cure(format!(
                "TALOS_HOME={} {}",
                quote(home.as_str()),
                typed!("cluster status --name {}", name)
            )),
        None => drop_entry(ctx, finding, resource),
    }
}

/// Drops only the ledger's entry.
fn drop_entry(ctx: &Ctx, finding: Finding, resource: &Resource) -> Finding {
    let action = Action::Require {
        path: ctx.dirs.state.join("ledger.jsonl"),
        message: "the ledger has gone".to_owned(),
    };
    let step = Step::new("drop an entry from the ledger, and nothing else", action);
    finding
        .why("nothing there is touched; only the entry can be dropped")
        .cure(typed!("doctor --fix"))
        .fix(Some(Fix::Steps(vec![step.unmakes(resource.clone())])))
}

fn lab_entry(ctx: &Ctx, dir: &Utf8Path, resource: &Resource) -> Option<Finding> {
    // The lab's init, and its starter, have the folder as an argument.
    let lives = processes::scan()
        .iter()
        .any(|process| process.argv.iter().any(|word| Utf8Path::new(word) == dir));
    if lives {
        return None;
    }
    if let Err(error) = OwnedPath::open(dir, Owned::Lab, owned_path::user()) {
        let dir = shown(dir.as_str());
        let text = format!("the ledger names a lab in `{dir}`, which is not a lab: {error}");
        return Some(drop_entry(ctx, Finding::warn("ledger", text), resource));
    }
    Some(if dir.exists() {
        Finding::warn(
            "stale-lab",
            format!("the lab in `{dir}` is stale: none of its processes lives"),
        )
        .cure(typed!("lab down"))
    } else {
        Finding::warn(
            "ledger",
            format!("the ledger names a lab in `{dir}`, which is gone"),
        )
        .cure(typed!("doctor --fix"))
        .fix(Some(forget(dir, resource)))
    })
}

/// After a restart of the host its rules and processes are gone.
fn airgap_entry(name: &str, dir: &Utf8Path, ctx: &Ctx) -> Option<Finding> {
    let what = match AirGap::read(ctx, name) {
        Ok(Some(_)) if !AirGap::observers(dir).is_empty() => return None,
        Ok(Some(_)) => format!("the air gap of cluster `{name}` is not observed any more"),
        Ok(None) => {
            format!("the ledger names an air gap of cluster `{name}`, whose files are gone")
        }
        Err(failure) => failure.in_one_line(),
    };
    Some(Finding::warn("airgap", what).cure(typed!("airgap down --name {}", name)))
}

fn relay_entry(ctx: &Ctx, state_dir: &Utf8Path, resource: &Resource) -> Option<Finding> {
    let relay = RelayView::probe(ctx, state_dir);
    if !relay.running.is_empty() {
        return None;
    }
    let name = state_dir.file_name().unwrap_or_default();
    if state_dir.symlink_metadata().is_ok()
        && (ClusterName::existing(name).is_err()
            || !ClusterView::state_dirs(ctx, name)
                .iter()
                .any(|dir| dir == state_dir))
    {
        let dir = shown(state_dir.as_str());
        let text = format!(
            "the ledger names a relay of the cluster in `{dir}`, which is not a cluster folder of yours"
        );
        return Some(drop_entry(ctx, Finding::warn("ledger", text), resource));
    }
    if !state_dir.exists() {
        return Some(
            Finding::warn(
                "ledger",
                format!("the ledger names a relay of cluster `{name}`, which is gone"),
            )
            .cure(typed!("doctor --fix"))
            .fix(Some(forget(state_dir, resource))),
        );
    }
    relay.is_lost().then(|| {
        Finding::warn("relay", format!("the relay of cluster `{name}` is gone"))
            .why("its nodes cannot reach the registries of this machine")
            .cure(typed!("cluster up --name {}", name))
    })
}

fn container_entry(ctx: &Ctx, name: &str, resource: &Resource) -> Option<Finding> {
    // Docker's own rule; other names would be taken for a flag, or for a
    // script.
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    if !name.starts_with(|first: char| first.is_ascii_alphanumeric()) || !name.chars().all(is_plain)
    {
        let text = format!(
            "the ledger names container `{}`, which is not the name of one",
            shown(name)
        );
        return Some(drop_entry(ctx, Finding::warn("ledger", text), resource));
    }
    // Without a response from the engine nothing is known about it.
    if !containers::inspect(&[name]).ok()?.is_empty() {
        return None;
    }
    // An engine that does not respond must be an error here, and not look like
    // "gone".
    let script = "set -e; found=$(docker container ls --all --quiet --filter \"name=^/?$0\\$\"); \
         test -z \"$found\"";
    let look = Step::run("forget it, if it still is gone", ["sh", "-c", script, name]);
    Some(
        Finding::warn(
            "ledger",
            format!("the ledger names container `{name}`, which is gone"),
        )
        .cure(typed!("doctor --fix"))
        .fix(Some(Fix::Steps(vec![look.unmakes(resource.clone())]))),
    )
}

/// Looks once more, and then drops the entry from the ledger.
fn forget(dir: &Utf8Path, resource: &Resource) -> Fix {
    let why = format!("forget what is gone, if `{dir}` still is");
    let look = Step::run(why, ["test", "!", "-e", dir.as_str()]);
    Fix::Steps(vec![look.unmakes(resource.clone())])
}

/// For an ordinary user only: files of root do not disturb root.
pub(super) fn ownership(inputs: &Inputs) -> Vec<Finding> {
    let host = &inputs.ctx.host;
    if host.is_root() {
        return Vec::new();
    }
    let found = ownership::root_owned(&inputs.talos_home(), &inputs.ctx.dirs.home, host.uid);
    if found.is_empty() {
        return vec![Finding::ok(
            "ownership",
            "talosconfig and kubeconfig are yours",
        )];
    }
    let names: Vec<&str> = found.iter().map(|path| path.as_str()).collect();
    let text = format!("root owns `{}`", names.join("`, `"));
    let owner = format!("{}:{}", host.uid, host.gid);
    vec![
        Finding::warn("ownership", text)
            .why("talosctl under sudo made them; without root neither it nor kubectl can write there")
            .cure(program!("sudo chown -h {} {}", owner, names.iter().copied().collect::<typed::Words>()))
            .fix(Some(give_back(&found, &owner))),
    ]
}

/// Gives back only what still belongs to root, and links themselves, not their
/// targets.
fn give_back(paths: &[Utf8PathBuf], owner: &str) -> Fix {
    let mut argv = vec!["chown", "--no-dereference", "--from=0:0", owner, "--"];
    argv.extend(paths.iter().map(|path| path.as_str()));
    Fix::Steps(vec![
        Step::run("give back to you what talosctl left to root", argv).as_root(),
    ])
}
