//! The note that `cluster stop` makes about a cluster: a file of this program,
//! because the cluster's folder is talosctl's.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Ctx, own_files};
use crate::files;

/// The file of a cluster of that name; its contents are the path of the
/// cluster's folder.
pub fn marker(state: &Utf8Path, name: &str) -> Utf8PathBuf {
    state.join("stopped").join(name)
}

/// Whether the cluster in `state_dir` was stopped. An unreadable file says no:
/// the cluster then only seems to have lost its processes.
pub fn is_stopped(ctx: &Ctx, name: &str, state_dir: &Utf8Path) -> bool {
    let found = own_files::read(&marker(&ctx.dirs.state, name), files::SMALL);
    found
        .ok()
        .flatten()
        .is_some_and(|bytes| bytes == state_dir.as_str().as_bytes())
}
