//! `[spend]`, `[fraud]`, `[audit]` and `sms.allowed_countries`: what messages may cost, and who gets none.

use std::time::Duration;

use serde::Deserialize;

use super::{reader::Reader, server::is_region};

/// Most rows of a list of tables.
const PRICES_MAX: usize = 10_000;
const BUDGETS_MAX: usize = 1_000;
const LEVELS_MAX: usize = 8;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleMode {
    /// `enforce` beside a gateway that really sends, else `off`.
    Auto,
    /// Refuses.
    Enforce,
    /// Tells that it would have refused.
    RecordOnly,
    /// Does not look.
    Off,
}

/// Whether the journal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalMode {
    /// Beside a gateway that really sends.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// `[spend]`. Amounts are decimal texts, checked.
#[derive(Debug, Clone)]
pub struct Spend {
    /// What the budgets do.
    pub budget: RuleMode,
    /// Name of the currency.
    pub currency: String,
    /// Price of a part to a destination without a row.
    pub default_price: String,
    /// For all messages of a day.
    pub per_day: Option<String>,
    /// For a country's messages of a day.
    pub budgets: Vec<BudgetRow>,
    /// Price table.
    pub prices: Vec<PriceRow>,
}

/// `[[spend.budgets]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRow {
    /// Two capital letters.
    pub country: String,
    /// Amount.
    pub per_day: String,
}

/// `[[spend.prices]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRow {
    /// Leading digits of E.164.
    pub prefix: String,
    /// `sms`, `voice`, `whatsapp`; none: all.
    pub channel: Option<String>,
    /// Of one part.
    pub price: String,
}

/// `[[fraud.velocity]]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VelocityRow {
    /// Last digits that a block leaves open.
    pub digits: u8,
    /// Sends without a sign-in.
    pub max: u32,
    /// Window.
    pub window_s: u64,
}

/// `[fraud]`, with `sms.allowed_countries`.
#[derive(Debug, Clone)]
pub struct Fraud {
    /// Countries that get messages; empty: all.
    pub allowed_countries: Vec<String>,
    /// What that list does.
    pub countries: RuleMode,
    /// What the next list does.
    pub number_types: RuleMode,
    /// Kinds of numbers that get none.
    pub number_types_blocked: Vec<String>,
    /// How long a number that proved itself passes the rules below.
    pub verified: Duration,
    /// What the limits of blocks do.
    pub velocity_mode: RuleMode,
    /// The limits.
    pub velocity: Vec<VelocityRow>,
    /// What the rule of runs does.
    pub runs: RuleMode,
    /// Largest difference of neighbours.
    pub runs_gap: u64,
    /// Numbers of a run.
    pub runs_max: u32,
    /// How long an ask is remembered.
    pub runs_window: Duration,
    /// What the rule of conversion does.
    pub conversion: RuleMode,
    /// Last digits that a prefix leaves open.
    pub conversion_digits: u8,
    /// Sends looked at.
    pub conversion_window: Duration,
    /// Age at which a send counts.
    pub conversion_mature: Duration,
    /// Least sample.
    pub conversion_sample_min: u32,
    /// Share that may stay unverified.
    pub conversion_unverified_max_percent: u32,
    /// How long a prefix is closed first.
    pub conversion_close: Duration,
    /// And at most.
    pub conversion_close_max: Duration,
    /// Sends of a trial.
    pub conversion_trial_sends: u32,
    /// Sends remembered.
    pub sends_max: usize,
    /// Numbers asked for remembered.
    pub numbers_max: usize,
    /// Numbers that proved themselves remembered.
    pub verified_max: usize,
    /// Closed prefixes remembered.
    pub prefixes_max: usize,
    /// Sends under way remembered.
    pub open_max: usize,
    /// Between two writings of what is remembered.
    pub state_every: Duration,
}

/// `[audit]`.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Whether it is written.
    pub journal: JournalMode,
    /// Days kept.
    pub days: u64,
    /// MiB kept.
    pub mib_max: u64,
    /// MiB of one file.
    pub file_mib_max: u64,
    /// Lines that may wait.
    pub queue_max: usize,
    /// States kept.
    pub states_max: usize,
}

/// An amount in decimal text; `guard::Micros` reads the same form.
fn is_amount(text: &str) -> bool {
    let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, max: usize| (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    digits(whole, 12) && digits(places, 6)
}

const AMOUNT: &str = "an amount as in \"0.0451\"";

fn mode(r: &mut Reader<'_>, key: &str) -> RuleMode {
    let others = [("enforce", RuleMode::Enforce), ("record_only", RuleMode::RecordOnly), ("off", RuleMode::Off)];
    r.choice(key, ("auto", RuleMode::Auto), &others)
}

impl RuleMode {
    /// True unless it is off. `sends`: messages may leave the machine.
    fn looks(self, sends: bool) -> bool {
        match self {
            Self::Auto => sends,
            Self::Enforce | Self::RecordOnly => true,
            Self::Off => false,
        }
    }
}

impl Spend {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let spend = Self {
            budget: mode(r, "spend.budget"),
            currency: r.text("spend.currency"),
            default_price: r.checked("spend.default_price", AMOUNT, is_amount).unwrap_or_else(|| "0".to_owned()),
            per_day: r.checked("spend.per_day", AMOUNT, is_amount),
            budgets: r.rows("spend.budgets", BUDGETS_MAX),
            prices: r.rows("spend.prices", PRICES_MAX),
        };
        for (at, row) in spend.budgets.iter().enumerate() {
            let is_repeated = spend.budgets.iter().take(at).any(|earlier| earlier.country == row.country);
            check(r, "spend.budgets", at, is_region(&row.country), "country must be two capital letters, as in \"IR\"");
            check(r, "spend.budgets", at, is_amount(&row.per_day), "per_day must be an amount as in \"25.50\"");
            check(r, "spend.budgets", at, !is_repeated, "the country has a budget already");
        }
        let channels = ["sms", "voice", "whatsapp"];
        let mut seen = std::collections::BTreeSet::new();
        for (at, row) in spend.prices.iter().enumerate() {
            let is_prefix =
                (1..=15).contains(&row.prefix.len()) && row.prefix.bytes().all(|byte| byte.is_ascii_digit());
            let is_channel = row.channel.as_deref().is_none_or(|channel| channels.contains(&channel));
            check(r, "spend.prices", at, is_prefix, "prefix must be 1 to 15 digits without +");
            check(r, "spend.prices", at, is_channel, "channel must be one of \"sms\", \"voice\", \"whatsapp\"");
            check(r, "spend.prices", at, is_amount(&row.price), "price must be an amount as in \"0.0451\"");
            check(r, "spend.prices", at, seen.insert((&row.prefix, &row.channel)), "the prefix has a price already");
        }
        spend
    }

    /// True if any budget is set.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        self.per_day.is_some() || !self.budgets.is_empty()
    }
}

fn check(r: &mut Reader<'_>, key: &str, at: usize, holds: bool, text: &str) {
    if !holds {
        r.problem(key, format!("entry {}: {text}", at + 1));
    }
}

impl Fraud {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let fraud = Self {
            allowed_countries: r.list("sms.allowed_countries", "two capital letters, as in \"IR\"", |code| {
                is_region(code).then(|| code.to_owned())
            }),
            countries: mode(r, "fraud.countries"),
            number_types: mode(r, "fraud.number_types"),
            number_types_blocked: r.list("fraud.number_types_blocked", "a kind of number", |kind| {
                KINDS.contains(&kind).then(|| kind.to_owned())
            }),
            verified: r.seconds("fraud.verified_s", 0..=31_536_000),
            velocity_mode: mode(r, "fraud.velocity_mode"),
            velocity: r.rows("fraud.velocity", LEVELS_MAX),
            runs: mode(r, "fraud.runs"),
            runs_gap: r.number("fraud.runs_gap", 1..=1_000_000),
            runs_max: r.number("fraud.runs_max", 2..=10_000),
            runs_window: r.seconds("fraud.runs_window_s", 60..=604_800),
            conversion: mode(r, "fraud.conversion"),
            conversion_digits: r.number("fraud.conversion_digits", 3..=9),
            conversion_window: r.seconds("fraud.conversion_window_s", 60..=604_800),
            conversion_mature: r.seconds("fraud.conversion_mature_s", 30..=86_400),
            conversion_sample_min: r.number("fraud.conversion_sample_min", 1..=100_000),
            conversion_unverified_max_percent: r.number("fraud.conversion_unverified_max_percent", 1..=99),
            conversion_close: r.seconds("fraud.conversion_close_s", 60..=604_800),
            conversion_close_max: r.seconds("fraud.conversion_close_max_s", 60..=2_592_000),
            conversion_trial_sends: r.number("fraud.conversion_trial_sends", 1..=1_000),
            sends_max: r.number("fraud.sends_max", 1_000..=10_000_000),
            numbers_max: r.number("fraud.numbers_max", 1_000..=10_000_000),
            verified_max: r.number("fraud.verified_max", 1_000..=10_000_000),
            prefixes_max: r.number("fraud.prefixes_max", 100..=1_000_000),
            open_max: r.number("fraud.open_max", 1_000..=1_000_000),
            state_every: r.millis("fraud.state_every_ms", 100..=600_000),
        };
        for (at, row) in fraud.velocity.iter().enumerate() {
            check(r, "fraud.velocity", at, (1..=9).contains(&row.digits), "digits must be 1 to 9");
            check(r, "fraud.velocity", at, (1..=10_000_000).contains(&row.max), "max must be 1 to 10000000");
            check(r, "fraud.velocity", at, (1..=604_800).contains(&row.window_s), "window_s must be 1 to 604800");
        }
        fraud
    }

    /// True if any rule that looks at behaviour is in force or records. `sends`: messages may leave the machine.
    #[must_use]
    pub fn watches(&self, sends: bool) -> bool {
        [self.velocity_mode, self.runs, self.conversion].iter().any(|mode| mode.looks(sends))
    }
}

/// The kinds of numbers that plans tell apart; `guard::NumberKind` has the same names.
const KINDS: [&str; 12] = [
    "mobile",
    "fixed_line",
    "fixed_or_mobile",
    "toll_free",
    "premium",
    "shared_cost",
    "voip",
    "personal",
    "pager",
    "uan",
    "voicemail",
    "unknown",
];

impl Audit {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let others = [("on", JournalMode::On), ("off", JournalMode::Off)];
        Self {
            journal: r.choice("audit.journal", ("auto", JournalMode::Auto), &others),
            days: r.number("audit.days", 1..=3_650),
            mib_max: r.number("audit.mib_max", 16..=1_048_576),
            file_mib_max: r.number("audit.file_mib_max", 1..=4_096),
            queue_max: r.number("audit.queue_max", 16..=1_000_000),
            states_max: r.number("audit.states_max", 2..=1_000),
        }
    }
}
