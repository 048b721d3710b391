//! Declarations of a Go file. Bodies of functions are skipped and parsed on demand:
//! most of them are never reached from a test.

use std::cell::{Cell, OnceCell};

use crate::ast::{Expr, Field, Signature, Stmt};
use crate::constraint::{self, Target};
use crate::lex::{Kind, unquote};
use crate::parse::{Cut, Parser};

/// `import alias "path"`
#[derive(Debug, Clone)]
pub(crate) struct Import<'a> {
    pub(crate) alias: Option<&'a str>,
    pub(crate) path: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// The receiver, with the name of its type.
    pub(crate) receiver: Option<Field<'a>>,
    pub(crate) generic: bool,
    pub(crate) signature: Signature<'a>,
    /// From `{` to after `}`; `None` without a body.
    pub(crate) body: Option<(usize, usize)>,
    /// Offset of the name in bytes.
    pub(crate) at: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct TypeDecl<'a> {
    pub(crate) name: &'a str,
    pub(crate) ty: Expr<'a>,
}

/// The declarations of a file, in its order.
#[derive(Debug, Clone, Default)]
pub(crate) struct File<'a> {
    pub(crate) text: &'a str,
    pub(crate) package: &'a str,
    pub(crate) imports: Vec<Import<'a>>,
    pub(crate) functions: Vec<Function<'a>>,
    pub(crate) types: Vec<TypeDecl<'a>>,
    /// `var` and `const`, as statements.
    pub(crate) variables: Vec<Stmt<'a>>,
    /// The part that was left out, of the declarations and of the bodies parsed so far.
    pub(crate) cut: Cell<Cut>,
    /// Offsets of the beginnings of lines, in bytes.
    lines: OnceCell<Vec<usize>>,
}

/// Maximum number of imports, because a name is looked for in each.
const MOST_IMPORTS: usize = 1000;

impl<'a> File<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut file = Self {
            text,
            ..Self::default()
        };
        let mut parser = Parser::new(text, 0);
        while !parser.at_end() {
            if parser.token.kind != Kind::Word {
                // The parser stepped into a block: skip it.
                if parser.is("{") {
                    parser.skip_block();
                } else {
                    parser.advance();
                }
                continue;
            }
            match parser.advance().text {
                "package" => file.package = parser.name().unwrap_or_default(),
                "import" => file.imports(&mut parser),
                "func" => file.function(&mut parser),
                "type" => file.types(&mut parser),
                "var" | "const" => file.variables.extend(parser.variables()),
                _ => {}
            }
        }
        file.is_cut(parser.cut());
        file
    }

    /// The line of a byte, 1-based.
    pub(crate) fn line(&self, at: usize) -> usize {
        let lines = self.lines.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|(_, it)| *it == b'\n');
            newlines.map(|(at, _)| at + 1).collect()
        });
        1 + lines.partition_point(|start| *start <= at)
    }

    /// Returns a function's statements.
    pub(crate) fn body(&self, function: &Function<'a>) -> Vec<Stmt<'a>> {
        let Some((start, end)) = function.body else {
            return Vec::new();
        };
        // An unclosed bracket ends with its body.
        let mut parser = Parser::new(self.text.get(..end).unwrap_or(self.text), start);
        let body = parser.block();
        self.is_cut(parser.cut());
        body
    }

    /// Records that something was left out.
    pub(crate) fn is_cut(&self, cut: Cut) {
        self.cut.set(self.cut.get().max(cut));
    }

    fn imports(&mut self, parser: &mut Parser<'a>) {
        let many = parser.eat("(");
        loop {
            while parser.token.kind == Kind::Semi {
                parser.advance();
            }
            let alias = if parser.eat(".") {
                Some(".")
            } else {
                parser.name()
            };
            if parser.token.kind != Kind::Str {
                if many {
                    parser.eat(")");
                }
                return;
            }
            let path = unquote(parser.advance().text);
            if self.imports.len() < MOST_IMPORTS {
                self.imports.push(Import { alias, path });
            } else {
                self.is_cut(Cut::Long);
            }
            if !many {
                return;
            }
        }
    }

    fn function(&mut self, parser: &mut Parser<'a>) {
        let mut receiver = None;
        if parser.is("(") {
            receiver = parser.signature_params().into_iter().next();
        }
        let at = parser.token.at;
        let Some(name) = parser.name() else { return };
        let generic = parser.is("[");
        if generic {
            parser.skip_brackets();
        }
        let signature = parser.signature();
        let body = parser.is("{").then(|| parser.skip_block());
        self.functions.push(Function {
            name,
            receiver,
            generic,
            signature,
            body,
            at,
        });
    }

    fn types(&mut self, parser: &mut Parser<'a>) {
        let many = parser.eat("(");
        loop {
            while parser.token.kind == Kind::Semi {
                parser.advance();
            }
            if many && parser.eat(")") {
                return;
            }
            let Some(name) = parser.name() else { return };
            if parser.is("[") && parser.opens_type_parameters() {
                parser.skip_brackets();
            }
            parser.eat("=");
            let ty = parser.ty().unwrap_or(Expr::Unknown);
            self.types.push(TypeDecl { name, ty });
            if !many {
                return;
            }
        }
    }
}

/// Whether `go build` would look into this file, by its name and its
/// constraint; `_test` is not considered.
pub(crate) fn is_built(name: &str, text: &str, target: &Target) -> bool {
    constraint::by_name(name, target) && constraint::by_text(text, target)
}
