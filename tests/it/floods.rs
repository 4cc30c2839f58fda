//! Replies that are far too much: bombs, floods, endless bodies. Each kind of call meets them; everything is delivered once
//! they are over, and the process stays small all the while.

use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::vocabulary::*;

fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A reply with 200 and that encoding, whose body is made of this.
fn endless(headers: &str, begins: impl Into<Vec<u8>>, goes_on: impl Into<Bytes>, times: u64) -> Act {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}\r\n");
    let (begins, goes_on) = (begins.into(), goes_on.into());
    instead(move |_| {
        vec![Step::Send(head.clone().into()), Step::Send(begins.clone()), Step::Repeat(goes_on.clone(), times), Step::Close]
    })
}

const GZIP: &str = "Content-Encoding: gzip\r\n";
const EVER: u64 = u64::MAX;

/// Tells of a backfill whose first call of that kind meets this. Gives the most memory that one needed, in MiB.
#[track_caller]
fn is_survived(cases: &[(&str, Call, Act)]) -> u64 {
    let most = AtomicU64::new(0);
    let tenant = service()
        .pages_of(1)
        .blob(hours_ago(3), records([mail("a"), noise("b")]))
        .blob(hours_ago(2), records([mail("c")]))
        .serve();
    let wanted = tenant.lines();
    for_each(cases, |(what, call, act)| {
        let relay = Relay::to(&tenant).first(1, *call, act.clone());
        let run = Host::new().backfill(&tenant).through(&relay).at_length().run();
        assert_eq!(run.code(), Some(0), "{what}, {call:?}: {}", run.stderr);
        assert_same(&run.lines(), &wanted);
        assert!(relay.asked(*call) > 1, "{what}: {call:?} met it");
        most.fetch_max(run.peak >> 20, Ordering::SeqCst);
    });
    most.into_inner()
}

fn with_all<'a>(what: &'a str, act: &Act) -> [(&'a str, Call, Act); 5] {
    Call::ALL.map(|call| (what, call, act.clone()))
}

#[test]
fn heads_of_any_size_are_refused() {
    let head = |bytes: &str, times: u64| {
        let bytes = Bytes::from(bytes.to_owned());
        instead(move |_| {
            vec![
                Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
                Step::Repeat(bytes.clone(), times),
                Step::Send(b"\r\n\r\n".to_vec()),
            ]
        })
    };
    let cases = [
        with_all("100,000 headers", &head(&"a: b\r\n".repeat(1_000), 100)),
        with_all("a header of 10 MB", &head(&format!("a: {}\r\n", "b".repeat(10 << 20)), 1)),
        with_all("a head without an end", &head(&"b".repeat(64 << 10), EVER)),
    ];
    eprintln!("{} cases, {} MiB at most", cases.concat().len(), is_survived(&cases.concat()));
}

/// Ten gigabytes of zeros from ten megabytes, in ten thousand members.
fn bomb(begins: &[u8], filling: u8) -> Act {
    endless(GZIP, gzip(begins), gzip(&vec![filling; 1 << 20]), 10_000)
}

#[test]
fn bombs_are_broken_off() {
    let twice = gzip(&gzip(&vec![0; 64 << 20]).repeat(16));
    let cases = [
        Call::ALL[..4].iter().map(|call| ("zeros", *call, bomb(b"", 0))).collect(),
        vec![("records without an end", Call::Blob, bomb(b"[{\"RecordType\":20,\"a\":\"", b'x'))],
        with_all("gzip in gzip", &endless(GZIP, twice, Bytes::new(), 0)).to_vec(),
        vec![("a list of white space", Call::FirstPage, bomb(b"[", b' '))],
        vec![("an object without an end", Call::NextPage, bomb(b"[{\"a\":\"", b'x'))],
    ];
    eprintln!("{} cases, {} MiB at most", cases.concat().len(), is_survived(&cases.concat()));
}

#[test]
fn bodies_without_an_end_are_broken_off() {
    let filling = |byte: u8| vec![byte; 64 << 10];
    let entry = |pad: &str| {
        format!(
            r#"{{"contentId":"x","contentUri":"http://127.0.0.1:1/x","contentCreated":"2026-03-01T00:00:00Z","pad":"{pad}"}},"#
        )
    };
    let entries = entry(&"x".repeat(1_000)).repeat(60);
    let cases = [vec![
        ("zeros", Call::Token, endless("", "", filling(0), EVER)),
        ("zeros", Call::Subscriptions, endless("", "", filling(0), EVER)),
        // The most that is read of anything: four gigabytes.
        ("zeros", Call::Blob, endless("", "", filling(0), EVER)),
        ("white space", Call::Token, endless("", "", filling(b' '), EVER)),
        ("white space", Call::Subscriptions, endless("", "[", filling(b' '), EVER)),
        ("white space", Call::FirstPage, endless("", "[", filling(b' '), EVER)),
        ("one string", Call::NextPage, endless("", "[\"", filling(b'x'), EVER)),
        ("brackets", Call::NextPage, endless("", "", filling(b'['), EVER)),
        ("entries", Call::FirstPage, endless("", "[", entries, EVER)),
    ]];
    eprintln!("{} cases, {} MiB at most", cases.concat().len(), is_survived(&cases.concat()));
}

/// For two seconds; it would be given up after two minutes.
#[test]
fn a_flood_of_early_heads_leaves_the_process_small() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let early = Bytes::from("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".repeat(1_000));
    for_each(&Call::ALL[..3], |call| {
        let early = early.clone();
        let flood = reply(move |answer| {
            let some = (0..40).flat_map(|_| [Step::Repeat(early.clone(), 10), Step::Wait(millis(25))]);
            some.chain([Step::Send(answer.bytes())]).collect()
        });
        let relay = Relay::to(&tenant).first(1, *call, flood);
        let run = Host::new().backfill(&tenant).through(&relay).run().expect(0);
        assert_same(&run.lines(), &tenant.lines());
        assert!(run.peak <= MEMORY_STEADY, "{}", run.peak);
    });
}
