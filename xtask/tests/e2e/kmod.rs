//! Kernel modules from their sources to nodes that load them or refuse them: a real
//! registry, a real kernel, and what it writes about each fault.

use std::process::Command;
use std::time::Duration;

use crate::common::{Said, said, within};
use crate::in_lab::Lab;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

/// Boots under emulation, with other tests beside them.
const LONG: Duration = Duration::from_mins(5);
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/kmod");
const TEST: &str = "modules_reach_a_node_and_every_fault_is_named_before_and_there";
const NODE: &str = "controlplane-1";
const REGISTRY: &str = "127.0.0.1:5005";
const START_REGISTRY: &str = "docker run -d -p 127.0.0.1:5005:5000 --restart always --name local registry:2 >/dev/null; \
    n=0; until curl -fsS http://127.0.0.1:5005/v2/ >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done";

/// Where the lab's parts are.
struct Parts {
    kernel: Utf8PathBuf,
    release: String,
    guest: Utf8PathBuf,
}

impl Parts {
    fn of(lab: &Lab) -> Self {
        let status = lab.xtask(&["lab", "status", "--json"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap();
        let parts = status["parts"].as_array().unwrap();
        let field = |name: &str, field: &str| {
            let part = parts.iter().find(|part| part["name"] == name).unwrap();
            part[field].as_str().unwrap().to_owned()
        };
        Self {
            kernel: Utf8PathBuf::from(field("kernel", "dir")).join("root"),
            release: field("kernel", "version"),
            guest: field("guest", "dir").into(),
        }
    }
}

/// Debian's headers of the lab's kernel, unpacked and kept: nothing is installed.
fn headers(release: &str) -> Utf8PathBuf {
    let dir = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("headers-{release}"));
    if !dir.is_dir() {
        let fresh = dir.with_extension("new");
        let common = release.replace("cloud-amd64", "common");
        let line: String = release.split('.').take(2).collect::<Vec<_>>().join(".");
        let script = format!(
            "rm -rf {fresh}; mkdir -p {fresh}/deb; cd {fresh}/deb; \
             apt-get -qq -o APT::Sandbox::User=root download linux-headers-{release} linux-headers-{common} linux-kbuild-{line} bpftool; \
             for deb in *.deb; do dpkg-deb -x $deb {fresh}; done; \
             sed -i 's,/usr/src,{dir}/usr/src,' {fresh}/usr/src/linux-headers-{release}/Makefile; \
             rm -r {fresh}/deb; mv -T {fresh} {dir}"
        );
        let made = Command::new("sh").args(["-euc", &script]).output().unwrap();
        let made = said(&made);
        assert_eq!(
            made.code,
            Some(0),
            "the headers of the lab's kernel; if the archive has only those of a newer one, remove the part `kernel`:\n{}",
            made.stderr
        );
    }
    dir
}

fn image(name: &str) -> String {
    format!("{REGISTRY}/lab/{name}:0.1.0-v1.12.0")
}

fn xtask(lab: &Lab, words: &[&str]) -> Said {
    said(&lab.xtask(&[&["--lab"], words].concat()))
}

fn json(lab: &Lab, words: &[&str]) -> Value {
    let told = xtask(lab, &[words, &["--json"]].concat());
    serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{words:?}: {}", told.stderr))
}

/// Rules of the errors that the image has.
fn lint(lab: &Lab, parts: &Parts, name: &str) -> Vec<String> {
    let kernel = parts.kernel.as_str();
    let words = ["kmod", "lint", &image(name), "--kernel", kernel];
    let report = json(lab, &[&words[..], &["--talos-version", "v1.12.0"]].concat());
    let findings = report["images"][0]["findings"].as_array().unwrap().clone();
    let errors = findings.iter().filter(|it| it["level"] == "error");
    let mut rules: Vec<String> = errors
        .map(|it| it["rule"].as_str().unwrap().to_owned())
        .collect();
    rules.dedup();
    rules
}

/// What the next boot of the nodes has: the extensions, as the imager installs them.
fn install(lab: &Lab, parts: &Parts, extensions: &[&str]) {
    let export = |name: &&str| format!("crane export --insecure {} {name}.tar\n", image(name));
    let exports: String = extensions.iter().map(export).collect();
    let flags: Vec<String> = extensions
        .iter()
        .map(|name| format!("-extension {name}.tar"))
        .collect();
    let (kernel, release, guest) = (&parts.kernel, &parts.release, &parts.guest);
    let script = format!(
        "set -eu; mkdir -p ~/exported; cd ~/exported\n{exports}\
         {guest}/pack -kernel-root {kernel} -kver {release} -init {guest}/init -version v1.12.0 {} \
         -o ~/talos/_out/initramfs-amd64.xz",
        flags.join(" ")
    );
    lab.sh(&script);
}

/// Patches the machine configuration, without a reboot.
fn patch(lab: &Lab, patch: &str) {
    lab.ok(&["talosctl", "--", "patch", "mc", "--patch", patch]);
}

fn load(lab: &Lab, modules: &[&str]) {
    let modules: Vec<String> = modules
        .iter()
        .map(|it| format!("{{\"name\":\"{it}\"}}"))
        .collect();
    let modules = modules.join(",");
    patch(
        lab,
        &format!("{{\"machine\":{{\"kernel\":{{\"modules\":[{modules}]}}}}}}"),
    );
}

/// `kmod why`, once it names all of these.
fn why(lab: &Lab, ids: &[&str]) -> Vec<Value> {
    let mut failures = Vec::new();
    let seen = within(LONG, || {
        let report = json(lab, &["kmod", "why", NODE]);
        failures.clone_from(report["failures"].as_array().unwrap());
        ids.iter()
            .all(|id| failures.iter().any(|it| it["id"] == *id))
    });
    assert!(seen, "{ids:?}: {failures:#?}");
    failures
}

/// Verdicts by the check's id; of several, one that failed.
fn verdict(report: &Value, id: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let mut of_id = checks.iter().filter(|it| it["id"] == id);
    let first = of_id.clone().next();
    let failed = of_id.find(|it| it["verdict"] == "failed").or(first);
    let check = failed.unwrap_or_else(|| panic!("{id}: {report:#}"));
    check["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn modules_reach_a_node_and_every_fault_is_named_before_and_there() {
    // Debian's headers are for a compiler and linker of this host.
    let tools = ["apt-get", "dpkg-deb", "make", "gcc", "objcopy", "openssl"];
    if !crate::common::go::has(TEST, &tools) {
        return;
    }
    let Some(lab) = Lab::own(TEST) else {
        return;
    };
    let up = said(&lab.xtask(&["lab", "up", "--docker", "--yes"]));
    assert_eq!(up.code, Some(0), "{}", up.stderr);
    let parts = Parts::of(&lab);
    let headers = headers(&parts.release);
    let (kernel, release) = (&parts.kernel, &parts.release);
    lab.sh(&format!(
        "{START_REGISTRY}; mkdir ~/images; cd ~/images; {SOURCES}/images.sh {headers} {kernel} {release} {REGISTRY}"
    ));
    faults_are_found_before(&lab, &parts);

    install(&lab, &parts, &["good"]);
    lab.ok(&["cluster", "up", "--yes", "--workers", "0"]);
    the_kernels_own_module_is_all_green(&lab);
    what_does_not_exist_is_an_error(&lab);
    types_of_the_kernel_become_a_header(&lab, &headers);
    an_installer_is_deployed_unless_the_node_would_not_finish_booting(&lab);
    enforced_signatures_refuse(&lab, &parts);
    lab.ok(&["cluster", "destroy", "--yes"]);

    // What this kernel would refuse for its signature meets the other checks.
    install(&lab, &parts, &["foreign"]);
    let without = "--extra-boot-kernel-args=-module.sig_enforce";
    lab.ok(&["cluster", "up", "--yes", "--workers", "0", "--", without]);
    a_module_of_ours_is_loaded_and_its_key_reported(&lab);
    other_kernels_and_missing_modules_are_named(&lab, &parts);
}

fn faults_are_found_before(lab: &Lab, parts: &Parts) {
    for (name, rules) in [
        ("good", &[][..]),
        ("unsigned", &["L12"]),
        ("foreign", &["L12"]),
        ("release", &["L12"]),
        ("build-of-another", &["L12"]),
        ("dependency", &["L12", "L13"]),
        ("path", &["L4"]),
        ("hardlink", &["L10"]),
    ] {
        assert_eq!(lint(lab, parts, name), rules, "{name}");
    }
}

fn the_kernels_own_module_is_all_green(lab: &Lab) {
    load(lab, &["ifb"]);
    let mut report = Value::Null;
    let words = ["kmod", "verify", NODE, &image("good")];
    let is_green = within(LONG, || {
        report = json(lab, &words);
        report["failed"] == 0
    });
    assert!(is_green, "{report:#}");
    for id in [
        "extension",
        "modules.dep",
        "files",
        "paths",
        "modules",
        "signatures",
        "log",
    ] {
        assert_eq!(verdict(&report, id), "ok", "{report:#}");
    }
    // The stand-in has no services of extensions.
    assert_eq!(verdict(&report, "services"), "not checked");
    let told = xtask(lab, &words);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let evidence = "ok          kernel modules are loaded\n            ifb: Live\n";
    assert!(told.stdout.contains(evidence), "{}", told.stdout);
    assert!(
        told.stdout
            .contains("            signatures are enforced\n"),
        "{}",
        told.stdout
    );
    let told = xtask(lab, &["kmod", "why", NODE]);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));

    // Another version, and an extension that is not there.
    let told = xtask(lab, &["kmod", "verify", NODE, &image("unsigned")]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stdout
            .contains("failed      extension unsigned 0.1.0-v1.12.0 is installed"),
        "{}",
        told.stdout
    );
    let report = json(lab, &["kmod", "verify", NODE, "--module", "not_there"]);
    assert_eq!(verdict(&report, "modules"), "failed");
}

fn what_does_not_exist_is_an_error(lab: &Lab) {
    let told = lab.fails(2, &["kmod", "verify", "worker-7"]);
    assert!(told.contains("has no node `worker-7`"), "{told}");
    let told = lab.fails(2, &["kmod", "why", "worker-7"]);
    assert!(told.contains("has no node `worker-7`"), "{told}");
    let told = lab.fails(3, &["kmod", "verify", NODE, &image("never")]);
    assert!(told.contains("the registry does not have it"), "{told}");
    let told = lab.fails(2, &["kmod", "verify", NODE, "talos/_out/vmlinuz-amd64"]);
    assert!(told.contains("vmlinuz-amd64"), "{told}");
}

/// With Debian's bpftool, which reads its own work again.
fn types_of_the_kernel_become_a_header(lab: &Lab, headers: &Utf8Path) {
    let bpftool = headers.join("usr/sbin");
    let path = format!("{bpftool}:{}", std::env::var("PATH").unwrap());
    let folder = lab.sh("mkdir ~/types; cd ~/types; pwd");
    let folder = folder.trim();
    let words = [
        "--lab", "podtrace", "btf", NODE, "--json", "--output", folder,
    ];
    let namespace = ["--namespace", "kube-system"];
    let mut command = lab.command(&[&words[..], &namespace].concat());
    let told = crate::common::run(command.env("PATH", path));
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    for id in ["lockdown", "tracefs", "pod-security"] {
        assert_eq!(verdict(&report, id), "ok", "{report:#}");
    }
    let evidence = report["checks"][0]["evidence"][0].as_str().unwrap();
    assert!(
        evidence.contains("[none] integrity confidentiality"),
        "{evidence}"
    );
    let header = lab.sh(&format!(
        "grep -c . {folder}/vmlinux.h; grep -w 'struct task_struct {{' {folder}/vmlinux.h"
    ));
    assert!(header.contains("\nstruct task_struct {"), "{header}");
    assert!(
        report["header"]["lines"].as_u64().unwrap() > 50_000,
        "{report:#}"
    );
    let compiled = format!(
        "cd {folder}; printf '#include \"vmlinux.h\"\nint size(void) {{ return sizeof(struct task_struct); }}\n' >x.c; cc -fsyntax-only -w x.c"
    );
    lab.sh(&compiled);
}

fn an_installer_is_deployed_unless_the_node_would_not_finish_booting(lab: &Lab) {
    let told = lab.fails(1, &["kmod", "deploy", NODE, &image("good")]);
    assert!(told.contains("is not an installer"), "{told}");
    let told = lab.fails(3, &["kmod", "deploy", NODE, &image("never")]);
    assert!(told.contains("the registry does not have it"), "{told}");
    let (installer, extension) = (image("installer"), image("service"));
    let words = [
        "kmod",
        "deploy",
        NODE,
        &installer,
        "--extension",
        &extension,
    ];
    let told = lab.fails(1, &words);
    assert!(
        told.contains("the service lab waits for an ExtensionServiceConfig"),
        "{told}"
    );

    let document =
        "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: lab\nenvironment:\n  - A=b\n";
    patch(lab, document);
    let set = |arguments: &str| {
        patch(
            lab,
            &format!("{{\"machine\":{{\"install\":{{\"extraKernelArgs\":[{arguments}]}}}}}}"),
        );
    };
    set("\"lab.ignored=1\"");
    let told = lab.fails(1, &words);
    assert!(told.contains("the kernel argument lab.ignored=1"), "{told}");
    assert!(!told.contains("ExtensionServiceConfig"), "{told}");
    // Known to be in the installer: the plan is that of talosctl.
    let known = [&words[..], &["--kernel-arg", "lab.ignored=1"]].concat();
    let plan = lab.ok(&[&known[..], &["--dry-run", "--format", "sh"]].concat());
    assert!(
        plan.contains(&format!("upgrade --image={installer} --wait")),
        "{plan}"
    );

    let told = lab.ok(&known);
    assert!(
        told.starts_with("upgraded talos-default-controlplane-1\n"),
        "{told}"
    );
    assert!(
        told.contains(&format!("kmod verify {NODE} {extension}")),
        "{told}"
    );
    let recorded = lab.ok(&["talosctl", "--", "read", "/run/lab/upgrades.json"]);
    assert!(recorded.contains(&installer), "{recorded}");
}

fn enforced_signatures_refuse(lab: &Lab, parts: &Parts) {
    install(lab, parts, &["unsigned", "foreign", "path", "hardlink"]);
    load(lab, &["ifb", "lab_alone", "lab_hello", "not_there"]);
    lab.ok(&["cluster", "reboot", "--all"]);
    let failures = why(
        lab,
        &["unsigned", "foreign-key", "empty-module", "no-such-module"],
    );
    let text = |id: &str| {
        let failure = failures.iter().find(|it| it["id"] == id).unwrap();
        failure["text"].as_str().unwrap().to_owned()
    };
    assert!(text("unsigned").contains("Loading of unsigned module is rejected"));
    assert!(text("foreign-key").contains("Loading of module with unavailable key is rejected"));
    assert!(text("empty-module").contains("extras/ifb.ko: 0 bytes"));
    assert!(text("no-such-module").contains("not_there"));
    // The controller's own message is explained by those.
    assert!(
        failures.iter().all(|it| it["id"] != "rejected"),
        "{failures:#?}"
    );

    let report = json(lab, &["kmod", "verify", NODE, &image("hardlink")]);
    assert_eq!(verdict(&report, "files"), "failed", "{report:#}");
    assert_eq!(verdict(&report, "log"), "failed", "{report:#}");
    // The node says nothing about such a path.
    let report = json(lab, &["kmod", "verify", NODE, &image("path")]);
    assert_eq!(verdict(&report, "paths"), "failed", "{report:#}");
}

fn a_module_of_ours_is_loaded_and_its_key_reported(lab: &Lab) {
    load(lab, &["lab-hello"]);
    why(lab, &["not-enforced"]);
    let log = lab.ok(&["talosctl", "--", "dmesg"]);
    assert!(log.contains("lab_hello: the answer is 42"), "{log}");
    let argument = "--kernel-arg=-module.sig_enforce";
    let words = ["kmod", "verify", NODE, &image("foreign"), argument];
    let report = json(lab, &words);
    for (id, wanted) in [
        ("files", "ok"),
        ("modules", "ok"),
        ("arguments", "ok"),
        ("signatures", "failed"),
    ] {
        assert_eq!(verdict(&report, id), wanted, "{id}: {report:#}");
    }

    // As under a UKI: the configuration has an argument, the command line has not.
    patch(
        lab,
        "{\"machine\":{\"install\":{\"extraKernelArgs\":[\"lab.ignored=1\"]}}}",
    );
    let report = json(lab, &words);
    assert_eq!(verdict(&report, "arguments"), "failed", "{report:#}");
    let failures = why(lab, &["arguments-ignored"]);
    assert!(
        failures
            .iter()
            .any(|it| it["text"].as_str().unwrap().contains("lab.ignored=1"))
    );
}

fn other_kernels_and_missing_modules_are_named(lab: &Lab, parts: &Parts) {
    install(
        lab,
        parts,
        &["release", "build-of-another", "dependency", "crash"],
    );
    load(lab, &["lab_alone", "ifb"]);
    lab.ok(&["cluster", "reboot", "--all"]);
    let failures = why(lab, &["other-release", "other-build", "unknown-symbol"]);
    let text = |id: &str| {
        let failure = failures.iter().find(|it| it["id"] == id).unwrap();
        failure["text"].as_str().unwrap().to_owned()
    };
    assert!(text("other-release").contains("lab_alone: version magic '"));
    assert!(text("other-build").contains("ifb: disagrees about version of symbol "));
    assert!(text("unknown-symbol").contains("lab_hello: Unknown symbol lab_base_answer (err -2)"));
    for misleading in ["exec-format", "invalid-argument", "missing-dependency"] {
        assert!(
            failures.iter().all(|it| it["id"] != misleading),
            "{failures:#?}"
        );
    }

    // Debian's kernel goes on where Talos' panics.
    load(lab, &["lab_crash"]);
    let failures = why(lab, &["crash"]);
    let crash = failures.iter().find(|it| it["id"] == "crash").unwrap();
    let place = "RIP: 0010:lab_crash_init+0x";
    assert!(crash["text"].as_str().unwrap().contains(place), "{crash}");
    let explained = json(lab, &["cluster", "explain"]).to_string();
    for words in [
        "a bug in the kernel of talos-default-controlplane-1",
        "BUG: kernel NULL pointer dereference, address: 0000000000000000, in `lab_crash_init+0x",
        "[lab_crash]`",
    ] {
        assert!(explained.contains(words), "{words}: {explained}");
    }

    // Without an API, the console says as much as the log did.
    lab.ok(&["cluster", "stop", "--timeout", "0"]);
    let told = lab.fails(3, &["kmod", "verify", NODE]);
    assert!(told.contains("does not answer"), "{told}");
    let report = json(lab, &["kmod", "why", NODE]);
    assert!(
        report["log"]
            .as_str()
            .unwrap()
            .ends_with("controlplane-1.log"),
        "{report:#}"
    );
    let failures = report["failures"].as_array().unwrap();
    for id in ["other-release", "other-build", "unknown-symbol"] {
        assert!(
            failures.iter().any(|it| it["id"] == id),
            "{id}: {failures:#?}"
        );
    }
}
