//! A server on port 0 with routes that do what handlers do: answer, echo, fail, hang, stream.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::FromRef,
    routing::{get, post},
};
use futures_util::stream;
use otpd::{
    entropy::OsEntropy,
    http::{
        body::{BodyLimits, OptionalJson, StrictJson},
        client_ip::ClientIp,
        listener::{self, Drained, ListenerSettings},
        middleware::{EdgeSettings, RequestId, harden},
        problem::{self, Problem, ProblemCode},
    },
};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How long any single step of a test may take before it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
struct AppState(BodyLimits);

impl FromRef<AppState> for BodyLimits {
    fn from_ref(state: &AppState) -> Self {
        state.0
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// What a test changes of the defaults.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) listener: ListenerSettings,
    pub(crate) edge: EdgeSettings,
    pub(crate) body: BodyLimits,
}

/// A running server; stops when told, or with the runtime.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) stop: CancellationToken,
    /// Until it is cancelled, `/gate` does not answer.
    pub(crate) gate: CancellationToken,
    pub(crate) task: JoinHandle<Drained>,
}

pub(crate) async fn start(config: Config) -> Server {
    let gate = CancellationToken::new();
    let router = routes(config.body, gate.clone());
    Server { gate, ..start_router(router, config).await }
}

pub(crate) async fn start_router(router: Router, config: Config) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = harden(router, config.edge, &OsEntropy);
    let task = tokio::spawn(listener::serve(listener, router, config.listener, stop.clone()));
    Server { addr, stop, gate: CancellationToken::new(), task }
}

fn routes(limits: BodyLimits, gate: CancellationToken) -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/echo", post(async |StrictJson(echo): StrictJson<Echo>| echo.to))
        .route("/optional", post(async |OptionalJson(Nothing {}): OptionalJson<Nothing>| "ok"))
        .route("/unread", post(async || "unread"))
        .route("/panic", get(panics))
        .route("/hang", get(async || std::future::pending::<()>().await))
        .route("/gate", get(async move || gate.cancelled().await))
        .route("/key", get(async || Problem::new(ProblemCode::InvalidKey)))
        .route("/limited", get(async || Problem::new(ProblemCode::RateLimited).retry_after(7)))
        .route("/who", get(async |client: ClientIp, id: RequestId| format!("{} {}", client.ip, id.as_str())))
        .route("/endless", get(async || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(CHUNK)))))
        .route("/items/{id}", get(async || "item"))
        .merge(problem::pages())
        .with_state(AppState(limits))
}

static FILL: [u8; 16_384] = [b'x'; 16_384];
const CHUNK: Bytes = Bytes::from_static(&FILL);

async fn panics() -> &'static str {
    panic!("a handler fails on purpose")
}

/// Sends bytes and reads until the server closes.
pub(crate) async fn raw(addr: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_ref()).await.unwrap();
    read_to_close(&mut stream).await
}

/// Reads until the server closes, or breaks the connection.
pub(crate) async fn read_to_close(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = async {
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(part.get(..count).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("the server did not close"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer's head and its body of announced length, leaving the connection open.
pub(crate) async fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if length.is_some_and(|length| body.len() >= length.parse().unwrap()) {
                    return text;
                }
            }
            let byte = stream.read_u8().await.unwrap();
            answer.push(byte);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("no answer came"))
}

/// A GET that closes, as text.
pub(crate) fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

/// A JSON POST that closes, as text.
pub(crate) fn post_request(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// The status of a raw answer; 0 if there was none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).map_or(0, |code| code.parse().unwrap())
}

/// The value of a header of a raw answer.
pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The listener's defaults with short times.
pub(crate) fn brisk() -> ListenerSettings {
    ListenerSettings {
        header_read_timeout: Duration::from_millis(500),
        keep_alive_idle: Duration::from_millis(1_500),
        exchange_timeout: Duration::from_millis(1_500),
        drain_timeout: Duration::from_secs(5),
        ..ListenerSettings::default()
    }
}

/// A server with every default.
pub(crate) async fn plain() -> Server {
    start(Config::default()).await
}
