//! Bytes from a terminal as keys and clicks.

use super::{Event, Key};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The event, and the number of bytes that it took.
    Event(Event, usize),
    /// Bytes without a meaning, and their number.
    Nothing(usize),
    /// The sequence is not complete.
    More,
}

pub(super) fn parse(input: &[u8]) -> Parsed {
    let key = |key, used| Parsed::Event(Event::Key(key), used);
    match input {
        [] | [0x1b] | [0x1b, b'O'] => Parsed::More,
        [0x1b, b'[', rest @ ..] => sequence(rest),
        [0x1b, b'O', letter, ..] => match arrow(*letter) {
            Some(arrow) => key(arrow, 3),
            None => Parsed::Nothing(3),
        },
        [0x1b, ..] => key(Key::Escape, 1),
        [b'\r' | b'\n', ..] => key(Key::Enter, 1),
        [b'\t', ..] => key(Key::Tab, 1),
        [0x7f | 0x08, ..] => key(Key::Backspace, 1),
        [0x03, ..] => key(Key::CtrlC, 1),
        [0..=0x1f, ..] => Parsed::Nothing(1),
        [first, ..] => {
            let len = match first {
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf7 => 4,
                _ => 1,
            };
            let Some(bytes) = input.get(..len) else {
                return Parsed::More;
            };
            let text = std::str::from_utf8(bytes).ok();
            match text.and_then(|text| text.chars().next()) {
                Some(c) => key(Key::Char(c), len),
                None => Parsed::Nothing(1),
            }
        }
    }
}

fn arrow(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'Z' => Key::BackTab,
        _ => return None,
    })
}

/// After `ESC [`.
fn sequence(rest: &[u8]) -> Parsed {
    let end = rest.iter().position(|c| (0x40..=0x7e).contains(c));
    let Some(end) = end else {
        // Terminals send fewer bytes before the letter.
        return if rest.len() > 32 {
            Parsed::Nothing(rest.len() + 2)
        } else {
            Parsed::More
        };
    };
    let used = end + 3;
    let words = std::str::from_utf8(&rest[..end]).unwrap_or_default();
    let event = match rest[end] {
        letter @ (b'M' | b'm') if words.starts_with('<') => mouse(&words[1..], letter == b'M'),
        b'~' => match words.split(';').next() {
            Some("1" | "7") => Some(Event::Key(Key::Home)),
            Some("4" | "8") => Some(Event::Key(Key::End)),
            Some("5") => Some(Event::Key(Key::PageUp)),
            Some("6") => Some(Event::Key(Key::PageDown)),
            _ => None,
        },
        letter => arrow(letter).map(Event::Key),
    };
    event.map_or(Parsed::Nothing(used), |event| Parsed::Event(event, used))
}

/// `BUTTON;COLUMN;ROW`, from 1.
fn mouse(words: &str, pressed: bool) -> Option<Event> {
    let mut numbers = words.split(';').map(|word| word.parse::<u16>().ok());
    let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let (column, row) = (column.saturating_sub(1), row.saturating_sub(1));
    match button & !0b1_1100 {
        0 if pressed => Some(Event::Click(column, row)),
        2 if pressed => Some(Event::RightClick(column, row)),
        64 => Some(Event::Wheel(-3)),
        65 => Some(Event::Wheel(3)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(mut input: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match parse(input) {
                Parsed::Event(event, used) => {
                    events.push(event);
                    input = &input[used..];
                }
                Parsed::Nothing(used) => input = &input[used..],
                Parsed::More => return events,
            }
        }
    }

    #[test]
    fn keys_and_clicks_are_told_apart() {
        let key = Event::Key;
        assert_eq!(
            events("q\x1b[A\x1bOB\x1b[6~\x1b[1;5C\rä\x7f\x03".as_bytes()),
            [
                key(Key::Char('q')),
                key(Key::Up),
                key(Key::Down),
                key(Key::PageDown),
                key(Key::Right),
                key(Key::Enter),
                key(Key::Char('ä')),
                key(Key::Backspace),
                key(Key::CtrlC),
            ]
        );
        assert_eq!(
            events(b"\x1b[<0;11;5M\x1b[<0;11;5m\x1b[<2;1;1M\x1b[<64;1;1M\x1b[<65;1;1M"),
            [
                Event::Click(10, 4),
                Event::RightClick(0, 0),
                Event::Wheel(-3),
                Event::Wheel(3),
            ]
        );
        // Unknown sequences are skipped as a whole; half a sequence waits.
        assert_eq!(events(b"\x1b[200~x"), [key(Key::Char('x'))]);
        assert_eq!(parse(b"\x1b[<0;1"), Parsed::More);
        assert_eq!(parse(b"\x1b"), Parsed::More);
        assert_eq!(parse(&[0xff, b'x']), Parsed::Nothing(1));
    }
}
