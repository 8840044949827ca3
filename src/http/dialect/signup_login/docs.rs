//! Its part of the OpenAPI document: every status of every call, with the bodies as they are.

use serde_json::{Value, json};

use super::{envelope, failure, text};
use crate::http::{
    dialect::{
        describe::{CHALLENGE, object, request},
        desk::{NOT_PERMITTED, TOO_MANY, UNPROVEN},
    },
    docs::{Api, Callers, Content, Operation, example},
    problem::ProblemCode,
};

const ENVELOPE: &str = "SignupLoginEnvelope";
const DETAIL: &str = "SignupLoginDetail";
const INVALID: &str = "SignupLoginInvalid";

/// A business answer: an example's name and body.
type Example = (&'static str, Value);

fn content(schema: &str, examples: &[Example]) -> Content {
    examples.iter().fold(Content::of(schema), |content, (name, value)| content.example(name, value.clone()))
}

fn detail(about: &str) -> Content {
    content(DETAIL, &[("detail", json!({ "detail": about }))])
}

fn failed(about: &str) -> Content {
    content(ENVELOPE, &[("failure", failure(about))])
}

/// One call whose answers are envelopes; `examples` are all of them that have status 200.
fn business(path: &'static str, id: &str, (summary, about): (&str, &str), examples: &[Example]) -> Operation {
    Operation::new("post", path, id)
        .about(summary, about)
        .callers(Callers::Public)
        .refuses(&[ProblemCode::InternalError, ProblemCode::OutcomeUnknown])
        .answers(200, "Done, or not: `success` and `message` tell.", &[], content(ENVELOPE, examples))
        .answers(400, "The body is no UTF-8, or was broken off.", &[], detail("There was an error parsing the body"))
        .answers(408, "The body was too slow.", &[], failed("The request body did not arrive in time."))
        .answers(413, "The body is too large.", &[], failed("The request body is too large."))
        .answers(415, "The body is compressed.", &[], failed("The request body must not be compressed."))
        .answers(429, "Too many requests or sends.", &["Retry-After"], failed(TOO_MANY))
        .answers(
            503,
            "Nothing was done; ask again.",
            &["Retry-After"],
            failed("Service temporarily unavailable. Please try again later."),
        )
        .answers(504, "It may have been done.", &[], failed("The outcome is not known. Please check and try again."))
}

/// Has a message sent, and so may ask for proof of work first, or send none to this number.
fn sends_a_code(operation: Operation) -> Operation {
    operation.takes_proof().answers(428, "Proof of work is required.", CHALLENGE, failed(UNPROVEN)).answers(
        403,
        "Messages are not sent to this country or kind of number.",
        &[],
        failed(NOT_PERMITTED),
    )
}

/// Reads a JSON body.
fn reading(operation: Operation, schema: &str, body: Value, invalid: Value) -> Operation {
    operation.takes_as(false, &["application/json"], content(schema, &[("request", body)])).answers(
        422,
        "A field is not good.",
        &[],
        content(INVALID, &[("invalid", json!({ "detail": [invalid] }))]),
    )
}

/// Needs an access token.
fn for_user(operation: Operation) -> Operation {
    let tokens =
        [("expired", json!({ "detail": text::TOKEN_EXPIRED })), ("not good", json!({ "detail": text::TOKEN_INVALID }))];
    let nobody = [
        ("no token", json!({ "detail": "Not authenticated" })),
        ("another scheme", json!({ "detail": "Invalid authentication credentials" })),
    ];
    operation
        .callers(Callers::User)
        .answers(401, "The token is not good.", &["WWW-Authenticate"], content(DETAIL, &tokens))
        .answers(403, "There is no token.", &[], content(DETAIL, &nobody))
}

fn no(message: &str) -> Value {
    failure(message)
}

/// Wrong, spent, over, never sent, shut.
fn checks(good: Vec<Example>, crash: &str) -> Vec<Example> {
    let bad = [
        ("wrong", no("Invalid OTP. 2 attempts remaining")),
        ("spent", no(text::SPENT)),
        ("over", no(text::EXPIRED)),
        ("none", no(text::NO_CODE)),
        ("shut", no(text::INACTIVE)),
        ("crash", no(crash)),
    ];
    good.into_iter().chain(bad).collect()
}

/// Not sent, or a fault of ours.
fn sends(good: Vec<Example>, crash: &str) -> Vec<Example> {
    let bad = [
        ("no SMS", no(&format!("Failed to send OTP: {}", text::NO_SMS))),
        ("trial account", no(&format!("Failed to send OTP: {}", text::TRIAL))),
        ("crash", no(crash)),
    ];
    good.into_iter().chain(bad).collect()
}

/// Its part of the document.
pub(super) fn api() -> Api {
    let operations = signing_up().into_iter().chain([complete()]).chain(logging_in()).chain([show(), logout()]);
    Api {
        tag: "signup_login",
        about: "Sign up, complete a profile, log in. For clients of a FastAPI back end.",
        operations: operations.collect(),
        schemas: schemas(),
        ..Api::default()
    }
}

fn number() -> Value {
    json!({ "phone_number": example::NUMBER })
}

fn bad_number() -> Value {
    json!({
        "type": "value_error", "loc": ["body", "phone_number"], "msg": "Value error, Invalid phone number format",
        "input": "abc", "ctx": { "error": {} },
    })
}

fn bad_code() -> Value {
    json!({
        "type": "string_too_short", "loc": ["body", "otp_code"], "msg": "String should have at least 6 characters",
        "input": "12345", "ctx": { "min_length": 6 },
    })
}

fn signing_up() -> [Operation; 2] {
    let sent = vec![
        ("sent", envelope(true, text::SENT, number(), None)),
        ("profile incomplete", envelope(true, text::SENT_AGAIN, number(), None)),
        ("profile complete", no(text::EXISTS)),
    ];
    let user = |message, is_incomplete: bool| {
        let data = json!({
            "user_id": 1, "phone_number": example::NUMBER, "needs_profile_completion": is_incomplete,
        });
        envelope(true, message, data, Some(example::ACCESS_TOKEN))
    };
    let verified = vec![("signed up", user(text::INCOMPLETE, true)), ("profile complete", user(text::COMPLETE, false))];
    let about = ("Sign up", "Sends a code. A new code ends the one before it.");
    let signup = business("/auth/signup", "signupLoginSignup", about, &sends(sent, "An error occurred during signup"));
    let about =
        ("Verify the code of a signing up", "The first time makes the user. A code of logging in is not good here.");
    let crash = "An error occurred during OTP verification";
    let verify = business("/auth/verify-otp", "signupLoginVerifyOtp", about, &checks(verified, crash));
    let code = json!({ "phone_number": example::NUMBER, "otp_code": example::CODE });
    [
        sends_a_code(reading(signup, "SignupLoginNumber", number(), bad_number())),
        reading(verify, "SignupLoginCode", code, bad_code()),
    ]
}

fn logging_in() -> [Operation; 2] {
    let sent = vec![("sent", envelope(true, text::SENT, number(), None)), ("unknown", no(text::UNKNOWN))];
    let data = json!({
        "user_id": 1, "phone_number": example::NUMBER, "name": "Gaurav Kumar", "email": "gaurav@loopinsocial.in",
        "is_verified": true,
    });
    let verified = vec![
        ("logged in", envelope(true, text::LOGGED_IN, data, Some(example::ACCESS_TOKEN))),
        ("nobody", no(text::NOBODY)),
    ];
    let about = ("Log in", "Sends a code. A new code ends the one before it.");
    let login = business("/auth/login", "signupLoginLogin", about, &sends(sent, "An error occurred during login"));
    let about = ("Verify the code of a logging in", "A code of signing up is not good here.");
    let crash = "An error occurred during login verification";
    let verify = business("/auth/verify-login", "signupLoginVerifyLogin", about, &checks(verified, crash));
    let code = json!({ "phone_number": example::NUMBER, "otp_code": example::CODE });
    [
        sends_a_code(reading(login, "SignupLoginNumber", number(), bad_number())),
        reading(verify, "SignupLoginCode", code, bad_code()),
    ]
}

fn logout() -> Operation {
    let out = [("logged out", envelope(true, text::LOGGED_OUT, Value::Null, None))];
    let about = ("Log out", "Ends the session of the access token that comes with it, if one does.");
    business("/auth/logout", "signupLoginLogout", about, &out)
}

fn complete() -> Operation {
    let data = json!({
        "user_id": 1, "profile_id": 1, "name": "Gaurav Kumar", "email": "gaurav@loopinsocial.in",
        "phone_number": example::NUMBER,
    });
    let examples = [
        ("completed", envelope(true, "Profile completed successfully", data, None)),
        ("nobody", no(text::NOBODY)),
        ("shut", no(text::INACTIVE)),
        ("too large", no("An error occurred while completing profile")),
    ];
    let body = json!({
        "phone_number": example::NUMBER, "name": "Gaurav Kumar", "email": "gaurav@loopinsocial.in",
        "bio": "Backend Developer", "location": "Delhi, India", "birth_date": "1995-01-01",
        "avatar": "https://example.com/avatar.jpg",
    });
    let reason = "An email address must have an @-sign.";
    let invalid = json!({
        "type": "value_error", "loc": ["body", "email"], "msg": format!("value is not a valid email address: {reason}"),
        "input": "gaurav", "ctx": { "reason": reason },
    });
    let about = ("Complete the profile", "Optional fields that are absent are emptied.");
    let operation = business("/auth/complete-profile", "signupLoginCompleteProfile", about, &examples);
    for_user(reading(operation, "SignupLoginCompleteProfile", body, invalid))
}

fn show() -> Operation {
    let profile = json!({
        "id": 1, "name": "Gaurav Kumar", "email": "gaurav@loopinsocial.in", "phone_number": example::NUMBER,
        "bio": "Backend Developer", "location": "Delhi, India", "birth_date": "1995-01-01",
        "avatar": "https://example.com/avatar.jpg", "is_verified": true, "is_active": true,
        "created_at": "2026-01-01T00:00:00.000000+00:00", "updated_at": "2026-01-01T00:00:00.000000+00:00",
    });
    let crash = || detail("An error occurred while retrieving profile");
    let operation = Operation::new("get", "/auth/profile", "signupLoginProfile")
        .about("Read the profile", "Takes an access token of any door.")
        .refuses(&[ProblemCode::InternalError, ProblemCode::OutcomeUnknown])
        .answers(200, "The profile.", &[], content("SignupLoginProfile", &[("profile", profile)]))
        .answers(400, "The body was broken off.", &[], failed("The request body is broken off."))
        .answers(404, "The account has been erased.", &[], detail(text::NOBODY))
        .answers(408, "The body was too slow.", &[], failed("The request body did not arrive in time."))
        .answers(413, "The body is too large.", &[], failed("The request body is too large."))
        .answers(415, "The body is compressed.", &[], failed("The request body must not be compressed."))
        .answers(500, "A fault of ours.", &[], crash())
        .answers(503, "Nothing was done; ask again.", &["Retry-After"], crash())
        .answers(504, "Nobody knows; ask again.", &[], crash());
    for_user(operation)
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let or_null = |kind: &str| json!({ "type": [kind, "null"] });
    let entry = json!({
        "type": "object",
        "required": ["type", "loc", "msg", "input"],
        "properties": {
            "type": text(), "loc": { "type": "array", "items": { "type": ["string", "integer"] } }, "msg": text(),
            "input": {}, "ctx": { "type": "object" },
        },
    });
    let profile = object(json!({
        "id": { "type": "integer" }, "name": text(), "email": text(), "phone_number": text(), "bio": text(),
        "location": text(), "birth_date": or_null("string"), "avatar": text(), "is_verified": { "type": "boolean" },
        "is_active": { "type": "boolean" }, "created_at": { "type": "string", "format": "date-time" },
        "updated_at": { "type": "string", "format": "date-time" },
    }));
    let field = |min: u16, max: u16| json!({ "type": "string", "minLength": min, "maxLength": max });
    let optional = |max: u16| json!({ "type": ["string", "null"], "maxLength": max });
    let completing = json!({
        "phone_number": text(), "name": field(2, 100),
        "email": { "type": "string", "format": "email", "maxLength": 254 },
        "bio": optional(500), "location": optional(100), "birth_date": { "type": ["string", "null"], "format": "date" },
        "avatar": optional(500),
    });
    vec![
        (
            ENVELOPE,
            object(json!({
                "success": { "type": "boolean" }, "message": text(), "data": or_null("object"), "token": or_null("string"),
            })),
        ),
        (DETAIL, object(json!({ "detail": text() }))),
        (INVALID, object(json!({ "detail": { "type": "array", "minItems": 1, "items": entry } }))),
        ("SignupLoginNumber", request(&["phone_number"], json!({ "phone_number": text() }))),
        (
            "SignupLoginCode",
            request(&["phone_number", "otp_code"], json!({ "phone_number": text(), "otp_code": field(6, 6) })),
        ),
        ("SignupLoginCompleteProfile", request(&["phone_number", "name", "email"], completing)),
        ("SignupLoginProfile", profile),
    ]
}
