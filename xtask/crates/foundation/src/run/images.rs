//! After a push: which digest the image has. A digest that cannot be learnt is
//! a warning: the image is pushed all the same.

use camino::Utf8Path;
use serde_json::Value;

use crate::ctx::{images, probe};
use crate::files;
use crate::record::images::{Image, append};
use crate::record::runs::now_ms;
use crate::ui::Ui;

/// Note each of `references` in `list`.
pub(super) fn record(
    references: &[String],
    metadata: Option<&Utf8Path>,
    tree: &Utf8Path,
    list: &Utf8Path,
    ui: &Ui,
) {
    let by_buildx = metadata.and_then(read_metadata);
    let state = probe::commit(tree);
    for reference in references {
        let digest = by_buildx
            .clone()
            .map_or_else(|| images::digest(reference), Ok);
        match digest {
            Ok(digest) => {
                let image = Image {
                    reference: reference.clone(),
                    digest: digest.clone(),
                    at: now_ms(),
                    tree: tree.to_owned(),
                    state: state.clone(),
                };
                match append(list, &image) {
                    Ok(()) => ui.progress(&format!("pushed {reference}@{digest}")),
                    Err(error) => {
                        ui.note(&format!("cannot note the digest of {reference}: {error}"));
                    }
                }
            }
            Err(why) => ui.note(&format!("the digest of {reference} is not known: {why}")),
        }
    }
}

/// `containerimage.digest` of what `--metadata-file` wrote.
fn read_metadata(path: &Utf8Path) -> Option<String> {
    let value: Value = serde_json::from_slice(&files::read(path, files::SMALL).ok()??).ok()?;
    value["containerimage.digest"].as_str().map(str::to_owned)
}
