//! The helper that runs one test binary as root, and the one of steps.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::Case;
use crate::room::{BINARY, BYSTANDER, ROOT_TEST, UID};
use crate::stage::{Identity, Outcome, Stage};

/// Time after which a wait fails with a message.
const SOON: Duration = Duration::from_secs(30);

const PLACE: &str = "ownership by time and place";
const FLAGS: &str = "a path in a flag that root would write to";
const LINKS: &str = "a link in place of a file or folder";
const CLAIMS: &str = "a claim of the caller's that decides about a check";
const BINARIES: &str = "another program in place of a test binary";
const NUMBERS: &str = "a number that overflows";
const VARIABLES: &str = "a variable that loads code";
const WRITERS: &str = "others who may write where root reads";
const REQUESTS: &str = "a request that is not one";
const RULES: &str = "more asked of sudo than the rule grants";

macro_rules! cases {
    ($($name:ident: $kind:expr,)*) => {
        pub const CASES: &[Case] = &[
            $(Case { name: stringify!($name), kind: $kind, attack: $name },)*
        ];
    };
}

cases! {
    an_output_folder_with_files_of_others: PLACE,
    the_folder_for_temporary_files_as_output_folder: PLACE,
    a_package_folder_in_which_root_works_meanwhile: PLACE,
    a_package_folder_of_others: PLACE,
    a_package_folder_that_is_swapped_for_a_link: LINKS,
    links_that_a_test_makes: LINKS,
    profiles_in_place_of_files_of_others: FLAGS,
    profiles_asked_of_the_helper_itself: FLAGS,
    profiles_in_place_of_links_and_pipes: LINKS,
    folders_of_others_for_coverage_and_fuzzing: FLAGS,
    artifacts_in_a_folder_of_others: FLAGS,
    root_as_the_owner_in_a_request: CLAIMS,
    owners_that_are_not_users: CLAIMS,
    binaries_of_others: BINARIES,
    things_that_are_not_test_binaries: BINARIES,
    a_binary_that_its_owner_rewrites: BINARIES,
    deadlines_without_end: NUMBERS,
    variables_that_load_code: VARIABLES,
    folders_that_groups_may_write_to: WRITERS,
    folders_with_access_control_lists: WRITERS,
    requests_that_are_not_requests: REQUESTS,
    nul_bytes_in_a_request: REQUESTS,
    steps_that_are_not_steps: REQUESTS,
    a_rule_for_other_commands: RULES,
}

/// A binary in a place as the go command makes one, of the identity's.
fn place(stage: &Stage) -> Utf8PathBuf {
    binary(
        stage,
        "go-build1/b001/root.test",
        &std::fs::read(ROOT_TEST).unwrap(),
    )
}

fn binary(stage: &Stage, name: &str, contents: &[u8]) -> Utf8PathBuf {
    let path = stage.write(name, contents);
    mode(&path, 0o755);
    path
}

fn mode(path: &Utf8Path, bits: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(bits)).unwrap();
}

fn owner(path: impl AsRef<Utf8Path>) -> u32 {
    let path = path.as_ref();
    let metadata = std::fs::symlink_metadata(path);
    metadata
        .unwrap_or_else(|error| panic!("{path}: {error}"))
        .uid()
}

/// For a test of the given name, in a folder of the identity's.
fn request(stage: &Stage, binary: &Utf8Path, test: &str) -> Value {
    json!({
        "binary": binary,
        "arguments": [format!("-test.run=^{test}$"), "-test.v"],
        "folder": stage.dir("src"),
        "environment": [],
        "isolate": false,
        "deadline": 60,
    })
}

/// A helper as the identity can start it.
fn helper(stage: &Stage, which: &str) -> Command {
    match stage.identity {
        Identity::Root => stage.xtask(&["internal", which]),
        Identity::User => {
            let mut command = stage.program("sudo");
            command.args(["-n", "--", BINARY, "internal", which]);
            command
        }
    }
}

/// What a helper answers to a line, and how it ends.
fn ask_with(stage: &Stage, command: &mut Command, line: &[u8]) -> (Outcome, String) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut writer = ours.try_clone().unwrap();
    let line = [line, b"\n"].concat();
    // It may be longer than what a socket holds, and than what is read.
    let writing = std::thread::spawn(move || drop(writer.write_all(&line)));
    let outcome = stage.run(command);
    // Ours of the other end goes, so that reading ends.
    command.stdin(Stdio::null());
    let mut answers = Vec::new();
    // What was not read by the helper resets the connection.
    let _ = ours.read_to_end(&mut answers);
    writing.join().unwrap();
    (outcome, String::from_utf8_lossy(&answers).into_owned())
}

fn ask(stage: &Stage, request: &Value) -> (Outcome, String) {
    let line = serde_json::to_vec(request).unwrap();
    ask_with(stage, &mut helper(stage, "root-exec"), &line)
}

#[track_caller]
fn refused(stage: &Stage, request: &Value, why: &str) {
    let (outcome, answers) = ask(stage, request);
    outcome.with(3);
    assert!(
        answers.contains(r#"{"refused":"#) && answers.contains(why),
        "{why:?} in {answers}"
    );
}

/// Through the front door: `exec-root` with a test and flags.
fn exec_root(stage: &Stage, test: &str, flags: &[&str]) -> Command {
    let binary = place(stage);
    let test = format!("-test.run=^{test}$");
    let mut words = vec!["exec-root", "--env", "SIGNALS", "--env", "TARGET"];
    words.extend([binary.as_str(), &test, "-test.v"]);
    words.extend(flags);
    let mut command = stage.xtask(&words);
    command.current_dir(stage.dir("src"));
    command
}

/// Runs `TestWaits`, and `meanwhile` while it waits, in its folder `src`.
fn while_it_waits(stage: &Stage, flags: &[&str], meanwhile: impl FnOnce() + Send) -> Outcome {
    let signals = stage.dir("signals");
    let mut command = exec_root(stage, "TestWaits", flags);
    command.env("CI", "wait").env("SIGNALS", &signals);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + SOON;
            while !signals.join("started").exists() {
                assert!(Instant::now() < end, "the test does not start");
                std::thread::sleep(Duration::from_millis(5));
            }
            meanwhile();
            std::fs::write(signals.join("go-on"), "").unwrap();
        });
        stage.run(&mut command)
    })
}

/// A folder and a file of root's, as a daemon or an administrator makes them.
fn roots_work(dir: &Utf8Path) -> [Utf8PathBuf; 2] {
    let folder = dir.join("meanwhile");
    std::fs::create_dir(&folder).unwrap();
    let files = [folder.join("secret"), dir.join("secret-meanwhile")];
    for file in &files {
        std::fs::write(file, "root's, from meanwhile").unwrap();
        mode(file, 0o600);
    }
    files
}

fn is_roots_work(files: &[Utf8PathBuf; 2]) {
    assert_eq!(owner(files[0].parent().unwrap()), 0);
    for file in files {
        let metadata = std::fs::metadata(file).unwrap();
        assert_eq!(
            (metadata.uid(), metadata.mode() & 0o7777),
            (0, 0o600),
            "{file}"
        );
    }
}

fn an_output_folder_with_files_of_others(stage: &Stage) {
    let shared = stage.others.join("shared");
    let flags = [
        &format!("-test.outputdir={shared}"),
        "-test.cpuprofile=cpu.out",
    ];
    let mut files = None;
    let outcome = while_it_waits(stage, &flags, || files = Some(roots_work(&shared)));
    outcome.with(0);
    is_roots_work(&files.unwrap());
    let profile = shared.join("cpu.out");
    assert_eq!(owner(&profile), stage.identity.uid());
    assert!(std::fs::metadata(&profile).unwrap().len() > 0);
    assert_eq!(std::fs::metadata(&shared).unwrap().mode() & 0o7777, 0o1777);
}

fn the_folder_for_temporary_files_as_output_folder(stage: &Stage) {
    let tmp = Utf8Path::new("/tmp");
    let flags = ["-test.outputdir=/tmp", "-test.memprofile=mem.out"];
    let mut files = None;
    let outcome = while_it_waits(stage, &flags, || files = Some(roots_work(tmp)));
    outcome.with(0);
    let profile = tmp.join("mem.out");
    let of_profile = owner(&profile);
    let files = files.unwrap();
    is_roots_work(&files);
    std::fs::remove_dir_all(files[0].parent().unwrap()).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    std::fs::remove_file(&profile).unwrap();
    assert_eq!((owner(tmp), of_profile), (0, stage.identity.uid()));
    assert_eq!(std::fs::metadata(tmp).unwrap().mode() & 0o7777, 0o1777);
    // Nothing of the helper's is left.
    let mut left = tmp.read_dir_utf8().unwrap().flatten();
    assert!(left.all(|entry| !entry.file_name().starts_with("xr")));
}

fn a_package_folder_in_which_root_works_meanwhile(stage: &Stage) {
    let src = stage.dir("src");
    std::fs::create_dir(src.join("before")).unwrap();
    std::fs::write(src.join("before/secret"), "root's").unwrap();
    stage.freeze(src.join("before"));
    let mut files = None;
    let outcome = while_it_waits(stage, &[], || files = Some(roots_work(&src)));
    outcome.with(0);
    is_roots_work(&files.unwrap());
    assert_eq!(owner(src.join("made")), stage.identity.uid());
}

fn a_package_folder_of_others(stage: &Stage) {
    let binary = place(stage);
    for name in ["bystander", "shared", "root"] {
        let mut request = request(stage, &binary, "TestWritesIntoItsFolder");
        let folder = stage.others.join(name);
        request["folder"] = json!(folder);
        let (outcome, answers) = ask(stage, &request);
        outcome.with(0);
        assert!(answers.contains(r#""ended":{"code":0"#), "{answers}");
        // Root created it, so no user gets a file there.
        assert_eq!(owner(folder.join("testdata/written/deep/file")), 0);
    }
}

fn a_package_folder_that_is_swapped_for_a_link(stage: &Stage) {
    let src = stage.dir("src");
    let moved = stage.home.join("moved");
    let shared = stage.others.join("shared");
    let mut files = None;
    let outcome = while_it_waits(stage, &[], || {
        files = Some(roots_work(&shared));
        std::fs::rename(&src, moved).unwrap();
        std::os::unix::fs::symlink(&shared, &src).unwrap();
    });
    outcome.with(0);
    is_roots_work(&files.unwrap());
}

fn links_that_a_test_makes(stage: &Stage) {
    let mut command = exec_root(stage, "TestLinks", &[]);
    command.env("TARGET", stage.others.join("root/secret"));
    stage.run(&mut command).with(0);
    let src = stage.dir("src");
    assert_eq!(owner(src.join("hard")), 0);
    assert_eq!(owner(src.join("set-user-id")), 0);
    for name in ["made", "soft"] {
        assert_eq!(owner(src.join(name)), stage.identity.uid(), "{name}");
    }
}

fn profiles_in_place_of_files_of_others(stage: &Stage) {
    let mut targets = vec![stage.others.join("shared/bystander-secret")];
    targets.push(stage.others.join("bystander/file"));
    if stage.identity == Identity::User {
        targets.push("/run/etc/shadow".into());
        targets.push("/etc/shadow".into());
        targets.push(stage.others.join("root/secret"));
        targets.push(stage.others.join("root/new"));
        targets.push(stage.others.join("bystander/new"));
    }
    for target in targets {
        let flag = format!("-test.cpuprofile={target}");
        stage
            .run(&mut exec_root(stage, "TestPlain", &[&flag]))
            .with(4)
            .says(target.as_str());
        assert!(
            target.file_name() != Some("new") || !target.exists(),
            "{target}"
        );
    }
}

/// Without the caller's side they are not written to their places.
fn profiles_asked_of_the_helper_itself(stage: &Stage) {
    let binary = place(stage);
    stage.freeze("/etc/shadow");
    let secret = stage.others.join("root/secret");
    let shared = stage.others.join("shared");
    for words in [
        &["-test.cpuprofile=/etc/shadow"][..],
        &["-test.cpuprofile", "/etc/shadow"],
        &["--test.memprofile=/etc/shadow"],
        &["-test.testlogfile=/etc/shadow", "-test.trace=/etc/shadow"],
        &["-own", "-test.trace", secret.as_str()],
        &["-test.outputdir=/etc", "-test.blockprofile=shadow"],
        &["-test.cpuprofile=../../../../../../../../etc/shadow"],
        &[
            "-test.outputdir",
            shared.as_str(),
            "-test.mutexprofile=root-secret",
        ],
    ] {
        let mut request = request(stage, &binary, "TestPlain");
        request["arguments"] = json!([&["-test.run=^TestPlain$"], words].concat());
        let (outcome, answers) = ask(stage, &request);
        outcome.ended();
        assert!(answers.contains(r#"{"ended":"#), "{answers}");
    }
}

fn profiles_in_place_of_links_and_pipes(stage: &Stage) {
    let secret = stage.others.join("shared/root-secret");
    let own = stage.write("precious", "the user's, from before");
    stage.freeze(&own);
    std::fs::hard_link(&secret, stage.home.join("hard")).unwrap();
    let targets = [
        stage.link("link", &secret),
        stage.link("link-to-own", &own),
        stage.link("dangling", stage.others.join("root/new")),
        stage.home.join("hard"),
        stage.fifo("pipe"),
        stage.dir("folder"),
    ];
    for target in targets {
        let flag = format!("-test.memprofile={target}");
        stage
            .run(&mut exec_root(stage, "TestPlain", &[&flag]))
            .with(4)
            .says(target.as_str());
    }
    assert!(!stage.others.join("root/new").exists());
    // A parent by a link is the user's to have, with the user's rights.
    stage.link("elsewhere", stage.others.join("root"));
    let flag = format!("-test.memprofile={}", stage.home.join("elsewhere/secret"));
    if stage.identity == Identity::User {
        stage
            .run(&mut exec_root(stage, "TestPlain", &[&flag]))
            .with(4)
            .says("elsewhere/secret");
    }
}

fn folders_of_others_for_coverage_and_fuzzing(stage: &Stage) {
    let binary = place(stage);
    for flag in ["gocoverdir", "fuzzcachedir"] {
        for name in ["bystander", "missing"] {
            let mut request = request(stage, &binary, "TestPlain");
            let named = format!("-test.{flag}={}", stage.others.join(name));
            request["arguments"] = json!(["-test.run=^TestPlain$", named]);
            refused(stage, &request, name);
        }
    }
    let link = stage.link("link", stage.dir("cover"));
    let mut request = request(stage, &binary, "TestPlain");
    request["arguments"] = json!([format!("-test.gocoverdir={link}")]);
    refused(stage, &request, "is a symbolic link");
}

fn artifacts_in_a_folder_of_others(stage: &Stage) {
    let binary = place(stage);
    let shared = stage.others.join("bystander");
    let mut request = request(stage, &binary, "TestPlain");
    request["arguments"] = json!([format!("-test.outputdir={shared}"), "-test.artifacts"]);
    refused(stage, &request, "belongs to another user");
    assert!(!shared.join("_artifacts").exists());
}

/// A binary that only its owner may have run.
fn of_another(stage: &Stage, uid: u32) -> Utf8PathBuf {
    let path = place(stage);
    chown(&path, Some(uid), Some(uid)).unwrap();
    path
}

fn root_as_the_owner_in_a_request(stage: &Stage) {
    let source = of_another(stage, 0);
    // Where only root can write: all checks that root is the owner would pass.
    let binary = stage.root.join("go-build9/b001/root.test");
    std::fs::create_dir_all(binary.parent().unwrap()).unwrap();
    std::fs::rename(source, &binary).unwrap();
    let mut request = request(stage, &binary, "TestWritesIntoItsFolder");
    request["uid"] = json!(0);
    request["gid"] = json!(0);
    let line = serde_json::to_vec(&request).unwrap();
    let mut command = helper(stage, "root-exec");
    if stage.identity == Identity::Root {
        // As from another user's sudo.
        for name in ["SUDO_UID", "SUDO_GID"] {
            command.env(name, UID.to_string());
        }
    }
    let (outcome, answers) = ask_with(stage, &mut command, &line);
    outcome.with(3);
    assert!(answers.contains("belongs to another user"), "{answers}");
    assert!(!stage.home.join("src/testdata").exists());
}

fn owners_that_are_not_users(stage: &Stage) {
    let binary = place(stage);
    let line = serde_json::to_vec(&request(stage, &binary, "TestPlain")).unwrap();
    for (uid, gid) in [
        (Some("4294967295"), Some("0")),
        (Some("-1"), Some("0")),
        (Some(""), Some("")),
        (Some("root"), Some("root")),
        (Some("64123"), None),
        (None, Some("0")),
    ] {
        let mut command = helper(stage, "root-exec");
        for (name, value) in [("SUDO_UID", uid), ("SUDO_GID", gid)] {
            command.envs(value.map(|value| (name, value)));
        }
        let (outcome, answers) = ask_with(stage, &mut command, &line);
        match stage.identity {
            Identity::Root => {
                outcome.with(3);
                assert!(answers.contains("do not name a user"), "{answers}");
            }
            // Sudo sets them again.
            Identity::User => drop(outcome.with(0)),
        }
    }
}

fn binaries_of_others(stage: &Stage) {
    let binary = of_another(stage, BYSTANDER);
    let request = request(stage, &binary, "TestPlain");
    refused(stage, &request, "belongs to another user");
    let own = place(stage);
    chown(own.parent().unwrap(), Some(BYSTANDER), None).unwrap();
    refused(stage, &request, "belongs to another user");
}

fn things_that_are_not_test_binaries(stage: &Stage) {
    let shell = std::fs::read("/bin/sh").unwrap();
    let sparse = binary(stage, "go-build1/b005/x.test", b"\x7fELF");
    let file = std::fs::OpenOptions::new().write(true).open(&sparse);
    file.unwrap().set_len(1 << 40).unwrap();
    let good = place(stage);
    let cases = [
        (
            binary(stage, "go-build1/b002/x.test", &shell),
            "is not a binary of Go tests",
        ),
        (
            binary(stage, "go-build1/b003/x.test", b"testing.MainStart"),
            "is not an executable",
        ),
        (
            binary(stage, "go-build1/b003/y.test", b""),
            "is not an executable",
        ),
        (sparse, "is too large"),
        (stage.fifo("go-build1/b004/x.test"), "is not a regular file"),
        (stage.dir("go-build1/b004/y.test"), "is not a regular file"),
        (
            stage.link("go-build1/b004/z.test", &good),
            "is a symbolic link",
        ),
        (
            stage
                .link("go-build2", stage.dir("go-build1"))
                .join("b001/root.test"),
            "is a symbolic link",
        ),
        (
            binary(stage, "x.test", &std::fs::read(&good).unwrap()),
            "is not a test binary in",
        ),
        (
            stage.home.join("go-build1/b009/../b001/root.test"),
            "is not a test binary in",
        ),
        ("/dev/zero".into(), "is not a test binary in"),
        ("go-build1/b001/root.test".into(), "is not a test binary in"),
    ];
    for (binary, why) in cases {
        refused(stage, &request(stage, &binary, "TestPlain"), why);
    }
}

/// What runs is a copy in a folder where only root can write.
fn a_binary_that_its_owner_rewrites(stage: &Stage) {
    let outcome = stage.run(&mut exec_root(stage, "TestFindsItself", &[]));
    outcome.with(0);
    let line = outcome
        .stdout
        .lines()
        .find_map(|line| line.split_once("executable is "));
    let (_, path) = line.unwrap();
    assert!(!path.starts_with(stage.home.as_str()), "{path}");
    // Rewritten while it runs: neither side notices the other.
    let binary = place(stage);
    while_it_waits(stage, &[], || {
        std::fs::write(&binary, "#!/bin/sh\ntouch /mnt/attacked\n").unwrap();
    })
    .with(0);
    assert!(!Utf8Path::new("/mnt/attacked").exists());
}

fn deadlines_without_end(stage: &Stage) {
    let binary = place(stage);
    for deadline in [u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX.unsigned_abs()] {
        let mut request = request(stage, &binary, "TestPlain");
        request["deadline"] = json!(deadline);
        let (outcome, answers) = ask(stage, &request);
        outcome.with(0);
        assert!(
            answers.contains(r#"{"code":0,"timed_out":false}"#),
            "{answers}"
        );
    }
    let mut request = request(stage, &binary, "TestSleeps");
    request["deadline"] = json!(0);
    request["environment"] = json!([["CI", "hang"]]);
    let (outcome, answers) = ask(stage, &request);
    assert!(
        answers.contains(r#""timed_out":true"#),
        "{outcome:?} {answers}"
    );
    for timeout in ["9223372036s", "-1s", "999999999999h", "1e300s"] {
        let flag = format!("-test.timeout={timeout}");
        stage
            .run(&mut exec_root(stage, "TestPlain", &[&flag]))
            .ended();
    }
}

fn variables_that_load_code(stage: &Stage) {
    let binary = place(stage);
    for (name, value) in [
        ("BASH_FUNC_ls%%", "() { id; }"),
        ("BASH_FUNC_ls()", "() { id; }"),
        ("HARMLESS", "() { :; }; id"),
        ("PATH=/tmp:", "x"),
        ("BASH_ENV=/tmp/x", ""),
        ("=", "x"),
        ("", "x"),
        ("LD_PRELOAD", "/tmp/x.so"),
        ("LD_AUDIT", "/tmp/x.so"),
        ("PERL5OPT", "-Mx"),
        ("PYTHONHOME", "/tmp"),
        ("PYTHONINSPECT", "1"),
        ("RUBYOPT", "-rx"),
        ("PS4", "$(id)"),
        ("XTABLES_LIBDIR", "/tmp"),
        ("JAVA_TOOL_OPTIONS", "-javaagent:/tmp/x"),
        ("NODE_OPTIONS", "-r/tmp/x"),
        ("GIT_SSH_COMMAND", "id"),
        ("TMPPREFIX", "/tmp/x"),
        ("GLIBC_TUNABLES", "x"),
        ("SUDO_UID", "0"),
        ("TZ", "/etc/shadow"),
        ("GORACE", "log_path=/etc/x"),
        ("A\0B", "x"),
        ("AB", "x\0y"),
    ] {
        let mut request = request(stage, &binary, "TestPrintsItsEnvironment");
        request["environment"] = json!([["CI", "true"], [name, value]]);
        refused(stage, &request, "is not given to a test as root");
        if !name.contains('\0') && !value.contains('\0') && !name.is_empty() && !name.contains('=')
        {
            let mut command = stage.xtask(&["exec-root", "--env", name, binary.as_str()]);
            stage.run(command.env(name, value)).with(2);
        }
    }
}

fn folders_that_groups_may_write_to(stage: &Stage) {
    let binary = place(stage);
    let folder = binary.parent().unwrap();
    let request = request(stage, &binary, "TestPlain");
    let others: &[u32] = match stage.identity {
        Identity::Root => &[BYSTANDER, UID],
        Identity::User => &[0, BYSTANDER, 100],
    };
    for group in others {
        chown(folder, None, Some(*group)).unwrap();
        mode(folder, 0o775);
        refused(stage, &request, "others may write to the folder");
        mode(folder, 0o755);
        chown(&binary, None, Some(*group)).unwrap();
        mode(&binary, 0o775);
        refused(stage, &request, "has mode 775");
        mode(&binary, 0o755);
    }
    mode(folder, 0o777);
    refused(stage, &request, "others may write to the folder");
    // Everybody may write there, and its owner could replace what others have.
    mode(folder, 0o1777);
    if stage.identity == Identity::User {
        refused(stage, &request, "others may write to the folder");
    }
}

fn folders_with_access_control_lists(stage: &Stage) {
    let binary = place(stage);
    let folder = binary.parent().unwrap();
    let request = request(stage, &binary, "TestPlain");
    // user::rwx, user:bystander:rwx or group:bystander:rwx, group::r-x, mask::rwx, other::r-x
    for tag in [2_u16, 8] {
        let mut list = 2_u32.to_le_bytes().to_vec();
        let none = u32::MAX;
        let named = (tag, 7, BYSTANDER);
        let entries = match tag {
            2 => [
                (1, 7, none),
                named,
                (4, 5, none),
                (16, 7, none),
                (32, 5, none),
            ],
            _ => [
                (1, 7, none),
                (4, 5, none),
                named,
                (16, 7, none),
                (32, 5, none),
            ],
        };
        for (tag, may, id) in entries {
            list.extend(u16::to_le_bytes(tag));
            list.extend(u16::to_le_bytes(may));
            list.extend(u32::to_le_bytes(id));
        }
        for (path, why) in [
            (folder, "others may write to the folder"),
            (&binary, "has mode 775"),
        ] {
            let name = "system.posix_acl_access";
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(path.as_str(), name, &list, flags).unwrap();
            refused(stage, &request, why);
            rustix::fs::removexattr(path.as_str(), name).unwrap();
            mode(path, 0o755);
        }
    }
    let (outcome, _) = ask(stage, &request);
    outcome.with(0);
}

fn requests_that_are_not_requests(stage: &Stage) {
    let binary = place(stage);
    let mut long = request(stage, &binary, "TestPlain");
    long["arguments"] = json!(["x".repeat(3 << 20)]);
    let long = serde_json::to_vec(&long).unwrap();
    let deep = "[".repeat(500_000);
    let half = &serde_json::to_vec(&request(stage, &binary, "TestPlain")).unwrap()[..40];
    for line in [
        &long,
        deep.as_bytes(),
        half,
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"\0",
        b" ",
    ] {
        let (outcome, answers) = ask_with(stage, &mut helper(stage, "root-exec"), line);
        outcome.with(2);
        assert_eq!(answers, "");
    }
    // The init is for the helper alone.
    if stage.identity == Identity::Root {
        stage.attack(&["internal", "root-init"]).with(2);
    } else {
        stage.attack(&["internal", "root-exec"]).ended();
        let line = serde_json::to_vec(&request(stage, &binary, "TestPlain")).unwrap();
        let mut command = stage.xtask(&["internal", "root-exec"]);
        let (outcome, answers) = ask_with(stage, &mut command, &line);
        outcome.with(3);
        assert!(answers.contains("is not root"), "{answers}");
    }
}

fn nul_bytes_in_a_request(stage: &Stage) {
    let binary = place(stage);
    for field in ["binary", "folder", "arguments"] {
        let mut request = request(stage, &binary, "TestPlain");
        request[field] = match field {
            "arguments" => json!(["-test.run=x\0y"]),
            _ => json!(format!("{}\0", request[field].as_str().unwrap())),
        };
        refused(stage, &request, "NUL");
    }
    let relative = json!("src");
    let above = json!(stage.dir("src").join("../src"));
    let link = json!(stage.link("link", stage.dir("src")));
    let file = json!(binary);
    for folder in [relative, above, link, file, json!("/nowhere"), json!("")] {
        let mut request = request(stage, &binary, "TestPlain");
        request["folder"] = folder;
        refused(stage, &request, "will not run this as root");
    }
}

fn steps_that_are_not_steps(stage: &Stage) {
    let deep = "{\"why\":".repeat(100_000);
    for line in [b"null".as_slice(), deep.as_bytes(), b"{}", b"\xff", b"\0"] {
        let mut command = helper(stage, "root-step");
        let (outcome, _) = ask_with(stage, &mut command, line);
        outcome.ended();
        assert_ne!(outcome.code, 0, "{outcome:?}");
    }
}

fn a_rule_for_other_commands(stage: &Stage) {
    if stage.identity == Identity::Root {
        // Root needs no rule.
        stage.grant("");
        stage.run(&mut exec_root(stage, "TestPlain", &[])).with(0);
        return;
    }
    for rule in [
        "",
        "attacker ALL=(root) NOPASSWD: /usr/bin/true",
        "attacker ALL=(root) NOPASSWD: /mnt/xtask internal root-step",
        "attacker ALL=(bystander) NOPASSWD: /mnt/xtask internal root-exec",
        "attacker ALL=(root) /mnt/xtask internal root-exec",
    ] {
        stage.grant(&format!("Defaults !syslog\n{rule}\n"));
        stage
            .run(&mut exec_root(stage, "TestPlain", &[]))
            .with(3)
            .says("sudo");
    }
    let rule = "attacker ALL=(root) NOPASSWD: /mnt/xtask internal root-exec";
    for defaults in ["Defaults !syslog", "Defaults !syslog,use_pty"] {
        stage.grant(&format!("{defaults}\n{rule}\n"));
        let profile = stage.home.join("cpu.out");
        let flag = format!("-test.cpuprofile={profile}");
        stage
            .run(&mut exec_root(stage, "TestPlain", &[&flag]))
            .with(0);
        assert_eq!(owner(&profile), UID);
    }
}
