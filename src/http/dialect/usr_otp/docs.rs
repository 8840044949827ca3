//! Its part of the OpenAPI document.

use serde_json::{Value, json};

use super::{BAD_NUMBER, LAST_TRY, NO_CODE, NOT_CONFIGURED, NOT_DIGITS, NOT_SENT, OTHER_SITE, USED_UP, field};
use crate::http::{
    dialect::{
        describe::{Form, Says as _, object, refusal, request},
        desk::TOO_MANY,
        drf,
    },
    docs::{Api, Content, Operation, example},
};

const REFUSAL: &str = "UsrOtpRefusal";
const FORM: Form = Form { schema: REFUSAL, says: detail, limited: || detail(TOO_MANY) };

pub(super) fn api() -> Api {
    Api {
        tag: "usr_otp",
        about: "Send a code to an Iranian number, verify it, get HS512 tokens and a cookie. For clients of a Django back end.",
        operations: vec![send(), verify(), refresh(), logout()],
        schemas: schemas(),
        ..Api::default()
    }
}

fn post(path: &'static str, id: &str, about: (&str, &str), schema: &str, body: Value) -> Operation {
    FORM.reads(FORM.call("post", path, id, about), schema, body)
}

fn refusals(examples: &[(&str, Value)]) -> Content {
    let all = Content::of(REFUSAL);
    examples.iter().fold(all, |all, (name, value)| all.example(name, value.clone()))
}

fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

fn send() -> Operation {
    let sent = json!({ "phone_number": example::NUMBER, "message": "OTP sent successfully", "expires_in": 300 });
    let number = "Too many OTP requests. Please try again in 2 minutes.";
    FORM.sends(post(
        "/api/v1/usr/otp",
        "usrOtpSend",
        ("Send a code", "A new code ends the one before it. The number may be national (`0912…`)."),
        "UsrOtpSend",
        json!({ "phone_number": example::NUMBER }),
    ))
    .says(200, "Sent; the number is told as `+98…`.", "UsrOtpSent", "sent", sent)
    .says(400, "The number is not good.", REFUSAL, "number", field("phone_number", BAD_NUMBER))
    .answers(
        429,
        "Too many codes for this number, or too many requests of this address.",
        &["Retry-After"],
        refusals(&[("number", field("phone_number", number)), ("address", drf::throttled(12))]),
    )
    .answers(
        500,
        "Nothing here sends to this number; or sending failed.",
        &[],
        refusals(&[
            ("not configured", detail(NOT_CONFIGURED)),
            ("not sent", detail(NOT_SENT)),
            ("fault", detail("Internal server error")),
        ]),
    )
}

fn verify() -> Operation {
    let tokens = json!({
        "access_token": example::ACCESS_TOKEN, "refresh_token": example::ACCESS_TOKEN, "is_new_user": true,
        "user": {
            "id": 1, "phone_number": example::NUMBER, "email": "989123456789@temp.pilito.com",
            "username": "989123456789", "first_name": null, "last_name": null,
        },
    });
    post(
        "/api/v1/usr/otp/verify",
        "usrOtpVerify",
        (
            "Verify a code",
            "Signs in; the first time makes the user. Browsers keep the access token as the cookie `HTTP_ACCESS`.",
        ),
        "UsrOtpVerify",
        json!({ "phone_number": example::NUMBER, "code": example::CODE }),
    )
    .answers(200, "Signed in.", &["Set-Cookie"], Content::of("UsrOtpTokens").example("signed in", tokens))
    .answers(
        400,
        "A field, or the code, is not good. `Retry-After` if the number has to wait.",
        &[],
        refusals(&[
            ("wrong", field("code", "Invalid OTP code. 2 attempt(s) remaining.")),
            ("last try", field("code", LAST_TRY)),
            ("used up", field("code", USED_UP)),
            ("none", field("code", NO_CODE)),
            ("not digits", field("code", NOT_DIGITS)),
        ]),
    )
    .says(403, "The account is shut; or a form of another site.", REFUSAL, "inactive", detail("User is inactive"))
    .answers(
        429,
        "Too many requests of this address.",
        &["Retry-After"],
        refusals(&[("address", drf::throttled(12))]),
    )
}

fn refresh() -> Operation {
    let pair = json!({ "refresh_token": example::ACCESS_TOKEN, "access_token": example::ACCESS_TOKEN });
    let invalid = json!({ "success": false, "errors": ["refresh is invalid"] });
    FORM.limited(post(
        "/api/v1/usr/refresh",
        "usrOtpRefresh",
        (
            "Get the next tokens",
            "The old refresh token answers the same successor for ten seconds more, and later ends the session.",
        ),
        "UsrOtpRefresh",
        json!({ "refresh": example::ACCESS_TOKEN }),
    ))
    .answers(
        200,
        "The next tokens, and the cookie.",
        &["Set-Cookie"],
        Content::of("UsrOtpNext").example("next", json!({ "success": true, "data": pair })),
    )
    .says(
        400,
        "The body is not readable.",
        REFUSAL,
        "malformed",
        detail("JSON parse error - Expecting value: line 1 column 1 (char 0)"),
    )
    .answers(
        401,
        "The refresh token is not good, or its session or account is not.",
        &["WWW-Authenticate"],
        refusals(&[("invalid", invalid)]),
    )
    .says(403, "A form of another site.", REFUSAL, "other site", detail(OTHER_SITE))
}

fn logout() -> Operation {
    let done = json!({ "success": true, "data": { "message": "Logged out" } });
    let about = "Ends the session of the access token in the cookie `HTTP_ACCESS`, else in the cookie `HTTP_AUTHORIZATION`, \
        else in the `Authorization` header, with or without `Bearer`; takes the cookie back. Without a good token it only \
        does the latter.";
    FORM.limited(FORM.call("get", "/api/v1/usr/logout", "usrOtpLogout", ("Sign out", about)))
        .answers(200, "Signed out.", &["Set-Cookie"], Content::of("UsrOtpDone").example("done", done))
        .says(403, "A link of another site.", REFUSAL, "other site", detail(OTHER_SITE))
}

fn schemas() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let text_or_null = || json!({ "type": ["string", "null"] });
    let person = object(json!({
        "id": { "type": "integer" }, "phone_number": text(), "email": text(), "username": text(),
        "first_name": text_or_null(), "last_name": text_or_null(),
    }));
    let yes = || json!({ "const": true });
    vec![
        (REFUSAL, refusal("Texts by field; or one text under `detail`; or `success` and `errors`.")),
        ("UsrOtpSend", request(&["phone_number"], json!({ "phone_number": text() }))),
        ("UsrOtpVerify", request(&["phone_number", "code"], json!({ "phone_number": text(), "code": text() }))),
        ("UsrOtpRefresh", request(&["refresh"], json!({ "refresh": text() }))),
        (
            "UsrOtpSent",
            object(json!({ "phone_number": text(), "message": text(), "expires_in": { "type": "integer" } })),
        ),
        (
            "UsrOtpTokens",
            object(json!({
                "access_token": text(), "refresh_token": text(), "is_new_user": { "type": "boolean" }, "user": person,
            })),
        ),
        (
            "UsrOtpNext",
            object(json!({
                "success": yes(), "data": object(json!({ "refresh_token": text(), "access_token": text() })),
            })),
        ),
        ("UsrOtpDone", object(json!({ "success": yes(), "data": object(json!({ "message": text() })) }))),
    ]
}
