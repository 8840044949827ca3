//! `[store]` and `[phone]`: what is kept, where, and how much of it in memory.

use std::{path::PathBuf, time::Duration};

use super::{reader::Reader, server::is_region};

/// What an acknowledged change survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Power loss.
    Fsync,
    /// The end of the process; a crash of the machine may forget the last 100 ms.
    Buffered,
}

/// `[store]`.
#[derive(Debug, Clone)]
pub struct Store {
    /// Data directory.
    pub path: PathBuf,
    /// What an acknowledged change survives.
    pub durability: Durability,
    /// Memory for the page cache, MiB.
    pub cache_mib: u64,
    /// Below this much free disk, MiB, changes are refused; 0: no such limit.
    pub free_mib_min: u64,
    /// Memory for the filter of numbers there are, MiB; 0: none.
    pub filter_mib: u64,
    /// Changes that wait for the next fold, MiB per segment of the log.
    pub log_mib: u64,
    /// How often they are folded into sled.
    pub fold_every: Duration,
    /// Sorted runs of numbers that there may be before folds wait for merges.
    pub runs_max: usize,
    /// Changes that may wait.
    pub queue_max: usize,
    /// Longest wait of a change that is taken.
    pub wait_max: Duration,
    /// Changes in one batch.
    pub batch_max: usize,
    /// Bytes in one batch.
    pub batch_bytes_max: usize,
    /// Largest record, bytes.
    pub record_bytes_max: usize,
    /// Least time between two batches while few changes wait.
    pub commit_gap: Duration,
    /// How long a change may wait to be durable.
    pub commit_timeout: Duration,
    /// Pause between two steps of the sweep.
    pub sweep_tick: Duration,
    /// Records looked at in one step.
    pub sweep_records_per_tick: usize,
}

impl Store {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let path = r.checked("store.path", "a directory", |_| true);
        if path.is_none() {
            r.problem("store.path", "must be a directory".to_owned());
        }
        Self {
            path: path.unwrap_or_default().into(),
            durability: r.choice(
                "store.durability",
                ("fsync", Durability::Fsync),
                &[("buffered", Durability::Buffered)],
            ),
            cache_mib: r.number("store.cache_mib", 8..=1_048_576),
            free_mib_min: r.number("store.free_mib_min", 0..=1_048_576),
            filter_mib: r.number("store.filter_mib", 0..=4_096),
            log_mib: r.number("store.log_mib", 1..=1_024),
            fold_every: r.millis("store.fold_every_ms", 10..=600_000),
            runs_max: r.number("store.runs_max", 16..=1_024),
            queue_max: r.number("store.queue_max", 1..=1_000_000),
            wait_max: r.millis("store.wait_max_ms", 10..=60_000),
            batch_max: r.number("store.batch_max", 1..=65_536),
            batch_bytes_max: r.number("store.batch_bytes_max", 8_192..=126_976),
            record_bytes_max: r.number("store.record_bytes_max", 16_384..=126_976),
            commit_gap: r.millis("store.commit_gap_ms", 0..=1_000),
            commit_timeout: r.millis("store.commit_timeout_ms", 100..=60_000),
            sweep_tick: r.millis("store.sweep_tick_ms", 10..=3_600_000),
            sweep_records_per_tick: r.number("store.sweep_records_per_tick", 1..=100_000),
        }
    }
}

/// How strictly a number is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// The form of E.164.
    Syntax,
    /// A number that its country's plan has.
    Valid,
}

/// `[phone]`.
#[derive(Debug, Clone)]
pub struct Phone {
    /// Country of national numbers, two capital letters.
    pub default_region: Option<String>,
    /// How strictly a number is looked at.
    pub validation: Validation,
    /// Numbers kept in memory.
    pub actors_max: usize,
    /// Above this many, new numbers are refused.
    pub actors_hard_max: usize,
    /// A number idle for this long is put away.
    pub idle: Duration,
    /// Requests open at once for one number.
    pub inflight_max: u32,
    /// Supervisors.
    pub shards: usize,
    /// How long a request waits for its number's answer.
    pub call_timeout: Duration,
    /// How often an undelivered message is sent on.
    pub forwards_max: u8,
    /// Messages nobody waits for that are sent on at one time.
    pub background_forwards_max: usize,
    /// Failed starts in a row that bring quarantine.
    pub quarantine_failures: u32,
    /// Length of a quarantine.
    pub quarantine: Duration,
}

impl Phone {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            default_region: r.checked("phone.default_region", "two capital letters, as in \"IR\"", is_region),
            validation: r.choice("phone.validation", ("syntax", Validation::Syntax), &[("valid", Validation::Valid)]),
            actors_max: r.number("phone.actors_max", 100..=10_000_000),
            actors_hard_max: r.number("phone.actors_hard_max", 100..=10_000_000),
            idle: r.millis("phone.idle_ms", 100..=3_600_000),
            inflight_max: r.number("phone.inflight_max", 1..=1_000),
            shards: r.number("phone.shards", 1..=1_024),
            call_timeout: r.millis("phone.call_timeout_ms", 200..=120_000),
            forwards_max: r.number("phone.forwards_max", 0..=2),
            background_forwards_max: r.number("phone.background_forwards_max", 1..=100_000),
            quarantine_failures: r.number("phone.quarantine_failures", 1..=100),
            quarantine: r.millis("phone.quarantine_ms", 100..=3_600_000),
        }
    }
}
