//! Metrics of the posts, with cached handles.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::Posted;
use crate::store::OutboxCounts;

pub(super) struct Meters {
    delivered: Counter,
    failed: Counter,
    gone: Counter,
    pub(super) dead: Counter,
    pub(super) unreadable: Counter,
    pub(super) lost: Counter,
    seconds: Histogram,
    pending: Gauge,
    dead_letters: Gauge,
}

impl Meters {
    pub(super) fn bind() -> Self {
        let outcome = |outcome: &'static str| counter!("otpd_webhooks_total", "outcome" => outcome);
        Self {
            delivered: outcome("delivered"),
            failed: outcome("failed"),
            gone: outcome("gone"),
            dead: outcome("dead"),
            unreadable: outcome("unreadable"),
            lost: outcome("lost"),
            seconds: histogram!("otpd_webhook_seconds"),
            pending: gauge!("otpd_webhook_outbox"),
            dead_letters: gauge!("otpd_webhooks_dead"),
        }
    }

    pub(super) fn posted(&self, posted: Posted, took: Duration) {
        self.seconds.record(took.as_secs_f64());
        match posted {
            Posted::Taken => self.delivered.increment(1),
            Posted::Gone => self.gone.increment(1),
            Posted::Failed { .. } => self.failed.increment(1),
        }
    }

    pub(super) fn counts(&self, counts: OutboxCounts) {
        let gauge = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        self.pending.set(gauge(counts.pending));
        self.dead_letters.set(gauge(counts.dead));
    }
}
