//! Credentials become access tokens: the client-credentials flow against Entra's v2 endpoint (`activity-api.md` section 3).
//!
//! One [`TokenSource`] serves all requests of a tenant. It asks once however many wait, renews before the end, and lets
//! go of a token that the API rejects. Nothing here is fatal to the process: a failed request is a [`Failure`] like any
//! other. The secret is fetched anew for each token request and is shown nowhere; a server that repeats it in an error
//! finds it taken out of the message.

mod claims;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lifetime;
mod reply;
mod verdict;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

pub use claims::{Claims, claims};

use crate::domain::{Fault, Refusal, TenantId};
use crate::wire::{self, Failure, Method, Request, RequestKind, Transport};
use lifetime::Lifetime;

/// One token request, body included. The login service answers within a second; what takes longer hangs, and everything
/// of the tenant waits for it.
const TOKEN_TIME: Duration = Duration::from_secs(60);

/// A token reply is some kilobytes long; with hundreds of roles and groups it stays far below this.
const TOKEN_REPLY_LIMIT: usize = 1024 * 1024;

/// After a failed early renewal the old token serves on; the next attempt comes this much later.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// Gives the client secret, or says why it can't. Called for each token request, so that a rotated secret is found.
pub type SecretReader = Box<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// What a tenant's tokens are asked for with.
pub struct Credentials {
    /// The directory in which the application is registered or consented to.
    pub tenant: TenantId,
    /// The application's id.
    pub client_id: String,
    /// The client secret, read again for each token request. Its error is shown to the user.
    pub secret: SecretReader,
    /// The login authority, such as `https://login.microsoftonline.com`.
    pub login_url: Url,
    /// The API's resource, with or without `/.default`, such as `https://manage.office.com/.default`.
    pub scope: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("tenant", &self.tenant)
            .field("client_id", &self.client_id)
            .field("login_url", &self.login_url.as_str())
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// An access token. Neither `Debug` nor anything else here shows its text.
pub struct Token {
    /// The token itself.
    pub secret: SecretString,
    /// Which token of its source it is, from 1.
    serial: u64,
    lifetime: Lifetime,
    rejected: AtomicBool,
    accepted: AtomicBool,
}

impl Token {
    /// True if it was obtained after [`TokenSource::issued`] gave `count`: for a request that began then, it is young.
    pub fn is_younger_than(&self, count: u64) -> bool {
        self.serial > count
    }

    /// Notes that the API took it.
    pub fn accept(&self) {
        self.accepted.store(true, Ordering::Release);
    }

    /// True if the API took it at least once: if it takes it no more, it has ended or was revoked.
    pub fn was_accepted(&self) -> bool {
        self.accepted.load(Ordering::Acquire)
    }

    fn is_rejected(&self) -> bool {
        self.rejected.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("serial", &self.serial).field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// The tokens of one tenant. Clones share them.
pub struct TokenSource<T: Transport> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    transport: T,
    credentials: Credentials,
    token_url: Url,
    scope: String,
    current: Mutex<Option<Current>>,
    /// How many tokens were obtained.
    issued: AtomicU64,
    /// How many token requests have ended, well or badly.
    ended: AtomicU64,
    /// Held by the one who asks; holds what the last request gave.
    flight: tokio::sync::Mutex<Option<Result<Arc<Token>, Failure>>>,
}

struct Current {
    token: Arc<Token>,
    renew_at: Instant,
}

impl<T: Transport> Clone for TokenSource<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: Transport> fmt::Debug for TokenSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("credentials", &self.inner.credentials).finish_non_exhaustive()
    }
}

impl<T: Transport> TokenSource<T> {
    /// Tokens for `credentials`, asked for over `transport`. Asks for none yet.
    pub fn new(transport: T, credentials: Credentials) -> Self {
        let token_url = token_url(&credentials.login_url, &credentials.tenant);
        let resource = credentials.scope.trim().trim_end_matches('/');
        let scope = if resource.ends_with("/.default") { resource.to_owned() } else { format!("{resource}/.default") };
        let inner = Inner {
            transport,
            credentials,
            token_url,
            scope,
            current: Mutex::new(None),
            issued: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            flight: tokio::sync::Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A token to send a request with. Renews it when less than a tenth of its life, or 5 minutes, are left.
    ///
    /// Whoever has none and calls while a token is being asked for waits for that one request and shares its outcome, its
    /// failure too. During an early renewal the old token serves the others; if the renewal fails, until its end.
    ///
    /// # Errors
    /// There is no valid token and none could be had.
    pub async fn token(&self) -> Result<Arc<Token>, Failure> {
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        let arrived = self.inner.ended.load(Ordering::Acquire);
        let mut flight = match self.inner.flight.try_lock() {
            Ok(flight) => flight,
            Err(_) => {
                // An early renewal is under way: nobody needs to wait for it.
                if let Some(token) = self.valid() {
                    return Ok(token);
                }
                // If the holder of the lock is dropped while it asks, the next in the queue asks in its place.
                self.inner.flight.lock().await
            }
        };
        if let Some(token) = self.fresh() {
            return Ok(token);
        }
        if self.inner.ended.load(Ordering::Acquire) > arrived {
            match &*flight {
                // A token without any life is never fresh, but those who waited for it may use it once.
                Some(Ok(token)) if !token.is_rejected() => return Ok(token.clone()),
                Some(Err(failure)) => return Err(failure.clone()),
                _ => {}
            }
        }
        let outcome = match self.ask().await {
            Ok(token) => Ok(token),
            Err(failure) => self.old_for_a_while().ok_or(failure),
        };
        *flight = Some(outcome.clone());
        self.inner.ended.fetch_add(1, Ordering::AcqRel);
        outcome
    }

    /// How many tokens were obtained so far. A request notes it when it begins, so that it can tell whether the token that
    /// the API rejected was an old one ([`Token::is_younger_than`]).
    pub fn issued(&self) -> u64 {
        self.inner.issued.load(Ordering::Acquire)
    }

    /// True if there is, or will be, a newer token than `token`: another request found it rejected, or it was renewed.
    pub fn is_superseded(&self, token: &Token) -> bool {
        token.is_rejected() || self.issued() > token.serial
    }

    /// The API did not take `token`: it is dropped if it is still the current one, and the next request gets another.
    pub fn reject(&self, token: &Arc<Token>) {
        token.rejected.store(true, Ordering::Release);
        let mut current = self.current();
        if current.as_ref().is_some_and(|c| Arc::ptr_eq(&c.token, token)) {
            *current = None;
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        // Nothing that holds the lock can leave a half-made value.
        self.inner.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Option<Arc<Token>> {
        let current = self.current();
        current.as_ref().filter(|c| Instant::now() < c.renew_at).map(|c| c.token.clone())
    }

    fn valid(&self) -> Option<Arc<Token>> {
        let current = self.current();
        current.as_ref().filter(|c| Instant::now() < c.token.lifetime.ends()).map(|c| c.token.clone())
    }

    /// The current token if it has not ended, with its renewal put off.
    fn old_for_a_while(&self) -> Option<Arc<Token>> {
        let now = Instant::now();
        let mut current = self.current();
        let current = current.as_mut().filter(|c| now < c.token.lifetime.ends())?;
        current.renew_at = (now + RENEWAL_PAUSE).min(current.token.lifetime.ends());
        Some(current.token.clone())
    }

    async fn ask(&self) -> Result<Arc<Token>, Failure> {
        // The life counts from before the request: the network's delay must not make a token look younger than it is.
        let began = Instant::now();
        let granted = match tokio::time::timeout(TOKEN_TIME, self.request()).await {
            Ok(granted) => granted?,
            Err(_) => {
                let detail = format!("no token within {} s", TOKEN_TIME.as_secs());
                let error = wire::WireError::new(wire::WireErrorKind::Timeout, detail);
                return Err(Failure::of_wire(RequestKind::Token, &error, None));
            }
        };
        let lifetime = Lifetime::new(began, granted.life);
        let serial = self.inner.issued.fetch_add(1, Ordering::AcqRel) + 1;
        let (rejected, accepted) = (AtomicBool::new(false), AtomicBool::new(false));
        let token = Arc::new(Token { secret: granted.token, serial, lifetime, rejected, accepted });
        *self.current() = Some(Current { token: token.clone(), renew_at: lifetime.renew_at() });
        Ok(token)
    }

    async fn request(&self) -> Result<reply::Granted, Failure> {
        let Inner { transport, credentials, token_url, scope, .. } = &*self.inner;
        let secret = (credentials.secret)().map_err(|why| unreadable_secret(&why))?;
        let form = vec![
            ("client_id", SecretString::from(credentials.client_id.clone())),
            ("scope", SecretString::from(scope.clone())),
            ("client_secret", secret.clone()),
            ("grant_type", SecretString::from("client_credentials")),
        ];
        let request = Request { method: Method::Post, url: token_url.clone(), bearer: None, form: Some(form) };
        let reply = transport.send(request).await;
        let mut reply = reply.map_err(|e| Failure::of_wire(RequestKind::Token, &e, None))?;
        let date = reply.headers.date();
        if reply.status == 200 {
            let body = wire::read_whole(&mut reply.body, TOKEN_REPLY_LIMIT).await;
            let body = body.map_err(|e| Failure::of_wire(RequestKind::Token, &e, date))?;
            return reply::granted(body, &reply.headers, &shapes(&credentials.client_id, secret.expose_secret()));
        }
        let body = wire::read_prefix(&mut reply.body, reply::ERROR_BODY_LIMIT).await;
        Err(reply::refused(reply.status, &reply.headers, &body, &shapes(&credentials.client_id, secret.expose_secret())))
    }
}

fn token_url(login_url: &Url, tenant: &TenantId) -> Url {
    let mut url = login_url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}/{tenant}/oauth2/v2.0/token", login_url.path().trim_end_matches('/')));
    url
}

fn unreadable_secret(why: &str) -> Failure {
    Failure {
        fault: Fault::Refused(Refusal::SecretUnavailable),
        request: RequestKind::Token,
        status: None,
        code: None,
        message: wire::printable(&format!("the client secret can't be read: {why}"), wire::LONGEST_MESSAGE),
        date: None,
    }
}

/// The forms in which a server could repeat the secret.
fn shapes(client_id: &str, secret: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let pair = format!("{client_id}:{secret}");
    vec![
        secret.to_owned(),
        form.replace('+', "%20"),
        form.to_ascii_lowercase(),
        form,
        BASE64_STANDARD.encode(secret),
        BASE64_STANDARD_NO_PAD.encode(secret),
        BASE64_URL_SAFE_NO_PAD.encode(secret),
        BASE64_STANDARD.encode(pair),
    ]
}

#[cfg(test)]
mod tests;
