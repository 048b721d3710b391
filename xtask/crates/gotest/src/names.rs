//! Which functions `go test` runs: the rules of cmd/go's own loader
//! (src/cmd/go/internal/load/test.go) and of go/doc for examples.

use serde::Serialize;

use crate::ast::{Expr, Signature};
use crate::file::{File, Function};
use crate::lex::{Kind as Token, Lexer};

/// The kind of a test.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Test,
    /// A method of a testify suite.
    Method,
    /// A `t.Run` whose name is in the source.
    Subtest,
    Benchmark,
    Fuzz,
    Example,
}

/// The kind of the test that `go test -list .` would print for this function. Examples
/// count only with an `Output:` comment: go does not run others.
pub(crate) fn kind(file: &File<'_>, function: &Function<'_>) -> Option<Kind> {
    if function.receiver.is_some() {
        return None;
    }
    let takes =
        |parameter: &str| takes_pointer_to(&function.signature, parameter) && !function.generic;
    let name = function.name;
    if name == "TestMain" {
        return takes("T").then_some(Kind::Test);
    }
    if has_prefix(name, "Test") && takes("T") {
        Some(Kind::Test)
    } else if has_prefix(name, "Benchmark") && takes("B") {
        Some(Kind::Benchmark)
    } else if has_prefix(name, "Fuzz") && takes("F") {
        Some(Kind::Fuzz)
    } else if has_prefix(name, "Example")
        && function.signature.params.is_empty()
        && function.signature.results.is_empty()
        && has_output(file, function)
    {
        Some(Kind::Example)
    } else {
        None
    }
}

/// `TestX`, `Test_x`, `Test`, but not `Testify`.
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| !rest.chars().next().is_some_and(char::is_lowercase))
}

/// Whether it is `func(t *testing.T)`; the package may have any name.
pub(crate) fn takes_pointer_to(signature: &Signature<'_>, parameter: &str) -> bool {
    let [field] = signature.params.as_slice() else {
        return false;
    };
    let Expr::Star(inner) = &field.ty else {
        return false;
    };
    let (Expr::Name(name) | Expr::Sel(_, name)) = &**inner else {
        return false;
    };
    *name == parameter && signature.results.is_empty()
}

/// Whether the body's last comment starts with `Output:` or `Unordered output:`.
fn has_output(file: &File<'_>, function: &Function<'_>) -> bool {
    let Some((start, end)) = function.body else {
        return false;
    };
    let Some(body) = file.text.get(start + 1..end.saturating_sub(1)) else {
        return false;
    };
    let comment = last_comment(body);
    let comment = comment.trim_start().to_lowercase();
    let comment = comment.strip_prefix("unordered ").unwrap_or(&comment);
    comment.starts_with("output:")
}

/// The text of the last group of comments, on consecutive lines. Groups are only
/// between tokens, separated by blanks.
fn last_comment(body: &str) -> String {
    let mut lexer = Lexer::new(body, 0);
    let mut last = String::new();
    let mut from = 0;
    loop {
        let token = lexer.next();
        if let Some(group) = last_group(body.get(from..token.at).unwrap_or_default()) {
            last = group;
        }
        if token.kind == Token::End {
            return last;
        }
        from = lexer.position();
    }
}

fn last_group(mut gap: &str) -> Option<String> {
    let mut group: Option<String> = None;
    let mut lines = 0;
    while let Some(char) = gap.chars().next() {
        let comment = if let Some(text) = gap.strip_prefix("//") {
            let end = text.find('\n').unwrap_or(text.len());
            Some((&text[..end], &text[end..]))
        } else {
            let inner = gap.strip_prefix("/*");
            inner.map(|text| text.split_once("*/").unwrap_or((text, "")))
        };
        let Some((text, after)) = comment else {
            lines += usize::from(char == '\n');
            gap = &gap[char.len_utf8()..];
            continue;
        };
        group = match group {
            Some(known) if lines <= 1 => Some(known + "\n" + text),
            _ => Some(text.to_owned()),
        };
        (gap, lines) = (after, 0);
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(String, Kind)> {
        let file = File::parse(text);
        let functions = file.functions.iter();
        functions
            .filter_map(|function| Some((function.name.to_owned(), kind(&file, function)?)))
            .collect()
    }

    #[test]
    fn only_what_go_test_runs_is_a_test() {
        let text = "package x\n\
            func Test(t *testing.T) {}\n\
            func TestA(t *testing.T) {}\n\
            func Test_a(*T) {}\n\
            func Testify(t *testing.T) {}\n\
            func TestTwo(t *testing.T, x int) {}\n\
            func TestMany(a, b *testing.T) {}\n\
            func TestResult(t *testing.T) error { return nil }\n\
            func TestGeneric[T any](t *testing.T) {}\n\
            func (s *S) TestMethod(t *testing.T) {}\n\
            func TestMain(m *testing.M) {}\n\
            func BenchmarkA(b *testing.B) {}\n\
            func FuzzA(f *testing.F) {}\n\
            func helper(t *testing.T) { func() { var TestB = 1 }() }\n";
        let names: Vec<_> = kinds(text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Test", "TestA", "Test_a", "BenchmarkA", "FuzzA"]);
    }

    #[test]
    fn examples_run_when_they_say_what_they_print() {
        let text = "package x\n\
            func ExampleA() {\n\tp()\n\t// Output: a\n}\n\
            func ExampleB() {\n\tp()\n}\n\
            func ExampleC() {\n\t// Output: too early\n\n\t// another\n\tp()\n}\n\
            func ExampleD() {\n\tp()\n\n\t// Unordered output:\n\t// x\n}\n\
            func ExampleE() {\n\tp() // output:\n}\n\
            func ExampleF() {\n\tp()\n\t// text before\n\t// Output: is not output\n}\n\
            func ExampleG() {\n\tp()\n\t// text before\n\n\t// Output: is\n}\n\
            func ExampleH() {\n\tp()\n\t/* Output:\n x */\n}\n\
            func ExampleI() {\n\tp()\n\t// Output:\n\t// a\n\t//\n\t// b\n}\n";
        let names: Vec<_> = kinds(text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "ExampleA", "ExampleD", "ExampleE", "ExampleG", "ExampleH", "ExampleI"
            ]
        );
    }
}
