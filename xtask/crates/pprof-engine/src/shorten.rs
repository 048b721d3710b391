//! Function names as `go tool pprof` shows them: parameters and template parameters are
//! removed from names that look like those of C++, as many names of Go generics do
//! (`demangleSingleFunction` of google/pprof). Mangled names stay as they are.

use std::collections::HashMap;

use crate::profile::{Profile, Span, Text};

impl Profile {
    /// Names functions by their system name, unless they have another name already.
    pub(crate) fn shorten_names(&mut self) {
        let mut named: HashMap<Text, Text> = HashMap::new();
        for place in 0..self.functions.len() {
            let function = self.functions[place];
            let system = self.text_bytes(function.system_name);
            let name = self.text_bytes(function.name);
            if !name.is_empty() && name != system {
                continue;
            }
            let text = if let Some(text) = named.get(&function.system_name) {
                *text
            } else {
                let short = shortened(system);
                let text = short.and_then(|short| self.add_text(&short));
                let text = text.unwrap_or(function.system_name);
                named.insert(function.system_name, text);
                text
            };
            self.functions[place].name = text;
        }
    }

    /// `None` if the profile has no room for it.
    fn add_text(&mut self, text: &[u8]) -> Option<Text> {
        let start = self.bytes.len();
        let end = start + text.len();
        u32::try_from(end).ok()?;
        let index = Text::try_from(self.strings.len()).ok()?;
        self.bytes.extend_from_slice(text);
        self.strings.push(Span::new(start, end));
        Some(index)
    }
}

/// `None` if the name stays as it is.
fn shortened(name: &[u8]) -> Option<Vec<u8>> {
    // Without these there is nothing to remove.
    if !name.iter().any(|byte| matches!(byte, b'(' | b'<')) || !looks_like_cpp(name) {
        return None;
    }
    let short = without(name, b'(', b')');
    let short = without(&short, b'<', b'>');
    (short != name).then_some(short)
}

fn looks_like_cpp(name: &[u8]) -> bool {
    let (mut has_mark, mut last) = (false, [0, 0]);
    for byte in name.iter().copied() {
        match (last, byte) {
            // Names of Java such as `class.<init>`, and of methods of Go's generics.
            ([_, b'.'], b'<') | ([b']', b')'], b'.') => return false,
            ([_, b':'], b':') | (_, b'<' | b'>' | b'[' | b']') => has_mark = true,
            _ => {}
        }
        last = [last[1], byte];
    }
    has_mark
}

/// Removes what stands between matching brackets, and the brackets. Stops at the first
/// one that closes nothing.
fn without(name: &[u8], open: u8, close: u8) -> Vec<u8> {
    let mut short = Vec::with_capacity(name.len());
    let (mut depth, mut first) = (0_usize, 0);
    for (at, byte) in name.iter().copied().enumerate() {
        if byte == close && depth == 0 {
            short.extend_from_slice(&name[at..]);
            return short;
        }
        if byte == open {
            if depth == 0 {
                first = short.len();
            }
            depth += 1;
        }
        short.push(byte);
        if byte == close {
            depth -= 1;
            if depth == 0 {
                short.truncate(first);
            }
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(name: &str) -> String {
        let short = shortened(name.as_bytes()).unwrap_or(name.into());
        String::from_utf8(short).unwrap()
    }

    #[test]
    fn parameters_go_as_in_pprof() {
        for (name, expected) in [
            (
                "a/b.f.OnceValue[go.shape.func(*a/b.s, c.V)].func3",
                "a/b.f.OnceValue[go.shape.func].func3",
            ),
            ("a.(*T[...]).M", "a.(*T[...]).M"),
            ("a.(*T).M", "a.(*T).M"),
            ("a.(*T).M.F[...].func1", "a..M.F[...].func1"),
            ("ns::f<int, g<x>>(int (*)(char))", "ns::f"),
            ("ns::f)(x)", "ns::f)(x)"),
            ("ns::f(x))(y)", "ns::f)(y)"),
            ("ns::f(x", "ns::f(x"),
            ("class.<init>(I)", "class.<init>(I)"),
            ("operator<", "operator<"),
            ("", ""),
        ] {
            assert_eq!(short(name), expected, "{name}");
        }
    }
}
