//! The network: takes the product's requests to the service and its replies back, with everything that goes wrong between.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use secrecy::ExposeSecret;

use super::fate::{Weather, skew};
use super::phases::{Hit, Phase};
use super::world::{Outside, World};
use crate::domain::{ContentId, Time};
use crate::simulator::faults::{Content, ErrorBody, Fault};
use crate::simulator::{self, Delivery, Response};
use crate::wire::{Body, Headers, Method, Reply, Request, Transport, WireError, WireErrorKind};

/// How long the real transport waits for a head, or for the next bytes of a body.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many replies of rough weather tell no time.
const NO_DATE: f64 = 0.02;
/// A link longer than this was taken for the last one by another collector.
const LONG_LINK: usize = 9_000;
/// The service lies about one blob so often at most: a lie told each time is the truth for every client.
/// The fourth equal reply is believed.
const LIES_MAX: u8 = 3;

/// Stands in for the HTTP client.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) outside: Outside,
}

/// A body on its way.
pub(super) struct Coming {
    network: Network,
    phase: Phase,
    /// The blob that it is of.
    blob: Option<String>,
    pieces: VecDeque<Bytes>,
    wait: Duration,
    end: End,
}

enum End {
    Whole,
    Broken,
    Silence,
}

impl Body for Coming {
    async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        if !self.wait.is_zero() {
            tokio::time::sleep(self.wait).await;
        }
        let outside = &self.network.outside;
        if !outside.step(self.phase) {
            return outside.dead().await;
        }
        if self.phase == Phase::Token {
            outside.look().token_comes();
        }
        let error = match (self.pieces.pop_front(), &self.end) {
            (Some(piece), _) => return Ok(Some(piece)),
            (None, End::Whole) => return Ok(None),
            (None, End::Broken) => WireError::new(WireErrorKind::Body, "the connection was closed before the end"),
            (None, End::Silence) => {
                tokio::time::sleep(PATIENCE).await;
                WireError::new(WireErrorKind::Timeout, "nothing came any more")
            }
        };
        self.network.failed(self.blob.as_deref());
        Err(error)
    }
}

impl Network {
    /// A download has failed.
    fn failed(&self, blob: Option<&str>) {
        let mut world = self.outside.look();
        if let Some(blob) = blob.filter(|_| !world.dead) {
            world.oracle.failed(blob);
        }
    }
}

/// Counts a request as under way until it is dropped.
struct UnderWay<'a>(&'a Outside, Phase);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut world = self.0.look();
        if let Some(at) = world.under_way.iter().position(|phase| *phase == self.1) {
            world.under_way.swap_remove(at);
        }
    }
}

impl Transport for Network {
    type Body = Coming;

    async fn send(&self, request: Request) -> Result<Reply<Coming>, WireError> {
        let phase = phase_of(&request);
        self.judge(&request, phase);
        if !self.outside.step(phase) {
            return self.outside.dead().await;
        }
        self.outside.look().under_way.push(phase);
        let _under_way = UnderWay(&self.outside, phase);
        if phase == Phase::Blob
            && let Some(id) = blob_id(&request)
        {
            self.outside.look().asked.entry(ContentId(id)).or_default().times += 1;
        }
        let (latency, broken) = self.outside.look().way(phase);
        tokio::time::sleep(latency).await;
        let blob = if phase == Phase::Blob { blob_id(&request) } else { None };
        if let Some(kind) = broken {
            self.failed(blob.as_deref());
            return Err(WireError::new(kind, "made up"));
        }
        let answered = self.outside.look().ask(&request, phase);
        if !self.outside.step(phase) {
            return self.outside.dead().await;
        }
        let Arrival { response, pieces, wait } = answered;
        let throttled = response.error_code().as_deref() == Some("AF429");
        let end = match response.delivery {
            Delivery::ResetBeforeHead => {
                self.failed(blob.as_deref());
                return Err(WireError::new(WireErrorKind::Reset, "made up"));
            }
            Delivery::Stall { after: None } => {
                tokio::time::sleep(PATIENCE).await;
                self.failed(blob.as_deref());
                return Err(WireError::new(WireErrorKind::Timeout, "no head came"));
            }
            Delivery::Whole | Delivery::Slow { .. } => End::Whole,
            Delivery::Cut { .. } => End::Broken,
            Delivery::Stall { .. } => End::Silence,
        };
        // A token that is refused is renewed, and the same attempt goes on with the new one.
        if !matches!(response.status, 200 | 401) && !throttled {
            self.failed(blob.as_deref());
        }
        let headers: Headers = response.headers.into_iter().collect();
        let phase = if phase == Phase::Blob { Phase::Decode } else { phase };
        let body = Coming { network: self.clone(), phase, blob, pieces, wait, end };
        Ok(Reply { status: response.status, headers, body })
    }
}

fn phase_of(request: &Request) -> Phase {
    let path = request.url.path();
    if path.contains("/oauth2/") {
        Phase::Token
    } else if path.contains("/audit/") {
        Phase::Blob
    } else if path.ends_with("/content") {
        if request.url.query().is_some_and(|q| q.contains("nextPage=")) { Phase::NextPage } else { Phase::List }
    } else {
        Phase::Subscription
    }
}

struct Arrival {
    response: Response,
    pieces: VecDeque<Bytes>,
    wait: Duration,
}

impl World {
    /// The way to the service: how long it takes, and whether it ends before.
    fn way(&mut self, phase: Phase) -> (Duration, Option<WireErrorKind>) {
        let latency = Duration::from_millis(self.dice.between(5, 400));
        let latency = self.hastens(phase).unwrap_or(latency);
        let lost = self.weather() == Weather::Cut || (self.is_faulty() && self.dice.chance(0.2));
        if !lost {
            return (latency, None);
        }
        self.hit(Hit::Unreached, phase);
        let kinds =
            [WireErrorKind::Dns, WireErrorKind::Connect, WireErrorKind::Tls, WireErrorKind::Reset, WireErrorKind::Timeout];
        let kind = self.dice.pick(&kinds);
        (if kind == WireErrorKind::Timeout { PATIENCE } else { latency }, Some(kind))
    }

    /// The service answers.
    fn ask(&mut self, request: &Request, phase: Phase) -> Arrival {
        self.administer();
        let now = self.now();
        let asked = asked(request);
        let blob = (phase == Phase::Blob).then(|| blob_id(request)).flatten();
        let fault = self.fault(phase, blob.as_deref(), now);
        if let Some((hit, fault)) = &fault {
            self.hit(*hit, phase);
            if *hit == Hit::WrongBody {
                self.note_wrong_body(blob.as_deref());
            }
            if *fault == Fault::NoSubscription {
                self.darken(None);
            }
            if *fault == Fault::Disabled {
                let hours = self.dice.between(1, 30);
                self.darken(Some(now + Duration::from_secs(hours * 3600)));
            }
        }
        let mut faults: Vec<Fault> = fault.into_iter().map(|(_, fault)| fault).collect();
        let sound = faults.is_empty();
        let skewed = self.is_faulty() && self.dice.chance(0.1);
        if skewed && self.fate.dates_lie {
            let millis = skew(&mut self.dice);
            self.hit(Hit::Skew, phase);
            faults.push(Fault::ClockSkew { millis });
        }
        let mut response = self.handle(&asked, faults);
        let rough = matches!(self.weather(), Weather::Rough { .. });
        if rough && phase != Phase::Token && self.odd.chance(NO_DATE) {
            self.hit(Hit::NoDate, phase);
            response.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Date"));
        }
        self.told(request, &response, phase, now);
        self.count_page(&asked, &response, phase);
        self.dark.told(&response, phase, now);
        if self.fate.long_links {
            lengthen(&mut response);
        }
        self.note(|| {
            format!(
                "{} {} -> {} {:?}",
                request.url.path(),
                request.url.query().unwrap_or_default(),
                response.status,
                response.delivery
            )
        });
        let mut wait = Duration::ZERO;
        if let Delivery::Slow { .. } = response.delivery {
            wait = Duration::from_secs(self.dice.between(1, 50));
        }
        if sound && phase == Phase::List && response.status == 200 && response.delivery == Delivery::Whole {
            let start = request.url.query_pairs().find(|(name, _)| name == "startTime").and_then(|(_, at)| Time::parse(&at));
            self.oracle.listed(&response.bytes(), start);
        }
        let pieces = self.pieces(&response);
        Arrival { response, pieces, wait }
    }

    fn note_wrong_body(&mut self, blob: Option<&str>) {
        match blob {
            Some(id) => self.asked.entry(ContentId(id.to_owned())).or_default().wrong_bodies += 1,
            None => self.wrong_pages += 1,
        }
    }

    /// The body as it arrives, cut anywhere.
    fn pieces(&mut self, response: &Response) -> VecDeque<Bytes> {
        let mut body = response.bytes();
        match response.delivery {
            Delivery::Cut { after, .. } | Delivery::Stall { after: Some(after) } => {
                body.truncate(usize::try_from(after).unwrap_or(usize::MAX));
            }
            _ => {}
        }
        let mut pieces = VecDeque::new();
        while !body.is_empty() {
            let most = body.len().min(crate::wire::LARGEST_CHUNK);
            let size = if self.dice.chance(0.7) { most } else { 1 + usize::try_from(self.dice.below(most as u64)).unwrap_or(0) };
            pieces.push_back(body.split_to(size.min(body.len())));
        }
        pieces
    }

    /// What goes wrong with this request, if anything does.
    fn fault(&mut self, phase: Phase, blob: Option<&str>, now: Time) -> Option<(Hit, Fault)> {
        let truth = blob.and_then(|id| self.oracle.find(id));
        if let Some(until) = truth.as_ref().and_then(|t| t.fate.poisoned_until).filter(|until| now < *until) {
            // Its own way of failing, each time the same.
            let kind = u64::try_from(until.0 ^ now.0.div_euclid(86_400_000)).unwrap_or(0) % 4;
            return Some(match kind {
                0 => (Hit::ServerError, Fault::Status { status: 500, body: ErrorBody::Json, retry_after: None }),
                1 => (Hit::NotThere, Fault::NotFound),
                2 => (Hit::WrongBody, Fault::Wrong(Content::Garbage)),
                _ => (Hit::Cut, Fault::Cut { after: None }),
            });
        }
        let lies = truth.map_or(0, |t| t.lies);
        if let Some(fault) = self.endless(phase) {
            return Some((Hit::Paging, fault));
        }
        if !self.is_faulty() {
            return None;
        }
        if self.vanishes(phase, now) {
            return Some((Hit::SubscriptionOff, Fault::NoSubscription));
        }
        let (hit, fault) = self.draw_fault(phase)?;
        let is_lie = matches!(fault, Fault::Wrong(Content::EmptyArray | Content::Numbers));
        if is_lie && lies >= LIES_MAX {
            return None;
        }
        if let Some(truth) = blob.and_then(|id| self.oracle.find(id)) {
            truth.lies += u8::from(is_lie);
        }
        Some((hit, fault))
    }

    fn draw_fault(&mut self, phase: Phase) -> Option<(Hit, Fault)> {
        let dice = &mut self.dice;
        let api = phase != Phase::Token;
        let listing = matches!(phase, Phase::List | Phase::NextPage);
        let after = if dice.chance(0.5) { None } else { Some(dice.below(400)) };
        let wait = dice.chance(0.5).then(|| Duration::from_secs(dice.pick(&[1, 30, 120, 900])));
        Some(match dice.below(12) {
            0 => {
                let status = dice.pick(&[500, 502, 503, 504, 408]);
                let body = dice.pick(&[ErrorBody::Json, ErrorBody::Html, ErrorBody::Empty]);
                (Hit::ServerError, Fault::Status { status, body, retry_after: wait })
            }
            1 => (Hit::Unreached, Fault::Reset),
            2 => (Hit::Cut, if dice.chance(0.5) { Fault::Cut { after } } else { Fault::CutChunked { after } }),
            3 => (Hit::Stall, Fault::Stall { after: if dice.chance(0.5) { None } else { Some(dice.below(200)) } }),
            4 => (Hit::Slow, Fault::Slow { bytes_per_second: 10 }),
            5 if api => (Hit::Throttle, Fault::Throttle { status: dice.pick(&[403, 429]), retry_after: wait }),
            6 if api => (
                Hit::Refusal,
                match dice.below(6) {
                    0 => Fault::NoPermission,
                    1 => Fault::WrongTenant,
                    2 => Fault::AuditingOff,
                    3 => Fault::RevokeToken,
                    _ => Fault::Unauthorized,
                },
            ),
            5 => (Hit::Throttle, Fault::Status { status: 429, body: ErrorBody::Json, retry_after: wait }),
            6 => (Hit::Refusal, Fault::InvalidClient),
            7 => {
                let mut kinds = vec![
                    Content::Html,
                    Content::ErrorObject,
                    Content::Empty,
                    Content::Object,
                    Content::Garbage,
                    Content::Truncated,
                ];
                if phase == Phase::Blob {
                    kinds.extend([Content::EmptyArray, Content::Numbers]);
                }
                if listing {
                    kinds.push(Content::Numbers);
                }
                (Hit::WrongBody, Fault::Wrong(dice.pick(&kinds)))
            }
            8 if listing => (
                Hit::Paging,
                match dice.below(5) {
                    0 if phase == Phase::NextPage => Fault::StalePage,
                    1 => Fault::PageLoop,
                    2 => Fault::EmptyPage,
                    3 => Fault::Code { status: 400, code: "AF20055".into() },
                    _ => Fault::RepeatEntry,
                },
            ),
            9 if phase == Phase::List => (Hit::NotThere, Fault::ForeignUri),
            8..=9 if phase == Phase::Blob => (
                Hit::NotThere,
                match dice.below(3) {
                    0 => Fault::Missing,
                    1 => Fault::NotFound,
                    _ => Fault::Expired,
                },
            ),
            10 if api && dice.chance(0.1) => {
                (Hit::SubscriptionOff, if dice.chance(0.7) { Fault::NoSubscription } else { Fault::Disabled })
            }
            _ => return None,
        })
    }
}

/// The product's request as the service sees it.
pub(super) fn asked(request: &Request) -> simulator::Request {
    let url = &request.url;
    let query = shortened(url.query().unwrap_or_default());
    let mut asked = simulator::Request {
        method: match request.method {
            Method::Get => "GET".to_owned(),
            Method::Post => "POST".to_owned(),
        },
        path: url.path().to_owned(),
        query,
        headers: vec![("Host".to_owned(), url.host_str().unwrap_or_default().to_owned())],
        body: Bytes::new(),
    };
    if let Some(bearer) = &request.bearer {
        asked = asked.bearer(bearer.expose_secret());
    }
    if let Some(form) = &request.form {
        let fields: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.expose_secret())).collect();
        asked = asked.form(&fields);
    }
    asked
}

fn blob_id(request: &Request) -> Option<String> {
    let last = request.url.path_segments()?.next_back()?;
    Some(last.replace("%24", "$"))
}

/// Page keys with other signs than letters and digits, and links of any length, are the service's right.
fn lengthen(response: &mut Response) {
    for (name, value) in &mut response.headers {
        if name.eq_ignore_ascii_case("NextPageUri") {
            *value = value.replace("nextPage=", &format!("nextPage=k-{}-", "p".repeat(LONG_LINK)));
        }
    }
}

fn shortened(query: &str) -> String {
    match query.split_once("nextPage=k-") {
        Some((before, key)) => {
            let (key, rest) = key.split_once('&').map_or((key, String::new()), |(key, rest)| (key, format!("&{rest}")));
            format!("{before}nextPage={}{rest}", key.rsplit('-').next().unwrap_or_default())
        }
        None => query.to_owned(),
    }
}
