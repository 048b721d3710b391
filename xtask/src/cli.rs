//! The command line as data, without decisions.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use crate::app::Global;
use crate::app::PlanFormat;
use crate::commands::cluster::ClusterVerb;
use crate::commands::lab::LabNeed;
use crate::commands::proxies::ProxiesVerb;
use crate::commands::test::TestCommand;
use crate::commands::test::unit::go_test_flag;
use crate::commands::{
    airgap, build, builder, ci, cluster, completions, dev, doctor, editor, embed, exec_root, image,
    installer, internal, kmod, lab, podtrace, pprof, proxies, registry, runs, selinux, setup,
    status, tasks,
};
use crate::{help, meant};
use foundation::failure::Failure;
use foundation::typed::as_started;
use foundation::ui::Color;

/// One command for the people who develop Talos Linux.
#[derive(Debug, Parser)]
#[command(
    name = "xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100,
    subcommand_required = false,
    after_help = "Try it without a Talos checkout:\n  cargo xtask --lab cluster\n\n\
        Exit codes: 0 ok, 1 checks or tests failed, 2 usage, 3 host not ready, 4 a step failed, \
        5 a node died, 6 a log is incomplete, 124 deadline, 130 interrupted; pass-through commands return the child's own."
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    /// Without one: what there is, and the next command.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Whether the command was asked for JSON.
    #[arg(skip)]
    pub json: bool,
}

impl Cli {
    /// Reads a command line.
    ///
    /// # Errors
    /// clap's message, also for requested help.
    pub fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        let mut matches = command().try_get_matches_from(words)?;
        let json = has_json(&matches);
        let cli = Self::from_arg_matches_mut(&mut matches)?;
        Ok(Self { json, ..cli })
    }

    /// Makes `--json` the format of a plan that is shown.
    ///
    /// # Errors
    /// If another format was asked for, too.
    pub fn checked(mut self) -> Result<Self, Failure> {
        let format = &mut self.global.format;
        match format {
            None if self.global.dry_run && self.json => *format = Some(PlanFormat::Json),
            Some(PlanFormat::Human | PlanFormat::Sh) if self.json => {
                return Err(
                    Failure::usage("`--json` and `--format` ask for different formats")
                        .hint("`--json --dry-run` prints the plan as JSON"),
                );
            }
            _ => {}
        }
        Ok(self)
    }

    /// `--name`: the chosen cluster.
    pub fn cluster_name(&self) -> Option<&str> {
        let which = match self.command.as_ref()? {
            Command::Cluster(cluster) => match &cluster.verb {
                None => &cluster.up.which,
                Some(ClusterVerb::Up(args)) => &args.which,
                Some(ClusterVerb::Status(args)) => &args.which,
                Some(ClusterVerb::Explain(args)) => &args.which,
                Some(ClusterVerb::Logs(args)) => &args.which,
                Some(ClusterVerb::Reboot(args)) => &args.which,
                Some(ClusterVerb::Console(args)) => &args.which,
                Some(ClusterVerb::Upgrade(args)) => &args.which,
                Some(ClusterVerb::Support(args)) => &args.which,
                Some(ClusterVerb::Env(args)) => &args.which,
                Some(ClusterVerb::Dashboard(args)) => &args.which,
                Some(ClusterVerb::Stop(args)) => &args.which,
                Some(ClusterVerb::Start(args)) => &args.which,
                Some(ClusterVerb::Destroy(args)) => &args.which,
                Some(ClusterVerb::List { .. } | ClusterVerb::Clean(_)) => return None,
            },
            Command::Airgap(airgap) => airgap.which(),
            Command::Talosctl(args) | Command::Kubectl(args) => &args.which,
            Command::Dev(args) => &args.which,
            Command::Doctor(args) => &args.up.which,
            Command::Test(TestCommand::Integration(args)) => &args.which,
            Command::Pprof(pprof) => &pprof.fetch.which,
            Command::Selinux(selinux) => return selinux.cluster_name(),
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

/// Whether `--json` was given to the command or one above it.
fn has_json(matches: &clap::ArgMatches) -> bool {
    let given = matches.try_get_one::<bool>("json");
    matches!(given, Ok(Some(true)))
        || matches
            .subcommand()
            .is_some_and(|(_, below)| has_json(below))
}

/// Whether a command line that clap does not accept asks for JSON.
pub(crate) fn asks_for_json(words: &[OsString]) -> bool {
    let mut ours = words.iter().take_while(|word| *word != "--");
    ours.any(|word| word == "--json")
}

/// A message of clap about a command line, as other failures are.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    let text = as_started(&error.render().to_string());
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or_default();
    let mut failure = Failure::usage(what.strip_prefix("error: ").unwrap_or(what));
    for line in lines {
        if let Some(tip) = line.strip_prefix("tip: ") {
            failure.hint.get_or_insert_with(|| tip.to_owned());
        } else if line.starts_with("Usage: ") || line.starts_with("For more information") {
            break;
        } else {
            failure.causes.push(line.to_owned());
        }
    }
    failure
}

/// For hints: whether the subcommand that `words` begin with takes `--name`.
pub fn takes_name(words: &[&str]) -> bool {
    // Building all subcommands at once takes more stack than the threads have
    // that wait for nodes, and hints are made in those too.
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

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, inspect, reboot or destroy a Talos cluster
    Cluster(cluster::ClusterCommand),
    /// Build, reboot and check after each change of the checkout
    Dev(dev::DevArgs),
    /// Test clusters without access to other networks, and record what nodes ask for
    #[command(subcommand)]
    Airgap(airgap::AirgapCommand),
    /// Run talosctl with the configuration of a cluster
    #[command(after_help = "Examples:\n  cargo xtask talosctl -- version\n  \
        cargo xtask talosctl -- -n 172.20.0.3 dmesg\n\n\
        Without `-n` it is about the first control plane. The exit code is talosctl's.")]
    Talosctl(cluster::ClientArgs),
    /// Run kubectl with the configuration of a cluster
    #[command(
        after_help = "Examples:\n  cargo xtask kubectl -- get nodes\n\nThe exit code is kubectl's."
    )]
    Kubectl(cluster::ClientArgs),
    /// Build any target of the checkout's Makefile, without make
    Build(build::BuildArgs),
    /// Set up whatever is missing: builder, registry, proxies, cross-build
    Setup(setup::SetupArgs),
    /// Manage the buildx builder that builds need
    Builder(builder::BuilderCommand),
    /// Build an installer image of this checkout and push it to the local registry
    Installer(installer::InstallerArgs),
    /// List the images that builds pushed, by digest
    Images {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Build, check, deploy and verify kernel modules and system extensions
    #[command(subcommand)]
    Kmod(kmod::KmodCommand),
    /// Check nodes for podtrace, which traces pods with eBPF
    #[command(subcommand)]
    Podtrace(podtrace::PodtraceCommand),
    /// Show what is in an image, without unpacking it
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Manage the local registry on 127.0.0.1:5005, which builds push to
    Registry(registry::RegistryCommand),
    /// Manage pull-through proxies, which make clusters boot faster
    Proxies(proxies::ProxiesCommand),
    /// Manage the lab: real talosctl and QEMU, with nodes that run a stand-in or Talos itself
    #[command(subcommand)]
    Lab(lab::LabCommand),
    /// Find the causes of SELinux denials, and question and compare policies
    #[command(subcommand)]
    Selinux(selinux::SelinuxCommand),
    /// Profile all nodes at once, or show profiles from files
    Pprof(Box<pprof::args::PprofCommand>),
    /// Run and list the tests of Talos
    #[command(subcommand)]
    Test(TestCommand),
    /// Show the checkout, builder, registries, clusters and last runs, and what to type next
    Status(status::StatusArgs),
    /// Check this host and show how to fix each problem
    Doctor(doctor::DoctorArgs),
    /// Run a test binary as root in namespaces, for `go test -exec`
    ExecRoot(exec_root::ExecRootArgs),
    /// List, show, replay and export past runs
    Runs(runs::RunsCommand),
    /// Copy this workspace into a Talos checkout
    Embed(embed::EmbedArgs),
    /// Add tasks, debug configurations and build tags to the files of an editor
    Editor(editor::EditorArgs),
    /// List what editors offer to run, for other task runners
    Tasks(tasks::TasksArgs),
    /// Print a CI workflow that runs the same commands
    #[command(subcommand)]
    Ci(ci::CiCommand),
    /// Print or install completions for a shell, and manual pages
    Completions(completions::CompletionsCommand),
    /// Internal commands
    #[command(hide = true, subcommand)]
    Internal(internal::InternalCommand),
}

impl Command {
    /// Whether the command builds, pushes or serves images, which takes Docker.
    pub(crate) fn lab_need(&self) -> LabNeed {
        match self {
            Self::Build(_)
            | Self::Dev(_)
            | Self::Builder(_)
            | Self::Installer(_)
            | Self::Registry(_)
            | Self::Proxies(_)
            | Self::Setup(_) => LabNeed::Docker,
            Self::Test(TestCommand::Integration(_)) => LabNeed::IntegrationTest,
            Self::Cluster(cluster) if cluster.needs_cluster() => LabNeed::Running,
            _ => LabNeed::Started,
        }
    }
}

/// Returns the command line as it is read: below the root, help leaves out the
/// global options.
pub fn command() -> clap::Command {
    let root = Cli::command();
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    let hidden: Vec<clap::Arg> = global.map(|arg| arg.clone().hide(true)).collect();
    let root = root.mut_subcommands(|command| {
        // As clap propagates options: not to a command with an option of the
        // same name.
        let has = |arg: &&clap::Arg| {
            command
                .get_arguments()
                .any(|own| own.get_id() == arg.get_id())
        };
        let missing: Vec<_> = hidden.iter().filter(|arg| !has(arg)).collect();
        command.args(missing)
    });
    help::with_help(root)
}

/// Reads `--color` from a command line that clap does not accept, or that asks
/// for help.
pub(crate) fn color(words: &[OsString]) -> Color {
    let words = words.iter().map_while(|word| word.to_str());
    let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
    let mut given = words.iter().enumerate();
    given
        .find_map(|(at, word)| match word.strip_prefix("--color")? {
            "" => words.get(at + 1).copied(),
            rest => rest.strip_prefix('='),
        })
        .and_then(|given| Color::from_str(given, false).ok())
        .unwrap_or_default()
}

/// Commands that are started by other commands, not by users.
const NOT_TYPED: &[&str] = &["internal", "exec-root"];

/// Names what is typed from habit elsewhere by the command that does it here.
fn suggest_command(error: &mut clap::Error, word: &str, words: &[OsString]) {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let Some(at) = words.iter().skip(1).position(|it| *it == word) else {
        return;
    };
    let (before, after) = words.split_at(at + 1);
    let command = Cli::command();
    let mut above = before.iter().skip(1).filter_map(|word| {
        let known = command.find_subcommand(word)?;
        Some(known.get_name().to_owned())
    });
    let above = above.next();
    if let Some(instead) = meant::instead_of(above.as_deref(), after) {
        let text = format!("type `{instead}`");
        let tip = ContextValue::StyledStrs(vec![text.into()]);
        error.insert(ContextKind::Suggested, tip);
        error.remove(ContextKind::SuggestedSubcommand);
        return;
    }
    let names = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) => names.clone(),
        Some(ContextValue::String(name)) => vec![name.clone()],
        _ => return,
    };
    let typed = names
        .iter()
        .filter(|name| !NOT_TYPED.contains(&name.as_str()));
    let typed: Vec<String> = typed.cloned().collect();
    error.remove(ContextKind::SuggestedSubcommand);
    // An empty list would be an empty line.
    error.remove(ContextKind::Suggested);
    if !typed.is_empty() {
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::Strings(typed),
        );
    }
}

/// Where nodes are missing, names the option for all of them.
fn suggest_all(error: &mut clap::Error, words: &[OsString]) {
    let command = command();
    let mut at = &command;
    for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
        at = at.find_subcommand(word).unwrap_or(at);
    }
    let all = at.get_arguments().find(|arg| arg.get_long() == Some("all"));
    if let Some(help) = all.and_then(clap::Arg::get_help) {
        let tip = ContextValue::StyledStrs(vec![format!("`--all`: {help}").into()]);
        error.insert(ContextKind::Suggested, tip);
    }
}

/// `cluster` takes arguments without a verb, so clap counts a mistyped verb as
/// one argument too many: name the verb that was meant. Options of `go tool pprof` are
/// known, too.
pub fn with_suggestion(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
        let word = word.clone();
        suggest_command(&mut error, &word, words);
        return error;
    }
    if error.kind() == ErrorKind::MissingRequiredArgument {
        suggest_all(&mut error, words);
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    if word.starts_with('-') {
        // clap takes `-count=1` for short options, of which it names the first.
        let ours = words.iter().map_while(|word| word.to_str());
        let ours: Vec<&str> = ours.take_while(|word| *word != "--").collect();
        let is_unit = ours.windows(2).any(|pair| pair == ["test", "unit"]);
        let mut meant = ours.iter().filter(|it| it.starts_with(word.as_str()));
        if let Some(instead) = meant.find_map(|it| go_test_flag(it)).filter(|_| is_unit) {
            let instead = ContextValue::StyledStrs(vec![instead.into()]);
            error.insert(ContextKind::Suggested, instead);
            error.remove(ContextKind::SuggestedArg);
            error.remove(ContextKind::Usage);
            return error;
        }
        let is_pprof = words.iter().any(|word| word == "pprof");
        if let Some(instead) = pprof::words::instead_of(word).filter(|_| is_pprof) {
            let instead = ContextValue::StyledStrs(vec![instead.into()]);
            error.insert(ContextKind::Suggested, instead);
            // clap's guesses, also that in the usage.
            error.remove(ContextKind::SuggestedArg);
            error.remove(ContextKind::Usage);
        }
        return error;
    }
    let after = words
        .iter()
        .skip_while(|it| it.to_str() != Some(word.as_str()));
    let after: Vec<&str> = after.filter_map(|it| it.to_str()).collect();
    if words.iter().any(|it| it == "cluster")
        && let Some(instead) = meant::instead_of(Some("cluster"), &after)
    {
        let tip = ContextValue::StyledStrs(vec![format!("type `{instead}`").into()]);
        error.insert(ContextKind::Suggested, tip);
        return error;
    }
    let command = Cli::command();
    let verbs = command
        .find_subcommand("cluster")
        .into_iter()
        .flat_map(clap::Command::get_subcommands);
    let alike = verbs.map(|verb| (strsim::jaro(word, verb.get_name()), verb.get_name()));
    // The similarity that clap requires itself.
    if let Some((_, verb)) = alike
        .filter(|(alike, _)| *alike > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
    {
        let verb = ContextValue::Strings(vec![verb.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, verb);
    }
    error
}
