//! The floor of the given parts: axum, an actor of ractor's per number, changes that are durable before they are answered,
//! in groups, tokens by jsonwebtoken. A start is two changes as otpd makes it, the challenge, and after the answer what its
//! send came to; a sign-in two more, the check and the session, with three tokens made and one read; a profile one token
//! read, and the actor asked. Nothing else is done here: no code, no limits, no log, no metrics, no record that is read or
//! folded. What otpd takes longer than this is its own work.

use std::{
    collections::VecDeque,
    fs::File,
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
use dashmap::DashMap;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, get_current_timestamp};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{
    Outcome,
    limit::{self, Send, Sent, Verified, Verify},
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
/// Life of a token in seconds.
const LIFE_S: u64 = 600;

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

/// What a token says, as much as otpd's do.
#[derive(Serialize, Deserialize)]
struct Claims {
    sub: u64,
    sid: String,
    iss: String,
    aud: String,
    iat: u64,
    exp: u64,
}

/// All numbers.
struct Floor {
    actors: DashMap<u64, ActorRef<Box<Ask>>>,
    /// In the order of their starts.
    oldest: Mutex<VecDeque<u64>>,
    shards: Vec<ActorCell>,
    committer: Queue,
    signs: EncodingKey,
    reads: DecodingKey,
    validation: Validation,
    kept: Vec<String>,
    next: AtomicUsize,
}

impl Floor {
    fn new(committer: Queue) -> Outcome<Self> {
        let shard = |_| ActorRuntime::spawn_instant(None, Shard, ()).map(|(shard, _detached)| shard.get_cell());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["floor"]);
        let mut floor = Self {
            actors: DashMap::new(),
            oldest: Mutex::default(),
            shards: (0..SHARDS).map(shard).collect::<Result<_, _>>()?,
            committer,
            signs: EncodingKey::from_secret(SECRET),
            reads: DecodingKey::from_secret(SECRET),
            validation,
            kept: Vec::new(),
            next: AtomicUsize::new(0),
        };
        floor.kept = (1..=KEPT).filter_map(|number| floor.token(number)).collect();
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
        let (sid, iss, aud) = ("f".repeat(32), "http://127.0.0.1".to_owned(), "floor".to_owned());
        let claims = Claims { sub: number, sid, iss, aud, iat: now, exp: now + LIFE_S };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signs).ok()
    }

    fn read(&self, token: &str) -> Option<u64> {
        jsonwebtoken::decode::<Claims>(token, &self.reads, &self.validation).ok().map(|token| token.claims.sub)
    }

    async fn start(&self, number: u64) -> Option<()> {
        self.change(number).await?;
        self.actor(number)?.send_message(Box::new(Ask::Change(None))).ok()
    }

    async fn sign_in(&self, number: u64) -> Option<String> {
        self.change(number).await?;
        let receipt = self.token(number)?;
        self.change(self.read(&receipt)?).await?;
        let _refresh = self.token(number)?;
        self.token(number)
    }
}

fn number(text: &str) -> Result<u64, StatusCode> {
    text.trim_start_matches('+').parse().map_err(|_| StatusCode::BAD_REQUEST)
}

async fn send(State(floor): State<Arc<Floor>>, Json(asked): Json<Send>) -> Result<Json<Sent>, StatusCode> {
    floor.start(number(&asked.phone_number)?).await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(asked.sent()))
}

async fn verify(State(floor): State<Arc<Floor>>, Json(asked): Json<Verify>) -> Result<Json<Verified>, StatusCode> {
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

/// Serves until it is killed. The first line of its output is its address.
pub(crate) fn serve() -> Outcome<()> {
    let log = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR"))?;
    let zeros = vec![0; 1 << 20];
    for at in (0..LOG).step_by(zeros.len()) {
        log.write_all_at(&zeros, at)?;
    }
    log.sync_all()?;
    let (committer, queue) = mpsc::channel(QUEUE_MAX);
    thread::Builder::new().name("committer".to_owned()).spawn(move || commit(&log, queue))?;
    limit::serve_on(async || {
        Ok(Router::new()
            .route("/send-otp", post(send))
            .route("/verify-otp", post(verify))
            .route("/profile", get(profile))
            .route("/_code", get(limit::code))
            .with_state(Arc::new(Floor::new(committer)?)))
    })
}
