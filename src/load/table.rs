//! A report in words and cells, the same for a terminal and for a page.

use super::{Report, Row};

/// Milliseconds with as many decimals as say something.
pub fn ms(us: u64) -> String {
    let ms = us as f64 / 1000.0;
    match us {
        0..10_000 => format!("{ms:.2}"),
        10_000..100_000 => format!("{ms:.1}"),
        _ => format!("{ms:.0}"),
    }
}

/// The table's head.
pub const HEAD: [&str; 15] = [
    "REQUEST", "COUNT", "PER S", "P50 ms", "P90 ms", "P99 ms", "P99.9 ms", "MAX ms", "2xx", "4xx", "429", "503", "5xx",
    "NONE", "KILLED",
];

/// A line of the table.
pub fn cells(row: &Row) -> [String; 15] {
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
pub fn summary(report: &Report) -> String {
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
pub fn remarks(report: &Report) -> Vec<String> {
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

/// Whether a rule held.
pub fn held(broken: u64) -> String {
    if broken == 0 { "holds".to_owned() } else { format!("BROKEN {broken} times") }
}
