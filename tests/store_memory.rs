//! Memory of the store, in a process of its own, because its heap is counted.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::alloc::System;

use otpd::{
    record::{
        PhoneNumber,
        snapshot::{Header, SCHEMA},
    },
    store::{
        Change, Snapshot, SnapshotStore as _,
        sled_store::{SledSettings, SledStore},
    },
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// 200 MiB of records.
const RECORDS: u64 = 100_000;
const RECORD_BYTES: usize = 2 << 10;
/// The least there can be. sled has 256 shards, which hold one leaf at least: here 33 KiB.
const CACHE_MIB: u64 = 8;
/// The cache, and what sled has not yet found to be beyond it: eight leaves of each shard.
const KEPT_MAX: usize = 80 << 20;

/// sled finds out what its cache is to let go of by counting how often leaves are asked for. Whoever reads the whole store
/// leaf by leaf, as scans, merges and filters do, once left nearly all of it in memory.
#[tokio::test]
async fn who_reads_the_whole_store_leaves_no_more_of_it_in_memory_than_the_cache_may_have() {
    let directory = tempfile::tempdir().unwrap();
    let settings = SledSettings { cache_mib: CACHE_MIB, filter_mib: 0, ..SledSettings::at(directory.path()) };
    let store = SledStore::open(&settings).unwrap();
    for first in (0..RECORDS).step_by(1_000) {
        let batch: Vec<_> = (first..first + 1_000).map(record).collect();
        store.commit(&batch).await.unwrap();
    }
    store.close().await.unwrap();

    let store = SledStore::open(&settings).unwrap();
    let before = Region::new(ALLOCATOR);
    let (mut read, mut after) = (0, None);
    loop {
        let page = store.scan(after, 1_000).await.unwrap();
        (read, after) = (read + page.records.len(), page.next);
        if after.is_none() {
            break;
        }
    }
    let heap = before.change();
    let kept = heap.bytes_allocated.saturating_sub(heap.bytes_deallocated);
    assert_eq!(u64::try_from(read), Ok(RECORDS));
    assert!(kept < KEPT_MAX, "{kept} bytes of {} are kept", read * RECORD_BYTES);
    store.close().await.unwrap();
}

fn record(n: u64) -> Change {
    let mut bytes = Header { schema: SCHEMA, version: 1, forget_at: None }.to_bytes().to_vec();
    bytes.resize(RECORD_BYTES, 7);
    let phone = PhoneNumber::try_from(989_120_000_000 + n).unwrap();
    Change { phone, expected: None, next: Some(Snapshot { version: 1, bytes }), events: Vec::new() }
}
