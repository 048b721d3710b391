//! Images that nodes pulled, from requests of the registry protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

/// One image and who asked a registry for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pull {
    /// `HOST/REPOSITORY:TAG` or `HOST/REPOSITORY@DIGEST`.
    pub image: String,
    /// Where it was asked for: `172.20.0.1:5000`, or a host.
    pub endpoint: String,
    pub digest: Option<String>,
    /// Statuses of the manifest's requests; empty without a response.
    pub statuses: BTreeSet<u16>,
    /// Only the helper's log shows it: the status is inside TLS.
    pub inside_tls: bool,
    /// Of the layers that were answered with 200, in bytes.
    pub bytes: u64,
    pub first: u64,
    pub last: u64,
    pub nodes: BTreeSet<IpAddr>,
    /// Boots in which it was asked for, by node; 1 is the first that was observed.
    pub boots: BTreeMap<IpAddr, BTreeSet<u32>>,
}

impl Pull {
    pub fn was_found(&self) -> bool {
        self.statuses
            .iter()
            .any(|status| (200..300).contains(status))
    }

    /// Whether it is a signature of an image, which cosign keeps under a tag.
    pub fn is_signature(&self) -> bool {
        self.signed().is_some()
    }

    /// The digest whose signature it is: `sha256-DIGEST.sig` is the tag.
    pub fn signed(&self) -> Option<String> {
        let tag = self.image.rsplit(':').next()?;
        let digest = tag.strip_prefix("sha256-")?;
        let digest = digest.split('.').next()?;
        Some(format!("sha256:{digest}"))
    }
}

/// `/v2/REPOSITORY/manifests/REFERENCE?ns=HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) repository: String,
    /// A tag or a digest; of a blob its digest.
    pub(crate) reference: String,
    pub(crate) is_manifest: bool,
    /// The registry that a mirror stands for.
    pub(crate) namespace: Option<String>,
}

impl Part {
    pub(crate) fn parse(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // A mirror may have a path of its own before.
        let (_, rest) = path.split_once("/v2/")?;
        let parts = [("/manifests/", true), ("/blobs/", false)];
        let (repository, reference, is_manifest) =
            parts.into_iter().find_map(|(word, is_manifest)| {
                let (repository, reference) = rest.rsplit_once(word)?;
                Some((repository, reference, is_manifest))
            })?;
        if repository.is_empty() || reference.is_empty() || reference.contains('/') {
            return None;
        }
        let mut fields = query.split('&');
        let namespace = fields.find_map(|field| field.strip_prefix("ns="));
        Some(Self {
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            is_manifest,
            namespace: namespace.map(|host| host.replace("%3A", ":").replace("%3a", ":")),
        })
    }

    pub(crate) fn is_by_digest(&self) -> bool {
        self.reference.contains(':')
    }

    pub(crate) fn image(&self, host: &str) -> String {
        let separator = if self.is_by_digest() { '@' } else { ':' };
        format!("{host}/{}{separator}{}", self.repository, self.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_the_registry_protocol() {
        let part = Part::parse("/v2/library/alpine/manifests/3.18?ns=docker.io").unwrap();
        assert_eq!(part.image("docker.io"), "docker.io/library/alpine:3.18");
        assert_eq!(part.namespace.as_deref(), Some("docker.io"));
        let part = Part::parse("/cache/v2/a/manifests/sha256:00").unwrap();
        assert_eq!(part.image("x"), "x/a@sha256:00");
        let blob = Part::parse("/v2/a/b/blobs/sha256:00?ns=ghcr.io%3A443").unwrap();
        assert!(!blob.is_manifest);
        assert_eq!(blob.namespace.as_deref(), Some("ghcr.io:443"));
        for other in ["/v2/", "/debug.yaml", "/v2/a/tags/list", "/v2/a/manifests/"] {
            assert_eq!(Part::parse(other), None, "{other}");
        }
    }
}
