//! Taking a cluster's bridge down.

use talos::names::{is_bridge_name, is_fabric_bridge_name};

use crate::ctx::bridge::Bridge;
use crate::ctx::probe::Probe;
use crate::failure::{Failure, Result};
use crate::program;

/// Removes the bridge. Refuses a name that talosctl does not give to bridges,
/// and a bridge with an interface of another owner.
///
/// # Errors
/// In these two cases, when `ip` does not answer, and when it fails.
pub(super) fn remove(name: &str) -> Result<()> {
    if !is_bridge_name(name) && !is_fabric_bridge_name(name) {
        return Err(Failure::step(format!(
            "`{name}` was left alone: it is not the name of a cluster's bridge"
        )));
    }
    let Some(bridge) = Bridge::probe(name)? else {
        return Ok(());
    };
    if !bridge.foreign.is_empty() {
        return Err(Failure::step(format!("bridge `{name}` was left alone"))
            .cause(format!(
                "it has the interface `{}`, which is not part of this cluster",
                bridge.foreign.join("`, `")
            ))
            .hint(program!("ip link show master {}", name)));
    }
    let argv = ["ip", "link", "delete", name, "type", "bridge"];
    let Err(error) = Probe::new(argv).stdout() else {
        return Ok(());
    };
    if Bridge::probe(name)?.is_none() {
        return Ok(());
    }
    Err(Failure::step(format!("cannot remove bridge `{name}`")).cause(error))
}
