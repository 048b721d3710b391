//! `registry ls`: the images of the registry, by its own HTTP API, with what
//! builds recorded when they pushed them.

use std::fmt::Write;

use serde_json::json;

use crate::app::App;
use foundation::ctx::image_reference;
use foundation::ctx::registries;
use foundation::ctx::registry_api::{Api, Tagged};
use foundation::failure::{Exit, Failure, Result};
use foundation::record::pushed_images::{Image, list_of, read};
use foundation::typed;
use foundation::ui;
use foundation::ui::text::{column_width, one_line};

pub(super) fn run(app: &App<'_>, names: &[String], as_json: bool) -> Result<u8> {
    let spec = registries::local();
    let api = Api::on_loopback(spec.port);
    let tagged = api.tagged().map_err(|error| silent(&spec.host, &error))?;
    let is_listed = |image: &&Tagged| {
        names.is_empty()
            || names.iter().any(|name| {
                let (repository, tag) = parts(plain(name, &spec.host));
                is_meant(repository, &image.repository) && tag.is_none_or(|tag| tag == image.tag)
            })
    };
    let found: Vec<&Tagged> = tagged.iter().filter(is_listed).collect();
    let pushed = read(&list_of(&app.ctx.dirs.state))?;
    if as_json {
        let images: Vec<_> = found
            .iter()
            .map(|image| to_json(image, &spec.host, &pushed))
            .collect();
        ui::print_report(json!({"registry": spec.host, "images": images}));
        return Ok(0);
    }
    if found.is_empty() {
        let next = typed!("installer");
        ui::print(&format!("nothing was pushed yet\n  next: {next}\n"));
        return Ok(0);
    }
    let names = column_width(found.iter().map(|image| &image.repository));
    let tags = column_width(found.iter().map(|image| &image.tag));
    let mut out = String::new();
    for image in &found {
        let from = noted(image, &spec.host, &pushed).map_or_else(String::new, |noted| {
            let when = foundation::units::local_time(noted.at);
            format!("{when} from {}", noted.tree)
        });
        let line = format!(
            "{:<names$}  {:<tags$}  {:.19}  {:>10}  {from}",
            one_line(&image.repository),
            one_line(&image.tag),
            one_line(&image.digest),
            foundation::units::human_size(image.size)
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    ui::print(&out);
    Ok(0)
}

/// The name of an image as the registry knows it: without the registry's own address and
/// without the digest, both of which `images` prints.
pub(super) fn plain<'a>(name: &'a str, host: &str) -> &'a str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    match image_reference::split(name) {
        Some((registry, ..))
            if registry == host
                || (image_reference::is_local(registry)
                    && registry.rsplit_once(':').is_some_and(|(_, it)| it == port)) =>
        {
            &name[registry.len() + 1..]
        }
        _ => name,
    }
}

/// Whether `name` is the repository or its end.
pub(super) fn is_meant(name: &str, repository: &str) -> bool {
    repository == name
        || repository
            .strip_suffix(name)
            .is_some_and(|before| before.ends_with('/'))
}

/// Repository and tag.
pub(super) fn parts(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (name, None),
    }
}

pub(super) fn silent(host: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Exit::HostNotReady,
        format!("the registry {host} does not answer"),
    )
    .cause(error)
    .hint(typed!("registry up"))
}

/// Returns what a build recorded of exactly this image.
fn noted<'a>(image: &Tagged, host: &str, pushed: &'a [Image]) -> Option<&'a Image> {
    let reference = format!("{host}/{}:{}", image.repository, image.tag);
    pushed
        .iter()
        .rfind(|noted| noted.reference == reference && noted.digest == image.digest)
}

fn to_json(image: &Tagged, host: &str, pushed: &[Image]) -> serde_json::Value {
    let noted = noted(image, host, pushed);
    json!({
        "reference": format!("{host}/{}:{}", image.repository, image.tag),
        "repository": image.repository,
        "tag": image.tag,
        "digest": image.digest,
        "bytes": image.size,
        "pushed": noted.map(|noted| noted.at),
        "tree": noted.map(|noted| &noted.tree),
        "state": noted.and_then(|noted| noted.state.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_will_do() {
        assert!(is_meant("imager", "siderolabs/imager"));
        assert!(is_meant("siderolabs/imager", "siderolabs/imager"));
        assert!(!is_meant("mager", "siderolabs/imager"));
        for name in [
            "127.0.0.1:5005/siderolabs/imager:v1@sha256:ab",
            "localhost:5005/siderolabs/imager:v1",
            "siderolabs/imager:v1",
        ] {
            let name = plain(name, "127.0.0.1:5005");
            assert_eq!(parts(name), ("siderolabs/imager", Some("v1")));
        }
        assert_eq!(plain("ghcr.io/x:v1", "127.0.0.1:5005"), "ghcr.io/x:v1");
    }
}
