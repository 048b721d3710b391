//! Build tags that the go command adds itself: `GOFLAGS`, from the environment or from
//! the file of `go env -w` (`go help environment`).

use std::env;

use camino::Utf8PathBuf;

use crate::files;

/// Returns the tags of `GOFLAGS`.
pub fn tags() -> Vec<String> {
    let set = env::var("GOFLAGS").ok().filter(|flags| !flags.is_empty());
    set.or_else(written)
        .map_or_else(Vec::new, |flags| tags_in(&flags))
}

/// The value that `go env -w` stored.
fn written() -> Option<String> {
    let text = files::read_text(&settings()?, files::SMALL).ok()??;
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix("GOFLAGS="));
    values.next_back().map(str::to_owned)
}

fn settings() -> Option<Utf8PathBuf> {
    let named = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match named("GOENV") {
        Some(off) if off == "off" => None,
        Some(path) => Some(path.into()),
        None => {
            let config = named("XDG_CONFIG_HOME").map(Utf8PathBuf::from);
            let config = config.or_else(|| Some(Utf8PathBuf::from(named("HOME")?).join(".config")));
            Some(config?.join("go/env"))
        }
    }
}

fn tags_in(flags: &str) -> Vec<String> {
    let words = shlex::split(flags).unwrap_or_default();
    let mut values = words.iter().filter_map(|word| {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
        flag.strip_prefix("tags=")
    });
    values.next_back().map_or_else(Vec::new, split)
}

/// Splits the value of `-tags`, with commas or, as before Go 1.13, blanks.
pub fn split(tags: &str) -> Vec<String> {
    let words = tags.split([',', ' ']).filter(|tag| !tag.is_empty());
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_goflags_are_found() {
        assert_eq!(tags_in("-buildvcs=false -tags=a,b"), ["a", "b"]);
        assert_eq!(tags_in("'--tags=a b' -mod=mod"), ["a", "b"]);
        assert!(tags_in("-mod=mod").is_empty());
    }
}
