//! What operators see as numbers: the one table of metric names, and the exporter behind `/metrics`.
//!
//! Owns: names, kinds, units, help texts, buckets and the closed sets of label values. Never counts anything itself,
//! except the build and the process; parts take their handles by the names here and cache those of the hot path.
//! A phone number, an address, an id, a raw path or an error text is never a label value.

use std::{sync::OnceLock, time::Duration};

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio_util::sync::CancellationToken;

use crate::guard::{COUNTRIES, RULES};

/// Samples of histograms wait in memory (9 bytes each) until they are folded; at 30,000 requests a second this is
/// about 1.3 MiB.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What a metric is, and for a histogram its upper bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows; the name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counted into buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Unit of its values.
    pub unit: Unit,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// Its labels with their closed sets of values.
    pub labels: &'static [(&'static str, &'static [&'static str])],
}

/// What a code is for; a client's own word counts as `other`.
pub const PURPOSES: &[&str] = &["login", "signup", "registration", "phone_change", "other"];
/// How a code travels.
pub const CHANNELS: &[&str] = &["sms", "voice", "whatsapp"];
/// What became of a check.
pub const CHECK_OUTCOMES: &[&str] = &[
    "approved",
    "incorrect",
    "exhausted",
    "expired",
    "closed",
    "already_approved",
    "not_found",
    "delayed",
    "stopped",
    "blocked",
];
/// Why something was refused.
pub const REFUSAL_REASONS: &[&str] = &[
    "send_window",
    "send_day",
    "cooldown",
    "guess_delay",
    "guess_stop",
    "blocked",
    "ip",
    "inflight",
    "overloaded",
    "draining",
    "quarantine",
    "storage",
    "number",
    "destination",
    "key",
    "scope",
    "idempotency",
    "no_route",
    "channel",
    "destination_closed",
    "budget",
    "proof_of_work",
];
/// Who sent: the gateway's name.
pub const SMS_ROUTES: &[&str] = &[
    "console",
    "simulated",
    "twilio",
    "kavenegar",
    "mshastra",
    "vonage",
    "webhook",
    "sns",
    "telegram",
    "twilio_voice",
    "twilio_verify",
    "vonage_messages",
];
/// Whether a provider that wants to know was told how a verification ended; `forgotten` ones made room for others.
pub const FEEDBACK_OUTCOMES: &[&str] = &["told", "failed", "forgotten"];
/// What became of a send: accepted, a class of `sms::SendClass`, or `overloaded` when it was not tried.
pub const SEND_OUTCOMES: &[&str] = &[
    "accepted",
    "invalid_number",
    "landline",
    "unroutable",
    "opted_out",
    "unverified_recipient",
    "region_denied",
    "fraud_blocked",
    "throttled",
    "auth_failed",
    "insufficient_credit",
    "bad_config",
    "provider_down",
    "unknown_outcome",
    "overloaded",
];
/// What became of a request that must prove its work.
pub const PROOF_OUTCOMES: &[&str] =
    &["required", "accepted", "retried", "replayed", "expired", "wrong", "foreign", "full"];
/// What became of a receipt: how far it moved its message, or why it moved none. `repeated`: its message was as far
/// already; `unknown`: no message of ours; `refused`: not signed; `unconfirmed`: the provider could not be asked.
pub const RECEIPT_OUTCOMES: &[&str] =
    &["sent", "delivered", "undelivered", "repeated", "unknown", "unreadable", "refused", "unconfirmed"];
/// Kinds of tokens.
pub const TOKEN_KINDS: &[&str] = &["access", "refresh", "receipt"];
/// Whether a token's signature was checked, or known to be good: we made the token, or it came before.
pub const TOKEN_READ_OUTCOMES: &[&str] = &["checked", "known"];
/// HTTP methods; a strange one counts as `other`.
pub const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "other"];
/// Which limit refused work.
pub const OVERLOAD_LIMITS: &[&str] = &[
    "connections",
    "connections_per_ip",
    "actors",
    "inflight",
    "forwards",
    "moves",
    "quarantine",
    "sms_inflight",
    "passwords",
    "auto_waiting",
    "receipts_inflight",
    "receipt_ids",
];
/// Our doors.
pub const LISTENERS: &[&str] = &["main", "ops"];
/// What a connection was in when its time was over.
pub const CONNECTION_PHASES: &[&str] = &["head", "idle", "exchange"];
/// Why the committer refused.
pub const COMMIT_REFUSALS: &[&str] = &["wait", "queue_full", "too_large", "malformed", "closed", "failed", "store"];

/// What became of a post of an event, or of an event: a try was `delivered`, `failed` or answered `gone`; given up it is
/// `dead`, with too many waiting `overflow`, as the oldest dead letter `dropped`, never in the outbox `lost`, and written
/// by a newer otpd `unreadable`.
pub const WEBHOOK_OUTCOMES: &[&str] =
    &["delivered", "failed", "gone", "dead", "overflow", "dropped", "lost", "unreadable"];

/// Routes are the router's templates (`/v1/verifications/{id}`), a closed set that the router owns; what matches none
/// is `other`.
const ROUTES: &[&str] = &["/v1/verifications", "other"];
/// Dialects are `v1` and those of the registry, `http::dialect::ALL`.
const DIALECTS: &[&str] = &["v1", "auth_otp"];
/// Statuses are those of HTTP.
const STATUSES: &[&str] = &["200", "404"];

const REQUEST_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const SEND_BUCKETS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
const COMMIT_BUCKETS: &[f64] = &[0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 5.0];
const VERIFY_BUCKETS: &[f64] = &[2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0];
const MERGE_BUCKETS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0];
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

macro_rules! metrics_table {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal, $kind:expr, $unit:ident, [$($label:literal: $values:expr),*];)+) => {
        $($(#[doc = $doc])+ pub const $id: &str = $name;)+

        /// Every metric of ours. Names outside it are a test failure (`tests/metrics_promtool.rs`).
        pub const TABLE: &[Metric] = &[$(Metric {
            name: $name,
            kind: $kind,
            unit: Unit::$unit,
            help: concat!($($doc),+).trim_ascii(),
            labels: &[$(($label, $values)),*],
        }),+];
    };
}

metrics_table! {
    /// Codes issued.
    CODES_ISSUED = "otpd_codes_issued_total", Kind::Counter, Count,
        ["dialect": DIALECTS, "purpose": PURPOSES, "channel": CHANNELS];
    /// Codes checked, by outcome.
    CODE_CHECKS = "otpd_code_checks_total", Kind::Counter, Count, ["dialect": DIALECTS, "outcome": CHECK_OUTCOMES];
    /// Requests refused by a rule, by reason.
    REFUSALS = "otpd_refusals_total", Kind::Counter, Count, ["dialect": DIALECTS, "reason": REFUSAL_REASONS];
    /// Requests for a message that must prove their work, by outcome.
    PROOF_OF_WORK = "otpd_proof_of_work_total", Kind::Counter, Count, ["outcome": PROOF_OUTCOMES];
    /// Tries to send a message, by route and outcome.
    SMS_SENDS = "otpd_sms_sends_total", Kind::Counter, Count, ["route": SMS_ROUTES, "outcome": SEND_OUTCOMES];
    /// Second tries to send a message.
    SMS_RETRIES = "otpd_sms_retries_total", Kind::Counter, Count, ["route": SMS_ROUTES];
    /// Time of one try to send a message.
    SMS_SEND_SECONDS = "otpd_sms_send_seconds", Kind::Histogram(SEND_BUCKETS), Seconds, ["route": SMS_ROUTES];
    /// Ends of verifications that a provider wants to be told, by what became of that.
    SMS_FEEDBACK = "otpd_sms_feedback_total", Kind::Counter, Count, ["route": SMS_ROUTES, "outcome": FEEDBACK_OUTCOMES];
    /// Whether the gateway is used: 0 yes, 1 one message is finding out, 2 it is left alone.
    ROUTE_BREAKER = "otpd_route_breaker", Kind::Gauge, Count, ["route": SMS_ROUTES];
    /// Share of a gateway's codes that were used lately.
    ROUTE_CONVERSION = "otpd_route_conversion_ratio", Kind::Gauge, Count, ["route": SMS_ROUTES, "country": COUNTRIES];
    /// Messages being sent now.
    SMS_INFLIGHT = "otpd_sms_inflight", Kind::Gauge, Count, [];
    /// Receipts of messages, by route and what became of them.
    RECEIPTS = "otpd_receipts_total", Kind::Counter, Count, ["route": SMS_ROUTES, "outcome": RECEIPT_OUTCOMES];
    /// Time from the decision to send a message to the receipt that says it is on the phone.
    RECEIPT_SECONDS = "otpd_receipt_seconds", Kind::Histogram(VERIFY_BUCKETS), Seconds, ["route": SMS_ROUTES];
    /// Time from the sending of a code to its approval.
    TIME_TO_VERIFY_SECONDS = "otpd_time_to_verify_seconds", Kind::Histogram(VERIFY_BUCKETS), Seconds, [];
    /// Verifications that ended unused at their time.
    VERIFICATIONS_EXPIRED = "otpd_verifications_expired_total", Kind::Counter, Count, [];
    /// Tokens issued, by kind.
    TOKENS_ISSUED = "otpd_tokens_issued_total", Kind::Counter, Count, ["kind": TOKEN_KINDS];
    /// Access tokens and receipts that came, by whether the signature had to be checked.
    TOKENS_READ = "otpd_tokens_read_total", Kind::Counter, Count, ["kind": TOKEN_KINDS, "outcome": TOKEN_READ_OUTCOMES];
    /// Phone numbers in memory.
    PHONE_ACTORS = "otpd_phone_actors", Kind::Gauge, Count, [];
    /// Phone numbers brought into memory.
    PHONE_ACTIVATIONS = "otpd_phone_activations_total", Kind::Counter, Count, [];
    /// Changes of a number that met another version in the store and were decided anew.
    PHONE_CONFLICTS = "otpd_phone_conflicts_total", Kind::Counter, Count, [];
    /// Messages to a number that nobody waited for and that reached no actor or were not kept by the store.
    PHONE_TELLS_LOST = "otpd_phone_tells_lost_total", Kind::Counter, Count, [];
    /// Actors of phone numbers that ended by a fault.
    PHONE_ACTOR_FAILURES = "otpd_phone_actor_failures_total", Kind::Counter, Count, [];
    /// Requests waiting for the actor of their phone number.
    PHONE_ACTOR_INFLIGHT = "otpd_phone_actor_inflight", Kind::Gauge, Count, [];
    /// Changes made durable together.
    COMMIT_BATCH_SIZE = "otpd_commit_batch_size", Kind::Histogram(BATCH_BUCKETS), Count, [];
    /// Time to make a batch of changes durable.
    COMMIT_SECONDS = "otpd_commit_seconds", Kind::Histogram(COMMIT_BUCKETS), Seconds, [];
    /// Changes that waited for the disk when the last batch began.
    COMMIT_WAITING = "otpd_commit_waiting", Kind::Gauge, Count, [];
    /// Changes the store refused before touching anything, by reason.
    COMMIT_REFUSALS_TOTAL = "otpd_commit_refusals_total", Kind::Counter, Count, ["reason": COMMIT_REFUSALS];
    /// Time to fold the changes of the log into the database.
    STORE_FOLD_SECONDS = "otpd_store_fold_seconds", Kind::Histogram(COMMIT_BUCKETS), Seconds, [];
    /// Time to make one of several sorted runs of the database.
    STORE_MERGE_SECONDS = "otpd_store_merge_seconds", Kind::Histogram(MERGE_BUCKETS), Seconds, [];
    /// Sorted runs of the database: each fold adds one, merges make fewer of them.
    STORE_RUNS = "otpd_store_runs", Kind::Gauge, Count, [];
    /// Records in the store, known once the sweep has been through it.
    STORE_RECORDS = "otpd_store_records", Kind::Gauge, Count, [];
    /// Records deleted by the sweep, because nothing of them was left to remember.
    STORE_RECORDS_SWEPT = "otpd_store_records_swept_total", Kind::Counter, Count, [];
    /// Posts of events, and events that will not be posted, by outcome.
    WEBHOOKS = "otpd_webhooks_total", Kind::Counter, Count, ["outcome": WEBHOOK_OUTCOMES];
    /// Time of one post of an event.
    WEBHOOK_SECONDS = "otpd_webhook_seconds", Kind::Histogram(SEND_BUCKETS), Seconds, [];
    /// Events that wait for their delivery.
    WEBHOOK_OUTBOX = "otpd_webhook_outbox", Kind::Gauge, Count, [];
    /// Events that could not be delivered and are kept.
    WEBHOOKS_DEAD = "otpd_webhooks_dead", Kind::Gauge, Count, [];
    /// HTTP requests answered.
    HTTP_REQUESTS = "otpd_http_requests_total", Kind::Counter, Count,
        ["route": ROUTES, "method": METHODS, "status": STATUSES];
    /// Time from request head to answer.
    HTTP_REQUEST_SECONDS = "otpd_http_request_seconds", Kind::Histogram(REQUEST_BUCKETS), Seconds, ["route": ROUTES];
    /// Connections open now.
    CONNECTIONS = "otpd_connections", Kind::Gauge, Count, ["listener": LISTENERS];
    /// Connections ended because a time limit was over, by what they were in.
    CONNECTIONS_SHED = "otpd_connections_shed_total", Kind::Counter, Count, ["phase": CONNECTION_PHASES];
    /// Requests refused by the limit per client address.
    IP_LIMITED = "otpd_ip_limited_total", Kind::Counter, Count, ["scope": DIALECTS];
    /// Work refused because a limit of this process was reached, by limit.
    OVERLOAD = "otpd_overload_total", Kind::Counter, Count, ["limit": OVERLOAD_LIMITS];
    /// Money billed by gateways as the price table has it, in millionths of the currency, by country.
    SPEND_MICROS = "otpd_spend_micros_total", Kind::Counter, Count, ["country": COUNTRIES];
    /// What is left of a day's budget, in millionths of the currency; `all` is that of all countries.
    BUDGET_LEFT_MICROS = "otpd_budget_left_micros", Kind::Gauge, Count, ["country": COUNTRIES];
    /// Messages that a rule of the guard refused.
    GUARD_REFUSALS = "otpd_guard_refusals_total", Kind::Counter, Count, ["rule": RULES];
    /// Messages that a rule of the guard would have refused, had it not been told only to record.
    GUARD_RECORDED = "otpd_guard_recorded_total", Kind::Counter, Count, ["rule": RULES];
    /// Number prefixes that are closed or on trial because their codes are not used.
    PREFIXES_CLOSED = "otpd_prefixes_closed", Kind::Gauge, Count, [];
    /// Messages refused because the ledger of budgets could not be made durable.
    LEDGER_FAILURES = "otpd_ledger_failures_total", Kind::Counter, Count, [];
    /// Lines written to the audit journal.
    JOURNAL_LINES = "otpd_journal_lines_total", Kind::Counter, Count, [];
    /// Lines missing in the audit journal, because its queue was full or the disk failed.
    JOURNAL_DROPPED = "otpd_journal_lines_dropped_total", Kind::Counter, Count, [];
    /// Log lines that were dropped, because standard error took them too slowly.
    LOG_DROPPED = "otpd_log_lines_dropped_total", Kind::Counter, Count, [];
    /// The running build; the value is always 1.
    BUILD_INFO = "otpd_build_info", Kind::Gauge, Count,
        ["version": &[env!("CARGO_PKG_VERSION")], "profile": &["debug", "release"]];
}

/// Metrics cannot be exported.
#[derive(Debug, Clone, thiserror::Error)]
#[error("metrics: {0}")]
pub struct ExporterError(String);

impl From<BuildError> for ExporterError {
    fn from(error: BuildError) -> Self {
        Self(error.to_string())
    }
}

/// Renders what the process's recorder has counted. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Exporter {
    /// The process's exporter; the first call installs its recorder, before which nothing is counted.
    ///
    /// # Errors
    /// When another recorder is installed already.
    pub fn install() -> Result<Self, ExporterError> {
        static INSTALLED: OnceLock<Result<Exporter, ExporterError>> = OnceLock::new();
        let install = || {
            let exporter = Self::new(builder()?.install_recorder()?);
            exporter.describe();
            Ok(exporter)
        };
        INSTALLED.get_or_init(install).clone()
    }

    /// A recorder of its own with its exporter, for tests: use it with `metrics::with_local_recorder`.
    ///
    /// # Errors
    /// When the table's buckets are not buckets.
    pub fn local() -> Result<(PrometheusRecorder, Self), ExporterError> {
        let recorder = builder()?.build_recorder();
        let exporter = Self::new(recorder.handle());
        ::metrics::with_local_recorder(&recorder, || exporter.describe());
        Ok((recorder, exporter))
    }

    /// The Prometheus text of everything counted, with the process's own figures read now.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Folds waiting samples every [`UPKEEP_EVERY`] until `stop`; spawn it beside the server.
    pub async fn upkeep(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.handle.run_upkeep();
        }
    }

    fn new(handle: PrometheusHandle) -> Self {
        Self { handle, process: metrics_process::Collector::default() }
    }

    fn describe(&self) {
        for metric in TABLE {
            match metric.kind {
                Kind::Counter => describe_counter!(metric.name, metric.unit, metric.help),
                Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
                Kind::Histogram(_) => describe_histogram!(metric.name, metric.unit, metric.help),
            }
        }
        self.process.describe();
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "profile" => profile).set(1.0);
    }
}

/// Without buckets a histogram would be rendered as a summary, whose quantiles cannot be added up over processes.
fn builder() -> Result<PrometheusBuilder, BuildError> {
    TABLE.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets),
        Kind::Counter | Kind::Gauge => Ok(builder),
    })
}
