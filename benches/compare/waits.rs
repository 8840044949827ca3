//! How long: starts at half the sustainable rate beside the disk, a restart after a kill, a scrape under load.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use otpd::load::{KillAt, Pace, Plan, Scenario, Spacing};

use super::{
    Outcome, Scale,
    lab::{self, By, Lab},
    speed::sustainable,
    table::{Bound, Figures, Row, Unit},
};

/// Milliseconds that a start may take above one sync of the disk.
const ABOVE_SYNC_MS: f64 = 5.0;
/// Measured time of the limit in a round.
const LIMIT_WINDOW: Duration = Duration::from_secs(10);
/// Syncs that the disk is known by in a round, and the pause between them: now and then a disk that others have a share of
/// makes one wait a hundred times as long.
const SYNCS: usize = 1_000;
const SYNC_EVERY: Duration = Duration::from_millis(1);
/// What a sync writes: a page.
const PAGE: usize = 4096;
/// Scrapes per round.
const SCRAPES: usize = 5;
/// Load around a kill: enough that much is under way.
const AROUND_KILL: Duration = Duration::from_secs(5);

pub(crate) async fn latency(lab: &mut Lab, scale: Scale) -> Outcome<Row> {
    let ground = lab.ground(scale.records).await?;
    let otpd = lab.serve(&ground, By::Simulated, "").await?;
    // A rate of two seconds is one of a burst, which nobody can ask for and be answered.
    let window = scale.window.max(Duration::from_secs(5));
    let scale = Scale { window, ..scale };
    let rate = sustainable(&otpd.stage, scale).await? / 2.0;
    let plan = Plan {
        pace: Pace::Open { rate, spacing: Spacing::Poisson },
        // Those that wait must not keep others from beginning.
        connections: 256,
        ..lab::plan(Scenario::Send, Duration::from_secs(2), window)
    };
    // What the machine itself adds: the limit writes nothing and waits for nothing.
    let of_limit = Plan { duration: LIMIT_WINDOW, ..plan.clone() };
    let (mut p99, mut p50, mut p99_of_limit, mut syncs, mut late) = (vec![], vec![], vec![], vec![], 0);
    for _ in 0..scale.rounds {
        otpd.server.pause().await?;
        let bare = lab::drive(&of_limit, &lab.limit).await?;
        syncs.append(&mut syncs_ms(lab.home()).await?);
        otpd.server.resume().await?;
        p99_of_limit.push(bare.total.latency.p99_us as f64 / 1000.0);
        let report = otpd.drive(&plan).await?;
        p99.push(report.total.latency.p99_us as f64 / 1000.0);
        p50.push(report.total.latency.p50_us as f64 / 1000.0);
        late += report.late + report.never_begun;
    }
    otpd.stop().await?;
    let median = |figures: Vec<f64>| figures.into_iter().collect::<Figures>().median();
    let (p50, p99_of_limit, nth) = (median(p50), median(p99_of_limit), syncs.len());
    let longest = syncs.iter().copied().fold(0.0, f64::max);
    let sync_ms = median(syncs);
    Ok(Row {
        what: format!("p99 of a start at half the sustainable rate, open loop, {}", scale.name()),
        figures: p99.into_iter().collect(),
        unit: Unit::Ms,
        must: Bound::AtMost(ABOVE_SYNC_MS + sync_ms),
        aim: Bound::None,
        beside: format!(
            "{rate:.0}/s, p50 {p50:.2} ms, {late} began late; the limit's p99 at this rate {p99_of_limit:.2} ms; a sync of \
             the disk alone {sync_ms:.2} ms, the longest of {nth} {longest:.1} ms"
        ),
    })
}

/// Times of a page overwritten and synced, with nothing else above the disk.
async fn syncs_ms(directory: &Path) -> Outcome<Vec<f64>> {
    let file = File::create(directory.join("sync"))?;
    file.write_all_at(&[1; PAGE], 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        tokio::time::sleep(SYNC_EVERY).await;
        let began = Instant::now();
        file.write_all_at(&[2; PAGE], 0)?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}

/// Scrapes while new numbers are started.
pub(crate) async fn scrape(lab: &mut Lab, scale: Scale) -> Outcome<Row> {
    let ground = lab.ground(scale.records).await?;
    let otpd = lab.serve(&ground, By::Simulated, "").await?;
    otpd.drive(&lab::plan(Scenario::Send, Duration::ZERO, scale.warm_up)).await?;
    let rate = sustainable(&otpd.stage, Scale { warm_up: Duration::ZERO, ..scale }).await? / 2.0;
    let pace = Pace::Open { rate, spacing: Spacing::Poisson };
    let plan = Plan { pace, ..lab::plan(Scenario::Send, Duration::ZERO, Duration::from_secs(4)) };
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..scale.rounds {
        let scrapes = async {
            for _ in 0..SCRAPES {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let began = Instant::now();
                bytes = otpd.metrics().await?.len();
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            Outcome::Ok(())
        };
        let (driven, scraped) = tokio::join!(otpd.drive(&plan), scrapes);
        driven?;
        scraped?;
    }
    otpd.stop().await?;
    Ok(Row {
        what: "scrape of /metrics under load".to_owned(),
        figures: times.into_iter().collect(),
        unit: Unit::Ms,
        must: Bound::None,
        aim: Bound::None,
        beside: format!("{bytes} bytes, at {rate:.0} starts per second"),
    })
}

/// kill -9 in the middle of starts; everything acknowledged is asked for afterwards.
pub(crate) async fn recovery(lab: &mut Lab, scale: Scale) -> Outcome<Row> {
    let ground = lab.ground(scale.records).await?;
    let otpd = lab.serve(&ground, By::Simulated, "").await?;
    let mut times = Vec::new();
    for _ in 0..scale.rounds {
        let plan = lab::plan(Scenario::Send, Duration::from_secs(1), AROUND_KILL * 2);
        let report = otpd.drive(&Plan { kills: vec![KillAt::Time(AROUND_KILL)], ..plan }).await?;
        times.extend(report.kills.iter().map(|kill| kill.ready_ms / 1000.0));
    }
    otpd.stop().await?;
    Ok(Row {
        what: format!("from kill -9 under load until ready, {} records", ground.records()),
        figures: times.into_iter().collect(),
        unit: Unit::Seconds,
        must: Bound::AtMost(10.0),
        aim: Bound::AtMost(4.0),
        beside: format!("{} MiB on disk; nothing that was acknowledged was lost", ground.bytes()? >> 20),
    })
}
