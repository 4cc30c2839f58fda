//! Connections that are reset: at every byte of a small exchange, in both directions, and as the whole process meets it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use defender_feed::wire::Timeouts;

use crate::vocabulary::*;

/// What a collection is when it is as small as it can be: a token, the subscriptions, two pages, a blob for each. The blobs
/// are of one length, so that it is the same which of them is cut.
fn small(story: Story) -> Story {
    let element = |record_type: u32, id: &str| format!(r#"{{"Id":"{id}","RecordType":{record_type}}}"#);
    story
        .pages_of(1)
        .blob(minutes_ago(100), records([element(28, "a"), element(20, "b")]))
        .blob(minutes_ago(99), records([element(64, "c"), element(20, "d")]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Request,
    Reply,
}

/// The largest message of each kind, and the bytes at which one was cut.
#[derive(Default)]
struct Account {
    longest: BTreeMap<(Call, Direction), usize>,
    cut: BTreeMap<(Call, Direction), BTreeSet<usize>>,
}

impl Account {
    fn saw(&mut self, call: Call, direction: Direction, length: usize) {
        let longest = self.longest.entry((call, direction)).or_default();
        *longest = length.max(*longest);
    }

    /// Notes that a message was cut.
    fn cut(&mut self, call: Call, direction: Direction, at: usize) {
        self.cut.entry((call, direction)).or_default().insert(at);
    }

    /// Where no message of a kind was cut yet. Nothing is known before a message of each kind was seen.
    fn missed(&self) -> BTreeSet<usize> {
        let missed = |(kind, longest): (&(Call, Direction), &usize)| {
            let cut = self.cut.get(kind).cloned().unwrap_or_default();
            (0..=*longest).filter(move |at| !cut.contains(at)).collect::<Vec<_>>()
        };
        self.longest.iter().flat_map(missed).collect()
    }
}

/// Cuts the first request of each kind at that byte, and after it one reply that says something and is as long.
fn cuts_at(relay: Relay, at: usize, account: &Arc<Mutex<Account>>) -> Relay {
    let (account, done) = (account.clone(), Arc::new(Mutex::new(BTreeSet::new())));
    relay.does(move |asked| {
        let mut seen = account.lock().unwrap();
        seen.saw(asked.call, Direction::Request, asked.length);
        if asked.nth == 1 && at <= asked.length {
            seen.cut(asked.call, Direction::Request, at);
            return Act::CutRequest(at);
        }
        let (account, done) = (account.clone(), done.clone());
        reply(move |answer| {
            let bytes = answer.bytes();
            let mut seen = account.lock().unwrap();
            // Not of an error: on the fast clock a token may end in the middle.
            if answer.body != b"[]" && answer.head.starts_with(b"HTTP/1.1 200") {
                seen.saw(asked.call, Direction::Reply, bytes.len());
                if at <= bytes.len() && done.lock().unwrap().insert(asked.call) {
                    seen.cut(asked.call, Direction::Reply, at);
                    return vec![Step::Send(bytes[..at].to_vec()), Step::Reset];
                }
            }
            vec![Step::Send(bytes)]
        })
    })
}

/// Not a sample: each byte of each message of a collection, of requests and of replies. Each is cut in a collection of its
/// own, which goes on as the product does and must end with everything, once.
#[test]
fn a_reset_at_any_byte_of_any_message_loses_and_repeats_nothing() {
    let tenant = small(fast_service()).tokens_live(seconds(30 * 86_400)).serve();
    let wanted = tenant.lines();
    assert_eq!(wanted.len(), 2);
    let account = Arc::new(Mutex::new(Account::default()));
    let runs = AtomicUsize::new(0);
    let run = |at| {
        let relay = cuts_at(Relay::to(&tenant), at, &account);
        let run = run_inside(&relay.url(), &tenant, wanted.len(), Timeouts::default());
        run.is_complete(&format!("cut at {at}"));
        assert_same(&run.lines, &wanted);
        runs.fetch_add(1, Ordering::SeqCst);
    };
    // The first of them show how long the messages are. Which windows a listing has depends on the time, and so whether a
    // page of that length was among them: what was missed is done again.
    run(0);
    for round in 0.. {
        let missed: Vec<_> = account.lock().unwrap().missed().into_iter().collect();
        if missed.is_empty() {
            break;
        }
        assert!(round < 20, "these bytes are never met: {missed:?}");
        let next = AtomicUsize::new(0);
        for_each(&[(); 16], |()| {
            while let Some(at) = missed.get(next.fetch_add(1, Ordering::SeqCst)) {
                run(*at);
            }
        });
    }
    let account = account.lock().unwrap();
    assert_eq!(account.longest.len(), 2 * Call::ALL.len());
    assert!(account.longest.values().all(|length| *length > 100), "{:?}", account.longest);
    let places: usize = account.cut.values().map(BTreeSet::len).sum();
    assert!(places > 5_000, "{places}");
    eprintln!("{places} places cut in {} collections", runs.load(Ordering::SeqCst));
}

/// Polls a tenant without a subscription, whose start is cut there. Gives how long the message was that was cut.
fn start_cut_at(direction: Direction, at: usize) -> usize {
    // So the tenant, measured once: what became available before the very first start can be had.
    let story = small(fast_service()).tokens_live(seconds(30 * 86_400)).unsubscribed();
    let tenant = story.with(|c| c.history_before_start = true).serve();
    let length = Arc::new(AtomicUsize::new(0));
    let seen = length.clone();
    let relay = Relay::to(&tenant).does(move |asked| {
        let seen = seen.clone();
        match direction {
            _ if asked.call != Call::Start || asked.nth > 1 => Act::Pass,
            Direction::Request => {
                seen.store(asked.length, Ordering::SeqCst);
                Act::CutRequest(at)
            }
            Direction::Reply => reply(move |answer| {
                seen.store(answer.bytes().len(), Ordering::SeqCst);
                vec![Step::Send(answer.bytes()[..at].to_vec()), Step::Reset]
            }),
        }
    });
    let run = run_inside(&relay.url(), &tenant, tenant.lines().len(), Timeouts::default());
    run.is_complete(&format!("{direction:?} cut at {at}"));
    assert_same(&run.lines, &tenant.lines());
    // The service refuses a start that comes too soon after the one before, and what was cut may have been one.
    let starts = relay.asked(Call::Start);
    assert!(starts <= 2, "{direction:?} cut at {at}: {starts} starts");
    length.load(Ordering::SeqCst)
}

/// The one call that changes something at the service: whether it did, nobody knows who was cut off.
#[test]
fn a_reset_at_any_byte_of_the_start_of_a_subscription_loses_and_repeats_nothing() {
    for direction in [Direction::Request, Direction::Reply] {
        let length = start_cut_at(direction, 0);
        assert!(length > 100, "{length}");
        let next = AtomicUsize::new(1);
        for_each(&[(); 128], |()| {
            while let Some(at) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|at| *at <= length) {
                start_cut_at(direction, at);
            }
        });
    }
}

/// Where the first so many messages of a kind are cut, in parts of a thousand.
fn in_parts(direction: Direction, thousandths: usize, asked: Asked) -> Act {
    match direction {
        Direction::Request => Act::CutRequest(asked.length * thousandths / 1000),
        Direction::Reply => reply(move |answer| {
            let bytes = answer.bytes();
            vec![Step::Send(bytes[..bytes.len() * thousandths / 1000].to_vec()), Step::Reset]
        }),
    }
}

/// The same with the real binary, its own pauses, its own output and its own store: each kind of call in turn.
#[test]
fn the_binary_goes_on_after_resets_of_every_kind_of_call() {
    for_each(&Call::ALL, |call| {
        let tenant = small(service()).serve();
        for (direction, thousandths) in [(Direction::Request, 1000), (Direction::Reply, 0), (Direction::Reply, 990)] {
            let call = *call;
            let plan = move |asked: Asked| {
                if asked.call == call && asked.nth == 1 { in_parts(direction, thousandths, asked) } else { Act::Pass }
            };
            let relay = Relay::to(&tenant).does(plan);
            let run = Host::new().backfill(&tenant).through(&relay).run().expect(0);
            assert_same(&run.lines(), &tenant.lines());
            assert!(relay.asked(call) > 1, "{call:?} was cut");
        }
    });
}

/// A line that resets every third connection somewhere, for as long as the poller runs.
#[test]
fn a_poller_on_a_line_that_keeps_breaking_delivers_everything_once() {
    let tenant = small(service()).serve();
    let relay = Relay::to(&tenant).does(|asked| {
        let direction = if asked.nth.is_multiple_of(2) { Direction::Request } else { Direction::Reply };
        if asked.nth.is_multiple_of(3) { in_parts(direction, asked.nth * 37 % 1000, asked) } else { Act::Pass }
    });
    let host = Host::new();
    let mut poller = host.poll(&tenant).through(&relay).start();
    for n in 0..6 {
        tenant.gets(records([mail(&format!("new-{n}"))]));
        poller.until_all_of(&tenant);
    }
    assert_same(&poller.stop().expect(0).lines(), &tenant.lines());
}
