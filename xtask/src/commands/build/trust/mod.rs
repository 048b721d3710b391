//! Judges which `$(shell …)` commands change nothing, by their programs,
//! options and operands, and by the origin of the programs.

mod git;
mod options;
mod origin;
mod programs;
mod sed;
mod shell;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use camino::Utf8Path;

use shell::Word;

/// The trust in a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// Prints the same whenever it runs.
    Stable,
    /// Changes nothing, but its output may change.
    Reads,
    /// Changes nothing, but each run prints something else.
    Clock,
    /// May do anything.
    None,
}

/// Commands that shells have built in, whatever is on `PATH`.
const BUILTINS: &[&str] = &["[", "echo", "false", "printf", "test", "true"];
/// Maximum number of files that a pattern may expand to.
const MOST_FILES: usize = 1000;

/// Settings of git that name programs which a reading verb would start. Others
/// are overridden by [`foundation::ctx::git`].
const GIT_PROGRAMS: &[(&str, &[&str])] = &[
    ("filter.", &[".clean", ".smudge", ".process"]),
    ("diff.", &[".textconv", ".command", ".external"]),
    ("gpg.", &["program"]),
    ("pretty.", &[""]),
    // A submodule has settings of its own.
    ("submodule.", &[".ignore"]),
];

/// Judges the commands of one checkout.
pub(super) struct Judge<'a> {
    dir: &'a Utf8Path,
    path: &'a str,
    own: RefCell<BTreeMap<String, bool>>,
    git_is_plain: OnceCell<bool>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(dir: &'a Utf8Path, environment: &'a BTreeMap<String, String>) -> Self {
        Self {
            dir,
            path: environment.get("PATH").map_or("", String::as_str),
            own: RefCell::default(),
            git_is_plain: OnceCell::new(),
        }
    }

    /// Judges a command. A command that is not understood is not trusted.
    pub(super) fn trust(&self, command: &str) -> Trust {
        let Some(commands) = shell::commands(command) else {
            return Trust::None;
        };
        let each = commands.iter().map(|words| self.trust_words(words));
        each.max().unwrap_or(Trust::Stable)
    }

    fn trust_words(&self, words: &[Word]) -> Trust {
        let Some((program, words)) = words.split_first() else {
            return Trust::Stable;
        };
        let name = program.text.as_str();
        if !program.is_exact() {
            return Trust::None;
        }
        let trust = match name {
            "git" => git::trust(words, &|folder| self.is_here(folder)),
            _ => programs::trust(name, words, &|word| self.is_plain_file(word)),
        };
        // Cheap checks come first.
        if trust == Trust::None
            || !self.is_own(name)
            // One of the two programs of that name starts `jq`.
            || (name == "yq" && !self.is_own("jq"))
            || (name == "git" && !*self.git_is_plain.get_or_init(|| self.git_is_plain()))
        {
            return Trust::None;
        }
        trust
    }

    fn is_own(&self, program: &str) -> bool {
        if BUILTINS.contains(&program) {
            return true;
        }
        let mut known = self.own.borrow_mut();
        *known
            .entry(program.to_owned())
            .or_insert_with(|| origin::is_own(program, self.path, self.dir))
    }

    fn is_here(&self, folder: &str) -> bool {
        let path = self.dir.join(folder).canonicalize_utf8();
        path.is_ok_and(|path| Some(path) == self.dir.canonicalize_utf8().ok())
    }

    /// Opening anything else may block without a limit, or have an effect.
    fn is_plain_file(&self, word: &Word) -> bool {
        let is_plain = |path: &std::path::Path| match path.metadata() {
            Ok(metadata) => metadata.is_file() || metadata.is_dir(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if word.has_variable {
            return false;
        }
        if !word.is_pattern {
            return word.text == "-" || is_plain(self.dir.join(&word.text).as_std_path());
        }
        let pattern = glob::Pattern::escape(self.dir.as_str());
        let Ok(found) = glob::glob(&format!("{pattern}/{}", word.pattern)) else {
            return false;
        };
        let mut found = found.take(MOST_FILES + 1).enumerate();
        !word.text.starts_with('/')
            && found
                .all(|(index, path)| index < MOST_FILES && path.is_ok_and(|path| is_plain(&path)))
    }

    /// Whether the repository's own settings start no programs: the user's
    /// settings for all repositories are the user's decision.
    fn git_is_plain(&self) -> bool {
        let own = foundation::ctx::git::own_settings(self.dir);
        own.is_some_and(|names| !names.iter().any(|name| names_program(name)))
    }
}

fn names_program(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    GIT_PROGRAMS.iter().any(|(section, endings)| {
        name.starts_with(section) && endings.iter().any(|ending| name.ends_with(ending))
    })
}

#[cfg(test)]
mod tests;
