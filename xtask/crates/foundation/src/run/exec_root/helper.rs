//! The helper, as root: opens and checks the binary, starts its init, hands
//! on what is asked and answered, and tidies up when all of it is over. It
//! stays in the host's mounts, so what it removes cannot be a mount of the
//! test's.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::UnshareFlags;

use super::binary::{self, Owner};
use super::init::Start;
use super::{Answer, Ask, Request, is_dangerous, ownership};
use crate::failure::{Because, Exit, Failure, Result};
use crate::run::{Signals, spawn};

/// At most how long a wake-up is overlooked.
const LOOK: Duration = Duration::from_millis(200);
/// A request is far shorter.
const LONGEST: usize = 1 << 20;

/// Serve one request that comes on standard input, a socket.
///
/// # Errors
/// When there is none; all else is answered.
pub fn serve(signals: &'static Signals) -> Result<u8> {
    let _attention = signals.attend();
    let request: Request = read_line()?;
    match prepare(&request).and_then(|binary| carry_out(&request, binary, signals)) {
        Ok(code) => Ok(code),
        Err(failure) => {
            answer(&Answer::refused(failure));
            Ok(Exit::HostNotReady.code())
        }
    }
}

/// One line of standard input, read byte by byte and without a buffer: what
/// follows is not ours to take.
pub(super) fn read_line<T: serde::de::DeserializeOwned>() -> Result<T> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST {
        match rustix::io::read(std::io::stdin(), &mut byte) {
            Ok(1) if byte[0] != b'\n' => line.push(byte[0]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::usage("no request").cause(error)),
            Ok(_) => break,
        }
    }
    serde_json::from_slice(&line).map_err(|error| Failure::usage("not a request").cause(error))
}

/// On the socket that is our standard input; nobody reads when the caller is
/// gone.
pub(super) fn answer(answer: &Answer) {
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    say(&line);
}

fn say(mut bytes: &[u8]) {
    while let Ok(written @ 1..) = rustix::io::write(std::io::stdin(), bytes) {
        bytes = &bytes[written..];
    }
}

/// Whoever asks through sudo is who sudo says; root asks for itself.
fn prepare(request: &Request) -> Result<OwnedFd> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::host("the helper of tests as root is not root"));
    }
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let caller = (number("SUDO_UID"), number("SUDO_GID"));
    if request.uid != 0 && caller != (Some(request.uid), Some(request.gid)) {
        return Err(Failure::host("sudo says that somebody else asks"));
    }
    if let Some((name, _)) = request
        .environment
        .iter()
        .find(|(name, _)| is_dangerous(name))
    {
        return Err(Failure::usage(format!(
            "`{name}` is not given to a test as root"
        )));
    }
    if !request.folder.is_absolute() || !request.folder.is_dir() {
        return Err(Failure::host(format!("no folder `{}`", request.folder)));
    }
    binary::open(&request.binary, owner(request))
}

fn owner(request: &Request) -> Owner {
    Owner {
        uid: request.uid,
        gid: request.gid,
    }
}

fn carry_out(request: &Request, binary: OwnedFd, signals: &Signals) -> Result<u8> {
    // Short: sockets are made below, and their paths must fit 107 bytes. Of
    // others it can be searched, as /tmp can.
    let scratch = tempfile::Builder::new()
        .prefix("xr")
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir_in("/tmp")
        .because(|| "cannot make a folder in `/tmp`".to_owned())?;
    let since = SystemTime::now();
    let (ours, theirs) = UnixStream::pair().because(|| "no socket".to_owned())?;
    let mut child = start(request, &binary, scratch.path(), &ours, theirs)?;
    drop(binary);
    let relayed = relay(&mut child, &ours, signals);
    let status = child
        .wait()
        .because(|| "cannot wait for a test".to_owned())?;
    drop(ours);
    if request.uid != 0 {
        let places = ownership::places(&request.folder, &request.arguments);
        ownership::give_back(&places, owner(request), since);
    }
    relayed?;
    let code = super::super::child::shell_code(status);
    Ok(code)
}

/// The init, in a PID namespace of its own; it makes the others itself.
fn start(
    request: &Request,
    binary: &OwnedFd,
    scratch: &std::path::Path,
    channel: &UnixStream,
    theirs: UnixStream,
) -> Result<Child> {
    let scratch = Utf8Path::from_path(scratch)
        .ok_or_else(|| Failure::host("the folder for temporary files is not UTF-8"))?;
    spawn::leave_namespaces(UnshareFlags::NEWPID).map_err(|error| {
        Failure::host("cannot make a PID namespace for a test")
            .cause(error)
            .hint(
                "in a container: run it with --privileged, or leave these tests out: --sudo never",
            )
    })?;
    // Nothing else is started here that could inherit it.
    rustix::io::fcntl_setfd(binary, rustix::io::FdFlags::empty())
        .because(|| "cannot hand the binary on".to_owned())?;
    let own = spawn::own_executable().because(|| "cannot find our own executable".to_owned())?;
    let mut command = spawn::command(&own.to_string_lossy());
    command
        .args(["internal", "root-init"])
        .env_clear()
        .env("HOME", "/")
        .stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = spawn::spawn(&mut command).because(|| "cannot start a test's init".to_owned())?;
    let start = Start {
        request: request.clone(),
        descriptor: binary.as_raw_fd(),
        scratch: scratch.to_owned(),
    };
    let mut line = serde_json::to_vec(&start).unwrap_or_default();
    line.push(b'\n');
    let mut channel = channel;
    // One that has died already is seen at once.
    let _ = channel.write_all(&line);
    Ok(child)
}

/// Until the init has ended.
fn relay(child: &mut Child, init: &UnixStream, signals: &Signals) -> Result<()> {
    let cannot = || "cannot listen to a test's init".to_owned();
    init.set_nonblocking(true).because(cannot)?;
    let (mut is_asked, mut seen, mut is_open) = (true, 0, true);
    while is_open {
        let stdin = std::io::stdin();
        let wake = signals.fd();
        let mut fds = vec![
            PollFd::new(&wake, PollFlags::IN),
            PollFd::new(init, PollFlags::IN),
        ];
        if is_asked {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        let limit = Timespec::try_from(LOOK).ok();
        let _ = poll(&mut fds, limit.as_ref());
        let has_input = fds.get(2).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        signals.drain();
        let mut buffer = [0; 4096];
        if has_input {
            match rustix::io::read(&stdin, &mut buffer) {
                Ok(0) | Err(_) => {
                    // Our caller is gone: so is the test, and all of its.
                    is_asked = false;
                    let _ = child.kill();
                }
                Ok(read) => drop((&*init).write(&buffer[..read])),
            }
        }
        if signals.count() > seen {
            seen = signals.count();
            let _ = (&*init).write(&[Ask::Interrupt.byte()]);
        }
        match (&*init).read(&mut buffer) {
            Ok(0) => is_open = false,
            Ok(read) => say(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => is_open = false,
        }
    }
    Ok(())
}
