//! A stand-in for Twilio's Messages, Calls and Verify APIs on a loopback port, for every test that sends.
//!
//! Owns the provider's rules (path, credentials, form, senders, magic numbers), a script of misbehaviour, and the
//! messages it took. A request that breaks a rule is refused as Twilio would and noted in
//! [`FakeTwilio::violations`], so a test can demand that there are none.
//!
//! Use it with `#[path = "support/fake_twilio.rs"] mod fake_twilio;`, point `base_url` at
//! [`FakeTwilio::base_url`], and sign in with [`ACCOUNT_SID`], [`AUTH_TOKEN`] and [`SENDER`].
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses its own part of it")]

#[path = "fake_twilio_answers.rs"]
mod answers;
#[path = "fake_twilio_rules.rs"]
mod rules;
#[path = "twilio_signature.rs"]
pub mod signature;

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time};

pub use self::rules::{ACCOUNT_SID, AUTH_TOKEN, CONTENT_SID, Kind, SENDER, SERVICE_SID, VERIFY_SID};
use self::rules::{Asked, Cycles, magic};

/// Longest that a test waits for a message, in seconds.
const WAIT_S: u64 = 20;
/// Size of the endless answer.
const HUGE_BYTES: u64 = 1 << 30;
/// Size of one piece of it.
const PIECE_BYTES: usize = 64 * 1024;

/// What the fake does with a request that keeps the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes the message and says so.
    Accept,
    /// Takes the message and answers 201 without a body.
    AcceptWithoutBody,
    /// Takes the message, sends the head and half of the body, and nothing more.
    AcceptThenHangMidBody,
    /// Refuses with this HTTP status and error code.
    Refuse(u16, u32),
    /// Answers 200 with an error body of this code.
    Embedded(u32),
    /// Answers 201 with a message or call that failed for this code.
    FailedMessage(u32),
    /// Answers 429 with code 20429 and `Retry-After` in seconds.
    Throttle(u64),
    /// Answers a bare status without a body.
    Status(u16),
    /// Takes the message, reads the request, and never answers.
    HangBeforeHead,
    /// Takes the message, reads the request, and closes the connection.
    Drop,
    /// Answers 201 with a body of one gibibyte.
    Huge,
    /// Answers 201 with a body of which one byte comes every 20 ms.
    Drip,
    /// Answers 307 to the same path at this address.
    Redirect(SocketAddr),
    /// Answers 201 with JSON that breaks off.
    MalformedJson,
    /// Answers this status with an HTML page.
    Html(u16),
}

/// A message the fake took.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// A text, a call or a verification.
    pub kind: Kind,
    /// The recipient, E.164; with `whatsapp:` before it by WhatsApp.
    pub to: String,
    /// The text, what a call says, or the code of a verification.
    pub body: String,
    /// The whole form, in its order.
    pub fields: Vec<(String, String)>,
    /// The id that was answered, if an answer got that far.
    pub sid: String,
}

impl Message {
    /// A field of the form.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The code: the first run of 4 to 10 ASCII digits in the text.
    pub fn code(&self) -> Option<&str> {
        self.body.split(|letter: char| !letter.is_ascii_digit()).find(|digits| (4..=10).contains(&digits.len()))
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} to {}: {:?})", self.sid, self.to, self.body)
    }
}

/// The running fake. Stops when dropped.
pub struct FakeTwilio {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    taken: watch::Sender<usize>,
    streamed: AtomicU64,
}

#[derive(Default)]
struct State {
    otherwise: Option<Behaviour>,
    next: VecDeque<Behaviour>,
    next_for: HashMap<String, VecDeque<Behaviour>>,
    messages: Vec<Message>,
    requests: usize,
    violations: Vec<String>,
    /// Verifications that are open.
    cycles: Cycles,
    /// Ends that were told: the verification and how it ended.
    feedback: Vec<(String, String)>,
}

impl FakeTwilio {
    /// Starts on a free loopback port and accepts every message.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `base_url` for the gateway.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What to do with the next request; calls queue up.
    pub fn next(&self, behaviour: Behaviour) {
        self.state(|state| state.next.push_back(behaviour));
    }

    /// What to do with the next request for this number; goes before [`next`](Self::next).
    pub fn next_for(&self, to: &str, behaviour: Behaviour) {
        self.state(|state| state.next_for.entry(to.to_owned()).or_default().push_back(behaviour));
    }

    /// What to do with requests that nothing was queued for.
    pub fn otherwise(&self, behaviour: Behaviour) {
        self.state(|state| state.otherwise = Some(behaviour));
    }

    /// Requests that arrived whole, refused ones included.
    pub fn requests(&self) -> usize {
        self.state(|state| state.requests)
    }

    /// Rules that requests broke.
    pub fn violations(&self) -> Vec<String> {
        self.state(|state| state.violations.clone())
    }

    /// Verifications whose end was told, and how they ended.
    pub fn feedback(&self) -> Vec<(String, String)> {
        self.state(|state| state.feedback.clone())
    }

    /// Lets this time pass for verifications.
    pub fn pass(&self, time: Duration) {
        self.state(|state| state.cycles.pass(time));
    }

    /// Bytes of [`Behaviour::Huge`] that were handed to the connection.
    pub fn streamed_bytes(&self) -> u64 {
        self.shared.streamed.load(Ordering::Relaxed)
    }

    /// Every message taken, oldest first.
    pub fn messages(&self) -> Vec<Message> {
        self.state(|state| state.messages.clone())
    }

    /// The messages taken for a number, oldest first.
    pub fn messages_to(&self, to: &str) -> Vec<Message> {
        self.state(|state| state.messages.iter().filter(|message| message.to == to).cloned().collect())
    }

    /// The code of the newest message to a number, if there is one.
    pub fn newest_code(&self, to: &str) -> Option<String> {
        self.messages_to(to).last().and_then(|message| message.code().map(str::to_owned))
    }

    /// Waits until `count` messages were taken for a number, and gives the last of these.
    pub async fn wait_for(&self, to: &str, count: usize) -> Message {
        let mut taken = self.shared.taken.subscribe();
        let arrived = async {
            loop {
                if let Some(message) = self.messages_to(to).into_iter().nth(count.saturating_sub(1)) {
                    return message;
                }
                taken.changed().await.expect("the fake lives as long as this borrow");
            }
        };
        match time::timeout(Duration::from_secs(WAIT_S), arrived).await {
            Ok(message) => message,
            Err(_) => panic!("no message {count} for {to} within {WAIT_S} s, only {:?}", self.messages_to(to)),
        }
    }

    /// Waits until `count` messages were taken for a number, and gives the code of the last of these.
    pub async fn wait_for_code(&self, to: &str, count: usize) -> String {
        let message = self.wait_for(to, count).await;
        message.code().unwrap_or_else(|| panic!("no code in {message:?}")).to_owned()
    }

    /// Posts a receipt of a message to the URL that was given with it, signed with `token`, and comes in at `door`, as
    /// through the proxy that has the public name; the status of the answer.
    pub async fn report(&self, message: &Message, status: &str, token: &str, door: &str) -> u16 {
        let url = message.field("StatusCallback").expect("a receipt was asked for");
        let path = url.splitn(4, '/').last().expect("a URL has a path");
        let fields = [("MessageSid", message.sid.as_str()), ("MessageStatus", status), ("AccountSid", ACCOUNT_SID)];
        let signature = signature::sign(token, url, &fields);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.post(format!("{door}/{path}")).header("x-twilio-signature", signature).form(&fields);
        request.send().await.expect("somebody listens there").status().as_u16()
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.state.lock().expect("no test panics under the lock"))
    }
}

impl Drop for FakeTwilio {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Body = BoxBody<Bytes, Infallible>;

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed by the script")
    }
}

impl std::error::Error for Closed {}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Connections end with the fake: the set aborts them when this task is dropped.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            // An error is the client's hang-up or a scripted one.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let path = head.uri.path().to_owned();
    let decided = {
        let mut state = shared.state.lock().expect("no test panics under the lock");
        state.requests += 1;
        match rules::read(&head, &body) {
            Ok(asked) => state.decide(asked),
            Err(refusal) => {
                state.violations.push(refusal.rule.to_owned());
                let refuse = Behaviour::Refuse(refusal.status, refusal.code);
                Decided { parameter: refusal.rule, ..Decided::answer(refuse) }
            }
        }
    };
    shared.taken.send_modify(|taken| *taken += 1);
    respond(&shared, decided, &path).await
}

/// What is done with one request, and the answer to it if it is taken.
struct Decided {
    behaviour: Behaviour,
    /// The status of a success: 201 for what is made, 200 for what is changed.
    status: u16,
    taken: String,
    failed: String,
    /// Which parameter a refusal complains about, if it names one.
    parameter: &'static str,
}

impl Decided {
    fn answer(behaviour: Behaviour) -> Self {
        Self { behaviour, status: 201, taken: String::new(), failed: String::new(), parameter: "To" }
    }
}

impl State {
    fn decide(&mut self, asked: Asked) -> Decided {
        if let Some(code) = magic(&asked) {
            return Decided::answer(Behaviour::Refuse(400, code));
        }
        let for_number = self.next_for.get_mut(&asked.to).and_then(VecDeque::pop_front);
        let behaviour = for_number.or_else(|| self.next.pop_front()).or(self.otherwise).unwrap_or(Behaviour::Accept);
        let takes = matches!(
            behaviour,
            Behaviour::Accept
                | Behaviour::AcceptWithoutBody
                | Behaviour::AcceptThenHangMidBody
                | Behaviour::HangBeforeHead
                | Behaviour::Drop
        );
        if !takes {
            let failed = answers::created(&asked, "SM00000000000000000000000000000bad");
            return Decided { failed, ..Decided::answer(behaviour) };
        }
        let sid = match asked.kind {
            Kind::Message => format!("SM{:032x}", self.requests),
            Kind::Call => format!("CA{:032x}", self.requests),
            Kind::Verification => match self.cycles.start(&asked.to, self.requests) {
                Ok(sid) => sid,
                Err(code) => return Decided::answer(Behaviour::Refuse(429, code)),
            },
            Kind::Feedback => match self.cycles.end(&asked.to) {
                Some(to) => {
                    self.feedback.push((asked.to.clone(), asked.body.clone()));
                    let taken = answers::ended(&asked, &to);
                    return Decided { status: 200, taken, ..Decided::answer(behaviour) };
                }
                None => return Decided::answer(Behaviour::Refuse(404, 20404)),
            },
        };
        let taken = answers::created(&asked, &sid);
        let Asked { kind, to, body, fields } = asked;
        self.messages.push(Message { kind, to, body, fields, sid });
        Decided { taken, ..Decided::answer(behaviour) }
    }
}

async fn respond(shared: &Arc<Shared>, decided: Decided, path: &str) -> Result<Response<Body>, Closed> {
    let Decided { behaviour, status: success, taken, failed, parameter } = decided;
    Ok(match behaviour {
        Behaviour::Accept => json(success, taken),
        Behaviour::AcceptWithoutBody => json(201, ""),
        Behaviour::AcceptThenHangMidBody => hang_mid_body(taken),
        Behaviour::Refuse(status, code) => json(status, answers::error(status, code, parameter)),
        Behaviour::Embedded(code) => json(200, answers::error(400, code, parameter)),
        Behaviour::FailedMessage(code) => json(201, answers::failed(&failed, code)),
        Behaviour::Throttle(seconds) => {
            let mut response = json(429, answers::error(429, 20429, parameter));
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Behaviour::Status(status) => json(status, ""),
        Behaviour::HangBeforeHead => std::future::pending().await,
        Behaviour::Drop => return Err(Closed),
        Behaviour::Huge => huge(shared),
        Behaviour::Drip => drip(),
        Behaviour::Redirect(address) => {
            let mut response = json(307, "");
            let location = format!("http://{address}{path}").parse().expect("an address and a path are a header value");
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Behaviour::MalformedJson => json(201, r#"{"sid":"SM0123456789abcdef"#),
        Behaviour::Html(status) => json(status, "<!doctype html><title>gateway</title>"),
    })
}

fn json(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = StatusCode::from_u16(status).expect("a scripted status is one");
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn streamed(pieces: impl stream::Stream<Item = Bytes> + Send + Sync + 'static) -> Response<Body> {
    use futures_util::StreamExt as _;
    let body = StreamBody::new(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    let mut response = Response::new(BodyExt::boxed(body));
    *response.status_mut() = StatusCode::CREATED;
    response
}

fn hang_mid_body(message: String) -> Response<Body> {
    let half = Bytes::from(message).slice(..20);
    streamed(stream::unfold(Some(half), |half| async move {
        match half {
            Some(half) => Some((half, None)),
            None => std::future::pending().await,
        }
    }))
}

fn huge(shared: &Arc<Shared>) -> Response<Body> {
    let shared = Arc::clone(shared);
    let piece = Bytes::from(vec![b' '; PIECE_BYTES]);
    streamed(stream::unfold(0, move |sent| {
        let (shared, piece) = (Arc::clone(&shared), piece.clone());
        async move {
            if sent >= HUGE_BYTES {
                return None;
            }
            let bytes = piece.len() as u64;
            shared.streamed.fetch_add(bytes, Ordering::Relaxed);
            Some((piece, sent + bytes))
        }
    }))
}

fn drip() -> Response<Body> {
    streamed(stream::unfold((), |()| async {
        time::sleep(Duration::from_millis(20)).await;
        Some((Bytes::from_static(b" "), ()))
    }))
}
