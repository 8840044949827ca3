//! The limits of the actors and of the sweep. Plain values; the settings owner checks and fills them.

use std::time::Duration;

/// Limits of the directory.
#[derive(Debug, Clone)]
pub struct DirectorySettings {
    /// Live actors above which the oldest idle ones are let go at once. Default 50,000: about 0.5 GiB, and
    /// no more than a flood can fill before it is shed: memory never used before costs a third more per request.
    pub actors_max: usize,
    /// Live actors above which a further number is refused. At least `actors_max`. Default 100,000: about 1 GiB,
    /// and twice what the collector aims at, so that shedding has time.
    pub actors_hard_max: usize,
    /// Milliseconds without use after which an actor is let go, at least 16. Default 60,000: a person types a code
    /// within a minute, and loading again costs about 20 µs.
    pub idle_ms: u64,
    /// Requests that may wait for or be in one number's actor. Default 16: no person has more, and mailboxes have
    /// no bound of their own.
    pub inflight_max: u32,
    /// Shard supervisors, at least 1. Default 32: short event queues and a small blast radius; not for speed.
    pub shards: usize,
    /// Milliseconds until a caller gives up waiting and gets [`Fault::Unknown`](super::Fault::Unknown). Above
    /// `commit_timeout_ms`. Default 10,000.
    pub call_timeout_ms: u64,
    /// Milliseconds that one load or one commit may take. Default 5,000: a healthy disk needs under 50.
    pub commit_timeout_ms: u64,
    /// How often a message that came back undelivered is sent to the number's next activation. Default 2: in
    /// millions of random drains none needed more.
    pub forwards_max: u8,
    /// Tells that may be forwarded in the background at one time. Default 1,024: each is a task of about 1 KB.
    pub background_forwards_max: usize,
    /// Failed activations in a row after which a number is quarantined, at least 1. Default 3.
    pub quarantine_failures: u32,
    /// Milliseconds of quarantine, and how long a failure counts. Default 30,000.
    pub quarantine_ms: u64,
}

impl Default for DirectorySettings {
    fn default() -> Self {
        Self {
            actors_max: 50_000,
            actors_hard_max: 100_000,
            idle_ms: 60_000,
            inflight_max: 16,
            shards: 32,
            call_timeout_ms: 10_000,
            commit_timeout_ms: 5_000,
            forwards_max: 2,
            background_forwards_max: 1_024,
            quarantine_failures: 3,
            quarantine_ms: 30_000,
        }
    }
}

impl DirectorySettings {
    pub(super) fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }

    pub(super) fn store_timeout(&self) -> Duration {
        Duration::from_millis(self.commit_timeout_ms)
    }

    pub(super) fn quarantine(&self) -> Duration {
        Duration::from_millis(self.quarantine_ms)
    }
}

/// Limits of the sweep.
#[derive(Debug, Clone)]
pub struct SweepSettings {
    /// Milliseconds between two ticks. Default 1,000.
    pub tick_ms: u64,
    /// Records read per tick, at least 1. Default 500: a few milliseconds of work, and a million records in half an hour.
    pub records_per_tick: usize,
}

impl Default for SweepSettings {
    fn default() -> Self {
        Self { tick_ms: 1_000, records_per_tick: 500 }
    }
}
