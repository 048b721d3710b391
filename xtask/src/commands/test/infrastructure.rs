//! The registries that the nodes of a test's cluster pull from.

use crate::app::App;
use foundation::ctx::checkout::Checkout;
use foundation::ctx::mirrors::{self, Mirror};
use foundation::ctx::registries::{self, Spec};
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;

/// Returns the local registry and then the proxies, as in the guide.
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

/// The registries that responded before the tests began.
#[derive(Debug, Clone)]
pub(super) struct Registries {
    pub(super) mirrors: Vec<Mirror>,
}

impl Registries {
    /// # Errors
    /// Those of [`registries`].
    pub(super) fn before(app: &App<'_>, checkout: &Checkout) -> Result<Self> {
        let specs = registries(checkout)?;
        // A plan is made as if all registries were up.
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

    /// Returns the failure of a registry that no longer responds: tests that
    /// needed it have not failed.
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
