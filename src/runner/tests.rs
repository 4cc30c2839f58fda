//! The shell against a service on paper: no sockets, no disk.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::sync::mpsc;

use super::driver::STOP_FETCHES;
use super::requests::{Listed, Report, Session};
use super::*;
use crate::api::ApiSettings;
use crate::auth::{Credentials, TokenSource};
use crate::domain::{BlobEntry, ContentId, ContentType, Fault, FeedId, GapReason, OutputFormat, Window};
use crate::feed::{FetchOrder, Input, ListingId, Mode, Moment, Plan};
use crate::sink::MemorySink;
use crate::store::MemoryStore;
use crate::wire::{Body, Headers, Reply, Request, WireError};

const TENANT: &str = "11111111-0000-4000-8000-000000000001";
const ROOT: &str = "https://service.test";

/// What the service answers: the body in chunks, and the next page.
struct Paper {
    chunks: Vec<Bytes>,
    next: Option<String>,
}

impl From<String> for Paper {
    fn from(text: String) -> Self {
        Paper { chunks: vec![Bytes::from(text)], next: None }
    }
}

type Script = dyn Fn(&str) -> Paper + Send + Sync;

#[derive(Clone)]
struct Service(Arc<Script>);

struct Chunks(VecDeque<Bytes>);

impl Body for Chunks {
    async fn chunk(&mut self) -> Result<Option<Bytes>, WireError> {
        let mut chunk = self.0.pop_front();
        if chunk.as_deref() == Some(b"later") {
            tokio::time::sleep(Duration::from_secs(1)).await;
            chunk = self.0.pop_front();
        }
        assert!(chunk.as_deref() != Some(b"panic"), "made up");
        Ok(chunk)
    }
}

impl Transport for Service {
    type Body = Chunks;

    async fn send(&self, request: Request) -> Result<Reply<Chunks>, WireError> {
        let path = request.url.as_str().to_owned();
        let paper = match path.contains("oauth2") {
            true => r#"{"token_type":"Bearer","expires_in":3599,"access_token":"made-up"}"#.to_owned().into(),
            false if path.contains("subscriptions/list") => {
                r#"[{"contentType":"Audit.General","status":"enabled","webhook":null}]"#.to_owned().into()
            }
            false => (self.0)(&path),
        };
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let mut headers = vec![("Date".to_owned(), date)];
        headers.extend(paper.next.map(|next| ("NextPageUri".to_owned(), next)));
        let headers: Headers = headers.into_iter().collect();
        Ok(Reply { status: 200, headers, body: Chunks(paper.chunks.into()) })
    }
}

fn client(script: impl Fn(&str) -> Paper + Send + Sync + 'static) -> Client<Service> {
    let service = Service(Arc::new(script));
    let credentials = Credentials {
        tenant: TENANT.parse().unwrap(),
        client_id: "22222222-0000-4000-8000-000000000002".into(),
        secret: Box::new(|| Ok(SecretString::from("made-up"))),
        login_url: ROOT.parse().unwrap(),
        scope: ROOT.into(),
    };
    let settings = ApiSettings { api_url: ROOT.parse().unwrap(), tenant: TENANT.parse().unwrap(), publisher: TENANT.into() };
    Client::new(service.clone(), settings, TokenSource::new(service, credentials))
}

fn session(script: impl Fn(&str) -> Paper + Send + Sync + 'static) -> Arc<Session<Service, SystemClock>> {
    Arc::new(Session {
        client: client(script),
        clock: SystemClock::new(),
        content_type: ContentType::AuditGeneral,
        tenant: TENANT.parse().unwrap(),
        tenant_name: None,
        labels: BTreeMap::new(),
        filter: RecordTypes::defender(),
        formatter: Formatter::new(OutputFormat::Raw, false),
        repeats: Repeats::default(),
        budget: Arc::new(Semaphore::new(1)),
        reserve: Arc::new(Semaphore::new(1)),
        bad_pages: Mutex::default(),
    })
}

fn uri(name: &str) -> String {
    format!("{ROOT}/api/v1.0/{TENANT}/activity/feed/audit/{name}")
}

fn order(name: &str) -> FetchOrder {
    let created = Time(1_780_000_000_000);
    let entry = BlobEntry { id: ContentId(name.into()), uri: uri(name), created, expires: None };
    FetchOrder { entry, part: None, confirm: None, accepted: None, attempts: 0 }
}

fn wanted(id: &str, size: usize) -> String {
    format!(r#"{{"RecordType":28,"Id":"{id}","Pad":"{}"}}"#, "x".repeat(size))
}

/// A reader that stalls for longer than a blob may take had its piece delivered and the blob fetched again.
#[tokio::test(start_paused = true)]
async fn the_wait_for_a_slow_reader_is_no_failure_of_the_blob() {
    let large = Bytes::from(format!("[{}", wanted("a", 2 << 20)));
    let session = session(move |_| Paper {
        chunks: vec![large.clone(), Bytes::from("later"), Bytes::from(format!(",{}]", wanted("b", 10)))],
        next: None,
    });
    let (reports, mut inbox) = mpsc::channel(4);
    let task = tokio::spawn(session.fetch(order("blob"), reports));
    let mut said = Vec::new();
    while let Some(report) = inbox.recv().await {
        match report {
            Report::Fact(input) => said.push(format!("{input:?}")),
            Report::Piece { input, taken, .. } => {
                tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
                said.push(format!("{input:?}"));
                let _ = taken.send(());
            }
        }
    }
    task.await.unwrap();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("BlobPart") && said[1].starts_with("BlobDone"), "{said:?}");
}

/// The bad page was counted anew with each good page before it: the listing never ended.
#[tokio::test]
async fn an_entry_that_can_not_be_read_on_a_later_page_does_not_stop_the_listing() {
    let second = format!("{ROOT}/api/v1.0/{TENANT}/activity/feed/subscriptions/content?nextPage=2");
    let next = second.clone();
    let session = session(move |path| match path.contains("nextPage") {
        true => "[null]".to_owned().into(),
        false => Paper { chunks: vec![Bytes::from("[]")], next: Some(next.clone()) },
    });
    let window = Window::new(Time(1_780_000_000_000), Time(1_780_000_060_000)).unwrap();
    for attempt in 0..3 {
        let (reports, mut inbox) = mpsc::channel(64);
        let listed = Listed { id: ListingId(attempt), window, stand_in: window.from() };
        session.clone().list(listed, reports.clone()).await;
        session.clone().next_page(listed, second.clone(), reports).await;
        let mut said = Vec::new();
        while let Some(Report::Fact(input)) = inbox.recv().await {
            said.push(input);
        }
        assert!(matches!(said[0], Input::PageEnd { next: Some(_), .. }), "{said:?}");
        match attempt {
            0 | 1 => assert!(matches!(said[1], Input::ListFailed { fault: Fault::BadReply, .. }), "{said:?}"),
            _ => {
                assert!(matches!(said[1], Input::EntryUnreadable { .. }), "{said:?}");
                assert!(matches!(said[2], Input::PageEnd { next: None, .. }), "{said:?}");
            }
        }
    }
}

/// Behind as many as are told one by one nothing was told: where those were known from the window before, a new one was lost without a word.
#[tokio::test]
async fn what_can_not_be_read_beyond_the_limit_of_a_page_is_told_as_one() {
    let many = Arc::new(Mutex::new(Vec::new()));
    let page = many.clone();
    let session = session(move |_| format!("[{}]", page.lock().unwrap().join(",")).into());
    let window = Window::new(Time(1_780_000_000_000), Time(1_780_000_060_000)).unwrap();
    let mut told = Vec::new();
    for numbers in [(0..64).collect::<Vec<_>>(), (0..65).collect(), (0..66).collect(), (0..64).chain([65, 64]).collect()] {
        *many.lock().unwrap() = numbers.iter().map(u32::to_string).collect();
        let mut prints = Vec::new();
        for attempt in 0..3 {
            prints.clear();
            let (reports, mut inbox) = mpsc::channel(200);
            session.clone().list(Listed { id: ListingId(attempt), window, stand_in: window.from() }, reports).await;
            while let Some(Report::Fact(input)) = inbox.recv().await {
                prints.extend(match input {
                    Input::EntryUnreadable { print, .. } => Some(print),
                    _ => None,
                });
            }
        }
        told.push(prints);
    }
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [64, 65, 65, 65]);
    assert!(told.iter().all(|prints| prints[..64] == told[0][..]));
    assert_ne!(told[1][64], told[2][64]);
    assert_eq!(told[2][64], told[3][64], "in whatever order");
}

/// A request that panicked left its blob under way for ever: the run never ended.
#[tokio::test]
async fn a_request_that_panics_is_a_failed_attempt() {
    let entry = |name: &str| {
        let created = chrono::Utc::now() - chrono::Duration::hours(2);
        let created = created.format("%Y-%m-%dT%H:%M:%S.000Z");
        format!(r#"{{"contentId":"{name}","contentUri":"{}","contentCreated":"{created}"}}"#, uri(name))
    };
    let page = format!("[{},{}]", entry("good"), entry("bad"));
    let client = client(move |path| {
        if path.contains("subscriptions/content") {
            return page.clone().into();
        }
        let body = Bytes::from(format!("[{}]", wanted("a", 10)));
        Paper { chunks: if path.contains("bad") { vec![Bytes::from("panic")] } else { vec![body] }, next: None }
    });
    let feed = FeedId { tenant: TENANT.parse().unwrap(), content_type: ContentType::AuditGeneral };
    let job = FeedJob {
        settings: FeedSettings {
            feed: feed.clone(),
            plan: Plan::Follow { poll_interval: Duration::from_secs(1), look_back: Duration::from_secs(3600) },
            filter: "28".into(),
            subscription: Mode::Auto,
            per_minute: 60_000,
            width: None,
            not_before: None,
            seed: 1,
        },
        memory: Memory::default(),
        client,
        tenant_name: None,
        labels: BTreeMap::new(),
        filter: RecordTypes::defender(),
        formatter: Formatter::new(OutputFormat::Raw, false),
        repeats: Repeats::default(),
        pause: watch::channel(Duration::ZERO).0,
    };
    let sink = MemorySink::new();
    let (writer, _thread) = Writer::spawn(sink.clone(), MemoryStore::new()).unwrap();
    let (order, _keep) = watch::channel(Order::Run);
    let shared = Shared {
        clock: SystemClock::new(),
        writer,
        order: order.clone(),
        budget: Arc::new(Semaphore::new(4)),
        board: Arc::new(Board::default()),
    };
    let run = tokio::spawn(drive(job, shared));
    let began = std::time::Instant::now();
    while sink.lines().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    order.send_replace(Order::Stop);
    let began = std::time::Instant::now();
    let outcome = run.await.unwrap();
    assert_eq!(outcome.end, FeedEnd::Finished(Finish::Stopped));
    assert!(began.elapsed() < STOP_FETCHES / 2, "nothing is under way");
    assert_eq!((outcome.status.fetching, outcome.status.balance.pending), (0, 1));
}

/// A resumed backfill said that nothing is missing, whatever the interrupted run had not found.
#[tokio::test]
async fn the_gaps_of_an_interrupted_run_stand_in_the_result_of_the_next() {
    let gap = Gap {
        id: GapId(1),
        reason: GapReason::Unreadable,
        from: Time(0),
        to: Time(1),
        blob: None,
        provisional: false,
        closed: None,
        found: Time(0),
        detail: String::new(),
    };
    let job = FeedJob {
        settings: FeedSettings {
            feed: FeedId { tenant: TENANT.parse().unwrap(), content_type: ContentType::AuditGeneral },
            plan: Plan::Range { from: Moment::Ago(Duration::from_secs(60)), to: Moment::Ago(Duration::ZERO) },
            filter: "28".into(),
            subscription: Mode::Auto,
            per_minute: 60_000,
            width: None,
            not_before: None,
            seed: 1,
        },
        memory: Memory { gaps: vec![gap], ..Memory::default() },
        client: client(|_| "[]".to_owned().into()),
        tenant_name: None,
        labels: BTreeMap::new(),
        filter: RecordTypes::defender(),
        formatter: Formatter::new(OutputFormat::Raw, false),
        repeats: Repeats::default(),
        pause: watch::channel(Duration::ZERO).0,
    };
    let (writer, _thread) = Writer::spawn(MemorySink::new(), MemoryStore::new()).unwrap();
    let shared = Shared {
        clock: SystemClock::new(),
        writer,
        order: watch::channel(Order::Run).0,
        budget: Arc::new(Semaphore::new(4)),
        board: Arc::new(Board::default()),
    };
    let outcome = drive(job, shared).await;
    assert_eq!(outcome.end, FeedEnd::Finished(Finish::Complete));
    assert!(!outcome.totals.is_whole());
}

#[test]
fn a_poller_does_not_collect_its_gaps_for_ever() {
    let gap = |n: u64| Gap {
        id: GapId(n),
        reason: GapReason::Expired,
        from: Time(0),
        to: Time(0),
        blob: None,
        provisional: false,
        closed: None,
        found: Time(0),
        detail: String::new(),
    };
    let mut totals = Totals::default();
    totals.add(Written { gaps: (0..5_000).map(gap).collect(), ..Written::default() });
    assert_eq!((totals.gaps.len(), totals.gaps_more), (GAPS_KEPT, 5_000 - GAPS_KEPT as u64));
}
