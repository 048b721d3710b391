//! The observer itself: tcpdump captures on the cluster's bridge, and what it captures
//! becomes events in a file. The bridge may be made later, and again; the observer ends
//! when its folder is gone.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;
use traffic::{Event, Observer, PcapReader};

use super::readiness::{self, Consoles};
use super::{Observing, READY};
use crate::ctx::network::has_interface;
use crate::ctx::own_files;
use crate::failure::{Because, Failure, Result};
use crate::files;
use crate::record::own;
use crate::record::runs::now_ms;
use crate::run::spawn;
use crate::ui;
use crate::wait::{Wait, Waited};

/// talosctl makes the bridge seconds before the first node sends a packet.
const LOOK: Duration = Duration::from_millis(50);
const LOOK_AT_FOLDER: Duration = Duration::from_secs(1);
/// A longer log is not continued: a node that asks in a loop must not fill the disk.
const LONGEST: u64 = 128 << 20;
/// The end of a capture's diagnostics, such as the number of lost packets.
const DIAGNOSTICS: u64 = 64 << 10;

/// Observes until the folder is gone. Prints a line once it is ready.
///
/// # Errors
/// When the log cannot be written, or tcpdump does not start.
pub fn observe(observing: &Observing) -> Result<()> {
    // A new session: it must not end with the run that starts it.
    let _ = rustix::process::setsid();
    let path = observing.dir.join("observed.jsonl");
    let log = Shared::open(&path)?;
    let dir = observing.dir.clone();
    std::thread::spawn(move || end_with(&dir));
    let consoles = Consoles::new(&observing.consoles);
    let shared = log.clone();
    std::thread::spawn(move || record_ready(consoles, &shared));
    let mut is_announced = false;
    loop {
        if !has_interface(&observing.bridge)? {
            announce(&mut is_announced);
            let wait = Wait::default();
            let look = || Ok::<_, Failure>(has_interface(&observing.bridge)?.then_some(()));
            let (Waited::Found(()) | Waited::TimedOut | Waited::Interrupted) =
                wait.look_every(LOOK, look)?;
        }
        capture(observing, &log, &mut is_announced)?;
    }
}

fn announce(is_announced: &mut bool) {
    if !std::mem::replace(is_announced, true) {
        ui::print(&format!("{READY}\n"));
    }
}

/// Ends this process and its child when the folder is gone.
fn end_with(dir: &Utf8Path) {
    let is_gone = || Ok::<_, Failure>((!dir.is_dir()).then_some(()));
    let waited = Wait::default().look_every(LOOK_AT_FOLDER, is_gone);
    if matches!(waited, Ok(Waited::Found(()))) {
        let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
    }
}

/// Records when nodes become ready, for as long as this process runs.
fn record_ready(mut consoles: Consoles, log: &Shared) {
    let look = || {
        let nodes = consoles.became_ready().into_iter();
        let events: Vec<Event> = nodes
            .map(|node| Event::Ready { at: now_ms(), node })
            .collect();
        if !events.is_empty() {
            log.write(&events)?;
        }
        Ok::<Option<()>, Failure>(None)
    };
    // The capture fails at the same log, and ends the process.
    let _ = Wait::default().look_every(readiness::LOOK, look);
}

/// One capture, until the bridge is gone.
fn capture(observing: &Observing, log: &Shared, is_announced: &mut bool) -> Result<()> {
    let mut command = spawn::command("tcpdump");
    command
        .args(arguments(observing))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child =
        spawn::spawn_here(&mut command).because(|| "cannot start `tcpdump`".to_owned())?;
    let (Some(frames), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::step("tcpdump has no output"));
    };
    let (began, begins) = mpsc::channel();
    let diagnostics = std::thread::spawn(move || read_diagnostics(errors, &began));
    // The sender is dropped when tcpdump ends before it captures.
    let began = begins.recv().is_ok();
    if began {
        log.write(&[Event::Began { at: now_ms() }])?;
        announce(is_announced);
        copy(observing, frames, log)?;
    }
    let _ = child.wait();
    let said = diagnostics.join().unwrap_or_default();
    if began {
        let lost = lost_packets(&said);
        return log.write(&[Event::Ended { at: now_ms(), lost }]);
    }
    if has_interface(&observing.bridge)? {
        return Err(
            Failure::step("tcpdump does not capture").excerpt(said.lines().map(str::to_owned))
        );
    }
    Ok(())
}

/// Not promiscuous: between nodes only what the bridge floods is seen. As root it keeps
/// root, because changing its user would clear the signal that ends it with the observer.
fn arguments(observing: &Observing) -> Vec<String> {
    let mut words: Vec<String> = ["-n", "-p", "-U", "-w", "-", "-i"]
        .map(str::to_owned)
        .into();
    words.push(observing.bridge.clone());
    words.push(format!("-s{}", traffic::SNAPSHOT_LENGTH));
    if rustix::process::geteuid().is_root() {
        words.extend(["-Z", "root"].map(str::to_owned));
    }
    words.push(traffic::filter(observing.cidr, &observing.ports));
    words
}

/// Reports when the capture begins; returns what was printed.
fn read_diagnostics(errors: impl Read, began: &mpsc::Sender<()>) -> String {
    let mut said = String::new();
    let mut lines = BufReader::new(errors.take(DIAGNOSTICS));
    loop {
        let before = said.len();
        match lines.read_line(&mut said) {
            Ok(0) | Err(_) => return said,
            Ok(_) if said[before..].contains("listening on ") => {
                let _ = began.send(());
            }
            Ok(_) => {}
        }
    }
}

/// `12 packets dropped by kernel`
fn lost_packets(said: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        let (count, rest) = line.split_once(' ')?;
        rest.contains("dropped by kernel").then_some(())?;
        count.parse().ok()
    })
}

fn copy(observing: &Observing, frames: impl Read, log: &Shared) -> Result<()> {
    let mut observer = Observer::new(observing.cidr).continuing(log.flows());
    let cannot = || "cannot read what tcpdump captures".to_owned();
    let Ok(mut reader) = PcapReader::new(BufReader::new(frames)) else {
        return Ok(());
    };
    let mut events = Vec::new();
    while let Some(frame) = reader.next_frame().because(cannot)? {
        observer.read(frame.at, &frame.bytes, &mut events);
        log.write(&events)?;
        events.clear();
    }
    Ok(())
}

/// The log of the capture and of the consoles.
#[derive(Clone)]
struct Shared(Arc<Mutex<Log>>);

impl Shared {
    fn open(path: &Utf8Path) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Log::open(path)?))))
    }

    fn write(&self, events: &[Event]) -> Result<()> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.write(events)
    }

    fn flows(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flows
    }
}

/// The file of events, which several captures and observers continue.
struct Log {
    path: Utf8PathBuf,
    file: File,
    length: u64,
    /// The first number of a connection that was not used.
    flows: u64,
}

impl Log {
    fn open(path: &Utf8Path) -> Result<Self> {
        let before =
            own_files::read(path, files::LARGE).because(|| format!("cannot read `{path}`"))?;
        let before = String::from_utf8_lossy(&before.unwrap_or_default()).into_owned();
        let (events, _) = traffic::parse_events(&before);
        let flows = events.iter().filter_map(|event| match event {
            Event::Opened { flow, .. } => Some(flow + 1),
            _ => None,
        });
        let file = own::open(path, OFlags::WRONLY | OFlags::APPEND, 0o600)
            .because(|| format!("cannot write `{path}`"))?;
        let mut log = Self {
            path: path.to_owned(),
            file,
            length: u64::try_from(before.len()).unwrap_or(u64::MAX),
            flows: flows.max().unwrap_or_default(),
        };
        if !before.is_empty() && !before.ends_with('\n') {
            log.append(b"\n")?;
        }
        Ok(log)
    }

    fn write(&mut self, events: &[Event]) -> Result<()> {
        let mut text = Vec::new();
        for event in events {
            if let Event::Opened { flow, .. } = event {
                self.flows = flow + 1;
            }
            serde_json::to_writer(&mut text, event).because(|| "cannot write events".to_owned())?;
            text.push(b'\n');
        }
        self.append(&text)
    }

    fn append(&mut self, text: &[u8]) -> Result<()> {
        self.length += u64::try_from(text.len()).unwrap_or(u64::MAX);
        if self.length > LONGEST {
            return Err(Failure::step(format!(
                "`{}` has reached its limit of {} MiB",
                self.path,
                LONGEST >> 20
            )));
        }
        let path = &self.path;
        self.file
            .write_all(text)
            .because(|| format!("cannot write `{path}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_packets_are_counted_by_tcpdump() {
        let said = "tcpdump: listening on talos1, link-type EN10MB (Ethernet), snapshot length 2048 bytes\n\
            3 packets captured\n4 packets received by filter\n1 packet dropped by kernel\n";
        assert_eq!(lost_packets(said), Some(1));
        assert_eq!(
            lost_packets("tcpdump: talos1: No such device exists\n"),
            None
        );
    }
}
