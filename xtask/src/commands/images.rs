//! `images`: the images that builds have pushed, newest first.

use std::fmt::Write;

use serde_json::json;

use crate::app::App;
use foundation::failure::Result;
use foundation::record::pushed_images::{list_of, read};
use foundation::typed;
use foundation::ui;
use foundation::units::local_time;

pub(crate) fn run(app: &App<'_>, json: bool) -> Result<u8> {
    let mut images = read(&list_of(&app.ctx.dirs.state))?;
    images.reverse();
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
