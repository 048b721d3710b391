//! Heads of HTTP/1 requests and responses, as far as the first segment has them.

/// More headers are not looked at.
const MOST_HEADERS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As sent: a path, an address of a proxied request, or `HOST:PORT` of a CONNECT.
    pub(crate) target: String,
    pub(crate) host: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    /// `Docker-Content-Digest` of a registry.
    pub(crate) digest: Option<String>,
}

/// The method and target of a head whose headers are cut are still returned.
pub(crate) fn request(bytes: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {}
        Err(_) => return None,
    }
    Some(Request {
        method: request.method?.to_owned(),
        target: request.path?.to_owned(),
        host: header(request.headers, "host"),
    })
}

pub(crate) fn response(bytes: &[u8]) -> Option<Response> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {}
        Err(_) => return None,
    }
    Some(Response {
        status: response.code?,
        length: header(response.headers, "content-length").and_then(|text| text.parse().ok()),
        digest: header(response.headers, "docker-content-digest"),
    })
}

fn header(headers: &[httparse::Header<'_>], name: &str) -> Option<String> {
    let found = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    String::from_utf8(found.value.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_also_if_they_are_cut() {
        let whole =
            b"CONNECT discovery.talos.dev:443 HTTP/1.1\r\nHost: discovery.talos.dev:443\r\n\r\n";
        let asked = request(whole).unwrap();
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("CONNECT", "discovery.talos.dev:443")
        );
        assert_eq!(request(&whole[..60]).unwrap().target, asked.target);
        let answer = response(b"HTTP/1.0 200 Connection established\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.length), (200, None));
        let answer = response(b"HTTP/1.1 404 Not Found\r\ncontent-length: 19\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.length), (404, Some(19)));
        assert_eq!(request(b"\x16\x03\x01"), None);
    }
}
