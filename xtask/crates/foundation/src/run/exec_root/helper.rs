//! The helper, as root: checks and copies the binary, starts its init, passes
//! requests and answers on, and cleans up. It stays in the host's mount
//! namespace, so it cannot remove files through a mount of the test.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use rustix::thread::UnshareFlags;
use tempfile::TempDir;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;

use super::init::Start;
use super::outputs::{self, Folder, Output};
use super::owner::Owner;
use super::ownership::{self, Tag};
use super::{Answer, Line, Request, binary, has_dangerous_value, is_dangerous, path, refused};
use crate::ctx::own_executable::own_executable;
use crate::failure::{Because, Exit, Failure, Result};
use crate::run::child::Ask;
use crate::run::{exit_code, spawn};
use crate::signals::{Caught, STOPPING};
use crate::wait::runtime;

/// A request is far shorter.
const LONGEST: usize = 1 << 20;

/// Serves one request from standard input, a socket. Without a request it
/// succeeds, which tests whether sudo allows the helper.
///
/// # Errors
/// When the input is not a request; every other error is an answer.
pub fn serve() -> Result<u8> {
    let Some(request) = read_line()? else {
        return Ok(0);
    };
    // No thread, as ctrlc would start one: it would stay in the namespaces that
    // the init leaves.
    let runtime = runtime()?;
    let caught = {
        let _context = runtime.enter();
        Caught::new(&STOPPING).because(|| "cannot install signal handlers".to_owned())?
    };
    match prepare(request).and_then(|prepared| carry_out(prepared, &runtime, caught)) {
        Ok(code) => Ok(code),
        Err(failure) => {
            answer(&Answer::refused(failure));
            Ok(Exit::HostNotReady.code())
        }
    }
}

/// One line of standard input, read byte by byte: what follows is for another
/// reader. None if the input ends first.
pub(super) fn read_line<T: serde::de::DeserializeOwned>() -> Result<Option<T>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST {
        match rustix::io::read(std::io::stdin(), &mut byte) {
            Ok(1) if byte[0] != b'\n' => line.push(byte[0]),
            Ok(0) if line.is_empty() => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::usage("no request").cause(error)),
            Ok(_) => break,
        }
    }
    serde_json::from_slice(&line)
        .map(Some)
        .map_err(|error| Failure::usage("not a request").cause(error))
}

/// Sends an answer on the socket that is standard input. Errors are ignored: the
/// caller may have exited.
pub(super) fn answer(answer: &Answer) {
    say(&line(&Line::Answer(answer.clone())));
}

fn line(line: &Line) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn say(mut bytes: &[u8]) {
    while let Ok(written @ 1..) = rustix::io::write(std::io::stdin(), bytes) {
        bytes = &bytes[written..];
    }
}

/// A request that has passed all checks.
struct Prepared {
    request: Request,
    owner: Owner,
    binary: OwnedFd,
    outputs: Vec<Output>,
    folders: Vec<Folder>,
}

fn prepare(request: Request) -> Result<Prepared> {
    let owner = Owner::of_caller()?;
    check_words(&request)?;
    path::folder(&request.folder, |_, _| Ok(()))?;
    let folders = outputs::folders(&request.arguments, &request.folder);
    for Folder {
        flag, path: named, ..
    } in &folders
    {
        let folder = path::folder(named, |_, _| Ok(()))?;
        if !ownership::is_owners(&folder, owner) {
            let what = format!("`{named}`, the folder of `{flag}`, belongs to another user");
            return Err(refused(what));
        }
    }
    Ok(Prepared {
        binary: binary::open(&request.binary, owner)?,
        outputs: outputs::files(&request.arguments, &request.folder),
        owner,
        folders,
        request,
    })
}

fn check_words(request: &Request) -> Result<()> {
    for (name, value) in &request.environment {
        if is_dangerous(name) || has_dangerous_value(name, value) {
            return Err(Failure::usage(format!(
                "`{name}` is not given to a test as root"
            )));
        }
    }
    let paths = [request.binary.as_str(), request.folder.as_str()];
    let mut words = request.arguments.iter().map(String::as_str).chain(paths);
    if words.any(|word| word.contains('\0')) {
        return Err(refused("a word of the command has a NUL byte in it"));
    }
    Ok(())
}

fn carry_out(prepared: Prepared, runtime: &Runtime, caught: Caught) -> Result<u8> {
    let Prepared {
        mut request,
        owner,
        binary,
        outputs,
        folders,
    } = prepared;
    let room = Room::make(&request.binary)?;
    binary::copy(&request.binary, binary, room.new_binary()?)?;
    let results = path::folder(&room.results, |_, _| Ok(()))?;
    request.arguments = outputs::redirected(&request.arguments, &outputs, &room.results);
    // Files of a test for root stay root's.
    let tag = if owner.is_root() {
        None
    } else {
        Some(Tag::draw()?)
    };
    let (ours, theirs) = UnixStream::pair().because(|| "no socket".to_owned())?;
    let start = Start {
        request,
        binary: room.binary.clone(),
        scratch: room.scratch.clone(),
        group: tag.map(Tag::group),
    };
    let mut child = start_init(&start, &ours, theirs)?;
    let relayed = runtime.block_on(relay(&mut child, &ours, caught));
    let status = child
        .wait()
        .because(|| "cannot wait for a test".to_owned())?;
    drop(ours);
    for index in 0..outputs.len() {
        hand_on(&results, index);
    }
    if let Some(tag) = tag {
        ownership::give_back(&start.request.folder, None, tag, owner);
        for folder in folders {
            ownership::give_back(&folder.path, folder.only, tag, owner);
        }
    }
    relayed?;
    Ok(exit_code::of(status))
}

/// The folders of one run; only root can write to them.
struct Room {
    _dirs: [TempDir; 2],
    /// HOME and TMPDIR of the test.
    scratch: Utf8PathBuf,
    /// In a folder without other files.
    binary: Utf8PathBuf,
    /// Where the test writes its output files.
    results: Utf8PathBuf,
}

impl Room {
    fn make(binary: &Utf8Path) -> Result<Self> {
        let (scratch, scratch_path) = Self::dir()?;
        let (work, work_path) = Self::dir()?;
        let programs = work_path.join("bin");
        let results = work_path.join("out");
        for dir in [&programs, &results] {
            #[expect(clippy::disallowed_methods, reason = "`run` makes a test's folders")]
            std::fs::create_dir(dir).because(|| format!("cannot create `{dir}`"))?;
        }
        Ok(Self {
            _dirs: [scratch, work],
            scratch: scratch_path,
            binary: programs.join(binary.file_name().unwrap_or("x.test")),
            results,
        })
    }

    /// A short path, since the path of a socket below it must fit into 107 bytes.
    /// Other users can search it, as they can /tmp.
    fn dir() -> Result<(TempDir, Utf8PathBuf)> {
        let dir = tempfile::Builder::new()
            .prefix("xr")
            .permissions(std::fs::Permissions::from_mode(0o711))
            .tempdir_in("/tmp")
            .because(|| "cannot make a folder in `/tmp`".to_owned())?;
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned())
            .map_err(|_| Failure::host("the folder for temporary files is not UTF-8"))?;
        Ok((dir, path))
    }

    #[expect(clippy::disallowed_methods, reason = "`run` copies a test's binary")]
    fn new_binary(&self) -> Result<std::fs::File> {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o555)
            .open(&self.binary)
            .because(|| format!("cannot create `{}`", self.binary))
    }
}

/// Sends an output file to the caller, open for reading, if the test has made it.
fn hand_on(results: &OwnedFd, index: usize) {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(file) = openat(results, outputs::name(index), flags, Mode::empty()) else {
        return;
    };
    let is_plain = fstat(&file).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1
    });
    if !is_plain {
        return;
    }
    let bytes = line(&Line::Output { output: index });
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [file.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let slices = [IoSlice::new(&bytes)];
    let sent = sendmsg(std::io::stdin(), &slices, &mut control, SendFlags::NOSIGNAL);
    if let Ok(sent) = sent {
        say(&bytes[sent..]);
    }
}

/// Starts the init in a new PID namespace; it makes the other namespaces itself.
fn start_init(start: &Start, channel: &UnixStream, theirs: UnixStream) -> Result<Child> {
    spawn::leave_namespaces(UnshareFlags::NEWPID).map_err(|error| {
        Failure::host("cannot make a PID namespace for a test")
            .cause(error)
            .hint(
                "in a container: run it with --privileged, or leave these tests out: --sudo never",
            )
    })?;
    let own = own_executable()?;
    let mut command = spawn::command(own.as_str());
    command
        .args(["internal", "root-init"])
        .env_clear()
        .env("HOME", "/")
        .stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = spawn::spawn(&mut command).because(|| "cannot start a test's init".to_owned())?;
    let mut line = serde_json::to_vec(start).unwrap_or_default();
    line.push(b'\n');
    let mut channel = channel;
    // An init that has died already is noticed at once.
    let _ = channel.write_all(&line);
    Ok(child)
}

/// Passes requests and answers on until the init has ended.
async fn relay(child: &mut Child, init: &UnixStream, mut caught: Caught) -> Result<()> {
    let cannot = || "cannot listen to a test's init".to_owned();
    let answers = socket(init).because(cannot)?;
    let asks = socket(std::io::stdin()).because(cannot)?;
    let mut init = init;
    let mut is_asked = true;
    loop {
        tokio::select! {
            answer = receive(&answers) => match answer {
                Some(bytes) => say(&bytes),
                None => return Ok(()),
            },
            asked = receive(&asks), if is_asked => if let Some(bytes) = asked {
                let _ = init.write(&bytes);
            } else {
                // The caller has exited: end the test and all that it started.
                is_asked = false;
                let _ = child.kill();
            },
            _ = caught.next() => drop(init.write(&[Ask::Interrupt.byte()])),
        }
    }
}

/// A socket to receive from.
///
/// # Errors
/// When it cannot be polled.
pub(super) fn socket(fd: impl AsFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    spawn::awaitable(fd.as_fd().try_clone_to_owned()?)
}

/// The next bytes that come through a socket; none at its end.
pub(super) async fn receive(socket: &AsyncFd<OwnedFd>) -> Option<Vec<u8>> {
    loop {
        let mut buffer = vec![0; 4096];
        let mut ready = socket.readable().await.ok()?;
        let received = ready.try_io(|socket| {
            let flags = RecvFlags::DONTWAIT;
            let (received, _) = retry_on_intr(|| recv(socket, &mut *buffer, flags))?;
            Ok(received)
        });
        match received {
            Ok(Ok(received @ 1..)) => {
                buffer.truncate(received);
                return Some(buffer);
            }
            Ok(_) => return None,
            // A spurious wake-up.
            Err(_) => {}
        }
    }
}
