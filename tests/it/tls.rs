//! The way to the service: TLS as it should be and as it should not, names that do not resolve, hosts that do not answer.

use std::time::Instant;

use rcgen::{SanType, date_time_ymd};

use crate::vocabulary::*;

/// A tenant behind a front, with two blobs.
fn behind(front: &Front, name: &str) -> Tenant {
    let url = front.url(name);
    let tenant = service()
        .with(|c| c.base_url = Some(url))
        .pages_of(1)
        .blob(hours_ago(3), records([mail("a"), noise("b")]))
        .blob(hours_ago(2), records([mail("c")]))
        .serve();
    front.leads_to(&tenant);
    tenant
}

fn trusting(program: Program, authority: &Authority, host: &Host) -> Program {
    program.env("SSL_CERT_FILE", authority.file(host).to_str().unwrap())
}

#[test]
fn a_tenant_behind_tls_and_http_2_is_collected_with_a_root_of_its_own() {
    let authority = Authority::new();
    for_each(&["localhost", "127.0.0.1"], |name| {
        for http2 in [false, true] {
            let manner = if http2 { authority.server().with_http2() } else { authority.server() };
            let front = Front::new(manner);
            let tenant = behind(&front, name);
            let host = Host::new();
            let run = trusting(host.backfill(&tenant).at(&front.url(name)), &authority, &host).run().expect(0);
            assert_same(&run.lines(), &tenant.lines());
            let requests = front.streams().requests();
            assert_eq!(requests > 5, http2, "{name}: {requests} requests over HTTP/2");
        }
    });
}

/// What is wrong with the server, what the poller says of it.
fn wrongs(authority: &Authority) -> Vec<(Manner, &'static str)> {
    // A ServerHello of TLS 1.1, with a cipher that only old versions know.
    let hello = [b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02".as_slice(), &[7; 32], b"\x00\xc0\x13\x00"].concat();
    vec![
        (authority.server_with(|c| c.not_after = date_time_ymd(2020, 1, 1)), "certificate expired or not yet valid"),
        (authority.server_with(|c| c.not_before = date_time_ymd(2090, 1, 1)), "certificate expired or not yet valid"),
        (
            authority.server_with(|c| c.subject_alt_names = vec![SanType::DnsName("other.example".try_into().unwrap())]),
            "certificate for another host",
        ),
        (Authority::new().server(), "certificate from an unknown issuer"),
        (Manner::Says(hello), "TLS failed"),
        // Alert: protocol_version.
        (Manner::Says(b"\x15\x03\x01\x00\x02\x02\x46".to_vec()), "TLS failed"),
        (Manner::Says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec()), "TLS failed"),
        (Manner::Says(Vec::new()), "connection reset"),
    ]
}

/// The token request was not sent to any of them, and when the server is right again all is delivered by the same process.
#[test]
fn a_server_that_can_not_be_trusted_gets_nothing_and_is_named_until_it_is_right() {
    let authority = Authority::new();
    for_each(&wrongs(&authority), |(wrong, says)| {
        let front = Front::new(wrong.clone());
        let tenant = behind(&front, "localhost");
        let host = Host::new();
        let mut poller = trusting(host.poll(&tenant).at(&front.url("localhost")), &authority, &host).start();
        poller.until_said(says);
        assert_eq!(tenant.ledger().requests.values().sum::<u64>(), 0);
        front.becomes(authority.server());
        poller.until_all_of(&tenant);
        let run = poller.stop().expect(0);
        assert_same(&run.lines(), &tenant.lines());
        assert!(run.peak <= MEMORY_STEADY, "{}", run.peak);
    });
}

#[test]
fn a_certificate_that_its_own_server_signed_is_not_trusted_unless_it_is_named() {
    let authority = Authority::new();
    let front = Front::new(authority.server());
    let tenant = behind(&front, "localhost");
    let host = Host::new();
    // The system's own roots, if it has any, do not know it.
    let mut poller = host.poll(&tenant).at(&front.url("localhost")).start();
    poller.until_said("SSL_CERT_FILE");
    poller.stop().expect(0);
    assert_eq!(tenant.ledger().requests.values().sum::<u64>(), 0);
    let run = trusting(host.poll_once(&tenant).at(&front.url("localhost")), &authority, &host).run().expect(0);
    assert_same(&run.lines(), &tenant.lines());
}

/// Tells of a poller that can't reach the service and says why; a signal ends it all the same, and the next run has it all.
#[track_caller]
fn is_not_reached(url: &str, says: &str) {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).at(url).start();
    poller.until_said(says);
    assert!(poller.stop().expect(0).peak <= MEMORY_STEADY);
    assert_eq!(ids_of(&host.poll_once(&tenant).run().expect(0).lines()), ["a"]);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    is_not_reached("https://localhost.invalid", "host name not found");
}

#[test]
fn a_host_that_refuses_is_named() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    is_not_reached(&format!("http://{gone}"), "no connection");
    is_not_reached(&format!("https://{gone}"), "no connection");
}

/// Connections are made and never taken up: nothing comes, for as long as one likes.
#[test]
fn a_host_that_does_not_answer_does_not_hold_up_the_end() {
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    for_each(&["http", "https"], |scheme| {
        let host = Host::new();
        let url = format!("{scheme}://{}", hole.local_addr().unwrap());
        let mut poller = host.poll(&tenant).at(&url).start();
        poller.until_it_hears_signals();
        std::thread::sleep(millis(500));
        poller.stop().expect(0);
        assert_eq!(ids_of(&host.poll_once(&tenant).run().expect(0).lines()), ["a"]);
    });
}

/// Packets that nobody answers, and a handshake that nobody takes up: given up after the ten seconds that a connection may
/// take, and tried again.
#[test]
fn connections_that_do_not_come_about_are_given_up_in_time() {
    let hole = Hole::new();
    let front = Front::new(Manner::Silent);
    let (dropped, silent) = (hole.url(), front.url("localhost"));
    for_each(&[(dropped, "timed out"), (silent, "timed out")], |(url, says)| {
        let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
        let host = Host::new();
        let began = Instant::now();
        let mut poller = host.poll(&tenant).at(url).start();
        poller.until_said(says);
        assert!(began.elapsed() < seconds(40), "{:?}", began.elapsed());
        poller.stop().expect(0);
        assert_eq!(ids_of(&host.poll_once(&tenant).run().expect(0).lines()), ["a"]);
    });
}
