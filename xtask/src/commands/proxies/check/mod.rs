//! `proxies check`: fetches a manifest through each mirror at the address that
//! nodes use, and looks for what it refers to: a cache that has lost a blob
//! still serves its manifest (distribution/distribution#2367).

mod ask;
mod report;
mod verdict;

use crate::app::App;
use crate::commands::cluster::{Which, existing_name};
use crate::commands::registry::view::{self, RegistryState, RegistryView};
use ask::check;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::registries;
use foundation::failure::{Exit, Failure, Result};
use report::report;
use verdict::Verdict;

/// A request and its result.
#[derive(Debug)]
struct Checked {
    host: String,
    address: String,
    image: Option<(String, String)>,
    verdict: Verdict,
}

/// Host, repository and tag or digest.
type Image = (String, String, String);

pub(super) fn run(
    app: &App<'_>,
    name: Option<&str>,
    images: &[String],
    as_json: bool,
) -> Result<u8> {
    let specs = super::specs(app)?;
    let mut all = specs.clone();
    all.push(registries::local());
    let images = images
        .iter()
        .map(|image| parse_image(image, &all))
        .collect::<Result<Vec<_>>>()?;
    let which = Which {
        name: name.map(str::to_owned),
    };
    let view = ClusterView::probe(&app.ctx, existing_name(app, &which)?.as_str());
    let gateway = view.gateway.filter(|_| !view.members.is_empty());
    if gateway.is_none() {
        app.ui.note(&format!(
            "cluster `{}` is not up: asked at 127.0.0.1, and not at the address that nodes use",
            view.name
        ));
    }
    let at = gateway.map_or_else(|| "127.0.0.1".to_owned(), |gateway| gateway.to_string());
    let views = view::read_views(&all)?;
    let is_meant = |view: &&RegistryView| {
        // The registry that builds push to may be missing.
        let is_needed =
            view.spec.upstream.is_some() || !matches!(view.state, RegistryState::Absent);
        (images.is_empty() && is_needed) || images.iter().any(|(host, ..)| *host == view.spec.host)
    };
    let chosen: Vec<&RegistryView> = views.iter().filter(is_meant).collect();
    let checked = check_all(&chosen, &images, &at);
    report(app, &checked, as_json);
    let is_bad = checked
        .iter()
        .any(|checked| checked.verdict.why().is_some());
    Ok(if is_bad { Exit::Checks.code() } else { 0 })
}

/// Checks each mirror with each requested image, or else with one that it has.
fn check_all(views: &[&RegistryView], images: &[Image], at: &str) -> Vec<Checked> {
    // In parallel, because an upstream that does not respond takes long.
    std::thread::scope(|scope| {
        let threads: Vec<_> = views
            .iter()
            .flat_map(|view| {
                let named = images.iter().filter(|(host, ..)| *host == view.spec.host);
                let mut asked: Vec<Option<(String, String)>> = named
                    .map(|(_, repository, tag)| Some((repository.clone(), tag.clone())))
                    .collect();
                if asked.is_empty() {
                    asked.push(None);
                }
                asked.into_iter().map(move |image| (*view, image))
            })
            .map(|(views, image)| scope.spawn(move || check(views, at, image)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}

/// Parses an image whose host is one of the mirrors.
fn parse_image(image: &str, all: &[registries::Spec]) -> Result<Image> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_of_a_mirrored_host() {
        let all = [registries::local()];
        assert_eq!(
            parse_image("127.0.0.1:5005/u/x:v1", &all).unwrap(),
            ("127.0.0.1:5005".into(), "u/x".into(), "v1".into())
        );
        assert_eq!(parse_image("127.0.0.1:5005/u/x", &all).unwrap().2, "latest");
        assert!(parse_image("127.0.0.1:50055/u/x", &all).is_err());
        assert!(
            parse_image("docker.io/x", &all)
                .unwrap_err()
                .to_string()
                .contains("127.0.0.1:5005")
        );
    }
}
