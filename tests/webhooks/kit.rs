//! A dispatcher over a store in memory, in paused time, and a receiver that does as it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use otpd::{
    clock::Clock,
    record::{Event, Keyring, Occurred, PhoneNumber, UnixMillis, UserChange},
    store::{Entry, Shelf, SnapshotStore, memory::MemoryStore},
    webhooks::{Courier, Dispatcher, Letter, Posted, Webhooks, WebhooksSettings},
};
use serde_json::Value;
use tokio::time::Instant;

/// When everything begins.
pub(crate) const START: UnixMillis = UnixMillis(1_790_000_000_000);

/// Wall time that goes with tokio's.
#[derive(Debug)]
pub(crate) struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> UnixMillis {
        START.plus(u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

/// A post as it arrived, and when, in milliseconds since the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) at_ms: u128,
    pub(crate) letter: Letter,
}

impl Arrived {
    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(&self.letter.body).unwrap()
    }
}

type Answer = Box<dyn Fn(&Letter) -> Posted + Send + Sync>;

/// Answers what the test says, after a while.
pub(crate) struct Receiver {
    begun: Instant,
    answer: Mutex<Answer>,
    takes: Mutex<Duration>,
    arrived: Mutex<Vec<Arrived>>,
    open: Mutex<(usize, usize)>,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver")
    }
}

#[async_trait]
impl Courier for Receiver {
    async fn post(&self, letter: Letter) -> Posted {
        let at_ms = self.begun.elapsed().as_millis();
        self.arrived.lock().unwrap().push(Arrived { at_ms, letter: letter.clone() });
        {
            let mut open = self.open.lock().unwrap();
            open.0 += 1;
            open.1 = open.1.max(open.0);
        }
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.open.lock().unwrap().0 -= 1;
        // One that panics is a defect that a test made.
        (self.answer.lock().unwrap_or_else(PoisonError::into_inner))(&letter)
    }
}

impl Receiver {
    pub(crate) fn answers(&self, answer: impl Fn(&Letter) -> Posted + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// Ids in the order in which they arrived.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.arrived().into_iter().map(|arrived| arrived.letter.id).collect()
    }

    /// Most posts that were open at one time.
    pub(crate) fn open_max(&self) -> usize {
        self.open.lock().unwrap().1
    }

    /// Times at which each id arrived.
    pub(crate) fn times(&self) -> BTreeMap<String, Vec<u128>> {
        let mut times = BTreeMap::<_, Vec<u128>>::new();
        for Arrived { at_ms, letter } in self.arrived() {
            times.entry(letter.id).or_default().push(at_ms);
        }
        times
    }
}

/// Not taken, for no reason.
pub(crate) const FAILED: Posted = Posted::Failed { retry_after: None };

/// A store, a receiver, and the dispatcher between them.
pub(crate) struct Bench {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) receiver: Arc<Receiver>,
    clock: Arc<PausedClock>,
    settings: WebhooksSettings,
    pub(crate) webhooks: Option<Webhooks>,
}

impl Bench {
    /// The dispatcher runs from the beginning.
    pub(crate) fn new(settings: WebhooksSettings) -> Self {
        let mut bench = Self::stopped(settings);
        bench.start();
        bench
    }

    /// Nothing runs yet.
    pub(crate) fn stopped(settings: WebhooksSettings) -> Self {
        let begun = Instant::now();
        let receiver = Receiver {
            begun,
            answer: Mutex::new(Box::new(|_| Posted::Taken)),
            takes: Mutex::default(),
            arrived: Mutex::default(),
            open: Mutex::default(),
        };
        let store = Arc::new(MemoryStore::new(false));
        let clock = Arc::new(PausedClock(begun));
        Self { store, receiver: Arc::new(receiver), clock, settings, webhooks: None }
    }

    pub(crate) fn start(&mut self) {
        let dispatcher = Dispatcher {
            store: self.store.clone(),
            courier: self.receiver.clone(),
            clock: self.clock.clone(),
            keys: Arc::new(Keyring::new((1, &[7; 32]), &[])),
        };
        self.webhooks = Some(dispatcher.start(&self.settings).unwrap());
    }

    /// As `kill -9`: nothing is finished, nothing is written down.
    pub(crate) fn kill(&mut self) {
        // Dropped without its end: the task goes on, but over a connection that is closed.
        self.webhooks = None;
        let next = Arc::new(self.store.connect());
        futures_util::FutureExt::now_or_never(self.store.close()).unwrap().unwrap();
        self.store = next;
    }

    /// Puts in an event of a number; the text is what it can be known by.
    pub(crate) async fn tell(&self, phone: u64, user_id: u64) {
        let phone = PhoneNumber::try_from(989_120_000_000 + phone).unwrap();
        let event = Event::User { change: UserChange::Updated, user_id };
        let occurred = Occurred { at: self.clock.now(), phone, event };
        self.store.outbox().note(vec![occurred.encode()]).await.unwrap();
    }

    pub(crate) async fn tell_all(&self, events: impl IntoIterator<Item = (u64, u64)>) {
        for (phone, user_id) in events {
            self.tell(phone, user_id).await;
        }
    }

    pub(crate) async fn entries(&self, shelf: Shelf) -> Vec<Entry> {
        self.store.outbox().entries(shelf, 0, 10_000).await.unwrap()
    }
}

/// Paused time goes on by so much; everything due in it happens.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
