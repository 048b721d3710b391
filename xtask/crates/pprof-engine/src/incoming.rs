//! Sums a profile while it inflates. In merged profiles of many nodes labels make many
//! samples of few stacks, so each stack is kept once, with numbers for its samples; the
//! bytes of a sample are dropped once they are read. One thread inflates, this one
//! reads.
//!
//! Only the usual encoding is read this way. For anything unusual or wrong the general
//! reader starts again and reports errors.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::inflate::{Limits, is_text};
use crate::profile::Span;
use crate::samples::{RawLabels, shape};
use crate::stretch::Stretches;
use crate::table::Table;
use crate::wire::quick;

/// Bytes inflated at a time: as many as stay in a core's cache until they are
/// read.
const CHUNK: usize = 1 << 17;
/// Room before them for the beginning of a field that was cut off.
const HEAD: usize = 1 << 16;
/// Maximum number of chunks in flight.
const AHEAD: usize = 4;
/// Maximum number of samples that are held as numbers.
const SAMPLES: usize = 1 << 22;
/// Maximum number of sample types, and of sets of labels.
const WIDTH: usize = 16;
const SETS: usize = 1 << 18;

const TYPE: u8 = 0x0a;
const SAMPLE: u8 = 0x12;

/// A profile in two parts: its samples, and the rest.
pub(crate) struct Incoming {
    /// The other fields as they arrived.
    pub(crate) rest: Vec<u8>,
    /// Stacks and labels, each once.
    pub(crate) arena: Vec<u8>,
    /// Places are in the arena; label sets are not read yet.
    pub(crate) table: Table,
    /// Spans in the arena.
    pub(crate) sets: Vec<Span>,
    /// Number of inflated bytes.
    pub(crate) inflated: u64,
    stacks: Stretches,
    known_sets: Stretches,
}

/// A buffer with inflated bytes from `HEAD` on, and their number; none if inflating
/// failed. Used buffers are sent back.
type Chunk = Option<(Vec<u8>, usize)>;

/// Returns the profile that inflates from `from`, if it has labels and nothing
/// unusual.
pub(crate) fn summed(from: impl Read + Send, limits: Limits) -> Option<Incoming> {
    std::thread::scope(|scope| {
        let (full, chunks) = sync_channel(AHEAD);
        let (spare, used) = sync_channel(AHEAD + 2);
        scope.spawn(move || inflate(from, &full, &used));
        collect(&chunks, &spare, limits)
    })
}

/// Errors are not reported here: the general reader finds them again.
fn inflate(mut from: impl Read, full: &SyncSender<Chunk>, used: &Receiver<Chunk>) {
    loop {
        let mut buffer = match used.try_recv() {
            Ok(Some((buffer, _))) => buffer,
            _ => vec![0; HEAD + CHUNK],
        };
        let mut end = HEAD;
        let mut failed = false;
        while end < buffer.len() {
            match from.read(&mut buffer[end..]) {
                Ok(0) => break,
                Ok(read) => end += read,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        let last = end < buffer.len();
        let chunk = (!failed).then_some((buffer, end - HEAD));
        if full.send(chunk).is_err() || last {
            return;
        }
    }
}

fn collect(
    chunks: &Receiver<Chunk>,
    spare: &SyncSender<Chunk>,
    limits: Limits,
) -> Option<Incoming> {
    let mut incoming = Incoming::new();
    let mut tail: Vec<u8> = Vec::new();
    while let Ok(chunk) = chunks.recv() {
        let (mut buffer, length) = chunk?;
        if incoming.inflated == 0 && is_text(&buffer[HEAD..HEAD + length.min(256)]) {
            return None;
        }
        incoming.inflated += length as u64;
        let start = HEAD.checked_sub(tail.len())?;
        buffer[start..HEAD].copy_from_slice(&tail);
        let window = &buffer[start..HEAD + length];
        let read = incoming.read(window)?;
        tail.clear();
        tail.extend_from_slice(&window[read..]);
        let most = (limits.entries.saturating_mul(4)).min(SAMPLES as u64);
        if incoming.inflated > limits.inflated || incoming.table.len() as u64 > most {
            return None;
        }
        // No thread waits for the buffer any more.
        let _ = spare.try_send(Some((buffer, 0)));
    }
    (tail.is_empty() && incoming.table.len() > 0).then_some(incoming)
}

impl Incoming {
    fn new() -> Self {
        Self {
            rest: Vec::new(),
            arena: Vec::new(),
            table: Table::default(),
            sets: Vec::new(),
            inflated: 0,
            stacks: Stretches::default(),
            known_sets: Stretches::default(),
        }
    }

    /// Reads complete fields; returns where they end. `None` gives up.
    fn read(&mut self, window: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some((payload, end)) = field(window, at) {
            match window[at] {
                SAMPLE => self.sample(&window[payload..end])?,
                tag => {
                    if tag == TYPE {
                        // One more for samples that have been read.
                        if self.table.len() > 0 || self.table.width == WIDTH {
                            return None;
                        }
                        self.table.width += 1;
                    }
                    self.rest.extend_from_slice(&window[at..end]);
                }
            }
            at = end;
        }
        Some(at)
    }

    fn sample(&mut self, bytes: &[u8]) -> Option<()> {
        let table = &mut self.table;
        let from = table.values.len();
        table.values.resize(from + table.width, 0);
        let values = &mut table.values[from..];
        let (raw, got) = shape::raw(bytes, 0, &mut |place, value| {
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        })?;
        let (Some(stack), RawLabels::Wire(labels)) = (raw.stack, raw.labels) else {
            return None;
        };
        // Without labels stacks do not repeat, so summing saves nothing.
        let is_plain = table.places.is_empty() && labels.len == 0;
        if got != table.width || got == 0 || is_plain || self.sets.len() > SETS {
            return None;
        }
        let of = |span: Span| &bytes[span.start as usize..span.end()];
        let place = keep(
            &mut self.stacks,
            &mut self.arena,
            &mut table.stacks,
            of(stack),
        );
        table.places.push(place);
        // Samples of one node are consecutive.
        let last = table.labels.last().copied().filter(|last| {
            let span = self.sets[*last as usize];
            self.arena[span.start as usize..span.end()] == *of(labels)
        });
        let set = last.unwrap_or_else(|| {
            let known = &mut self.known_sets;
            keep(known, &mut self.arena, &mut self.sets, of(labels))
        });
        table.labels.push(set);
        Some(())
    }
}

/// Returns the index of these bytes among those that are kept.
#[inline]
fn keep(known: &mut Stretches, arena: &mut Vec<u8>, list: &mut Vec<Span>, bytes: &[u8]) -> u32 {
    if let Some(place) = known.get(arena, bytes) {
        return place;
    }
    let start = arena.len();
    arena.extend_from_slice(bytes);
    let span = Span::new(start, arena.len());
    let place = u32::try_from(list.len()).unwrap_or(u32::MAX);
    list.push(span);
    known.intern(arena, span, place);
    place
}

/// Start and end of the payload of the field at `at`, if it is complete.
#[inline]
fn field(window: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut payload = at;
    let tag = quick(window, &mut payload)?;
    let end = match tag & 7 {
        0 => {
            let mut end = payload;
            quick(window, &mut end)?;
            end
        }
        2 => {
            let length = quick(window, &mut payload)?;
            payload.checked_add(usize::try_from(length).ok()?)?
        }
        // Fixed width: profile.proto has none.
        _ => return None,
    };
    (end <= window.len()).then_some((payload, end))
}
