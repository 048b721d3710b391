//! Removes secrets from text: the values in this cluster's own files, keys in
//! PEM, and values whose names mark them as secret.

use std::sync::LazyLock;

use foundation::plan::secrets::{Secrets, is_secret};
use regex::{Captures, Regex};

/// Stands for what was removed.
const REMOVED: &str = "<removed>";

#[expect(
    clippy::unwrap_used,
    reason = "the patterns are literals, which tests compile"
)]
static PEM: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?s)-----BEGIN [A-Z0-9 ]*(?:KEY|SECRET)[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]+-----|\z)",
    )
    .unwrap()
});
/// A PEM key in base64, as talosconfig and machine configurations have them: the
/// encoding of `-----BEGIN `.
#[expect(clippy::unwrap_used, reason = "as above")]
static BASE64_PEM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+").unwrap());
/// A token for joining a cluster: of Talos and of Kubernetes.
#[expect(clippy::unwrap_used, reason = "as above")]
static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b").unwrap());
/// `name: value` of YAML and `"name": "value"` of JSON.
#[expect(clippy::unwrap_used, reason = "as above")]
static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?m)(["']?)([A-Za-z][A-Za-z0-9_-]*)(["']?:[ \t]*)("(?:[^"\\\n]|\\.)*"|[^\s,{}\[\]"][^\n,}]*)"#).unwrap()
});

/// Removes secrets, and counts them.
#[derive(Default)]
pub(super) struct Redactor {
    values: Secrets,
    pub(super) removed: usize,
}

impl Redactor {
    /// Learns the secrets in a file that is itself withheld.
    pub(super) fn learn(&mut self, text: &str) {
        let entries = ENTRY.captures_iter(text).filter(is_secret_entry);
        let values = entries.map(|entry| {
            let value = entry[4].trim().trim_matches(['"', '\'']).to_owned();
            (String::new(), value)
        });
        let keys = BASE64_PEM.find_iter(text);
        let keys = keys.map(|key| (String::new(), key.as_str().to_owned()));
        self.values = self.values.with(values.chain(keys).collect::<Vec<_>>());
    }

    /// The text without secrets.
    pub(super) fn redact(&mut self, text: &str) -> String {
        let mut out = text.to_owned();
        for pattern in [&*PEM, &*BASE64_PEM, &*TOKEN] {
            self.removed += pattern.find_iter(&out).count();
            out = pattern.replace_all(&out, REMOVED).into_owned();
        }
        let mut removed = 0;
        let entries = ENTRY.replace_all(&out, |entry: &Captures<'_>| {
            if !is_secret_entry(entry) || entry[4].contains(REMOVED) {
                return entry[0].to_owned();
            }
            removed += 1;
            format!("{}{}{}\"{REMOVED}\"", &entry[1], &entry[2], &entry[3])
        });
        let masked = self.values.masked(&entries);
        if masked != entries {
            removed += 1;
        }
        self.removed += removed;
        masked
    }
}

fn is_secret_entry(entry: &Captures<'_>) -> bool {
    let value = entry[4].trim();
    is_secret(&entry[2]) && !matches!(value, "true" | "false" | "null" | "\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_removed_wherever_they_stand() {
        let mut redactor = Redactor::default();
        redactor.learn(
            "contexts:\n  a:\n    key: c2VjcmV0LWtleS12YWx1ZQ==\n    ca: LS0tLS1CRUdJTiBDRVJU\n",
        );
        redactor.learn("machine:\n  token: hunter2hunter2\n");
        let text = "line\n-----BEGIN ED25519 PRIVATE KEY-----\nAAAA\n-----END ED25519 PRIVATE KEY-----\nafter\n\
            {\"token\": \"abc\", \"name\": \"n\", \"secretboxEncryptionSecret\": \"x y\"}\n\
            join abcdef.0123456789abcdef\nconsole said hunter2hunter2 and c2VjcmV0LWtleS12YWx1ZQ==\n\
            MY_TOKEN=plain-text-token https://u:passw0rd@host/\n";
        let out = redactor.redact(text);
        for secret in [
            "AAAA",
            "abc\"",
            "x y",
            "0123456789abcdef",
            "hunter2",
            "c2VjcmV0",
            "plain-text-token",
            "passw0rd",
        ] {
            assert!(!out.contains(secret), "{secret}: {out}");
        }
        for kept in ["line\n", "after\n", "\"name\": \"n\"", "console said "] {
            assert!(out.contains(kept), "{kept}: {out}");
        }
        assert!(redactor.removed >= 4);
    }

    #[test]
    fn json_stays_json() {
        let mut redactor = Redactor::default();
        let out =
            redactor.redact(r#"{"a": {"token": "x\"y", "n": 1}, "key": "v", "password": null}"#);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["a"]["token"], REMOVED);
        assert_eq!(value["a"]["n"], 1);
    }
}
