//! The requested cluster: arguments before settings before the guide's
//! defaults, checked before anything is looked at.

use talos::names::{ClusterName, Role};
use talos::network::Cidr;
use talos::version::{Arch, minimum_memory_mib};

use super::machine::{absolute_patch, talosctl_args, value_of, with_kernel_args};
use super::{UpArgs, Which, security};
use foundation::ctx::Ctx;
use foundation::ctx::airgap::Mode;
use foundation::failure::{Failure, Result};
use foundation::program;
use foundation::units::parse_mib;

/// talosctl's default, which the guide keeps.
pub(crate) const NAME: &str = "talos-default";
/// The guide's network.
const CIDR: &str = "172.20.0.0/24";
/// The guide's number of nodes, if memory allows it.
const GUIDE_SIZE: (u32, u32) = (3, 2);
/// Talos does not boot with less.
const LEAST_MIB: u64 = 256;
/// More is a typing mistake: 1 TiB for one node.
const MOST_MIB: u64 = 1 << 20;
/// talosctl's default of `--memory` and `--memory-workers`, in all lines.
const MEMORY_MIB: u64 = 2048;
/// Left to the host if the number of nodes is chosen automatically.
const RESERVE_MIB: u64 = 2048;

/// The requested cluster.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting")]
pub(crate) struct Settings {
    pub(crate) name: ClusterName,
    pub(crate) cidr: Cidr,
    /// Whether an argument or a setting names the network.
    pub(crate) is_cidr_given: bool,
    /// None if memory decides.
    pub(crate) controlplanes: Option<u32>,
    pub(crate) workers: Option<u32>,
    /// MiB of a control plane; none for talosctl's default.
    pub(crate) memory: Option<u64>,
    /// MiB of a worker; none for talosctl's default.
    pub(crate) memory_workers: Option<u64>,
    pub(crate) talos_version: Option<String>,
    pub(crate) config_patches: Vec<String>,
    pub(crate) with_bootloader: bool,
    pub(crate) wait: bool,
    /// Whether contexts are also added to the user's own files.
    pub(crate) merge: bool,
    pub(crate) secure_boot: bool,
    pub(crate) debug_shell: bool,
    /// The mode of the air gap, if there is to be one.
    pub(crate) airgap: Option<Mode>,
    /// None for that of the host.
    pub(crate) arch: Option<Arch>,
    /// For the first boot; `talosctl_args` has them.
    pub(crate) kernel_args: Vec<&'static str>,
    /// Options and arguments that are passed to talosctl unchanged.
    pub(crate) talosctl_args: Vec<String>,
}

/// Numbers of nodes, and notes about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) controlplanes: u32,
    pub(crate) workers: u32,
    pub(crate) note: Option<String>,
}

/// Returns the network of a cluster that no argument names.
///
/// # Errors
/// When the one of the settings is invalid.
pub(in crate::commands) fn default_network(ctx: &Ctx) -> Result<Cidr> {
    let cidr = ctx.config.cluster.cidr.as_deref().unwrap_or(CIDR);
    Cidr::parse(cidr).map_err(|error| Failure::usage(error.to_string()))
}

/// Returns the requested name: argument, setting or default.
///
/// # Errors
/// When it is not valid for a new cluster.
pub(crate) fn wanted_name(ctx: &Ctx, which: &Which) -> Result<ClusterName> {
    let name = which
        .name
        .as_deref()
        .or(ctx.config.cluster.name.as_deref())
        .unwrap_or(NAME);
    ClusterName::parse(name)
        .map_err(|error| Failure::usage(error.to_string()).hint("--name talos-default"))
}

impl Settings {
    /// # Errors
    /// The first invalid setting, exit code 2.
    pub(crate) fn new(ctx: &Ctx, args: &UpArgs) -> Result<Self> {
        let config = &ctx.config.cluster;
        let cidr = args
            .cidr
            .as_deref()
            .or(config.cidr.as_deref())
            .unwrap_or(CIDR);
        let cidr = Cidr::parse(cidr)
            .map_err(|error| Failure::usage(error.to_string()).hint("--cidr 172.20.0.0/24"))?;
        let controlplanes = args.controlplanes.or(config.controlplanes);
        let workers = args.workers.or(config.workers);
        check_counts(controlplanes)?;
        let memory = memory(args.memory.as_deref().or(config.memory.as_deref()))?;
        // `--memory` applies to each node; the settings may have another value
        // for workers.
        let memory_workers = match &args.memory {
            Some(_) => memory,
            None => self::memory(config.memory_workers.as_deref())?.or(memory),
        };
        let machine = &args.machine;
        let memory_workers = match &machine.memory_workers {
            Some(text) => self::memory(Some(text))?,
            None => memory_workers,
        };
        let talosctl_args = talosctl_args(ctx, machine, &args.talosctl_args)?;
        let kernel_args = security::kernel_args(args);
        let talosctl_args = with_kernel_args(talosctl_args, &kernel_args);
        check_is_local(&talosctl_args)?;
        let settings = Self {
            name: wanted_name(ctx, &args.which)?,
            is_cidr_given: args.cidr.is_some() || config.cidr.is_some(),
            cidr,
            controlplanes,
            workers,
            memory,
            memory_workers,
            talos_version: args
                .talos_version
                .clone()
                .or_else(|| config.talos_version.clone()),
            config_patches: patches(ctx, args)?,
            with_bootloader: args.with_bootloader || config.with_bootloader.unwrap_or(false),
            wait: args.wait || !args.no_wait,
            merge: args.merge || config.merge.unwrap_or(false),
            secure_boot: machine.secure_boot || config.secure_boot.unwrap_or(false),
            debug_shell: machine.debug_shell || config.debug_shell.unwrap_or(false),
            airgap: args.airgap,
            arch: arch(&talosctl_args)?,
            kernel_args,
            talosctl_args,
        };
        settings.check_memory()?;
        Ok(settings)
    }

    /// talosctl waits for minutes before it refuses such a node; with
    /// `--no-wait` nothing checks it.
    fn check_memory(&self) -> Result<()> {
        let asked = [
            (Role::ControlPlane, "control plane", "memory", self.memory),
            (
                Role::Worker,
                "worker",
                "memory-workers",
                self.memory_workers,
            ),
        ];
        for (role, what, flag, asked) in asked {
            let is_asked = role == Role::ControlPlane || self.workers != Some(0);
            let least = minimum_memory_mib(role);
            if let Some(mib) = asked.filter(|mib| *mib < least)
                && self.wait
                && is_asked
            {
                return Err(Failure::usage(format!(
                    "{mib} MiB of memory are too little for a {what}"
                ))
                .cause(format!("Talos needs at least {least} MiB"))
                .hint(format!("--{flag} 2GiB")));
            }
        }
        Ok(())
    }

    /// Returns the numbers of nodes: as requested, else the guide's or what
    /// fits into `available` bytes of memory.
    ///
    /// # Errors
    /// When the network has no room for them.
    pub(crate) fn size(&self, available: Option<u64>) -> Result<Size> {
        let size = self.size_by_memory(available);
        let nodes = size.controlplanes.saturating_add(size.workers);
        self.cidr
            .check_fits(
                nodes,
                self.talosctl_args.iter().any(|arg| arg == "--use-vip"),
            )
            .map_err(|error| Failure::usage(error.to_string()).hint("--cidr 172.20.0.0/24"))?;
        Ok(size)
    }

    /// Returns the MiB of memory of a cluster of that size.
    pub(crate) fn mib(&self, controlplanes: u32, workers: u32) -> u64 {
        u64::from(controlplanes) * self.memory.unwrap_or(MEMORY_MIB)
            + u64::from(workers) * self.memory_workers.unwrap_or(MEMORY_MIB)
    }

    fn size_by_memory(&self, available: Option<u64>) -> Size {
        let wanted = (
            self.controlplanes.unwrap_or(GUIDE_SIZE.0),
            self.workers.unwrap_or(GUIDE_SIZE.1),
        );
        let room = available.map_or(u64::MAX, |bytes| (bytes >> 20).saturating_sub(RESERVE_MIB));
        let smaller = [(3, 1), (3, 0), (1, 2), (1, 1), (1, 0)];
        let choices = smaller.map(|(controlplanes, workers)| {
            (
                self.controlplanes.unwrap_or(controlplanes),
                self.workers.unwrap_or(workers),
            )
        });
        let fits =
            |&(controlplanes, workers): &(u32, u32)| self.mib(controlplanes, workers) <= room;
        let chosen = std::iter::once(wanted)
            .chain(choices)
            .find(fits)
            .unwrap_or((self.controlplanes.unwrap_or(1), self.workers.unwrap_or(0)));
        let needed = self.mib(chosen.0, chosen.1);
        let free = available.map(|bytes| bytes >> 20);
        let exceeding = free.filter(|free| needed > *free).map(|free| {
            format!(
                "the nodes are given {needed} MiB of memory and {free} MiB are available: the host may run out of memory"
            )
        });
        let smaller = (chosen != wanted).then(|| {
            format!(
                "{} control plane(s) and {} worker(s) instead of {} and {}: {} MiB of memory are available, {RESERVE_MIB} MiB stay for the host",
                chosen.0, chosen.1, wanted.0, wanted.1,
                room.saturating_add(RESERVE_MIB),
            )
        });
        Size {
            controlplanes: chosen.0,
            workers: chosen.1,
            note: exceeding.or(smaller),
        }
    }
}

/// # Errors
/// For a name that is not an architecture of Talos.
fn arch(talosctl_args: &[String]) -> Result<Option<Arch>> {
    let Some(name) = value_of(talosctl_args, "arch") else {
        return Ok(None);
    };
    // talosctl only accepts Go's names.
    match Arch::parse(name).filter(|arch| arch.go_name() == name) {
        Some(arch) => Ok(Some(arch)),
        None => Err(Failure::usage(format!("invalid architecture `{name}`"))
            .hint("--arch amd64 or --arch arm64")),
    }
}

fn check_counts(controlplanes: Option<u32>) -> Result<()> {
    match controlplanes {
        Some(2) => Err(Failure::usage("2 control planes cannot survive the loss of one")
            .cause("etcd needs a majority: of 2 that is 2, so it stops with the first node that fails")
            .hint("--controlplanes 1 or --controlplanes 3")),
        Some(0) => Err(Failure::usage("a cluster needs a control plane").hint("--controlplanes 1")),
        _ => Ok(()),
    }
}

/// Parses MiB: a plain number as in talosctl, or a size with a unit.
fn memory(text: Option<&str>) -> Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    match parse_mib(text) {
        Some(mib) if mib > MOST_MIB => Err(invalid_memory(text)),
        Some(mib) if mib >= LEAST_MIB => Ok(Some(mib)),
        Some(_) => Err(
            Failure::usage(format!("no node boots with `{text}` of memory")).hint("--memory 2GiB"),
        ),
        None => Err(invalid_memory(text)),
    }
}

fn invalid_memory(text: &str) -> Failure {
    Failure::usage(format!("invalid memory size `{text}`"))
        .hint("--memory 2GiB, --memory 2GB or --memory 2048 (MiB)")
}

/// Returns the patches of all nodes, those of the settings first.
fn patches(ctx: &Ctx, args: &UpArgs) -> Result<Vec<String>> {
    let base = ctx.config.base.as_deref().unwrap_or(&ctx.cwd);
    let configured = ctx.config.cluster.config_patches.iter();
    let configured = configured.map(|patch| absolute_patch(patch, base));
    let given = args.config_patch.iter();
    configured
        .chain(given.map(|patch| absolute_patch(patch, &ctx.cwd)))
        .collect()
}

/// # Errors
/// If the cluster would be another machine's (Talos 1.14).
fn check_is_local(talosctl_args: &[String]) -> Result<()> {
    let Some(endpoint) = value_of(talosctl_args, "remote-endpoint") else {
        return Ok(());
    };
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    Err(Failure::usage("`--remote-endpoint` is not supported")
        .cause(format!(
            "the nodes would run on `{host}`, where their processes, consoles and disks cannot be seen from here"
        ))
        .cause("`talosctl remote-provision-launch` has no authentication, and creates clusters as root for all who reach its port")
        .hint(program!("ssh -t {} cargo xtask cluster", host)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> Settings {
        Settings {
            name: ClusterName::parse(NAME).unwrap(),
            cidr: Cidr::parse(CIDR).unwrap(),
            is_cidr_given: false,
            controlplanes: None,
            workers: None,
            memory: None,
            memory_workers: None,
            talos_version: None,
            config_patches: Vec::new(),
            with_bootloader: false,
            wait: true,
            merge: false,
            secure_boot: false,
            debug_shell: false,
            arch: None,
            airgap: None,
            kernel_args: Vec::new(),
            talosctl_args: Vec::new(),
        }
    }

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_guides_size_where_memory_allows_it() {
        let size = |gib: u64| {
            let size = settings().size(Some(gib * GIB)).unwrap();
            (size.controlplanes, size.workers, size.note.is_some())
        };
        assert_eq!(size(16), (3, 2, false));
        assert_eq!(size(10), (3, 1, true));
        assert_eq!(size(8), (3, 0, true));
        assert_eq!(size(6), (1, 1, true));
        assert_eq!(size(1), (1, 0, true));
    }

    #[test]
    fn what_was_asked_for_is_never_changed() {
        let asked = Settings {
            controlplanes: Some(5),
            ..settings()
        };
        let size = asked.size(Some(8 * GIB)).unwrap();
        assert_eq!((size.controlplanes, size.workers), (5, 0));
        let both = Settings {
            workers: Some(4),
            ..asked
        };
        assert_eq!(both.size(Some(GIB)).unwrap().workers, 4);
    }

    #[test]
    fn less_memory_than_talos_needs_is_refused() {
        let with = |memory, memory_workers, workers| Settings {
            memory: Some(memory),
            memory_workers: Some(memory_workers),
            workers,
            ..settings()
        };
        assert!(with(1848, 1024, None).check_memory().is_ok());
        let failure = with(1024, 1024, None).check_memory().unwrap_err();
        assert!(failure.to_string().contains("1848 MiB"), "{failure}");
        let failure = with(2048, 512, None).check_memory().unwrap_err();
        assert!(failure.to_string().contains("a worker"), "{failure}");
        assert!(with(2048, 512, Some(0)).check_memory().is_ok());
        let unchecked = Settings {
            wait: false,
            ..with(512, 512, None)
        };
        assert!(unchecked.check_memory().is_ok());
    }

    #[test]
    fn sizes_beyond_the_hosts_memory_are_noted() {
        let asked = Settings {
            controlplanes: Some(3),
            workers: Some(2),
            ..settings()
        };
        let note = asked.size(Some(4 * GIB)).unwrap().note.unwrap();
        assert!(
            note.contains("10240 MiB") && note.contains("4096 MiB"),
            "{note}"
        );
        assert_eq!(asked.size(Some(16 * GIB)).unwrap().note, None);
    }

    #[test]
    fn a_network_without_room_is_refused() {
        let small = Settings {
            cidr: Cidr::parse("172.20.0.0/29").unwrap(),
            ..settings()
        };
        assert!(small.size(None).unwrap().workers == 2);
        let smaller = Settings {
            cidr: Cidr::parse("172.20.0.0/30").unwrap(),
            ..settings()
        };
        let failure = smaller.size(None).unwrap_err();
        assert_eq!(failure.exit, foundation::failure::Exit::Usage);
    }

    #[test]
    fn memory_is_mib_or_has_a_unit() {
        assert_eq!(memory(Some("2048")).unwrap(), Some(2048));
        assert_eq!(memory(Some("2GiB")).unwrap(), Some(2048));
        assert_eq!(memory(Some("2G")).unwrap(), Some(2048));
        // Decimal units, as everywhere: 2 * 10^9 bytes.
        assert_eq!(memory(Some("2GB")).unwrap(), Some(1907));
        assert_eq!(memory(None).unwrap(), None);
        for wrong in [
            "",
            "two",
            "2TB",
            "1",
            "99999999999999999999G",
            "18446744073709551615G",
        ] {
            assert!(memory(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
