//! Filter expressions: `need(root) & !package(internal/integration*)`.
//!
//! ```text
//! expression = term { ("|" | "or") term }
//! term       = factor { ("&" | "and") factor }
//! factor     = ("!" | "not") factor | "(" expression ")" | WORD "(" TEXT ")"
//! ```

use std::fmt;

use glob::Pattern;

use crate::need::{Need, Needed};

/// Results that `last(…)` takes.
const RESULTS: [&str; 6] = ["passed", "failed", "skipped", "aborted", "flaky", "never"];

/// A filter expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Expression);

#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Any(Vec<Expression>),
    All(Vec<Expression>),
    Not(Box<Expression>),
    Package(Pattern),
    Test(Pattern),
    Need(Need),
    Last(String),
}

/// A test that a filter is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Import path.
    pub package: &'a str,
    /// Path of its folder in the checkout.
    pub folder: &'a str,
    /// `TestA/b`
    pub name: &'a str,
    pub needs: &'a [Needed],
    /// Its last result; none before its first run.
    pub last: Option<&'a str>,
}

/// Why an expression cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    pub what: String,
    /// Where, in characters from 0.
    pub at: usize,
}

impl std::error::Error for FilterError {}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", self.what, self.at + 1)
    }
}

impl Filter {
    /// # Errors
    /// What cannot be read, and where.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut reader = Reader {
            text: text.chars().collect(),
            at: 0,
            depth: 0,
        };
        let expression = reader.any()?;
        match reader.peek() {
            None => Ok(Self(expression)),
            Some(_) => Err(reader.error("expected `&`, `|` or the end")),
        }
    }

    /// Whether the test matches. A name matches the parts below it, too.
    pub fn matches(&self, test: &Candidate<'_>) -> bool {
        self.0.matches(test)
    }
}

impl Expression {
    fn matches(&self, test: &Candidate<'_>) -> bool {
        match self {
            Self::Any(all) => all.iter().any(|it| it.matches(test)),
            Self::All(all) => all.iter().all(|it| it.matches(test)),
            Self::Not(it) => !it.matches(test),
            Self::Package(pattern) => pattern.matches(test.package) || pattern.matches(test.folder),
            Self::Test(pattern) => {
                let ends = test.name.match_indices('/').map(|(end, _)| end);
                let mut names = ends.chain([test.name.len()]).map(|end| &test.name[..end]);
                names.any(|name| pattern.matches(name))
            }
            Self::Need(need) => test.needs.iter().any(|needed| needed.need == *need),
            Self::Last(result) => test.last.unwrap_or("never") == result,
        }
    }
}

/// How deep parentheses and `!` may be nested.
const DEEPEST: usize = 64;

struct Reader {
    text: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn error(&self, what: impl Into<String>) -> FilterError {
        FilterError {
            what: what.into(),
            at: self.at,
        }
    }

    fn peek(&mut self) -> Option<char> {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Takes the sign, doubled or not, or the word.
    fn takes(&mut self, sign: char, word: &str) -> bool {
        if self.peek() == Some(sign) {
            self.at += 1;
            if sign != '!' && self.text.get(self.at) == Some(&sign) {
                self.at += 1;
            }
            return true;
        }
        let end = self.at + word.len();
        let is_word = self
            .text
            .get(self.at..end)
            .is_some_and(|it| it.iter().copied().eq(word.chars()));
        let ends = self.text.get(end).is_none_or(|c| !c.is_alphanumeric());
        if is_word && ends {
            self.at = end;
        }
        is_word && ends
    }

    fn any(&mut self) -> Result<Expression, FilterError> {
        let mut all = vec![self.all()?];
        while self.takes('|', "or") {
            all.push(self.all()?);
        }
        Ok(Expression::Any(all))
    }

    fn all(&mut self) -> Result<Expression, FilterError> {
        let mut all = vec![self.one()?];
        while self.takes('&', "and") {
            all.push(self.one()?);
        }
        Ok(Expression::All(all))
    }

    fn one(&mut self) -> Result<Expression, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("more than {DEEPEST} levels")));
        }
        let one = if self.takes('!', "not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.peek() == Some('(') {
            self.at += 1;
            let inner = self.any()?;
            if self.peek() != Some(')') {
                return Err(self.error("expected `)`"));
            }
            self.at += 1;
            inner
        } else {
            self.atom()?
        };
        self.depth -= 1;
        Ok(one)
    }

    fn atom(&mut self) -> Result<Expression, FilterError> {
        self.peek();
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let word: String = rest.iter().take_while(|c| c.is_alphabetic()).collect();
        if rest.get(word.chars().count()) != Some(&'(') {
            return Err(self.error("expected package(…), test(…), need(…) or last(…)"));
        }
        self.at += word.chars().count() + 1;
        let inner = self.at;
        let text = self.argument()?;
        let error = |what: String| FilterError { what, at: inner };
        let pattern = || {
            Pattern::new(&text).map_err(|it| error(format!("invalid pattern `{text}`: {}", it.msg)))
        };
        match word.as_str() {
            _ if text.is_empty() => Err(error(format!("`{word}()` is empty"))),
            "package" => Ok(Expression::Package(pattern()?)),
            "test" => Ok(Expression::Test(pattern()?)),
            "need" => Ok(Expression::Need(Need::from(text))),
            "last" if RESULTS.contains(&text.as_str()) => Ok(Expression::Last(text)),
            "last" => Err(error(format!(
                "unknown result `{text}`, expected one of {}",
                RESULTS.join(", ")
            ))),
            _ => Err(FilterError {
                what: format!("unknown filter `{word}`, expected package, test, need or last"),
                at: start,
            }),
        }
    }

    /// The text up to the parenthesis that closes it.
    fn argument(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let mut open = 1;
        while let Some(c) = self.text.get(self.at) {
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                let text: String = self.text[start..self.at - 1].iter().collect();
                return Ok(text.trim().to_owned());
            }
        }
        Err(self.error("expected `)`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(need: Need) -> Needed {
        Needed {
            need,
            skips: false,
            because: String::new(),
            through: Vec::new(),
        }
    }

    fn matches(filter: &str) -> bool {
        let needs = [
            needed(Need::Root),
            needed(Need::Tool("mkfs.xfs".to_owned())),
        ];
        Filter::parse(filter).unwrap().matches(&Candidate {
            package: "example.com/m/internal/pkg/mount",
            folder: "internal/pkg/mount",
            name: "TestMount/read_only/(twice)",
            needs: &needs,
            last: Some("failed"),
        })
    }

    #[test]
    fn each_word_and_each_operator() {
        for (filter, expected) in [
            ("package(internal/*)", true),
            ("package(example.com/*mount)", true),
            ("package(mount)", false),
            ("test(TestMount)", true),
            ("test(TestMount/read_only)", true),
            ("test(TestMo*t)", true),
            ("test(TestMount/*/(twice))", true),
            ("test(TestMoun)", false),
            ("need(root)", true),
            ("need(tool:mkfs.xfs)", true),
            ("need(loop)", false),
            ("last(failed)", true),
            ("last(never)", false),
            ("need(root) & last(failed)", true),
            ("need(root) and !last(failed)", false),
            ("not need(loop) && not (last(passed) || test(TestB))", true),
            ("need(loop) | need(root) & last(passed)", false),
            ("(need(loop) or need(root)) and last( failed )", true),
        ] {
            assert_eq!(matches(filter), expected, "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        for (filter, what) in [
            (
                "",
                "expected package(…), test(…), need(…) or last(…) at character 1",
            ),
            (
                "TestA",
                "expected package(…), test(…), need(…) or last(…) at character 1",
            ),
            (
                "name(x)",
                "unknown filter `name`, expected package, test, need or last at character 1",
            ),
            (
                "test(A) test(B)",
                "expected `&`, `|` or the end at character 9",
            ),
            ("(test(A)", "expected `)` at character 9"),
            ("test(A", "expected `)` at character 7"),
            ("test()", "`test()` is empty at character 6"),
            (
                "last(ok)",
                "unknown result `ok`, expected one of passed, failed, skipped, aborted, flaky, never at character 6",
            ),
            (
                "test(A***)",
                "invalid pattern `A***`: wildcards are either regular `*` or recursive `**` at character 6",
            ),
        ] {
            assert_eq!(
                Filter::parse(filter).unwrap_err().to_string(),
                what,
                "{filter}"
            );
        }
        let deep = "(".repeat(100_000);
        assert!(Filter::parse(&deep).unwrap_err().what.contains("levels"));
        let deep = "!".repeat(100_000);
        assert!(Filter::parse(&deep).unwrap_err().what.contains("levels"));
    }
}
