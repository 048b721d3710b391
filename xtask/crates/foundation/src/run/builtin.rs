//! Built-in steps, which would need a shell otherwise.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::Utf8Path;
use rustix::io::Errno;

use super::step::StepContext;
use super::{bridge, image_digests, launch, registries, removal, shut_down, stop};
use crate::ctx::{digests, owned_path};
use crate::failure::{Because, Failure, Result};
use crate::plan::Action;
use crate::record::{files, tree};
use crate::typed;

/// Performs one built-in step as the current user.
pub(super) fn perform(action: &Action, boot_id: &str, context: &StepContext<'_>) -> Result<()> {
    match action {
        Action::Run(_) => Err(Failure::step("a command is not a built-in")),
        Action::WriteFile {
            path,
            contents,
            mode,
        } => files::replace(path, contents.as_bytes(), *mode)
            .because(|| format!("cannot write `{path}`")),
        Action::Require { path, message } => {
            if path.exists() {
                Ok(())
            } else {
                Err(Failure::step(message.clone()))
            }
        }
        Action::RecordImages {
            references,
            metadata,
            tree,
            list,
        } => {
            image_digests::record(references, metadata.as_deref(), tree, list, context.ui);
            Ok(())
        }
        Action::WaitRegistries { registries } => registries::wait(registries, context),
        Action::DeleteManifests { address, manifests } => registries::delete(address, manifests),
        Action::CreateDir { path } => {
            files::create_dir(path).because(|| format!("cannot create `{path}`"))
        }
        // Root removes a user's paths only by `RemoveOwned`, which checks them.
        Action::Remove { path } if context.only_listed => Err(Failure::step(format!(
            "`{path}` was left alone: root removes only paths of clusters and labs"
        ))),
        Action::Remove { path } => {
            files::remove(path).because(|| format!("cannot remove `{path}`"))
        }
        Action::RemoveEmptyDir { path } => {
            remove_empty(path).because(|| format!("cannot remove `{path}`"))
        }
        Action::RemoveOwned { path, owned } => removal::remove(path, *owned, served(context))
            .because(|| format!("`{path}` was left alone")),
        Action::RemoveAllOwned { paths } => paths.iter().try_for_each(|entry| {
            removal::remove(&entry.path, entry.owned, served(context))
                .because(|| format!("`{}` was left alone", entry.path))
        }),
        Action::RemoveFile { path, sha256 } => {
            removal::remove_file(path, sha256).because(|| format!("cannot remove `{path}`"))
        }
        Action::RequireFile { path, sha256 } => {
            removal::require(path, sha256).because(|| format!("cannot go on with `{path}`"))
        }
        Action::RemoveBridge { bridge } => bridge::remove(bridge),
        Action::CopyTree { from, to, except } => {
            tree::replace(from, to, except).because(|| format!("cannot copy `{from}` to `{to}`"))
        }
        Action::CopyFile {
            from, to, sha256, ..
        } => copy(from, to, sha256).because(|| format!("cannot copy `{from}` to `{to}`")),
        Action::RecordDigests {
            root,
            paths,
            except,
            list,
        } => digests::list(root, paths, except)
            .and_then(|text| files::replace(list, text.as_bytes(), 0o644))
            .because(|| format!("cannot write `{list}`")),
        Action::Stop {
            process,
            grace_seconds,
        } => stop::stop(process, boot_id, *grace_seconds, context),
        Action::Launch(launch) => launch::launch(launch, served(context), context),
        Action::ShutDown {
            guests,
            grace_seconds,
        } => shut_down::shut_down(guests, *grace_seconds, context),
        Action::HardReboot {
            node,
            control,
            monitor,
        } => hard_reboot(node, control.as_deref(), monitor),
    }
}

/// The user whose paths may be removed. A helper under sudo works for the user
/// that sudo names.
pub(super) fn served(context: &StepContext<'_>) -> u32 {
    let asked = std::env::var("SUDO_UID")
        .ok()
        .filter(|_| context.only_listed);
    asked
        .and_then(|uid| uid.parse().ok())
        .unwrap_or_else(owned_path::user)
}

fn remove_empty(path: &Utf8Path) -> std::io::Result<()> {
    match rustix::fs::rmdir(path.as_str()) {
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Copies a file that still has the contents that the plan was made for.
fn copy(from: &Utf8Path, to: &Utf8Path, sha256: &str) -> std::io::Result<()> {
    let bytes = crate::files::read(from, crate::files::MEDIUM)?.ok_or(ErrorKind::NotFound)?;
    if owned_path::digest_of(&bytes) != sha256 {
        return Err(std::io::Error::other(
            "it was changed since the plan was made",
        ));
    }
    files::replace(to, &bytes, 0o644)
}

/// The control API needs no root; the monitor works when its port is lost.
fn hard_reboot(node: &str, control: Option<&str>, monitor: &Utf8Path) -> Result<()> {
    let by_control = control.map(|url| {
        if !is_on_this_host(url) {
            return Err(ureq::Error::BadUri(url.to_owned()));
        }
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5)));
        ureq::Agent::from(config.build()).post(url).send_empty()
    });
    let refused = match by_control {
        Some(Ok(_)) => return Ok(()),
        Some(Err(error)) => Some(error.to_string()),
        None => None,
    };
    quit(monitor).map_err(|error| {
        let mut failure = Failure::step(format!("cannot reboot `{node}`"));
        failure
            .causes
            .extend(refused.map(|refused| format!("its control API: {refused}")));
        failure
            .cause(format!("its monitor `{monitor}`: {error}"))
            .hint(typed!("cluster status"))
    })
}

/// A launcher serves its control API on the bridge of its cluster. An address
/// of another host can only come from a forged state file.
fn is_on_this_host(url: &str) -> bool {
    let authority = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next());
    let address = authority.and_then(|text| text.parse::<SocketAddr>().ok());
    address.is_some_and(|address| UdpSocket::bind((address.ip(), 0)).is_ok())
}

/// `q` makes QEMU exit with 0, and its launcher then starts it again. QEMU serves
/// one client at a time: without the timeouts a second client would hang.
fn quit(monitor: &Utf8Path) -> std::io::Result<()> {
    let mut socket = UnixStream::connect(monitor)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    socket.write_all(b"q\n")?;
    // Read until QEMU closes it: QEMU ends while this is connected, perhaps with
    // our line end unread, which counts as a reset.
    let mut rest = [0; 512];
    loop {
        match socket.read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Ok(()),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                    return Err(std::io::Error::other(
                        "no response within 5 s; another client may be connected",
                    ));
                }
                _ => return Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_monitor_that_ends_without_reading_all_has_still_been_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("monitor");
        let listener = UnixListener::bind(&path).unwrap();
        let qemu = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(b"QEMU 7.2.22 monitor\r\n(qemu) ").unwrap();
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            byte[0]
        });
        quit(&path).unwrap();
        assert_eq!(qemu.join().unwrap(), b'q');
    }

    #[test]
    fn control_apis_are_on_this_host() {
        assert!(is_on_this_host("http://127.0.0.1:4000/reboot"));
        for other in [
            "http://192.0.2.1:4000/reboot",
            "http://example.org:4000/reboot",
            "https://127.0.0.1:4000/reboot",
            "http://user@127.0.0.1:4000/",
        ] {
            assert!(!is_on_this_host(other), "{other}");
        }
    }

    #[test]
    fn without_a_monitor_both_ways_are_named() {
        let failure = hard_reboot(
            "n1",
            Some("http://127.0.0.1:1/reboot"),
            Utf8Path::new("/nowhere/m"),
        )
        .unwrap_err();
        let text = failure.to_string();
        assert!(
            text.contains("control API") && text.contains("/nowhere/m"),
            "{text}"
        );
    }
}
