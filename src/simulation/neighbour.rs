//! Other tenants in the process (R23): at a bad one something is always wrong, and that must not delay the others.
//!
//! They share with the tenant under test what tenants share: the process, the permits for blobs, the writer. Their own lines
//! are not judged here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::fate::BEGIN;
use super::life::ROOT;
use super::network::asked;
use crate::domain::{ContentType, FeedId, Time};
use crate::simulator::config::ServiceConfig;
use crate::simulator::content::NewBlob;
use crate::simulator::dice::Dice;
use crate::simulator::faults::{Content, Fault, Rule, Target, When};
use crate::simulator::{Response, Service};
use crate::wire::{Body, Headers, Reply, Request, Transport, WireError, WireErrorKind};

/// What is wrong with a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// Its secret is wrong.
    Refused,
    /// Every request is throttled.
    Throttled,
    /// Its name can't be resolved.
    Unreached,
    /// Nothing ever answers.
    Silent,
    /// Its many blobs trickle, each as long as it may.
    Trickles,
    /// Each page names another one.
    Endless,
    /// Its blobs are no JSON.
    Garbage,
}

impl Bad {
    pub(super) const ALL: [Bad; 7] =
        [Bad::Refused, Bad::Throttled, Bad::Unreached, Bad::Silent, Bad::Trickles, Bad::Endless, Bad::Garbage];

    fn rules(self) -> Vec<Rule> {
        let always = |target, fault| vec![Rule::new(target, fault, When::Always)];
        match self {
            Bad::Throttled => always(Target::Api, Fault::Throttle { status: 403, retry_after: None }),
            Bad::Endless => always(Target::Listing, Fault::EmptyPage),
            Bad::Garbage => always(Target::Blob, Fault::Wrong(Content::Garbage)),
            Bad::Refused | Bad::Unreached | Bad::Silent | Bad::Trickles => Vec::new(),
        }
    }
}

/// Blobs of a bad tenant.
const BLOBS: u64 = 60;
/// How long the real transport waits for a head, or for the next bytes of a body.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pace of a trickling body: just fast enough not to be given up.
const TRICKLE: Duration = Duration::from_secs(50);

/// Tells the true time.
pub(super) type Watch = Arc<dyn Fn() -> Time + Send + Sync>;

/// A tenant of its own, at its own service.
#[derive(Clone)]
pub(super) struct Tenant {
    service: Arc<Mutex<Service>>,
    dice: Arc<Mutex<Dice>>,
    bad: Option<Bad>,
    watch: Watch,
    pub(super) feed: FeedId,
}

impl Tenant {
    /// The tenant of that number with these blobs.
    pub(super) fn new(number: u64, bad: Option<Bad>, blobs: impl IntoIterator<Item = NewBlob>, watch: Watch) -> Self {
        let tenant = format!("{number:08x}-0000-4000-9000-000000000000").parse().expect("it has the form of a tenant id");
        let feed = FeedId { tenant, content_type: ContentType::AuditGeneral };
        let mut service = Service::new(ServiceConfig {
            seed: number,
            tenant: feed.tenant.clone(),
            client_secret: (bad == Some(Bad::Refused)).then(|| "another".to_owned()),
            blobs_per_hour: 0,
            base_url: Some(ROOT.to_owned()),
            content_from: BEGIN,
            history_before_start: true,
            faults: bad.map(Bad::rules).unwrap_or_default(),
            ..ServiceConfig::new(BEGIN)
        });
        for blob in blobs {
            service.add_blob(blob);
        }
        let dice = Dice::new(number, &[0x6e65_6967_6862]);
        Self { service: Arc::new(Mutex::new(service)), dice: Arc::new(Mutex::new(dice)), bad, watch, feed }
    }

    /// A bad one, with as many blobs in its first two hours as can hold up others.
    pub(super) fn bad(number: u64, bad: Bad, watch: Watch) -> Self {
        let blob = |n| NewBlob::new(BEGIN + Duration::from_secs(n * 120), &br#"[{"RecordType":28,"Id":"of a neighbour"}]"#[..]);
        Self::new(number, Some(bad), (0..BLOBS).map(blob), watch)
    }

    fn latency(&self) -> Duration {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_millis(dice.between(5, 400))
    }

    fn answer(&self, request: &Request) -> Response {
        let now = (self.watch)();
        self.service.lock().unwrap_or_else(PoisonError::into_inner).handle(&asked(request), now)
    }
}

/// A body of such a tenant.
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    pace: Duration,
}

impl Body for Pieces {
    async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        if !self.pace.is_zero() {
            tokio::time::sleep(self.pace).await;
        }
        Ok(self.pieces.pop_front())
    }
}

impl Transport for Tenant {
    type Body = Pieces;

    async fn send(&self, request: Request) -> Result<Reply<Pieces>, WireError> {
        tokio::time::sleep(self.latency()).await;
        match self.bad {
            Some(Bad::Unreached) => return Err(WireError::new(WireErrorKind::Dns, "made up")),
            Some(Bad::Silent) => {
                tokio::time::sleep(PATIENCE).await;
                return Err(WireError::new(WireErrorKind::Timeout, "no head came"));
            }
            _ => {}
        }
        let response = self.answer(&request);
        let body = response.bytes();
        let trickles = self.bad == Some(Bad::Trickles) && request.url.path().contains("/audit/");
        let (size, pace) = if trickles { (1, TRICKLE) } else { (crate::wire::LARGEST_CHUNK, Duration::ZERO) };
        let pieces = body.chunks(size).map(Bytes::copy_from_slice).collect();
        let headers: Headers = response.headers.into_iter().collect();
        Ok(Reply { status: response.status, headers, body: Pieces { pieces, pace } })
    }
}
