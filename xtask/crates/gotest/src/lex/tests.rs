use super::*;

fn tokens(text: &str) -> Vec<String> {
    let mut lexer = Lexer::new(text, 0);
    let mut out = Vec::new();
    loop {
        let token = lexer.next();
        if token.kind == Kind::End {
            return out;
        }
        out.push(token.text.to_owned());
    }
}

#[test]
fn semicolons_stand_where_a_compiler_puts_them() {
    assert_eq!(
        tokens("a := f(x)\nreturn\nif a {\n}\n"),
        [
            "a", ":=", "f", "(", "x", ")", ";", "return", ";", "if", "a", "{", "}", ";"
        ]
    );
    assert_eq!(tokens("a /* x\n */ b"), ["a", ";", "b", ";"]);
    assert_eq!(tokens("a // x\nb"), ["a", ";", "b", ";"]);
    assert_eq!(tokens("a +\nb"), ["a", "+", "b", ";"]);
}

#[test]
fn quotes_hold_what_looks_like_something_else() {
    assert_eq!(
        tokens("f(\"}\\\"//\", `\n{`, '\\'', '{')"),
        [
            "f",
            "(",
            "\"}\\\"//\"",
            ",",
            "`\n{`",
            ",",
            "'\\''",
            ",",
            "'{'",
            ")",
            ";"
        ]
    );
}

#[test]
fn a_block_is_skipped_with_all_that_it_holds() {
    let text = "{ if x { \"}\" /* } */ // }\n '}' } } after";
    let mut lexer = Lexer::new(text, 0);
    assert_eq!(lexer.next().text, "{");
    lexer.skip_block();
    assert_eq!(lexer.next().text, "after");
}

#[test]
fn literals_mean_what_go_says() {
    assert_eq!(unquote(r#""a\tb\x41\u00e9\"""#), "a\tbA\u{e9}\"");
    assert_eq!(unquote("`a\\n`"), "a\\n");
    assert_eq!(unquote(r#""\303\251""#), "\u{e9}");
}

#[test]
fn numbers_end_where_they_end() {
    assert_eq!(tokens("1e+3-0xe+1"), ["1e+3", "-", "0xe", "+", "1", ";"]);
    assert_eq!(tokens("x[1:2]...")[4], "2");
}
