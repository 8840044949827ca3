//! What came of a run: figures for a table, for JSON and for pictures.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    Pace, Spacing,
    invariant::Invariant,
    measure::{Answers, Kind, Second, Tally},
    process::Sample,
    run::Run,
};

/// A run's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// "closed" or "open".
    pub r#loop: &'static str,
    /// Operations per second that were asked for; open loops alone.
    pub asked_per_s: Option<f64>,
    /// "even" or "poisson"; open loops alone.
    pub spacing: Option<&'static str>,
    /// Connections.
    pub connections: usize,
    /// Of all that was left to chance.
    pub seed: u64,
    /// Load before the measuring began, in seconds.
    pub warm_up_s: f64,
    /// Measured time, in seconds: until it was over or the number of operations was done.
    pub measured_s: f64,
    /// Operations that came to their end.
    pub operations: u64,
    /// Those that ended within the measured time, per second of it.
    pub operations_per_s: f64,
    /// Operations that ended before their end: a refusal, or no answer.
    pub given_up: u64,
    /// Operations of an open loop that began after they were due; their latency counts from when they were.
    pub late: u64,
    /// And those that never began.
    pub never_begun: u64,
    /// Requests per second of the measured time, all kinds.
    pub requests_per_s: f64,
    /// Per kind of request.
    pub rows: Vec<Row>,
    /// All kinds together, whole flows aside.
    pub total: Row,
    /// What the own server used.
    pub server: Option<Usage>,
    /// What had to hold.
    pub invariants: Vec<Invariant>,
    /// When the server was killed.
    pub kills: Vec<Kill>,
    /// Answers that should not have come, and how often they did.
    pub unexpected: BTreeMap<String, u64>,
    /// Each measured second.
    pub seconds: Vec<Second>,
    /// Latencies of all requests as a picture needs them: upper ends in microseconds, and how many.
    pub histogram: Vec<(u64, u64)>,
}

/// A line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The kind of request.
    pub name: &'static str,
    /// Requests.
    pub count: u64,
    /// Those that ended within the measured time, per second of it.
    pub per_s: f64,
    /// How long answers took.
    pub latency: Latency,
    /// What they were.
    pub answers: Answers,
    /// All latencies, in microseconds.
    #[serde(skip)]
    pub histogram: Histogram<u64>,
}

/// Latencies, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half are below.
    pub p50_us: u64,
    /// 90 % are below.
    pub p90_us: u64,
    /// 99 % are below.
    pub p99_us: u64,
    /// 99.9 % are below.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// What the own server used while it was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usage {
    /// Processor time per request, in microseconds.
    pub cpu_us_per_request: f64,
    /// Processor time, in seconds.
    pub cpu_s: f64,
    /// Resident memory in the end, in MiB.
    pub rss_mib: f64,
    /// The most there ever was, in MiB.
    pub rss_peak_mib: f64,
}

/// A kill of the server.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Kill {
    #[serde(skip)]
    pub(super) at: Instant,
    /// Seconds after the measuring began.
    pub at_s: f64,
    /// Time from the kill until the server was ready again, in milliseconds.
    pub ready_ms: f64,
}

/// Points of a picture per tenfold of latency.
const POINTS_PER_DECADE: f64 = 20.0;

impl Report {
    pub(super) fn of(
        run: &Run,
        ended: Instant,
        seconds: Vec<Second>,
        used: Option<(Duration, Sample)>,
        kills: &[Kill],
    ) -> Self {
        let (plan, totals) = (&run.plan, run.measure.totals());
        let measured_s =
            ended.min(run.schedule.ends).saturating_duration_since(run.schedule.measured_from).as_secs_f64();
        let per_s = |count: u64| if measured_s > 0.0 { count as f64 / measured_s } else { 0.0 };
        let mut total = Tally::default();
        totals.iter().filter(|(kind, _)| *kind != Kind::Flow).for_each(|(_, tally)| total.add(tally));
        let flows = totals.iter().find(|(kind, _)| *kind == Kind::Flow);
        let (rate, spacing) = match plan.pace {
            Pace::Closed => (None, None),
            Pace::Open { rate, spacing: Spacing::Even } => (Some(rate), Some("even")),
            Pace::Open { rate, spacing: Spacing::Poisson } => (Some(rate), Some("poisson")),
        };
        let answered = total.answers.all();
        let counts = &run.counts;
        Self {
            scenario: plan.scenario.name(),
            r#loop: if rate.is_some() { "open" } else { "closed" },
            asked_per_s: rate,
            spacing,
            connections: plan.connections,
            seed: plan.seed,
            warm_up_s: plan.warm_up.as_secs_f64(),
            measured_s,
            operations: counts.whole.load(Ordering::Relaxed),
            operations_per_s: per_s(counts.in_time.load(Ordering::Relaxed)),
            given_up: counts.given_up.load(Ordering::Relaxed),
            late: counts.late.load(Ordering::Relaxed),
            never_begun: flows.map_or(0, |(_, tally)| tally.answers.broken),
            requests_per_s: per_s(total.in_time),
            rows: totals.iter().map(|(kind, tally)| Row::of(kind.name(), tally, per_s(tally.in_time))).collect(),
            total: Row::of("all requests", &total, per_s(total.in_time)),
            server: used.map(|(cpu, now)| Usage::of(cpu, now, answered)),
            invariants: run.invariants.found(),
            kills: kills.to_vec(),
            unexpected: run.unexpected_answers(),
            seconds,
            histogram: points(&total.latency),
        }
    }

    /// True if nothing that had to hold was broken and nothing unexpected came.
    pub fn is_good(&self) -> bool {
        self.unexpected.is_empty() && self.broken().next().is_none()
    }

    /// What had to hold and did not.
    pub fn broken(&self) -> impl Iterator<Item = &Invariant> {
        self.invariants.iter().filter(|invariant| invariant.broken > 0)
    }
}

impl Row {
    fn of(name: &'static str, tally: &Tally, per_s: f64) -> Self {
        let at = |quantile| tally.latency.value_at_quantile(quantile);
        let latency = Latency {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: tally.latency.max(),
        };
        let histogram = tally.latency.clone();
        Self { name, count: tally.answers.all(), per_s, latency, answers: tally.answers, histogram }
    }
}

impl Usage {
    fn of(cpu: Duration, now: Sample, requests: u64) -> Self {
        let cpu_s = cpu.as_secs_f64();
        Self {
            cpu_us_per_request: if requests == 0 { 0.0 } else { cpu_s * 1e6 / requests as f64 },
            cpu_s,
            rss_mib: now.rss_kib as f64 / 1024.0,
            rss_peak_mib: now.rss_peak_kib as f64 / 1024.0,
        }
    }
}

fn points(latency: &Histogram<u64>) -> Vec<(u64, u64)> {
    let steps = latency.iter_log(1, 10_f64.powf(1.0 / POINTS_PER_DECADE));
    steps.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect()
}
