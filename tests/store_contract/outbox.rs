//! The contract of [`Outbox`]: an event is there exactly if its change is, in order, once, and bounded.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use otpd::{
    record::UnixMillis,
    store::{
        Change, Committed, Entry, OutboxCounts, OutboxLimits, Shelf, SnapshotStore, StoreFault, Verdict,
        committer::{Committer, CommitterSettings},
        memory::MemoryStore,
        sled_store::Durability,
    },
};

use super::{check, check_load, delete, phone, put, scan_all, sled, snapshot};

/// A change with something to tell.
fn telling(change: Change, events: &[&str]) -> Change {
    Change { events: events.iter().map(|event| event.as_bytes().to_vec()).collect(), ..change }
}

async fn entries(store: &dyn SnapshotStore, shelf: Shelf) -> Vec<Entry> {
    store.outbox().entries(shelf, 0, 1_000).await.unwrap()
}

/// What waits, or is dead, as text.
async fn texts(store: &dyn SnapshotStore, shelf: Shelf) -> Vec<String> {
    let entries = entries(store, shelf).await;
    assert!(entries.is_sorted_by(|one, next| one.id < next.id), "in order, none twice");
    entries.into_iter().map(|entry| String::from_utf8(entry.event).unwrap()).collect()
}

async fn id_of(store: &dyn SnapshotStore, event: &str) -> u64 {
    let all = [entries(store, Shelf::Pending).await, entries(store, Shelf::Dead).await].concat();
    all.iter().find(|entry| entry.event == event.as_bytes()).unwrap().id
}

fn note(events: &[&str]) -> Vec<Vec<u8>> {
    events.iter().map(|event| event.as_bytes().to_vec()).collect()
}

/// Run against every backend, like those of the snapshots.
pub(crate) mod properties {
    use super::*;

    pub(crate) async fn events_go_with_their_change(store: Arc<dyn SnapshotStore>) {
        use Committed::{Conflict, Done};
        let batch = [
            telling(put(1, None, 1, b'a'), &["a1", "a2"]),
            telling(put(2, Some(9), 10, b'x'), &["never"]),
            telling(put(1, Some(1), 2, b'b'), &["b"]),
            put(3, None, 1, b'c'),
            telling(delete(3, Some(1)), &["gone"]),
        ];
        check(&*store, &batch, &[Done, Conflict, Done, Done, Done]).await;
        assert_eq!(texts(&*store, Shelf::Pending).await, ["a1", "a2", "b", "gone"]);
        check(&*store, &[telling(put(1, Some(1), 2, b'x'), &["never"])], &[Conflict]).await;
        store.outbox().note(note(&["n1", "n2"])).await.unwrap();
        check(&*store, &[telling(put(4, None, 1, b'a'), &["d"])], &[Done]).await;
        assert_eq!(texts(&*store, Shelf::Pending).await, ["a1", "a2", "b", "gone", "n1", "n2", "d"]);
        assert_eq!(store.outbox().counts(), OutboxCounts { pending: 7, dead: 0 });
        // Nothing of it is a number.
        assert_eq!(scan_all(&*store, 2).await, [(phone(1), 2), (phone(4), 1)]);
        check_load(&*store, 1, Some(snapshot(2, b'b'))).await;
    }

    pub(crate) async fn entries_come_in_pages(store: Arc<dyn SnapshotStore>) {
        for n in 0..25_u8 {
            let texts = [format!("{n}a"), format!("{n}b")];
            let change = telling(put(u64::from(99 - n), None, 1, n), &texts.each_ref().map(String::as_str));
            check(&*store, &[change], &[Committed::Done]).await;
        }
        let (mut after, mut all) = (0, Vec::new());
        loop {
            let page = store.outbox().entries(Shelf::Pending, after, 7).await.unwrap();
            assert!(page.len() <= 7);
            let Some(last) = page.last() else { break };
            after = last.id;
            all.extend(page.into_iter().map(|entry| String::from_utf8(entry.event).unwrap()));
        }
        let expected: Vec<String> = (0..25).flat_map(|n| [format!("{n}a"), format!("{n}b")]).collect();
        assert_eq!(all, expected, "as committed");
        assert!(store.outbox().entries(Shelf::Pending, u64::MAX, 7).await.unwrap().is_empty());
    }

    pub(crate) async fn verdicts_move_entries(store: Arc<dyn SnapshotStore>) {
        store.outbox().note(note(&["a", "b", "c", "d"])).await.unwrap();
        let (a, b, c) = (id_of(&*store, "a").await, id_of(&*store, "b").await, id_of(&*store, "c").await);
        let again = Verdict::Again { tries: 3, due: UnixMillis(77) };
        let verdicts = vec![(a, Verdict::Delivered), (b, again), (c, Verdict::Dead { tries: 9 }), (u64::MAX, again)];
        assert_eq!(store.outbox().settle(verdicts.clone()).await.unwrap(), 3);
        assert_eq!(store.outbox().settle(verdicts).await.unwrap(), 1, "what was done is not done again");
        assert_eq!(texts(&*store, Shelf::Pending).await, ["b", "d"]);
        assert_eq!(texts(&*store, Shelf::Dead).await, ["c"]);
        let waits = entries(&*store, Shelf::Pending).await.remove(0);
        assert_eq!((waits.id, waits.tries, waits.due), (b, 3, UnixMillis(77)));
        assert_eq!(entries(&*store, Shelf::Dead).await[0].tries, 9);

        // What waits is no dead letter, and the other way round.
        let wrong = vec![(b, Verdict::Revived), (b, Verdict::Dropped), (c, Verdict::Delivered), (c, again)];
        assert_eq!(store.outbox().settle(wrong).await.unwrap(), 0);
        assert_eq!(store.outbox().settle(vec![(c, Verdict::Revived)]).await.unwrap(), 1);
        let back = entries(&*store, Shelf::Pending).await.into_iter().find(|entry| entry.id == c).unwrap();
        assert_eq!((back.tries, back.due, &back.event[..]), (0, UnixMillis(0), &b"c"[..]));
        assert_eq!(store.outbox().settle(vec![(c, Verdict::Dead { tries: 1 })]).await.unwrap(), 1);
        assert_eq!(store.outbox().settle(vec![(c, Verdict::Dropped)]).await.unwrap(), 1);
        assert_eq!(store.outbox().counts(), OutboxCounts { pending: 2, dead: 0 });
        assert_eq!(store.outbox().settle(Vec::new()).await.unwrap(), 0);
    }

    /// A receiver that is down costs no sign-in: what comes when too many wait is dead at once, and the oldest dead goes.
    pub(crate) async fn both_shelves_are_bounded(store: Arc<dyn SnapshotStore>) {
        store.outbox().limit(OutboxLimits { pending_max: 3, dead_max: 4 });
        check(&*store, &[telling(put(1, None, 1, b'a'), &["1", "2"])], &[Committed::Done]).await;
        check(&*store, &[telling(put(1, Some(1), 2, b'a'), &["3", "4", "5"])], &[Committed::Done]).await;
        assert_eq!(texts(&*store, Shelf::Pending).await, ["1", "2", "3"]);
        assert_eq!(texts(&*store, Shelf::Dead).await, ["4", "5"]);
        let first = id_of(&*store, "1").await;
        assert_eq!(store.outbox().settle(vec![(first, Verdict::Dead { tries: 1 })]).await.unwrap(), 1);
        assert_eq!(texts(&*store, Shelf::Dead).await, ["1", "4", "5"]);
        store.outbox().note(note(&["6", "7", "8", "9"])).await.unwrap();
        assert_eq!(texts(&*store, Shelf::Pending).await, ["2", "3", "6"]);
        assert_eq!(texts(&*store, Shelf::Dead).await, ["5", "7", "8", "9"], "the oldest went");
        assert_eq!(store.outbox().counts(), OutboxCounts { pending: 3, dead: 4 });
    }

    /// Whoever waits is woken by what comes, and by what had come before it began to wait.
    pub(crate) async fn additions_wake(store: Arc<dyn SnapshotStore>) {
        assert!(store.outbox().added().now_or_never().is_none());
        check(&*store, &[put(1, None, 1, b'a')], &[Committed::Done]).await;
        assert!(store.outbox().added().now_or_never().is_none(), "a change with nothing to tell");
        check(&*store, &[telling(put(2, None, 1, b'a'), &["a"])], &[Committed::Done]).await;
        assert!(store.outbox().added().now_or_never().is_some());
        let waits = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.outbox().added().await }
        });
        store.outbox().note(note(&["b"])).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), waits).await.unwrap().unwrap();
        let id = id_of(&*store, "a").await;
        store.outbox().settle(vec![(id, Verdict::Dead { tries: 1 })]).await.unwrap();
        assert!(store.outbox().added().now_or_never().is_none());
        store.outbox().settle(vec![(id, Verdict::Revived)]).await.unwrap();
        assert!(store.outbox().added().now_or_never().is_some());
    }

    pub(crate) async fn a_closed_outbox_refuses(store: Arc<dyn SnapshotStore>) {
        store.close().await.unwrap();
        assert!(matches!(store.outbox().note(note(&["a"])).await, Err(StoreFault::Refused(_))));
        assert!(matches!(store.outbox().entries(Shelf::Pending, 0, 9).await, Err(StoreFault::Refused(_))));
        let verdict = vec![(1, Verdict::Delivered)];
        assert!(matches!(store.outbox().settle(verdict).await, Err(StoreFault::Refused(_))));
    }
}

/// security 11, in simulation: of what was not answered, each change is kept with its events or lost with them.
#[tokio::test(start_paused = true)]
async fn a_crash_in_memory_keeps_change_and_events_together() {
    for kept in 0..=2 {
        let store = Arc::new(MemoryStore::new(false));
        store.slow(Duration::from_millis(10), Duration::ZERO);
        let batch = tokio::spawn({
            let store = Arc::clone(&store);
            let batch = [telling(put(2, None, 1, b'b'), &["b"]), telling(put(3, None, 1, b'c'), &["c", "d"])];
            async move { store.commit(&batch).await }
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(texts(&*store, Shelf::Pending).await.is_empty(), "not durable, so not shown");
        store.crash(kept);
        assert!(matches!(batch.await.unwrap(), Err(StoreFault::Unknown(_))));
        let expected: &[&str] = [&[][..], &["b"], &["b", "c", "d"]][kept];
        assert_eq!(texts(&store.connect(), Shelf::Pending).await, expected);
    }
}

/// A full or failed disk refuses the outbox as it refuses changes, and nothing is changed by it.
#[tokio::test]
async fn faults_leave_the_outbox_as_it_is() {
    let store = MemoryStore::new(false);
    store.outbox().note(note(&["a"])).await.unwrap();
    store.refuse_all(true);
    let refused = [telling(put(1, None, 1, b'a'), &["b"])];
    assert!(store.commit(&refused).await.is_err());
    assert!(store.outbox().note(note(&["c"])).await.is_err());
    let id = id_of(&store, "a").await;
    assert!(store.outbox().settle(vec![(id, Verdict::Delivered)]).await.is_err());
    store.refuse_all(false);
    assert_eq!(texts(&store, Shelf::Pending).await, ["a"]);
    store.lose_reply(1);
    assert!(matches!(store.commit(&refused).await, Err(StoreFault::Unknown(_))));
    assert_eq!(texts(&store, Shelf::Pending).await, ["a", "b"], "the change was made, and told");
    store.fail_flush();
    let lost = [telling(put(2, None, 1, b'a'), &["lost"])];
    assert!(matches!(store.commit(&lost).await, Err(StoreFault::Unknown(_))));
    assert_eq!(texts(&store.connect(), Shelf::Pending).await, ["a", "b"]);
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_the_outbox_too() {
    let (store, _kept) = sled::fresh(Durability::Fsync);
    store.outbox().note(note(&["a"])).await.unwrap();
    store.set_free_mib_min(u64::MAX);
    assert!(matches!(store.outbox().note(note(&["b"])).await, Err(StoreFault::Refused(_))));
    let id = id_of(&*store, "a").await;
    assert!(matches!(store.outbox().settle(vec![(id, Verdict::Delivered)]).await, Err(StoreFault::Refused(_))));
    store.set_free_mib_min(0);
    assert_eq!(texts(&*store, Shelf::Pending).await, ["a"]);
}

/// Ids never come again, not even those of entries that are gone; counts and tries are there again.
#[tokio::test]
async fn a_reopened_outbox_goes_on() {
    for durability in [Durability::Fsync, Durability::Buffered] {
        let directory = tempfile::tempdir().unwrap();
        let mut last = 0;
        for round in 0..3_usize {
            let store = sled::open(directory.path(), durability).unwrap();
            assert_eq!(store.outbox().counts(), OutboxCounts { pending: round, dead: round });
            assert_eq!(store.outbox().added().now_or_never().is_some(), round > 0, "what waits is looked at");
            store.outbox().note(note(&["a", "b", "c"])).await.unwrap();
            let new: Vec<u64> =
                store.outbox().entries(Shelf::Pending, last, 9).await.unwrap().iter().map(|e| e.id).collect();
            assert_eq!(new.len(), 3);
            assert!(new[0] > last, "{new:?} after {last}");
            last = new[2];
            let again = Verdict::Again { tries: 2, due: UnixMillis(5) };
            let verdicts = vec![(new[0], again), (new[1], Verdict::Dead { tries: 4 }), (last, Verdict::Delivered)];
            assert_eq!(store.outbox().settle(verdicts).await.unwrap(), 3);
            store.close().await.unwrap();
        }
        let store = sled::open(directory.path(), durability).unwrap();
        assert!(
            entries(&store, Shelf::Pending).await.iter().all(|entry| (entry.tries, entry.due) == (2, UnixMillis(5)))
        );
        assert!(entries(&store, Shelf::Dead).await.iter().all(|entry| entry.tries == 4));
    }
}

/// The committer's batches are bounded in bytes, those of events among them.
#[tokio::test(start_paused = true)]
async fn event_bytes_count() {
    let store = Arc::new(MemoryStore::new(false));
    store.slow(Duration::from_millis(10), Duration::ZERO);
    let settings = CommitterSettings { batch_bytes_max: 1_000, ..CommitterSettings::default() };
    let committer = Committer::start_as_task(store.clone(), settings, Box::new(|_| ()));
    let begun = tokio::time::Instant::now();
    let event = "e".repeat(400);
    let commits = (0..6).map(|n| committer.commit(telling(put(n, None, 1, b'a'), &[&event])));
    let done = futures_util::future::join_all(commits).await;
    assert!(done.iter().all(|done| matches!(done, Ok(Committed::Done))));
    // Two fit into a batch; without the events all six would go at once behind the first.
    assert_eq!(begun.elapsed(), Duration::from_millis(30));
    assert_eq!(texts(&*store, Shelf::Pending).await.len(), 6);
}

/// Numbers that the process to be killed writes.
const WRITERS: u64 = 16;

/// security 11: a process that commits is killed with SIGKILL, again and again. Each number's event is there exactly if
/// its change is: those acknowledged, and of those under way both or neither.
#[expect(clippy::disallowed_methods, reason = "tells the child process where its store is")]
#[tokio::test]
async fn a_killed_process_leaves_no_change_without_its_event() {
    if let Some(path) = std::env::var_os(sled::PATH_VARIABLE) {
        return write_until_killed(Path::new(&path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let name = "outbox::a_killed_process_leaves_no_change_without_its_event";
        let mut child = sled::myself(name, directory.path().as_os_str()).stdout(Stdio::piped()).spawn().unwrap();
        let mut acknowledged = std::collections::BTreeMap::new();
        let enough = 300 + round * 37;
        let mut lines = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let Some((n, version)) = line.strip_prefix("! ").and_then(|line| line.strip_suffix(" !")?.split_once(' '))
            else {
                continue;
            };
            acknowledged.insert(n.parse::<u64>().unwrap(), version.parse::<u64>().unwrap());
            lines += 1;
            if lines == enough {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(lines >= enough, "it ended by itself");

        let store = sled::open(directory.path(), Durability::Fsync).unwrap();
        let told: Vec<String> = {
            let (mut after, mut all) = (0, Vec::new());
            loop {
                let page = store.outbox().entries(Shelf::Pending, after, 500).await.unwrap();
                let Some(last) = page.last() else { break all };
                after = last.id;
                all.extend(page.into_iter().map(|entry| String::from_utf8(entry.event).unwrap()));
            }
        };
        for n in 0..WRITERS {
            let version = store.load(phone(n)).await.unwrap().map_or(0, |snapshot| snapshot.version);
            assert!(version >= acknowledged.get(&n).copied().unwrap_or(0));
            let own: Vec<&String> = told.iter().filter(|told| told.starts_with(&format!("{n}:"))).collect();
            let expected: Vec<String> =
                (1..=version).flat_map(|version| [format!("{n}:{version}a"), format!("{n}:{version}b")]).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>(), "each version told, in order");
        }
        store.close().await.unwrap();
    }
}

async fn write_until_killed(directory: &Path) {
    let store = Arc::new(sled::open(directory, Durability::Fsync).unwrap());
    store.outbox().limit(OutboxLimits { pending_max: usize::MAX, dead_max: 1 });
    let on_fatal = Box::new(|_: &StoreFault| std::process::abort());
    let committer = Committer::start(Arc::clone(&store) as _, CommitterSettings::default(), on_fatal).unwrap();
    let writers = (0..WRITERS).map(|n| {
        let (committer, store) = (&committer, &store);
        async move {
            let mut now = store.load(phone(n)).await.unwrap().map(|snapshot| snapshot.version);
            loop {
                let next = now.unwrap_or(0) + 1;
                let change = telling(put(n, now, next, b'a'), &[&format!("{n}:{next}a"), &format!("{n}:{next}b")]);
                assert_eq!(committer.commit(change).await.unwrap(), Committed::Done);
                std::io::stdout().lock().write_all(format!("! {n} {next} !\n").as_bytes()).unwrap();
                now = Some(next);
            }
        }
    });
    let _never: Vec<()> = futures_util::future::join_all(writers).await;
}
