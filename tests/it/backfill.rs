//! `backfill`: one range of time, once.

use std::os::unix::fs::FileTypeExt;

use crate::vocabulary::*;

/// A day of made-up content: some hundreds of wanted records in awkward company.
fn day() -> Story {
    service().content(15, hours_ago(23)).until(hours_ago(2)).with(|c| c.awkward_share = 0.2)
}

/// A tenant that answers slowly enough to be interrupted in the middle.
fn slow_day() -> Story {
    let slow = Fault::Slow { bytes_per_second: 40_000 };
    service().content(10, hours_ago(20)).until(hours_ago(2)).fault(Target::Blob, slow, When::Every(4))
}

#[test]
fn brings_every_wanted_record_once_and_byte_for_byte() {
    let tenant = day().serve();
    let host = Host::new();
    let run = host.backfill(&tenant).run().expect(0).says(&["complete: nothing is missing", "0 gaps + 0 pending"]);
    let wanted = tenant.lines();
    assert!(wanted.len() > 100, "{}", wanted.len());
    assert_same(&run.lines(), &wanted);
}

#[test]
fn brings_all_that_the_service_keeps() {
    let tenant = service()
        .blob(minutes_ago(7 * 24 * 60 - 20), records([mail("oldest")]))
        .blob(days_ago(3), records([mail("old"), noise("other")]))
        .blob(minutes_ago(1), records([mail("new")]))
        .serve();
    let run = Host::new().backfill_since(&tenant, "7d").run().expect(0);
    assert_same_ids(&run.lines(), &["oldest", "old", "new"]);
}

#[test]
fn what_is_listed_while_it_runs_is_found_by_its_last_look() {
    let tenant = service()
        .blob(minutes_ago(20), records([mail("early")]))
        .late_blob(minutes_ago(30), ahead(millis(600)), records([mail("late")]))
        .serve();
    let run = Host::new().backfill_since(&tenant, "24h").run().expect(0);
    assert_same_ids(&run.lines(), &["early", "late"]);
}

#[test]
fn keeps_to_its_range() {
    let tenant = service()
        .blob(hours_ago(30), records([mail("before")]))
        .blob(hours_ago(23), records([mail("first")]))
        .blob(hours_ago(5), records([mail("last")]))
        .blob(hours_ago(2), records([mail("after")]))
        .serve();
    let run = Host::new().backfill_since(&tenant, "24h").args(["--until", "4h"]).run().expect(0);
    assert_same_ids(&run.lines(), &["first", "last"]);
}

#[test]
fn a_tenant_without_content_is_complete_too() {
    let tenant = service().serve();
    let run = Host::new().backfill(&tenant).run().expect(0).says(&["complete: nothing is missing", "0 listed"]);
    assert_eq!(run.stdout, "");
}

#[test]
fn killed_and_resumed_by_hand_the_union_is_complete() {
    let tenant = slow_day().serve();
    let host = Host::new();
    let mut first = host.backfill(&tenant).start();
    // A second batch is written only when the first is committed.
    first.until_lines(100);
    let mut lines = first.sigkill().lines();
    let second = host.backfill(&tenant).arg("--resume").run().expect(0).says(&["going on where"]);
    let again = second.lines();
    assert!(again.len() < tenant.ids().len(), "a resumed run goes on");
    lines.extend(again);
    assert_complete_after_a_kill(&lines, &tenant);
}

#[test]
fn killed_and_run_again_on_the_same_file_it_goes_on_by_itself() {
    let tenant = slow_day().serve();
    let host = Host::new();
    let file = host.path("out.ndjson");
    let output = Output::Appended(file.clone());
    let first = host.backfill(&tenant).output(output.clone()).start();
    until_lines_in(&file, 5);
    first.sigkill();
    let before = host.lines_in("out.ndjson").len();
    host.backfill(&tenant).output(output).run().expect(0).says(&["going on where"]);
    let lines = host.lines_in("out.ndjson");
    let whole: Vec<_> = lines.iter().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).cloned().collect();
    assert!(lines.len() <= whole.len() + 1, "one line at most can be torn by one kill");
    assert!(before < tenant.ids().len());
    assert_complete_after_a_kill(&whole, &tenant);
}

#[test]
fn what_a_shell_has_truncated_is_brought_afresh() {
    let tenant = slow_day().serve();
    let host = Host::new();
    let file = host.path("out.ndjson");
    let first = host.backfill(&tenant).output(Output::Appended(file.clone())).start();
    // A second batch is written only when the first is committed.
    until_lines_in(&file, 100);
    first.sigkill();
    host.backfill(&tenant).output(Output::Truncated(file)).run().expect(0).says(&["starting afresh"]);
    assert_same(&host.lines_in("out.ndjson"), &tenant.lines());
}

#[test]
fn into_another_output_it_starts_afresh_and_says_so() {
    let tenant = slow_day().serve();
    let host = Host::new();
    let mut first = host.backfill(&tenant).start();
    first.until_lines(5);
    first.sigkill();
    let second = host.backfill(&tenant).run().expect(0).says(&["starting afresh", "--resume"]);
    assert_same(&second.lines(), &tenant.lines());
}

#[test]
fn a_finished_run_does_not_hold_back_the_next() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    for _ in 0..2 {
        assert_same_ids(&host.backfill(&tenant).run().expect(0).lines(), &["a"]);
    }
    host.backfill(&tenant).arg("--resume").run().expect(2).says(&["no interrupted run"]);
}

#[test]
fn a_second_one_of_the_same_tenant_is_turned_away() {
    let stall = Fault::Stall { after: None };
    let tenant = service().blob(hours_ago(2), records([mail("a")])).fault(Target::Blob, stall, When::First(1)).serve();
    let host = Host::new();
    let mut first = host.backfill(&tenant).start();
    first.until("it is under way", |_| tenant.ledger().count("blob") > 0);
    let pid = first.pid().to_string();
    let second = host.backfill(&tenant).run().expect(75).says(&["another backfill", &pid]);
    assert_eq!(second.stdout, "");
    assert!(first.is_running());
    first.stop().expect(143);
    assert_eq!(ids_of(&host.backfill(&tenant).run().expect(0).lines()), ["a"]);
}

#[test]
fn interrupted_it_commits_and_says_how_to_go_on() {
    let tenant = slow_day().serve();
    let host = Host::new();
    let mut first = host.backfill(&tenant).start();
    first.until_lines(5);
    first.sigint();
    let first = first.ends().expect(130).says(&["not complete", "--resume"]);
    let mut second = host.backfill(&tenant).arg("--resume").start();
    second.until_lines(5);
    let second = second.stop().expect(143).says(&["not complete", "--resume"]);
    let third = host.backfill(&tenant).arg("--resume").run().expect(0).says(&["complete: nothing is missing"]);
    let lines: Vec<_> = [first, second, third].iter().flat_map(Ended::lines).collect();
    assert_same(&lines, &tenant.lines());
}

#[test]
fn runs_beside_a_poller_and_leaves_its_place_alone() {
    let tenant = service().blob(hours_ago(2), records([mail("a")])).serve();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    let run = host.backfill(&tenant).run().expect(0).says(&["a poller is working", "half"]);
    assert_same_ids(&run.lines(), &["a"]);
    tenant.gets(records([mail("b")]));
    poller.until_lines(2);
    let mut lines = poller.stop().expect(0).lines();
    let mut again = host.poll(&tenant).start();
    again.until_listed_again(&tenant, 3);
    lines.extend(again.stop().expect(0).lines());
    assert_same_ids(&lines, &["a", "b"]);
}

#[test]
fn gaps_are_told_and_the_neighbours_are_delivered() {
    let (expired, is_expired) = named("expired");
    let (poison, is_poison) = named("poison");
    let tenant = service()
        .blob(hours_ago(9), records([mail("before")]))
        .put(NewBlob::new(now() - seconds(3600 * 8), records([mail("x")])).id(&expired))
        .put(NewBlob::new(now() - seconds(3600 * 6), records([mail("whole"), mail("torn")])).id(&poison))
        .blob(hours_ago(5), records([mail("after")]))
        .fault(is_expired, Fault::Expired, When::Always)
        .fault(is_poison, Fault::Wrong(Content::Truncated), When::Always)
        .serve();
    let host = Host::new();
    let run = host.backfill(&tenant).run().expect(3).says(&[
        "1 expired",
        "1 unreadable",
        "4 listed = 2 done + 2 gaps + 0 pending",
        "not everything could be had",
        "dead letters in",
    ]);
    assert_same_ids(&run.lines(), &["before", "after", "whole"]);
    let dead = host.dead_letters(&host.job(&tenant), &tenant);
    assert!(!dead.is_empty());
    assert!(dead.iter().all(|letter| letter["content_id"] == poison), "{dead:?}");
    assert!(!host.state().join("dead-letter").exists(), "a backfill's dead letters are its own");
}

#[test]
fn a_blob_that_the_service_does_not_know_is_a_gap_after_some_attempts() {
    let (gone, is_gone) = named("gone");
    let tenant = service()
        .put(NewBlob::new(now() - seconds(3600 * 7), records([mail("x")])).id(&gone))
        .blob(hours_ago(5), records([mail("neighbour")]))
        .fault(is_gone, Fault::Missing, When::Always)
        .serve();
    let host = Host::new();
    let run = host.backfill(&tenant).run().expect(3).says(&["1 not_found", "2 listed = 1 done + 1 gaps + 0 pending"]);
    assert_same_ids(&run.lines(), &["neighbour"]);
    assert_eq!(tenant.ledger().most_fetches_of_one, 5);
}

#[test]
fn an_element_that_is_no_record_goes_to_the_dead_letters_and_its_neighbours_out() {
    let body = format!("[{},{{\"Id\":\"broken\",\"RecordType\":28,}},{}]", mail("a"), mail("b"));
    let tenant = service().put(NewBlob::new(now() - seconds(7200), body).wanted(["a", "b"])).serve();
    let host = Host::new();
    let run = host.backfill(&tenant).run().expect(3).says(&["1 dead-lettered", "decode"]);
    assert_same_ids(&run.lines(), &["a", "b"]);
    let dead = host.dead_letters(&host.job(&tenant), &tenant);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0]["index"], 1);
    assert_eq!(dead[0]["reason"], "invalid_syntax");
}

/// Every record at least once, and twice only what one uncommitted batch can hold.
#[track_caller]
fn assert_complete_after_a_kill(lines: &[String], tenant: &Tenant) {
    let wanted = tenant.wanted();
    let got = counted(lines);
    let mut repeated = std::collections::BTreeSet::new();
    for record in &wanted {
        let times = got.get(record.line.as_str()).copied().unwrap_or(0);
        assert!(times > 0, "{} is missing", record.id);
        if times > 1 {
            repeated.insert(&record.blob);
        }
    }
    assert!(repeated.len() <= 64, "{} blobs were repeated", repeated.len());
    let wanted: Vec<_> = wanted.into_iter().map(|w| w.line).collect();
    let known = counted(&wanted);
    assert!(lines.iter().all(|line| known.contains_key(line.as_str())), "a line that no blob has");
}

/// Opening a FIFO waits for somebody who writes into it, which is for ever.
#[test]
fn a_fifo_in_the_place_of_a_file_of_its_job_is_refused_at_once_and_stays() {
    use rustix::fs::{CWD, FileType, mknodat};
    let tenant = service().blob(hours_ago(5), records([mail("a")])).serve();
    for_each(&["job.json", "job.json.new", "lock"], |name| {
        let host = Host::new();
        let path =
            host.write(&format!("state/jobs/{}/dead-letter/beside", tenant.id()), "").ancestors().nth(2).unwrap().join(name);
        mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
        let shown = path.display().to_string();
        let refused = host.backfill(&tenant).run().expect(1).says(&[&shown, "a FIFO", "move it elsewhere and start again"]);
        assert_eq!(refused.stdout, "");
        // Who only looks, neither waits nor minds.
        host.run("state").args(["show", "--state-dir", host.state().to_str().unwrap()]).run();
        assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_fifo(), "it is a person's to move");
        std::fs::remove_file(&path).unwrap();
        assert_same(&host.backfill(&tenant).run().expect(0).lines(), &tenant.lines());
    });
}
