//! Secret values, which are neither displayed nor recorded: those of variables
//! with a telling name, and passwords in URLs. Steps still run with the real
//! values.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::{Action, Plan, Step};
use crate::failure::Failure;

/// What is displayed and recorded in place of a secret.
pub const MASK: &str = "***";

/// Words that mark a variable as secret anywhere in its name.
const ANYWHERE: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "APIKEY",
];
/// Words that mark a variable as secret as a whole part of its name: `API_KEY`,
/// but not `KEYBOARD`.
const PARTS: &[&str] = &[
    "KEY",
    "KEYS",
    "PASS",
    "AUTH",
    "PAT",
    "CREDS",
    "AUTHORIZATION",
    "BEARER",
];
/// The same, except as the first part: `PWD` is a folder.
const LATER_PARTS: &[&str] = &["PWD", "ACCT"];
/// Fewer words mark options (`--password=…`): `--sort-key=2` is not a secret.
const OPTIONS: &[&str] = &["TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE"];

/// A value of at least this length is also masked inside other words.
const LONG: usize = 8;
/// A shorter value is only masked after its name.
const SHORT: usize = 3;
/// Maximum number of values: each is compared at each position.
const MOST: usize = 200;
/// Values that are not secret whatever their variable.
const PLAIN: &[&str] = &[
    "true", "false", "yes", "none", "auto", "always", "never", "default",
];

/// Enclose the name of a variable in place of its value until the script is
/// quoted; with [`NONCE`], because a file name may contain these characters.
const OPEN: char = '\u{f503}';
const CLOSE: char = '\u{f504}';
static NONCE: LazyLock<String> =
    LazyLock::new(|| format!("{OPEN}{:x}:", RandomState::new().build_hasher().finish()));

/// Whether a variable of that name is secret.
pub fn is_secret(name: &str) -> bool {
    let parts = parts(name);
    let joined = parts.concat();
    ANYWHERE.iter().any(|word| joined.contains(word))
        || parts.iter().any(|part| PARTS.contains(&part.as_str()))
        || parts
            .iter()
            .skip(1)
            .any(|part| LATER_PARTS.contains(&part.as_str()))
            && parts[0] != "OLD"
}

/// Splits `apiKey`, `API_KEY` and `api-key` into `API`, `KEY`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for character in name.chars() {
        let is_upper = character.is_ascii_uppercase();
        if !character.is_ascii_alphanumeric() || (was_lower && is_upper) {
            parts.push(String::new());
        }
        was_lower = character.is_ascii_lowercase();
        if character.is_ascii_alphanumeric()
            && let Some(part) = parts.last_mut()
        {
            part.push(character.to_ascii_uppercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        parts.push(String::new());
    }
    parts
}

/// Other spellings of a value in the texts of a build: quoted for a nested
/// make, inside shell quotes, line by line.
fn spellings(value: &str) -> Vec<String> {
    let mut by_make = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '$' => by_make.push('$'),
            ' ' | '\t' | '\\' => by_make.push('\\'),
            _ => {}
        }
        by_make.push(character);
    }
    let mut all = vec![by_make, value.replace('\'', r"'\''")];
    if value.contains('\n') {
        let lines = value.lines().map(str::trim);
        all.extend(lines.filter(|line| line.len() >= LONG).map(str::to_owned));
    }
    all
}

#[derive(Clone, PartialEq, Eq)]
struct Secret {
    /// Empty if no variable has exactly this value.
    name: String,
    value: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={MASK}", self.name)
    }
}

/// The secret values that the texts of a step may contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets(Arc<Vec<Secret>>);

impl Secrets {
    /// Selects the secret variables: by name, or because their value is a URL
    /// with a password.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::default().with(
            variables
                .into_iter()
                .filter(|(name, value)| is_secret(name) || without_passwords(value) != *value),
        )
    }

    /// Adds values that are secret independent of a name.
    #[must_use]
    pub fn with(&self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all: Vec<Secret> = Vec::clone(&self.0);
        for (name, value) in variables {
            let value = value.trim();
            if value.len() < SHORT || PLAIN.contains(&value) || makefile::contains_slot(value) {
                continue;
            }
            // A variable has one value; other values of that name are only
            // masked.
            if all.len() >= MOST {
                break;
            }
            let is_taken = all.iter().any(|it| it.name == name && it.value != value);
            let name = if is_taken { String::new() } else { name };
            let mut add = |name: String, value: String| {
                if all.len() < MOST && !all.iter().any(|it| it.value == value) {
                    all.push(Secret { name, value });
                }
            };
            add(name, value.to_owned());
            for other in spellings(value) {
                add(String::new(), other);
            }
        }
        Self::sorted(all)
    }

    /// Merges two sets.
    fn merged(&self, other: &Self) -> Self {
        let mut all: Vec<Secret> = Vec::clone(&self.0);
        for secret in other.0.iter() {
            if all.len() < MOST && !all.iter().any(|it| it.value == secret.value) {
                all.push(secret.clone());
            }
        }
        Self::sorted(all)
    }

    /// Longest first: a value may be the beginning of another.
    fn sorted(mut all: Vec<Secret>) -> Self {
        all.sort_by_key(|it| std::cmp::Reverse(it.value.len()));
        Self(Arc::new(all))
    }

    /// Returns `text` as it is displayed and recorded.
    pub fn masked(&self, text: &str) -> String {
        let text = without_passwords(text);
        let text = self.replaced(&text, |_| MASK.to_owned());
        without_assigned(&text)
    }

    /// Returns `text` for a script: references to variables in place of their
    /// values. A value without a variable is masked.
    fn referenced(&self, text: &str) -> String {
        let text = self.replaced(text, |it| match it.name.as_str() {
            "" => MASK.to_owned(),
            name => reference(name),
        });
        without_assigned(&without_passwords(&text))
    }

    fn replaced(&self, text: &str, with: impl Fn(&Secret) -> String) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let mut begins: BTreeMap<[u8; SHORT], Vec<&Secret>> = BTreeMap::new();
        let mut bytes = [false; 256];
        for secret in self.0.iter() {
            if let Some(start) = secret.value.as_bytes().first_chunk() {
                begins.entry(*start).or_default().push(secret);
                bytes[usize::from(start[0])] = true;
            }
        }
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let mut out = String::with_capacity(text.len());
        let (mut from, mut at) = (0, 0);
        while at < text.len() {
            let start = &text.as_bytes()[at..];
            let start = start
                .first_chunk()
                .filter(|start| bytes[usize::from(start[0])]);
            let found = start.and_then(|start| begins.get(start)).map(|known| {
                known.iter().find(|secret| {
                    let rest = text.get(at..);
                    let Some(rest) = rest.and_then(|it| it.strip_prefix(&*secret.value)) else {
                        return false;
                    };
                    secret.value.len() >= LONG
                        || !(is_word(text[..at].chars().next_back())
                            || is_word(rest.chars().next()))
                })
            });
            if let Some(secret) = found.flatten() {
                out.push_str(&text[from..at]);
                out.push_str(&with(secret));
                at += secret.value.len();
                from = at;
            } else {
                at += 1;
            }
        }
        out.push_str(&text[from..]);
        out
    }
}

/// The placeholder of a variable until the text is quoted; only for names that a
/// shell accepts.
fn reference(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let before = if name.starts_with(|c: char| c.is_ascii_digit()) {
        "_"
    } else {
        ""
    };
    format!("{}{before}{name}{CLOSE}", *NONCE)
}

/// A part of a text for a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// A reference to a variable, by its name.
    Reference(&'a str),
}

/// Splits the result of [`Secrets::referenced`]; empty if it has no reference.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, (name, after))) = rest
        .split_once(NONCE.as_str())
        .and_then(|(before, rest)| Some((before, rest.split_once(CLOSE)?)))
    {
        out.push(Piece::Text(before));
        out.push(Piece::Reference(name));
        rest = after;
    }
    if out.is_empty() {
        return None;
    }
    out.push(Piece::Text(rest));
    out.retain(|piece| *piece != Piece::Text(""));
    Some(out)
}

/// Returns the names of the variables that `plan`, prepared for a script,
/// refers to.
pub(super) fn references(plan: &Plan) -> Vec<String> {
    let mut plan = plan.clone();
    let mut names = std::collections::BTreeSet::new();
    let mut note = |text: &mut String| {
        for piece in pieces(text).into_iter().flatten() {
            if let Piece::Reference(name) = piece {
                names.insert(name.to_owned());
            }
        }
    };
    each_text(&mut plan, &mut note);
    for step in &mut plan.steps {
        if let Action::Run(run) = &mut step.action {
            run.env.iter_mut().for_each(|(_, value)| note(value));
        }
    }
    names.into_iter().collect()
}

/// Masks the password in `scheme://user:password@host`; for http also a user
/// without a password, because that is a token.
fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let is_end = |c: char| c.is_whitespace() || "/?#\"'`\\|<>".contains(c);
        let end = after.find(is_end).unwrap_or(after.len());
        let authority = &after[..end];
        if let Some((user, _)) = authority.rsplit_once('@') {
            let is_http = before.ends_with("http://") || before.ends_with("https://");
            let shown = match user.split_once(':') {
                // A reference to a shell variable is not a secret.
                Some((_, password)) if password.is_empty() || is_reference(password) => None,
                Some((name, _)) => Some(format!("{name}:{MASK}")),
                None if is_http && !user.is_empty() && !is_reference(user) => Some(MASK.to_owned()),
                None => None,
            };
            out.push_str(shown.as_deref().unwrap_or(user));
            rest = &after[user.len()..];
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Masks the value in `NAME=value` if the name marks it as secret.
fn without_assigned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        let before = before[..at].trim_end_matches([':', '?', '+']);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let start = before.trim_end_matches(is_name).len();
        if !names_secret(&before[start..]) {
            continue;
        }
        let quote = before[..start].chars().next_back();
        let quote = quote.filter(|c| matches!(c, '"' | '\''));
        let value = assigned(after, quote);
        let bare = value.trim_start_matches(['"', '\'']);
        if bare.is_empty() || is_reference(bare) || bare.starts_with(MASK) {
            continue;
        }
        out.push_str(MASK);
        rest = &after[value.len()..];
    }
    out.push_str(rest);
    out
}

fn names_secret(name: &str) -> bool {
    if name.starts_with('-') {
        let parts = parts(name);
        return parts.iter().any(|part| OPTIONS.contains(&part.as_str()));
    }
    is_secret(name)
}

/// Returns the length of the value at the start of `text`: up to the `quote`
/// that precedes its name, or one shell word.
fn assigned(text: &str, quote: Option<char>) -> &str {
    let mut open = quote;
    let mut chars = text.char_indices();
    while let Some((at, character)) = chars.next() {
        match character {
            '\\' if open != Some('\'') => {
                chars.next();
            }
            _ if open == Some(character) => {
                if quote.is_some() {
                    return &text[..at];
                }
                open = None;
            }
            _ if open.is_some() => {}
            '"' | '\'' if text[at + 1..].contains(character) => open = Some(character),
            _ if character.is_whitespace() || "\"';|&()<>`".contains(character) => {
                return &text[..at];
            }
            _ => {}
        }
    }
    text
}

/// A reference to a variable, or its placeholder.
fn is_reference(text: &str) -> bool {
    text.starts_with('$')
        || text.starts_with(NONCE.as_str())
        || makefile::contains_slot(&text[..first(text)])
}

fn first(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

impl Plan {
    /// Masked, as displayed and recorded.
    #[must_use]
    pub fn masked(&self) -> Self {
        let secrets = self.secrets();
        self.rewritten(&secrets, |text| secrets.masked(text), |_| MASK.to_owned())
    }

    /// With references to variables in place of values, as in a script.
    pub(super) fn referenced(&self) -> Self {
        let secrets = self.secrets();
        let mut plan = self.rewritten(&secrets, |text| secrets.referenced(text), reference);
        // Comments of the script are only masked.
        plan.title = secrets.masked(&self.title);
        for (note, own) in plan.notes.iter_mut().zip(&self.notes) {
            *note = secrets.masked(own);
        }
        for (step, own) in plan.steps.iter_mut().zip(&self.steps) {
            step.why = secrets.masked(&own.why);
        }
        plan
    }

    /// `by_name` returns the replacement for the value of a secret variable.
    fn rewritten(
        &self,
        secrets: &Secrets,
        rewrite: impl Fn(&str) -> String,
        by_name: impl Fn(&str) -> String,
    ) -> Self {
        let mut plan = self.clone();
        each_text(&mut plan, &mut |text| *text = rewrite(text));
        for step in &mut plan.steps {
            rewrite_environment(step, secrets, &rewrite, &by_name);
        }
        plan
    }

    fn secrets(&self) -> Secrets {
        let mut all = Secrets::default();
        for step in &self.steps {
            let own = step.secrets();
            if all.0.is_empty() {
                all = own;
            } else if own != all {
                all = all.merged(&own);
            }
        }
        all
    }
}

impl Step {
    /// The secrets that its texts may contain.
    pub fn secrets(&self) -> Secrets {
        match &self.action {
            Action::Run(run) => run.secrets.clone(),
            _ => Secrets::default(),
        }
    }

    /// Returns the step as it is displayed.
    #[must_use]
    pub fn masked(&self) -> Self {
        let secrets = self.secrets();
        let mut step = self.clone();
        each_text_of(&mut step, &mut |text| *text = secrets.masked(text));
        rewrite_environment(&mut step, &secrets, &|text| secrets.masked(text), &|_| {
            MASK.to_owned()
        });
        step
    }
}

impl Failure {
    /// Masked, as displayed and recorded.
    #[must_use]
    pub fn masked(mut self, secrets: &Secrets) -> Self {
        let texts = self.causes.iter_mut().chain(&mut self.excerpt);
        for text in texts.chain([&mut self.what]).chain(&mut self.hint) {
            *text = secrets.masked(text);
        }
        self
    }
}

/// The value of a secret variable is masked as a whole.
fn rewrite_environment(
    step: &mut Step,
    secrets: &Secrets,
    rewrite: &dyn Fn(&str) -> String,
    by_name: &dyn Fn(&str) -> String,
) {
    let Action::Run(run) = &mut step.action else {
        return;
    };
    for (name, value) in &mut run.env {
        let is_known = secrets.0.iter().any(|it| it.value == value.trim());
        let short = is_secret(name) && !is_known && !value.is_empty();
        *value = if short && !is_reference(value) {
            by_name(name)
        } else {
            rewrite(value)
        };
    }
}

fn each_text(plan: &mut Plan, see: &mut dyn FnMut(&mut String)) {
    see(&mut plan.title);
    plan.notes.iter_mut().for_each(&mut *see);
    for step in &mut plan.steps {
        each_text_of(step, see);
    }
}

/// All texts except the environment of its command.
fn each_text_of(step: &mut Step, see: &mut dyn FnMut(&mut String)) {
    see(&mut step.why);
    if let Some(learns) = &mut step.learns {
        see(&mut learns.name);
    }
    match &mut step.action {
        Action::Run(run) => run.argv.iter_mut().for_each(see),
        Action::Launch(launch) => launch.argv.iter_mut().for_each(see),
        Action::Require { message, .. } => see(message),
        Action::RecordImages { references, .. } => references.iter_mut().for_each(see),
        Action::HardReboot {
            control: Some(control),
            ..
        } => see(control),
        // Names, numbers and paths contain no secrets, and a script needs the contents
        // of files.
        Action::WriteFile { .. }
        | Action::WaitRegistries { .. }
        | Action::DeleteManifests { .. }
        | Action::CreateDir { .. }
        | Action::Remove { .. }
        | Action::RemoveEmptyDir { .. }
        | Action::RemoveOwned { .. }
        | Action::RemoveAllOwned { .. }
        | Action::RemoveFile { .. }
        | Action::RequireFile { .. }
        | Action::RemoveBridge { .. }
        | Action::CopyTree { .. }
        | Action::CopyFile { .. }
        | Action::RecordDigests { .. }
        | Action::Stop { .. }
        | Action::ShutDown { .. }
        | Action::HardReboot { control: None, .. } => {}
    }
}

#[cfg(test)]
mod tests;
