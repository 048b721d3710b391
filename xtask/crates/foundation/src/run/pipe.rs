//! What comes out of a child, read without waiting and handed on in whole
//! lines.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::retry_on_intr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::spawn;

/// Bytes per read.
const BLOCK: usize = 64 << 10;
/// Blocks read before signals and clocks have their turn.
const TURN: usize = 32;
/// An incomplete line is shown after this: it may be a prompt.
const STALE: Duration = Duration::from_millis(200);

/// This end of a pipe or a terminal; the child's end stays as the child expects
/// it.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    fd: Option<AsyncFd<OwnedFd>>,
    partial: Vec<u8>,
    read_at: Option<Instant>,
}

impl Pipe {
    /// Without a descriptor it is closed from the start.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn new(fd: Option<OwnedFd>) -> std::io::Result<Self> {
        let open = |fd: OwnedFd| -> std::io::Result<_> {
            never_wait(&fd)?;
            spawn::awaitable(fd)
        };
        Ok(Self {
            fd: fd.map(open).transpose()?,
            ..Self::default()
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.fd.is_some()
    }

    /// Ready when there is something to read; never once it is closed.
    pub(super) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        match &self.fd {
            Some(fd) => fd.poll_read_ready(context).map(|_| ()),
            None => Poll::Pending,
        }
    }

    /// Passes on the complete lines, and an incomplete line when it is stale or
    /// the last.
    pub(super) fn read(&mut self, mut sink: impl FnMut(&[u8])) {
        let Some(fd) = &self.fd else { return };
        let mut buffer = vec![0; BLOCK];
        let mut is_open = true;
        // Bounded, so that endless output cannot delay signals.
        for _ in 0..TURN {
            let read = fd.try_io(Interest::READABLE, |fd| {
                Ok(retry_on_intr(|| rustix::io::read(fd, &mut buffer))?)
            });
            match read {
                Ok(read @ 1..) => {
                    self.read_at = Some(Instant::now());
                    whole_lines(&mut self.partial, &buffer[..read], &mut sink);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A terminal whose other end is closed is an error.
                Ok(0) | Err(_) => {
                    is_open = false;
                    break;
                }
            }
        }
        if !is_open {
            self.fd = None;
        }
        if !is_open || self.read_at.is_none_or(|at| at.elapsed() > STALE) {
            self.finish(sink);
        }
    }

    /// Passes on an incomplete line.
    pub(super) fn finish(&mut self, mut sink: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            sink(&self.partial);
            self.partial.clear();
        }
    }
}

pub(super) fn never_wait(fd: &OwnedFd) -> std::io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(
        fd,
        flags | rustix::fs::OFlags::NONBLOCK,
    )?)
}

/// Passes on everything up to the last line end; keeps the rest.
fn whole_lines(partial: &mut Vec<u8>, new: &[u8], sink: &mut impl FnMut(&[u8])) {
    // Progress bars end their lines with a carriage return only.
    let end = new.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    let cut = end.map_or(0, |end| end + 1);
    let (whole, rest) = new.split_at(cut);
    if !whole.is_empty() {
        if partial.is_empty() {
            sink(whole);
        } else {
            partial.extend_from_slice(whole);
            sink(partial);
            partial.clear();
        }
    }
    partial.extend_from_slice(rest);
    if partial.len() > BLOCK {
        sink(partial);
        partial.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_blocks() {
        let text = b"one\ntwo\rthree\nrest";
        for size in 1..text.len() {
            let (mut partial, mut out) = (Vec::new(), Vec::<Vec<u8>>::new());
            for block in text.chunks(size) {
                whole_lines(&mut partial, block, &mut |chunk: &[u8]| {
                    out.push(chunk.to_vec());
                });
            }
            assert!(
                out.iter()
                    .all(|chunk| chunk.ends_with(b"\n") || chunk.ends_with(b"\r")),
                "{out:?}"
            );
            assert_eq!([out.concat(), partial].concat(), text);
        }
    }

    #[test]
    fn a_line_without_end_does_not_grow_in_memory() {
        let (mut partial, mut seen) = (Vec::new(), 0);
        for _ in 0..100 {
            whole_lines(&mut partial, &[b'x'; 10_000], &mut |chunk: &[u8]| {
                seen += chunk.len();
            });
            assert!(partial.len() <= BLOCK);
        }
        assert_eq!(seen + partial.len(), 1_000_000);
    }
}
