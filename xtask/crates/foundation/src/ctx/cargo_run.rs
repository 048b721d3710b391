//! Removes what `cargo run` and rustup add to the environment: recipes must see
//! the same environment as under make.

use std::process::Command;
use std::sync::OnceLock;

use camino::Utf8Path;

use super::own_executable::built_at;

/// Variables that cargo sets for the program it runs, and rustup for cargo.
const NAMES: [&str; 10] = [
    "CARGO",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "OUT_DIR",
    "RUST_RECURSION_COUNT",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_TOOLCHAIN_SOURCE",
];
const LIBRARIES: &str = "LD_LIBRARY_PATH";

/// Returns the variables that a child must not inherit as they are: removed
/// (`None`) or with another value.
pub fn leaked() -> &'static [(String, Option<String>)] {
    static LEAKED: OnceLock<Vec<(String, Option<String>)>> = OnceLock::new();
    LEAKED.get_or_init(|| {
        let own = built_at();
        let vars = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        leaked_from(&vars.collect::<Vec<_>>(), own.as_deref())
    })
}

/// Gives the child the environment that it would have without `cargo run`.
pub fn hide_from(command: &mut Command) {
    for (name, value) in leaked() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

fn leaked_from(vars: &[(String, String)], own: Option<&Utf8Path>) -> Vec<(String, Option<String>)> {
    let is_run_by_cargo = vars
        .iter()
        .any(|(name, value)| name == "CARGO_PKG_NAME" && value == "xtask");
    if !is_run_by_cargo {
        return Vec::new();
    }
    let target = own.and_then(Utf8Path::parent);
    // The target folder and the compiler's libraries; entries of the user
    // follow.
    let is_cargos = |dir: &str| {
        dir.contains("/rustlib/")
            || dir.contains("/.rustup/toolchains/")
            || target.is_some_and(|target| Utf8Path::new(dir).starts_with(target))
    };
    let mut leaked = Vec::new();
    for (name, value) in vars {
        if name.starts_with("CARGO_PKG_") || NAMES.contains(&name.as_str()) {
            leaked.push((name.clone(), None));
        } else if name == LIBRARIES {
            let kept: Vec<&str> = value
                .split(':')
                .filter(|dir| !dir.is_empty() && !is_cargos(dir))
                .collect();
            leaked.push((name.clone(), (!kept.is_empty()).then(|| kept.join(":"))));
        }
    }
    leaked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(text: &str) -> Vec<(String, String)> {
        let pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn what_cargo_set_goes_and_what_the_user_set_stays() {
        let own = Some(Utf8Path::new("/w/target/xtask/xtask"));
        let by_cargo = vars(
            "CARGO_PKG_NAME=xtask CARGO=/c CARGO_HOME=/h CARGO_TARGET_DIR=/t HOME=/h \
            LD_LIBRARY_PATH=/w/target/xtask/deps:/r/lib/rustlib/x/lib:/opt/lib",
        );
        let expected = [
            ("CARGO_PKG_NAME".to_owned(), None),
            ("CARGO".to_owned(), None),
            (LIBRARIES.to_owned(), Some("/opt/lib".to_owned())),
        ];
        assert_eq!(leaked_from(&by_cargo, own), expected);
        assert_eq!(leaked_from(&vars("CARGO=/c CARGO_PKG_NAME=other"), own), []);
    }
}
