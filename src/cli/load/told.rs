//! How a run is told: while it goes on, and in the end.

use std::{fmt::Write as _, io::IsTerminal as _, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{OnSecond, options::Options};
use crate::{
    cli::say,
    load::{Machine, Report, Row, Scenario, Second},
};

/// A line that changes each second, or a line each second where there is no terminal.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    scenario: Scenario,
    whole: Duration,
}

impl Progress {
    pub(super) fn new(scenario: Scenario, options: &Options) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style).with_message(format!("{}: getting ready", scenario.name()))
        });
        Self { bar, scenario, whole: options.duration }
    }

    pub(super) fn on_second(&self) -> OnSecond {
        let (bar, name, whole) = (self.bar.clone(), self.scenario.name(), self.whole.as_secs());
        Arc::new(move |second| {
            let line = line(name, whole, second);
            match &bar {
                Some(bar) => {
                    bar.set_message(line);
                    bar.tick();
                }
                None => say::note(&line),
            }
        })
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(name: &str, whole: u64, second: &Second) -> String {
    let at = if second.at_s < 0 { "warming up".to_owned() } else { format!("{} of {whole} s", second.at_s + 1) };
    let answers = second.answers;
    format!(
        "{name}: {at}  {} requests/s  p50 {} ms  p99 {} ms  refused {}  errors {}",
        second.requests,
        ms(second.p50_us),
        ms(second.p99_us),
        answers.refused + answers.limited + answers.overloaded,
        answers.failed + answers.broken,
    )
}

/// Milliseconds with as many decimals as say something.
pub(super) fn ms(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    match us {
        0..10_000 => format!("{ms:.2}"),
        10_000..100_000 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// The table's head.
pub(super) const HEAD: [&str; 15] = [
    "REQUEST", "COUNT", "PER S", "P50 ms", "P90 ms", "P99 ms", "P99.9 ms", "MAX ms", "2xx", "4xx", "429", "503", "5xx",
    "NONE", "KILLED",
];

/// A line of the table.
pub(super) fn cells(row: &Row) -> [String; 15] {
    let (latency, answers) = (row.latency, row.answers);
    [
        row.name.to_owned(),
        row.count.to_string(),
        format!("{:.0}", row.per_s),
        ms(latency.p50_us),
        ms(latency.p90_us),
        ms(latency.p99_us),
        ms(latency.p999_us),
        ms(latency.max_us),
        answers.ok.to_string(),
        answers.refused.to_string(),
        answers.limited.to_string(),
        answers.overloaded.to_string(),
        answers.failed.to_string(),
        answers.broken.to_string(),
        answers.killed.to_string(),
    ]
}

/// What is said above the table.
pub(super) fn summary(report: &Report) -> String {
    let pace = match (report.asked_per_s, report.spacing) {
        (Some(rate), Some(spacing)) => format!("open loop, {rate} per second ({spacing})"),
        _ => "closed loop".to_owned(),
    };
    format!(
        "{}: {pace}, {} connections, {:.1} s measured after {:.1} s of warm-up, seed {}",
        report.scenario, report.connections, report.measured_s, report.warm_up_s, report.seed
    )
}

/// What is said below it, a line each.
pub(super) fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = vec![format!(
        "{:.0} operations and {:.0} requests per second; {} operations done, {} given up.",
        report.operations_per_s, report.requests_per_s, report.operations, report.given_up
    )];
    if report.asked_per_s.is_some() {
        remarks.push(format!("{} began late, {} never began.", report.late, report.never_begun));
    }
    if let Some(server) = report.server {
        remarks.push(format!(
            "The server: {:.1} µs of processor time per request, {:.0} MiB of memory, {:.0} MiB at most.",
            server.cpu_us_per_request, server.rss_mib, server.rss_peak_mib
        ));
    }
    for kill in &report.kills {
        remarks.push(format!("Killed after {:.1} s; ready again in {:.0} ms.", kill.at_s, kill.ready_ms));
    }
    remarks.extend(report.unexpected.iter().map(|(what, times)| format!("UNEXPECTED {what}: {times} times")));
    remarks
}

/// A report for eyes.
pub(super) fn as_text(report: &Report) -> String {
    let mut rows: Vec<_> = report.rows.iter().map(cells).collect();
    rows.push(cells(&report.total));
    let mut text = format!("\n{}\n\n{}\n", summary(report), table(HEAD, &rows));
    for remark in remarks(report) {
        let _ = writeln!(text, "{remark}");
    }
    let held = |broken| if broken == 0 { "holds".to_owned() } else { format!("BROKEN {broken} times") };
    let rules = report
        .invariants
        .iter()
        .map(|rule| [rule.name.to_owned(), rule.checked.to_string(), held(rule.broken), rule.meaning.to_owned()]);
    let _ = write!(text, "\n{}", say::table(["RULE", "CHECKED", "", ""], &rules.collect::<Vec<_>>()));
    text
}

/// Names to the left, figures to the right.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let all: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows.iter().cloned()).collect();
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &all {
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = if at == 0 { write!(text, "{cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

/// Reports for machines.
pub(super) fn as_json(reports: &[Report], machine: &Machine) -> Value {
    json!({ "otpd": env!("CARGO_PKG_VERSION"), "commit": option_env!("OTPD_COMMIT"), "machine": machine, "reports": reports })
}
