//! `cluster up --keep-failed`: keeps what a failed creation has made.

use foundation::ctx::Ctx;
use foundation::failure::Failure;
use foundation::plan::{Resource, Watch};
use foundation::run::{Observer, Undo, Undoing};
use foundation::typed;

/// Undoes nothing of a cluster, and everything else as `undo` does.
pub(super) struct KeepFailed<'a> {
    pub(super) undo: &'a dyn Undo,
}

impl Undo for KeepFailed<'_> {
    fn undo(&self, ctx: &Ctx, made: &Resource, interrupted: bool) -> Undoing {
        match made {
            Resource::Cluster {
                name, state_dir, ..
            } => Undoing::Keep(format!(
                "kept, by --keep-failed: processes, bridge and `{state_dir}`; `{}` shows the \
                 consoles and `{}` removes everything",
                typed!("cluster logs --name {}", name),
                typed!("cluster destroy --name {}", name),
            )),
            _ => self.undo.undo(ctx, made, interrupted),
        }
    }

    fn observe(&self, ctx: &Ctx, watch: &Watch) -> Observer {
        self.undo.observe(ctx, watch)
    }

    fn explain(&self, ctx: &Ctx, made: &Resource, failure: Failure) -> Failure {
        self.undo.explain(ctx, made, failure)
    }
}
