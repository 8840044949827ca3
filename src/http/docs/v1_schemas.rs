//! The bodies of `/v1/…`: every field with its rule.
//!
//! Rules of requests are checked by `http::v1`; here they are told. The tests compare the names with the handlers' and
//! hold every answer to these schemas.

use serde_json::{Map, Value, json};

use super::operation::schema;

type Schemas = Vec<(&'static str, Value)>;

pub(super) fn verifications() -> Schemas {
    vec![
        ("StartVerification", start()),
        ("CheckVerification", request(&["code"], json!({ "code": code() }))),
        (
            "CheckNewestVerification",
            request(&["to", "code"], json!({ "to": to(), "region": region(), "purpose": purpose(), "code": code() })),
        ),
        ("ResendVerification", request(&[], json!({ "channel": channel(), "custom_code": custom_code() }))),
        ("NoFields", request(&[], json!({}))),
        ("SignIn", sign_in()),
        ("Verification", object(&REQUIRED, verification())),
        ("ApprovedVerification", approved()),
        ("Delivery", delivery()),
    ]
}

pub(super) fn user() -> Schemas {
    vec![
        ("User", person()),
        ("ProfileChanges", request(&[], profile())),
        ("Session", session()),
        ("Sessions", object(&["sessions"], json!({ "sessions": { "type": "array", "items": schema("Session") } }))),
        ("Export", export()),
        ("PhoneChange", request(&["to"], json!({ "to": to(), "region": region() }))),
    ]
}

pub(super) fn receipts() -> Schemas {
    let receipt = json!({ "type": ["object", "array"], "description": "As the provider posts it; of any type" });
    vec![("Receipt", receipt)]
}

pub(super) fn admin() -> Schemas {
    vec![
        ("Number", request(&["to"], json!({ "to": to(), "region": region() }))),
        (
            "DeadEvents",
            object(
                &["events", "next"],
                json!({
                    "events": { "type": "array", "items": schema("DeadEvent") },
                    "next": { "type": ["string", "null"], "description": "Give it as `after` to go on; null at the end" },
                }),
            ),
        ),
        ("DeadEvent", dead_event()),
    ]
}

fn dead_event() -> Value {
    let properties = json!({
        "id": { "type": "string", "pattern": "^evt_[1-9][0-9]*$", "description": "Its `webhook-id`" },
        "type": { "type": "string", "description": "As in `user.created`" },
        "timestamp": { "type": "string", "description": "When it happened, RFC 3339" },
        "phone_masked": { "type": ["string", "null"], "description": "Whose it is; null: the node's" },
        "tries": { "type": "integer", "minimum": 0, "description": "0: it came when too many events waited" },
    });
    object(&["id", "type", "timestamp", "phone_masked", "tries"], properties)
}

/// A body that we answer.
#[expect(clippy::needless_pass_by_value, reason = "given as a json! in place, which only borrows what it holds")]
pub(super) fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// A body that we take: fields we do not know are refused, and null is the same as absent.
fn request(required: &[&str], mut properties: Value) -> Value {
    for (name, property) in properties.as_object_mut().into_iter().flatten() {
        let optional = !required.contains(&name.as_str());
        if let (true, Value::Object(property)) = (optional, property) {
            nullable(property);
        }
    }
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

fn nullable(property: &mut Map<String, Value>) {
    if let Some(kind @ Value::String(_)) = property.get("type").cloned() {
        property.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Array(values)) = property.get_mut("enum") {
        values.push(Value::Null);
    }
}

fn to() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 32,
        "description": "E.164, or national with `region` or the configured default region. Spaces, hyphens, dots, parentheses and \
            the digits of any script are understood.",
    })
}

fn region() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z]{2}$", "description": "Country of a national number, as in `IR`" })
}

fn purpose() -> Value {
    json!({
        "type": "string", "pattern": "^[a-z0-9_-]{1,20}$", "default": "login",
        "description": "What the code is for; it is good for nothing else. Only `login` and `signup` sign in; `phone_change` is \
            reserved.",
    })
}

fn channel() -> Value {
    json!({
        "type": "string", "enum": ["sms", "voice", "whatsapp", "auto"], "default": "sms",
        "description": "One without a configured route is refused with `channel_unsupported`",
    })
}

fn code() -> Value {
    json!({
        "type": "string",
        "description": "As typed: foreign digits are folded, spaces and hyphens dropped; then exactly the digits of the code",
    })
}

fn custom_code() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]{4,10}$", "description": "A code of the caller's choice. Needs an API key" })
}

fn start() -> Value {
    request(
        &["to"],
        json!({
            "to": to(),
            "region": region(),
            "purpose": purpose(),
            "channel": channel(),
            "locale": {
                "type": "string", "minLength": 2, "maxLength": 35,
                "description": "BCP 47, as in `fa-IR`: the language of the message, if there is a text in it",
            },
            "code_length": {
                "type": "integer", "minimum": 4, "maximum": 10,
                "description": "Digits; the configured number (6) by default. Fewer need an API key",
            },
            "ttl": {
                "type": "integer", "minimum": 60, "maximum": 600, "description": "Seconds; the configured time (300) by default",
            },
            "custom_code": custom_code(),
            "origin": { "type": "string", "description": "Host for browsers to fill the code in (WebOTP); one of the configured" },
            "app_hash": { "type": "string", "minLength": 11, "maxLength": 11, "description": "Hash of the Android app" },
            "metadata": {
                "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": 16,
                "description": "Notes of the caller's, answered again with the verification: 512 bytes in all, names included. \
                    Needs an API key",
            },
        }),
    )
}

fn sign_in() -> Value {
    let mut body = request(
        &["code"],
        json!({
            "verification_id": { "type": "string", "description": "The verification; or give `to`" },
            "to": to(),
            "region": region(),
            "purpose": purpose(),
            "code": code(),
        }),
    );
    if let Value::Object(body) = &mut body {
        body.insert("oneOf".to_owned(), json!([{ "required": ["verification_id"] }, { "required": ["to"] }]));
    }
    body
}

const REQUIRED: [&str; 10] = [
    "id",
    "status",
    "to_masked",
    "purpose",
    "channel",
    "created_at",
    "expires_at",
    "attempts_remaining",
    "resend",
    "deliveries",
];

pub(super) fn time(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

fn status() -> Value {
    json!({ "type": "string", "enum": ["pending", "approved", "canceled", "expired", "max_attempts_reached", "failed"] })
}

fn verification() -> Value {
    json!({
        "id": { "type": "string", "description": "Whoever holds it may act on the verification: keep it private" },
        "status": status(),
        "to_masked": { "type": "string" },
        "purpose": { "type": "string" },
        "channel": { "type": "string" },
        "created_at": time("When it was started"),
        "expires_at": time("First moment in which its code is no longer good"),
        "attempts_remaining": { "type": "integer", "minimum": 0, "description": "Checks left" },
        "resend": object(&["allowed_in", "remaining"], json!({
            "allowed_in": { "type": "integer", "minimum": 0, "description": "Seconds until a resend is allowed" },
            "remaining": { "type": "integer", "minimum": 0, "description": "Resends left" },
        })),
        "deliveries": { "type": "array", "items": schema("Delivery") },
        "metadata": notes(),
        "code": { "type": "string", "description": "The code, under the setting `dev.show_codes` alone" },
    })
}

fn notes() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" }, "description": "As given at the start" })
}

fn approved() -> Value {
    let mut properties = verification();
    if let Value::Object(properties) = &mut properties {
        let receipt = "A signed JWT (`aud`, `purpose`, `phone_number`, `amr`, `jti`), good for a minute and once";
        properties.insert("receipt".to_owned(), json!({ "type": "string", "description": receipt }));
        let is_new = json!({ "type": "boolean", "description": "The number has no account yet" });
        properties.insert("is_new_user".to_owned(), is_new);
    }
    object(&[REQUIRED.as_slice(), &["receipt", "is_new_user"]].concat(), properties)
}

fn delivery() -> Value {
    object(
        &["channel", "route", "status", "at"],
        json!({
            "channel": { "type": "string" },
            "route": { "type": ["string", "null"], "description": "The gateway's name; null until one was chosen" },
            "status": {
                "type": "string", "enum": ["sending", "accepted", "failed", "unknown", "sent", "delivered", "undelivered"],
                "description": "What the send came to; the last three are the provider's receipts, which only ever move it \
                    forward",
            },
            "at": time("When it was handed over"),
        }),
    )
}

/// The fields that the person may change.
fn profile() -> Value {
    let text = |chars_max: u32| json!({ "type": "string", "maxLength": chars_max });
    json!({
        "name": text(100),
        "first_name": text(100),
        "last_name": text(100),
        "email": { "type": "string", "format": "email", "maxLength": 254 },
        "bio": text(500),
        "location": text(100),
        "birth_date": { "type": "string", "format": "date" },
        "avatar": { "type": "string", "format": "uri", "maxLength": 500, "description": "An http or https address" },
        "locale": { "type": "string", "minLength": 2, "maxLength": 35, "description": "BCP 47" },
    })
}

fn person() -> Value {
    let mut properties = Map::from_iter([
        (
            "user_id".to_owned(),
            json!({ "type": "integer", "minimum": 1, "description": "Stays over a change of number" }),
        ),
        ("phone_number".to_owned(), json!({ "type": "string", "description": "E.164" })),
        ("phone_number_verified".to_owned(), json!({ "const": true })),
    ]);
    let mut own = profile();
    for (name, property) in own.as_object_mut().into_iter().flatten() {
        property.as_object_mut().into_iter().for_each(nullable);
        properties.insert(name.clone(), property.clone());
    }
    for (name, about) in [
        ("created_at", "When the account was made"),
        ("updated_at", "When it last changed"),
        ("verified_at", "When she last proved to hold the number"),
    ] {
        properties.insert(name.to_owned(), time(about));
    }
    let all: Vec<String> = properties.keys().cloned().collect();
    object(&all.iter().map(String::as_str).collect::<Vec<_>>(), properties.into())
}

fn session() -> Value {
    object(
        &["sid", "current", "dialect", "client_id", "created_at", "refreshed_at", "expires_at"],
        json!({
            "sid": { "type": "string", "description": "As in access tokens" },
            "current": { "type": "boolean", "description": "The one that asks" },
            "dialect": { "type": "string", "description": "The API it was opened at" },
            "client_id": { "type": "string", "description": "The API key that opened it, or `otpd`" },
            "created_at": time("When it was opened"),
            "refreshed_at": time("When its refresh token was last rotated"),
            "expires_at": time("When it ends"),
        }),
    )
}

fn export() -> Value {
    let verification = object(
        &["status", "dialect", "purpose", "channel", "created_at", "expires_at", "attempts_remaining", "deliveries"],
        json!({
            "status": status(),
            "dialect": { "type": "string" },
            "purpose": { "type": "string" },
            "channel": { "type": "string" },
            "created_at": time("When it was started"),
            "expires_at": time("When it ended or will end"),
            "attempts_remaining": { "type": "integer", "minimum": 0 },
            "deliveries": { "type": "array", "items": schema("Delivery") },
            "metadata": notes(),
        }),
    );
    object(
        &["user", "sessions", "verifications", "messages_sent_at", "consecutive_wrong_codes"],
        json!({
            "user": schema("User"),
            "sessions": { "type": "array", "items": schema("Session") },
            "verifications": { "type": "array", "items": verification },
            "messages_sent_at": { "type": "array", "items": time("A message that counts towards the limits") },
            "consecutive_wrong_codes": { "type": "integer", "minimum": 0 },
        }),
    )
}
