//! A command line up to the cursor, divided as a shell does.

/// Returns the words from the program on: what is before `xtask`, and a toolchain, are left out.
/// The last word is the one at the cursor, perhaps empty.
pub(super) fn words(line: &str) -> Vec<String> {
    let all = divided(line);
    let at = all
        .iter()
        .position(|word| word.rsplit('/').next() == Some("xtask"));
    all.into_iter().skip(at.unwrap_or(0)).collect()
}

fn divided(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_open = false;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        let word = words.last_mut();
        match (quote, c) {
            (None, ' ' | '\t') => {
                if is_open {
                    words.push(String::new());
                    is_open = false;
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => {
                if let (Some(word), Some(c)) = (word, characters.next()) {
                    word.push(c);
                }
            }
            _ => {
                if let Some(word) = word {
                    word.push(c);
                }
            }
        }
        is_open = true;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_the_program_and_end_at_the_cursor() {
        for (line, wanted) in [
            ("cargo xtask clu", &["xtask", "clu"][..]),
            ("cargo +nightly  xtask cluster ", &["xtask", "cluster", ""]),
            ("xtask", &["xtask"]),
            ("~/bin/xtask -C 'a b' ", &["~/bin/xtask", "-C", "a b", ""]),
            (
                "cargo xtask runs a\\ b \"c d",
                &["xtask", "runs", "a b", "c d"],
            ),
            ("xtask runs ''", &["xtask", "runs", ""]),
        ] {
            assert_eq!(words(line), wanted, "{line}");
        }
    }
}
