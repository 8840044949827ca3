//! `otpd load`: load on a server, and whether everything that must hold does.
//!
//! Owns the options and the printing; the load itself is `crate::load`'s.

mod options;
mod place;
mod told;

use std::{path::Path, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};

pub(super) use self::options::Options;
use self::place::Place;
use super::{Failed, UNUSABLE, say};
use crate::{
    entropy::{Entropy as _, OsEntropy},
    load::{self, LoadError, Plan, Report, Scenario},
};

impl From<LoadError> for Failed {
    fn from(error: LoadError) -> Self {
        Self::new(error)
    }
}

/// Arguments that cannot be used.
fn unusable(text: impl Into<String>) -> Failed {
    Failed { text: text.into(), exit: UNUSABLE }
}

pub(super) fn run(options: &Options, config: Option<&Path>) -> Result<(), Failed> {
    options.check()?;
    let mut runtime = if options.threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = runtime.worker_threads(options.threads).enable_all().build().map_err(Failed::new)?;
    runtime.block_on(async {
        tokio::select! {
            done = all(options, config) => done,
            // What was started ends with us, and its directory goes.
            () = told_to_stop() => Err(Failed::new("stopped by a signal before the end")),
        }
    })
}

async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// All scenarios, one after the other, on one server.
async fn all(options: &Options, config: Option<&Path>) -> Result<(), Failed> {
    let seed = options.seed.unwrap_or_else(|| OsEntropy.draw() % 1_000_000_000);
    let mut place = Place::prepare(options, config, seed).await?;
    say::note(&format!("Load on {} (seed {seed}).", place.stage.target.address));
    let mut reports = Vec::new();
    for scenario in &options.scenarios {
        let progress = told::Progress::new(*scenario, options);
        place.stage.on_second = Some(progress.on_second());
        let report = load::drive(&plan(options, *scenario, seed, &place), &place.stage).await;
        progress.end();
        reports.push(report?);
    }
    let machine = load::Machine::here();
    if options.json {
        say::result(&format!("{}\n", told::as_json(&reports, &machine)))?;
    } else {
        reports.iter().try_for_each(|report| say::result(&told::as_text(report)))?;
    }
    if let Some(file) = &options.report {
        let page = load::page(&reports, &machine)?;
        std::fs::write(file, page)
            .map_err(|error| Failed::new(format!("--report: cannot be written: {}", error.kind())))?;
    }
    place.end().await?;
    verdict(&reports)
}

fn plan(options: &Options, scenario: Scenario, seed: u64, place: &Place) -> Plan {
    Plan {
        scenario,
        pace: options.pace(),
        connections: options.connections,
        warm_up: options.warm_up,
        duration: options.duration,
        count: options.count,
        seed,
        sessions: options.sessions,
        again_each: options.again_each,
        hot_numbers: options.hot_numbers,
        kills: options.kills(),
        figures: place.figures,
    }
}

/// What was broken, by name; what came unexpected.
fn verdict(reports: &[Report]) -> Result<(), Failed> {
    let broken = reports.iter().flat_map(|report| report.broken().map(|rule| (report.scenario, rule)));
    let broken = broken.map(|(scenario, rule)| format!("{scenario}: {} broken {} times", rule.name, rule.broken));
    let unexpected = reports.iter().flat_map(|report| report.unexpected.iter().map(|it| (report.scenario, it)));
    let unexpected =
        unexpected.map(|(scenario, (what, times))| format!("{scenario}: unexpected {what} ({times} times)"));
    let found: Vec<String> = broken.chain(unexpected).collect();
    if found.is_empty() { Ok(()) } else { Err(Failed::new(found.join("\n      "))) }
}

/// Told of seconds by a run.
type OnSecond = Arc<dyn Fn(&load::Second) + Send + Sync>;
