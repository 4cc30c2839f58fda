//! Many cases side by side. They mostly wait, so there are more of them than cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Does `work` for each of `jobs`, `width` of them at a time; gives the results in the order in which they came.
pub(crate) fn each<J: Sync, R: Send>(jobs: &[J], width: usize, work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..width.max(1) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    sender.send(work(job)).expect("the receiver outlives the threads");
                }
            });
        }
        drop(sender);
        receiver.iter().collect()
    })
}
