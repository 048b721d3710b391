//! Keywords, and the values of literals.

pub(crate) fn is_keyword(word: &str) -> bool {
    // Length or first letter exclude most words.
    let may_be = matches!(word.len(), 2..=11)
        && matches!(word.as_bytes()[0], b'b'..=b'g' | b'i' | b'm' | b'p' | b'r'..=b't' | b'v');
    may_be
        && matches!(
            word,
            "break"
                | "case"
                | "chan"
                | "const"
                | "continue"
                | "default"
                | "defer"
                | "else"
                | "fallthrough"
                | "for"
                | "func"
                | "go"
                | "goto"
                | "if"
                | "import"
                | "interface"
                | "map"
                | "package"
                | "range"
                | "return"
                | "select"
                | "struct"
                | "switch"
                | "type"
                | "var"
        )
}

/// The value of a string literal; unknown escapes are kept.
pub(crate) fn unquote(literal: &str) -> String {
    if let Some(raw) = literal.strip_prefix('`') {
        return raw.trim_end_matches('`').replace('\r', "");
    }
    let inner = literal.strip_prefix('"').unwrap_or(literal);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut out = Vec::new();
    let mut rest = inner.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            out.extend(char.to_string().bytes());
            continue;
        }
        let digits = |rest: &mut std::str::Chars<'_>, length: usize, radix: u32, first: &str| {
            let text: String = first.chars().chain(rest.by_ref().take(length)).collect();
            u32::from_str_radix(&text, radix).unwrap_or(0xfffd)
        };
        let code = match rest.next() {
            Some('n') => 10,
            Some('t') => 9,
            Some('r') => 13,
            Some('a') => 7,
            Some('b') => 8,
            Some('f') => 12,
            Some('v') => 11,
            Some('x') => {
                out.push((digits(&mut rest, 2, 16, "") & 0xff) as u8);
                continue;
            }
            Some(digit @ '0'..='7') => {
                let first = digit.to_string();
                out.push((digits(&mut rest, 2, 8, &first) & 0xff) as u8);
                continue;
            }
            Some('u') => digits(&mut rest, 4, 16, ""),
            Some('U') => digits(&mut rest, 8, 16, ""),
            Some(other) => u32::from(other),
            None => break,
        };
        let char = char::from_u32(code).unwrap_or('\u{fffd}');
        out.extend(char.to_string().bytes());
    }
    String::from_utf8_lossy(&out).into_owned()
}
