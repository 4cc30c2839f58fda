//! The wire protocol of the Office 365 Management Activity API (`activity-api.md`).
//!
//! Builds the requests, carries the token to the one API origin and nowhere else, and turns every reply that is not what
//! was asked for into a [`Failure`] that says what to do. It repeats a request in one case only: when the token was older
//! than the request. When to ask, how often, and what to do about a fault is decided elsewhere. Listings and blobs are
//! handed on as streams; nothing of them is held here.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listing;
mod origin;
mod subscription;
pub mod verdict;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::Url;

pub use listing::{EntryError, read_entry};
pub use subscription::Subscription;

pub use crate::wire::{Failure, RequestKind};

use crate::auth::{Token, TokenSource};
use crate::domain::{ContentType, Fault, Refusal, TenantId, Time, Window};
use crate::mutant::{self, Mutant};
use crate::wire::{self, ErrorBody, Headers, Method, Reply, Request, Transport, WireError};
use origin::Origin;

/// How much of an error body is read. The service's stack traces have some kilobytes.
const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// How often a request is sent again with a newer token. Once is enough unless other requests replace tokens meanwhile.
const NEWER_TOKENS: u8 = 2;

/// The list of subscriptions has five elements at most; webhooks make each some hundred bytes long.
const SUBSCRIPTIONS_LIMIT: usize = 1024 * 1024;

/// The names under which the next page's URL was seen; the first is the documented one (`activity-api.md` section 5.4).
const NEXT_PAGE_HEADERS: [&str; 2] = ["NextPageUri", "NextPageUrl"];

/// What a client needs to know beside its tokens.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// The API's root, such as `https://manage.office.com`. The token goes to its scheme, host and port only.
    pub api_url: Url,
    /// The tenant whose feed is read.
    pub tenant: TenantId,
    /// `PublisherIdentifier`: the tenant id of the organisation that runs the collector.
    pub publisher: String,
}

/// Something the service answered, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<V> {
    /// The answer.
    pub value: V,
    /// The reply's `Date`.
    pub date: Option<Time>,
}

/// One page of a listing, its elements still on the wire.
#[derive(Debug)]
pub struct Page<B> {
    /// The reply's `Date`.
    pub date: Option<Time>,
    /// Where the next page is, as the service gave it. None: this is the last page, however many elements it has.
    pub next: Option<String>,
    /// A JSON array of entries for [`read_entry`], or an error object for [`error_object`].
    pub body: B,
}

/// A content blob, still on the wire.
#[derive(Debug)]
pub struct Content<B> {
    /// The reply's `Date`.
    pub date: Option<Time>,
    /// Where the blob goes on, should the service ever cut one like a listing. Undocumented; another client looks for it
    /// (`activity-api.md` section 12, row 5). A blob with it is not whole without what [`Client::blob`] gives for it.
    pub next: Option<String>,
    /// A JSON array of records, or an error object for [`error_object`].
    pub body: B,
}

/// A client for one tenant. Clones share its tokens.
pub struct Client<T: Transport> {
    transport: T,
    origin: Arc<Origin>,
    tokens: TokenSource<T>,
    /// Until when the service asked for silence. Who paces the requests keeps it for those that are not under way yet.
    silence: Arc<Mutex<Option<Instant>>>,
}

impl<T: Transport> Clone for Client<T> {
    fn clone(&self) -> Self {
        let Self { transport, origin, tokens, silence } = self;
        Self { transport: transport.clone(), origin: origin.clone(), tokens: tokens.clone(), silence: silence.clone() }
    }
}

impl<T: Transport> fmt::Debug for Client<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl<T: Transport> Client<T> {
    /// A client that sends over `transport` with tokens from `tokens`. Sends nothing yet.
    pub fn new(transport: T, settings: ApiSettings, tokens: TokenSource<T>) -> Self {
        let origin = Origin::new(&settings.api_url, &settings.tenant, &settings.publisher);
        Self { transport, origin: Arc::new(origin), tokens, silence: Arc::default() }
    }

    /// The application's subscriptions (`activity-api.md` section 5.3).
    ///
    /// # Errors
    /// Any [`Failure`]; [`Fault::BadReply`] if the reply is no array.
    pub async fn subscriptions(&self) -> Result<Answer<Vec<Subscription>>, Failure> {
        let kind = RequestKind::Subscriptions;
        let (status, body) = self.whole(kind, Method::Get, self.origin.subscriptions()).await?;
        match subscription::read_subscriptions(&body.value) {
            Some(value) if status == 200 => Ok(Answer { value, date: body.date }),
            _ => Err(error_object(kind, status, &body.value, body.date)),
        }
    }

    /// Starts the subscription to a content type (section 5.1). That it is started already is a success.
    ///
    /// # Errors
    /// Any [`Failure`]; [`Fault::SubscriptionDisabled`] if the service answers that it stays disabled.
    pub async fn start(&self, content_type: ContentType) -> Result<Answer<()>, Failure> {
        let kind = RequestKind::Start;
        match self.whole(kind, Method::Post, self.origin.subscription("start", content_type)).await {
            Ok((status, body)) if subscription::says_disabled(&body.value) => {
                let message = "the service answers the start with status disabled".into();
                let fault = Fault::SubscriptionDisabled;
                Err(Failure { fault, request: kind, status: Some(status), code: None, message, date: body.date })
            }
            Ok((status, body)) => acknowledged(kind, status, body),
            Err(failure) if verdict::is_started_already(failure.code.as_deref(), "", "") => {
                Ok(Answer { value: (), date: failure.date })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Stops the subscription to a content type (section 5.2): what becomes available until the next start is lost.
    ///
    /// # Errors
    /// Any [`Failure`].
    pub async fn stop(&self, content_type: ContentType) -> Result<Answer<()>, Failure> {
        let url = self.origin.subscription("stop", content_type);
        let (status, body) = self.whole(RequestKind::Stop, Method::Post, url).await?;
        acknowledged(RequestKind::Stop, status, body)
    }

    /// The first page of what became available in `window` (section 5.4).
    ///
    /// # Errors
    /// Any [`Failure`].
    pub async fn list(&self, content_type: ContentType, window: Window) -> Result<Page<T::Body>, Failure> {
        self.page(RequestKind::List, self.origin.listing(content_type, window)).await
    }

    /// A further page, from [`Page::next`].
    ///
    /// # Errors
    /// Any [`Failure`]; [`Fault::ForeignOrigin`], with nothing sent, if `next` leads elsewhere.
    pub async fn next_page(&self, next: &str) -> Result<Page<T::Body>, Failure> {
        let url = self.checked(RequestKind::NextPage, next)?;
        self.page(RequestKind::NextPage, url).await
    }

    /// A content blob, from [`crate::domain::BlobEntry::uri`] (section 5.5).
    ///
    /// # Errors
    /// Any [`Failure`]; [`Fault::ForeignOrigin`], with nothing sent, if `uri` leads elsewhere.
    pub async fn blob(&self, uri: &str) -> Result<Content<T::Body>, Failure> {
        let url = self.checked(RequestKind::Blob, uri)?;
        let Page { date, next, body } = self.page(RequestKind::Blob, url).await?;
        Ok(Content { date, next, body })
    }

    /// Where [`Client::blob`] asks for `uri`: two spellings of one address come to the same. `None` if it asks nowhere.
    pub fn address(&self, uri: &str) -> Option<Url> {
        self.origin.checked(uri).ok()
    }

    fn checked(&self, kind: RequestKind, text: &str) -> Result<Url, Failure> {
        self.origin.checked(text).map_err(|why| Failure {
            fault: Fault::ForeignOrigin,
            request: kind,
            status: None,
            code: None,
            message: format!("the service named a URL outside the tenant's feed, nothing was sent: {why}"),
            date: None,
        })
    }

    async fn page(&self, kind: RequestKind, url: Url) -> Result<Page<T::Body>, Failure> {
        let (mut reply, token) = self.accepted(kind, Method::Get, &url, &mut self.patience()).await?;
        if reply.status != 200 {
            // 204 and 206 answer another question: a window or a blob must not pass for read.
            return Err(refusal(kind, &mut reply, &token).await.failure);
        }
        token.accept();
        let next = NEXT_PAGE_HEADERS.iter().filter_map(|name| reply.headers.get(name)).map(str::trim).find(|v| !v.is_empty());
        let mut next = next.map(str::to_owned);
        if mutant::on(Mutant::P17)
            && let Some((before, key)) = next.as_deref().and_then(|next| next.split_once("nextPage="))
        {
            let end = key.find(|c: char| !c.is_alphanumeric()).unwrap_or(key.len());
            next = Some(format!("{before}nextPage={}", &key[..end]));
        }
        Ok(Page { date: reply.headers.date(), next, body: reply.body })
    }

    /// Sends a request and reads its short reply whole. An error object that comes with 2xx counts as the error it names.
    async fn whole(&self, kind: RequestKind, method: Method, url: Url) -> Result<(u16, Answer<Vec<u8>>), Failure> {
        let mut patience = self.patience();
        loop {
            let (mut reply, token) = self.accepted(kind, method, &url, &mut patience).await?;
            let head = Instant::now();
            let value = wire::read_whole(&mut reply.body, SUBSCRIPTIONS_LIMIT).await;
            // The service's time now: a body may take minutes.
            let date = reply.headers.date().map(|date| date + head.elapsed());
            let value = value.map_err(|error| body_failure(kind, error, date))?;
            let said = ErrorBody::read(&value);
            if !said.is_error {
                token.accept();
                return Ok((reply.status, Answer { value, date }));
            }
            let refusal = judge(kind, reply.status, &reply.headers, &said, Some(&token));
            self.note_silence(&refusal.failure.fault);
            if !self.deserves_newer_token(&refusal, &token, &mut patience) {
                return Err(refusal.failure);
            }
        }
    }

    /// Sends a request until it is answered with 2xx, or refused with a token that was obtained after it began.
    async fn accepted(
        &self,
        kind: RequestKind,
        method: Method,
        url: &Url,
        patience: &mut Patience,
    ) -> Result<(Reply<T::Body>, Arc<Token>), Failure> {
        loop {
            let token = self.token_in_peace().await?;
            let request = Request { method, url: url.clone(), bearer: Some(token.secret.clone()), form: None };
            let reply = self.transport.send(request).await;
            let mut reply = reply.map_err(|error| Failure::of_wire(kind, &error, None))?;
            if (200..300).contains(&reply.status) {
                return Ok((reply, token));
            }
            let refusal = refusal(kind, &mut reply, &token).await;
            self.note_silence(&refusal.failure.fault);
            if !self.deserves_newer_token(&refusal, &token, patience) {
                return Err(refusal.failure);
            }
        }
    }

    fn note_silence(&self, fault: &Fault) {
        if let Fault::Throttled { retry_after: Some(wait) } | Fault::Transient { retry_after: Some(wait) } = fault {
            let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
            *silence = (*silence).max(Some(Instant::now() + *wait));
        }
    }

    /// A token, when the service does not want silence: a request that was under way when it asked for that, and waited for a token
    /// or is sent again with another one, waits here.
    async fn token_in_peace(&self) -> Result<Arc<Token>, Failure> {
        loop {
            let token = self.tokens.token().await?;
            let silence = *self.silence.lock().unwrap_or_else(PoisonError::into_inner);
            match silence.filter(|until| *until > Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return Ok(token),
            }
        }
    }

    fn patience(&self) -> Patience {
        Patience { begun: self.tokens.issued(), newer_tokens: NEWER_TOKENS }
    }

    /// True if the request is to be sent again: the token may be to blame, and it was there before the request, or has been
    /// replaced since by another one, or was taken before and is no more. It is dropped.
    fn deserves_newer_token(&self, refusal: &Refused, token: &Arc<Token>, patience: &mut Patience) -> bool {
        let lacks_permission = refusal.failure.fault == Fault::Refused(Refusal::MissingPermission);
        // One refusal without a reason says little even about a new token: a single host behind the address may not know it yet.
        let first = patience.newer_tokens == NEWER_TOKENS;
        let outdated = !token.is_younger_than(patience.begun)
            || self.tokens.is_superseded(token)
            || ((first || token.was_accepted()) && !lacks_permission);
        if !refusal.blames_token || !outdated || patience.newer_tokens == 0 {
            return false;
        }
        patience.newer_tokens -= 1;
        self.tokens.reject(token);
        true
    }
}

/// What a request remembers while it is sent again.
struct Patience {
    /// How many tokens there had been when it began.
    begun: u64,
    /// How often it may still be sent with a newer one.
    newer_tokens: u8,
}

/// The failure of a request whose reply began well and broke off.
pub fn body_failure(kind: RequestKind, error: WireError, date: Option<Time>) -> Failure {
    Failure::of_wire(kind, &error, date)
}

/// The failure that an error object in a reply's body stands for, whatever the status, 200 included. A body that is none
/// is a [`Fault::BadReply`].
pub fn error_object(kind: RequestKind, status: u16, raw: &[u8], date: Option<Time>) -> Failure {
    let said = ErrorBody::read(&raw[..raw.len().min(ERROR_BODY_LIMIT)]);
    let mut failure = judge(kind, status, &Headers::default(), &said, None).failure;
    failure.date = date;
    failure
}

/// A start or stop that was answered with 2xx and no error: with nothing, or with JSON. Anything else did not come from
/// the service.
fn acknowledged(kind: RequestKind, status: u16, body: Answer<Vec<u8>>) -> Result<Answer<()>, Failure> {
    let said = ErrorBody::read(&body.value);
    if said.text.is_empty() || said.is_json {
        return Ok(Answer { value: (), date: body.date });
    }
    Err(error_object(kind, status, &body.value, body.date))
}

struct Refused {
    failure: Failure,
    blames_token: bool,
}

async fn refusal<B: wire::Body>(kind: RequestKind, reply: &mut Reply<B>, token: &Token) -> Refused {
    let body = wire::read_prefix(&mut reply.body, ERROR_BODY_LIMIT).await;
    judge(kind, reply.status, &reply.headers, &ErrorBody::read(&body), Some(token))
}

fn judge(kind: RequestKind, status: u16, headers: &Headers, said: &ErrorBody, token: Option<&Token>) -> Refused {
    // A pause of no seconds says nothing; the caller's own pause is better than none.
    let retry_after = headers.retry_after(None).filter(|d| !d.is_zero());
    let fault = verdict::verdict(kind, status, said.code.as_deref(), &said.message, retry_after, &said.text);
    let secret = token.map(|t| t.secret.expose_secret()).unwrap_or_default();
    let safe = |text: &str, limit| wire::printable(&wire::redact(text, &[secret]), limit);
    let message = match (said.message.trim(), headers.get("location")) {
        (_, Some(location)) if status / 100 == 3 => {
            let host = Url::parse(location).ok().and_then(|u| u.host_str().map(str::to_owned));
            safe(
                &format!("redirected to {}, which is not followed", host.as_deref().unwrap_or("another path")),
                wire::LONGEST_MESSAGE,
            )
        }
        ("", _) if said.text.is_empty() => "the reply has no body that explains it".into(),
        ("", _) => "the reply's body explains nothing".into(),
        (message, _) => safe(message, wire::LONGEST_MESSAGE),
    };
    let code = verdict::af_code(said.code.as_deref(), &said.message, &said.text)
        .or_else(|| said.code.as_deref().map(|code| safe(code, wire::LONGEST_CODE)))
        .filter(|code| !code.is_empty());
    let blames_token = verdict::blames_token(status, code.as_deref(), &fault);
    let date = headers.date();
    Refused { failure: Failure { fault, request: kind, status: Some(status), code, message, date }, blames_token }
}

#[cfg(test)]
mod tests;
