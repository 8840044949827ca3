//! The floor: what otpd's outline costs with the crates it is made of and no work of its own. Axum, an actor of ractor's per
//! number, changes that are durable before they are answered, in groups, tokens by jsonwebtoken; over a bare file in the
//! store's place, and with the limit's small bodies.
//!
//! A start is two changes: the challenge, and, not waited for, what its send came to. A sign-in is two more, the check and
//! the session, with two tokens made (the receipt, and the access token; a refresh token is none) and one read. A profile is
//! one token read, and the actor asked. With a provider's address, a start also posts a message there by reqwest before it
//! is answered. What otpd takes longer is its own: codes, limits, log, metrics, records that are read and folded.

use std::{
    collections::VecDeque,
    fs::File,
    net::SocketAddr,
    os::unix::fs::FileExt as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Json, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dashmap::DashMap;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, get_current_timestamp};
use otpd::load::{ACCOUNT_SID, AUTH_TOKEN, SENDER};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{
    Outcome,
    limit::{self, SendBody, Sent, Verified, VerifyBody},
};

/// The first argument of this program when it is to be the floor.
pub(crate) const NAME: &str = "floor";

/// As `phone.actors_max`: beyond it, each new actor lets the oldest go.
const ACTORS_MAX: usize = 50_000;
/// As `phone.shards`.
const SHARDS: usize = 32;
/// As `store.commit_gap_ms`, and the crowd that is worth no gap.
const GAP: Duration = Duration::from_millis(1);
const CROWD: usize = 64;
/// As `store.batch_max` and `store.queue_max`.
const BATCH_MAX: usize = 512;
const QUEUE_MAX: usize = 4_096;
/// Bytes of a change in the log, as otpd's of a new number.
const RECORD: usize = 250;
/// Bytes of the log, written ahead and then over and over.
const LOG: u64 = 32 << 20;

/// The key of the tokens.
const SECRET: &[u8] = &[7; 32];
/// What the generator presents where nobody has signed in: then it is one of so many that were made before.
const NO_TOKEN: &str = "token";
const KEPT: u64 = 1_000;
/// Life of a token in seconds: longer than any measurement.
const LIFE_S: u64 = 86_400;

type Done = oneshot::Sender<()>;
type Queue = mpsc::Sender<([u8; RECORD], Done)>;

/// What an actor is asked. Boxed as otpd's requests are.
enum Ask {
    /// Make the record durable; whom to tell, if anyone waits.
    Change(Option<Done>),
    /// Look at it.
    Read(Done),
}

struct Phone {
    committer: Queue,
}

impl Actor for Phone {
    type Msg = Box<Ask>;
    type State = [u8; RECORD];
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok([7; RECORD])
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        asked: Self::Msg,
        record: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let waiting = match *asked {
            Ask::Change(waiting) => {
                let (durable, written) = oneshot::channel();
                self.committer.try_send((*record, durable))?;
                written.await?;
                waiting
            }
            Ask::Read(waiting) => Some(waiting),
        };
        if let Some(port) = waiting {
            let _caller_gone = port.send(());
        }
        Ok(())
    }
}

/// Only there, so that actors are supervised.
struct Shard;

impl Actor for Shard {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        _: ractor::SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// What otpd's access token says; its receipt says a little less.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    client_id: String,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: String,
    sid: String,
    auth_time: u64,
    token_type: String,
    user_id: u64,
    phone_number: String,
    phone_number_verified: bool,
    amr: Vec<String>,
}

/// Twilio's stand-in.
struct Provider {
    client: Client,
    messages: Url,
}

impl Provider {
    fn at(address: SocketAddr) -> Outcome<Self> {
        let messages = format!("http://{address}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json").parse()?;
        // As many idle connections as otpd keeps.
        let client =
            Client::builder().no_proxy().timeout(Duration::from_secs(8)).pool_max_idle_per_host(256).build()?;
        Ok(Self { client, messages })
    }

    async fn send(&self, to: &str) -> Option<()> {
        let form = [("To", to), ("From", SENDER), ("Body", "Your code is 123456. It is valid for 5 minutes.")];
        let request = self.client.post(self.messages.clone()).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN)).form(&form);
        let answer = request.send().await.ok()?.error_for_status().ok()?;
        serde_json::from_slice::<serde_json::Value>(&answer.bytes().await.ok()?).ok().map(drop)
    }
}

/// All numbers.
struct Floor {
    actors: DashMap<u64, ActorRef<Box<Ask>>>,
    /// In the order of their starts.
    oldest: Mutex<VecDeque<u64>>,
    shards: Vec<ActorCell>,
    committer: Queue,
    provider: Option<Provider>,
    header: Header,
    signs: EncodingKey,
    reads: DecodingKey,
    kept: Vec<String>,
    next: AtomicUsize,
}

impl Floor {
    fn new(committer: Queue, provider: Option<Provider>) -> Outcome<Self> {
        let shard = |_| ActorRuntime::spawn_instant(None, Shard, ()).map(|(shard, _detached)| shard.get_cell());
        let header = Header { kid: Some("0123456789abcdef".to_owned()), ..Header::new(Algorithm::HS256) };
        let mut floor = Self {
            actors: DashMap::new(),
            oldest: Mutex::default(),
            shards: (0..SHARDS).map(shard).collect::<Result<_, _>>()?,
            committer,
            provider,
            header,
            signs: EncodingKey::from_secret(SECRET),
            reads: DecodingKey::from_secret(SECRET),
            kept: Vec::new(),
            next: AtomicUsize::new(0),
        };
        let kept: Option<_> = (1..=KEPT).map(|number| floor.token(number)).collect();
        floor.kept = kept.ok_or("no token can be signed")?;
        Ok(floor)
    }

    fn next_kept(&self) -> &str {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.kept.len();
        self.kept.get(at).map_or("", String::as_str)
    }

    fn actor(&self, number: u64) -> Option<ActorRef<Box<Ask>>> {
        if let Some(actor) = self.actors.get(&number) {
            return Some(actor.clone());
        }
        let shard = self.shards.get(usize::try_from(number).ok()? % self.shards.len())?.clone();
        let phone = Phone { committer: self.committer.clone() };
        let (actor, _detached) = ActorRuntime::spawn_linked_instant(None, phone, (), shard).ok()?;
        self.actors.insert(number, actor.clone());
        let mut oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        oldest.push_back(number);
        let gone = if oldest.len() > ACTORS_MAX { oldest.pop_front() } else { None };
        drop(oldest);
        if let Some((_, gone)) = gone.and_then(|gone| self.actors.remove(&gone)) {
            gone.drain().ok()?;
        }
        Some(actor)
    }

    async fn ask(&self, number: u64, ask: impl FnOnce(Done) -> Ask) -> Option<()> {
        let (port, answer) = oneshot::channel();
        self.actor(number)?.send_message(Box::new(ask(port))).ok()?;
        answer.await.ok()
    }

    async fn change(&self, number: u64) -> Option<()> {
        self.ask(number, |port| Ask::Change(Some(port))).await
    }

    fn token(&self, number: u64) -> Option<String> {
        let now = get_current_timestamp();
        let claims = Claims {
            iss: "http://127.0.0.1:8080".to_owned(),
            sub: number.to_string(),
            aud: "http://127.0.0.1:8080".to_owned(),
            client_id: "otpd".to_owned(),
            exp: now + LIFE_S,
            nbf: now,
            iat: now,
            jti: "e".repeat(32),
            sid: "f".repeat(32),
            auth_time: now,
            token_type: "access".to_owned(),
            user_id: number,
            phone_number: format!("+{number}"),
            phone_number_verified: true,
            amr: vec!["otp".to_owned(), "sms".to_owned()],
        };
        jsonwebtoken::encode(&self.header, &claims, &self.signs).ok()
    }

    /// As otpd reads one: the library checks the signature, and the claims are parsed once.
    fn read(&self, token: &str) -> Option<u64> {
        let (message, signature) = token.rsplit_once('.')?;
        let (_, payload) = message.split_once('.')?;
        let good = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.reads, Algorithm::HS256);
        let payload = good.is_ok_and(|good| good).then(|| URL_SAFE_NO_PAD.decode(payload).ok())??;
        serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.user_id)
    }

    async fn start(&self, to: &str, number: u64) -> Option<()> {
        self.change(number).await?;
        if let Some(provider) = &self.provider {
            provider.send(to).await?;
        }
        self.actor(number)?.send_message(Box::new(Ask::Change(None))).ok()
    }

    async fn sign_in(&self, number: u64) -> Option<String> {
        self.change(number).await?;
        let receipt = self.token(number)?;
        self.change(self.read(&receipt)?).await?;
        self.token(number)
    }
}

fn number(text: &str) -> Result<u64, StatusCode> {
    text.trim_start_matches('+').parse().map_err(|_| StatusCode::BAD_REQUEST)
}

async fn send(State(floor): State<Arc<Floor>>, Json(asked): Json<SendBody>) -> Result<Json<Sent>, StatusCode> {
    floor.start(&asked.phone_number, number(&asked.phone_number)?).await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(asked.sent()))
}

async fn verify(State(floor): State<Arc<Floor>>, Json(asked): Json<VerifyBody>) -> Result<Json<Verified>, StatusCode> {
    let access = floor.sign_in(number(&asked.phone_number)?).await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(asked.verified(access)))
}

async fn profile(State(floor): State<Arc<Floor>>, headers: HeaderMap) -> Result<String, StatusCode> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = header.strip_prefix("Bearer ").map(|token| if token == NO_TOKEN { floor.next_kept() } else { token });
    let number = token.and_then(|token| floor.read(token)).ok_or(StatusCode::UNAUTHORIZED)?;
    floor.ask(number, Ask::Read).await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(header.to_owned())
}

/// Writes what waits and syncs once, until the last sender is gone.
fn commit(log: &File, mut queue: mpsc::Receiver<([u8; RECORD], Done)>) -> std::io::Result<()> {
    let (mut waiting, mut bytes, mut at) = (Vec::with_capacity(BATCH_MAX), Vec::new(), 0);
    let mut began = Instant::now();
    while queue.blocking_recv_many(&mut waiting, BATCH_MAX) > 0 {
        let since = began.elapsed();
        if since < GAP && waiting.len() + queue.len() < CROWD {
            #[expect(clippy::disallowed_methods, reason = "a thread of its own that has nothing else to do")]
            thread::sleep(GAP - since);
            while waiting.len() < BATCH_MAX
                && let Ok(more) = queue.try_recv()
            {
                waiting.push(more);
            }
        }
        began = Instant::now();
        bytes.clear();
        waiting.iter().for_each(|(record, _)| bytes.extend_from_slice(record));
        if at + bytes.len() as u64 > LOG {
            at = 0;
        }
        log.write_all_at(&bytes, at)?;
        log.sync_data()?;
        at += bytes.len() as u64;
        for (_, durable) in waiting.drain(..) {
            let _caller_gone = durable.send(());
        }
    }
    Ok(())
}

/// Serves until it is killed. The first line of its output is its address. `arguments`: a provider's address, if it has one.
pub(crate) fn serve(arguments: &[String]) -> Outcome<()> {
    let provider = arguments.first().map(|address| address.parse()).transpose()?;
    let log = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR"))?;
    let zeros = vec![0; 1 << 20];
    for at in (0..LOG).step_by(zeros.len()) {
        log.write_all_at(&zeros, at)?;
    }
    log.sync_all()?;
    let (committer, queue) = mpsc::channel(QUEUE_MAX);
    thread::Builder::new().name("committer".to_owned()).spawn(move || {
        if let Err(error) = commit(&log, queue) {
            eprintln!("the floor's log: {error}");
            std::process::exit(1);
        }
    })?;
    limit::serve_on(async || {
        Ok(Router::new()
            .route("/send-otp", post(send))
            .route("/verify-otp", post(verify))
            .route("/profile", get(profile))
            .route("/_code", get(limit::code))
            .with_state(Arc::new(Floor::new(committer, provider.map(Provider::at).transpose()?)?)))
    })
}
