//! `exec-root`: only a test binary runs as root, and nothing of it gets out.
//! Attacked here: other programs in its place, who else may write there, the
//! environment, processes that stay and tests that do not listen.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start and signal their own processes"
)]

mod common;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use common::go::{WORKSPACE, has};
use common::{Home, Said, is_root, run, said, skip, within};

/// Of a user who is in no file of this host.
const UID: u32 = 64123;
const SOON: Duration = Duration::from_secs(20);

/// Whether tests as root can be tried; says why not.
fn can(name: &str) -> bool {
    if !is_root() {
        skip(name, "root is needed");
        return false;
    }
    has(name, &["go"])
}

/// The package `root`, linked once for all tests here.
fn linked() -> &'static Utf8Path {
    static BINARY: OnceLock<Utf8PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let name = format!("root-{}.test", std::process::id());
        let path = Utf8Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut go = Command::new("go");
        go.args(["test", "-c", "-o", path.as_str(), "./root"]);
        let built = run(go.current_dir(WORKSPACE));
        assert_eq!(built.code, Some(0), "{}", built.stderr);
        path
    })
}

/// A place as the go command makes one, with the binary in it.
fn place(home: &Home) -> Utf8PathBuf {
    open(&home.root, 0o755);
    let path = home.program(
        "go-build1/b001/root.test",
        &std::fs::read(linked()).unwrap(),
    );
    for dir in ["go-build1", "go-build1/b001"] {
        open(&home.path(dir), 0o755);
    }
    path
}

fn open(path: &Utf8Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn exec_root(home: &Home, binary: &Utf8Path, test: &str) -> Command {
    let test = format!("-test.run=^{test}$");
    home.xtask(&["exec-root", binary.as_str(), "-test.v", &test])
}

/// Sleepers of one test, told from others by their argument.
fn sleepers(seconds: &str) -> usize {
    let wanted = format!("sleep\0{seconds}\0");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| line.ends_with(wanted.as_bytes()))
        .count()
}

#[test]
fn the_go_command_takes_it() {
    if !can("the_go_command_takes_it") {
        return;
    }
    let home = Home::new();
    let printed = run(&mut home.xtask(&["exec-root", "--print", "--isolate"]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let src = home.path("src");
    let copied = run(Command::new("cp").args(["-r", WORKSPACE, src.as_str()]));
    assert_eq!(copied.code, Some(0));
    let mut go = Command::new("go");
    go.args(["test", "-v", "-exec", printed.stdout.trim(), "."])
        .current_dir(src.join("root"))
        .env("LD_PRELOAD", "")
        .env("SECRET", "1")
        .env("TZ", "1717171");
    let said = run(&mut go);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let env: Vec<&str> = said
        .stdout
        .lines()
        .filter_map(|line| Some(line.split_once(" env ")?.1.split_once('=')?.0))
        .collect();
    for name in &env {
        let listed = [
            "CI", "HOME", "LANG", "LC_ALL", "LOGNAME", "NO_COLOR", "PATH", "PWD", "TERM", "TMPDIR",
            "TZ", "USER",
        ];
        assert!(listed.contains(name) || name.starts_with("GO"), "{name}");
    }
    assert!(env.contains(&"TZ"), "{}", said.stdout);
    assert!(said.stdout.contains("pid 1 is xtask\n"), "{}", said.stdout);
    assert!(said.stdout.contains("links: lo\n"), "{}", said.stdout);
    assert!(
        said.stdout.contains("which were killed: s"),
        "{}",
        said.stdout
    );
    assert_eq!(sleepers("1717171"), 0);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.lines().any(|line| line.starts_with("tmpfs /mnt ")));
}

#[test]
fn another_program_in_its_place_is_refused() {
    if !can("another_program_in_its_place_is_refused") {
        return;
    }
    let home = Home::new();
    let good = place(&home);
    let refused = |binary: &Utf8Path, why: &str| {
        let said = run(&mut exec_root(&home, binary, "TestPlain"));
        assert_eq!(
            said.code,
            Some(3),
            "{binary}: {}{}",
            said.stdout,
            said.stderr
        );
        assert!(said.stderr.contains(why), "{binary}: {}", said.stderr);
        // The helper knows neither the tool's name nor its options; we do.
        if why.contains("in the go command's") {
            let hint = "hint: go test -exec \"$(cargo xtask exec-root --print)\" PACKAGE";
            assert!(said.stderr.contains(hint), "{}", said.stderr);
        }
    };
    assert_eq!(run(&mut exec_root(&home, &good, "TestPlain")).code, Some(0));

    refused(
        "/bin/true".into(),
        "is not a test binary in the go command's",
    );
    let elsewhere = home.program("elsewhere/root.test", &std::fs::read(&good).unwrap());
    refused(&elsewhere, "is not a test binary in the go command's");
    let shell = home.program(
        "go-build1/b002/x.test",
        &std::fs::read("/bin/true").unwrap(),
    );
    refused(&shell, "is not a binary of Go tests");
    let script = home.program("go-build1/b003/x.test", b"#!/bin/sh\ntesting.MainStart\n");
    refused(&script, "is not an executable");
    std::fs::create_dir(home.path("go-build1/b004")).unwrap();
    let link = home.path("go-build1/b004/x.test");
    symlink(&good, &link).unwrap();
    refused(&link, "is a symbolic link");
    let pipe = home.path("go-build1/b004/y.test");
    run(Command::new("mkfifo").args(["-m", "700", pipe.as_str()]));
    refused(&pipe, "is not a regular file");

    open(&good, 0o757);
    refused(&good, "has mode 757");
    open(&good, 0o4755);
    refused(&good, "has mode 4755");
    open(&good, 0o755);
    std::os::unix::fs::chown(&good, Some(UID), Some(UID)).unwrap();
    refused(&good, "belongs to another user");
    std::os::unix::fs::chown(&good, Some(0), Some(0)).unwrap();
    for dir in ["go-build1/b001", "go-build1", ""] {
        let path = home.path(dir);
        open(&path, 0o777);
        refused(&good, "others may write to the folder");
        open(&path, 0o755);
        std::os::unix::fs::chown(&path, Some(UID), Some(UID)).unwrap();
        refused(&good, "belongs to another user");
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
    }
    assert_eq!(run(&mut exec_root(&home, &good, "TestPlain")).code, Some(0));
}

#[test]
fn variables_that_load_code_are_refused() {
    let home = Home::new();
    for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "BASH_ENV"] {
        let said = run(&mut home.xtask(&["exec-root", "--print", "--env", name]));
        assert_eq!(said.code, Some(2), "{name}: {}", said.stderr);
    }
    let said = run(&mut home.xtask(&["exec-root", "--print", "--env", "FLAKY_DIR"]));
    assert!(said.stdout.ends_with(" exec-root --env=FLAKY_DIR\n"));
}

/// TMPDIR of the test that runs from `binary`.
fn scratch_of(binary: &Utf8Path) -> String {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut environments = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let is_it = line.starts_with(format!("{binary}\0").as_bytes());
        is_it.then(|| std::fs::read(entry.path().join("environ")).ok())?
    });
    let environment = String::from_utf8(environments.next().unwrap()).unwrap();
    let mut variables = environment.split('\0');
    variables
        .find_map(|variable| Some(variable.strip_prefix("TMPDIR=")?.to_owned()))
        .unwrap()
}

#[test]
fn a_test_that_does_not_listen_is_killed() {
    if !can("a_test_that_does_not_listen_is_killed") {
        return;
    }
    let home = Home::new();
    let binary = place(&home);
    for signals in [&["INT", "INT"][..], &["KILL"]] {
        let mut child = exec_root(&home, &binary, "TestIgnoresSignals")
            .env("CI", "hang")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut first = [0; 8];
        out.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"=== RUN ");
        let scratch = scratch_of(&binary);
        for (index, signal) in signals.iter().enumerate() {
            if index > 0 {
                std::thread::sleep(Duration::from_millis(500));
            }
            run(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]));
        }
        assert!(within(SOON, || child.try_wait().unwrap().is_some()));
        // The other end's holder is gone: it closes.
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        let tidied = || !std::fs::exists(&scratch).unwrap();
        assert!(within(SOON, tidied), "{scratch} is left");
    }
}

/// What the helper answers to a request about `test`.
fn ask(home: &Home, binary: &Utf8Path, test: &str, deadline: u64) -> (String, Said) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let request = format!(
        r#"{{"binary":"{binary}","arguments":["-test.run=^{test}$"],"folder":"{}","environment":[["CI","hang"]],"isolate":false,"deadline":{deadline}}}"#,
        home.root
    );
    let child = home
        .xtask(&["internal", "root-exec"])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ours.write_all(format!("{request}\n").as_bytes()).unwrap();
    let said = said(&child.wait_with_output().unwrap());
    let mut answers = String::new();
    ours.read_to_string(&mut answers).unwrap();
    (answers, said)
}

#[test]
fn a_deadline_dumps_goroutines_and_kills() {
    if !can("a_deadline_dumps_goroutines_and_kills") {
        return;
    }
    let home = Home::new();
    let binary = place(&home);
    let (answers, said) = ask(&home, &binary, "TestSleeps", 1);
    assert!(answers.contains(r#""timed_out":true"#), "{answers}");
    let dump = &said.stderr;
    assert!(
        dump.contains("SIGQUIT") && dump.contains("root_test.TestSleeps"),
        "{dump}"
    );
    let (answers, _) = ask(&home, &binary, "TestIgnoresSignals", 1);
    assert!(
        answers.contains(r#"{"ended":{"code":137,"timed_out":true}}"#),
        "{answers}"
    );
}

/// Arguments: our binary, then ours of it. Ends by becoming the user, whose
/// sudo rule allows the helper only. The user, sudo's rules and all else are in a
/// mount namespace of the test's.
const AS_USER: &str = r#"
set -e
mount -t tmpfs -o mode=0755 tmpfs /run
[ ! -d /var/lib/sudo ] || mount -t tmpfs -o mode=0700 tmpfs /var/lib/sudo
mkdir /run/etc; cd /run/etc
cp /etc/passwd /etc/group /etc/shadow .
echo "xtasktest:x:64123:64123::$HOME:/bin/sh" >>passwd
echo "xtasktest:x:64123:" >>group
echo "xtasktest:*:19000:0:99999:7:::" >>shadow
rule="xtasktest ALL=(root) NOPASSWD: $0 internal root-exec"
printf '%s\n' 'Defaults env_reset, !syslog' "$rule" >sudoers
chmod 0440 sudoers shadow; chmod 0644 passwd group
for file in passwd group shadow sudoers; do mount --bind $file /etc/$file; done
cd "$HOME"
binary=$0
chown -R 64123:64123 "$HOME"
cd "$HOME/src/root"
exec setpriv --reuid 64123 --regid 64123 --clear-groups \
  env -i HOME="$HOME" PATH=/usr/bin:/bin LD_PRELOAD=/nowhere.so SECRET=1 "$binary" "$@"
"#;

/// Whether there can be such a user; says why not.
fn can_be_user(name: &str) -> bool {
    if !can(name) {
        return false;
    }
    for tool in ["sudo", "setpriv", "unshare"] {
        if foundation::ctx::host::Host::which(tool).is_none() {
            skip(name, &format!("no `{tool}`"));
            return false;
        }
    }
    true
}

/// `exec-root` of the user with these words, in the package's folder.
fn as_user(home: &Home, words: &[&str]) -> Said {
    run(Command::new("cp").args(["-r", WORKSPACE, home.path("src").as_str()]));
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", AS_USER])
        .args([home.binary().as_str(), "exec-root"])
        .args(words)
        .env("HOME", &home.root)
        .env("TZ", "1818181");
    run(&mut command)
}

#[test]
fn a_user_gets_back_what_root_wrote() {
    let name = "a_user_gets_back_what_root_wrote";
    if !can_be_user(name) {
        return;
    }
    let home = Home::new();
    let binary = place(&home);
    let others = home.write("src/root/testdata/others", "root's own, from before");
    let profile = format!("-test.cpuprofile={}", home.path("cpu.out"));
    let said = as_user(
        &home,
        &[
            binary.as_str(),
            "-test.v",
            "-test.run=TestWrites|TestPrints|TestLeaves|TestFinds",
            &profile,
        ],
    );
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    for path in ["testdata/written", "testdata/written/deep/file"] {
        let metadata = std::fs::metadata(home.path("src/root").join(path)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (UID, UID), "{path}");
    }
    assert_eq!(std::fs::metadata(home.path("cpu.out")).unwrap().uid(), UID);
    assert!(others.exists());
    for bad in ["LD_PRELOAD", "SECRET", "SUDO_"] {
        assert!(!said.stdout.contains(bad), "{bad}: {}", said.stdout);
    }
    let scratch = said
        .stdout
        .lines()
        .find_map(|line| Some(line.split_once("env TMPDIR=")?.1.to_owned()))
        .unwrap();
    assert!(!std::fs::exists(scratch).unwrap());
}

/// As the go command asks for coverage, and a user for profiles.
#[test]
fn a_user_gets_what_flags_ask_for() {
    let name = "a_user_gets_what_flags_ask_for";
    if !can_be_user(name) {
        return;
    }
    let home = Home::new();
    let binary = place(&home);
    let mut go = Command::new("go");
    // The package itself has no statements outside of its tests.
    go.args(["test", "-c", "-coverpkg=os/exec", "-o", binary.as_str()]);
    go.arg("./root");
    let built = run(go.current_dir(WORKSPACE));
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    open(&binary, 0o755);
    for dir in ["cover", "out"] {
        std::fs::create_dir(home.path(dir)).unwrap();
    }
    home.write(
        "out/old.out",
        "a longer file than the profile of no samples"
            .repeat(99)
            .as_str(),
    );
    let folder = format!("-test.gocoverdir={}", home.path("cover"));
    let profile = format!("-test.coverprofile={}", home.path("_cover_.out"));
    let mut words = vec![
        binary.as_str(),
        "-test.run=TestPlain",
        "-test.outputdir=../../out",
        "-test.trace=trace.out",
        "-test.blockprofile",
        "old.out",
        "-test.memprofile=/dev/stderr",
        &folder,
        &profile,
    ];
    let help = run(Command::new("go").args(["help", "testflag"]));
    let has_artifacts = help.stdout.contains("-artifacts");
    if has_artifacts {
        words.push("-test.artifacts");
    }
    let said = as_user(&home, &words);
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let mut files: Vec<Utf8PathBuf> = ["_cover_.out", "out/trace.out", "out/old.out"]
        .map(|name| home.path(name))
        .into();
    let covered = home.path("cover").read_dir_utf8().unwrap();
    files.extend(covered.map(|entry| entry.unwrap().into_path()));
    assert!(files.len() >= 5, "{files:?}");
    if has_artifacts {
        files.push(home.path("out/_artifacts"));
    }
    for path in &files {
        let metadata = std::fs::metadata(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((metadata.uid(), metadata.gid()), (UID, UID), "{path}");
    }
    let read = |name: &str| std::fs::read(home.path(name)).unwrap();
    assert!(read("_cover_.out").starts_with(b"mode: set\n"));
    assert!(read("out/trace.out").starts_with(b"go 1."));
    assert!(read("out/old.out").starts_with(b"\x1f\x8b"));
}
