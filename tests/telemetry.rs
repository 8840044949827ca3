//! Log lines from outside: nothing that a client sends can begin a line of its own or steer a terminal, and nobody has to
//! read them.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "support/captured_log.rs"]
mod captured_log;
#[path = "support/console_server.rs"]
mod console_server;

use captured_log::CapturedLog;
use console_server::ConsoleServer;
use otpd::{
    settings::{Log, LogFormat},
    telemetry,
};

/// Line breaks, escapes, carriage tricks, C1 controls, Unicode line ends and reordering marks.
const HOSTILE: &str = "Mozilla\r\n2026-11-20T00:00:00Z  INFO otpd: code approved\n\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\
                       \u{85}\u{2028}\u{2029}\u{202e}txet\u{8}\u{0}\u{7f}\t\"}{";

fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> String {
    let captured = CapturedLog::default();
    let log = Log { format, filter: filter.to_owned(), queue_lines: 16 };
    let subscriber = telemetry::subscriber(&log, captured.clone()).unwrap();
    let _guard = CapturedLog::begin(subscriber);
    events();
    captured.text()
}

/// Every way a text gets into an event: message, Display, Debug and plain fields, a span's field.
fn hostile_events() {
    let span = tracing::info_span!("request", agent = HOSTILE);
    let _entered = span.enter();
    tracing::info!(agent = HOSTILE, "plain");
    tracing::info!(agent = %HOSTILE, "display");
    tracing::info!(agent = ?HOSTILE, "debug");
    tracing::info!("{HOSTILE}");
}

/// security 121: four events are four lines, and none holds what a terminal would act on.
#[test]
fn hostile_texts_forge_no_line() {
    for format in [LogFormat::Human, LogFormat::Json] {
        let text = logged(format, "info", hostile_events);
        assert_eq!(text.lines().count(), 4, "{format:?}: {text}");
        assert!(text.ends_with('\n'), "{format:?}: {text}");
        let acted_on = |c: char| (c.is_control() && c != '\n') || ('\u{2028}'..='\u{202e}').contains(&c);
        assert!(!text.contains(acted_on), "{format:?}: {text:?}");
        for line in text.lines() {
            assert!(!line.starts_with("2026-11-20T00:00:00Z"), "{format:?}: forged: {line}");
            assert!(line.contains("code approved"), "{format:?}: the text itself is kept: {line}");
        }
    }
}

/// security 121: JSON stays JSON, and its strings say exactly what was logged.
#[test]
fn json_lines_keep_the_text() {
    let text = logged(LogFormat::Json, "info", || tracing::info!(agent = HOSTILE, outcome = "approved", "checked"));
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(line.get("agent").and_then(|agent| agent.as_str()), Some(HOSTILE));
    assert_eq!(line.get("outcome").and_then(|outcome| outcome.as_str()), Some("approved"));
    assert_eq!(line.get("message").and_then(|message| message.as_str()), Some("checked"));
    assert_eq!(line.get("level").and_then(|level| level.as_str()), Some("INFO"));
}

/// Each kind of value as JSON has it, in the order they were given, and the span that it happened in.
#[test]
fn json_lines_hold_every_kind_of_value() {
    let text = logged(LogFormat::Json, "info", || {
        let span = tracing::info_span!("sweep", agent = "a\"b", round = 3);
        let _entered = span.enter();
        tracing::warn!(target: "audit", count = 7_u64, change = -7_i64, share = 0.5, none = f64::NAN, late = true,
            whole = 1.0, bytes = 340_282_366_920_938_463_463_u128, who = %"a\\b", r#type = ?Some("c\td"), "d\"e" = 2, "done");
        let _inner = tracing::info_span!("bare").entered();
        tracing::info!("in a span without fields");
    });
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (_, fields) = text.lines().next().unwrap().split_once(r#""level""#).unwrap();
    assert_eq!(
        fields,
        r#":"WARN","message":"done","count":7,"change":-7,"share":0.5,"none":null,"late":true,"#.to_owned()
            + r#""whole":1.0,"bytes":"340282366920938463463","who":"a\\b","type":"Some(\"c\\td\")","d\"e":2,"target":"audit","#
            + r#""span":{"name":"sweep","agent":"a\"b","round":3}}"#
    );
    assert_eq!(lines[1]["span"], serde_json::json!({ "name": "bare" }));
    let time: jiff::Timestamp = lines[1]["timestamp"].as_str().unwrap().parse().unwrap();
    assert!(time.duration_until(jiff::Timestamp::now()).as_secs().abs() < 60);
}

/// What a library says by the older `log` stands under its name, once, in both formats.
#[test]
fn lines_of_the_older_log_have_their_library() {
    tracing_log::LogTracer::init().unwrap();
    let said = || tracing_log::log::warn!(target: "sled::pagecache", "worth {}", "knowing");
    let human = logged(LogFormat::Human, "info", said);
    assert!(human.ends_with(" WARN sled::pagecache: worth knowing\n"), "{human}");
    let json = logged(LogFormat::Json, "info", said);
    let fields = r#""level":"WARN","message":"worth knowing","target":"sled::pagecache"}"#;
    assert!(json.trim_end().ends_with(fields), "{json}");
}

#[test]
fn ordinary_lines_pass_unchanged() {
    let text = logged(LogFormat::Human, "info", || tracing::info!(phone = "+98******6789", "کد ارسال شد"));
    assert!(text.contains("کد ارسال شد"), "{text}");
    assert!(text.trim_end().ends_with("phone=\"+98******6789\""), "{text}");
}

#[test]
fn the_filter_counts() {
    let text = logged(LogFormat::Human, "info,ractor=warn", || {
        tracing::info!(target: "ractor::actor", "started");
        tracing::warn!(target: "ractor::actor", "failed");
        tracing::debug!("detail");
    });
    assert_eq!((text.lines().count(), text.contains("failed")), (1, true), "{text}");
    let log = Log { format: LogFormat::Human, filter: "otpd=loud".to_owned(), queue_lines: 16 };
    assert!(telemetry::subscriber(&log, std::io::sink).is_err());
}

/// security 118: no filter makes libraries log what travels on the wire.
#[test]
fn the_wire_stays_private_at_trace() {
    let text = logged(LogFormat::Human, "trace,h2::codec=trace,hyper=trace", || {
        tracing::trace!(target: "h2::codec::framed_write", "authorization: Bearer x");
        tracing::debug!(target: "hyper", "body");
        tracing::debug!(target: "reqwest::connect", "https://user:password@example.com");
        tracing::info!(target: "hyper", "worth knowing");
        tracing::trace!(target: "otpd::http", "ours");
        tracing::trace!(target: "hyperloop", "another's");
    });
    assert_eq!(text.lines().count(), 3, "{text}");
}

/// security 119: libraries that log numbers and records are silent whatever the filter says.
#[test]
fn numbers_and_records_of_libraries_stay_private_at_trace() {
    let text = logged(LogFormat::Human, "trace,rlibphonenumber=trace,sled=trace", || {
        tracing::error!(target: "rlibphonenumber::phonenumberutil", "+989121234567");
        tracing::trace!(target: "rlibphonenumber", "+989121234567");
        tracing::trace!(target: "sled::tree", "applying batch [0, 0, 3]");
        tracing::warn!(target: "sled::pagecache", "worth knowing");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// A log that nobody reads is full after some hundred lines: the server goes on, and counts what is lost.
#[tokio::test]
async fn nobody_waits_for_whoever_reads_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let talkative = [("OTPD__LOG__FILTER", "debug,ractor=warn"), ("OTPD__LOG__QUEUE_LINES", "16")];
    let (server, unread) = ConsoleServer::start_unread(directory.path(), &talkative);
    let client = reqwest::Client::new();
    let get = |address: &str, path: &str| client.get(format!("http://{address}{path}")).send();
    for _ in 0..2_000 {
        assert_eq!(get(&server.address, "/nowhere").await.unwrap().status(), 404);
    }
    let is_lost = |metrics: &str| {
        let lost = metrics.lines().find_map(|line| line.strip_prefix("otpd_log_lines_dropped_total "));
        lost.is_some_and(|lost| lost != "0")
    };
    while !is_lost(&get(&server.ops, "/metrics").await.unwrap().text().await.unwrap()) {
        tokio::task::yield_now().await; // looked for every second
    }
    drop(unread);
}
