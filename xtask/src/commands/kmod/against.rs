//! What images are judged against: the version and constants of the checkout, or of
//! `--talos-version`, and the image of the kernel.

use oci::lint::{Against, Kernel, scan};
use talos::version::{Support, TalosVersion};

use crate::app::App;
use foundation::ctx::image_source::{ImageSource, failure};
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::typed;

const CONSTANTS: &str = "pkg/machinery/constants/constants.go";

pub(super) struct Chosen {
    pub(super) against: Against,
    /// Where the version comes from, for the report.
    pub(super) from: String,
}

/// # Errors
/// If the version is invalid or too old, or the kernel's image cannot be read.
pub(super) fn choose(app: &App<'_>, version: Option<&str>, kernel: Option<&str>) -> Result<Chosen> {
    let (version, release, from) = version_and_release(app, version)?;
    if let Support::TooOld { oldest } = version.support() {
        return Err(Failure::usage(format!("Talos {version} is too old"))
            .cause(format!("extensions are known from {oldest} on")));
    }
    let allowed = version.allowed_extension_paths();
    let mut against = Against {
        allowed: allowed.into_iter().map(str::to_owned).collect(),
        version,
        kernel_release: release,
        kernels: Vec::new(),
    };
    if let Some(word) = kernel {
        against.kernels = kernels(app, word)?;
    }
    Ok(Chosen { against, from })
}

fn version_and_release(
    app: &App<'_>,
    version: Option<&str>,
) -> Result<(TalosVersion, Option<String>, String)> {
    if let Some(text) = version {
        let version = TalosVersion::parse(text)
            .map_err(|error| Failure::usage(format!("invalid version `{text}`")).cause(error))?;
        return Ok((version, None, "--talos-version".to_owned()));
    }
    let checkout = match app.ctx.checkout() {
        Ok(checkout) => checkout,
        // A checkout that was named has to be one.
        Err(failure) if app.global.talos_dir.is_some() => return Err(failure),
        Err(_) => {
            let newest = TalosVersion::newest();
            return Ok((newest, None, "the newest known line".to_owned()));
        }
    };
    let constants = files::text(&checkout.dir.join(CONSTANTS), files::SMALL)?;
    let release = constants
        .as_deref()
        .and_then(TalosVersion::kernel_release)
        .map(str::to_owned);
    Ok((checkout.version, release, checkout.dir.into_string()))
}

fn kernels(app: &App<'_>, word: &str) -> Result<Vec<Kernel>> {
    let source = ImageSource::open(&app.ctx.cwd, word)?;
    let images = source.images().map_err(|error| failure(word, &error))?;
    let mut kernels = Vec::new();
    for image in &images {
        let scan = scan(image, None, false).map_err(|error| failure(word, &error))?;
        let kernel = Kernel::of(&scan).map_err(|reason| {
            Failure::usage(format!("`{word}` is not the image of a kernel"))
                .cause(reason)
                .hint(typed!("image ls {} usr/lib/modules", word))
        })?;
        kernels.push(kernel);
    }
    Ok(kernels)
}
