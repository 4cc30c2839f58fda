//! The front, asked by hand over a raw socket: what a client really gets to see.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::super::faults::{Content, Fault, Target, When};
use super::super::story::{Running, Story, mail, minutes_ago, noise, records, service};

/// Longer than any of these tests takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends one request and reads until the end: head, body as it stands on the wire, and how the connection ended.
fn ask(addr: SocketAddr, request: &str) -> (String, Vec<u8>, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut raw = Vec::new();
    let end = stream.read_to_end(&mut raw).err().map(|e| e.kind());
    let split = raw.windows(4).position(|w| w == b"\r\n\r\n").map_or(raw.len(), |i| i + 4);
    let body = raw.split_off(split);
    (String::from_utf8(raw).unwrap(), body, end)
}

fn get(addr: SocketAddr, path: &str, token: &str) -> (String, Vec<u8>, Option<ErrorKind>) {
    let close = "Connection: close";
    ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {token}\r\n{close}\r\n\r\n"))
}

/// Off the test's runtime, so that the front can answer.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn start(story: Story) -> (Running, SocketAddr, String) {
    let running = story.start().await.unwrap();
    let addr = running.base_url().trim_start_matches("http://").parse().unwrap();
    let now = running.clock().now();
    let token = running.service().issue_token(now).unwrap();
    (running, addr, token)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|l| l.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

#[tokio::test]
async fn a_whole_day_over_a_socket() {
    let story = service()
        .blob(minutes_ago(50), records([mail("a"), noise("b")]))
        .blob(minutes_ago(40), records([noise("c")]))
        .pages_of(1);
    let (running, addr, _) = start(story).await;
    let tenant = running.service().tenant().clone();
    blocking(move || {
        let form = "grant_type=client_credentials&client_id=c&client_secret=s&scope=https%3A%2F%2Fmanage.office.com%2F.default";
        let (head, body, _) = ask(
            addr,
            &format!(
                "POST /{tenant}/oauth2/v2.0/token HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{form}",
                form.len()
            ),
        );
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let token: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let token = token["access_token"].as_str().unwrap();

        let feed = format!("/api/v1.0/{tenant}/activity/feed");
        let (head, body, _) = get(addr, &format!("{feed}/subscriptions/content?contentType=Audit.General&PublisherIdentifier={tenant}"), token);
        assert_eq!(header(&head, "content-length").unwrap(), body.len().to_string());
        assert!(header(&head, "date").unwrap().ends_with(" GMT"));
        assert_eq!(head.to_ascii_lowercase().matches("\r\ndate:").count(), 1);
        let next = header(&head, "nextpageuri").unwrap();
        let link = serde_json::from_slice::<serde_json::Value>(&body).unwrap()[0]["contentUri"].as_str().unwrap().to_owned();
        let base = format!("http://{addr}");
        assert!(next.starts_with(&base) && link.starts_with(&base));
        let (head, body, _) = get(addr, &format!("{}&PublisherIdentifier={tenant}", &next[base.len()..]), token);
        assert_eq!((header(&head, "nextpageuri"), body.is_empty()), (None, false));
        let (_, body, _) = get(addr, &format!("{}?PublisherIdentifier={tenant}", &link[base.len()..]), token);
        assert_eq!(body, records([mail("a"), noise("b")]));

        let (_, truth, _) = get(addr, "/simulator/truth", "");
        let truth: serde_json::Value = serde_json::from_slice(&truth).unwrap();
        assert_eq!((truth["id"].as_str(), truth["sent"].as_u64(), truth["index"].as_u64()), (Some("a"), Some(1), Some(0)));
        let (_, blobs, _) = get(addr, "/simulator/blobs", "");
        assert_eq!(blobs.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count(), 2);
        let (_, ledger, _) = get(addr, "/simulator/ledger", "");
        let ledger: serde_json::Value = serde_json::from_slice(&ledger).unwrap();
        assert_eq!((&ledger["requests"]["blob"], &ledger["blobs_fetched"]), (&1.into(), &1.into()));
        assert!(get(addr, "/simulator/else", "").0.starts_with("HTTP/1.1 404 "));
    })
    .await;
    assert_eq!(running.ledger().offences(), [] as [String; 0]);
    running.shutdown().await;
    assert!(TcpStream::connect(addr).is_err(), "the port is free again");
}

#[tokio::test]
async fn connections_break_as_told() {
    let list = "/api/v1.0/11111111-0000-4000-8000-000000000001/activity/feed/subscriptions/list";
    let table: [(Fault, Option<usize>, bool); 6] = [
        (Fault::Reset, None, true),
        (Fault::Cut { after: Some(10) }, Some(10), true),
        (Fault::Cut { after: Some(0) }, Some(0), true),
        // A chunk of ten bytes in its frame: `a\r\n` … `\r\n`, and no `0\r\n\r\n` behind it.
        (Fault::CutChunked { after: Some(10) }, Some(15), false),
        (Fault::Wrong(Content::Empty), Some(0), false),
        (Fault::Slow { bytes_per_second: 400 }, Some(67), false),
    ];
    for (fault, body_length, reset) in table {
        let (_running, addr, token) = start(service().fault(Target::Any, fault.clone(), When::Always)).await;
        let begin = Instant::now();
        let (head, body, end) = blocking(move || get(addr, list, &token)).await;
        assert_eq!(end, reset.then_some(ErrorKind::ConnectionReset), "{fault:?}");
        match body_length {
            None => assert_eq!(head, "", "{fault:?}"),
            Some(length) => {
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{fault:?}: {head}");
                assert_eq!(body.len(), length, "{fault:?}: {}", String::from_utf8_lossy(&body));
                assert_eq!(header(&head, "transfer-encoding").is_some(), matches!(fault, Fault::CutChunked { .. }));
            }
        }
        if matches!(fault, Fault::Slow { .. }) {
            assert!(begin.elapsed() > Duration::from_millis(100));
        }
    }
}

#[tokio::test]
async fn a_stalled_body_stays_open() {
    for (after, length) in [(None, 0), (Some(5), 5)] {
        let (_running, addr, token) = start(service().fault(Target::Any, Fault::Stall { after }, When::Always)).await;
        let got = blocking(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let path = "/api/v1.0/11111111-0000-4000-8000-000000000001/activity/feed/subscriptions/list";
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
            let mut raw = Vec::new();
            let end = stream.read_to_end(&mut raw).unwrap_err().kind();
            assert!(matches!(end, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{end}");
            raw
        })
        .await;
        let body = got.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |i| got.len() - i - 4);
        assert_eq!((got.is_empty(), body), (after.is_none(), length));
    }
}

#[tokio::test]
async fn a_large_blob_is_sent_in_chunks() {
    let (running, addr, token) = start(service().made_blob(minutes_ago(5), 3_000)).await;
    let id = running.service().blobs(running.clock().now()).next().unwrap().id;
    let path = format!("/api/v1.0/11111111-0000-4000-8000-000000000001/activity/feed/audit/{id}");
    let (head, body, end) = blocking(move || get(addr, &path, &token)).await;
    assert_eq!((header(&head, "transfer-encoding"), end), (Some("chunked"), None));
    assert!(body.len() > 1_000_000 && body.ends_with(b"]\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn nonsense_is_refused_without_harm() {
    let (_running, addr, token) = start(service()).await;
    blocking(move || {
        assert!(ask(addr, "nonsense\r\n\r\n").0.starts_with("HTTP/1.1 400 "));
        let body = "x".repeat(100_000);
        let long =
            format!("POST / HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let (head, ..) = ask(addr, &long);
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 413 "), "{head}");
        let (head, ..) = get(addr, "/nowhere", &token);
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    })
    .await;
}
