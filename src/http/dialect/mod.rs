//! The APIs of other back ends, spoken beside `/v1`: one file per dialect, one entry each in [`ALL`].
//!
//! A dialect is a translation: its paths, field rules, texts, figures and claims stand in its [`Spec`]; what a code, a
//! number or a session is, it does not know. `desk` is what every dialect works with (who asks, how often, the body),
//! `no` brings every failure of the use cases to the few that a dialect tells apart, `drf` and `fastapi` are the forms of
//! the two web frameworks the originals were written with, `cookies` is for those whose browsers keep the token.
//!
//! **A sixth dialect** is one file with a `SPEC`, its `mod` line and its entry in [`ALL`]. Its figures are in its `SPEC`; operators change
//! them under `[dialects.NAME]`, and config.toml shows them.

#![expect(clippy::wildcard_enum_match_arm, reason = "a call has words for what it can meet; the desk answers the rest")]
#![expect(clippy::result_large_err, reason = "a refusal is an answer: both sides are as large")]
#![expect(clippy::needless_pass_by_value, reason = "`map_err` hands over what it has")]

mod auth_otp;
mod cookies;
mod describe;
mod desk;
mod drf;
mod fastapi;
mod no;
mod phone_password;
mod python_json;
mod signup_login;
mod typed_verification;
mod usr_otp;

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use futures_util::future::BoxFuture;
use serde_json::Value;

use self::desk::Call;
pub use self::desk::{Desk, Options};
use super::docs::Api;
use crate::service::TokenStyle;

/// Every dialect there is.
pub const ALL: &[&Spec] =
    &[&auth_otp::SPEC, &usr_otp::SPEC, &signup_login::SPEC, &phone_password::SPEC, &typed_verification::SPEC];

/// All that makes a dialect what it is.
#[derive(Debug)]
pub struct Spec {
    /// Its name in configuration, metrics and the audit log.
    pub name: &'static str,
    /// What its paths begin with, unless configured otherwise.
    pub base_path: &'static str,
    /// Its figures, unless configured otherwise.
    pub figures: Figures,
    /// The web framework its original was written with.
    pub framework: Framework,
    /// Its calls.
    pub routes: &'static [Route],
    /// A refusal that the original has no body for, with this text.
    pub says: fn(&str) -> Value,
    /// The body for an address that asks too often; it is given the seconds to wait.
    pub ip_limited: fn(u64) -> Value,
    /// Its claims.
    pub tokens: TokenStyle,
    /// What its messages say, with the language (BCP 47), if not what all others do. Placeholders: `{code}`, `{minutes}`.
    pub text: Option<(&'static str, &'static str)>,
    /// Its refresh tokens are taken at `/oauth/token`, because it has no call for them.
    pub refresh_at_oauth: bool,
    /// Its part of the OpenAPI document, for these paths.
    pub(in crate::http) docs: fn() -> Api,
}

/// The figures of a dialect; each is a key under `[dialects.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Region of numbers without a country code; empty: they are read as international.
    pub default_region: Cow<'static, str>,
    /// Digits of a code.
    pub code_digits: u8,
    /// Life of a code in seconds.
    pub code_ttl_s: u64,
    /// Wrong tries per code.
    pub attempts: u8,
    /// Sends per number and window.
    pub sends: u8,
    /// Length of that window in seconds.
    pub send_window_s: u64,
    /// Requests per client address and minute; 0: no limit.
    pub ip_per_minute: u32,
    /// Block of an address at a number after so many wrong answers, in seconds; 0: none.
    pub block_s: u64,
    /// Life of an access token in seconds.
    pub access_ttl_s: u64,
    /// Life of a refresh token in seconds; 0: there is none, and the session lives as long as the access token.
    pub refresh_ttl_s: u64,
}

/// A web framework: the form of what it answers by itself, and what it makes of a final slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framework {
    /// Django REST framework, paths with a final slash.
    DrfSlashed,
    /// Django REST framework, paths without.
    Drf,
    /// FastAPI, paths without.
    FastApi,
}

/// What answers a call; a refusal is an answer too, and `Err` only so that `?` ends the work.
type Handler = fn(Call) -> BoxFuture<'static, Result<Response, Response>>;

/// One call of a dialect.
pub struct Route {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// The path below the base path.
    pub path: &'static str,
    /// Whether its requests count against the address, whatever their method and content.
    pub counted: bool,
    /// Whether `HEAD` may ask for it too: a `GET` that changes nothing.
    pub heads: bool,
    handler: Handler,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    /// A call that counts against its address.
    const fn counted(method: &'static str, path: &'static str, handler: Handler) -> Self {
        Self { method, path, counted: true, heads: true, handler }
    }

    /// A call that is free: its token has been paid for.
    const fn free(method: &'static str, path: &'static str, handler: Handler) -> Self {
        Self { method, path, counted: false, heads: true, handler }
    }

    /// It changes something although it is a `GET`.
    const fn without_head(self) -> Self {
        Self { heads: false, ..self }
    }

    fn answers(&self, method: &Method) -> bool {
        self.method == method.as_str() || (self.heads && self.method == "GET" && method == Method::HEAD)
    }
}

/// Two APIs that would answer at one path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} would belong to {first} and to {second}")]
pub struct Collision {
    /// The path.
    pub path: String,
    /// Whose it is.
    pub first: &'static str,
    /// Who wants it too.
    pub second: &'static str,
}

/// What stands before every path that no dialect may have.
const RESERVED: [&str; 6] = ["/v1/", "/oauth/", "/.well-known/", "/errors/", "/api/docs/", "/api/openapi.json/"];

/// The dialect of this name.
pub fn find(name: &str) -> Option<&'static Spec> {
    ALL.iter().copied().find(|spec| spec.name == name)
}

/// A dialect and where it is served.
#[derive(Debug, Clone)]
pub struct Place {
    /// What it is.
    pub spec: &'static Spec,
    /// What its paths begin with.
    pub base_paths: Vec<String>,
}

impl Place {
    /// Every path it answers at, with the calls there.
    fn paths(&self) -> BTreeMap<String, Vec<&'static Route>> {
        let mut paths: BTreeMap<String, Vec<&'static Route>> = BTreeMap::new();
        for base in &self.base_paths {
            for route in self.spec.routes {
                paths.entry(format!("{base}{}", route.path)).or_default().push(route);
            }
        }
        paths
    }
}

/// Whose each path is.
///
/// # Errors
/// Two dialects would own one path, or one would own a path of ours.
pub fn owners<'a>(places: impl Iterator<Item = &'a Place>) -> Result<BTreeMap<String, &'static str>, Collision> {
    let mut owners: BTreeMap<String, &'static str> = BTreeMap::new();
    for place in places {
        let second = place.spec.name;
        for path in place.paths().into_keys() {
            if RESERVED.iter().any(|reserved| format!("{path}/").starts_with(reserved)) {
                return Err(Collision { path, first: "otpd's own API", second });
            }
            if let Some(first) = owners.get(&path).filter(|first| **first != second) {
                return Err(Collision { path, first, second });
            }
            owners.insert(path, second);
        }
    }
    Ok(owners)
}

/// The routes of these dialects.
///
/// # Errors
/// Two of them would own one path.
pub fn router(desks: &[Arc<Desk>]) -> Result<Router, Collision> {
    let owners = owners(desks.iter().map(|desk| &desk.place))?;
    let mut router = Router::new();
    for desk in desks {
        for (path, routes) in desk.place.paths() {
            let spelling = desk.place.spec.framework.other_spelling(&path);
            let desk = Arc::clone(desk);
            router = router.route(&path, any(move |request| desk::serve(Arc::clone(&desk), routes.clone(), request)));
            if let Some((from, status)) = spelling.filter(|(from, _)| !owners.contains_key(from)) {
                router = router.route(&from, any(async move |request: Request| redirect(&request, status)));
            }
        }
    }
    Ok(router)
}

impl Framework {
    /// The same path as a client that is careless about the final slash may write it, and what it is told.
    fn other_spelling(self, path: &str) -> Option<(String, StatusCode)> {
        match self {
            // Django's own 301 would turn a POST into a GET.
            Self::DrfSlashed => Some((path.strip_suffix('/')?.to_owned(), StatusCode::PERMANENT_REDIRECT)),
            Self::FastApi => Some((format!("{path}/"), StatusCode::TEMPORARY_REDIRECT)),
            Self::Drf => None,
        }
    }
}

/// To the same path with its final slash, or without; the query stays.
fn redirect(request: &Request, status: StatusCode) -> Response {
    let path = request.uri().path();
    let path = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    (status, [(header::LOCATION, location)]).into_response()
}
