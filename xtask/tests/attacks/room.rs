//! Namespaces in which nothing that an attack does is of any consequence: mounts
//! (with `/tmp`, `/mnt` and `/run` of their own), processes, network. The user, sudo's
//! rules and a copy of the binary exist in there only.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

/// Set once inside: the number of this room.
const INSIDE: &str = "XTASK_ATTACK_ROOM";
/// Each has its half of the cases, because they run one after the other and use one processor.
const ROOMS: usize = 2;
/// Of a user who is in no file of this host, and of another one.
pub const UID: u32 = 64123;
pub const BYSTANDER: u32 = 64124;
/// The binary under attack; root's, as a sudoers rule would name it.
pub const BINARY: &str = "/mnt/xtask";
/// This repository's test data.
#[allow(dead_code)]
pub const TESTDATA: &str = "/mnt/testdata";
/// The package `root` of the test data's workspace, linked.
#[allow(dead_code)]
pub const ROOT_TEST: &str = "/mnt/root.test";
/// What sudo reads in here.
pub const SUDOERS: &str = "/run/etc/sudoers";

/// One of several, by its number.
pub struct Room(usize);

impl Room {
    /// Whether the case of this number runs in here.
    pub fn has(&self, case: usize) -> bool {
        case % ROOMS == self.0
    }
}

pub enum Entered {
    Inside(Room),
    /// The cases ran in a child, or cannot run here.
    Outside(ExitCode),
}

pub fn enter() -> Entered {
    if let Ok(room) = std::env::var(INSIDE) {
        furnish();
        return Entered::Inside(Room(room.parse().unwrap()));
    }
    if let Some(reason) = missing() {
        return Entered::Outside(skip(&reason));
    }
    let linked = link_root_test();
    let rooms: Vec<Child> = (0..ROOMS).map(|room| start(room, &linked)).collect();
    let mut failed = false;
    for (room, child) in rooms.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        // The first one's has been on the terminal all the time.
        if room > 0 {
            std::io::stdout().write_all(&output.stdout).unwrap();
        }
        failed |= !output.status.success();
    }
    Entered::Outside(ExitCode::from(u8::from(failed)))
}

fn start(room: usize, linked: &str) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut words: Vec<std::ffi::OsString> = Vec::new();
    if !rustix::process::geteuid().is_root() {
        words.extend(["sudo", "-n", "env"].map(Into::into));
        for name in ["PATH", "CI", "XTASK_TEST_SKIPS"] {
            let value = std::env::var(name).unwrap_or_default();
            words.push(format!("{name}={value}").into());
        }
        words.push(format!("{LINKED}={linked}").into());
        words.push(format!("{INSIDE}={room}").into());
    }
    let flags =
        "--mount --net --ipc --pid --fork --mount-proc --kill-child --propagation private --";
    words.push("unshare".into());
    words.extend(flags.split(' ').map(Into::into));
    // What no namespace holds: the clock, the kernel and the machine itself.
    let without = "setpriv --bounding-set -sys_time,-sys_boot,-sys_module,-sys_rawio --";
    words.extend(without.split(' ').map(Into::into));
    words.push(own.into());
    words.extend(std::env::args_os().skip(1));
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env(INSIDE, room.to_string())
        .env(LINKED, linked);
    if room > 0 {
        command.stdout(Stdio::piped());
    }
    command.spawn().unwrap()
}

/// Where the linked test binary is before it is copied.
const LINKED: &str = "XTASK_ATTACK_ROOT_TEST";

fn missing() -> Option<String> {
    let tools = [
        "sudo", "setpriv", "unshare", "prlimit", "mount", "ip", "go", "git", "mkfifo",
    ];
    let which = foundation::ctx::host::Host::which;
    if let Some(tool) = tools.into_iter().find(|tool| which(tool).is_none()) {
        return Some(format!("no `{tool}`"));
    }
    let as_root: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["sudo", "-n"]
    };
    let words = [
        as_root,
        &["unshare", "--mount", "--net", "--pid", "--fork", "true"],
    ]
    .concat();
    let can = Command::new(words[0]).args(&words[1..]).output();
    let can = can.is_ok_and(|output| output.status.success());
    (!can).then(|| format!("`{}` fails", words.join(" ")))
}

/// The suite's own skip: one line per run, a failure with `CI=true`.
fn skip(reason: &str) -> ExitCode {
    if std::env::var("CI").as_deref() == Ok("true") {
        println!(
            "test result: FAILED. 0 passed; 1 failed; 0 ignored; the attack suite cannot run: {reason}"
        );
        return ExitCode::FAILURE;
    }
    eprintln!("SKIPPED: attacks: {reason}");
    if let Some(file) = std::env::var_os("XTASK_TEST_SKIPS") {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .unwrap();
        writeln!(file, "attacks\t{reason}").unwrap();
    }
    // Taken back by the line in the file, as for every skipped test.
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; skipped: {reason}");
    ExitCode::SUCCESS
}

fn link_root_test() -> String {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gotest/workspace");
    let to = concat!(env!("CARGO_TARGET_TMPDIR"), "/attacks-root.test");
    let mut go = Command::new("go");
    go.args(["test", "-c", "-o", to, "./root"])
        .current_dir(workspace);
    let built = go.env("CGO_ENABLED", "0").output().unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    to.to_owned()
}

/// As PID 1's child, root, before the first case.
fn furnish() {
    let script = r#"
set -e
mount -t tmpfs -o mode=0755 tmpfs /mnt
install -m 755 "$1" /mnt/xtask
install -m 755 "$2" /mnt/root.test
cp -r "$3" /mnt/testdata
mount -t tmpfs -o mode=0755 tmpfs /run
[ ! -d /var/lib/sudo ] || mount -t tmpfs -o mode=0700 tmpfs /var/lib/sudo
mkdir /run/etc
cd /run/etc
cp /etc/passwd /etc/group /etc/shadow .
for user in attacker:64123 bystander:64124; do
  name=${user%:*} id=${user#*:}
  echo "$name:x:$id:$id::/tmp/home-$name:/bin/sh" >>passwd
  echo "$name:x:$id:" >>group
  echo "$name:*:19000:0:99999:7:::" >>shadow
done
: >sudoers
chmod 0440 sudoers shadow
chmod 0644 passwd group
for file in passwd group shadow sudoers; do mount --bind $file /etc/$file; done
[ ! -d /etc/sudoers.d ] || mount -t tmpfs -o mode=0755 tmpfs /etc/sudoers.d
mount -t tmpfs -o mode=1777 tmpfs /tmp
ip link set lo up
"#;
    let testdata = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
    let linked = std::env::var(LINKED).unwrap();
    let status = Command::new("sh")
        .args([
            "-c",
            script,
            "sh",
            env!("CARGO_BIN_EXE_xtask"),
            &linked,
            testdata,
        ])
        .arg0("sh")
        .status()
        .unwrap();
    assert!(status.success(), "the namespaces cannot be furnished");
    std::env::set_current_dir("/").unwrap();
}
