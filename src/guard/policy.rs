//! The figures of every rule: data only, made from settings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{country::Country, kind::NumberKind, money::Micros, prices::Prices};
use crate::record::{DAY, HOUR, MINUTE, Millis};

/// What a rule does when it finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Refuses.
    Enforce,
    /// Lets it pass and tells that it would have been refused. The rule goes on as if it had been.
    RecordOnly,
    /// Neither looks nor remembers.
    Off,
}

impl Mode {
    /// True unless the rule is off.
    pub fn looks(self) -> bool {
        self != Self::Off
    }
}

/// A rule's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The country is not allowed.
    Countries,
    /// The kind of number is blocked.
    NumberTypes,
    /// Too many sends to one block of numbers that were not verified.
    Velocity,
    /// Too many numbers in a row.
    Runs,
    /// Too few of the prefix's codes are used.
    Conversion,
    /// The day's money is spent.
    Budget,
}

/// The names of all rules, in the order in which they are looked at: the values of a metric's label.
pub const RULES: &[&str] = &["countries", "number_types", "velocity", "runs", "conversion", "budget"];

impl Rule {
    /// Every rule, in the order in which they are looked at.
    pub const ALL: [Self; 6] =
        [Self::Countries, Self::NumberTypes, Self::Velocity, Self::Runs, Self::Conversion, Self::Budget];

    /// The name in configuration, metrics and journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Countries => "countries",
            Self::NumberTypes => "number_types",
            Self::Velocity => "velocity",
            Self::Runs => "runs",
            Self::Conversion => "conversion",
            Self::Budget => "budget",
        }
    }
}

/// Which countries messages go to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountryRule {
    /// What it does.
    pub mode: Mode,
    /// Empty: all, those of unknown country included.
    pub allowed: BTreeSet<Country>,
}

/// Which kinds of numbers get none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindRule {
    /// What it does.
    pub mode: Mode,
    /// Those.
    pub blocked: BTreeSet<NumberKind>,
}

/// What a UTC day may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BudgetRule {
    /// What it does.
    pub mode: Mode,
    /// For all messages together; `None`: no limit.
    pub per_day: Option<Micros>,
    /// For a country's messages.
    pub by_country: BTreeMap<Country, Micros>,
}

/// A size of block, and how many sends it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// A block is the numbers that differ in this many last digits, 1 to 9.
    pub digits: u8,
    /// Sends within the window that were not verified, at most.
    pub max: u32,
    /// The window.
    pub window_ms: Millis,
}

/// Limits of number blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VelocityRule {
    /// What it does.
    pub mode: Mode,
    /// All of them hold.
    pub levels: Vec<Level>,
}

/// How many numbers in a row are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RunsRule {
    /// What it does.
    pub mode: Mode,
    /// Two numbers belong to one run if they differ by at most this.
    pub gap: u64,
    /// Most numbers of a run that were asked for and not verified.
    pub run_max: u32,
    /// How long an ask is remembered.
    pub window_ms: Millis,
}

/// When a prefix whose codes are not used is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConversionRule {
    /// What it does.
    pub mode: Mode,
    /// A prefix is a number without this many last digits, 1 to 9.
    pub digits: u8,
    /// Sends looked at. Longer than `mature_ms`.
    pub window_ms: Millis,
    /// A send counts when it is this old: whoever wanted to has typed the code by then.
    pub mature_ms: Millis,
    /// Fewer sends say nothing.
    pub sample_min: u32,
    /// Of 100 sends, how many may stay unverified.
    pub unverified_max_percent: u32,
    /// How long it is closed the first time. Not shorter than `mature_ms`.
    pub close_ms: Millis,
    /// How long at most: each bad trial doubles it.
    pub close_max_ms: Millis,
    /// Sends of a trial, at least 1.
    pub trial_sends: u32,
}

/// How much the guard remembers. Beyond a limit the oldest is forgotten, as if its window had passed. Bytes are estimates:
/// the size of the entries and twice that for their places in the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GuardLimits {
    /// Sends in the log, for `velocity` and `conversion`: about 200 bytes each.
    pub sends_max: usize,
    /// Numbers asked for and not verified, for `runs`: about 60 bytes each.
    pub marks_max: usize,
    /// Numbers that proved themselves: about 60 bytes each.
    pub verified_max: usize,
    /// Prefixes closed or on trial: about 80 bytes each. The one that would open first is forgotten.
    pub closed_max: usize,
    /// Sends under way: about 80 bytes each. The oldest then counts as billed in full.
    pub open_max: usize,
}

/// Everything that decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuardPolicy {
    /// Which countries.
    pub countries: CountryRule,
    /// Which kinds of numbers not.
    pub number_types: KindRule,
    /// What a day may cost.
    pub budget: BudgetRule,
    /// What a message costs.
    pub prices: Prices,
    /// Sends per block of numbers.
    pub velocity: VelocityRule,
    /// Numbers in a row.
    pub runs: RunsRule,
    /// Prefixes whose codes are not used.
    pub conversion: ConversionRule,
    /// How long a number that proved itself passes `velocity`, `runs` and `conversion`, and is not counted by them.
    pub verified_ms: Millis,
    /// What is remembered at most.
    pub limits: GuardLimits,
}

impl GuardPolicy {
    /// True if no rule could ever say no and nothing costs anything: then nobody needs to ask.
    pub fn is_idle(&self) -> bool {
        let allows_all = !self.countries.mode.looks() || self.countries.allowed.is_empty();
        let blocks_none = !self.number_types.mode.looks() || self.number_types.blocked.is_empty();
        let watches = self.velocity.mode.looks() || self.runs.mode.looks() || self.conversion.mode.looks();
        allows_all && blocks_none && !watches && self.prices.is_free()
    }

    /// The longest time that a send is of interest.
    pub(super) fn log_ms(&self) -> Millis {
        let levels = self.velocity.levels.iter().map(|level| level.window_ms);
        let velocity = if self.velocity.mode.looks() { levels.max().unwrap_or(0) } else { 0 };
        let conversion = if self.conversion.mode.looks() { self.conversion.window_ms } else { 0 };
        velocity.max(conversion)
    }
}

impl Default for GuardPolicy {
    /// The figures of config.toml beside a gateway that really sends; nothing costs anything.
    fn default() -> Self {
        let blocked = [
            NumberKind::Premium,
            NumberKind::SharedCost,
            NumberKind::TollFree,
            NumberKind::Pager,
            NumberKind::Voicemail,
            NumberKind::Uan,
        ];
        Self {
            countries: CountryRule { mode: Mode::Enforce, allowed: BTreeSet::new() },
            number_types: KindRule { mode: Mode::Enforce, blocked: blocked.into() },
            budget: BudgetRule { mode: Mode::Enforce, per_day: None, by_country: BTreeMap::new() },
            prices: Prices::default(),
            velocity: VelocityRule {
                mode: Mode::Enforce,
                levels: vec![
                    Level { digits: 3, max: 30, window_ms: 10 * MINUTE },
                    Level { digits: 4, max: 100, window_ms: 10 * MINUTE },
                ],
            },
            runs: RunsRule { mode: Mode::Enforce, gap: 10, run_max: 20, window_ms: HOUR },
            conversion: ConversionRule {
                mode: Mode::Enforce,
                digits: 4,
                window_ms: HOUR,
                mature_ms: 10 * MINUTE,
                sample_min: 20,
                unverified_max_percent: 90,
                close_ms: 30 * MINUTE,
                close_max_ms: DAY,
                trial_sends: 5,
            },
            verified_ms: 30 * DAY,
            limits: GuardLimits {
                sends_max: 100_000,
                marks_max: 200_000,
                verified_max: 200_000,
                closed_max: 10_000,
                open_max: 65_536,
            },
        }
    }
}
