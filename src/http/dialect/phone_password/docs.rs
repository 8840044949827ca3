//! What the OpenAPI document says of `phone_password`.

use serde_json::{Value, json};

use super::{TOO_MANY, error};
use crate::http::{
    dialect::describe::{Form, Says as _, object, refusal, request},
    docs::{Api, Content, Operation, example},
};

const REFUSAL: &str = "PhonePasswordRefusal";
const FORM: Form = Form { schema: REFUSAL, says: error, limited: || error(TOO_MANY) };

/// Her number, as she writes it.
const PHONE: &str = "09101234567";
/// Her password, as in the seed's examples.
const PASSWORD: &str = "123456789";

/// Refusals of one status: their texts, named by themselves.
fn errors(texts: &[&str]) -> Content {
    texts.iter().fold(Content::of(REFUSAL), |content, text| content.example(text, error(text)))
}

/// A call that counts against the address.
fn post(path: &'static str, id: &str, about: (&str, &str), schema: &str, body: Value) -> Operation {
    FORM.limited(FORM.reads(FORM.call("post", path, id, about), schema, body))
}

/// A call for a signed-in person.
fn personal(method: &'static str, path: &'static str, id: &str, about: (&str, &str)) -> Operation {
    FORM.for_user(FORM.call(method, path, id, about))
}

/// Its part of the document.
pub(super) fn api() -> Api {
    let mut operations = vec![check_phone(), verify(), register(), login(), refresh()];
    operations.extend(profile());
    Api {
        tag: "phone_password",
        about: "Prove a number once, register with a password, sign in with it. For clients of a Django back end.",
        operations,
        schemas: schemas(),
        ..Api::default()
    }
}

fn check_phone() -> Operation {
    let checked = Content::of("PhonePasswordChecked")
        .example("sent", json!({ "exists": false, "message": "OTP sent successfully." }))
        .example("registered", json!({ "exists": true }));
    FORM.sends(post(
        "/auth/check-phone/",
        "phonePasswordCheckPhone",
        ("Check a number", "Sends a code to one that is not registered."),
        "PhonePasswordCheckPhone",
        json!({ "phone": PHONE }),
    ))
    .answers(200, "Registered, or a code is on its way.", &[], checked)
    .answers(400, "The number is not good.", &[], errors(&["Phone number is required.", "Invalid phone number."]))
    .answers(500, "The message was not sent.", &[], errors(&["Failed to send OTP. Please try again."]))
}

fn verify() -> Operation {
    let verified = json!({ "message": "Phone verified.", "registration_token": example::REGISTRATION_TOKEN });
    let limited = [TOO_MANY, "Too many wrong OTP attempts. You are blocked."];
    post(
        "/auth/verify/",
        "phonePasswordVerify",
        ("Verify a code", "Gives a registration token, good once and as long as a code."),
        "PhonePasswordVerify",
        json!({ "phone": PHONE, "code": example::CODE }),
    )
    .says(200, "Verified.", "PhonePasswordVerified", "verified", verified)
    .answers(
        400,
        "A field, or the code, is not good.",
        &[],
        errors(&["Phone number is required.", "Invalid phone number.", "Incorrect OTP.", "OTP expired or not found"]),
    )
    .answers(
        403,
        "The address is blocked at this number.",
        &["Retry-After"],
        errors(&["Too many attempts. You are blocked."]),
    )
    .answers(429, "A wrong code too many.", &["Retry-After"], errors(&limited))
}

fn register() -> Operation {
    let texts = [
        "User already exists.",
        "Password is required.",
        "Password must be at least 8 characters.",
        "Invalid first name.",
        "Invalid last name.",
        "Invalid email.",
    ];
    let body = json!({
        "reg_token": example::REGISTRATION_TOKEN, "password": PASSWORD, "first_name": "Majed", "last_name": "Shabani",
        "email": "majedwp12@gmail.com",
    });
    post(
        "/auth/register/",
        "phonePasswordRegister",
        ("Register", "The registration token works once, and under either of its names."),
        "PhonePasswordRegister",
        body,
    )
    .says(201, "Registered.", "PhonePasswordTokens", "registered", signed_in("User registered successfully!"))
    .answers(400, "A field is not good; the token still is.", &[], errors(&texts))
    .answers(403, "The token is not good.", &[], errors(&["Invalid or expired registration token."]))
}

fn signed_in(message: &str) -> Value {
    json!({ "message": message, "tokens": { "refresh": example::ACCESS_TOKEN, "access": example::ACCESS_TOKEN } })
}

fn login() -> Operation {
    let forbidden =
        ["You are blocked due to too many failed login attempts.", "Temporary access blocked.", "User is inactive"];
    let texts = ["Phone number and password are required.", "Invalid phone number.", "Phone number not registered."];
    post(
        "/auth/login/",
        "phonePasswordLogin",
        ("Sign in", "Three wrong passwords block the address at this number for an hour."),
        "PhonePasswordLogin",
        json!({ "phone": PHONE, "password": PASSWORD }),
    )
    .says(200, "Signed in.", "PhonePasswordTokens", "signed in", signed_in("Login successful."))
    .answers(400, "A field is not good, or nobody has the number.", &[], errors(&texts))
    .answers(401, "The password is wrong.", &[], errors(&["Incorrect password."]))
    .answers(403, "The address is blocked, or the account is shut.", &[], errors(&forbidden))
}

fn refresh() -> Operation {
    let call = FORM.call(
        "post",
        "/auth/refresh/",
        "phonePasswordRefresh",
        ("Get another access token", "Takes a refresh token of this API; it stays good until it expires."),
    );
    FORM.reads(call, "PhonePasswordRefresh", json!({ "refresh": example::ACCESS_TOKEN }))
        .says(200, "Refreshed.", "PhonePasswordAccess", "access", json!({ "access": example::ACCESS_TOKEN }))
        .answers(400, "The token is not good.", &[], errors(&["Refresh token is required.", "Token is invalid"]))
        .answers(403, "The account is shut.", &[], errors(&["User is inactive"]))
        .answers(429, "The token is being used.", &["Retry-After"], errors(&[TOO_MANY]))
}

fn profile() -> [Operation; 3] {
    let person = json!({
        "phone": PHONE, "first_name": "Majed", "last_name": "Shabani", "email": "majedwp12@gmail.com",
    });
    let data = json!({ "first_name": "Majed", "last_name": "Shabani", "email": "majedwp12@gmail.com" });
    let updated = json!({ "message": "Profile updated successfully", "data": data });
    let texts = ["Invalid first name.", "Invalid last name.", "Invalid email.", "The profile is too large."];
    let read = ("Read the profile", "Takes an access token of any door.");
    let update = ("Change the profile", "A field that is not there stays as it is; an empty one is cleared.");
    let delete = ("Delete the user", "Account, profile, password and sessions are gone.");
    let limited = |call: Operation| FORM.limited(call);
    [
        limited(personal("get", "/auth/profile/", "phonePasswordProfile", read)).says(
            200,
            "The profile.",
            "PhonePasswordProfile",
            "profile",
            person,
        ),
        limited(FORM.reads(
            personal("put", "/auth/profile/update/", "phonePasswordUpdate", update),
            "PhonePasswordPerson",
            data,
        ))
        .says(200, "Changed.", "PhonePasswordUpdated", "updated", updated)
        .answers(400, "A field is not good.", &[], errors(&texts)),
        limited(personal("delete", "/auth/profile/delete/", "phonePasswordDelete", delete)).answers_empty(
            204,
            "Deleted.",
            &[],
        ),
    ]
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn schemas() -> Vec<(&'static str, Value)> {
    let password = json!({ "type": "string", "minLength": 8, "writeOnly": true });
    let person = || {
        json!({
            "first_name": { "type": "string", "maxLength": 100 }, "last_name": { "type": "string", "maxLength": 100 },
            "email": { "type": "string", "maxLength": 254 },
        })
    };
    let mut registrant = person();
    let grant = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
    if let Value::Object(fields) = &mut registrant {
        fields.extend([
            ("reg_token".to_owned(), grant.clone()),
            ("registration_token".to_owned(), grant.clone()),
            ("password".to_owned(), password.clone()),
        ]);
    }
    let mut profile = person();
    if let Value::Object(fields) = &mut profile {
        fields.insert("phone".to_owned(), text());
    }
    let checked = json!({
        "type": "object", "required": ["exists"],
        "properties": { "exists": { "type": "boolean" }, "message": text() },
    });
    let tokens = object(json!({ "refresh": text(), "access": text() }));
    let login = json!({ "phone": text(), "password": { "type": "string", "writeOnly": true } });
    vec![
        (REFUSAL, refusal("`error`; or what the framework says, under `detail` or `non_field_errors`.")),
        ("PhonePasswordCheckPhone", request(&["phone"], json!({ "phone": text() }))),
        ("PhonePasswordChecked", checked),
        ("PhonePasswordVerify", request(&["phone", "code"], json!({ "phone": text(), "code": text() }))),
        ("PhonePasswordVerified", object(json!({ "message": text(), "registration_token": grant }))),
        ("PhonePasswordRegister", request(&["password"], registrant)),
        ("PhonePasswordTokens", object(json!({ "message": text(), "tokens": tokens }))),
        ("PhonePasswordLogin", request(&["phone", "password"], login)),
        ("PhonePasswordRefresh", request(&["refresh"], json!({ "refresh": text() }))),
        ("PhonePasswordAccess", object(json!({ "access": text() }))),
        ("PhonePasswordProfile", object(profile)),
        ("PhonePasswordPerson", request(&[], person())),
        ("PhonePasswordUpdated", object(json!({ "message": text(), "data": object(person()) }))),
    ]
}
