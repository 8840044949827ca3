//! The loop that empties the outbox.
//!
//! One task owns everything; posts are tasks of their own, a bounded number at once. What became of them is written
//! down together: soon, but not each by itself, and what a crash takes of it is posted again.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Courier, DeadLetters, Letter, Posted, WebhooksSettings, event_id,
    meters::Meters,
    queue::{Queue, Ready},
    settings,
};
use crate::{
    clock::Clock,
    events::{Events, NodeEvent, Noted},
    record::{EventFilter, Keyring, Millis, PhoneNumber, UnixMillis},
    sms::SettingError,
    store::{Shelf, SnapshotStore, StoreFault, Verdict},
};

/// Verdicts written together at most, and how long the first of them waits for company.
const SETTLE_MAX: usize = 64;
const SETTLE_WITHIN: Duration = Duration::from_millis(100);
/// Verdicts that may wait for a store that refuses them; with more nothing is posted.
const VERDICTS_MAX: usize = 1_024;
/// Pause after the store has refused something of ours.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Longest sleep: the wall clock, by which entries are due, may jump.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Longest wait that a receiver may ask for; that of the default schedule.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Events of the node written together.
const NOTES_MAX: usize = 64;
/// Dead letters that administrators may put back at once; of more the rest waits for a restart.
const REVIVED_MAX: usize = 1_024;

/// What posts are made with.
#[derive(Clone)]
pub struct Dispatcher {
    /// Whose outbox.
    pub store: Arc<dyn SnapshotStore>,
    /// Who carries posts.
    pub courier: Arc<dyn Courier>,
    /// The time by which tries are due.
    pub clock: Arc<dyn Clock>,
    /// What public ids are made with.
    pub keys: Arc<Keyring>,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("courier", &self.courier).finish_non_exhaustive()
    }
}

/// The running dispatcher, and the handles that others have on it.
#[derive(Debug)]
pub struct Webhooks {
    /// By which any part tells what happens to the node.
    pub events: Events,
    /// What could not be delivered.
    pub dead_letters: DeadLetters,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Dispatcher {
    /// Starts it as a task. Metrics are bound now: install the recorder first.
    ///
    /// # Errors
    /// A pattern of `events` covers nothing.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self, settings: &WebhooksSettings) -> Result<Webhooks, SettingError> {
        let filter = settings::filter(&settings.events)?;
        self.store.outbox().limit(settings.outbox);
        let (events, notes) = Events::channel(settings.notes_max);
        let (put_back, revived) = mpsc::channel(REVIVED_MAX);
        let dead_letters = DeadLetters::with_dispatcher(Arc::clone(&self.store), put_back);
        let stop = CancellationToken::new();
        let run = Loop {
            tools: self,
            filter,
            retry_after: settings.retry_after.clone(),
            posts_max: settings.posts_max.max(1),
            meters: Meters::bind(),
            notes,
            revived,
            queue: Queue::default(),
            posts: JoinSet::new(),
            verdicts: Vec::new(),
            settle_at: None,
            paused_until: None,
            unread: true,
            gone: false,
        };
        let task = tokio::spawn(run.run(stop.clone()));
        Ok(Webhooks { events, dead_letters, stop, task })
    }
}

impl Webhooks {
    /// Begins no more posts, waits for those under way and writes down what became of them. What is not over
    /// `within` that time is posted again after the next start.
    pub async fn finish(self, within: Duration) {
        let Self { stop, mut task, .. } = self;
        stop.cancel();
        if tokio::time::timeout(within, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// A post that is over.
struct Done {
    id: u64,
    tries: u8,
    phone: Option<PhoneNumber>,
    posted: Posted,
    took: Duration,
}

struct Loop {
    tools: Dispatcher,
    filter: EventFilter,
    retry_after: Vec<Duration>,
    posts_max: usize,
    meters: Meters,
    notes: mpsc::Receiver<NodeEvent>,
    revived: mpsc::Receiver<u64>,
    queue: Queue,
    posts: JoinSet<Done>,
    /// What became of posts and is not written down yet.
    verdicts: Vec<(u64, Verdict)>,
    settle_at: Option<Instant>,
    /// The store refused something.
    paused_until: Option<Instant>,
    /// The outbox may hold more behind the queue's cursor.
    unread: bool,
    /// The receiver wants no more posts.
    gone: bool,
}

impl Loop {
    async fn run(mut self, stop: CancellationToken) {
        let store = Arc::clone(&self.tools.store);
        let mut noted = Vec::new();
        while !stop.is_cancelled() {
            self.proceed().await;
            let wake = self.wake_at();
            tokio::select! {
                () = stop.cancelled() => {}
                Some(done) = self.posts.join_next() => self.judge(&done),
                () = store.outbox().added() => self.unread = true,
                Some(id) = self.revived.recv() => self.queue.postpone(id, UnixMillis(0)),
                1.. = self.notes.recv_many(&mut noted, NOTES_MAX) => self.note(&mut noted).await,
                () = sleep_until(wake) => {}
            }
        }
        while let Some(done) = self.posts.join_next().await {
            self.judge(&done);
        }
        self.settle().await;
    }

    /// Everything that can be done without waiting for anyone but the store.
    async fn proceed(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        if !self.gone {
            if let Err(fault) = self.read().await {
                self.pause("events not read", &fault);
            }
            while self.posts.len() < self.posts_max && self.verdicts.len() < VERDICTS_MAX {
                let Some(ready) = self.queue.begin() else { break };
                self.post(ready);
            }
        }
        let due = self.settle_at.is_some_and(|at| at <= Instant::now());
        if due || self.verdicts.len() >= SETTLE_MAX {
            self.settle().await;
        }
        self.meters.counts(self.tools.store.outbox().counts());
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let due = self.queue.next_due().filter(|_| !self.gone);
        let due = due.map(|due| now + Duration::from_millis(due.since(self.tools.clock.now())));
        let first = [due, self.settle_at].into_iter().flatten().min().unwrap_or(now + SLEEP_MAX);
        // What is due while all places are taken waits for one of them, not for the time.
        let first = if self.posts.len() >= self.posts_max { self.settle_at.unwrap_or(now + SLEEP_MAX) } else { first };
        let first = first.min(now + SLEEP_MAX);
        self.paused_until.map_or(first, |until| until.max(first))
    }

    async fn read(&mut self) -> Result<(), StoreFault> {
        let store = Arc::clone(&self.tools.store);
        let now = self.tools.clock.now();
        while let Some(id) = self.queue.pop_due(now) {
            match store.outbox().entries(Shelf::Pending, id.saturating_sub(1), 1).await {
                Ok(entries) => {
                    // Gone or brought forward meanwhile: then there is nothing to do for it now.
                    for entry in entries.into_iter().filter(|entry| entry.id == id) {
                        let unreadable = self.queue.take(entry, now);
                        self.bury(unreadable);
                    }
                }
                Err(fault) => {
                    self.queue.postpone(id, now);
                    return Err(fault);
                }
            }
        }
        while let Some((after, room)) = self.queue.wants().filter(|_| self.unread) {
            let entries = store.outbox().entries(Shelf::Pending, after, room).await?;
            self.unread = entries.len() == room;
            for entry in entries {
                let unreadable = self.queue.arrived(entry, now);
                self.bury(unreadable);
            }
        }
        Ok(())
    }

    fn post(&mut self, ready: Ready) {
        let Ready { id, tries, told } = ready;
        let Dispatcher { courier, clock, keys, .. } = self.tools.clone();
        let letter = Letter { id: event_id(id), timestamp_s: clock.now().0 / 1_000, body: told.body(&keys) };
        self.posts.spawn(async move {
            let started = Instant::now();
            let posted = AssertUnwindSafe(courier.post(letter)).catch_unwind().await;
            let posted = posted.unwrap_or(Posted::Failed { retry_after: None });
            Done { id, tries, phone: told.phone(), posted, took: started.elapsed() }
        });
    }

    /// An error: the task was aborted, which only the end of the process does.
    fn judge(&mut self, done: &Result<Done, JoinError>) {
        let Ok(Done { id, tries, phone, posted, took }) = *done else { return };
        self.queue.end(phone);
        self.meters.posted(posted, took);
        match posted {
            Posted::Taken => self.settle_soon(id, Verdict::Delivered),
            Posted::Gone => self.receiver_is_gone(),
            Posted::Failed { retry_after } => self.failed(id, tries.saturating_add(1), retry_after),
        }
    }

    fn failed(&mut self, id: u64, tries: u8, asked: Option<Duration>) {
        let Some(wait) = self.retry_after.get(usize::from(tries).saturating_sub(1)) else {
            self.meters.dead.increment(1);
            tracing::warn!(event = event_id(id), tries, "event given up, now a dead letter");
            return self.settle_soon(id, Verdict::Dead { tries });
        };
        let wait = asked.map_or(*wait, |asked| asked.min(RETRY_AFTER_MAX).max(*wait));
        let due = self.tools.clock.now().plus(Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX));
        self.queue.postpone(id, due);
        self.settle_soon(id, Verdict::Again { tries, due });
    }

    /// Its events stay where they are: a restart, perhaps with another URL, posts them.
    fn receiver_is_gone(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            tracing::warn!("webhooks.url answered 410 Gone: no more posts until a restart");
        }
    }

    /// What can't be read can't be told either; a newer otpd may read it.
    fn bury(&mut self, unreadable: Option<u64>) {
        let Some(id) = unreadable else { return };
        self.meters.unreadable.increment(1);
        tracing::error!(event = event_id(id), "event unreadable, now a dead letter");
        self.settle_soon(id, Verdict::Dead { tries: 0 });
    }

    fn settle_soon(&mut self, id: u64, verdict: Verdict) {
        self.verdicts.push((id, verdict));
        self.settle_at.get_or_insert_with(|| Instant::now() + SETTLE_WITHIN);
    }

    async fn settle(&mut self) {
        if self.verdicts.is_empty() {
            return;
        }
        // A store that did not take them gets them once more: each is the same however often it is carried out.
        match self.tools.store.outbox().settle(self.verdicts.clone()).await {
            Ok(_) => {
                self.verdicts.clear();
                self.settle_at = None;
            }
            Err(fault) => self.pause("what became of events is not written down", &fault),
        }
    }

    async fn note(&mut self, noted: &mut Vec<NodeEvent>) {
        let at_ms = self.tools.clock.now().0;
        let wanted = noted.drain(..).filter(|event| self.filter.wants(event.name()));
        let bytes: Vec<Vec<u8>> = wanted.map(|event| Noted { at_ms, event }.encode()).collect();
        let count = bytes.len() as u64;
        if count == 0 {
            return;
        }
        if let Err(fault) = self.tools.store.outbox().note(bytes).await {
            self.meters.lost.increment(count);
            tracing::warn!(%fault, count, "events of the node lost");
        }
    }

    fn pause(&mut self, what: &'static str, fault: &StoreFault) {
        tracing::warn!(%fault, "{what}");
        self.paused_until = Some(Instant::now() + STORE_PAUSE);
    }
}
