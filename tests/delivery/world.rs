//! A server over two providers, and people who sign in.

use std::{sync::Arc, time::Duration};

use otpd::{
    app::{App, Ended, World},
    settings::Settings,
    shutdown::Shutdown,
};
use serde_json::{Value, json};

use crate::{
    fake_http::FakeHttp,
    fake_kavenegar,
    fake_twilio::{self, FakeTwilio},
};

/// Twilio first, then Kavenegar.
pub(crate) struct Providers {
    pub(crate) twilio: FakeTwilio,
    pub(crate) kavenegar: FakeHttp,
}

impl Providers {
    pub(crate) async fn start() -> Self {
        Self { twilio: FakeTwilio::start().await, kavenegar: fake_kavenegar::start().await }
    }

    /// A settings file with both, and what a test adds.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n[limits]\nip_per_minute = 0\n\
             [store]\nfree_mib_min = 0\n[sms.twilio]\nbase_url = \"{}\"\naccount_sid = \"{}\"\nauth_token = \"{}\"\n\
             from = \"{}\"\ntimeout_ms = 300\n[sms.kavenegar]\nbase_url = \"{}\"\napi_key = \"{}\"\nsender = \"{}\"\n\
             timeout_ms = 5000\n{more}",
            self.twilio.base_url(),
            fake_twilio::ACCOUNT_SID,
            fake_twilio::AUTH_TOKEN,
            fake_twilio::SENDER,
            self.kavenegar.base_url(),
            fake_kavenegar::API_KEY,
            fake_kavenegar::LINE,
        )
    }

    /// Messages to a number that each of them took.
    pub(crate) fn taken_for(&self, to: &str) -> (usize, usize) {
        (self.twilio.messages_to(to).len(), self.by_kavenegar(to).len())
    }

    /// The code that arrived, by whomever.
    pub(crate) fn code(&self, to: &str) -> String {
        let by_kavenegar = self.by_kavenegar(to).pop().and_then(|text| code_of(&text));
        by_kavenegar.or_else(|| self.twilio.newest_code(to)).unwrap_or_else(|| panic!("no code for {to}"))
    }

    fn by_kavenegar(&self, to: &str) -> Vec<String> {
        let local = to.replacen("+98", "0", 1);
        let taken = self.kavenegar.taken().into_iter().filter(|message| message.to == local);
        taken.map(|message| message.field("message").unwrap().to_owned()).collect()
    }
}

fn code_of(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() >= 4).map(str::to_owned)
}

/// A server in this process, with the embedded store and the true clock.
pub(crate) struct Server {
    url: String,
    client: reqwest::Client,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Ended>,
    _data: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(settings: &str) -> Arc<Self> {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("otpd.toml");
        std::fs::write(&file, settings).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let path = ("OTPD__STORE__PATH".to_owned(), data.path().join("data").to_str().unwrap().to_owned());
        let settings = Settings::load(Some(&file), [path]).unwrap();
        let shutdown = Shutdown::new(Duration::from_secs(10));
        let app = App::start(&settings, World::default(), shutdown.clone()).await.unwrap();
        let url = format!("http://{}", app.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let running = tokio::spawn(app.run());
        Arc::new(Self { url, client, shutdown, running, _data: data })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.client.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Starts a verification; it.
    pub(crate) async fn start_for(&self, to: &str, channel: &str) -> Value {
        let (status, started) = self.post("/v1/verifications", json!({ "to": to, "channel": channel })).await;
        assert_eq!(status, 201, "{started}");
        started
    }

    /// Signs a number in with the code that arrives; by which route it came.
    pub(crate) async fn sign_in(&self, providers: &Providers, to: &str) -> String {
        let started = self.start_for(to, "sms").await;
        self.sign_in_by(providers, started["id"].as_str().unwrap(), to).await;
        started["deliveries"][0]["route"].as_str().unwrap().to_owned()
    }

    /// Signs in by a verification that is there, with the code that arrived.
    pub(crate) async fn sign_in_by(&self, providers: &Providers, id: &str, to: &str) {
        let body = json!({ "verification_id": id, "code": providers.code(to) });
        let (status, tokens) = self.post("/v1/sessions", body).await;
        assert_eq!(status, 200, "{tokens}");
    }

    /// Stops in order.
    pub(crate) async fn stop(self: Arc<Self>) {
        self.shutdown.begin();
        let Ok(server) = Arc::try_unwrap(self) else { panic!("somebody still signs in") };
        assert_eq!(server.running.await.unwrap(), Ended::Stopped);
    }
}

/// Waits for something that comes to pass by itself.
pub(crate) async fn until(what: impl Fn() -> bool) {
    let waits = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("it comes to pass");
}
