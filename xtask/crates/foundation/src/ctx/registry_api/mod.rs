//! What a registry holds, over its HTTP API: plain HTTP, as all registries on
//! this machine are asked. Reading only.

mod answer;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

pub use answer::{ApiError, Manifest, Tagged};
use answer::{Catalog, Tags, explain, parse_manifest, read, refusal};

/// Everything that a tag may stand for.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
const LIMIT: Duration = Duration::from_secs(15);
/// Of a listing; a registry that has more pages says the same ones again.
const PAGES: usize = 1000;
const PER_PAGE: usize = 500;
/// An index of indexes; images have two levels.
const DEPTH: usize = 4;
/// Requests at once.
const WORKERS: usize = 8;

/// A registry, by `HOST:PORT`.
#[derive(Debug, Clone)]
pub struct Api {
    address: String,
    agent: ureq::Agent,
}

type Result<T> = std::result::Result<T, ApiError>;

impl Api {
    /// `address` is `HOST:PORT`.
    pub fn at(address: impl Into<String>) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .timeout_connect(Some(Duration::from_secs(3)))
            .http_status_as_error(false);
        Self {
            address: address.into(),
            agent: ureq::Agent::from(config.build()),
        }
    }

    pub fn on_loopback(port: u16) -> Self {
        Self::at(format!("127.0.0.1:{port}"))
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether it is a registry, and answers.
    ///
    /// # Errors
    /// Why not.
    pub fn ping(&self) -> Result<()> {
        let mut response = self.get("/v2/")?;
        match response.status().as_u16() {
            // Where it wants a login.
            200 | 401 => Ok(()),
            _ => Err(refusal(&mut response)),
        }
    }

    /// All repositories, sorted; those that lost their last tag too.
    ///
    /// # Errors
    /// When it does not answer, or in a way that no registry does.
    pub fn repositories(&self) -> Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        for _ in 0..PAGES {
            let from = all
                .last()
                .map_or_else(String::new, |last| format!("&last={last}"));
            let page: Catalog = self.json(&format!("/v2/_catalog?n={PER_PAGE}{from}"))?;
            let page = page.repositories.unwrap_or_default();
            let is_last = page.len() < PER_PAGE || page.last() == all.last();
            all.extend(page);
            if is_last {
                break;
            }
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// # Errors
    /// As [`Self::repositories`]; a repository without tags has none.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let tags: Tags = match self.json(&format!("/v2/{repository}/tags/list")) {
            Err(ApiError::Status { status: 404, .. }) => return Ok(Vec::new()),
            other => other?,
        };
        let mut tags = tags.tags.unwrap_or_default();
        tags.sort();
        Ok(tags)
    }

    /// By tag or digest.
    ///
    /// # Errors
    /// When it has none, or does not answer.
    pub fn manifest(&self, repository: &str, reference: &str) -> Result<Manifest> {
        let mut response = self.get(&format!("/v2/{repository}/manifests/{reference}"))?;
        if response.status().as_u16() != 200 {
            return Err(refusal(&mut response));
        }
        let digest = response
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok())
            .map_or_else(|| reference.to_owned(), str::to_owned);
        let text = read(&mut response)?;
        parse_manifest(&digest, &text)
            .ok_or_else(|| ApiError::Nonsense("what it calls a manifest is none".to_owned()))
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// When it has none, or breaks off.
    pub fn blob(&self, repository: &str, digest: &str) -> Result<Vec<u8>> {
        let mut response = self.get(&format!("/v2/{repository}/blobs/{digest}"))?;
        if response.status().as_u16() != 200 {
            return Err(refusal(&mut response));
        }
        response
            .body_mut()
            .read_to_vec()
            .map_err(|error| ApiError::Nonsense(error.to_string()))
    }

    /// Whether it has a blob, of which many are too large to be fetched.
    ///
    /// # Errors
    /// When it has not, or does not answer.
    pub fn has_blob(&self, repository: &str, digest: &str) -> Result<()> {
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"));
        let mut response = self
            .agent
            .head(url)
            .call()
            .map_err(|error| explain(&error))?;
        match response.status().as_u16() {
            200 | 307 => Ok(()),
            _ => Err(refusal(&mut response)),
        }
    }

    /// Everything that has a tag, by repository and tag.
    ///
    /// # Errors
    /// Where listing fails; a tag that goes while we look is left out.
    pub fn tagged(&self) -> Result<Vec<Tagged>> {
        let repositories = self.repositories()?;
        let tags = parallel(&repositories, |repository| self.tags(repository));
        let mut wanted = Vec::new();
        for (repository, tags) in repositories.iter().zip(tags) {
            wanted.extend(tags?.into_iter().map(|tag| (repository.clone(), tag)));
        }
        let found = parallel(&wanted, |(repository, tag)| {
            let manifest = self.manifest(repository, tag)?;
            Ok(Tagged {
                repository: repository.clone(),
                tag: tag.clone(),
                size: self.size(repository, &manifest)?,
                digest: manifest.digest,
            })
        });
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }

    /// The manifest and everything below it. What an index names and is not
    /// there is left out: images may be pushed for some platforms only.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn tree(&self, repository: &str, manifest: &Manifest) -> Result<Vec<Manifest>> {
        let mut tree = vec![manifest.clone()];
        let mut level = manifest.manifests.clone();
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for digest in level {
                if tree.iter().any(|other| other.digest == digest) {
                    continue;
                }
                match self.manifest(repository, &digest) {
                    Ok(found) => {
                        below.extend(found.manifests.clone());
                        tree.push(found);
                    }
                    Err(ApiError::Status { status: 404, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            level = below;
        }
        Ok(tree)
    }

    fn size(&self, repository: &str, manifest: &Manifest) -> Result<u64> {
        let tree = self.tree(repository, manifest)?;
        let mut blobs: BTreeMap<&str, u64> = BTreeMap::new();
        for found in &tree {
            blobs.insert(&found.digest, found.length);
            blobs.extend(
                found
                    .blobs
                    .iter()
                    .map(|(digest, size)| (digest.as_str(), *size)),
            );
        }
        Ok(blobs.values().sum())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let request = self.agent.get(self.url(path)).header("Accept", ACCEPT);
        request.call().map_err(|error| explain(&error))
    }

    fn json<T: for<'a> Deserialize<'a>>(&self, path: &str) -> Result<T> {
        let mut response = self.get(path)?;
        if response.status().as_u16() != 200 {
            return Err(refusal(&mut response));
        }
        let text = read(&mut response)?;
        serde_json::from_str(&text).map_err(|error| ApiError::Nonsense(error.to_string()))
    }
}

/// In order, some at a time.
fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let each = items.len().div_ceil(WORKERS).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(each)
            .map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<R>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_manifests_and_a_manifest_blobs() {
        let index = r#"{"manifests":[{"digest":"sha256:a","size":1},{"digest":"sha256:b"}]}"#;
        let index = parse_manifest("sha256:i", index).unwrap();
        assert_eq!(index.manifests, ["sha256:a", "sha256:b"]);
        let text = r#"{"config":{"digest":"sha256:c","size":2},"layers":[{"digest":"sha256:l","size":40}]}"#;
        let manifest = parse_manifest("sha256:m", text).unwrap();
        let blobs = [("sha256:c".to_owned(), 2), ("sha256:l".to_owned(), 40)];
        assert_eq!(manifest.blobs, blobs);
        assert_eq!(parse_manifest("sha256:x", "{}"), None);
        assert_eq!(parse_manifest("sha256:x", "<html>"), None);
    }

    #[test]
    fn nobody_there_is_told_from_somebody_who_speaks_otherwise() {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 1024]);
            // A TLS alert, as a server that expects a handshake sends it.
            let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, 70]);
        });
        assert!(matches!(
            Api::on_loopback(port).ping(),
            Err(ApiError::NotHttp(_))
        ));
        server.join().unwrap();
        assert!(matches!(
            Api::on_loopback(port).ping(),
            Err(ApiError::NoAnswer(_))
        ));
    }
}
