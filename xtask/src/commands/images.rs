//! `images`: the images that builds have pushed, newest first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::json;

use crate::app::App;
use foundation::ctx::image_reference;
use foundation::ctx::registries;
use foundation::ctx::registry_api::Api;
use foundation::failure::Result;
use foundation::record::pushed_images::{Image, list_of, read};
use foundation::typed;
use foundation::ui;
use foundation::units::local_time;

pub(crate) fn run(app: &App<'_>, json: bool) -> Result<u8> {
    let mut images = read(&list_of(&app.ctx.dirs.state))?;
    images.reverse();
    drop_deleted(app, &mut images);
    if json {
        let images: Vec<_> = images
            .iter()
            .map(|image| {
                json!({
                    "reference": image.reference, "name": image.name(), "tag": image.tag(), "digest": image.digest,
                    "at": image.at, "tree": image.tree, "state": image.state,
                })
            })
            .collect();
        ui::print_report(json!({"images": images}));
        return Ok(0);
    }
    if images.is_empty() {
        let push = typed!("build imager --registry 127.0.0.1:5005 --push");
        ui::print(&format!("no images pushed yet; push one with `{push}`\n"));
    }
    let mut out = String::new();
    for image in &images {
        let state = image.state.as_deref().unwrap_or("no git");
        let short: String = state.chars().take(12).collect();
        let dirty = if state.ends_with("-dirty") {
            " dirty"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "{}  {}@{}  from {}{dirty} in {}",
            local_time(image.at),
            image.reference,
            image.digest,
            short,
            image.tree
        );
    }
    ui::print(&out);
    Ok(0)
}

/// Drops what the local registry does not have any more. What cannot be asked stays.
fn drop_deleted(app: &App<'_>, images: &mut Vec<Image>) {
    let spec = registries::local();
    let repository = |image: &Image| {
        let (registry, repository, _) = image_reference::split(&image.reference)?;
        let port = registry.rsplit_once(':')?.1.parse();
        let is_ours = image_reference::is_local(registry) && port == Ok(spec.port);
        is_ours.then(|| repository.to_owned())
    };
    let asked: BTreeSet<String> = images.iter().filter_map(repository).collect();
    if asked.is_empty() {
        return;
    }
    let api = Api::on_loopback(spec.port);
    let mut tags = BTreeMap::new();
    for name in asked {
        let Ok(found) = api.tags(&name) else {
            app.ui.note(&format!(
                "the registry {} does not answer: what was deleted there is listed too",
                spec.host
            ));
            return;
        };
        tags.insert(name, found);
    }
    images.retain(|image| {
        let Some(tags) = repository(image).and_then(|name| tags.get(&name)) else {
            return true;
        };
        tags.iter().any(|tag| tag == image.tag())
    });
}
