//! Parses a Makefile's text into statements. Nothing is expanded here, and unsupported
//! constructs are only recorded: they may be in a branch that is not taken.

use std::sync::Arc;

use crate::assign::{self, Op};
use crate::condition::{self, Test};
use crate::documented::{self, Documented};
use crate::error::{Error, Place, Result};
use crate::lines::{Logical, collapse, logical, split_comment};
use crate::{rules, slots, syntax};

/// Maximum bytes; Talos' own Makefile has 30 KiB.
const LONGEST_FILE: usize = 1 << 20;

/// A parsed Makefile.
#[derive(Debug, Clone)]
pub struct Makefile {
    pub(crate) name: Arc<str>,
    pub(crate) statements: Arc<Vec<(usize, Statement)>>,
    documented: Arc<Vec<Documented>>,
    /// Whether some text is not UTF-8.
    pub(crate) has_bytes: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    Assign {
        name: String,
        op: Op,
        value: String,
        export: bool,
    },
    Export(String),
    /// The names of files; whether they may be missing.
    Include(String, bool),
    /// The line without its comment.
    Rule(String),
    /// The line without its tab, with its backslash-newlines.
    Recipe(String),
    If(Test),
    Else(Option<Test>),
    EndIf,
    Unsupported(&'static str),
    Malformed(&'static str),
}

/// Directives of make that none of the three repositories uses.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("override", "`override`"),
    ("private", "`private`"),
    ("undefine", "`undefine`"),
    ("unexport", "`unexport`"),
    ("vpath", "`vpath`"),
    ("load", "`load`"),
    ("-load", "`-load`"),
];

impl Makefile {
    /// Reads `text`; `name` is its name in errors and in `$(MAKEFILE_LIST)`.
    ///
    /// # Errors
    /// Text that no evaluation accepts: an open `define`, a private-use
    /// character that evaluation uses itself, more than 1 MiB.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        Self::parse_bytes(name, text.as_bytes())
    }

    /// Like [`Self::parse`], for text in any encoding. What is not UTF-8 is an error
    /// where an evaluation needs it, which a comment is not.
    ///
    /// # Errors
    /// Those of [`Self::parse`].
    pub fn parse_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > LONGEST_FILE {
            return Err(Error::Usage(format!(
                "`{name}` has more than {LONGEST_FILE} bytes"
            )));
        }
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            if let Some(at) = chunk.valid().find(slots::RESERVED) {
                let before = text.matches('\n').count() + chunk.valid()[..at].matches('\n').count();
                let place = Place {
                    file: name.into(),
                    line: before + 1,
                };
                return Err(Error::unsupported(&place, "a private-use character"));
            }
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push(slots::BYTES);
            }
        }
        Self::parse_plain(name, &text)
    }

    fn parse_plain(name: &str, text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // make drops the carriage return of a line's end (`readline`).
        let text = &text.replace("\r\n", "\n");
        let name: Arc<str> = name.into();
        let mut parser = Parser {
            name: &name,
            lines: logical(text),
            at: 0,
            out: Vec::new(),
        };
        while let Some(line) = parser.lines.get(parser.at).copied() {
            parser.at += 1;
            parser.line(line)?;
        }
        let statements = parser.out;
        let documented = documented::read(&name, text);
        Ok(Self {
            name,
            statements: Arc::new(statements),
            documented: Arc::new(documented),
            has_bytes: text.contains(slots::BYTES),
        })
    }

    /// Targets with a `##` comment, in the file's order.
    pub fn documented(&self) -> &[Documented] {
        &self.documented
    }

    /// Names of the variables that the text refers to, in make's way or, in a
    /// recipe, in the shell's.
    pub fn reads(&self) -> std::collections::BTreeSet<String> {
        let mut names = std::collections::BTreeSet::new();
        let mut read = |text: &str| {
            syntax::names(text, &mut |name| {
                names.insert(name.to_owned());
            });
        };
        for (_, statement) in self.statements.iter() {
            match statement {
                Statement::Assign { name, value, .. } => {
                    read(name);
                    read(value);
                }
                Statement::Export(text) | Statement::Rule(text) | Statement::Include(text, _) => {
                    read(text);
                }
                Statement::Recipe(text) => {
                    read(text);
                    // The text as the shell reads it, after make has replaced
                    // `$$`.
                    read(&text.replace("$$", "$"));
                }
                Statement::If(test) | Statement::Else(Some(test)) => match test {
                    Test::Equal { left, right, .. } => {
                        read(left);
                        read(right);
                    }
                    Test::Defined { name, .. } => read(&format!("$({name})")),
                },
                _ => {}
            }
        }
        names
    }

    /// Whether its evaluation depends on other files, as far as its text shows.
    pub(crate) fn reads_files(&self) -> bool {
        self.statements
            .iter()
            .any(|(_, statement)| match statement {
                Statement::Include(..) => true,
                Statement::Assign { value: text, .. } | Statement::Rule(text) => {
                    text.contains("(wildcard") || text.contains("{wildcard")
                }
                Statement::If(Test::Equal { left, right, .. })
                | Statement::Else(Some(Test::Equal { left, right, .. })) => {
                    left.contains("wildcard") || right.contains("wildcard")
                }
                _ => false,
            })
    }

    /// Whether other files are part of it.
    pub fn has_include(&self) -> bool {
        let mut statements = self.statements.iter();
        statements.any(|(_, statement)| matches!(statement, Statement::Include(..)))
    }

    /// Names that the file sets.
    pub fn sets(&self) -> std::collections::BTreeSet<&str> {
        self.statements
            .iter()
            .filter_map(|(_, statement)| match statement {
                Statement::Assign { name, .. } => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }
}

impl Statement {
    /// Bytes that an evaluation reads.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Assign { name, value, .. } => name.len() + value.len(),
            Self::Export(text) | Self::Rule(text) | Self::Recipe(text) | Self::Include(text, _) => {
                text.len()
            }
            Self::If(test) | Self::Else(Some(test)) => match test {
                Test::Equal { left, right, .. } => left.len() + right.len(),
                Test::Defined { name, .. } => name.len(),
            },
            Self::Else(None) | Self::EndIf | Self::Unsupported(_) | Self::Malformed(_) => 0,
        }
    }
}

struct Parser<'a> {
    name: &'a Arc<str>,
    lines: Vec<Logical<'a>>,
    at: usize,
    out: Vec<(usize, Statement)>,
}

impl Parser<'_> {
    fn push(&mut self, line: usize, statement: Statement) {
        self.out.push((line, statement));
    }

    fn line(&mut self, line: Logical<'_>) -> Result<()> {
        if let Some(recipe) = line.raw.strip_prefix('\t') {
            // Each part of a continued recipe line loses its own tab.
            let recipe = recipe.replace("\\\n\t", "\\\n");
            self.push(line.number, Statement::Recipe(recipe));
            return Ok(());
        }
        let whole = collapse(line.raw);
        let (text, _) = split_comment(&whole);
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(());
        }
        if let Some(statement) = conditional(trimmed) {
            self.push(line.number, statement);
            return Ok(());
        }
        let (word, rest) = trimmed.split_once([' ', '\t']).unwrap_or((trimmed, ""));
        let assigned = assign::parse(&text);
        match word {
            "define" if assigned.is_none() => return self.define(line.number, rest, false),
            "export" if assigned.is_none_or(|(name, ..)| name != "export") => {
                return self.export(line.number, &text);
            }
            _ => {}
        }
        let statement = if let Some((name, op, value)) = assigned {
            Statement::Assign {
                name: name.to_owned(),
                op,
                value: value.to_owned(),
                export: false,
            }
        } else if matches!(word, "include" | "-include" | "sinclude") {
            Statement::Include(rest.to_owned(), word != "include")
        } else if let Some((_, construct)) =
            UNSUPPORTED.iter().find(|(directive, _)| *directive == word)
        {
            Statement::Unsupported(construct)
        } else {
            // A `#` after a semicolon belongs to the recipe, or to the value of a variable.
            let has_recipe = rules::find_outside(&text, ';').is_some();
            Statement::Rule(if has_recipe { whole } else { text })
        };
        self.push(line.number, statement);
        Ok(())
    }

    fn export(&mut self, number: usize, text: &str) -> Result<()> {
        let rest = text
            .trim_start()
            .strip_prefix("export")
            .unwrap_or_default()
            .trim_start_matches([' ', '\t']);
        if let Some(rest) = rest.strip_prefix("define ") {
            return self.define(number, rest, true);
        }
        let statement = match assign::parse(rest) {
            Some((name, op, value)) => Statement::Assign {
                name: name.to_owned(),
                op,
                value: value.to_owned(),
                export: true,
            },
            None if rest.trim().is_empty() => Statement::Unsupported("`export` of everything"),
            None => Statement::Export(rest.to_owned()),
        };
        self.push(number, statement);
        Ok(())
    }

    /// Reads from `define NAME [OP]` to its `endef`: the lines between are kept
    /// as they are.
    fn define(&mut self, number: usize, rest: &str, export: bool) -> Result<()> {
        let (name, op) = match assign::parse(rest) {
            Some((name, op, "")) => (name.to_owned(), op),
            Some(_) => {
                self.push(
                    number,
                    Statement::Malformed("text after the operator of `define`"),
                );
                return Ok(());
            }
            None => (rest.trim().to_owned(), Op::Recursive),
        };
        let mut body: Vec<String> = Vec::new();
        let mut depth = 0;
        loop {
            let Some(line) = self.lines.get(self.at) else {
                let place = Place {
                    file: self.name.clone(),
                    line: number,
                };
                return Err(Error::malformed(&place, "`define` without `endef`"));
            };
            self.at += 1;
            let stripped = split_comment(line.raw.trim_start_matches(' ')).0;
            let word = stripped.split_ascii_whitespace().next().unwrap_or_default();
            match word {
                "define" if !line.raw.starts_with('\t') => depth += 1,
                "endef" if !line.raw.starts_with('\t') && depth == 0 => break,
                "endef" if !line.raw.starts_with('\t') => depth -= 1,
                _ => {}
            }
            // A continued line counts as one, as outside (`do_define`).
            body.push(collapse(line.raw));
        }
        self.push(
            number,
            Statement::Assign {
                name,
                op,
                value: body.join("\n"),
                export,
            },
        );
        Ok(())
    }
}

fn conditional(line: &str) -> Option<Statement> {
    let test = |parsed: Result<Test, &'static str>, then: fn(Test) -> Statement| {
        parsed.map_or_else(Statement::Malformed, then)
    };
    if let Some(parsed) = condition::parse(line) {
        return Some(test(parsed, Statement::If));
    }
    if line == "endif" {
        return Some(Statement::EndIf);
    }
    let rest = line.strip_prefix("else")?;
    if rest.is_empty() {
        return Some(Statement::Else(None));
    }
    let rest = rest.strip_prefix([' ', '\t'])?;
    Some(test(condition::parse(rest)?, |test| {
        Statement::Else(Some(test))
    }))
}
