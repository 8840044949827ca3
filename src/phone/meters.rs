//! Metrics of the actors. Handles are bound once, because looking one up by name costs ten times the count.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Lives of actors, as the supervisors and the directory saw them since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Activations that reached Running.
    pub started: u64,
    /// Activations that ended in order.
    pub ended: u64,
    /// Activations that ended by a panic, a kill or an abort.
    pub failed: u64,
    /// Messages that came back undelivered and were sent to the next activation.
    pub forwarded: u64,
    /// Commits that found another version.
    pub conflicts: u64,
    /// Tells that reached no actor, or that the store did not take.
    pub tells_lost: u64,
}

/// The same as [`Census`], counting.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub(super) started: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) forwarded: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) tells_lost: AtomicU64,
}

impl Tallies {
    pub(super) fn read(&self) -> Census {
        let read = |tally: &AtomicU64| tally.load(Ordering::Relaxed);
        Census {
            started: read(&self.started),
            ended: read(&self.ended),
            failed: read(&self.failed),
            forwarded: read(&self.forwarded),
            conflicts: read(&self.conflicts),
            tells_lost: read(&self.tells_lost),
        }
    }
}

/// Cached handles, and the tallies that tests and the readiness page read.
pub(super) struct Meters {
    pub(super) actors: Gauge,
    pub(super) inflight: Gauge,
    pub(super) store_records: Gauge,
    pub(super) expired: Counter,
    pub(super) time_to_verify: Histogram,
    pub(super) swept: Counter,
    pub(super) over_actors: Counter,
    pub(super) over_inflight: Counter,
    pub(super) over_forwards: Counter,
    pub(super) over_moves: Counter,
    pub(super) over_quarantine: Counter,
    activations: Counter,
    failures: Counter,
    conflicts: Counter,
    tells_lost: Counter,
    tallies: Tallies,
}

impl Meters {
    pub(super) fn bind() -> Self {
        let overload = |limit: &'static str| counter!("otpd_overload_total", "limit" => limit);
        Self {
            actors: gauge!("otpd_phone_actors"),
            inflight: gauge!("otpd_phone_actor_inflight"),
            store_records: gauge!("otpd_store_records"),
            expired: counter!("otpd_verifications_expired_total"),
            time_to_verify: histogram!("otpd_time_to_verify_seconds"),
            swept: counter!("otpd_store_records_swept_total"),
            over_actors: overload("actors"),
            over_inflight: overload("inflight"),
            over_forwards: overload("forwards"),
            over_moves: overload("moves"),
            over_quarantine: overload("quarantine"),
            activations: counter!("otpd_phone_activations_total"),
            failures: counter!("otpd_phone_actor_failures_total"),
            conflicts: counter!("otpd_phone_conflicts_total"),
            tells_lost: counter!("otpd_phone_tells_lost_total"),
            tallies: Tallies::default(),
        }
    }

    pub(super) fn census(&self) -> Census {
        self.tallies.read()
    }

    pub(super) fn started(&self) {
        self.activations.increment(1);
        self.tallies.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self) {
        self.tallies.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.increment(1);
        self.tallies.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn forwarded(&self) {
        self.tallies.forwarded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn conflict(&self) {
        self.conflicts.increment(1);
        self.tallies.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn tell_lost(&self) {
        self.tells_lost.increment(1);
        self.tallies.tells_lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// A count as the float that gauges take; exact far beyond any number of actors or records there can be.
pub(super) fn as_gauge(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    let value = count as f64;
    value
}
