//! `phone_password`: its tokens, its refresh, its profile (`contracts/observed.md`, sections 0 and 4).

use serde_json::{Value, json};

use crate::{
    dialect_phone_password::{E164, LOGIN, PASSWORD, SIGNED_IN, TO, Tokens, app, error, login, registered},
    dialect_table::{answers, request, rows},
    harness::{Answer, TestApp},
    harness_tokens::{claims, header, names},
};

const REFRESH: &str = "POST /auth/refresh/";
const PROFILE: &str = "GET /auth/profile/";
const UPDATE: &str = "PUT /auth/profile/update/";
const DELETE: &str = "DELETE /auth/profile/delete/";
const PERSON: &str =
    r#"{"phone":"09101234567","first_name":"Majed","last_name":"Shabani","email":"majedwp12@gmail.com"}"#;

/// What SimpleJWT says of an access token.
fn not_valid(message: &str) -> String {
    let fault = json!({ "token_class": "AccessToken", "token_type": "access", "message": message });
    json!({
        "detail": "Given token not valid for any token type", "code": "token_not_valid", "messages": [fault],
    })
    .to_string()
}

async fn as_user(app: &TestApp, token: &str, call: &str, body: Value) -> Answer {
    Answer::read(request(app, call).bearer_auth(token).json(&body)).await
}

/// observed.md 0 and 4: SimpleJWT's claims, five minutes and a day; `refresh` before `access`.
#[tokio::test]
async fn claims_of_both_tokens() {
    let app = app().await;
    let tokens = registered(&app, TO).await;
    for (token, kind, life_s) in [(&tokens.access, "access", 300), (&tokens.refresh, "refresh", 86_400)] {
        assert_eq!(header(token)["alg"], "HS256");
        let claims = claims(token);
        assert_eq!(claims["token_type"], kind);
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), life_s, "{kind}");
        assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
        assert!(claims["user_id"].is_u64() && claims["sid"].is_string(), "{:?}", names(&claims));
    }
    let again = Tokens::of(&app.post("/auth/login/", login(TO, PASSWORD)).await.is(200));
    assert_eq!(claims(&again.access)["user_id"], claims(&tokens.access)["user_id"]);
    assert_ne!(claims(&again.access)["sid"], claims(&tokens.access)["sid"]);
    app.get_as(&again.access, "/v1/me").await.is(200);
    app.get_as(&again.access, "/api/auth/profile/").await.is(200);
    app.stop().await;
}

/// observed.md 4, refresh; dialects.md: no bearer, no rotation, only tokens of this dialect.
#[tokio::test]
async fn refreshing() {
    let app = app().await;
    let tokens = registered(&app, TO).await;
    let required = error("Refresh token is required.");
    let invalid = error("Token is invalid");
    for body in [
        json!({}),
        json!({ "refresh": null }),
        json!({ "refresh": "" }),
        json!({ "refresh": 1 }),
        json!({ "refresh": [tokens.refresh] }),
    ] {
        rows(&app, vec![("no token", REFRESH, body, 400, &required)]).await;
    }
    let bela = app.person("+989121234567").await;
    app.post("/api/auth/send-otp/", json!({ "phone_number": "+989131234567" })).await.is(200);
    let body = json!({ "phone_number": "+989131234567", "otp_code": app.gateway.code("+989131234567") });
    let carl = Tokens::of(&app.post("/api/auth/verify-otp/", body).await.is(200));
    for (what, token) in [
        ("garbage", "abc".to_owned()),
        ("an access token", tokens.access.clone()),
        ("one of /v1", bela.refresh),
        ("one of another dialect", carl.refresh),
        ("cut", tokens.refresh[..tokens.refresh.len() - 4].to_owned()),
        ("long", "x".repeat(10_000)),
    ] {
        rows(&app, vec![(what, REFRESH, json!({ "refresh": token }), 400, &invalid)]).await;
    }
    let grant = json!({ "grant_type": "refresh_token", "refresh_token": tokens.refresh });
    app.post("/oauth/token", grant).await.oauth_refused(400, "invalid_grant");
    app.wait_s(300);
    let expired = not_valid("Token is expired");
    answers("five minutes later", &app.get_as(&tokens.access, "/auth/profile/").await, 401, &expired);
    for _ in 0..2 {
        let refreshed = app.post("/auth/refresh/", json!({ "refresh": tokens.refresh })).await;
        answers("as often as one likes", &refreshed, 200, r#"{"access":"<jwt>"}"#);
        let access = refreshed.text("access");
        answers("and it is good", &app.get_as(&access, "/auth/profile/").await, 200, PERSON);
        assert_eq!(claims(&access)["sid"], claims(&tokens.access)["sid"]);
        app.wait_s(60);
    }
    app.wait_ms((86_400 - 300 - 120) * 1_000 - 1);
    app.post("/auth/refresh/", json!({ "refresh": tokens.refresh })).await.is(200);
    app.wait_ms(1);
    rows(&app, vec![("a day later", REFRESH, json!({ "refresh": tokens.refresh }), 400, &invalid)]).await;
    app.stop().await;
}

/// Sessions that have ended, accounts that are shut or gone.
#[tokio::test]
async fn refreshing_what_has_ended() {
    let app = app().await;
    let tokens = registered(&app, TO).await;
    let refresh = |tokens: &Tokens| json!({ "refresh": tokens.refresh });
    app.form("/oauth/revoke", &[("token", &tokens.refresh)]).await.is(200);
    rows(&app, vec![("signed out", REFRESH, refresh(&tokens), 400, &error("Token is invalid"))]).await;
    app.get_as(&tokens.access, "/auth/profile/").await.is(401);
    let tokens = Tokens::of(&app.post("/auth/login/", login(TO, PASSWORD)).await.is(200));
    app.post_as(&app.keys.admin, "/v1/admin/deactivate", json!({ "to": E164 })).await.is(204);
    rows(&app, vec![("shut", REFRESH, refresh(&tokens), 403, &error("User is inactive"))]).await;
    app.post_as(&app.keys.admin, "/v1/admin/activate", json!({ "to": E164 })).await.is(204);
    app.post("/auth/refresh/", refresh(&tokens)).await.is(200);
    as_user(&app, &tokens.access, DELETE, json!({})).await.is(204);
    rows(&app, vec![("erased", REFRESH, refresh(&tokens), 400, &error("Token is invalid"))]).await;
    app.stop().await;
}

/// observed.md 0: tokens that are not good, at all three calls.
#[tokio::test]
async fn tokens_that_are_not_good() {
    let app = app().await;
    let none = r#"{"detail":"Authentication credentials were not provided."}"#.to_owned();
    let two = r#"{"detail":"Authorization header must contain two space-delimited values","code":"bad_authorization_header"}"#;
    let tokens = registered(&app, TO).await;
    for call in [PROFILE, UPDATE, DELETE] {
        for (what, header, expected) in [
            ("another scheme", "Token abc".to_owned(), none.clone()),
            ("the scheme alone", "Bearer".to_owned(), two.to_owned()),
            ("three words", "Bearer a b".to_owned(), two.to_owned()),
            ("garbage", "Bearer abc".to_owned(), not_valid("Token is invalid")),
            ("a refresh token", format!("Bearer {}", tokens.refresh), not_valid("Token has wrong type")),
        ] {
            let answer = Answer::read(request(&app, call).header("authorization", header)).await;
            answers(what, &answer, 401, &expected);
            assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="api""#);
        }
        answers("no header", &Answer::read(request(&app, call)).await, 401, &none);
    }
    app.post_as(&app.keys.admin, "/v1/admin/deactivate", json!({ "to": E164 })).await.is(204);
    let shut = as_user(&app, &tokens.access, UPDATE, json!({ "first_name": "x" })).await;
    answers("shut", &shut, 401, r#"{"detail":"User is inactive","code":"user_inactive"}"#);
    app.stop().await;
}

/// observed.md 4, profile, profile/update, profile/delete.
#[tokio::test]
async fn profiles() {
    let app = app().await;
    let access = registered(&app, TO).await.access;
    answers("as registered", &app.get_as(&access, "/auth/profile/").await, 200, PERSON);
    let updated = |first: &str, last: &str, email: &str| {
        format!(
            r#"{{"message":"Profile updated successfully","data":{{"first_name":"{first}","last_name":"{last}","email":"{email}"}}}}"#
        )
    };
    let mail = "majedwp12@gmail.com";
    for (what, body, expected) in [
        ("nothing", json!({}), updated("Majed", "Shabani", mail)),
        ("one field", json!({ "first_name": "مجید" }), updated("مجید", "Shabani", mail)),
        (
            "another, and unknown ones",
            json!({ "last_name": "x", "phone": "09120000000", "is_staff": true }),
            updated("مجید", "x", mail),
        ),
        ("cleared", json!({ "email": "", "last_name": "" }), updated("مجید", "", "")),
        ("all", json!({ "first_name": "a", "last_name": "b", "email": "c@d.ir" }), updated("a", "b", "c@d.ir")),
    ] {
        answers(what, &as_user(&app, &access, UPDATE, body).await, 200, &expected);
    }
    for (field, text) in
        [("first_name", "Invalid first name."), ("last_name", "Invalid last name."), ("email", "Invalid email.")]
    {
        for wrong in
            [json!(null), json!(1), json!(true), json!([]), json!({}), json!("x".repeat(300)), json!("a\u{0}b")]
        {
            let answer = as_user(&app, &access, UPDATE, json!({ field: wrong })).await;
            answers(field, &answer, 400, &error(text));
        }
    }
    let form = request(&app, UPDATE).bearer_auth(&access).form(&[("first_name", "Form")]);
    answers("a form", &Answer::read(form).await, 200, &updated("Form", "b", "c@d.ir"));
    let list = r#"{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}"#;
    answers("a list", &as_user(&app, &access, UPDATE, json!([])).await, 400, list);
    app.patch_as(&access, "/v1/me", json!({ "bio": "𝟗".repeat(500) })).await.is(200);
    let much = json!({ "first_name": "𝟗".repeat(100), "last_name": "𝟗".repeat(100) });
    let large = as_user(&app, &access, UPDATE, much).await;
    answers("more than a record holds", &large, 400, &error("The profile is too large."));
    let gone = as_user(&app, &access, DELETE, json!({})).await;
    assert_eq!((gone.status, gone.raw.as_str()), (204, ""));
    let nobody = app.get_as(&access, "/auth/profile/").await;
    answers("erased", &nobody, 401, r#"{"detail":"User not found","code":"user_not_found"}"#);
    rows(&app, vec![("nobody any more", LOGIN, login(TO, PASSWORD), 400, &error("Phone number not registered."))])
        .await;
    registered(&app, TO).await;
    rows(&app, vec![("and again somebody", LOGIN, login(TO, PASSWORD), 200, SIGNED_IN)]).await;
    app.stop().await;
}

/// A token of any door reads the profile; a number from elsewhere has its country code.
#[tokio::test]
async fn people_of_other_doors() {
    let app = app().await;
    for (to, shown) in [(E164, TO), ("+4915112345678", "+4915112345678")] {
        let person = app.person(to).await;
        let expected = json!({ "phone": shown, "first_name": "", "last_name": "", "email": "" }).to_string();
        answers(to, &app.get_as(&person.access, "/auth/profile/").await, 200, &expected);
    }
    app.stop().await;
}
