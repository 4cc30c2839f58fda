//! The words in which the tests speak of listings.

use super::*;
use crate::domain::Window;
use crate::feed::ListingId;
use crate::feed::listing::{Lister, Purpose};

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 24 * HOUR;
/// Long after all that is listed, and well within retention.
pub(super) const LATER: u64 = 60 * HOUR;

pub(super) fn range(hours: u64) -> Lister {
    Lister::range(BASE, BASE, server(hours * HOUR))
}

/// A poller that has come to the tests' beginning.
pub(super) fn following(interval: Duration) -> Lister {
    Lister::following(BASE - secs(20 * DAY), BASE, interval, secs(2 * HOUR), false)
}

pub(super) fn next(lister: &mut Lister, now: Duration, at: u64) -> (ListingId, Purpose, Window) {
    let (id, window) = lister.next(now, server(at), true).expect("a window is due");
    assert_eq!(lister.window(id), Some(window));
    (id, lister.purpose(id).unwrap(), window)
}

pub(super) fn nothing(lister: &mut Lister, now: Duration, at: u64) -> bool {
    lister.next(now, server(at), true).is_none()
}

pub(super) fn window(from: Time, to: Time) -> Window {
    Window::new(from, to).unwrap()
}

pub(super) fn complete(lister: &mut Lister, id: ListingId, now: Duration) {
    assert_eq!(lister.page(id, None, None), Ok(false));
    lister.complete(id, now, 2_000, &mut jitter());
}

/// With everything up to `at` listed and nothing under way.
pub(super) fn caught_up(interval: Duration, now: Duration, at: u64) -> Lister {
    let mut lister = following(interval);
    for _ in 0..2 {
        let (id, ..) = next(&mut lister, now, at);
        complete(&mut lister, id, now);
    }
    assert_eq!((lister.frontier(), lister.live_from()), (Some(server(at)), Some(server(at))));
    lister
}
