//! A GET request on a tokio socket, without TLS. The protocol is the state machine below
//! ureq, which needs no thread for each request.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use ureq_proto::BodyMode;
use ureq_proto::client::state::{RecvBody, RecvResponse};
use ureq_proto::client::{Call, RecvResponseResult, SendRequestResult};
use ureq_proto::http::{HeaderMap, Request, StatusCode};

use super::super::endpoint::Transport;
use super::super::target::Target;

const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of the status line and headers of a response.
const HEAD: usize = 32 << 10;
/// Bytes of a request; tokens in headers have some thousands.
const REQUEST: usize = 64 << 10;
/// Bytes that are read at once.
const CHUNK: usize = 32 << 10;
/// Bytes that give a response one second more: what arrives faster than this is never late, however many nodes
/// send at once and however busy this machine is.
pub(super) const PER_SECOND: u32 = 1_000_000;

/// Why there is no complete response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot look up the host: {0}")]
    Lookup(io::Error),
    #[error("no connection within {} s", CONNECT.as_secs())]
    Unreachable,
    #[error("not complete in time")]
    Late,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] ureq_proto::Error),
    #[error("invalid request: {0}")]
    Request(#[from] ureq_proto::http::Error),
    #[error("the headers of the response have more than {HEAD} bytes")]
    Head,
    #[error("the connection was closed")]
    Closed,
}

type Result<T> = std::result::Result<T, Error>;

/// A response whose body is read in chunks. Redirects are not followed.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    connection: Connection,
    /// None for a response without a body.
    body: Option<Call<RecvBody>>,
}

/// Requests a path of a target; the response and its body must come before `deadline`, or faster than
/// [`PER_SECOND`].
pub(super) async fn get(target: &Target, path: &str, deadline: Instant) -> Result<Response> {
    let host = match target.transport {
        Transport::Unix(_) => "localhost",
        _ => &target.address,
    };
    let mut request = Request::get(format!("http://{host}{path}"));
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    let request = request.body(())?;
    let mut request = Call::new(request)?.proceed();
    let mut head = vec![0; REQUEST];
    let length = request.write(&mut head)?;
    let Some(SendRequestResult::RecvResponse(call)) = request.proceed()? else {
        return Err(ureq_proto::Error::OutputOverflow.into());
    };
    let mut connection = Connection::open(target, deadline).await?;
    connection.send(&head[..length]).await?;
    connection.response(call).await
}

impl Response {
    /// The next bytes of the body; empty at its end.
    pub(super) async fn chunk(&mut self) -> Result<Vec<u8>> {
        let Some(body) = &mut self.body else {
            return Ok(Vec::new());
        };
        let connection = &mut self.connection;
        let mut chunk = vec![0; CHUNK];
        loop {
            let (used, length) = body.read(&connection.input, &mut chunk)?;
            connection.input.drain(..used);
            chunk.truncate(length);
            if length > 0 || body.can_proceed() && body.body_mode() != BodyMode::CloseDelimited {
                return Ok(chunk);
            }
            chunk.resize(CHUNK, 0);
            if used == 0 && !connection.fill().await? {
                let complete = body.can_proceed() || body.is_ended_chunked();
                return if complete {
                    Ok(Vec::new())
                } else {
                    Err(Error::Closed)
                };
            }
        }
    }

    /// The body up to `limit` bytes, and the error that ended it before.
    pub(super) async fn start_of_body(&mut self, limit: usize) -> (Vec<u8>, Option<Error>) {
        let mut start = Vec::new();
        while start.len() < limit {
            match self.chunk().await {
                Ok(chunk) if chunk.is_empty() => break,
                Ok(chunk) => start.extend(chunk),
                Err(error) => return (start, Some(error)),
            }
        }
        start.truncate(limit);
        (start, None)
    }
}

/// The stream of a TCP or Unix socket.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes that were received and not used yet.
    input: Vec<u8>,
    deadline: Instant,
}

impl Connection {
    async fn open(target: &Target, deadline: Instant) -> Result<Self> {
        let connect = async {
            if let Transport::Unix(socket) = &target.transport {
                let stream = UnixStream::connect(socket).await?;
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let addresses = lookup_host(&target.address).await;
            let addresses: Vec<_> = addresses.map_err(Error::Lookup)?.collect();
            let stream = TcpStream::connect(&addresses[..]).await?;
            Ok::<_, Error>(Box::new(stream))
        };
        let connected = timeout_at(deadline.min(Instant::now() + CONNECT), connect).await;
        Ok(Self {
            stream: connected.map_err(|_| Error::Unreachable)??,
            input: Vec::with_capacity(CHUNK),
            deadline,
        })
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = timeout_at(self.deadline, self.stream.write_all(bytes)).await;
        Ok(sent.map_err(|_| Error::Late)??)
    }

    /// Receives more input; false when the other end has closed.
    async fn fill(&mut self) -> Result<bool> {
        self.input.reserve(CHUNK);
        let received = timeout_at(self.deadline, self.stream.read_buf(&mut self.input)).await;
        let received = received.map_err(|_| Error::Late)??;
        self.deadline +=
            Duration::from_secs(1) * u32::try_from(received).unwrap_or(u32::MAX) / PER_SECOND;
        Ok(received > 0)
    }

    async fn response(mut self, mut call: Call<RecvResponse>) -> Result<Response> {
        let response = loop {
            let (used, response) = call.try_response(&self.input, false)?;
            let head = if response.is_some() {
                used
            } else {
                self.input.len()
            };
            if head > HEAD {
                return Err(Error::Head);
            }
            self.input.drain(..used);
            if let Some(response) = response {
                break response;
            }
            if used == 0 && !self.fill().await? {
                return Err(Error::Closed);
            }
        };
        let body = match call.proceed() {
            Some(RecvResponseResult::RecvBody(body)) => Some(body),
            _ => None,
        };
        let (head, ()) = response.into_parts();
        Ok(Response {
            status: head.status,
            headers: head.headers,
            connection: self,
            body,
        })
    }
}
