//! One request, bounded in time and size. Each failure has a command as a hint.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::super::args::FetchArgs;
use super::super::endpoint::Transport;
use super::super::target::{Target, offered};
use super::http::{self, Error, Response};
use super::spool::{Body, Full, Spool};
use super::tls;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::typed;

/// Maximum bytes of a refusal, and maximum lines of it that are shown.
const REFUSAL: usize = 2048;
const LINES: usize = 3;
/// Maximum bytes of a list of profiles.
const INDEX: usize = 1 << 20;
/// Maximum bytes of a profile over TLS, which is held in memory.
const LARGEST: usize = 256 << 20;
/// The hint where an endpoint refuses a request without credentials.
pub(super) const CREDENTIALS: &str = "credentials are part of the URL, `http://USER:PASSWORD@HOST`, or a header: `--header 'Authorization: …'`";
const LISTING: Duration = Duration::from_secs(10);

/// Returns the body of a successful response that is complete within
/// `patience`, or arrives faster than [`http::PER_SECOND`].
pub(super) async fn get(
    target: &Target,
    path: &str,
    args: &FetchArgs,
    patience: Duration,
    spool: &Arc<Spool>,
) -> Result<Body> {
    if target.transport == Transport::Tls {
        let (of, path, args) = (target.clone(), path.to_owned(), args.clone());
        let fetched = spawn_blocking(move || tls::get(&of, &path, &args, patience, LARGEST));
        let bytes = fetched
            .await
            .because(|| "curl was not waited for".to_owned())??;
        let mut body = spool.body();
        body.push(&bytes)
            .map_err(|full| does_not_fit(target, &full))?;
        return Ok(body);
    }
    let begun = Instant::now();
    let explain = |error: Error| explain(target, &error, begun.elapsed());
    let response = http::get(target, path, begun + patience).await;
    let mut response = response.map_err(explain)?;
    if !response.status.is_success() {
        return Err(refusal(target, path, args, &mut response).await);
    }
    let mut body = spool.body();
    loop {
        let chunk = response.chunk().await.map_err(explain)?;
        if chunk.is_empty() {
            return Ok(body);
        }
        let pushed = body.push(&chunk);
        pushed.map_err(|full| does_not_fit(target, &full))?;
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

async fn refusal(
    target: &Target,
    path: &str,
    args: &FetchArgs,
    response: &mut Response,
) -> Failure {
    let (status, url) = (response.status, target.url(path));
    let from_pprof = response.headers.contains_key("X-Go-Pprof");
    // An incomplete text is shown as well.
    let (body, _) = response.start_of_body(REFUSAL).await;
    let failure = Failure::step(format!("`{url}` answers {status}"));
    let text = String::from_utf8_lossy(&body).into_owned();
    let failure = match text.trim() {
        "" => failure,
        text if text.starts_with('<') => failure.cause("an HTML page, not a profile"),
        text => failure.excerpt(text.lines().take(LINES).map(str::to_owned)),
    };
    match status.as_u16() {
        300..=399 => failure.cause("a redirect is not followed: a node's profiles are its own"),
        401 | 403 => failure.hint(CREDENTIALS),
        404 => match offers(target, args).await {
            Some(names) => failure.cause(format!("it offers: {}", names.join(", "))),
            None if target.is_talos() => failure.hint("see the ports of services in `--help`"),
            None => {
                failure.cause("there is no list of profiles: net/http/pprof is not served here")
            }
        },
        500 if from_pprof => {
            failure.hint("a service takes one CPU profile at a time: try again when it is done")
        }
        _ => failure,
    }
}

/// The profiles that a node lists; none when its response is not such a list.
pub(super) async fn offers(target: &Target, args: &FetchArgs) -> Option<Vec<String>> {
    if target.transport == Transport::Tls {
        let (of, args) = (target.clone(), args.clone());
        let listed = spawn_blocking(move || tls::get(&of, &of.index(), &args, LISTING, INDEX));
        let list = listed.await.ok()?.ok()?;
        return Some(offered(&String::from_utf8_lossy(&list))).filter(|names| !names.is_empty());
    }
    let deadline = Instant::now() + LISTING;
    let response = http::get(target, &target.index(), deadline).await;
    // A longer list is not one of profiles.
    let (text, error) = response.ok()?.start_of_body(INDEX + 1).await;
    if error.is_some() || text.len() > INDEX {
        return None;
    }
    Some(offered(&String::from_utf8_lossy(&text))).filter(|names| !names.is_empty())
}

fn explain(target: &Target, error: &Error, waited: Duration) -> Failure {
    let address = &match &target.transport {
        Transport::Unix(socket) => socket.to_string(),
        _ => target.address.clone(),
    };
    let debug_build = || {
        format!(
            "{}, then `{}`",
            typed!("build initramfs WITH_DEBUG=1"),
            typed!("cluster reboot --all")
        )
    };
    match error {
        Error::Io(error)
            if error.kind() == ErrorKind::ConnectionRefused && !target.is_talos() =>
        {
            Failure::step(format!("nothing listens on `{address}`")).hint(
                "start the program, or name another port: `--endpoint HOST:PORT`",
            )
        }
        Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            Failure::step(format!("nothing listens on `{address}`"))
                .cause("Talos was not built WITH_DEBUG=1, or this node does not run the service")
                .hint(debug_build())
        }
        Error::Io(error) if error.kind() == ErrorKind::NotFound => {
            Failure::usage(format!("the socket `{address}` does not exist"))
        }
        Error::Unreachable if !target.is_talos() => {
            Failure::step(format!("`{address}` does not answer"))
                .cause("the host is down, or a firewall drops the port")
        }
        Error::Unreachable => {
            Failure::step(format!("`{address}` does not answer"))
                .cause("the node is down, or a firewall drops the port (a cluster made with --with-firewall=block)")
                .hint(typed!("cluster status"))
        }
        Error::Io(error)
            if matches!(error.kind(), ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) =>
        {
            Failure::step(format!("no way to `{address}`"))
                .cause(error)
                .hint(typed!("cluster status"))
        }
        Error::Late => Failure::new(
            Exit::Deadline,
            format!(
                "`{address}` did not answer completely within {} s",
                waited.as_secs()
            ),
        )
        .cause("the node died, or is too busy")
        .hint(typed!("cluster status")),
        Error::Lookup(error) => {
            Failure::usage(format!("no such host: `{address}`")).cause(error)
        }
        other => Failure::step(format!("`{address}` broke off"))
            .cause(other)
            .hint(typed!("cluster status")),
    }
}
