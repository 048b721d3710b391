//! The command line as data. No decision is taken here.
#![expect(clippy::doc_markdown, reason = "doc comments here are the help")]

mod narrow;

use std::ffi::OsString;

use camino::Utf8PathBuf;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::ui::Color;

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

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask cluster                       up if it is not, else its status\n  \
        cargo xtask cluster up --workers 0        one more way to save memory\n  \
        cargo xtask cluster logs -f               all consoles, merged\n  \
        cargo xtask cluster reboot --all          after a build: proven boots\n  \
        cargo xtask --lab cluster                 the same in the lab"
)]
pub struct ClusterCommand {
    #[command(subcommand)]
    pub verb: Option<ClusterVerb>,
    #[command(flatten)]
    pub up: UpArgs,
    /// With the cluster up: its status as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ClusterVerb {
    /// Create the cluster and wait until its nodes are ready
    #[command(
        after_help = "Examples:\n  cargo xtask cluster up --controlplanes 1 --workers 1\n  \
        cargo xtask cluster up --config-patch @patch.yaml -- --with-uefi=false\n  \
        cargo xtask cluster up --dry-run --format sh > up.sh"
    )]
    Up(UpArgs),
    /// What is up, node by node
    Status(StatusArgs),
    /// All clusters of this user
    List {
        /// As JSON, for editors, agents, CI
        #[arg(long)]
        json: bool,
    },
    /// The nodes' consoles, merged, with node and time
    #[command(
        after_help = "Examples:\n  cargo xtask cluster logs\n  cargo xtask cluster logs -f worker-1\n  \
        cargo xtask cluster logs --boot -N 50       last 50 lines of the present boot"
    )]
    Logs(LogsArgs),
    /// Power-cycle nodes and prove that they booted
    #[command(
        after_help = "Examples:\n  cargo xtask cluster reboot --all\n  cargo xtask cluster reboot worker-1 172.20.0.2"
    )]
    Reboot(RebootArgs),
    /// Take the cluster down and look that nothing is left
    Destroy(DestroyArgs),
}

/// Which cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct Which {
    /// The cluster's name [default: talos-default]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub which: Which,
    /// The cluster's network [default: 172.20.0.0/24]
    #[arg(long)]
    pub cidr: Option<String>,
    /// 1, 3 or more; two cannot elect a leader [default: 3, less when memory is short]
    #[arg(long, value_name = "N")]
    pub controlplanes: Option<u32>,
    /// Any number [default: 2, less when memory is short]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Of each node: MiB, or with a unit such as 2GiB
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// The machine configuration's Talos version
    #[arg(long, value_name = "VERSION")]
    pub talos_version: Option<String>,
    /// A patch of the machine configuration, or @FILE; may be repeated
    #[arg(long, value_name = "PATCH")]
    pub config_patch: Vec<String>,
    /// Install to disk and boot from there; without it a rebuilt initramfs is only a reboot away
    #[arg(long)]
    pub with_bootloader: bool,
    /// Wait until Kubernetes is ready too (the default)
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,
    /// Return when the API answers; talosctl itself waits that long
    #[arg(long)]
    pub no_wait: bool,
    /// Given to `talosctl cluster create` untouched
    #[arg(last = true, value_name = "TALOSCTL ARGS")]
    pub talosctl_args: Vec<String>,
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub which: Which,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    pub which: Which,
    /// Keep following
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines
    #[arg(short = 'N', long, value_name = "N")]
    pub lines: Option<usize>,
    /// Only the present boot of each node
    #[arg(short, long)]
    pub boot: bool,
    /// Nodes by name, by the end of the name, or by address; all without
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct RebootArgs {
    #[command(flatten)]
    pub which: Which,
    /// Every node
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// Seconds within which each node must be ready
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
    /// As JSON, for editors, agents, CI
    #[arg(long)]
    pub json: bool,
    /// Nodes by name, by the end of the name, or by address
    #[arg(required_unless_present = "all")]
    pub nodes: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    pub which: Which,
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

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask build initramfs kernel WITH_DEBUG=1\n  \
        cargo xtask build --list\n  cargo xtask build --explain installer\n  \
        cargo xtask build imager --registry 127.0.0.1:5005 --push\n  \
        cargo xtask -C ../extensions build hailort PLATFORM=linux/amd64"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct BuildArgs {
    /// Targets and NAME=VALUE, as for make
    #[arg(value_name = "TARGET|NAME=VALUE")]
    pub words: Vec<String>,
    /// Documented targets and the Dockerfile's stages
    #[arg(long)]
    pub list: bool,
    /// With --list: as JSON
    #[arg(long, requires = "list")]
    pub json: bool,
    /// The chain of targets and each variable with its origin; nothing is run
    #[arg(long, conflicts_with = "list")]
    pub explain: bool,
    /// Look at nothing on this host first
    #[arg(long)]
    pub no_preflight: bool,
    /// With the race detector: WITH_RACE=true
    #[arg(long, help_heading = "Variables")]
    pub race: bool,
    /// With debug symbols and tags: WITH_DEBUG=true
    #[arg(long, help_heading = "Variables")]
    pub debug: bool,
    /// With a shell on the node: WITH_DEBUG_SHELL=true, up to Talos 1.13
    #[arg(long, help_heading = "Variables")]
    pub debug_shell: bool,
    /// Push images: PUSH=true
    #[arg(long, help_heading = "Variables")]
    pub push: bool,
    /// The images' tag: TAG=…
    #[arg(long, value_name = "TAG", help_heading = "Variables")]
    pub tag: Option<String>,
    /// Where images go: IMAGE_REGISTRY=…, or REGISTRY=… in other repositories
    #[arg(long, value_name = "HOST:PORT", help_heading = "Variables")]
    pub registry: Option<String>,
    /// PLATFORM=…, such as linux/amd64,linux/arm64
    #[arg(long, value_name = "LIST", help_heading = "Variables")]
    pub platform: Option<String>,
    /// PROGRESS=…, buildx's own: auto, plain, tty
    #[arg(long, value_name = "KIND", help_heading = "Variables")]
    pub progress: Option<String>,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  go test -exec \"$(cargo xtask exec-root --print)\" -v ./internal/app/machined/pkg/controllers/files/\n  \
        go test -exec \"$(cargo xtask exec-root --print --isolate)\" ./internal/app/machined/pkg/controllers/network/"
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

#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask installer\n  cargo xtask installer --tag v1.12.0-dev PKG_KERNEL=127.0.0.1:5005/me/kernel:v1 INSTALLER_ARCH=amd64"
)]
pub struct InstallerArgs {
    /// NAME=VALUE, as for make
    #[arg(value_name = "NAME=VALUE")]
    pub words: Vec<String>,
    /// Where it is pushed [default: 127.0.0.1:5005]
    #[arg(long, value_name = "HOST:PORT")]
    pub registry: Option<String>,
    /// One tag for all its images [default: the Makefile's]
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Look at nothing on this host first
    #[arg(long)]
    pub no_preflight: bool,
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
