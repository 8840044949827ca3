//! Number → live activation: the one place where actors are started, found and taken out.
//!
//! Owns: the map, the count of live actors and its hard limit, the shards, and what every actor works with. An entry
//! is removed by number *and* activation id, so a late end never takes a successor out. No lock of the map is ever
//! held across an await, nor while anything is dropped that could need it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

use dashmap::{DashMap, Entry as MapEntry};
use ractor::{ActorCell, ActorRef, ActorRuntime, ActorStatus};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::record::PhoneNumber;

use super::{
    Fault,
    activation::{Activation, Guard},
    actor::{Message, PhoneActor},
    directory::Parts,
    meters::Meters,
    quarantine::Quarantine,
    settings::DirectorySettings,
    supervisor,
};

/// A live number. Its state is ractor's status of the actor; there is no second state machine.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) actor: ActorRef<Message>,
    pub(super) activation: Arc<Activation>,
}

/// An activation as the collector files it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filed {
    pub(super) phone: PhoneNumber,
    pub(super) activation: u64,
}

/// How an activation looks to the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It goes now.
    LetGo,
    /// Ended, ending, or another one by now.
    Over,
    /// Starting, or a request is under way.
    Busy,
    /// At rest since this tick.
    Since(u32),
}

/// The record's last look, then what waits in the mailbox, then the end.
fn drain(actor: &ActorRef<Message>) {
    let _gone_by_itself = actor.send_message(Message::Retire);
    let _gone_by_itself = actor.drain();
}

/// All live numbers.
pub(super) struct Registry {
    pub(super) parts: Parts,
    pub(super) settings: DirectorySettings,
    pub(super) meters: Arc<Meters>,
    pub(super) quarantine: Quarantine,
    pub(super) shards: Vec<ActorCell>,
    slots: DashMap<PhoneNumber, Entry>,
    /// Entries of the map.
    live: AtomicUsize,
    /// Entries that the collector has asked to go and that have not gone yet.
    retiring: AtomicUsize,
    next_activation: AtomicU64,
    /// The collector's time.
    pub(super) tick: AtomicU32,
    /// Activations the collector has not filed yet.
    arrivals: Mutex<Vec<Filed>>,
    /// Rung when there are more than `actors_max`.
    pub(super) crowded: Notify,
    /// Rung when the last one has gone.
    pub(super) emptied: Notify,
    pub(super) draining: AtomicBool,
    /// Ends collector and sweep.
    pub(super) stop: CancellationToken,
}

impl Registry {
    pub(super) fn new(parts: Parts, settings: DirectorySettings) -> Self {
        let meters = Arc::new(Meters::bind());
        Self {
            quarantine: Quarantine::new(&settings),
            shards: supervisor::start(settings.shards, &meters),
            parts,
            settings,
            meters,
            slots: DashMap::new(),
            live: AtomicUsize::new(0),
            retiring: AtomicUsize::new(0),
            next_activation: AtomicU64::new(1),
            tick: AtomicU32::new(0),
            arrivals: Mutex::new(Vec::new()),
            crowded: Notify::new(),
            emptied: Notify::new(),
            draining: AtomicBool::new(false),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Live ones that nobody has asked to go.
    pub(super) fn resident(&self) -> usize {
        self.live().saturating_sub(self.retiring.load(Ordering::Acquire))
    }

    /// More of them than there are to be?
    pub(super) fn is_crowded(&self) -> bool {
        self.resident() > self.settings.actors_max
    }

    /// How many are to go until there are a `share`th less than there may be.
    pub(super) fn excess(&self, share: usize) -> usize {
        self.resident().saturating_sub(self.settings.actors_max - self.settings.actors_max / share)
    }

    pub(super) fn find(&self, phone: PhoneNumber) -> Option<Entry> {
        self.slots.get(&phone).map(|entry| entry.clone())
    }

    pub(super) fn is_live(&self, phone: PhoneNumber) -> bool {
        self.slots.contains_key(&phone)
    }

    /// The number's activation: the one there is, or a new one. It may be starting or ending; sending finds out.
    pub(super) fn find_or_start(self: &Arc<Self>, phone: PhoneNumber) -> Result<Entry, Fault> {
        match self.find(phone) {
            Some(entry) => Ok(entry),
            None => self.start(phone),
        }
    }

    fn start(self: &Arc<Self>, phone: PhoneNumber) -> Result<Entry, Fault> {
        self.may_start(phone)?;
        let entry = match self.slots.entry(phone) {
            MapEntry::Occupied(occupied) => return Ok(occupied.get().clone()),
            MapEntry::Vacant(vacant) => {
                self.take_place()?;
                let Some(entry) = self.spawn(phone) else {
                    self.give_place_back();
                    return Err(Fault::Draining);
                };
                vacant.insert(entry).clone()
            }
        };
        self.meters.actors.increment(1);
        // Only now, with the slot unlocked, may the guard run: a runtime that is shutting down drops a spawned
        // actor on the spot.
        if !entry.activation.arm() {
            self.remove(phone, entry.activation.id);
        }
        let filed = Filed { phone, activation: entry.activation.id };
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(filed);
        if self.is_crowded() {
            self.crowded.notify_one();
        }
        Ok(entry)
    }

    fn may_start(&self, phone: PhoneNumber) -> Result<(), Fault> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(Fault::Draining);
        }
        if let Some(left) = self.quarantine.left(phone) {
            self.meters.over_quarantine.increment(1);
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            return Err(Fault::Quarantined { until: self.parts.clock.now().plus(left) });
        }
        Ok(())
    }

    /// Counts one more live actor, or refuses: exact, whoever asks at the same time.
    fn take_place(&self) -> Result<(), Fault> {
        let most = self.settings.actors_hard_max;
        let room = |live: usize| (live < most).then_some(live.saturating_add(1));
        if self.live.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_err() {
            self.meters.over_actors.increment(1);
            self.crowded.notify_one();
            return Err(super::directory::overloaded());
        }
        // Once more, now that this one is counted: either we see the drain, or the drain sees us and waits.
        if self.draining.load(Ordering::SeqCst) {
            self.give_place_back();
            return Err(Fault::Draining);
        }
        Ok(())
    }

    fn give_place_back(&self) {
        if self.live.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Starts the actor without waiting for it. `None` only if there is no shard, and there always is one.
    fn spawn(self: &Arc<Self>, phone: PhoneNumber) -> Option<Entry> {
        let id = self.next_activation.fetch_add(1, Ordering::Relaxed);
        let activation = Arc::new(Activation::new(phone, id, self.tick.load(Ordering::Relaxed)));
        let shard = self.shard(phone)?.clone();
        let guard = Guard { registry: Arc::clone(self), activation: Arc::clone(&activation) };
        // Without a name: names are global, cost a lookup, and would carry the number into every log line.
        let (actor, _detached) = ActorRuntime::spawn_linked_instant(None, PhoneActor::new(guard), (), shard).ok()?;
        let _first_set = activation.actor.set(actor.get_id().pid());
        Some(Entry { actor, activation })
    }

    fn shard(&self, phone: PhoneNumber) -> Option<&ActorCell> {
        // Fibonacci hashing: neighbouring numbers fall into different shards.
        let hash = phone.as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let count = u64::try_from(self.shards.len()).ok()?;
        self.shards.get(usize::try_from(hash.checked_rem(count)?).ok()?)
    }

    /// Takes that very activation out. Harmless if it is gone or has a successor.
    pub(super) fn remove(&self, phone: PhoneNumber, activation: u64) {
        let Some((_, entry)) = self.slots.remove_if(&phone, |_, entry| entry.activation.id == activation) else {
            return;
        };
        self.meters.actors.decrement(1);
        if entry.activation.is_retiring() {
            self.retiring.fetch_sub(1, Ordering::AcqRel);
        }
        self.give_place_back();
    }

    /// Lets that very activation go: what waits in its mailbox is served, what comes later is forwarded. Only a
    /// running one: an actor asked to drain while it starts fails its start and drops its mailbox. Status never
    /// moves back, so the check is safe.
    pub(super) fn passivate(&self, phone: PhoneNumber, activation: u64) -> bool {
        let actor = {
            let Some(entry) = self.slots.get(&phone) else { return false };
            if entry.activation.id != activation || entry.actor.get_status() != ActorStatus::Running {
                return false;
            }
            self.retire(&entry)
        };
        drain(&actor);
        true
    }

    /// Lets that very activation go if it rests and `is_due` says so of the tick of its last use. One look at the map.
    pub(super) fn let_go_if(&self, filed: Filed, is_due: impl FnOnce(u32) -> bool) -> Rest {
        let actor = {
            let Some(entry) = self.slots.get(&filed.phone).filter(|it| it.activation.id == filed.activation) else {
                return Rest::Over;
            };
            match entry.actor.get_status() {
                ActorStatus::Unstarted | ActorStatus::Starting => return Rest::Busy,
                ActorStatus::Running => {}
                ActorStatus::Upgrading | ActorStatus::Draining | ActorStatus::Stopping | ActorStatus::Stopped => {
                    return Rest::Over;
                }
            }
            if entry.activation.is_busy() {
                return Rest::Busy;
            }
            let used = entry.activation.used();
            if !is_due(used) {
                return Rest::Since(used);
            }
            self.retire(&entry)
        };
        drain(&actor);
        Rest::LetGo
    }

    fn retire(&self, entry: &Entry) -> ActorRef<Message> {
        if entry.activation.retire() {
            self.retiring.fetch_add(1, Ordering::AcqRel);
        }
        entry.actor.clone()
    }

    /// Activations started since the last call.
    pub(super) fn take_arrivals(&self) -> Vec<Filed> {
        std::mem::take(&mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every live activation, for the last drain alone.
    #[expect(clippy::disallowed_methods, reason = "at the end of the process, when nothing new is let in")]
    pub(super) fn everyone(&self) -> Vec<Filed> {
        let filed = |entry: dashmap::mapref::multiple::RefMulti<'_, PhoneNumber, Entry>| Filed {
            phone: *entry.key(),
            activation: entry.activation.id,
        };
        self.slots.iter().map(filed).collect()
    }
}
