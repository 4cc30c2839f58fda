//! The HTTP front: one listener on loopback that serves login and API of a [`Service`], and breaks connections where the
//! model says so. Besides the service's own paths it has, for people and tests outside of this process,
//! `GET /simulator/truth` (NDJSON, see [`super::truth::WantedRecord`]), `GET /simulator/blobs` (NDJSON, see
//! [`super::truth::BlobTruth`]) and `GET /simulator/ledger` (JSON, see [`super::ledger::Ledger`]).

mod sending;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::clock::SimClock;
use super::message::{Delivery, Request, Response};
use super::service::Service;
use sending::{STALL_MAX, Sending};

/// The longest request body: token forms and webhook settings are a few hundred bytes.
const REQUEST_BODY_MAX: usize = 64 * 1024;
/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// How long a connection may take to send the head of a request, and how long it may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// After a failed accept (no file descriptors left, for one), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running HTTP front. It ends when it is dropped.
#[derive(Debug)]
pub struct Front {
    /// Where it listens.
    pub addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Front {
    /// Serves the tenant on `127.0.0.1` at that port; 0: any free one.
    pub async fn start(service: Arc<Mutex<Service>>, clock: SimClock, port: u16) -> io::Result<Front> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let addr = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, service, clock));
        Ok(Front { addr, accepting })
    }

    /// What stands for both `https://manage.office.com` and `https://login.microsoftonline.com`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops listening and breaks every connection; returns when the port is free.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        // The only outcome of an aborted task is that it was aborted.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, service: Arc<Mutex<Service>>, clock: SimClock) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (service, clock) = (Arc::clone(&service), clock.clone());
                connections.spawn(async move {
                    serve(stream, service, clock).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, service: Arc<Mutex<Service>>, clock: SimClock) {
    // Small replies would wait for the peer's delayed acknowledgement otherwise.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let line = Line { stream, reset: Arc::clone(&reset) };
    let answer = service_fn(|request| {
        let (service, clock, reset) = (Arc::clone(&service), clock.clone(), Arc::clone(&reset));
        async move { reply(request, &service, &clock, reset).await }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // `Nextpageuri`: one of the spellings that clients have met (`activity-api.md` section 4).
        .title_case_headers(true)
        .serve_connection(TokioIo::new(line), answer);
    // A connection that ends in an error is what half of the faults are for.
    let _ = connection.await;
}

async fn reply(
    request: hyper::Request<Incoming>,
    service: &Arc<Mutex<Service>>,
    clock: &SimClock,
    reset: Arc<AtomicBool>,
) -> io::Result<hyper::Response<Sending>> {
    if let Some(page) = request.uri().path().strip_prefix("/simulator/") {
        let page = page.to_owned();
        let (snapshot, now) = (lock(service).clone(), clock.now());
        let response = tokio::task::spawn_blocking(move || account(&page, &snapshot, now)).await.map_err(io::Error::other)?;
        return written(response, reset);
    }
    let request = match read(request).await {
        Ok(request) => request,
        Err(status) => return written(Response::empty(status), reset),
    };
    let response = lock(service).handle(&request, clock.now());
    match response.delivery {
        Delivery::ResetBeforeHead => {
            reset.store(true, Ordering::Relaxed);
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
        Delivery::Stall { after: None } => {
            tokio::time::sleep(STALL_MAX).await;
            Err(io::Error::from(io::ErrorKind::TimedOut))
        }
        _ => written(response, reset),
    }
}

/// The pages about the service itself.
fn account(page: &str, service: &Service, now: crate::domain::Time) -> Response {
    let lines = |body: String| Response::new(200, "application/x-ndjson", body);
    match page {
        "truth" => lines(service.truth(now).to_ndjson()),
        "blobs" => lines(service.blobs(now).fold(String::new(), |mut out, blob| {
            out.push_str(&serde_json::to_string(&blob).expect("a plain struct with text keys is always JSON"));
            out.push('\n');
            out
        })),
        "ledger" => match serde_json::to_string_pretty(service.ledger()) {
            Ok(body) => Response::json(200, body),
            Err(error) => Response::new(500, "text/plain", error.to_string()),
        },
        _ => super::errors::no_such_path(),
    }
}

async fn read(request: hyper::Request<Incoming>) -> Result<Request, u16> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
    let mut headers: Vec<_> = headers.collect();
    if let Some(authority) = head.uri.authority().filter(|_| !head.headers.contains_key("host")) {
        headers.push(("host".to_owned(), authority.to_string()));
    }
    let body = Limited::new(body, REQUEST_BODY_MAX).collect().await.map_err(|_| 413u16)?.to_bytes();
    Ok(Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body,
    })
}

fn written(response: Response, reset: Arc<AtomicBool>) -> io::Result<hyper::Response<Sending>> {
    let mut reply = hyper::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        reply = reply.header(name, value);
    }
    reply.body(Sending::new(response.body, response.delivery, reset)).map_err(io::Error::other)
}

fn lock(service: &Mutex<Service>) -> MutexGuard<'_, Service> {
    // A test that panicked with the lock held has failed already; the service itself is still sound.
    service.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that can be ended by a reset.
struct Line {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // With no time to linger, closing sends RST instead of FIN. If it can't be set, the peer sees FIN: a break too.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }
}
