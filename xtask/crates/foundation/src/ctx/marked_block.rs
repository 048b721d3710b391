//! Lines of this program in a text file of the user, between a begin and an end
//! line, in files in which a comment begins with `#`.

use std::fmt::Write;

/// Returns `text` with `lines` as the block `name`, at its place if there is
/// one, or without the block if there are no lines. A block whose end was
/// deleted ends before the next empty line. Line ends are those of the text.
pub fn with_block(text: &str, name: &str, lines: &[String]) -> String {
    let (begin, end) = (begin(name), end(name));
    let mut block = String::new();
    if !lines.is_empty() {
        let _ = writeln!(block, "{begin}\n{}\n{end}", lines.join("\n"));
    }
    if text.contains("\r\n") {
        block = block.replace('\n', "\r\n");
    }
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let Some((first, length)) = place(&all, &begin, &end) else {
        let gap = if text.is_empty() || text.ends_with('\n') || block.is_empty() {
            ""
        } else {
            "\n"
        };
        return format!("{text}{gap}{block}");
    };
    let (before, after) = (&all[..first], &all[first + length..]);
    format!("{}{block}{}", before.concat(), after.concat())
}

/// The lines of the block `name`; empty without one.
pub fn lines_of(text: &str, name: &str) -> Vec<String> {
    let (begin, end) = (begin(name), end(name));
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let Some((first, length)) = place(&all, &begin, &end) else {
        return Vec::new();
    };
    all[first + 1..first + length]
        .iter()
        .map(|line| line.trim_end_matches(['\n', '\r']))
        .filter(|line| *line != end)
        .map(str::to_owned)
        .collect()
}

/// The first line of the block, and how many lines it has.
fn place(all: &[&str], begin: &str, end: &str) -> Option<(usize, usize)> {
    let is = |line: &str, wanted: &str| line.trim_end_matches(['\n', '\r']) == wanted;
    let first = all.iter().position(|line| is(line, begin))?;
    let rest = &all[first..];
    let closed = rest.iter().position(|line| is(line, end)).map(|at| at + 1);
    let open = rest.iter().position(|line| line.trim().is_empty());
    Some((first, closed.or(open).unwrap_or(rest.len())))
}

fn begin(name: &str) -> String {
    format!("# {name}: begin, written by xtask")
}

fn end(name: &str) -> String {
    format!("# {name}: end")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_block_is_added_replaced_and_removed_and_the_rest_stays() {
        for before in ["", "mine\n", "# a comment\r\n*.swp\r\n", "without an end"] {
            let one = with_block(before, "embed", &lines("/a /b"));
            assert_eq!(with_block(&one, "embed", &lines("/a /b")), one);
            assert_eq!(lines_of(&one, "embed"), ["/a", "/b"]);
            let two = with_block(&one, "editor", &lines("/c"));
            let changed = with_block(&two, "embed", &lines("/d"));
            assert_eq!(lines_of(&changed, "embed"), ["/d"]);
            assert_eq!(lines_of(&changed, "editor"), ["/c"]);
            assert_eq!(
                changed.contains("\r\n"),
                changed.lines().count() == changed.matches("\r\n").count()
            );
            let gone = with_block(&with_block(&changed, "embed", &[]), "editor", &[]);
            assert_eq!(gone.trim_end_matches('\n'), before.trim_end_matches('\n'));
        }
    }

    #[test]
    fn a_block_without_its_end_takes_nothing_of_the_users() {
        let text = "# embed: begin, written by xtask\n/a\n\nmine\n";
        assert_eq!(with_block(text, "embed", &[]), "\nmine\n");
        let crlf = "mine\r\n# embed: begin, written by xtask\r\n/a\r\n# embed: end\r\nmore\r\n";
        assert_eq!(with_block(crlf, "embed", &[]), "mine\r\nmore\r\n");
    }
}
