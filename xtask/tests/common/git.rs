//! Git repositories that tests create.

use std::path::Path;

use xshell::{Shell, cmd};

/// Settings of the user, such as ignore rules, are not read.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_AUTHOR_NAME", "Test"),
    ("GIT_AUTHOR_EMAIL", "test@example.org"),
    ("GIT_COMMITTER_NAME", "Test"),
    ("GIT_COMMITTER_EMAIL", "test@example.org"),
];

/// Creates a repository in `dir` with one commit of all files that are not
/// ignored. Returns a shell in which git works on it.
pub fn repository(dir: impl AsRef<Path>) -> Shell {
    let sh = Shell::new().unwrap();
    sh.change_dir(dir);
    for (name, value) in ENVIRONMENT {
        sh.set_var(name, value);
    }
    cmd!(sh, "git init --quiet").quiet().run().unwrap();
    cmd!(sh, "git add --all").quiet().run().unwrap();
    commit(&sh);
    sh
}

/// Commits what was added, or an empty change.
pub fn commit(sh: &Shell) {
    let commit = cmd!(sh, "git commit --quiet --allow-empty --message Change");
    commit.quiet().run().unwrap();
}
