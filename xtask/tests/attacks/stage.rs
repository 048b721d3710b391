//! What surrounds one case: a HOME, files of others beside it, and a comparison
//! of all that existed before with what is there afterwards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::Case;
use crate::room::{BINARY, BYSTANDER, SUDOERS, UID};

/// Who types the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    Root,
    /// Sudo grants this user what [`NARROW`] says and nothing else.
    User,
}

impl Identity {
    pub const ALL: [Self; 2] = [Self::Root, Self::User];

    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
        }
    }

    pub fn uid(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::User => UID,
        }
    }
}

/// Only the root helpers.
const NARROW: &str = "Defaults env_reset, !syslog\n\
    root ALL=(ALL:ALL) ALL\n\
    attacker ALL=(root) NOPASSWD: /mnt/xtask internal root-exec, /mnt/xtask internal root-step\n";
/// A command that runs longer hangs.
const HANGS: Duration = Duration::from_mins(1);
/// Address space of a command. More is memory without bounds.
const ADDRESS_SPACE: u64 = 2 << 30;

pub struct Stage {
    pub identity: Identity,
    /// Everything of this case is below it.
    pub root: Utf8PathBuf,
    /// Belongs to the identity.
    pub home: Utf8PathBuf,
    /// Belongs to others and is compared afterwards; see [`Stage::new`].
    pub others: Utf8PathBuf,
    frozen: RefCell<Vec<(Utf8PathBuf, Tree)>>,
}

type Tree = BTreeMap<String, String>;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// 128 + N for signal N, as a shell has it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Stage {
    /// In `others`: `root/secret` (root's, 0600 in a 0700 folder), `shared` (1777) with
    /// `root-secret` and `bystander-secret` (0600), `bystander/file` (another user's).
    pub fn new(case: &str, identity: Identity) -> Self {
        let root = Utf8PathBuf::from(format!("/tmp/{case}-{}", identity.name()));
        let stage = Self {
            home: root.join("home"),
            others: root.join("others"),
            root,
            identity,
            frozen: RefCell::default(),
        };
        for dir in [&stage.root, &stage.home, &stage.others] {
            std::fs::create_dir(dir).unwrap();
            mode(dir, 0o755);
        }
        stage.own(&stage.home);
        let others = |name: &str, text: &str, uid: u32, bits: u32| {
            let path = stage.others.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            mode(&path, bits);
            chown(&path, Some(uid), Some(uid)).unwrap();
        };
        others("root/secret", "root's, from before", 0, 0o600);
        others("shared/root-secret", "root's, from before", 0, 0o600);
        others("shared/bystander-secret", "another's", BYSTANDER, 0o600);
        others("bystander/file", "another's", BYSTANDER, 0o644);
        mode(&stage.others.join("root"), 0o700);
        mode(&stage.others.join("shared"), 0o1777);
        chown(
            stage.others.join("bystander"),
            Some(BYSTANDER),
            Some(BYSTANDER),
        )
        .unwrap();
        stage.grant(NARROW);
        for path in [stage.others.as_path(), "/run/etc".into(), "/mnt".into()] {
            stage.freeze(path);
        }
        stage
    }

    /// What sudo grants the user from now on.
    pub fn grant(&self, sudoers: &str) {
        std::fs::write(SUDOERS, sudoers).unwrap();
        let mut frozen = self.frozen.borrow_mut();
        for (path, tree) in frozen.iter_mut().filter(|(path, _)| path == "/run/etc") {
            *tree = tree_of(path);
        }
    }

    /// Nothing at or below `path` may be changed from now on.
    pub fn freeze(&self, path: impl AsRef<Utf8Path>) {
        let path = path.as_ref();
        self.frozen
            .borrow_mut()
            .push((path.to_owned(), tree_of(path)));
    }

    /// What differs from when it was frozen.
    pub fn changed(&self) -> Vec<String> {
        let mut changed = Vec::new();
        for (path, before) in &*self.frozen.borrow() {
            let after = tree_of(path);
            for (name, was) in before {
                match after.get(name) {
                    Some(is) if is == was => {}
                    Some(is) => changed.push(format!("  {name}: {was} -> {is}")),
                    None => changed.push(format!("  {name}: {was} -> deleted")),
                }
            }
        }
        changed
    }

    pub fn clear(&self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }

    pub fn own(&self, path: &Utf8Path) {
        let uid = self.identity.uid();
        rustix::fs::chownat(
            rustix::fs::CWD,
            path.as_str(),
            Some(rustix::process::Uid::from_raw(uid)),
            Some(rustix::process::Gid::from_raw(uid)),
            rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }

    /// A file of the identity's below HOME, with the folders that lead to it.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Utf8PathBuf {
        let path = self.dir_for(name);
        std::fs::write(&path, contents).unwrap();
        self.own(&path);
        path
    }

    pub fn link(&self, name: &str, to: impl AsRef<str>) -> Utf8PathBuf {
        let path = self.dir_for(name);
        symlink(to.as_ref(), &path).unwrap();
        self.own(&path);
        path
    }

    pub fn fifo(&self, name: &str) -> Utf8PathBuf {
        let path = self.dir_for(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        self.own(&path);
        path
    }

    /// A folder of the identity's below HOME.
    pub fn dir(&self, name: &str) -> Utf8PathBuf {
        self.dir_for(&format!("{name}/x"))
            .parent()
            .unwrap()
            .to_owned()
    }

    fn dir_for(&self, name: &str) -> Utf8PathBuf {
        let path = self.home.join(name);
        let mut at = self.home.clone();
        for part in path.strip_prefix(&self.home).unwrap().parent().unwrap() {
            at.push(part);
            if !at.exists() {
                std::fs::create_dir(&at).unwrap();
                self.own(&at);
            }
        }
        path
    }

    /// Our binary with these arguments, in HOME, as the identity, within the limits.
    pub fn xtask(&self, args: &[&str]) -> Command {
        let mut command = self.program(BINARY);
        command.args(args);
        command
    }

    /// Any program as the identity, with nothing of our environment.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new("prlimit");
        command.args([&format!("--as={ADDRESS_SPACE}"), "--core=0", "--"]);
        if self.identity == Identity::User {
            let id = UID.to_string();
            command.args([
                "setpriv",
                "--reuid",
                &id,
                "--regid",
                &id,
                "--clear-groups",
                "--",
            ]);
        }
        let path = std::env::var_os("PATH").unwrap();
        command
            .arg(program)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", path)
            .env("TERM", "xterm")
            .current_dir(&self.home)
            .stdin(Stdio::null());
        command
    }

    /// To its end; one that hangs is killed, which fails the case.
    pub fn run(&self, command: &mut Command) -> Outcome {
        let out = self.root.join("stdout");
        let err = self.root.join("stderr");
        command.stdout(std::fs::File::create(&out).unwrap());
        command.stderr(std::fs::File::create(&err).unwrap());
        let mut child = command.spawn().unwrap();
        let end = Instant::now() + HANGS;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > end {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{command:?} hangs");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let read =
            |path: &Utf8Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        Outcome {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap()),
            stdout: read(&out),
            stderr: read(&err),
        }
    }

    /// [`Self::run`] of [`Self::xtask`].
    pub fn attack(&self, args: &[&str]) -> Outcome {
        self.run(&mut self.xtask(args))
    }
}

impl Outcome {
    /// Ended by itself with a documented code, whatever it is: no panic, no abort, no signal.
    #[track_caller]
    pub fn ended(&self) -> &Self {
        assert!(
            matches!(self.code, 0..=5 | 124 | 130) && !self.stderr.contains("panicked at"),
            "{self:?}"
        );
        self
    }

    /// Ended with this code.
    #[track_caller]
    pub fn with(&self, code: i32) -> &Self {
        self.ended();
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Says `text` to people.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "{text:?} in {self:?}"
        );
        self
    }

    /// Nothing in it moves a terminal's cursor, names its window or hides text.
    #[track_caller]
    pub fn is_plain(&self) -> &Self {
        let is_bad = |char: char| {
            (char.is_control() && !matches!(char, '\n' | '\t'))
                || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        };
        let text = format!("{}{}", self.stdout, self.stderr);
        let found = text.chars().find(|char| is_bad(*char));
        assert_eq!(found, None, "{self:?}");
        self
    }
}

fn mode(path: &Utf8Path, bits: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(bits)).unwrap();
}

fn tree_of(path: &Utf8Path) -> Tree {
    let mut tree = Tree::new();
    walk(path, &mut tree);
    tree
}

fn walk(path: &Utf8Path, tree: &mut Tree) {
    let Ok(metadata) = path.symlink_metadata() else {
        return;
    };
    let what = if metadata.is_symlink() {
        format!(
            "-> {}",
            path.read_link_utf8().map(String::from).unwrap_or_default()
        )
    } else if metadata.is_file() && metadata.len() >= 200 {
        // No call sets the time of the last change, and hashing the binary and the test data before
        // and after each case would take most of the time.
        format!(
            "{} bytes, changed at {}.{}",
            metadata.len(),
            metadata.ctime(),
            metadata.ctime_nsec()
        )
    } else if metadata.is_file() {
        // Whole contents: two lines of a difference say more than two sums.
        format!(
            "{:?}",
            String::from_utf8_lossy(&std::fs::read(path).unwrap())
        )
    } else {
        String::new()
    };
    let (bits, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
    tree.insert(path.to_string(), format!("{bits:o} {uid}:{gid} {what}"));
    if metadata.is_dir() {
        for entry in path.read_dir_utf8().unwrap() {
            walk(entry.unwrap().path(), tree);
        }
    }
}

/// The comparison itself is tried: a check that cannot fail proves nothing.
pub const CASES: &[Case] = &[Case {
    name: "a_change_is_seen",
    kind: "the suite itself",
    attack: |stage| {
        let file = stage.others.join("shared/root-secret");
        chown(&file, Some(UID), None).unwrap();
        assert_eq!(stage.changed().len(), 1);
        chown(&file, Some(0), None).unwrap();
        std::fs::write(&file, "other contents").unwrap();
        assert_eq!(stage.changed().len(), 1);
        std::fs::write(&file, "root's, from before").unwrap();
        assert!(stage.changed().is_empty());
        let said = stage.run(stage.program("id").arg("-u"));
        assert_eq!(said.stdout.trim(), stage.identity.uid().to_string());
        // A clock is in no namespace: setting it must fail for everybody in here.
        let clock = stage.run(stage.program("date").args(["-s", "2001-01-01"]));
        assert_eq!(clock.code, 1, "{clock:?}");
        let helper = stage.run(stage.program("sudo").args([
            "-n",
            "-l",
            "--",
            BINARY,
            "internal",
            "root-exec",
        ]));
        assert_eq!(helper.code, 0, "{helper:?}");
        let other = stage.run(stage.program("sudo").args(["-n", "id"]));
        assert_eq!(
            other.code == 0,
            stage.identity == Identity::Root,
            "{other:?}"
        );
    },
}];
