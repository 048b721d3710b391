//! What a registry answers.

use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use super::{Result, names};

/// Characters of a refusal.
const SHOWN: usize = 200;
/// Bytes of a listing or a manifest. The registry's own limit of a manifest is
/// four million.
const LARGEST: u64 = 8 << 20;
/// Bytes of a refusal.
const REFUSAL: u64 = 16 << 10;

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub digest: String,
    /// What it refers to: digest and bytes of each blob.
    pub blobs: Vec<(String, u64)>,
    /// Of an index: the digests of its manifests.
    pub manifests: Vec<String>,
    /// Its own length in bytes.
    pub length: u64,
}

/// A tagged image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    pub repository: String,
    pub tag: String,
    pub digest: String,
    /// Bytes of everything that it refers to, each blob once.
    pub size: u64,
}

/// How a request went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nobody listens there.
    #[error("{0}")]
    NoAnswer(String),
    /// It speaks something other than plain HTTP.
    #[error("it does not speak plain HTTP: {0}")]
    NotHttp(String),
    #[error("it answers {status}{}", said(text))]
    Status { status: u16, text: String },
    #[error("{0}")]
    Nonsense(String),
}

impl ApiError {
    /// Whether it answered that it does not have what was asked for.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }
}

fn said(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let short: String = text.chars().take(SHOWN).collect();
    format!(": {short}")
}

#[derive(Deserialize)]
pub(super) struct Catalog {
    #[serde(default)]
    pub(super) repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct Tags {
    #[serde(default)]
    pub(super) tags: Option<Vec<String>>,
}

pub(super) fn read(response: &mut ureq::http::Response<ureq::Body>) -> Result<String> {
    response
        .body_mut()
        .with_config()
        .limit(LARGEST)
        .read_to_string()
        .map_err(|error| ApiError::Nonsense(error.to_string()))
}

/// A TLS server answers plain HTTP with 400 and these words (Go), or with bytes
/// that are no HTTP.
pub(super) fn refusal(response: &mut ureq::http::Response<ureq::Body>) -> ApiError {
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    let body = response.body_mut().as_reader();
    // What came before it broke off says as much.
    let _ = body.take(REFUSAL).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.contains("HTTP request to an HTTPS server") {
        return ApiError::NotHttp("it wants TLS".to_owned());
    }
    ApiError::Status { status, text }
}

pub(super) fn explain(error: &ureq::Error) -> ApiError {
    match error {
        ureq::Error::Io(error) => ApiError::NoAnswer(error.to_string()),
        ureq::Error::Protocol(error) => ApiError::NotHttp(error.to_string()),
        other => ApiError::NoAnswer(other.to_string()),
    }
}

/// None for what is no manifest, or names what is no digest.
pub fn parse_manifest(digest: &str, text: &str) -> Option<Manifest> {
    let value: Value = serde_json::from_str(text).ok()?;
    let list = |name: &str| value[name].as_array().into_iter().flatten();
    let digest_of = |value: &Value| value["digest"].as_str().map(str::to_owned);
    let named = list("manifests").chain(list("layers"));
    // They become parts of requests, and decide what is kept.
    if !named.chain(Some(&value["config"])).all(|value| {
        value["digest"].is_null() || value["digest"].as_str().is_some_and(names::is_digest)
    }) {
        return None;
    }
    let blob = |value: &Value| Some((digest_of(value)?, value["size"].as_u64().unwrap_or(0)));
    if value["manifests"].is_null() && value["config"].is_null() && value["layers"].is_null() {
        return None;
    }
    Some(Manifest {
        digest: digest.to_owned(),
        blobs: std::iter::once(&value["config"])
            .chain(list("layers"))
            .filter_map(blob)
            .collect(),
        manifests: list("manifests").filter_map(digest_of).collect(),
        length: text.len() as u64,
    })
}
