//! What people type from habit, and the command that does it here.

use foundation::typed;
use foundation::typed::Words;

/// Targets of Talos' Makefile that are not commands here.
const TARGETS: &[&str] = &[
    "all",
    "docs",
    "fmt",
    "generate",
    "imager",
    "images",
    "initramfs",
    "installer-base",
    "iso",
    "kernel",
    "lint",
    "secureboot-iso",
    "talos",
    "talosctl-all",
    "talosctl-linux-amd64",
    "talosctl-linux-arm64",
    "uki-certs",
];

/// Returns the command for words that are not one. `words` begin with the word that is not
/// known; `above` is the command before it.
pub(super) fn instead_of(above: Option<&str>, words: &[&str]) -> Option<String> {
    let (first, rest) = words.split_first()?;
    match above {
        None => {}
        Some("test") => return test(first),
        Some("cluster") => return of_cluster(first),
        Some(noun) => return of_service(noun, first),
    }
    if TARGETS.contains(first) || is_variable(first) {
        return Some(typed!("build {}", plain(words)));
    }
    if *first == "make" {
        return Some(typed!("build {}", plain(rest)));
    }
    habit(first)
}

fn is_variable(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// The target of the Makefile for a name from elsewhere.
pub(super) fn target(word: &str) -> Option<&'static str> {
    Some(match word {
        "initrd" | "initramfs.xz" | "ramdisk" | "machined" => "initramfs",
        "vmlinuz" | "bzImage" | "linux" => "kernel",
        "ctl" => "talosctl",
        "test" | "tests" => "unit-tests",
        "format" => "fmt",
        "docker" | "image" => "installer",
        _ => return None,
    })
}

/// Verbs of other tools for a cluster.
fn of_cluster(word: &str) -> Option<String> {
    Some(match word {
        "create" => typed!("cluster up"),
        "delete" | "down" | "rm" | "remove" => typed!("cluster destroy"),
        "restart" | "reset" => typed!("cluster reboot --all"),
        "resume" => typed!("cluster start"),
        "pause" | "halt" | "suspend" => typed!("cluster stop"),
        "ls" => typed!("cluster list"),
        "show" | "ps" | "nodes" | "info" => typed!("cluster status"),
        "log" | "dmesg" => typed!("cluster logs"),
        "kubeconfig" | "talosconfig" => typed!("cluster env"),
        "why" | "debug" => typed!("cluster explain"),
        "prune" => typed!("cluster clean"),
        _ => return None,
    })
}

/// Verbs of other tools for what is set up once.
fn of_service(noun: &str, word: &str) -> Option<String> {
    let starts = ["start", "create", "add", "run", "setup"].contains(&word);
    let ends = ["stop", "delete", "destroy", "rm", "remove"].contains(&word);
    Some(match noun {
        "registry" if starts => typed!("registry up"),
        "registry" if ends => typed!("registry down"),
        "proxies" if starts => typed!("proxies up"),
        "proxies" if ends => typed!("proxies down"),
        "lab" if starts => typed!("lab up"),
        "lab" if ends => typed!("lab down"),
        "airgap" if starts => typed!("airgap up --help"),
        "airgap" if ends => typed!("airgap down"),
        "builder" if starts || word == "up" => typed!("builder create"),
        "builder" if ends || word == "down" => typed!("builder remove"),
        _ => return None,
    })
}

/// The words before the first option.
fn plain(words: &[&str]) -> Words {
    let words = words.iter().take_while(|word| !word.starts_with('-'));
    words.copied().collect()
}

fn habit(word: &str) -> Option<String> {
    Some(match word {
        "watch" | "loop" => typed!("dev"),
        "up" | "create" | "start-cluster" => typed!("cluster up"),
        "down" | "destroy" | "delete" => typed!("cluster destroy"),
        "stop" => typed!("cluster stop"),
        "start" => typed!("cluster start"),
        "ps" | "nodes" | "info" => typed!("cluster status"),
        "logs" | "log" | "dmesg" => typed!("cluster logs"),
        "reboot" | "restart" | "reset" => typed!("cluster reboot --all"),
        "upgrade" => typed!("cluster upgrade --image IMAGE"),
        "console" | "serial" => typed!("cluster console NODE"),
        "dashboard" => typed!("cluster dashboard"),
        "support" => typed!("cluster support"),
        "env" | "kubeconfig" | "talosconfig" => typed!("cluster env"),
        "explain" | "why" => typed!("cluster explain"),
        "clean" => typed!("cluster clean"),
        "initrd" | "initramfs.xz" => typed!("build initramfs"),
        "vmlinuz" => typed!("build kernel"),
        "unit" | "unit-tests" => typed!("test unit"),
        "integration" | "e2e" | "e2e-qemu" => typed!("test integration"),
        "push" | "image-push" => typed!("installer"),
        "prune" => typed!("registry prune"),
        "ls" | "list" | "clusters" => typed!("cluster list"),
        "version" => typed!("--version"),
        "init" | "install" | "bootstrap" | "prepare" => typed!("setup"),
        "check" | "verify" | "diagnose" => typed!("doctor"),
        "history" => typed!("runs"),
        "profile" | "prof" => typed!("pprof --help"),
        "buildx" => typed!("builder"),
        "mirror" | "mirrors" | "cache" => typed!("proxies"),
        "module" | "extension" => typed!("kmod --help"),
        "shell" => typed!("lab shell"),
        _ => return None,
    })
}

/// A package, or the name of a test.
fn test(word: &str) -> Option<String> {
    if word.starts_with("./") || word.contains("/...") {
        return Some(typed!("test unit {}", word));
    }
    is_test_name(word).then(|| typed!("test unit --run {}", word))
}

/// Whether it is the name of a test of Go.
pub(super) fn is_test_name(word: &str) -> bool {
    ["Test", "Fuzz", "Benchmark"].iter().any(|kind| {
        word.strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_are_known_at_their_place_only() {
        let meant = |above, words: &[&str]| {
            let command = instead_of(above, words)?;
            // Without the name of the program.
            let at = ["build", "cluster", "test"];
            let at = at
                .iter()
                .filter_map(|word| command.find(&format!(" {word}")));
            Some(command[at.min()? + 1..].to_owned())
        };
        assert_eq!(meant(None, &["reboot"]).unwrap(), "cluster reboot --all");
        assert_eq!(
            meant(None, &["initramfs", "PUSH=true", "--quiet"]).unwrap(),
            "build initramfs PUSH=true"
        );
        assert_eq!(meant(None, &["make", "iso"]).unwrap(), "build iso");
        assert_eq!(meant(None, &["V=1"]).unwrap(), "build V=1");
        let test = Some("test");
        assert_eq!(meant(test, &["./pkg/xfs"]).unwrap(), "test unit ./pkg/xfs");
        assert_eq!(
            meant(test, &["TestFoo"]).unwrap(),
            "test unit --run TestFoo"
        );
        assert_eq!(
            meant(Some("cluster"), &["delete"]).unwrap(),
            "cluster destroy"
        );
        assert!(
            instead_of(Some("lab"), &["start"])
                .unwrap()
                .ends_with(" lab up")
        );
        for above in [None, test, Some("lab"), Some("cluster")] {
            assert_eq!(instead_of(above, &["frobnicate"]), None);
        }
        assert!(!is_test_name("Testing") && !is_test_name("internal"));
    }
}
