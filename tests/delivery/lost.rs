//! `kill -9` after a send was counted and before the provider had it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::fake_twilio::{self, FakeTwilio};

const TO: &str = "+989123456789";

/// The binary, killed when dropped.
struct Process {
    child: Child,
    url: String,
    ops: String,
}

impl Process {
    fn start(directory: &Path, twilio: &str, patience_ms: u64) -> Self {
        let file = directory.join("otpd.toml");
        let settings = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n\
             [store]\npath = \"{}\"\nfree_mib_min = 0\n\
             [sms]\ngateway = \"twilio\"\nattempt_timeout_ms = {patience_ms}\nretry_backoff_ms = 0\nretry_after_max_ms = 0\n\
             send_deadline_ms = {}\n[spend]\nper_day = \"100\"\ndefault_price = \"1\"\n\
             [sms.twilio]\nbase_url = \"{twilio}\"\naccount_sid = \"{}\"\nauth_token = \"{}\"\nfrom = \"{}\"\n\
             timeout_ms = {patience_ms}\nconnect_timeout_ms = {patience_ms}\n",
            directory.join("data").display(),
            (2 * patience_ms + 200).max(1_000),
            fake_twilio::ACCOUNT_SID,
            fake_twilio::AUTH_TOKEN,
            fake_twilio::SENDER,
        );
        fs::write(&file, settings).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
        command.env_clear().args(["serve", "--config", file.to_str().unwrap()]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let mut ready = log.by_ref().map(Result::unwrap).inspect(|line| said.push_str(line));
        let ready = ready.find(|line| line.contains("otpd is ready"));
        let event: Value = serde_json::from_str(&ready.unwrap_or_else(|| panic!("not ready: {said}"))).unwrap();
        let address = |key: &str| format!("http://{}", event[key].as_str().unwrap());
        let (url, ops) = (address("listen"), address("ops"));
        std::thread::spawn(move || log.for_each(drop));
        Self { child, url, ops }
    }

    async fn ask(&self, key: &str) -> Response {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let request = client.post(format!("{}/v1/verifications", self.url)).header("idempotency-key", key);
        request.json(&json!({ "to": TO })).send().await.unwrap()
    }

    async fn metric(&self, series: &str) -> f64 {
        let client = Client::builder().no_proxy().build().unwrap();
        let page = client.get(format!("{}/metrics", self.ops)).send().await.unwrap().text().await.unwrap();
        let found = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("no {series}"))
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// security 43, and DESIGN 1: the window is not lost, nothing is billed twice, and the retry with the same key gets one
/// message.
#[tokio::test]
async fn a_kill_between_counting_and_sending() {
    let directory = tempfile::tempdir().unwrap();
    // Takes connections and never reads: nothing that was written to it was ever seen by anyone.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Process::start(directory.path(), &format!("http://{}", deaf.local_addr().unwrap()), 10_000);
    let url = server.url.clone();
    let client = tokio::spawn(async move {
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{url}/v1/verifications")).header("idempotency-key", "once");
        request.json(&json!({ "to": TO })).send().await.map(|answer| answer.status())
    });
    let _connection = deaf.accept().await.unwrap();
    server.kill();
    assert!(client.await.unwrap().is_err(), "nobody was answered");

    let twilio = FakeTwilio::start().await;
    let server = Process::start(directory.path(), &twilio.base_url(), 300);
    assert_eq!(server.ask("another").await.status(), 429, "the send is counted");
    // Its money, and the hundredth of the budget that was leased ahead.
    let left = "otpd_budget_left_micros{country=\"all\"}";
    let left_before = server.metric(left).await;
    assert!((98_000_000.0..=99_000_000.0).contains(&left_before), "{left_before}");
    let begin = Instant::now();
    let answer = loop {
        let answer = server.ask("once").await;
        if answer.status() != 409 {
            break answer;
        }
        assert_eq!(twilio.messages().len(), 0, "not before the first counts as lost");
        assert!(begin.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(answer.status(), 201);
    let quota = answer.headers()["ratelimit"].to_str().unwrap().to_owned();
    assert!(quota.starts_with("\"sends\";r=2;"), "one of three: {quota}");
    let started: Value = answer.json().await.unwrap();
    let again: Value = server.ask("once").await.json().await.unwrap();
    assert_eq!(again["id"], started["id"], "and again the same answer");
    assert_eq!((twilio.messages().len(), twilio.requests()), (1, 1));
    assert_eq!(server.metric(left).await, left_before, "it was paid for before the kill");
}
