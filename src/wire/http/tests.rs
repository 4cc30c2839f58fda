use std::io::Write as _;
use std::time::Instant as StdInstant;

use secrecy::SecretString;

use super::*;
use crate::wire::test_server::{Seen, Step, TestServer, head, json, reply};
use crate::wire::{read_prefix, read_whole};

fn quick() -> HttpTransport {
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        head: Duration::from_millis(300),
        idle: Duration::from_millis(300),
        slow_grace: Duration::from_millis(600),
    };
    HttpTransport::new(HttpSettings { timeouts, ..HttpSettings::default() }).unwrap()
}

fn get(url: Url) -> Request {
    Request { method: Method::Get, url, bearer: None, form: None }
}

async fn fetch(server: &TestServer) -> Result<Vec<u8>, WireError> {
    fetch_by(&quick(), server).await
}

async fn fetch_by(transport: &HttpTransport, server: &TestServer) -> Result<Vec<u8>, WireError> {
    let mut reply = transport.send(get(server.url("/x"))).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = reply.body.chunk().await? {
        assert!((1..=LARGEST_CHUNK).contains(&chunk.len()));
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What `fetch` reports for a reply that is cut or wrong.
async fn error_of(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> WireError {
    let server = TestServer::start(script).await;
    fetch(&server).await.unwrap_err()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_request_carries_what_it_should_and_no_more() {
    let server = TestServer::start(|_| json(200, "[]")).await;
    let transport = HttpTransport::new(HttpSettings::default()).unwrap();
    let url = server.url("/a$b/%24?q=%2B+$&x#fragment");
    let bearer = Some(SecretString::from("canary-token"));
    transport.send(Request { method: Method::Get, url: url.clone(), bearer, form: None }).await.unwrap();
    transport.send(Request { method: Method::Post, url: url.clone(), bearer: None, form: None }).await.unwrap();
    let form = vec![("a", SecretString::from("x+y&z=% ä/")), ("b", SecretString::from(""))];
    transport.send(Request { method: Method::Post, url, bearer: None, form: Some(form) }).await.unwrap();

    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("GET", "/a$b/%24?q=%2B+$&x"));
    assert_eq!(seen[0].bearer(), Some("canary-token"));
    assert_eq!(seen[0].header("accept"), Some("application/json"));
    assert_eq!(seen[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(seen[0].header("user-agent"), Some(concat!("defender-feed/", env!("CARGO_PKG_VERSION"))));
    for absent in ["content-length", "cookie", "referer", "transfer-encoding"] {
        assert_eq!(seen[0].header(absent), None);
    }
    assert_eq!((seen[1].method.as_str(), seen[1].header("content-length")), ("POST", Some("0")));
    assert_eq!(seen[1].bearer(), None);
    assert_eq!(seen[2].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen[2].body, "a=x%2By%26z%3D%25+%C3%A4%2F&b=");
}

#[test]
fn nothing_shows_the_token() {
    let secret = || SecretString::from("canary-token");
    let url = Url::parse("http://127.0.0.1:1/x").unwrap();
    let request = Request { method: Method::Get, url, bearer: Some(secret()), form: Some(vec![("a", secret())]) };
    assert!(!format!("{request:?}").contains("canary"));
    let bad = SecretString::from("canary\r\nX: y");
    let error = quick().prepare(Request { bearer: Some(bad), form: None, ..request }).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("canary"));
}

#[tokio::test]
async fn any_status_is_a_reply_with_its_headers() {
    for status in [200, 204, 301, 304, 400, 401, 403, 404, 429, 500, 503, 599] {
        let server = TestServer::start(move |_| reply(status, &[("NEXTPAGEURI", "\u{e4}")], "")).await;
        let reply = quick().send(get(server.url("/"))).await.unwrap();
        assert_eq!((reply.status, reply.headers.get("NextPageUri")), (status, Some("\u{e4}")));
    }
}

#[tokio::test]
async fn a_header_that_is_no_text_does_not_vanish() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nNextPageUri: http://\xff/\r\n\r\n".to_vec();
    let server = TestServer::start(move |_| vec![Step::Send(bytes.clone())]).await;
    let reply = quick().send(get(server.url("/"))).await.unwrap();
    assert_eq!(reply.headers.get("nextpageuri"), Some("http://\u{fffd}/"));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let second = TestServer::start(|_| json(200, "[]")).await;
    let location = second.url("/stolen").to_string();
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let first = TestServer::start(move |_| reply(status, &[("Location", &location)], "")).await;
        let reply = quick().send(get(first.url("/"))).await.unwrap();
        assert_eq!(reply.status, status);
    }
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn bodies_of_every_framing_arrive_whole() {
    let data: Vec<u8> = (0..300_000u32).map(|n| n.to_le_bytes()[1] ^ n.to_le_bytes()[0]).collect();
    let plain = TestServer::start({
        let data = data.clone();
        move |_| reply(200, &[], &data)
    })
    .await;
    assert_eq!(fetch(&plain).await.unwrap(), data);
    let zipped = TestServer::start({
        let data = gzip(&data);
        move |_| reply(200, &[("Content-Encoding", "gzip")], &data)
    })
    .await;
    assert_eq!(fetch(&zipped).await.unwrap(), data);
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nTrailer: x\r\n\r\n".to_vec();
    let chunked = TestServer::start(move |_| vec![Step::Send(chunked.clone())]).await;
    assert_eq!(fetch(&chunked).await.unwrap(), b"abc");
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nabc".to_vec();
    let until_close = TestServer::start(move |_| vec![Step::Send(until_close.clone()), Step::Close]).await;
    assert_eq!(fetch(&until_close).await.unwrap(), b"abc");
    let empty = TestServer::start(|_| reply(200, &[("Content-Encoding", "gzip")], "")).await;
    assert_eq!(fetch(&empty).await.unwrap(), b"");
}

#[tokio::test]
async fn a_body_that_is_not_whole_is_an_error() {
    use WireErrorKind as K;
    let cut = |bytes: &'static [u8], end: Step| move |_: &Seen| vec![Step::Send(bytes.to_vec()), end.clone()];
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    assert_eq!(error_of(cut(short, Step::Close)).await.kind, K::Body);
    assert_eq!(error_of(cut(short, Step::Reset)).await.kind, K::Reset);
    assert_eq!(error_of(cut(chunked, Step::Close)).await.kind, K::Body);
    let garbled = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n";
    assert!(fetch(&TestServer::start(cut(garbled, Step::Close)).await).await.is_err());

    let data = gzip(&[b'x'; 5000]);
    let framed = |bytes: Vec<u8>| move |_: &Seen| reply(200, &[("Content-Encoding", "gzip")], &bytes);
    assert_eq!(error_of(framed(data[..2000].to_vec())).await.kind, K::Body);
    assert_eq!(error_of(framed(data[..data.len() - 4].to_vec())).await.kind, K::Body);
    assert_eq!(error_of(framed(b"[this is no gzip]".to_vec())).await.kind, K::Encoding);
    let mut damaged = data.clone();
    damaged[1000] ^= 1;
    assert_eq!(error_of(framed(damaged)).await.kind, K::Encoding);
    let mut promised = head(200, &[("Content-Encoding", "gzip")], data.len());
    promised.extend_from_slice(&data[..3000]);
    assert_eq!(error_of(move |_| vec![Step::Send(promised.clone()), Step::Close]).await.kind, K::Body);
    for encoding in ["br", "zstd", "gzip, gzip", "aes128gcm"] {
        let error = error_of(move |_| reply(200, &[("Content-Encoding", encoding)], "xyz")).await;
        assert_eq!(error.kind, K::Encoding, "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_fails_says_how() {
    use WireErrorKind as K;
    assert_eq!(error_of(|_| vec![Step::Close]).await.kind, K::Reset);
    assert_eq!(error_of(|_| vec![Step::Reset]).await.kind, K::Reset);
    assert_eq!(error_of(|_| vec![Step::Send(b"SSH-2.0-x\r\n\r\n".to_vec()), Step::Close]).await.kind, K::Other);
    let gone = TestServer::start(|_| Vec::new()).await;
    let url = gone.url("/secret-path?key=canary");
    drop(gone);
    tokio::task::yield_now().await;
    let error = quick().send(get(url)).await.unwrap_err();
    assert_eq!(error.kind, K::Connect);
    assert!(!error.to_string().contains("canary") && !error.to_string().contains("secret-path"), "{error}");
    assert!(error.detail.contains("refused"), "{error}");
}

#[tokio::test]
async fn heads_are_bounded() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(100_000));
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(1_000_000));
    for bytes in [many, long] {
        let error = error_of(move |_| vec![Step::Send(bytes.clone().into_bytes()), Step::Close]).await;
        assert_eq!(error.kind, WireErrorKind::TooLarge, "{error}");
    }
}

#[tokio::test]
async fn nothing_waits_for_ever() {
    let began = StdInstant::now();
    let error = error_of(|_| vec![Step::Wait(Duration::from_secs(5))]).await;
    assert_eq!(error.kind, WireErrorKind::Timeout);
    let stalled = head(200, &[], 10);
    let error = error_of(move |_| vec![Step::Send(stalled.clone()), Step::Wait(Duration::from_secs(5))]).await;
    assert_eq!(error.kind, WireErrorKind::Timeout);
    // A byte now and then keeps the connection from being idle, and is too slow all the same.
    let slow = TestServer::start(|_| {
        let mut steps = vec![Step::Send(head(200, &[], 1000))];
        for _ in 0..50 {
            steps.extend([Step::Send(b"x".to_vec()), Step::Wait(Duration::from_millis(100))]);
        }
        steps
    })
    .await;
    // Idle for longer than a loaded machine stands still.
    let timeouts = Timeouts { idle: Duration::from_secs(30), head: Duration::from_secs(30), ..quick().settings.timeouts };
    let patient = HttpTransport::new(HttpSettings { timeouts, ..HttpSettings::default() }).unwrap();
    let error = fetch_by(&patient, &slow).await.unwrap_err();
    assert_eq!(error.kind, WireErrorKind::Timeout);
    assert!(error.detail.contains("too slow"), "{error}");
    // So does a head that never ends.
    let error = error_of(|_| {
        let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec())];
        for _ in 0..50 {
            steps.extend([Step::Send(b"a: b\r\n".to_vec()), Step::Wait(Duration::from_millis(100))]);
        }
        steps
    })
    .await;
    assert_eq!(error.kind, WireErrorKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn short_bodies_are_read_up_to_their_limit() {
    let server = TestServer::start(|_| json(200, &"x".repeat(1000))).await;
    let transport = quick();
    let mut reply = transport.send(get(server.url("/"))).await.unwrap();
    assert_eq!(read_whole(&mut reply.body, 1000).await.unwrap().len(), 1000);
    let mut reply = transport.send(get(server.url("/"))).await.unwrap();
    assert_eq!(read_whole(&mut reply.body, 999).await.unwrap_err().kind, WireErrorKind::TooLarge);
    let mut reply = transport.send(get(server.url("/"))).await.unwrap();
    assert_eq!(read_prefix(&mut reply.body, 999).await.len(), 999);
    let cut = TestServer::start(|_| vec![Step::Send([head(500, &[], 50), b"abc".to_vec()].concat()), Step::Close]).await;
    let mut reply = transport.send(get(cut.url("/"))).await.unwrap();
    assert_eq!(read_prefix(&mut reply.body, 999).await, b"abc");
}

#[test]
fn plain_http_is_for_loopback_only() {
    let route = |url: &str| Route::of(&url.parse().unwrap()).ok();
    for (url, expected) in [
        ("https://manage.office.com/", Some(Route::World)),
        ("https://localhost/", Some(Route::LocalTls)),
        ("http://localhost:80/", Some(Route::LocalPlain)),
        ("http://127.9.9.9/", Some(Route::LocalPlain)),
        ("http://[::1]/", Some(Route::LocalPlain)),
        ("http://manage.office.com/", None),
        ("http://localhost.evil.example/", None),
        ("http://10.0.0.1/", None),
        ("http://0.0.0.0/", None),
        ("ftp://127.0.0.1/", None),
        ("file:///etc/passwd", None),
        ("data:x", None),
    ] {
        assert_eq!(route(url), expected, "{url}");
    }
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_told() {
    let server = TestServer::start(|_| json(200, "[]")).await;
    let url = format!("https://127.0.0.1:{}/", server.port()).parse().unwrap();
    let error = quick().send(get(url)).await.unwrap_err();
    assert!(!matches!(error.kind, WireErrorKind::Dns | WireErrorKind::Proxy | WireErrorKind::Other), "{error}");
}

#[tokio::test]
async fn what_follows_a_gzip_member_is_read_too() {
    let bytes = [gzip(b"[1,2]"), gzip(b"[3]")].concat();
    let server = TestServer::start(move |_| reply(200, &[("Content-Encoding", "gzip")], &bytes)).await;
    assert_eq!(fetch(&server).await.unwrap(), b"[1,2][3]");
    let bytes = [gzip(b"[1,2]").as_slice(), b"no gzip header"].concat();
    let server = TestServer::start(move |_| reply(200, &[("Content-Encoding", "gzip")], &bytes)).await;
    assert_eq!(fetch(&server).await.unwrap_err().kind, WireErrorKind::Encoding);
}
