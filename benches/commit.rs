//! What an acknowledged commit costs: the committer over the embedded store with fsync, at 1, 64 and 512 in flight, beside
//! the disk itself (the same bytes written to a growing file, `fdatasync` after each batch). What is measured is the
//! store's log, and folding into sled beside it, as in a server. About 25 s in all.
//!
//! `elem/s` of the output is commits per second.

#![expect(clippy::unwrap_used, reason = "a bench: a failure may end it")]

use std::{
    fs::File,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use otpd::{
    record::{
        PhoneNumber,
        snapshot::{Header, SCHEMA},
    },
    store::{
        Change, Committed, Snapshot, SnapshotStore,
        committer::{Committer, CommitterSettings},
        sled_store::{SledSettings, SledStore},
    },
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{runtime::Runtime, task::JoinSet};

const RECORD_BYTES: usize = 300;
const IN_FLIGHT: [u64; 3] = [1, 64, 512];
const SEED: u64 = 7;

fn commits(criterion: &mut Criterion) {
    // On the disk of the build directory: a temporary directory may be memory.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runtime = Runtime::new().unwrap();
    let store: Arc<dyn SnapshotStore> =
        Arc::new(SledStore::open(&SledSettings::at(directory.path().join("db"))).unwrap());
    let committer = {
        let _runtime = runtime.enter();
        Committer::start(store, CommitterSettings::default(), Box::new(|_| std::process::abort())).unwrap()
    };
    let mut raw = File::create(directory.path().join("raw")).unwrap();
    let mut seed = SEED;

    let mut group = criterion.benchmark_group("commit");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(1));
    for in_flight in IN_FLIGHT {
        group.bench_function(format!("sled/{in_flight}"), |bencher| {
            bencher.iter_custom(|commits| {
                seed += 1;
                runtime.block_on(commit_all(&committer, commits, in_flight, seed))
            });
        });
        group.bench_function(format!("raw/{in_flight}"), |bencher| {
            bencher.iter_custom(|commits| write_all(&mut raw, commits, in_flight));
        });
    }
    group.finish();
    runtime.block_on(committer.close()).unwrap();
}

/// `commits` new numbers, by `in_flight` tasks that each wait for one answer before the next.
async fn commit_all(committer: &Committer, commits: u64, in_flight: u64, seed: u64) -> Duration {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..in_flight {
        let committer = committer.clone();
        let share = commits / in_flight + u64::from(task < commits % in_flight);
        let mut random = SmallRng::seed_from_u64(seed << 16 | task);
        tasks.spawn(async move {
            for _ in 0..share {
                let phone = PhoneNumber::try_from(random.random_range(10_u64.pow(11)..10_u64.pow(15))).unwrap();
                let mut bytes = Header { schema: SCHEMA, version: 1, forget_at: None }.to_bytes().to_vec();
                bytes.resize_with(RECORD_BYTES, || random.random());
                let next = Some(Snapshot { version: 1, bytes });
                let outcome =
                    committer.commit(Change { phone, expected: None, next, events: Vec::new() }).await.unwrap();
                assert_eq!(outcome, Committed::Done);
            }
        });
    }
    tasks.join_all().await;
    started.elapsed()
}

/// The same bytes in batches of `in_flight`, with nothing above the disk.
fn write_all(file: &mut File, commits: u64, in_flight: u64) -> Duration {
    let mut batch = vec![0; (RECORD_BYTES + size_of::<u64>()) * usize::try_from(in_flight).unwrap()];
    SmallRng::seed_from_u64(SEED).fill(batch.as_mut_slice());
    let started = Instant::now();
    for _ in 0..commits.div_ceil(in_flight) {
        file.write_all(&batch).unwrap();
        file.sync_data().unwrap();
    }
    started.elapsed()
}

criterion_group!(benches, commits);
criterion_main!(benches);
