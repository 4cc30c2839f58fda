//! The shipped transport: reqwest over TCP and TLS. The only file that knows reqwest.
//!
//! Certificates are checked against the system's store; more can be added with the standard variables `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, which the platform verifier honours on Linux. TLS below 1.2 does not exist in rustls. A head is bounded
//! by hyper: 100 headers and about 400 KiB over HTTP/1, [`HEADER_LIST_LIMIT`] over HTTP/2.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body as _;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::redirect;
use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::{Host, Url, form_urlencoded};

use super::cause::{self, Hints};
use super::gzip::{Gunzip, Inflated};
use super::{Body, LARGEST_CHUNK, Method, Reply, Request, Transport, WireError, WireErrorKind};

/// Name resolution, TCP, proxy and TLS together. A host that takes longer is down or behind a firewall that drops.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From sending to the head of the reply. The service promises no response time (`activity-api.md` section 8), and
/// front doors give up at 100 s or before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Between two pieces of a body.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A body may take this long whatever its speed …
const SLOW_GRACE: Duration = Duration::from_secs(120);

/// … and beyond it must have brought so many bytes a second, else a peer that sends a byte now and then holds a slot
/// for ever. Only the time spent waiting for the peer counts: a slow reader of ours is not the peer's fault.
const SLOWEST_RATE: u64 = 1024;

/// The service's load balancers drop idle connections after some minutes; a connection is better dropped by us first.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Idle connections kept for each host: about as many as one tenant's requests in flight.
const POOL_IDLE_CONNECTIONS: usize = 32;

/// HTTP/2: the largest head. A next page's URL has to fit.
const HEADER_LIST_LIMIT: u32 = 64 * 1024;

/// HTTP/2: bytes on their way that one stream may hold while nobody reads it.
const STREAM_WINDOW: u32 = 256 * 1024;

/// HTTP/2: the same for all streams of a connection; 32 stalled streams fit, so that one tenant's stalled blob does not
/// stall the others on a shared connection.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands, TLS included. 10 s.
    pub connect: Duration,
    /// Until the reply's head is there. 120 s.
    pub head: Duration,
    /// Until the next piece of the body is there. 60 s.
    pub idle: Duration,
    /// How long a body may be slower than 1 KiB/s on average. 120 s.
    pub slow_grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: CONNECT_TIMEOUT, head: HEAD_TIMEOUT, idle: IDLE_TIMEOUT, slow_grace: SLOW_GRACE }
    }
}

/// Settings of [`HttpTransport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// The `User-Agent` header: `defender-feed/<version>` unless set.
    pub user_agent: String,
    /// Time limits.
    pub timeouts: Timeouts,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { user_agent: concat!("defender-feed/", env!("CARGO_PKG_VERSION")).into(), timeouts: Timeouts::default() }
    }
}

/// Which client a URL takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// Plain HTTP to this host: no certificates needed, and never through a proxy, which would see the token in clear.
    LocalPlain,
    /// TLS to this host: no proxy either.
    LocalTls,
    /// TLS to anywhere, through the system's proxy if one is set.
    World,
}

impl Route {
    /// # Errors
    /// The URL is neither `https` nor plain `http` to loopback.
    fn of(url: &Url) -> Result<Self, WireError> {
        let local = match url.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match (url.scheme(), local) {
            ("https", false) => Ok(Route::World),
            ("https", true) => Ok(Route::LocalTls),
            ("http", true) => Ok(Route::LocalPlain),
            _ => Err(WireError::new(WireErrorKind::Other, "only https is allowed, and plain http to loopback")),
        }
    }
}

/// Connections to every host the process talks to. Clones share them.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    clients: Arc<[OnceLock<reqwest::Client>; 3]>,
    settings: Arc<HttpSettings>,
}

impl HttpTransport {
    /// Sets the transport up. Certificates are read at the first `https` request: a host without any can still talk to
    /// loopback.
    ///
    /// # Errors
    /// The user agent is not a header value, or the HTTP library refuses its settings.
    pub fn new(settings: HttpSettings) -> Result<Self, WireError> {
        // Fails if a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let transport = Self { clients: Arc::default(), settings: Arc::new(settings) };
        transport.client(Route::LocalPlain)?;
        Ok(transport)
    }

    fn client(&self, route: Route) -> Result<&reqwest::Client, WireError> {
        let slot = &self.clients[route as usize];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = build(route, &self.settings).map_err(|e| sort(e, Hints::default()))?;
        Ok(slot.get_or_init(|| client))
    }
}

fn build(route: Route, settings: &HttpSettings) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(settings.user_agent.as_str())
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(settings.timeouts.connect)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_CONNECTIONS)
        .http2_max_header_list_size(HEADER_LIST_LIMIT)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .https_only(route != Route::LocalPlain);
    if route != Route::World {
        builder = builder.no_proxy();
    }
    if route == Route::LocalPlain {
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

impl Transport for HttpTransport {
    type Body = HttpBody;

    async fn send(&self, request: Request) -> Result<Reply<HttpBody>, WireError> {
        let timeouts = self.settings.timeouts;
        let request = self.prepare(request)?;
        let response = match tokio::time::timeout(timeouts.head, request.send()).await {
            Ok(outcome) => outcome.map_err(|e| sort(e, Hints::default()))?,
            Err(_) => {
                let waited = timeouts.head.as_secs_f32();
                return Err(WireError::new(WireErrorKind::Timeout, format!("no reply within {waited} s")));
            }
        };
        Ok(Reply {
            status: response.status().as_u16(),
            // A header that is not text is kept with its bad bytes replaced: a next page must not vanish.
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
                .collect(),
            body: HttpBody::new(response, timeouts),
        })
    }
}

impl HttpTransport {
    fn prepare(&self, request: Request) -> Result<reqwest::RequestBuilder, WireError> {
        let Request { method, mut url, bearer, form } = request;
        url.set_fragment(None);
        let client = self.client(Route::of(&url)?)?;
        let method = match method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let posts = method == reqwest::Method::POST;
        let mut builder = client.request(method, url).header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "gzip");
        if let Some(token) = bearer {
            // `InvalidHeaderValue` does not show the value.
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
                .map_err(|_| WireError::new(WireErrorKind::Other, "the access token can't be put into a header"))?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(form) = form {
            let mut body = form_urlencoded::Serializer::new(String::new());
            for (name, value) in &form {
                body.append_pair(name, value.expose_secret());
            }
            builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.finish());
        } else if posts {
            // Without it some servers answer 411 (`activity-api.md` section 4).
            builder = builder.header(CONTENT_LENGTH, "0");
        }
        Ok(builder)
    }
}

/// A reply's body on the wire.
#[derive(Debug)]
pub struct HttpBody {
    /// `None` after its end.
    response: Option<reqwest::Response>,
    encoding: Encoding,
    /// Received but not yet given out, because the peer's piece was larger than [`LARGEST_CHUNK`].
    rest: Bytes,
    timeouts: Timeouts,
    waited: Duration,
    received: u64,
}

/// How the bytes on the wire become the body's.
#[derive(Debug)]
enum Encoding {
    Plain,
    Gzip(Box<Gunzip>),
    /// One that was not offered: nobody could read it.
    Unknown(WireError),
}

impl Encoding {
    fn of(response: &reqwest::Response) -> Self {
        let name = response.headers().get(CONTENT_ENCODING).map(|v| String::from_utf8_lossy(v.as_bytes()).to_ascii_lowercase());
        match name.as_deref().map(str::trim) {
            None | Some("" | "identity") => Encoding::Plain,
            Some("gzip" | "x-gzip") => Encoding::Gzip(Box::new(Gunzip::new())),
            Some(name) => {
                let detail = format!("the reply is encoded as {name:?}, only gzip is offered");
                Encoding::Unknown(WireError::new(WireErrorKind::Encoding, detail))
            }
        }
    }
}

impl HttpBody {
    fn new(response: reqwest::Response, timeouts: Timeouts) -> Self {
        let encoding = Encoding::of(&response);
        let response = Some(response);
        Self { response, encoding, rest: Bytes::new(), timeouts, waited: Duration::ZERO, received: 0 }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(response) = &mut self.response else { return Ok(None) };
        let began = Instant::now();
        let outcome = tokio::time::timeout(self.timeouts.idle, response.chunk()).await;
        self.waited += began.elapsed();
        let received = self.received;
        let piece = match outcome {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                let mut error = sort(error, Hints { in_body: true, ..Hints::default() });
                error.detail = format!("{} (after {received} bytes)", error.detail);
                return Err(error);
            }
            Err(_) => {
                let idle = self.timeouts.idle.as_secs_f32();
                let detail = format!("the body stalled for {idle} s after {received} bytes");
                return Err(WireError::new(WireErrorKind::Timeout, detail));
            }
        };
        self.received += piece.as_ref().map_or(0, |p| p.len() as u64);
        if piece.is_none() && self.response.take().is_some_and(|response| !has_ended(response)) {
            let detail = format!("the body was given up without an error (after {received} bytes)");
            return Err(WireError::new(WireErrorKind::Body, detail));
        }
        if piece.is_some() && self.waited > self.timeouts.slow_grace + Duration::from_secs(self.received / SLOWEST_RATE) {
            let detail = format!("the body is too slow: {} bytes in {:.1} s", self.received, self.waited.as_secs_f32());
            return Err(WireError::new(WireErrorKind::Timeout, detail));
        }
        Ok(piece)
    }
}

impl Body for HttpBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            if !self.rest.is_empty() {
                let length = self.rest.len().min(LARGEST_CHUNK);
                return Ok(Some(self.rest.split_to(length)));
            }
            match &mut self.encoding {
                Encoding::Unknown(error) => return Err(error.clone()),
                Encoding::Plain => match self.piece().await? {
                    Some(piece) => self.rest = piece,
                    None => return Ok(None),
                },
                Encoding::Gzip(gunzip) => match gunzip.inflate()? {
                    Inflated::Data(data) => self.rest = data,
                    Inflated::End => return Ok(None),
                    Inflated::WantsInput => {
                        let piece = self.piece().await?;
                        if let Encoding::Gzip(gunzip) = &mut self.encoding {
                            gunzip.feed(piece);
                        }
                    }
                },
            }
        }
    }
}

/// True if the peer has ended the body that nothing more comes of. Over HTTP/2 it can also give it up with `NO_ERROR`, anywhere,
/// which hyper takes for its end.
fn has_ended(response: reqwest::Response) -> bool {
    let version = response.version();
    let body = reqwest::Body::from(response);
    version != reqwest::Version::HTTP_2 || body.is_end_stream() || body.size_hint().exact() == Some(0)
}

fn sort(error: reqwest::Error, hints: Hints) -> WireError {
    let error = error.without_url();
    let hints = Hints { dns: error.is_dns(), timeout: error.is_timeout(), connect: error.is_connect(), ..hints };
    cause::wire_error(&error, hints)
}

#[cfg(test)]
mod tests;
