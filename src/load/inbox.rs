//! A provider on this machine: takes messages as Twilio does, sends none, and knows the newest code of each number.
//!
//! It counts, too: more messages to a number than its limits allow are noticed as they come in.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use super::LoadError;

/// The account that the inbox knows.
pub const ACCOUNT_SID: &str = "AC000000000000000000000000000010ad";
/// Its secret, which keeps nothing: the inbox listens on this machine and sends nothing.
pub const AUTH_TOKEN: &str = "load-inbox-token";
/// Who its messages come from.
pub const SENDER: &str = "+12025550100";

/// Longest form, in bytes. Ours have a few hundred.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// Parts that numbers are spread over, so that messages seldom wait for each other.
const SHARDS: u64 = 64;
/// Numbers of a shard in each of its two generations; with both, 1.9 million numbers are remembered at most.
const NUMBERS_PER_SHARD: usize = 15_000;
/// How much sooner than a window allows a message may arrive: the server counts from its decision, we from the arrival.
const ARRIVAL_SLACK: Duration = Duration::from_secs(5);

/// How many messages a number may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// So many.
    pub per_window: u32,
    /// In this time.
    pub window: Duration,
    /// And so many per day.
    pub per_day: u32,
}

/// What came for one number.
#[derive(Debug, Default)]
struct Letters {
    code: Box<str>,
    /// When each came, the last [`TIMES_MAX`] of them.
    times: Vec<Instant>,
    count: u32,
}

/// More than any limit allows per day, so that none is missed.
const TIMES_MAX: usize = 64;

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u64, Letters>,
    old: HashMap<u64, Letters>,
}

impl Shard {
    /// The letters of a number; the oldest numbers make room.
    fn letters(&mut self, number: u64) -> &mut Letters {
        if self.young.len() >= NUMBERS_PER_SHARD && !self.young.contains_key(&number) {
            self.old = std::mem::take(&mut self.young);
        }
        let before = self.old.remove(&number);
        let letters = self.young.entry(number).or_default();
        if let Some(before) = before {
            *letters = before;
        }
        letters
    }

    fn read(&self, number: u64) -> Option<&Letters> {
        self.young.get(&number).or_else(|| self.old.get(&number))
    }
}

#[derive(Debug)]
struct Letterbox {
    shards: Vec<Mutex<Shard>>,
    limits: OnceLock<SendLimits>,
    messages: AtomicU64,
    over_limit: AtomicU64,
    refused: AtomicU64,
    authorization: String,
    path: String,
}

/// The provider. It stops when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Inbox {
    address: SocketAddr,
    letterbox: Arc<Letterbox>,
    _listening: Arc<Listening>,
}

#[derive(Debug)]
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Inbox {
    /// Listens on the address; port 0 lets the system choose. Call it within a runtime.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start(address: SocketAddr) -> Result<Self, LoadError> {
        let cannot = |error: std::io::Error| LoadError::new(format!("the inbox cannot listen: {}", error.kind()));
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let credentials = BASE64_STANDARD.encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}"));
        let letterbox = Arc::new(Letterbox {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            limits: OnceLock::new(),
            messages: AtomicU64::new(0),
            over_limit: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            authorization: format!("Basic {credentials}"),
            path: format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&letterbox)));
        Ok(Self { address, letterbox, _listening: Arc::new(Listening(listening)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Notices from now on what is over these limits. The first call counts.
    pub fn watch(&self, limits: SendLimits) {
        let _ = self.letterbox.limits.set(limits);
    }

    /// The newest code of a number.
    pub fn code(&self, number: u64) -> Option<Box<str>> {
        self.letterbox.shard(number)?.read(number).map(|letters| letters.code.clone())
    }

    /// How many messages a number got since it was forgotten last.
    pub fn count(&self, number: u64) -> u32 {
        self.letterbox.shard(number).and_then(|shard| shard.read(number).map(|letters| letters.count)).unwrap_or(0)
    }

    /// Forgets a number that is done with.
    pub fn forget(&self, number: u64) {
        if let Some(mut shard) = self.letterbox.shard(number) {
            shard.young.remove(&number);
            shard.old.remove(&number);
        }
    }

    /// Messages taken so far.
    pub fn messages(&self) -> u64 {
        self.letterbox.messages.load(Ordering::Relaxed)
    }

    /// Messages so far that were more than their number may get.
    pub fn over_limit(&self) -> u64 {
        self.letterbox.over_limit.load(Ordering::Relaxed)
    }

    /// Requests so far that were none of Twilio's.
    pub fn refused(&self) -> u64 {
        self.letterbox.refused.load(Ordering::Relaxed)
    }
}

async fn listen(listener: TcpListener, letterbox: Arc<Letterbox>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, as a rule: another try at once would fail as well.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let letterbox = Arc::clone(&letterbox);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let letterbox = Arc::clone(&letterbox);
                async move { Ok::<_, Infallible>(letterbox.answer(request).await) }
            });
            // A connection that breaks is the server's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

impl Letterbox {
    fn shard(&self, number: u64) -> Option<MutexGuard<'_, Shard>> {
        let at = usize::try_from(number % SHARDS).ok()?;
        self.shards.get(at).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::POST || request.uri().path() != self.path {
            return self.refuse(StatusCode::NOT_FOUND, 20404);
        }
        let authorized = request.headers().get(AUTHORIZATION).is_some_and(|given| *given == *self.authorization);
        if !authorized {
            return self.refuse(StatusCode::UNAUTHORIZED, 20003);
        }
        let Ok(body) = Limited::new(request.into_body(), FORM_BYTES_MAX).collect().await else {
            return self.refuse(StatusCode::BAD_REQUEST, 20001);
        };
        let Some(number) = self.take(&body.to_bytes()) else {
            return self.refuse(StatusCode::BAD_REQUEST, 21602);
        };
        let nth = self.messages.fetch_add(1, Ordering::Relaxed);
        let body = format!(
            "{{\"account_sid\":\"{ACCOUNT_SID}\",\"api_version\":\"2010-04-01\",\"date_created\":\"Fri, 20 Nov 2026 17:00:00 \
             +0000\",\"direction\":\"outbound-api\",\"error_code\":null,\"error_message\":null,\"from\":\"{SENDER}\",\
             \"num_segments\":\"1\",\"price\":null,\"sid\":\"SM{nth:032x}\",\"status\":\"queued\",\"to\":\"+{number}\"}}"
        );
        json(StatusCode::CREATED, body)
    }

    fn refuse(&self, status: StatusCode, code: u32) -> Response<Full<Bytes>> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        json(status, format!("{{\"code\":{code},\"message\":\"refused\",\"status\":{}}}", status.as_u16()))
    }

    /// Reads a form and keeps its code; the number. `None`: it lacks something.
    fn take(&self, form: &[u8]) -> Option<u64> {
        let (mut to, mut code, mut from) = (None, None, false);
        for (name, value) in form_urlencoded::parse(form) {
            match &*name {
                "To" => to = value.strip_prefix('+').and_then(|digits| digits.parse::<u64>().ok()),
                "Body" => code = Some(code_in(&value)),
                "From" | "MessagingServiceSid" => from = true,
                _ => {}
            }
        }
        let (number, code) = (to?, code?);
        self.put(number, code, Instant::now());
        from.then_some(number)
    }

    fn put(&self, number: u64, code: Option<Box<str>>, now: Instant) {
        let Some(mut shard) = self.shard(number) else { return };
        let letters = shard.letters(number);
        letters.count += 1;
        // A message without a code, as the notice of a move, leaves the code that came before.
        letters.code = code.unwrap_or_else(|| std::mem::take(&mut letters.code));
        if letters.times.len() >= TIMES_MAX {
            letters.times.remove(0);
        }
        letters.times.push(now);
        if self.limits.get().is_some_and(|limits| letters.are_too_many(limits, now)) {
            self.over_limit.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Letters {
    fn are_too_many(&self, limits: &SendLimits, now: Instant) -> bool {
        let window = limits.window.saturating_sub(ARRIVAL_SLACK);
        let within = |time: Duration| {
            let count = self.times.iter().filter(|at| now.saturating_duration_since(**at) < time).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        within(window) > limits.per_window || within(DAY) > limits.per_day
    }
}

/// A day less the slack.
const DAY: Duration = Duration::from_secs(86_400 - 5);

/// The first run of 4 to 10 digits: every text of ours has the code as its only long number.
fn code_in(text: &str) -> Option<Box<str>> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.into_iter().find(|run| (4..=10).contains(&run.len())).map(Into::into)
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_code_is_kept_and_too_many_messages_are_noticed() {
        let inbox = Inbox::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        inbox.watch(SendLimits { per_window: 2, window: Duration::from_secs(120), per_day: 4 });
        let form = |code: &str| {
            let body =
                format!("To=%2B989120000001&From=%2B12025550100&Body={code}+is+your+otpd+code.+It+is+valid+for+5+min.");
            inbox.letterbox.take(body.as_bytes())
        };
        assert_eq!(form("111111"), Some(989_120_000_001));
        assert_eq!(form("222222"), Some(989_120_000_001));
        assert_eq!((inbox.code(989_120_000_001).as_deref(), inbox.over_limit()), (Some("222222"), 0));
        form("333333");
        assert_eq!((inbox.count(989_120_000_001), inbox.over_limit()), (3, 1));
        tokio::time::advance(Duration::from_secs(130)).await;
        form("444444");
        assert_eq!(inbox.over_limit(), 1, "another window");
        form("555555");
        assert_eq!(inbox.over_limit(), 2, "the fifth of the day");
        inbox.forget(989_120_000_001);
        assert_eq!((inbox.code(989_120_000_001), inbox.count(989_120_000_001)), (None, 0));
        assert_eq!(inbox.letterbox.take(b"To=%2B98912&From=x"), None);
    }

    #[test]
    fn codes_are_found_in_any_text_and_the_memory_is_bounded() {
        assert_eq!(code_in("Your code: 0042. Valid 5 min.").as_deref(), Some("0042"));
        assert_eq!(code_in("moved to another number"), None);
        let mut shard = Shard::default();
        for number in 0..100_000 {
            shard.letters(number).count += 1;
        }
        assert!(shard.young.len() + shard.old.len() <= 2 * NUMBERS_PER_SHARD);
        assert!(shard.read(99_999).is_some() && shard.read(0).is_none());
    }
}
