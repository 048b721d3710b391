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
const SLOWEST_BYTES_PER_SECOND: u64 = 256 << 10;

#[derive(Debug)]
pub(super) struct Http {
    address: String,
    agent: ureq::Agent,
    /// For the start of a response, and for a body of no size.
    limit: Duration,
    /// Slower transfers are given up.
    bytes_per_second: u64,
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
        Ok(Self::within(address, RESPONSE, SLOWEST_BYTES_PER_SECOND))
    }

    fn within(address: &str, limit: Duration, bytes_per_second: u64) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(limit))
            // Registries may redirect to another store.
            .max_redirects(3)
            .http_status_as_error(false);
        Self {
            address: address.to_owned(),
            agent: ureq::Agent::from(config.build()),
            limit,
            bytes_per_second,
        }
    }
}

impl Transport for Http {
    fn address(&self) -> &str {
        &self.address
    }

    fn get(&self, request: Request<'_>) -> Result<Response<'_>, String> {
        let limit = self.limit + Duration::from_secs(request.size / self.bytes_per_second);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use oci::{ImageError, Reference};

    /// Less than a trickle takes.
    const LIMIT: Duration = Duration::from_millis(500);

    /// Answers each request by what `answer` writes for its path, and reports the path.
    fn serve(answer: fn(&str, &mut TcpStream) -> std::io::Result<()>) -> (Http, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, paths) = channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || -> Option<()> {
                    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
                    let request = lines.next()?.ok()?;
                    while lines.next()?.ok()?.as_str() != "" {}
                    let path = request.split(' ').nth(1)?;
                    let _ = sender.send(path.to_owned());
                    // The client may be gone.
                    let _ = answer(path, &mut stream);
                    Some(())
                });
            }
        });
        (Http::within(&address, LIMIT, u64::MAX), paths)
    }

    fn images(http: &Http) -> Result<usize, ImageError> {
        let reference = Reference::parse(&format!("{}/u/x:v1", http.address)).unwrap();
        oci::registry(http, &reference).map(|images| images.len())
    }

    fn redirect(stream: &mut TcpStream, to: &str) -> std::io::Result<()> {
        write!(
            stream,
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    }

    fn trickle(stream: &mut TcpStream) -> std::io::Result<()> {
        loop {
            stream.write_all(b" ")?;
            std::thread::sleep(LIMIT / 10);
        }
    }

    #[test]
    fn a_body_that_trickles_is_given_up() {
        let (http, _) = serve(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
            trickle(stream)
        });
        let error = images(&http).unwrap_err();
        assert!(error.to_string().contains("timeout"), "{error}");
        assert!(!error.is_damage(), "{error}");
    }

    #[test]
    fn headers_that_never_end_are_given_up() {
        let (http, _) = serve(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Endless:")?;
            trickle(stream)
        });
        let error = images(&http).unwrap_err();
        assert!(matches!(error, ImageError::Registry { .. }), "{error}");
    }

    #[test]
    fn redirects_are_followed_but_not_without_end() {
        let (http, paths) = serve(|path, stream| {
            match path {
            "/v2/u/x/manifests/v1" => redirect(stream, "/elsewhere"),
            _ => stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{\"manifests\": []}",
            ),
        }
        });
        assert_eq!(images(&http), Ok(0));
        let seen: Vec<String> = paths.try_iter().collect();
        assert_eq!(seen, ["/v2/u/x/manifests/v1", "/elsewhere"]);

        let (http, paths) = serve(|_, stream| redirect(stream, "/again"));
        let error = images(&http).unwrap_err();
        assert!(!error.is_damage(), "{error}");
        assert!(paths.try_iter().count() < 10);
    }

    #[test]
    fn a_response_without_an_end_is_bounded() {
        let (http, _) = serve(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b' '; 4096])?;
            }
        });
        let error = images(&http).unwrap_err();
        assert!(matches!(error, ImageError::Limit { .. }), "{error}");
    }
}
