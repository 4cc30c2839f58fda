//! One HTTP request over a replaceable transport.
//!
//! The rooms that speak a protocol ([`crate::auth`], [`crate::api`]) see [`Transport`] and nothing of the HTTP library, so
//! that a simulation can stand in for the network. reqwest appears in `wire/http.rs` only. This room knows no protocol:
//! it sends one request once, never follows a redirect, never repeats anything, and says how a request failed.

mod cause;
mod error;
mod error_body;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gzip;
mod headers;
mod http;
mod text;

#[cfg(test)]
pub(crate) mod test_server;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use url::Url;

pub use error::{WireError, WireErrorKind};
pub(crate) use error_body::{ErrorBody, field};
pub use failure::{Failure, RequestKind};
pub(crate) use failure::{LONGEST_CODE, LONGEST_MESSAGE};
pub use headers::Headers;
pub use http::{HttpSettings, HttpTransport, Timeouts};
pub(crate) use text::{printable, redact};

/// No chunk of a body is larger than this, whatever the peer frames: what a stage holds of a body is known beforehand.
pub const LARGEST_CHUNK: usize = 64 * 1024;

/// An error body is read for this long at most: it only explains a status that is known already.
const ERROR_BODY_TIME: Duration = Duration::from_secs(15);

/// The two methods that the token endpoint and the Management Activity API use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`, without a body.
    Get,
    /// `POST`, with a form or with `Content-Length: 0`.
    Post,
}

/// One request. `Debug` shows neither the token nor the form's values.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: Method,
    /// Where to. Sent as it stands; a fragment is not sent.
    pub url: Url,
    /// Sent as `Authorization: Bearer …`, marked as sensitive.
    pub bearer: Option<SecretString>,
    /// Sent as `application/x-www-form-urlencoded`.
    pub form: Option<Vec<(&'static str, SecretString)>>,
}

/// The head of a reply, and its body still on the wire. Any status is a reply; only a request that got none is an error.
#[derive(Debug)]
pub struct Reply<B> {
    /// The HTTP status.
    pub status: u16,
    /// The reply's headers.
    pub headers: Headers,
    /// The body, to be read chunk by chunk. Dropping it early is fine.
    pub body: B,
}

/// A reply's body as a stream.
pub trait Body: Send + 'static {
    /// The next piece, of 1 to [`LARGEST_CHUNK`] bytes, decompressed; `None` when the body came to its proper end.
    ///
    /// # Errors
    /// The body broke off, stalled or can't be decompressed. After an error the body is worthless.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, WireError>> + Send;
}

/// Sends requests. The shipped one is [`HttpTransport`].
pub trait Transport: Clone + Send + Sync + 'static {
    /// The body of its replies.
    type Body: Body;

    /// Sends `request` once and waits for the head of the reply.
    ///
    /// # Errors
    /// No reply came: the peer was not reached, not trusted, too slow, or broke off.
    fn send(&self, request: Request) -> impl Future<Output = Result<Reply<Self::Body>, WireError>> + Send;
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// What [`Body::chunk`] reports, or [`WireErrorKind::TooLarge`].
pub(crate) async fn read_whole<B: Body>(body: &mut B, limit: usize) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(WireError::new(WireErrorKind::TooLarge, format!("more than {limit} bytes where few are expected")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads up to `limit` bytes of a body that explains an error; what can't be had in time is left out.
pub(crate) async fn read_prefix<B: Body>(body: &mut B, limit: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let deadline = tokio::time::Instant::now() + ERROR_BODY_TIME;
    while bytes.len() < limit {
        match tokio::time::timeout_at(deadline, body.chunk()).await {
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk[..chunk.len().min(limit - bytes.len())]),
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    bytes
}
