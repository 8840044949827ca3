//! How a run is told: while it goes on, and in the end.

use std::{fmt::Write as _, io::IsTerminal as _, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{OnSecond, options::Options};
use crate::{
    cli::say,
    load::{
        Machine, Report, Scenario, Second,
        table::{HEAD, cells, held, ms, remarks, summary},
    },
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

/// A report for eyes.
pub(super) fn as_text(report: &Report) -> String {
    let mut rows: Vec<_> = report.rows.iter().map(cells).collect();
    rows.push(cells(&report.total));
    let mut text = format!("\n{}\n\n{}\n", summary(report), table(HEAD, &rows));
    for remark in remarks(report) {
        let _ = writeln!(text, "{remark}");
    }
    if report.invariants.is_empty() {
        return text;
    }
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
