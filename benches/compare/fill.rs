//! Stores that have records already, made by the core's own decisions and written by the store itself: what a server
//! would have written, without the requests. In a child process, so that the memory of it is gone afterwards.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use otpd::{
    app::parts::Files,
    clock::{Clock as _, SystemClock},
    entropy::OsEntropy,
    load::Numbers,
    record::{
        Command, Door, Keyring, LOGIN, Label, OnMatch, PhoneNumber, Policy, Record, Request, Rules, Sender, SignIn,
        Start, Target, UnixMillis, decide, snapshot,
    },
    store::{
        Change, Snapshot, SnapshotStore, StoreFault,
        sled_store::{SledSettings, SledStore},
    },
    token::SealingKeyFile,
};

use super::Outcome;

/// The first argument of this program when it is to fill a store: `fill DIRECTORY RECORDS SKIP KIND`.
pub(crate) const NAME: &str = "fill";
/// Of the order of numbers. Whoever goes on with a store's numbers skips as many as it was filled with.
pub(crate) const SEED: u64 = 5;
/// Changes written at once: more than the server's batches, because nobody waits for them.
const BATCH: usize = 4096;
/// Long enough ago that nothing of a mere start is remembered: its messages count for a day.
const LONG_AGO_MS: u64 = 3 * 24 * 3_600_000;
/// Verified this long ago.
const LATELY_MS: u64 = 3_600_000;

/// What the records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// People with an account and a session.
    People,
    /// Codes that nobody used, all past their time: garbage.
    Expired,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Expired => "expired",
        }
    }
}

/// Fills the store of a data directory in a child process; how long it took, in seconds.
pub(crate) async fn fill(data: &Path, records: u64, skip: u64, kind: Kind) -> Outcome<f64> {
    let began = Instant::now();
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg(NAME).arg(data).args([records.to_string(), skip.to_string(), kind.name().to_owned()]);
    let status = command.kill_on_drop(true).status().await?;
    if status.success() { Ok(began.elapsed().as_secs_f64()) } else { Err("the store could not be filled".into()) }
}

/// What the child does.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [data, records, skip, kind] = arguments else { return Err("fill DIRECTORY RECORDS SKIP KIND".into()) };
    let kind = if kind == Kind::Expired.name() { Kind::Expired } else { Kind::People };
    let (records, skip): (u64, u64) = (records.parse()?, skip.parse()?);
    std::fs::create_dir_all(data)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(write(Path::new(data), records, skip, kind))
}

async fn write(data: &Path, records: u64, skip: u64, kind: Kind) -> Outcome<()> {
    let files = Files::new(data);
    let now = SystemClock.now();
    let secrets = SealingKeyFile::new(&files.sealing).open(now, &OsEntropy)?;
    let secret = secrets.first().ok_or("sealing.keys has no key")?;
    let keys = Keyring::new((secret.id, &*secret.secret), &[]);
    let store = SledStore::open(&SledSettings::at(files.db))?;
    let mut user_id = store.lease_user_ids(records).await?.start;
    let numbers = Numbers::new(SEED);
    numbers.skip(skip);
    let policy = Policy::default();
    let rules = Rules { policy: &policy, keys: &keys };
    let mut left = records;
    while left > 0 {
        // In the order of their numbers, as the store would fold them.
        let mut batch = BTreeMap::new();
        for _ in 0..left.min(BATCH as u64) {
            let phone = PhoneNumber::try_from(numbers.draw()).map_err(|_| "a number that is none")?;
            let record = record(rules, phone, user_id, kind, now).ok_or("the core refuses a sign-in")?;
            batch.insert(phone, record);
            user_id += 1;
        }
        left -= batch.len() as u64;
        let batch: Vec<Change> = batch.into_iter().map(|(phone, record)| change(phone, &record)).collect();
        commit(&store, &batch).await?;
    }
    Ok(store.close().await?)
}

/// Longest wait for room in the log: faster than any server, a filler has to wait for the folds.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(30);

async fn commit(store: &SledStore, batch: &[Change]) -> Outcome<()> {
    let began = Instant::now();
    loop {
        match store.commit(batch).await {
            Err(StoreFault::Refused(_)) if began.elapsed() < ROOM_WAIT_MAX => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(fault) => return Err(fault.into()),
            Ok(_) => return Ok(()),
        }
    }
}

fn change(phone: PhoneNumber, record: &Record) -> Change {
    let version = record.expected_version().unwrap_or_default();
    let next = Some(Snapshot { version, bytes: snapshot::encode(record) });
    Change { phone, expected: None, next, events: Vec::new() }
}

/// What the core makes of somebody who asks for a code and, if they are to be people, gives it.
fn record(rules: Rules<'_>, phone: PhoneNumber, user_id: u64, kind: Kind, now: UnixMillis) -> Option<Record> {
    let ago = if kind == Kind::Expired { LONG_AGO_MS } else { LATELY_MS };
    let now = UnixMillis(now.0.saturating_sub(ago));
    let started = decide(rules, &Record::new(phone), &start(user_id), now);
    let pending = started.next?;
    if kind == Kind::Expired {
        return Some(pending);
    }
    let code = started.draft?.code.clone();
    let sign_in = SignIn { session: user_id, user_id, client: Label::of("otpd") };
    let on_match = OnMatch::SignIn(sign_in);
    let check = Command::Check { target: Target::Id(user_id), code, on_match, session: None, address: 0 };
    decide(rules, &pending, &Request::from(check), now.plus(1)).next
}

fn start(nonce: u64) -> Request {
    Request::from(Command::Start(Box::new(Start::plain(
        nonce,
        Door { dialect: Label::of("v1"), purpose: LOGIN },
        Sender { address: 0, keyed: true, unpaid: false },
    ))))
}
