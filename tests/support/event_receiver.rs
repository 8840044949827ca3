//! A back end that receives events over HTTP and keeps to Standard Webhooks: it takes what is signed and fresh, and
//! nothing else. What it answers to a good post is the test's.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of it")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::HeaderMap,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use otpd::clock::{Clock, SystemClock};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// The secret of the published vector.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Path that events are posted to.
pub const PATH: &str = "/otpd-events";
/// How far the time of a post may be off, in seconds.
const TOLERANCE_S: u64 = 300;
/// Longest wait for what has to come.
const WAIT: Duration = Duration::from_secs(60);

/// A post that was taken.
#[derive(Debug, Clone)]
pub struct Post {
    pub id: String,
    pub body: Value,
}

type Answer = Box<dyn Fn(&Post, usize) -> (u16, Option<&'static str>) + Send + Sync>;

/// The running receiver. Stops when dropped.
pub struct EventReceiver {
    address: SocketAddr,
    state: Arc<State>,
    grown: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

struct State {
    clock: Arc<dyn Clock>,
    answer: Mutex<Answer>,
    posts: Mutex<Vec<Post>>,
    faults: Mutex<Vec<String>>,
    grow: watch::Sender<usize>,
}

impl EventReceiver {
    /// Starts on a free loopback port; its time is the machine's. Takes everything that is good.
    pub async fn start() -> Self {
        Self::start_at(Arc::new(SystemClock)).await
    }

    /// Starts with a time of its own.
    pub async fn start_at(clock: Arc<dyn Clock>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (grow, grown) = watch::channel(0);
        let state = Arc::new(State {
            clock,
            answer: Mutex::new(Box::new(|_, _| (204, None))),
            posts: Mutex::default(),
            faults: Mutex::default(),
            grow,
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, grown, accepting }
    }

    /// The `webhooks.url`.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Status and `Retry-After` of the answer to a good post and its running number from 1.
    pub fn answers(&self, answer: impl Fn(&Post, usize) -> (u16, Option<&'static str>) + Send + Sync + 'static) {
        *self.state.answer.lock().unwrap() = Box::new(answer);
    }

    /// Every good post, duplicates included, in the order of their arrival.
    pub fn posts(&self) -> Vec<Post> {
        self.state.posts.lock().unwrap().clone()
    }

    /// Rules that posts broke.
    pub fn faults(&self) -> Vec<String> {
        self.state.faults.lock().unwrap().clone()
    }

    /// Waits until what has come is enough.
    pub async fn until(&self, enough: impl Fn(&[Post]) -> bool) -> Vec<Post> {
        let mut grown = self.grown.clone();
        let waiting = async {
            loop {
                let posts = self.posts();
                if enough(&posts) {
                    return posts;
                }
                grown.changed().await.unwrap();
            }
        };
        let came = tokio::time::timeout(WAIT, waiting).await;
        came.unwrap_or_else(|_| panic!("only {:#?} have come; faults {:?}", self.posts(), self.faults()))
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Connections end with the receiver: the set aborts them when this task is dropped.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            // An error is the hang-up of a client that was killed.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Ok(reply(400, None)); // cut short by a kill
    };
    let read = if (&head.method, head.uri.path()) == (&Method::POST, PATH) {
        read(&head.headers, &body, state.clock.now().0 / 1_000)
    } else {
        Err(format!("{} {}", head.method, head.uri))
    };
    Ok(match read {
        Err(fault) => {
            state.faults.lock().unwrap().push(fault);
            reply(400, None)
        }
        Ok(post) => {
            let number = {
                let mut posts = state.posts.lock().unwrap();
                posts.push(post.clone());
                posts.len()
            };
            state.grow.send_replace(number);
            let (status, retry_after) = (state.answer.lock().unwrap())(&post, number);
            reply(status, retry_after)
        }
    })
}

fn reply(status: u16, retry_after: Option<&'static str>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert("retry-after", seconds.parse().unwrap());
    }
    if status == 307 {
        response.headers_mut().insert("location", "http://127.0.0.1:1/".parse().unwrap());
    }
    response
}

/// By the words of the specification.
fn read(headers: &HeaderMap, body: &[u8], now_s: u64) -> Result<Post, String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, sent) = (text("webhook-id"), text("webhook-timestamp"));
    if !text("webhook-signature").split(' ').any(|signature| signature == sign(SECRET, id, sent, body)) {
        return Err("signature".to_owned());
    }
    if !sent.parse().is_ok_and(|sent: u64| sent.abs_diff(now_s) <= TOLERANCE_S) {
        return Err(format!("timestamp {sent}"));
    }
    if text("content-type") != "application/json" {
        return Err("content type".to_owned());
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let is_whole = body["type"].is_string() && body["timestamp"].is_string() && body["data"].is_object();
    let digits = id.strip_prefix("evt_").unwrap_or_default();
    if !is_whole || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("form of {id}: {body}"));
    }
    Ok(Post { id: id.to_owned(), body })
}

/// The key is the Base64 after `whsec_`, the content is joined by full stops.
pub fn sign(secret: &str, id: &str, sent: &str, body: &[u8]) -> String {
    let key = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(&[id.as_bytes(), b".", sent.as_bytes(), b".", body].concat());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}
