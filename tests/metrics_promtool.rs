//! The metrics as Prometheus sees them: checked by its own `promtool`, and complete against the table.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use metrics::{Label, counter, gauge, histogram, with_local_recorder};
use otpd::metrics::{COMMIT_REFUSALS, Exporter, Kind, Metric, OVERLOAD_LIMITS, TABLE};

/// A rendering in which every metric has a series for every value of every label.
fn rendered() -> String {
    let (recorder, exporter) = Exporter::local().unwrap();
    with_local_recorder(&recorder, || {
        TABLE.iter().for_each(touch);
        exporter.render()
    })
}

fn touch(metric: &Metric) {
    let most = metric.labels.iter().map(|(_, values)| values.len()).max().unwrap_or(1);
    for nth in 0..most {
        let pick = |values: &'static [&'static str]| values.iter().copied().cycle().nth(nth).unwrap();
        let labels: Vec<Label> = metric.labels.iter().map(|(name, values)| Label::new(*name, pick(values))).collect();
        match metric.kind {
            Kind::Counter => counter!(metric.name, labels).increment(1),
            Kind::Gauge => gauge!(metric.name, labels).set(1.0),
            Kind::Histogram(_) => histogram!(metric.name, labels).record(0.2),
        }
    }
}

/// `promtool check metrics` finds nothing: no fault, no warning.
#[test]
fn promtool_finds_nothing() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = spawned.expect("promtool is installed: ./test does it, or `apt-get install prometheus`");
    promtool.stdin.take().unwrap().write_all(rendered().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert_eq!((output.status.success(), said.as_str()), (true, ""));
}

#[test]
fn every_metric_has_help_type_and_buckets() {
    let text = rendered();
    for metric in TABLE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}: help", metric.name);
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}: type", metric.name);
        assert!(metric.name.starts_with("otpd_") && metric.help.ends_with('.'), "{}", metric.name);
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted_by(|a, b| a < b), "{}: buckets ascend", metric.name);
            let rows = text.lines().filter(|line| line.starts_with(&format!("{}_bucket{{", metric.name)));
            assert!(rows.count() > buckets.len(), "{}: its buckets and +Inf", metric.name);
        }
    }
}

/// security 100: no label that could hold a number, an address or an id, and no name twice.
#[test]
fn labels_are_few_and_closed() {
    let allowed = [
        "dialect", "purpose", "channel", "outcome", "reason", "route", "kind", "method", "status", "limit", "scope",
        "listener", "phase", "version", "profile", "country", "rule",
    ];
    let mut names = BTreeSet::new();
    for metric in TABLE {
        assert!(names.insert(metric.name), "{} twice", metric.name);
        for (label, values) in metric.labels {
            assert!(allowed.contains(label), "{}: label {label}", metric.name);
            assert!(!values.is_empty(), "{}: label {label} has no values", metric.name);
        }
    }
}

#[test]
fn process_and_build_are_exported() {
    let text = rendered();
    assert!(text.contains(concat!("otpd_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",profile=\"")), "{text}");
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
        assert!(text.contains(&format!("\n{name} ")), "{name}");
    }
}

/// What is not in the table has no help and no buckets, so no source file may name it.
#[test]
fn sources_name_only_metrics_of_the_table() {
    let known: BTreeSet<&str> = TABLE.iter().map(|metric| metric.name).collect();
    let mut unknown = Vec::new();
    for path in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        for macro_name in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            let names = text.split(macro_name).skip(1).filter_map(|rest| rest.split('"').next());
            unknown
                .extend(names.filter(|name| !known.contains(name)).map(|name| format!("{name} in {}", path.display())));
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
}

/// A limit or reason that is in the table and that nobody counts would be looked for in vain.
#[test]
fn every_limit_and_reason_is_counted_somewhere() {
    let sources = rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let text: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let limits = OVERLOAD_LIMITS.iter().map(|limit| (limit, "\"limit\" => ", "overload("));
    let reasons = COMMIT_REFUSALS.iter().map(|reason| (reason, "\"reason\" => ", "refusals("));
    for (value, label, helper) in limits.chain(reasons) {
        let counted = [label, helper].iter().any(|before| text.contains(&format!("{before}\"{value}\"")));
        assert!(counted, "{value} is counted nowhere");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The alerts that operators begin with: as promtool wants them, and of metrics and label values that there are.
#[test]
fn alerts_are_of_metrics_that_there_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/alerts.yml");
    let output = Command::new("promtool").args(["check", "rules"]).arg(&path).output();
    let output = output.expect("promtool is installed: ./test does it, or `apt-get install prometheus`");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success() && said.contains("SUCCESS"), "{said}");
    let text = fs::read_to_string(path).unwrap();
    let names: BTreeSet<&str> = words(&text).filter(|word| word.starts_with("otpd_")).collect();
    assert!(names.len() >= 10, "the search is blind: {names:?}");
    for name in names {
        assert!(TABLE.iter().any(|metric| metric.name == name), "{name}");
    }
    for (label, rest) in [("outcome", "outcome="), ("reason", "reason="), ("rule", "rule=")]
        .into_iter()
        .flat_map(|(label, start)| text.split(start).skip(1).map(move |rest| (label, rest)))
    {
        let value = rest.trim_start_matches('~').strip_prefix('"').and_then(|rest| rest.split('"').next()).unwrap();
        let of_label = TABLE.iter().flat_map(|metric| metric.labels).filter(|(name, _)| *name == label);
        let known: BTreeSet<&str> = of_label.flat_map(|(_, values)| values.iter().copied()).collect();
        assert!(value.split('|').all(|value| known.contains(value)), "{label}: {value}");
    }
}

/// Also of the README: whoever looks for a metric finds it.
#[test]
fn the_readme_names_metrics_that_there_are() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for name in words(&text).filter(|word| word.starts_with("otpd_")) {
        assert!(TABLE.iter().any(|metric| metric.name == name), "{name}");
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
}

/// The process's exporter can be asked for twice, and its upkeep ends when told to.
#[tokio::test(start_paused = true)]
async fn the_installed_exporter_is_one_and_its_upkeep_stops() {
    let first = Exporter::install().unwrap();
    counter!("otpd_phone_activations_total").increment(3);
    let second = Exporter::install().unwrap();
    assert!(second.render().contains("\notpd_phone_activations_total 3\n"));
    let stop = tokio_util::sync::CancellationToken::new();
    let upkeep = tokio::spawn(first.upkeep(stop.clone()));
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(!upkeep.is_finished());
    stop.cancel();
    upkeep.await.unwrap();
}
