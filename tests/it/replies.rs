//! Replies that stall, lie about their length, or never end: each kind of call meets each of them, and then the line is good
//! again. Nothing may be lost, repeated or waited for without end. Told inside, with time limits of a fraction of a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use defender_feed::wire::Timeouts;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::vocabulary::*;

fn limits() -> Timeouts {
    Timeouts { connect: seconds(2), head: millis(400), idle: millis(400), slow_grace: millis(800) }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn half(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

/// A reply whose head says something else of its body.
fn framed(
    headers: impl Fn(&Answer) -> String + Send + Sync + 'static,
    body: impl Fn(&Answer) -> Vec<Step> + Send + Sync + 'static,
) -> Act {
    reply(move |answer| [vec![Step::Send(answer.head_with(&headers(answer)))], body(answer)].concat())
}

/// Tells of a poller whose first two calls of each kind, one kind after the other, meet this. All of it is delivered, once.
#[track_caller]
fn is_survived(faults: &[(&str, Act)]) {
    let tenant = fast_service()
        .pages_of(1)
        .blob(minutes_ago(100), records([mail("a"), noise("b")]))
        .blob(minutes_ago(99), records([mail("c")]))
        .serve();
    let wanted = tenant.lines();
    let cases: Vec<_> = faults.iter().flat_map(|fault| Call::ALL.map(|call| (fault, call))).collect();
    for_each(&cases, |((what, act), call)| {
        let relay = Relay::to(&tenant).first(2, *call, act.clone());
        let run = run_inside(&relay.url(), &tenant, wanted.len(), limits());
        run.is_complete(&format!("{what}, {call:?}"));
        assert_same(&run.lines, &wanted);
        assert!(relay.asked(*call) > 2, "{what}: {call:?} met it");
    });
}

#[test]
fn replies_that_stall_are_given_up_in_time() {
    let held = |steps: fn(&Answer) -> Vec<u8>| reply(move |answer| vec![Step::Send(steps(answer)), Step::Hold]);
    is_survived(&[
        ("no byte", held(|_| Vec::new())),
        ("half a head", held(|a| half(&a.head))),
        ("a head", held(|a| a.head.clone())),
        ("half a body", held(|a| [a.head.clone(), half(&a.body)].concat())),
        ("all but the last byte", held(|a| a.bytes()[..a.bytes().len() - 1].to_vec())),
        ("a head, byte by byte", reply(|a| vec![Step::Drip(a.head.clone(), millis(20)), Step::Hold])),
        (
            "a body, byte by byte",
            reply(|a| vec![Step::Send(a.head.clone()), Step::Drip(a.body.clone(), millis(100)), Step::Hold]),
        ),
    ]);
}

#[test]
fn connections_that_close_by_half_or_too_early_are_broken_ones() {
    is_survived(&[
        ("closed by half before the head", reply(|_| vec![Step::HalfClose])),
        ("closed by half in the head", reply(|a| vec![Step::Send(half(&a.head)), Step::HalfClose])),
        ("closed by half after the head", reply(|a| vec![Step::Send(a.head.clone()), Step::HalfClose])),
        ("closed by half in the body", reply(|a| vec![Step::Send(a.head.clone()), Step::Send(half(&a.body)), Step::HalfClose])),
        ("closed before the head", reply(|_| vec![Step::Close])),
        ("closed in the body", reply(|a| vec![Step::Send([a.head.clone(), half(&a.body)].concat()), Step::Close])),
    ]);
}

#[test]
fn lengths_that_are_not_true_are_found_out() {
    let says = |length: fn(usize) -> String| {
        framed(
            move |a| format!("Content-Length: {}\r\n", length(a.body.len())),
            |a| vec![Step::Send(a.body.clone()), Step::Close],
        )
    };
    is_survived(&[
        ("longer, then closed", says(|n| (n + 1).to_string())),
        ("much longer, then closed", says(|n| (n as u64 + (1 << 40)).to_string())),
        ("as long as can be said", says(|_| u64::MAX.to_string())),
        ("longer than can be said", says(|_| "99999999999999999999999".to_owned())),
        ("shorter by one", says(|n| (n - 1).to_string())),
        ("shorter by half", says(|n| (n / 2).to_string())),
        ("nothing", says(|_| "0".to_owned())),
        ("negative", says(|n| format!("-{n}"))),
        ("no number", says(|_| "many".to_owned())),
        ("two that differ", says(|n| format!("{n}\r\nContent-Length: {}", n + 1))),
        (
            "longer, then a stall",
            framed(|a| format!("Content-Length: {}\r\n", a.body.len() + 1), |a| vec![Step::Send(a.body.clone()), Step::Hold]),
        ),
    ]);
}

#[test]
fn garbage_in_chunked_bodies_is_found_out() {
    let chunked = |body: fn(&Answer) -> Vec<u8>| {
        framed(|_| "Transfer-Encoding: chunked\r\n".to_owned(), move |a| vec![Step::Send(body(a)), Step::Close])
    };
    fn chunk(bytes: &[u8]) -> Vec<u8> {
        [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
    }
    is_survived(&[
        ("no last chunk", chunked(|a| chunk(&a.body))),
        ("no last line", chunked(|a| [chunk(&a.body), b"0\r\n".to_vec()].concat())),
        ("no number", chunked(|_| b"many\r\n".to_vec())),
        ("a negative number", chunked(|_| b"-1\r\nx\r\n".to_vec())),
        ("more than can be said", chunked(|_| b"fffffffffffffffff\r\n".to_vec())),
        ("much more than there is", chunked(|a| [b"fffffffffffffff\r\n".to_vec(), a.body.clone()].concat())),
        ("no end of a chunk", chunked(|a| [chunk(&a.body)[..a.body.len() + 3].to_vec(), b"0\r\n\r\n".to_vec()].concat())),
        ("not chunked at all", chunked(|a| a.body.clone())),
        (
            "an endless extension",
            framed(
                |_| "Transfer-Encoding: chunked\r\n".to_owned(),
                |_| vec![Step::Send(b"1;".to_vec()), Step::Repeat("x".repeat(64 << 10).into(), 1 << 10), Step::Hold],
            ),
        ),
        (
            "endless trailers",
            framed(
                |_| "Transfer-Encoding: chunked\r\n".to_owned(),
                |a| {
                    vec![
                        Step::Send(chunk(&a.body)),
                        Step::Send(b"0\r\n".to_vec()),
                        Step::Repeat("a: b\r\n".repeat(1 << 10).into(), 1 << 10),
                        Step::Hold,
                    ]
                },
            ),
        ),
        (
            "a length besides, which is shorter",
            framed(
                |_| "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
                |a| vec![Step::Send(half(&chunk(&a.body))), Step::Close],
            ),
        ),
    ]);
}

#[test]
fn replies_that_are_no_http_are_errors() {
    is_survived(&[
        ("a greeting", reply(|_| vec![Step::Send(b"220 mail.example ESMTP\r\n".to_vec()), Step::Close])),
        ("a TLS alert", reply(|_| vec![Step::Send(b"\x15\x03\x01\x00\x02\x02\x46".to_vec()), Step::Close])),
        ("zeros", reply(|_| vec![Step::Send(vec![0; 4096]), Step::Close])),
        ("a body without a head", reply(|a| vec![Step::Send(a.body.clone()), Step::Close])),
        (
            "an unknown version",
            reply(|a| vec![Step::Send([b"HTTP/7.0 200 OK\r\n\r\n".to_vec(), a.body.clone()].concat()), Step::Close]),
        ),
        (
            "HTTP/2 unasked",
            reply(|_| {
                vec![Step::Send(b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\x01\0\0\0\x05\0\0\x40\0".to_vec()), Step::Close]
            }),
        ),
        (
            "another protocol",
            reply(|_| {
                vec![
                    Step::Send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec()),
                    Step::Hold,
                ]
            }),
        ),
    ]);
}

#[test]
fn heads_that_come_before_the_head_are_passed_over_for_a_while() {
    let early = Bytes::from("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(100));
    is_survived(&[
        // More than there is time for.
        (
            "a flood",
            reply({
                let early = early.clone();
                move |_| vec![Step::Repeat(early.clone(), 1 << 40)]
            }),
        ),
        (
            "one now and then",
            reply(|_| {
                (0..100).flat_map(|_| [Step::Send(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec()), Step::Wait(millis(50))]).collect()
            }),
        ),
    ]);
    // A few are as good as none: the very first reply counts.
    let tenant = fast_service().blob(minutes_ago(100), records([mail("a")])).serve();
    let some = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(50);
    let relay = Relay::to(&tenant).does(move |_| {
        let some = some.clone();
        reply(move |answer| vec![Step::Send([some.clone(), answer.bytes()].concat())])
    });
    let run = run_inside(&relay.url(), &tenant, 1, Timeouts::default());
    run.is_complete("heads before the head");
    assert!(relay.asked(Call::Token) < 4 && relay.asked(Call::Blob) < 4, "they are taken at once");
}

#[test]
fn encodings_that_are_not_true_are_found_out() {
    let encoded = |body: fn(&[u8]) -> Vec<u8>| {
        reply(move |answer| {
            let body = body(&answer.body);
            let head = answer.head_with(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len()));
            vec![Step::Send([head, body].concat())]
        })
    };
    is_survived(&[
        ("no gzip at all", encoded(<[u8]>::to_vec)),
        ("half of it", encoded(|body| half(&gzip(body)))),
        ("without its checksum", encoded(|body| gzip(body)[..gzip(body).len() - 8].to_vec())),
        (
            "with another's checksum",
            encoded(|body| {
                let (mut data, other) = (gzip(body), gzip(b"other"));
                let (at, from) = (data.len() - 8, other.len() - 8);
                data[at..].copy_from_slice(&other[from..]);
                data
            }),
        ),
        ("gzip in gzip", encoded(|body| gzip(&gzip(body)))),
        ("with a tail", encoded(|body| [gzip(body), b"tail".to_vec()].concat())),
        ("a member of something else", encoded(|body| [gzip(body), gzip(b"]")].concat())),
    ]);
}

/// Whole in two members, and chunked by the byte: unusual, and right.
#[test]
fn unusual_replies_that_are_right_are_taken_at_once() {
    let tenant = fast_service()
        .pages_of(1)
        .blob(minutes_ago(100), records([mail("a")]))
        .blob(minutes_ago(99), records([mail("b")]))
        .serve();
    let members = reply(|answer| {
        let (a, b) = answer.body.split_at(answer.body.len() / 2);
        let body = [gzip(a), gzip(b""), gzip(b)].concat();
        let head = answer.head_with(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", body.len()));
        vec![Step::Send([head, body].concat())]
    });
    let bytewise = framed(
        |_| "Transfer-Encoding: chunked\r\n".to_owned(),
        |a| {
            let chunks: Vec<u8> = a.body.iter().flat_map(|b| [b"1;x=\"y\"\r\n".as_slice(), &[*b], b"\r\n"].concat()).collect();
            vec![Step::Send(chunks), Step::Send(b"0\r\nTrailer: x\r\n\r\n".to_vec())]
        },
    );
    let until_closed = framed(|_| "Connection: close\r\n".to_owned(), |a| vec![Step::Send(a.body.clone()), Step::Close]);
    for (what, act) in [("members", members), ("bytewise", bytewise), ("until closed", until_closed)] {
        let relay = Relay::to(&tenant).does(move |_| act.clone());
        let run = run_inside(&relay.url(), &tenant, 2, Timeouts::default());
        run.is_complete(what);
        assert_same(&run.lines, &tenant.lines());
        // A reply that is not believed at once is asked for at least four times.
        assert!(relay.asked(Call::Token) < 4 && relay.asked(Call::Blob) < 2 * 4, "{what}");
    }
}

/// Each copy was taken for a page of its own: a record came ten thousand times, and then the blob was called too large.
#[test]
fn a_blob_whose_next_page_is_itself_is_delivered_once() {
    let tenant = fast_service().blob(minutes_ago(100), records([mail("a"), mail("b")])).serve();
    for forth in ["", "?page=2"] {
        let relay = Relay::to(&tenant).does(move |asked| match asked.call {
            Call::Blob => reply(move |answer| {
                let (path, _) = answer.url.split_once('?').unwrap_or((&answer.url, ""));
                let next = format!("NextPageUri: {path}{forth}\r\nContent-Length: {}\r\n", answer.body.len());
                vec![Step::Send([answer.head_with(&next), answer.body.clone()].concat())]
            }),
            _ => Act::Pass,
        });
        let run = run_inside(&relay.url(), &tenant, 2, Timeouts::default());
        run.is_complete("a circle");
        assert_eq!(run.lines.len(), 2, "{forth}");
        // A page of another address is another page, whatever it holds.
        let times = if forth.is_empty() { 1 } else { 2 };
        assert!(relay.asked(Call::Blob) <= 8 * times, "{} times", relay.asked(Call::Blob));
    }
}

/// As many pages as no listing has.
const PAGES: usize = 10_000;

/// A way to the tenant on which each page names a new one, until one listing has come so far. Gives how far one has.
fn endless_chain(tenant: &Tenant) -> (Relay, Arc<AtomicUsize>) {
    let deepest = Arc::new(AtomicUsize::new(0));
    let page = |url: &str, deepest: &AtomicUsize| {
        let (path, query) = url.split_once('?').unwrap();
        let kept: Vec<_> = query.split('&').filter(|part| !part.starts_with("nextPage=")).collect();
        let page = query.split("nextPage=").nth(1).and_then(|key| key.split('&').next()?.parse().ok()).unwrap_or(1);
        deepest.fetch_max(page, Ordering::SeqCst);
        let next = format!("{path}?{}&nextPage={}", kept.join("&"), page + 1);
        let head = format!("HTTP/1.1 200 OK\r\nNextPageUri: {next}\r\nContent-Length: 2\r\n\r\n[]");
        vec![Step::Send(head.into_bytes())]
    };
    let reached = deepest.clone();
    let relay = Relay::to(tenant).does(move |asked| match asked.call {
        Call::FirstPage | Call::NextPage if reached.load(Ordering::SeqCst) < PAGES => {
            let deepest = reached.clone();
            instead(move |url| page(url, &deepest))
        }
        _ => Act::Pass,
    });
    (relay, deepest)
}

/// It is broken off, and begun anew in smaller windows.
#[test]
fn a_chain_of_pages_without_an_end_is_broken_off() {
    let tenant = fast_service().blob(minutes_ago(100), records([mail("a")])).serve();
    let (relay, deepest) = endless_chain(&tenant);
    let run = run_inside(&relay.url(), &tenant, 1, Timeouts::default());
    run.is_complete("a chain");
    assert_eq!(run.lines, tenant.lines());
    assert_eq!(deepest.load(Ordering::SeqCst), PAGES, "no page is asked for beyond");
}

/// One of each sort as the whole process meets it, with its own time limits. What it needs at its peak is asserted where any story's
/// process ends.
#[test]
fn the_binary_bears_each_sort_of_them_and_stays_small() {
    let tenant = service()
        .pages_of(1)
        .blob(minutes_ago(100), records([mail("a"), noise("b")]))
        .blob(minutes_ago(99), records([mail("c")]))
        .serve();
    let chunked = |body: Step| framed(|_| "Transfer-Encoding: chunked\r\n".to_owned(), move |_| vec![body.clone(), Step::Close]);
    let huge = |_: &Answer| format!("Content-Length: {}\r\n", 1_u64 << 40);
    let faults = [
        ("closed by half in the body", reply(|a| vec![Step::Send(a.head.clone()), Step::Send(half(&a.body)), Step::HalfClose])),
        ("a terabyte, it says", framed(huge, |a| vec![Step::Send(a.body.clone()), Step::Close])),
        ("an extension of 512 MiB", chunked(Step::Repeat(["1;", &"x".repeat(64 << 10)].concat().into(), 1 << 13))),
        ("a chunk of more than there is", chunked(Step::Send(b"fffffffffffffff\r\n[".to_vec()))),
        ("512 MiB of early heads", {
            let early = Bytes::from("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(1_600));
            reply(move |_| vec![Step::Repeat(early.clone(), 1 << 13), Step::Close])
        }),
    ];
    let cases: Vec<_> = faults.iter().flat_map(|fault| Call::ALL.map(|call| (fault, call))).collect();
    let most = AtomicUsize::new(0);
    for_each(&cases, |((what, act), call)| {
        let relay = Relay::to(&tenant).first(1, *call, act.clone());
        let run = Host::new().backfill(&tenant).through(&relay).at_length().run();
        assert_eq!(run.code(), Some(0), "{what}, {call:?}: {}", run.stderr);
        assert_same(&run.lines(), &tenant.lines());
        assert!(relay.asked(*call) > 1, "{what}: {call:?} met it");
        most.fetch_max((run.peak >> 20) as usize, Ordering::SeqCst);
    });
    let (relay, deepest) = endless_chain(&tenant);
    let run = Host::new().poll_once(&tenant).through(&relay).at_length().run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert_eq!(deepest.load(Ordering::SeqCst), PAGES);
    eprintln!("{} cases, {} MiB at most, {} MiB in a chain of pages", cases.len(), most.into_inner(), run.peak >> 20);
}
