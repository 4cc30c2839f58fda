//! Performs one request of the core: talks to the API, reads the body, and reports facts and pieces to the driver.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use url::Url;

use super::Repeats;
use super::clock::Clock;
use super::reading::{End, Held, Reading};
use crate::api::{self, Client, Failure, Page, RequestKind};
use crate::decode::{Decoder, Item, Shape};
use crate::domain::{BlobEntry, ContentType, Counts, Fault, RecordTypes, TenantId, Time, Window};
use crate::feed::{FetchOrder, Input, ListingId, Standing};
use crate::format::{Context, Formatter};
use crate::mutant::{self, Mutant};
use crate::wire::{Body, Transport};

/// Listing entries reported at once: small against the 4,096 that may be pending.
const ENTRIES_AT_ONCE: usize = 256;
/// A page that holds an entry that can't be read is asked for again so often before it is taken as it is.
const BAD_PAGES_MAX: u32 = 3;
/// Windows whose bad pages are counted: a few are under way at a time. If it were ever more, counting begins anew.
const BAD_WINDOWS_MAX: usize = 64;
/// Entries told of one page that can't be read, each by itself: those beyond are told as one.
const BAD_ENTRIES_MAX: usize = 64;
/// The largest blob that is read, in bytes after decompression. Real ones stay below a few megabytes; what exceeds this is
/// a decompression bomb or an endless body, and becomes a gap.
const BLOB_BYTES_MAX: u64 = 4 << 30;
/// The most pages of one blob. None has been seen with more than one.
const BLOB_PAGES_MAX: u32 = 10_000;
/// The longest that one blob may take: a body that trickles would otherwise hold its place for ever.
const BLOB_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// The longest that one page may take.
const PAGE_TIME_MAX: Duration = Duration::from_secs(5 * 60);
/// The largest page, in bytes: 200,000 entries of the usual size.
const PAGE_BYTES_MAX: u64 = 256 << 20;

/// What a feed's requests share.
pub(super) struct Session<T: Transport, C: Clock> {
    pub(super) client: Client<T>,
    pub(super) clock: C,
    pub(super) content_type: ContentType,
    pub(super) tenant: TenantId,
    pub(super) tenant_name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) filter: RecordTypes,
    pub(super) formatter: Formatter,
    pub(super) repeats: Repeats,
    /// One permit for each blob that may be held at once in the process.
    pub(super) budget: Arc<Semaphore>,
    /// Permits of this feed's own.
    pub(super) reserve: Arc<Semaphore>,
    /// How often listings from a moment on held an entry that can't be read.
    pub(super) bad_pages: Mutex<BTreeMap<Time, u32>>,
}

/// What a request reports.
pub(super) enum Report {
    /// A fact for the core.
    Fact(Input),
    /// Lines for the open batch, with the fact that goes with them; answered once they are in.
    Piece { held: Held, input: Input, taken: oneshot::Sender<()> },
}

pub(super) type Reports = mpsc::Sender<Report>;

async fn fact(reports: &Reports, input: Input) {
    // The driver drops its end only when the feed is over.
    let _ = reports.send(Report::Fact(input)).await;
}

async fn piece(reports: &Reports, held: Held, input: Input) -> bool {
    let (taken, waits) = oneshot::channel();
    reports.send(Report::Piece { held, input, taken }).await.is_ok() && waits.await.is_ok()
}

impl<T: Transport, C: Clock> Session<T, C> {
    pub(super) async fn check_subscription(self: Arc<Self>, reports: Reports) {
        let input = match self.client.subscriptions().await {
            Ok(answer) => {
                let name = self.content_type.as_str();
                let found = answer.value.iter().find(|s| s.content_type.eq_ignore_ascii_case(name));
                let standing = match found {
                    Some(s) if s.enabled => Standing::Enabled,
                    Some(_) => Standing::Disabled,
                    None => Standing::Missing,
                };
                Input::Subscription { standing, date: answer.date }
            }
            Err(failure) => match failure.fault {
                Fault::NoSubscription => Input::Subscription { standing: Standing::Missing, date: failure.date },
                Fault::SubscriptionDisabled => Input::Subscription { standing: Standing::Disabled, date: failure.date },
                _ => subscription_failed(failure),
            },
        };
        fact(&reports, input).await;
    }

    pub(super) async fn start_subscription(self: Arc<Self>, reports: Reports) {
        let input = match self.client.start(self.content_type).await {
            Ok(answer) => Input::Started { date: answer.date },
            Err(failure) => subscription_failed(failure),
        };
        fact(&reports, input).await;
    }

    pub(super) async fn list(self: Arc<Self>, listed: Listed, reports: Reports) {
        let sent = self.clock.now().mono;
        let page = self.client.list(self.content_type, listed.window).await;
        self.page(Asked { listed, kind: RequestKind::List, sent }, page, &reports).await;
    }

    pub(super) async fn next_page(self: Arc<Self>, listed: Listed, url: String, reports: Reports) {
        let sent = self.clock.now().mono;
        let page = self.client.next_page(&url).await;
        self.page(Asked { listed, kind: RequestKind::NextPage, sent }, page, &reports).await;
    }

    async fn page(&self, asked: Asked, page: Result<Page<T::Body>, Failure>, reports: &Reports) {
        let Asked { listed: Listed { id, .. }, sent, .. } = asked;
        let read = match page {
            Ok(page) => match tokio::time::timeout(PAGE_TIME_MAX, self.read_page(&asked, page, reports)).await {
                Ok(read) => read,
                Err(_) => Err((Fault::Transient { retry_after: None }, "the page did not end in time".to_owned(), None)),
            },
            Err(failure) => Err(parts_of(failure)),
        };
        let input = match read {
            Ok((next, date)) => Input::PageEnd { id, next, date },
            Err((Fault::WindowRefused, _, date)) if mutant::on(Mutant::P4) => Input::PageEnd { id, next: None, date },
            Err((fault, detail, date)) => Input::ListFailed { id, fault, detail, date, sent },
        };
        fact(reports, input).await;
    }

    /// Streams a page: its entries are reported as they come, so that its size does not matter.
    async fn read_page(
        &self,
        asked: &Asked,
        mut page: Page<T::Body>,
        reports: &Reports,
    ) -> Result<(Option<String>, Option<Time>), Broken> {
        let Asked { listed: Listed { id, window, stand_in }, kind, .. } = *asked;
        let mut decoder = Decoder::new(RecordTypes::All);
        let mut entries = Entries { good: Vec::new(), bad: Vec::new(), more: None, window, stand_in };
        let mut bytes = 0;
        loop {
            let chunk = match page.body.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(_) if mutant::on(Mutant::P1) => break,
                Err(error) => return Err(parts_of(api::body_failure(kind, error, page.date))),
            };
            bytes += chunk.len() as u64;
            if bytes > PAGE_BYTES_MAX {
                return Err((Fault::BadReply, format!("the page exceeds {PAGE_BYTES_MAX} bytes"), page.date));
            }
            decoder.push(&chunk, &mut |item| entries.take(item));
            while entries.good.len() >= ENTRIES_AT_ONCE {
                let rest = entries.good.split_off(ENTRIES_AT_ONCE);
                let some = std::mem::replace(&mut entries.good, rest);
                fact(reports, Input::Entries { id, entries: some }).await;
            }
        }
        let ending = decoder.finish(&mut |item| entries.take(item));
        let bad = |why: String| Err((Fault::BadReply, why, page.date));
        match ending.shape {
            Shape::Error(raw) => return Err(parts_of(api::error_object(kind, 200, &raw, page.date))),
            Shape::Array => {}
            Shape::Lost if mutant::on(Mutant::P1) => {}
            Shape::Nothing => return bad("the page is empty".into()),
            Shape::Object => return bad("the page is an object instead of a list".into()),
            Shape::Lost => return bad("the page is no complete JSON list".into()),
        }
        if mutant::on(Mutant::P3) && (ending.elements == 0 || page.next.as_ref().is_some_and(|next| next.len() >= 8192)) {
            page.next = None;
        }
        if !entries.good.is_empty() {
            fact(reports, Input::Entries { id, entries: entries.good }).await;
        }
        if let Some((_, why)) = entries.bad.first() {
            if self.count_bad_page(stand_in) < BAD_PAGES_MAX {
                return bad(why.clone());
            }
            for (print, detail) in entries.bad.into_iter().chain(entries.more) {
                fact(reports, Input::EntryUnreadable { window, print, detail }).await;
            }
        } else if page.next.is_none() {
            // Not before the last page: an earlier one of the same listing may be the bad one.
            self.bad_pages.lock().unwrap_or_else(PoisonError::into_inner).remove(&stand_in);
        }
        Ok((page.next, page.date))
    }

    /// How often a listing of the tile that begins there held an entry that can't be read, this time included.
    fn count_bad_page(&self, tile: Time) -> u32 {
        let mut counts = self.bad_pages.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= BAD_WINDOWS_MAX {
            counts.clear();
        }
        let count = counts.entry(tile).or_default();
        *count += 1;
        *count
    }

    pub(super) async fn fetch(self: Arc<Self>, order: FetchOrder, reports: Reports) {
        let permit = tokio::select! {
            biased;
            own = self.reserve.clone().acquire_owned() => own,
            shared = self.budget.clone().acquire_owned() => shared,
        };
        // The semaphores are never closed; if they were, the process would be ending.
        let Ok(_permit) = permit else { return };
        let key = order.entry.key();
        let Err(failed) = self.read_blob(&order, &reports).await else { return };
        let Unread { fault, detail, date, print, asked } = failed;
        if mutant::on(Mutant::P12) {
            let input = Input::BlobDone { key, counts: Counts::default(), bytes: 0, date };
            piece(&reports, Held::default(), input).await;
            return;
        }
        let input =
            if asked { Input::BlobFailed { key, fault, detail, print, date } } else { Input::BlobUnasked { key, fault, detail } };
        fact(&reports, input).await;
    }

    async fn read_blob(&self, order: &FetchOrder, reports: &Reports) -> Result<(), Unread> {
        let key = order.entry.key();
        let mut limit = TimeLimit(Instant::now() + BLOB_TIME_MAX);
        let mut content = limit.keep(self.client.blob(&order.entry.uri)).await?.map_err(Unread::from)?;
        let date = content.date;
        let context = Context {
            tenant: &self.tenant,
            tenant_name: self.tenant_name.as_deref(),
            labels: &self.labels,
            content_type: self.content_type,
            content_id: &order.entry.id,
            content_created: order.entry.created,
            index: 0,
        };
        let mut reading = Reading::new(self.filter.clone(), &self.formatter, &self.repeats, context, order);
        let mut bytes = 0;
        let page = |uri: &str| fingerprint(self.client.address(uri).as_ref().map_or("", Url::as_str).as_bytes());
        let mut pages = HashSet::from([page(&order.entry.uri)]);
        // A blob's answer may name a further page, as a listing's does (`activity-api.md` section 12, row 5).
        for _ in 0..BLOB_PAGES_MAX {
            while let Some(chunk) =
                limit.keep(content.body.chunk()).await?.map_err(|e| parts_of(api::body_failure(RequestKind::Blob, e, date)))?
            {
                bytes += chunk.len() as u64;
                if bytes > BLOB_BYTES_MAX {
                    return Err((Fault::TooLarge, format!("the blob exceeds {BLOB_BYTES_MAX} bytes"), date).into());
                }
                reading.push(&chunk);
                if reading.is_heavy() {
                    let (held, part) = reading.part();
                    let (size, waits_from) = (held.bytes(), Instant::now());
                    if !piece(reports, held, Input::BlobPart { part, bytes: size }).await {
                        return Ok(());
                    }
                    limit.0 += waits_from.elapsed();
                }
            }
            match content.next.take() {
                Some(next) if !pages.insert(page(&next)) => {
                    reading.goes_round();
                    break;
                }
                Some(next) if reading.next_page() => {
                    content = limit.keep(self.client.blob(&next)).await?.map_err(Unread::from)?;
                }
                _ => break,
            }
        }
        if content.next.is_some() {
            return Err((Fault::TooLarge, format!("the blob has more than {BLOB_PAGES_MAX} pages"), date).into());
        }
        let (held, end) = reading.finish();
        let size = held.bytes();
        let input = match end {
            End::Done(counts) => Input::BlobDone { key, counts, bytes: size, date },
            End::Lost { part, print } => {
                let detail = format!("the blob breaks off after {} elements; the rest is in the dead letters", part.elements);
                Input::BlobLost { part, print, bytes: size, detail, date }
            }
            End::Doubtful { print, why } => return Err(Unread { print, ..(Fault::BadReply, why, date).into() }),
            End::Error(raw) => return Err(parts_of(api::error_object(RequestKind::Blob, 200, &raw, date)).into()),
            End::PartRefused => {
                fact(reports, Input::BlobPartRefused { key }).await;
                return Err((Fault::BadReply, "the blob begins otherwise than before".to_owned(), date).into());
            }
        };
        piece(reports, held, input).await;
        Ok(())
    }
}

/// How long the service may take over one blob. The wait for a slow reader of ours does not count: a piece that was handed
/// over is delivered, and a failure told besides would have it fetched and delivered again.
struct TimeLimit(Instant);

impl TimeLimit {
    async fn keep<R>(&self, work: impl Future<Output = R>) -> Result<R, Broken> {
        let late = |_| (Fault::Transient { retry_after: None }, "the blob did not end in time".to_owned(), None);
        tokio::time::timeout_at(self.0, work).await.map_err(late)
    }
}

type Broken = (Fault, String, Option<Time>);

struct Unread {
    fault: Fault,
    detail: String,
    date: Option<Time>,
    print: Option<u64>,
    /// False if there was no token to ask with.
    asked: bool,
}

impl From<Broken> for Unread {
    fn from((fault, detail, date): Broken) -> Self {
        Self { fault, detail, date, print: None, asked: true }
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self { asked: failure.request != RequestKind::Token, ..parts_of(failure).into() }
    }
}

fn parts_of(failure: Failure) -> Broken {
    (failure.fault.clone(), failure.to_string(), failure.date)
}

fn subscription_failed(failure: Failure) -> Input {
    let (fault, detail, date) = parts_of(failure);
    Input::SubscriptionFailed { fault, detail, date }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

/// A listing, as its requests need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) id: ListingId,
    pub(super) window: Window,
    /// Takes the place of a `contentCreated` that can't be read: the blob is fetched all the same.
    pub(super) stand_in: Time,
}

/// One request of a listing.
struct Asked {
    listed: Listed,
    kind: RequestKind,
    sent: Duration,
}

struct Entries {
    good: Vec<BlobEntry>,
    /// Those that can't be read: a fingerprint of the entry's bytes, and why.
    bad: Vec<(u64, String)>,
    /// All those beyond [`BAD_ENTRIES_MAX`] together: whichever they are, the page held something else than what is known.
    more: Option<(u64, String)>,
    window: Window,
    stand_in: Time,
}

impl Entries {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Wanted { raw, .. } => match api::read_entry(raw, self.stand_in, self.window) {
                Ok(entry) => self.good.push(entry),
                Err(error) => self.refuse(raw, error.to_string()),
            },
            Item::Filtered { .. } => {}
            Item::Dead { index, reason, part: 0, raw, .. } => {
                self.refuse(raw, format!("entry {index} is no object: {}", reason.as_str()));
            }
            Item::Dead { .. } => {}
        }
    }

    fn refuse(&mut self, raw: &[u8], why: String) {
        let print = fingerprint(raw);
        if self.bad.len() < BAD_ENTRIES_MAX {
            self.bad.push((print, why));
            return;
        }
        // Their order on the page must not matter.
        let before = self.more.take().map_or(0, |(print, _)| print);
        self.more =
            Some((before.wrapping_add(print), format!("more such entries than {BAD_ENTRIES_MAX} on a page; the last: {why}")));
    }
}
