//! How many: otpd beside the limit, and beside itself with more records.

use std::time::Duration;

use otpd::load::{Plan, Report, Scenario, Stage};

use super::{
    Outcome, Scale, floor,
    lab::{self, By, Lab, Otpd},
    table::{Bound, Figures, Row, Unit},
};

/// Measured time of the limit in a round; it has no state that could change.
const LIMIT_WINDOW_MAX: Duration = Duration::from_secs(5);
/// Load before each window, so that both have their connections.
const LEAD: Duration = Duration::from_millis(500);

/// Figures of what is measured, and of the limit before and after each.
#[derive(Default)]
struct Rounds {
    limit: Vec<f64>,
    measured: Vec<Report>,
}

impl Rounds {
    /// Each round beside the mean of the limit before it and after it: a machine that grows slower does so for both.
    fn ratios(&self) -> Figures {
        let limits = self.limit.windows(2).map(|around| around.iter().sum::<f64>() / 2.0);
        self.measured.iter().zip(limits).map(|(measured, limit)| measured.operations_per_s / limit).collect()
    }

    fn beside(&self, name: &str) -> String {
        let median = |figures: &mut dyn Iterator<Item = f64>| figures.collect::<Figures>().median();
        let usage = || self.measured.iter().filter_map(|report| report.server.as_ref());
        let used = if usage().next().is_some() {
            let cpu = median(&mut usage().map(|usage| usage.cpu_us_per_request));
            let rss = median(&mut usage().map(|usage| usage.rss_mib));
            format!("; {cpu:.1} µs of {name}'s processor time per request, {rss:.0} MiB")
        } else {
            String::new()
        };
        let refused: u64 = self.measured.iter().map(|report| report.given_up).sum();
        let refused = if refused > 0 { format!(", {refused} given up") } else { String::new() };
        let measured = median(&mut self.measured.iter().map(|report| report.operations_per_s));
        let limit = median(&mut self.limit.iter().copied());
        format!("{name} {measured:.0}/s, limit {limit:.0}/s{used}{refused}")
    }
}

/// What is measured beside the limit. A bare server does nothing unasked, so only otpd is held while it is not its turn.
enum Subject<'a> {
    Otpd(&'a Otpd),
    Floor(&'a Stage),
}

impl Subject<'_> {
    async fn drive(&self, plan: &Plan) -> Outcome<Report> {
        match self {
            Self::Otpd(otpd) => otpd.drive(plan).await,
            Self::Floor(stage) => lab::drive(plan, stage).await,
        }
    }

    /// A window of the limit.
    async fn limit_window(&self, lab: &Lab, scenario: Scenario, window: Duration) -> Outcome<f64> {
        if let Self::Otpd(otpd) = self {
            otpd.server.pause().await?;
        }
        let plan = lab::plan(scenario, LEAD, window.min(LIMIT_WINDOW_MAX));
        let report = lab::drive(&plan, &lab.limit).await;
        if let Self::Otpd(otpd) = self {
            otpd.server.resume().await?;
        }
        Ok(report?.operations_per_s)
    }
}

/// Warms up, then limit, subject, limit, …, limit.
async fn rounds(lab: &Lab, subject: &Subject<'_>, scenario: Scenario, scale: Scale) -> Outcome<Rounds> {
    let (mut rounds, warm_up) = (Rounds::default(), Duration::from_secs(1));
    lab::drive(&lab::plan(scenario, Duration::ZERO, warm_up), &lab.limit).await?;
    subject.drive(&lab::plan(scenario, Duration::ZERO, scale.warm_up)).await?;
    for _ in 0..scale.rounds {
        rounds.limit.push(subject.limit_window(lab, scenario, scale.window).await?);
        rounds.measured.push(subject.drive(&lab::plan(scenario, LEAD, scale.window)).await?);
    }
    rounds.limit.push(subject.limit_window(lab, scenario, scale.window).await?);
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
    let rounds = rounds(lab, &Subject::Otpd(&otpd), asked.scenario, scale).await;
    otpd.stop().await?;
    let rounds = rounds?;
    Ok(Row {
        what: format!("{}, {}", asked.what, scale.name()),
        figures: rounds.ratios(),
        unit: Unit::Times,
        must: Bound::AtLeast(asked.must),
        aim: Bound::AtLeast(asked.aim),
        beside: rounds.beside("otpd"),
    })
}

/// The floor beside the limit, for each thing that otpd is measured by.
pub(crate) async fn floors(lab: &Lab, scale: Scale) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    let inbox = lab::inbox().await?;
    for (what, scenario, provider) in [
        ("start (an actor, two group commits)", Scenario::Send, None),
        ("login (two more commits, two tokens made, two read)", Scenario::Login, None),
        ("login, its message posted to the stand-in of Twilio", Scenario::Login, Some(&inbox)),
        ("profile (a token read, the actor asked)", Scenario::Profile, None),
    ] {
        let (floor, _server) = lab::bare(floor::NAME, provider).await?;
        let rounds = rounds(lab, &Subject::Floor(&floor), scenario, scale).await?;
        rows.push(Row {
            what: format!("floor of a {what}, {}", scale.name()),
            figures: rounds.ratios(),
            unit: Unit::Times,
            must: Bound::None,
            aim: Bound::None,
            beside: rounds.beside("floor"),
        });
    }
    Ok(rows)
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
