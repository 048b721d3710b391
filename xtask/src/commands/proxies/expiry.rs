//! The age of a pull-through cache: the registry records when each entry
//! expires, a week after it was cached (distribution,
//! registry/proxy/scheduler).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::commands::registry::view::DATA;
use foundation::ctx::containers::files;
use foundation::ctx::registry_api::Api;
use foundation::units::human_span;

/// Lifetime of an entry from when it is cached.
const LIFETIME_SECONDS: i64 = 7 * 24 * 3600;

/// The entries of a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) entries: usize,
    /// Entries that have expired: the registry removes them, and may still list
    /// them.
    pub(super) expired: usize,
    /// Age in seconds.
    pub(super) oldest: Option<u64>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "ExpiryData")]
    expiry: String,
}

/// Reads the cache of a container whose registry is at `port`.
///
/// # Errors
/// Why the state cannot be read.
pub(super) fn read_cache(container: &str, port: u16) -> Result<Cache, String> {
    // Without an entry there is no file either.
    let repositories = Api::on_loopback(port).repositories();
    if repositories.map_err(|error| error.to_string())?.is_empty() {
        return Ok(Cache::default());
    }
    let file = format!("{DATA}/scheduler-state.json");
    let text = files::read(container, &file).map_err(|failure| match failure.causes.first() {
        Some(cause) => format!("{}: {cause}", failure.what),
        None => failure.what,
    })?;
    parse_cache(&text, jiff::Timestamp::now())
}

fn parse_cache(text: &str, now: jiff::Timestamp) -> Result<Cache, String> {
    let entries: BTreeMap<String, Entry> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let expiries: Vec<jiff::Timestamp> = entries
        .values()
        .filter_map(|entry| entry.expiry.parse().ok())
        .collect();
    let age = |expiry: &jiff::Timestamp| LIFETIME_SECONDS - (expiry.as_second() - now.as_second());
    Ok(Cache {
        entries: expiries.len(),
        expired: expiries.iter().filter(|expiry| **expiry <= now).count(),
        oldest: expiries
            .iter()
            .map(age)
            .max()
            .map(|age| u64::try_from(age).unwrap_or(0)),
    })
}

impl Cache {
    /// Returns `None` for an empty cache.
    pub(super) fn describe(&self) -> Option<String> {
        let oldest = self.oldest?;
        let expired = match self.expired {
            0 => String::new(),
            count => format!(", {count} of them expired"),
        };
        Some(format!(
            "{} cached entries, the oldest {} old{expired}",
            self.entries,
            human_span(oldest)
        ))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"entries": self.entries, "expired": self.expired, "oldest_seconds": self.oldest})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_as_old_as_their_time_has_gone() {
        // As registry 2.8.2 writes it.
        let text = r#"{"a@sha256:1":{"Key":"a@sha256:1","ExpiryData":"2026-11-28T10:00:00.5Z","EntryType":0},
            "b@sha256:2":{"Key":"b@sha256:2","ExpiryData":"2026-11-20T10:00:00Z","EntryType":1}}"#;
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        let cache = parse_cache(text, now).unwrap();
        assert_eq!((cache.entries, cache.expired), (2, 1));
        assert_eq!(cache.oldest, Some(8 * 24 * 3600));
        assert!(
            cache
                .describe()
                .unwrap()
                .contains("8 days old, 1 of them expired")
        );
        assert_eq!(parse_cache("{}", now), Ok(Cache::default()));
        parse_cache("", now).unwrap_err();
    }
}
