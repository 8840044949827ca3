//! The floor of the given parts: axum, an actor of ractor's per number, changes that are durable before they are answered,
//! in groups. A start as otpd makes it is two changes: the challenge, and after the answer what its send came to. Nothing
//! else is done here: no code, no limits, no log, no metrics, no record that is read or folded. What otpd takes longer than
//! this is its own work.

use std::{
    collections::VecDeque,
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::post};
use dashmap::DashMap;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime};
use tokio::sync::{mpsc, oneshot};

use super::{
    Outcome,
    limit::{self, Json, Send, Sent},
};

/// The first argument of this program when it is to be the floor.
pub(crate) const NAME: &str = "floor";

/// As `passivation.actors_max`: beyond it, each new actor lets the oldest go.
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

type Durable = oneshot::Sender<()>;

/// Write the record; whom to tell, if anyone waits. Boxed as otpd's are.
type Change = Box<Option<Durable>>;

struct Phone {
    committer: mpsc::Sender<([u8; RECORD], Durable)>,
}

impl Actor for Phone {
    type Msg = Change;
    type State = [u8; RECORD];
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok([7; RECORD])
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        waiting: Self::Msg,
        record: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let (durable, written) = oneshot::channel();
        self.committer.try_send((*record, durable))?;
        written.await?;
        if let Some(port) = *waiting {
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

/// All numbers.
struct Floor {
    actors: DashMap<u64, ActorRef<Change>>,
    /// In the order of their starts.
    oldest: Mutex<VecDeque<u64>>,
    shards: Vec<ActorCell>,
    committer: mpsc::Sender<([u8; RECORD], Durable)>,
}

impl Floor {
    fn actor(&self, number: u64) -> Option<ActorRef<Change>> {
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

    async fn start(&self, number: u64) -> Option<()> {
        let (port, answer) = oneshot::channel();
        self.actor(number)?.send_message(Box::new(Some(port))).ok()?;
        answer.await.ok()?;
        self.actor(number)?.send_message(Box::new(None)).ok()
    }
}

async fn send(State(floor): State<Arc<Floor>>, Json(asked): Json<Send>) -> Result<Json<Sent>, StatusCode> {
    let number = asked.phone_number.trim_start_matches('+').parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    floor.start(number).await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(asked.sent()))
}

/// Writes what waits and syncs once, until the last sender is gone.
fn commit(log: &File, mut queue: mpsc::Receiver<([u8; RECORD], Durable)>) -> std::io::Result<()> {
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
        let shard = |_| ActorRuntime::spawn_instant(None, Shard, ()).map(|(shard, _detached)| shard.get_cell());
        let shards = (0..SHARDS).map(shard).collect::<Result<_, _>>()?;
        let floor = Floor { actors: DashMap::new(), oldest: Mutex::new(VecDeque::new()), shards, committer };
        Ok(Router::new().route("/send-otp", post(send)).with_state(Arc::new(floor)))
    })
}
