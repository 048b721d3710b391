//! The function of a test, and the subtests in it, that contain a line of a file.

use crate::file::File;
use crate::lex::{Kind as Token, Lexer};
use crate::need::Test;

/// What a line of a test file is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enclosing<'a> {
    /// Full names, of the smallest test that contains the line: several for a method of
    /// several suites.
    Tests(Vec<&'a str>),
    /// A function or method that is not a test itself.
    Helper(String),
    /// The name of a method that no known test runs.
    Method(String),
    /// Outside of all functions.
    Nothing,
}

/// Finds the smallest test that contains the line.
///
/// # Arguments
/// `text`: the file. `line`: 1-based. `tests`: those of the file.
pub fn enclosing<'a>(text: &str, line: usize, tests: &[&'a Test]) -> Enclosing<'a> {
    let file = File::parse(text);
    let within = file.functions.iter().find(|function| {
        let end = function
            .body
            .map_or(function.at, |(_, end)| end.saturating_sub(1));
        (file.line(function.at)..=file.line(end)).contains(&line)
    });
    let Some(function) = within else {
        return Enclosing::Nothing;
    };
    let declared = file.line(function.at);
    let last = function
        .body
        .map_or(declared, |(_, end)| file.line(end.saturating_sub(1)));
    let of_function: Vec<&&Test> = tests.iter().filter(|test| test.line == declared).collect();
    if of_function.is_empty() {
        let name = function.name.to_owned();
        return if function.receiver.is_some() && name.starts_with("Test") {
            Enclosing::Method(name)
        } else {
            Enclosing::Helper(name)
        };
    }
    let mut smallest: Vec<&str> = of_function.iter().map(|test| test.name.as_str()).collect();
    let mut runs: Vec<usize> = tests
        .iter()
        .filter(|test| test.line > declared && test.line <= last && test.line <= line)
        .map(|test| test.line)
        .collect();
    runs.sort_unstable();
    runs.dedup();
    for start in runs {
        if end_of_call(text, start).is_none_or(|end| end < line) {
            continue;
        }
        let inside = tests.iter().filter(|test| test.line == start);
        let inside: Vec<&str> = inside
            .map(|test| test.name.as_str())
            .filter(|name| {
                smallest.iter().any(|above| {
                    name.strip_prefix(above)
                        .is_some_and(|rest| rest.starts_with('/'))
                })
            })
            .collect();
        // A row of a table has no line of its own: all rows run.
        if inside.len() != smallest.len() {
            break;
        }
        smallest = inside;
    }
    Enclosing::Tests(smallest)
}

/// The line at which the first call of a `Run` that begins on `line` ends.
fn end_of_call(text: &str, line: usize) -> Option<usize> {
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let start = starts.into_iter().nth(line - 1)?;
    let at = start + text[start..].find("Run(")? + "Run".len();
    let mut lexer = Lexer::new(text, at);
    let mut depth = 0_usize;
    loop {
        let token = lexer.next();
        match (token.kind, token.text) {
            (Token::End, _) => return None,
            (Token::Op, "(") => depth += 1,
            (Token::Op, ")") => {
                depth -= 1;
                if depth == 0 {
                    let lines = text[..token.at].matches('\n');
                    return Some(1 + lines.count());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Kind;

    const TEXT: &str = r#"package p

func TestA(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		t.Run("deep", func(t *testing.T) {
			check(t)
		})
		check(t)
	})
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			check(t)
		})
	}
	check(t)
}

func check(t *testing.T) {
	t.Helper()
}

func (s *S) TestMethod() {
	s.T()
}

func (s *S) TestOther() {}
"#;

    #[test]
    fn the_smallest_test_around_a_line_is_found() {
        let test = |name: &str, line| Test {
            package: "p".to_owned(),
            name: name.to_owned(),
            kind: Kind::Test,
            file: "a_test.go".to_owned(),
            line,
            needs: Vec::new(),
        };
        let all = [
            test("TestA", 3),
            test("TestA/one", 4),
            test("TestA/one/deep", 5),
            test("TestA/x", 11),
            test("TestA/y", 11),
            test("TestFirst/TestMethod", 22),
            test("TestSecond/TestMethod", 22),
        ];
        let all: Vec<&Test> = all.iter().collect();
        let at = |line| enclosing(TEXT, line, &all);
        let one = |name: &'static str| Enclosing::Tests(vec![name]);
        assert_eq!(at(3), one("TestA"));
        assert_eq!(at(4), one("TestA/one"));
        assert_eq!(at(6), one("TestA/one/deep"));
        assert_eq!(at(8), one("TestA/one"));
        assert_eq!(at(12), one("TestA"));
        assert_eq!(at(15), one("TestA"));
        assert_eq!(at(16), one("TestA"));
        assert_eq!(at(17), Enclosing::Nothing);
        assert_eq!(at(19), Enclosing::Helper("check".to_owned()));
        let both = vec!["TestFirst/TestMethod", "TestSecond/TestMethod"];
        assert_eq!(at(23), Enclosing::Tests(both));
        assert_eq!(at(26), Enclosing::Method("TestOther".to_owned()));
    }
}
