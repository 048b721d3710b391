//! `image`: what is in an image, without podman and without root.

mod cat;
mod inspect;
mod ls;

use clap::{Args, Subcommand};
use oci::Image;

use crate::app::App;
use foundation::ctx::image_source::{ImageSource, failure};
use foundation::failure::{Failure, Result};
use foundation::typed;

#[derive(Debug, Clone, Subcommand)]
pub enum ImageCommand {
    /// Show the platforms, configuration and layers of an image
    #[command(after_help = "Examples:\n  \
        cargo xtask image inspect 127.0.0.1:5005/me/hailort:4.21.0\n  \
        cargo xtask image inspect _out/installer-amd64.tar")]
    Inspect {
        #[command(flatten)]
        which: WhichImage,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the files of an image as they are unpacked
    #[command(after_help = "Examples:\n  \
        cargo xtask image ls 127.0.0.1:5005/me/hailort:4.21.0\n  \
        cargo xtask image ls _out/installer-amd64.tar usr/install")]
    Ls {
        #[command(flatten)]
        which: WhichImage,
        /// Folder or file in the image [default: all]
        #[arg(value_name = "PATH")]
        path: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a file of an image
    #[command(after_help = "Examples:\n  \
        cargo xtask image cat 127.0.0.1:5005/me/hailort:4.21.0 manifest.yaml")]
    Cat {
        #[command(flatten)]
        which: WhichImage,
        /// File in the image
        #[arg(value_name = "PATH")]
        path: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct WhichImage {
    /// Reference in a registry on this machine, OCI layout, archive, layer or folder
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Platform of an index, such as linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

pub(crate) fn run(app: &App<'_>, command: &ImageCommand) -> Result<u8> {
    match command {
        ImageCommand::Inspect { which, json } => inspect::run(app, which, *json),
        ImageCommand::Ls { which, path, json } => ls::run(app, which, path.as_deref(), *json),
        ImageCommand::Cat { which, path } => cat::run(app, which, path),
    }
}

fn open(app: &App<'_>, which: &WhichImage) -> Result<ImageSource> {
    ImageSource::open(&app.ctx.cwd, &which.image)
}

/// The images for the chosen platform, or for all.
fn images<'a>(source: &'a ImageSource, which: &WhichImage) -> Result<Vec<Image<'a>>> {
    let mut images = source
        .images()
        .map_err(|error| failure(&source.name, &error))?;
    if let Some(platform) = &which.platform {
        let has: Vec<String> = images.iter().map(|it| it.platform.to_string()).collect();
        images.retain(|image| {
            let text = image.platform.to_string();
            text == *platform || text.starts_with(&format!("{platform}/"))
        });
        if images.is_empty() {
            return Err(
                Failure::usage(format!("`{}` has no image for {platform}", source.name))
                    .cause(format!("it has: {}", has.join(", "))),
            );
        }
    }
    if images.is_empty() {
        return Err(failure(
            &source.name,
            &oci::ImageError::Missing {
                what: "an image".into(),
            },
        ));
    }
    Ok(images)
}

/// The one image, for commands that print one.
fn single<'a>(source: &'a ImageSource, which: &WhichImage) -> Result<Image<'a>> {
    let mut images = images(source, which)?;
    let image = images.swap_remove(0);
    if let Some(other) = images.first() {
        let hint = typed!(
            "image ls {} --platform {}",
            source.name,
            image.platform.to_string()
        );
        return Err(Failure::usage(format!(
            "`{}` has images for several platforms",
            source.name
        ))
        .cause(format!("{} and {}", image.platform, other.platform))
        .hint(hint));
    }
    Ok(image)
}
