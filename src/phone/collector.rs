//! The idle collector: lets actors go that nobody has asked for a while, and the oldest ones when there are too many.
//!
//! No timer per actor: time is cut into quanta, each activation is filed under the quantum it will be idle in, and a
//! use only stores the number of the current quantum. When a bucket is due, those used meanwhile are filed anew.
//!
//! In small steps: an actor's end is work on the same threads as requests are, and thousands of them at once would stand
//! before every request that comes meanwhile.

use std::{collections::VecDeque, future, sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::registry::{Filed, Registry, Rest};

/// Quanta in the idle time: an actor goes at most an eighth of it late.
const QUANTA: u32 = 16;
/// One more, because the last use may have been at the end of its quantum.
const IDLE_TICKS: u32 = QUANTA + 1;
/// Pause between two steps while there is something to do.
const PAUSE: Duration = Duration::from_millis(1);
/// Activations looked at in a step, at least: some 0.1 ms of work.
const STEP_MIN: usize = 16;
/// Of those that are too many, a step lets this share go (a 64th): the more there are, the faster.
const STEP_SHARE: usize = 64;
/// Shedding goes this much below `actors_max` (a 32nd), so that it does not begin with every activation.
const SHED_SHARE: usize = 32;

/// Runs until the directory drains.
pub(super) async fn run(registry: Arc<Registry>) {
    let quantum = Duration::from_millis((registry.settings.idle_ms / u64::from(QUANTA)).max(1));
    let started = Instant::now();
    let mut beats = interval(quantum);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut collector = Collector { registry: &registry, buckets: Buckets::default(), step: 0, is_crowded: false };
    loop {
        let pause = async { if collector.has_work() { sleep(PAUSE).await } else { future::pending().await } };
        tokio::select! {
            () = registry.stop.cancelled() => return,
            () = registry.crowded.notified(), if !collector.is_crowded => collector.is_crowded = registry.is_crowded(),
            _ = beats.tick() => {
                let passed = started.elapsed().as_millis() / quantum.as_millis();
                collector.beat(u32::try_from(passed).unwrap_or(u32::MAX), quantum);
                registry.quarantine.prune();
            }
            () = pause => {}
        }
        collector.step();
    }
}

struct Collector<'a> {
    registry: &'a Registry,
    buckets: Buckets,
    /// Activations looked at in a step, so that what is due is done within half a quantum.
    step: usize,
    /// There were more than `actors_max`, and there are not few enough yet.
    is_crowded: bool,
}

impl Collector<'_> {
    fn beat(&mut self, tick: u32, quantum: Duration) {
        self.registry.tick.store(tick, Ordering::Relaxed);
        self.buckets.begin(tick);
        let steps = (quantum / 2).as_millis() / PAUSE.as_millis();
        self.step = (self.buckets.count_due() / usize::try_from(steps.max(1)).unwrap_or(usize::MAX)).max(STEP_MIN);
    }

    fn has_work(&self) -> bool {
        self.is_crowded || self.buckets.count_due() > 0
    }

    /// Lets some go: those that are due and still idle; when there are too many, the longest idle ones.
    fn step(&mut self) {
        self.buckets.take_in(self.registry);
        let excess = if self.is_crowded { self.registry.excess(SHED_SHARE) } else { 0 };
        self.is_crowded = excess > 0;
        let looks = if self.is_crowded { self.step.max(excess / STEP_SHARE) } else { self.step };
        for _ in 0..looks {
            let Some((filed, due)) = self.buckets.next(self.is_crowded) else { return };
            match self.registry.let_go_if(filed, |used| used.saturating_add(IDLE_TICKS) <= due) {
                Rest::LetGo | Rest::Over => {}
                Rest::Busy => self.buckets.file(filed, due.max(self.buckets.tick.saturating_add(1))),
                // Used since it was filed: its turn comes with a later bucket.
                Rest::Since(used) => self.buckets.file(filed, used.saturating_add(IDLE_TICKS)),
            }
        }
    }
}

/// Activations by the tick at which they may be idle.
#[derive(Debug, Default)]
struct Buckets {
    tick: u32,
    /// The tick of the first bucket.
    first: u32,
    queues: VecDeque<VecDeque<Filed>>,
}

impl Buckets {
    fn file(&mut self, filed: Filed, due: u32) {
        let index = due.saturating_sub(self.first) as usize;
        if self.queues.len() <= index {
            self.queues.resize_with(index + 1, VecDeque::new);
        }
        if let Some(queue) = self.queues.get_mut(index) {
            queue.push_back(filed);
        }
    }

    fn take_in(&mut self, registry: &Registry) {
        let due = self.tick.saturating_add(IDLE_TICKS);
        for filed in registry.take_arrivals() {
            self.file(filed, due);
        }
    }

    /// It is a later tick now. Buckets whose time was, and that are empty, go.
    fn begin(&mut self, tick: u32) {
        self.tick = tick;
        while self.first < tick && self.queues.front().is_none_or(VecDeque::is_empty) {
            self.queues.pop_front();
            self.first += 1;
        }
    }

    /// So many are due.
    fn count_due(&self) -> usize {
        let due = self.tick.saturating_add(1).saturating_sub(self.first) as usize;
        self.queues.iter().take(due).map(VecDeque::len).sum()
    }

    /// The next one that is due, or, if `any` will do, the one whose time comes first; and its time.
    fn next(&mut self, any: bool) -> Option<(Filed, u32)> {
        let limit = if any { u32::MAX } else { self.tick };
        for (due, queue) in (self.first..=limit).zip(&mut self.queues) {
            if let Some(filed) = queue.pop_front() {
                return Some((filed, due));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        phone::{directory::tests::parts, settings::DirectorySettings},
        store::memory::MemoryStore,
    };

    fn filed(activation: u64) -> Filed {
        Filed { phone: 989_120_000_001.try_into().unwrap(), activation }
    }

    fn drained(buckets: &mut Buckets, any: bool) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| buckets.next(any)).map(|(filed, due)| (filed.activation, due)).collect()
    }

    /// Thousands at once would stand before every request: a step lets go of a 64th of those that are too many, and of 16
    /// at least.
    #[tokio::test(start_paused = true)]
    async fn a_step_lets_go_of_few() {
        let settings = DirectorySettings { actors_max: 1_000, ..DirectorySettings::default() };
        let registry = Arc::new(Registry::new(parts(&Arc::new(MemoryStore::new(false))), settings));
        for number in 0..5_000 {
            registry.find_or_start((989_120_000_000 + number).try_into().unwrap()).unwrap();
        }
        // Paused time goes on when all have started and nothing is left to do.
        sleep(PAUSE).await;
        let mut collector =
            Collector { registry: &registry, buckets: Buckets::default(), step: STEP_MIN, is_crowded: true };
        let mut went = Vec::new();
        while collector.is_crowded {
            let before = registry.resident();
            collector.step();
            went.push(before - registry.resident());
        }
        assert_eq!(went.first(), Some(&(4_031 / STEP_SHARE)), "1,000 less a 32nd stay");
        assert!(
            went.is_sorted_by(|a, b| a >= b) && went.iter().rev().skip(1).all(|went| *went >= STEP_MIN),
            "{went:?}"
        );
        assert!((1_000 - 1_000 / SHED_SHARE - STEP_MIN..=1_000).contains(&registry.resident()));
    }

    #[test]
    fn what_is_due_comes_in_order_and_the_rest_only_if_any_will_do() {
        let mut buckets = Buckets::default();
        for (activation, due) in [(1, 17), (2, 18), (3, 17), (4, 30)] {
            buckets.file(filed(activation), due);
        }
        buckets.begin(16);
        assert_eq!((buckets.count_due(), drained(&mut buckets, false)), (0, Vec::new()));
        buckets.begin(18);
        assert_eq!(buckets.count_due(), 3);
        assert_eq!(drained(&mut buckets, false), [(1, 17), (3, 17), (2, 18)]);
        assert_eq!(drained(&mut buckets, true), [(4, 30)]);
        // Long after, and nothing but room for what is filed from now on.
        buckets.begin(100_000);
        assert!(buckets.queues.is_empty());
        buckets.file(filed(5), 100_001);
        assert_eq!((buckets.queues.len(), drained(&mut buckets, true)), (2, vec![(5, 100_001)]));
    }
}
