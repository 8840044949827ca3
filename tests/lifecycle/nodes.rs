//! Two processes over one shared store: compare-and-set has the last word (security 33), whatever the routing.

use std::sync::{Arc, atomic::Ordering};

use otpd::{
    phone::{DirectorySettings, Fault, Reply},
    record::{Command, Outcome, Refusal, Status},
    store::memory::MemoryStore,
};

use crate::{
    races::{at_once, count},
    support::{Rigged, World, check, check_by_number, is_approved, is_wrong, phone, start, write, wrong},
};

/// Two processes with a committer each.
fn nodes() -> [World; 2] {
    let store = MemoryStore::new(true);
    let node = |connection| {
        World::over(Rigged::new(connection), DirectorySettings { inflight_max: 1_000, ..DirectorySettings::default() })
    };
    let second = store.connect();
    [node(store), node(second)]
}

/// Certainly not done: the other node won twice in a row. A client may ask again.
fn lost(answer: &Result<Reply, Fault>) -> bool {
    matches!(answer, Err(Fault::StorageRefused))
}

/// security 27 and 33: of 200 parallel right codes at two nodes exactly one succeeds; 100 times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_right_codes_at_two_nodes_one_succeeds() {
    let nodes = nodes();
    for n in 0..100 {
        let (nonce, code) = nodes[0].challenge(phone(n)).await;
        let asking = |i: usize| nodes[i % 2].asking(phone(n), check(nonce, &code));
        let answers = at_once((0..200).map(asking)).await;
        assert_eq!(count(&answers, is_approved), 1, "round {n}");
        assert_eq!(count(&answers, |answer| answer.is_ok() || lost(answer)), 200);
    }
}

/// security 28, 32 and 33: of 500 parallel wrong codes at two nodes exactly the limit is compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_wrong_codes_at_two_nodes_the_limit_is_compared() {
    let nodes = nodes();
    for n in 0..20 {
        let (nonce, code) = nodes[0].challenge(phone(n)).await;
        let bad = wrong(&code);
        let by_id = at_once((0..500).map(|i| nodes[i % 2].asking(phone(n), check(nonce, &bad)))).await;
        assert_eq!(count(&by_id, is_wrong), 5, "round {n}");
        let by_number = at_once((0..500).map(|i| nodes[i % 2].asking(phone(n), check_by_number(&bad)))).await;
        assert_eq!(count(&by_number, is_wrong), 5, "round {n}");
        assert_eq!(nodes[0].store.record(phone(n)).await.unwrap().failures(), 5);
    }
}

/// security 29: a mixed storm at two nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_mixed_storm_at_two_nodes_at_most_one_succeeds() {
    let nodes = nodes();
    for n in 0..100 {
        let (nonce, code) = nodes[0].challenge(phone(n)).await;
        let typed = |i: usize| if i == usize::try_from(n).unwrap() % 5 { code.clone() } else { wrong(&code) };
        let answers = at_once((0..5).map(|i| nodes[i % 2].asking(phone(n), check(nonce, &typed(i))))).await;
        let right = &answers[usize::try_from(n).unwrap() % 5];
        assert!(is_approved(right) || lost(right), "{right:?}");
        if is_approved(right) {
            for node in &nodes {
                let after = node.ask(phone(n), check(nonce, &wrong(&code))).await.unwrap().outcome;
                assert_eq!(after, Outcome::Refused(Refusal::AlreadyApproved), "round {n}");
            }
        }
    }
}

/// security 30: of 100 parallel starts at two nodes one sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_parallel_starts_at_two_nodes_one_sends() {
    let nodes = nodes();
    for n in 0..50 {
        let answers = at_once((0..100).map(|i| nodes[i % 2].asking(phone(n), start()))).await;
        let sent = |answer: &Result<Reply, Fault>| matches!(answer, Ok(Reply { draft: Some(_), .. }));
        assert_eq!(count(&answers, sent), 1, "round {n}");
    }
}

/// DESIGN 4: an outcome without a write is checked against the store, so a cached record never speaks for the past.
#[tokio::test]
async fn what_one_node_did_the_other_node_sees_at_once() {
    let nodes = nodes();
    let (nonce, code) = nodes[0].challenge(phone(1)).await;
    let status = async |node: &World| {
        let outcome = node.ask(phone(1), Command::Read { nonce }).await.unwrap().outcome;
        let Outcome::Verification(view) = outcome else { panic!("{outcome:?}") };
        view.status
    };
    assert_eq!(status(&nodes[0]).await, Status::Pending);
    assert_eq!(status(&nodes[1]).await, Status::Pending);
    assert!(is_approved(&nodes[1].ask(phone(1), check(nonce, &code)).await));
    assert_eq!(status(&nodes[0]).await, Status::Approved, "a read");

    let session = nodes[0].sign_in(phone(2)).await;
    for node in &nodes {
        let alive = node.ask(phone(2), Command::Authenticate { session }).await.unwrap().outcome;
        assert!(matches!(alive, Outcome::Authenticated { .. }));
    }
    nodes[1].ask(phone(2), Command::EndSession { by: None, session }).await.unwrap();
    let gone = nodes[0].ask(phone(2), Command::Authenticate { session }).await.unwrap().outcome;
    assert_eq!(gone, Outcome::Refused(Refusal::SessionUnknown), "a session that ended elsewhere");

    // A refusal that the other node's work has lifted: node 0 knows of no challenge, node 1 has started one.
    let unknown = nodes[0].ask(phone(3), check_by_number(&code)).await.unwrap().outcome;
    assert_eq!(unknown, Outcome::Refused(Refusal::NothingPending));
    let (_, code) = nodes[1].challenge(phone(3)).await;
    assert!(is_approved(&nodes[0].ask(phone(3), check_by_number(&code)).await), "decided anew, and committed");
}

/// A single writer is not made to read twice.
#[tokio::test]
async fn a_store_of_ones_own_is_read_once_per_activation() {
    let world = World::new(DirectorySettings::default());
    let session = world.sign_in(phone(1)).await;
    for _ in 0..10 {
        world.ask(phone(1), Command::Authenticate { session }).await.unwrap();
    }
    assert_eq!(world.store.loads.load(Ordering::Relaxed), 1);
}

/// DESIGN 4: on a conflict nothing happened, and the same request is decided once more on the fresh record. Two nodes
/// that take turns never lose a change.
#[tokio::test]
async fn a_conflict_is_decided_again_on_the_fresh_record() {
    let nodes = nodes();
    let session = nodes[0].sign_in(phone(1)).await;
    let before = nodes[0].store.version(phone(1)).await.unwrap();
    for turn in 0..20_usize {
        let answer = nodes[turn % 2].ask(phone(1), write(session, format!("turn {turn}"))).await.unwrap();
        assert!(matches!(answer.outcome, Outcome::Authenticated { .. }));
    }
    assert_eq!(nodes[0].store.version(phone(1)).await.unwrap(), before + 20);
    let conflicts: u64 = nodes.iter().map(|node| node.directory.census().conflicts).sum();
    assert_eq!(conflicts, 18, "every change after each node's first met the other's");
}

/// security 33: a record deleted and made anew elsewhere never passes for the cached one.
#[tokio::test]
async fn a_record_made_anew_is_not_the_old_one() {
    let nodes = nodes().map(Arc::new);
    let (nonce, code) = nodes[0].challenge(phone(1)).await;
    for node in &nodes {
        node.clock.advance(3 * 24 * 3_600_000);
    }
    nodes[1].ask(phone(1), Command::Read { nonce }).await.unwrap();
    assert!(nodes[1].directory.passivate(phone(1)));
    nodes[1].emptied().await;
    assert_eq!(nodes[1].store.version(phone(1)).await, None, "deleted on the way out");
    nodes[1].challenge(phone(1)).await;
    let old = nodes[0].ask(phone(1), check(nonce, &code)).await.unwrap().outcome;
    assert_eq!(old, Outcome::Refused(Refusal::UnknownChallenge));
}
