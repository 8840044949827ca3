//! How many: otpd beside the limit, and beside itself with more records.

use std::time::Duration;

use otpd::load::{Report, Scenario, Stage};

use super::{
    Outcome, Scale, floor,
    lab::{self, By, Lab, Otpd},
    table::{Bound, Figures, Row, Unit},
};

/// Measured time of the limit in a round; it has no state that could change.
const LIMIT_WINDOW_MAX: Duration = Duration::from_secs(5);
/// Load before each window, so that both have their connections.
const LEAD: Duration = Duration::from_millis(500);

/// Figures of otpd, and of the limit before and after each.
#[derive(Default)]
struct Rounds {
    limit: Vec<f64>,
    otpd: Vec<Report>,
}

impl Rounds {
    /// Each round beside the mean of the limit before it and after it: a machine that grows slower does so for both.
    fn ratios(&self) -> Figures {
        let limits = self.limit.windows(2).map(|around| around.iter().sum::<f64>() / 2.0);
        self.otpd.iter().zip(limits).map(|(otpd, limit)| otpd.operations_per_s / limit).collect()
    }

    fn beside(&self) -> String {
        let median = |figures: &mut dyn Iterator<Item = f64>| figures.collect::<Figures>().median();
        let used = |of: fn(&otpd::load::Usage) -> f64| {
            median(&mut self.otpd.iter().filter_map(|report| report.server.as_ref().map(of)))
        };
        let refused: u64 = self.otpd.iter().map(|report| report.given_up).sum();
        let refused = if refused > 0 { format!(", {refused} given up") } else { String::new() };
        format!(
            "otpd {:.0}/s, limit {:.0}/s; {:.1} µs of otpd's processor time per request, {:.0} MiB{refused}",
            median(&mut self.otpd.iter().map(|report| report.operations_per_s)),
            median(&mut self.limit.iter().copied()),
            used(|usage| usage.cpu_us_per_request),
            used(|usage| usage.rss_mib),
        )
    }
}

/// A window of the limit while otpd is held.
async fn limit_window(lab: &Lab, otpd: &Otpd, scenario: Scenario, window: Duration) -> Outcome<f64> {
    otpd.server.pause().await?;
    let plan = lab::plan(scenario, LEAD, window.min(LIMIT_WINDOW_MAX));
    let report = lab::drive(&plan, &lab.limit).await;
    otpd.server.resume().await?;
    Ok(report?.operations_per_s)
}

/// Warms up, then limit, otpd, limit, …, limit.
async fn rounds(lab: &Lab, otpd: &Otpd, scenario: Scenario, scale: Scale) -> Outcome<Rounds> {
    let (mut rounds, warm_up) = (Rounds::default(), Duration::from_secs(1));
    lab::drive(&lab::plan(scenario, Duration::ZERO, warm_up), &lab.limit).await?;
    otpd.drive(&lab::plan(scenario, Duration::ZERO, scale.warm_up)).await?;
    for _ in 0..scale.rounds {
        rounds.limit.push(limit_window(lab, otpd, scenario, scale.window).await?);
        rounds.otpd.push(otpd.drive(&lab::plan(scenario, LEAD, scale.window)).await?);
    }
    rounds.limit.push(limit_window(lab, otpd, scenario, scale.window).await?);
    Ok(rounds)
}

/// What a row says and must reach.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    what: &'static str,
    by: By,
    scenario: Scenario,
    must: f64,
    aim: f64,
}

pub(crate) const BURST: Asked = Asked {
    what: "start for a new number, simulated gateway, warm burst",
    by: By::Simulated,
    scenario: Scenario::Send,
    must: 0.5,
    aim: 0.7,
};
pub(crate) const STEADY: Asked =
    Asked { what: "start for a new number, simulated gateway", must: 0.33, aim: 0.5, ..BURST };
pub(crate) const LOGIN: Asked = Asked {
    what: "login (start, check, tokens, profile), code through a fake Twilio",
    by: By::Twilio,
    scenario: Scenario::Login,
    must: 0.4,
    aim: 0.6,
};
pub(crate) const LOGIN_SIMULATED: Asked =
    Asked { what: "login, simulated gateway, code read in process", by: By::Simulated, must: 0.5, aim: 0.7, ..LOGIN };
pub(crate) const PROFILE: Asked =
    Asked { what: "profile with a valid token", by: By::Simulated, scenario: Scenario::Profile, must: 0.7, aim: 0.85 };

/// One of the rows above.
pub(crate) async fn beside_the_limit(lab: &mut Lab, asked: Asked, scale: Scale) -> Outcome<Row> {
    let ground = lab.ground(scale.records).await?;
    let otpd = lab.serve(&ground, asked.by, "").await?;
    let rounds = rounds(lab, &otpd, asked.scenario, scale).await;
    otpd.stop().await?;
    let rounds = rounds?;
    Ok(Row {
        what: format!("{}, {}", asked.what, scale.name()),
        figures: rounds.ratios(),
        unit: Unit::Times,
        must: Bound::AtLeast(asked.must),
        aim: Bound::AtLeast(asked.aim),
        beside: rounds.beside(),
    })
}

/// The given parts alone beside the limit, for each thing that otpd is measured by.
pub(crate) async fn floors(lab: &Lab, scale: Scale) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, scenario) in [
        ("a start: an actor, two group commits", Scenario::Send),
        ("a login: two more commits, three tokens made, two read", Scenario::Login),
        ("a profile: a token read, the actor asked", Scenario::Profile),
    ] {
        rows.push(floor(lab, what, scenario, scale).await?);
    }
    Ok(rows)
}

async fn floor(lab: &Lab, what: &str, scenario: Scenario, scale: Scale) -> Outcome<Row> {
    let (floor, _server) = lab::bare(floor::NAME).await?;
    let plan = lab::plan(scenario, LEAD, scale.window);
    let limit_plan = lab::plan(scenario, LEAD, scale.window.min(LIMIT_WINDOW_MAX));
    lab::drive(&lab::plan(scenario, Duration::ZERO, scale.warm_up), &floor).await?;
    let (mut limits, mut floors) = (vec![lab::drive(&limit_plan, &lab.limit).await?.operations_per_s], Vec::new());
    for _ in 0..scale.rounds {
        floors.push(lab::drive(&plan, &floor).await?.operations_per_s);
        limits.push(lab::drive(&limit_plan, &lab.limit).await?.operations_per_s);
    }
    let around = limits.windows(2).map(|around| around.iter().sum::<f64>() / 2.0);
    let median = |figures: &[f64]| figures.iter().copied().collect::<Figures>().median();
    Ok(Row {
        what: format!("floor of the given parts, {what}, {}", scale.name()),
        beside: format!("floor {:.0}/s, limit {:.0}/s", median(&floors), median(&limits)),
        figures: floors.iter().zip(around).map(|(floor, limit)| floor / limit).collect(),
        unit: Unit::Times,
        must: Bound::None,
        aim: Bound::None,
    })
}

/// Longest window of a store that is to be called empty: it fills as it is measured.
const EMPTY_WINDOW_MAX: Duration = Duration::from_secs(10);

/// Starts with records in the store, each round beside a new store without any.
pub(crate) async fn scale(lab: &mut Lab, scale: Scale) -> Outcome<Row> {
    let ground = lab.ground(scale.records).await?;
    let full = lab.serve(&ground, By::Simulated, "").await?;
    let plan = lab::plan(Scenario::Send, Duration::from_secs(5), scale.window.min(EMPTY_WINDOW_MAX));
    full.drive(&lab::plan(Scenario::Send, Duration::ZERO, scale.warm_up)).await?;
    let (mut ratios, mut of_full, mut of_empty) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        full.server.pause().await?;
        let bare = lab.empty_ground()?;
        let empty = lab.serve(&bare, By::Simulated, "").await?;
        let without = empty.drive(&plan).await?.operations_per_s;
        empty.stop().await?;
        lab.clear(&bare)?;
        full.server.resume().await?;
        let with = full.drive(&plan).await?.operations_per_s;
        ratios.push(with / without);
        of_full.push(with);
        of_empty.push(without);
    }
    full.stop().await?;
    let median = |figures: Vec<f64>| figures.into_iter().collect::<Figures>().median();
    Ok(Row {
        what: format!("starts with {} records in the store beside an empty one", scale.records),
        figures: ratios.into_iter().collect(),
        unit: Unit::Times,
        must: Bound::AtLeast(0.9),
        aim: Bound::None,
        beside: format!("{:.0}/s and {:.0}/s", median(of_full), median(of_empty)),
    })
}

/// What a server can take of this load for as long as one likes, per second.
pub(crate) async fn sustainable(stage: &Stage, scale: Scale) -> Outcome<f64> {
    Ok(lab::drive(&lab::plan(Scenario::Send, scale.warm_up, scale.window), stage).await?.operations_per_s)
}
