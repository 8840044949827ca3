//! What one decision of the pure core costs, and what its record costs to write and to read.
//!
//! Run with `cargo bench --bench decide`. Time and draws are arguments, so nothing here waits for anything.

#![expect(clippy::unwrap_used, reason = "set-up that must not fail")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use otpd::record::{
    Code, Command, Decision, Door, Keyring, LOGIN, Label, MINUTE, OnMatch, PhoneNumber, Policy, Record, Request, Rules,
    Sender, SignIn, Start, Target, UnixMillis, decide, snapshot,
};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const DOOR: Door = Door { dialect: Label::of("v1"), purpose: LOGIN };

fn start(nonce: u64) -> Request {
    Request::from(Command::Start(Box::new(Start::plain(
        nonce,
        DOOR,
        Sender { address: 1, keyed: false, unpaid: false },
    ))))
}

fn check(nonce: u64, code: Code, on_match: OnMatch) -> Request {
    Request::from(Command::Check { target: Target::Id(nonce), code, on_match, session: None, address: 0 })
}

/// A number with a pending code, and one whose owner has signed in and waits for another code.
struct Numbers {
    fresh: Record,
    pending: Record,
    signed_in: Record,
}

fn numbers(decided: impl Fn(&Record, &Request, UnixMillis) -> Decision) -> Numbers {
    let fresh = Record::new(PhoneNumber::from_e164("+989121234567").unwrap());
    let started = decided(&fresh, &start(7), NOW);
    let pending = started.next.unwrap();
    let client = Label::of("otpd");
    let on_match = OnMatch::SignIn(SignIn { session: 9, user_id: 1, client });
    let right = started.draft.unwrap().code.clone();
    let signed_in = decided(&pending, &check(7, right, on_match), NOW.plus(1)).next.unwrap();
    let signed_in = decided(&signed_in, &start(8), NOW.plus(MINUTE)).next.unwrap();
    Numbers { fresh, pending, signed_in }
}

fn decisions(criterion: &mut Criterion) {
    let keys = Keyring::new((1, &[7; 32]), &[]);
    let policy = Policy::default();
    let decided =
        |record: &Record, request: &Request, now| decide(Rules { policy: &policy, keys: &keys }, record, request, now);
    let numbers = numbers(decided);
    let now = NOW.plus(MINUTE + 1);
    let wrong = || Code::from_digits("000000").unwrap();
    let cases = [
        ("start on a new number", &numbers.fresh, start(1), true),
        ("wrong check by id", &numbers.pending, check(7, wrong(), OnMatch::Approve), true),
        ("refused check", &numbers.pending, check(1, wrong(), OnMatch::Approve), false),
        ("refused start", &numbers.signed_in, start(2), false),
        ("authenticate", &numbers.signed_in, Request::from(Command::Authenticate { session: 9 }), false),
        (
            "refresh",
            &numbers.signed_in,
            Request::from(Command::Refresh { session: 9, generation: 0, rotate: true }),
            true,
        ),
    ];
    let mut group = criterion.benchmark_group("decide");
    for (name, record, request, writes) in &cases {
        assert_eq!(decided(record, request, now).next.is_some(), *writes, "{name} is not what it says");
        group.bench_function(*name, |bencher| bencher.iter(|| decided(black_box(record), black_box(request), now)));
    }
    group.finish();
}

fn snapshots(criterion: &mut Criterion) {
    let keys = Keyring::new((1, &[7; 32]), &[]);
    let policy = Policy::default();
    let numbers = numbers(|record, request, now| decide(Rules { policy: &policy, keys: &keys }, record, request, now));
    let mut group = criterion.benchmark_group("snapshot");
    for (name, record) in [("one pending code", &numbers.pending), ("a signed-in owner", &numbers.signed_in)] {
        let bytes = snapshot::encode(record);
        group.bench_function(format!("encode {name}"), |bencher| bencher.iter(|| snapshot::encode(black_box(record))));
        group.bench_function(format!("measure {name}"), |bencher| {
            bencher.iter(|| snapshot::encoded_len(black_box(record)));
        });
        group.bench_function(format!("decode {name}"), |bencher| {
            let decode = |bytes: Vec<u8>| snapshot::decode(record.phone(), &bytes);
            bencher.iter_batched(|| bytes.clone(), decode, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, snapshots);
criterion_main!(benches);
