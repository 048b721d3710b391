//! Whether this process runs inside the lab.

/// Set for everything inside the lab.
pub const INSIDE_LAB: &str = "XTASK_INSIDE_LAB";
/// Its value in a shell inside, where `--lab` is refused.
pub const IN_SHELL: &str = "shell";

/// Set beside it where the nodes run Talos itself.
pub const REAL_NODES: &str = "XTASK_REAL_NODES";

/// Whether the nodes of clusters are the lab's stand-in.
pub fn has_stand_in_nodes() -> bool {
    is_inside_lab() && std::env::var_os(REAL_NODES).is_none()
}

pub fn is_inside_lab() -> bool {
    std::env::var_os(INSIDE_LAB).is_some()
}
