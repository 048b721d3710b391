//! What git is given for a look at a repository: it writes no index, fetches
//! nothing, and starts nothing that the repository's own settings name.

/// No daemon, no hook, no verification by another program, and no repository
/// that only looks like a folder of the checkout.
const SETTINGS: &[(&str, &str)] = &[
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("log.showSignature", "false"),
    ("safe.bareRepository", "explicit"),
];

/// Its environment; `count` is `GIT_CONFIG_COUNT` of the one that it is added to.
pub fn for_a_look(count: Option<&str>) -> Vec<(String, String)> {
    let before: usize = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut out: Vec<(String, String)> = [
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (index, (name, value)) in SETTINGS.iter().enumerate() {
        let at = before + index;
        out.push((format!("GIT_CONFIG_KEY_{at}"), (*name).to_owned()));
        out.push((format!("GIT_CONFIG_VALUE_{at}"), (*value).to_owned()));
    }
    let count = before + SETTINGS.len();
    out.push(("GIT_CONFIG_COUNT".to_owned(), count.to_string()));
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn settings_for_a_look_come_after_the_users_own() {
        let given: BTreeMap<String, String> = for_a_look(Some("2")).into_iter().collect();
        assert_eq!(given["GIT_CONFIG_KEY_2"], "core.fsmonitor");
        assert_eq!(given["GIT_CONFIG_COUNT"], "6");
        assert_eq!(given["GIT_OPTIONAL_LOCKS"], "0");
    }
}
