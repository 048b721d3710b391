//! What comes out of a child, read without waiting.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::tee::Tee;

/// Read at once.
const BLOCK: usize = 64 << 10;
/// Blocks read before the signals are looked at again.
const TURN: usize = 32;
/// A line without its end is shown after this: it may be a prompt.
const STALE: Duration = Duration::from_millis(200);

/// Our end of a pipe; the child's stays as the child expects it.
///
/// # Errors
/// The system's.
pub(super) fn never_wait(fd: impl AsFd) -> std::io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    Ok(rustix::fs::fcntl_setfl(
        &fd,
        flags | rustix::fs::OFlags::NONBLOCK,
    )?)
}

/// One output stream of a child.
#[derive(Default)]
pub(super) struct Stream {
    fd: Option<OwnedFd>,
    partial: Vec<u8>,
    read_at: Option<Instant>,
}

impl Stream {
    /// # Errors
    /// The system's.
    pub(super) fn new(fd: Option<impl Into<OwnedFd>>) -> std::io::Result<Self> {
        let fd = fd.map(Into::into);
        if let Some(fd) = &fd {
            never_wait(fd)?;
        }
        Ok(Self {
            fd,
            ..Self::default()
        })
    }

    /// To be polled; none once it is closed.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Take what is there, and at the end what has no line end.
    pub(super) fn read_into(&mut self, tee: &mut Tee<'_>) {
        self.read(|chunk| tee.write(chunk));
    }

    /// As [`Self::read_into`], for the standard output.
    pub(super) fn read_output(&mut self, tee: &mut Tee<'_>) {
        self.read(|chunk| tee.write_output(chunk));
    }

    /// As bytes, for a stream that is no log; at most `limit`.
    pub(super) fn read_to(&mut self, bytes: &mut Vec<u8>, limit: usize) {
        self.read(|chunk| {
            let room = limit.saturating_sub(bytes.len());
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        });
    }

    fn read(&mut self, mut sink: impl FnMut(&[u8])) {
        let Some(fd) = &self.fd else { return };
        let mut buffer = vec![0; BLOCK];
        // Bounded, so that a flood cannot keep us from looking at signals.
        for _ in 0..TURN {
            match rustix::io::read(fd, &mut buffer) {
                Ok(read @ 1..) => {
                    self.read_at = Some(Instant::now());
                    whole_lines(&mut self.partial, &buffer[..read], &mut sink);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Ok(0) | Err(_) => {
                    self.fd = None;
                    break;
                }
            }
        }
        if !self.partial.is_empty()
            && (self.fd.is_none() || self.read_at.is_none_or(|at| at.elapsed() > STALE))
        {
            sink(&self.partial);
            self.partial.clear();
        }
    }

    /// As [`Self::finish`], for the standard output.
    pub(super) fn finish_output(&mut self, tee: &mut Tee<'_>) {
        self.read_output(tee);
        if !self.partial.is_empty() {
            tee.write_output(&self.partial);
            self.partial.clear();
        }
    }

    /// Whatever it still holds is never completed.
    pub(super) fn finish(&mut self, tee: &mut Tee<'_>) {
        self.read_into(tee);
        if !self.partial.is_empty() {
            tee.write(&self.partial);
            self.partial.clear();
        }
    }
}

/// Hand on everything up to the last line end; keep the rest.
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
