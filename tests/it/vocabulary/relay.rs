//! A relay between the product and the tenant, which does to each exchange what a story tells it to do.
//!
//! It knows where messages begin and end, so that a story can cut, hold or replace any byte of any of them. Each exchange
//! gets a connection of its own to the tenant. Links lead back through the relay, because the tenant makes them from `Host`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Tenant;
use super::tenant::RUNTIME;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Token,
    Subscriptions,
    FirstPage,
    NextPage,
    Blob,
    /// The start of a subscription: of a tenant that has none.
    Start,
}

impl Call {
    /// All calls of a collection of a tenant with a subscription, in their order.
    pub(crate) const ALL: [Call; 5] = [Call::Token, Call::Subscriptions, Call::FirstPage, Call::NextPage, Call::Blob];

    pub(super) fn of(request: &[u8]) -> Self {
        let line = request.split(|b| *b == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let has = |text: &str| line.contains(text);
        match () {
            () if has("/oauth2/") => Call::Token,
            () if has("/subscriptions/content") && has("nextPage=") => Call::NextPage,
            () if has("/subscriptions/content") => Call::FirstPage,
            () if has("/subscriptions/start") => Call::Start,
            () if has("/subscriptions/") => Call::Subscriptions,
            () => Call::Blob,
        }
    }
}

/// A request that has arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) call: Call,
    /// Which one of its kind, from 1.
    pub(crate) nth: usize,
    /// Its bytes, head and body.
    pub(crate) length: usize,
}

/// The tenant's true reply.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// What was asked for.
    pub(crate) url: String,
    /// With the empty line at its end.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Head and body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }

    /// The head with these headers instead of what it said of the body's length.
    pub(crate) fn head_with(&self, headers: &str) -> Vec<u8> {
        let head = String::from_utf8(self.head.clone()).unwrap();
        let kept = head.lines().filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("content-length:"));
        let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
        format!("{kept}{headers}\r\n").into_bytes()
    }
}

/// One thing that is done with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// The same bytes so many times.
    Repeat(Bytes, u64),
    /// The bytes one by one, so far apart.
    Drip(Vec<u8>, Duration),
    Wait(Duration),
    /// Nothing, until the story says [`Relay::release`].
    Hold,
    /// No byte comes any more; what the other side sends is still read.
    HalfClose,
    Close,
    Reset,
}

type Instead = dyn Fn(&str) -> Vec<Step> + Send + Sync;
type Reply = dyn Fn(&Answer) -> Vec<Step> + Send + Sync;

/// What is done to an exchange.
#[derive(Clone)]
pub(crate) enum Act {
    Pass,
    /// So many bytes of the request reach the tenant; then both connections are reset.
    CutRequest(usize),
    /// The tenant is asked, and this is done with its reply.
    Reply(Arc<Reply>),
    /// The tenant is not asked; the reply is made up from what was asked for.
    Instead(Arc<Instead>),
}

/// Does something with the tenant's reply.
pub(crate) fn reply(steps: impl Fn(&Answer) -> Vec<Step> + Send + Sync + 'static) -> Act {
    Act::Reply(Arc::new(steps))
}

/// A reply without asking the tenant, made from the URL that was asked for.
pub(crate) fn instead(steps: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Act {
    Act::Instead(Arc::new(steps))
}

type Plan = dyn Fn(Asked) -> Act + Send + Sync;

struct Shared {
    tenant: AtomicU16,
    plan: Mutex<Arc<Plan>>,
    asked: Mutex<BTreeMap<Call, usize>>,
    /// Replies that hold at this moment.
    holding: AtomicUsize,
    released: watch::Sender<bool>,
}

/// A relay. It ends when it is dropped.
pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay that leads to a tenant and lets everything pass.
    pub(crate) fn to(tenant: &Tenant) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            tenant: AtomicU16::new(tenant.port()),
            plan: Mutex::new(Arc::new(|_| Act::Pass)),
            asked: Mutex::default(),
            holding: AtomicUsize::new(0),
            released: watch::channel(false).0,
        });
        let task = RUNTIME.spawn(accept(listener, shared.clone()));
        Self { port, shared, task }
    }

    /// What is done from now on.
    pub(crate) fn does(self, plan: impl Fn(Asked) -> Act + Send + Sync + 'static) -> Self {
        *self.shared.plan.lock().unwrap() = Arc::new(plan);
        self
    }

    /// What is done with the first so many calls of that kind.
    pub(crate) fn first(self, times: usize, call: Call, act: Act) -> Self {
        self.does(move |asked| if asked.call == call && asked.nth <= times { act.clone() } else { Act::Pass })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many calls of that kind there were.
    pub(crate) fn asked(&self, call: Call) -> usize {
        self.shared.asked.lock().unwrap().get(&call).copied().unwrap_or(0)
    }

    /// True if a reply holds.
    pub(crate) fn is_holding(&self) -> bool {
        self.shared.holding.load(Ordering::SeqCst) > 0
    }

    /// Nothing holds from now on.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, shared.clone()));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(request) = message(&mut stream, &mut buffer).await {
        let call = Call::of(&request);
        let nth = {
            let mut asked = shared.asked.lock().unwrap();
            let nth = asked.entry(call).or_default();
            *nth += 1;
            *nth
        };
        let plan = shared.plan.lock().unwrap().clone();
        let steps = match plan(Asked { call, nth, length: request.len() }) {
            Act::CutRequest(at) => {
                if let Ok(mut tenant) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.tenant.load(Ordering::SeqCst))).await {
                    let _ = tenant.write_all(&request[..at.min(request.len())]).await;
                    let _ = tenant.set_zero_linger();
                }
                vec![Step::Reset]
            }
            Act::Instead(steps) => steps(&url_of(&request)),
            act => {
                let Some(answer) = ask(&request, shared.tenant.load(Ordering::SeqCst)).await else { return };
                match act {
                    Act::Reply(steps) => steps(&answer),
                    _ => vec![Step::Send(answer.bytes())],
                }
            }
        };
        for step in steps {
            if !perform(step, &mut stream, &shared).await {
                return;
            }
        }
    }
}

/// False if the connection is over.
async fn perform(step: Step, stream: &mut TcpStream, shared: &Shared) -> bool {
    match step {
        Step::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
        Step::Repeat(bytes, times) => {
            for _ in 0..times {
                if stream.write_all(&bytes).await.is_err() {
                    return false;
                }
            }
            true
        }
        Step::Drip(bytes, pause) => {
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    return false;
                }
                tokio::time::sleep(pause).await;
            }
            true
        }
        Step::Wait(time) => {
            tokio::time::sleep(time).await;
            true
        }
        Step::Hold => {
            shared.holding.fetch_add(1, Ordering::SeqCst);
            let mut released = shared.released.subscribe();
            let mut nothing = [0];
            // A client that goes away holds no longer.
            let stays = tokio::select! {
                _ = released.wait_for(|released| *released) => true,
                _ = stream.read(&mut nothing) => false,
            };
            shared.holding.fetch_sub(1, Ordering::SeqCst);
            stays
        }
        Step::HalfClose => {
            let _ = stream.shutdown().await;
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            false
        }
        Step::Close => false,
        Step::Reset => {
            stream.set_zero_linger().unwrap();
            false
        }
    }
}

/// Sends a request to the tenant; `None` if it does not answer.
pub(super) async fn ask(request: &[u8], port: u16) -> Option<Answer> {
    let mut tenant = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
    tenant.set_nodelay(true).ok()?;
    tenant.write_all(request).await.ok()?;
    let whole = message(&mut tenant, &mut Vec::new()).await?;
    let end = head_end(&whole)?;
    Some(Answer { url: url_of(request), head: whole[..end].to_vec(), body: whole[end..].to_vec() })
}

fn url_of(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let target = text.split(' ').nth(1).unwrap_or_default();
    let host = text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host:").map(|host| host.trim().to_owned()));
    format!("http://{}{target}", host.unwrap_or_default())
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// The next whole message; the tenant and the product say how long theirs are.
pub(super) async fn message(stream: &mut (impl AsyncReadExt + Unpin), buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = head_end(buffer) {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if buffer.len() >= end + length {
                return Some(buffer.drain(..end + length).collect());
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
