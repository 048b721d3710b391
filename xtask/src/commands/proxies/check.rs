//! `proxies check`: what a node would meet. A manifest is fetched through each
//! mirror at the address that nodes use, and what it refers to is looked for:
//! a cache that has lost a blob still serves its manifest
//! (distribution/distribution#2367).

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cli::Which;
use crate::commands::App;
use crate::commands::cluster::existing_name;
use crate::commands::registry::stand::{self, DATA, Stand, Stood};
use crate::ctx::cluster::ClusterView;
use crate::ctx::registry_api::{Api, ApiError, Manifest};
use crate::ctx::{containers, probe, registries};
use crate::failure::{Exit, Failure, Result};
use crate::ui::{self, Style};

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

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// Out of the cache.
    Hit,
    /// From the upstream, and cached now.
    Fetched,
    /// Not a proxy: it has the image.
    Has,
    /// It answers; nothing is known to ask it for.
    Answers,
    Down(String),
    Mismatch(String),
    Missed(String),
    Expired(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Fetched => "miss, fetched",
            Self::Has => "has it",
            Self::Answers => "answers",
            Self::Down(_) => "down",
            Self::Mismatch(_) => "TLS mismatch",
            Self::Missed(_) => "miss",
            Self::Expired(_) => "expired blob",
        }
    }

    /// Stable for programs.
    fn id(&self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Fetched => "fetched",
            Self::Has => "has",
            Self::Answers => "answers",
            Self::Down(_) => "down",
            Self::Mismatch(_) => "mismatch",
            Self::Missed(_) => "miss",
            Self::Expired(_) => "expired",
        }
    }

    fn why(&self) -> Option<&str> {
        match self {
            Self::Down(why) | Self::Mismatch(why) | Self::Missed(why) | Self::Expired(why) => {
                Some(why)
            }
            _ => None,
        }
    }
}

/// What was asked of whom, and what came of it.
#[derive(Debug)]
struct Checked {
    host: String,
    address: String,
    image: Option<(String, String)>,
    verdict: Verdict,
}

pub(super) fn run(
    app: &App<'_>,
    name: Option<&str>,
    images: &[String],
    as_json: bool,
) -> Result<u8> {
    let specs = super::specs(app)?;
    let mut all = specs.clone();
    all.push(registries::local());
    let wanted = images
        .iter()
        .map(|image| wanted(image, &all))
        .collect::<Result<Vec<_>>>()?;
    let which = Which {
        name: name.map(str::to_owned),
    };
    let view = ClusterView::look(&app.ctx, existing_name(app, &which)?.as_str());
    let gateway = view.gateway.filter(|_| !view.members.is_empty());
    if gateway.is_none() {
        app.ui.note(&format!(
            "cluster `{}` is not up: asked at 127.0.0.1, and not at the address that nodes use",
            view.name
        ));
    }
    let at = gateway.map_or_else(|| "127.0.0.1".to_owned(), |gateway| gateway.to_string());
    let stood = stand::look(&all)?;
    let is_meant = |stood: &&Stood| {
        // The registry that is pushed to need not be there.
        let is_needed = stood.spec.upstream.is_some() || !matches!(stood.stand, Stand::Absent);
        (images.is_empty() && is_needed) || wanted.iter().any(|(host, ..)| *host == stood.spec.host)
    };
    let stood: Vec<&Stood> = stood.iter().filter(is_meant).collect();
    // Upstreams that do not answer take their time: side by side.
    let checked: Vec<Checked> = std::thread::scope(|scope| {
        let threads: Vec<_> = stood
            .iter()
            .flat_map(|stood| {
                let named: Vec<_> = wanted
                    .iter()
                    .filter(|(host, ..)| *host == stood.spec.host)
                    .collect();
                let asked: Vec<Option<(String, String)>> = if named.is_empty() {
                    vec![None]
                } else {
                    let image = |(_, repository, tag): &&(String, String, String)| {
                        Some((repository.clone(), tag.clone()))
                    };
                    named.iter().map(image).collect()
                };
                asked.into_iter().map(move |image| (*stood, image))
            })
            .map(|(stood, image)| {
                let at = at.as_str();
                scope.spawn(move || check(stood, at, image))
            })
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    });
    report(app, &checked, as_json);
    let is_bad = checked
        .iter()
        .any(|checked| checked.verdict.why().is_some());
    Ok(if is_bad { Exit::Checks.code() } else { 0 })
}

/// Host, repository and tag or digest of an image whose host is one of ours.
fn wanted(image: &str, all: &[registries::Spec]) -> Result<(String, String, String)> {
    let spec = all.iter().find(|spec| {
        image
            .strip_prefix(&spec.host)
            .is_some_and(|rest| rest.starts_with('/'))
    });
    let Some(spec) = spec else {
        let hosts: Vec<&str> = all.iter().map(|spec| spec.host.as_str()).collect();
        return Err(
            Failure::usage(format!("`{image}` is of no registry that is mirrored here"))
                .cause(format!("these are: {}", hosts.join(", ")))
                .hint("docker.io/library/alpine:3.22"),
        );
    };
    let rest = &image[spec.host.len() + 1..];
    let (repository, reference) = match rest.split_once('@') {
        Some((repository, digest)) => (repository, digest),
        None => rest.rsplit_once(':').unwrap_or((rest, "latest")),
    };
    Ok((
        spec.host.clone(),
        repository.to_owned(),
        reference.to_owned(),
    ))
}

fn check(stood: &Stood, at: &str, image: Option<(String, String)>) -> Checked {
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
            "{error}; it answers on 127.0.0.1: the relay is not there, `cargo xtask cluster up` mends it"
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

fn report(app: &App<'_>, all: &[Checked], as_json: bool) {
    if as_json {
        let checks: Vec<Value> = all
            .iter()
            .map(|checked| {
                json!({
                    "host": checked.host,
                    "endpoint": format!("http://{}", checked.address),
                    "image": checked.image.as_ref().map(|(repository, reference)| name(repository, reference)),
                    "verdict": checked.verdict.id(),
                    "why": checked.verdict.why(),
                })
            })
            .collect();
        ui::print_json(&json!({"schema": 1, "checks": checks}));
        return;
    }
    let width = all
        .iter()
        .map(|checked| checked.host.len())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    let lab = if crate::commands::lab::is_inside() {
        "--lab "
    } else {
        ""
    };
    for checked in all {
        let style = if checked.verdict.why().is_some() {
            Style::Bad
        } else {
            Style::Good
        };
        let word = app
            .ui
            .paint(style, &format!("{:<13}", checked.verdict.word()));
        let image = checked
            .image
            .as_ref()
            .map_or_else(String::new, |(repository, reference)| {
                name(repository, reference)
            });
        let line = format!(
            "{:<width$}  http://{}  {word}  {image}",
            checked.host, checked.address
        );
        let _ = writeln!(out, "{}", line.trim_end());
        if let Some(why) = checked.verdict.why() {
            let _ = writeln!(out, "  {why}");
        }
        if matches!(checked.verdict, Verdict::Expired(_)) {
            let _ = writeln!(
                out,
                "  {} cargo xtask {lab}proxies down && cargo xtask {lab}proxies up    it forgets what it has lost; else with `down --purge`",
                app.ui.paint(Style::Dim, "next:")
            );
        }
    }
    ui::print(&out);
}

fn name(repository: &str, reference: &str) -> String {
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{repository}{separator}{reference}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_of_a_mirrored_host() {
        let all = [registries::local()];
        assert_eq!(
            wanted("127.0.0.1:5005/u/x:v1", &all).unwrap(),
            ("127.0.0.1:5005".into(), "u/x".into(), "v1".into())
        );
        assert_eq!(wanted("127.0.0.1:5005/u/x", &all).unwrap().2, "latest");
        assert!(wanted("127.0.0.1:50055/u/x", &all).is_err());
        assert!(
            wanted("docker.io/x", &all)
                .unwrap_err()
                .to_string()
                .contains("127.0.0.1:5005")
        );
    }

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
