//! Asks one mirror as a node would.

use super::Checked;
use super::verdict::Verdict;
use crate::commands::registry::view::{self, RegistryView};
use foundation::ctx::containers::{self, files};
use foundation::ctx::registry_api::{Api, ApiError, Manifest};
use foundation::typed;

/// The path below the folder of a registry's files.
const REPOSITORIES: &str = "/var/lib/registry/docker/registry/v2/repositories";

/// Small images that these hosts are known to have.
const KNOWN: [(&str, &str, &str); 5] = [
    ("docker.io", "library/busybox", "latest"),
    ("registry.k8s.io", "pause", "3.10"),
    ("quay.io", "prometheus/busybox", "latest"),
    ("gcr.io", "distroless/static", "latest"),
    ("ghcr.io", "siderolabs/installer", "v1.11.0"),
];
/// Maximum number of blobs that are looked for: more would be a pull.
const BLOBS: usize = 32;
/// Lines of a proxy's log that are searched for the reason of a refusal.
const LOG_LINES: usize = 30;

pub(super) fn check(view: &RegistryView, at: &str, image: Option<(String, String)>) -> Checked {
    let spec = &view.spec;
    let address = format!("{at}:{}", spec.port);
    let api = Api::at(&address);
    let is_proxy = spec.upstream.is_some();
    let container = view.container().map(|container| container.name.as_str());
    let mut asked = None;
    let verdict = if let Err(error) = api.ping() {
        down(view, &error)
    } else {
        asked = image.or_else(|| something(&api, &spec.host, container));
        asked
            .as_ref()
            .map_or(Verdict::Answers, |(repository, reference)| {
                let before = container.map(|name| cached(&api, name, repository));
                let verdict = fetch(&api, repository, reference, is_proxy, before.as_ref());
                explain(verdict, view)
            })
    };
    Checked {
        host: spec.host.clone(),
        address,
        image: asked,
        verdict,
    }
}

fn down(view: &RegistryView, error: &ApiError) -> Verdict {
    match error {
        ApiError::NotHttp(why) => Verdict::Mismatch(format!("nodes use http://, but {why}")),
        // Loopback responds, but the gateway does not.
        _ if view.answers => Verdict::Down(format!(
            "{error}; it answers on 127.0.0.1: the relay is not there, `{}` starts it again",
            typed!("cluster up")
        )),
        _ => Verdict::Down(error.to_string()),
    }
}

/// Returns an image to ask for: from the cache, else one that the host is known
/// to have.
fn something(api: &Api, host: &str, container: Option<&str>) -> Option<(String, String)> {
    // From the cache's files, because a proxy asks its upstream for tags.
    let stored = container.and_then(|name| {
        // An image of the cache is only preferred, so errors are ignored.
        let listed = files::list(name, REPOSITORIES).ok()?;
        let mut tags = listed.iter().filter_map(|path| stored_tag(path));
        tags.next()
    });
    let known = KNOWN.iter().find(|(known, ..)| *known == host);
    stored
        .or_else(|| known.map(|(_, repository, tag)| ((*repository).to_owned(), (*tag).to_owned())))
        .or_else(|| {
            let tagged = api.tagged().ok()?.into_iter().next()?;
            Some((tagged.repository, tagged.tag))
        })
}

/// `repositories/REPOSITORY/_manifests/tags/TAG/current/link`
fn stored_tag(path: &str) -> Option<(String, String)> {
    let (repository, rest) = path
        .strip_prefix("repositories/")?
        .split_once("/_manifests/tags/")?;
    let tag = rest.strip_suffix("/current/link")?;
    Some((repository.to_owned(), tag.to_owned()))
}

/// Returns the digests of the manifests that the cache has of a repository, or
/// why that is unknown.
fn cached(api: &Api, container: &str, repository: &str) -> Result<Vec<String>, String> {
    // A proxy lists what it has cached, not what its upstream has.
    let repositories = api.repositories().map_err(|error| error.to_string())?;
    if !repositories.iter().any(|known| known == repository) {
        return Ok(Vec::new());
    }
    let listed = files::list(container, &format!("{REPOSITORIES}/{repository}"));
    let listed = listed.map_err(|failure| failure.what)?;
    Ok(listed
        .iter()
        .filter_map(|path| cached_manifest(path))
        .collect())
}

/// `NAME/_manifests/revisions/sha256/HEX/link`
fn cached_manifest(path: &str) -> Option<String> {
    let (_, rest) = path.split_once("/_manifests/revisions/")?;
    let (algorithm, rest) = rest.split_once('/')?;
    Some(format!("{algorithm}:{}", rest.strip_suffix("/link")?))
}

/// Fetches as containerd does: the manifest, that of a platform, then its
/// blobs.
fn fetch(
    api: &Api,
    repository: &str,
    reference: &str,
    is_proxy: bool,
    before: Option<&Result<Vec<String>, String>>,
) -> Verdict {
    let found = match api.manifest(repository, reference) {
        Ok(found) => found,
        Err(ApiError::NotHttp(why)) => return Verdict::Mismatch(why),
        Err(error) => return Verdict::Missed(format!("{repository}:{reference}: {error}")),
    };
    // `None` if unknown.
    let was_cached = match before {
        Some(Ok(before)) => Some(before.contains(&found.digest)),
        Some(Err(_)) => None,
        None => Some(false),
    };
    if let Err(why) = blobs(api, repository, &found) {
        return match (is_proxy, was_cached, before) {
            (false, ..) | (true, Some(true), _) => Verdict::Expired(why),
            (true, None, Some(Err(unknown))) => Verdict::Missed(format!(
                "{why}; whether it was cached is not known: {unknown}"
            )),
            (true, ..) => Verdict::Missed(why),
        };
    }
    match (is_proxy, was_cached) {
        (false, _) | (true, None) => Verdict::Has,
        (true, Some(true)) => Verdict::Hit,
        (true, Some(false)) => Verdict::Fetched,
    }
}

/// The configuration is fetched completely, layers are only asked for.
fn blobs(api: &Api, repository: &str, found: &Manifest) -> Result<(), String> {
    let platform = match found.manifests.first() {
        None => found.clone(),
        Some(digest) => api.manifest(repository, digest).map_err(|error| {
            format!("the manifest {digest} of the image's first platform: {error}")
        })?,
    };
    for (index, (digest, size)) in platform.blobs.iter().take(BLOBS).enumerate() {
        if index > 0 {
            api.has_blob(repository, digest)
                .map_err(|error| format!("layer {digest}: {error}"))?;
            continue;
        }
        let bytes = api
            .blob(repository, digest)
            .map_err(|error| format!("configuration {digest}: {error}"))?;
        if bytes.len() as u64 != *size {
            return Err(format!(
                "configuration {digest} has {} of {size} bytes",
                bytes.len()
            ));
        }
    }
    Ok(())
}

/// A proxy does not report reasons to its clients; its log has them.
fn explain(verdict: Verdict, view: &RegistryView) -> Verdict {
    let (Some(why), Some(container), Some(upstream)) =
        (verdict.why(), view.container(), view.spec.upstream.as_ref())
    else {
        return verdict;
    };
    let upstream = container
        .variable(view::UPSTREAM)
        .map_or(upstream.as_str(), |actual| actual)
        .to_owned();
    let log = containers::last_lines(&container.name, LOG_LINES);
    let has = |word: &str| log.iter().any(|line| line.contains(word));
    if has("server gave HTTP response to HTTPS client") {
        return Verdict::Mismatch(format!(
            "the proxy speaks TLS to {upstream}, which speaks plain HTTP"
        ));
    }
    if has("first record does not look like a TLS handshake")
        || has("HTTP request to an HTTPS server")
    {
        return Verdict::Mismatch(format!("the proxy and {upstream} do not agree on TLS"));
    }
    let reason = [
        "no such host",
        "connection refused",
        "i/o timeout",
        "x509",
        "no route to host",
    ]
    .into_iter()
    .find(|word| has(word));
    let Some(reason) = reason else { return verdict };
    let text = format!("{why}; the upstream {upstream}: {reason}");
    match verdict {
        Verdict::Missed(_) => Verdict::Cut(text),
        Verdict::Expired(_) => Verdict::Expired(text),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_told_by_its_path() {
        assert_eq!(
            stored_tag("repositories/library/x/_manifests/tags/v1/current/link"),
            Some(("library/x".into(), "v1".into()))
        );
        assert_eq!(
            stored_tag("repositories/library/x/_layers/sha256/a/link"),
            None
        );
        assert_eq!(
            cached_manifest("x/_manifests/revisions/sha256/ab/link"),
            Some("sha256:ab".into())
        );
        assert_eq!(cached_manifest("x/_manifests/tags/v1/current/link"), None);
    }
}
