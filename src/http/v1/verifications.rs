//! `/v1/verifications…` and the short cut `/v1/sessions`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{
    super::problem::{Problem, ProblemCode},
    V1,
    call::{Call, PathId, Visitor},
    input,
    refusal::{Refused, write_quota},
    render::{self, VerificationBody},
};
use crate::{
    record::{CODE_DIGITS, MessageFacts, Refusal, SECOND},
    service::{Answer, Checked, Failure, StartInput, User},
};

/// Shortest and longest life of a code, in seconds.
const TTL_S: std::ops::RangeInclusive<u64> = 60..=600;

/// What a start may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    to: String,
    region: Option<String>,
    purpose: Option<String>,
    channel: Option<String>,
    locale: Option<String>,
    code_length: Option<u8>,
    ttl: Option<u64>,
    custom_code: Option<String>,
    origin: Option<String>,
    app_hash: Option<String>,
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

pub(super) async fn start(State(v1): State<Arc<V1>>, call: Call<StartBody>) -> Result<Response, Refused> {
    let keyed = call.visitor.origin.caller.is_some();
    let input = start_input(&v1, call.body, keyed)?;
    let started = v1.service.start(&v1.dialect, &call.visitor.origin, input).await?;
    Ok(render::verification(StatusCode::CREATED, &started))
}

fn start_input(v1: &V1, body: StartBody, keyed: bool) -> Result<StartInput, Refused> {
    let policy_digits = v1.dialect.policy.code_digits;
    let only_keyed = body.custom_code.is_some()
        || body.metadata.is_some()
        || body.code_length.is_some_and(|digits| digits < policy_digits);
    if only_keyed && !keyed {
        v1.service.count_refusal(&v1.dialect, "scope");
        let detail = "custom_code, metadata and shorter codes need an API key";
        return Err(Problem::new(ProblemCode::Scope).detail(detail).into());
    }
    if body.code_length.is_some_and(|digits| !CODE_DIGITS.contains(&digits)) {
        return Err(input::invalid("/code_length", "must be 4 to 10"));
    }
    if body.ttl.is_some_and(|ttl| !TTL_S.contains(&ttl)) {
        return Err(input::invalid("/ttl", "must be 60 to 600 seconds"));
    }
    let channel = input::channel(body.channel.as_deref())?;
    let purpose = input::purpose(body.purpose.as_deref())?;
    let facts = message_facts(v1, body.locale.as_deref(), body.origin, body.app_hash)?;
    let chosen = body.custom_code.as_deref().map(input::custom_code).transpose()?;
    Ok(StartInput {
        facts,
        channel,
        digits: body.code_length,
        life_ms: body.ttl.map(|ttl| ttl * SECOND),
        chosen,
        metadata: body.metadata.map(input::metadata).transpose()?.unwrap_or_default(),
        ..StartInput::plain(input::phone(v1, &body.to, body.region.as_deref())?, purpose)
    })
}

/// A request picks among what the configuration holds; its own text never gets into a message.
fn message_facts(
    v1: &V1,
    locale: Option<&str>,
    origin: Option<String>,
    app_hash: Option<String>,
) -> Result<MessageFacts, Refused> {
    let texts = v1.service.texts();
    if origin.as_deref().is_some_and(|origin| texts.webotp_host(origin).is_none()) {
        return Err(input::invalid("/origin", "must be one of the configured origins"));
    }
    if app_hash.as_deref().is_some_and(|hash| texts.app_hash(hash).is_none()) {
        return Err(input::invalid(
            "/app_hash",
            "must be the 11 characters of an app's hash, and one of sms.app_hashes if that lists any",
        ));
    }
    let locale = locale.map(|tag| input::locale("/locale", tag)).transpose()?.map(Into::into);
    Ok(MessageFacts { locale, origin: origin.map(Into::into), app_hash: app_hash.map(Into::into) })
}

/// What a check by id may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckBody {
    code: String,
}

pub(super) async fn check(
    State(v1): State<Arc<V1>>,
    PathId(id): PathId,
    call: Call<CheckBody>,
) -> Result<Response, Refused> {
    let of = v1.service.verification(&id)?;
    let code = input::code(&call.body.code)?;
    // Only a phone change asks for the session: a client that sends an old token with every call may check a code.
    let user = call.visitor.user(&v1).await;
    let session = user.as_ref().ok().and_then(Option::as_ref).map(User::session_ref);
    match (v1.service.check(&v1.dialect, &call.visitor.origin, of, code, session).await, user) {
        (Err(Failure::Refused(refused)), Err(token)) if refused.refusal == Refusal::SessionNeeded => Err(token),
        (checked, _) => Ok(approved(checked?)),
    }
}

/// What a check by number may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckNewestBody {
    to: String,
    region: Option<String>,
    purpose: Option<String>,
    code: String,
}

pub(super) async fn check_newest(State(v1): State<Arc<V1>>, call: Call<CheckNewestBody>) -> Result<Response, Refused> {
    let phone = input::phone(&v1, &call.body.to, call.body.region.as_deref())?;
    let purpose = input::purpose(call.body.purpose.as_deref())?;
    let code = input::code(&call.body.code)?;
    let origin = &call.visitor.origin;
    let checked = v1.service.check_newest(&v1.dialect, origin, (phone, purpose), code, None).await?;
    Ok(approved(checked))
}

fn approved(checked: Answer<Checked>) -> Response {
    let Answer { value, replayed, quota, now } = checked;
    match value {
        Checked::Approved { verification, receipt, is_new_user } => {
            let body = VerificationBody::new(&verification, now).with_receipt(&receipt, is_new_user);
            render::answer(StatusCode::OK, &Answer { value: (), replayed, quota, now }, &body)
        }
        Checked::Moved(tokens) => render::tokens(&Answer { value: tokens, replayed, quota, now }),
    }
}

/// What a resend may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResendBody {
    channel: Option<String>,
    custom_code: Option<String>,
}

pub(super) async fn resend(
    State(v1): State<Arc<V1>>,
    PathId(id): PathId,
    call: Call<ResendBody>,
) -> Result<Response, Refused> {
    let of = v1.service.verification(&id)?;
    let channel = call.body.channel.as_deref().map(|name| input::channel(Some(name))).transpose()?;
    if call.body.custom_code.is_some() && call.visitor.origin.caller.is_none() {
        v1.service.count_refusal(&v1.dialect, "scope");
        return Err(Problem::new(ProblemCode::Scope).detail("custom_code needs an API key").into());
    }
    let chosen = call.body.custom_code.as_deref().map(input::custom_code).transpose()?;
    let resent = v1.service.resend(&v1.dialect, &call.visitor.origin, of, channel, chosen).await?;
    Ok(render::verification(StatusCode::OK, &resent))
}

/// A body without fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoFields {}

pub(super) async fn cancel(
    State(v1): State<Arc<V1>>,
    PathId(id): PathId,
    call: Call<NoFields>,
) -> Result<Response, Refused> {
    let of = v1.service.verification(&id)?;
    let canceled = v1.service.cancel(&v1.dialect, &call.visitor.origin, of).await?;
    Ok(render::verification(StatusCode::OK, &canceled))
}

pub(super) async fn read(
    State(v1): State<Arc<V1>>,
    PathId(id): PathId,
    _visitor: Visitor,
) -> Result<Response, Refused> {
    let of = v1.service.verification(&id)?;
    let read = v1.service.read(&v1.dialect, of).await?;
    Ok(render::verification(StatusCode::OK, &read))
}

/// What the short cut may say: an id, or a number and a purpose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInBody {
    verification_id: Option<String>,
    to: Option<String>,
    region: Option<String>,
    purpose: Option<String>,
    code: String,
}

pub(super) async fn sign_in(State(v1): State<Arc<V1>>, call: Call<SignInBody>) -> Result<Response, Refused> {
    let (body, origin) = (call.body, &call.visitor.origin);
    let code = || input::code(&body.code);
    let signed_in: Result<_, Failure> = match (&body.verification_id, &body.to) {
        (Some(id), None) => {
            let of = v1.service.verification(id)?;
            v1.service.sign_in(&v1.dialect, origin, of, code()?).await
        }
        (None, Some(to)) => {
            let phone = input::phone(&v1, to, body.region.as_deref())?;
            let purpose = input::purpose(body.purpose.as_deref())?;
            v1.service.sign_in_newest(&v1.dialect, origin, (phone, purpose), code()?).await
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(input::invalid("/verification_id", "give either verification_id or to"));
        }
    };
    let signed_in = signed_in?;
    let mut response = render::tokens(&signed_in);
    write_quota(response.headers_mut(), signed_in.quota, signed_in.now);
    Ok(response)
}
