//! References of images: their parts, and what a registry on loopback has for
//! them, over plain HTTP. Other registries need TLS and often a login.

use std::time::Duration;

use super::registry_api::ACCEPT;
use super::registry_api::names::is_digest;

/// Splits a reference into registry, repository, and tag or digest.
pub fn split(reference: &str) -> Option<(&str, &str, &str)> {
    let (registry, rest) = reference.split_once('/')?;
    if let Some((repository, digest)) = rest.split_once('@') {
        return Some((registry, repository, digest));
    }
    let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
    Some((registry, repository, tag))
}

/// Whether a registry is on this machine, and so is queried without TLS, as
/// docker does.
pub fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

fn request_manifest(
    reference: &str,
    head: bool,
) -> Result<ureq::http::Response<ureq::Body>, String> {
    let (registry, repository, tag) = split(reference).ok_or("the reference has no registry")?;
    if !is_local(registry) {
        return Err(format!(
            "{registry} is not on this machine; only buildx can inspect its images"
        ));
    }
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(10)))
        .max_redirects(0)
        .http_status_as_error(false);
    let agent = ureq::Agent::from(config.build());
    let url = format!("http://{registry}/v2/{repository}/manifests/{tag}");
    let request = if head {
        agent.head(url)
    } else {
        agent.get(url)
    };
    let response = request
        .header("Accept", ACCEPT)
        .call()
        .map_err(|error| format!("{registry}: {error}"))?;
    if response.status() != 200 {
        return Err(format!(
            "{registry} answers {} for {repository}:{tag}",
            response.status()
        ));
    }
    Ok(response)
}

/// Returns the architectures of an index; `None` for a plain manifest, which
/// does not name its architecture.
///
/// # Errors
/// The reason as text.
pub fn architectures(reference: &str) -> Result<Option<Vec<String>>, String> {
    let text = request_manifest(reference, false)?
        .body_mut()
        .read_to_string()
        .map_err(|error| error.to_string())?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let of = |manifest: &serde_json::Value| {
        manifest["platform"]["architecture"]
            .as_str()
            .map(str::to_owned)
    };
    Ok(value["manifests"]
        .as_array()
        .map(|manifests| manifests.iter().filter_map(of).collect()))
}

/// Returns the current digest of `reference`.
///
/// # Errors
/// The reason as text.
pub fn digest(reference: &str) -> Result<String, String> {
    let response = request_manifest(reference, true)?;
    let digest = response
        .headers()
        .get("docker-content-digest")
        .and_then(|value| value.to_str().ok());
    // The digest becomes part of command lines.
    digest
        .filter(|digest| is_digest(digest))
        .map(str::to_owned)
        .ok_or_else(|| "the registry returned no digest".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_in_parts() {
        assert_eq!(
            split("127.0.0.1:5005/u/x:v1"),
            Some(("127.0.0.1:5005", "u/x", "v1"))
        );
        assert_eq!(
            split("ghcr.io/u/x@sha256:a"),
            Some(("ghcr.io", "u/x", "sha256:a"))
        );
        assert_eq!(split("x"), None);
        assert!(is_local("127.0.0.1:5005") && is_local("localhost:1") && !is_local("ghcr.io"));
    }
}
