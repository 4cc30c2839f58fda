//! `demo`: what a newcomer runs first.

use crate::vocabulary::*;

fn record_type(line: &str) -> i64 {
    serde_json::from_str(members(line)["RecordType"].get()).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[test]
fn twenty_events_are_twenty_lines_of_the_four_types_and_nothing_else() {
    let run = Host::new().run("demo").args(["--events", "20"]).run().expect(0).says(&["demo: 20 events", "0 repeated"]);
    let lines = run.lines();
    assert_eq!(lines.len(), 20);
    assert_eq!(run.stdout.matches('\n').count(), 20);
    lines.iter().for_each(|line| assert!([28, 41, 47, 64].contains(&record_type(line)), "{line}"));
    assert!(run.took < seconds(10), "{:?}", run.took);
}

#[test]
fn the_same_seed_shows_the_same_tenant_and_it_leaves_nothing_behind() {
    let host = Host::new();
    let show = || host.run("demo").args(["--events", "5", "--seed", "7"]).env("TMPDIR", host.path(".").to_str().unwrap());
    let (first, second) = (show().run().expect(0), show().run().expect(0));
    assert_eq!(first.lines().len(), 5);
    assert_eq!(second.lines().len(), 5);
    let left: Vec<_> = std::fs::read_dir(host.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn it_goes_on_until_it_is_interrupted_if_that_is_asked_for() {
    let host = Host::new();
    let mut run = host.run("demo").arg("--endless").start();
    run.until_lines(200);
    run.sigint();
    let run = run.ends();
    assert!(run.lines().len() >= 200);
    assert!([Some(0), Some(130)].contains(&run.code()), "{:?}", run.code());
}

#[test]
fn a_reader_that_goes_ends_it_quietly() {
    let host = Host::new();
    let mut run = host.run("demo").arg("--endless").start();
    run.until_lines(3);
    run.reader_leaves();
    run.ends().expect(0).does_not_say(&["ERROR", "error"]);
}

#[test]
fn its_events_come_in_every_format() {
    let host = Host::new();
    for args in [&["--format", "event"][..], &["--envelope"]] {
        let run = host.run("demo").args(["--events", "8"]).args(args).run().expect(0);
        assert_eq!(run.lines().len(), 8, "{args:?}");
        run.lines().iter().for_each(|line| assert!(!members(line).is_empty()));
    }
}
