//! What is counted while it runs: latencies and answers per kind of request, and each second as it passes.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Asks for a code.
    Start,
    /// Asks for the same code again.
    Resend,
    /// Reads the code; the bare server alone has such a call.
    Code,
    /// Gives the right code.
    Check,
    /// Gives a wrong code, by id.
    WrongById,
    /// Gives a wrong code, by number.
    WrongByNumber,
    /// Does again what must not work twice.
    Again,
    /// Exchanges a receipt for tokens.
    Token,
    /// Rotates a refresh token.
    Refresh,
    /// Reads the profile.
    Me,
    /// All requests of one operation, from the first to the last.
    Flow,
}

impl Kind {
    /// All, in the order of tables.
    pub const ALL: [Self; 11] = [
        Self::Start,
        Self::Resend,
        Self::Code,
        Self::Check,
        Self::WrongById,
        Self::WrongByNumber,
        Self::Again,
        Self::Token,
        Self::Refresh,
        Self::Me,
        Self::Flow,
    ];

    /// As it stands in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Resend => "resend",
            Self::Code => "code",
            Self::Check => "check",
            Self::WrongById => "wrong, by id",
            Self::WrongByNumber => "wrong, by number",
            Self::Again => "again",
            Self::Token => "token",
            Self::Refresh => "refresh",
            Self::Me => "profile",
            Self::Flow => "(whole flow)",
        }
    }
}

/// Answers by what they say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// 200 to 299.
    pub ok: u64,
    /// 300 to 499 but 429.
    pub refused: u64,
    /// 429: limits.
    pub limited: u64,
    /// 503: no room.
    pub overloaded: u64,
    /// Every other 500 to 599.
    pub failed: u64,
    /// None: the connection broke, or no answer came in time.
    pub broken: u64,
    /// The same while the server was killed on purpose.
    pub killed: u64,
}

impl Answers {
    fn count(&mut self, came: Came) {
        let place = match came {
            Came::Status(200..=299) => &mut self.ok,
            Came::Status(429) => &mut self.limited,
            Came::Status(503) => &mut self.overloaded,
            Came::Status(500..) => &mut self.failed,
            Came::Status(_) => &mut self.refused,
            Came::Broken | Came::NeverBegun => &mut self.broken,
            Came::Killed => &mut self.killed,
        };
        *place += 1;
    }

    fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.refused += other.refused;
        self.limited += other.limited;
        self.overloaded += other.overloaded;
        self.failed += other.failed;
        self.broken += other.broken;
        self.killed += other.killed;
    }

    /// All of them.
    pub fn all(self) -> u64 {
        self.ok + self.refused + self.limited + self.overloaded + self.failed + self.broken + self.killed
    }
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// An answer.
    Status(u16),
    /// None.
    Broken,
    /// None, because the server was killed on purpose.
    Killed,
    /// An operation that was due and never began: it waited at least until now.
    NeverBegun,
}

/// Everything about one kind of request.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Latencies of those that were answered, in microseconds; of flows that never began, too, as long as they waited.
    pub latency: Histogram<u64>,
    /// What was answered.
    pub answers: Answers,
    /// Those that ended within the measured time: what a rate is made of.
    pub in_time: u64,
}

/// Longest latency told apart, in microseconds: two minutes.
const LATENCY_MAX_US: u64 = 120_000_000;

impl Default for Tally {
    fn default() -> Self {
        Self { latency: histogram(3), answers: Answers::default(), in_time: 0 }
    }
}

/// A histogram of this many significant digits.
#[expect(clippy::expect_used, reason = "1 and two minutes in microseconds are bounds of any histogram")]
fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, digits).expect("sound bounds")
}

impl Tally {
    fn count(&mut self, latency_us: u64, came: Came, in_time: bool) {
        self.answers.count(came);
        self.in_time += u64::from(in_time);
        if matches!(came, Came::Status(_) | Came::NeverBegun) {
            self.latency.saturating_record(latency_us);
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.answers.add(other.answers);
        self.in_time += other.in_time;
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
    }
}

/// One second of the run.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Second {
    /// Seconds since the measuring began; negative during the warm-up.
    pub at_s: i64,
    /// Requests answered in it.
    pub requests: u64,
    /// Median latency, in microseconds.
    pub p50_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
    /// What was answered.
    pub answers: Answers,
}

/// Places for counting: more than the threads of a runtime, so that two seldom wait for each other.
const SHARDS: usize = 16;

/// The figures of a run, as they come in.
#[derive(Debug)]
pub(super) struct Measure {
    shards: Vec<Mutex<Shard>>,
    measured_from: Instant,
    ends: Instant,
}

#[derive(Debug)]
struct Shard {
    kinds: Vec<(Kind, Tally)>,
    second: Histogram<u64>,
    answers: Answers,
}

impl Shard {
    fn new() -> Self {
        Self { kinds: Vec::new(), second: histogram(2), answers: Answers::default() }
    }

    fn tally(&mut self, kind: Kind) -> Option<&mut Tally> {
        let at = self.kinds.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            self.kinds.push((kind, Tally::default()));
            self.kinds.len() - 1
        });
        self.kinds.get_mut(at).map(|(_, tally)| tally)
    }
}

impl Measure {
    pub(super) fn new(measured_from: Instant, ends: Instant) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect();
        Self { shards, measured_from, ends }
    }

    /// One request of a worker that began at `from`. The warm-up counts in no total.
    pub(super) fn count(&self, worker: usize, kind: Kind, from: Instant, came: Came) {
        let now = Instant::now();
        let latency_us = micros(now.saturating_duration_since(from));
        let Some(shard) = self.shards.get(worker % SHARDS) else { return };
        let mut shard = locked(shard);
        if kind != Kind::Flow {
            shard.answers.count(came);
            if let Came::Status(_) = came {
                shard.second.saturating_record(latency_us);
            }
        }
        if from >= self.measured_from
            && let Some(tally) = shard.tally(kind)
        {
            tally.count(latency_us, came, now <= self.ends);
        }
    }

    /// The second that has passed.
    pub(super) fn second(&self) -> Second {
        let (mut all, mut answers) = (histogram(2), Answers::default());
        for shard in &self.shards {
            let mut shard = locked(shard);
            let _ = all.add(&shard.second);
            shard.second.reset();
            answers.add(std::mem::take(&mut shard.answers));
        }
        let (now, from) = (Instant::now(), self.measured_from);
        // It has passed, so it is the one before.
        let at_s = match now.checked_duration_since(from) {
            Some(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX) - 1,
            None => -i64::try_from((from - now).as_secs()).unwrap_or(i64::MAX) - 2,
        };
        let (p50_us, p99_us) = (all.value_at_quantile(0.5), all.value_at_quantile(0.99));
        Second { at_s, requests: all.len(), p50_us, p99_us, answers }
    }

    /// The totals, in the order of tables.
    pub(super) fn totals(&self) -> Vec<(Kind, Tally)> {
        let mut totals = Vec::new();
        for kind in Kind::ALL {
            let mut total: Option<Tally> = None;
            for shard in &self.shards {
                let shard = locked(shard);
                for (_, tally) in shard.kinds.iter().filter(|(known, _)| *known == kind) {
                    total.get_or_insert_with(Tally::default).add(tally);
                }
            }
            totals.extend(total.map(|total| (kind, total)));
        }
        totals
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whole microseconds, at least 1.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}
