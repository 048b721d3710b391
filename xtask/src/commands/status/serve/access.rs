//! Who may read what: the decision about one request, from its head alone.
//!
//! Three things are asked of a request. Its `Host` names this server: after DNS rebinding a
//! page of another site has the address, but not the name. The cookie is that of a browser
//! that opened the printed link, which works once; other users of this machine do not have
//! it. For data the key in a header, too: browsers send cookies to every port of 127.0.0.1,
//! so a server of another user at another port can receive the cookie, but the key is in
//! the storage of this origin, which includes the port.

use std::cell::RefCell;
use std::hint::black_box;

use hyper::header::{COOKIE, HOST, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use foundation::failure::Result;
use foundation::hash::hex;
use foundation::random;

/// The header with the key.
pub(super) const KEY: HeaderName = HeaderName::from_static("x-status-key");
/// Of a secret. 128 bits are enough against guessing.
const BYTES: usize = 32;

/// A value from the system's random numbers, in hexadecimal digits.
#[derive(Debug, Clone)]
pub(super) struct Secret(String);

impl Secret {
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(hex(&random::bytes::<BYTES>()?)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on where the values differ.
    fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differ = own
            .iter()
            .zip(given)
            .fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
        own.len() == given.len() && differ == 0
    }
}

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The printed link, for the first time.
    Open,
    Page,
    Data,
    FlameGraph,
    Refused(StatusCode),
}

/// The secrets of one server.
#[derive(Debug)]
pub(super) struct Access {
    hosts: [String; 2],
    cookie_name: String,
    /// `None` once it was used.
    code: RefCell<Option<Secret>>,
    pub(super) session: Secret,
    pub(super) key: Secret,
}

impl Access {
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new(port: u16) -> Result<Self> {
        Ok(Self {
            hosts: ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}")),
            // Servers at other ports of the same host have cookies of their own.
            cookie_name: format!("xtask-status-{port}"),
            code: RefCell::new(Some(Secret::new()?)),
            session: Secret::new()?,
            key: Secret::new()?,
        })
    }

    /// The link to print.
    pub(super) fn link(&self) -> String {
        let code = self.code.borrow();
        let code = code.as_ref().map_or("", Secret::as_str);
        format!("http://{}/?code={code}", self.hosts[0])
    }

    /// The header that makes a browser send the session back, to this host alone.
    pub(super) fn set_cookie(&self) -> String {
        let (name, value) = (&self.cookie_name, self.session.as_str());
        format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/")
    }

    /// Decides about a request; uses the code up if the request has it.
    pub(super) fn decide(&self, head: &Parts) -> Verdict {
        if !self.is_for_us(head) {
            return Verdict::Refused(StatusCode::MISDIRECTED_REQUEST);
        }
        if head.method == Method::GET && head.uri.path() == "/" && self.takes_code(head.uri.query())
        {
            return Verdict::Open;
        }
        if !self.has_session(&head.headers) {
            return Verdict::Refused(StatusCode::UNAUTHORIZED);
        }
        if head.method != Method::GET && head.method != Method::HEAD {
            return Verdict::Refused(StatusCode::METHOD_NOT_ALLOWED);
        }
        match head.uri.path() {
            "/" => Verdict::Page,
            "/data" | "/flame-graph" if !self.has_key(&head.headers) => {
                Verdict::Refused(StatusCode::UNAUTHORIZED)
            }
            "/data" => Verdict::Data,
            "/flame-graph" => Verdict::FlameGraph,
            _ => Verdict::Refused(StatusCode::NOT_FOUND),
        }
    }

    /// Exactly one `Host`, which names this server, and no other name in the first line.
    fn is_for_us(&self, head: &Parts) -> bool {
        let mut given = head.headers.get_all(HOST).iter();
        let (first, second) = (given.next(), given.next());
        let is_ours = first.is_some_and(|host| self.hosts.iter().any(|own| host == own.as_str()));
        is_ours && second.is_none() && head.uri.authority().is_none()
    }

    fn takes_code(&self, query: Option<&str>) -> bool {
        let Some(given) = query.and_then(|query| query.strip_prefix("code=")) else {
            return false;
        };
        let mut code = self.code.borrow_mut();
        code.take_if(|code| code.is(given.as_bytes())).is_some()
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter();
        let mut cookies = cookies.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        cookies.any(|cookie| {
            let value = cookie
                .trim_ascii()
                .strip_prefix(self.cookie_name.as_bytes());
            let value = value.and_then(|value| value.strip_prefix(b"="));
            value.is_some_and(|value| self.session.is(value))
        })
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        headers
            .get(KEY)
            .is_some_and(|given| self.key.is(given.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::header::HeaderValue;

    use super::*;

    const PORT: u16 = 4321;
    const OURS: &str = "127.0.0.1:4321";

    fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_str(value).unwrap());
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refused(status: u16) -> Verdict {
        Verdict::Refused(StatusCode::from_u16(status).unwrap())
    }

    #[test]
    fn the_host_is_asked_for_first() {
        let access = Access::new(PORT).unwrap();
        let link = access.link();
        let path = link.strip_prefix("http://127.0.0.1:4321").unwrap();
        let session = format!("xtask-status-4321={}", access.session.as_str());
        for host in [
            "evil.example",
            "evil.example:4321",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:43210",
            "localhost:4321.evil.example",
            "LOCALHOST:4321",
            "[::1]:4321",
            "0.0.0.0:4321",
            "user@127.0.0.1:4321",
            "",
        ] {
            for path in [path, "/", "/data", "/none"] {
                let head = head("GET", path, &[("host", host), ("cookie", &session)]);
                assert_eq!(access.decide(&head), refused(421), "{host} {path}");
            }
        }
        let none = head("GET", path, &[]);
        let both = head("GET", path, &[("host", OURS), ("host", "evil.example")]);
        let other = head(
            "GET",
            &format!("http://evil.example{path}"),
            &[("host", OURS)],
        );
        for head in [none, both, other] {
            assert_eq!(access.decide(&head), refused(421), "{head:?}");
        }
        // None of them used the code up.
        assert_eq!(
            access.decide(&head("GET", path, &[("host", OURS)])),
            Verdict::Open
        );
    }

    #[test]
    fn the_code_works_once_and_only_as_a_whole() {
        let access = Access::new(PORT).unwrap();
        let link = access.link();
        let (_, code) = link.split_once("code=").unwrap();
        assert_eq!(code.len(), 2 * BYTES);
        let ask = |method: &str, path: &str| {
            access.decide(&head(method, path, &[("host", "localhost:4321")]))
        };
        for path in [
            "/".to_owned(),
            "/?code=".to_owned(),
            format!("/?code={}", &code[1..]),
            format!("/?code={code}0"),
            format!(
                "/?code={}",
                code.to_uppercase()
                    .replace(|c: char| c.is_ascii_digit(), "0")
            ),
            format!("/x?code={code}"),
            format!("/?x=1&code={code}"),
        ] {
            assert_eq!(ask("GET", &path), refused(401), "{path}");
        }
        let right = format!("/?code={code}");
        // What looks at links does not use them up.
        assert_eq!(ask("HEAD", &right), refused(401));
        assert_eq!(ask("POST", &right), refused(401));
        assert_eq!(ask("GET", &right), Verdict::Open);
        assert_eq!(ask("GET", &right), refused(401));
        assert!(access.link().ends_with("code="));
    }

    #[test]
    fn data_needs_the_cookie_and_the_key() {
        let access = Access::new(PORT).unwrap();
        let session = format!("a=b; xtask-status-4321={}; c", access.session.as_str());
        let key = access.key.as_str();
        let ask = |path: &str, cookie: &str, key: &str| {
            let mut given = vec![("host", OURS)];
            given.extend(
                [("cookie", cookie)]
                    .into_iter()
                    .filter(|(_, value)| !value.is_empty()),
            );
            given.extend(
                [("x-status-key", key)]
                    .into_iter()
                    .filter(|(_, value)| !value.is_empty()),
            );
            access.decide(&head("GET", path, &given))
        };
        assert_eq!(ask("/", &session, ""), Verdict::Page);
        assert_eq!(ask("/data", &session, ""), refused(401));
        assert_eq!(ask("/data", "", key), refused(401));
        assert_eq!(
            ask("/data", &session, access.session.as_str()),
            refused(401)
        );
        assert_eq!(ask("/data?x", &session, key), Verdict::Data);
        assert_eq!(ask("/flame-graph", &session, ""), refused(401));
        assert_eq!(
            ask("/flame-graph?set=a", &session, key),
            Verdict::FlameGraph
        );
        // Without the cookie, what is missing looks like what is not.
        for path in [
            "/none",
            "/data/../x",
            "/%2e%2e/etc/passwd",
            "//",
            "/index.html",
        ] {
            assert_eq!(ask(path, &session, key), refused(404), "{path}");
            assert_eq!(ask(path, "", key), refused(401), "{path}");
        }
        let own = access.session.as_str();
        for cookie in [
            format!("xtask-status-4321={}", &own[1..]),
            format!("xtask-status-4321={own}0"),
            format!("xtask-status-432={own}"),
            format!("xtask-status-4322={own}"),
            format!("xtask-status-4321 ={own}"),
            format!("xtask-status-4321=\"{own}\""),
        ] {
            assert_eq!(ask("/", &cookie, key), refused(401), "{cookie}");
        }
    }

    #[test]
    fn only_reading_is_allowed() {
        let access = Access::new(PORT).unwrap();
        let session = format!("xtask-status-4321={}", access.session.as_str());
        let given = [("host", OURS), ("cookie", session.as_str())];
        for method in [
            "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH",
        ] {
            assert_eq!(
                access.decide(&head(method, "/", &given)),
                refused(405),
                "{method}"
            );
            // Without the cookie they are refused as everything is.
            assert_eq!(
                access.decide(&head(method, "/", &given[..1])),
                refused(401),
                "{method}"
            );
        }
        assert_eq!(access.decide(&head("HEAD", "/", &given)), Verdict::Page);
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one.as_str(), other.as_str());
        assert!(one.as_str().len() * 4 >= 128);
        assert!(one.is(one.as_str().as_bytes()) && !one.is(other.as_str().as_bytes()));
        assert!(!one.is(b"") && !one.is(&one.as_str().as_bytes()[1..]));
    }
}
