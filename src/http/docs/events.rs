//! The events that are posted to the operator's own back end, as OpenAPI's `webhooks`.
//!
//! What an event means is `webhooks`'s and what it says is its renderer's; the tests compare the types with the code's
//! lists (`tests/it/openapi.rs`) and hold a post of every type to what stands here (`tests/webhooks/documented.rs`).

use serde_json::{Map, Value, json};

use super::{
    Api,
    example::{EVENT_ID, NEW_NUMBER, NUMBER, SID, TIME, VERIFICATION_ID},
    operation::schema,
    v1_schemas::{object, time},
};

/// Their heading.
const TAG: &str = "Events";

const ABOUT: &str = "\
Posted to `webhooks.url`, each at least once: drop what you know by its `webhook-id`. Answer 2xx within `webhooks.timeout_ms`; \
anything else is tried again by `webhooks.retry_after_s`, and after the last try the event is a dead letter. Fields may be \
added: pass over what you do not know.

**Check the signature first** (Standard Webhooks): `webhook-signature` holds one or two of `v1,` and the Base64 of the \
HMAC-SHA-256 of `webhook-id`, a full stop, `webhook-timestamp`, a full stop and the raw body, by the bytes that `webhooks.secret` \
is the Base64 of behind `whsec_`. Refuse a timestamp more than five minutes away.";

/// One type: its name, when it is told, and what it says.
struct Kind {
    name: &'static str,
    when: &'static str,
    data: Data,
}

/// What an event says: the fields of its family, and perhaps one more.
struct Data {
    family: Family,
    more: Option<(&'static str, Value, Value)>,
}

#[derive(Clone, Copy)]
enum Family {
    Verification,
    User,
    Session,
    Route,
    Budget,
    Prefix,
}

/// The heading; the events are no calls of it.
pub(super) fn api() -> Api {
    Api { tag: TAG, about: ABOUT, schemas: schemas(), ..Api::default() }
}

/// `webhooks` of the document.
pub(super) fn webhooks() -> Map<String, Value> {
    kinds().into_iter().map(|kind| (kind.name.to_owned(), json!({ "post": operation(&kind) }))).collect()
}

fn kinds() -> Vec<Kind> {
    let kind = |name, family, when| Kind { name, when, data: Data { family, more: None } };
    let with = |name, family, when, more| Kind { name, when, data: Data { family, more: Some(more) } };
    let words = |name, words: &[&str], about: &str| {
        let example = Value::from(words.first().copied());
        (name, json!({ "type": "string", "enum": words, "description": about }), example)
    };
    let canceled = "Its holder wished it; a newer one took its place; the number had too many";
    let checked = "Checks by id and by number have tries of their own";
    let ends = ["signed_out", "expired", "displaced", "reuse", "user_deleted", "phone_changed"];
    let ended = "`displaced` by one too many; `reuse` of a retired refresh token";
    let previous = ("previous_phone_number", number("The number it had"), json!(NEW_NUMBER));
    let (canceled, checked) = (
        words("reason", &["holder", "superseded", "displaced"], canceled),
        words("checked_by", &["id", "number"], checked),
    );
    use Family::{Budget, Prefix, Route, Session, User, Verification};
    vec![
        kind("verification.created", Verification, "A code was asked for."),
        kind("verification.approved", Verification, "The right code was given."),
        with("verification.canceled", Verification, "Its code is not good any more.", canceled),
        kind("verification.failed", Verification, "Its message could certainly not be sent."),
        kind(
            "verification.expired",
            Verification,
            "Its time was over. Told with the number's next change, if one comes.",
        ),
        with("verification.max_attempts_reached", Verification, "The last try was wrong.", checked),
        kind("user.created", User, "The first sign-in made the account."),
        kind("user.updated", User, "The profile changed."),
        kind("user.deleted", User, "The owner erased the account."),
        with("user.phone_changed", User, "The account has come from another number.", previous),
        kind("user.deactivated", User, "An administrator shut the account."),
        kind("user.activated", User, "An administrator opened the account again."),
        kind("session.created", Session, "Somebody signed in."),
        with("session.ended", Session, "The session is over.", words("reason", &ends, ended)),
        kind("session.reuse_detected", Session, "A retired refresh token came back: two parties have it."),
        kind("route.opened", Route, "A gateway failed so often that it is not asked for now."),
        kind("route.closed", Route, "The gateway is asked again."),
        kind("budget.threshold", Budget, "A part of a day's budget is spent."),
        kind("budget.exhausted", Budget, "A day's budget is spent, and nothing more is sent on it."),
        kind("prefix.closed", Prefix, "A block of numbers is refused, because too few of its codes are used."),
        kind("prefix.reopened", Prefix, "The block of numbers is sent to again."),
    ]
}

impl Family {
    /// Its name in `#/components/schemas`.
    fn schema(self) -> &'static str {
        match self {
            Self::Verification => "VerificationEvent",
            Self::User => "UserEvent",
            Self::Session => "SessionEvent",
            Self::Route => "RouteEvent",
            Self::Budget => "BudgetEvent",
            Self::Prefix => "PrefixEvent",
        }
    }

    /// Its fields and an example.
    fn fields(self) -> (Value, Value) {
        match self {
            Self::Verification => verification(),
            Self::User => (
                json!({ "user_id": user_id(), "phone_number": number("E.164") }),
                json!({ "user_id": 1, "phone_number": NUMBER }),
            ),
            Self::Session => session(),
            Self::Route => {
                (json!({ "gateway": text("Its name, as in `sms.gateway`") }), json!({ "gateway": "twilio" }))
            }
            Self::Budget => budget(),
            Self::Prefix => (
                json!({ "prefix": text("Masked: it stands for a thousand numbers or more"), "rule": text("What closed it") }),
                json!({ "prefix": "+98912345****", "rule": "conversion" }),
            ),
        }
    }
}

fn text(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

fn number(about: &str) -> Value {
    json!({ "type": "string", "pattern": "^\\+[1-9][0-9]{6,14}$", "description": about })
}

fn user_id() -> Value {
    json!({ "type": "integer", "minimum": 1, "description": "Stays over a change of number" })
}

fn verification() -> (Value, Value) {
    let fields = json!({
        "verification_id": { "type": "string", "pattern": "^ver_[0-9a-f]{32}$", "description": "As the API gave it" },
        "phone_number": number("E.164"),
        "purpose": text("As asked for"),
        "channel": text("By what it was sent"),
        "dialect": text("The API that it was asked for at"),
        "created_at": time("When it was asked for"),
        "expires_at": time("When its code stops being good"),
    });
    let example = json!({
        "verification_id": VERIFICATION_ID, "phone_number": NUMBER, "purpose": "login", "channel": "sms", "dialect": "v1",
        "created_at": TIME, "expires_at": "2026-01-01T00:05:00.000Z",
    });
    (fields, example)
}

fn session() -> (Value, Value) {
    let fields = json!({
        "sid": { "type": "string", "pattern": "^[0-9a-f]{32}$", "description": "As in access tokens" },
        "user_id": user_id(),
        "phone_number": number("E.164"),
        "dialect": text("The API that it was opened at"),
        "purpose": text("As asked for"),
        "client": text("The API key that opened it, or `otpd`"),
        "expires_at": time("When it ends or would have ended"),
    });
    let example = json!({
        "sid": SID, "user_id": 1, "phone_number": NUMBER, "dialect": "v1", "purpose": "login", "client": "otpd",
        "expires_at": "2026-01-31T00:00:00.000Z",
    });
    (fields, example)
}

fn budget() -> (Value, Value) {
    let micros = |about: &str| json!({ "type": "integer", "minimum": 0, "description": about });
    let fields = json!({
        "country": {
            "type": ["string", "null"], "pattern": "^[A-Z]{2}$", "description": "Whose; null: the budget of all together",
        },
        "limit_micros": micros("The day's budget, in millionths of `spend.currency`"),
        "spent_micros": micros("What is spent of it or set aside"),
        "percent": { "type": "integer", "minimum": 1, "maximum": 100, "description": "The share that was crossed" },
    });
    let example = json!({ "country": "IR", "limit_micros": 25_000_000, "spent_micros": 20_010_000, "percent": 80 });
    (fields, example)
}

/// The data of each type that has its family's fields alone.
fn schemas() -> Vec<(&'static str, Value)> {
    let families = [Family::Verification, Family::User, Family::Session, Family::Route, Family::Budget, Family::Prefix];
    families.map(|family| (family.schema(), closed(family.fields().0))).into()
}

fn closed(fields: Value) -> Value {
    let names: Vec<String> = fields.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    object(&names.iter().map(String::as_str).collect::<Vec<_>>(), fields)
}

impl Data {
    fn schema(&self) -> Value {
        let Some((name, field, _)) = &self.more else { return schema(self.family.schema()) };
        closed(with(self.family.fields().0, name, field))
    }

    fn example(&self) -> Value {
        let example = self.family.fields().1;
        self.more.as_ref().map_or_else(|| example.clone(), |(name, _, value)| with(example.clone(), name, value))
    }
}

fn with(mut object: Value, name: &str, value: &Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.insert(name.to_owned(), value.clone());
    }
    object
}

fn operation(kind: &Kind) -> Value {
    let body = object(
        &["type", "timestamp", "data"],
        json!({ "type": { "const": kind.name }, "timestamp": time("When it happened"), "data": kind.data.schema() }),
    );
    let example = json!({ "type": kind.name, "timestamp": TIME, "data": kind.data.example() });
    let header = |name: &str, about: &str, pattern: &str, example: &str| {
        json!({
            "name": name, "in": "header", "required": true, "description": about, "example": example,
            "schema": { "type": "string", "pattern": pattern },
        })
    };
    json!({
        "operationId": id(kind.name),
        "summary": kind.name,
        "description": kind.when,
        "tags": [TAG],
        "security": [],
        "parameters": [
            header("webhook-id", "The event: the same in every try", "^evt_[1-9][0-9]*$", EVENT_ID),
            header("webhook-timestamp", "When this try was signed, seconds since 1970", "^[0-9]+$", "1767225600"),
            header(
                "webhook-signature",
                "Signatures, separated by spaces; one of them must be good",
                "^v1,[A-Za-z0-9+/=]+( v1,[A-Za-z0-9+/=]+)*$",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": body, "examples": { "event": { "value": example } } } },
        },
        "responses": {
            "204": { "description": "Taken. Any 2xx will do, and no body is read.", "headers": {} },
            "410": { "description": "No more posts until otpd is started again; events wait.", "headers": {} },
        },
    })
}

/// `onUserPhoneChanged` of `user.phone_changed`.
fn id(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    format!("on{}", name.split(['.', '_']).map(capital).collect::<String>())
}
