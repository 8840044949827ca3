//! From settings to the dialects that are served: their figures, their paths, and whether two want the same one.

use std::{borrow::Cow, sync::Arc};

use super::{StartError, parts};
use crate::{
    http::{
        dialect::{self, Desk, Figures, Options, Place, Spec},
        ip_limit::{IpLimitSettings, IpLimiter},
    },
    record::{BlockPolicy, Policy, SECOND},
    service::{Dialect, RefreshStyle, Service, TokenStyle, number::NumberRules},
    settings::{self, Settings},
    sms::text::CodeText,
};

/// One dialect that is to be served: everything but the use cases.
#[derive(Debug)]
pub(super) struct Plan {
    place: Place,
    dialect: Dialect,
    numbers: NumberRules,
    ip_limit: IpLimitSettings,
    options: Options,
}

/// The figures in force: those of the settings, else its own.
fn figures(spec: &Spec, set: &settings::Dialect) -> Figures {
    let own = &spec.figures;
    Figures {
        default_region: set.default_region.clone().map_or_else(|| own.default_region.clone(), Cow::Owned),
        code_digits: set.code_digits.unwrap_or(own.code_digits),
        code_ttl_s: set.code_ttl_s.unwrap_or(own.code_ttl_s),
        attempts: set.attempts.unwrap_or(own.attempts),
        sends: set.sends.unwrap_or(own.sends),
        send_window_s: set.send_window_s.unwrap_or(own.send_window_s),
        ip_per_minute: set.ip_per_minute.unwrap_or(own.ip_per_minute),
        block_s: set.block_s.unwrap_or(own.block_s),
        access_ttl_s: set.access_ttl_s.unwrap_or(own.access_ttl_s),
        refresh_ttl_s: set.refresh_ttl_s.unwrap_or(own.refresh_ttl_s),
    }
}

/// Is it served? One of weak codes beside a gateway that really sends has to be asked for.
fn is_enabled(settings: &Settings, set: &settings::Dialect, figures: &Figures) -> bool {
    let is_safe = figures.code_digits >= 6 || !settings.sms.gateway.is_real();
    set.enabled.unwrap_or(true) && (is_safe || set.enabled_on_purpose)
}

/// Every dialect with what the settings say of it, and its figures in force.
fn all(settings: &Settings) -> impl Iterator<Item = (&'static Spec, settings::Dialect, Figures)> {
    dialect::ALL.iter().map(|spec| {
        let set = settings.dialects.get(spec.name).cloned().unwrap_or_default();
        let figures = figures(spec, &set);
        (*spec, set, figures)
    })
}

/// What an operator should be told: codes that are easy to guess, and dialects that are off because of them.
pub(crate) fn warnings(settings: &Settings) -> Vec<String> {
    let weak = all(settings).filter(|(_, set, figures)| figures.code_digits < 6 && set.enabled != Some(false));
    let warnings = weak.map(|(Spec { name, .. }, set, figures)| {
        let digits = figures.code_digits;
        if is_enabled(settings, &set, &figures) {
            format!("dialects.{name}: codes of {digits} digits are easy to guess")
        } else {
            format!(
                "dialects.{name} is off: its codes have {digits} digits and messages really go out; \
                 write dialects.{name}.enabled = true if that is meant"
            )
        }
    });
    warnings.collect()
}

/// The dialects that are to be served.
///
/// # Errors
/// A name that no dialect has, a region without a numbering plan, two dialects at one path.
pub(super) fn plans(settings: &Settings) -> Result<Vec<Plan>, StartError> {
    if let Some(name) = settings.dialects.keys().find(|name| dialect::find(name).is_none()) {
        return Err(StartError::Setting { key: format!("dialects.{name}"), reason: "there is no such dialect" });
    }
    let enabled = all(settings).filter(|(_, set, figures)| is_enabled(settings, set, figures));
    let plans: Result<Vec<Plan>, StartError> =
        enabled.map(|(spec, set, figures)| plan(settings, spec, set, &figures)).collect();
    let plans = plans?;
    dialect::owners(plans.iter().map(|plan| &plan.place))?;
    Ok(plans)
}

fn plan(
    settings: &Settings,
    spec: &'static Spec,
    set: settings::Dialect,
    figures: &Figures,
) -> Result<Plan, StartError> {
    let region = Some(&*figures.default_region).filter(|region| !region.is_empty()).map(str::parse).transpose();
    let no_plan = |_| StartError::Setting {
        key: format!("dialects.{}.default_region", spec.name),
        reason: "has no numbering plan",
    };
    let default_region = region.map_err(no_plan)?;
    let text = spec.text.map(|(locale, text)| CodeText::parse(locale, text)).transpose();
    let text = text.map_err(|reason| StartError::Setting { key: format!("dialects.{}", spec.name), reason })?;
    let refresh = check_refresh(spec, figures)?;
    let style = TokenStyle { access_life_s: Some(figures.access_ttl_s), refresh, ..spec.tokens };
    Ok(Plan {
        place: Place { spec, base_paths: set.base_paths.unwrap_or_else(|| vec![spec.base_path.to_owned()]) },
        dialect: Dialect {
            tokens: style,
            text: text.map(Arc::new),
            ..Dialect::new(spec.name, policy(settings, figures))
        },
        numbers: NumberRules {
            default_region,
            bare_is_international: default_region.is_none(),
            ..parts::number_rules(settings)?
        },
        ip_limit: IpLimitSettings {
            scope: spec.name,
            per_minute: figures.ip_per_minute,
            keys_max: settings.limits.ip_entries_max,
        },
        options: Options {
            reveal_registered: set.reveal_registered.unwrap_or(true),
            phone_number_prefixes: set.phone_number_prefixes.unwrap_or_default(),
            secure_cookies: settings.secure_cookies,
        },
    })
}

/// A dialect's own text of a code, with the figures that it is filled with.
#[derive(Debug)]
pub(crate) struct OwnText {
    pub(crate) name: &'static str,
    pub(crate) text: CodeText,
    pub(crate) code_digits: u8,
    pub(crate) code_ttl_s: u64,
}

/// The texts of dialects that are served and have their own.
pub(crate) fn own_texts(settings: &Settings) -> Vec<OwnText> {
    let served = all(settings).filter(|(_, set, figures)| is_enabled(settings, set, figures));
    let own = |(spec, _, figures): (&'static Spec, settings::Dialect, Figures)| {
        let (locale, text) = spec.text?;
        let text = CodeText::parse(locale, text).ok()?;
        Some(OwnText { name: spec.name, text, code_digits: figures.code_digits, code_ttl_s: figures.code_ttl_s })
    };
    served.filter_map(own).collect()
}

/// What refresh tokens a dialect gives under these figures.
fn check_refresh(spec: &Spec, figures: &Figures) -> Result<RefreshStyle, StartError> {
    let refused = |reason| {
        let key = format!("dialects.{}.refresh_ttl_s", spec.name);
        Err(StartError::Setting { key, reason })
    };
    match (spec.tokens.refresh, figures.refresh_ttl_s) {
        (_, 0) => Ok(RefreshStyle::None),
        (RefreshStyle::None, _) => refused("must be 0: the dialect has no refresh tokens"),
        (_, life_s) if life_s < figures.access_ttl_s => refused("must be 0, or not below access_ttl_s"),
        (style, _) => Ok(style),
    }
}

/// A dialect's figures as the core goes by them, under what stands above every door. Dialects have no cooldown.
fn policy(settings: &Settings, figures: &Figures) -> Policy {
    // Without refresh tokens a session is as long as its access token.
    let session_s = figures.refresh_ttl_s.max(figures.access_ttl_s);
    let block = BlockPolicy { strikes: figures.attempts, block_ms: figures.block_s * SECOND };
    Policy {
        code_digits: figures.code_digits,
        code_life_ms: figures.code_ttl_s * SECOND,
        attempts_max: figures.attempts,
        sends_max: figures.sends,
        send_window_ms: figures.send_window_s * SECOND,
        cooldown_ms: 0,
        supersedes: true,
        session_life_ms: session_s * SECOND,
        block: (figures.block_s > 0).then_some(block),
        ..parts::v1_policy(settings)
    }
}

/// The dialects that are served, each with the use cases.
pub(super) fn desks(settings: &Settings, service: &Service) -> Result<Vec<Arc<Desk>>, StartError> {
    let desk = |plan: Plan| Desk {
        place: plan.place,
        service: service.clone(),
        dialect: plan.dialect,
        ip_limiter: IpLimiter::new(&plan.ip_limit),
        numbers: plan.numbers,
        body_limits: parts::body_limits(settings),
        options: plan.options,
    };
    Ok(plans(settings)?.into_iter().map(|plan| Arc::new(desk(plan))).collect())
}
