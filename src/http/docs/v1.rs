//! `/v1/…` in the document: which calls there are, who may make them, and everything they can answer.

use serde_json::{Value, json};

use super::{
    Api,
    example::{ACCESS_TOKEN, CODE, NEW_NUMBER, NUMBER, RECEIPT, REFRESH_TOKEN, SID, TIME, VERIFICATION_ID},
    operation::{Callers, Content, Operation},
    shared::{ADMISSION, BODY, EDGE, RECORD, SENDING, SIGNED_IN},
    v1_schemas,
};
use crate::http::problem::ProblemCode::{
    self, AlreadyApproved, CodeFormat, CodeIncorrect, FreshLoginRequired, GuessBudgetExhausted, InvalidField,
    MaxAttemptsReached, NotFound, NumberInvalid, PhoneInUse, Scope, TokenExpired, TokenInvalid, VerificationClosed,
    VerificationExpired, VerificationNotFound,
};

/// Checking a code, by whatever way.
const CHECKING: &[ProblemCode] = &[
    CodeIncorrect,
    CodeFormat,
    VerificationNotFound,
    AlreadyApproved,
    VerificationExpired,
    VerificationClosed,
    MaxAttemptsReached,
];

/// Sign-in by code: what a new client uses.
pub(super) fn verifications() -> Api {
    Api {
        tag: "Verifications",
        about: "Send a code to a phone and check it. Each start is a verification of its own, with its id, code and tries; \
            whoever holds the id may read, resend and cancel it.",
        operations: vec![start(), check(), check_newest(), resend(), cancel(), read(), sign_in()],
        schemas: v1_schemas::verifications(),
        ..Api::default()
    }
}

pub(super) fn operation(method: &'static str, path: &'static str, id: &str) -> Operation {
    Operation::new(method, path, id).refuses(EDGE).refuses(RECORD)
}

fn with_id(operation: Operation) -> Operation {
    let form = json!({ "type": "string", "pattern": "^ver_[0-9a-f]{32}$" });
    operation.path_parameter("id", "The verification", VERIFICATION_ID, form).refuses(&[VerificationNotFound])
}

const QUOTA: [&str; 2] = ["RateLimit-Policy", "RateLimit"];
const QUOTA_OR_REPLAY: [&str; 3] = ["RateLimit-Policy", "RateLimit", "Idempotency-Replayed"];

fn start() -> Operation {
    operation("post", "/v1/verifications", "startVerification")
        .about(
            "Start a verification",
            "Sends a new code. An earlier pending verification stays valid for who holds its id. `custom_code`, `metadata` and \
             a `code_length` below the configured one need an API key. Same answer and same work for known and unknown numbers.",
        )
        .callers(Callers::Anyone)
        .idempotent()
        .takes(
            true,
            Content::of("StartVerification")
                .example("international number", json!({ "to": NUMBER }))
                .example("national number", json!({ "to": "0912 345 6789", "region": "IR", "locale": "fa-IR", "ttl": 120 }))
                .example(
                    "back end",
                    json!({
                        "to": NUMBER, "purpose": "login", "channel": "sms", "code_length": 6, "custom_code": CODE,
                        "metadata": { "order": "A-1042" },
                    }),
                ),
        )
        .answers(
            201,
            "Started; the message was accepted by the gateway.",
            &["Location", "RateLimit-Policy", "RateLimit", "Idempotency-Replayed"],
            Content::of("Verification").example("started", verification("pending")),
        )
        .refuses(ADMISSION)
        .refuses(BODY)
        .refuses(SENDING)
        .proves()
        .refuses(&[NumberInvalid, Scope])
}

fn check() -> Operation {
    with_id(operation("post", "/v1/verifications/{id}/check", "checkVerification"))
        .about(
            "Check a code",
            "The right code answers a receipt: a JWT of `typ` `receipt+jwt`, good for a minute and once, for `/oauth/token` or \
             your own back end. A verification that `/v1/me/phone-change` started is checked with the same access token and \
             answers tokens of the moved account.",
        )
        .callers(Callers::AnyoneOrUser)
        .idempotent()
        .takes(
            true,
            Content::of("CheckVerification")
                .example("code", json!({ "code": CODE }))
                .example("phone change", json!({ "code": CODE })),
        )
        .answers(
            200,
            "Approved.",
            &QUOTA_OR_REPLAY,
            Content::one_of(&["ApprovedVerification", "Tokens"])
                .example("approved", approved())
                .example("phone changed", tokens(false)),
        )
        .refuses(ADMISSION)
        .refuses(BODY)
        .refuses(CHECKING)
        .refuses(&[PhoneInUse, TokenInvalid, TokenExpired])
}

fn check_newest() -> Operation {
    operation("post", "/v1/verifications/check", "checkNewestVerification")
        .about(
            "Check a code by number",
            "Checks against the newest verification of that number and purpose. Draws on the number's own guess budget, so \
             prefer the check by id.",
        )
        .callers(Callers::Anyone)
        .idempotent()
        .takes(
            true,
            Content::of("CheckNewestVerification").example("number", json!({ "to": NUMBER, "purpose": "login", "code": CODE })),
        )
        .answers(200, "Approved.", &QUOTA_OR_REPLAY, Content::of("ApprovedVerification").example("approved", approved()))
        .refuses(ADMISSION)
        .refuses(BODY)
        .refuses(CHECKING)
        .refuses(&[NumberInvalid, GuessBudgetExhausted])
}

fn resend() -> Operation {
    with_id(operation("post", "/v1/verifications/{id}/resend", "resendVerification"))
        .about(
            "Send the code again",
            "The same code, and `expires_at` stays. Refused with `send_limited` before `resend.allowed_in` has passed. A \
             verification with a code of the caller's needs that code again.",
        )
        .callers(Callers::Anyone)
        .idempotent()
        .takes(
            false,
            Content::of("ResendVerification")
                .example("same channel", json!({}))
                .example("back end", json!({ "channel": "sms", "custom_code": CODE })),
        )
        .answers(
            200,
            "Sent again.",
            &QUOTA_OR_REPLAY,
            Content::of("Verification").example("sent again", verification("pending")),
        )
        .refuses(ADMISSION)
        .refuses(BODY)
        .refuses(SENDING)
        .proves()
        .refuses(&[Scope, AlreadyApproved, VerificationExpired, VerificationClosed, MaxAttemptsReached])
}

fn cancel() -> Operation {
    with_id(operation("post", "/v1/verifications/{id}/cancel", "cancelVerification"))
        .about("Cancel a verification", "Its code is good for nothing afterwards.")
        .callers(Callers::Anyone)
        .idempotent()
        .takes(false, Content::of("NoFields").example("nothing", json!({})))
        .answers(
            200,
            "Canceled.",
            &QUOTA_OR_REPLAY,
            Content::of("Verification").example("canceled", verification("canceled")),
        )
        .refuses(ADMISSION)
        .refuses(BODY)
        .refuses(&[AlreadyApproved, VerificationExpired, VerificationClosed])
}

fn read() -> Operation {
    with_id(operation("get", "/v1/verifications/{id}", "readVerification"))
        .about("Read a verification", "A finished one is kept for a day.")
        .callers(Callers::Anyone)
        .answers(200, "As it stands.", &QUOTA, Content::of("Verification").example("pending", verification("pending")))
        .refuses(ADMISSION)
}

fn sign_in() -> Operation {
    operation("post", "/v1/sessions", "signIn")
        .about(
            "Check a code and sign in",
            "In one call what a check and `/oauth/token` do. Takes a `verification_id`, or `to` with `purpose`; only purposes \
             `login` and `signup` sign in. Creates the user at the first time.",
        )
        .callers(Callers::Anyone)
        .idempotent()
        .takes(
            true,
            Content::of("SignIn")
                .example("verification", json!({ "verification_id": VERIFICATION_ID, "code": CODE }))
                .example("number", json!({ "to": NUMBER, "purpose": "login", "code": CODE })),
        )
        .answers(
            200,
            "Signed in.",
            &["Cache-Control", "Idempotency-Replayed"],
            Content::of("Tokens").example("first time", tokens(true)),
        )
        .refuses(ADMISSION)
        .refuses(BODY)
        .refuses(CHECKING)
        .refuses(&[NumberInvalid, GuessBudgetExhausted, TokenInvalid])
}

/// What a signed-in person may do.
pub(super) fn user() -> Api {
    Api {
        tag: "The user",
        about: "What a signed-in person may read and change, by her access token. A token of a session that has ended is refused \
            at once.",
        operations: vec![read_me(), update_me(), erase_me(), export(), sessions(), end_session(), start_phone_change()],
        schemas: v1_schemas::user(),
        ..Api::default()
    }
}

fn of_user(method: &'static str, path: &'static str, id: &str) -> Operation {
    operation(method, path, id).callers(Callers::User).refuses(SIGNED_IN)
}

fn read_me() -> Operation {
    of_user("get", "/v1/me", "readMe").about("Read the profile", "Of the person whose token it is.").answers(
        200,
        "The person.",
        &[],
        Content::of("User").example("new", person()),
    )
}

fn update_me() -> Operation {
    let changes =
        json!({ "name": "Sara Ahmadi", "email": "sara@example.com", "birth_date": "1995-01-31", "bio": null });
    let mut changed = person();
    for (name, value) in changes.as_object().into_iter().flatten() {
        if let Some(field) = changed.get_mut(name) {
            *field = value.clone();
        }
    }
    of_user("patch", "/v1/me", "updateMe")
        .about("Change the profile", "A field that is absent stays; one that is null is cleared.")
        .idempotent()
        .takes(false, Content::of("ProfileChanges").example("some fields", changes))
        .answers(200, "The person as she is now.", &[], Content::of("User").example("changed", changed))
        .refuses(BODY)
}

fn erase_me() -> Operation {
    of_user("delete", "/v1/me", "eraseMe")
        .about(
            "Erase the account",
            "Account, profile and sessions are removed. Send limits and locks of the number stay until they run out.",
        )
        .idempotent()
        .answers_empty(204, "Erased.", &[])
}

fn export() -> Operation {
    let verification = json!({
        "status": "approved", "dialect": "v1", "purpose": "login", "channel": "sms", "created_at": TIME,
        "expires_at": "2026-01-01T00:05:00.000Z", "attempts_remaining": 5, "deliveries": [delivery()], "metadata": {},
    });
    let export = json!({
        "user": person(), "sessions": [session()], "verifications": [verification], "messages_sent_at": [TIME],
        "consecutive_wrong_codes": 0,
    });
    of_user("get", "/v1/me/export", "exportMe")
        .about("Everything about me", "All that the server has about the person.")
        .answers(200, "Everything.", &[], Content::of("Export").example("new", export))
}

fn sessions() -> Operation {
    of_user("get", "/v1/me/sessions", "listSessions")
        .about("List the sessions", "At most ten; the oldest ends when one more begins.")
        .answers(200, "The sessions.", &[], Content::of("Sessions").example("one", json!({ "sessions": [session()] })))
}

fn end_session() -> Operation {
    let form = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
    of_user("delete", "/v1/me/sessions/{sid}", "endSession")
        .about("End a session", "Its tokens are refused from now on. It may be the one that asks.")
        .path_parameter("sid", "The session, as in the list", SID, form)
        .idempotent()
        .answers_empty(204, "Ended.", &[])
        .refuses(&[NotFound])
}

fn start_phone_change() -> Operation {
    let mut started = verification("pending");
    for (name, value) in [("purpose", "phone_change"), ("to_masked", "+98******2233")] {
        if let Some(field) = started.get_mut(name) {
            *field = value.into();
        }
    }
    of_user("post", "/v1/me/phone-change", "startPhoneChange")
        .about(
            "Move to another number",
            "Sends a code to the new number. Check it with the same access token: the account moves, all sessions end, the \
             check answers new tokens, and the old number is told by SMS. Needs a sign-in of the last ten minutes.",
        )
        .idempotent()
        .takes(true, Content::of("PhoneChange").example("new number", json!({ "to": NEW_NUMBER })))
        .answers(
            201,
            "Started; check it at `/v1/verifications/{id}/check`.",
            &["Location", "RateLimit-Policy", "RateLimit", "Idempotency-Replayed"],
            Content::of("Verification").example("started", started),
        )
        .refuses(BODY)
        .refuses(SENDING)
        .proves()
        .refuses(&[NumberInvalid, InvalidField, FreshLoginRequired])
}

/// A verification, as the answer of most calls.
fn verification(status: &str) -> Value {
    let open = status == "pending";
    json!({
        "id": VERIFICATION_ID,
        "status": status,
        "to_masked": "+98******6789",
        "purpose": "login",
        "channel": "sms",
        "created_at": TIME,
        "expires_at": "2026-01-01T00:05:00.000Z",
        "attempts_remaining": 5,
        "resend": { "allowed_in": if open { 30 } else { 0 }, "remaining": if open { 4 } else { 0 } },
        "deliveries": [delivery()],
    })
}

fn approved() -> Value {
    let mut body = verification("approved");
    if let Value::Object(body) = &mut body {
        body.insert("receipt".to_owned(), RECEIPT.into());
        body.insert("is_new_user".to_owned(), true.into());
    }
    body
}

fn delivery() -> Value {
    json!({ "channel": "sms", "route": "twilio", "status": "accepted", "at": TIME })
}

/// What `/oauth/token` and all sign-ins answer.
pub(super) fn tokens(is_new_user: bool) -> Value {
    json!({
        "access_token": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 900,
        "refresh_token": REFRESH_TOKEN,
        "refresh_expires_in": 2_592_000,
        "is_new_user": is_new_user,
    })
}

fn session() -> Value {
    json!({
        "sid": SID, "current": true, "dialect": "v1", "client_id": "otpd", "created_at": TIME, "refreshed_at": TIME,
        "expires_at": "2026-01-31T00:00:00.000Z",
    })
}

fn person() -> Value {
    json!({
        "user_id": 1, "phone_number": NUMBER, "phone_number_verified": true, "name": null, "first_name": null, "last_name": null,
        "email": null, "bio": null, "location": null, "birth_date": null, "avatar": null, "locale": null, "created_at": TIME,
        "updated_at": TIME, "verified_at": TIME,
    })
}
