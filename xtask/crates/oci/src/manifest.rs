//! Indexes, manifests and configurations: the fields that are read here.
//!
//! Not the crate oci-spec: its derived builders and getters for every field
//! bring five procedural macros and their `syn` into a build that a newcomer waits
//! for, and Docker's own media types would still have to be added.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::digest::Digest;
use crate::error::{ImageError, Result};

/// Types that a tag may refer to, as a registry is asked for them.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Annotation of the entries that buildx adds for provenance and SBOM.
const ATTESTATION: &str = "vnd.docker.reference.type";

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    #[serde(default)]
    pub size: Option<u64>,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default, deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether it is provenance or an SBOM, not an image.
    pub(crate) fn is_attestation(&self) -> bool {
        self.annotations.contains_key(ATTESTATION)
            || self
                .platform
                .as_ref()
                .is_some_and(|it| it.os == "unknown" && it.architecture == "unknown")
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Platform {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() && self.architecture.is_empty() {
            return f.write_str("no platform");
        }
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

/// An index or a manifest; media types are optional in both, the fields decide.
#[derive(Debug, Clone)]
pub(crate) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Box<Manifest>),
}

#[derive(Debug, Clone)]
pub struct Manifest {
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "nullable")]
    annotations: BTreeMap<String, String>,
}

/// Parses JSON that came from outside, and names HTML, which proxies and login
/// pages return.
pub(crate) fn json<T: for<'a> Deserialize<'a>>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| {
        let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
        if start.is_some_and(|at| bytes[at] == b'<') {
            return ImageError::Html { what: what.into() };
        }
        ImageError::invalid(what, error.to_string())
    })
}

pub(crate) fn document(what: &str, bytes: &[u8]) -> Result<Document> {
    let raw: Raw = json(what, bytes)?;
    match (raw.manifests, raw.config) {
        (Some(manifests), None) => Ok(Document::Index(manifests)),
        (None, Some(config)) => Ok(Document::Manifest(Box::new(Manifest {
            media_type: raw.media_type.unwrap_or_default(),
            config,
            layers: raw.layers.unwrap_or_default(),
            annotations: raw.annotations,
        }))),
        _ if raw.schema_version == Some(1) => Err(ImageError::Unsupported {
            what: what.into(),
            reason: "schema 1 manifests were removed from registries".into(),
        }),
        _ => Err(ImageError::invalid(
            what,
            "it is neither an index nor a manifest",
        )),
    }
}

/// The configuration of an image.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Config {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub variant: Option<String>,
    #[serde(default)]
    pub created: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub config: Process,
}

impl Config {
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }
}

/// How a container of the image starts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Process {
    #[serde(deserialize_with = "nullable")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
}

/// Go writes `null` for empty lists and maps.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// One image of docker's own archive form.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    #[serde(default)]
    pub(crate) config: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) layers: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_writes_null_where_nothing_is() {
        let text = br#"{"architecture":"amd64","os":"linux","config":null}"#;
        let config: Config = json("config", text).unwrap();
        assert_eq!(config.platform().to_string(), "linux/amd64");
        let text = br#"{"config":{"Entrypoint":null,"Labels":null,"Env":["A=b"]}}"#;
        let config: Config = json("config", text).unwrap();
        assert_eq!(config.config.env, ["A=b"]);
        assert_eq!(config.platform().to_string(), "no platform");
    }

    #[test]
    fn html_is_named() {
        let html = document("manifest", b"\n<!DOCTYPE html><html>login</html>");
        assert!(matches!(html, Err(ImageError::Html { .. })), "{html:?}");
        for bad in ["", "{", "[]", "{}", r#"{"schemaVersion":1}"#, "null"] {
            document("manifest", bad.as_bytes()).unwrap_err();
        }
    }
}
