//! Reads the contents of a registry over its HTTP API. Plain HTTP, as for all
//! registries on this machine; read-only.

mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

pub(super) use answer::explain;
pub(super) use oci::ACCEPT;

pub use oci::names;

pub use answer::{ApiError, Manifest, Tagged, parse_manifest};
use answer::{Catalog, Tags, read, refusal};

const LIMIT: Duration = Duration::from_secs(15);
/// Maximum pages of a listing.
const PAGES: usize = 1000;
const PER_PAGE: usize = 500;
/// Maximum levels of nested indexes; images have two.
const DEPTH: usize = 4;
/// Maximum manifests of one image.
const MANIFESTS: usize = 10_000;
/// Maximum bytes of a blob that is fetched whole: the configuration of an
/// image.
const BLOB: u64 = 16 << 20;
/// Concurrent requests.
const WORKERS: usize = 8;

/// A registry at `HOST:PORT`.
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
            // The response must come from this registry.
            .max_redirects(0)
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

    /// Checks that a registry responds.
    ///
    /// # Errors
    /// The reason why not.
    pub fn ping(&self) -> Result<()> {
        let mut response = self.get("/v2/")?;
        match response.status().as_u16() {
            // It requires a login.
            200 | 401 => Ok(()),
            _ => Err(refusal(&mut response)),
        }
    }

    /// Lists all repositories, sorted, including those without tags.
    ///
    /// # Errors
    /// If it does not respond, the response is invalid, or the list is
    /// incomplete.
    pub fn repositories(&self) -> Result<Vec<String>> {
        let of = |page: Catalog| page.repositories;
        let all = self.listed("/v2/_catalog", of)?;
        check(&all, names::is_repository, "a repository")?;
        Ok(all)
    }

    /// # Errors
    /// Those of [`Self::repositories`]; a repository without tags is not an
    /// error.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let of = |page: Tags| page.tags;
        let tags = match self.listed(&format!("/v2/{repository}/tags/list"), of) {
            Err(error) if error.is_absence() => return Ok(Vec::new()),
            other => other?,
        };
        check(&tags, names::is_tag, "a tag")?;
        Ok(tags)
    }

    /// Reads all pages of a list, sorted. A registry may return fewer entries
    /// than requested, with a link to the next page; a partial list is never
    /// returned.
    fn listed<T: for<'a> Deserialize<'a>>(
        &self,
        path: &str,
        of: impl Fn(T) -> Option<Vec<String>>,
    ) -> Result<Vec<String>> {
        let mut all: BTreeSet<String> = BTreeSet::new();
        let mut last: Option<String> = None;
        for _ in 0..PAGES {
            let from = last
                .as_ref()
                .map_or_else(String::new, |last| format!("&last={last}"));
            let mut response = self.get(&format!("{path}?n={PER_PAGE}{from}"))?;
            if response.status().as_u16() != 200 {
                return Err(refusal(&mut response));
            }
            let has_link = response.headers().contains_key("link");
            let text = read(&mut response)?;
            let page: T = serde_json::from_str(&text)
                .map_err(|error| ApiError::Nonsense(error.to_string()))?;
            let page = of(page).unwrap_or_default();
            let (before, length) = (all.len(), page.len());
            let next = page.last().cloned();
            all.extend(page);
            // A registry without paging returns the whole list each time.
            if !has_link && (length != PER_PAGE || all.len() == before) {
                return Ok(all.into_iter().collect());
            }
            if all.len() == before {
                return Err(ApiError::Nonsense(format!(
                    "the list `{path}` repeats a page"
                )));
            }
            last = next.map(|name| encoded(&name));
        }
        Err(ApiError::Nonsense(format!(
            "`{path}` has more than {PAGES} pages"
        )))
    }

    /// Fetches a manifest by tag or digest.
    ///
    /// # Errors
    /// If it does not exist, or the registry does not respond.
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
        if !names::is_digest(&digest) {
            return Err(ApiError::Nonsense(format!(
                "it returned no digest of {repository}:{reference}"
            )));
        }
        let text = read(&mut response)?;
        parse_manifest(&digest, &text)
            .ok_or_else(|| ApiError::Nonsense("it returned an invalid manifest".to_owned()))
    }

    /// Fetches a blob.
    ///
    /// # Errors
    /// If it does not exist, or the transfer is cut off.
    pub fn blob(&self, repository: &str, digest: &str) -> Result<Vec<u8>> {
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"));
        // Registries may redirect to another store.
        let request = self.agent.get(url).config().max_redirects(3).build();
        let mut response = request.call().map_err(|error| explain(&error))?;
        if response.status().as_u16() != 200 {
            return Err(refusal(&mut response));
        }
        response
            .body_mut()
            .with_config()
            .limit(BLOB)
            .read_to_vec()
            .map_err(|error| ApiError::Nonsense(error.to_string()))
    }

    /// Checks that a blob exists, without fetching it.
    ///
    /// # Errors
    /// If it does not exist, or the registry does not respond.
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

    /// Lists all tagged images, by repository and tag. Tagged images are kept,
    /// so an unreadable one is an error.
    ///
    /// # Errors
    /// If anything cannot be read; a tag that is removed meanwhile is skipped.
    pub fn tagged(&self) -> Result<Vec<Tagged>> {
        let repositories = self.repositories()?;
        let tags = parallel(&repositories, |repository| self.tags(repository));
        let mut wanted = Vec::new();
        for (repository, tags) in repositories.iter().zip(tags) {
            wanted.extend(tags?.into_iter().map(|tag| (repository.clone(), tag)));
        }
        let found = parallel(&wanted, |(repository, tag)| {
            let manifest = match self.manifest(repository, tag) {
                Err(error) if error.is_absence() => return Ok(None),
                other => other?,
            };
            Ok(Some(Tagged {
                repository: repository.clone(),
                tag: tag.clone(),
                size: self.size(repository, &manifest)?,
                digest: manifest.digest,
            }))
        });
        let found: Result<Vec<Option<Tagged>>> = found.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
    }

    /// Collects the manifest and everything below it. Missing manifests of an
    /// index are skipped: an image may be pushed for some platforms only.
    ///
    /// # Errors
    /// If it does not respond, or the image exceeds the limits.
    pub fn tree(&self, repository: &str, manifest: &Manifest) -> Result<Vec<Manifest>> {
        let mut seen = BTreeSet::from([manifest.digest.clone()]);
        let mut tree = vec![manifest.clone()];
        let mut level = manifest.manifests.clone();
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for digest in level {
                if !seen.insert(digest.clone()) {
                    continue;
                }
                if seen.len() > MANIFESTS {
                    return Err(ApiError::Nonsense(format!(
                        "{repository}@{} has more than {MANIFESTS} manifests",
                        manifest.digest
                    )));
                }
                match self.manifest(repository, &digest) {
                    Ok(found) => {
                        below.extend(found.manifests.clone());
                        tree.push(found);
                    }
                    Err(error) if error.is_absence() => {}
                    Err(error) => return Err(error),
                }
            }
            level = below;
        }
        if level.iter().any(|digest| !seen.contains(digest)) {
            return Err(ApiError::Nonsense(format!(
                "{repository}@{} nests indexes more than {DEPTH} levels deep",
                manifest.digest
            )));
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
        Ok(blobs
            .values()
            .fold(0, |sum: u64, size| sum.saturating_add(*size)))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>> {
        let request = self.agent.get(self.url(path)).header("Accept", ACCEPT);
        request.call().map_err(|error| explain(&error))
    }
}

/// Encodes a query value.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Runs the requests concurrently and returns the results in order.
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
            .flat_map(|thread| match thread.join() {
                Ok(done) => done,
                // The listing must be complete: an image that is not listed is
                // deleted.
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// # Errors
/// If the list contains an invalid name.
fn check(names: &[String], is_name: fn(&str) -> bool, what: &str) -> Result<()> {
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(()),
        Some(name) => {
            let short: String = name.chars().take(80).collect();
            Err(ApiError::Nonsense(format!(
                "it lists {what} with an invalid name: {short:?}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_manifests_and_a_manifest_blobs() {
        let [a, b, c] = ["a", "b", "c"].map(|of| format!("sha256:{}", of.repeat(64)));
        let index = format!(r#"{{"manifests":[{{"digest":"{a}","size":1}},{{"digest":"{b}"}}]}}"#);
        let index = parse_manifest("sha256:i", &index).unwrap();
        assert_eq!(index.manifests, [a.clone(), b.clone()]);
        let text = format!(
            r#"{{"config":{{"digest":"{c}","size":2}},"layers":[{{"digest":"{a}","size":40}}]}}"#
        );
        let manifest = parse_manifest("sha256:m", &text).unwrap();
        assert_eq!(manifest.blobs, [(c, 2), (a, 40)]);
        let path = r#"{"manifests":[{"digest":"../../x"}]}"#;
        assert_eq!(parse_manifest("sha256:x", path), None);
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
            // A TLS alert, as sent by a server that expects a handshake.
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
