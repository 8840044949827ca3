//! Every example request of the document, sent to a running server and answered as documented; and every call, asked wrongly.
//!
//! [`prepare`] brings the server into the state that an example speaks of and says which of its values stand for which real
//! ones. An example without a preparation fails: it has to be thought about.

use std::{collections::BTreeMap, time::Duration};

use otpd::{
    http::{dialect, docs::example},
    store::{Shelf, SnapshotStore, Verdict},
    webhooks::event_id,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    dialect_auth_otp, dialect_phone_password, dialect_signup_login,
    dialect_table::NO_IP_LIMITS,
    dialect_typed_verification, dialect_usr_otp,
    documented::resolve,
    harness::{Answer, RECEIPTS_KEY, TestApp},
    openapi::operations,
};

/// A code of the back end's choice. Not the example's: an answer that held a code that was sent would fail every test,
/// and the document is an answer too.
const CHOSEN_CODE: &str = "604718";

/// What stands for what, and who asks.
#[derive(Default)]
pub(crate) struct Scene {
    pub(crate) credential: Option<String>,
    pub(crate) real: Vec<(&'static str, String)>,
}

/// A server, a back end's key that may do everything, and numbers never used before.
pub(crate) struct Stage {
    pub(crate) app: TestApp,
    key: String,
    numbers: u32,
}

impl Stage {
    async fn new() -> Self {
        let app = TestApp::with(NO_IP_LIMITS).await;
        let key = app.keys.admin.clone();
        Self { app, key, numbers: 0 }
    }

    pub(crate) fn number(&mut self) -> String {
        self.numbers += 1;
        format!("+98912000{:04}", self.numbers)
    }

    /// A verification that waits for its code.
    async fn started(&mut self) -> Scene {
        let number = self.number();
        let id = self.app.start_for(&number).await;
        let code = self.app.gateway.code(&number);
        Scene {
            credential: None,
            real: vec![(example::NUMBER, number), (example::VERIFICATION_ID, id), (example::CODE, code)],
        }
    }

    /// A verification with a code of its own choice, started by the back end.
    async fn started_by_key(&mut self) -> Scene {
        let number = self.number();
        let body = json!({ "to": number, "custom_code": CHOSEN_CODE });
        let id = self.app.post_as(&self.key, "/v1/verifications", body).await.text("id");
        let real = vec![(example::VERIFICATION_ID, id), (example::CODE, CHOSEN_CODE.to_owned())];
        Scene { credential: Some(self.key.clone()), real }
    }

    /// A person with a session.
    async fn signed_in(&mut self) -> Scene {
        let number = self.number();
        let tokens = self.app.sign_in(&number).await;
        let access = tokens.text("access_token");
        let sessions = self.app.get_as(&access, "/v1/me/sessions").await;
        let sid = sessions.body["sessions"][0]["sid"].as_str().unwrap().to_owned();
        let real = vec![
            (example::NUMBER, number),
            (example::NEW_NUMBER, self.number()),
            (example::ACCESS_TOKEN, access.clone()),
            (example::REFRESH_TOKEN, tokens.text("refresh_token")),
            (example::SID, sid),
        ];
        Scene { credential: Some(access), real }
    }

    /// Someone who moves to another number.
    async fn moving(&mut self) -> Scene {
        let mut scene = self.signed_in().await;
        let token = scene.credential.clone().unwrap();
        let to = self.number();
        let id = self.app.post_as(&token, "/v1/me/phone-change", json!({ "to": to })).await.text("id");
        scene.real.extend([(example::VERIFICATION_ID, id), (example::CODE, self.app.gateway.code(&to))]);
        scene
    }

    /// A receipt not yet used.
    async fn approved(&mut self) -> Scene {
        let mut scene = self.started().await;
        let [_, (_, id), (_, code)] = &scene.real[..] else { panic!("id and code") };
        let checked = self.app.post(&format!("/v1/verifications/{id}/check"), json!({ "code": code })).await;
        scene.real.push((example::RECEIPT, checked.text("receipt")));
        scene
    }

    /// An event that could not be delivered.
    async fn dead_event(&self) -> Scene {
        let outbox = self.app.store.outbox();
        outbox.note(vec![b"of another otpd".to_vec()]).await.unwrap();
        let id = outbox.entries(Shelf::Pending, 0, 1).await.unwrap()[0].id;
        outbox.settle(vec![(id, Verdict::Dead { tries: 1 })]).await.unwrap();
        self.by_key(Scene { credential: None, real: vec![(example::EVENT_ID, event_id(id))] })
    }

    fn by_key(&self, scene: Scene) -> Scene {
        Scene { credential: Some(self.key.clone()), ..scene }
    }
}

/// The state that an example speaks of.
async fn prepare(stage: &mut Stage, operation: &str, example: &str) -> Scene {
    match (operation, example) {
        ("readProblem" | "readDocument" | "readKeys" | "readMetadata", _) => Scene::default(),
        ("startVerification", "national number") => Scene::default(),
        ("takeReceipt" | "takeUnsignedReceipt" | "takeUnsignedReceiptByQuery", _) => {
            let number = stage.number();
            stage.app.start_for(&number).await;
            let reference = stage.app.gateway.references().pop().unwrap();
            let real = vec![
                ("webhook", "simulated".to_owned()),
                (example::REFERENCE, reference),
                (example::RECEIPTS_SECRET, RECEIPTS_KEY.to_owned()),
            ];
            Scene { credential: (operation == "takeReceipt").then(|| RECEIPTS_KEY.to_owned()), real }
        }
        ("startVerification", "international number") => {
            Scene { credential: None, real: vec![(example::NUMBER, stage.number())] }
        }
        (operation, _) if operation.starts_with("authOtp") => dialect_auth_otp::prepare(stage, operation).await,
        (operation, _) if operation.starts_with("phonePassword") => {
            dialect_phone_password::prepare(stage, operation).await
        }
        (operation, _) if operation.starts_with("typedVerification") => {
            dialect_typed_verification::prepare(stage, operation).await
        }
        (operation, _) if operation.starts_with("signupLogin") => dialect_signup_login::prepare(stage, operation).await,
        (operation, _) if operation.starts_with("usrOtp") => dialect_usr_otp::prepare(stage, operation).await,
        ("startVerification", "back end") | ("unlockNumber", _) => {
            let real = vec![(example::NUMBER, stage.number()), (example::CODE, CHOSEN_CODE.to_owned())];
            stage.by_key(Scene { credential: None, real })
        }
        ("checkVerification", "code")
        | ("checkNewestVerification" | "cancelVerification" | "readVerification" | "signIn", _) => {
            stage.started().await
        }
        ("checkVerification", "phone change") => stage.moving().await,
        ("resendVerification", "same channel") => {
            let scene = stage.started().await;
            stage.app.clock.advance(Duration::from_secs(30));
            scene
        }
        ("resendVerification", "back end") => {
            let scene = stage.started_by_key().await;
            stage.app.clock.advance(Duration::from_secs(30));
            scene
        }
        ("listDeadEvents" | "retryDeadEvent" | "dropDeadEvent", _) => stage.dead_event().await,
        ("activateAccount" | "deactivateAccount", _) => {
            let scene = stage.signed_in().await;
            stage.by_key(scene)
        }
        ("readMe" | "updateMe" | "eraseMe" | "exportMe" | "listSessions" | "endSession" | "startPhoneChange", _) => {
            stage.signed_in().await
        }
        ("issueTokens", "receipt") => stage.approved().await,
        ("issueTokens", "refresh") | ("revokeToken", _) => Scene { credential: None, ..stage.signed_in().await },
        ("introspectToken", _) => {
            let scene = stage.signed_in().await;
            stage.by_key(scene)
        }
        _ => panic!("say here what the example {example:?} of {operation} needs"),
    }
}

impl Scene {
    fn live(&self, text: &str) -> String {
        self.real.iter().fold(text.to_owned(), |text, (example, real)| text.replace(example, real))
    }
}

/// Media type, name and body of an operation's examples; one without a body if it takes none.
fn requests(operation: &Value) -> Vec<(String, String, Option<Value>)> {
    let Some(content) = operation["requestBody"]["content"].as_object() else {
        return vec![(String::new(), "no body".to_owned(), None)];
    };
    let of_type = |(media_type, body): (&String, &Value)| {
        let examples = body["examples"].as_object().unwrap().clone();
        let media_type = media_type.clone();
        examples.into_iter().map(move |(name, example)| (media_type.clone(), name, Some(example["value"].clone())))
    };
    content.iter().flat_map(of_type).collect()
}

/// The path with the examples of its parameters in it.
fn example_path(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().unwrap().iter().map(resolve);
    parameters.filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
        path.replace(&name, parameter["example"].as_str().unwrap())
    })
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.to_uppercase().as_bytes()).unwrap()
}

#[tokio::test]
async fn every_example_is_answered_as_documented() {
    let mut stage = Stage::new().await;
    let mut sent = 0;
    for (path, verb, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let expected =
            operation["responses"].as_object().unwrap().keys().find(|status| status.starts_with('2')).unwrap();
        for (media_type, name, body) in requests(operation) {
            let scene = prepare(&mut stage, id, &name).await;
            let mut request =
                stage.app.client.request(method(verb), stage.app.url(&scene.live(&example_path(path, operation))));
            if let Some(body) = body {
                let body: Value = serde_json::from_str(&scene.live(&body.to_string())).unwrap();
                request = match media_type.as_str() {
                    "application/json" => request.json(&body),
                    "multipart/form-data" => {
                        let (boundary, fields) =
                            ("3f1c", serde_json::from_value::<BTreeMap<String, String>>(body).unwrap());
                        let part = |(name, value): (&String, &String)| {
                            format!(
                                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                            )
                        };
                        let parts: String = fields.iter().map(part).collect();
                        let of_type = format!("{media_type}; boundary={boundary}");
                        request.header("content-type", of_type).body(format!("{parts}--{boundary}--\r\n"))
                    }
                    _ => request.form(&serde_json::from_value::<BTreeMap<String, String>>(body).unwrap()),
                };
            }
            if let Some(credential) = &scene.credential {
                request = request.bearer_auth(credential);
            }
            // Reading it holds it to the document.
            let answer = Answer::read(request).await;
            assert_eq!(answer.status.to_string(), *expected, "{id}, {name}, {media_type}: {answer:?}");
            sent += 1;
        }
    }
    assert!(sent >= 34, "only {sent} examples were sent");
    stage.app.stop().await;
}

/// One wrong thing: a credential, a header, a body.
async fn ask_wrongly(stage: &Stage, call: (&str, &str), token: &str, wrong: (&str, &str), body: Option<&str>) {
    let (verb, path) = call;
    let mut request = stage.app.client.request(method(verb), stage.app.url(path)).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    let headers = reqwest::header::HeaderMap::from_iter([(wrong.0.parse().unwrap(), wrong.1.parse().unwrap())]);
    // Reading it holds it to the document.
    let answer = Answer::read(request.headers(headers)).await;
    assert!((400..500).contains(&answer.status), "{verb} {path} took {wrong:?} with {body:?}: {answer:?}");
}

/// Whatever is wrong with the form of a request, the answer is one that the call has in the document.
#[tokio::test]
async fn every_call_refuses_as_documented() {
    let mut stage = Stage::new().await;
    let user = stage.signed_in().await.credential.unwrap();
    let too_large = format!("{{\"to\":\"{}\"}}", "1".repeat(20_000));
    let nothing = ("accept", "*/*");
    for (path, verb, operation) in operations() {
        let callers = operation["security"].as_array().unwrap();
        if callers.is_empty() {
            continue;
        }
        let path = example_path(path, operation);
        let of_user = callers.iter().all(|caller| !caller["accessToken"].is_null());
        let token = if of_user { user.clone() } else { stage.key.clone() };
        let call = (verb, path.as_str());
        for credential in ["Bearer sk_wrong", "Basic c2tfd3Jvbmc6"] {
            ask_wrongly(&stage, call, "", ("authorization", credential), Some("{}")).await;
        }
        if of_user {
            ask_wrongly(&stage, call, "", ("authorization", "Bearer a.b.c"), Some("{}")).await;
        }
        if operation["parameters"].as_array().unwrap().iter().any(|it| resolve(it)["name"] == "Idempotency-Key") {
            ask_wrongly(&stage, call, &token, ("idempotency-key", "a b"), Some("{}")).await;
        }
        if !operation["requestBody"].is_null() {
            let schema = resolve(&operation["requestBody"]["content"]["application/json"]["schema"]);
            let takes_unknown = schema["additionalProperties"] == true;
            ask_wrongly(&stage, call, &token, ("content-type", "text/plain"), Some("{}")).await;
            let unknown = "{\"colour\":1}";
            for body in ["{", "[]", unknown, "{\"to\":1,\"to\":2}", &too_large] {
                if takes_unknown && body == unknown {
                    continue;
                }
                ask_wrongly(&stage, call, &token, nothing, Some(body)).await;
            }
        }
    }
    stage.app.stop().await;
}

/// The refusals that a dialect shows are word for word those it gives: each has its own form, and clients read it.
#[tokio::test]
async fn every_dialect_shows_the_refusals_it_gives() {
    let stage = Stage::new().await;
    let too_large = format!("{{\"phone_number\":\"{}\"}}", "1".repeat(20_000));
    let mut compared = 0;
    for (path, verb, operation) in operations() {
        let tag = operation["tags"][0].as_str().unwrap();
        if dialect::find(tag).is_none() {
            continue;
        }
        let nothing = ("application/json", "");
        let bad = [nothing, ("application/json", &too_large), ("text/plain", "{}")];
        for (media_type, body) in if operation["requestBody"].is_null() { &bad[..1] } else { &bad } {
            let request = stage.app.client.request(method(verb), stage.app.url(path));
            let answer = Answer::read(request.header("content-type", *media_type).body((*body).to_owned())).await;
            if !matches!(answer.status, 401 | 413 | 415) {
                continue;
            }
            let response = resolve(&operation["responses"][answer.status.to_string()]);
            let examples = response["content"]["application/json"]["examples"].as_object().unwrap();
            let is_shown = examples.values().any(|example| example["value"] == answer.body);
            assert!(is_shown, "{verb} {path} answers {answer:?}, and shows {examples:?}");
            compared += 1;
        }
    }
    assert!(compared >= 30, "only {compared} refusals were compared");
    stage.app.stop().await;
}
