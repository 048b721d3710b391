//! The environment in which git looks at a repository: it writes no index,
//! fetches nothing, and starts nothing that the repository's own settings name.

use camino::{Utf8Path, Utf8PathBuf};

use super::probe::Probe;

/// No daemon, no hook, no verification by another program, no repository that
/// only looks like a folder of the checkout, and no look into submodules, whose
/// settings are their own.
const SETTINGS: &[(&str, &str)] = &[
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("diff.ignoreSubmodules", "all"),
    ("log.showSignature", "false"),
    ("safe.bareRepository", "explicit"),
];

/// Verbs that compare files with the index, and run filters for it.
const COMPARES: &[&str] = &["describe", "status"];

/// The environment for a look at any repository; `count` is the
/// `GIT_CONFIG_COUNT` of the environment that it is added to.
pub fn for_a_look(count: Option<&str>) -> Vec<(String, String)> {
    environment(count, SETTINGS.iter().copied())
}

/// Like [`for_a_look`], for `git` with these arguments in the folder `cwd`:
/// filters that its repository sets are off, those of the user stay.
pub(super) fn for_command(
    arguments: &[String],
    cwd: Option<&Utf8Path>,
    count: Option<&str>,
) -> Vec<(String, String)> {
    let compares = arguments
        .iter()
        .any(|word| COMPARES.contains(&word.as_str()));
    let own = match (compares, cwd) {
        (true, Some(cwd)) => own_settings(cwd),
        _ => Some(Vec::new()),
    };
    let Some(own) = own else {
        // Which filters to switch off is unknown: git then finds no repository.
        return vec![("GIT_DIR".to_owned(), "/dev/null".to_owned())];
    };
    let off = own
        .iter()
        .filter_map(|name| Some((name.as_str(), off(name)?)));
    environment(count, SETTINGS.iter().copied().chain(off))
}

/// The folder in which git keeps the repository or the worktree of `dir`; none outside of
/// git.
pub fn folder(dir: &Utf8Path) -> Option<Utf8PathBuf> {
    let argv = ["git", "rev-parse", "--absolute-git-dir"];
    let said = Probe::new(argv).current_dir(dir).exact_stdout().ok()?;
    Some(Utf8PathBuf::from(said.trim_end_matches('\n')))
}

/// Names that the repository of `dir` sets itself: by its own settings, and for
/// submodules by `.gitmodules`. Empty outside git, and `None` when git does not
/// list them.
pub fn own_settings(dir: &Utf8Path) -> Option<Vec<String>> {
    let list = |source: &[&str]| {
        let argv = [&["git", "config", "--name-only", "--list"], source].concat();
        Probe::new(argv).current_dir(dir).exact_stdout().ok()
    };
    let listed = list(&["--show-scope", "--includes"])?;
    let mut names: Vec<String> = listed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(scope, _)| matches!(*scope, "local" | "worktree"))
        .map(|(_, name)| name.to_owned())
        .collect();
    if dir.join(".gitmodules").exists() {
        let modules = list(&["--file=.gitmodules"])?;
        names.extend(modules.lines().map(str::to_owned));
    }
    Some(names)
}

/// The value with which a setting starts no program.
fn off(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let (section, key) = (lower.split('.').next()?, lower.rsplit('.').next()?);
    match (section, key) {
        ("filter", "clean" | "process" | "smudge") => Some(""),
        ("filter", "required") => Some("false"),
        ("submodule", "ignore") => Some("all"),
        _ => None,
    }
}

fn environment<'a>(
    count: Option<&str>,
    settings: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, String)> {
    let mut count: usize = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut out: Vec<(String, String)> = [
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in settings {
        out.push((format!("GIT_CONFIG_KEY_{count}"), name.to_owned()));
        out.push((format!("GIT_CONFIG_VALUE_{count}"), value.to_owned()));
        count += 1;
    }
    out.push(("GIT_CONFIG_COUNT".to_owned(), count.to_string()));
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn settings_for_a_look_come_after_the_users_own() {
        let given: BTreeMap<String, String> = for_a_look(Some("2")).into_iter().collect();
        assert_eq!(given["GIT_CONFIG_KEY_2"], "core.fsmonitor");
        assert_eq!(given["GIT_CONFIG_COUNT"], "7");
        assert_eq!(given["GIT_OPTIONAL_LOCKS"], "0");
    }

    /// A repository with one commit, whose settings name a program.
    #[expect(clippy::disallowed_methods, reason = "files for the test")]
    fn repository(settings: &str) -> (tempfile::TempDir, Utf8PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).unwrap();
        std::fs::write(dir.join("file"), "text\n").unwrap();
        std::fs::write(dir.join(".gitattributes"), "* filter=evil\n").unwrap();
        let git = |line: &str| {
            let argv: Vec<&str> = std::iter::once("git").chain(line.split(' ')).collect();
            let done = Probe::new(argv).current_dir(&dir).run().unwrap();
            assert!(done.success, "git {line}: {}", done.stderr);
        };
        git("init -q");
        git("add -A");
        git("-c user.name=u -c user.email=u@example.org commit -q -m first");
        let config = dir.join(".git/config");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(config, text + settings).unwrap();
        // Another time stamp: git has to read the file again.
        std::fs::remove_file(dir.join("file")).unwrap();
        std::fs::write(dir.join("file"), "texT\n").unwrap();
        (temporary, dir)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files for the test")]
    fn filters_of_a_repository_are_not_run() {
        for settings in [
            "[filter \"evil\"]\n\tclean = \"touch ran; cat\"\n\trequired = true\n",
            "[Filter \"evil\"]\n\tCLEAN = \"touch ran; cat\"\n\tprocess = \"touch ran\"\n",
            "[include]\n\tpath = ../more\n",
        ] {
            let (_temporary, dir) = repository(settings);
            let more = "[filter \"evil\"]\n\tclean = \"touch ran; cat\"\n";
            std::fs::write(dir.join("more"), more).unwrap();
            let commit = super::super::probe::commit(&dir).unwrap();
            assert!(commit.ends_with("-dirty"), "{commit}");
            for status in [
                &["git", "status", "--porcelain"][..],
                &["git", "-c", "status.short=true", "status", "--porcelain"],
            ] {
                assert!(Probe::new(status).current_dir(&dir).run().unwrap().success);
            }
            assert!(!dir.join("ran").exists(), "{settings}");
        }
    }
}
