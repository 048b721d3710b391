//! Selects the installer image of a cluster: the one that a build of this
//! checkout has pushed, by digest, so that reusing its tag cannot change what a
//! node installs.

use foundation::ctx::Ctx;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::{image_reference, registries};
use foundation::files;
use foundation::record::pushed_images::{Image, list_of, read};

use super::settings::Settings;

/// The selected image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Installer {
    /// `127.0.0.1:5005/siderolabs/installer:v1.12.0-dirty@sha256:…`; none for
    /// talosctl's default.
    pub(super) image: Option<String>,
    /// A note for the plan's reader.
    pub(super) note: Option<String>,
}

/// The user's own argument comes first, then the recorded pushes of this
/// checkout, then the file that `make installer` wrote (1.13+), then the image
/// with this tree's tag if the local registry has it.
pub(super) fn find(ctx: &Ctx, checkout: &Checkout, settings: &Settings) -> Installer {
    let is_given = |arg: &String| arg.starts_with("--install-image");
    if settings.talosctl_args.iter().any(is_given) {
        return Installer::default();
    }
    let found =
        written(checkout).and_then(|written| Ok((written, read(&list_of(&ctx.dirs.state))?)));
    let (written, pushed) = match found {
        Ok(found) => found,
        Err(failure) => {
            let note = format!(
                "which installer is this checkout's is not known, so talosctl's default is used: {}",
                failure.in_one_line()
            );
            return Installer {
                image: None,
                note: Some(note),
            };
        }
    };
    let noted = newest(&pushed, checkout, written.as_deref());
    if let Some(image) = noted {
        return pin(image, image_reference::digest(&image.reference));
    }
    let by_tag = || {
        let reference = format!(
            "{}/siderolabs/installer:{}",
            registries::local().host,
            checkout.tag()?
        );
        image_reference::digest(&reference)
            .is_ok()
            .then_some(reference)
    };
    let image =
        written
            .or_else(by_tag)
            .map(|reference| match image_reference::digest(&reference) {
                Ok(digest) => pinned(&reference, &digest),
                Err(_) => reference,
            });
    Installer { image, note: None }
}

/// Reads the reference that Talos 1.13 and newer write to a file when they
/// push.
fn written(checkout: &Checkout) -> foundation::failure::Result<Option<String>> {
    let Some(file) = checkout.version.installer_image_file() else {
        return Ok(None);
    };
    let text = files::text(&checkout.dir.join(file), files::SMALL)?.unwrap_or_default();
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Returns the last installer of this checkout; if a reference was written to
/// the file, the last one of that name, because the file may be newer than the
/// records.
fn newest<'a>(
    pushed: &'a [Image],
    checkout: &Checkout,
    written: Option<&str>,
) -> Option<&'a Image> {
    pushed.iter().rfind(|image| {
        image.tree == checkout.dir
            && image.name().rsplit('/').next() == Some("installer")
            && written.is_none_or(|written| written == image.reference)
    })
}

fn pin(image: &Image, now: Result<String, String>) -> Installer {
    let reference = &image.reference;
    match now {
        Ok(digest) if digest == image.digest => Installer {
            image: Some(pinned(reference, &digest)),
            note: None,
        },
        Ok(digest) => Installer {
            image: Some(pinned(reference, &digest)),
            note: Some(format!(
                "{reference} is not what our build pushed ({}): it was pushed again since, and is used as it is now",
                image.digest
            )),
        },
        // The registry may be elsewhere or stopped; nodes may still reach it.
        Err(why) => Installer {
            image: Some(pinned(reference, &image.digest)),
            note: Some(format!("cannot look whether {reference} is there: {why}")),
        },
    }
}

fn pinned(reference: &str, digest: &str) -> String {
    if reference.contains('@') {
        return reference.to_owned();
    }
    format!("{reference}@{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(reference: &str, digest: &str, tree: &str) -> Image {
        Image {
            reference: reference.into(),
            digest: digest.into(),
            at: 1,
            tree: tree.into(),
            state: None,
        }
    }

    fn checkout() -> Checkout {
        Checkout {
            dir: "/t".into(),
            found_by: "",
            version: talos::version::TalosVersion::parse("v1.12.0").unwrap(),
            version_from: "",
        }
    }

    #[test]
    fn the_last_installer_of_this_checkout_counts() {
        let pushed = [
            image("r/u/installer:a", "sha256:1", "/t"),
            image("r/u/installer:a", "sha256:2", "/t"),
            image("r/u/installer-base:a", "sha256:3", "/t"),
            image("r/u/installer:b", "sha256:4", "/other"),
        ];
        let found =
            |written| newest(&pushed, &checkout(), written).map(|image| image.digest.as_str());
        assert_eq!(found(None), Some("sha256:2"));
        assert_eq!(found(Some("r/u/installer:a")), Some("sha256:2"));
        assert_eq!(found(Some("r/u/installer:c")), None);
    }

    #[test]
    fn a_tag_that_is_used_again_is_told() {
        let image = image("r/u/installer:a", "sha256:1", "/t");
        let same = pin(&image, Ok("sha256:1".into()));
        assert_eq!(same.image.as_deref(), Some("r/u/installer:a@sha256:1"));
        assert_eq!(same.note, None);
        let other = pin(&image, Ok("sha256:2".into()));
        assert_eq!(other.image.as_deref(), Some("r/u/installer:a@sha256:2"));
        assert!(other.note.unwrap().contains("pushed again"));
        let silent = pin(&image, Err("no answer".into()));
        assert_eq!(silent.image.as_deref(), Some("r/u/installer:a@sha256:1"));
    }
}
