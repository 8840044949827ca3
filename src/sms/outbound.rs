//! One HTTP call to a provider: what every gateway over HTTP has in common.
//!
//! Owns the limits of the client (security 107), the form of a base URL, and what it means that no answer came. Never
//! says what an answer means, never repeats a request, and never shows a URL or a body: either can hold a credential,
//! the number or the code (security 110).

use std::{error::Error, net::IpAddr, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header, redirect};

use super::{SendClass, SendError, SettingError};

/// Limits of the calls to one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Longest time of one try, connecting and reading included, in milliseconds, 1 to 60,000. Default
    /// 8,000: providers answer within a second or two, and a person waits.
    pub timeout_ms: u64,
    /// Longest time to connect, in milliseconds, 1 to 60,000; at most three quarters of `timeout_ms` is taken, because
    /// only a failure to connect is known to have sent nothing. Default 3,000, one lost SYN and its repeat.
    pub connect_timeout_ms: u64,
    /// Longest answer that is read, in bytes, 1,024 and up. Default 64 KiB; real answers have about 1 KiB.
    pub response_bytes_max: usize,
    /// Most idle connections kept. Default 256: a burst beyond it connects anew, and commits let sends go in bursts of a
    /// hundred. With 64, a quarter of 8,000 sends a second connected.
    pub connections_idle_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { timeout_ms: 8_000, connect_timeout_ms: 3_000, response_bytes_max: 64 * 1024, connections_idle_max: 256 }
    }
}

impl HttpLimits {
    pub(crate) fn check(&self, gateway: &'static str) -> Result<(), SettingError> {
        let table = [
            ("timeout_ms", (1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms), "must be 1 to 60000"),
            ("connect_timeout_ms", (1..=TIMEOUT_MS_MAX).contains(&self.connect_timeout_ms), "must be 1 to 60000"),
            ("response_bytes_max", self.response_bytes_max >= RESPONSE_BYTES_MIN, "must be at least 1024"),
        ];
        match table.into_iter().find(|(_, holds, _)| !holds) {
            Some((name, _, reason)) => Err(SettingError::new(format!("{gateway}.{name}"), reason)),
            None => Ok(()),
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms).min(self.timeout() * 3 / 4)
    }
}

/// Longest `timeout_ms`.
const TIMEOUT_MS_MAX: u64 = 60_000;
/// Least `response_bytes_max`: room for a real answer.
const RESPONSE_BYTES_MIN: usize = 1_024;
/// How long an idle connection is kept, in seconds. Below the idle limit of common load balancers (60),
/// because a request sent into a connection that closes at that moment has an unknown outcome.
const POOL_IDLE_S: u64 = 30;

/// The client of one gateway.
pub(crate) struct Outbound {
    gateway: &'static str,
    client: Client,
    response_bytes_max: usize,
}

/// What came back; the body is `None` if it broke off or is longer than allowed.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Outbound {
    /// security 107: no redirects, no proxy from the environment, no repeats, TLS verified, bounded time.
    /// Does not connect. `limits` are checked already.
    pub(crate) fn new(gateway: &'static str, url: &Url, limits: &HttpLimits) -> Result<Self, SettingError> {
        let client = Client::builder()
            .user_agent(concat!("otpd/", env!("CARGO_PKG_VERSION")))
            .https_only(url.scheme() == "https")
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(limits.connect_timeout())
            .timeout(limits.timeout())
            .pool_max_idle_per_host(limits.connections_idle_max)
            .pool_idle_timeout(Duration::from_secs(POOL_IDLE_S))
            .build();
        let client = client.map_err(|_| {
            SettingError::new(gateway, "no TLS client can be made: are the system's certificates there?")
        })?;
        Ok(Self { gateway, client, response_bytes_max: limits.response_bytes_max })
    }

    /// A POST to be filled in and given to [`exchange`](Self::exchange).
    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    /// One request and its answer, whatever its status.
    pub(crate) async fn exchange(&self, request: RequestBuilder) -> Result<Answer, SendError> {
        let response = request.send().await.map_err(|error| unanswered(self.gateway, &error))?;
        let (status, retry_after) = (response.status(), retry_after(&response));
        Ok(Answer { status, retry_after, body: self.body(response).await })
    }

    /// One request and what its answer means, with the wait that the provider asked for, if any.
    pub(crate) async fn ask<T>(
        &self,
        request: RequestBuilder,
        judge: impl FnOnce(StatusCode, Option<&[u8]>) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let Answer { status, retry_after, body } = self.exchange(request).await?;
        judge(status, body.as_deref())
            .map_err(|error| SendError { retry_after: error.retry_after.or(retry_after), ..error })
    }

    async fn body(&self, mut response: Response) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if body.len() + chunk.len() > self.response_bytes_max {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Some(body)
    }
}

/// What it means that no answer came. Only a failure to connect proves that nothing was sent.
fn unanswered(gateway: &str, error: &reqwest::Error) -> SendError {
    if error.is_connect() {
        // Nothing of the request was written yet, so the cause cannot quote it.
        let detail = format!("{gateway} connect: {}", root_cause(error));
        return SendError::new(SendClass::ProviderDown, detail);
    }
    if error.is_builder() {
        return SendError::new(SendClass::BadConfig, format!("{gateway} request cannot be built"));
    }
    let what = if error.is_timeout() { "timeout" } else { "connection lost" };
    SendError::new(SendClass::UnknownOutcome, format!("{gateway} {what}"))
}

/// The innermost cause, which names no URL: reqwest's own errors do.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if cause.is::<reqwest::Error>() { "failed".to_owned() } else { cause.to_string() }
}

/// The wait asked for, if it is given in seconds; a date is not read.
fn retry_after(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS && !response.status().is_server_error() {
        return None;
    }
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What a status alone says of a message, where the body says nothing. All but success and 1xx say that it was not
/// taken; none says that the number is at fault.
pub(super) fn by_status(status: u16) -> SendClass {
    match status {
        401 | 403 => SendClass::AuthFailed,
        402 => SendClass::InsufficientCredit,
        429 => SendClass::Throttled,
        // The server did not get the whole request.
        408 => SendClass::ProviderDown,
        // A redirect is not followed, so the message stayed here.
        300..=499 => SendClass::BadConfig,
        500.. => SendClass::ProviderDown,
        _ => SendClass::UnknownOutcome,
    }
}

/// Longest id taken as one; real ones have 34 letters at most.
const ID_LEN_MAX: usize = 64;

/// True for what may be kept and shown as a provider's id of a message.
pub(super) fn is_id(id: &str) -> bool {
    (1..=ID_LEN_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// security 107 and 109: https, or http to this machine; no credentials, query or tricks.
pub(crate) fn base_url(gateway: &'static str, text: &str) -> Result<Url, SettingError> {
    let refuse = |reason| SettingError::new(format!("{gateway}.base_url"), reason);
    // The parser drops line feeds and tabs silently, so they are looked for in the text.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("must be visible ASCII without spaces"));
    }
    let url = Url::parse(text).map_err(|_| refuse("must be an absolute URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must not hold credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("must not have a query or a fragment"));
    }
    match (url.scheme(), url.host_str()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(host) => Ok(url),
        _ => Err(refuse("must be https, or http to a loopback address")),
    }
}

/// The public URL that a provider posts receipts to: absolute, and without what would not survive being signed over.
pub(super) fn receipts_url(gateway: &'static str, text: Option<&str>) -> Result<Option<Url>, SettingError> {
    let Some(text) = text else { return Ok(None) };
    let refuse = |reason| SettingError::new(format!("{gateway}.receipts_url"), reason);
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("must be visible ASCII without spaces"));
    }
    let url = Url::parse(text).map_err(|_| refuse("must be an absolute URL"))?;
    if !matches!(url.scheme(), "https" | "http") || !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must be https or http, without credentials"));
    }
    // The provider signs what it was given, and we check against what we gave: the parser must have changed nothing.
    if url.as_str() != text || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse(
            "must be in its plain form (small letters, no default port), without a query or a fragment",
        ));
    }
    Ok(Some(url))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The base URL with these path segments after its own.
pub(super) fn under<'a>(
    gateway: &'static str,
    base: &Url,
    segments: impl IntoIterator<Item = &'a str>,
) -> Result<Url, SettingError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| SettingError::new(format!("{gateway}.base_url"), "must be able to hold a path"))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// security 107: no plain HTTP beyond this machine, no credentials or tricks in the URL.
    #[test]
    fn base_urls_that_are_refused() {
        for base in [
            "",
            "api.example.com",
            "http://api.example.com",
            "http://169.254.169.254",
            "http://localhost.evil.example",
            "ftp://api.example.com",
            "file:///etc/passwd",
            "https://user:secret@api.example.com",
            "https://api.example.com?x=1",
            "https://api.example.com#x",
            "https://api.example.com\r\nX-Evil: 1",
            "https://api.exa\nmple.com",
            "https://api.example.com ",
        ] {
            let error = base_url("gate", base).unwrap_err();
            assert_eq!(error.setting, "gate.base_url", "{base:?}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn paths_go_under_the_base() {
        for (base, expected) in [
            ("https://api.example.com", "https://api.example.com/v1/send.json"),
            ("http://127.0.0.1:4010/", "http://127.0.0.1:4010/v1/send.json"),
            ("http://[::1]:4010", "http://[::1]:4010/v1/send.json"),
            ("https://relay.example/sms/", "https://relay.example/sms/v1/send.json"),
        ] {
            let url = base_url("gate", base).unwrap();
            assert_eq!(under("gate", &url, ["v1", "send.json"]).unwrap().as_str(), expected);
        }
    }

    /// A time limit alone can be set: connecting keeps its share of it.
    #[test]
    fn connecting_takes_a_share_of_the_whole_time() {
        for (timeout_ms, connect_ms, taken) in [(8_000, 3_000, 3_000), (400, 3_000, 300), (400, 300, 300)] {
            let limits = HttpLimits { timeout_ms, connect_timeout_ms: connect_ms, ..HttpLimits::default() };
            assert_eq!(limits.connect_timeout(), Duration::from_millis(taken));
        }
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        let good = HttpLimits::default();
        assert_eq!(good.check("gate"), Ok(()));
        for (limits, setting) in [
            (HttpLimits { timeout_ms: 0, ..good }, "gate.timeout_ms"),
            (HttpLimits { timeout_ms: 60_001, ..good }, "gate.timeout_ms"),
            (HttpLimits { connect_timeout_ms: 0, ..good }, "gate.connect_timeout_ms"),
            (HttpLimits { response_bytes_max: 1_023, ..good }, "gate.response_bytes_max"),
        ] {
            assert_eq!(limits.check("gate").unwrap_err().setting, setting);
        }
    }

    #[test]
    fn ids_are_letters_digits_and_hyphens() {
        assert!(is_id("SM0123") && is_id("8a2f-17"));
        for bad in ["", "a b", "a\r\nX: 1", "‏۱", &"1".repeat(65)] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }
}
