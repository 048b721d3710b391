//! Endpoints in place of a cluster's nodes: hosts and URLs, as `go tool pprof` takes them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use camino::Utf8PathBuf;
use clap::Args;
use percent_encoding::percent_decode_str;
use talos::names::Role;

use super::args::FetchArgs;
use super::target::is_profile_name;
use foundation::failure::{Failure, Result};

/// How endpoints are reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
#[expect(clippy::doc_markdown, reason = "doc comments here are the help")]
pub struct ConnectionArgs {
    /// Send this header to endpoints, such as `Authorization: Bearer TOKEN`; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub header: Vec<(String, String)>,
    /// Certificates that an https endpoint's certificate is verified with [default: those of
    /// this machine]
    #[arg(
        long = "tls_ca",
        alias = "tls-ca",
        visible_alias = "cacert",
        value_name = "FILE"
    )]
    pub tls_ca: Option<Utf8PathBuf>,
    /// Certificate to show to an https endpoint
    #[arg(
        long = "tls_cert",
        alias = "tls-cert",
        visible_alias = "cert",
        value_name = "FILE"
    )]
    pub tls_cert: Option<Utf8PathBuf>,
    /// Key of --tls_cert
    #[arg(
        long = "tls_key",
        alias = "tls-key",
        visible_alias = "key",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<Utf8PathBuf>,
    /// Do not verify the certificate of an https endpoint
    #[arg(long)]
    pub insecure: bool,
}

/// `NAME: VALUE`
fn header(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("no `:` in it")?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("invalid name of a header: `{name}`"));
    }
    if value.chars().any(char::is_control) {
        return Err("control characters in its value".to_owned());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// The transport of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Transport {
    #[default]
    Tcp,
    /// A socket of this machine.
    Unix(Utf8PathBuf),
    Tls,
}

/// A node, or an endpoint in place of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) node: String,
    pub(super) role: Option<Role>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// As in [`super::target::Target`].
    pub(super) prefix: String,
    pub(super) transport: Transport,
    /// Value of the header `Authorization`.
    pub(super) authorization: Option<String>,
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT`, a URL up to `/debug/pprof`, or `unix:PATH`.
///
/// # Errors
/// If it is none of these, or names a profile.
pub(super) fn endpoint(text: &str) -> Result<Endpoint> {
    let refuse = |cause: &str| {
        let shown = without_password(text);
        let failure = Failure::usage(format!("invalid endpoint `{shown}`"));
        let failure = if cause.is_empty() {
            failure
        } else {
            failure.cause(cause)
        };
        failure.hint("HOST or HOST:PORT, as in `--endpoint 172.20.0.2`")
    };
    let url = Url::new(text);
    if url.query.is_some() {
        return Err(refuse(
            "a query is written as options: `--gc`, `--seconds N`",
        ));
    }
    let of = url.endpoint().map_err(|cause| refuse(&cause))?;
    match url.profile().map_err(|cause| refuse(&cause))? {
        None => Ok(of),
        Some(profile) => Err(refuse(&format!(
            "the profile is an argument of its own: `pprof SERVICE {profile} --endpoint …`"
        ))),
    }
}

/// Returns what a whole URL of a profile fetches, such as
/// `http://host:6060/debug/pprof/heap?gc=1`; `None` for what is not a URL.
///
/// # Errors
/// If its query has more than `gc` and `seconds`.
pub(super) fn fetch(text: &str) -> Option<Result<FetchArgs>> {
    let is_url = ["http:", "https:", "https+insecure:", "unix:"];
    if !is_url.iter().any(|scheme| text.starts_with(scheme)) {
        return None;
    }
    Some(fetch_url(text))
}

fn fetch_url(text: &str) -> Result<FetchArgs> {
    let refuse = |cause: &str| {
        let shown = without_password(text);
        Failure::usage(format!("invalid URL `{shown}`"))
            .cause(cause)
            .hint("a URL such as `http://localhost:6060/debug/pprof/heap?gc=1`")
    };
    let url = Url::new(text);
    let mut args = FetchArgs::default();
    for pair in url.query.unwrap_or_default().split('&') {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("", "") | ("debug" | "gc", "0") => {}
            ("gc", _) => args.gc = true,
            ("seconds", seconds) => {
                let seconds = seconds
                    .parse()
                    .map_err(|_| refuse("`seconds` is a number"))?;
                args.seconds = Some(seconds);
            }
            ("debug", _) => {
                return Err(refuse(
                    "`debug` asks for text: the profile itself is fetched",
                ));
            }
            (name, _) => return Err(refuse(&format!("unknown query `{name}`"))),
        }
    }
    let of = url.endpoint().map_err(|cause| refuse(&cause))?;
    let profile = url.profile().map_err(|cause| refuse(&cause))?;
    args.profile = Some(match profile.as_deref() {
        None => "heap".to_owned(),
        // Go's name of the handler.
        Some("profile") => "cpu".to_owned(),
        Some(profile) => profile.to_owned(),
    });
    if of.port.is_none() && of.transport == Transport::Tcp {
        args.port = Some(80);
    }
    args.service = Some(of.node.clone());
    args.connection.insecure = text.starts_with("https+insecure:");
    args.endpoint = vec![url.base];
    Ok(args)
}

/// The text of a URL without its password, for messages.
pub(super) fn without_password(text: &str) -> String {
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match place.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}…@{host}{path}"),
        None => text.to_owned(),
    }
}

/// The parts of an endpoint's text.
struct Url<'a> {
    transport: Transport,
    user: Option<&'a str>,
    /// `HOST[:PORT]`
    place: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    /// The text up to `/debug/pprof`.
    base: String,
}

impl<'a> Url<'a> {
    fn new(text: &'a str) -> Self {
        let (whole, query) = match text.split_once(['?', '#']) {
            Some((whole, query)) => (whole, Some(query)),
            None => (text, None),
        };
        let base = match whole.find("/debug/pprof") {
            Some(at) => whole[..at].to_owned(),
            None => whole.trim_end_matches('/').to_owned(),
        };
        if let Some(path) = whole.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let (socket, path) = path.split_at(path.find("/debug/pprof").unwrap_or(path.len()));
            return Self {
                transport: Transport::Unix(Utf8PathBuf::from(socket)),
                user: None,
                place: "localhost",
                path,
                query,
                base,
            };
        }
        let (transport, rest) = ["https://", "https+insecure://"]
            .iter()
            .find_map(|scheme| Some((Transport::Tls, whole.strip_prefix(scheme)?)))
            .unwrap_or((
                Transport::Tcp,
                whole.strip_prefix("http://").unwrap_or(whole),
            ));
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        Self {
            transport,
            user,
            place,
            path,
            query,
            base,
        }
    }

    /// # Errors
    /// The cause, or nothing if the form is wrong altogether.
    fn endpoint(&self) -> std::result::Result<Endpoint, String> {
        if let Transport::Unix(socket) = &self.transport
            && !socket.is_absolute()
        {
            return Err("the path of a socket begins with `/`".to_owned());
        }
        let place = self.place;
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().map_err(|_| String::new())?;
                (host, Some(port))
            }
            _ => (place, None),
        };
        if host.is_empty() {
            return Err(String::new());
        }
        let prefix = self.prefix()?;
        let v6 = host.contains(':') && !host.starts_with('[');
        let port = match self.transport {
            Transport::Tls => port.or(Some(443)),
            Transport::Unix(_) => Some(0),
            Transport::Tcp => port,
        };
        Ok(Endpoint {
            node: match &self.transport {
                Transport::Unix(socket) => socket.file_name().unwrap_or("socket").to_owned(),
                _ => name_of(place, &prefix),
            },
            role: None,
            host: if v6 {
                format!("[{host}]")
            } else {
                host.to_owned()
            },
            port,
            prefix,
            transport: self.transport.clone(),
            authorization: self.user.map(|user| {
                let user: Vec<u8> = percent_decode_str(user).collect();
                format!("Basic {}", BASE64_STANDARD.encode(user))
            }),
        })
    }

    /// What stands before `/debug/pprof`, with a slash at its beginning only.
    ///
    /// # Errors
    /// If the path would have to be escaped.
    fn prefix(&self) -> std::result::Result<String, String> {
        let (before, _) = self.split();
        match before {
            "" => Ok(String::new()),
            _ if is_profile_name(before) => Ok(format!("/{before}")),
            _ => Err(format!(
                "its path `{before}` has characters of no plain path"
            )),
        }
    }

    /// # Errors
    /// If it would have to be escaped.
    fn profile(&self) -> std::result::Result<Option<String>, String> {
        match self.split().1 {
            "" => Ok(None),
            profile if is_profile_name(profile) => Ok(Some(profile.to_owned())),
            profile => Err(format!("`{profile}` has characters of no plain path")),
        }
    }

    fn split(&self) -> (&'a str, &'a str) {
        let path = self.path.trim_matches('/');
        let (before, profile) = match path.split_once("debug/pprof") {
            Some((before, profile)) if before.is_empty() || before.ends_with('/') => {
                (before, profile)
            }
            _ => (path, ""),
        };
        (before.trim_end_matches('/'), profile.trim_matches('/'))
    }
}

/// Nodes behind `kubectl proxy` share one address.
fn name_of(place: &str, prefix: &str) -> String {
    let node = prefix
        .strip_suffix("/proxy")
        .and_then(|rest| rest.rsplit_once("/nodes/"));
    match node {
        Some((_, node)) if !node.contains('/') => node.to_owned(),
        _ => format!("{place}{prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_in_many_spellings() {
        let of = |text| endpoint(text).map(|place| (place.host, place.port)).ok();
        let host = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(of("172.20.0.2"), host("172.20.0.2", None));
        assert_eq!(of("172.20.0.2:9982"), host("172.20.0.2", Some(9982)));
        assert_eq!(of("http://a:1/debug/pprof/"), host("a", Some(1)));
        assert_eq!(of("fd00::1"), host("[fd00::1]", None));
        assert_eq!(of("[fd00::1]:80"), host("[fd00::1]", Some(80)));
        assert_eq!(of("https://a"), host("a", Some(443)));
        assert_eq!(of("a:b"), None);
        assert_eq!(of("unix:run/x.sock"), None);
    }

    #[test]
    fn a_path_before_the_profiles_is_kept() {
        let of = |text| endpoint(text).map(|place| (place.node, place.prefix));
        let found = |node: &str, prefix: &str| Some((node.to_owned(), prefix.to_owned()));
        let proxy = "/api/v1/nodes/n1/proxy";
        for text in [
            "127.0.0.1:8001/api/v1/nodes/n1/proxy",
            "http://127.0.0.1:8001/api/v1/nodes/n1/proxy/",
            "127.0.0.1:8001/api/v1/nodes/n1/proxy/debug/pprof",
            "127.0.0.1:8001/api/v1/nodes/n1/proxy/debug/pprof/",
        ] {
            assert_eq!(of(text).ok(), found("n1", proxy), "{text}");
        }
        assert_eq!(of("a:1/x/y").ok(), found("a:1/x/y", "/x/y"));
        assert_eq!(of("a:1/").ok(), found("a:1", ""));
        for (text, cause) in [
            (
                "a:1/debug/pprof/heap",
                "the profile is an argument of its own",
            ),
            (
                "a:1/x/debug/pprof/goroutine",
                "the profile is an argument of its own",
            ),
            ("a:1/debug/pprof?gc=1", "a query is written as options"),
            ("a:1/../x", "no plain path"),
        ] {
            let failure = of(text).unwrap_err();
            assert!(failure.causes[0].contains(cause), "{text}: {failure:?}");
        }
    }

    #[test]
    fn users_and_sockets_are_read_and_passwords_are_not_shown() {
        let of = endpoint("http://ann:a%40b%zz@a:1").unwrap();
        // ann:a@b%zz
        assert_eq!(of.authorization.unwrap(), "Basic YW5uOmFAYiV6eg==");
        assert_eq!((of.node.as_str(), of.port), ("a:1", Some(1)));
        let of = endpoint("unix:///run/x/debug.sock").unwrap();
        assert_eq!(of.transport, Transport::Unix("/run/x/debug.sock".into()));
        assert_eq!(of.node, "debug.sock");
        let failure = endpoint("http://ann:secret@a:b").unwrap_err();
        assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    }

    #[test]
    fn a_url_of_a_profile_is_what_it_fetches() {
        let of = |text| fetch(text).unwrap().unwrap();
        let args = of("http://h:6060/x/debug/pprof/heap?gc=1");
        assert_eq!(args.endpoint, ["http://h:6060/x"]);
        assert_eq!(args.profile.as_deref(), Some("heap"));
        assert!(args.gc);
        let args = of("https+insecure://h/debug/pprof/profile?seconds=5");
        assert_eq!(args.profile.as_deref(), Some("cpu"));
        assert_eq!((args.seconds, args.connection.insecure), (Some(5), true));
        assert_eq!(of("http://h/").port, Some(80));
        assert!(fetch("heap.pb.gz").is_none());
        for (text, cause) in [
            ("http://h/debug/pprof/heap?debug=1", "asks for text"),
            ("http://h/debug/pprof/heap?x=1", "unknown query `x`"),
            ("http://h/debug/pprof/profile?seconds=x", "a number"),
        ] {
            let failure = fetch(text).unwrap().unwrap_err();
            assert!(failure.causes[0].contains(cause), "{text}: {failure:?}");
        }
    }
}
