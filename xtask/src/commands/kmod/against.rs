//! What images are judged against: the version and constants of the checkout, or of
//! `--talos-version`, and the image of the kernel.

use camino::Utf8Path;
use oci::lint::{Against, Exception, Kernel, scan};
use talos::version::{Support, TalosVersion};

use crate::app::App;
use foundation::ctx::image_source::{ImageSource, failure};
use foundation::failure::{Failure, Result};
use foundation::files;
use foundation::typed;

const CONSTANTS: &str = "pkg/machinery/constants/constants.go";
const EXTENSIONS: &str = "pkg/machinery/extensions/extensions.go";

pub(super) struct Chosen {
    pub(super) against: Against,
    /// Where the version comes from, for the report.
    pub(super) from: String,
}

/// # Errors
/// If the version is invalid or too old, or the kernel's image cannot be read.
pub(super) fn choose(app: &App<'_>, version: Option<&str>, kernel: Option<&str>) -> Result<Chosen> {
    let Sources {
        version,
        kernel_release,
        allowed,
        exceptions,
        from,
    } = sources(app, version)?;
    if let Support::TooOld { oldest } = version.support() {
        return Err(Failure::usage(format!("Talos {version} is too old"))
            .cause(format!("extensions are known from {oldest} on")));
    }
    let table = || {
        let table = version.allowed_extension_paths();
        table.into_iter().map(str::to_owned).collect()
    };
    let mut against = Against {
        allowed: allowed.unwrap_or_else(table),
        version,
        kernel_release,
        kernels: Vec::new(),
        exceptions,
    };
    if let Some(word) = kernel {
        against.kernels = kernels(app, word)?;
    }
    Ok(Chosen { against, from })
}

/// What the version and a checkout tell.
struct Sources {
    version: TalosVersion,
    kernel_release: Option<String>,
    /// Of the checkout.
    allowed: Option<Vec<String>>,
    exceptions: Vec<Exception>,
    from: String,
}

impl Sources {
    fn of_version(version: TalosVersion, from: &str) -> Self {
        Self {
            version,
            kernel_release: None,
            allowed: None,
            exceptions: Vec::new(),
            from: from.to_owned(),
        }
    }
}

fn sources(app: &App<'_>, version: Option<&str>) -> Result<Sources> {
    if let Some(text) = version {
        let version = TalosVersion::parse(text)
            .map_err(|error| Failure::usage(format!("invalid version `{text}`")).cause(error))?;
        return Ok(Sources::of_version(version, "--talos-version"));
    }
    let checkout = match app.ctx.checkout() {
        Ok(checkout) => checkout,
        // A checkout that was named has to be one.
        Err(failure) if app.global.talos_dir.is_some() => return Err(failure),
        Err(_) => {
            let newest = TalosVersion::newest();
            return Ok(Sources::of_version(newest, "the newest known line"));
        }
    };
    let constants = files::text(&checkout.dir.join(CONSTANTS), files::SMALL)?;
    let release = constants
        .as_deref()
        .and_then(TalosVersion::kernel_release)
        .map(str::to_owned);
    let list = files::text(&checkout.dir.join(EXTENSIONS), files::SMALL)?;
    Ok(Sources {
        version: checkout.version,
        kernel_release: release,
        allowed: list
            .as_deref()
            .and_then(TalosVersion::allowed_extension_paths_in),
        exceptions: exceptions(checkout.dir.parent().unwrap_or(&checkout.dir))?,
        from: checkout.dir.into_string(),
    })
}

/// Upstream's lists, from a checkout of extensions beside that of Talos.
fn exceptions(beside: &Utf8Path) -> Result<Vec<Exception>> {
    let mut exceptions = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let path = beside.join(format!(
            "extensions/hack/test/exceptions-{architecture}.yaml"
        ));
        let Some(text) = files::text(&path, files::SMALL)? else {
            continue;
        };
        let listed = Exception::parse(&text, architecture)
            .map_err(|error| Failure::host(format!("cannot read `{path}`")).cause(error))?;
        exceptions.extend(listed);
    }
    Ok(exceptions)
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
