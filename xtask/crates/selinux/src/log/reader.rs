//! The stream: lines to records, records to groups.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use memchr::{memchr, memmem};
use rustc_hash::FxHasher;

use super::boots::Boots;
use super::denial::{Avc, Denials, Origin};
use super::header::{Found, HEADER, Kind, Stamp, prefix, records};
use super::loss::{Loss, LossKind, Losses};

/// A line longer than this is read up to here.
const LONGEST_LINE: usize = 64 << 10;
/// Records that are known to have been counted, for logs of several channels.
const MOST_KNOWN: usize = 1_800_000;
/// Events that a later record can still belong to.
const RECENT: usize = 256;
/// Bytes of a record that waits for its event.
const LONGEST_WAITING: usize = 4096;
/// Lines over which a record may be spread.
const MOST_PIECES: usize = 4;
/// Nodes that are distinguished.
const MOST_NODES: usize = 256;

/// Reads logs in pieces of any size.
#[derive(Debug)]
pub struct Reader {
    denials: Denials,
    losses: Losses,
    summary: Summary,
    nodes: Vec<Node>,
    /// The node that the caller named for this input.
    named: Option<usize>,
    input: String,
    number: u64,
    /// A line without its end.
    rest: Vec<u8>,
    is_too_long: bool,
    known: HashTable<u64>,
    recent: VecDeque<Recent>,
    waiting: VecDeque<Waiting>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Node {
    name: String,
    boots: Boots,
}

/// An event whose denial is counted.
#[derive(Debug)]
struct Recent {
    event: u64,
    group: usize,
}

/// A record of an event whose denial was not read yet.
#[derive(Debug)]
struct Waiting {
    event: u64,
    body: Vec<u8>,
    is_interpreted: bool,
}

/// A denial that ends before its last field: the next lines may have it.
#[derive(Debug)]
struct Open {
    text: Vec<u8>,
    number: u64,
    pieces: usize,
    /// Whether the rest of its line was in it.
    is_continued: bool,
}

/// What a log holds besides denials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub lines: u64,
    /// Audit records of any type.
    pub records: u64,
    /// Denials, without duplicates.
    pub denials: u64,
    pub granted: u64,
    /// Records of these types by other security modules.
    pub others: u64,
    /// The same record on another channel.
    pub duplicates: u64,
    pub boots: u64,
    pub nodes: Vec<String>,
    /// Signs that records are missing.
    pub losses: Vec<Loss>,
}

impl Summary {
    /// Whether every record that the kernel made is in the log.
    pub fn is_complete(&self) -> bool {
        self.losses.is_empty()
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    pub fn new() -> Self {
        Self {
            denials: Denials::default(),
            losses: Losses::default(),
            summary: Summary::default(),
            nodes: Vec::new(),
            named: None,
            input: String::new(),
            number: 0,
            rest: Vec::new(),
            is_too_long: false,
            known: HashTable::new(),
            recent: VecDeque::new(),
            waiting: VecDeque::new(),
            open: None,
        }
    }

    /// Begins another log, whose lines are of `node` if it is named.
    pub fn begin(&mut self, input: &str, node: Option<&str>) {
        self.end_input();
        input.clone_into(&mut self.input);
        self.number = 0;
        for node in &mut self.nodes {
            node.boots.begin_input();
        }
        self.named = node.map(|node| self.node(node.as_bytes()));
    }

    /// Reads a piece of the log.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.rest.is_empty() && !self.is_too_long && end <= LONGEST_LINE {
                self.line(&bytes[..end]);
            } else {
                self.hold(&bytes[..end]);
                self.end_line();
            }
            bytes = &bytes[end + 1..];
        }
        self.hold(bytes);
    }

    /// Ends the log; returns what it holds.
    pub fn finish(mut self) -> (Denials, Summary) {
        self.end_input();
        let summary = self.summary();
        self.denials.sort();
        (self.denials, summary)
    }

    /// Returns what was denied so far, in the order in which it was first read.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// Returns what the log holds so far.
    pub fn summary(&self) -> Summary {
        let mut losses = self.losses.clone();
        for node in &self.nodes {
            for missing in node.boots.missing() {
                if missing.before > 0 {
                    losses.add(LossKind::Start, missing.before, None);
                }
                for gap in 0..missing.gaps {
                    let records = if gap == 0 { missing.within } else { 0 };
                    losses.add(LossKind::SerialGap, records, None);
                }
            }
        }
        if self.summary.records == 0 {
            losses.add(LossKind::Empty, 0, None);
        }
        let boots = self.nodes.iter().map(|node| node.boots.count() as u64);
        let names = self.nodes.iter().map(|node| node.name.clone());
        Summary {
            boots: boots.sum(),
            nodes: names.filter(|name| !name.is_empty()).collect(),
            losses: losses.into_list(),
            ..self.summary.clone()
        }
    }

    /// Whether a record that was read is recognised when it is read again: the memory for
    /// it is limited.
    pub fn recognises_duplicates(&self) -> bool {
        self.known.len() < MOST_KNOWN
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.rest.len());
        self.rest.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.is_too_long |= bytes.len() > room;
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.rest);
        if std::mem::take(&mut self.is_too_long) && memmem::find(&line, b"audit").is_some() {
            self.losses.add(LossKind::LongLine, 0, Some(&line));
        }
        self.line(&line);
        self.rest = line;
        self.rest.clear();
    }

    fn end_input(&mut self) {
        if !self.rest.is_empty() {
            let is_cut = ends_in_last_field(&self.rest);
            if is_cut {
                self.losses.add(LossKind::Cut, 1, Some(&self.rest));
                self.rest.clear();
                self.is_too_long = false;
            } else {
                self.end_line();
            }
        }
        self.close();
        self.recent.clear();
        self.waiting.clear();
    }

    fn line(&mut self, line: &[u8]) {
        self.number += 1;
        self.summary.lines += 1;
        let has_records = HEADER.find(line).is_some() || memmem::find(line, b"avc:").is_some();
        if !has_records {
            self.other_line(line);
            return;
        }
        // A record that begins ends the one that waited.
        self.close();
        match cleaned(line) {
            Some(clean) => self.records_of(&clean),
            None => self.records_of(line),
        }
    }

    /// A line without a record: a notice of loss, or the rest of a record.
    fn other_line(&mut self, line: &[u8]) {
        if self.losses.look_at(line) {
            return;
        }
        if self.open.is_none() {
            let has = |text: &str| memmem::find(line, text.as_bytes()).is_some();
            if has("scontext=") && has("tclass=") {
                self.losses.add(LossKind::Cut, 1, Some(line));
            }
            return;
        }
        let clean = cleaned(line);
        let Some(mut open) = self.open.take() else {
            return;
        };
        let line = clean.as_deref().unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A paste breaks lines at blanks or within words.
        let candidates = [
            [&open.text[..], line].concat(),
            [&open.text[..], b" ", line].concat(),
            [&open.text[..], line.trim_ascii_start()].concat(),
        ];
        let complete = candidates.iter().find(|text| is_complete(text));
        if let Some(text) = complete {
            let text = text.clone();
            let number = std::mem::replace(&mut self.number, open.number);
            self.records_of(&text);
            self.number = number;
            return;
        }
        open.pieces += 1;
        if open.pieces >= MOST_PIECES || open.text.len() > LONGEST_WAITING {
            self.open = Some(open);
            self.close();
            return;
        }
        // A line of another program may stand within the record.
        if memmem::find(line, b"=").is_some() || open.is_continued {
            let glued = [&open.text[..], b" ", line].concat();
            open.text = without_backslash(&glued);
            open.is_continued = ends_with_backslash(&glued);
        }
        self.open = Some(open);
    }

    /// Ends the record that waited for its last field. Old kernels write none after
    /// the class.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.pieces > 0 && has_class(&open.text) {
            let number = std::mem::replace(&mut self.number, open.number);
            self.records_of(&open.text);
            self.number = number;
        } else {
            self.losses.add(LossKind::Cut, 1, Some(&open.text));
        }
    }

    fn records_of(&mut self, line: &[u8]) {
        let mut node = self.named;
        if !line.starts_with(b"type=") {
            let prefix = prefix(line);
            if node.is_none() {
                node = prefix.node.map(|name| self.node(name));
            }
            if let Some(micros) = prefix.since_start {
                let at = node.unwrap_or_else(|| self.node(b""));
                self.nodes[at].boots.since_start(micros);
            }
        }
        let node = node.unwrap_or_else(|| self.node(b""));
        records(line, &mut |found| self.record(line, node, &found));
    }

    fn node(&mut self, name: &[u8]) -> usize {
        if let Some(at) = self
            .nodes
            .iter()
            .position(|node| node.name.as_bytes() == name)
        {
            return at;
        }
        if self.nodes.len() >= MOST_NODES {
            return MOST_NODES - 1;
        }
        self.nodes.push(Node {
            name: String::from_utf8_lossy(name).into_owned(),
            boots: Boots::default(),
        });
        self.nodes.len() - 1
    }

    fn record(&mut self, line: &[u8], node: usize, found: &Found<'_>) {
        match found.kind {
            Kind::Avc | Kind::UserAvc => self.access_vector(line, node, found),
            Kind::SelinuxErr => {
                if self.is_known(node, found.stamp.as_ref(), |hasher| {
                    found.body.trim_ascii().hash(hasher);
                }) {
                    return;
                }
                self.note(node, found.stamp.as_ref());
                let origin = Origin {
                    millis: found.stamp.and_then(|stamp| stamp.millis),
                    is_interpreted: false,
                    is_user: false,
                    node: None,
                    input: &self.input,
                    number: self.number,
                    line,
                };
                self.denials.add_error(found.body, &origin);
            }
            Kind::Syscall | Kind::Path | Kind::Cwd | Kind::Proctitle => {
                self.note(node, found.stamp.as_ref());
                self.side_record(node, found);
            }
            Kind::Other => self.note(node, found.stamp.as_ref()),
        }
    }

    fn note(&mut self, node: usize, stamp: Option<&Stamp<'_>>) {
        self.summary.records += 1;
        if let Some(stamp) = stamp
            && let Some(millis) = stamp.millis
        {
            self.nodes[node].boots.add(millis, stamp.serial);
        }
    }

    fn access_vector(&mut self, line: &[u8], node: usize, found: &Found<'_>) {
        let stamp = found.stamp.as_ref();
        let starts = found.body.starts_with(b"avc:").then_some(0);
        let Some(at) = starts.or_else(|| memmem::find(found.body, b"avc:")) else {
            self.note(node, stamp);
            if memmem::find(found.body, b"apparmor=").is_some() || found.kind == Kind::UserAvc {
                self.summary.others += 1;
            } else {
                self.losses.add(LossKind::Unreadable, 1, Some(line));
            }
            return;
        };
        let body = &found.body[at + 4..];
        let avc = Avc::read(body);
        let Some(avc) = avc.filter(Avc::is_complete) else {
            if is_message(body) {
                self.note(node, stamp);
                self.summary.others += 1;
                return;
            }
            // Its number was seen, even if the rest is missing.
            if let Some(stamp) = stamp
                && let Some(millis) = stamp.millis
            {
                self.nodes[node].boots.add(millis, stamp.serial);
            }
            self.summary.records += 1;
            self.open = Some(Open {
                text: without_backslash(line),
                number: self.number,
                pieces: 0,
                is_continued: ends_with_backslash(line),
            });
            return;
        };
        if self.is_known(node, stamp, |hasher| avc.text.hash(hasher)) {
            return;
        }
        self.note(node, stamp);
        if avc.is_granted {
            self.summary.granted += 1;
            return;
        }
        self.summary.denials += 1;
        let is_interpreted = stamp.is_some_and(|stamp| stamp.is_interpreted);
        let name = Some(self.nodes[node].name.as_str()).filter(|name| !name.is_empty());
        let origin = Origin {
            millis: stamp.and_then(|stamp| stamp.millis),
            is_interpreted,
            is_user: found.kind == Kind::UserAvc,
            node: name,
            input: &self.input,
            number: self.number,
            line,
        };
        let group = self.denials.add(&avc, &origin);
        if let (Some(group), Some(stamp)) = (group, stamp) {
            self.join(node, stamp, group);
        }
    }

    /// Whether the record was counted before.
    fn is_known(
        &mut self,
        node: usize,
        stamp: Option<&Stamp<'_>>,
        hash_rest: impl FnOnce(&mut FxHasher),
    ) -> bool {
        let Some(stamp) = stamp else { return false };
        let mut hasher = FxHasher::default();
        node.hash(&mut hasher);
        stamp.text.hash(&mut hasher);
        hash_rest(&mut hasher);
        let hash = hasher.finish();
        if self.known.find(hash, |known| *known == hash).is_some() {
            self.summary.duplicates += 1;
            return true;
        }
        if self.known.len() < MOST_KNOWN {
            self.known.insert_unique(hash, hash, |known| *known);
        }
        false
    }

    fn side_record(&mut self, node: usize, found: &Found<'_>) {
        let Some(stamp) = &found.stamp else { return };
        let event = event(node, stamp);
        let mut is_joined = false;
        for recent in self.recent.iter().filter(|recent| recent.event == event) {
            if let Some(group) = self.denials.group(recent.group) {
                group.join(found.body, stamp.is_interpreted);
                is_joined = true;
            }
        }
        if is_joined || found.kind == Kind::Proctitle {
            return;
        }
        if self.waiting.len() >= RECENT {
            self.waiting.pop_front();
        }
        let end = found.body.len().min(LONGEST_WAITING);
        self.waiting.push_back(Waiting {
            event,
            body: found.body[..end].to_owned(),
            is_interpreted: stamp.is_interpreted,
        });
    }

    fn join(&mut self, node: usize, stamp: &Stamp<'_>, group: usize) {
        let event = event(node, stamp);
        for waiting in self.waiting.iter().filter(|waiting| waiting.event == event) {
            if let Some(group) = self.denials.group(group) {
                group.join(&waiting.body, waiting.is_interpreted);
            }
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { event, group });
    }
}

fn event(node: usize, stamp: &Stamp<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    node.hash(&mut hasher);
    stamp.text.hash(&mut hasher);
    hasher.finish()
}

/// `avc:  received policyload notice` and the like.
fn is_message(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    !body.is_empty()
        && !b"denied".starts_with(body)
        && !b"granted".starts_with(body)
        && !body.starts_with(b"denied")
        && !body.starts_with(b"granted")
}

fn is_complete(text: &[u8]) -> bool {
    has_class(text) && memmem::find(text, b"permissive=").is_some()
}

fn has_class(text: &[u8]) -> bool {
    memmem::find(text, b"avc:")
        .and_then(|at| Avc::read(&text[at + 4..]))
        .is_some_and(|avc| avc.is_complete())
}

/// Whether a line without its end stops within the class or before the decision of a
/// denial, so that neither is known.
fn ends_in_last_field(line: &[u8]) -> bool {
    if memmem::find(line, b"avc:").is_none() {
        return false;
    }
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or(line);
    last.starts_with(b"tclass=") || last == b"permissive="
}

fn ends_with_backslash(line: &[u8]) -> bool {
    line.trim_ascii_end().ends_with(b"\\")
}

fn without_backslash(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.trim_ascii_end().strip_suffix(b"\\") {
        Some(line) => line.to_owned(),
        None => line.to_owned(),
    }
}

/// The line without terminal sequences, NUL and JSON's escapes; `None` if it has none.
fn cleaned(line: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr3(0x1b, 0, b'\\', line)?;
    let is_json =
        line.trim_ascii_start().starts_with(b"{") || memmem::find(line, b"\\\"").is_some();
    if !is_json && memchr::memchr2(0x1b, 0, line).is_none() {
        return None;
    }
    let mut out = Vec::with_capacity(line.len());
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            0 => {}
            0x1b => {
                at = end_of_sequence(line, at);
                continue;
            }
            b'\\' if is_json => {
                let (byte, end) = json_escape(line, at);
                out.push(byte);
                at = end;
                continue;
            }
            byte => out.push(*byte),
        }
        at += 1;
    }
    Some(out)
}

/// The end of `ESC [ … m` or of another escape sequence.
fn end_of_sequence(line: &[u8], at: usize) -> usize {
    if line.get(at + 1) != Some(&b'[') {
        return at + 1;
    }
    let rest = &line[at + 2..];
    let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte));
    // A sequence that is not closed must not hide the rest of the line.
    end.filter(|end| *end < 16)
        .map_or(at + 2, |end| at + 3 + end)
}

fn json_escape(line: &[u8], at: usize) -> (u8, usize) {
    match line.get(at + 1) {
        Some(b'n' | b'r' | b't') => (b' ', at + 2),
        Some(b'u') => {
            let digits = line.get(at + 2..at + 6);
            let code = digits
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u32::from_str_radix(digits, 16).ok());
            match code.and_then(|code| u8::try_from(code).ok()) {
                Some(byte @ 0x1d..=0x7e) => (byte, at + 6),
                _ => (b' ', at + 6),
            }
        }
        Some(byte) => (*byte, at + 2),
        None => (b'\\', at + 1),
    }
}
