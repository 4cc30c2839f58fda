//! Requests and replies as the model sees them: plain values, no sockets.

use std::fmt;

use bytes::Bytes;

use super::content::BlobStream;

/// A request as it came in.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST`, or whatever the client sent.
    pub method: String,
    /// The path as sent, still percent-encoded, without the query.
    pub path: String,
    /// What stood after `?`, still encoded; empty if nothing did.
    pub query: String,
    /// Names and values; names compare without case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A `GET` of a path with an optional query, or of an absolute URL (whose host becomes the `Host` header).
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST`, see [`Request::get`].
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// A request with any method, see [`Request::get`].
    pub fn new(method: &str, target: &str) -> Self {
        let mut request = Self { method: method.to_owned(), ..Self::default() };
        let local = match target.split_once("://") {
            Some((_, rest)) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                request.headers.push(("Host".to_owned(), rest[..end].to_owned()));
                &rest[end..]
            }
            None => target,
        };
        let (path, query) = local.split_once('?').unwrap_or((local, ""));
        request.path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        query.clone_into(&mut request.query);
        request
    }

    /// With this header as well.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With these fields as a form body.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        self.body = form.finish().into();
        self.header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// The first header of that name.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The decoded value of a query parameter; names compare without case, an empty value counts as absent.
    pub fn query_value(&self, name: &str) -> Option<String> {
        let escaped = |text: &str| text.bytes().any(|b| matches!(b, b'%' | b'+'));
        // Pair by pair: most names and values are no escapes, and need no decoding.
        let value = self.query.split('&').find_map(|pair| {
            let (n, v) = pair.split_once('=').unwrap_or((pair, ""));
            if !escaped(n) {
                return n.eq_ignore_ascii_case(name).then_some(v);
            }
            let (n, _) = url::form_urlencoded::parse(n.as_bytes()).next()?;
            n.eq_ignore_ascii_case(name).then_some(v)
        })?;
        if !escaped(value) {
            return (!value.is_empty()).then(|| value.to_owned());
        }
        let pair = format!("={value}");
        let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
        (!value.is_empty()).then(|| value.into_owned())
    }

    /// The token of an `Authorization: Bearer` header.
    pub(super) fn bearer_value(&self) -> Option<&str> {
        let (scheme, token) = self.header_value("authorization")?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|t| !t.is_empty())
    }
}

/// What the service answers, and how the answer reaches the client.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Names and values, `Date` among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: ReplyBody,
    /// How the bytes travel.
    pub delivery: Delivery,
}

impl Response {
    /// A whole reply with a body of that media type.
    pub(super) fn new(status: u16, media_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), media_type.to_owned())],
            body: ReplyBody::Whole(body.into()),
            delivery: Delivery::Whole,
        }
    }

    /// A whole JSON reply.
    pub(super) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::new(status, "application/json; charset=utf-8", body)
    }

    /// A whole reply without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: ReplyBody::Whole(Bytes::new()), delivery: Delivery::Whole }
    }

    /// With this header as well.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The first header of that name, compared without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The whole body in memory, whatever the delivery says; for tests and drivers without sockets.
    pub fn bytes(&self) -> Bytes {
        self.body.bytes()
    }

    /// The `code` of an error body, if it has one.
    pub fn error_code(&self) -> Option<String> {
        // What a success carries is large and an array.
        let bytes = self.bytes();
        if bytes.first() == Some(&b'[') {
            return None;
        }
        let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let error = &value["error"];
        error["code"].as_str().or_else(|| error.as_str()).map(str::to_owned)
    }
}

/// The bytes of a reply.
#[derive(Clone)]
pub enum ReplyBody {
    /// In memory; sent with `Content-Length`.
    Whole(Bytes),
    /// A large blob, made while it is sent; sent in chunks of unknown total.
    Stream(Box<BlobStream>),
}

impl ReplyBody {
    /// The whole body in memory.
    pub fn bytes(&self) -> Bytes {
        match self {
            ReplyBody::Whole(bytes) => bytes.clone(),
            ReplyBody::Stream(stream) => stream.as_ref().clone().flatten().collect::<Vec<u8>>().into(),
        }
    }

    /// The length, where it is known without making the body.
    pub fn known_length(&self) -> Option<u64> {
        match self {
            ReplyBody::Whole(bytes) => Some(bytes.len() as u64),
            ReplyBody::Stream(_) => None,
        }
    }

    /// The next piece; `None` at the end.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        match self {
            ReplyBody::Whole(bytes) if bytes.is_empty() => None,
            ReplyBody::Whole(bytes) => Some(std::mem::take(bytes)),
            ReplyBody::Stream(stream) => stream.next(),
        }
    }

    /// Shortens the body to its first `length` bytes.
    pub(super) fn truncate(&mut self, length: u64) {
        match self {
            ReplyBody::Whole(bytes) => bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX)),
            ReplyBody::Stream(stream) => stream.limit(length),
        }
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyBody::Whole(bytes) => write!(f, "{} bytes", bytes.len()),
            ReplyBody::Stream(_) => f.write_str("a stream"),
        }
    }
}

/// How a reply travels. The model only says so; whoever drives it acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// All of it, at once.
    Whole,
    /// The connection is reset before the first byte of the head.
    ResetBeforeHead,
    /// The head and this many bytes of the body arrive, then the connection breaks. With `chunked` the head names no
    /// length and the last chunk never comes; else `Content-Length` tells the length that was meant.
    Cut {
        /// Bytes of the body that arrive.
        after: u64,
        /// No `Content-Length`.
        chunked: bool,
        /// By RST, not by FIN.
        reset: bool,
    },
    /// All of it, at this rate.
    Slow {
        /// Never zero.
        bytes_per_second: u64,
    },
    /// The head and this many bytes arrive, then nothing more, and the connection stays open; `None`: not even the head.
    Stall {
        /// Bytes of the body that arrive.
        after: Option<u64>,
    },
}

impl Delivery {
    /// True if the client gets the whole reply in the end.
    pub fn is_complete(self) -> bool {
        matches!(self, Delivery::Whole | Delivery::Slow { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_requests_apart() {
        let r = Request::get("http://127.0.0.1:8080/a/b%24c?ContentType=Audit.General&x=1%2B1&empty=").bearer("t");
        assert_eq!((r.path.as_str(), r.header_value("host")), ("/a/b%24c", Some("127.0.0.1:8080")));
        assert_eq!(r.query_value("contenttype").as_deref(), Some("Audit.General"));
        assert_eq!(r.query_value("x").as_deref(), Some("1+1"));
        assert_eq!((r.query_value("empty"), r.query_value("none")), (None, None));
        assert_eq!(r.bearer_value(), Some("t"));
        assert_eq!(Request::get("/").header("authorization", "Basic abc").bearer_value(), None);
        assert_eq!(Request::get("http://host?x=1").path, "/");
    }

    #[test]
    fn bodies_shorten() {
        let mut body = ReplyBody::Whole(Bytes::from_static(b"[1,2,3]"));
        body.truncate(3);
        assert_eq!(body.bytes(), &b"[1,"[..]);
        assert_eq!(body.next_chunk().as_deref(), Some(&b"[1,"[..]));
        assert_eq!(body.next_chunk(), None);
    }
}
