//! The handle everyone has on the numbers' actors.
//!
//! What only reads is answered at once while nothing is under way for its number. Else sending is: find or start the
//! activation, count the request in flight, enqueue, await the answer. A message that comes back undelivered was certainly
//! not handled and is forwarded; a time-out or an actor that died is an unknown outcome, reported and never repeated.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ractor::MessagingErr;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    clock::Clock,
    record::{Command, EventFilter, Keyring, Move, PhoneNumber, Policy, Request},
    store::{SnapshotStore, committer::Committer},
};

use super::{
    Fault, Reply,
    actor::{self, Job, Message},
    collector,
    meters::Census,
    registry::{Entry, Registry},
    settings::DirectorySettings,
};

/// What the actors work with.
#[derive(Clone)]
pub struct Parts {
    /// Where records are read.
    pub store: Arc<dyn SnapshotStore>,
    /// Where changes go.
    pub committer: Committer,
    /// The time decisions go by.
    pub clock: Arc<dyn Clock>,
    /// The keys codes and ids are derived from.
    pub keys: Arc<Keyring>,
    /// Where a number is reported that was loaded with an account on its way. Bounded; when it is full the report
    /// is dropped and counted, and the number's next activation makes it again.
    pub moves: mpsc::Sender<Move>,
    /// Which events of a change go into the store's outbox with it.
    pub events: EventFilter,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("committer", &self.committer).field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// All numbers' actors. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Directory {
    pub(super) registry: Arc<Registry>,
    /// Bounds the tasks that forward tells.
    background: Arc<Semaphore>,
}

/// What became of a message.
enum Delivery {
    Taken,
    /// The activation has ended or is about to: certainly not handled, here it is again.
    Back(Box<Job>, Entry),
}

/// Pause between two looks at those that are still starting while the last drain runs.
const DRAIN_PAUSE: Duration = Duration::from_millis(10);
/// Actors drained between two yields.
const DRAIN_CHUNK: usize = 1_024;

/// The answer when there are too many live numbers, or one can't be reached: room comes within seconds.
pub(super) fn overloaded() -> Fault {
    Fault::Overloaded { retry_after: Duration::from_secs(2) }
}

impl Directory {
    /// Starts shards and collector; both live until [`Directory::drain`]. Metrics are bound now: install the
    /// recorder first.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(parts: Parts, settings: DirectorySettings) -> Self {
        let background = Arc::new(Semaphore::new(settings.background_forwards_max));
        let registry = Arc::new(Registry::new(parts, settings));
        tokio::spawn(collector::run(Arc::clone(&registry)));
        Self { registry, background }
    }

    /// Has `request` judged after all that was asked of the number before, and answers when the outcome is durable. Dropping
    /// the future cancels nothing that has begun; what has not begun is never evaluated.
    ///
    /// # Errors
    /// A [`Fault`]; after [`Fault::Unknown`] the change may have been made, after all others it certainly was not.
    pub async fn ask(&self, phone: PhoneNumber, policy: Arc<Policy>, request: Arc<Request>) -> Result<Reply, Fault> {
        if let Some(reply) = self.read(phone, &policy, &request) {
            return Ok(reply);
        }
        self.admit(phone, &request)?;
        let deadline = Instant::now() + self.registry.settings.call_timeout();
        let (port, answer) = oneshot::channel();
        let job = Box::new(Job { policy, request, port: Some(port), permit: None });
        if let back @ Delivery::Back(..) = self.deliver(phone, job)? {
            // Boxed: rare, and every request would carry room for it.
            Box::pin(self.forward(phone, back, deadline)).await?;
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Fault::Unknown),
        }
    }

    /// Enqueues `request` and returns: what is asked from now on is judged after it. The outcome is nobody's to know;
    /// the in-flight limit does not bind it, because each follows a send, and those are few. If the actor is just
    /// ending, a background task forwards it. Call it within a tokio runtime.
    pub fn tell(&self, phone: PhoneNumber, policy: Arc<Policy>, request: Arc<Request>) {
        let job = Box::new(Job { policy, request, port: None, permit: None });
        let delivery = match self.deliver(phone, job) {
            Ok(Delivery::Taken) => return,
            Ok(back @ Delivery::Back(..)) => back,
            Err(fault) => return self.tell_lost(phone, fault),
        };
        let Ok(slot) = Arc::clone(&self.background).try_acquire_owned() else {
            return self.tell_lost(phone, overloaded());
        };
        let directory = self.clone();
        tokio::spawn(async move {
            let deadline = Instant::now() + directory.registry.settings.call_timeout();
            if let Err(fault) = directory.forward(phone, delivery, deadline).await {
                directory.tell_lost(phone, fault);
            }
            drop(slot);
        });
    }

    /// Live actors.
    pub fn len(&self) -> usize {
        self.registry.live()
    }

    /// True if no actor is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has happened to actors since the start.
    pub fn census(&self) -> Census {
        self.registry.meters.census()
    }

    /// Lets the number's actor go now, as the collector would: say, after its snapshot was repaired by hand. False
    /// if there is none or it has not started yet.
    pub fn passivate(&self, phone: PhoneNumber) -> bool {
        let found = self.registry.find(phone);
        found.is_some_and(|entry| self.registry.passivate(phone, entry.activation.id))
    }

    /// The end: refuses new activations, lets every actor serve what waits for it and go, then stops the shards.
    /// Answers how many actors were still there when `within` was over: 0 if all went in order. Call it after HTTP
    /// has finished and before the committer closes.
    pub async fn drain(&self, within: Duration) -> usize {
        let registry = &self.registry;
        registry.draining.store(true, Ordering::SeqCst);
        registry.stop.cancel();
        let _deadline_passed = timeout(within, self.drain_all()).await;
        let left = registry.live();
        if left == 0 {
            // A shard that stops kills its children, so it stops last and only if it has none.
            for shard in &registry.shards {
                let _stopped_before = shard.drain();
            }
        } else {
            tracing::error!(left, "phone actors did not end in time");
        }
        left
    }

    /// Pass after pass, because those that are still starting must not be drained yet.
    async fn drain_all(&self) {
        while self.registry.live() > 0 {
            let emptied = self.registry.emptied.notified();
            for chunk in self.registry.everyone().chunks(DRAIN_CHUNK) {
                for filed in chunk {
                    self.registry.passivate(filed.phone, filed.activation);
                }
                tokio::task::yield_now().await;
            }
            let _one_more_look = timeout(DRAIN_PAUSE, emptied).await;
        }
    }

    /// Judges at once what only reads, while nothing else is under way for the number: the record in hand is then what its
    /// actor would judge by. With a shared store another node may have changed it, and only the actor can find out.
    fn read(&self, phone: PhoneNumber, policy: &Policy, request: &Request) -> Option<Reply> {
        let Registry { parts, tick, .. } = &*self.registry;
        if !request.command.only_reads() || parts.store.shared() {
            return None;
        }
        let activation = self.registry.find(phone)?.activation;
        let record = activation.record_at_rest()?;
        activation.touch(tick.load(Ordering::Relaxed));
        actor::judge_reading(parts, &record, policy, request)
    }

    /// Starts are what a flood is made of, and each writes. So while the disk is behind, none brings a number into memory
    /// only to be refused there. A retry is let in: what was kept under its key costs no write.
    fn admit(&self, phone: PhoneNumber, request: &Request) -> Result<(), Fault> {
        let is_start = matches!(request.command, Command::Start(_)) && request.idempotency.is_none();
        if is_start && !self.registry.is_live(phone) {
            self.registry.parts.committer.admit().map_err(|_| Fault::StorageRefused)?;
        }
        Ok(())
    }

    /// Enqueues, without waiting.
    fn deliver(&self, phone: PhoneNumber, mut job: Box<Job>) -> Result<Delivery, Fault> {
        let registry = &self.registry;
        let entry = registry.find_or_start(phone)?;
        let most = if job.port.is_some() { registry.settings.inflight_max } else { u32::MAX };
        let Some(permit) = entry.activation.admit(most, &registry.meters.inflight) else {
            registry.meters.over_inflight.increment(1);
            return Err(Fault::Busy);
        };
        job.permit = Some(permit);
        entry.activation.touch(registry.tick.load(Ordering::Relaxed));
        match entry.actor.send_message(Message::Apply(job)) {
            Ok(()) => Ok(Delivery::Taken),
            Err(MessagingErr::SendErr(Message::Apply(job))) => Ok(Delivery::Back(job, entry)),
            Err(
                MessagingErr::SendErr(Message::Retire) | MessagingErr::ChannelClosed | MessagingErr::InvalidActorType,
            ) => Err(Fault::Unknown),
        }
    }

    /// Sends what came back to the next activation, once the one before has ended. The job keeps its place in flight
    /// meanwhile, so that no more wait here than may wait in a mailbox.
    async fn forward(&self, phone: PhoneNumber, mut delivery: Delivery, deadline: Instant) -> Result<(), Fault> {
        for _ in 0..self.registry.settings.forwards_max {
            let Delivery::Back(job, entry) = delivery else { return Ok(()) };
            if timeout_at(deadline, entry.actor.wait(None)).await.is_err() {
                return Err(self.unreachable());
            }
            // The guard may not have run yet; that life is over all the same.
            self.registry.remove(phone, entry.activation.id);
            drop(entry);
            self.registry.meters.forwarded();
            delivery = self.deliver(phone, job)?;
        }
        match delivery {
            Delivery::Taken => Ok(()),
            Delivery::Back(..) => Err(self.unreachable()),
        }
    }

    fn unreachable(&self) -> Fault {
        self.registry.meters.over_forwards.increment(1);
        overloaded()
    }

    fn tell_lost(&self, phone: PhoneNumber, fault: Fault) {
        self.registry.meters.tell_lost();
        tracing::warn!(%phone, %fault, "tell not delivered");
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("live", &self.len()).field("census", &self.census()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        record::{Door, LOGIN, Label, Outcome, Refusal, Sender, Start, Status, UnixMillis},
        store::{committer::CommitterSettings, memory::MemoryStore},
    };

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> UnixMillis {
            UnixMillis(1_800_000_000_000)
        }
    }

    pub(in crate::phone) fn parts(store: &Arc<MemoryStore>) -> Parts {
        let port: Arc<dyn SnapshotStore> = store.clone();
        let committer = Committer::start_as_task(port.clone(), CommitterSettings::default(), Box::new(|_| ()));
        let keys = Arc::new(Keyring::new((1, &[7; 32]), &[]));
        Parts {
            store: port,
            committer,
            clock: Arc::new(Still),
            keys,
            moves: mpsc::channel(1).0,
            events: EventFilter::default(),
        }
    }

    fn directory(store: &Arc<MemoryStore>) -> Directory {
        Directory::new(parts(store), DirectorySettings::default())
    }

    fn start() -> Arc<Request> {
        let door = Door { dialect: Label::of("v1"), purpose: LOGIN };
        let start = Start::plain(1, door, Sender { address: 1, keyed: true, unpaid: false });
        Command::Start(Box::new(start)).into()
    }

    /// anchors 11.17, security 33: a kill inside a commit leaves an unknown outcome; the change stands, and whether the
    /// next activation reads before or after it lands, the version check lets it stand once.
    #[tokio::test(start_paused = true)]
    async fn row_11_17_a_kill_inside_a_commit_does_nothing_twice() {
        let phone = PhoneNumber::try_from(989_120_000_001).unwrap();
        for pause_ms in [0, 1_000] {
            let store = Arc::new(MemoryStore::new(false));
            let directory = directory(&store);
            store.slow(Duration::from_millis(100), Duration::ZERO);
            let asking = directory.clone();
            let first = tokio::spawn(async move { asking.ask(phone, Arc::default(), start()).await });
            tokio::time::sleep(Duration::from_millis(10)).await;
            let entry = directory.registry.find(phone).unwrap();
            #[expect(clippy::disallowed_methods, reason = "what is tested is that even this does no harm")]
            entry.actor.kill();
            assert_eq!(first.await.unwrap().unwrap_err(), Fault::Unknown);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            let second = directory.ask(phone, Arc::default(), start()).await.unwrap();
            assert!(matches!(second.outcome, Outcome::Refused(Refusal::SendLimited { .. })), "{second:?}");
            let conflicts = u64::from(pause_ms == 0);
            let census = directory.census();
            assert_eq!((census.started, census.failed, census.conflicts), (2, 1, conflicts), "pause {pause_ms}");
            assert_eq!(store.len(), 1);
        }
    }

    const READ: Command = Command::Read { nonce: 1 };
    const CANCEL: Command = Command::Cancel { nonce: 1 };

    fn shown(reply: Reply) -> Status {
        let Outcome::Verification(view) = reply.outcome else { panic!("not shown: {reply:?}") };
        view.status
    }

    /// What only reads waits for nobody, except for what was asked of the number before it.
    #[tokio::test(start_paused = true)]
    async fn what_only_reads_is_judged_at_once_but_not_before_its_turn() {
        let phone = PhoneNumber::try_from(989_120_000_001).unwrap();
        let store = Arc::new(MemoryStore::new(false));
        let directory = directory(&store);
        let at_once = |command: Command| directory.read(phone, &Policy::default(), &command.into()).map(shown);
        assert_eq!(at_once(READ), None, "nobody has the record in hand yet");
        directory.ask(phone, Arc::default(), start()).await.unwrap();
        assert_eq!(at_once(READ), Some(Status::Pending));
        assert_eq!(at_once(CANCEL), None, "what writes is the actor's");
        store.slow(Duration::from_millis(100), Duration::ZERO);
        directory.tell(phone, Arc::default(), CANCEL.into());
        assert_eq!(at_once(READ), None, "something is under way");
        let turn = directory.ask(phone, Arc::default(), READ.into()).await.unwrap();
        assert_eq!(shown(turn), Status::Canceled, "what was told is judged before");
        assert_eq!(at_once(READ), Some(Status::Canceled));
    }

    /// After an unknown outcome, and where others write to the store too, the truth is in the store alone.
    #[tokio::test(start_paused = true)]
    async fn what_only_reads_is_never_judged_by_a_record_in_doubt() {
        let phone = PhoneNumber::try_from(989_120_000_001).unwrap();
        for shared in [false, true] {
            let store = Arc::new(MemoryStore::new(shared));
            let settings = DirectorySettings { commit_timeout_ms: 100, ..DirectorySettings::default() };
            let directory = Directory::new(parts(&store), settings);
            let at_once = || directory.read(phone, &Policy::default(), &READ.into()).map(shown);
            directory.ask(phone, Arc::default(), start()).await.unwrap();
            assert_eq!(at_once().is_some(), !shared);
            store.slow(Duration::from_millis(200), Duration::ZERO);
            assert_eq!(directory.ask(phone, Arc::default(), CANCEL.into()).await.unwrap_err(), Fault::Unknown);
            assert_eq!(at_once(), None);
            tokio::time::sleep(Duration::from_millis(200)).await;
            let truth = directory.ask(phone, Arc::default(), READ.into()).await.unwrap();
            assert_eq!(shown(truth), Status::Canceled, "it was done after all");
        }
    }

    /// anchors 10.2: a late end of one activation leaves its successor alone.
    #[tokio::test(start_paused = true)]
    async fn an_entry_is_removed_by_number_and_activation() {
        let phone = PhoneNumber::try_from(989_120_000_001).unwrap();
        let directory = directory(&Arc::new(MemoryStore::new(false)));
        directory.ask(phone, Arc::default(), start()).await.unwrap();
        let first = directory.registry.find(phone).unwrap().activation.id;
        directory.registry.remove(phone, first + 1);
        assert_eq!(directory.len(), 1);
        directory.registry.remove(phone, first);
        directory.registry.remove(phone, first);
        assert_eq!(directory.len(), 0);
        assert!(!directory.registry.passivate(phone, first));
    }
}
