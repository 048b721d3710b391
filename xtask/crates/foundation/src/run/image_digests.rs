//! Records the digests of pushed images. An unknown digest is only a warning,
//! since the push itself succeeded.

use camino::Utf8Path;
use serde_json::Value;

use crate::ctx::{image_reference, probe};
use crate::files;
use crate::record::pushed_images::{Image, append};
use crate::record::runs::now_ms;
use crate::ui::Ui;

/// Notes each of `references` in `list`.
pub(super) fn record(
    references: &[String],
    metadata: Option<&Utf8Path>,
    tree: &Utf8Path,
    list: &Utf8Path,
    ui: &Ui,
) {
    let by_buildx = metadata.map_or(Ok(None), read_metadata);
    let state = probe::commit(tree);
    for reference in references {
        let digest = match &by_buildx {
            Ok(Some(digest)) => Ok(digest.clone()),
            Ok(None) => image_reference::digest(reference),
            Err(why) => Err(why.clone()),
        };
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

/// `containerimage.digest` of what `--metadata-file` wrote; none where it wrote
/// nothing, or nothing of it.
fn read_metadata(path: &Utf8Path) -> Result<Option<String>, String> {
    let read = files::read(path, files::MEDIUM);
    let Some(bytes) = read.map_err(|error| format!("`{path}`: {error}"))? else {
        return Ok(None);
    };
    let value: Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("`{path}`: {error}"))?;
    Ok(value["containerimage.digest"].as_str().map(str::to_owned))
}
