//! The actor: decide, commit, reply.
//!
//! It keeps the record in its activation while the number is in use, and answers one message at a time. It waits for
//! nothing but the store, fails for nothing but a defect, and has nothing to save at its end, because what was acknowledged
//! was committed before. Handlers always return `Ok`: an `Err` would be death, not an answer.

use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef, actor::messages::BoxedState};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    record::{Command, Decision, Outcome, Policy, Record, Request, Rules, UnixMillis, decide, events, snapshot},
    store::{Change, Committed, Snapshot, StoreFault},
};

use super::{
    Fault, Reply,
    activation::{Guard, Permit},
    directory::Parts,
    registry::Registry,
};

/// What an actor is sent. Small: ractor boxes every message once more.
#[derive(Debug)]
pub(super) enum Message {
    /// Judge a request.
    Apply(Box<Job>),
    /// The last message before the end: delete the record if it has nothing left to remember.
    Retire,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) policy: Arc<Policy>,
    pub(super) request: Arc<Request>,
    /// Whom to answer; `None` for a tell.
    pub(super) port: Option<oneshot::Sender<Result<Reply, Fault>>>,
    /// The place it takes among the number's requests in flight.
    pub(super) permit: Option<Permit>,
}

impl Job {
    /// True if the caller has gone: nothing is evaluated then, so nothing leaks.
    fn is_abandoned(&self) -> bool {
        self.port.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// The handler. Its guard takes the entry out of the registry however the actor ends.
pub(super) struct PhoneActor {
    guard: Guard,
}

/// What the actor remembers between messages.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// It was loaded with an account on its way from or to it.
    found_move: bool,
    /// That has been reported: once per activation.
    reported_move: bool,
    /// An unreadable snapshot has been logged: once per activation.
    logged_unreadable: bool,
    /// The last step ran.
    stopped: bool,
}

/// Did the actor whose state this was run its last step?
pub(super) fn ended_in_order(mut state: BoxedState) -> bool {
    state.take::<Cache>().is_ok_and(|cache| cache.stopped)
}

impl PhoneActor {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard }
    }

    fn registry(&self) -> &Registry {
        &self.guard.registry
    }

    async fn apply(&self, job: Box<Job>, cache: &mut Cache) {
        if job.is_abandoned() {
            return;
        }
        let answer = self.judge(&job.policy, &job.request, cache).await;
        self.report_move(cache);
        let Job { port, permit, .. } = *job;
        // Before the answer: who has it may ask again at once.
        drop(permit);
        match (port, answer) {
            (Some(port), answer) => {
                let _caller_gone = port.send(answer);
            }
            (None, Ok(_)) => {}
            (None, Err(fault)) => {
                self.registry().meters.tell_lost();
                tracing::warn!(phone = %self.guard.activation.phone, %fault, "tell not taken");
            }
        }
    }

    /// Decides and commits. A conflict means that nothing was done: the record is read again and the same request
    /// decided once more. An outcome without a write is checked against the store first, if others write to it too.
    async fn judge(&self, policy: &Policy, request: &Request, cache: &mut Cache) -> Result<Reply, Fault> {
        let Registry { parts, meters, .. } = self.registry();
        let rules = Rules { policy, keys: &parts.keys };
        let (mut record, mut fresh) = match self.guard.activation.record() {
            Some(record) => (record, false),
            None => (self.load(cache).await?, true),
        };
        let mut conflicted = false;
        loop {
            let now = parts.clock.now();
            let mut decision = decide(rules, &record, request, now);
            let Some(next) = decision.next.take() else {
                if fresh || !parts.store.shared() || self.is_current(&record).await? {
                    return Ok(reply(decision, &record, now));
                }
                (record, fresh) = (self.load(cache).await?, true);
                continue;
            };
            let told = self.told(&record, &next, &decision.outcome);
            match self.commit(Some(&record), Some(&next), told, is_owed(request)).await? {
                Committed::Done => {
                    let next = Arc::new(next);
                    self.guard.activation.hold(Some(Arc::clone(&next)));
                    meters.expired.increment(u64::from(decision.lapsed));
                    if let Some(verified) = &decision.verified {
                        meters.time_to_verify.record(Duration::from_millis(verified.after_ms));
                    }
                    return Ok(reply(decision, &next, now));
                }
                Committed::Conflict if conflicted => return Err(Fault::StorageRefused),
                Committed::Conflict => {
                    conflicted = true;
                    (record, fresh) = (self.load(cache).await?, true);
                }
            }
        }
    }

    /// Reads the record and takes it in hand. A fault here means that nothing was done.
    async fn load(&self, cache: &mut Cache) -> Result<Arc<Record>, Fault> {
        let activation = &self.guard.activation;
        activation.hold(None);
        let phone = activation.phone;
        let record = match self.read().await? {
            None => Record::new(phone),
            Some(found) => snapshot::decode(phone, &found.bytes).map_err(|unreadable| {
                if !std::mem::replace(&mut cache.logged_unreadable, true) {
                    tracing::error!(%phone, %unreadable, "record left as it is");
                }
                Fault::Unreadable
            })?,
        };
        cache.found_move |= record.unfinished_move().is_some();
        let record = Arc::new(record);
        activation.hold(Some(Arc::clone(&record)));
        Ok(record)
    }

    /// Does the store still have the version in hand?
    async fn is_current(&self, record: &Record) -> Result<bool, Fault> {
        Ok(self.read().await?.map(|found| found.version) == record.expected_version())
    }

    async fn read(&self) -> Result<Option<Snapshot>, Fault> {
        let Registry { parts, settings, .. } = self.registry();
        let phone = self.guard.activation.phone;
        match timeout(settings.store_timeout(), parts.store.load(phone)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(fault)) => {
                tracing::warn!(%phone, %fault, "record not read");
                Err(Fault::StorageRefused)
            }
            Err(_) => {
                tracing::warn!(%phone, "record not read in time");
                Err(Fault::StorageRefused)
            }
        }
    }

    /// What the operator's back end is to hear of a change, as far as it wants to.
    fn told(&self, before: &Record, after: &Record, outcome: &Outcome) -> Vec<Vec<u8>> {
        let wanted = &self.registry().parts.events;
        if wanted.is_off() {
            return Vec::new();
        }
        let told = events(before, after, outcome).into_iter();
        told.filter(|told| wanted.wants(told.event.name())).map(|told| told.encode()).collect()
    }

    /// Puts `next` in the place of the record in hand, or deletes that. Unless the answer says that the record in
    /// hand still stands, it is forgotten, and the next message reads the truth.
    async fn commit(
        &self,
        before: Option<&Record>,
        next: Option<&Record>,
        events: Vec<Vec<u8>>,
        owed: bool,
    ) -> Result<Committed, Fault> {
        let Registry { parts, settings, meters, .. } = self.registry();
        let activation = &self.guard.activation;
        let phone = activation.phone;
        let snapshot = |record: &Record| Snapshot {
            version: record.expected_version().unwrap_or_default(),
            bytes: snapshot::encode(record),
        };
        let expected = before.and_then(Record::expected_version);
        let change = Change { phone, expected, next: next.map(snapshot), events };
        let committed = async {
            if owed { parts.committer.commit_owed(change).await } else { parts.committer.commit(change).await }
        };
        match timeout(settings.store_timeout(), committed).await {
            Ok(Ok(Committed::Done)) => Ok(Committed::Done),
            Ok(Ok(Committed::Conflict)) => {
                meters.conflict();
                activation.hold(None);
                Ok(Committed::Conflict)
            }
            Ok(Err(fault @ StoreFault::Refused(_))) => {
                tracing::warn!(%phone, %fault, "change refused");
                Err(Fault::StorageRefused)
            }
            Ok(Err(fault @ StoreFault::Unknown(_))) => {
                tracing::error!(%phone, %fault, "change may be lost");
                activation.hold(None);
                Err(Fault::Unknown)
            }
            Err(_) => {
                tracing::error!(%phone, "change not confirmed in time");
                activation.hold(None);
                Err(Fault::Unknown)
            }
        }
    }

    /// An account that was found on its way, and still is after a decision, has lost whoever was moving it.
    fn report_move(&self, cache: &mut Cache) {
        if !cache.found_move || cache.reported_move {
            return;
        }
        let record = self.guard.activation.record();
        let Some(unfinished) = record.as_deref().and_then(Record::unfinished_move) else { return };
        cache.reported_move = true;
        if self.registry().parts.moves.try_send(unfinished).is_err() {
            self.registry().meters.over_moves.increment(1);
        }
    }

    /// Deletes a record that has nothing left to remember. If it can't, the sweep will.
    async fn retire(&self) {
        let now = self.registry().parts.clock.now();
        let record = self.guard.activation.record();
        let due = record.as_deref().filter(|record| record.expected_version().is_some());
        if due.and_then(Record::forget_at).is_some_and(|at| at <= now) {
            let _left_to_the_sweep = self.commit(due, None, Vec::new(), false).await;
            self.guard.activation.hold(None);
        }
    }
}

/// What a send came to must not be lost because the disk is slow: the send has been made.
fn is_owed(request: &Request) -> bool {
    matches!(request.command, Command::Settle { .. })
}

/// Judges what only reads by the record in hand, without its actor; `None` if it would have to be written after all.
pub(super) fn judge_reading(parts: &Parts, record: &Record, policy: &Policy, request: &Request) -> Option<Reply> {
    let now = parts.clock.now();
    let decision = decide(Rules { policy, keys: &parts.keys }, record, request, now);
    decision.next.is_none().then(|| reply(decision, record, now))
}

fn reply(decision: Decision, after: &Record, now: UnixMillis) -> Reply {
    let Decision { outcome, draft, replayed, quota, verified, .. } = decision;
    let signed_in = matches!(outcome, Outcome::SignedIn(_));
    let account = if signed_in { after.account().map(|account| Box::new(account.without_password())) } else { None };
    Reply { outcome, draft, replayed, quota, account, verified, now }
}

impl Actor for PhoneActor {
    type Msg = Message;
    type State = Cache;
    type Arguments = ();

    /// Nothing that could fail: a failure here would be unsupervised.
    async fn pre_start(&self, _myself: ActorRef<Message>, (): ()) -> Result<Cache, ActorProcessingErr> {
        Ok(Cache::default())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        cache: &mut Cache,
    ) -> Result<(), ActorProcessingErr> {
        // Boxed, so that an idle actor does not carry the room that its busiest moment needs.
        match message {
            Message::Apply(job) => Box::pin(self.apply(job, cache)).await,
            Message::Retire => Box::pin(self.retire()).await,
        }
        Ok(())
    }

    /// Saves nothing, because it is not sure to run; it only tells guard and supervisor that the end was in order.
    async fn post_stop(&self, _myself: ActorRef<Message>, cache: &mut Cache) -> Result<(), ActorProcessingErr> {
        cache.stopped = true;
        self.guard.activation.stopped_in_order();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// anchors 11.18: every message is boxed and moved several times.
    #[test]
    fn a_message_is_two_words_at_most() {
        assert!(size_of::<Message>() <= 2 * size_of::<usize>());
    }
}
