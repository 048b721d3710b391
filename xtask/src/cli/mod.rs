//! The command line as data. No decision is taken here.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

mod build;
mod cluster;
mod narrow;

use std::ffi::OsString;

use camino::Utf8PathBuf;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::commands::registry::args::ProxiesVerb;
use crate::commands::test::args::TestCommand;
use foundation::ui::Color;

pub use build::{BuildArgs, InstallerArgs};
pub use cluster::{
    ClusterCommand, ClusterVerb, DestroyArgs, LogsArgs, RebootArgs, StatusArgs, UpArgs, Which,
};

/// One command for the people who develop Talos Linux.
#[derive(Debug, Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100,
    after_help = "Try it with no Talos checkout at hand:\n  cargo xtask --lab cluster\n\n\
        Exit codes: 0 ok, 1 checks or tests failed, 2 usage, 3 host not ready, 4 a step failed,\n\
        5 a node died, 124 deadline, 130 interrupted; pass-through commands return the child's own."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Read a command line.
    ///
    /// # Errors
    /// What clap says of it; help that was asked for, too.
    pub fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        narrow::read(words).map_or_else(|| Self::try_parse_from(words), Ok)
    }

    /// `--name`: the cluster that is meant.
    pub fn cluster_name(&self) -> Option<&str> {
        let which = match &self.command {
            Command::Cluster(cluster) => match &cluster.verb {
                None => &cluster.up.which,
                Some(ClusterVerb::Up(args)) => &args.which,
                Some(ClusterVerb::Status(args)) => &args.which,
                Some(ClusterVerb::Logs(args)) => &args.which,
                Some(ClusterVerb::Reboot(args)) => &args.which,
                Some(ClusterVerb::Destroy(args)) => &args.which,
                Some(ClusterVerb::List { .. }) => return None,
            },
            Command::Doctor(args) => &args.up.which,
            Command::Test(TestCommand::Integration(args)) => &args.which,
            Command::Pprof(pprof) => &pprof.fetch.which,
            Command::Proxies(proxies) => {
                return match &proxies.verb {
                    Some(ProxiesVerb::Check { name, .. }) => name.as_deref(),
                    _ => None,
                };
            }
            _ => return None,
        };
        which.name.as_deref()
    }
}

/// For hints: whether the subcommand that `words` begin with takes `--name`.
pub fn takes_name(words: &[&str]) -> bool {
    // All subcommands at once take more stack than a thread has that only waits for
    // a node, and hints are made in those, too.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(16 << 20);
        let looking = thread.spawn_scoped(scope, || finds_name(words));
        looking.is_ok_and(|looking| looking.join().unwrap_or_default())
    })
}

fn finds_name(words: &[&str]) -> bool {
    let command = Cli::command();
    let mut at = &command;
    for word in words {
        let Some(below) = at.find_subcommand(word) else {
            break;
        };
        at = below;
    }
    at.get_arguments().any(|arg| arg.get_long() == Some("name"))
}

/// Flags that every command knows.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Global {
    /// The Talos checkout [env: TALOS_DIR] [default: here, above, or ../talos]
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub talos_dir: Option<Utf8PathBuf>,
    /// Run the command inside the lab: real parts in namespaces of their own
    #[arg(long, global = true)]
    pub lab: bool,
    /// Show the plan and change nothing
    #[arg(short = 'n', long, global = true)]
    pub dry_run: bool,
    /// How a plan is shown; implies --dry-run
    #[arg(long, value_enum, value_name = "FORMAT", global = true)]
    pub format: Option<PlanFormat>,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Only errors on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colour; NO_COLOR is honoured
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        global = true
    )]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For reading
    Human,
    /// A script that runs as pasted
    Sh,
    /// For editors, agents, CI
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a Talos cluster up, look at it, reboot it, take it down
    Cluster(ClusterCommand),
    /// Any target of the checkout's Makefile, without make
    Build(BuildArgs),
    /// Builder, registry, proxies, cross-build: whatever of it is missing
    Setup(crate::commands::registry::args::SetupArgs),
    /// The buildx builder that builds need
    Builder(crate::commands::builder::args::BuilderCommand),
    /// An installer image of this checkout, pushed to the local registry
    Installer(InstallerArgs),
    /// Images that builds have pushed, by digest
    Images {
        /// For programs: stable JSON
        #[arg(long)]
        json: bool,
    },
    /// The local registry on 127.0.0.1:5005, which builds push to
    Registry(crate::commands::registry::args::RegistryCommand),
    /// Pull-through proxies, which make clusters boot faster
    Proxies(crate::commands::registry::args::ProxiesCommand),
    /// The lab: real talosctl and QEMU with a stand-in node, no Talos build needed
    #[command(subcommand)]
    Lab(LabCommand),
    /// Profiles of all nodes at once, or of any file: who uses what
    Pprof(Box<crate::commands::pprof::args::PprofCommand>),
    /// Talos' own tests: what there is, and what each needs
    #[command(subcommand)]
    Test(crate::commands::test::args::TestCommand),
    /// Everything this host lacks, each finding with its cure
    Doctor(DoctorArgs),
    /// For `go test -exec`: only the test binary runs as root, contained
    ExecRoot(ExecRootArgs),
    /// Records of past runs
    Runs(RunsArgs),
    /// Copy this workspace into a Talos checkout
    Embed(EmbedArgs),
    /// Completions for your shell
    Completions {
        /// Of which shell; `source` what is printed
        shell: clap_complete::Shell,
    },
    /// For our own use
    #[command(hide = true, subcommand)]
    Internal(InternalCommand),
}

#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Install and build what the lab lacks, and start it
    Up(LabUpArgs),
    /// Stop the lab; nothing of it stays but what was built
    Down,
    /// Whether the lab runs, and what it is made of
    Status {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
    },
    /// A shell inside the lab
    Shell {
        /// A command instead of a shell
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Write carried sources to a folder
    #[command(hide = true)]
    Unpack {
        to: Utf8PathBuf,
        #[arg(required = true)]
        folders: Vec<String>,
    },
    /// Stand in for a process inside, so that signals reach it
    #[command(hide = true)]
    Relay {
        #[arg(last = true, required = true)]
        argv: Vec<String>,
    },
}

#[derive(Debug, Clone, Default, Args)]
pub struct LabUpArgs {
    /// Which talosctl the lab is built with [default: v1.12.0]
    #[arg(long, value_name = "VERSION")]
    pub talosctl: Option<String>,
    /// With Docker, buildx, BuildKit and what a registry needs; commands that build start it anyway
    #[arg(long)]
    pub docker: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Mend what can be mended safely
    #[arg(long)]
    pub fix: bool,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
    /// Check for the cluster that these would make
    #[command(flatten)]
    pub up: UpArgs,
}

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// `latest` or the beginning of an id: show that run
    pub run: Option<String>,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// The Talos checkout to copy into
    pub dir: Utf8PathBuf,
    /// Replace what is in the way, changes of yours included
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  go test -exec \"$(cargo xtask exec-root --print)\" -v ./internal/app/machined/pkg/controllers/files/\n  \
        go test -exec \"$(cargo xtask exec-root --print --isolate)\" ./internal/app/machined/pkg/controllers/network/\n\n\
        Without a password:\n  \
        A line in sudoers allows the helper alone; `--print` shows the path of the program:\n    \
        USER ALL=(root) NOPASSWD: /PATH/TO/xtask internal root-exec\n  \
        Give it only to users who may be root: a Go test may do anything as root, and whoever may\n  \
        start the helper can write one. The helper guards against mistakes, not against this user."
)]
pub struct ExecRootArgs {
    /// What to give to `go test -exec`; runs nothing
    #[arg(long, conflicts_with = "command")]
    pub print: bool,
    /// Network, IPC and host name of its own too; mounts and processes always are
    #[arg(long)]
    pub isolate: bool,
    /// A variable of the environment that the test gets too; may be repeated
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// The test binary and its arguments
    #[arg(
        value_name = "BINARY",
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required_unless_present = "print"
    )]
    pub command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum InternalCommand {
    /// What `$(MAKE)` is where a shell calls it: the Makefile of this folder
    Make {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// One step of a plan as root, read from standard input
    RootStep,
    /// Let a cluster's nodes reach registries on 127.0.0.1 by their gateway
    Gateway {
        /// The cluster's folder
        #[arg(long, value_name = "DIR")]
        of: Utf8PathBuf,
        #[arg(long)]
        cidr: String,
        #[arg(long, value_delimiter = ',', required = true)]
        ports: Vec<u16>,
        /// Be the relay, and not what starts it
        #[arg(long)]
        serve: bool,
    },
    /// One test binary as root, asked for on standard input
    RootExec,
    /// PID 1 around a test binary
    RootInit,
    /// Run a plan as `--format json` prints it, read from standard input
    RunPlan,
    /// End our process group when standard input closes
    Warden,
}

/// `-run REGEXP` is what fingers type for tests: one word with one dash, which
/// clap would read as three letters. What stands behind `--` is not ours.
pub fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = given.collect();
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    let ours = &mut words[..end];
    if !ours.iter().any(|word| word == "test") {
        return words;
    }
    for word in ours {
        let text = word.to_str().unwrap_or_default();
        if text == "-run" || text.starts_with("-run=") {
            *word = format!("-{text}").into();
        }
    }
    words
}

/// Bare `cluster` takes arguments, so to clap a mistyped verb of it is one too
/// many of them: name the verb that was meant.
pub fn with_suggestion(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if error.kind() != ErrorKind::UnknownArgument || word.starts_with('-') {
        return error;
    }
    let command = Cli::command();
    let verbs = command
        .find_subcommand("cluster")
        .into_iter()
        .flat_map(clap::Command::get_subcommands);
    let alike = verbs.map(|verb| (strsim::jaro(word, verb.get_name()), verb.get_name()));
    // As alike as clap itself wants it.
    if let Some((_, verb)) = alike
        .filter(|(alike, _)| *alike > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
    {
        let verb = ContextValue::Strings(vec![verb.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, verb);
    }
    error
}
