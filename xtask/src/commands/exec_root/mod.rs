//! `exec-root`: the program for `go test -exec`, so that only the compiled test
//! binary runs as root, never the go command. go runs it in the package's
//! folder, where neither cargo's alias nor a Talos checkout may be near.

#[cfg(target_os = "linux")]
mod binary;

use clap::Args;

#[cfg(target_os = "linux")]
pub(crate) use binary::run;

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  go test -exec \"$(cargo xtask exec-root --print)\" -v ./internal/app/machined/pkg/controllers/files/\n  \
        go test -exec \"$(cargo xtask exec-root --print --isolate)\" ./internal/app/machined/pkg/controllers/network/\n\n\
        Without a password:\n  \
        A line in sudoers allows the helper alone; `--print` shows the path of the program:\n    \
        USER ALL=(root) NOPASSWD: /PATH/TO/xtask internal root-exec\n  \
        Give it only to users who may be root: a Go test may do anything as root, and a user who may\n  \
        start the helper can write one. The helper guards against mistakes, not against this user."
)]
pub struct ExecRootArgs {
    /// Print the value for `go test -exec` and run nothing
    #[arg(long, conflicts_with = "command")]
    pub print: bool,
    /// Also isolate network, IPC and host name (mounts and processes always are)
    #[arg(long)]
    pub isolate: bool,
    /// Environment variable to pass to the test; may be repeated
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// Test binary and its arguments
    #[arg(
        value_name = "BINARY",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "print"
    )]
    pub command: Vec<String>,
}
