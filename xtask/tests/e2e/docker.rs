//! Builds on the real docker, buildx, BuildKit, registry and crane of the lab,
//! from the small checkout there to nodes that boot what was built.

use std::process::{Command, Output};

use crate::in_lab::{Lab, TALOSCTL};
use serde_json::Value;

/// The guide's line, at 127.0.0.1 as ours is.
const REGISTRY: &str =
    "docker run -d -p 127.0.0.1:5005:5000 --restart always --name local registry:2 >/dev/null";
/// A registry with next to no room.
const FULL: &str = "docker run -d -p 127.0.0.1:5006:5000 --tmpfs /var/lib/registry:size=1m --name full registry:2 >/dev/null";
/// Until the registries answer.
const ANSWER: &str = "for port in 5005 5006; do n=0; until curl -fsS http://127.0.0.1:$port/v2/ >/dev/null 2>&1; do \
    n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done; done";

fn json(lab: &Lab, words: &[&str]) -> Value {
    json_of(&lab.xtask(&[&["--lab"], words].concat()))
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn images(lab: &Lab) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = json(lab, &["images", "--json"]);
    let images = list["images"].as_array().unwrap().iter();
    images
        .map(|image| (text(&image["reference"]), text(&image["digest"])))
        .collect()
}

#[test]
fn what_is_built_in_the_lab_is_pushed_recorded_and_boots() {
    let Some(lab) = Lab::own("what_is_built_in_the_lab_is_pushed_recorded_and_boots") else {
        return;
    };
    builder_is_made_killed_and_mended(&lab);
    lab.sh(&format!("{REGISTRY}; {FULL}; {ANSWER}"));
    failures_say_what_failed(&lab);
    failures_name_their_cause(&lab);
    installer_is_recorded_as_the_registry_has_it(&lab);
    a_terminal_is_handed_on(&lab);
    a_policy_is_compiled_in_a_build(&lab);
    a_module_goes_from_two_repositories_into_an_installer(&lab);
    builds_boot(&lab);

    let cgroup = lab.sh("grep -o 'talos-lab-[0-9a-f]*' ~/docker/daemon.json");
    assert!(lab.xtask(&["lab", "down"]).status.success());
    let left = format!("find /sys/fs/cgroup -maxdepth 2 -name '{}'", cgroup.trim());
    let left = Command::new("sh").args(["-c", &left]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

/// What the Makefile's own way prints comes out as any run's results do.
fn unit_tests_are_read(lab: &Lab) {
    let words = ["test", "unit", "--in", "buildx"];
    let told = lab.ok(&[&words[..], &["--report", "report.json"]].concat());
    assert!(told.contains("0 tests in 2 packages: "), "{told}");
    let report: Value = serde_json::from_str(&lab.sh("cat ~/talos/report.json")).unwrap();
    let packages = report["packages"].as_array().unwrap();
    let verdicts: Vec<_> = packages.iter().map(|it| it["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("passed"), Some("no-tests")], "{report:#}");
    let again = lab.xtask(&[&["--lab"], &words[..]].concat());
    let again = crate::common::said(&again);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(
        again
            .stderr
            .contains("nothing changed since these tests passed"),
        "{}",
        again.stderr
    );
    let broken = ["--json", "github.com/siderolabs/talos/broken"];
    let said = crate::common::said(&lab.xtask(&[&["--lab"], &words[..], &broken].concat()));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let package = &report["packages"][0];
    assert_eq!(package["failed"][0], "TestBroken", "{report:#}");
    assert_eq!(package["tests"][1]["name"], "TestBroken/inside");
    let inside = package["tests"][1]["output"].as_str().unwrap();
    assert!(
        inside.contains("broken_test.go:7: it is broken"),
        "{inside}"
    );
}

fn builder_is_made_killed_and_mended(lab: &Lab) {
    let status = json(lab, &["builder", "status", "--json"]);
    assert_eq!(
        (&status["ok"], &status["builder"]),
        (&false.into(), &Value::Null)
    );
    let told = lab.fails(3, &["build", "unit-tests"]);
    assert!(
        told.contains("security.insecure") && told.contains("builder create"),
        "{told}"
    );

    let script = lab.ok(&["builder", "create", "--dry-run", "--format", "sh"]);
    assert!(
        script.contains("docker buildx create --driver docker-container --driver-opt network=host"),
        "{script}"
    );
    assert_eq!(
        json(lab, &["builder", "--json"])["builder"],
        Value::Null,
        "a dry run changes nothing"
    );
    assert!(lab.ok(&["builder", "create"]).contains("is ready"));
    let made = json(lab, &["builder", "--json"]);
    assert_eq!(
        (&made["ok"], &made["builder"]["state"]),
        (&true.into(), &"running".into()),
        "{made}"
    );
    assert_eq!(made["builder"]["buildkit"], "v0.25.2");
    let before = lab.sh("docker inspect -f '{{.Id}}' buildx_buildkit_local10");
    assert!(lab.ok(&["builder", "create"]).contains("already exists"));
    assert_eq!(
        lab.sh("docker inspect -f '{{.Id}}' buildx_buildkit_local10"),
        before
    );

    unit_tests_are_read(lab);
    // Cached in its volume, which repair keeps.
    lab.ok(&["build", "unit-tests", "-q"]);
    assert!(
        lab.sh("cat ~/talos/_out/loop-device")
            .starts_with("/dev/loop")
    );
    let cached = |usage: &Value| usage["total"]["bytes"].as_u64().unwrap();
    let usage = json(lab, &["builder", "usage", "--json"]);
    assert!(cached(&usage) > 0);
    lab.sh("docker kill buildx_buildkit_local10");
    let words = ["--lab", "builder"];
    let killed = crate::common::said(&lab.xtask(&words));
    assert_eq!(killed.code, Some(1));
    assert!(
        killed.stdout.contains("state is stopped, wanted running"),
        "{}",
        killed.stdout
    );
    lab.ok(&["builder", "repair"]);
    assert_eq!(json(lab, &["builder", "--json"])["ok"], true);

    // One made by hand, without what Talos needs.
    lab.sh("docker buildx rm --keep-state local1; docker buildx create --name local1 --driver docker-container");
    let told = lab.fails(3, &["builder", "create"]);
    assert!(
        told.contains("entitlement is none") && told.contains("builder repair"),
        "{told}"
    );
    lab.ok(&["builder", "repair"]);
    assert_eq!(json(lab, &["builder", "--json"])["ok"], true);
    assert_eq!(
        cached(&json(lab, &["builder", "usage", "--json"])),
        cached(&usage)
    );

    // An engine that died is started again by who needs it, with all it had.
    lab.sh("kill -9 $(cat ~/docker/pid); n=0; while pgrep -x dockerd >/dev/null && [ $n -lt 50 ]; do n=$((n+1)); sleep 0.1; done");
    lab.ok(&["build", "target-kernel", "-q"]);
    assert_eq!(json(lab, &["builder", "--json"])["ok"], true);
}

fn failures_say_what_failed(lab: &Lab) {
    let told = lab.fails(4, &["build", "target-broken"]);
    let end = told.split("error: step").nth(1).unwrap();
    assert!(
        end.contains("[broken 1/1] RUN for n in") && end.contains("Dockerfile:"),
        "{told}"
    );
    assert!(
        end.contains("undefined: machined") && end.contains("exit code: 7"),
        "{told}"
    );
    let log = end
        .split_whitespace()
        .find(|word| word.contains("/step-"))
        .unwrap();
    assert!(lab.sh(&format!("cat {log}")).contains("compiling part 2"));

    let full = ["build", "imager", "--registry", "127.0.0.1:5006", "--push"];
    let told = lab.fails(4, &full);
    assert!(told.contains("127.0.0.1:5006"), "{told}");
    assert_eq!(images(lab), [], "nothing half recorded");
    let closed = ["build", "imager", "--registry", "127.0.0.1:5999", "--push"];
    assert!(lab.fails(4, &closed).contains("refused"));
    // A quote that the recipe's shell cannot take, and what make would take for
    // two commands.
    lab.fails(4, &["build", "initramfs", "NAME=a\"b"]);
    assert!(
        lab.fails(2, &["build", "initramfs", "NAME=a\nb"])
            .contains("newline")
    );
    lab.ok(&["build", "target-rootfs", "NAME=it's", "-q"]);
    assert_eq!(images(lab), []);
    assert!(
        lab.fails(2, &["build", "initramf"])
            .contains("did you mean `initramfs`?")
    );
    let missing = "DOCKER_CONFIG=/none \"$0\" build kernel 2>&1; echo rc=$?";
    let xtask = env!("CARGO_BIN_EXE_xtask");
    let output = lab.xtask(&["lab", "shell", "--", "sh", "-c", missing, xtask]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.contains("no buildx plugin") && told.ends_with("rc=3\n"),
        "{told}"
    );
}

/// Stages that cannot be built, one for each cause that is not in the builder.
const FAILING: &str = "
FROM base AS foreign
COPY hack/lab/foreign /foreign
RUN [\"/foreign\"]
FROM --platform=linux/arm64 127.0.0.1:5005/siderolabs/index:v1 AS platform
FROM 127.0.0.1:5007/siderolabs/tools:v1 AS limited
FROM 127.0.0.1:5008/siderolabs/tools:v1 AS login
FROM 172.17.0.1:5010/siderolabs/tools:v1 AS plain
FROM base AS network
RUN --network=host true
FROM base AS full
RUN dd if=/dev/zero of=/big bs=1M count=100
";

/// Answers each request as a registry does that has been asked too often.
const TOO_MANY: &str = "read -r line
while read -r header && [ ${#header} -gt 1 ]; do :; done
body='{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"You have reached your pull rate limit.\"}]}'
printf 'HTTP/1.1 429 Too Many Requests\\r\\nContent-Type: application/json\\r\\n'
printf 'Content-Length: %s\\r\\nConnection: close\\r\\n\\r\\n' ${#body}
case $line in HEAD*) ;; *) printf %s \"$body\" ;; esac
";

/// A registry that asks for a password, whose hash is made up.
const LOGIN: &str = "echo 'u:$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu' >~/htpasswd; \
    docker run -d -p 127.0.0.1:5008:5000 -v ~/htpasswd:/htpasswd:ro -e REGISTRY_AUTH=htpasswd \
    -e REGISTRY_AUTH_HTPASSWD_REALM=lab -e REGISTRY_AUTH_HTPASSWD_PATH=/htpasswd --name login registry:2 >/dev/null; \
    n=0; until curl -s http://127.0.0.1:5008/v2/ | grep -q UNAUTHORIZED; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done";

/// Builders made by hand: `bare` without any option, `small` with little room.
const BUILDERS: &str = "docker buildx create --driver docker-container --name bare >/dev/null; \
    docker volume create -d local --opt type=tmpfs --opt device=tmpfs --opt o=size=40m buildx_buildkit_small0_state >/dev/null; \
    docker buildx create --driver docker-container --driver-opt network=host --name small >/dev/null";

/// The builder, the words of `build`, the first cause and a part of the hint.
const FAILURES: [(&str, &str, &str, &str); 14] = [
    (
        "local1",
        "target-foreign",
        "this host does not run programs of arm64",
        "setup",
    ),
    (
        "local1",
        "target-platform",
        "not available for the platform",
        "--platform",
    ),
    (
        "local1",
        "target-limited",
        "127.0.0.1:5007 limits the rate of pulls",
        "docker login",
    ),
    (
        "local1",
        "target-login",
        "127.0.0.1:5008 does not accept the login",
        "docker login 127.0.0.1:5008",
    ),
    (
        "local1",
        "imager --tag v1 --push --registry 127.0.0.1:5008",
        "127.0.0.1:5008 does not accept the login",
        "docker login 127.0.0.1:5008",
    ),
    (
        "local1",
        "imager --tag v1 --push --registry 127.0.0.1:5006",
        "the disk of 127.0.0.1:5006 is full, according to its log",
        "free space for 127.0.0.1:5006",
    ),
    (
        "local1",
        "imager --tag v1 --push --registry 127.0.0.1:5999",
        "no registry answers at 127.0.0.1:5999",
        "--registry",
    ),
    (
        "local1",
        "imager --tag v1 --push --registry ghcr.io",
        "the builder `local1` does not reach ghcr.io",
        "--registry",
    ),
    (
        "local1",
        "target-plain",
        "172.17.0.1:5010 speaks plain HTTP, and the builder `local1` expects TLS of it",
        "http = true",
    ),
    (
        "local1",
        "target-network",
        "the command does not allow the entitlement network.host",
        "TARGET_ARGS=--allow=network.host",
    ),
    (
        "bare",
        "unit-tests",
        "the builder `bare` does not grant the entitlement security.insecure",
        "builder repair",
    ),
    (
        "bare",
        "imager --tag v1 --push --registry 127.0.0.1:5005",
        "127.0.0.1:5005 answers on this machine, but the builder `bare` has a network of its own",
        "builder repair",
    ),
    (
        "small",
        "target-full",
        "the disk of the builder is full, or a tmpfs of this step",
        "builder prune",
    ),
    (
        "small",
        "target-initramfs",
        "the disk of the builder is full",
        "builder prune",
    ),
];

/// Each known failure, provoked: its cause comes first, with what to do.
fn failures_name_their_cause(lab: &Lab) {
    lab.sh("cp ~/talos/Dockerfile ~/Dockerfile.kept");
    lab.sh(&format!(
        "cat >>~/talos/Dockerfile <<'EOF'\n{FAILING}\nEOF\ncat >~/too-many.sh <<'EOF'\n{TOO_MANY}EOF"
    ));
    // The header of a program for arm64: no kernel of another architecture starts it.
    lab.sh(
        "cd ~/talos/hack/lab; printf '\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\002\\0\\267\\0\\001\\0\\0\\0' >foreign; \
         head -c 200 /dev/zero >>foreign; chmod 755 foreign",
    );
    lab.sh(
        "b=~/talos/hack/lab/busybox; setsid $b nc -ll -p 5007 -e $b sh ~/too-many.sh >/dev/null 2>&1 </dev/null & \
         n=0; until curl -s http://127.0.0.1:5007/v2/ | grep -q TOOMANY; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done",
    );
    lab.sh(LOGIN);
    lab.sh(BUILDERS);
    let push = "build -q imager --tag v1 --push --registry 127.0.0.1:5005";
    lab.ok(&push.split(' ').collect::<Vec<_>>());
    lab.sh("crane index append -t 127.0.0.1:5005/siderolabs/index:v1 -m 127.0.0.1:5005/siderolabs/imager:v1 2>/dev/null");

    for (builder, words, cause, hint) in FAILURES {
        lab.sh(&format!("docker buildx use {builder}"));
        let build: Vec<&str> = ["build"].into_iter().chain(words.split(' ')).collect();
        let told = lab.fails(4, &build);
        let end = told.split("error: step").nth(1).unwrap();
        let first = end.lines().find(|line| line.starts_with("  cause: "));
        assert!(first.unwrap().contains(cause), "{words}: {told}");
        let (_, said) = end.split_once("hint: ").unwrap();
        assert!(said.contains(hint), "{words}: {told}");
    }
    // As the hint says: the command allows it, and the builder does already.
    lab.sh("docker buildx use bare");
    lab.ok(&["builder", "repair"]);
    lab.ok(&[
        "build",
        "target-network",
        "TARGET_ARGS=--allow=network.host",
        "-q",
    ]);
    assert_eq!(images(lab).len(), 1, "only what was pushed");
    lab.sh(
        "docker buildx rm bare; docker buildx rm small; docker rm -f login >/dev/null; mv ~/Dockerfile.kept ~/talos/Dockerfile; \
         rm ~/talos/hack/lab/foreign",
    );
}

fn installer_is_recorded_as_the_registry_has_it(lab: &Lab) {
    lab.ok(&["installer", "--tag", "v1.12.0-lab"]);
    let recorded = images(lab);
    let names: Vec<&str> = recorded.iter().map(|(name, _)| name.as_str()).collect();
    let pushed = ["installer", "imager", "installer-base"]
        .map(|name| format!("127.0.0.1:5005/siderolabs/{name}:v1.12.0-lab"));
    assert_eq!(names[..3], pushed, "newest first");
    for (reference, digest) in &recorded[..3] {
        assert_eq!(
            lab.sh(&format!("crane digest {reference}")).trim(),
            digest,
            "{reference}"
        );
    }
    let base = lab.sh(&format!("crane config {}-amd64", pushed[0]));
    assert!(
        base.contains("siderolabs/installer-base:v1.12.0-lab"),
        "{base}"
    );
    assert_eq!(lab.sh("cat ~/talos/_out/installer_image").trim(), pushed[0]);
}

/// `docker run -it` asks for one on standard input; buildx draws on one.
fn a_terminal_is_handed_on(lab: &Lab) {
    let xtask = env!("CARGO_BIN_EXE_xtask");
    let on_terminal = |words: &str| {
        let line = format!("{xtask} --lab {words}");
        let mut script = lab.command(&[]);
        let envs: Vec<_> = script
            .get_envs()
            .map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned)))
            .collect();
        script = Command::new("script");
        script
            .args(["-qec", &line, "/dev/null"])
            .stdin(std::process::Stdio::null());
        for (name, value) in envs {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let output = script.env("TERM", "xterm").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let shell = "build shell IMAGE_REGISTRY=127.0.0.1:5005 TAG=v1.12.0-lab";
    let told = on_terminal(shell);
    assert!(told.contains("stdin is a terminal"), "{told}");
    let words: Vec<&str> = shell.split(' ').collect();
    assert!(lab.fails(4, &words).contains("not a TTY"));
    let drawn = on_terminal("build target-kernel");
    assert!(
        drawn.contains("\u{1b}[") && drawn.contains("[+] Building"),
        "{drawn}"
    );
}

/// The stage of Talos' Dockerfile, with Debian's compiler.
const POLICY_STAGE: &str = "
FROM base AS selinux
COPY hack/lab/secilc/ /
RUN --mount=type=bind,source=internal/pkg/selinux/policy/selinux,target=/selinux \\
    mkdir /policy; secilc -o /policy/policy.33 -f /policy/file_contexts -c 33 /selinux/*.cil -O
FROM scratch AS selinux-generate
COPY --from=selinux /policy /policy
";

fn a_policy_is_compiled_in_a_build(lab: &Lab) {
    let sources = format!("{}/testdata/selinux", env!("CARGO_MANIFEST_DIR"));
    lab.sh(&format!(
        "cd ~/talos && mkdir -p internal/pkg/selinux/policy/selinux hack/lab/secilc \
         && cp {sources}/policy.cil internal/pkg/selinux/policy/selinux/ \
         && secilc=$(PATH=$PATH:/usr/sbin command -v secilc) && install -D $secilc hack/lab/secilc/bin/secilc \
         && for file in $(ldd $secilc | grep -o '/[^ ]*'); do cp -L --parents $file hack/lab/secilc/; done \
         && cp Dockerfile ~/Dockerfile && cat >>Dockerfile <<'END'\n{POLICY_STAGE}END"
    ));
    lab.ok(&["selinux", "policy", "build"]);
    let equal = lab.ok(&["selinux", "policy", "check"]);
    let folder = "internal/pkg/selinux/policy";
    for file in ["policy.33", "file_contexts"] {
        assert!(
            equal.contains(&format!("{folder}/{file} equals its source\n")),
            "{equal}"
        );
    }
    lab.sh(&format!(
        "echo '(allow pod_t data_t (file (execute)))' >~/talos/{folder}/selinux/more.cil"
    ));
    let differs = lab.xtask(&["--lab", "selinux", "policy", "check"]);
    let said = String::from_utf8_lossy(&differs.stdout).into_owned();
    assert_eq!(differs.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the sources allow 1 more and 0 less"),
        "{said}"
    );
    // What does not compile has the compiler's words.
    lab.sh(&format!(
        "echo '(allow pod_t nope_t (file (execute)))' >~/talos/{folder}/selinux/more.cil"
    ));
    let broken = lab.fails(4, &["selinux", "policy", "check"]);
    assert!(
        broken.contains("Failed to resolve allow statement at /selinux/more.cil:1"),
        "{broken}"
    );
    lab.sh(&format!(
        "rm ~/talos/{folder}/selinux/more.cil && mv ~/Dockerfile ~/talos/Dockerfile"
    ));
}

fn a_module_goes_from_two_repositories_into_an_installer(lab: &Lab) {
    let parts = json_of(&lab.xtask(&["lab", "status", "--json"]));
    let parts = parts["parts"].as_array().unwrap();
    let kernel = parts.iter().find(|part| part["name"] == "kernel").unwrap();
    let (dir, release) = (
        kernel["dir"].as_str().unwrap(),
        kernel["version"].as_str().unwrap(),
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/kmod/checkouts.sh");
    lab.sh(&format!(
        "cd ~ && cp talos/Makefile Makefile.mini && {script} {dir}/root {release} talos"
    ));

    lab.ok(&["kmod", "build", "lab-module"]);
    let digest = |name: &str| {
        lab.sh(&format!("crane digest 127.0.0.1:5005/siderolabs/{name}"))
            .trim()
            .to_owned()
    };
    let pin = lab.sh("git -C ~/pkgs describe --tag").trim().to_owned();
    let recorded = images(lab);
    let built = [
        format!("kernel:{pin}"),
        format!("lab-module-pkg:{pin}"),
        "lab-module:0.1.0-v1.12.0".to_owned(),
    ];
    for name in &built {
        let reference = format!("127.0.0.1:5005/siderolabs/{name}");
        let found = recorded.iter().find(|(it, _)| *it == reference);
        assert_eq!(found.unwrap().1, digest(name), "{name}");
    }

    // The second command builds nothing again, checks the extension, and pushes.
    let run = ["kmod", "run", "lab-module", "--tag", "v1.12.0-kmod"];
    let said = lab.xtask(&[&["--lab"], &run[..]].concat());
    let said = crate::common::said(&said);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let extension = format!("127.0.0.1:5005/siderolabs/lab-module@{}", digest(&built[2]));
    assert!(
        said.stderr
            .contains(&format!("not built again: {extension}")),
        "{}",
        said.stderr
    );
    let installer = "127.0.0.1:5005/siderolabs/installer:v1.12.0-kmod";
    let config = lab.sh(&format!("crane config {installer}"));
    assert!(config.contains(&extension), "{config}");
    assert!(said.stdout.contains("kmod deploy NODE"), "{}", said.stdout);

    // A module without its signature does not get as far as an installer.
    lab.sh(&format!(
        "cd ~/pkgs/lab-module/root/lib/modules/{release}/extras && size=$(wc -c <ifb.ko) && \
         head -c $((size - 40)) ifb.ko >unsigned && mv unsigned ifb.ko"
    ));
    let before = digest("installer:v1.12.0-kmod");
    let refused = crate::common::said(&lab.xtask(&[&["--lab"], &run[..]].concat()));
    assert_eq!(
        refused.code,
        Some(4),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
    let output = refused.stdout + &refused.stderr;
    assert!(output.contains("built again: "), "{output}");
    assert!(
        output.contains("extras/ifb.ko: it is not signed"),
        "{output}"
    );
    assert_eq!(digest("installer:v1.12.0-kmod"), before);
    lab.sh("cd ~ && mv Makefile.mini talos/Makefile && rm -r pkgs extensions");
}

fn builds_boot(lab: &Lab) {
    lab.ok(&[
        "build",
        "initramfs",
        "kernel",
        "talosctl",
        "--debug",
        "--tag",
        "v1.12.0-lab",
        "-q",
    ]);
    lab.ok(&["cluster", "up", "--workers", "0", "-q", "--no-wait"]);
    let mark = lab.sh(&format!("{TALOSCTL} -n 172.20.0.2 read /etc/talos-mini"));
    assert!(
        mark.contains("tag=v1.12.0-lab\n") && mark.contains("flavour=debug\n"),
        "{mark}"
    );
    lab.ok(&["cluster", "destroy", "--yes"]);
}
