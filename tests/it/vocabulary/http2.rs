//! HTTP/2 behind a front: the frames of a server that is right, and what a story does to those of one stream.
//!
//! hyper serves, at the other end of a pipe. Between the pipe and TLS each frame is seen, so that a stream can end in any way
//! that frames allow, also in those that a right server would never choose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::server::TlsStream;

use super::relay::ask;
use super::tenant::RUNTIME;
use super::{Bytes, Call};

/// What a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A stream whose reply is about to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streamed {
    pub(crate) call: Call,
    /// Which one of its kind, from 1.
    pub(crate) nth: usize,
    /// How often this very address was asked for, from 1.
    pub(crate) time: usize,
}

/// Where in a reply its stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// In place of its head.
    Head,
    /// After so many thousandths of its body.
    Body(usize),
}

/// How a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code, whose last stream is this one or the one before. The connection closes behind it.
    GoAway { code: u32, includes: bool },
    /// The same of the one before, and the connection stays for the other streams.
    LeftOut { code: u32 },
    /// Nothing comes of it until the story says [`Streams::release`], which resets it.
    Stall,
    /// END_STREAM, whatever the head said of its length.
    Ended,
    /// The same, with one byte more before it.
    Surplus,
}

/// How a right server shows the end of a body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Close {
    /// The head tells its length.
    #[default]
    Length,
    /// It ends with a frame of its own.
    Frame,
    /// It ends with trailers.
    Trailers,
}

/// A body that ends in one of these ways.
struct Reply {
    body: Full<Bytes>,
    close: Close,
}

impl hyper::body::Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None if self.close == Close::Trailers => {
                self.close = Close::Frame;
                let mut trailers = hyper::HeaderMap::new();
                trailers.insert("x-ends", hyper::header::HeaderValue::from_static("here"));
                Poll::Ready(Some(Ok(hyper::body::Frame::trailers(trailers))))
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.close == Close::Length && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.close == Close::Length { self.body.size_hint() } else { SizeHint::default() }
    }
}

/// Where and how.
pub(crate) type Ending = (At, Way);

type Plan = dyn Fn(Streamed) -> Option<Ending> + Send + Sync;

/// What is done to the streams of a front, and what was.
pub(crate) struct Streams {
    plan: Mutex<Arc<Plan>>,
    settings: Mutex<Vec<(u16, u32)>>,
    close: Mutex<Close>,
    asked: Mutex<BTreeMap<Call, usize>>,
    times: Mutex<BTreeMap<String, usize>>,
    ended: AtomicUsize,
    most: AtomicUsize,
    released: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            plan: Mutex::new(Arc::new(|_| None)),
            settings: Mutex::default(),
            close: Mutex::default(),
            asked: Mutex::default(),
            times: Mutex::default(),
            ended: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            released: watch::channel(false).0,
        }
    }
}

impl Streams {
    /// What is done from now on.
    pub(crate) fn end(&self, plan: impl Fn(Streamed) -> Option<Ending> + Send + Sync + 'static) {
        *self.plan.lock().unwrap() = Arc::new(plan);
    }

    /// New connections begin with these settings.
    pub(crate) fn begin_with(&self, settings: &[(u16, u32)]) {
        *self.settings.lock().unwrap() = settings.to_vec();
    }

    /// Bodies end in this way from now on.
    pub(crate) fn close(&self, close: Close) {
        *self.close.lock().unwrap() = close;
    }

    /// Nothing stalls from now on.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.asked.lock().unwrap().values().sum()
    }

    /// How many of that kind.
    pub(crate) fn asked(&self, call: Call) -> usize {
        self.asked.lock().unwrap().get(&call).copied().unwrap_or(0)
    }

    /// How many streams have met an end that was planned.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// The most streams that were open at once on one connection.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    fn comes(&self, url: String) -> Streamed {
        let call = Call::of(url.as_bytes());
        let mut asked = self.asked.lock().unwrap();
        let mut times = self.times.lock().unwrap();
        let (nth, time) = (asked.entry(call).or_default(), times.entry(url).or_default());
        *nth += 1;
        *time += 1;
        Streamed { call, nth: *nth, time: *time }
    }
}

/// A stream whose end is planned.
struct Doomed {
    /// Bytes of its body that come before; `None` before its head.
    left: Option<usize>,
    way: Way,
    over: bool,
}

/// What goes to the client, and whether it is the last that does.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    closes: bool,
}

struct Connection {
    streams: Arc<Streams>,
    /// Streams that were opened, in their order, and that the server has not taken up.
    opened: Mutex<VecDeque<u32>>,
    open: Mutex<BTreeSet<u32>>,
    doomed: Mutex<BTreeMap<u32, Doomed>>,
    /// Frames that go to the client besides.
    besides: mpsc::UnboundedSender<Vec<u8>>,
}

/// Serves one connection until it ends.
pub(super) async fn serve(stream: TlsStream<TcpStream>, tenant: u16, streams: Arc<Streams>) {
    let (besides, more) = mpsc::unbounded_channel();
    let (opened, open, doomed) = (Mutex::default(), Mutex::default(), Mutex::default());
    let connection = Arc::new(Connection { streams, opened, open, doomed, besides });
    let (from_client, to_client) = tokio::io::split(stream);
    let (pipe, server) = tokio::io::duplex(1 << 16);
    let (from_server, to_server) = tokio::io::split(pipe);
    let service = service_fn({
        let connection = connection.clone();
        move |request: hyper::Request<Incoming>| {
            // A server takes streams up in the order in which they were opened.
            let id = connection.opened.lock().unwrap().pop_front().expect("a request is a stream");
            let streamed = connection.streams.comes(request.uri().to_string());
            let connection = connection.clone();
            async move {
                let reply = translate(request, tenant).await.ok_or("the tenant does not answer")?;
                connection.dooms(id, streamed, &reply);
                let close = *connection.streams.close.lock().unwrap();
                Ok::<_, &str>(reply.map(|body| Reply { body, close }))
            }
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(server), service);
    tokio::select! {
        _ = server => {}
        _ = connection.requests(from_client, to_server) => {}
        _ = connection.replies(from_server, to_client, more) => {}
    }
}

impl Connection {
    fn dooms(&self, id: u32, streamed: Streamed, reply: &hyper::Response<Full<Bytes>>) {
        let plan = self.streams.plan.lock().unwrap().clone();
        let Some((at, way)) = plan(streamed) else { return };
        let length = usize::try_from(reply.body().size_hint().exact().unwrap()).unwrap();
        let left = match at {
            At::Head => None,
            At::Body(thousandths) => Some(length * thousandths / 1000),
        };
        self.doomed.lock().unwrap().insert(id, Doomed { left, way, over: false });
    }

    /// `None` when the client has gone.
    async fn requests(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Option<()> {
        let mut preface = [0; PREFACE];
        from.read_exact(&mut preface).await.ok()?;
        to.write_all(&preface).await.ok()?;
        let no_window = self.streams.settings.lock().unwrap().contains(&(INITIAL_WINDOW_SIZE, 0));
        let mut buffer = Vec::new();
        loop {
            let mut frame = Frame::next(&mut from, &mut buffer).await?;
            match frame.kind {
                // The server must not count on heads before this one: a client never sees those that are left out.
                SETTINGS if !frame.has(ACK) => frame.payload.extend(setting(HEADER_TABLE_SIZE, 0)),
                HEADERS => {
                    self.opened.lock().unwrap().push_back(frame.stream);
                    let mut open = self.open.lock().unwrap();
                    open.insert(frame.stream);
                    self.streams.most.fetch_max(open.len(), Ordering::SeqCst);
                    if no_window && !frame.has(END_STREAM) {
                        let some = Frame::new(WINDOW_UPDATE, 0, frame.stream, &16_u32.to_be_bytes()).bytes();
                        let _ = self.besides.send(some.repeat(64));
                    }
                }
                RST_STREAM => _ = self.open.lock().unwrap().remove(&frame.stream),
                _ => {}
            }
            to.write_all(&frame.bytes()).await.ok()?;
        }
    }

    /// `None` when the server has gone, or the client.
    async fn replies(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        mut besides: mpsc::UnboundedReceiver<Vec<u8>>,
    ) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let outgoing = tokio::select! {
                Some(bytes) = besides.recv() => Outgoing { bytes, closes: false },
                frame = Frame::next(&mut from, &mut buffer) => self.goes(frame?),
            };
            to.write_all(&outgoing.bytes).await.ok()?;
            to.flush().await.ok()?;
            if outgoing.closes {
                to.shutdown().await.ok()?;
                // The other half reads on until the client has gone too: a reset would overtake what was sent.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What becomes of a frame of the server's.
    fn goes(&self, frame: Frame) -> Outgoing {
        let mut doomed = self.doomed.lock().unwrap();
        let passes = |frame: &Frame| Outgoing { bytes: frame.bytes(), closes: false };
        if frame.kind == SETTINGS && !frame.has(ACK) {
            let more = self.streams.settings.lock().unwrap();
            let more = more.iter().flat_map(|(id, value)| setting(*id, *value));
            return passes(&Frame { payload: frame.payload.iter().copied().chain(more).collect(), ..frame });
        }
        let Some(doom) = doomed.get_mut(&frame.stream) else {
            if matches!(frame.kind, DATA | HEADERS) && frame.has(END_STREAM) || frame.kind == RST_STREAM {
                self.open.lock().unwrap().remove(&frame.stream);
            }
            return passes(&frame);
        };
        match (frame.kind, doom.left) {
            (DATA | HEADERS | RST_STREAM, _) if doom.over => Outgoing::default(),
            (HEADERS, None) => self.ends(doom, frame.stream, Vec::new()),
            (DATA, Some(left)) if left > frame.payload.len() => {
                doom.left = Some(left - frame.payload.len());
                passes(&frame)
            }
            (DATA, Some(left)) => self.ends(doom, frame.stream, frame.payload[..left].to_vec()),
            _ => passes(&frame),
        }
    }

    /// The last bytes of a stream's body, and its end.
    fn ends(&self, doom: &mut Doomed, id: u32, mut body: Vec<u8>) -> Outgoing {
        doom.over = true;
        self.streams.ended.fetch_add(1, Ordering::SeqCst);
        if doom.way != Way::Stall {
            self.open.lock().unwrap().remove(&id);
        }
        let reset = |code: u32| Frame::new(RST_STREAM, 0, id, &code.to_be_bytes()).bytes();
        let go_away = |last: u32, code: u32| Frame::new(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).bytes();
        if doom.way == Way::Surplus {
            body.push(b' ');
        }
        let flags = if matches!(doom.way, Way::Ended | Way::Surplus) { END_STREAM } else { 0 };
        let mut bytes = if doom.left.is_some() { Frame::new(DATA, flags, id, &body).bytes() } else { Vec::new() };
        match doom.way {
            Way::Reset(code) => bytes.extend(reset(code)),
            Way::GoAway { code, includes } => bytes.extend(go_away(if includes { id } else { id.saturating_sub(2) }, code)),
            Way::LeftOut { code } => bytes.extend(go_away(id.saturating_sub(2), code)),
            Way::Stall => {
                let (mut released, besides, reset) = (self.streams.released.subscribe(), self.besides.clone(), reset(2));
                RUNTIME.spawn(async move {
                    let _ = released.wait_for(|released| *released).await;
                    let _ = besides.send(reset);
                });
            }
            Way::Ended | Way::Surplus => {}
        }
        Outgoing { bytes, closes: matches!(doom.way, Way::GoAway { .. }) }
    }
}

/// A frame (RFC 9113, section 4.1).
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// The next one; what is left of it when this is broken off stays in the buffer.
    async fn next(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Self> {
        loop {
            if let Some([a, b, c, kind, flags, stream @ ..]) = buffer.first_chunk::<9>() {
                let (end, kind, flags) = (9 + u32::from_be_bytes([0, *a, *b, *c]) as usize, *kind, *flags);
                let stream = u32::from_be_bytes(*stream);
                if buffer.len() >= end {
                    let payload = buffer.drain(..end).skip(9).collect();
                    return Some(Self { kind, flags, stream, payload });
                }
            }
            if from.read_buf(buffer).await.ok()? == 0 {
                return None;
            }
        }
    }
}

/// A setting behind others, of which it is the last word (section 6.5.3).
fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// Asks the tenant, who speaks HTTP/1.1.
async fn translate(request: hyper::Request<Incoming>, port: u16) -> Option<hyper::Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", head.method, head.uri.path_and_query()?, head.uri.authority()?);
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != "content-length") {
        text += &format!("{name}: {}\r\n", value.to_str().ok()?);
    }
    text += &format!("Content-Length: {}\r\n\r\n", body.len());
    let answer = ask(&[text.as_bytes(), &body].concat(), port).await?;
    let head = String::from_utf8(answer.head).ok()?;
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    // The length is told by who sends the body.
    let by_us = ["connection", "content-length"];
    let headers = headers.filter(|(name, _)| !by_us.iter().any(|it| name.eq_ignore_ascii_case(it)));
    let reply = headers.fold(hyper::Response::builder().status(status), |reply, (name, value)| reply.header(name, value));
    reply.body(Full::new(answer.body.into())).ok()
}
