//! One number through all five dialects and `/v1`: one user, one send window, one guess budget, and no code that is good
//! at another door. No way of writing a number or naming a purpose gives anything twice.

use serde_json::{Value, json};

use crate::{
    dialect_table::NO_IP_LIMITS,
    harness::{Answer, TestApp, wrong},
};

const TO: &str = "+989101234567";

/// A door: how it asks for a code, and how it checks one. Each writes the number in a way of its own.
struct Door {
    name: &'static str,
    send: (&'static str, Value),
    check: &'static str,
    with_code: fn(&str) -> Value,
}

fn doors() -> [Door; 6] {
    [
        Door {
            name: "auth_otp",
            send: ("/api/auth/send-otp/", json!({ "phone_number": "+۹۸۹۱۰۱۲۳۴۵۶۷" })),
            check: "/api/auth/verify-otp/",
            with_code: |code| json!({ "phone_number": "989101234567", "otp_code": code }),
        },
        Door {
            name: "usr_otp",
            send: ("/api/v1/usr/otp", json!({ "phone_number": "0910 123 45 67" })),
            check: "/api/v1/usr/otp/verify",
            with_code: |code| json!({ "phone_number": "۰۹۱۰۱۲۳۴۵۶۷", "code": code }),
        },
        Door {
            name: "signup_login",
            send: ("/auth/signup", json!({ "phone_number": "+98 (910) 123-45-67" })),
            check: "/auth/verify-otp",
            with_code: |code| json!({ "phone_number": "+989101234567", "otp_code": code }),
        },
        Door {
            name: "phone_password",
            send: ("/auth/check-phone/", json!({ "phone": "09101234567" })),
            check: "/auth/verify/",
            with_code: |code| json!({ "phone": "۰۹۱۰۱۲۳۴۵۶۷", "code": code }),
        },
        Door {
            name: "typed_verification",
            send: ("/api/users/send-otp/", json!({ "phone": "98 9101234567", "verification_type": "LOGIN" })),
            check: "/api/users/verify-otp/",
            with_code: |code| json!({ "phone": "+989101234567", "otp": code, "verification_type": "login" }),
        },
        Door {
            name: "v1",
            send: ("/v1/verifications", json!({ "to": "0910-123-4567", "region": "IR" })),
            check: "/v1/verifications/check",
            with_code: |code| json!({ "to": "+989101234567", "code": code }),
        },
    ]
}

/// Without the limits that are counted apart from the number's own.
async fn app(more: &str) -> TestApp {
    let no_cooldown = "codes.cooldown_s = 0\nlimits.sends_per_day = 50\nlimits.sends_per_day_per_ip = 50";
    TestApp::with(&format!("{NO_IP_LIMITS}\n{no_cooldown}\n{more}")).await
}

impl Door {
    async fn send(&self, app: &TestApp) -> Answer {
        app.post(self.send.0, self.send.1.clone()).await
    }

    async fn check(&self, app: &TestApp, code: &str) -> Answer {
        app.post(self.check, (self.with_code)(code)).await
    }
}

/// Whether a door said yes: `signup_login` says no with 200, too.
fn is_yes(answer: &Answer) -> bool {
    (200..300).contains(&answer.status) && answer.body["success"] != false
}

#[tokio::test]
async fn one_number_is_one_user_at_every_door() {
    let app = app("").await;
    let [auth, usr, signup, password, typed, _] = doors();
    assert!(is_yes(&auth.send(&app).await));
    let signed_in = auth.check(&app, &app.gateway.code(TO)).await.is(200);
    let (id, first) = (signed_in.body["user"]["id"].as_u64().unwrap(), &signed_in.body["tokens"]["access"]);
    assert_eq!(signed_in.body["is_new_user"], true);
    let mut tokens = vec![first.as_str().unwrap().to_owned()];

    assert!(is_yes(&usr.send(&app).await));
    let signed_in = usr.check(&app, &app.gateway.code(TO)).await.is(200);
    assert_eq!((&signed_in.body["user"]["id"], &signed_in.body["is_new_user"]), (&json!(id), &json!(false)));
    tokens.push(signed_in.text("access_token"));

    assert!(is_yes(&signup.send(&app).await));
    let signed_in = signup.check(&app, &app.gateway.code(TO)).await.is(200);
    assert_eq!(signed_in.body["data"]["user_id"], id);
    tokens.push(signed_in.text("token"));

    assert_eq!(password.send(&app).await.is(200).body, json!({ "exists": true }), "it sends nothing");
    app.wait_s(600);
    assert!(is_yes(&typed.send(&app).await));
    assert_eq!(typed.check(&app, &app.gateway.code(TO)).await.is(200).body["verified"], true);
    tokens.push(app.sign_in(TO).await.text("access_token"));

    let profile = json!({ "phone_number": TO, "name": "Sara Karimi", "email": "sara@example.com" });
    let completed = app.post_as(&tokens[0], "/auth/complete-profile", profile).await;
    assert!(is_yes(&completed), "{completed:?}");
    for token in &tokens {
        let me = app.get_as(token, "/v1/me").await.is(200);
        assert_eq!((&me.body["user_id"], &me.body["name"]), (&json!(id), &json!("Sara Karimi")));
        assert_eq!(app.get_as(token, "/api/auth/profile/").await.is(200).body["user"]["id"], id);
        assert_eq!(app.get_as(token, "/auth/profile").await.is(200).body["email"], "sara@example.com");
        assert_eq!(app.get_as(token, "/auth/profile/").await.is(200).body["email"], "sara@example.com");
    }
    assert_eq!(app.get_as(&tokens[0], "/v1/me/sessions").await.body["sessions"].as_array().unwrap().len(), 4);
    app.stop().await;
}

#[tokio::test]
async fn one_window_of_sends_for_all_doors() {
    let app = app("").await;
    let [auth, usr, signup, ..] = doors();
    for door in [&auth, &usr, &signup] {
        assert!(is_yes(&door.send(&app).await), "{}", door.name);
    }
    for door in doors() {
        let limited = door.send(&app).await;
        assert_eq!(limited.status, 429, "{}: {limited:?}", door.name);
        assert!(!limited.header("retry-after").is_empty());
    }
    assert_eq!(app.gateway.sent_to(TO).len(), 3);
    app.stop().await;
}

#[tokio::test]
async fn one_budget_of_guesses_for_all_doors() {
    let app = app("limits.sends_per_window = 50\ndialects.auth_otp.sends = 50\ndialects.usr_otp.sends = 50\n\
        dialects.signup_login.sends = 50\ndialects.phone_password.sends = 50\ndialects.typed_verification.sends = 50")
    .await;
    let doors = doors();
    let mut codes = Vec::new();
    for door in &doors {
        let sent = door.send(&app).await;
        assert!(is_yes(&sent), "{}: {sent:?}", door.name);
        codes.push(app.gateway.code(TO));
    }
    for (door, code) in doors.iter().zip(&codes) {
        let refused = door.check(&app, &wrong(code, 1)).await;
        assert!(!is_yes(&refused) && refused.header("retry-after").is_empty(), "{}: {refused:?}", door.name);
    }
    // Six in a row, one at each door: now the number waits, whatever the door and however good the code.
    for (door, code) in doors.iter().zip(&codes) {
        let delayed = door.check(&app, code).await;
        assert!(!is_yes(&delayed), "{}: {delayed:?}", door.name);
        assert_eq!(delayed.header("retry-after"), "30", "{}: {delayed:?}", door.name);
    }
    let fresh = doors[0].send(&app).await;
    assert!(is_yes(&fresh));
    let still = doors[0].check(&app, &app.gateway.code(TO)).await;
    assert!(!is_yes(&still), "a new code gives no fresh guesses: {still:?}");
    app.stop().await;
}

/// A code is good at the door that sent it, and nowhere else.
#[tokio::test]
async fn no_code_is_good_at_another_door() {
    for (n, sender) in doors().iter().enumerate() {
        let app = app("").await;
        assert!(is_yes(&sender.send(&app).await), "{}", sender.name);
        let code = app.gateway.code(TO);
        for (m, door) in doors().iter().enumerate().filter(|(m, _)| *m != n) {
            // As many digits as the door asks for, so that it is the code that is refused.
            let digits = if ["phone_password", "typed_verification"].contains(&door.name) { 4 } else { 6 };
            let refused = door.check(&app, &format!("{code:0<6}")[..digits]).await;
            assert!(!is_yes(&refused), "{} took the code of {}: {refused:?} ({m})", door.name, sender.name);
        }
        let right = sender.check(&app, &code).await;
        assert!(is_yes(&right), "{}: {right:?}", sender.name);
        app.stop().await;
    }
}

/// A sign-in beside an erasure of the same account is whole or refused, whichever comes first; `verify-login` makes no user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_beside_an_erasure_is_whole() {
    let more = "dialects.auth_otp.sends = 50\ndialects.usr_otp.sends = 50\ndialects.signup_login.sends = 50";
    let app = app(more).await;
    let login = Door {
        name: "signup_login, login",
        send: ("/auth/login", json!({ "phone_number": TO })),
        check: "/auth/verify-login",
        with_code: |code| json!({ "phone_number": TO, "otp_code": code }),
    };
    let [auth, usr, signup, ..] = doors();
    for door in [auth, usr, signup, login] {
        for round in 0..6 {
            app.wait_s(60);
            let person = app.sign_in(TO).await;
            let (token, user) = (person.text("access_token"), app.get_as(&person.text("access_token"), "/v1/me").await);
            let sent = door.send(&app).await;
            assert!(is_yes(&sent) || sent.body["success"] == false, "{}: {sent:?}", door.name);
            let code = app.gateway.code(TO);
            let erase = Answer::read(app.client.delete(app.url("/v1/me")).bearer_auth(&token));
            let (checked, erased) = tokio::join!(door.check(&app, &code), erase);
            assert!(checked.status < 500, "{}, round {round}: {checked:?}", door.name);
            assert_eq!(erased.status, 204);
            if door.check == "/auth/verify-login" && is_yes(&checked) {
                assert_eq!(checked.body["data"]["user_id"], user.body["user_id"], "no user is made there");
            }
        }
    }
    app.stop().await;
}
