//! A provider on a loopback port, for gateways over HTTP: the server and its misbehaviour, without any provider's rules.
//!
//! Owns the script (what to do with the next request), the messages that were taken, and the broken rules. What a
//! request must look like and how an answer is worded is the [`Rules`] of the one provider.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header,
    http::request::Parts,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle, time};

/// Size of the endless answer, and of one piece of it.
const HUGE_BYTES: usize = 1 << 30;
const PIECE_BYTES: usize = 64 * 1024;

/// One provider's rules.
pub trait Rules: Send + Sync + 'static {
    /// Reads a request that keeps the rules.
    fn read(&self, head: &Parts, body: &[u8]) -> Result<Taken, Refusal>;
    /// The answer to the message with this running number, from 1.
    fn accepted(&self, message: &Taken, number: usize) -> Reply;
}

/// A message as the provider understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The recipient, in the provider's own form.
    pub to: String,
    /// Everything else by name, in the request's order; credentials left out.
    pub fields: Vec<(String, String)>,
}

impl Taken {
    /// A field that must be there.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// A rule that was broken, and how the provider answers that.
#[derive(Debug)]
pub struct Refusal {
    pub rule: &'static str,
    pub reply: Reply,
}

/// A status and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    pub retry_after_s: Option<u64>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), retry_after_s: None }
    }
}

/// What to do with a request that keeps the rules.
#[derive(Debug, Clone)]
pub enum Step {
    /// Takes the message and says so.
    Accept,
    /// Takes nothing and answers this.
    Answer(Reply),
    /// Takes the message and never answers.
    Silence,
    /// Takes the message, sends the head and half of the body, and nothing more.
    HalfBody,
    /// Answers a body of which one byte comes every 20 ms.
    Drip,
    /// Answers a body of one gibibyte.
    Huge,
    /// Takes the message and closes the connection.
    Drop,
    /// Answers 307 to the same path at this address.
    Redirect(SocketAddr),
}

/// The running fake. Stops when dropped.
pub struct FakeHttp {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Step>,
    taken: Vec<Taken>,
    requests: usize,
    violations: Vec<&'static str>,
}

impl FakeHttp {
    /// Starts on a free loopback port and accepts every message that keeps the rules.
    pub async fn start(rules: impl Rules) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let accepting = tokio::spawn(accept(listener, Arc::new(rules), Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `base_url` for the gateway.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What to do with the next request that keeps the rules; calls queue up.
    pub fn next(&self, step: Step) {
        self.look(|state| state.next.push_back(step));
    }

    /// Requests that arrived whole, refused ones included.
    pub fn requests(&self) -> usize {
        self.look(|state| state.requests)
    }

    /// Rules that requests broke.
    pub fn violations(&self) -> Vec<&'static str> {
        self.look(|state| state.violations.clone())
    }

    /// Every message taken, oldest first.
    pub fn taken(&self) -> Vec<Taken> {
        self.look(|state| state.taken.clone())
    }

    fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().expect("no test panics under the lock"))
    }
}

impl Drop for FakeHttp {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Decodes a form strictly: only unreserved letters, `+`, `%XX`; every field once.
pub fn decode_form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*+%=&".contains(&byte);
    if !text.bytes().all(plain) {
        return None;
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if fields.iter().any(|(known, _)| *known == name) {
            return None;
        }
        fields.push((name.into_owned(), value.into_owned()));
    }
    Some(fields)
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

async fn accept(listener: TcpListener, rules: Arc<impl Rules>, state: Arc<Mutex<State>>) {
    // Connections end with the fake: the set aborts them when this task is dropped.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (rules, state) = (Arc::clone(&rules), Arc::clone(&state));
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&rules), Arc::clone(&state), request));
            // An error is the client's hang-up or a scripted one.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    rules: Arc<impl Rules>,
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let (step, accepted) = {
        let mut state = state.lock().expect("no test panics under the lock");
        state.requests += 1;
        match rules.read(&head, &body) {
            Err(refusal) => {
                state.violations.push(refusal.rule);
                return Ok(plain(&refusal.reply));
            }
            Ok(message) => {
                let step = state.next.pop_front().unwrap_or(Step::Accept);
                let accepted = rules.accepted(&message, state.taken.len() + 1);
                if matches!(step, Step::Accept | Step::Silence | Step::HalfBody | Step::Drop) {
                    state.taken.push(message);
                }
                (step, accepted)
            }
        }
    };
    respond(step, accepted, head.uri.path()).await
}

async fn respond(step: Step, accepted: Reply, path: &str) -> Result<Response<Body>, Closed> {
    Ok(match step {
        Step::Accept => plain(&accepted),
        Step::Answer(reply) => plain(&reply),
        Step::Silence => std::future::pending().await,
        Step::HalfBody => {
            let half = Bytes::from(accepted.body).slice(..10);
            streamed(stream::iter([half]).chain(stream::pending()))
        }
        Step::Drip => streamed(stream::unfold((), |()| async {
            time::sleep(Duration::from_millis(20)).await;
            Some((Bytes::from_static(b" "), ()))
        })),
        Step::Huge => {
            let piece = Bytes::from(vec![b' '; PIECE_BYTES]);
            streamed(stream::iter(std::iter::repeat_n(piece, HUGE_BYTES / PIECE_BYTES)))
        }
        Step::Drop => return Err(Closed),
        Step::Redirect(address) => {
            let mut response = plain(&Reply::new(307, ""));
            let location = format!("http://{address}{path}").parse().expect("an address and a path are a header value");
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
    })
}

fn plain(reply: &Reply) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body.clone())).boxed());
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("a scripted status is one");
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = reply.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn streamed(pieces: impl stream::Stream<Item = Bytes> + Send + Sync + 'static) -> Response<Body> {
    let body = StreamBody::new(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    Response::new(BodyExt::boxed(body))
}
