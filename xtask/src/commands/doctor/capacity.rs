//! Checks memory, disk space, and the length of paths.

use camino::Utf8Path;
use talos::names::{MAX_SOCKET_PATH, NodeSocket, check_socket_paths};

use super::finding::Finding;
use super::inputs::Inputs;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::host::Host;
use foundation::ctx::host::{FreeSpace, free_space};
use foundation::{program, typed};

const MIB: u64 = 1 << 20;
/// talosctl's `--disk` default, in all lines.
const DISK_MIB: u64 = 6144;
/// With less, a build or the lab's parts would not fit.
const CACHE_MIB: u64 = 2048;
const OUT_MIB: u64 = 4096;

pub(super) fn memory(inputs: &Inputs) -> Vec<Finding> {
    let Some(memory) = Host::memory() else {
        return Vec::new();
    };
    let view = ClusterView::probe(&inputs.ctx, inputs.settings.name.as_str());
    if !view.members.is_empty() {
        let text = format!("cluster `{}` has its memory already", view.name);
        return vec![Finding::ok("memory", text)];
    }
    let size = &inputs.size;
    let (needed, available) = (
        inputs.settings.mib(size.controlplanes, size.workers),
        memory.available / MIB,
    );
    let cluster = format!(
        "{} control plane(s) and {} worker(s)",
        size.controlplanes, size.workers
    );
    if needed > available {
        return vec![
            Finding::warn(
                "memory",
                format!("{cluster} take {needed} MiB of memory, and {available} MiB are available"),
            )
            .why("nodes that run out of memory fail as if something else were wrong")
            .cure(format!(
                "{}, with a smaller --memory",
                typed!("cluster up --controlplanes 1 --workers 0")
            )),
        ];
    }
    if let Some(note) = &size.note {
        return vec![
            Finding::warn("memory", note.clone())
                .why("`cluster up` makes the cluster smaller by itself")
                .cure("free memory, or say what you want: --controlplanes, --workers, --memory"),
        ];
    }
    let text = format!("{needed} MiB of memory for {cluster}, {available} MiB are available");
    vec![Finding::ok("memory", text)]
}

pub(super) fn disks(inputs: &Inputs) -> Vec<Finding> {
    let mut findings = vec![state_disk(inputs)];
    findings.extend(enough(
        "disk-cache",
        &inputs.ctx.dirs.cache,
        CACHE_MIB,
        "the lab's parts",
    ));
    if let Some(checkout) = inputs.checkout() {
        findings.extend(enough("disk-out", &checkout.out(), OUT_MIB, "builds"));
    }
    findings
}

/// talosctl allocates each node's disk in advance, unless an option says
/// otherwise.
fn state_disk(inputs: &Inputs) -> Finding {
    let id = "disk-state";
    let dir = inputs.state_dir();
    let Some(room) = free_space(&dir) else {
        return Finding::warn(
            id,
            format!("cannot tell how much room there is for `{dir}`"),
        );
    };
    if dir.is_dir() {
        return Finding::ok(id, format!("{} free on `{}`", gib(room.free), room.on));
    }
    let each = inputs
        .flag("--disk")
        .and_then(|mib| mib.parse().ok())
        .unwrap_or(DISK_MIB);
    let needed = each
        .saturating_mul(u64::from(inputs.nodes()))
        .saturating_mul(MIB);
    node_disks(&room, needed, inputs.switch("--disk-preallocate", true))
}

fn node_disks(room: &FreeSpace, needed: u64, preallocate: bool) -> Finding {
    let id = "disk-state";
    let text = format!(
        "{} free on `{}`, the nodes' disks take up to {}",
        gib(room.free),
        room.on,
        gib(needed)
    );
    match (room.free >= needed, preallocate) {
        (true, _) => Finding::ok(id, text),
        (false, true) => Finding::missing(id, text)
            .why("talosctl allocates them when it creates the cluster")
            .cure("free some, fewer nodes, or `-- --disk-preallocate=false`"),
        (false, false) => Finding::warn(id, text)
            .why("nodes fail when a disk cannot grow")
            .cure("free some, or fewer nodes"),
    }
}

fn enough(id: &str, dir: &Utf8Path, mib: u64, what: &str) -> Option<Finding> {
    let room = free_space(dir)?;
    let text = format!("{} free for `{dir}`", gib(room.free));
    if room.free >= mib * MIB {
        return Some(Finding::ok(id, text));
    }
    Some(
        Finding::warn(id, text)
            .why(format!("{what} may take {}", gib(mib * MIB)))
            .cure(program!(
                "du -xh --max-depth=2 {} | sort -h | tail",
                room.on
            )),
    )
}

fn gib(bytes: u64) -> String {
    let tenths = bytes / (MIB * 1024 / 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// QEMU would die of a long path after talosctl has reported success (T6).
pub(super) fn sockets(inputs: &Inputs) -> Vec<Finding> {
    let dir = inputs.state_dir();
    let nodes = inputs
        .settings
        .name
        .nodes(inputs.size.controlplanes, inputs.size.workers);
    let longest = nodes
        .iter()
        .flat_map(|node| NodeSocket::ALWAYS.map(|socket| dir.join(socket.file(node))))
        .map(|path| path.as_str().len())
        .max()
        .unwrap_or(0);
    match check_socket_paths(dir.as_str(), &nodes, &NodeSocket::ALWAYS) {
        Ok(()) => vec![Finding::ok(
            "socket-paths",
            format!(
                "the nodes' socket paths have {} bytes to spare",
                MAX_SOCKET_PATH.saturating_sub(longest)
            ),
        )],
        Err(error) => vec![
            Finding::missing("socket-paths", error.to_string())
                .why("no process could bind it: QEMU would end at once")
                .cure("a shorter --name, or a shorter TALOS_HOME (Talos 1.12 and newer)"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    #[test]
    fn disks_that_are_allocated_at_once_must_fit() {
        let room = FreeSpace {
            on: "/home".into(),
            free: 10 << 30,
        };
        let status = |needed, preallocate| node_disks(&room, needed, preallocate).status;
        assert_eq!(status(10 << 30, true), Status::Ok);
        assert_eq!(status(11 << 30, true), Status::Missing);
        assert_eq!(status(11 << 30, false), Status::Warn);
        assert_eq!(gib((10 << 30) + (512 << 20)), "10.5 GiB");
    }
}
