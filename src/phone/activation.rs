//! One life of one number's actor, as everybody but the actor sees it.
//!
//! Owns: the record in hand, the in-flight count, the time of last use, and the guard that takes the entry out of the
//! registry however the life ends. The guard is a field of the actor's handler, not of its state, because ractor may keep
//! the state alive in an event after the end.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};

use metrics::Gauge;
use ractor::ActorId;

use crate::record::{PhoneNumber, Record};

use super::registry::Registry;

/// The entry's slot is still locked by whoever starts the actor: the guard must not touch it.
const UNARMED: u8 = 0;
/// The guard takes the entry out.
const ARMED: u8 = 1;
/// The life is over.
const OVER: u8 = 2;

/// What the directory, the collector and the actor share about one life.
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) phone: PhoneNumber,
    /// Unlike any other activation of this process.
    pub(super) id: u64,
    /// The record as the store has it, which the actor alone sets; `None` before the first message and after an unknown
    /// outcome.
    record: Mutex<Option<Arc<Record>>>,
    inflight: AtomicU32,
    /// Collector tick of the last use.
    used: AtomicU32,
    guard: AtomicU8,
    /// Set by the collector when it has asked this one to go; counted in the registry.
    retiring: AtomicBool,
    /// Set by the actor's last step: it ended in order.
    stopped: AtomicBool,
    /// ractor's id of the actor, which the supervisor's log lines name: its number alone, without room for other nodes'.
    pub(super) actor: OnceLock<u64>,
}

impl Activation {
    pub(super) fn new(phone: PhoneNumber, id: u64, tick: u32) -> Self {
        Self {
            phone,
            id,
            record: Mutex::new(None),
            inflight: AtomicU32::new(0),
            used: AtomicU32::new(tick),
            guard: AtomicU8::new(UNARMED),
            retiring: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            actor: OnceLock::new(),
        }
    }

    /// One more request, unless `most` are under way.
    pub(super) fn admit(self: &Arc<Self>, most: u32, gauge: &Gauge) -> Option<Permit> {
        let room = |now: u32| (now < most).then_some(now.saturating_add(1));
        self.inflight.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        gauge.increment(1);
        Some(Permit { activation: Arc::clone(self), gauge: gauge.clone() })
    }

    pub(super) fn is_busy(&self) -> bool {
        self.inflight.load(Ordering::Acquire) > 0
    }

    /// The record in hand.
    pub(super) fn record(&self) -> Option<Arc<Record>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes `record` in hand, or forgets the one in hand, which is dropped after the lock is.
    pub(super) fn hold(&self, record: Option<Arc<Record>>) {
        let _before = std::mem::replace(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner), record);
    }

    /// The record in hand if no request is under way: by this one the actor would judge the next.
    pub(super) fn record_at_rest(&self) -> Option<Arc<Record>> {
        if self.is_busy() { None } else { self.record() }
    }

    pub(super) fn touch(&self, tick: u32) {
        self.used.store(tick, Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// From now on the guard removes the entry; false if the life is already over, and then the caller has to.
    pub(super) fn arm(&self) -> bool {
        self.guard.compare_exchange(UNARMED, ARMED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// True the first time.
    pub(super) fn retire(&self) -> bool {
        !self.retiring.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::Acquire)
    }

    pub(super) fn stopped_in_order(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

/// One request under way. It travels with the message and is given back when handling ends, or when the message
/// is thrown away with a dead actor's mailbox.
#[derive(Debug)]
pub(super) struct Permit {
    activation: Arc<Activation>,
    gauge: Gauge,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.activation.inflight.fetch_sub(1, Ordering::AcqRel);
        self.gauge.decrement(1);
    }
}

/// Runs on every end of an actor: drain, kill, panic, failed start, aborted task.
pub(super) struct Guard {
    pub(super) registry: Arc<Registry>,
    pub(super) activation: Arc<Activation>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Activation { phone, id, .. } = *self.activation;
        if self.activation.stopped.load(Ordering::Acquire) {
            self.registry.quarantine.cleared(phone);
        } else {
            self.registry.quarantine.failed(phone);
            let actor = self.activation.actor.get().map(|pid| ActorId::Local(*pid).to_string());
            tracing::warn!(%phone, actor, "phone actor ended without its stop");
        }
        if self.activation.guard.swap(OVER, Ordering::AcqRel) == ARMED {
            self.registry.remove(phone, id);
        }
    }
}
