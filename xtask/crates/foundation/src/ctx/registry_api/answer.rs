//! Responses of a registry.

use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use super::{Result, names};

/// Maximum characters of an error message.
const SHOWN: usize = 200;
/// Maximum bytes of a listing or a manifest. The registry's limit for a
/// manifest is four million.
const LARGEST: u64 = 8 << 20;
/// Maximum bytes of an error response.
const REFUSAL: u64 = 16 << 10;

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub digest: String,
    /// The blobs that it refers to: digest and size in bytes.
    pub blobs: Vec<(String, u64)>,
    /// The digests of the manifests of an index.
    pub manifests: Vec<String>,
    /// Its size in bytes.
    pub length: u64,
}

/// A tagged image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    pub repository: String,
    pub tag: String,
    pub digest: String,
    /// Size in bytes of everything that it refers to, each blob once.
    pub size: u64,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nothing listens at the address.
    #[error("{0}")]
    NoAnswer(String),
    /// The server does not speak plain HTTP.
    #[error("it does not speak plain HTTP: {0}")]
    NotHttp(String),
    #[error("it responded with {status}{}", error_message(text))]
    Status { status: u16, text: String },
    #[error("{0}")]
    Nonsense(String),
}

impl ApiError {
    /// Whether the registry responded "not found".
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }
}

fn error_message(text: &str) -> String {
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

/// A TLS server responds to plain HTTP with 400 and these words (Go), or with
/// bytes that are not HTTP.
pub(super) fn refusal(response: &mut ureq::http::Response<ureq::Body>) -> ApiError {
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    let body = response.body_mut().as_reader();
    // The part before the connection broke is enough.
    let _ = body.take(REFUSAL).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.contains("HTTP request to an HTTPS server") {
        return ApiError::NotHttp("it requires TLS".to_owned());
    }
    ApiError::Status { status, text }
}

pub(in crate::ctx) fn explain(error: &ureq::Error) -> ApiError {
    match error {
        ureq::Error::Io(error) => ApiError::NoAnswer(error.to_string()),
        ureq::Error::Protocol(error) => ApiError::NotHttp(error.to_string()),
        other => ApiError::NoAnswer(other.to_string()),
    }
}

/// `None` if it is not a manifest or contains an invalid digest.
pub fn parse_manifest(digest: &str, text: &str) -> Option<Manifest> {
    let value: Value = serde_json::from_str(text).ok()?;
    let list = |name: &str| value[name].as_array().into_iter().flatten();
    let digest_of = |value: &Value| value["digest"].as_str().map(str::to_owned);
    let named = list("manifests").chain(list("layers"));
    // Digests become parts of requests and decide what is kept.
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
