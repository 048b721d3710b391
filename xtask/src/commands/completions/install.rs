//! `completions --install`: the script in a file of ours, and one line that reads it in the
//! startup file of the shell. `--uninstall` takes both away again.

use camino::{Utf8Path, Utf8PathBuf};

use super::{BASH, FISH, Shell, ZSH};
use foundation::ctx::dirs::{Dirs, OURS};
use foundation::ctx::own_executable::built_at;
use foundation::ctx::own_files;
use foundation::failure::{Because, Failure, Result};
use foundation::files;
use foundation::record::files as record_files;
use foundation::shell::quote;
use foundation::{typed, ui};

/// Ends the line, by which it is found again.
const MARK: &str = "# talos-xtask completions";
/// Binaries that the user has run through cargo, one a line: Tab asks no other.
const TRUSTED: &str = "completing-binaries";

struct Place {
    script: Utf8PathBuf,
    text: &'static str,
    startup: Utf8PathBuf,
    line: String,
}

impl Place {
    fn of(shell: Shell, home: &Utf8Path) -> Result<Self> {
        let set = |name: &str| {
            let value = std::env::var(name).ok().map(Utf8PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let data = set("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
        let (name, text, startup) = match shell {
            Shell::Bash => ("completions.bash", BASH, home.join(".bashrc")),
            Shell::Zsh => {
                let folder = set("ZDOTDIR").unwrap_or_else(|| home.to_owned());
                ("completions.zsh", ZSH, folder.join(".zshrc"))
            }
            Shell::Fish => {
                let folder = set("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
                ("completions.fish", FISH, folder.join("fish/config.fish"))
            }
            Shell::Elvish | Shell::Powershell => {
                return Err(Failure::usage("`--install` knows bash, fish and zsh")
                    .hint(typed!("completions elvish")));
            }
        };
        let script = data.join(OURS).join(name);
        let quoted = quote(script.as_str());
        let line = match shell {
            Shell::Fish => format!("test -r {quoted}; and source {quoted} {MARK}"),
            _ => format!("[ ! -r {quoted} ] || . {quoted} {MARK}"),
        };
        Ok(Self {
            script,
            text,
            startup,
            line,
        })
    }
}

pub(super) fn run(shell: Shell, remove: bool, is_dry: bool) -> Result<u8> {
    let dirs = Dirs::from_env()?;
    let place = Place::of(shell, &dirs.home)?;
    // A link to the user's collection of such files stays one.
    let startup = place.startup.canonicalize_utf8();
    let startup = startup.unwrap_or_else(|_| place.startup.clone());
    let before =
        files::read_text(&startup, files::MEDIUM).because(|| format!("cannot read `{startup}`"))?;
    let text = before.clone().unwrap_or_default();
    let after = if remove {
        without(&text)
    } else {
        with(&text, &place.line)
    };
    if is_dry {
        let what = match (after == text, remove) {
            (true, _) => "would not change",
            (false, false) => "would add one line to",
            (false, true) => "would remove one line from",
        };
        ui::print(&format!("{what} {startup}: {}\n", place.line));
        return Ok(0);
    }
    if !remove {
        record_files::replace(&place.script, place.text.as_bytes(), 0o644)
            .because(|| format!("cannot write `{}`", place.script))?;
        trust_own_binary(&dirs.state, true)
            .because(|| format!("cannot write `{}`", dirs.state.join(TRUSTED)))?;
    }
    if after != text {
        let mode = mode(&startup);
        record_files::replace(&startup, after.as_bytes(), mode)
            .because(|| format!("cannot write `{startup}`"))?;
    }
    if remove {
        record_files::remove(&place.script)
            .because(|| format!("cannot remove `{}`", place.script))?;
    }
    let done = match (after == text, remove) {
        (true, false) => "unchanged: the line is in",
        (true, true) => "unchanged: there is no line of ours in",
        (false, false) => "added one line to",
        (false, true) => "removed one line from",
    };
    ui::print(&format!("{done} {startup}\n"));
    if !remove {
        ui::print(&format!(
            "  it reads {}; start a new shell to use it\n  remove both: {}\n",
            place.script,
            typed!("completions --uninstall")
        ));
    }
    Ok(0)
}

/// Permissions of a file, or those of a new one.
fn mode(path: &Utf8Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(path);
    found.map_or(0o644, |found| found.permissions().mode() & 0o7777)
}

/// The text with the line, once and at its place if it is there.
fn with(text: &str, line: &str) -> String {
    if text.lines().any(|it| it == line) {
        return text.to_owned();
    }
    let mut out = without(text);
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out + line + "\n"
}

/// The text without lines of ours.
fn without(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    lines
        .filter(|line| !line.trim_end().ends_with(MARK))
        .collect()
}

/// Lists this binary among those that Tab may ask, if it is one that `cargo xtask` builds and
/// starts. Without `create`, only where there is a list: completions are installed.
pub(super) fn trust_own_binary(state: &Utf8Path, create: bool) -> std::io::Result<()> {
    let list = state.join(TRUSTED);
    let Some(own) = built_at().filter(|own| own.ends_with("xtask/xtask")) else {
        return Ok(());
    };
    let known = own_files::read(&list, files::SMALL)?;
    if known.is_none() && !create {
        return Ok(());
    }
    let known = String::from_utf8_lossy(&known.unwrap_or_default()).into_owned();
    if known.lines().any(|line| line == own) {
        return Ok(());
    }
    // Those of checkouts that are gone are forgotten.
    let kept = known.lines().filter(|line| Utf8Path::new(line).exists());
    let mut text: String = kept.flat_map(|line| [line, "\n"]).collect();
    text.push_str(own.as_str());
    text.push('\n');
    record_files::replace(&list, text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added_once_and_removed_without_a_trace() {
        let line = format!("[ ! -r /a ] || . /a {MARK}");
        for text in ["", "one\n", "one\ntwo # comment"] {
            let added = with(text, &line);
            assert!(added.ends_with(&format!("{line}\n")), "{added}");
            assert_eq!(with(&added, &line), added);
            assert_eq!(without(&added).trim_end(), text.trim_end());
        }
        // Of another folder: replaced.
        let moved = with(&with("x\n", &line), &line.replace("/a", "/b"));
        assert_eq!(moved.matches(MARK).count(), 1, "{moved}");
    }
}
