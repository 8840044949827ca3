//! The contract of [`SnapshotStore`]: one suite, run against every backend. A new backend adds a line at the end.
//!
//! Each property takes an empty store and nothing else. What only the embedded store promises (files, locks,
//! disk space) is in `store_contract/sled.rs`, what the outbox promises in `store_contract/outbox.rs`, what the committer
//! promises in `store_contract/committer.rs`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "store_contract/committer.rs"]
mod committer;
#[path = "store_contract/outbox.rs"]
mod outbox;
#[path = "store_contract/sled.rs"]
mod sled;

use std::sync::Arc;

use otpd::{
    record::{
        PhoneNumber,
        snapshot::{Header, SCHEMA},
    },
    store::{Change, Committed, Snapshot, SnapshotStore, StoreFault, memory::MemoryStore, sled_store::Durability},
};

/// The nth number.
fn phone(n: u64) -> PhoneNumber {
    PhoneNumber::try_from(989_120_000_000 + n).unwrap()
}

/// A snapshot of `len` bytes whose body repeats `mark`.
fn snapshot_of(version: u64, mark: u8, len: usize) -> Snapshot {
    let mut bytes = Header { schema: SCHEMA, version, forget_at: None }.to_bytes().to_vec();
    bytes.resize(len, mark);
    Snapshot { version, bytes }
}

fn snapshot(version: u64, mark: u8) -> Snapshot {
    snapshot_of(version, mark, 40)
}

fn put(n: u64, expected: Option<u64>, version: u64, mark: u8) -> Change {
    Change { phone: phone(n), expected, next: Some(snapshot(version, mark)), events: Vec::new() }
}

fn delete(n: u64, expected: Option<u64>) -> Change {
    Change { phone: phone(n), expected, next: None, events: Vec::new() }
}

async fn check(store: &dyn SnapshotStore, batch: &[Change], expected: &[Committed]) {
    assert_eq!(store.commit(batch).await.unwrap(), expected);
}

async fn check_load(store: &dyn SnapshotStore, n: u64, expected: Option<Snapshot>) {
    assert_eq!(store.load(phone(n)).await.unwrap(), expected);
}

/// All pages, each of at most `limit`, as (number, version).
async fn scan_all(store: &dyn SnapshotStore, limit: usize) -> Vec<(PhoneNumber, u64)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(after, limit).await.unwrap();
        assert!(page.records.len() <= limit);
        all.extend(page.records.iter().map(|(phone, snapshot)| (*phone, snapshot.version)));
        after = page.next;
        if after.is_none() {
            return all;
        }
        assert_eq!(after, page.records.last().map(|(phone, _)| *phone), "the cursor is the last number given");
    }
}

mod properties {
    use Committed::{Conflict, Done};

    pub(super) use super::outbox::properties::*;
    use super::*;

    pub(super) async fn an_absent_number_has_no_snapshot(store: Arc<dyn SnapshotStore>) {
        check_load(&*store, 1, None).await;
        assert!(scan_all(&*store, 10).await.is_empty());
    }

    pub(super) async fn create_wants_nothing_there(store: Arc<dyn SnapshotStore>) {
        check(&*store, &[put(1, Some(1), 2, b'x')], &[Conflict]).await;
        check_load(&*store, 1, None).await;
        check(&*store, &[put(1, None, 7, b'a')], &[Done]).await;
        check_load(&*store, 1, Some(snapshot(7, b'a'))).await;
        check(&*store, &[put(1, None, 8, b'b')], &[Conflict]).await;
        check_load(&*store, 1, Some(snapshot(7, b'a'))).await;
        check_load(&*store, 2, None).await;
    }

    /// security 33: the version is the last word.
    pub(super) async fn update_wants_the_version_that_is_there(store: Arc<dyn SnapshotStore>) {
        check(&*store, &[put(1, None, 7, b'a')], &[Done]).await;
        for wrong in [None, Some(0), Some(6), Some(8), Some(u64::MAX)] {
            check(&*store, &[put(1, wrong, 8, b'x')], &[Conflict]).await;
        }
        check_load(&*store, 1, Some(snapshot(7, b'a'))).await;
        check(&*store, &[put(1, Some(7), 8, b'b')], &[Done]).await;
        check(&*store, &[put(1, Some(7), 8, b'c')], &[Conflict]).await;
        check_load(&*store, 1, Some(snapshot(8, b'b'))).await;
    }

    pub(super) async fn delete_wants_the_version_that_is_there(store: Arc<dyn SnapshotStore>) {
        check(&*store, &[put(1, None, 7, b'a')], &[Done]).await;
        check(&*store, &[delete(1, Some(6))], &[Conflict]).await;
        check(&*store, &[delete(1, None)], &[Conflict]).await;
        check_load(&*store, 1, Some(snapshot(7, b'a'))).await;
        check(&*store, &[delete(1, Some(7))], &[Done]).await;
        check_load(&*store, 1, None).await;
        check(&*store, &[delete(1, Some(7))], &[Conflict]).await;
        assert!(scan_all(&*store, 10).await.is_empty());
    }

    pub(super) async fn a_deleted_number_is_created_anew(store: Arc<dyn SnapshotStore>) {
        check(&*store, &[put(1, None, 7, b'a')], &[Done]).await;
        check(&*store, &[delete(1, Some(7))], &[Done]).await;
        check(&*store, &[put(1, Some(7), 8, b'x')], &[Conflict]).await;
        check(&*store, &[put(1, None, 9, b'b')], &[Done]).await;
        check_load(&*store, 1, Some(snapshot(9, b'b'))).await;
    }

    pub(super) async fn changes_of_one_number_in_a_batch_are_applied_in_order(store: Arc<dyn SnapshotStore>) {
        let batch = [
            put(1, None, 1, b'a'),
            put(1, Some(1), 2, b'b'),
            put(1, Some(1), 9, b'x'),
            delete(1, Some(2)),
            put(1, Some(2), 9, b'x'),
            put(1, None, 3, b'c'),
            put(2, None, 1, b'd'),
            delete(2, Some(1)),
        ];
        check(&*store, &batch, &[Done, Done, Conflict, Done, Conflict, Done, Done, Done]).await;
        check_load(&*store, 1, Some(snapshot(3, b'c'))).await;
        check_load(&*store, 2, None).await;
        let backwards = [put(1, Some(4), 5, b'x'), put(1, Some(3), 4, b'd')];
        check(&*store, &backwards, &[Conflict, Done]).await;
        check_load(&*store, 1, Some(snapshot(4, b'd'))).await;
    }

    pub(super) async fn a_conflict_leaves_the_rest_of_its_batch_alone(store: Arc<dyn SnapshotStore>) {
        check(&*store, &[put(2, None, 5, b'a'), put(4, None, 5, b'a'), put(6, None, 5, b'a')], &[Done; 3]).await;
        let batch = [
            put(1, None, 1, b'b'),
            put(2, Some(4), 6, b'x'),
            put(3, Some(1), 2, b'x'),
            delete(4, Some(5)),
            put(5, None, 1, b'b'),
            put(6, Some(5), 6, b'b'),
        ];
        check(&*store, &batch, &[Done, Conflict, Conflict, Done, Done, Done]).await;
        let left = [(phone(1), 1), (phone(2), 5), (phone(5), 1), (phone(6), 6)];
        assert_eq!(scan_all(&*store, 10).await, left);
        check_load(&*store, 2, Some(snapshot(5, b'a'))).await;
        check(&*store, &[], &[]).await;
    }

    pub(super) async fn a_scan_is_in_order_and_complete(store: Arc<dyn SnapshotStore>) {
        let shortest = PhoneNumber::try_from(1_000_000).unwrap();
        let longest = PhoneNumber::try_from(999_999_999_999_999).unwrap();
        let ends = [longest, shortest].map(|phone| Change {
            phone,
            expected: None,
            next: Some(snapshot(1, b'e')),
            events: Vec::new(),
        });
        check(&*store, &ends, &[Done; 2]).await;
        let batch: Vec<_> = (0..100).rev().map(|n| put(n * 7, None, n + 1, b'a')).collect();
        check(&*store, &batch, &[Done; 100]).await;

        let mut expected = vec![(shortest, 1)];
        expected.extend((0..100).map(|n| (phone(n * 7), n + 1)));
        expected.push((longest, 1));
        for limit in [1, 7, 51, 102, 103, 1000] {
            assert_eq!(scan_all(&*store, limit).await, expected, "pages of {limit}");
        }
        let page = store.scan(Some(phone(6)), 1).await.unwrap();
        assert_eq!(page.records, [(phone(7), snapshot(2, b'a'))], "a cursor need not exist");
        assert!(store.scan(Some(longest), 5).await.unwrap().records.is_empty());
    }

    /// security 106: a sweep in pages misses nobody while others write.
    pub(super) async fn a_scan_is_complete_under_concurrent_writes(store: Arc<dyn SnapshotStore>) {
        let steady: Vec<_> = (0..200).map(|n| put(n * 2, None, 1, b'a')).collect();
        check(&*store, &steady, &[Done; 200]).await;
        let writer = tokio::spawn({
            let store = Arc::clone(&store);
            async move {
                for n in 0..200 {
                    check(&*store, &[put(n * 2 + 1, None, 1, b'b'), put(n * 2, None, 1, b'x')], &[Done, Conflict])
                        .await;
                    check(&*store, &[delete(n * 2 + 1, Some(1))], &[Done]).await;
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut rounds = 0;
        while rounds < 3 || !writer.is_finished() {
            let seen = scan_all(&*store, 9).await;
            assert!(seen.windows(2).all(|two| two[0].0 < two[1].0), "in order, nobody twice");
            let steady = seen.iter().filter(|(phone, _)| phone.as_u64() % 2 == 0).count();
            assert_eq!(steady, 200);
            rounds += 1;
            tokio::task::yield_now().await;
        }
        writer.await.unwrap();
    }

    /// security 33: two deciders, one winner.
    pub(super) async fn of_parallel_changes_on_one_version_one_wins(store: Arc<dyn SnapshotStore>) {
        check(&*store, &[put(1, None, 1, 0)], &[Done]).await;
        for version in 1..30 {
            let rivals: Vec<_> = (0..8)
                .map(|mark| {
                    let store = Arc::clone(&store);
                    let change = [put(1, Some(version), version + 1, mark)];
                    tokio::spawn(async move { store.commit(&change).await.unwrap()[0] })
                })
                .collect();
            let mut winners = Vec::new();
            for (mark, rival) in (0..8).zip(rivals) {
                if rival.await.unwrap() == Done {
                    winners.push(mark);
                }
            }
            assert_eq!(winners.len(), 1);
            check_load(&*store, 1, Some(snapshot(version + 1, winners[0]))).await;
        }
    }

    pub(super) async fn values_of_all_sizes_come_back_whole(store: Arc<dyn SnapshotStore>) {
        let sizes = [17, 18, 300, 4 << 10, 8 << 10, 64 << 10];
        let sized = |n: u8| snapshot_of(u64::from(n) + 1, n, sizes[usize::from(n) % sizes.len()]);
        let change =
            |n: u8| Change { phone: phone(n.into()), expected: None, next: Some(sized(n)), events: Vec::new() };
        check(&*store, &(0..60).map(change).collect::<Vec<_>>(), &[Done; 60]).await;
        for n in 0..60 {
            check_load(&*store, n.into(), Some(sized(n))).await;
        }
        let shrink = Change { phone: phone(5), expected: Some(6), next: Some(snapshot(7, b's')), events: Vec::new() };
        check(&*store, &[shrink], &[Done]).await;
        check_load(&*store, 5, Some(snapshot(7, b's'))).await;
    }

    /// No id is in two leases, whoever asks at the same time.
    pub(super) async fn user_ids_are_leased_once(store: Arc<dyn SnapshotStore>) {
        assert_eq!(store.lease_user_ids(3).await.unwrap(), 1..4);
        let lease = |store: Arc<dyn SnapshotStore>| tokio::spawn(async move { store.lease_user_ids(7).await.unwrap() });
        let leases: Vec<_> = (0..20).map(|_| lease(Arc::clone(&store))).collect();
        let mut ids = Vec::new();
        for lease in leases {
            ids.extend(lease.await.unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, (4..144).collect::<Vec<u64>>());
        assert_eq!(store.lease_user_ids(0).await.unwrap(), 144..144);
    }

    pub(super) async fn a_closed_store_refuses_everything(store: Arc<dyn SnapshotStore>) {
        check(&*store, &[put(1, None, 1, b'a')], &[Done]).await;
        assert_eq!(store.refusing(), None);
        store.close().await.unwrap();
        assert!(matches!(store.load(phone(1)).await, Err(StoreFault::Refused(_))));
        assert!(matches!(store.commit(&[put(2, None, 1, b'a')]).await, Err(StoreFault::Refused(_))));
        assert!(matches!(store.scan(None, 10).await, Err(StoreFault::Refused(_))));
        store.close().await.unwrap();
    }
}

/// Runs every property against what `$make` returns: a store, and what must outlive it.
macro_rules! contract {
    ($backend:ident, $make:expr; $($property:ident)*) => {
        mod $backend {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let (store, _kept) = $make;
                properties::$property(store).await;
            })*
        }
    };
    ($($backend:ident: $make:expr,)*) => {
        $(contract! { $backend, $make;
            an_absent_number_has_no_snapshot
            create_wants_nothing_there
            update_wants_the_version_that_is_there
            delete_wants_the_version_that_is_there
            a_deleted_number_is_created_anew
            changes_of_one_number_in_a_batch_are_applied_in_order
            a_conflict_leaves_the_rest_of_its_batch_alone
            a_scan_is_in_order_and_complete
            a_scan_is_complete_under_concurrent_writes
            of_parallel_changes_on_one_version_one_wins
            values_of_all_sizes_come_back_whole
            user_ids_are_leased_once
            a_closed_store_refuses_everything
            events_go_with_their_change
            entries_come_in_pages
            verdicts_move_entries
            both_shelves_are_bounded
            additions_wake
            a_closed_outbox_refuses
        })*
    };
}

contract! {
    memory_alone: (Arc::new(MemoryStore::new(false)), ()),
    memory_shared: (Arc::new(MemoryStore::new(true)), ()),
    sled_fsync: sled::fresh(Durability::Fsync),
    sled_buffered: sled::fresh(Durability::Buffered),
}

/// security 33: the same, when the two deciders are two processes on one store.
#[tokio::test]
async fn two_connections_to_one_store_see_one_truth() {
    let here = MemoryStore::new(true);
    let there = here.connect();
    check(&here, &[put(1, None, 1, b'a')], &[Committed::Done]).await;
    check(&there, &[put(1, Some(1), 2, b'b')], &[Committed::Done]).await;
    check(&here, &[put(1, Some(1), 2, b'c')], &[Committed::Conflict]).await;
    here.close().await.unwrap();
    check_load(&there, 1, Some(snapshot(2, b'b'))).await;
}

/// security 11, in simulation: what was not answered may be lost or kept, what was answered is kept.
#[tokio::test(start_paused = true)]
async fn a_crash_in_memory_takes_only_what_was_not_answered() {
    for kept in 0..=2 {
        let store = Arc::new(MemoryStore::new(false));
        check(&*store, &[put(1, None, 1, b'a')], &[Committed::Done]).await;
        store.slow(std::time::Duration::from_millis(10), std::time::Duration::ZERO);
        let batch = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.commit(&[put(2, None, 1, b'b'), put(3, None, 1, b'c')]).await }
        });
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        check_load(&*store, 2, None).await;
        store.crash(kept);
        assert!(matches!(batch.await.unwrap(), Err(StoreFault::Unknown(_))));
        let after: Vec<_> = scan_all(&store.connect(), 10).await.into_iter().map(|(phone, _)| phone).collect();
        assert_eq!(after, (1..=1 + kept as u64).map(phone).collect::<Vec<_>>());
    }
}
