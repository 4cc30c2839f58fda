//! Signals in each phase of a collection: told to end, or made to stand still.
//!
//! A relay holds a phase for as long as a story needs; whatever happens in it, what is delivered is committed, the end comes
//! in time with the right code, and the next run brings the rest and nothing twice.

use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Instant;

use crate::vocabulary::*;

/// Where a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first reply to this call does not begin.
    Head(Call),
    /// It stops in its middle.
    Body(Call),
    /// Nobody reads what it writes.
    Write,
    /// Everything is done until the next poll.
    Sleep,
}

const PHASES: [Phase; 11] = [
    Phase::Head(Call::Token),
    Phase::Body(Call::Token),
    Phase::Head(Call::Subscriptions),
    Phase::Head(Call::FirstPage),
    Phase::Body(Call::FirstPage),
    Phase::Head(Call::NextPage),
    Phase::Body(Call::NextPage),
    Phase::Head(Call::Blob),
    Phase::Body(Call::Blob),
    Phase::Write,
    Phase::Sleep,
];

/// More records than a pipe holds, in more than one batch if nobody reads it.
fn tenant() -> Tenant {
    let blob = |n: u64| records((0..30).map(|i| mail(&format!("record-{n}-{i}"))).chain([noise(&format!("noise-{n}"))]));
    (0..6).fold(service().pages_of(2), |story, n| story.blob(minutes_ago(100 + n), blob(n))).serve()
}

/// A relay that holds at that phase. Some blobs come before the one that is held.
fn holds(tenant: &Tenant, phase: Phase) -> Relay {
    Relay::to(tenant).does(move |asked| {
        let (call, in_body) = match phase {
            Phase::Head(call) => (call, false),
            Phase::Body(call) => (call, true),
            Phase::Write | Phase::Sleep => return Act::Pass,
        };
        if asked.call != call || asked.nth != if call == Call::Blob { 3 } else { 1 } {
            return Act::Pass;
        }
        reply(move |answer| {
            let bytes = answer.bytes();
            let at = if in_body { answer.head.len() + answer.body.len() / 2 } else { 0 };
            vec![Step::Send(bytes[..at].to_vec()), Step::Hold, Step::Send(bytes[at..].to_vec())]
        })
    })
}

/// A command that has come to that phase.
fn reaches(program: Program, phase: Phase, relay: &Relay, tenant: &Tenant) -> Started {
    let output = if phase == Phase::Write { Output::Unread } else { Output::Read };
    let mut started = program.output(output).start();
    match phase {
        Phase::Head(_) | Phase::Body(_) => started.until("a reply is held", |_| relay.is_holding()),
        Phase::Write => {
            started.until("it has blobs", |_| tenant.ledger().count("blob") >= 6);
            // What the pipe does not hold is being written now, or soon.
            std::thread::sleep(millis(300));
        }
        Phase::Sleep => started.until_all_of(tenant),
    }
    started
}

/// Tells of a command that is told to end in each phase in which it can be.
fn ends_in_each_phase(
    phases: &[Phase],
    command: fn(&Host, &Tenant) -> Program,
    rest: fn(&Host, &Tenant) -> Program,
    interrupts: bool,
    code: i32,
) {
    for_each(phases, |phase| {
        let tenant = tenant();
        let relay = holds(&tenant, *phase);
        let host = Host::new();
        let started = reaches(command(&host, &tenant).through(&relay), *phase, &relay, &tenant);
        let told = Instant::now();
        if interrupts {
            started.sigint()
        } else {
            started.sigterm()
        }
        let first = started.ends().expect(code).says(&["told to stop"]);
        assert!(told.elapsed() < allowed(seconds(5)), "{phase:?}: {:?}", told.elapsed());
        assert!(first.peak <= MEMORY_STEADY, "{phase:?}: {}", first.peak);
        relay.release();
        let second = rest(&host, &tenant).run().expect(0);
        let wanted = tenant.lines();
        if *phase == Phase::Write {
            // The batch that could not be written to its end comes again; it is all that may.
            let whole = first.stdout.rfind('\n').map_or("", |end| &first.stdout[..end]);
            let both: Vec<_> = whole.lines().map(str::to_owned).chain(second.lines()).collect();
            let counts = counted(&both);
            assert!(wanted.iter().all(|line| counts.contains_key(line.as_str())), "nothing is missing");
            assert_eq!(counts.len(), wanted.len(), "nothing is torn");
            assert!(counts.values().all(|times| *times <= 2));
        } else {
            assert_same(&[first.lines(), second.lines()].concat(), &wanted);
        }
    });
}

fn slow_poll(host: &Host, tenant: &Tenant) -> Program {
    host.poll(tenant).args(["--poll-interval", "1h"])
}

#[test]
fn sigterm_ends_a_poller_with_0_in_each_phase() {
    ends_in_each_phase(&PHASES, slow_poll, Host::poll_once, false, 0);
}

#[test]
fn sigint_ends_a_poller_with_0_in_each_phase() {
    ends_in_each_phase(&PHASES, slow_poll, Host::poll_once, true, 0);
}

/// One-shot commands don't sleep.
const AT_WORK: [Phase; 10] = {
    let mut phases = [Phase::Write; 10];
    let mut n = 0;
    while n < phases.len() {
        phases[n] = PHASES[n];
        n += 1;
    }
    phases
};

#[test]
fn sigterm_ends_one_shot_commands_with_143_in_each_phase() {
    ends_in_each_phase(&AT_WORK, Host::backfill, |host, tenant| host.backfill(tenant).arg("--resume"), false, 143);
}

#[test]
fn sigint_ends_one_shot_commands_with_130_in_each_phase() {
    ends_in_each_phase(&AT_WORK, Host::poll_once, Host::poll_once, true, 130);
}

/// As a debugger, a suspended machine or a frozen cgroup does. The reply that was held comes while nobody is there.
#[test]
fn a_poller_that_stood_still_in_any_phase_goes_on_as_if_nothing_had_been() {
    for_each(&PHASES, |phase| {
        let tenant = tenant();
        let relay = holds(&tenant, *phase);
        let host = Host::new();
        let mut poller = reaches(slow_poll(&host, &tenant).through(&relay), *phase, &relay, &tenant);
        poller.stands_still();
        relay.release();
        std::thread::sleep(millis(700));
        poller.goes_on();
        poller.read();
        poller.until_all_of(&tenant);
        let run = poller.stop().expect(0).does_not_say(&["request_failed", "blob_delayed"]);
        assert_same(&run.lines(), &tenant.lines());
        assert_eq!(host.poll_once(&tenant).run().expect(0).stdout, "", "{phase:?}: all is committed");
    });
}

/// The tenant's connections break while it stands still, and its token ends.
#[test]
fn a_poller_that_stood_still_for_longer_than_its_token_lived_goes_on() {
    let tenant = service().tokens_live(seconds(2)).blob(hours_ago(1), records([mail("a")])).serve();
    let port = tenant.port();
    let host = Host::new();
    let mut poller = host.poll(&tenant).start();
    poller.until_lines(1);
    poller.stands_still();
    tenant.shut();
    let tenant = service().tokens_live(seconds(2)).blob(hours_ago(1), records([mail("b")])).serve_at(port);
    std::thread::sleep(seconds(3));
    poller.goes_on();
    poller.until_lines(2);
    assert_same_ids(&poller.stop().expect(0).lines(), &["a", "b"]);
    drop(tenant);
}

#[test]
fn a_second_signal_ends_at_once() {
    for_each(&[Phase::Head(Call::Blob), Phase::Body(Call::Blob), Phase::Write], |phase| {
        let tenant = tenant();
        let relay = holds(&tenant, *phase);
        let host = Host::new();
        let mut poller = reaches(slow_poll(&host, &tenant).through(&relay), *phase, &relay, &tenant);
        let told = Instant::now();
        poller.sigterm();
        poller.until_said("told to stop");
        poller.sigint();
        let first = poller.ends();
        assert_eq!(first.code(), Some(130), "{phase:?}");
        assert!(told.elapsed() < allowed(seconds(1)), "{phase:?}: {:?}", told.elapsed());
        relay.release();
        let second = host.poll_once(&tenant).run().expect(0);
        let whole = first.stdout.rfind('\n').map_or("", |end| &first.stdout[..end]);
        let got: Vec<_> = whole.lines().map(str::to_owned).chain(second.lines()).collect();
        let counts = counted(&got);
        assert!(tenant.lines().iter().all(|line| counts.contains_key(line.as_str())), "{phase:?}");
    });
}

/// Wherever it is: in the middle of a write or a commit too. Nothing is repeated, because what is written is committed.
#[test]
fn a_poller_told_to_end_at_random_moments_loses_and_repeats_nothing() {
    let tenant = service().content(100, hours_ago(6)).until(minutes_ago(2)).with(|c| c.quota = None).serve();
    let host = Host::new();
    let mut seed = RandomState::new().hash_one(());
    let story = format!("the random moments follow from {seed}");
    let wanted = tenant.lines();
    let mut lines: Vec<String> = Vec::new();
    for n in 0..12 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut poller = host.poll(&tenant).start();
        // In the first runs there is much to do.
        match n {
            0..4 => poller.until_lines(1),
            4..8 => poller.until_listed_again(&tenant, 1),
            _ => poller.until_it_hears_signals(),
        }
        std::thread::sleep(millis((seed >> 33) % 60));
        lines.extend(poller.stop().expect(0).lines());
        if lines.len() == wanted.len() {
            break;
        }
    }
    lines.extend(host.poll_once(&tenant).run().expect(0).lines());
    let counts = counted(&lines);
    assert!(wanted.iter().all(|line| counts.contains_key(line.as_str())), "lines are missing; {story}");
    assert_eq!(lines.len(), wanted.len(), "lines are repeated; {story}");
}

/// A state that somebody else holds for a while.
fn held(state: &Path) -> File {
    DirBuilder::new().mode(0o700).recursive(true).create(state).unwrap();
    let lock = File::create(state.join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// It ended by the signal: a service manager takes that for a failure.
#[test]
fn a_signal_while_the_state_is_being_opened_ends_like_any_other() {
    let tenant = tenant();
    let command = |name: &str, host: &Host| match name {
        "poll" => host.poll(&tenant),
        "once" => host.poll_once(&tenant),
        _ => host.backfill(&tenant),
    };
    for_each(
        &[("poll", false, 0), ("poll", true, 0), ("once", false, 143), ("backfill", true, 130)],
        |(name, interrupts, code)| {
            let host = Host::new();
            let state = if *name == "backfill" { host.job(&tenant).join("store") } else { host.state() };
            let held = held(&state);
            let mut started = command(name, &host).start();
            started.until_it_hears_signals();
            let told = Instant::now();
            if *interrupts {
                started.sigint()
            } else {
                started.sigterm()
            }
            std::thread::sleep(millis(100));
            drop(held);
            let first = started.ends().expect(*code);
            assert!(told.elapsed() < allowed(seconds(5)), "{name}: {:?}", told.elapsed());
            assert_eq!(first.stdout, "", "{name}: nothing is begun that is not ended");
            let rest = host.poll_once(&tenant).run().expect(0);
            assert_same(&rest.lines(), &tenant.lines());
        },
    );
}

/// As on a disk that does not answer: opening takes for ever, and the end comes all the same.
#[test]
fn a_signal_while_the_opening_hangs_ends_in_time() {
    let tenant = tenant();
    for_each(&[(false, 143), (true, 130)], |(interrupts, code)| {
        let host = Host::new();
        // A file that nobody gets to the end of: it takes no room, and hours to read.
        let endless = host.write("state/sled.v1/db", "");
        File::options().write(true).open(&endless).unwrap().set_len(1 << 43).unwrap();
        let mut once = host.poll_once(&tenant).start();
        once.until_it_hears_signals();
        std::thread::sleep(millis(300));
        let told = Instant::now();
        if *interrupts {
            once.sigint()
        } else {
            once.sigterm()
        }
        once.ends().expect(*code).says(&["start_abandoned"]);
        assert!(told.elapsed() < allowed(seconds(5)), "{:?}", told.elapsed());
        std::fs::remove_file(&endless).unwrap();
        assert_same(&host.poll_once(&tenant).run().expect(0).lines(), &tenant.lines());
    });
}
