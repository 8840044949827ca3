//! From settings to the guard's policy and its keeper.

use std::{path::Path, sync::Arc};

use super::{StartError, World};
use crate::{
    guard::{
        BudgetRule, ConversionRule, CountryRule, GuardLimits, GuardPolicy, KindRule, Level, Micros, Mode, NumberKind,
        Prices, RunsRule, VelocityRule,
    },
    journal::{Journal, JournalSettings, Places},
    record::{Keyring, Label, Millis},
    settings::{JournalMode, RuleMode, Settings},
    spending::{Keeper, KeeperParts, KeeperSettings, OnEvent},
};

fn millis(length: std::time::Duration) -> Millis {
    Millis::try_from(length.as_millis()).unwrap_or(Millis::MAX)
}

/// What the guard decides by. `sends`: messages really leave the machine, which is what `auto` asks.
pub fn policy(settings: &Settings, sends: bool) -> GuardPolicy {
    let (spend, fraud) = (&settings.spend, &settings.fraud);
    let mode = |mode: RuleMode| match mode {
        RuleMode::Auto if sends => Mode::Enforce,
        RuleMode::Auto | RuleMode::Off => Mode::Off,
        RuleMode::Enforce => Mode::Enforce,
        RuleMode::RecordOnly => Mode::RecordOnly,
    };
    // Texts that settings have checked.
    let amount = |text: &str| text.parse::<Micros>().unwrap_or_default();
    let country = |code: &String| code.parse().ok();
    let budget = |row: &crate::settings::BudgetRow| Some((country(&row.country)?, amount(&row.per_day)));
    let level = |row: &crate::settings::VelocityRow| Level {
        digits: row.digits,
        max: row.max,
        window_ms: row.window_s.saturating_mul(crate::record::SECOND),
    };
    let mut prices = Prices::new(amount(&spend.default_price));
    for row in &spend.prices {
        let channel = row.channel.as_deref().and_then(|channel| Label::new(channel).ok());
        prices.add(&row.prefix, channel, amount(&row.price));
    }
    GuardPolicy {
        countries: CountryRule {
            mode: mode(fraud.countries),
            allowed: fraud.allowed_countries.iter().filter_map(country).collect(),
        },
        number_types: KindRule {
            mode: mode(fraud.number_types),
            blocked: fraud.number_types_blocked.iter().filter_map(|kind| NumberKind::named(kind)).collect(),
        },
        budget: BudgetRule {
            mode: mode(spend.budget),
            per_day: spend.per_day.as_deref().map(amount),
            by_country: spend.budgets.iter().filter_map(budget).collect(),
        },
        prices,
        velocity: VelocityRule { mode: mode(fraud.velocity_mode), levels: fraud.velocity.iter().map(level).collect() },
        runs: RunsRule {
            mode: mode(fraud.runs),
            gap: fraud.runs_gap,
            run_max: fraud.runs_max,
            window_ms: millis(fraud.runs_window),
        },
        conversion: ConversionRule {
            mode: mode(fraud.conversion),
            digits: fraud.conversion_digits,
            window_ms: millis(fraud.conversion_window),
            mature_ms: millis(fraud.conversion_mature),
            sample_min: fraud.conversion_sample_min,
            unverified_max_percent: fraud.conversion_unverified_max_percent,
            close_ms: millis(fraud.conversion_close),
            close_max_ms: millis(fraud.conversion_close_max),
            trial_sends: fraud.conversion_trial_sends,
        },
        verified_ms: millis(fraud.verified),
        limits: GuardLimits {
            sends_max: fraud.sends_max,
            marks_max: fraud.numbers_max,
            verified_max: fraud.verified_max,
            closed_max: fraud.prefixes_max,
            open_max: fraud.open_max,
        },
    }
}

/// The keeper over the data directory. `sends`: a gateway in use really sends.
///
/// # Errors
/// The ledger cannot be read, or the journal cannot be opened.
pub fn keeper(
    settings: &Settings,
    world: &World,
    keys: Arc<Keyring>,
    sends: bool,
    on_event: OnEvent,
) -> Result<Keeper, StartError> {
    let data: &Path = &settings.store.path;
    let journals = match settings.audit.journal {
        JournalMode::Auto => sends,
        JournalMode::On => true,
        JournalMode::Off => false,
    };
    let journal = journals.then(|| Journal::start(Places::of(data), journal_settings(settings))).transpose();
    let journal =
        journal.map_err(|error| StartError::Named("audit.journal", format!("cannot be opened: {}", error.kind())))?;
    let parts = KeeperParts {
        policy: policy(settings, sends),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        keys,
        journal,
        on_event,
    };
    let places = KeeperSettings {
        ledger: data.join("spend.ledger"),
        state: data.join("guard.state"),
        state_every: settings.fraud.state_every,
        sends,
    };
    Keeper::open(parts, places).map_err(|error| StartError::Named("store.path", error.to_string()))
}

fn journal_settings(settings: &Settings) -> JournalSettings {
    let audit = &settings.audit;
    JournalSettings {
        queue_max: audit.queue_max,
        file_mib_max: audit.file_mib_max,
        mib_max: audit.mib_max,
        days: audit.days,
        states_max: audit.states_max,
    }
}
