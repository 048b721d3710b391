//! Signs that a log does not hold every record that the kernel made.

use std::collections::BTreeMap;

use memchr::memmem;

/// How records got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossKind {
    /// Talos' auditd could not read fast enough.
    Auditd,
    /// The kernel's queue or its rate limit.
    Kernel,
    /// The kernel's console left messages out.
    Printk,
    /// Serial numbers between two records are missing.
    SerialGap,
    /// The first serial number is not 1: what was before is not in this log.
    Start,
    /// A record ends before its last field.
    Cut,
    /// A record with a header that cannot be read.
    Unreadable,
    /// A line longer than any record.
    LongLine,
    /// No audit record at all.
    Empty,
}

impl LossKind {
    /// A word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auditd => "auditd",
            Self::Kernel => "kernel",
            Self::Printk => "printk",
            Self::SerialGap => "serial-gap",
            Self::Start => "start",
            Self::Cut => "cut",
            Self::Unreadable => "unreadable",
            Self::LongLine => "long-line",
            Self::Empty => "empty",
        }
    }

    /// What it means for the log.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Auditd => "auditd reported that records may be lost",
            Self::Kernel => "the kernel reported lost records",
            Self::Printk => "the kernel's console left messages out",
            Self::SerialGap => "serial numbers between the records are missing",
            Self::Start => "events before the first record of a boot are missing",
            Self::Cut => "records are cut",
            Self::Unreadable => "records cannot be read",
            Self::LongLine => "lines are too long to be read",
            Self::Empty => "the log has no audit records",
        }
    }
}

/// Signs of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub kind: LossKind,
    /// Number of signs.
    pub signs: u64,
    /// Records that are known to be missing; 0 if a sign has no number.
    pub records: u64,
    /// The first line that shows it.
    pub line: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Losses {
    kinds: BTreeMap<LossKind, Loss>,
}

impl Losses {
    pub(super) fn add(&mut self, kind: LossKind, records: u64, line: Option<&[u8]>) {
        let loss = self.kinds.entry(kind).or_insert_with(|| Loss {
            kind,
            signs: 0,
            records: 0,
            line: None,
        });
        loss.signs = loss.signs.saturating_add(1);
        loss.records = loss.records.saturating_add(records);
        if loss.line.is_none() {
            loss.line = line.map(super::excerpt);
        }
    }

    /// `audit_lost=N` counts from the boot on: the highest number is the sum.
    fn add_counter(&mut self, lost: u64, line: &[u8]) {
        self.add(LossKind::Kernel, 0, Some(line));
        if let Some(loss) = self.kinds.get_mut(&LossKind::Kernel) {
            loss.records = loss.records.max(lost);
        }
    }

    /// Looks for a notice in a line without a record. Returns whether it is one.
    pub(super) fn look_at(&mut self, line: &[u8]) -> bool {
        let has = |text: &str| memmem::find(line, text.as_bytes()).is_some();
        if has("callbacks suppressed") || has("messages dropped") || has("message dropped") {
            // Of anything but audit it says nothing about denials.
            if has("audit") || has("messages dropped") || has("message dropped") {
                self.add(LossKind::Printk, suppressed(line), Some(line));
                return true;
            }
            return false;
        }
        if !has("audit") {
            return false;
        }
        if has("some audit events may have been lost") {
            self.add(LossKind::Auditd, 0, Some(line));
            return true;
        }
        if let Some(at) = memmem::find(line, b"audit_lost=") {
            let lost = super::fields::number(&line[at + 11..]).unwrap_or(0);
            if lost > 0 {
                self.add_counter(lost, line);
            }
            return true;
        }
        let is_notice = [
            "backlog limit exceeded",
            "rate limit exceeded",
            "queue overflow",
            "audit_backlog=",
            "audit: out of memory",
            "error in audit_",
        ];
        if is_notice.iter().any(|text| has(text)) {
            self.add(LossKind::Kernel, 0, Some(line));
            return true;
        }
        false
    }

    pub(super) fn into_list(self) -> Vec<Loss> {
        self.kinds.into_values().collect()
    }
}

/// The number before `callbacks suppressed` or `printk messages dropped`.
fn suppressed(line: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_whitespace().rev();
    let numbers = words
        .by_ref()
        .skip_while(|word| !["callbacks", "printk", "messages", "message"].contains(word));
    numbers
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(lines: &[&str]) -> Vec<(LossKind, u64, u64)> {
        let mut losses = Losses::default();
        for line in lines {
            losses.look_at(line.as_bytes());
        }
        let list = losses.into_list();
        list.iter()
            .map(|it| (it.kind, it.signs, it.records))
            .collect()
    }

    #[test]
    fn notices_are_counted_by_kind() {
        let found = kinds(&[
            "audit backlog limit reached, some audit events may have been lost",
            "[ 9.1] audit: rate limit exceeded",
            "[ 9.1] audit: audit_lost=12 audit_rate_limit=4096 audit_backlog_limit=8192",
            "[ 9.2] audit: audit_lost=30 audit_rate_limit=4096 audit_backlog_limit=8192",
            "[ 9.2] audit: kauditd hold queue overflow",
            "[ 9.3] kauditd_printk_skb: 45 callbacks suppressed",
            "** 123 printk messages dropped **",
        ]);
        let expected = [
            (LossKind::Auditd, 1, 0),
            (LossKind::Kernel, 4, 30),
            (LossKind::Printk, 2, 168),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn other_lines_are_not_notices() {
        let found = kinds(&[
            "net_ratelimit: 12 callbacks suppressed",
            "[ 1.0] audit: initializing netlink subsys (disabled)",
            "audit: audit_lost=0 audit_rate_limit=0",
            "[talos] service[auditd](Running): Started",
            "",
        ]);
        assert_eq!(found, []);
    }
}
