//! Reads the output of one test binary as events. The grammar is that of
//! cmd/internal/test2json with one difference: a binary that was started with
//! `-test.v=test2json` marks each of its lines with 0x16, so a line without the mark is
//! always output of the test, even if it looks like a result.

use super::{End, Event, What};

/// Begins each line of the testing package, even in the middle of a line.
const MARK: u8 = 0x16;
/// A longer line is passed on in parts; lines of the testing package are
/// shorter.
const LONGEST: usize = 4096;

/// Reads bytes in chunks of any size.
#[derive(Debug, Default)]
pub struct Framer {
    /// The beginning of a line.
    pending: Vec<u8>,
    /// Whether `pending` continues a line that was passed on in part.
    within: bool,
    /// The test that prints at the moment.
    test: Option<String>,
    /// Results that were read, of tests whose subtests' results may follow.
    ends: Vec<(String, End, Option<f64>)>,
    /// The last result of the binary itself.
    last: Option<End>,
}

impl Framer {
    /// Reads `bytes` and passes their events to `see`.
    pub fn feed(&mut self, bytes: &[u8], see: &mut impl FnMut(Event)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            // A mark that is not a line's first byte begins a new line.
            let begins = self.pending.is_empty() && rest[0] == MARK;
            self.within &= !begins;
            let skip = usize::from(begins);
            let cut = rest[skip..]
                .iter()
                .position(|byte| matches!(*byte, b'\n' | MARK))
                .map(|at| at + skip);
            let (part, whole) = match cut {
                Some(at) if rest[at] == b'\n' => (at + 1, true),
                Some(at) => (at, true),
                None => (rest.len(), false),
            };
            self.pending.extend_from_slice(&rest[..part]);
            rest = &rest[part..];
            if whole {
                let line = std::mem::take(&mut self.pending);
                self.line(&line, see);
                self.pending = line;
                self.pending.clear();
                self.within = false;
            } else if self.pending.len() >= LONGEST {
                self.hand_on(see);
            }
        }
    }

    /// Ends the input. Returns the result that the binary printed last.
    pub fn finish(mut self, see: &mut impl FnMut(Event)) -> Option<End> {
        if self.pending.first() == Some(&MARK) && !self.within {
            let line = std::mem::take(&mut self.pending);
            self.line(&line, see);
        } else if !self.pending.is_empty() {
            self.hand_on(see);
        }
        self.settle(0, see);
        self.last
    }

    fn hand_on(&mut self, see: &mut impl FnMut(Event)) {
        let part = std::mem::take(&mut self.pending);
        self.within = true;
        self.output(part, see);
    }

    fn output(&self, bytes: Vec<u8>, see: &mut impl FnMut(Event)) {
        see(Event {
            test: self.test.clone(),
            what: What::Output(bytes),
        });
    }

    fn line(&mut self, line: &[u8], see: &mut impl FnMut(Event)) {
        let marked = !self.within && line.first() == Some(&MARK);
        let text_bytes = &line[usize::from(marked)..];
        if text_bytes.is_empty() {
            return;
        }
        if !marked {
            self.output(text_bytes.to_vec(), see);
            return;
        }
        let text = String::from_utf8_lossy(text_bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        if text == "PASS" || text == "FAIL" || text.starts_with("FAIL\t") {
            self.settle(0, see);
            self.test = None;
            self.last = Some(if text == "PASS" { End::Pass } else { End::Fail });
            return self.output(text_bytes.to_vec(), see);
        }
        // `=== NAME` without a name may lose its blanks.
        if let Some(update) = text.strip_prefix("=== ") {
            let (word, name) = update.split_once(' ').unwrap_or((update, ""));
            if self.update(word, name.trim(), text_bytes, see) {
                return;
            }
        } else if self.report(text, text_bytes, see) {
            return;
        }
        self.output(text_bytes.to_vec(), see);
    }

    /// `=== RUN   Name` and the like. Returns whether it was one.
    fn update(&mut self, word: &str, name: &str, line: &[u8], see: &mut impl FnMut(Event)) -> bool {
        let (name, rest) = match word {
            "ATTR" | "ARTIFACTS" => name.split_once(' ').unwrap_or((name, "")),
            _ => (name, ""),
        };
        let what = match word {
            "RUN" => Some(What::Run),
            "PAUSE" => Some(What::Pause),
            "CONT" => Some(What::Continue),
            "NAME" => None,
            "ARTIFACTS" => Some(What::Attribute("artifacts".to_owned(), rest.to_owned())),
            "ATTR" => {
                let (key, value) = rest.split_once(' ').unwrap_or((rest, ""));
                Some(What::Attribute(key.to_owned(), value.to_owned()))
            }
            _ => return false,
        };
        self.settle(0, see);
        self.test = (!name.is_empty()).then(|| name.to_owned());
        let Some(what) = what else { return true };
        see(Event {
            test: self.test.clone(),
            what,
        });
        self.output(line.to_vec(), see);
        true
    }

    /// `--- PASS: Name (0.00s)`, indented by four for each level of subtests.
    fn report(&mut self, text: &str, line: &[u8], see: &mut impl FnMut(Event)) -> bool {
        let report = text.trim_start_matches("    ");
        let level = (text.len() - report.len()) / 4;
        let ends = [
            ("--- PASS: ", End::Pass),
            ("--- FAIL: ", End::Fail),
            ("--- SKIP: ", End::Skip),
            ("--- BENCH: ", End::Bench),
        ];
        let Some((name, end)) = ends
            .iter()
            .find_map(|(word, end)| Some((report.strip_prefix(word)?, *end)))
        else {
            return false;
        };
        if self.ends.len() < level {
            return false;
        }
        let (name, seconds) = match name.split_once(" (") {
            Some((name, rest)) => (name, rest.trim_end().strip_suffix("s)")),
            None => (name, None),
        };
        self.settle(level, see);
        let name = name.trim().to_owned();
        self.test = Some(name.clone());
        let seconds = seconds.and_then(|text| text.parse().ok());
        self.ends.push((name, end, seconds));
        self.output(line.to_vec(), see);
        // What follows without a mark is printed by no test: the runtime's goroutines of
        // a timeout, a panic in a goroutine that outlives its test, or TestMain.
        self.test = None;
        true
    }

    /// Emits the results that were held back, those of `level` and deeper.
    fn settle(&mut self, level: usize, see: &mut impl FnMut(Event)) {
        while self.ends.len() > level {
            let Some((name, end, seconds)) = self.ends.pop() else {
                return;
            };
            see(Event {
                test: Some(name),
                what: What::End(end, seconds),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(parts: &[&[u8]]) -> Vec<Event> {
        let mut seen = Vec::new();
        let mut framer = Framer::default();
        for part in parts {
            framer.feed(part, &mut |event| seen.push(event));
        }
        framer.finish(&mut |event| seen.push(event));
        seen
    }

    fn ends(events: &[Event]) -> Vec<(String, End)> {
        events
            .iter()
            .filter_map(|event| match event.what {
                What::End(end, _) => Some((event.test.clone()?, end)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_result_in_the_middle_of_a_line_is_a_result() {
        let seen =
            events(&[b"\x16=== RUN   TestA\nno newline\x16--- PASS: TestA (0.25s)\n\x16PASS\n"]);
        assert_eq!(ends(&seen), [("TestA".to_owned(), End::Pass)]);
        assert!(
            seen.iter()
                .any(|event| event.test.as_deref() == Some("TestA")
                    && event.what == What::Output(b"no newline".to_vec()))
        );
        assert!(
            seen.iter()
                .any(|event| event.what == What::End(End::Pass, Some(0.25)))
        );
    }

    #[test]
    fn what_a_test_prints_is_never_a_result() {
        let seen = events(&[
            b"--- FAIL: TestMain (0.00s)\nFAIL\n",
            b"\x16=== RUN   TestA\n--- FAIL: TestB (0.00s)\n=== RUN   TestC\nPASS\n",
            b"\x16--- PASS: TestA (0.00s)\n\x16PASS\n",
        ]);
        assert_eq!(ends(&seen), [("TestA".to_owned(), End::Pass)]);
        let ran: Vec<_> = seen
            .iter()
            .filter(|event| event.what == What::Run)
            .collect();
        assert_eq!(ran.len(), 1);
    }

    #[test]
    fn subtests_end_before_their_parents() {
        let seen = events(&[
            b"\x16=== RUN   TestA\n\x16=== RUN   TestA/b\n\x16=== RUN   TestA/b/c\n",
            b"\x16--- FAIL: TestA (0.00s)\n\x16    --- FAIL: TestA/b (0.00s)\n",
            b"\x16        --- SKIP: TestA/b/c (0.00s)\n\x16FAIL\n",
        ]);
        let names: Vec<String> = ends(&seen).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["TestA/b/c", "TestA/b", "TestA"]);
    }

    #[test]
    fn names_like_events_are_names() {
        let seen = events(&[
            b"\x16=== RUN   TestA\n\x16=== RUN   TestA/---_FAIL:_TestB_(0.00s)\n",
            b"\x16--- PASS: TestA (0.00s)\n\x16    --- PASS: TestA/---_FAIL:_TestB_(0.00s) (0.00s)\n",
        ]);
        assert_eq!(ends(&seen)[0].0, "TestA/---_FAIL:_TestB_(0.00s)");
    }

    #[test]
    fn bytes_one_by_one_are_the_same() {
        let text: &[u8] = b"x\x16=== RUN   TestA\nhalf\x16=== NAME  \n\x16=== PAUSE TestA\n\x16=== CONT  TestA\n    a_test.go:1: \xff\xfe\n\x16--- SKIP: TestA (0.00s)\n\x16PASS\nafter";
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(events(&bytes), events(&[text]));
    }

    #[test]
    fn a_line_without_end_does_not_pile_up() {
        let mut framer = Framer::default();
        let mut longest = 0;
        for _ in 0..1000 {
            framer.feed(&[b'x'; 1000], &mut |event| {
                if let What::Output(part) = event.what {
                    longest = longest.max(part.len());
                }
            });
        }
        assert!((LONGEST..=2 * LONGEST).contains(&longest));
    }
}
