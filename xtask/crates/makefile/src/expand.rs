//! Expansion: variables and functions to text.

use crate::error::{Error, Place, Result};
use crate::read::{Ask, Make, Reply};
use crate::syntax::{self, Piece};
use crate::{functions, slots};

/// References within references: a Makefile of people has four.
const DEEPEST: usize = 100;
/// No command line of Linux is longer than 2 MiB.
const LONGEST: usize = 8 << 20;

/// Variables that GNU make sets by itself and that this reader does not: to
/// take them for empty would be a guess.
const BUILT_IN: &[&str] = &[
    "AR",
    "ARFLAGS",
    "AS",
    "ASFLAGS",
    "CC",
    "CFLAGS",
    "CO",
    "CPP",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "F77",
    "FC",
    "GET",
    "LD",
    "LEX",
    "LINT",
    "M2C",
    "MAKEINFO",
    "MAKE_COMMAND",
    "MAKE_HOST",
    "MAKE_TERMERR",
    "MAKE_TERMOUT",
    "MAKE_VERSION",
    "OBJC",
    "PC",
    "RM",
    "SUFFIXES",
    "TANGLE",
    "TEX",
    "TEXI2DVI",
    "WEAVE",
    "YACC",
    ".DEFAULT_GOAL",
    ".FEATURES",
    ".INCLUDE_DIRS",
    ".LIBPATTERNS",
    ".LOADED",
    ".RECIPEPREFIX",
    ".SHELLFLAGS",
    ".SHELLSTATUS",
    ".VARIABLES",
    "?",
    "+",
    "|",
    "%",
    "@D",
    "@F",
    "*D",
    "*F",
    "<D",
    "<F",
    "^D",
    "^F",
];

impl Make<'_, '_> {
    /// `text` with every reference replaced by its value.
    pub(crate) fn expand(&mut self, text: &str, place: &Place) -> Result<String> {
        if !text.contains('$') {
            return Ok(text.to_owned());
        }
        if self.nesting >= DEEPEST {
            return Err(Error::malformed(
                place,
                format!("references nested {DEEPEST} deep"),
            ));
        }
        self.nesting += 1;
        let out = self.expand_pieces(text, place);
        self.nesting -= 1;
        out
    }

    fn expand_pieces(&mut self, text: &str, place: &Place) -> Result<String> {
        let mut out = String::with_capacity(text.len() * 2);
        for piece in syntax::pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Dollar => out.push('$'),
                Piece::Reference(inside, close) => {
                    out.push_str(&self.reference(inside, close, place)?);
                }
                Piece::Unclosed(inside) => {
                    return Err(Error::malformed(
                        place,
                        format!("unterminated variable reference `${inside}`"),
                    ));
                }
            }
            if out.len() > LONGEST {
                return Err(Error::malformed(
                    place,
                    format!("a value of more than {LONGEST} bytes"),
                ));
            }
        }
        Ok(out)
    }

    fn reference(&mut self, inside: &str, close: Option<char>, place: &Place) -> Result<String> {
        if close.is_some() {
            if let Some((name, text)) = syntax::call(inside) {
                return self.function(name, text, close, place);
            }
            if let Some((name, from, to)) = syntax::substitution(inside) {
                let name = self.expand(name, place)?;
                let value = self.variable(&name, place)?;
                let (from, to) = (self.expand(from, place)?, self.expand(to, place)?);
                self.needs_now(&[&value, &from, &to], &format!("`$({inside})`"), place)?;
                // `.a=.b` is short for `%.a=%.b`.
                return Ok(if from.contains('%') {
                    functions::patsubst(&from, &to, &value)
                } else {
                    functions::patsubst(&format!("%{from}"), &format!("%{to}"), &value)
                });
            }
        }
        let name = self.expand(inside, place)?;
        self.variable(&name, place)
    }

    pub(crate) fn variable(&mut self, name: &str, place: &Place) -> Result<String> {
        if let Some((_, value)) = self.automatic.iter().rev().find(|(known, _)| known == name) {
            return Ok(value.clone());
        }
        self.needs_now(&[name], "the name of a variable", place)?;
        self.note_read(name);
        let Some(variable) = self.variables.get(name) else {
            if name == "*" && self.in_recipe() {
                return Err(Error::unsupported(
                    place,
                    "`$*` in the recipe of a target that is no pattern",
                ));
            }
            if BUILT_IN.contains(&name) {
                return Err(Error::unsupported(
                    place,
                    format!("make's own variable `{name}`"),
                ));
            }
            return Ok(String::new());
        };
        if !variable.recursive || !variable.value.contains('$') {
            return Ok(variable.value.clone());
        }
        let value = variable.value.clone();
        if self.expanding.iter().any(|open| open == name) {
            return Err(Error::SelfReference {
                place: place.clone(),
                name: name.to_owned(),
            });
        }
        self.expanding.push(name.to_owned());
        let expanded = self.expand(&value, place);
        self.expanding.pop();
        expanded
    }

    fn function(
        &mut self,
        name: &str,
        text: &str,
        close: Option<char>,
        place: &Place,
    ) -> Result<String> {
        if functions::UNSUPPORTED.contains(&name) {
            return Err(Error::unsupported(place, format!("function `{name}`")));
        }
        let arguments = syntax::arguments(text, close, functions::most_arguments(name));
        if arguments.len() < functions::fewest_arguments(name) {
            return Err(Error::malformed(
                place,
                format!("too few arguments to function `{name}`"),
            ));
        }
        match name {
            "shell" => {
                let command = self.expand(arguments[0], place)?;
                self.shell(&command, place)
            }
            "foreach" => self.foreach(&arguments, place),
            "if" => {
                let otherwise = arguments.get(2).copied().unwrap_or_default();
                let taken = if self.is_true(arguments[0], place)? {
                    arguments[1]
                } else {
                    otherwise
                };
                self.expand(taken, place)
            }
            "and" | "or" => {
                let mut value = String::new();
                for argument in arguments {
                    value = self.expand(argument.trim(), place)?;
                    self.needs_now(&[&value], &format!("function `{name}`"), place)?;
                    if value.is_empty() == (name == "and") {
                        break;
                    }
                }
                Ok(value)
            }
            _ => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.expand(argument, place)?);
                }
                for value in &values {
                    self.needs_now(&[value], &format!("function `{name}`"), place)?;
                }
                functions::call(name, &values).map_err(|what| Error::malformed(place, what))
            }
        }
    }

    fn is_true(&mut self, condition: &str, place: &Place) -> Result<bool> {
        let value = self.expand(condition.trim(), place)?;
        self.needs_now(&[&value], "a condition", place)?;
        Ok(!value.is_empty())
    }

    fn foreach(&mut self, arguments: &[&str], place: &Place) -> Result<String> {
        let name = self.expand(arguments[0], place)?;
        let list = self.expand(arguments[1], place)?;
        self.needs_now(&[&name, &list], "function `foreach`", place)?;
        let mut out: Vec<String> = Vec::new();
        for word in list.split_ascii_whitespace() {
            self.automatic
                .push((name.trim().to_owned(), word.to_owned()));
            let expanded = self.expand(arguments[2], place);
            self.automatic.pop();
            out.push(expanded?);
        }
        Ok(out.join(" "))
    }

    /// The output of `command`: trailing newlines cut, others blanks
    /// (`fold_newlines`).
    pub(crate) fn shell(&mut self, command: &str, place: &Place) -> Result<String> {
        let command = command.replace(slots::MAKE, &self.session.make_command);
        let ask = Ask {
            command: &command,
            in_recipe: self.in_recipe(),
            environment: &self.environment,
            directory: &self.session.directory,
        };
        // What waits for a slot cannot be asked now.
        let reply = if slots::contains(&command) {
            Reply::Later
        } else {
            self.session.world.shell(&ask)
        };
        match reply {
            Reply::Text(output) if slots::is_reserved(&output) => Err(Error::unsupported(
                place,
                format!("a private-use character in the output of `{command}`"),
            )),
            Reply::Text(output) => Ok(output.trim_end_matches(['\n', '\r']).replace('\n', " ")),
            Reply::Later => Ok(slots::marker(self.capture(command, place))),
        }
    }

    /// Refuse to decide by what is known only while running.
    pub(crate) fn needs_now(&self, texts: &[&str], construct: &str, place: &Place) -> Result<()> {
        match texts.iter().find_map(|text| slots::first(text)) {
            None => Ok(()),
            Some(slot) => Err(Error::TooEarly {
                place: place.clone(),
                construct: construct.to_owned(),
                command: self
                    .session
                    .planned
                    .captures
                    .get(slot)
                    .map_or_else(String::new, |capture| capture.command.clone()),
            }),
        }
    }
}
