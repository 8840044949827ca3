//! Receipts that nobody signs, over a whole server with the provider's fake behind it: a secret in the path and a list of
//! networks let them in, and Kavenegar's are believed only as far as its `sms/status` says the same (security 115).

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use otpd::{
    app::{App, Ended, World},
    settings::Settings,
    shutdown::Shutdown,
    store::memory::MemoryStore,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_kavenegar::{self, DELIVERED, QUEUED, UNDELIVERED},
    fake_mshastra,
    kit::TO,
};

/// How the path of receipts ends.
const SECRET: &str = "3q7ZkT0hVw_1mXcR8dLfPz2-Ns";
/// An address that receipts may come from, and one that they may not.
const NEAR: &str = "203.0.113.7";
const FAR: &str = "198.51.100.7";

/// A server with one real gateway. The proxy in front of it, which is the test, says who posts.
struct Server {
    address: SocketAddr,
    client: reqwest::Client,
    shutdown: Shutdown,
    running: JoinHandle<Ended>,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start(gateway: &str, fake: &FakeHttp, table: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n[ops]\nlisten = \"127.0.0.1:0\"\n\
             [store]\npath = {:?}\n[sms]\ngateway = \"{gateway}\"\n[sms.{gateway}]\nbase_url = \"{}\"\n\
             receipts_secret = \"{SECRET}\"\nreceipts_ips = [\"203.0.113.0/24\"]\n{table}",
            directory.path().join("data"),
            fake.base_url()
        );
        let path = directory.path().join("otpd.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let settings = Settings::load(Some(&path), []).unwrap();
        fs::create_dir(&settings.store.path).unwrap();
        let world = World { store: Some(Arc::new(MemoryStore::new(false))), ..World::default() };
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let app = App::start(&settings, world, shutdown.clone()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let address = app.address();
        Self { address, client, shutdown, running: tokio::spawn(app.run()), _directory: directory }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a code; the verification's id.
    async fn verification(&self) -> String {
        let answer = self.client.post(self.url("/v1/verifications")).json(&json!({ "to": TO })).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// How far its only message has come.
    async fn state(&self, id: &str) -> String {
        let answer = self.client.get(self.url(&format!("/v1/verifications/{id}"))).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["deliveries"].as_array().map(Vec::len), Some(1), "{body}");
        body["deliveries"][0]["status"].as_str().unwrap().to_owned()
    }

    /// Posts a receipt from that address; the status of the answer.
    async fn posted(&self, path: &str, from: &str, body: &str) -> u16 {
        let kind = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
        let request = self.client.post(self.url(path)).header("x-forwarded-for", from).header("content-type", kind);
        request.body(body.to_owned()).send().await.unwrap().status().as_u16()
    }

    async fn stop(self) {
        self.shutdown.begin();
        assert_eq!(self.running.await.unwrap(), Ended::Stopped);
    }
}

fn kavenegar() -> String {
    format!("api_key = \"{}\"\n", fake_kavenegar::API_KEY)
}

/// A push moves a message only as far as `sms/status` says: one that claims more moves nothing.
#[tokio::test]
async fn kavenegars_push_is_believed_once_its_status_says_so() {
    let (fake, statuses) = fake_kavenegar::start_with_statuses().await;
    let server = Server::start("kavenegar", &fake, &kavenegar()).await;
    let path = format!("/v1/receipts/kavenegar/{SECRET}");
    let id = server.verification().await;
    let message = statuses.ids().pop().unwrap();
    // Forged, by somebody who knows path and id: the message is still queued.
    let forged = format!("messageid={message}&status={DELIVERED}");
    assert_eq!(server.posted(&path, NEAR, &forged).await, 204);
    assert_eq!(server.state(&id).await, "accepted");
    for (status, state) in [(QUEUED, "accepted"), (4, "sent"), (5, "sent"), (DELIVERED, "delivered")] {
        statuses.set(&message, status);
        // What the push itself says is not even read.
        let push = format!("messageid={message}&status={UNDELIVERED}");
        assert_eq!(server.posted(&path, NEAR, &push).await, 204);
        assert_eq!(server.state(&id).await, state);
    }
    assert_eq!(fake.taken().iter().filter(|asked| asked.field("messageid") == Some(&message)).count(), 5);
    // By GET too, and of a message that is none.
    let get = server.client.get(server.url(&format!("{path}?messageid={message}&status=10")));
    assert_eq!(get.header("x-forwarded-for", NEAR).send().await.unwrap().status(), 204);
    assert_eq!(server.posted(&path, NEAR, "messageid=1&status=10").await, 204);
    assert_eq!(fake.violations(), Vec::<&str>::new());
    server.stop().await;
}

/// Without the secret, or from elsewhere, Kavenegar is not even asked; and what it does not answer may be posted again.
#[tokio::test]
async fn kavenegar_is_asked_only_for_who_may_post() {
    let (fake, statuses) = fake_kavenegar::start_with_statuses().await;
    let server = Server::start("kavenegar", &fake, &kavenegar()).await;
    let id = server.verification().await;
    let message = statuses.ids().pop().unwrap();
    statuses.set(&message, DELIVERED);
    let (push, before) = (format!("messageid={message}&status=10"), fake.requests());
    let path = format!("/v1/receipts/kavenegar/{SECRET}");
    for (path, from) in [
        ("/v1/receipts/kavenegar", NEAR),
        (&format!("/v1/receipts/kavenegar/{}", SECRET.to_lowercase()), NEAR),
        (&path, FAR),
        (&path, "127.0.0.1"),
    ] {
        assert_eq!(server.posted(path, from, &push).await, 401, "{path} {from}");
    }
    assert_eq!((fake.requests(), server.state(&id).await), (before, "accepted".to_owned()));
    for no_answer in [Reply::new(500, ""), Reply::new(200, "<html>"), fake_kavenegar::error_in_success(403)] {
        fake.next(Step::Answer(no_answer));
        assert_eq!(server.posted(&path, NEAR, &push).await, 503);
        assert_eq!(server.state(&id).await, "accepted");
    }
    assert_eq!(server.posted(&path, NEAR, &push).await, 204);
    assert_eq!((server.state(&id).await, fake.violations()), ("delivered".to_owned(), Vec::new()));
    server.stop().await;
}

/// The fake holds the key and the list of `sms/status` to the provider's rules.
#[tokio::test]
async fn the_fake_refuses_a_wrong_key_and_a_wrong_list() {
    let fake = fake_kavenegar::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |key: &str, ids: &str| {
        let request = client.post(format!("{}/v1/{key}/sms/status.json", fake.base_url()));
        let answer = request.header("accept", "application/json").form(&[("messageid", ids)]).send().await.unwrap();
        answer.status().as_u16()
    };
    let many = vec!["1"; 501].join(",");
    assert_eq!(ask(fake_kavenegar::API_KEY, "1,2").await, 200);
    assert_eq!(ask("WrongKey5f1c", "1").await, 403);
    assert_eq!(ask(fake_kavenegar::API_KEY, "").await, 400);
    assert_eq!(ask(fake_kavenegar::API_KEY, "1,a").await, 400);
    assert_eq!(ask(fake_kavenegar::API_KEY, &many).await, 414);
    assert_eq!(fake.violations(), ["credentials", "messageid", "messageid", "messageid"]);
}

/// mShastra has nothing to ask: secret and network are all that stands between a stranger and "delivered".
#[tokio::test]
async fn mshastras_callback_needs_the_secret_and_a_network() {
    let fake = fake_mshastra::start().await;
    let (user, password, sender) = (fake_mshastra::USER, fake_mshastra::PASSWORD, fake_mshastra::SENDER);
    let table = format!("user = \"{user}\"\npassword = \"{password}\"\nsender = \"{sender}\"\n");
    let server = Server::start("mshastra", &fake, &table).await;
    let id = server.verification().await;
    let path = format!("/v1/receipts/mshastra/{SECRET}");
    // The first id that the fake gives out.
    let told = |state: &str| json!({ "msg_id": "71000001", "status": state }).to_string();
    for (path, from) in [
        ("/v1/receipts/mshastra", NEAR),
        (&path[..path.len() - 1], NEAR),
        ("/v1/receipts/kavenegar/3q7ZkT0hVw_1mXcR8dLfPz2-Ns", NEAR),
        (&path, FAR),
    ] {
        let expected = if path.contains("kavenegar") { 404 } else { 401 };
        assert_eq!(server.posted(path, from, &told("DELIVRD")).await, expected, "{path} {from}");
    }
    assert_eq!(server.state(&id).await, "accepted");
    // Of no message of ours, and of no known state.
    let other = json!({ "msg_id": "71000002", "status": "DELIVRD" }).to_string();
    for nothing in [other, told("UNKNOWN"), "{}".to_owned()] {
        assert_eq!(server.posted(&path, NEAR, &nothing).await, 204);
        assert_eq!(server.state(&id).await, "accepted");
    }
    for (word, state) in [("SENT", "sent"), ("UNDELIV", "undelivered")] {
        assert_eq!(server.posted(&path, NEAR, &told(word)).await, 204);
        assert_eq!(server.state(&id).await, state);
    }
    assert_eq!(fake.requests(), 1, "nobody is asked");
    server.stop().await;
}
