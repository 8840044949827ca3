//! Work that goes on when nobody waits for it any more.
//!
//! It runs where it is awaited, which costs no task and no change of thread, and moves into a task of its own only when
//! whoever awaits it is dropped half-way: a client that hung up, a request that took too long.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// The work of one request. On the heap from the first: it is large, and whoever awaits it has no use for room of its size.
pub(super) struct ToItsEnd<'a, T: 'static> {
    /// `None` once it has ended.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    has_begun: bool,
    tasks: &'a TaskTracker,
}

/// A use case panicked; what it was has been logged by then.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked;

/// Runs `work`; dropped after its beginning, it is finished among `tasks`. Never begun, nothing of it happens.
///
/// # Errors
/// [`Panicked`], so that the caller answers in its own form. Nothing of `work` is used after that.
pub(super) fn to_its_end<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> ToItsEnd<'_, Result<T, Panicked>> {
    let work = AssertUnwindSafe(work).catch_unwind().map(|ended| ended.map_err(|_| Panicked));
    ToItsEnd { work: Some(Box::pin(work)), has_begun: false, tasks }
}

impl<T> Future for ToItsEnd<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.has_begun = true;
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T> Drop for ToItsEnd<'_, T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.has_begun) else { return };
        // Without a runtime the process is over.
        if let Ok(runtime) = Handle::try_current() {
            let _goes_on = runtime.spawn(self.tasks.track_future(async move { drop(work.await) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use futures_util::FutureExt;

    use super::*;

    /// Adds one, waits, and adds ten.
    fn work(steps: &Arc<AtomicU32>) -> impl Future<Output = ()> + Send + 'static {
        let steps = Arc::clone(steps);
        async move {
            steps.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            steps.fetch_add(10, Ordering::SeqCst);
        }
    }

    /// security 35: what has begun is finished, and waited for.
    #[tokio::test]
    async fn begun_and_dropped_it_goes_on() {
        let (tasks, steps) = (TaskTracker::new(), Arc::new(AtomicU32::new(0)));
        drop(to_its_end(&tasks, work(&steps)));
        assert_eq!(steps.load(Ordering::SeqCst), 0, "never begun");
        assert_eq!(to_its_end(&tasks, work(&steps)).now_or_never(), None, "dropped half-way");
        tasks.close();
        tasks.wait().await;
        assert_eq!(steps.load(Ordering::SeqCst), 11);
    }

    /// A panic is answered, and nothing is run twice.
    #[tokio::test]
    async fn a_panic_ends_it() {
        let (tasks, steps) = (TaskTracker::new(), Arc::new(AtomicU32::new(0)));
        let before = work(&steps);
        let panics = to_its_end(&tasks, async move {
            before.await;
            std::panic::panic_any("on purpose");
        });
        assert_eq!(panics.await, Err::<(), _>(Panicked));
        assert!(tasks.is_empty());
        assert_eq!(steps.load(Ordering::SeqCst), 11);
    }
}
