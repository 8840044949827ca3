//! What an actor costs: starting one, asking one that is there, and keeping one idle. Over a store in memory that
//! never waits, so that it is the actors that are measured. About 40 s in all.
//!
//! Bytes per idle actor are printed first: the difference in resident memory over 100,000 of them.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench: a failure may end it")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use otpd::{
    clock::SystemClock,
    phone::{Directory, DirectorySettings, Parts},
    record::{Command, Keyring, PhoneNumber, Policy},
    store::{
        SnapshotStore,
        committer::{Committer, CommitterSettings},
        memory::MemoryStore,
    },
};
use tokio::{runtime::Runtime, sync::mpsc, task::JoinSet};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Numbers activated in one timed stretch; they go, untimed, before the next.
const STRETCH: u64 = 10_000;
/// Numbers that are there when they are asked.
const RESIDENT: u64 = 10_000;
const IDLE: u64 = 100_000;
const CALLERS: u64 = 64;

fn phone(n: u64) -> PhoneNumber {
    PhoneNumber::try_from(989_120_000_000 + n).unwrap()
}

/// Call it within a runtime.
fn directory() -> Directory {
    let store: Arc<dyn SnapshotStore> = Arc::new(MemoryStore::new(false));
    let committer = Committer::start_as_task(Arc::clone(&store), CommitterSettings::default(), Box::new(|_| ()));
    let keys = Arc::new(Keyring::new((1, &[7; 32]), &[]));
    let parts = Parts {
        store,
        committer,
        clock: Arc::new(SystemClock),
        keys,
        moves: mpsc::channel(1).0,
        events: otpd::record::EventFilter::default(),
    };
    Directory::new(parts, DirectorySettings { idle_ms: 3_600_000, ..DirectorySettings::default() })
}

/// A request that writes nothing.
async fn look(directory: &Directory, policy: &Arc<Policy>, n: u64) {
    let answer = directory.ask(phone(n), Arc::clone(policy), Command::Read { nonce: 1 }.into()).await;
    assert!(std::hint::black_box(answer).is_ok());
}

async fn activate(directory: &Directory, policy: &Arc<Policy>, numbers: std::ops::Range<u64>) -> Duration {
    let started = Instant::now();
    for n in numbers {
        look(directory, policy, n).await;
    }
    started.elapsed()
}

fn activations(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let policy = Arc::<Policy>::default();
    runtime.block_on(idle_bytes(&policy));
    let mut group = criterion.benchmark_group("directory");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(1));
    group.bench_function("activate", |bencher| {
        bencher.iter_custom(|lives| {
            runtime.block_on(async {
                let mut taken = Duration::ZERO;
                for from in (0..lives).step_by(10_000) {
                    let directory = directory();
                    taken += activate(&directory, &policy, from..lives.min(from + STRETCH)).await;
                    assert_eq!(directory.drain(Duration::from_secs(60)).await, 0);
                }
                taken
            })
        });
    });
    group.finish();
}

fn asks(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let policy = Arc::<Policy>::default();
    let directory = runtime.block_on(async { directory() });
    runtime.block_on(activate(&directory, &policy, 0..RESIDENT));
    let mut group = criterion.benchmark_group("directory");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(1));
    group.bench_function("ask/1", |bencher| {
        bencher.iter_custom(|asks| runtime.block_on(ask_all(&directory, &policy, asks, 1)));
    });
    group.bench_function(format!("ask/{CALLERS}"), |bencher| {
        bencher.iter_custom(|asks| runtime.block_on(ask_all(&directory, &policy, asks, CALLERS)));
    });
    group.finish();
}

/// At least `asks` requests by `callers` tasks at a time; the time of `asks` of them.
async fn ask_all(directory: &Directory, policy: &Arc<Policy>, asks: u64, callers: u64) -> Duration {
    let share = asks.div_ceil(callers);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (directory, policy) = (directory.clone(), Arc::clone(policy));
        tasks.spawn(async move {
            for ask in 0..share {
                // A step that is coprime to the count visits all numbers in no order that a cache would like. Each caller
                // has numbers of its own: a number refuses more than a few requests at a time.
                let of_mine = (ask * 7_919) % (RESIDENT / callers);
                look(&directory, &policy, of_mine * callers + caller).await;
            }
        });
    }
    tasks.join_all().await;
    started.elapsed().mul_f64(per(asks, share * callers))
}

async fn idle_bytes(policy: &Arc<Policy>) {
    let Some(before) = resident() else { return };
    let directory = directory();
    activate(&directory, policy, 0..IDLE).await;
    let after = resident().unwrap_or(before);
    println!("directory/idle: {} bytes per idle actor", after.saturating_sub(before) / IDLE);
    assert_eq!(directory.drain(Duration::from_secs(60)).await, 0);
}

/// Resident bytes of this process, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1_024)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts far below 2^53")]
fn per(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

criterion_group!(benches, activations, asks);
criterion_main!(benches);
