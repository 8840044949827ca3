//! `[[sms.routes]]`: who sends to whom, by what.

use serde::Deserialize;

use super::GatewayKind;
use crate::{record::Channel, settings::reader::Reader};

/// Most routes. More would be a table that nobody can read; each is looked at for every message.
const ROUTES_MAX: usize = 500;

/// One route, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Only numbers of this country, two letters, upper-case.
    pub country: Option<String>,
    /// Only numbers that begin so, digits alone; empty: any.
    pub prefix: String,
    /// By what.
    pub channel: Channel,
    /// Who sends, the first choice first.
    pub gateways: Vec<GatewayKind>,
}

/// A route as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    country: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    channel: Option<String>,
    gateways: Vec<String>,
}

pub(super) fn read(r: &mut Reader<'_>) -> Vec<Route> {
    const KEY: &str = "sms.routes";
    let rows: Vec<Row> = r.rows(KEY, ROUTES_MAX);
    let mut routes = Vec::with_capacity(rows.len());
    for (at, row) in rows.into_iter().enumerate() {
        match checked(&row) {
            Ok(route) => routes.push(route),
            Err(what) => r.problem(KEY, format!("entry {}: {what}", at + 1)),
        }
    }
    routes
}

fn checked(row: &Row) -> Result<Route, &'static str> {
    let country = match row.country.as_str() {
        "" => None,
        code if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) => Some(code.to_uppercase()),
        _ => return Err("country must be an ISO 3166 code of two letters"),
    };
    let prefix = row.prefix.strip_prefix('+').unwrap_or(&row.prefix);
    if prefix.len() > 15 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) || prefix.starts_with('0') {
        return Err("prefix must be + and up to 15 digits, country code first");
    }
    let named = |name: &str| Channel::named(name).ok_or("channel must be sms, voice or whatsapp");
    let channel = row.channel.as_deref().map_or(Ok(Channel::Sms), named)?;
    if row.gateways.is_empty() {
        return Err("gateways must name at least one");
    }
    let gateways = row.gateways.iter().map(|name| GatewayKind::named(name)).collect::<Option<Vec<_>>>();
    let gateways = gateways.ok_or("gateways must be names of gateways, as in sms.gateway")?;
    Ok(Route { country, prefix: prefix.to_owned(), channel, gateways })
}
