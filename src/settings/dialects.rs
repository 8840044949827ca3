//! `[dialects.*]`: which of the other back ends' APIs are spoken, where, and by which figures.
//!
//! Each dialect brings its own figures; what stands here goes before them. config.toml shows those of every dialect
//! (`tests/settings.rs` compares). Which dialects there are is not known here.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::{
    reader::Reader,
    server::{is_path, is_region},
};

/// What the settings say of one dialect; `None`: its own figure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dialect {
    /// Is it served?
    pub enabled: Option<bool>,
    /// The operator wrote that it is, and did not just leave the default.
    pub enabled_on_purpose: bool,
    /// What its paths begin with.
    pub base_paths: Option<Vec<String>>,
    /// Region of numbers without a country code (ISO 3166-1 alpha-2); empty: they are read as international.
    pub default_region: Option<String>,
    /// Digits of a code.
    pub code_digits: Option<u8>,
    /// Life of a code, in seconds.
    pub code_ttl_s: Option<u64>,
    /// Wrong tries per code.
    pub attempts: Option<u8>,
    /// Sends per number and window.
    pub sends: Option<u8>,
    /// Length of that window, in seconds.
    pub send_window_s: Option<u64>,
    /// Requests per client address and minute; 0: no limit.
    pub ip_per_minute: Option<u32>,
    /// How long an address is blocked at a number after wrong answers, in seconds; 0: never.
    pub block_s: Option<u64>,
    /// Life of an access token, in seconds.
    pub access_ttl_s: Option<u64>,
    /// Life of a refresh token and so of a session, in seconds; 0: the dialect has none.
    pub refresh_ttl_s: Option<u64>,
    /// Tell whether a number is registered.
    pub reveal_registered: Option<bool>,
    /// What numbers may begin with.
    pub phone_number_prefixes: Option<Vec<String>>,
}

impl Dialect {
    /// Every table under `dialects`, by its name.
    pub(super) fn read_all(r: &mut Reader<'_>) -> BTreeMap<String, Self> {
        let names = r.tables("dialects");
        names.into_iter().map(|name| (name.clone(), Self::read(r, &format!("dialects.{name}")))).collect()
    }

    fn read(r: &mut Reader<'_>, table: &str) -> Self {
        let key = |name: &str| format!("{table}.{name}");
        let enabled = flag(r, &key("enabled"));
        Self {
            enabled,
            enabled_on_purpose: enabled == Some(true) && r.is_written(&key("enabled")),
            base_paths: list(r, &key("base_paths"), "a path as in /api/auth, without a final slash", is_path),
            default_region: text(r, &key("default_region"), "two letters, as in IR, or \"\"", is_region),
            code_digits: number(r, &key("code_digits"), 4..=10),
            code_ttl_s: number(r, &key("code_ttl_s"), 60..=3_600),
            attempts: number(r, &key("attempts"), 1..=10),
            sends: number(r, &key("sends"), 1..=50),
            send_window_s: number(r, &key("send_window_s"), 10..=86_400),
            ip_per_minute: number(r, &key("ip_per_minute"), 0..=1_000_000),
            block_s: number(r, &key("block_s"), 0..=86_400),
            access_ttl_s: number(r, &key("access_ttl_s"), 60..=31_536_000),
            refresh_ttl_s: number(r, &key("refresh_ttl_s"), 0..=31_536_000),
            reveal_registered: flag(r, &key("reveal_registered")),
            phone_number_prefixes: list(r, &key("phone_number_prefixes"), "digits, with or without a +", is_prefix),
        }
    }
}

fn is_prefix(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn flag(r: &mut Reader<'_>, key: &str) -> Option<bool> {
    r.has(key).then(|| r.flag(key))
}

fn number<T: TryFrom<i64> + Default>(r: &mut Reader<'_>, key: &str, range: RangeInclusive<i64>) -> Option<T> {
    r.has(key).then(|| r.number(key, range))
}

fn text(r: &mut Reader<'_>, key: &str, what: &str, holds: fn(&str) -> bool) -> Option<String> {
    r.has(key).then(|| r.checked(key, what, holds).unwrap_or_default())
}

fn list(r: &mut Reader<'_>, key: &str, what: &str, holds: fn(&str) -> bool) -> Option<Vec<String>> {
    let list = r.has(key).then(|| r.list(key, what, |text| holds(text).then(|| text.to_owned())))?;
    if list.is_empty() {
        r.problem(key, "must have an entry".to_owned());
    }
    Some(list)
}
