//! What tests against clusters run on besides the cluster: the registries that
//! its nodes pull from.

use crate::app::App;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::mirrors::{self, Mirror};
use foundation::ctx::registries::{self, Spec};
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;

/// The local registry first, then the proxies, as in the guide.
///
/// # Errors
/// When the checkout's list of them cannot be read.
pub(super) fn registries(checkout: &Checkout) -> Result<Vec<Spec>> {
    let mut specs = vec![registries::local()];
    specs.extend(registries::proxies(
        checkout,
        &std::collections::BTreeMap::new(),
    )?);
    Ok(specs)
}

/// Those that answered before the tests began.
#[derive(Debug, Clone)]
pub(super) struct Registries {
    pub(super) mirrors: Vec<Mirror>,
}

impl Registries {
    /// # Errors
    /// As [`registries`].
    pub(super) fn before(app: &App<'_>, checkout: &Checkout) -> Result<Self> {
        let specs = registries(checkout)?;
        // A plan is for wherever all are up.
        let every = |spec: &Spec| Mirror {
            host: spec.host.clone(),
            port: spec.port,
            needs_relay: false,
        };
        let mirrors = if app.is_dry() {
            specs.iter().map(every).collect()
        } else {
            mirrors::probe(&specs)
        };
        Ok(Self { mirrors })
    }

    /// One that answers no more: tests that needed it have not failed.
    pub(super) fn lost(&self) -> Option<Failure> {
        let gone = self
            .mirrors
            .iter()
            .find(|mirror| !mirrors::is_registry(mirror.port))?;
        let what = format!(
            "the registry of {} at 127.0.0.1:{} went while the tests ran",
            gone.host, gone.port
        );
        Some(Failure::new(Exit::NodeDied, what).hint(format!(
            "{}; {}",
            typed!("registry up"),
            typed!("proxies up")
        )))
    }
}
