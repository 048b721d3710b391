//! Denials by source, target and class, in a bounded number of groups.

use std::hash::{Hash, Hasher};

use hashbrown::{HashTable, hash_table::Entry};
use rustc_hash::FxHasher;

use super::fields::{self, Fields};

/// Groups that are distinguished; the records of others are counted.
const MOST_GROUPS: usize = 4096;
/// Commands, paths and the like that are kept of a group.
const MOST_VALUES: usize = 8;
/// Permissions that are distinguished in a group; a class has at most 32.
const MOST_OPERATIONS: usize = 40;
/// Bytes that are kept of a value.
const LONGEST: usize = 256;

/// The fields of an access vector record.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Avc<'a> {
    pub(super) is_granted: bool,
    /// The record up to its last known field, which is the same on each channel.
    pub(super) text: &'a [u8],
    /// Between the braces.
    pub(super) permissions: &'a [u8],
    pub(super) pid: &'a [u8],
    pub(super) comm: &'a [u8],
    pub(super) exe: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) device: &'a [u8],
    pub(super) inode: &'a [u8],
    pub(super) source: &'a [u8],
    pub(super) target: &'a [u8],
    /// What is on the disk, if the policy does not know it.
    pub(super) raw_source: &'a [u8],
    pub(super) raw_target: &'a [u8],
    pub(super) class: &'a [u8],
    /// Command of an `ioctl`.
    pub(super) command: &'a [u8],
    pub(super) is_permissive: bool,
}

impl<'a> Avc<'a> {
    /// Reads what follows `avc:`; `None` if it is of another module or is cut.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let body = body.trim_ascii_start();
        let whole = body;
        let (is_granted, body) = match body.strip_prefix(b"denied") {
            Some(rest) => (false, rest),
            None => (true, body.strip_prefix(b"granted")?),
        };
        let body = body.trim_ascii_start().strip_prefix(b"{")?;
        let close = memchr::memchr(b'}', body)?;
        let mut avc = Self {
            is_granted,
            permissions: body[..close].trim_ascii(),
            ..Self::default()
        };
        let mut fields = Fields::new(&body[close + 1..]);
        while let Some((key, value)) = fields.next() {
            let field = match key {
                b"pid" => &mut avc.pid,
                b"comm" => &mut avc.comm,
                b"exe" => &mut avc.exe,
                b"path" => &mut avc.path,
                b"name" => &mut avc.name,
                b"dev" => &mut avc.device,
                b"ino" => &mut avc.inode,
                b"scontext" => &mut avc.source,
                b"tcontext" => &mut avc.target,
                b"srawcon" => &mut avc.raw_source,
                b"trawcon" => &mut avc.raw_target,
                b"ioctlcmd" => &mut avc.command,
                b"tclass" => {
                    avc.class = fields::identifier(value);
                    continue;
                }
                b"permissive" => {
                    // JSON may follow in the same field.
                    let end = whole.len() - fields.left() - value.len();
                    avc.text = &whole[..(end + 1).min(whole.len())];
                    avc.is_permissive = matches!(value.first(), Some(b'1' | b'y'));
                    continue;
                }
                _ => continue,
            };
            // Text of another line may repeat a key.
            if field.is_empty() {
                *field = value;
            }
        }
        if avc.text.is_empty() {
            avc.text = whole.trim_ascii_end();
        }
        avc.source = context(avc.source);
        avc.target = context(avc.target);
        (!avc.permissions.is_empty()).then_some(avc)
    }

    pub(super) fn is_complete(&self) -> bool {
        !self.class.is_empty() && is_context(self.source) && is_context(self.target)
    }
}

/// A context ends at a quote: what follows is JSON.
fn context(value: &[u8]) -> &[u8] {
    let value = fields::unquoted(value);
    let end = memchr::memchr(b'"', value);
    &value[..end.unwrap_or(value.len())]
}

fn is_context(value: &[u8]) -> bool {
    memchr::memchr_iter(b':', value).nth(1).is_some()
}

/// When something was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Milliseconds since 1970, or since the start before the clock was set.
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Number of the first line, from 1.
    pub line: u64,
}

impl Seen {
    pub(super) fn add(&mut self, millis: Option<u64>) {
        let Some(millis) = millis else { return };
        self.first = Some(self.first.map_or(millis, |first| first.min(millis)));
        self.last = Some(self.last.map_or(millis, |last| last.max(millis)));
    }
}

/// A permission of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// As the kernel names it, or its bit (`0x800000`) if the policy has no name.
    pub permission: String,
    pub count: u64,
    /// Records that were enforced.
    pub enforced: u64,
    /// The first line with it.
    pub sample: Sample,
}

/// A line of the log that shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub input: String,
    /// From 1.
    pub line: u64,
    pub text: String,
}

/// Records of the same source, target and class.
#[derive(Debug, Clone)]
pub struct Group {
    /// Contexts of the first record.
    pub source: String,
    pub target: String,
    pub class: String,
    pub operations: Vec<Operation>,
    /// Records, and those of them that were enforced.
    pub count: u64,
    pub enforced: u64,
    pub seen: Seen,
    pub commands: Vec<String>,
    pub executables: Vec<String>,
    /// Paths, or names if the record has no path.
    pub paths: Vec<String>,
    pub devices: Vec<String>,
    /// Commands of `ioctl`.
    pub ioctls: Vec<String>,
    /// System calls by number or name.
    pub calls: Vec<String>,
    /// Labels of the objects, by PATH records.
    pub labels: Vec<String>,
    /// Labels on the disk that the policy does not know.
    pub raw_contexts: Vec<String>,
    pub nodes: Vec<String>,
    /// By a program that asks the policy itself (`USER_AVC`).
    pub is_user: bool,
}

/// Other decisions of the policy (`SELINUX_ERR`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextError {
    /// `security_compute_sid` and others.
    pub operation: String,
    /// The contexts and the class, as the record has them.
    pub contexts: Vec<String>,
    pub count: u64,
    pub sample: Sample,
}

/// What was denied.
#[derive(Debug, Default)]
pub struct Denials {
    pub groups: Vec<Group>,
    /// Records of groups beyond the limit.
    pub uncounted: u64,
    pub errors: Vec<ContextError>,
    table: HashTable<usize>,
}

/// What a record adds to its group.
pub(super) struct Origin<'a> {
    pub(super) millis: Option<u64>,
    pub(super) is_interpreted: bool,
    pub(super) is_user: bool,
    pub(super) node: Option<&'a str>,
    pub(super) input: &'a str,
    pub(super) number: u64,
    pub(super) line: &'a [u8],
}

impl Origin<'_> {
    fn sample(&self) -> Sample {
        Sample {
            input: self.input.to_owned(),
            line: self.number,
            text: super::excerpt(self.line),
        }
    }
}

impl Denials {
    /// Returns the group, unless there are too many.
    pub(super) fn add(&mut self, avc: &Avc<'_>, origin: &Origin<'_>) -> Option<usize> {
        let (source, target) = (split(avc.source), split(avc.target));
        // The outcome of a constraint on levels depends on how the two compare.
        let are_equal = source.1 == target.1;
        let levels = if are_equal {
            None
        } else {
            Some((source.1, target.1))
        };
        let key = (source.0, target.0, avc.class, levels, origin.is_user);
        let groups = &mut self.groups;
        let is_same = |at: &usize| {
            let group = &groups[*at];
            if group.source.as_bytes() == avc.source
                && group.target.as_bytes() == avc.target
                && group.class.as_bytes() == avc.class
            {
                return group.is_user == origin.is_user;
            }
            let (s, t) = (
                split(group.source.as_bytes()),
                split(group.target.as_bytes()),
            );
            s.0 == source.0
                && t.0 == target.0
                && group.class.as_bytes() == avc.class
                && group.is_user == origin.is_user
                && if are_equal {
                    s.1 == t.1
                } else {
                    s.1 == source.1 && t.1 == target.1
                }
        };
        let is_full = groups.len() >= MOST_GROUPS;
        let hash_of_group = |at: &usize| group_hash(&groups[*at]);
        let at = match self.table.entry(hash(&key), is_same, hash_of_group) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(_) if is_full => {
                self.uncounted += 1;
                return None;
            }
            Entry::Vacant(entry) => {
                let at = groups.len();
                entry.insert(at);
                groups.push(Group::new(avc, origin));
                at
            }
        };
        self.groups[at].add(avc, origin);
        Some(at)
    }

    /// A decision without an access vector. Returns false if its limit is reached.
    pub(super) fn add_error(&mut self, body: &[u8], origin: &Origin<'_>) {
        let mut operation = String::new();
        let mut contexts = Vec::new();
        for (key, value) in Fields::new(body) {
            match key {
                b"op" => operation = text(value),
                b"scontext" | b"tcontext" | b"oldcontext" | b"newcontext" | b"taskcontext"
                | b"invalid_context" | b"newcon" | b"tclass" => {
                    let key = String::from_utf8_lossy(key).into_owned();
                    contexts.push(format!("{key}={}", text(fields::unquoted(value))));
                }
                _ => {}
            }
        }
        if operation.is_empty() {
            // Before Linux 3.17: `security_compute_sid:  invalid context …`.
            let end = body.iter().position(|byte| *byte == b':').unwrap_or(0);
            operation = text(&body[..end]);
        }
        let is_same = |it: &&mut ContextError| it.operation == operation && it.contexts == contexts;
        if let Some(error) = self.errors.iter_mut().find(is_same) {
            error.count += 1;
        } else if self.errors.len() < MOST_VALUES * MOST_VALUES {
            self.errors.push(ContextError {
                operation,
                contexts,
                count: 1,
                sample: origin.sample(),
            });
        } else {
            self.uncounted += 1;
        }
    }

    pub(super) fn group(&mut self, at: usize) -> Option<&mut Group> {
        self.groups.get_mut(at)
    }

    /// Enforced ones first, then by count.
    pub(super) fn sort(&mut self) {
        self.table.clear();
        self.groups.sort_by(|a, b| {
            let order = |group: &Group| (group.enforced > 0, group.count);
            order(b).cmp(&order(a)).then_with(|| {
                (&a.source, &a.target, &a.class).cmp(&(&b.source, &b.target, &b.class))
            })
        });
        for group in &mut self.groups {
            group
                .operations
                .sort_by(|a, b| a.permission.cmp(&b.permission));
        }
    }
}

type Key<'a> = (
    &'a [u8],
    &'a [u8],
    &'a [u8],
    Option<(&'a [u8], &'a [u8])>,
    bool,
);

fn hash(key: &Key<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

fn group_hash(group: &Group) -> u64 {
    let (source, target) = (
        split(group.source.as_bytes()),
        split(group.target.as_bytes()),
    );
    let levels = (source.1 != target.1).then_some((source.1, target.1));
    hash(&(
        source.0,
        target.0,
        group.class.as_bytes(),
        levels,
        group.is_user,
    ))
}

/// `user:role:type` and the range.
fn split(context: &[u8]) -> (&[u8], &[u8]) {
    let mut colons = memchr::memchr_iter(b':', context);
    match colons.nth(2) {
        Some(at) => (&context[..at], &context[at + 1..]),
        None => (context, b""),
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(LONGEST)]).into_owned()
}

impl Group {
    fn new(avc: &Avc<'_>, origin: &Origin<'_>) -> Self {
        Self {
            source: text(avc.source),
            target: text(avc.target),
            class: text(avc.class),
            operations: Vec::new(),
            count: 0,
            enforced: 0,
            seen: Seen {
                line: origin.number,
                ..Seen::default()
            },
            commands: Vec::new(),
            executables: Vec::new(),
            paths: Vec::new(),
            devices: Vec::new(),
            ioctls: Vec::new(),
            calls: Vec::new(),
            labels: Vec::new(),
            raw_contexts: Vec::new(),
            nodes: Vec::new(),
            is_user: origin.is_user,
        }
    }

    /// The names of its permissions.
    pub fn permissions(&self) -> Vec<&str> {
        let names = self.operations.iter();
        names.map(|it| it.permission.as_str()).collect()
    }

    fn add(&mut self, avc: &Avc<'_>, origin: &Origin<'_>) {
        let enforced = u64::from(!avc.is_permissive);
        self.count += 1;
        self.enforced += enforced;
        self.seen.add(origin.millis);
        for name in avc.permissions.split(u8::is_ascii_whitespace) {
            if name.is_empty() {
                continue;
            }
            let known = self
                .operations
                .iter_mut()
                .find(|it| it.permission.as_bytes() == name);
            if let Some(operation) = known {
                operation.count += 1;
                operation.enforced += enforced;
            } else if self.operations.len() < MOST_OPERATIONS {
                self.operations.push(Operation {
                    permission: text(name),
                    count: 1,
                    enforced,
                    sample: origin.sample(),
                });
            }
        }
        let raw = origin.is_interpreted;
        keep(&mut self.commands, avc.comm, raw);
        keep(&mut self.executables, avc.exe, raw);
        let path = if avc.path.is_empty() {
            avc.name
        } else {
            avc.path
        };
        keep(&mut self.paths, path, raw);
        keep_plain(&mut self.devices, avc.device);
        keep_plain(&mut self.ioctls, avc.command);
        keep_plain(&mut self.raw_contexts, avc.raw_source);
        keep_plain(&mut self.raw_contexts, avc.raw_target);
        if let Some(node) = origin.node {
            keep_text(&mut self.nodes, node);
        }
    }

    /// Adds what SYSCALL, PATH and the like say of the same event.
    pub(super) fn join(&mut self, body: &[u8], is_interpreted: bool) {
        for (key, value) in Fields::new(body) {
            let list = match key {
                b"exe" => &mut self.executables,
                b"comm" => &mut self.commands,
                b"name" if value != b"(null)" => &mut self.paths,
                b"syscall" | b"uring_op" => {
                    keep_plain(&mut self.calls, value);
                    continue;
                }
                b"obj" => {
                    keep_plain(&mut self.labels, value);
                    continue;
                }
                _ => continue,
            };
            keep(list, value, is_interpreted);
        }
    }
}

fn keep_plain(list: &mut Vec<String>, value: &[u8]) {
    let value = fields::unquoted(value);
    if !value.is_empty() && list.len() < MOST_VALUES {
        keep_text(list, &text(value));
    }
}

/// Keeps a value that may be in hexadecimal digits.
fn keep(list: &mut Vec<String>, value: &[u8], is_interpreted: bool) {
    if value.is_empty() || list.len() >= MOST_VALUES {
        return;
    }
    // Most values are known.
    let plain = fields::unquoted(value);
    if list.iter().any(|known| known.as_bytes() == plain) {
        return;
    }
    let value = fields::untrusted(value, is_interpreted);
    keep_text(list, &text(&value));
}

fn keep_text(list: &mut Vec<String>, value: &str) {
    if list.len() < MOST_VALUES && !list.iter().any(|known| known == value) {
        list.push(value.to_owned());
    }
}
