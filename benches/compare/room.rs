//! How much: memory over time, of live numbers, of known ones and of connections; the files of the store.

use std::time::Duration;

use otpd::load::{Plan, Scenario};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    Outcome, Scale,
    fill::{self, Kind},
    lab::{self, By, Ground, Lab, Otpd},
    note,
    table::{Bound, Figures, Row, Unit},
};

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;
/// Until changes are folded (every 10 s) and what that took is given back.
const SETTLE: Duration = Duration::from_secs(14);
/// Connections that say nothing.
const IDLE: usize = 10_000;
/// Live numbers in a short row, and in the row of a million.
const LIVE: u64 = 100_000;
const LIVE_MANY: u64 = 1_000_000;
/// Settings for more live numbers than the default allows, all of which stay.
const ALL_STAY: &str = "[phone]\nidle_ms = 3600000\nactors_max = 1500000\nactors_hard_max = 1600000\n";
/// What sled caches is a limit of its own: so small a one is full with few records.
const SMALL_CACHE: &str = "[store]\ncache_mib = 8\n";
/// The longest that memory is watched: what the table asks for.
const WATCH: Duration = Duration::from_secs(600);
/// Times that the store is filled with garbage.
const LITTERS: u64 = 10;
/// Looks at everything at once instead of half an hour.
const SWEEP_AT_ONCE: &str = "[store]\nsweep_tick_ms = 10\nsweep_records_per_tick = 20000\n";

/// New numbers, so many, as fast as they go.
async fn start_numbers(otpd: &Otpd, count: u64) -> Outcome<()> {
    let plan = lab::plan(Scenario::Send, Duration::ZERO, Duration::from_secs(600));
    otpd.drive(&Plan { count: Some(count), ..plan }).await?;
    sleep(SETTLE).await;
    Ok(())
}

pub(crate) async fn idle(lab: &mut Lab) -> Outcome<Row> {
    let ground = lab.empty_ground()?;
    let otpd = lab.serve(&ground, By::Simulated, "").await?;
    start_numbers(&otpd, 10_000).await?;
    let before = otpd.resident().await?;
    let mut open = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        open.push(connection(&otpd).await?);
    }
    sleep(Duration::from_secs(1)).await;
    let after = otpd.resident().await?;
    let held = otpd.metrics().await?.lines().any(|line| {
        let figure =
            line.strip_prefix("otpd_connections{listener=\"main\"} ").and_then(|text| text.parse::<f64>().ok());
        figure.is_some_and(|figure| figure >= IDLE as f64)
    });
    drop(open);
    otpd.stop().await?;
    if !held {
        return Err("the connections were not all kept".into());
    }
    Ok(Row {
        what: format!("{IDLE} idle connections, memory more"),
        figures: Figures::one((after - before) / MIB),
        unit: Unit::MiB,
        must: Bound::AtMost(300.0),
        aim: Bound::None,
        beside: format!("{:.0} MiB before; {:.1} KiB each", before / MIB, (after - before) / IDLE as f64 / 1024.0),
    })
}

/// A connection that has asked once, as browsers' connections have: one that never asks is closed soon.
async fn connection(otpd: &Otpd) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(otpd.server.address()).await?;
    stream.write_all(b"GET /v1/me HTTP/1.1\r\nhost: otpd\r\n\r\n").await?;
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await?;
    if read == 0 { Err("a connection was closed at once".into()) } else { Ok(stream) }
}

/// Bytes per live number, and with a million of them all of it.
pub(crate) async fn actors(lab: &mut Lab, scale: Scale) -> Outcome<Vec<Row>> {
    let count = if scale.records > 0 { LIVE_MANY } else { LIVE };
    let ground = lab.empty_ground()?;
    let otpd = lab.serve(&ground, By::Simulated, ALL_STAY).await?;
    // What is there once, whoever lives.
    start_numbers(&otpd, LIVE / 2).await?;
    let (live_before, before) = (otpd.metric("otpd_phone_actors").await?, otpd.resident().await?);
    start_numbers(&otpd, count - LIVE / 2).await?;
    let (live, after) = (otpd.metric("otpd_phone_actors").await?, otpd.resident().await?);
    otpd.stop().await?;
    let each = Row {
        what: "bytes per live number".to_owned(),
        figures: Figures::one((after - before) / (live - live_before).max(1.0)),
        unit: Unit::Bytes,
        must: Bound::AtMost(8192.0),
        aim: Bound::None,
        beside: format!("{:.0} more of them, their places in the store's cache included", live - live_before),
    };
    let all = Row {
        what: format!("memory with {live:.0} live numbers"),
        figures: Figures::one(after / GIB),
        unit: Unit::GiB,
        must: Bound::AtMost(8.0),
        aim: Bound::None,
        beside: String::new(),
    };
    Ok(if count == LIVE_MANY { vec![each, all] } else { vec![each] })
}

/// What each further known number costs: a server that has just started over records, beside one over half as many.
pub(crate) async fn known(lab: &mut Lab, scale: Scale) -> Outcome<Row> {
    let (mut resident, mut known) = (Vec::new(), Vec::new());
    for records in [scale.records / 2, scale.records] {
        let ground = lab.ground(records).await?;
        known.push(ground.records() as f64);
        let otpd = lab.serve(&ground, By::Simulated, SMALL_CACHE).await?;
        sleep(SETTLE).await;
        resident.push(otpd.resident().await?);
        otpd.stop().await?;
    }
    let ([half, full], [few, many]) = (&resident[..], &known[..]) else { return Err("two were to be measured".into()) };
    Ok(Row {
        what: "bytes per known number that is not live".to_owned(),
        figures: Figures::one(((full - half) / (many - few).max(1.0)).max(0.0)),
        unit: Unit::Bytes,
        must: Bound::AtMost(0.0),
        aim: Bound::None,
        beside: format!(
            "{:.0} MiB with {many} records, {:.0} MiB with {few}; its place in the filters and sled's table of its pages",
            full / MIB,
            half / MIB
        ),
    })
}

/// Memory under as many new numbers as it can take, for ten windows of the others.
pub(crate) async fn memory(lab: &mut Lab, scale: Scale) -> Outcome<Vec<Row>> {
    let ground = lab.ground(scale.records).await?;
    let otpd = lab.serve(&ground, By::Simulated, "").await?;
    let watch = (scale.window * 10).min(WATCH);
    let plan = lab::plan(Scenario::Send, scale.warm_up, watch);
    let mut seen = Vec::new();
    let look = async {
        sleep(scale.warm_up).await;
        let began = Instant::now();
        loop {
            seen.push((began.elapsed().as_secs_f64(), otpd.resident().await?));
            if began.elapsed() >= watch {
                return Outcome::Ok(());
            }
            sleep(watch / 100).await;
        }
    };
    let (report, looked) = tokio::join!(otpd.drive(&plan), look);
    looked?;
    let report = report?;
    otpd.stop().await?;
    let (_, half) = seen.split_at(seen.len() / 2);
    let tenths: Vec<String> =
        seen.chunks(seen.len().div_ceil(10)).map(|part| format!("{:.0}", mean(part) / MIB)).collect();
    let most = seen.iter().map(|(_, bytes)| *bytes).fold(0.0, f64::max);
    let rate = format!("{:.0} new numbers per second for {} s", report.operations_per_s, watch.as_secs());
    Ok(vec![
        Row {
            what: "growth of memory in the second half, steady".to_owned(),
            figures: Figures::one(slope(half) / MIB),
            unit: Unit::MiBPerS,
            // Level, but for what a garbage-free heap still does by chance.
            must: Bound::AtMost(most / MIB * 0.05 / watch.as_secs_f64()),
            aim: Bound::None,
            beside: format!(
                "{rate}; MiB by tenths of the time: {}; must: below 5 % in the whole time",
                tenths.join(", ")
            ),
        },
        Row {
            what: "most memory meanwhile".to_owned(),
            figures: Figures::one(most / GIB),
            unit: Unit::GiB,
            must: Bound::None,
            aim: Bound::AtMost(2.0),
            beside: rate,
        },
    ])
}

fn mean(seen: &[(f64, f64)]) -> f64 {
    seen.iter().map(|(_, bytes)| bytes).sum::<f64>() / seen.len().max(1) as f64
}

/// Bytes per second, by least squares.
fn slope(seen: &[(f64, f64)]) -> f64 {
    let (at, level) = (seen.iter().map(|(at, _)| at).sum::<f64>() / seen.len().max(1) as f64, mean(seen));
    let both: f64 = seen.iter().map(|(then, bytes)| (then - at) * (bytes - level)).sum();
    let square: f64 = seen.iter().map(|(then, _)| (then - at).powi(2)).sum();
    if square > 0.0 { both / square } else { 0.0 }
}

/// Codes past their time, as many as records are asked for, in ten litters that the server sweeps one after the other.
pub(crate) async fn files(lab: &mut Lab, scale: Scale) -> Outcome<Vec<Row>> {
    let ground = lab.empty_ground()?;
    let litter = (scale.records / LITTERS).max(1);
    let mut sizes = Vec::new();
    for nth in 0..LITTERS {
        fill::fill(&ground.data(), litter, nth * litter, Kind::Expired).await?;
        let full = ground.bytes()?;
        swept(lab, &ground, litter).await?;
        let swept = ground.bytes()?;
        sizes.push(swept as f64 / MIB);
        note(&format!("litter {}: {} MiB, swept {} MiB", nth + 1, full >> 20, swept >> 20));
    }
    lab.clear(&ground)?;
    let (first, last) = sizes.split_at(sizes.len() / 2);
    let most = |sizes: &[f64]| sizes.iter().copied().fold(0.0, f64::max);
    let listed: Vec<String> = sizes.iter().map(|size| format!("{size:.0}")).collect();
    Ok(vec![Row {
        what: format!("files of the store after {} issuances, all expired, beside half as many", litter * LITTERS),
        figures: Figures::one(most(last) / most(first).max(1.0)),
        unit: Unit::Times,
        // Twice as much garbage, and no more room.
        must: Bound::AtMost(1.1),
        aim: Bound::None,
        beside: format!("MiB after each tenth, swept: {}", listed.join(", ")),
    }])
}

/// Lets a server sweep until nothing is left, and be stopped in order.
async fn swept(lab: &Lab, ground: &Ground, litter: u64) -> Outcome<()> {
    let otpd = lab.serve(ground, By::Simulated, SWEEP_AT_ONCE).await?;
    let began = Instant::now();
    while otpd.metric("otpd_store_records_swept_total").await? < litter as f64 {
        if began.elapsed() > Duration::from_secs(600) {
            return Err("the sweep does not come to an end".into());
        }
        sleep(Duration::from_millis(200)).await;
    }
    sleep(SETTLE).await;
    otpd.stop().await
}
