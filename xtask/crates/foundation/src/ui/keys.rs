//! Single keys from the terminal while a command waits: no line is needed, nothing is echoed,
//! and Ctrl-C stays a signal. The terminal is as before once this is dropped.

use std::future::pending;
use std::io::{PipeReader, PipeWriter, pipe, stdin};
use std::thread::{Builder, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The terminal at standard input.
#[derive(Debug)]
pub struct Keys {
    before: Termios,
    typed: UnboundedReceiver<char>,
    /// The thread ends when its other end is closed: what is typed later is for others.
    open: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    /// `None` without a terminal, or in the background of one, where a read would stop this
    /// process.
    pub fn open() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        if tcgetpgrp(stdin()).ok()? != getpgrp() {
            return None;
        }
        let (closed, open) = pipe().ok()?;
        let mut single = before.clone();
        single.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        single.special_codes[SpecialCodeIndex::VMIN] = 1;
        single.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before is not meant for what is shown now.
        tcsetattr(stdin(), OptionalActions::Flush, &single).ok()?;
        let (send, typed) = unbounded_channel();
        let mut keys = Self {
            before,
            typed,
            open: Some(open),
            thread: None,
        };
        // A thread, since not every system can wait for a terminal otherwise.
        let thread = Builder::new().name("keys".to_owned());
        keys.thread = Some(thread.spawn(move || read(&closed, &send)).ok()?);
        Some(keys)
    }

    /// Returns the next key; pending without end once the terminal is gone, which a signal
    /// reports.
    pub async fn next(&mut self) -> char {
        match self.typed.recv().await {
            Some(key) => key,
            None => pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.open = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

fn read(closed: &PipeReader, typed: &UnboundedSender<char>) {
    loop {
        let input = stdin();
        let mut both = [
            PollFd::new(closed, PollFlags::IN),
            PollFd::new(&input, PollFlags::IN),
        ];
        match poll(&mut both, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        if !both[0].revents().is_empty() {
            return;
        }
        let mut key = [0];
        match rustix::io::read(&input, &mut key) {
            Ok(1..) if typed.send(key[0].into()).is_ok() => {}
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => return,
        }
    }
}
