//! Requests that start in the very second of a blob: such a listing was seen to lead to a part of the blob
//! (`activity-api.md` section 12, row 6).

use std::time::Duration;

use super::backoff::Jitter;
use super::cases::{BASE, DAY, actions, at, date, follow, memory, settings, told};
use super::listing::{Lister, Place};
use super::*;
use crate::domain::{BlobEntry, ContentId, Window};

fn blob(created: Time) -> BlobEntry {
    let uri = "https://manage.office.com/api/v1.0/t/activity/feed/audit/1".to_owned();
    BlobEntry { id: ContentId("1".into()), created, expires: None, uri }
}

fn lists(actions: Vec<Action>) -> Vec<(ListingId, Window)> {
    let list = |action| match action {
        Action::List { id, window, .. } => Some((id, window)),
        _ => None,
    };
    actions.into_iter().filter_map(list).collect()
}

fn fetches(actions: &[Action]) -> bool {
    actions.iter().any(|a| matches!(a, Action::Fetch(_)))
}

/// Found by the simulation: a blob became available between two listings of a sweep, and the second one began in its second.
#[test]
fn a_blob_whose_second_a_listing_starts_in_is_listed_from_earlier_on_before_it_is_fetched() {
    let mut feed = Feed::new(settings(follow()), memory(BASE - DAY), at(0));
    actions(&mut feed, at(0));
    let first = lists(told(&mut feed, at(1), Standing::Enabled));
    let (id, window) = *first.first().expect("the live end is listed");
    let created = window.from() + Duration::from_millis(300);
    feed.handle(at(2), Input::Entries { id, entries: vec![blob(created)] });
    for (id, _) in first {
        feed.handle(at(2), Input::PageEnd { id, next: None, date: date(at(2)) });
    }
    for clock in 2..300 {
        let now = at(clock);
        let done = actions(&mut feed, now);
        assert!(!fetches(&done), "by the entry of a listing that starts in its second");
        for (id, window) in lists(done) {
            assert!(window.from() != created.floor_second());
            if window.from() < created && created < window.to() {
                feed.handle(now, Input::Entries { id, entries: vec![blob(created)] });
                assert!(fetches(&actions(&mut feed, now)));
                return;
            }
            feed.handle(now, Input::PageEnd { id, next: None, date: date(now) });
        }
    }
    panic!("the moment is not listed again");
}

#[test]
fn a_request_does_not_start_in_the_second_of_a_pending_blob() {
    let server = BASE + DAY;
    let mut lister = Lister::range(BASE, BASE, server);
    let (id, window) = lister.next(Duration::ZERO, server, true).expect("a window");
    assert_eq!(lister.give_way(id, |_| false), Some(window));
    let busy = [window.from(), window.from() + Duration::from_secs(1)];
    let moved = lister.give_way(id, |second| busy.contains(&second)).expect("it is under way");
    assert_eq!(moved, Window::new(window.from() + Duration::from_secs(2), window.to()).unwrap());
    assert_eq!(lister.window(id), Some(moved));
    // Where there is no second left, it stays: the blob is asked for all the same.
    assert_eq!(lister.give_way(id, |_| true), Some(moved));
}

#[test]
fn a_request_with_hardly_an_overlap_gives_way_backwards_but_not_past_the_edge() {
    let seconds = Duration::from_secs;
    let mut lister = Lister::range(BASE, BASE, BASE + seconds(30));
    lister.force_tile(seconds(20));
    let edge = Duration::from_secs((167 * 60 + 59) * 60);
    // The request may begin ten seconds behind the edge.
    let (id, window) = lister.next(Duration::ZERO, BASE - seconds(30) + edge, true).expect("a window");
    let moved = lister.give_way(id, |second| second == window.from()).expect("it is under way");
    assert_eq!(moved.from(), window.from() - seconds(1));
    let stays = lister.give_way(id, |second| second > BASE - seconds(30)).expect("it is under way");
    assert_eq!(stays.from(), BASE - seconds(30));
    assert_eq!(lister.give_way(id, |_| true), Some(stays));
}

/// At the edge there is nothing behind to give way to, but the overlap.
#[test]
fn a_request_at_the_edge_gives_way_into_its_overlap() {
    let edge = Duration::from_secs((167 * 60 + 59) * 60);
    let starts_before = |overlap: u64| {
        let mut lister = Lister::range(BASE, BASE, BASE + DAY);
        let (id, window) = lister.next(Duration::ZERO, BASE + edge - Duration::from_secs(overlap), true).expect("a window");
        assert_eq!(window.from(), BASE - Duration::from_secs(overlap));
        let moved = lister.give_way(id, |second| second == window.from()).expect("it is under way");
        BASE.since(moved.from()).as_secs()
    };
    assert_eq!(starts_before(200), 199);
    assert_eq!(starts_before(62), 61);
    assert_eq!(starts_before(61), 61, "a minute of it stays");
    assert_eq!(starts_before(0), 0);
}

/// A blob in the first second of a request is looked up from earlier on, unless nothing earlier can be asked for.
#[test]
fn where_a_blob_stands_in_a_listing_depends_on_its_first_second_and_the_edge() {
    let edge = Duration::from_secs((167 * 60 + 59) * 60);
    for (server, first) in [(BASE + DAY, Place::Start), (BASE + edge - Duration::from_secs(60), Place::OnlyStart)] {
        let mut lister = Lister::range(BASE, BASE, BASE + DAY);
        let (id, window) = lister.next(Duration::ZERO, server, true).expect("a window");
        assert!(window.from() < BASE);
        assert_eq!(lister.place(id, window.from() + Duration::from_millis(999)), first);
        assert_eq!(lister.place(id, window.from() + Duration::from_secs(1)), Place::Within);
        assert_eq!(lister.place(ListingId(99), window.from()), Place::Within);
    }
}

/// The entry of a listing that starts in the blob's second took the place of the better one that was known.
#[test]
fn a_pending_blob_keeps_its_entry_when_a_listing_starts_in_its_second() {
    let mut feed = Feed::new(settings(follow()), memory(BASE - DAY), at(0));
    actions(&mut feed, at(0));
    let first = lists(told(&mut feed, at(1), Standing::Enabled));
    let (live, window) = *first.first().expect("the live end is listed");
    let (backlog, whole) = *first.last().expect("and the backlog");
    assert!(whole.from() < window.from());
    let created = window.from() + Duration::from_millis(300);
    let worse = BlobEntry { uri: format!("{}-a-part", blob(created).uri), ..blob(created) };
    feed.handle(at(2), Input::Entries { id: backlog, entries: vec![blob(created)] });
    feed.handle(at(2), Input::Entries { id: live, entries: vec![worse] });
    let asked = actions(&mut feed, at(2)).into_iter().find_map(|action| match action {
        Action::Fetch(order) => Some(order.entry),
        _ => None,
    });
    assert_eq!(asked, Some(blob(created)));
}

/// What leads to a part of an unknown blob tells where to look for all of it; of a known blob it tells nothing.
#[test]
fn a_blob_in_the_first_second_of_a_request_is_looked_up_unless_it_is_known() {
    for known in [false, true] {
        let mut feed = Feed::new(settings(follow()), memory(BASE - DAY), at(0));
        actions(&mut feed, at(0));
        let first = lists(told(&mut feed, at(1), Standing::Enabled));
        let ((live, window), (backlog, _)) = (*first.first().expect("the live end"), *first.last().expect("the backlog"));
        let created = window.from() + Duration::from_millis(300);
        if known {
            feed.handle(at(2), Input::Entries { id: backlog, entries: vec![blob(created)] });
        }
        feed.handle(at(2), Input::Entries { id: live, entries: vec![blob(created)] });
        for id in [live, backlog] {
            feed.handle(at(2), Input::PageEnd { id, next: None, date: date(at(2)) });
        }
        let (mut fetched, mut looked) = (false, false);
        // From five minutes before to the end of its second.
        let second = created.floor_second();
        let look = Window::new(second - Duration::from_secs(300), second + Duration::from_secs(1)).unwrap();
        for now in (3..20).map(at) {
            let asked = actions(&mut feed, now);
            fetched |= fetches(&asked);
            for (id, window) in lists(asked) {
                looked |= window == look;
                feed.handle(now, Input::PageEnd { id, next: None, date: date(now) });
            }
        }
        assert_eq!((fetched, looked), (known, !known));
    }
}

/// An entry without a time that can be read was taken for one in the first second of its request, and put off each time.
#[test]
fn a_blob_whose_entry_tells_no_time_is_fetched() {
    let mut feed = Feed::new(settings(follow()), memory(BASE - DAY), at(0));
    actions(&mut feed, at(0));
    let listed = told(&mut feed, at(1), Standing::Enabled);
    let mut fetched = Vec::new();
    for action in listed {
        let Action::List { id, window, stand_in } = action else { continue };
        assert!(window.from() < stand_in && stand_in < window.to());
        feed.handle(at(2), Input::Entries { id, entries: vec![blob(stand_in)] });
        fetched.extend(actions(&mut feed, at(2)).into_iter().filter(|a| fetches(std::slice::from_ref(a))));
    }
    assert_eq!(fetched.len(), 2, "one for each listing");
}

/// What the edge had overtaken was asked for again and again, and the rest never had its turn.
#[test]
fn an_errand_goes_on_behind_the_edge() {
    let mut lister = Lister::range(BASE, BASE, BASE);
    let hours = |n: u64| Duration::from_secs(3600 * n);
    lister.look_again(BASE);
    lister.look_again(BASE + hours(60));
    let server = BASE + hours(170);
    let mut now = Duration::ZERO;
    for _ in 0..10 {
        let Some((id, _)) = lister.next(now, server, true) else { break };
        lister.complete(id, now, 2_000, &mut Jitter::new(1));
        now += Duration::from_secs(1);
    }
    assert!(lister.is_done());
}

#[test]
fn a_second_that_is_added_before_a_look_at_a_moment_is_looked_at_too() {
    let server = BASE + DAY;
    let mut lister = Lister::range(BASE, BASE, BASE);
    let minutes = |n: u64| Duration::from_secs(60 * n);
    lister.look_again(BASE + minutes(30));
    let (id, _) = lister.next(Duration::ZERO, server, true).expect("a window");
    lister.look_again(BASE + minutes(10));
    lister.complete(id, Duration::ZERO, 2_000, &mut Jitter::new(1));
    let (_, window) = lister.next(Duration::ZERO, server, true).expect("a window");
    assert!(window.from() < BASE + minutes(10) && BASE + minutes(10) < window.to(), "{window:?}");
}
