use super::*;
use proptest::prelude::*;
use std::io;

macro_rules! console {
    ($name:literal) => {
        include_bytes!(concat!("../../../../testdata/console/", $name, ".log")).as_slice()
    };
}

fn boots(bytes: &[u8]) -> Vec<Boot> {
    let mut tracker = BootTracker::default();
    tracker.feed(bytes);
    tracker.finish();
    tracker.boots().to_vec()
}

fn only(bytes: &[u8]) -> Boot {
    let mut found = boots(bytes);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn from_end(bytes: &[u8]) -> Option<Boot> {
    last_boot(bytes.len() as u64, |at, buffer: &mut [u8]| {
        let rest = &bytes[usize::try_from(at).unwrap().min(bytes.len())..];
        // Short reads, as from a pipe, must not matter.
        let got = rest.len().min(buffer.len()).min(100_000);
        buffer[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    })
    .unwrap()
}

/// The phase that runs, or the one that failed.
fn current_phase(boot: &Boot) -> Option<&Phase> {
    let mut phases = boot.phases.iter().rev();
    phases.find(|phase| phase.state != PhaseState::Done)
}

#[test]
fn a_whole_boot() {
    let bytes = console!("boot");
    let boot = only(bytes);
    assert_eq!(boot.offset, 0);
    let launch = boot.launched.as_ref().unwrap();
    assert_eq!(launch.qemu, "/usr/bin/qemu-system-x86_64");
    assert!(launch.args.starts_with("-m 2048 ") && launch.args.ends_with("talos.platform=metal"));
    assert!(boot.banner_offset.unwrap() > 300);
    assert_eq!(boot.kernel.as_deref(), Some("6.18.1-talos"));
    assert_eq!(boot.talos.as_deref(), Some("v1.12.0"));
    assert_eq!((boot.initramfs, boot.machined), (Some(2.1), Some(3.2)));
    assert_eq!((boot.booted, boot.ready), (Some(8.8), Some(15.3)));
    assert_eq!(boot.seconds(), Some(15.3));
    assert_eq!(boot.state(), BootState::Ready);
    assert_eq!(boot.end_offset, bytes.len() as u64);
    let phases: Vec<_> = boot
        .phases
        .iter()
        .map(|p| (p.sequence.as_str(), p.name.as_str()))
        .collect();
    assert_eq!(
        phases,
        [
            ("initialize", "logger"),
            ("initialize", "systemRequirements"),
            ("boot", "saveStateEncryptionConfig"),
            ("boot", "startEverything"),
        ]
    );
    assert_eq!(
        (
            boot.phases[3].number,
            boot.phases[3].of,
            boot.phases[3].seconds
        ),
        (2, 2, Some(4.5))
    );
    assert!(current_phase(&boot).is_none());
}

/// The stand-in node of the lab, with the real launcher, QEMU and kernel.
#[test]
fn a_boot_of_the_lab() {
    let boot = only(console!("lab-boot"));
    assert_eq!(boot.kernel.as_deref(), Some("6.1.0-56-cloud-amd64"));
    assert_eq!(boot.talos.as_deref(), Some("v1.12.0"));
    assert_eq!(
        (boot.booted, boot.ready),
        (Some(11.922_403), Some(11.947_519))
    );
    assert_eq!(boot.phases.len(), 10);
    assert!(
        boot.phases
            .iter()
            .all(|phase| phase.state == PhaseState::Done)
    );
    assert_eq!((boot.state(), boot.warnings.len()), (BootState::Ready, 0));
}

/// Talos itself, with what the lab replaces.
#[test]
fn a_boot_of_real_talos() {
    let boot = only(console!("real-talos-1.13"));
    assert_eq!(boot.kernel.as_deref(), Some("6.18.15+deb13-cloud-amd64"));
    assert_eq!(boot.talos.as_deref(), Some("v1.13.0"));
    assert_eq!(
        (boot.booted, boot.ready),
        (Some(203.412_555), Some(526.562_488))
    );
    let of = |sequence: &str| {
        let phases = boot.phases.iter();
        let phases = phases.filter(|phase| phase.sequence == sequence);
        let phases: Vec<&str> = phases.map(|phase| phase.name.as_str()).collect();
        phases
    };
    assert_eq!(
        of("initialize"),
        [
            "systemRequirements",
            "earlyServices",
            "usb",
            "meta",
            "dashboard",
            "config"
        ]
    );
    assert_eq!(of("boot").len(), 9);
    assert!(boot.has_network());
    let is_done = |phase: &Phase| phase.state == PhaseState::Done;
    assert!(boot.phases.iter().all(is_done));
    assert_eq!((boot.state(), boot.warnings.len()), (BootState::Ready, 0));
}

/// Talos prints with dates, and phases of its own.
#[test]
fn a_boot_in_container_mode() {
    let bytes = console!("real-talos-1.13-container");
    let boot = only(bytes);
    // The kernel's last line before is at 21.987722.
    assert_eq!(
        (boot.machined, boot.booted, boot.ready),
        (Some(21.987_722), Some(87.987_722), Some(413.987_722))
    );
    let phases = boot.phases.iter();
    let names: Vec<&str> = phases.map(|phase| phase.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "machined",
            "config",
            "memorySizeCheck",
            "diskSizeCheck",
            "env",
            "dbus",
            "sharedFilesystems",
            "ephemeral",
            "userSetup",
            "startEverything"
        ]
    );
    assert!(boot.has_network());
    assert_eq!((boot.state(), boot.warnings.len()), (BootState::Ready, 0));
    let newest_ms = 1_000_000;
    let node = "a";
    let console = Console {
        node,
        bytes,
        newest_ms,
    };
    let lines: Vec<_> = merge(&[console]).collect();
    let of = |text: &str| lines.iter().find(|line| line.text.contains(text)).unwrap();
    let done = of("boot sequence: done");
    assert_eq!(of("running and ready").wall_ms - done.wall_ms, 326_000);
    assert_eq!(of("running and ready").wall_ms, newest_ms);
}

#[test]
fn a_boot_as_it_goes() {
    let bytes = console!("boot");
    let mut tracker = BootTracker::default();
    let mut states = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        tracker.feed(line);
        let state = tracker.current().unwrap().state();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    assert_eq!(
        states,
        [BootState::Starting, BootState::Booted, BootState::Ready]
    );
}

#[test]
fn reboots_and_upgrades() {
    let found = boots(console!("reboot"));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].end, Some(End::Reboot));
    assert_eq!(found[0].state(), BootState::Ending);
    assert!(found[0].ready.is_some());
    assert_eq!(found[1].end, Some(End::Upgrade));
    assert_eq!(current_phase(&found[1]).unwrap().name, "cleanup");
    assert_eq!(current_phase(&found[1]).unwrap().sequence, "upgrade");
}

#[test]
fn kexec_is_a_boot_without_a_launcher_line() {
    let found = boots(console!("install-kexec"));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].end, Some(End::Reboot));
    assert_eq!(found[1].launched, None);
    assert_eq!(Some(found[1].offset), found[1].banner_offset);
    assert_eq!(found[1].state(), BootState::Ready);
}

#[test]
fn failures() {
    let boot = only(console!("boot-failed"));
    assert_eq!(
        boot.end,
        Some(End::Failed {
            sequence: "boot".into()
        })
    );
    let failed = PhaseState::Failed("error mounting partitions: no such device".into());
    assert_eq!(current_phase(&boot).unwrap().state, failed);

    let boot = only(console!("machined-panic"));
    let death = boot.death.as_ref().unwrap();
    assert_eq!(death.kind, DeathKind::MachinedPanic);
    assert!(death.line.contains("nil pointer"), "{}", death.line);
    assert_eq!(boot.state(), BootState::Dead);

    let boot = only(console!("sleeping"));
    assert_eq!(boot.death.unwrap().kind, DeathKind::MachinedPanic);
    assert_eq!(boot.talos.as_deref(), Some("v1.14.0"));
}

#[test]
fn warnings_noise_and_glued_lines() {
    let found = boots(console!("noise"));
    assert_eq!(found.len(), 2);
    let kinds: Vec<_> = found[0].warnings.iter().map(|w| w.kind).collect();
    assert_eq!(kinds, [DeathKind::GuestMemory]);
    assert_eq!(found[0].oops, None, "a lockup");
    assert_eq!(found[0].state(), BootState::Ready);
    assert!(found[1].launched.is_some() && found[1].kernel.is_some());
    assert!(found[1].offset > 40_000);
}

#[test]
fn a_panic_loop_of_a_real_kernel() {
    let found = boots(console!("real-panic-loop"));
    assert_eq!(found.len(), 2);
    for boot in &found {
        assert_eq!(boot.kernel.as_deref(), Some("6.1.0-56-cloud-amd64"));
        let death = boot.death.as_ref().unwrap();
        assert_eq!(death.kind, DeathKind::KernelPanic);
        assert!(death.hint.contains("initramfs"), "{}", death.hint);
        assert!(boot.launcher_exit.is_none());
    }
}

#[test]
fn real_deaths_are_told_with_their_own_line() {
    for (bytes, kind, quoted) in [
        (
            console!("real-nokernel"),
            DeathKind::MissingFile,
            "could not open kernel file",
        ),
        (
            console!("real-noinitrd"),
            DeathKind::MissingFile,
            "error reading initrd",
        ),
        (
            console!("real-mem"),
            DeathKind::HostMemory,
            "Cannot allocate memory",
        ),
        (
            console!("real-kvm"),
            DeathKind::Kvm,
            "System Management Mode",
        ),
        (console!("real-badcni"), DeathKind::Network, "tap refused"),
        (
            console!("real-termed"),
            DeathKind::QemuKilled,
            "signal: terminated",
        ),
        (console!("real-killed"), DeathKind::KernelPanic, ""),
        (
            console!("qemu-longpath"),
            DeathKind::SocketPath,
            "is too long",
        ),
        (
            console!("qemu-locked"),
            DeathKind::DiskLocked,
            "\"write\" lock",
        ),
    ] {
        let boot = only(bytes);
        if quoted.is_empty() {
            // Its panic is in the part that was cut out.
            assert_eq!(boot.death.unwrap().kind, DeathKind::QemuKilled);
        } else {
            let death = boot.death.clone().unwrap();
            assert_eq!(death.kind, kind, "{}", death.line);
            assert!(death.line.contains(quoted), "{}", death.line);
            let offset = usize::try_from(death.offset).unwrap();
            assert!(bytes[offset..].starts_with(&death.line.as_bytes()[..8]));
            assert_eq!(boot.state(), BootState::Dead);
        }
        assert!(boot.launcher_exit.is_some());
    }
}

#[test]
fn a_destroy_is_no_death() {
    let boot = only(console!("real-launchterm"));
    assert_eq!(boot.end, Some(End::Stopped));
    assert_eq!(boot.launcher_exit.as_deref(), Some("process stopped"));
    assert_eq!(boot.death, None);
}

#[test]
fn retries_of_the_launcher() {
    let found = boots(console!("retries"));
    assert_eq!(found.len(), 3);
    assert!(found[..2].iter().all(|boot| boot.launcher_exit.is_none()));
    assert_eq!(found[2].state(), BootState::Ready);
    let found = boots(console!("retries-exhausted"));
    assert!(found[0].launcher_exit.is_none());
    let exit = found[1].launcher_exit.as_deref();
    assert_eq!(exit, Some("QEMU failed to start: exit status 1"));
    assert!(
        found[1]
            .death
            .as_ref()
            .unwrap()
            .line
            .contains("Connection refused")
    );
}

#[test]
fn a_long_crash_loop_is_bounded() {
    let one = console!("real-panic-loop");
    let mut tracker = BootTracker::default();
    for _ in 0..100 {
        tracker.feed(one);
    }
    assert_eq!(tracker.boots().len(), MAX_BOOTS);
}

const ALL: [&[u8]; 17] = [
    console!("lab-boot"),
    console!("boot"),
    console!("reboot"),
    console!("install-kexec"),
    console!("boot-failed"),
    console!("machined-panic"),
    console!("sleeping"),
    console!("noise"),
    console!("retries"),
    console!("retries-exhausted"),
    console!("qemu-locked"),
    console!("real-panic-loop"),
    console!("real-nokernel"),
    console!("real-badcni"),
    console!("real-killed"),
    console!("real-termed"),
    console!("real-launchterm"),
];

#[test]
fn the_last_boot_is_the_trackers() {
    for (i, bytes) in ALL.into_iter().enumerate() {
        assert_eq!(from_end(bytes), boots(bytes).pop(), "console {i}");
    }
    assert_eq!(from_end(b""), None);
    assert_eq!(from_end(b"some text\n"), None);
}

#[test]
fn the_last_boot_of_a_big_console() {
    let filler = b"[  100.000000] [talos] service[etcd](Running): Health check successful\r\n";
    let mut bytes = console!("reboot").repeat(3);
    bytes.extend_from_slice(console!("boot"));
    let start = bytes.len() as u64 - console!("boot").len() as u64;
    while bytes.len() < 5 << 20 {
        bytes.extend_from_slice(filler);
    }
    let boot = from_end(&bytes).unwrap();
    assert_eq!((boot.offset, boot.state()), (start, BootState::Ready));
    assert_eq!(boot.end_offset, bytes.len() as u64);
    bytes.extend_from_slice(b"[  200.000000] Kernel panic - not syncing: x\r\n");
    assert_eq!(from_end(&bytes).unwrap().state(), BootState::Dead);
}

/// The first bug that a console of these lines shows.
fn oops(lines: &[&str]) -> Option<String> {
    let lines = lines.iter().map(|line| format!("[    9.000000] {line}\n"));
    let text: String = std::iter::once("[    0.000000] Linux version 6.18.1\n".to_owned())
        .chain(lines)
        .collect();
    only(text.as_bytes()).oops.map(|oops| oops.to_string())
}

#[test]
fn bugs_of_kernels_and_their_functions() {
    for (lines, expected) in [
        // Linux before 6.11.
        (
            &[
                "general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] PREEMPT SMP NOPTI",
                "RIP: 0010:x_probe+0x1c/0x90 [x]",
                "RIP: 0033:0x7f3a1c",
            ][..],
            "general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] PREEMPT SMP NOPTI, in `x_probe+0x1c/0x90 [x]`",
        ),
        (
            &[
                "kernel BUG at drivers/x/core.c:42!",
                "Oops: invalid opcode: 0000 [#1] SMP NOPTI",
                "RIP: 0010:x_remove+0x2/0x10 [x]",
            ],
            "kernel BUG at drivers/x/core.c:42!, in `x_remove+0x2/0x10 [x]`",
        ),
        // arm64.
        (
            &[
                "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
                "Internal error: Oops: 0000000096000004 [#1] SMP",
                "pc : x_open+0x14/0x60 [x]",
                "lr : chrdev_open+0xcc/0x220",
            ],
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008, in `x_open+0x14/0x60 [x]`",
        ),
    ] {
        assert_eq!(oops(lines).as_deref(), Some(expected));
    }
    // No instruction stands for this one; the next trace is a warning's.
    let atomic = "BUG: scheduling while atomic: kworker/0:1/12/0x00000002";
    let lines = [atomic, "Call Trace:", "RIP: 0010:y_work+0x3/0x10 [y]"];
    assert_eq!(oops(&lines).as_deref(), Some(atomic));
    let recorded = only(console!("real-oops")).oops.unwrap().to_string();
    assert_eq!(
        recorded,
        "BUG: kernel NULL pointer dereference, address: 0000000000000000, in `lab_crash_init+0xc/0x1000 [lab_crash]`"
    );
    for harmless in [
        "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 34s!",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [kworker/1:2:77]",
        "traps: etcd[77] general protection fault ip:46 sp:c0 error:0 in etcd[400000+1000]",
        "[talos] task x (1/1): failed: BUG: no such file",
    ] {
        assert_eq!(oops(&[harmless, "RIP: 0010:x+0x1/0x2"]), None, "{harmless}");
    }
}

#[test]
fn a_console_that_shrinks_or_fails() {
    let bytes = console!("boot");
    let claimed = bytes.len() as u64 + 5000;
    let boot = last_boot(claimed, |at, buffer: &mut [u8]| {
        let rest = &bytes[usize::try_from(at).unwrap().min(bytes.len())..];
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    });
    assert!(boot.unwrap().is_some());
    let broken = last_boot(10, |_, _: &mut [u8]| Err(io::Error::other("gone")));
    assert!(broken.is_err());
}

/// A console made of whole and cut fixtures and noise.
fn any_console() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => (0..ALL.len()).prop_map(|i| ALL[i].to_vec()),
        2 => (0..ALL.len(), 0usize..9000).prop_map(|(i, cut)| ALL[i][..cut.min(ALL[i].len())].to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same_boots(bytes in any_console(), size in 1usize..5000) {
        let mut tracker = BootTracker::default();
        for chunk in bytes.chunks(size) {
            tracker.feed(chunk);
        }
        tracker.finish();
        prop_assert_eq!(tracker.boots(), boots(&bytes));
    }

    #[test]
    fn any_last_boot_begins_where_the_trackers_does(bytes in any_console()) {
        let (last, tracked) = (from_end(&bytes), boots(&bytes).pop());
        // A launcher that died without a marker counts only in a short console.
        if tracked.as_ref().is_some_and(|boot| boot.launched.is_some() || boot.banner_offset.is_some()) {
            prop_assert_eq!(last, tracked);
        }
    }

    #[test]
    fn merging_keeps_every_line(a in any_console(), b in any_console()) {
        let consoles = [
            Console { node: "a", bytes: &a, newest_ms: 1_000_000 },
            Console { node: "b", bytes: &b, newest_ms: 1_000_500 },
        ];
        let lines: Vec<_> = merge(&consoles).collect();
        // A line without end comes in pieces.
        let count = |bytes: &[u8]| {
            let mut count = 0;
            let mut lines = Lines::default();
            lines.feed(bytes, |_, _| count += 1);
            lines.finish(|_, _| count += 1);
            count
        };
        prop_assert_eq!(lines.len(), count(&a) + count(&b));
        prop_assert!(lines.is_sorted_by_key(|line| line.wall_ms));
    }
}

/// Whatever a console repeats, each part of it is read at most a few times.
#[test]
fn the_last_boot_is_looked_for_in_proportion() {
    for piece in [
        "Linux version ",
        "xLinux version \n",
        " with args:\n",
        "x with args:\n",
        "Linux version with args:\n",
        "\0",
        "\n",
    ] {
        let bytes = piece.repeat((4 << 20) / piece.len()).into_bytes();
        let mut read = 0;
        let boot = last_boot(bytes.len() as u64, |at, buffer| {
            let from = usize::try_from(at).unwrap();
            let got = buffer.len().min(bytes.len() - from);
            buffer[..got].copy_from_slice(&bytes[from..from + got]);
            read += got;
            Ok(got)
        });
        assert_eq!(boot.unwrap(), None, "{piece:?}");
        assert!(read < 8 * bytes.len(), "{piece:?}: {read}");
    }
}

#[test]
fn a_console_of_one_line_is_merged_in_proportion() {
    let bytes = vec![0; 8 << 20];
    let console = Console {
        node: "a",
        bytes: &bytes,
        newest_ms: 0,
    };
    let lines = merge(&[console]).map(|line| line.text.len());
    assert_eq!(lines.sum::<usize>(), bytes.len());
}

/// Wherever a block ends: in a line that looks like the first of a boot, or behind
/// a first line.
#[test]
fn the_last_boot_is_found_at_any_place_of_a_block() {
    let boot = "starting /usr/bin/qemu with args:\n-m 1\n";
    let after = "x Linux version of a line\n";
    for shift in 0..boot.len() + 2 * after.len() {
        // Blocks are counted from the end.
        let filler = "y".repeat((256 << 10) - 40 - shift) + "\n";
        let text = format!("{boot}{}{filler}", after.repeat(2));
        let bytes = ["z\n".repeat(200_000), text].concat().into_bytes();
        let found = from_end(&bytes).map(|boot| boot.offset);
        assert_eq!(found, Some(400_000), "{shift}");
    }
}

#[test]
fn a_boot_has_a_network_once_its_devices_are_found() {
    let bytes = console!("real-talos-1.13");
    let end = b"phase earlyServices (2/9): done";
    let at = bytes.windows(end.len()).position(|part| part == end);
    let before = only(&bytes[..at.unwrap()]);
    assert!(before.machined.is_some() && !before.has_network());
}
