//! Requests to responses. Every response has the same strict headers.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;

use super::access::{Access, Secret, Verdict};
use super::live::{Asked, Live};
use foundation::failure::Result;
use foundation::typed;

const PAGE: &str = include_str!("../page.html");
/// Where the page has the value that its own script and style carry.
const NONCE: &str = "NONCE";
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// What all connections share.
pub(super) struct Server {
    pub(super) access: Access,
    pub(super) live: Arc<Live>,
}

impl Server {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<String>, Infallible> {
        let (head, _) = request.into_parts();
        let mut response = match self.access.decide(&head) {
            Verdict::Refused(status) => refusal(status),
            Verdict::Open => self.opened(),
            Verdict::Page => page(),
            Verdict::Data => {
                let live = Arc::clone(&self.live);
                let asked = Asked::parse(head.uri.query().unwrap_or_default());
                match elsewhere(move || live.data(&asked)).await {
                    Some(data) => json(&head.headers, data),
                    None => refusal(StatusCode::INTERNAL_SERVER_ERROR),
                }
            }
            Verdict::FlameGraph => {
                let live = Arc::clone(&self.live);
                let asked = Asked::parse(head.uri.query().unwrap_or_default());
                match elsewhere(move || live.flame_graph(&asked)).await {
                    Some(Ok(Some(drawing))) => svg(drawing),
                    Some(Ok(None)) => refusal(StatusCode::NOT_FOUND),
                    // Its cause may be long, and is in the report of `pprof open`.
                    Some(Err(_)) | None => refusal(StatusCode::INTERNAL_SERVER_ERROR),
                }
            }
        };
        let headers = response.headers_mut();
        for (name, value) in [
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static(NOTHING));
        Ok(response)
    }

    /// The cookie, and a redirect that takes the code out of the address bar. What follows
    /// `#` is not sent to servers; the page keeps it, and takes it out as well.
    fn opened(&self) -> Response<String> {
        let mut response = refusal(StatusCode::SEE_OTHER);
        let place = format!("/#{}", self.access.key.as_str());
        for (name, value) in [(LOCATION, place), (SET_COOKIE, self.access.set_cookie())] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Runs what reads files in a thread of its own, so that other clients do not wait for it;
/// `None` if it panicked. A signal does not wait for it either.
async fn elsewhere<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (found, answer) = oneshot::channel();
    // Without a thread there is no answer.
    let _ = std::thread::Builder::new().spawn(move || found.send(read()));
    answer.await.ok()
}

fn of_type(kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn refusal(status: StatusCode) -> Response<String> {
    let text = match status {
        StatusCode::UNAUTHORIZED => format!(
            "This page needs the link that `{}` printed. A link works once; start it again for another.\n",
            typed!("status --serve")
        ),
        other => format!("{other}\n"),
    };
    let mut response = of_type("text/plain; charset=utf-8", text);
    *response.status_mut() = status;
    // Who is refused does not hold a connection.
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

fn page() -> Response<String> {
    let Ok(nonce) = Secret::new() else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let nonce = nonce.as_str();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src blob:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let mut response = of_type("text/html; charset=utf-8", PAGE.replace(NONCE, nonce));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Without a body if the client has the same data.
fn json(asked: &HeaderMap, data: String) -> Response<String> {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let is_known = asked
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known == tag.as_str());
    let mut response = if is_known {
        let mut response = Response::new(String::new());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        of_type("application/json", data)
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// A picture with its own style and nothing else.
fn svg(drawing: String) -> Response<String> {
    let mut response = of_type("image/svg+xml", drawing);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
    let policy = HeaderValue::from_static(policy);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}
