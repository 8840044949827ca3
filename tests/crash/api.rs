//! Requests to the server under test: one verb, one answer, and the two ways it can go wrong.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// Longest that an answer may take, in seconds: far above every time-out of a server that works.
const ANSWER_S: u64 = 60;

/// Why a worker cannot go on.
pub(crate) enum Stop {
    /// No answer: the server has died. What was asked may have happened.
    Gone(String),
    /// An answer that must not be.
    Broken(String),
}

/// What a step comes to.
pub(crate) type Outcome<T> = Result<T, Stop>;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(why) => write!(f, "no answer from a living server: {why}"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

impl Answer {
    /// A text of the body, empty if it is not there.
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_default().to_owned()
    }

    /// A figure of the body.
    pub(crate) fn figure(&self, field: &str) -> Option<u64> {
        self.body[field].as_u64()
    }

    /// True for this status and, if it is not empty, this code (`/v1`) or error (`/oauth`).
    pub(crate) fn is(&self, status: u16, code: &str) -> bool {
        let found = self.body["code"].as_str().or_else(|| self.body["error"].as_str());
        self.status == status && (code.is_empty() || found == Some(code))
    }

    /// The answer must be this one.
    pub(crate) fn must(self, what: &str, status: u16, code: &str) -> Outcome<Self> {
        if self.is(status, code) { Ok(self) } else { self.broken(&format!("{what}: want {status} {code}")) }
    }

    /// Whatever was expected, it was not this.
    pub(crate) fn broken<T>(&self, what: &str) -> Outcome<T> {
        Err(Stop::Broken(format!("{what}; got {self:?}")))
    }
}

/// A request besides method, path and body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct With<'a> {
    /// Access token.
    pub(crate) token: Option<&'a str>,
    /// `Idempotency-Key`.
    pub(crate) key: Option<&'a str>,
}

impl<'a> With<'a> {
    /// Signed in.
    pub(crate) fn token(token: &'a str) -> Self {
        Self { token: Some(token), key: None }
    }

    /// Repeatable.
    pub(crate) fn key(key: Option<&'a str>) -> Self {
        Self { token: None, key }
    }
}

/// One running server's door.
#[derive(Debug)]
pub(crate) struct Api {
    client: reqwest::Client,
    address: std::net::SocketAddr,
}

impl Api {
    pub(crate) fn new(address: std::net::SocketAddr) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .retry(reqwest::retry::never())
            .timeout(Duration::from_secs(ANSWER_S))
            .build()
            .unwrap();
        Self { client, address }
    }

    pub(crate) async fn get(&self, path: &str, with: With<'_>) -> Outcome<Answer> {
        self.ask(Method::GET, path, None, with).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value, with: With<'_>) -> Outcome<Answer> {
        self.ask(Method::POST, path, Some(body), with).await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        with: With<'_>,
    ) -> Outcome<Answer> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = with.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = with.key {
            request = request.header("Idempotency-Key", key);
        }
        let gone = |error: reqwest::Error| Stop::Gone(format!("{path}: {error:?}"));
        let response = request.send().await.map_err(gone)?;
        let (status, replayed) = (response.status().as_u16(), response.headers().contains_key("idempotency-replayed"));
        let raw = response.bytes().await.map_err(gone)?;
        Ok(Answer { status, replayed, body: serde_json::from_slice(&raw).unwrap_or(Value::Null) })
    }

    /// Sends a whole `POST` and hangs up without waiting for the answer.
    pub(crate) async fn post_and_hang_up(&self, path: &str, body: &Value, key: &str, request_id: &str) -> Outcome<()> {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Idempotency-Key: {key}\r\nRequest-Id: {request_id}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let written = async { TcpStream::connect(self.address).await?.write_all(request.as_bytes()).await };
        written.await.map_err(|error| Stop::Gone(format!("{path}: {error}")))
    }
}

/// The claims of one of our tokens.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap_or_default()).unwrap_or(Value::Null)
}
