//! Proxies: open, shut, silent; and loopback, which goes through none.

use crate::vocabulary::*;

const NAME: &str = "feed.example.invalid";

/// Shut in each way, one after the other; open again, the same process delivers everything.
#[test]
fn a_proxy_that_is_shut_is_named_and_once_it_opens_everything_is_delivered() {
    let authority = Authority::new();
    let front = Front::new(authority.server().with_http2());
    let url = format!("https://{NAME}");
    let tenant = service()
        .with(|c| c.base_url = Some(url.clone()))
        .blob(hours_ago(3), records([mail("a")]))
        .blob(hours_ago(2), records([mail("b"), noise("c")]))
        .serve();
    front.leads_to(&tenant);
    let shut = [
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n<html>not from here</html>",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/login\r\nContent-Length: 0\r\n\r\n",
        "220 mail.example ESMTP\r\n",
        "",
    ];
    for_each(&shut, |answer| {
        let proxy = Proxy::new(Gate::Says(answer));
        let host = Host::new();
        let program = host.poll(&tenant).at(&url).env("HTTPS_PROXY", &proxy.url());
        let mut poller = program.env("SSL_CERT_FILE", authority.file(&host).to_str().unwrap()).start();
        poller.until_said("proxy failed");
        assert_eq!(front.connections(), 0, "nobody came through");
    });
    let proxy = Proxy::new(Gate::Silent);
    let host = Host::new();
    let program = host.poll(&tenant).at(&url).env("HTTPS_PROXY", &proxy.url());
    let mut poller = program.env("SSL_CERT_FILE", authority.file(&host).to_str().unwrap()).start();
    // Given up after the ten seconds that a connection may take.
    poller.until_said("timed out");
    proxy.becomes(Gate::Open(front.port()));
    poller.until_all_of(&tenant);
    let run = poller.stop().expect(0);
    assert_same(&run.lines(), &tenant.lines());
    assert!(run.peak <= MEMORY_STEADY, "{}", run.peak);
    let asked = proxy.asked();
    assert!(asked.iter().all(|head| head.starts_with(&format!("CONNECT {NAME}:443 HTTP/1.1\r\n"))), "{asked:?}");
}

/// A proxy would see the token in clear.
#[test]
fn loopback_is_reached_without_a_proxy() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let proxy = Proxy::new(Gate::Says("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    let host = Host::new();
    let mut program = host.poll_once(&tenant);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        program = program.env(name, &proxy.url());
    }
    assert_eq!(ids_of(&program.run().expect(0).lines()), ["a"]);
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

/// The proxy gets the password that stands in its URL; the log does not, however much it says.
#[test]
fn the_password_of_a_proxy_goes_to_the_proxy_alone() {
    let proxy = Proxy::new(Gate::Says("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"));
    let tenant = service().serve();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for_each(&[proxy.port(), gone], |port| {
        let host = Host::new();
        let program = host.poll(&tenant).at(&format!("https://{NAME}")).args(["--log-level", "trace"]);
        let mut poller = program.env("HTTPS_PROXY", &format!("http://collector:canary@127.0.0.1:{port}")).start();
        poller.until_said("proxy failed");
        poller.stop().expect(0).does_not_say(&["canary", "Y29sbGVjdG9yOmNhbmFyeQ"]);
    });
    let asked = proxy.asked();
    let basic = "proxy-authorization: basic Y29sbGVjdG9yOmNhbmFyeQ==".to_ascii_lowercase();
    assert!(!asked.is_empty() && asked.iter().all(|head| head.to_ascii_lowercase().contains(&basic)), "{asked:?}");
}

#[test]
fn hosts_that_no_proxy_names_are_reached_without_one() {
    let proxy = Proxy::new(Gate::Says("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    let tenant = service().serve();
    let host = Host::new();
    let program = host.poll(&tenant).at(&format!("https://{NAME}")).env("HTTPS_PROXY", &proxy.url());
    let mut poller = program.env("NO_PROXY", NAME).start();
    // Without the proxy there is nobody to resolve the name.
    poller.until_said("host name not found");
    poller.stop().expect(0);
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}
