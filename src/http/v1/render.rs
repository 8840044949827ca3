//! Successes as JSON, field by field as `contracts/v1.md` has them.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{
    super::{
        problem::{Problem, ProblemCode},
        rate_headers::IDEMPOTENCY_REPLAYED,
    },
    refusal::write_quota,
};
use crate::{
    record::{Account, Delivery, DeliveryState, Export, Label, PhoneNumber, SECOND, Session, Status, UnixMillis},
    service::{Answer, Code, SignedInTokens, Verification},
    token::Token,
    webhooks::DeadLetter,
};

/// The answer of every call on a verification.
#[derive(Debug, Serialize)]
pub(super) struct VerificationBody<'a> {
    id: &'a str,
    status: &'static str,
    to_masked: String,
    purpose: &'a str,
    channel: &'a str,
    created_at: Time,
    expires_at: Time,
    attempts_remaining: u8,
    resend: ResendBody,
    deliveries: Vec<DeliveryBody<'a>>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_new_user: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ResendBody {
    allowed_in: u64,
    remaining: u8,
}

#[derive(Debug, Serialize)]
struct DeliveryBody<'a> {
    channel: &'a str,
    route: Option<&'a str>,
    status: &'static str,
    at: Time,
}

/// RFC 3339, UTC, with milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) UnixMillis);

/// Writes a time straight into its text; `Display` goes through a formatter.
const WITH_MILLIS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let timestamp = i64::try_from(self.0.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match timestamp {
            Some(timestamp) => serializer.serialize_str(&WITH_MILLIS.timestamp_to_string(&timestamp)),
            None => serializer.serialize_str(""), // after the year 9999
        }
    }
}

/// The back end's notes.
#[derive(Debug)]
struct Metadata<'a>(&'a [(String, String)]);

impl Metadata<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (name, text)))
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Approved => "approved",
        Status::Canceled => "canceled",
        Status::Expired => "expired",
        Status::MaxAttemptsReached => "max_attempts_reached",
        Status::Failed => "failed",
    }
}

fn delivery(delivery: &Delivery) -> DeliveryBody<'_> {
    DeliveryBody {
        channel: delivery.channel.as_str(),
        route: delivery.route.as_ref().map(Label::as_str),
        status: match delivery.state {
            DeliveryState::Sending => "sending",
            DeliveryState::Accepted => "accepted",
            DeliveryState::Failed => "failed",
            DeliveryState::Unknown => "unknown",
            DeliveryState::Sent => "sent",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Undelivered => "undelivered",
        },
        at: Time(delivery.at),
    }
}

impl<'a> VerificationBody<'a> {
    pub(super) fn new(verification: &'a Verification, now: UnixMillis) -> Self {
        let view = &verification.view;
        let open = view.status == Status::Pending;
        Self {
            id: &verification.id,
            status: status(view.status),
            to_masked: verification.phone.masked(),
            purpose: view.door.purpose.as_str(),
            channel: view.channel.as_str(),
            created_at: Time(view.created_at),
            expires_at: Time(view.expires_at),
            attempts_remaining: view.attempts_remaining,
            resend: ResendBody {
                allowed_in: if open { view.resend_at.since(now).div_ceil(SECOND) } else { 0 },
                remaining: if open { view.resends_remaining } else { 0 },
            },
            deliveries: view.deliveries.iter().map(delivery).collect(),
            metadata: Metadata(&view.metadata),
            receipt: None,
            is_new_user: None,
            code: verification.shown_code.as_ref().map(Code::reveal),
        }
    }

    pub(super) fn with_receipt(self, receipt: &'a Token, is_new_user: bool) -> Self {
        Self { receipt: Some(receipt.expose()), is_new_user: Some(is_new_user), ..self }
    }
}

/// Room for a usual body, and for the headers of a usual answer: without, both are moved twice while they grow.
const BODY_BYTES: usize = 640;
const HEADERS: usize = 16;

/// An answer with a body, in room that fits a usual one. axum's `Json`, for calls that are asked less often, begins with 128
/// bytes.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut bytes = Vec::with_capacity(BODY_BYTES);
    if serde_json::to_writer(&mut bytes, body).is_err() {
        return Problem::new(ProblemCode::InternalError).into_response();
    }
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().reserve(HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Says of an answer that was given before that it was.
fn note_replay<T>(response: &mut Response, of: &Answer<T>) {
    if of.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}

/// A body with the headers that go with its answer.
pub(super) fn answer<T>(status: StatusCode, of: &Answer<T>, body: &impl Serialize) -> Response {
    let mut response = json(status, body);
    write_quota(response.headers_mut(), of.quota, of.now);
    note_replay(&mut response, of);
    response
}

/// A success with nothing to tell.
pub(super) fn done(status: StatusCode, of: Option<&Answer<()>>) -> Response {
    let mut response = status.into_response();
    if let Some(of) = of {
        note_replay(&mut response, of);
    }
    response
}

/// A verification; a new one says where it is.
pub(super) fn verification(status: StatusCode, of: &Answer<Verification>) -> Response {
    let mut response = answer(status, of, &VerificationBody::new(&of.value, of.now));
    if status == StatusCode::CREATED
        && let Ok(place) = HeaderValue::try_from(["/v1/verifications/", &of.value.id].concat())
    {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// Tokens, for their owner alone.
#[derive(Serialize)]
struct TokensBody<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: &'a str,
    refresh_expires_in: u64,
    is_new_user: bool,
}

/// What `/oauth/token` answers.
pub(super) fn tokens(of: &Answer<SignedInTokens>) -> Response {
    let tokens = &of.value;
    let body = TokensBody {
        access_token: tokens.access.token.expose(),
        token_type: "Bearer",
        expires_in: tokens.access.expires_in_s(),
        refresh_token: tokens.refresh.expose(),
        refresh_expires_in: tokens.refresh_expires_in_s,
        is_new_user: tokens.is_new_user,
    };
    let mut response = json(StatusCode::OK, &body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    note_replay(&mut response, of);
    response
}

/// The signed-in person.
#[derive(Debug, Serialize)]
pub(super) struct UserBody<'a> {
    user_id: u64,
    phone_number: String,
    phone_number_verified: bool,
    name: Option<&'a str>,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    email: Option<&'a str>,
    bio: Option<&'a str>,
    location: Option<&'a str>,
    birth_date: Option<&'a str>,
    avatar: Option<&'a str>,
    locale: Option<&'a str>,
    created_at: Time,
    updated_at: Time,
    verified_at: Time,
}

pub(super) fn user(phone: PhoneNumber, account: &Account) -> UserBody<'_> {
    let profile = &account.profile;
    UserBody {
        user_id: account.user_id,
        phone_number: phone.to_e164(),
        phone_number_verified: true,
        name: profile.name.as_deref(),
        first_name: profile.first_name.as_deref(),
        last_name: profile.last_name.as_deref(),
        email: profile.email.as_deref(),
        bio: profile.bio.as_deref(),
        location: profile.location.as_deref(),
        birth_date: profile.birth_date.as_deref(),
        avatar: profile.avatar.as_deref(),
        locale: profile.locale.as_deref(),
        created_at: Time(account.created_at),
        updated_at: Time(account.updated_at),
        verified_at: Time(account.verified_at),
    }
}

/// One of her sessions.
pub(super) fn session(sid: &str, session: &Session, current: bool) -> Value {
    json!({
        "sid": sid,
        "current": current,
        "dialect": session.door.dialect.as_str(),
        "client_id": session.client.as_str(),
        "created_at": Time(session.opened_at),
        "refreshed_at": Time(session.rotated_at),
        "expires_at": Time(session.expires_at),
    })
}

/// An event that could not be delivered.
pub(super) fn dead_letter(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "type": letter.name,
        "timestamp": letter.timestamp,
        "phone_masked": letter.phone_masked,
        "tries": letter.tries,
    })
}

/// Everything the server has about her.
pub(super) fn export(phone: PhoneNumber, export: &Export, sessions: &[Value]) -> Value {
    let verifications = export.challenges.iter().map(|view| {
        json!({
            "status": status(view.status),
            "dialect": view.door.dialect.as_str(),
            "purpose": view.door.purpose.as_str(),
            "channel": view.channel.as_str(),
            "created_at": Time(view.created_at),
            "expires_at": Time(view.expires_at),
            "attempts_remaining": view.attempts_remaining,
            "deliveries": view.deliveries.iter().map(delivery).collect::<Vec<_>>(),
            "metadata": Metadata(&view.metadata),
        })
    });
    json!({
        "user": user(phone, &export.account),
        "sessions": sessions,
        "verifications": verifications.collect::<Vec<_>>(),
        "messages_sent_at": export.sends.iter().map(|at| Time(*at)).collect::<Vec<_>>(),
        "consecutive_wrong_codes": export.failures,
    })
}
