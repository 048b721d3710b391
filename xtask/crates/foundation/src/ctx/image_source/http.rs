//! Images of a registry on this machine, over plain HTTP.
//!
//! Not the crate oci-client: it brings reqwest, hyper and a TLS library with a C or
//! assembly build, more than the rest of `cargo xtask` together takes to compile, for
//! three GET requests. Registries that need TLS often need a login too; `skopeo copy`
//! and `crane pull` have both, and the layout or archive that they write is read here.

use std::time::Duration;

use oci::{Request, Response, Transport};

use crate::ctx::image_reference::is_local;
use crate::ctx::registry_api::explain;

const CONNECT: Duration = Duration::from_secs(5);
const RESPONSE: Duration = Duration::from_secs(30);
/// Slower transfers are given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Http {
    address: String,
    agent: ureq::Agent,
}

impl Http {
    /// # Errors
    /// If the registry is elsewhere, and so needs TLS.
    pub(super) fn new(address: &str) -> Result<Self, String> {
        if !is_local(address) {
            return Err(format!(
                "{address} needs TLS, and often a login; only registries on this machine are read"
            ));
        }
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(RESPONSE))
            // Registries may redirect to another store.
            .max_redirects(3)
            .http_status_as_error(false);
        Ok(Self {
            address: address.to_owned(),
            agent: ureq::Agent::from(config.build()),
        })
    }
}

impl Transport for Http {
    fn address(&self) -> &str {
        &self.address
    }

    fn get(&self, request: Request<'_>) -> Result<Response<'_>, String> {
        let limit = RESPONSE + Duration::from_secs(request.size / SLOWEST_BYTES_PER_SECOND);
        let mut call = self
            .agent
            .get(format!("http://{}{}", self.address, request.path));
        if let Some(accept) = request.accept {
            call = call.header("Accept", accept);
        }
        let call = call.config().timeout_recv_body(Some(limit)).build();
        let response = call.call().map_err(|error| explain(&error).to_string())?;
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        Ok(Response {
            status: response.status().as_u16(),
            content_type,
            body: Box::new(response.into_body().into_reader()),
        })
    }
}
