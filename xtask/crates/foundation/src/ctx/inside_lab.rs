//! Whether this process runs inside the lab.

/// Set for everything inside the lab.
pub const INSIDE_LAB: &str = "XTASK_INSIDE_LAB";
/// Its value in a shell inside, where `--lab` is refused.
pub const IN_SHELL: &str = "shell";

pub fn is_inside_lab() -> bool {
    std::env::var_os(INSIDE_LAB).is_some()
}
