//! The idle collector: lets actors go that nobody has asked for a while, and the oldest ones when there are too many.
//!
//! No timer per actor: time is cut into quanta, each activation is filed under the quantum it will be idle in, and a
//! use only stores the number of the current quantum. When a bucket is due, those used meanwhile are filed anew.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::registry::{Filed, Registry, Rest};

/// Quanta in the idle time: an actor goes at most a sixteenth of it late.
const QUANTA: u32 = 16;
/// One more, because the last use may have been at the end of its quantum.
const IDLE_TICKS: u32 = QUANTA + 1;
/// Activations looked at between two yields.
const CHUNK: usize = 256;
/// Shedding goes this much below `actors_max` (a 32nd), so that it does not run for every activation.
const SHED_SHARE: usize = 32;

/// Runs until the directory drains.
pub(super) async fn run(registry: Arc<Registry>) {
    let quantum = Duration::from_millis((registry.settings.idle_ms / u64::from(QUANTA)).max(1));
    let started = Instant::now();
    let mut beats = interval(quantum);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buckets = Buckets::default();
    loop {
        tokio::select! {
            () = registry.stop.cancelled() => return,
            () = registry.crowded.notified() => {
                buckets.take_in(&registry);
                shed(&registry, &mut buckets).await;
            }
            _ = beats.tick() => {
                let passed = started.elapsed().as_millis() / quantum.as_millis();
                let tick = u32::try_from(passed).unwrap_or(u32::MAX);
                registry.tick.store(tick, Ordering::Relaxed);
                buckets.take_in(&registry);
                collect(&registry, &mut buckets, tick).await;
                registry.quarantine.prune();
            }
        }
    }
}

/// Activations by the tick at which they may be idle.
#[derive(Debug, Default)]
struct Buckets {
    /// The tick of the first bucket.
    first: u32,
    due: VecDeque<Vec<Filed>>,
}

impl Buckets {
    fn file(&mut self, filed: Filed, due: u32) {
        let index = due.saturating_sub(self.first) as usize;
        if self.due.len() <= index {
            self.due.resize_with(index + 1, Vec::new);
        }
        if let Some(bucket) = self.due.get_mut(index) {
            bucket.push(filed);
        }
    }

    fn take_in(&mut self, registry: &Registry) {
        let due = registry.tick.load(Ordering::Relaxed).saturating_add(IDLE_TICKS);
        for filed in registry.take_arrivals() {
            self.file(filed, due);
        }
    }

    /// The next bucket whose tick has come.
    fn next_due(&mut self, tick: u32) -> Option<Vec<Filed>> {
        if self.first > tick {
            return None;
        }
        let bucket = self.due.pop_front();
        self.first = if bucket.is_some() { self.first.saturating_add(1) } else { tick.saturating_add(1) };
        bucket
    }
}

/// Lets those go that are due and still idle.
async fn collect(registry: &Registry, buckets: &mut Buckets, tick: u32) {
    while let Some(bucket) = buckets.next_due(tick) {
        for chunk in bucket.chunks(CHUNK) {
            for filed in chunk {
                match registry.let_go_if(*filed, |used| used.saturating_add(IDLE_TICKS) <= tick) {
                    Rest::LetGo | Rest::Over => {}
                    Rest::Busy => buckets.file(*filed, tick.saturating_add(1)),
                    Rest::Since(used) => buckets.file(*filed, used.saturating_add(IDLE_TICKS)),
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Lets the longest idle ones go until there are a little fewer than `actors_max`.
async fn shed(registry: &Registry, buckets: &mut Buckets) {
    let most = registry.settings.actors_max;
    let mut excess = registry.resident().saturating_sub(most - most / SHED_SHARE);
    if registry.resident() <= most {
        return;
    }
    let mut index = 0;
    while excess > 0
        && let Some(bucket) = buckets.due.get_mut(index).map(std::mem::take)
    {
        let this = buckets.first.saturating_add(u32::try_from(index).unwrap_or(u32::MAX));
        let mut left = bucket.as_slice();
        while excess > 0
            && let Some((chunk, rest)) =
                left.split_at_checked(CHUNK.min(left.len())).filter(|(chunk, _)| !chunk.is_empty())
        {
            for filed in chunk {
                // Used since it was filed: its turn comes with a later bucket.
                match registry.let_go_if(*filed, |used| excess > 0 && used.saturating_add(IDLE_TICKS) <= this) {
                    Rest::LetGo => excess = excess.saturating_sub(1),
                    Rest::Over => {}
                    Rest::Busy => buckets.file(*filed, this),
                    Rest::Since(used) => buckets.file(*filed, this.max(used.saturating_add(IDLE_TICKS))),
                }
            }
            left = rest;
            tokio::task::yield_now().await;
        }
        // Unseen: the next time begins with them, and not with a walk over all that stay.
        left.iter().for_each(|filed| buckets.file(*filed, this));
        index += 1;
    }
}
