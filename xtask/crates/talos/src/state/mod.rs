//! Files of a cluster in `~/.talos/clusters/<name>/`.
//!
//! Text in, values out; a file that was cut off while it was written is a typed error
//! with the place. Source: docs/talos-facts.md#state-folder, pkg/provision.

pub mod cluster;
pub mod cni;
pub mod files;
pub mod launch;

pub use cluster::{ClusterState, NodeState};
pub use cni::CniAttachment;
pub use files::{NodeFile, StateFile, classify, nodes_of};
pub use launch::LaunchConfig;

/// Why a file of a state folder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Empty: its writer was stopped between creating and filling it.
    #[error("{file} is empty: it was not completely written")]
    Empty { file: &'static str },
    /// YAML or JSON that is invalid or misses a field; usually cut off.
    #[error("{file} cannot be read at line {line}, column {column}: {reason}")]
    Malformed {
        file: &'static str,
        line: usize,
        column: usize,
        reason: String,
    },
    /// Not a decimal number, or not the id of a process.
    #[error("pid file holds {found:?}, not a process id")]
    Pid { found: String },
}

impl StateError {
    fn json(file: &'static str, error: &serde_json::Error) -> Self {
        Self::Malformed {
            file,
            line: error.line(),
            column: error.column(),
            reason: error.to_string(),
        }
    }
}

/// Reads a pid file: decimal, usually without a newline.
///
/// # Errors
/// [`StateError::Pid`] for anything else, also 0, 1 and what no process id can
/// be: such a number would address a process group or init.
pub fn parse_pid(text: &str) -> Result<u32, StateError> {
    let bad = || StateError::Pid {
        found: text.chars().take(40).collect(),
    };
    let digits = text.trim_end_matches(['\n', '\r', ' ']);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    match digits.parse::<u32>() {
        // PID_MAX_LIMIT of 64-bit kernels is 2^22.
        Ok(pid) if (2..=1 << 22).contains(&pid) => Ok(pid),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files() {
        assert_eq!(parse_pid("4711").unwrap(), 4711);
        assert_eq!(parse_pid("4711\n").unwrap(), 4711);
        for bad in [
            "",
            "\n",
            "0",
            "1",
            "-1",
            "+5",
            "12a",
            "4711 x",
            "99999999999",
            "4194305",
            "١٢",
        ] {
            assert!(
                matches!(parse_pid(bad), Err(StateError::Pid { .. })),
                "{bad:?}"
            );
        }
    }
}
