//! `usr_otp`: tokens, the cookie, `refresh` and `logout` (`contracts/observed.md` section 2, `contracts/dialects.md`).

use serde_json::{Value, json};

use crate::{
    dialect_table::{NO_IP_LIMITS, answers, request, rows},
    dialect_usr_otp::{MANY_SENDS, SIGNED_IN, TO, VERIFY, app, send, sign_in},
    harness::{Answer, TestApp},
    harness_tokens::{claims, header},
};

const REFRESH: &str = "POST /api/v1/usr/refresh";
const LOGOUT: &str = "GET /api/v1/usr/logout";
const INVALID: &str = r#"{"success":false,"errors":["refresh is invalid"]}"#;
const NEXT: &str = r#"{"success":true,"data":{"refresh_token":"<jwt>","access_token":"<jwt>"}}"#;
const DONE: &str = r#"{"success":true,"data":{"message":"Logged out"}}"#;
const OTHER_SITE: &str = r#"{"detail":"CSRF Failed: Origin checking failed."}"#;
/// 2026-01-01T00:00:00Z, when tests begin, in seconds.
const START_S: u64 = 1_767_225_600;

fn next(answer: &Answer, name: &str) -> String {
    answer.body["data"][name].as_str().unwrap().to_owned()
}

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post("/api/v1/usr/refresh", json!({ "refresh": token })).await
}

/// `GET logout` with these headers.
async fn logout(app: &TestApp, headers: &[(&str, String)]) -> Answer {
    let request = headers.iter().fold(request(app, LOGOUT), |request, (name, value)| request.header(*name, value));
    Answer::read(request).await
}

async fn is_alive(app: &TestApp, access: &str) -> bool {
    app.get_as(access, "/v1/me").await.status == 200
}

/// observed.md 2, tokens: HS512, the original's claims beside ours, and `exp`; the answer's key order with a known user.
#[tokio::test]
async fn tokens_are_those_of_the_original_and_ours() {
    let app = app().await;
    app.wait_ms(30_701_750);
    let first = sign_in(&app, TO).await;
    answers("new", &first, 200, SIGNED_IN);
    let (access, refresh) = (first.text("access_token"), first.text("refresh_token"));
    let of_access = claims(&access);
    let of_refresh = claims(&refresh);
    for (token, of) in [(&access, &of_access), (&refresh, &of_refresh)] {
        assert_eq!(header(token)["alg"], "HS512");
        assert_eq!(of["user_id"], Value::from(first.body["user"]["id"].to_string()));
        assert_eq!(of["created_at"], "2026-01-01 08:31:41 +0000");
        assert_eq!(of["sid"], of_access["sid"]);
    }
    assert_eq!((&of_access["type"], &of_access["exp"]), (&json!("access"), &json!(START_S + 30_701 + 604_800)));
    assert_eq!((&of_refresh["type"], &of_refresh["exp"]), (&json!("refresh"), &json!(START_S + 30_701 + 1_296_000)));
    assert_eq!(of_refresh["access"], access);
    assert_eq!(of_access["access"], Value::Null);
    for token in [&access, &refresh] {
        assert!(!token.contains('='));
    }
    send(&app, TO).await;
    let known = SIGNED_IN.replace(r#""is_new_user":true"#, r#""is_new_user":false"#);
    let body = json!({ "phone_number": TO, "code": app.gateway.code(TO) });
    rows(&app, vec![("known", VERIFY, body, 200, &known)]).await;
    let named = json!({ "first_name": "Sara", "last_name": "Karimi", "email": "sara@example.com" });
    app.patch_as(&access, "/v1/me", named).await.is(200);
    send(&app, TO).await;
    let body = json!({ "phone_number": TO, "code": app.gateway.code(TO) });
    let named = known
        .replace("989123456789@temp.pilito.com", "sara@example.com")
        .replace(r#""first_name":null,"last_name":null"#, r#""first_name":"Sara","last_name":"Karimi""#);
    rows(&app, vec![("with a name of hers", VERIFY, body, 200, &named)]).await;
    app.get_as(&access, "/api/auth/profile/").await.is(200);
    app.stop().await;
}

/// observed.md 2, cookie; security 75: not for scripts, not for other sites' forms, no domain; over https alone if the
/// operator says so. (The body holds the tokens too, and the name has no `__Host-`: the original's clients want it so.)
#[tokio::test]
async fn the_cookie() {
    let app = app().await;
    let answer = sign_in(&app, TO).await;
    let line = |access: &str| {
        format!(
            "HTTP_ACCESS=\"Bearer {access}\"; expires=Thu, 08 Jan 2026 00:00:00 GMT; HttpOnly; Max-Age=604800; Path=/; SameSite=Lax"
        )
    };
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1);
    assert_eq!(answer.header("set-cookie"), line(&answer.text("access_token")));
    assert_eq!(answer.header("cache-control"), "no-store");
    let next_answer = refresh(&app, &answer.text("refresh_token")).await;
    assert_eq!(next_answer.header("set-cookie"), line(&next(&next_answer, "access_token")));
    let out = logout(&app, &[]).await;
    let gone = "HTTP_ACCESS=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=0; Path=/; SameSite=Lax";
    assert_eq!(out.header("set-cookie"), gone);
    let refused = app.post("/api/v1/usr/otp/verify", json!({ "phone_number": TO, "code": "123456" })).await.is(400);
    assert_eq!(refused.header("set-cookie"), "");
    app.stop().await;
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ncookies.secure = true")).await;
    assert!(sign_in(&app, TO).await.header("set-cookie").ends_with("; SameSite=Lax; Secure"));
    assert_eq!(logout(&app, &[]).await.header("set-cookie"), format!("{gone}; Secure"));
    app.stop().await;
}

/// dialects.md: the cookie counts on this dialect's own routes only.
#[tokio::test]
async fn no_other_door_takes_the_cookie() {
    let app = app().await;
    let access = sign_in(&app, TO).await.text("access_token");
    for call in ["GET /v1/me", "GET /api/auth/profile/", "DELETE /v1/me"] {
        let cookie = format!("HTTP_ACCESS=\"Bearer {access}\"; HTTP_AUTHORIZATION={access}");
        Answer::read(request(&app, call).header("cookie", cookie)).await.is(401);
    }
    assert!(is_alive(&app, &access).await);
    app.stop().await;
}

/// dialects.md: `logout` ends the session; observed.md: where the token is looked for, in order, with or without `Bearer`.
#[tokio::test]
async fn signing_out() {
    let app = TestApp::with(MANY_SENDS).await;
    let places = [
        ("cookie", "HTTP_ACCESS=\"Bearer TOKEN\""),
        ("cookie", "other=1; HTTP_ACCESS=TOKEN"),
        ("cookie", "HTTP_ACCESS=\"\"; HTTP_AUTHORIZATION=Bearer TOKEN"),
        ("cookie", "HTTP_AUTHORIZATION=TOKEN"),
        ("authorization", "Bearer TOKEN"),
        ("authorization", "TOKEN"),
    ];
    for (name, place) in places {
        let signed_in = sign_in(&app, TO).await;
        let access = signed_in.text("access_token");
        assert!(is_alive(&app, &access).await);
        let value = place.replace("TOKEN", &access);
        answers(place, &logout(&app, &[(name, value.clone())]).await, 200, DONE);
        assert!(!is_alive(&app, &access).await, "{place}");
        answers("its refresh token", &refresh(&app, &signed_in.text("refresh_token")).await, 401, INVALID);
        answers("once more", &logout(&app, &[(name, value)]).await, 200, DONE);
    }
    let mut access = Vec::new();
    for _ in 0..3 {
        access.push(sign_in(&app, TO).await.text("access_token"));
    }
    let all = [
        ("authorization", format!("Bearer {}", access[2])),
        ("cookie", format!("HTTP_AUTHORIZATION={}; HTTP_ACCESS={}", access[1], access[0])),
    ];
    for expected in [[false, true, true], [false, true, true]] {
        answers("three tokens", &logout(&app, &all).await, 200, DONE);
        for (access, expected) in access.iter().zip(expected) {
            assert_eq!(is_alive(&app, access).await, expected, "the cookie goes first, good or not");
        }
    }
    logout(&app, &all[..1]).await.is(200);
    assert!(!is_alive(&app, &access[2]).await);
    for garbage in ["Bearer", "Bearer ", "Bearer a.b.c", "Token x", "ü"] {
        answers(garbage, &logout(&app, &[("authorization", garbage.to_owned())]).await, 200, DONE);
    }
    let other = app.person("+4915112345678").await.access;
    logout(&app, &[("authorization", other.clone())]).await.is(200);
    assert!(!is_alive(&app, &other).await, "a token of another door");
    app.stop().await;
}

/// `HEAD` stands for a `GET` that changes nothing, and signing out is none.
#[tokio::test]
async fn head_signs_nobody_out() {
    let app = app().await;
    let access = sign_in(&app, TO).await.text("access_token");
    let head = async |path: &str| Answer::read(app.client.head(app.url(path)).bearer_auth(&access)).await;
    let refused = head("/api/v1/usr/logout").await;
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, OPTIONS"));
    assert!(is_alive(&app, &access).await);
    head("/api/auth/profile/").await.is(200);
    head("/auth/profile").await.is(200);
    app.stop().await;
}

/// dialects.md: `refresh` answers both tokens; rotation is v1's: the same successor for ten seconds, then the end.
#[tokio::test]
async fn refreshing() {
    let app = app().await;
    let first = sign_in(&app, TO).await;
    app.wait_s(60);
    let token = first.text("refresh_token");
    let second = refresh(&app, &token).await;
    answers("next", &second, 200, NEXT);
    let (access, next_token) = (next(&second, "access_token"), next(&second, "refresh_token"));
    assert_eq!(claims(&access)["sid"], claims(&first.text("access_token"))["sid"]);
    assert_eq!(claims(&access)["created_at"], "2026-01-01 00:01:00 +0000");
    assert_eq!(claims(&next_token)["access"], access);
    assert_eq!(header(&next_token)["alg"], "HS512");
    assert_ne!(next_token, token);
    assert!(is_alive(&app, &access).await);
    app.wait_s(9);
    let again = refresh(&app, &token).await;
    answers("lost on the way", &again, 200, NEXT);
    assert_eq!(claims(&next(&again, "refresh_token"))["generation"], claims(&next_token)["generation"]);
    let form = [("refresh", next_token.as_str())];
    let third = Answer::read(request(&app, REFRESH).form(&form)).await;
    answers("as a form", &third, 200, NEXT);
    app.wait_s(11);
    answers("used again", &refresh(&app, &token).await, 401, INVALID);
    answers("then all have ended", &refresh(&app, &next(&third, "refresh_token")).await, 401, INVALID);
    assert!(!is_alive(&app, &next(&third, "access_token")).await);
    app.stop().await;
}

/// observed.md 2: everything that is no refresh token of this dialect.
#[tokio::test]
async fn refresh_tokens_that_are_not_good() {
    let app = app().await;
    let signed_in = sign_in(&app, TO).await;
    let token = signed_in.text("refresh_token");
    let of_v1 = app.person("+989351112233").await.refresh;
    app.post("/api/auth/send-otp/", json!({ "phone_number": "+12025550101" })).await.is(200);
    let body = json!({ "phone_number": "+12025550101", "otp_code": app.gateway.code("+12025550101") });
    let of_auth_otp = app.post("/api/auth/verify-otp/", body).await.is(200).body["tokens"]["refresh"].clone();
    let cases = [
        ("garbage", json!({ "refresh": "abc" })),
        ("a form of one", json!({ "refresh": "a.b.c" })),
        ("changed", json!({ "refresh": format!("{}x", &token[..token.len() - 1]) })),
        ("blank", json!({ "refresh": "" })),
        ("none", json!({})),
        ("null", json!({ "refresh": null })),
        ("a number", json!({ "refresh": 1 })),
        ("a list", json!({ "refresh": [token] })),
        ("a list for a body", json!([token])),
        ("long", json!({ "refresh": "x".repeat(12_000) })),
        ("an access token", json!({ "refresh": signed_in.text("access_token") })),
        ("of /v1", json!({ "refresh": of_v1 })),
        ("of auth_otp", json!({ "refresh": of_auth_otp })),
    ];
    for (what, body) in cases {
        let answer = Answer::read(request(&app, REFRESH).json(&body)).await;
        answers(what, &answer, 401, INVALID);
        assert_eq!((answer.header("www-authenticate"), answer.header("set-cookie")), ("Bearer", ""));
    }
    let parse = r#"{"detail":"JSON parse error - Expecting value: line 1 column 1 (char 0)"}"#;
    answers("malformed", &app.post_raw("/api/v1/usr/refresh", "x").await, 400, parse);
    let media = r#"{"detail":"Unsupported media type \"text/plain\" in request."}"#;
    let text = request(&app, REFRESH).header("content-type", "text/plain").body("refresh");
    answers("another form", &Answer::read(text).await, 415, media);
    answers("no body", &Answer::read(request(&app, REFRESH)).await, 401, INVALID);
    let here = json!({ "grant_type": "refresh_token", "refresh_token": token });
    app.post("/oauth/token", here).await.is(400);
    refresh(&app, &token).await.is(200);
    app.refresh(&of_v1).await.is(200);
    app.stop().await;
}

/// dialects.md: seven days and fifteen; accounts that are shut or erased.
#[tokio::test]
async fn tokens_end() {
    let app = app().await;
    let first = sign_in(&app, TO).await;
    let (access, token) = (first.text("access_token"), first.text("refresh_token"));
    app.wait_ms(604_799_999);
    assert!(is_alive(&app, &access).await);
    app.wait_ms(1);
    assert!(!is_alive(&app, &access).await);
    app.wait_ms(691_199_999);
    let second = refresh(&app, &token).await;
    answers("in its last moment", &second, 200, NEXT);
    app.wait_s(1_296_000);
    answers("fifteen days later", &refresh(&app, &next(&second, "refresh_token")).await, 401, INVALID);
    let third = sign_in(&app, TO).await;
    let (access, token) = (third.text("access_token"), third.text("refresh_token"));
    let number = json!({ "to": TO });
    app.post_as(&app.keys.admin, "/v1/admin/deactivate", number.clone()).await.is(204);
    answers("shut", &refresh(&app, &token).await, 401, INVALID);
    send(&app, TO).await;
    let body = json!({ "phone_number": TO, "code": app.gateway.code(TO) });
    let shut = Answer::read(request(&app, VERIFY).json(&body)).await;
    answers("shut", &shut, 403, r#"{"detail":"User is inactive"}"#);
    assert_eq!(shut.header("set-cookie"), "");
    answers("shut", &logout(&app, &[("authorization", access.clone())]).await, 200, DONE);
    app.post_as(&app.keys.admin, "/v1/admin/activate", number).await.is(204);
    app.wait_s(121);
    let fourth = sign_in(&app, TO).await;
    let (access, token) = (fourth.text("access_token"), fourth.text("refresh_token"));
    app.delete_as(&access, "/v1/me").await.is(204);
    answers("erased", &refresh(&app, &token).await, 401, INVALID);
    answers("erased", &logout(&app, &[("authorization", access)]).await, 200, DONE);
    let fifth = sign_in(&app, TO).await;
    assert_eq!(fifth.body["is_new_user"], true);
    app.stop().await;
}

/// security 90: a page of another site signs no browser in or out. Forms and links are all that it can send by itself.
#[tokio::test]
async fn pages_of_other_sites() {
    let app = app().await;
    let signed_in = sign_in(&app, TO).await;
    let (access, token) = (signed_in.text("access_token"), signed_in.text("refresh_token"));
    let cookie = format!("HTTP_ACCESS=\"Bearer {access}\"");
    let from = |site: &str| [("cookie", cookie.clone()), ("sec-fetch-site", site.to_owned())];
    let out = logout(&app, &from("cross-site")).await;
    answers("a link", &out, 403, OTHER_SITE);
    assert_eq!(out.header("set-cookie"), "");
    assert!(is_alive(&app, &access).await);
    send(&app, TO).await;
    let code = app.gateway.code(TO);
    let form = |call: &str, fields: &[(&str, &str)], site: &str| {
        Answer::read(request(&app, call).form(fields).header("sec-fetch-site", site))
    };
    let verify = [("phone_number", TO), ("code", code.as_str())];
    let renew = [("refresh", token.as_str())];
    for answer in [form(VERIFY, &verify, "cross-site").await, form(REFRESH, &renew, "cross-site").await] {
        answers("a form", &answer, 403, OTHER_SITE);
        assert_eq!(answer.header("set-cookie"), "");
    }
    form(REFRESH, &renew, "same-site").await.is(200);
    form(VERIFY, &verify, "same-origin").await.is(200);
    send(&app, TO).await;
    let body = json!({ "phone_number": TO, "code": app.gateway.code(TO) });
    let script = request(&app, VERIFY).json(&body).header("sec-fetch-site", "cross-site");
    Answer::read(script).await.is(200);
    logout(&app, &from("same-origin")).await.is(200);
    assert!(!is_alive(&app, &access).await);
    app.stop().await;
}
