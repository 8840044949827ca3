//! What a dialect has acknowledged survives `kill -9`: after every single answer the server is killed, and the next one
//! starts over the same directory.
//!
//! Users, passwords, profiles, registration tokens, codes, blocks, revoked sessions. (`crash.rs` does the same to `/v1`
//! under load.)

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/console_server.rs"]
mod console_server;

use std::fs;

use console_server::ConsoleServer;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// A server that lives for one request.
struct Mortal {
    directory: tempfile::TempDir,
    server: ConsoleServer,
    client: Client,
}

impl Mortal {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = ConsoleServer::start(directory.path());
        Self { directory, server, client: Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap() }
    }

    /// Asks, reads the answer whole, and kills the server; the next one is there when this returns.
    async fn ask(&mut self, call: &str, token: Option<&str>, body: Option<Value>) -> (u16, Value) {
        let (method, path) = call.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("http://{}{path}", self.server.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        self.die();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// The newest code that was sent to a number: its first four digits or more in a row.
    fn code(&self, to: &str) -> String {
        let prefix = format!("[console sms] to {to}: ");
        let lines = fs::read_to_string(self.server.output()).unwrap();
        let text = lines.lines().rev().find_map(|line| line.strip_prefix(&prefix)).expect("a message to the number");
        let code = text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() >= 4);
        code.expect("a code in the message").to_owned()
    }

    async fn post(&mut self, path: &str, body: Value) -> (u16, Value) {
        self.ask(&format!("POST {path}"), None, Some(body)).await
    }

    fn die(&mut self) {
        // The one before is killed first: only one at a time may open the directory.
        let next = || ConsoleServer::start(self.directory.path());
        self.server.kill();
        self.server = next();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[tokio::test]
async fn passwords_registration_tokens_profiles_and_blocks() {
    const PHONE: &str = "09101234567";
    let mut mortal = Mortal::start();
    let sent = mortal.post("/auth/check-phone/", json!({ "phone": PHONE })).await;
    assert_eq!(sent, (200, json!({ "exists": false, "message": "OTP sent successfully." })));
    let code = mortal.code("+989101234567");
    let (status, verified) = mortal.post("/auth/verify/", json!({ "phone": PHONE, "code": code })).await;
    assert_eq!(status, 200, "{verified}");
    let again = mortal.post("/auth/verify/", json!({ "phone": PHONE, "code": code })).await;
    assert_eq!(again, (400, json!({ "error": "OTP expired or not found" })), "a code works once");
    let register = json!({
        "registration_token": verified["registration_token"], "password": "correct horse", "first_name": "Majed",
    });
    let (status, registered) = mortal.post("/auth/register/", register.clone()).await;
    assert_eq!(status, 201, "{registered}");
    let (status, refused) = mortal.post("/auth/register/", register).await;
    assert_eq!((status, text(&refused["error"]).as_str()), (403, "Invalid or expired registration token."));
    let exists = mortal.post("/auth/check-phone/", json!({ "phone": PHONE })).await;
    assert_eq!(exists, (200, json!({ "exists": true })));
    let login = |password: &str| json!({ "phone": PHONE, "password": password });
    let (status, tokens) = mortal.post("/auth/login/", login("correct horse")).await;
    assert_eq!(status, 200, "{tokens}");
    let access = text(&tokens["tokens"]["access"]);
    let change = json!({ "last_name": "Shabani" });
    assert_eq!(mortal.ask("PUT /auth/profile/update/", Some(&access), Some(change)).await.0, 200);
    let (status, profile) = mortal.ask("GET /auth/profile/", Some(&access), None).await;
    assert_eq!((status, &profile["first_name"], &profile["last_name"]), (200, &json!("Majed"), &json!("Shabani")));
    for (n, status) in [(1, 401), (2, 401), (3, 403)] {
        assert_eq!(mortal.post("/auth/login/", login("wrong horse")).await.0, status, "wrong password {n}");
    }
    let blocked = mortal.post("/auth/login/", login("correct horse")).await;
    assert_eq!(blocked, (403, json!({ "error": "Temporary access blocked." })));
}

#[tokio::test]
async fn users_codes_profiles_and_logouts() {
    const PHONE: &str = "+916205829376";
    let mut mortal = Mortal::start();
    let number = || json!({ "phone_number": PHONE });
    assert_eq!(mortal.post("/auth/signup", number()).await.1["success"], true);
    let code = mortal.code(PHONE);
    let wrong = if code == "000000" { "111111" } else { "000000" };
    let check = |code: &str| json!({ "phone_number": PHONE, "otp_code": code });
    for left in [2, 1] {
        let (_, refused) = mortal.post("/auth/verify-otp", check(wrong)).await;
        assert_eq!(refused["message"], format!("Invalid OTP. {left} attempts remaining"));
    }
    let (_, verified) = mortal.post("/auth/verify-otp", check(&code)).await;
    assert_eq!(verified["success"], true, "{verified}");
    let token = text(&verified["token"]);
    let profile = json!({ "phone_number": PHONE, "name": "Gaurav Kumar", "email": "gaurav@loopinsocial.in" });
    let (_, completed) = mortal.ask("POST /auth/complete-profile", Some(&token), Some(profile)).await;
    assert_eq!(completed["success"], true, "{completed}");
    let (status, shown) = mortal.ask("GET /auth/profile", Some(&token), None).await;
    assert_eq!((status, &shown["name"]), (200, &json!("Gaurav Kumar")));
    let (status, me) = mortal.ask("GET /v1/me", Some(&token), None).await;
    assert_eq!((status, &me["email"]), (200, &json!("gaurav@loopinsocial.in")));
    assert_eq!(mortal.ask("POST /auth/logout", Some(&token), None).await.1["success"], true);
    assert_eq!(mortal.ask("GET /auth/profile", Some(&token), None).await.0, 401, "logged out for good");
    assert_eq!(mortal.post("/auth/signup", number()).await.1["message"], "User already exists. Please login instead.");
}

#[tokio::test]
async fn refreshed_sessions_and_their_end() {
    const PHONE: &str = "+989123456789";
    let mut mortal = Mortal::start();
    assert_eq!(mortal.post("/api/v1/usr/otp", json!({ "phone_number": PHONE })).await.0, 200);
    let code = mortal.code(PHONE);
    let (_, first) = mortal.post("/api/v1/usr/otp/verify", json!({ "phone_number": PHONE, "code": code })).await;
    let (status, second) = mortal.post("/api/v1/usr/refresh", json!({ "refresh": first["refresh_token"] })).await;
    assert_eq!(status, 200, "{second}");
    let access = text(&second["data"]["access_token"]);
    assert_eq!(mortal.ask("GET /v1/me", Some(&access), None).await.0, 200);
    assert_eq!(mortal.ask("GET /api/v1/usr/logout", Some(&access), None).await.0, 200);
    assert_eq!(mortal.ask("GET /v1/me", Some(&access), None).await.0, 401);
    let refresh = json!({ "refresh": second["data"]["refresh_token"] });
    assert_eq!(mortal.post("/api/v1/usr/refresh", refresh).await.0, 401);
}
