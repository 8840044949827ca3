//! Successes as JSON, field by field as `contracts/v1.md` has them.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{super::rate_headers::IDEMPOTENCY_REPLAYED, refusal::write_quota};
use crate::{
    record::{
        Account, ChallengeView, Delivery, DeliveryState, Export, PhoneNumber, SECOND, Session, Status, UnixMillis,
    },
    service::{Answer, SignedInTokens, Verification},
    token::Token,
    webhooks::DeadLetter,
};

/// The answer of every call on a verification.
#[derive(Debug, Serialize)]
pub(super) struct VerificationBody {
    id: String,
    status: &'static str,
    to_masked: String,
    purpose: String,
    channel: String,
    created_at: String,
    expires_at: String,
    attempts_remaining: u8,
    resend: ResendBody,
    deliveries: Vec<DeliveryBody>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_new_user: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

#[derive(Debug, Serialize)]
struct ResendBody {
    allowed_in: u64,
    remaining: u8,
}

#[derive(Debug, Serialize)]
struct DeliveryBody {
    channel: String,
    route: Option<String>,
    status: &'static str,
    at: String,
}

/// RFC 3339, UTC, with milliseconds.
pub(super) fn time(at: UnixMillis) -> String {
    let timestamp = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map(|timestamp| format!("{timestamp:.3}")).unwrap_or_default()
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

fn delivery(delivery: &Delivery) -> DeliveryBody {
    DeliveryBody {
        channel: delivery.channel.as_str().to_owned(),
        route: delivery.route.map(|route| route.as_str().to_owned()),
        status: match delivery.state {
            DeliveryState::Sending => "sending",
            DeliveryState::Accepted => "accepted",
            DeliveryState::Failed => "failed",
            DeliveryState::Unknown => "unknown",
            DeliveryState::Sent => "sent",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Undelivered => "undelivered",
        },
        at: time(delivery.at),
    }
}

/// The back end's notes.
fn metadata(view: &ChallengeView) -> Map<String, Value> {
    view.metadata.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect()
}

impl VerificationBody {
    pub(super) fn new(verification: &Verification, now: UnixMillis) -> Self {
        let view = &verification.view;
        let open = view.status == Status::Pending;
        Self {
            id: verification.id.clone(),
            status: status(view.status),
            to_masked: verification.phone.masked(),
            purpose: view.door.purpose.as_str().to_owned(),
            channel: view.channel.as_str().to_owned(),
            created_at: time(view.created_at),
            expires_at: time(view.expires_at),
            attempts_remaining: view.attempts_remaining,
            resend: ResendBody {
                allowed_in: if open { view.resend_at.since(now).div_ceil(SECOND) } else { 0 },
                remaining: if open { view.resends_remaining } else { 0 },
            },
            deliveries: view.deliveries.iter().map(delivery).collect(),
            metadata: metadata(view),
            receipt: None,
            is_new_user: None,
            code: verification.shown_code.as_ref().map(|code| code.reveal().to_owned()),
        }
    }

    pub(super) fn with_receipt(self, receipt: &Token, is_new_user: bool) -> Self {
        Self { receipt: Some(receipt.expose().to_owned()), is_new_user: Some(is_new_user), ..self }
    }
}

/// A body with the headers that go with its answer.
pub(super) fn answer<T>(status: StatusCode, of: &Answer<T>, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    write_quota(response.headers_mut(), of.quota, of.now);
    if of.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A success with nothing to tell.
pub(super) fn done(status: StatusCode, of: Option<&Answer<()>>) -> Response {
    let mut response = status.into_response();
    if of.is_some_and(|answer| answer.replayed) {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A verification; a new one says where it is.
pub(super) fn verification(status: StatusCode, of: &Answer<Verification>) -> Response {
    let mut response = answer(status, of, VerificationBody::new(&of.value, of.now));
    if status == StatusCode::CREATED
        && let Ok(place) = HeaderValue::from_str(&format!("/v1/verifications/{}", of.value.id))
    {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// What `/oauth/token` answers.
pub(super) fn tokens(of: &Answer<SignedInTokens>) -> Response {
    let tokens = &of.value;
    let body = json!({
        "access_token": tokens.access.token.expose(),
        "token_type": "Bearer",
        "expires_in": tokens.access.expires_in_s(),
        "refresh_token": tokens.refresh.expose(),
        "refresh_expires_in": tokens.refresh_expires_in_s,
        "is_new_user": tokens.is_new_user,
    });
    let mut response = Json(body).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if of.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The signed-in person.
pub(super) fn user(phone: PhoneNumber, account: &Account) -> Value {
    let profile = &account.profile;
    json!({
        "user_id": account.user_id,
        "phone_number": phone.to_e164(),
        "phone_number_verified": true,
        "name": profile.name,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "email": profile.email,
        "bio": profile.bio,
        "location": profile.location,
        "birth_date": profile.birth_date,
        "avatar": profile.avatar,
        "locale": profile.locale,
        "created_at": time(account.created_at),
        "updated_at": time(account.updated_at),
        "verified_at": time(account.verified_at),
    })
}

/// One of her sessions.
pub(super) fn session(sid: &str, session: &Session, current: bool) -> Value {
    json!({
        "sid": sid,
        "current": current,
        "dialect": session.door.dialect.as_str(),
        "client_id": session.client.as_str(),
        "created_at": time(session.opened_at),
        "refreshed_at": time(session.rotated_at),
        "expires_at": time(session.expires_at),
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
            "created_at": time(view.created_at),
            "expires_at": time(view.expires_at),
            "attempts_remaining": view.attempts_remaining,
            "deliveries": view.deliveries.iter().map(delivery).collect::<Vec<_>>(),
            "metadata": metadata(view),
        })
    });
    json!({
        "user": user(phone, &export.account),
        "sessions": sessions,
        "verifications": verifications.collect::<Vec<_>>(),
        "messages_sent_at": export.sends.iter().map(|at| time(*at)).collect::<Vec<_>>(),
        "consecutive_wrong_codes": export.failures,
    })
}
