//! What the OpenAPI document says of `typed_verification`.

use serde_json::{Value, json};

use super::{DEFAULT_TYPE, TYPE_CHARS_MAX, error, limited};
use crate::http::{
    dialect::describe::{Form, Says as _, object, refusal, request},
    docs::{Api, Content, Operation, example},
};

const REFUSAL: &str = "TypedVerificationRefusal";
const FORM: Form = Form { schema: REFUSAL, says: error, limited };

fn post(path: &'static str, id: &str, about: (&str, &str), schema: &str, body: Value) -> Operation {
    FORM.limited(FORM.reads(FORM.call("post", path, id, about), schema, body))
}

/// Refusals of one status: their texts, named by themselves.
fn errors(texts: &[&str], form: fn(&str) -> Value) -> Content {
    texts.iter().fold(Content::of(REFUSAL), |content, text| content.example(text, form(text)))
}

fn send(path: &'static str, id: &str, about: (&str, &str)) -> Operation {
    let sent = json!({ "message": "OTP sent successfully", "status": "success" });
    let body = json!({ "phone": example::NUMBER, "verification_type": "Login" });
    let texts = ["Phone number is required", "Invalid phone number format", "Invalid verification type"];
    let not_sent = ["Failed to send OTP. Please try again."];
    FORM.sends(post(path, id, about, "TypedVerificationSend", body))
        .says(200, "Sent.", "TypedVerificationSent", "sent", sent)
        .answers(400, "A field is not good.", &[], errors(&texts, error))
        .answers(500, "The message was not sent.", &[], errors(&not_sent, error))
}

fn verify() -> Operation {
    let verified = json!({ "message": "OTP verified successfully", "status": "success", "verified": true });
    let body = json!({ "phone": example::NUMBER, "otp": example::CODE, "verification_type": "Login" });
    let texts = [
        "Phone number is required",
        "OTP code is required",
        "OTP must be numeric",
        "Invalid verification type",
        "Invalid OTP code",
        "OTP code has expired. Please request a new one.",
    ];
    let form = |text: &str| json!({ "message": text, "status": "error", "verified": false });
    post(
        "/api/users/verify-otp/",
        "typedVerificationVerify",
        ("Verify a code", "Only the newest code of a number and type counts. Nobody is signed in."),
        "TypedVerificationVerify",
        body,
    )
    .says(200, "Verified.", "TypedVerificationVerified", "verified", verified)
    .answers(400, "A field, or the code, is not good.", &[], errors(&texts, form))
}

/// Its part of the document.
pub(super) fn api() -> Api {
    let again = ("Send a code again", "The same as sending one: a new code ends the one before it.");
    let once = ("Send a code", "A new code ends the one before it of the same number and type.");
    Api {
        tag: "typed_verification",
        about: "Send a code for a type of verification, verify it. For clients of a Django back end.",
        operations: vec![
            send("/api/users/send-otp/", "typedVerificationSend", once),
            verify(),
            send("/api/users/resend-otp/", "typedVerificationResend", again),
        ],
        schemas: schemas(),
        ..Api::default()
    }
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let kind = || {
        json!({
            "type": "string", "maxLength": TYPE_CHARS_MAX, "default": DEFAULT_TYPE,
            "description": "What the code is for; upper and lower case are the same.",
        })
    };
    let verify = json!({ "phone": text(), "otp": { "type": ["string", "integer"] }, "verification_type": kind() });
    let verified = json!({ "message": text(), "status": text(), "verified": { "type": "boolean" } });
    vec![
        (REFUSAL, refusal("`message`, mostly with `status`; or what the framework says, under `detail`.")),
        ("TypedVerificationSend", request(&["phone"], json!({ "phone": text(), "verification_type": kind() }))),
        ("TypedVerificationSent", object(json!({ "message": text(), "status": text() }))),
        ("TypedVerificationVerify", request(&["phone", "otp"], verify)),
        ("TypedVerificationVerified", object(verified)),
    ]
}
