//! `status --serve`: the bench as a live page for a browser on this machine. Nothing can be
//! changed through it.
//!
//! The link is printed and no browser is started: a browser that is already running gets
//! links through the command line of a second process, which every user of the machine can
//! read in the process table.

mod access;
mod answer;
mod live;

use std::net::Ipv4Addr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use crate::app::App;
use access::Access;
use answer::Server;
use foundation::ctx::inside_lab::is_inside_lab;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::typed;
use foundation::ui;
use foundation::wait::{Wait, Waited};
use live::Live;

/// Connections at once. A browser opens at most six.
const CONNECTIONS: usize = 32;
/// How long a client may take for the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection is used; a browser then opens another.
const CONNECTION_FOR: Duration = Duration::from_mins(1);
/// How long the last response of a connection may take.
const LAST_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of the head of a request.
const HEAD: usize = 16 << 10;
/// Headers of a request.
const HEADERS: usize = 64;

/// Serves the page until the user stops it.
///
/// # Errors
/// When the port is in use, or inside the lab.
pub(super) fn run(app: &App<'_>, port: Option<u16>) -> Result<u8> {
    if is_inside_lab() {
        return Err(Failure::usage("a page inside the lab cannot be reached")
            .cause("the lab has a network of its own")
            .hint(typed!("status")));
    }
    let address = (Ipv4Addr::LOCALHOST, port.unwrap_or(0));
    let cannot = || match port {
        Some(port) => format!("cannot listen on 127.0.0.1:{port}"),
        None => "cannot listen on 127.0.0.1".to_owned(),
    };
    let hint = |failure: Failure| failure.hint(typed!("status --serve"));
    let listener = std::net::TcpListener::bind(address)
        .because(cannot)
        .map_err(hint)?;
    listener.set_nonblocking(true).because(cannot)?;
    let port = listener.local_addr().because(cannot)?.port();
    let server = Server {
        access: Access::new(port)?,
        live: Arc::new(Live::new(app.ctx.clone())),
    };
    let link = server.access.link();
    ui::print(&format!(
        "{link}\n  open it in a browser on this machine; it works once, and Ctrl-C ends the page\n"
    ));
    let tasks = LocalSet::new();
    let serving = tasks.run_until(async {
        let listener = TcpListener::from_std(listener).because(cannot)?;
        Err::<(), Failure>(accept(listener, Rc::new(server)).await)
    });
    match Wait::default().or_signal(app.signals).until(serving)? {
        Waited::Found(failed) => failed.map(|()| 0),
        Waited::TimedOut | Waited::Interrupted => Ok(Exit::Interrupted.code()),
    }
}

async fn accept(listener: TcpListener, server: Rc<Server>) -> Failure {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // More wait in the system's queue until one of them ends.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return Failure::step("the page has ended");
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let server = Rc::clone(&server);
                tokio::task::spawn_local(async move {
                    converse(stream, server).await;
                    drop(place);
                });
            }
            // For want of file descriptors, as a rule.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// One connection. Whatever a client does, it ends.
async fn converse(stream: TcpStream, server: Rc<Server>) {
    let service = service_fn(|request| {
        let server = Rc::clone(&server);
        async move { server.answer(request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    if timeout(CONNECTION_FOR, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_WITHIN, connection).await;
    }
}
