//! Slots: values that are only known while running, as a number between two
//! private-use characters.

/// Opens a slot. Makefiles that contain this character are refused.
pub(crate) const OPEN: char = '\u{f500}';
pub(crate) const CLOSE: char = '\u{f501}';
/// Stands for `$(MAKE)` until it is known whether a shell will see it.
pub(crate) const MAKE: char = '\u{f502}';
/// Stands for bytes of a file that are not UTF-8.
pub(crate) const BYTES: char = '\u{f503}';

/// The characters that only this crate may make.
pub(crate) const RESERVED: [char; 4] = [OPEN, CLOSE, MAKE, BYTES];

/// A piece of a text that may have slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    Text(&'a str),
    /// Index into [`crate::Planned::captures`].
    Slot(usize),
}

/// The text of a slot. A number of [`crate::Planned::captures`], or one that the caller
/// fills itself.
pub fn marker(slot: usize) -> String {
    format!("{OPEN}{slot}{CLOSE}")
}

/// Whether `text` has a slot.
pub fn contains(text: &str) -> bool {
    text.contains(OPEN)
}

/// Whether `text` has a character that only this crate may make.
pub(crate) fn is_reserved(text: &str) -> bool {
    text.contains(RESERVED)
}

/// `text` in pieces, in order.
pub fn segments(text: &str) -> Vec<Segment<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((number, tail)) = after.split_once(CLOSE) else {
            break;
        };
        if !before.is_empty() {
            out.push(Segment::Text(before));
        }
        out.extend(number.parse().ok().map(Segment::Slot));
        rest = tail;
    }
    if !rest.is_empty() {
        out.push(Segment::Text(rest));
    }
    out
}

/// Replaces each slot in `text` by its `value`.
pub fn fill<S: AsRef<str>>(text: &str, mut value: impl FnMut(usize) -> S) -> String {
    segments(text)
        .into_iter()
        .fold(String::with_capacity(text.len()), |mut out, segment| {
            match segment {
                Segment::Text(text) => out.push_str(text),
                Segment::Slot(slot) => out.push_str(value(slot).as_ref()),
            }
            out
        })
}

/// The first slot of `text`.
pub(crate) fn first(text: &str) -> Option<usize> {
    segments(text)
        .into_iter()
        .find_map(|segment| match segment {
            Segment::Slot(slot) => Some(slot),
            Segment::Text(_) => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_and_filled() {
        let text = format!("a{}b{}", marker(0), marker(12));
        assert_eq!(
            segments(&text),
            [
                Segment::Text("a"),
                Segment::Slot(0),
                Segment::Text("b"),
                Segment::Slot(12)
            ]
        );
        assert_eq!(fill(&text, |slot| format!("<{slot}>")), "a<0>b<12>");
    }
}
