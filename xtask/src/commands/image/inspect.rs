//! `image inspect`: manifest and configuration of each platform; no layer is read.

use std::fmt::Write;

use oci::{Image, Process};
use serde_json::{Value, json};

use super::{WhichImage, images, open};
use crate::app::App;
use foundation::failure::Result;
use foundation::ui;
use foundation::ui::text::one_line;
use foundation::units::human_size;

pub(super) fn run(app: &App<'_>, which: &WhichImage, as_json: bool) -> Result<u8> {
    let source = open(app, which)?;
    let images = images(&source, which)?;
    if as_json {
        let images: Vec<Value> = images.iter().map(to_json).collect();
        ui::print_report(json!({"image": source.name, "platforms": images}));
        return Ok(0);
    }
    let mut out = String::new();
    for image in &images {
        write_image(&mut out, image);
    }
    ui::print(&out);
    Ok(0)
}

fn to_json(image: &Image<'_>) -> Value {
    let none = Process::default();
    let config = image.config.as_ref();
    let process = config.map_or(&none, |config| &config.config);
    let layers = image.layers().iter().map(|layer| {
        json!({
            "digest": layer.digest().map(ToString::to_string),
            "size": layer.size,
            "media_type": layer.media_type,
        })
    });
    json!({
        "platform": image.platform.to_string(),
        "digest": image.digest.as_ref().map(ToString::to_string),
        "created": config.and_then(|config| config.created.clone()),
        "has_config": config.is_some(),
        "entrypoint": process.entrypoint,
        "cmd": process.cmd,
        "env": process.env,
        "labels": process.labels,
        "annotations": image.annotations,
        "layers": layers.collect::<Vec<_>>(),
    })
}

fn write_image(out: &mut String, image: &Image<'_>) {
    let _ = writeln!(out, "{}  {}", one_line(&image.name), image.platform);
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let Some(digest) = &image.digest {
        rows.push(("digest", digest.to_string()));
    }
    match &image.config {
        Some(config) => {
            rows.extend(config.created.clone().map(|created| ("created", created)));
            let process = &config.config;
            for (name, words) in [("entrypoint", &process.entrypoint), ("cmd", &process.cmd)] {
                if !words.is_empty() {
                    rows.push((name, foundation::shell::join(words)));
                }
            }
            rows.extend(process.env.iter().map(|it| ("env", it.clone())));
            rows.extend(
                process
                    .labels
                    .iter()
                    .map(|(key, value)| ("label", format!("{key}={value}"))),
            );
        }
        None if image.has_manifest() => rows.push(("config", "missing".into())),
        None => {}
    }
    rows.extend(
        image
            .annotations
            .iter()
            .map(|(key, value)| ("annotation", format!("{key}={value}"))),
    );
    for layer in image.layers() {
        let mut words: Vec<String> = Vec::new();
        words.extend(layer.digest().map(ToString::to_string));
        words.extend(layer.size.map(human_size));
        if !layer.media_type.is_empty() {
            words.push(layer.media_type.clone());
        }
        if words.is_empty() {
            words.push("no digest".into());
        }
        rows.push(("layer", words.join("  ")));
    }
    for (name, value) in rows {
        let _ = writeln!(out, "  {name:<12}{}", one_line(&value));
    }
}
