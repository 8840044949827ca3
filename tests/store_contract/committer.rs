//! What the committer promises, whatever store is below.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use otpd::{
    record::PhoneNumber,
    store::{
        Change, Committed, Outbox, Page, Snapshot, SnapshotStore, StoreFault,
        committer::{Committer, CommitterSettings, OnFatal},
        memory::MemoryStore,
        sled_store::Durability,
    },
};
use tokio::task::JoinHandle;

use super::{check_load, phone, put, sled, snapshot, snapshot_of};

/// Passes everything on and notes the size of each batch; panics on demand.
struct Watched {
    store: MemoryStore,
    batches: Mutex<Vec<usize>>,
    panics: bool,
}

#[async_trait]
impl SnapshotStore for Watched {
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        self.store.load(phone).await
    }
    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        self.batches.lock().unwrap().push(batch.len());
        assert!(!self.panics, "a defect in the store");
        self.store.commit(batch).await
    }
    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault> {
        self.store.scan(after, limit).await
    }
    async fn lease_user_ids(&self, count: u64) -> Result<std::ops::Range<u64>, StoreFault> {
        self.store.lease_user_ids(count).await
    }

    fn outbox(&self) -> &dyn Outbox {
        self.store.outbox()
    }

    fn shared(&self) -> bool {
        false
    }
    fn refusing(&self) -> Option<&'static str> {
        self.store.refusing()
    }
    async fn failure(&self) -> StoreFault {
        self.store.failure().await
    }
    async fn close(&self) -> Result<(), StoreFault> {
        self.store.close().await
    }
}

/// A committer as a task (paused time) over a slow watched store; and how often it was told of its end.
struct Bench {
    committer: Committer,
    watched: Arc<Watched>,
    fatal: Arc<AtomicUsize>,
}

fn bench(settings: CommitterSettings, panics: bool) -> Bench {
    let watched = Arc::new(Watched { store: MemoryStore::new(false), batches: Mutex::default(), panics });
    watched.store.slow(Duration::from_millis(10), Duration::ZERO);
    let (fatal, on_fatal) = counted();
    let committer = Committer::start_as_task(Arc::clone(&watched) as _, settings, on_fatal);
    Bench { committer, watched, fatal }
}

fn counted() -> (Arc<AtomicUsize>, OnFatal) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let on_fatal: OnFatal = Box::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (count, on_fatal)
}

impl Bench {
    /// Commits from a task of its own, which has queued its change when this returns.
    async fn commit(&self, change: Change) -> JoinHandle<Result<Committed, StoreFault>> {
        let committer = self.committer.clone();
        let waiting = tokio::spawn(async move { committer.commit(change).await });
        tokio::task::yield_now().await;
        waiting
    }

    fn batches(&self) -> Vec<usize> {
        self.watched.batches.lock().unwrap().clone()
    }
}

async fn all_done(waiting: Vec<JoinHandle<Result<Committed, StoreFault>>>) {
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap(), Committed::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_during_a_flush_is_the_next_batch() {
    let bench = bench(CommitterSettings { batch_max: 5, ..CommitterSettings::default() }, false);
    let mut waiting = Vec::new();
    for n in 0..13 {
        waiting.push(bench.commit(put(n, None, 1, b'a')).await);
    }
    all_done(waiting).await;
    assert_eq!(bench.batches(), [1, 5, 5, 2]);
    assert_eq!(bench.fatal.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_bounded_in_bytes_and_loses_nothing() {
    let bench = bench(CommitterSettings { batch_bytes_max: 1000, ..CommitterSettings::default() }, false);
    let mut waiting = Vec::new();
    for n in 0..8 {
        let next = Some(snapshot_of(1, b'a', 400));
        waiting.push(bench.commit(Change { phone: phone(n), expected: None, next, events: Vec::new() }).await);
    }
    all_done(waiting).await;
    assert_eq!(bench.batches(), [1, 2, 2, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn each_caller_gets_its_own_answer() {
    let bench = bench(CommitterSettings::default(), false);
    let first = bench.commit(put(1, None, 1, b'a')).await;
    let second = bench.commit(put(1, None, 1, b'b')).await;
    let third = bench.commit(put(2, None, 1, b'c')).await;
    assert_eq!(first.await.unwrap().unwrap(), Committed::Done);
    assert_eq!(second.await.unwrap().unwrap(), Committed::Conflict);
    assert_eq!(third.await.unwrap().unwrap(), Committed::Done);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let bench = bench(CommitterSettings { queue_max: 2, ..CommitterSettings::default() }, false);
    assert!(bench.committer.accepting());
    let mut waiting = Vec::new();
    for n in 0..3 {
        waiting.push(bench.commit(put(n, None, 1, b'a')).await); // one in the store, two in the queue
    }
    assert!(!bench.committer.accepting());
    let before = tokio::time::Instant::now();
    let refused = bench.committer.commit(put(9, None, 1, b'a')).await;
    assert!(matches!(refused, Err(StoreFault::Refused("commit queue full"))));
    assert_eq!(before.elapsed(), Duration::ZERO);
    all_done(waiting).await;
    assert!(bench.committer.accepting());
    check_load(&*bench.watched, 9, None).await;
}

/// A slow disk: who would wait longer than allowed is refused before waiting at all, and what is owed is taken.
#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_refused_at_once() {
    let settings =
        CommitterSettings { batch_max: 1, wait_max: Duration::from_millis(25), ..CommitterSettings::default() };
    let bench = bench(settings, false);
    all_done(vec![bench.commit(put(0, None, 1, b'a')).await]).await;
    // Batches take 10 ms: the first is under way, the second waits 20 ms, a third would wait 30.
    let mut waiting = vec![bench.commit(put(1, None, 1, b'a')).await, bench.commit(put(2, None, 1, b'a')).await];
    assert!(!bench.committer.accepting());
    let before = tokio::time::Instant::now();
    let refused = bench.committer.commit(put(9, None, 1, b'a')).await;
    assert!(matches!(refused, Err(StoreFault::Refused("the disk is behind"))), "{refused:?}");
    assert_eq!(before.elapsed(), Duration::ZERO);
    let committer = bench.committer.clone();
    waiting.push(tokio::spawn(async move { committer.commit_owed(put(3, None, 1, b'a')).await }));
    all_done(waiting).await;
    assert_eq!(before.elapsed(), Duration::from_millis(30));
    check_load(&*bench.watched, 9, None).await;
    assert!(bench.committer.accepting());
    assert_eq!(bench.committer.commit(put(9, None, 1, b'a')).await.unwrap(), Committed::Done);
}

/// A disk that hangs: who comes is refused while it does, and the first one after it is taken, whatever the average says.
#[tokio::test(start_paused = true)]
async fn a_hanging_disk_is_noticed_and_forgiven() {
    let bench = bench(CommitterSettings::default(), false);
    bench.watched.store.slow(Duration::from_secs(60), Duration::ZERO);
    let hanging = bench.commit(put(1, None, 1, b'a')).await;
    assert!(bench.committer.accepting(), "nothing is known yet");
    tokio::time::sleep(Duration::from_millis(2_001)).await;
    let refused = bench.committer.commit(put(2, None, 1, b'a')).await;
    assert!(matches!(refused, Err(StoreFault::Refused("the disk is behind"))), "{refused:?}");
    bench.watched.store.slow(Duration::ZERO, Duration::ZERO);
    all_done(vec![hanging]).await;
    let before = tokio::time::Instant::now();
    for n in 2..100 {
        assert_eq!(bench.committer.commit(put(n, None, 1, b'a')).await.unwrap(), Committed::Done);
    }
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_too_large_or_at_odds_with_its_header_is_refused() {
    let bench = bench(CommitterSettings { record_bytes_max: 100, ..CommitterSettings::default() }, false);
    let large = Change { phone: phone(1), expected: None, next: Some(snapshot_of(1, b'a', 101)), events: Vec::new() };
    assert!(matches!(bench.committer.commit(large).await, Err(StoreFault::Refused("snapshot too large"))));
    for bytes in [snapshot(2, b'a').bytes, vec![1; 16], Vec::new()] {
        let odd =
            Change { phone: phone(1), expected: None, next: Some(Snapshot { version: 1, bytes }), events: Vec::new() };
        assert!(matches!(bench.committer.commit(odd).await, Err(StoreFault::Refused(_))));
    }
    let fits = Change { phone: phone(1), expected: None, next: Some(snapshot_of(1, b'a', 100)), events: Vec::new() };
    assert_eq!(bench.committer.commit(fits).await.unwrap(), Committed::Done);
    assert_eq!(bench.batches(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_caller_has_gone_still_happens() {
    let bench = bench(CommitterSettings::default(), false);
    let in_store = bench.commit(put(1, None, 1, b'a')).await;
    let in_queue = bench.commit(put(2, None, 1, b'a')).await;
    in_store.abort();
    in_queue.abort();
    assert!(in_store.await.unwrap_err().is_cancelled());
    assert!(in_queue.await.unwrap_err().is_cancelled());
    bench.committer.close().await.unwrap();
    assert_eq!(bench.watched.store.len(), 2);
}

/// security 105: a failed flush is answered as unknown, told once, and nothing is answered as done after it.
#[tokio::test(start_paused = true)]
async fn a_failed_flush_is_fatal() {
    let bench = bench(CommitterSettings { batch_max: 2, ..CommitterSettings::default() }, false);
    bench.watched.store.fail_flush();
    let mut waiting = Vec::new();
    for n in 0..4 {
        waiting.push(bench.commit(put(n, None, 1, b'a')).await);
    }
    let first = waiting.remove(0).await.unwrap();
    assert!(matches!(first, Err(StoreFault::Unknown(_))));
    for queued in waiting {
        assert!(matches!(queued.await.unwrap(), Err(StoreFault::Refused("store failed"))), "certainly not done");
    }
    assert!(matches!(bench.committer.commit(put(9, None, 1, b'a')).await, Err(StoreFault::Refused("store failed"))));
    assert!(!bench.committer.accepting());
    assert!(bench.committer.close().await.is_err());
    assert_eq!(bench.fatal.load(Ordering::SeqCst), 1);
    assert_eq!(bench.batches(), [1]);
    assert!(bench.watched.store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_store_is_fatal() {
    let bench = bench(CommitterSettings::default(), true);
    let first = bench.committer.commit(put(1, None, 1, b'a')).await;
    assert!(matches!(first, Err(StoreFault::Unknown(_))));
    assert!(matches!(bench.committer.commit(put(2, None, 1, b'a')).await, Err(StoreFault::Refused("store failed"))));
    assert_eq!(bench.fatal.load(Ordering::SeqCst), 1);
    assert!(bench.committer.close().await.is_err());
}

/// A shared store's time-out concerns one batch: the next one goes through.
#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_unknown_and_not_fatal() {
    let bench = bench(CommitterSettings::default(), false);
    bench.watched.store.lose_reply(1);
    let lost = bench.committer.commit(put(1, None, 1, b'a')).await;
    assert!(matches!(lost, Err(StoreFault::Unknown(_))));
    check_load(&*bench.watched, 1, Some(snapshot(1, b'a'))).await;
    assert_eq!(bench.committer.commit(put(1, Some(1), 2, b'b')).await.unwrap(), Committed::Done);
    assert_eq!(bench.fatal.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn close_commits_what_waits_and_takes_no_more() {
    let bench = bench(CommitterSettings { batch_max: 2, ..CommitterSettings::default() }, false);
    let mut waiting = Vec::new();
    for n in 0..7 {
        waiting.push(bench.commit(put(n, None, 1, b'a')).await);
    }
    let (first, second) = tokio::join!(bench.committer.close(), bench.committer.close());
    first.and(second).unwrap();
    all_done(waiting).await;
    assert_eq!(bench.watched.store.len(), 7);
    assert!(!bench.committer.accepting());
    let late = bench.committer.commit(put(9, None, 1, b'a')).await;
    assert!(matches!(late, Err(StoreFault::Refused("committer closed"))));
    assert!(matches!(bench.watched.load(phone(1)).await, Err(StoreFault::Refused(_))), "the store is closed, too");
    assert_eq!(bench.fatal.load(Ordering::SeqCst), 0);
}

/// The real thing: own thread, fsync, many writers; then everything is there under its last version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_over_sled_lose_nothing() {
    const WRITERS: u64 = 32;
    const ROUNDS: u64 = 20;
    let (store, _directory) = sled::fresh(Durability::Fsync);
    let (fatal, on_fatal) = counted();
    let committer = Committer::start(Arc::clone(&store) as _, CommitterSettings::default(), on_fatal).unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let (committer, store) = (committer.clone(), Arc::clone(&store));
            tokio::spawn(async move {
                for version in 1..=ROUNDS {
                    let change = put(n, (version > 1).then(|| version - 1), version, b'a');
                    assert_eq!(committer.commit(change).await.unwrap(), Committed::Done);
                    check_load(&*store, n, Some(snapshot(version, b'a'))).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let versions = super::scan_all(&*store, 10).await;
    assert_eq!(versions, (0..WRITERS).map(|n| (phone(n), ROUNDS)).collect::<Vec<_>>());
    committer.close().await.unwrap();
    assert_eq!(fatal.load(Ordering::SeqCst), 0);
}

/// security 105: `readyz` sees it, nothing is fatal, and it ends by itself when there is space again.
#[tokio::test]
async fn a_nearly_full_disk_is_refused_and_recovers() {
    let (store, _directory) = sled::fresh(Durability::Buffered);
    let (fatal, on_fatal) = counted();
    let committer = Committer::start(Arc::clone(&store) as _, CommitterSettings::default(), on_fatal).unwrap();
    store.set_free_mib_min(u64::MAX);
    assert!(!committer.accepting());
    let refused = committer.commit(put(1, None, 1, b'a')).await;
    assert!(matches!(refused, Err(StoreFault::Refused("disk nearly full"))));
    store.set_free_mib_min(1);
    assert!(committer.accepting());
    assert_eq!(committer.commit(put(1, None, 1, b'a')).await.unwrap(), Committed::Done);
    committer.close().await.unwrap();
    assert_eq!(fatal.load(Ordering::SeqCst), 0);
}

/// Dropping the handles is an orderly end as well: what waits is committed, the store is closed.
#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_store() {
    let Bench { committer, watched, .. } = bench(CommitterSettings::default(), false);
    let mut commit = Box::pin(committer.commit(put(1, None, 1, b'a')));
    assert!(futures_util::poll!(commit.as_mut()).is_pending());
    drop(commit);
    drop(committer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(watched.store.len(), 1);
    assert!(matches!(watched.load(phone(1)).await, Err(StoreFault::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn batches_and_refusals_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let settings = CommitterSettings { queue_max: 2, ..CommitterSettings::default() };
    let bench = metrics::with_local_recorder(&recorder, || bench(settings, false));
    let mut waiting = Vec::new();
    for n in 0..3 {
        waiting.push(bench.commit(put(n, None, 1, b'a')).await);
    }
    bench.committer.commit(put(9, None, 1, b'a')).await.unwrap_err();
    all_done(waiting).await;
    bench.watched.store.refuse_next(1);
    bench.committer.commit(put(9, None, 1, b'a')).await.unwrap_err();
    bench.watched.store.slow(Duration::from_secs(60), Duration::ZERO);
    let hanging = bench.commit(put(9, None, 1, b'a')).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    bench.committer.commit(put(8, None, 1, b'a')).await.unwrap_err();
    all_done(vec![hanging]).await;

    let rendered = recorder.handle().render();
    for line in [
        "otpd_commit_batch_size_count 4",
        "otpd_commit_batch_size_sum 5",
        "otpd_commit_seconds_count 4",
        "otpd_commit_waiting 0",
        "otpd_commit_refusals_total{reason=\"wait\"} 1",
        "otpd_commit_refusals_total{reason=\"queue_full\"} 1",
        "otpd_commit_refusals_total{reason=\"store\"} 1",
    ] {
        assert!(rendered.lines().any(|rendered| rendered == line), "{line} is not in\n{rendered}");
    }
}
