//! Removes secrets from text and JSON that others will read: known values, keys in PEM,
//! tokens by their form, and values whose names mark them as secret.

use std::sync::LazyLock;

use foundation::plan::secrets::{Secrets, is_secret};
use regex::{Captures, Regex};
use serde_json::Value;

/// Stands for what was removed.
pub(crate) const REMOVED: &str = "<removed>";

macro_rules! pattern {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $(
            $(#[$doc])*
            #[allow(clippy::unwrap_used, reason = "the patterns are literals, which tests compile")]
            static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).unwrap());
        )*
    };
}

pattern! {
    PEM = r"(?s)-----BEGIN [A-Z0-9 ]*(?:KEY|SECRET)[A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]+-----|\z)";
    /// A PEM key or certificate in base64, as talosconfig and machine configurations have them:
    /// the encoding of `-----BEGIN `, perhaps in several lines.
    BASE64_PEM = r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+(?:\\?\r?\n[ \t]*[A-Za-z0-9+/=]{20,})*(?:\\?\r?\n[ \t]+[A-Za-z0-9+/]+={0,2}(?:\r?\n|\z))?";
    /// A token for joining a cluster: of Talos and of Kubernetes.
    JOIN = r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b";
    /// A key of 32 bytes in base64, such as the secret of a cluster.
    KEY32 = r"\b[A-Za-z0-9+/]{43}=";
    /// What issuers give their tokens a form for.
    ISSUED = r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)";
    /// `Authorization: Bearer …`, also without its name.
    SCHEME = r"(?i)\b(bearer|basic)([ \t]+)[A-Za-z0-9._~+/=-]{6,}";
    COOKIE = r"(?im)\b((?:set-)?cookie)(:[ \t]*)[^\r\n'\x22]+";
    /// `name: value` of YAML and `"name": "value"` of JSON.
    ENTRY = r#"(?m)(["']?)([A-Za-z][A-Za-z0-9_-]*)(["']?:[ \t]*)("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,{}\[\]"'|>][^\n,}]*)"#;
    /// The same in JSON within a string of JSON.
    NESTED = r#"([A-Za-z][A-Za-z0-9_-]*)(\\+"[ \t]*:[ \t]*\\+")([^"\\]+)"#;
    /// `--name value` of a command line, and of a list of its words.
    OPTION = r#"(^|[\s"'`])(--?[A-Za-z][A-Za-z0-9_-]*)(=|[ \t]+|["'],[ \t]*\n?[ \t]*)("[^"\n]*"|'[^'\n]*'|["']?[^\s"',`]+)"#;
    /// `curl -u user:password`.
    USER = r#"(^|[\s"'`])(-u|--user)(=|[ \t]+|["'],[ \t]*)(["']?[^\s:"'`]+):([^\s"'`]+)"#;
    /// The name of an entry whose value is in the lines below it.
    BLOCK = r#"^(.*?)(["']?)([A-Za-z][A-Za-z0-9_-]*)["']?:[ \t]*(?:[|>][-+0-9]*)?[ \t]*$"#;
    /// What BuildKit, containers and excerpts of this program have before each line.
    PREFIX = r"^(?:#\d+ [\d.]+ | +\| |\d{4}-\d\d-\d\dT[\d:.]+Z? )";
}

/// Removes secrets, and counts them.
#[derive(Default)]
pub(crate) struct Redactor {
    values: Secrets,
    /// Values to look for across line ends.
    long: Vec<String>,
    pub(crate) removed: usize,
}

/// Shorter values are not looked for across line ends.
const LONG: usize = 12;
/// Bytes of a value that must stand at the end of a line.
const PART: usize = 4;

impl Redactor {
    /// Learns the secrets in a file that is itself withheld.
    pub(crate) fn learn(&mut self, text: &str) {
        let entries = ENTRY.captures_iter(text).filter(is_secret_entry);
        let values = entries.map(|entry| entry[4].trim().trim_matches(['"', '\'']).to_owned());
        let keys = BASE64_PEM.find_iter(text);
        let keys = keys.map(|key| key.as_str().to_owned());
        self.learn_values(values.chain(keys).collect());
    }

    /// Learns the values of variables whose names mark them as secret.
    pub(crate) fn learn_variables(&mut self, all: impl Iterator<Item = (String, String)>) {
        let secret = all.filter(|(name, _)| is_secret(name));
        self.learn_values(secret.map(|(_, value)| value).collect());
    }

    fn learn_values(&mut self, values: Vec<String>) {
        let long = values.iter().filter(|it| it.len() >= LONG && it.is_ascii());
        self.long.extend(long.cloned());
        let unnamed = values.into_iter().map(|value| (String::new(), value));
        self.values = self.values.with(unnamed);
    }

    /// The text without secrets.
    pub(crate) fn redact(&mut self, text: &str) -> String {
        let mut out = self.without_broken(text);
        for pattern in [&*PEM, &*BASE64_PEM, &*ISSUED, &*JOIN] {
            self.removed += pattern.find_iter(&out).count();
            out = pattern.replace_all(&out, REMOVED).into_owned();
        }
        out = self.without_blocks(&out);
        let mut removed = 0;
        let mut replace =
            |text: &str, pattern: &Regex, with: &dyn Fn(&Captures<'_>) -> Option<String>| {
                let replaced = pattern.replace_all(text, |found: &Captures<'_>| {
                    let Some(instead) = with(found) else {
                        return found[0].to_owned();
                    };
                    removed += 1;
                    instead
                });
                replaced.into_owned()
            };
        out = replace(&out, &NESTED, &|found| {
            let is_ours = is_secret(&found[1]) && &found[3] != REMOVED;
            is_ours.then(|| format!("{}{}{REMOVED}", &found[1], &found[2]))
        });
        out = replace(&out, &ENTRY, &|found| {
            let is_ours = is_secret_entry(found) && !found[4].contains(REMOVED);
            is_ours.then(|| format!("{}{}{}\"{REMOVED}\"", &found[1], &found[2], &found[3]))
        });
        out = replace(&out, &USER, &|found| {
            Some(format!(
                "{}{}{}{}:{REMOVED}",
                &found[1], &found[2], &found[3], &found[4]
            ))
        });
        out = replace(&out, &OPTION, &|found| {
            let is_ours = is_secret_option(&found[2]) && !found[4].contains(REMOVED);
            let value = &found[4];
            // The quotes of a list of words, or of a shell.
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            let open = quote.map_or_else(String::new, String::from);
            let close = if value.len() > 1 && quote.is_some_and(|quote| value.ends_with(quote)) {
                open.clone()
            } else {
                String::new()
            };
            let before = format!("{}{}{}", &found[1], &found[2], &found[3]);
            is_ours.then(|| format!("{before}{open}{REMOVED}{close}"))
        });
        out = replace(&out, &SCHEME, &|found| {
            Some(format!("{}{}{REMOVED}", &found[1], &found[2]))
        });
        out = replace(&out, &COOKIE, &|found| {
            Some(format!("{}{}{REMOVED}", &found[1], &found[2]))
        });
        out = replace(&out, &KEY32, &|_| Some(REMOVED.to_owned()));
        let masked = self.values.masked(&out);
        self.removed += removed + usize::from(masked != out);
        masked
    }

    /// JSON without secrets, by the names of its fields; the rest as text.
    pub(crate) fn redact_json(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.redact(text),
            Value::Array(items) => self.redact_list(items),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if is_secret(name) && matches!(value, Value::String(_) | Value::Number(_)) {
                        *value = REMOVED.into();
                        self.removed += 1;
                    } else {
                        self.redact_json(value);
                    }
                }
            }
            _ => {}
        }
    }

    /// A command line, the lines of a text, or others.
    fn redact_list(&mut self, items: &mut [Value]) {
        let mut is_value = false;
        let mut in_key = false;
        for item in items {
            let Value::String(text) = item else {
                is_value = false;
                self.redact_json(item);
                continue;
            };
            let begins = text.contains("-----BEGIN ") && !text.contains("-----BEGIN CERT");
            let ends = text.contains("-----END ");
            let is_option = is_secret_option(text) && !text.contains(['=', ' ']);
            if is_value || in_key || begins {
                REMOVED.clone_into(text);
                self.removed += 1;
            } else {
                *text = self.redact(text);
            }
            in_key = (in_key || begins) && !ends;
            is_value = is_option;
        }
    }

    /// Removes known values that a line end divides: a wrapped line, or one that a shell continues.
    fn without_broken(&mut self, text: &str) -> String {
        let known: Vec<&String> = self
            .long
            .iter()
            .filter(|value| {
                text.contains(&value[..PART]) && text.contains(&value[value.len() - PART..])
            })
            .collect();
        if known.is_empty() {
            return text.to_owned();
        }
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        for at in 1..lines.len() {
            let before = lines[at - 1].trim_end_matches(['\\', '\r', ' ']).to_owned();
            let (padding, after) = {
                let after = &lines[at];
                let prefix = PREFIX.find(after).map_or(0, |found| found.end());
                let start = after.len() - after[prefix..].trim_start().len();
                (after[..start].to_owned(), after[start..].to_owned())
            };
            let divided = known.iter().find_map(|value| {
                (PART..=value.len() - PART).rev().find_map(|length| {
                    let (head, tail) = value.split_at(length);
                    let rest = after.strip_prefix(tail)?;
                    Some((before.strip_suffix(head)?.to_owned(), rest.to_owned()))
                })
            });
            if let Some((head, rest)) = divided {
                lines[at - 1] = format!("{head}{REMOVED}");
                lines[at] = format!("{padding}{rest}");
                self.removed += 1;
            }
        }
        lines.join("\n")
    }

    /// Removes values that are in lines of their own, below the name: of YAML.
    fn without_blocks(&mut self, text: &str) -> String {
        let mut out: Vec<&str> = Vec::new();
        // Columns before the name of the entry whose value is being removed.
        let mut within: Option<usize> = None;
        let plain = |line: &'_ str| PREFIX.find(line).map_or(0, |found| found.end());
        for line in text.split('\n') {
            let bare = &line[plain(line)..];
            let indent = bare.len() - bare.trim_start().len();
            if let Some(column) = within {
                let is_entry = bare.trim_start().starts_with("- ")
                    || bare.contains(": ")
                    || bare.trim_end().ends_with(':');
                if bare.trim().is_empty() || (indent > column && !is_entry) {
                    if out.last() != Some(&REMOVED) {
                        out.push(REMOVED);
                        self.removed += 1;
                    }
                    continue;
                }
                within = None;
            }
            if let Some(found) = BLOCK.captures(bare).filter(|found| is_secret(&found[3])) {
                within = Some(found[1].len() - found[1].trim_start().len());
            }
            out.push(line);
        }
        out.join("\n")
    }
}

fn is_secret_entry(entry: &Captures<'_>) -> bool {
    let value = entry[4].trim();
    is_secret(&entry[2]) && !matches!(value, "true" | "false" | "null" | "\"\"" | "''")
}

/// `--key` of most programs names a file.
fn is_secret_option(name: &str) -> bool {
    let bare = name.trim_start_matches('-');
    let is_other = ["key", "file", "stdin"]
        .iter()
        .any(|end| bare.ends_with(end));
    name.starts_with("--") && !is_other && is_secret(bare)
        || ["--api-key", "--apikey", "--access-key", "--secret-key"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhpcyBpcyBhIHNlY3JldCBrZXkgb2YgMzIgYnl0ZXM=";
    const PEM64: &str =
        "LS0tLS1CRUdJTiBFRDI1NTE5IFBSSVZBVEUgS0VZLS0tLS0KTUM0Q0FRQXdCUVlESzJWd0JDSUVJUA==";

    /// A planted secret, in each form in which it may stand.
    fn planted() -> Vec<(String, Vec<&'static str>)> {
        vec![
            ("machine:\n  token: abcdef.0123456789abcdef\n  ca:\n    crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJQ\n".into(), vec!["0123456789abcdef", "MSUZJQ0FURS0tLS0tCk1JSUJQ"]),
            (format!("cluster:\n  secret: {KEY}\n  aescbcEncryptionSecret: {KEY}\n"), vec!["dGhpcyBpcyBh"]),
            (format!("    key: {PEM64}\n"), vec!["RDI1NTE5IFBSSVZBVEUg"]),
            (format!("key: |\n  {}\n  {}\nafter: 1\n", &PEM64[..40], &PEM64[40..]), vec!["RDI1NTE5", "SzJWd0JDSUVJUA"]),
            ("token: >-\n    multi\n    line-secret\nname: n\n".into(), vec!["multi", "line-secret"]),
            ("#12 0.345 -----BEGIN RSA PRIVATE KEY-----\n#12 0.346 MIIEpAIBAAKCAQEA\n#12 0.347 -----END RSA PRIVATE KEY-----\n".into(), vec!["MIIEpAIBAAKCAQEA"]),
            ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIUnended\n".into(), vec!["MHcCAQEEIUnended"]),
            (r#"{"a":"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----\n"}"#.into(), vec!["b3BlbnNzaC1r"]),
            (format!("users:\n- user:\n    client-key-data: {PEM64}\n    token: plain-kube-token\n"), vec!["RDI1NTE5", "plain-kube-token"]),
            ("> Authorization: Bearer abc.def-ghi\n> authorization: basic dXNlcjpwYXNz\nx-auth-token: t0ps3cret\n".into(), vec!["abc.def-ghi", "dXNlcjpwYXNz", "t0ps3cret"]),
            ("curl -H 'Authorization: Bearer s3cr3t-value' -u admin:hunter22 https://h/\n".into(), vec!["s3cr3t-value", "hunter22"]),
            (r#"{"auths":{"ghcr.io":{"auth":"dXNlcjpnaHBfdG9rZW4="},"r":{"identitytoken":"id-tok"}}}"#.into(), vec!["dXNlcjpnaHBf", "id-tok"]),
            ("git clone https://user:p4ssw0rd@host/x && git fetch https://ghs_tok@host/\n".into(), vec!["p4ssw0rd", "ghs_tok"]),
            ("+ GITHUB_TOKEN=plainvalue1 make\nexport AWS_SECRET_ACCESS_KEY=\"two words\"\n".into(), vec!["plainvalue1", "two words"]),
            ("login --username u --password hunter2 --token=tok-1 --password-file f\n".into(), vec!["hunter2", "tok-1"]),
            (r#"["docker","login","--password","list-secret","--registry-token", "other-one"]"#.into(), vec!["list-secret", "other-one"]),
            (r#"level=info msg="{\"token\":\"nested-tok\",\"n\":1}""#.into(), vec!["nested-tok"]),
            ("used ghp_0123456789abcdefghijABCDEFGHIJ here, AKIAIOSFODNN7EXAMPLE\n".into(), vec!["ghp_0123", "AKIAIOSF"]),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl\n".into(), vec!["eyJzdWIi"]),
            ("Cookie: session=abcdef\nSet-Cookie: id=zzzzzz; Path=/\n".into(), vec!["abcdef", "zzzzzz"]),
            ("said from-the-environment-1 and from-the-envi\\\n   ronment-1 and\n#1 0.1 from-the-\n#1 0.2 environment-1\n".into(), vec!["from-the-environment", "from-the-envi", "ronment-1"]),
        ]
    }

    fn redactor() -> Redactor {
        let mut redactor = Redactor::default();
        let variable = ("MY_TOKEN".to_owned(), "from-the-environment-1".to_owned());
        redactor.learn_variables([variable, ("HOME".to_owned(), "/root".to_owned())].into_iter());
        redactor
    }

    #[test]
    fn planted_secrets_are_gone_from_text_and_from_json() {
        for (text, secrets) in planted() {
            let out = redactor().redact(&text);
            let mut value =
                serde_json::json!({"log": text, "lines": text.split('\n').collect::<Vec<_>>()});
            if text.starts_with('[') || text.starts_with("{\"a") {
                value["parsed"] = serde_json::from_str(&text).unwrap();
            }
            let mut redactor = redactor();
            redactor.redact_json(&mut value);
            assert!(redactor.removed > 0);
            for secret in secrets {
                assert!(!out.contains(secret), "{secret}: {out}");
                // Lines of their own have no context but what is in them.
                let log = value["log"].to_string() + &value["parsed"].to_string();
                assert!(!log.contains(secret), "{secret}: {log}");
            }
        }
    }

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
    fn what_is_not_secret_stays() {
        let text = "#7 [build 3/9] RUN go build -o /x --sort-key=2 ./cmd\n#7 DONE 1.2s\n\
            image: ghcr.io/siderolabs/installer:v1.12.0\nname: a\nlabels:\n  key: \n  app: web\n\
            docker login --username u --password-stdin --tls-key /k.pem\n";
        let out = redactor().redact(text);
        assert_eq!(out, text);
    }

    #[test]
    fn json_stays_json() {
        let mut redactor = Redactor::default();
        let out =
            redactor.redact(r#"{"a": {"token": "x\"y", "n": 1}, "key": "v", "password": null}"#);
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["a"]["token"], REMOVED);
        assert_eq!(value["a"]["n"], 1);
        let mut words = serde_json::json!({"command": ["x", "--password", "hunter2", "-n"], "auth": "abc",
            "lines": ["-----BEGIN PRIVATE KEY-----", "MIIB", "-----END PRIVATE KEY-----", "kept"]});
        redactor.redact_json(&mut words);
        assert_eq!(
            words["command"],
            serde_json::json!(["x", "--password", REMOVED, "-n"])
        );
        assert_eq!(words["auth"], REMOVED);
        assert_eq!(
            words["lines"],
            serde_json::json!([REMOVED, REMOVED, REMOVED, "kept"])
        );
    }
}
