//! The demo's requests and answers, and what an answer that is not as expected means to a person.

use std::{error::Error as _, time::Duration};

use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, HeaderMap, RETRY_AFTER},
    redirect,
};
use serde_json::Value;

use crate::cli::Failed;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take: longer than the server waits for a provider (25 s).
const TIMEOUT: Duration = Duration::from_secs(40);

/// Most bytes of an answer: ours have a few KiB, and another server's must not fill the memory.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A request, as it is sent and shown.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) bearer: Option<&'a str>,
    pub(super) idempotency_key: Option<String>,
    pub(super) body: Body<'a>,
}

#[derive(Debug)]
pub(super) enum Body<'a> {
    None,
    Json(Value),
    Form(Vec<(&'static str, &'a str)>),
}

impl<'a> Call<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, bearer: None, idempotency_key: None, body: Body::None }
    }

    pub(super) fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn post(path: &'a str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(super) fn patch(path: &'a str) -> Self {
        Self::new(Method::PATCH, path)
    }

    pub(super) fn bearer(self, token: &'a str) -> Self {
        Self { bearer: Some(token), ..self }
    }

    pub(super) fn idempotency_key(self, key: String) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }

    pub(super) fn json(self, body: Value) -> Self {
        Self { body: Body::Json(body), ..self }
    }

    pub(super) fn form<const N: usize>(self, fields: [(&'static str, &'a str); N]) -> Self {
        Self { body: Body::Form(fields.to_vec()), ..self }
    }
}

/// A plain client: no proxy, no redirects, a new connection for each request (a person may think long between two).
#[derive(Debug)]
pub(super) struct Client {
    client: reqwest::Client,
    base: String,
}

impl Client {
    pub(super) fn new(url: &Url) -> Result<Self, Failed> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("otpd-demo/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|_| Failed::new("cannot make an HTTP client: are the system's certificates there?"))?;
        Ok(Self { client, base: url.as_str().trim_end_matches('/').to_owned() })
    }

    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, Failed> {
        let mut request = self.client.request(call.method, format!("{}{}", self.base, call.path));
        if let Some(token) = call.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        request = match &call.body {
            Body::None => request,
            Body::Json(body) => request.json(body),
            Body::Form(fields) => request.form(fields),
        };
        let mut response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.no_answer(&error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(Failed::new("the answer is longer than 1 MiB: this is no otpd"));
            }
        }
        let body = if bytes.is_empty() { Payload::Empty } else { Payload::read(&bytes) };
        Ok(Answer { status: status.as_u16(), reason: status.canonical_reason().unwrap_or_default(), headers, body })
    }

    fn no_answer(&self, error: &reqwest::Error) -> Failed {
        if error.is_timeout() {
            return Failed::new(format!("the server at {} does not answer in time", self.base));
        }
        if error.is_connect() {
            return Failed::new(format!(
                "no server answers at {}: start one with `otpd serve`, or say where it is with --url",
                self.base
            ));
        }
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Failed::new(format!("the request to {} failed{cause}", self.base))
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
}

/// An answer's body.
#[derive(Debug)]
pub(super) enum Payload {
    Empty,
    Json(Value),
    /// Something else, of so many bytes.
    Other(usize),
}

impl Payload {
    fn read(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).map_or(Self::Other(bytes.len()), Self::Json)
    }
}

impl Answer {
    /// The body, if the status is the expected one; else what it means and what to do.
    pub(super) fn expect(self, status: u16) -> Result<Value, Failed> {
        if self.status != status {
            return Err(self.explained());
        }
        Ok(match self.body {
            Payload::Json(body) => body,
            Payload::Empty | Payload::Other(_) => Value::Null,
        })
    }

    /// A wrong code that leaves tries: whoever typed it may type another.
    pub(super) fn is_a_typo(&self) -> bool {
        self.status == 400 && matches!(self.field("code"), Some("code_incorrect" | "code_format"))
    }

    fn field(&self, name: &str) -> Option<&str> {
        match &self.body {
            Payload::Json(body) => body.get(name).and_then(Value::as_str),
            Payload::Empty | Payload::Other(_) => None,
        }
    }

    fn explained(&self) -> Failed {
        let code = self.field("code").or_else(|| self.field("error")).unwrap_or_default();
        let detail = self.field("detail").or_else(|| self.field("error_description")).or_else(|| self.field("title"));
        let wait = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let advice = match (code, wait) {
            ("send_limited", Some(wait)) => {
                format!("the number gets no further message for now: try again in {wait} s, or take another with --to")
            }
            (_, Some(wait)) if self.status == 429 || self.status == 503 => format!("try again in {wait} s"),
            ("invalid_key", _) => {
                "the server wants an API key (api.require_key), and the demo has none: run it against a server without"
                    .to_owned()
            }
            ("delivery_failed" | "outcome_unknown", _) => {
                "the message was not sent: the demo suits the console gateway (sms.gateway = \"console\")".to_owned()
            }
            ("", _) => "this does not look like an otpd: is --url right?".to_owned(),
            _ => detail.unwrap_or("not what was expected").to_owned(),
        };
        let name = if code.is_empty() { self.reason } else { code };
        Failed::new(format!("the server answered {} {name}: {advice}", self.status))
    }
}
