//! `simulate`: the tenant that others test against, and the line that the README tells them to run.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::vocabulary::*;

const TENANT: &str = "11111111-0000-4000-8000-000000000001";

/// Starts it, and tells its address.
fn simulated(host: &Host, args: &[&str]) -> (Started, String) {
    let mut simulator = host.run("simulate").args(["--port", "0"]).args(args).start();
    simulator.until_said("--api-url http://127.0.0.1:");
    let said = simulator.said();
    let url = said.split("--api-url ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    (simulator, url)
}

fn get(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// What it has made available, by its own account.
fn truth(url: &str) -> Vec<String> {
    let reply = get(url, "/simulator/truth");
    let records = reply.lines().filter(|line| line.starts_with("{\"id\""));
    let value = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    records.map(value).filter(|r| r["obtainable"] == true).map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}

/// How it was asked, by its own account.
fn ledger(url: &str) -> serde_json::Value {
    let reply = get(url, "/simulator/ledger");
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn collect(host: &Host, command: &str, url: &str) -> Program {
    host.run(command)
        .args(["--tenant-id", TENANT, "--client-id", CLIENT, "--api-url", url, "--login-url", url])
        .args([std::path::Path::new("--state-dir"), &host.state()])
        .secret("made-up")
}

#[test]
fn the_backfill_of_the_manual_brings_its_truth() {
    let host = Host::new();
    let args = ["--blobs-per-hour", "10", "--content-for", "0s", "--awkward-share", "0.1", "--duplicate-share", "0.05"];
    let (simulator, url) = simulated(&host, &args);
    let run = collect(&host, "backfill", &url).args(["--since", "24h"]).run().expect(0);
    // A record that stands in two blobs comes once.
    let wanted = Vec::from_iter(BTreeSet::from_iter(truth(&url)));
    assert!(wanted.len() > 50, "{}", wanted.len());
    assert_same_ids(&run.lines(), &wanted);
    let ledger = ledger(&url);
    assert_eq!((&ledger["during_pause"], &ledger["without_publisher"], &ledger["foreign"]), (&0.into(), &0.into(), &0.into()));
    simulator.sigint();
    simulator.ends().expect(0);
}

#[test]
fn its_faults_are_faults_and_nothing_is_lost_by_them() {
    let host = Host::new();
    let faults = [
        "--fault",
        "throttle-429=1@nth/30",
        "--fault",
        "blob:error=503@0.03",
        "--fault",
        "cut@0.03",
        "--fault",
        "truncated@blobs/0.1",
        "--fault",
        "html@blobs/0.1",
        "--fault",
        "stale-page@nth/2",
        "--fault",
        "unauthorized@nth/20",
        "--page-size",
        "9",
    ];
    let args = ["--blobs-per-hour", "5", "--content-for", "0s", "--token-lifetime", "2s", "--late-share", "0.1"];
    let (simulator, url) = simulated(&host, &[&args[..], &faults].concat());
    let run = collect(&host, "backfill", &url).args(["--since", "24h", "--requests-per-minute", "1000000"]).run().expect(0);
    assert_same_ids(&run.lines(), &truth(&url));
    let ledger = ledger(&url);
    // One fault may come before another at the same request, so that not each of them is sure to be met.
    assert!(ledger["faults"].as_object().is_some_and(|faults| faults.len() >= 4), "{ledger}");
    assert_eq!(ledger["during_pause"], 0);
    drop(simulator);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    Host::new().run("simulate").args(["--port", &port]).run().expect(1).says(&[&port, "in use"]);
}

#[test]
fn a_fault_that_does_not_exist_is_a_wrong_argument() {
    Host::new().run("simulate").args(["--fault", "explode"]).run().expect(2).says(&["explode"]);
}
