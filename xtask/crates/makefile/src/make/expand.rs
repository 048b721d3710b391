//! Expands variables and functions to text.

use super::Make;
use crate::error::{Error, Place, Result};
use crate::functions::{self, Body, Function, Wrong};
use crate::limits::{MAX_NESTING, MAX_VALUE};
use crate::outcome::Item;
use crate::prefix;
use crate::slots;
use crate::syntax::{self, Piece};
use crate::variables::Origin;
use crate::world::{Ask, Moment, Reply};

/// Variables that GNU make sets by itself and that this reader does not: an
/// empty value would be a guess.
pub(super) const BUILT_IN: &[&str] = &[
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
    "%",
];

impl Make<'_, '_> {
    /// Returns `text` with every reference replaced by its value.
    pub(super) fn expand(&mut self, text: &str, place: &Place) -> Result<String> {
        self.spend_bytes(text.len(), place)?;
        if self.makefile.has_bytes && text.contains(slots::BYTES) {
            return Err(Error::unsupported(place, "text that is not UTF-8"));
        }
        if !text.contains('$') {
            self.hold(text.len(), place)?;
            return Ok(text.to_owned());
        }
        if self.nesting >= MAX_NESTING || (self.nesting == 0 && syntax::is_too_deep(text)) {
            return Err(Error::malformed(
                place,
                format!("references nested {MAX_NESTING} deep"),
            ));
        }
        self.nesting += 1;
        let out = self.hold_result(|make| make.expand_pieces(text, place));
        self.nesting -= 1;
        out
    }

    fn expand_pieces(&mut self, text: &str, place: &Place) -> Result<String> {
        let mut out = String::with_capacity(text.len() * 2);
        for piece in syntax::pieces(text) {
            match piece {
                Piece::Text(text) => {
                    self.hold(text.len(), place)?;
                    out.push_str(text);
                }
                Piece::Dollar => out.push('$'),
                Piece::Reference(inside, close) => {
                    let value = self.hold_result(|make| make.reference(inside, close, place))?;
                    self.spend_bytes(value.len(), place)?;
                    out.push_str(&value);
                }
                Piece::Unclosed(inside) => {
                    return Err(Error::malformed(
                        place,
                        format!("unterminated variable reference `${inside}`"),
                    ));
                }
            }
            if out.len() > MAX_VALUE {
                return Err(self.too_long(place));
            }
        }
        Ok(out)
    }

    fn reference(&mut self, inside: &str, close: Option<char>, place: &Place) -> Result<String> {
        if close.is_some() {
            if let Some((function, text)) = syntax::call(inside) {
                return self.function(function, text, close, place);
            }
            if let Some((name, from, to)) = syntax::substitution(inside) {
                let name = self.expand(name, place)?;
                let value = self.variable(&name, place)?;
                let (from, to) = (self.expand(from, place)?, self.expand(to, place)?);
                self.needs_now(&[&value, &from, &to], &format!("`$({inside})`"), place)?;
                // `.a=.b` is short for `%.a=%.b`.
                let (from, to) = if from.contains('%') {
                    (from, to)
                } else {
                    (format!("%{from}"), format!("%{to}"))
                };
                let values = [from, to, value];
                self.spend(functions::steps("patsubst", &values), place)?;
                return self.text_function(functions::patsubst, &values, place);
            }
        }
        let name = self.expand(inside, place)?;
        self.variable(&name, place)
    }

    pub(super) fn variable(&mut self, name: &str, place: &Place) -> Result<String> {
        if let Some((_, value)) = self.automatic.iter().rev().find(|(known, _)| known == name) {
            let value = value.clone();
            self.hold(value.len(), place)?;
            return Ok(value);
        }
        self.needs_now(&[name], "the name of a variable", place)?;
        self.note_read(name, place)?;
        if let Some(value) = self.value_in_scope(name, self.scopes.len(), place)? {
            return Ok(value);
        }
        self.global_value(name, place)
    }

    /// The value of a variable, whatever the targets that are being updated set.
    pub(super) fn global_value(&mut self, name: &str, place: &Place) -> Result<String> {
        let Some(variable) = self.variables.get(name) else {
            if name == "*" && self.in_recipe() {
                return Err(Error::unsupported(
                    place,
                    "`$*` in the recipe of a target that is not a pattern",
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
        let value = variable.value.clone();
        if !variable.recursive {
            self.hold(value.len(), place)?;
            return Ok(value);
        }
        self.expand_value_of(name, &value, place)
    }

    /// Expands the value of a recursive variable.
    pub(super) fn expand_value_of(
        &mut self,
        name: &str,
        value: &str,
        place: &Place,
    ) -> Result<String> {
        self.hold(value.len(), place)?;
        if !value.contains('$') {
            return Ok(value.to_owned());
        }
        if self.expanding.iter().any(|open| open == name) {
            return Err(Error::SelfReference {
                place: place.clone(),
                name: name.to_owned(),
            });
        }
        self.expanding.push(name.to_owned());
        let expanded = self.expand(value, place);
        self.expanding.pop();
        expanded
    }

    fn function(
        &mut self,
        function: &Function,
        text: &str,
        close: Option<char>,
        place: &Place,
    ) -> Result<String> {
        let name = function.name;
        let arguments = syntax::arguments(text, close, function.most);
        if arguments.len() < function.fewest && !matches!(function.body, Body::Unsupported) {
            return Err(Error::malformed(
                place,
                format!("too few arguments to function `{name}`"),
            ));
        }
        match function.body {
            Body::Unsupported => Err(Error::unsupported(place, format!("function `{name}`"))),
            Body::Shell => {
                let command = self.expand(arguments[0], place)?;
                self.shell(&command, place)
            }
            Body::Foreach => self.foreach(&arguments, place),
            Body::Call => self.call(&arguments, place),
            Body::Variable => {
                let of = self.expand(arguments[0], place)?;
                self.needs_now(&[&of], &format!("function `{name}`"), place)?;
                let fact = self.fact(name, &of);
                self.hold(fact.len(), place)?;
                Ok(fact)
            }
            Body::AbsPath => {
                let paths = self.expand(arguments[0], place)?;
                self.needs_now(&[&paths], "function `abspath`", place)?;
                let directory = self.session.directory.clone();
                self.text_function(
                    |values| functions::absolute(&values[0], &values[1]),
                    &[paths, directory],
                    place,
                )
            }
            Body::Wildcard => self.wildcard(arguments[0], place),
            Body::If => {
                let otherwise = arguments.get(2).copied().unwrap_or_default();
                let taken = if self.is_true(arguments[0], place)? {
                    arguments[1]
                } else {
                    otherwise
                };
                self.expand(taken, place)
            }
            Body::Until(is_last) => {
                let mut value = String::new();
                for argument in arguments {
                    value = self.expand(argument.trim(), place)?;
                    self.needs_now(&[&value], &format!("function `{name}`"), place)?;
                    if is_last(&value) {
                        break;
                    }
                }
                Ok(value)
            }
            Body::Text(body) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.expand(argument, place)?);
                }
                for value in &values {
                    self.needs_now(&[value], &format!("function `{name}`"), place)?;
                }
                self.spend(functions::steps(name, &values), place)?;
                self.text_function(body, &values, place)
            }
        }
    }

    fn text_function(
        &mut self,
        body: functions::Text,
        values: &[String],
        place: &Place,
    ) -> Result<String> {
        let out = body(values).map_err(|wrong| match wrong {
            Wrong::Argument(what) => Error::malformed(place, what),
            Wrong::TooLong => self.too_long(place),
        })?;
        self.hold(out.len(), place)?;
        Ok(out)
    }

    /// What `origin`, `flavor` or `value` says of a variable.
    fn fact(&self, function: &str, name: &str) -> String {
        let is_automatic = self.automatic.iter().any(|(known, _)| known == name);
        let variable = match self.scoped(name) {
            Some(scoped) => Some(scoped.variable()),
            None => self.variables.get(name),
        };
        let fact = match (function, variable) {
            ("origin", _) if is_automatic => "automatic",
            ("origin", Some(variable)) => match variable.origin {
                Origin::Default => "default",
                Origin::Environment => "environment",
                Origin::File(_) => "file",
                Origin::CommandLine(_) => "command line",
                Origin::Automatic => "automatic",
            },
            ("origin", None) if BUILT_IN.contains(&name) => "default",
            ("flavor", Some(variable)) if variable.recursive => "recursive",
            ("flavor", Some(_)) => "simple",
            ("value", variable) => variable.map_or("", |variable| variable.value.as_str()),
            _ => "undefined",
        };
        fact.to_owned()
    }

    /// Files as they are now: in a recipe, lines before it may still make some.
    fn wildcard(&mut self, patterns: &str, place: &Place) -> Result<String> {
        let patterns = self.expand(patterns, place)?;
        self.needs_now(&[&patterns], "function `wildcard`", place)?;
        let items = &self.session.planned.items;
        if self.in_recipe() && items.iter().any(|item| matches!(item, Item::Line(_))) {
            return Err(Error::unsupported(
                place,
                "function `wildcard` in a recipe that others precede",
            ));
        }
        let mut found = Vec::new();
        for pattern in patterns.split_ascii_whitespace() {
            found.extend(self.session.world.glob(pattern));
        }
        let out = found.join(" ");
        if slots::is_reserved(&out) {
            return Err(Error::unsupported(
                place,
                "a private-use character in a file name",
            ));
        }
        self.spend_bytes(out.len(), place)?;
        self.hold(out.len(), place)?;
        if out.len() > MAX_VALUE {
            return Err(self.too_long(place));
        }
        Ok(out)
    }

    fn call(&mut self, arguments: &[&str], place: &Place) -> Result<String> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.expand(argument, place)?);
        }
        let name = values[0].trim().to_owned();
        self.needs_now(&[&name], "function `call`", place)?;
        if functions::find(&name).is_some() {
            return Err(Error::unsupported(
                place,
                format!("`$(call {name},…)` of a function"),
            ));
        }
        let depth = self.automatic.len();
        // Arguments of a call around this one are not seen by this one.
        let outer = self
            .automatic
            .iter()
            .filter_map(|(name, _)| name.parse().ok());
        let most = outer.max().unwrap_or(0).max(values.len());
        for at in 0..most {
            let value = values.get(at).cloned().unwrap_or_default();
            self.automatic.push((at.to_string(), value));
        }
        let value = self.variable(&name, place);
        self.automatic.truncate(depth);
        value
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
        let mut out = String::new();
        for (index, word) in list.split_ascii_whitespace().enumerate() {
            self.automatic
                .push((name.trim().to_owned(), word.to_owned()));
            let expanded = self.expand(arguments[2], place);
            self.automatic.pop();
            if index > 0 {
                out.push(' ');
            }
            out.push_str(&expanded?);
            if out.len() > MAX_VALUE {
                return Err(self.too_long(place));
            }
        }
        Ok(out)
    }

    /// Returns the output of `command`, without trailing newlines and with
    /// spaces for the others (`fold_newlines`).
    pub(super) fn shell(&mut self, command: &str, place: &Place) -> Result<String> {
        let command = self.with_make(command, place)?;
        self.count_shell(&command, place)?;
        let shell = prefix::shell_of(&command, &self.shell_program(place)?);
        let moment = match (self.reporting, self.in_recipe()) {
            (true, _) => Moment::Report,
            (false, true) => Moment::Recipe,
            (false, false) if self.session.planned.items.is_empty() => Moment::Reading,
            (false, false) => Moment::ReadingLater,
        };
        let ask = Ask {
            command: &command,
            shell: &shell,
            moment,
            environment: &self.environment,
        };
        // A command with slots cannot run before their values are known.
        let reply = if slots::contains(&command) {
            Reply::EachTime
        } else {
            self.session.world.shell(&ask)
        };
        match reply {
            Reply::Text(output) if slots::is_reserved(&output) => Err(Error::unsupported(
                place,
                format!("a private-use character in the output of `{command}`"),
            )),
            Reply::Text(output) if output.len() > MAX_VALUE => Err(self.too_long(place)),
            Reply::Text(output) => {
                self.hold(output.len(), place)?;
                Ok(output.trim_end_matches(['\n', '\r']).replace('\n', " "))
            }
            Reply::Later => Ok(slots::marker(self.capture(command, shell, true, place)?)),
            Reply::EachTime => Ok(slots::marker(self.capture(command, shell, false, place)?)),
        }
    }

    /// The shell of lines and commands, with its arguments before them.
    pub(super) fn shell_program(&mut self, place: &Place) -> Result<Vec<String>> {
        let mark = self.held();
        let mut words = Vec::new();
        for name in ["SHELL", ".SHELLFLAGS"] {
            // The shell of a shell is the default one.
            if self.expanding.iter().any(|open| open == name) {
                return Ok(prefix::DEFAULT_SHELL.map(str::to_owned).to_vec());
            }
            let value = match self.variables.get(name) {
                Some(_) => self.global_value(name, place)?,
                None => "-c".to_owned(),
            };
            self.needs_now(&[&value], &format!("`{name}`"), place)?;
            words.extend(value.split_ascii_whitespace().map(str::to_owned));
        }
        self.release_to(mark);
        if words.len() < 2
            || words
                .iter()
                .any(|word| word.contains(['"', '\'', '\\', '$']))
        {
            return Err(Error::unsupported(
                place,
                format!("the shell `{}`", words.join(" ")),
            ));
        }
        Ok(words)
    }

    /// Returns `text` for a shell, which must be able to call make.
    pub(super) fn with_make(&mut self, text: &str, place: &Place) -> Result<String> {
        if !text.contains(slots::MAKE) {
            return Ok(text.to_owned());
        }
        let calls = text.matches(slots::MAKE).count();
        let longer = calls.saturating_mul(self.session.make_command.len());
        if text.len().saturating_add(longer) > MAX_VALUE {
            return Err(self.too_long(place));
        }
        Ok(text.replace(slots::MAKE, &self.session.make_command))
    }

    /// Refuses a decision that depends on a value that is only known while
    /// running.
    pub(super) fn needs_now(&self, texts: &[&str], construct: &str, place: &Place) -> Result<()> {
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
