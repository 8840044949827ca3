//! The thread that writes, and the queue before it.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use metrics::{Counter, counter};

use super::{
    files::{Files, JournalSettings, Places},
    line::{Line, Stated},
};
use crate::{
    metrics as names,
    record::{DAY, UnixMillis},
};

/// How long a written line waits for the disk at most.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How long the thread rests after what it has written: lines that come meanwhile are written together, and none of them has
/// to wake it. That was a tenth of what a send costs.
const REST: Duration = Duration::from_millis(5);
/// Lines written before the buffer goes to the system although more are waiting.
const BATCH_MAX: usize = 512;

/// What waits.
enum Entry {
    Line(Line),
    State(Box<Stated>),
}

/// The journal. Call it under the lock that decisions are made under: its order is theirs.
pub struct Journal {
    /// `None` once it is closed.
    queue: Mutex<Option<SyncSender<Entry>>>,
    shared: Arc<Shared>,
    /// The day whose state was told.
    told_day: AtomicU64,
    wants_state: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What queue and thread both count.
struct Shared {
    /// Lines that were dropped and not yet told of.
    lost: AtomicU64,
    lines: Counter,
    dropped: Counter,
}

impl Journal {
    /// Opens the directories and starts the thread. Metrics are bound now: install the recorder first.
    ///
    /// # Errors
    /// The directories cannot be made, or the thread cannot be started.
    pub fn start(places: Places, settings: JournalSettings) -> io::Result<Self> {
        let files = Files::open(places, settings)?;
        let (queue, waiting) = mpsc::sync_channel(settings.queue_max);
        let shared = Arc::new(Shared {
            lost: AtomicU64::new(0),
            lines: counter!(names::JOURNAL_LINES),
            dropped: counter!(names::JOURNAL_DROPPED),
        });
        let of_thread = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("journal".to_owned()).spawn(move || write(files, &waiting, &of_thread))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            shared,
            told_day: AtomicU64::new(0),
            wants_state: AtomicBool::new(true),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Appends a line, after a gap line if any was lost. Never waits.
    pub fn append(&self, line: Line) {
        let at = line.at();
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            if !self.push(Entry::Line(Line::Gap { at, lines: lost })) {
                // The gap line itself is no loss; the line that comes now is.
                self.shared.lose(lost + 1);
                return;
            }
            self.wants_state.store(true, Ordering::Relaxed);
        }
        if !self.push(Entry::Line(line)) {
            self.shared.lose(1);
        }
    }

    /// True if the guard's state should be told now: at a start, on a new day, after a gap.
    pub fn wants_state(&self, now: UnixMillis) -> bool {
        self.wants_state.load(Ordering::Relaxed) || now.0 / DAY > self.told_day.load(Ordering::Relaxed)
    }

    /// Tells the state as it stands after the last line. If there is no room it is wanted again.
    pub fn append_state(&self, stated: Stated) {
        let day = stated.line.at.0 / DAY;
        if self.push(Entry::State(Box::new(stated))) {
            self.told_day.fetch_max(day, Ordering::Relaxed);
            self.wants_state.store(false, Ordering::Relaxed);
        }
    }

    /// Writes all that waits and makes it durable. What is appended afterwards is dropped.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
    }

    /// Lines lost and not yet told of.
    #[cfg(test)]
    pub(super) fn losses(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    fn push(&self, entry: Entry) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().map(|queue| queue.try_send(entry)) {
            Some(Ok(())) => true,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => false,
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
        self.dropped.increment(lines);
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

fn write(mut files: Files, waiting: &Receiver<Entry>, shared: &Shared) {
    let mut synced_at = Instant::now();
    let mut is_dirty = false;
    loop {
        let patience = SYNC_EVERY.saturating_sub(synced_at.elapsed());
        let first = match waiting.recv_timeout(if is_dirty { patience } else { SYNC_EVERY }) {
            Ok(entry) => Some(entry),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let batch = first.into_iter().chain(std::iter::from_fn(|| waiting.try_recv().ok())).take(BATCH_MAX);
        let written = append(&mut files, batch, shared);
        is_dirty |= written > 0;
        if is_dirty && synced_at.elapsed() >= SYNC_EVERY {
            told(files.sync(), "sync", 0, shared, &mut files);
            (is_dirty, synced_at) = (false, Instant::now());
        }
        if written > 0 {
            #[expect(clippy::disallowed_methods, reason = "no runtime thread, but its own")]
            thread::sleep(REST);
        }
    }
    told(files.sync(), "sync", 0, shared, &mut files);
}

/// Writes what waits, and hands it to the system; how many lines.
fn append(files: &mut Files, batch: impl Iterator<Item = Entry>, shared: &Shared) -> u64 {
    let mut written = 0;
    for entry in batch {
        let result = match entry {
            Entry::Line(line) => files.append(&line),
            Entry::State(stated) => files.append_state(*stated),
        };
        if told(result, "write", 1, shared, files) {
            written += 1;
        }
    }
    // Of a buffer that cannot be written nobody knows how much of it was.
    if told(files.flush(), "write", written, shared, files) {
        shared.lines.increment(written);
    }
    written
}

/// True if it went well; else it is told, counted, and a new file is begun.
fn told(result: io::Result<()>, action: &'static str, lines: u64, shared: &Shared, files: &mut Files) -> bool {
    let Err(error) = result else { return true };
    tracing::error!(action, kind = %error.kind(), "the audit journal cannot be written");
    shared.lose(lines);
    files.give_up_current();
    false
}
