//! The binary with a data directory of the test's own, and a server of it that stops with the test.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// Longest wait for anything; only a broken test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with data and settings.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The data directory; not there before the first start.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A command on this data, without the test's own environment.
    pub(crate) fn command(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otpd"));
        command
            .args(arguments)
            .env_clear()
            .current_dir(self.directory.path())
            .env("OTPD__STORE__PATH", self.data())
            .env("OTPD__SERVER__LISTEN", "127.0.0.1:0")
            .env("OTPD__OPS__LISTEN", "127.0.0.1:0")
            // Tokens stay good when another port is given after a restart.
            .env("OTPD__SERVER__PUBLIC_URL", "http://otpd.test")
            .env("OTPD__LOG__FORMAT", "json")
            .env("OTPD__STORE__FREE_MIB_MIN", "0")
            .env("OTPD__STORE__CACHE_MIB", "16")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, &[]).await
    }

    /// Likewise, with settings.
    pub(crate) async fn run_with(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Said {
        let output = timeout(PATIENCE, self.command(arguments, settings).output());
        Said::from(output.await.expect("the command ends").unwrap())
    }

    /// Starts the server and waits until it says that it is ready. Its standard output goes into `printed`.
    pub(crate) async fn serve(&self) -> Server {
        let printed = std::fs::File::create(self.path("printed")).unwrap();
        let mut command = self.command(&["serve"], &[]);
        let mut child = command.stdout(printed).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = timeout(PATIENCE, ready(&mut log)).await.expect("the server gets ready");
        let log = tokio::spawn(async move {
            // A log that nobody reads would block the server.
            while let Ok(Some(_)) = log.next_line().await {}
        });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Server { child, url, printed: self.path("printed"), client, _log: log }
    }
}

/// The address of the line that says so.
async fn ready(log: &mut Lines<BufReader<ChildStderr>>) -> String {
    let mut before = Vec::new();
    while let Some(line) = log.next_line().await.unwrap() {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if event["message"] == "otpd is ready" {
            return format!("http://{}", event["listen"].as_str().unwrap());
        }
        before.push(line);
    }
    panic!("the server ended: {before:#?}")
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { exit: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// Asserts that all went well; standard output.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!(self.exit, Some(0), "{self:#?}");
        self.out
    }

    /// Asserts how it ended and what the person is told.
    #[track_caller]
    pub(crate) fn failed(&self, exit: i32, told: &str) {
        assert_eq!(self.exit, Some(exit), "{self:#?}");
        assert!(self.err.contains(told), "{self:#?}");
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    printed: PathBuf,
    client: reqwest::Client,
    _log: tokio::task::JoinHandle<()>,
}

impl Server {
    /// What it prints to standard output.
    pub(crate) fn printed(&self) -> &Path {
        &self.printed
    }

    /// Asks it to stop, as a service manager does, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let ended = timeout(PATIENCE, self.child.wait()).await.expect("the server stops").unwrap();
        assert!(ended.success(), "{ended}");
    }

    /// `POST` with a JSON body and perhaps a credential: status and body.
    pub(crate) async fn post(&self, path: &str, credential: Option<&str>, body: Value) -> (u16, Value) {
        let mut request = self.client.post(format!("{}{path}", self.url)).json(&body);
        if let Some(credential) = credential {
            request = request.bearer_auth(credential);
        }
        read(request).await
    }

    /// `PATCH /v1/me`.
    pub(crate) async fn patch_me(&self, token: &str, body: Value) -> (u16, Value) {
        read(self.client.patch(format!("{}/v1/me", self.url)).bearer_auth(token).json(&body)).await
    }

    /// `GET /v1/me`.
    pub(crate) async fn me(&self, token: &str) -> (u16, Value) {
        read(self.client.get(format!("{}/v1/me", self.url)).bearer_auth(token)).await
    }

    /// Signs a number in from nothing; the tokens.
    pub(crate) async fn sign_in(&self, to: &str) -> Value {
        let (status, started) = self.post("/v1/verifications", None, json!({ "to": to })).await;
        assert_eq!(status, 201, "{started}");
        let code = self.code(to);
        let body = json!({ "verification_id": started["id"], "code": code });
        let (status, tokens) = self.post("/v1/sessions", None, body).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    /// The newest code printed for a number.
    pub(crate) fn code(&self, to: &str) -> String {
        let printed = std::fs::read_to_string(&self.printed).unwrap();
        let mark = format!("[console sms] to {to}: ");
        let text = printed.lines().rev().find_map(|line| line.strip_prefix(&mark)).unwrap();
        text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).unwrap().to_owned()
    }
}

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}
