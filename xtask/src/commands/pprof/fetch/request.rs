//! One request: bounded in time and size, no redirects; each failure says what
//! to do about it.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use super::super::target::{Target, offered};
use super::spool::{Body, Full, Spool};
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;

/// Bytes of a refusal, and lines of it that are shown.
const REFUSAL: u64 = 2048;
const LINES: usize = 3;
/// Bytes of a list of profiles.
const INDEX: u64 = 1 << 20;
const CONNECT: Duration = Duration::from_secs(5);
const LISTING: Duration = Duration::from_secs(10);
/// Bytes of a head.
const HEAD: usize = 32 << 10;
const CHUNK: usize = 32 << 10;

fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        // From the first byte to the last one of the body.
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_response_header_size(HEAD)
        // Each request has its own: nothing is kept for a next one.
        .max_idle_connections(0)
        .input_buffer_size(CHUNK)
        .output_buffer_size(4 << 10)
        // Nodes are near: a proxy cannot know them.
        .proxy(None);
    ureq::Agent::from(config.build())
}

/// The body of an answer that succeeds.
pub(super) fn get(
    target: &Target,
    path: &str,
    patience: Duration,
    spool: &Arc<Spool>,
) -> Result<Body> {
    let url = format!("http://{}{path}", target.address);
    let explain = |error: ureq::Error| explain(target, &error, patience);
    let mut response = agent(patience).get(&url).call().map_err(explain)?;
    if !response.status().is_success() {
        return Err(refusal(target, &url, &mut response));
    }
    let mut reader = response.into_body().into_with_config().reader();
    let (mut body, mut chunk) = (spool.body(), vec![0; CHUNK]);
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => return Ok(body),
            Ok(read) => body
                .push(&chunk[..read])
                .map_err(|full| does_not_fit(target, &full))?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(explain(error.into())),
        }
    }
}

fn does_not_fit(target: &Target, full: &Full) -> Failure {
    let address = &target.address;
    match full {
        Full::Larger(limit) => Failure::step(format!(
            "`{address}` sends more than {} MiB, which is too large for a profile",
            limit >> 20
        )),
        Full::Together(limit) => Failure::step(format!(
            "`{address}` does not fit: all nodes send more than {} MiB together",
            limit >> 20
        ))
        .hint("ask fewer nodes: --node NAME"),
        Full::Disk(error) => {
            Failure::step(format!("cannot save what `{address}` sends")).cause(error)
        }
    }
}

fn refusal(target: &Target, url: &str, response: &mut ureq::http::Response<ureq::Body>) -> Failure {
    let status = response.status();
    let from_pprof = response.headers().contains_key("X-Go-Pprof");
    let mut body = Vec::new();
    // What came before it broke off says as much.
    let reader = response.body_mut().as_reader();
    let _ = reader.take(REFUSAL).read_to_end(&mut body);
    let failure = Failure::step(format!("`{url}` answers {status}"));
    let text = String::from_utf8_lossy(&body).into_owned();
    let failure = match text.trim() {
        "" => failure,
        text if text.starts_with('<') => failure.cause("an HTML page, not a profile"),
        text => failure.excerpt(text.lines().take(LINES).map(str::to_owned)),
    };
    match status.as_u16() {
        300..400 => failure.cause("a redirect is not followed: a node's profiles are its own"),
        404 => match offers(target) {
            Some(names) => failure.cause(format!("it offers: {}", names.join(", "))),
            None => failure.hint("is this a Talos service? see the ports in `--help`"),
        },
        500 if from_pprof => {
            failure.hint("a service takes one CPU profile at a time: try again when it is done")
        }
        _ => failure,
    }
}

/// The profiles that a node lists; none where it does not answer with a list.
pub(in super::super) fn offers(target: &Target) -> Option<Vec<String>> {
    let url = format!("http://{}/debug/pprof/", target.address);
    let mut response = agent(LISTING).get(&url).call().ok()?;
    let text = response
        .body_mut()
        .with_config()
        .limit(INDEX)
        .read_to_string();
    Some(offered(&text.ok()?)).filter(|names| !names.is_empty())
}

fn explain(target: &Target, error: &ureq::Error, patience: Duration) -> Failure {
    let address = &target.address;
    let debug_build = || {
        format!(
            "{}, then `{}`",
            typed!("build initramfs WITH_DEBUG=1"),
            typed!("cluster reboot --all")
        )
    };
    match error {
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            Failure::step(format!("nothing listens on `{address}`"))
                .cause("Talos was not built WITH_DEBUG=1, or this node does not run the service")
                .hint(debug_build())
        }
        ureq::Error::Timeout(ureq::Timeout::Connect) => {
            Failure::step(format!("`{address}` does not answer"))
                .cause("the node is down, or a firewall drops the port (a cluster made with --with-firewall=block)")
                .hint(typed!("cluster status"))
        }
        ureq::Error::Io(error)
            if matches!(error.kind(), ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) =>
        {
            Failure::step(format!("no way to `{address}`"))
                .cause(error)
                .hint(typed!("cluster status"))
        }
        ureq::Error::Timeout(_) => Failure::new(
            Exit::Deadline,
            format!(
                "`{address}` did not answer completely within {} s",
                patience.as_secs()
            ),
        )
        .cause("the node died, or is too busy")
        .hint(typed!("cluster status")),
        ureq::Error::HostNotFound => Failure::usage(format!("no such host: `{address}`")),
        other => Failure::step(format!("`{address}` broke off"))
            .cause(other)
            .hint(typed!("cluster status")),
    }
}
