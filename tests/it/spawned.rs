//! The binary as a process of its own: real store, console gateway, its streams captured.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
};

use crate::harness::Answer;

/// Longest wait for a line: far beyond what a busy machine needs, so that a hang is a failure and not a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `otpd serve`. Ended when dropped.
pub(crate) struct Spawned {
    child: Child,
    _data: tempfile::TempDir,
    pub(crate) client: reqwest::Client,
    address: String,
    ops_address: String,
    output: Lines,
    log: Lines,
}

/// What a stream gave so far.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (lines, mut reader) = (Self::default(), BufReader::new(stream).lines());
        let kept = lines.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = reader.next_line().await {
                kept.0.lock().unwrap().push(line);
            }
        });
        lines
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The newest line that `wanted` takes something from, now or as soon as it comes.
    async fn find<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let look = async {
            loop {
                if let Some(found) = self.all().iter().rev().find_map(|line| wanted(line)) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("no such line in {:#?}", self.all()))
    }
}

impl Spawned {
    /// Starts the binary with JSON logs at trace and codes of ten digits, which nothing else in a log looks like.
    pub(crate) async fn start(data: tempfile::TempDir) -> Self {
        Self::start_with(data, &[]).await
    }

    /// The same with some settings changed, by their names in the environment.
    pub(crate) async fn start_with(data: tempfile::TempDir, changes: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
        command.env_clear().args(["serve"]).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("OTPD__STORE__PATH", data.path());
        for (name, value) in [
            ("SERVER__LISTEN", "127.0.0.1:0"),
            ("OPS__LISTEN", "127.0.0.1:0"),
            ("LOG__FORMAT", "json"),
            ("LOG__FILTER", "trace"),
            ("STORE__FREE_MIB_MIN", "0"),
            ("STORE__CACHE_MIB", "8"),
            ("CODES__DIGITS", "10"),
            ("CODES__COOLDOWN_S", "0"),
            ("LIMITS__SENDS_PER_WINDOW", "6"),
        ] {
            command.env(format!("OTPD__{name}"), value);
        }
        command.envs(changes.iter().map(|(name, value)| (format!("OTPD__{name}"), value)));
        let mut child = command.spawn().unwrap();
        let output = Lines::follow(child.stdout.take().unwrap());
        let log = Lines::follow(child.stderr.take().unwrap());
        let ready = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            let address = |name: &str| Some(event[name].as_str()?.to_owned());
            (event["message"] == "otpd is ready").then(|| Some((address("listen")?, address("ops")?)))?
        };
        let (address, ops_address) = log.find(ready).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { child, _data: data, client, address, ops_address, output, log }
    }

    /// Its process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `POST` with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::read(self.client.post(self.url(path)).json(&body)).await
    }

    /// `POST` with a credential.
    pub(crate) async fn post_as(&self, token: &str, path: &str, body: Value) -> Answer {
        Answer::read(self.client.post(self.url(path)).bearer_auth(token).json(&body)).await
    }

    /// The operators' figures.
    pub(crate) async fn metrics(&self) -> String {
        Answer::read(self.client.get(format!("http://{}/metrics", self.ops_address))).await.raw
    }

    /// Starts a verification and reads its code from standard output: id and code.
    pub(crate) async fn start_for(&self, to: &str, purpose: &str) -> (String, String) {
        let started = self.post("/v1/verifications", json!({ "to": to, "purpose": purpose })).await;
        assert_eq!(started.status, 201, "{started:?}");
        (started.text("id"), self.code(to).await)
    }

    /// The newest code that was sent to a number.
    pub(crate) async fn code(&self, to: &str) -> String {
        let prefix = format!("[console sms] to {to}: ");
        let code = |line: &str| {
            let text = line.strip_prefix(&prefix)?;
            text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() == 10).map(str::to_owned)
        };
        self.output.find(code).await
    }

    /// All that was logged so far, line by line. Ends behind the line of the newest request.
    pub(crate) async fn log(&self) -> Vec<String> {
        let mark = "the-last-one";
        let request = self.client.get(self.url("/errors/scope")).header("request-id", mark);
        assert_eq!(Answer::read(request).await.status, 200);
        self.log.find(|line| (line.contains(mark) && line.contains("otpd::access")).then_some(())).await;
        self.log.all()
    }
}
