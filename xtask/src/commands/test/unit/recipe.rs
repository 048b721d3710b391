//! The checkout's own way to compile and run unit tests: the stage that its
//! Makefile's `unit-tests` builds, and the variables of that stage.

use std::collections::BTreeMap;

use camino::Utf8Path;
use makefile::{Ask, Reply, World};

use super::super::super::build::repository::{Repository, refused};
use super::super::super::build::shells::files_matching;
use foundation::ctx::host::Host;
use foundation::failure::Result;
use foundation::files;

/// Flags and environment of `go test`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Recipe {
    /// Flags for `go test -c`.
    pub(super) flags: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// The origin, for display.
    pub(super) from: String,
}

/// Reads it from the checkout; `race` selects the stage with the race detector.
/// A checkout without such a stage gets plain `go test`.
///
/// # Errors
/// When the Makefile cannot be evaluated.
pub(super) fn read(dir: &Utf8Path, race: bool) -> Result<Recipe> {
    let path = dir.join("Dockerfile");
    let Some(text) = files::text(&path, files::MEDIUM)? else {
        return Ok(Recipe {
            from: "plain `go test`, without a Dockerfile".to_owned(),
            ..Recipe::default()
        });
    };
    let name = if race {
        "unit-tests-race"
    } else {
        "unit-tests"
    };
    let Some(stage) = stage(&text, name) else {
        return Ok(Recipe {
            from: format!("plain `go test`, because the Dockerfile has no stage {name}"),
            ..Recipe::default()
        });
    };
    let variables = variables(dir, name)?;
    let mut recipe = Recipe {
        from: format!(
            "stage {} of the Dockerfile, variables of the Makefile",
            stage.name
        ),
        ..Recipe::default()
    };
    if let Some(value) = variables.get("CGO_ENABLED") {
        recipe.set("CGO_ENABLED", value.trim());
    }
    for (name, value) in &stage.environment {
        recipe.set(name, &filled(value, &variables));
    }
    recipe.flags = flags(&stage.go_test, &variables);
    Ok(recipe)
}

impl Recipe {
    fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(set, _)| set != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }
}

struct Stage {
    name: String,
    environment: Vec<(String, String)>,
    /// The arguments of `go test`.
    go_test: String,
}

/// Returns the first stage whose name begins with `wanted` and that runs `go
/// test`.
fn stage(dockerfile: &str, wanted: &str) -> Option<Stage> {
    let joined = dockerfile.replace("\\\n", " ");
    let mut stage: Option<Stage> = None;
    for line in joined.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["FROM", .., name] => {
                let is_it = name == wanted
                    || name
                        .strip_prefix(wanted)
                        .is_some_and(|rest| rest == "-runner" || rest == "-run");
                stage = is_it.then(|| Stage {
                    name: name.to_owned(),
                    environment: Vec::new(),
                    go_test: String::new(),
                });
            }
            ["ENV", ..] => {
                if let (Some(stage), Some((name, value))) =
                    (&mut stage, line.trim()[3..].trim().split_once('='))
                {
                    let value = value.trim_matches('"');
                    stage.environment.push((name.to_owned(), value.to_owned()));
                }
            }
            ["RUN", ..] => {
                if let (Some(stage), Some((_, rest))) = (&mut stage, line.split_once(" go test ")) {
                    rest.clone_into(&mut stage.go_test);
                }
            }
            _ => {}
        }
        if stage
            .as_ref()
            .is_some_and(|stage| !stage.go_test.is_empty())
        {
            return stage;
        }
    }
    None
}

/// Returns the flags of `go test` that decide how tests are compiled.
/// Parallelism and coverage are decided by this program.
fn flags(line: &str, variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut out = Vec::new();
    let words = shlex::split(line).unwrap_or_default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = word.trim_start_matches('-').split('=').next();
        match name.unwrap_or_default() {
            "race" | "msan" | "asan" => out.push(word.clone()),
            name @ ("ldflags" | "tags" | "gcflags" | "mod") => {
                let value = match word.split_once('=') {
                    Some((_, value)) => value.to_owned(),
                    None => words.next().cloned().unwrap_or_default(),
                };
                let value = filled(&value, variables);
                if !value.trim().is_empty() {
                    out.push(format!("-{name}={}", value.trim()));
                }
            }
            _ => {}
        }
    }
    out
}

/// Replaces `${NAME}`.
fn filled(text: &str, variables: &BTreeMap<String, String>) -> String {
    variables
        .iter()
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value)
        })
}

/// A world without a shell, because no value here depends on one. The machine's
/// name is part of the names of targets, so it must be known.
struct Quiet<'a>(&'a Utf8Path);

impl World for Quiet<'_> {
    fn shell(&self, ask: &Ask<'_>) -> Reply {
        let command = ask.command.trim_start();
        if command.starts_with("uname -s") {
            Reply::Text(std::env::consts::OS.to_owned())
        } else if command.starts_with("uname -m") {
            Reply::Text(Host::probe().arch.to_owned())
        } else {
            Reply::Later
        }
    }

    fn exists(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let path = self.0.join(path);
        files::read(&path, files::MEDIUM).ok().flatten()
    }

    fn glob(&self, pattern: &str) -> Vec<String> {
        files_matching(self.0, pattern)
    }
}

fn variables(dir: &Utf8Path, target: &str) -> Result<BTreeMap<String, String>> {
    let Ok(repository) = Repository::open(dir) else {
        return Ok(BTreeMap::new());
    };
    let invocation = repository.invocation(&[target.to_owned()], "make");
    let planned = makefile::plan(&repository.makefile, &invocation, &Quiet(dir))
        .map_err(|error| refused(&error))?;
    // The last make that reads the variable is the one that builds.
    let known = planned
        .reads
        .into_iter()
        .filter(|read| !makefile::contains_slot(&read.value));
    Ok(known.map(|read| (read.name, read.value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_says_how() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/gotest/workspace");
        let recipe = read(dir.into(), false).unwrap();
        assert_eq!(recipe.flags, ["-ldflags=-s -w"]);
        let platform = ("PLATFORM".to_owned(), "container".to_owned());
        assert_eq!(recipe.environment, [platform]);
        let recipe = read(dir.into(), true).unwrap();
        assert_eq!(recipe.flags, ["-race"]);
        let cgo = ("CGO_ENABLED".to_owned(), "1".to_owned());
        assert_eq!(recipe.environment, [cgo]);
    }
}
