//! Asking one mirror as a node would.

use super::Checked;
use super::verdict::Verdict;
use crate::commands::registry::stand::{self, DATA, Stood};
use foundation::ctx::registry_api::{Api, ApiError, Manifest};
use foundation::ctx::{containers, probe};
use foundation::typed;

/// Small images that registries are known to have.
const KNOWN: [(&str, &str, &str); 5] = [
    ("docker.io", "library/busybox", "latest"),
    ("registry.k8s.io", "pause", "3.10"),
    ("quay.io", "prometheus/busybox", "latest"),
    ("gcr.io", "distroless/static", "latest"),
    ("ghcr.io", "siderolabs/installer", "v1.11.0"),
];
/// Blobs looked for: more would be a pull.
const BLOBS: usize = 32;
/// Of a proxy's log, where it refused.
const LOG_LINES: usize = 30;

pub(super) fn check(stood: &Stood, at: &str, image: Option<(String, String)>) -> Checked {
    let spec = &stood.spec;
    let address = format!("{at}:{}", spec.port);
    let api = Api::at(&address);
    let is_proxy = spec.upstream.is_some();
    let container = stood.container().map(|container| container.name.as_str());
    let mut asked = None;
    let verdict = if let Err(error) = api.ping() {
        down(stood, &error)
    } else {
        asked = image.or_else(|| something(&api, &spec.host, container));
        asked
            .as_ref()
            .map_or(Verdict::Answers, |(repository, reference)| {
                let before = container.map(|name| cached(name, repository));
                let verdict = fetch(&api, repository, reference, is_proxy, before.as_deref());
                explain(verdict, stood)
            })
    };
    Checked {
        host: spec.host.clone(),
        address,
        image: asked,
        verdict,
    }
}

fn down(stood: &Stood, error: &ApiError) -> Verdict {
    match error {
        ApiError::NotHttp(why) => Verdict::Mismatch(format!("nodes are told http://, and {why}")),
        // Loopback answers, the gateway does not.
        _ if stood.answers => Verdict::Down(format!(
            "{error}; it answers on 127.0.0.1: the relay is not there, `{}` starts it again",
            typed!("cluster up")
        )),
        _ => Verdict::Down(error.to_string()),
    }
}

/// Something to ask for: of the cache, else what the host is known to have.
fn something(api: &Api, host: &str, container: Option<&str>) -> Option<(String, String)> {
    // In the cache's files, because a proxy asks its upstream for tags.
    let stored = container.and_then(|name| {
        let listed = list(name, "");
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

/// Paths below the repositories of a registry's files.
fn list(container: &str, below: &str) -> Vec<String> {
    let folder = format!("{container}:{DATA}/docker/registry/v2/repositories{below}");
    let script = "docker cp \"$0\" - | tar -t";
    let text = probe::stdout(&["sh", "-c", script, &folder], None).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// `repositories/REPOSITORY/_manifests/tags/TAG/current/link`
fn stored_tag(path: &str) -> Option<(String, String)> {
    let (repository, rest) = path
        .strip_prefix("repositories/")?
        .split_once("/_manifests/tags/")?;
    let tag = rest.strip_suffix("/current/link")?;
    Some((repository.to_owned(), tag.to_owned()))
}

/// Digests of the manifests that the cache has of a repository.
fn cached(container: &str, repository: &str) -> Vec<String> {
    list(container, &format!("/{repository}/_manifests/revisions"))
        .iter()
        .filter_map(|path| {
            let (algorithm, rest) = path.strip_prefix("revisions/")?.split_once('/')?;
            Some(format!("{algorithm}:{}", rest.strip_suffix("/link")?))
        })
        .collect()
}

/// As containerd does it: the manifest, that of a platform, then its blobs.
fn fetch(
    api: &Api,
    repository: &str,
    reference: &str,
    is_proxy: bool,
    before: Option<&[String]>,
) -> Verdict {
    let found = match api.manifest(repository, reference) {
        Ok(found) => found,
        Err(ApiError::NotHttp(why)) => return Verdict::Mismatch(why),
        Err(error) => return Verdict::Missed(format!("{repository}:{reference}: {error}")),
    };
    let was_cached = before.is_some_and(|before| before.contains(&found.digest));
    if let Err(why) = blobs(api, repository, &found) {
        return if was_cached || !is_proxy {
            Verdict::Expired(why)
        } else {
            Verdict::Missed(why)
        };
    }
    match (is_proxy, was_cached) {
        (false, _) => Verdict::Has,
        (true, true) => Verdict::Hit,
        (true, false) => Verdict::Fetched,
    }
}

/// The configuration is fetched whole, layers are asked for.
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

/// A proxy tells its clients nothing of why; its log does.
fn explain(verdict: Verdict, stood: &Stood) -> Verdict {
    let (Some(why), Some(container), Some(upstream)) = (
        verdict.why(),
        stood.container(),
        stood.spec.upstream.as_ref(),
    ) else {
        return verdict;
    };
    let upstream = container
        .variable(stand::UPSTREAM)
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
        Verdict::Missed(_) => Verdict::Missed(text),
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
    }
}
