//! A thread that does one thing again and again, after a pause that the work itself names or sooner when it is woken, and
//! ends when it is dropped.

use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What the thread is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Wait,
    Work,
    Stop,
}

/// The thread's handle.
pub(super) struct Beat {
    desk: Arc<Desk>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Desk {
    told: Mutex<Told>,
    changed: Condvar,
}

impl Desk {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, what: Told) {
        let mut told = self.told();
        if *told != Told::Stop {
            *told = what;
        }
        drop(told);
        self.changed.notify_all();
    }

    /// Waits for its time or a word; false: it is over.
    fn wait(&self, pause: Duration) -> bool {
        let waiting = self.changed.wait_timeout_while(self.told(), pause, |told| *told == Told::Wait);
        let (mut told, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        if *told == Told::Stop {
            return false;
        }
        *told = Told::Wait;
        true
    }
}

impl Beat {
    /// Starts the thread; `work` is first done after `pause`, and answers the next one.
    pub(super) fn start(
        name: &str,
        mut pause: Duration,
        mut work: impl FnMut() -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let desk = Arc::new(Desk { told: Mutex::new(Told::Wait), changed: Condvar::new() });
        let thread = thread::Builder::new().name(name.to_owned()).spawn({
            let desk = Arc::clone(&desk);
            move || {
                while desk.wait(pause) {
                    pause = work();
                }
            }
        })?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Has it work now instead of when its time has come.
    pub(super) fn wake(&self) {
        self.desk.tell(Told::Work);
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.desk.tell(Told::Stop);
        if let Some(Err(_panic)) = self.thread.take().map(thread::JoinHandle::join) {
            tracing::error!("a thread of the store panicked");
        }
    }
}

impl fmt::Debug for Beat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beat").finish_non_exhaustive()
    }
}
