//! Group commit: the one place where changes wait for the disk.
//!
//! ```text
//! actors --try_send--> bounded queue --all that waits--> store.commit --one sync--> an answer to each
//! ```
//!
//! Owns: the queue and its limits, the order of batches, the answers, the close of the store. While one batch is
//! made durable the next one fills, so batches form by themselves; when changes come thick but few of them wait, the next
//! batch waits a moment, because each costs a sync and wakes its callers one by one. A lone change never waits for
//! company. A change that would wait too long is refused at once (`backlog`), unless it is what follows from something that
//! was done already. Never retries, never looks into a snapshot beyond its header.

use std::{
    fmt, io,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{Change, Committed, SnapshotStore, StoreFault, backlog::Backlog};
use crate::record::snapshot::Header;

/// Limits of the queue and of one batch.
#[derive(Debug, Clone, Copy)]
pub struct CommitterSettings {
    /// Changes that may wait; a further one is refused at once. Default 4,096: at 10,000 commits/s the last
    /// one waits under half a second, which a client still waits for; more would only be late.
    pub queue_max: usize,
    /// Changes per batch. Default 512: beyond it a batch takes longer and carries no more per second.
    pub batch_max: usize,
    /// Bytes of snapshots and events per batch. Default 100 KiB: bounds the time of one sync.
    pub batch_bytes_max: usize,
    /// Bytes of one snapshot; a larger one is refused. Default 64 KiB: eight times what a record may grow to,
    /// so only a defect meets it.
    pub record_bytes_max: usize,
    /// Least time from the beginning of one batch to that of the next, while fewer than 64 changes wait. Default
    /// 1 ms: at 64 callers a tenth less CPU per change, for half a millisecond more.
    pub gap: Duration,
    /// Longest wait, as it is estimated from the batches before; who would wait longer is refused at once. Default 2 s:
    /// a person waits that long, and it is over well before the caller gives up.
    pub wait_max: Duration,
}

/// So many changes that wait are worth a batch at once.
const CROWD: usize = 64;

impl Default for CommitterSettings {
    fn default() -> Self {
        Self {
            queue_max: 4096,
            batch_max: 512,
            batch_bytes_max: 100 << 10,
            record_bytes_max: 64 << 10,
            gap: Duration::from_millis(1),
            wait_max: Duration::from_secs(2),
        }
    }
}

/// Told once, when the store has failed for good. Expected to end the process: the committer only
/// makes sure that nothing is answered as done any more.
pub type OnFatal = Box<dyn Fn(&StoreFault) + Send + Sync>;

/// A handle to the committer; clones are cheap and share one queue. When the last one is dropped, what
/// waits is still committed and the store is closed.
#[derive(Clone)]
pub struct Committer {
    desk: Arc<Desk>,
}

/// What all handles share.
struct Desk {
    queue: mpsc::Sender<Waiting>,
    store: Arc<dyn SnapshotStore>,
    settings: CommitterSettings,
    meters: Arc<Meters>,
    backlog: Arc<Backlog>,
    stop: CancellationToken,
    failed: Arc<AtomicBool>,
    /// `Some` once the loop has ended, with what closing the store came to.
    ended: watch::Receiver<Option<Result<(), StoreFault>>>,
    /// `None` when the loop is a task, or was joined.
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

/// A change and whom to tell.
struct Waiting {
    change: Change,
    answer: oneshot::Sender<Result<Committed, StoreFault>>,
}

impl Committer {
    /// Starts the committer on a thread of its own, so that a store may block in `commit` without holding
    /// up a runtime worker. Metrics are bound now: install the recorder first.
    ///
    /// # Errors
    /// If the thread can't be started or this is not called within a tokio runtime.
    pub fn start(store: Arc<dyn SnapshotStore>, settings: CommitterSettings, on_fatal: OnFatal) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let (desk, mut batches, ended) = parts(store, settings, on_fatal);
        batches.own_thread = true;
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(move || {
            let outcome = runtime.block_on(batches.run());
            ended.send_replace(Some(outcome));
        })?;
        *desk.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Self { desk: Arc::new(desk) })
    }

    /// Starts the committer as a task of the current runtime: for stores that never block, and for virtual
    /// time, where a thread of its own would race the paused clock.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_as_task(store: Arc<dyn SnapshotStore>, settings: CommitterSettings, on_fatal: OnFatal) -> Self {
        let (desk, batches, ended) = parts(store, settings, on_fatal);
        tokio::spawn(async move {
            let outcome = batches.run().await;
            ended.send_replace(Some(outcome));
        });
        Self { desk: Arc::new(desk) }
    }

    /// Queues the change and waits until it is durable. Once polled it happens even if this future is
    /// dropped: who stops waiting learns nothing, and cancels nothing.
    ///
    /// # Errors
    /// [`StoreFault::Refused`] if it was certainly not done (too long a wait, queue full, too large, disk nearly full,
    /// closed, store failed), [`StoreFault::Unknown`] if it may have been.
    pub async fn commit(&self, change: Change) -> Result<Committed, StoreFault> {
        self.admit()?;
        self.commit_owed(change).await
    }

    /// Refuses, and counts it, if a change that comes now would wait too long. To be asked before work is done for one.
    ///
    /// # Errors
    /// [`StoreFault::Refused`], and no other.
    pub fn admit(&self) -> Result<(), StoreFault> {
        if self.desk.is_behind() {
            self.desk.meters.wait.increment(1);
            return Err(StoreFault::Refused("the disk is behind"));
        }
        Ok(())
    }

    /// The same for a change that follows from something that was done already, as what a send came to: it is refused for
    /// no wait. There are no more of them than there are sends under way, so they still fit into the queue.
    ///
    /// # Errors
    /// As of [`Committer::commit`].
    pub async fn commit_owed(&self, change: Change) -> Result<Committed, StoreFault> {
        self.desk.check(&change)?;
        let (answer, answered) = oneshot::channel();
        self.desk.queue.try_send(Waiting { change, answer }).map_err(|refused| self.desk.refusal(&refused))?;
        answered.await.unwrap_or_else(|_| Err(StoreFault::Unknown("the committer ended".to_owned())))
    }

    /// True if a change sent now would be tried: what `readyz` asks. It asks the store itself instead of
    /// remembering the last refusal, so it recovers without traffic.
    pub fn accepting(&self) -> bool {
        let desk = &self.desk;
        let stopped = desk.stop.is_cancelled() || desk.queue.is_closed() || desk.failed.load(Ordering::Acquire);
        !stopped && desk.queue.capacity() > 0 && !desk.is_behind() && desk.store.refusing().is_none()
    }

    /// Takes no more changes, commits those that wait, closes the store and ends the thread. Every caller
    /// gets the same answer.
    ///
    /// # Errors
    /// What the store's `close` answered, or the fault that ended the committer before.
    pub async fn close(&self) -> Result<(), StoreFault> {
        self.desk.stop.cancel();
        let mut ended = self.desk.ended.clone();
        let outcome = match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            Err(_) => Err(StoreFault::Unknown("the committer died".to_owned())),
        };
        let thread = self.desk.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has said its last word, so this waits for no more than its way out.
            let _joined = tokio::task::spawn_blocking(|| thread.join()).await;
        }
        outcome
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer")
            .field("settings", &self.desk.settings)
            .field("room", &self.desk.queue.capacity())
            .field("failed", &self.desk.failed)
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// Stores compare the version that the header names, so a snapshot that says two things is stopped here.
    fn check(&self, change: &Change) -> Result<(), StoreFault> {
        let Some(next) = &change.next else { return Ok(()) };
        if next.bytes.len() > self.settings.record_bytes_max {
            self.meters.too_large.increment(1);
            return Err(StoreFault::Refused("snapshot too large"));
        }
        if Header::peek(&next.bytes).is_none_or(|header| header.version != next.version) {
            self.meters.malformed.increment(1);
            return Err(StoreFault::Refused("snapshot and header name different versions"));
        }
        Ok(())
    }

    /// Would a change that comes now wait too long?
    fn is_behind(&self) -> bool {
        let queued = self.queue.max_capacity() - self.queue.capacity();
        self.backlog.wait(queued, &self.settings) > self.settings.wait_max
    }

    fn refusal(&self, refused: &mpsc::error::TrySendError<Waiting>) -> StoreFault {
        match refused {
            mpsc::error::TrySendError::Full(_) => {
                self.meters.queue_full.increment(1);
                StoreFault::Refused("commit queue full")
            }
            mpsc::error::TrySendError::Closed(_) if self.failed.load(Ordering::Acquire) => {
                self.meters.failed.increment(1);
                StoreFault::Refused("store failed")
            }
            mpsc::error::TrySendError::Closed(_) => {
                self.meters.closed.increment(1);
                StoreFault::Refused("committer closed")
            }
        }
    }
}

/// Cached handles: a lookup by name costs ten times the count itself.
struct Meters {
    batch_size: Histogram,
    seconds: Histogram,
    waiting: Gauge,
    wait: Counter,
    queue_full: Counter,
    too_large: Counter,
    malformed: Counter,
    closed: Counter,
    failed: Counter,
    store: Counter,
}

impl Meters {
    fn bind() -> Self {
        let refusals = |reason: &'static str| counter!("otpd_commit_refusals_total", "reason" => reason);
        Self {
            batch_size: histogram!("otpd_commit_batch_size"),
            seconds: histogram!("otpd_commit_seconds"),
            waiting: gauge!("otpd_commit_waiting"),
            wait: refusals("wait"),
            queue_full: refusals("queue_full"),
            too_large: refusals("too_large"),
            malformed: refusals("malformed"),
            closed: refusals("closed"),
            failed: refusals("failed"),
            store: refusals("store"),
        }
    }
}

type Ended = watch::Sender<Option<Result<(), StoreFault>>>;

fn parts(store: Arc<dyn SnapshotStore>, settings: CommitterSettings, on_fatal: OnFatal) -> (Desk, Batches, Ended) {
    let (sender, queue) = mpsc::channel(settings.queue_max.max(1));
    let (ended_in, ended) = watch::channel(None);
    let (meters, failed, stop) = (Arc::new(Meters::bind()), Arc::new(AtomicBool::new(false)), CancellationToken::new());
    let backlog = Arc::new(Backlog::new());
    let desk = Desk {
        queue: sender,
        store: Arc::clone(&store),
        settings,
        meters: Arc::clone(&meters),
        backlog: Arc::clone(&backlog),
        stop: stop.clone(),
        failed: Arc::clone(&failed),
        ended,
        thread: Mutex::new(None),
    };
    let batches =
        Batches { queue, carried: None, store, settings, meters, backlog, stop, failed, on_fatal, own_thread: false };
    (desk, batches, ended_in)
}

/// The loop. It holds no sender, so it ends when the last handle goes.
struct Batches {
    queue: mpsc::Receiver<Waiting>,
    /// Taken off the queue, but too many bytes for the batch before: first of the next one.
    carried: Option<Waiting>,
    store: Arc<dyn SnapshotStore>,
    settings: CommitterSettings,
    meters: Arc<Meters>,
    backlog: Arc<Backlog>,
    stop: CancellationToken,
    failed: Arc<AtomicBool>,
    on_fatal: OnFatal,
    /// Nothing else runs where this loop does.
    own_thread: bool,
}

impl Batches {
    async fn run(mut self) -> Result<(), StoreFault> {
        let store = Arc::clone(&self.store);
        let stop = self.stop.clone();
        let mut failure = store.failure();
        let mut last = None;
        loop {
            let closing = self.queue.is_closed();
            // Biased: after a fault nothing more may reach the store. Dropping `next` loses nothing: it
            // takes at most one change, in the very poll that returns it.
            let first = tokio::select! {
                biased;
                fault = &mut failure => return Err(self.fail(fault)),
                () = stop.cancelled(), if !closing => {
                    self.queue.close(); // what was accepted before is still received
                    continue;
                }
                first = self.next() => first,
            };
            let Some(first) = first else { return store.close().await };
            if let Some(last) = last
                && self.queue.len() < CROWD
            {
                self.pause(last + self.settings.gap).await;
            }
            last = Some(Instant::now());
            let (changes, answers) = self.fill(first);
            if let Err(fault) = self.commit(&changes, answers).await {
                return Err(self.fail(fault));
            }
        }
    }

    async fn next(&mut self) -> Option<Waiting> {
        match self.carried.take() {
            Some(carried) => Some(carried),
            None => self.queue.recv().await,
        }
    }

    /// On a thread of its own by its own clock: the runtime's timers are a millisecond wide.
    async fn pause(&self, until: Instant) {
        if self.own_thread {
            #[expect(clippy::disallowed_methods, reason = "no runtime thread, but the committer's own")]
            thread::sleep(until.saturating_duration_since(Instant::now()));
        } else {
            tokio::time::sleep_until(until).await;
        }
    }

    /// All that waits, up to the limits of a batch.
    fn fill(&mut self, first: Waiting) -> (Vec<Change>, Vec<oneshot::Sender<Result<Committed, StoreFault>>>) {
        let mut bytes = weight(&first.change);
        let room = (1 + self.queue.len()).min(self.settings.batch_max);
        let (mut changes, mut answers) = (Vec::with_capacity(room), Vec::with_capacity(room));
        changes.push(first.change);
        answers.push(first.answer);
        while changes.len() < self.settings.batch_max {
            let Ok(waiting) = self.queue.try_recv() else { break };
            bytes += weight(&waiting.change);
            if bytes > self.settings.batch_bytes_max {
                self.carried = Some(waiting);
                break;
            }
            changes.push(waiting.change);
            answers.push(waiting.answer);
        }
        (changes, answers)
    }

    /// One batch and its answers. `Err` only if the store panicked: then it is in no known state.
    async fn commit(
        &self,
        changes: &[Change],
        answers: Vec<oneshot::Sender<Result<Committed, StoreFault>>>,
    ) -> Result<(), StoreFault> {
        let started = Instant::now();
        self.backlog.begun();
        self.meters.waiting.set(u32::try_from(self.queue.len()).unwrap_or(u32::MAX));
        let outcome = AssertUnwindSafe(self.store.commit(changes)).catch_unwind().await;
        self.backlog.ended(changes.len(), changes.iter().map(weight).sum());
        self.meters.seconds.record(started.elapsed().as_secs_f64());
        self.meters.batch_size.record(u32::try_from(changes.len()).unwrap_or(u32::MAX));
        match outcome {
            Ok(Ok(outcomes)) => {
                let mut outcomes = outcomes.into_iter();
                for answer in answers {
                    let nothing_said = || StoreFault::Unknown("the store gave no outcome".to_owned());
                    tell(answer, outcomes.next().ok_or_else(nothing_said));
                }
            }
            Ok(Err(fault)) => {
                if matches!(fault, StoreFault::Refused(_)) {
                    self.meters.store.increment(changes.len() as u64);
                }
                answers.into_iter().for_each(|answer| tell(answer, Err(fault.clone())));
            }
            Err(_) => {
                let fault = StoreFault::Unknown("the store panicked".to_owned());
                answers.into_iter().for_each(|answer| tell(answer, Err(fault.clone())));
                return Err(fault);
            }
        }
        Ok(())
    }

    /// Fail-stop: no further change reaches the store, nor is it closed, since a second flush could
    /// succeed without the pages that the first one lost.
    fn fail(&mut self, fault: StoreFault) -> StoreFault {
        self.failed.store(true, Ordering::Release);
        self.queue.close();
        tracing::error!(%fault, "store failed, no change is taken any more");
        (self.on_fatal)(&fault);
        while let Some(waiting) = self.carried.take().or_else(|| self.queue.try_recv().ok()) {
            self.meters.failed.increment(1);
            tell(waiting.answer, Err(StoreFault::Refused("store failed")));
        }
        fault
    }
}

fn weight(change: &Change) -> usize {
    let events: usize = change.events.iter().map(Vec::len).sum();
    change.next.as_ref().map_or(0, |next| next.bytes.len()) + events
}

/// A caller that has gone is no fault: its change stands.
fn tell(answer: oneshot::Sender<Result<Committed, StoreFault>>, outcome: Result<Committed, StoreFault>) {
    let _caller_gone = answer.send(outcome);
}
