//! `MAKEFLAGS`: how the command line of one make is passed to the next.

use crate::assign::{self, Op};
use crate::error::{Error, Place, Result};

/// `NAME=VALUE` of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) name: String,
    pub(crate) value: String,
    /// `NAME:=VALUE`.
    pub(crate) simple: bool,
    /// The value of a `:=` is already expanded.
    pub(crate) settled: bool,
    /// The recipe line that gave it; `None` for the user.
    pub(crate) by: Option<Place>,
}

/// The flags and variables of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Flags {
    pub(crate) silent: bool,
    pub(crate) keep_going: bool,
    pub(crate) print_directory: bool,
    pub(crate) no_print_directory: bool,
    /// In the order of make's own list: last given first.
    pub(crate) overrides: Vec<Override>,
}

impl Flags {
    /// The flags that the next make reads from `MAKEFLAGS`, which reverses their order.
    pub(crate) fn inherit(&self) -> Self {
        let mut flags = Self {
            overrides: Vec::new(),
            ..self.clone()
        };
        for given in &self.overrides {
            flags.give(given.clone());
        }
        flags
    }

    /// A variable keeps its place when it is given again
    /// (`handle_non_switch_argument`).
    fn give(&mut self, given: Override) {
        match self
            .overrides
            .iter_mut()
            .find(|other| other.name == given.name)
        {
            Some(other) => *other = given,
            None => self.overrides.insert(0, given),
        }
    }

    /// `NAME:=VALUE` is passed on expanded.
    pub(crate) fn settle_value(&mut self, name: &str, value: &str) {
        if let Some(given) = self.overrides.iter_mut().find(|given| given.name == name) {
            value.clone_into(&mut given.value);
            given.settled = true;
        }
    }

    /// Reads one argument; a goal is returned.
    pub(crate) fn argument<'a>(
        &mut self,
        word: &'a str,
        by: Option<&Place>,
    ) -> Result<Option<&'a str>> {
        match word {
            "-s" | "--silent" | "--quiet" => self.silent = true,
            "-k" | "--keep-going" => self.keep_going = true,
            "-S" | "--no-keep-going" | "--stop" => self.keep_going = false,
            "-w" | "--print-directory" => self.print_directory = true,
            "--no-print-directory" => self.no_print_directory = true,
            // Lines run one after the other, as with `-j1`.
            _ if is_jobs(word) => {}
            _ if word.starts_with('-') => return Err(refused(word, by)),
            _ => match assign::parse(word) {
                Some((name, op @ (Op::Recursive | Op::Simple), _)) => {
                    // As written, but for blanks at its start.
                    let value = word.split_once('=').map_or("", |(_, value)| value);
                    let value = value.trim_start_matches([' ', '\t']);
                    // make works by these itself.
                    if ["MAKE", "MAKEFLAGS", "VPATH", "GPATH"].contains(&name) {
                        return Err(refused(word, by));
                    }
                    self.give(Override {
                        name: name.to_owned(),
                        value: value.to_owned(),
                        simple: op == Op::Simple,
                        settled: false,
                        by: by.cloned(),
                    });
                }
                Some(_) => return Err(refused(word, by)),
                None => return Ok(Some(word)),
            },
        }
        Ok(None)
    }

    /// Reads the `MAKEFLAGS` of the environment (`decode_env_switches`).
    pub(crate) fn environment(&mut self, makeflags: &str) -> Result<()> {
        let mut words = unquote(makeflags).into_iter();
        let first_is_letters = !makeflags.starts_with([' ', '-']) && !makeflags.is_empty();
        if first_is_letters && let Some(first) = words.next() {
            if first.contains('=') {
                self.argument(&first, None)?;
            } else {
                self.letters(&first)?;
            }
        }
        for word in words {
            match word.strip_prefix('-') {
                Some("") | None => drop(self.argument(&word, None)?),
                // The number of jobs is ignored: lines run one after the other,
                // as with `-j1`.
                Some("-") => {}
                Some(long) if long.starts_with("-jobserver") => {}
                Some(long) if long.starts_with('-') => drop(self.argument(&word, None)?),
                Some(letters) => self.letters(letters)?,
            }
        }
        Ok(())
    }

    fn letters(&mut self, letters: &str) -> Result<()> {
        let mut chars = letters.chars().peekable();
        while let Some(letter) = chars.next() {
            match letter {
                's' => self.silent = true,
                'k' => self.keep_going = true,
                'S' => self.keep_going = false,
                'w' => self.print_directory = true,
                'j' => while chars.next_if(char::is_ascii_digit).is_some() {},
                other => return Err(refused(&format!("-{other}"), None)),
            }
        }
        Ok(())
    }

    /// Applies make's own rules for `-w`.
    pub(crate) fn settle(&mut self, level: usize) {
        if self.no_print_directory {
            self.print_directory = false;
        } else if level > 0 && !self.silent {
            self.print_directory = true;
        }
    }

    fn switches(&self) -> String {
        let mut out = String::new();
        let switches = [
            (self.keep_going, 'k'),
            (self.silent, 's'),
            (self.print_directory, 'w'),
        ];
        for (set, letter) in switches {
            if set {
                out.push(letter);
            }
        }
        if self.no_print_directory {
            out.push_str(" --no-print-directory");
        }
        out
    }

    /// Value of `MAKEFLAGS` for children.
    pub(crate) fn makeflags(&self) -> String {
        let mut out = self.switches();
        let definitions = self.definitions();
        if !definitions.is_empty() {
            out.push_str(" -- ");
            out.push_str(&definitions);
        }
        out
    }

    /// Value of `MFLAGS` for children.
    pub(crate) fn mflags(&self) -> String {
        let switches = self.switches();
        match switches.strip_prefix(' ') {
            Some(long) => long.to_owned(),
            None if switches.is_empty() => switches,
            None => format!("-{switches}"),
        }
    }

    /// `MAKEOVERRIDES`, expanded.
    pub(crate) fn definitions(&self) -> String {
        let words = self.overrides.iter().map(|given| {
            let op = if given.simple { ":=" } else { "=" };
            format!("{}{op}{}", quote(&given.name), quote(&given.value))
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

/// `-j`, `-j4`, `--jobs`, `--jobs=4`.
fn is_jobs(word: &str) -> bool {
    let number = word
        .strip_prefix("--jobs=")
        .or_else(|| word.strip_prefix("-j"));
    word == "--jobs" || number.is_some_and(|number| number.bytes().all(|it| it.is_ascii_digit()))
}

fn refused(word: &str, by: Option<&Place>) -> Error {
    match by {
        Some(place) => Error::unsupported(place, format!("`{word}` as an argument of `$(MAKE)`")),
        None => Error::Usage(format!(
            "`{word}` is not supported as an argument or in MAKEFLAGS"
        )),
    }
}

/// `quote_for_env`.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '$' => out.push('$'),
            ' ' | '\t' | '\\' => out.push('\\'),
            _ => {}
        }
        out.push(character);
    }
    out
}

/// Words of a `MAKEFLAGS`: a backslash keeps the next character, `$$` is `$`.
fn unquote(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '\\' => word.extend(chars.next()),
            ' ' | '\t' => words.push(std::mem::take(&mut word)),
            '$' => {
                chars.next_if_eq(&'$');
                word.push('$');
            }
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> Flags {
        let mut flags = Flags::default();
        for word in words {
            assert_eq!(flags.argument(word, None).unwrap(), None);
        }
        flags
    }

    // The expected strings were printed by GNU make 4.3.
    #[test]
    fn overrides_ride_as_make_writes_them() {
        let top = given(&["A=1", "B:=q r"]);
        assert_eq!(top.makeflags(), r" -- B:=q\ r A=1");
        let mut sub = top.inherit();
        sub.argument("C=x y", None).unwrap();
        sub.argument("A=2", None).unwrap();
        sub.settle(1);
        assert_eq!(sub.makeflags(), r"w -- C=x\ y A=2 B:=q\ r");
        let mut deeper = sub.inherit();
        deeper.argument("-s", None).unwrap();
        deeper.argument("D=$(B)$$", None).unwrap();
        deeper.settle(2);
        assert_eq!(deeper.makeflags(), r"sw -- D=$$(B)$$$$ B:=q\ r A=2 C=x\ y");
        assert_eq!(deeper.mflags(), "-sw");
    }

    #[test]
    fn makeflags_are_read_back() {
        let mut flags = Flags::default();
        flags.environment(r"w -- C=x\ y A=$$2").unwrap();
        assert_eq!(flags.makeflags(), r"w -- A=$$2 C=x\ y");
        let mut flags = Flags::default();
        flags.environment(" -- Z=1").unwrap();
        assert_eq!(flags.makeflags(), " -- Z=1");
        assert!(Flags::default().environment("n").is_err());
    }
}
