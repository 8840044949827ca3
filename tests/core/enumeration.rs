//! Every sequence of a few commands: what small scope cannot break, larger scope seldom does.

use std::collections::BTreeSet;

use otpd::record::{
    Code, Command, Decision, HOUR, Keyring, Label, MINUTE, OnMatch, Outcome, Policy, Record, Refusal, Request, Rules,
    SECOND, SendResult, Target, UnixMillis, decide,
};

use super::{
    script::other,
    world::{T0, door, phone, policy, ring, sound, start},
};

/// Longest sequence.
const DEPTH: usize = 5;

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Start,
    RightByNumber,
    WrongByNumber,
    RightByNewestId,
    WrongByNewestId,
    RightByFirstId,
    SendFailed,
    ALittleLater,
    AfterExpiry,
    ALittleBack,
    FarBack,
}

const ACTS: [Act; 11] = [
    Act::Start,
    Act::RightByNumber,
    Act::WrongByNumber,
    Act::RightByNewestId,
    Act::WrongByNewestId,
    Act::RightByFirstId,
    Act::SendFailed,
    Act::ALittleLater,
    Act::AfterExpiry,
    Act::ALittleBack,
    Act::FarBack,
];

/// A path, and what the outside remembers of it.
#[derive(Clone)]
struct Path {
    acts: Vec<Act>,
    record: Record,
    now: UnixMillis,
    /// Challenges in the order they were started, with their codes.
    issued: Vec<(u64, String)>,
    /// Challenges whose codes must never match again: used, superseded, ended.
    burnt: BTreeSet<u64>,
    /// The latest time that a commit saw.
    seen: UnixMillis,
}

/// I1–I9 hold on every path, a burnt code never matches again, and the version steps by exactly one.
#[test]
fn every_short_sequence() {
    for dialect in ["v1", "four"] {
        let keys = ring(1, &[]);
        let policy = policy(Label::new(dialect).unwrap());
        let path = Path {
            acts: Vec::new(),
            record: Record::new(phone('A')),
            now: T0.plus(24 * HOUR),
            issued: Vec::new(),
            burnt: BTreeSet::new(),
            seen: UnixMillis(0),
        };
        let count = walk(&policy, &keys, dialect, &path);
        let sequences: usize = (1..=DEPTH).map(|length| ACTS.len().pow(u32::try_from(length).unwrap())).sum();
        assert_eq!(count, sequences);
    }
}

fn walk(policy: &Policy, keys: &Keyring, dialect: &str, path: &Path) -> usize {
    if path.acts.len() == DEPTH {
        return 0;
    }
    let steps = ACTS.into_iter().map(|act| 1 + walk(policy, keys, dialect, &step(policy, keys, dialect, path, act)));
    steps.sum()
}

fn step(policy: &Policy, keys: &Keyring, dialect: &str, path: &Path, act: Act) -> Path {
    let mut path = path.clone();
    path.acts.push(act);
    match act {
        Act::ALittleLater => path.now = path.now.plus(31 * SECOND),
        Act::AfterExpiry => path.now = path.now.plus(5 * MINUTE + 1),
        Act::ALittleBack => path.now = path.now.minus(10 * MINUTE),
        Act::FarBack => path.now = path.now.minus(3 * HOUR),
        Act::Start
        | Act::RightByNumber
        | Act::WrongByNumber
        | Act::RightByNewestId
        | Act::WrongByNewestId
        | Act::RightByFirstId
        | Act::SendFailed => {
            let request = Request::from(command(dialect, &path, act));
            let decision = decide(Rules { policy, keys }, &path.record, &request, path.now);
            sound(policy, &path.record, &request, &decision, path.now);
            follow(policy, &mut path, act, decision);
        }
    }
    path
}

fn command(dialect: &str, path: &Path, act: Act) -> Command {
    let door = door(&format!("{dialect}/login"));
    let nowhere = (u64::MAX, "0".repeat(if dialect == "v1" { 6 } else { 4 }));
    let newest = path.issued.last().unwrap_or(&nowhere);
    let first = path.issued.first().unwrap_or(&nowhere);
    let (by_number, by_newest, by_first) = (Target::Newest(door), Target::Id(newest.0), Target::Id(first.0));
    let check = |target, code: &str| Command::Check {
        target,
        code: Code::from_digits(code).unwrap(),
        on_match: OnMatch::Approve,
        session: None,
        address: 0,
    };
    match act {
        Act::RightByNumber => check(by_number, &newest.1),
        Act::WrongByNumber => check(by_number, &other(&newest.1)),
        Act::RightByNewestId => check(by_newest, &newest.1),
        Act::WrongByNewestId => check(by_newest, &other(&newest.1)),
        Act::RightByFirstId => check(by_first, &first.1),
        Act::SendFailed => Command::Settle {
            nonce: newest.0,
            delivery: 0,
            route: Label::of("console"),
            channel: Label::of("sms"),
            result: SendResult::Failed { number_at_fault: false },
        },
        Act::Start | Act::ALittleLater | Act::AfterExpiry | Act::ALittleBack | Act::FarBack => {
            Command::Start(Box::new(start(path.acts.len() as u64, door)))
        }
    }
}

/// What holds from step to step, seen from outside.
fn follow(policy: &Policy, path: &mut Path, act: Act, decision: Decision) {
    let acts = &path.acts;
    let set_back = path.now.plus(HOUR) < path.seen;
    if set_back {
        path.burnt.extend(path.issued.iter().map(|(nonce, _)| *nonce));
    }
    if let Outcome::Approved { view, .. } = &decision.outcome {
        assert!(!path.burnt.contains(&view.nonce), "a burnt code matched: {acts:?}");
        assert!(path.now.max(path.seen) < view.expires_at || set_back, "after its end: {acts:?}");
        path.burnt.insert(view.nonce);
    }
    if let Some(draft) = &decision.draft {
        if policy.supersedes {
            path.burnt.extend(path.issued.iter().map(|(nonce, _)| *nonce));
        }
        path.issued.push((draft.nonce, draft.code.reveal().to_owned()));
    }
    let wrote_no = matches!(
        decision.outcome,
        Outcome::Refused(refusal) if !matches!(refusal, Refusal::WrongCode { .. })
    );
    assert!(!wrote_no || decision.next.is_none() || set_back, "a refusal wrote: {acts:?}");
    assert!(!wrote_no || decision.draft.is_none(), "a refusal sent: {acts:?}");
    let Some(next) = decision.next else { return };
    let before = path.record.expected_version();
    let steps = before.is_none_or(|version| next.expected_version() == Some(version + 1));
    assert!(steps && next.expected_version().is_some(), "the version does not step by one: {acts:?}");
    if act == Act::SendFailed {
        path.burnt.extend(path.issued.last().map(|(nonce, _)| *nonce).filter(|_| !set_back));
    }
    path.seen = if set_back { path.now } else { path.now.max(path.seen) };
    path.record = next;
}
