//! A reply body on its way, whole or broken as its [`Delivery`] says.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::super::message::{Delivery, ReplyBody};

/// How long a stalled connection stays open: longer than any client should wait.
pub(super) const STALL_MAX: Duration = Duration::from_secs(600);
/// Between the last byte and the break, so that what was sent before also arrives before.
const BREAK_PAUSE: Duration = Duration::from_millis(20);
/// The least time between two pieces of a slow body.
const SLOW_STEP: Duration = Duration::from_millis(50);

/// The body of one reply.
pub(super) struct Sending {
    body: ReplyBody,
    delivery: Delivery,
    /// The total that the head tells, if it tells one.
    length: Option<u64>,
    /// Made and not yet sent.
    pending: Bytes,
    /// How much may still be sent before the delivery breaks off.
    left: u64,
    timer: Option<Pin<Box<Sleep>>>,
    reset: Arc<AtomicBool>,
}

impl Sending {
    pub(super) fn new(body: ReplyBody, delivery: Delivery, reset: Arc<AtomicBool>) -> Self {
        let chunked = matches!(delivery, Delivery::Cut { chunked: true, .. });
        let length = body.known_length().filter(|_| !chunked);
        let left = match delivery {
            Delivery::Cut { after, .. } | Delivery::Stall { after: Some(after) } => after,
            _ => u64::MAX,
        };
        Self { body, delivery, length, pending: Bytes::new(), left, timer: None, reset }
    }

    /// The next piece of at most `most` bytes.
    fn piece(&mut self, most: u64) -> Option<Bytes> {
        if self.pending.is_empty() {
            self.pending = self.body.next_chunk()?;
        }
        let most = usize::try_from(most.min(self.left)).unwrap_or(usize::MAX);
        let piece = self.pending.split_to(most.min(self.pending.len()));
        self.left = self.left.saturating_sub(piece.len() as u64);
        Some(piece)
    }

    /// Waits for the running timer, or starts one and waits for that.
    fn wait(&mut self, time: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(())
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            let pause = if matches!(this.delivery, Delivery::Stall { .. }) { STALL_MAX } else { BREAK_PAUSE };
            ready!(this.wait(pause, cx));
            if matches!(this.delivery, Delivery::Cut { reset: true, .. }) {
                this.reset.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted))));
        }
        let most = match this.delivery {
            Delivery::Slow { bytes_per_second } => {
                let step = SLOW_STEP.max(Duration::from_secs(1) / u32::try_from(bytes_per_second).unwrap_or(u32::MAX).max(1));
                ready!(this.wait(step, cx));
                // Rounded down; a byte at least.
                u64::try_from(u128::from(bytes_per_second) * step.as_millis() / 1000).unwrap_or(u64::MAX).max(1)
            }
            _ => u64::MAX,
        };
        match this.piece(most) {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            // The body ended before the place of the break: break here.
            None if this.breaks() => {
                this.left = 0;
                Pin::new(this).poll_frame(cx)
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0) && !self.breaks()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Sending {
    fn breaks(&self) -> bool {
        matches!(self.delivery, Delivery::Cut { .. } | Delivery::Stall { .. })
    }
}
