//! Threads that may sleep longer than they ask to.
//!
//! sled's seven wait for work with a limit of a second, and look again when it has passed; work that comes wakes them at once. Of what an
//! idle poller costs these 25,000 wake-ups an hour were a third. A thread hands its timer slack on to those that it makes: within it,
//! Linux lets a timer come when the processor is awake for another reason. No thread but theirs may be made so.

/// How much later than a second they may wake, in nanoseconds.
#[cfg(target_os = "linux")]
const SLACK_NANOS: u64 = 30_000_000_000;

/// Does what may make such threads. This one's own timers are as they were when it began, afterwards; where the system does not know of
/// slack, all are.
#[cfg(target_os = "linux")]
pub(super) fn made<T>(what: impl FnOnce() -> T) -> T {
    use std::num::NonZeroU64;

    use rustix::thread::set_current_timer_slack;

    // Without it they wake as often as they ask to, which costs no more than that.
    let is_set = set_current_timer_slack(NonZeroU64::new(SLACK_NANOS)).is_ok();
    let done = what();
    if is_set {
        // Nothing else here changes a thread's slack, so that what it began with is what it had.
        let _ = set_current_timer_slack(None);
    }
    done
}

/// Does what may make such threads: only Linux can be told.
#[cfg(not(target_os = "linux"))]
pub(super) fn made<T>(what: impl FnOnce() -> T) -> T {
    what()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use rustix::thread::current_timer_slack;

    use super::*;

    #[test]
    fn threads_that_are_made_meanwhile_are_lazy_and_no_other() {
        // The system tells the lower half of it.
        let own = || current_timer_slack().unwrap() as u32;
        let handed_on = || thread::spawn(own).join().unwrap();
        let before = (own(), handed_on());
        assert_eq!(made(handed_on), SLACK_NANOS as u32);
        assert_eq!((own(), handed_on()), before);
        assert!(before.0 != SLACK_NANOS as u32);
    }
}
