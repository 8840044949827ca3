//! Events of what was acknowledged survive `kill -9`: the real binary is killed under load and started again over the
//! same directory, and in the end the receiver has every event of every acknowledged sign-in at least once.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/console_server.rs"]
mod console_server;
#[path = "support/event_receiver.rs"]
mod event_receiver;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use console_server::ConsoleServer;
use event_receiver::{EventReceiver, Post, SECRET};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Times that the server is killed.
const KILLS: u64 = 8;
/// People who sign in at the same time.
const WORKERS: usize = 8;

/// What a server has acknowledged, by number.
#[derive(Default)]
struct Ledger {
    /// Ids of verifications whose start was answered.
    started: BTreeMap<String, String>,
    /// Numbers whose sign-in was answered.
    signed_in: BTreeSet<String>,
}

/// Signs in one fresh number after the other until the server is gone.
async fn sign_in_until_killed(address: String, numbers: Arc<AtomicU64>, ledger: Arc<Mutex<Ledger>>) {
    let client = Client::builder().no_proxy().build().unwrap();
    // An answer that was not read whole is none.
    let post = async |path: &str, body: Value| -> Option<Value> {
        let response = client.post(format!("http://{address}{path}")).json(&body).send().await.ok()?;
        let status = response.status();
        let answer: Value = response.json().await.ok()?;
        assert!(status.is_success(), "{path}: {status} {answer}");
        Some(answer)
    };
    loop {
        let number = format!("+98912{:07}", numbers.fetch_add(1, Ordering::Relaxed));
        let Some(started) = post("/v1/verifications", json!({ "to": number })).await else { return };
        let id = started["id"].as_str().unwrap().to_owned();
        ledger.lock().unwrap().started.insert(number.clone(), id.clone());
        let code = json!({ "verification_id": id, "code": started["code"] });
        if post("/v1/sessions", code).await.is_none() {
            return;
        }
        ledger.lock().unwrap().signed_in.insert(number);
    }
}

/// Types of events by number.
fn by_number(posts: &[Post]) -> BTreeMap<String, BTreeSet<String>> {
    let mut told = BTreeMap::<_, BTreeSet<_>>::new();
    for post in posts {
        let number = post.body["data"]["phone_number"].as_str().unwrap().to_owned();
        told.entry(number).or_default().insert(post.body["type"].as_str().unwrap().to_owned());
    }
    told
}

fn has_all(posts: &[Post], ledger: &Ledger) -> bool {
    let told = by_number(posts);
    let has = |number: &String, types: &[&str]| {
        told.get(number).is_some_and(|told| types.iter().all(|name| told.contains(*name)))
    };
    let whole = ["verification.created", "verification.approved", "user.created", "session.created"];
    ledger.started.keys().all(|number| has(number, &whole[..1]))
        && ledger.signed_in.iter().all(|number| has(number, &whole))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_sign_in_is_told() {
    let receiver = EventReceiver::start().await;
    // Down half of the time, so that kills meet events that wait, too.
    receiver.answers(|_, number| if number / 40 % 2 == 0 { (204, None) } else { (503, None) });
    let url = receiver.url();
    let directory = tempfile::tempdir().unwrap();
    let variables = [
        ("OTPD__WEBHOOKS__URL", url.as_str()),
        ("OTPD__WEBHOOKS__SECRET", SECRET),
        ("OTPD__WEBHOOKS__RETRY_AFTER_S", "1,1,1,1,1,1,1,1,1,1,1,1"),
        ("OTPD__LIMITS__IP_PER_MINUTE", "0"),
        ("OTPD__DEV__SHOW_CODES", "true"),
    ];
    let (numbers, ledger) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Ledger::default())));
    for kill in 0..KILLS {
        let mut server = ConsoleServer::start_with(directory.path(), &variables);
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            workers.spawn(sign_in_until_killed(server.address.clone(), Arc::clone(&numbers), Arc::clone(&ledger)));
        }
        // By work done, not by time: a slow machine is killed as deep in it as a fast one.
        let enough = receiver.posts().len() + 20 + 37 * usize::try_from(kill).unwrap();
        receiver.until(|posts| posts.len() >= enough).await;
        server.kill();
        while let Some(worker) = workers.join_next().await {
            worker.unwrap();
        }
    }
    receiver.answers(|_, _| (204, None));
    let mut last = ConsoleServer::start_with(directory.path(), &variables);
    let posts = receiver.until(|posts| has_all(posts, &ledger.lock().unwrap())).await;
    last.kill();

    let ledger = ledger.lock().unwrap();
    assert!(ledger.signed_in.len() >= 100, "only {} sign-ins", ledger.signed_in.len());
    assert_eq!(receiver.faults(), Vec::<String>::new());
    // Nothing is told that was never asked for, nor one event under two ids or two under one.
    let known = numbers.load(Ordering::Relaxed);
    let mut ids = BTreeMap::new();
    for post in &posts {
        let number = post.body["data"]["phone_number"].as_str().unwrap();
        assert!(number["+98912".len()..].parse::<u64>().unwrap() < known);
        if let (Some(id), Some(started)) = (post.body["data"]["verification_id"].as_str(), ledger.started.get(number)) {
            assert_eq!(id, started);
        }
        assert_eq!(ids.entry(post.id.clone()).or_insert_with(|| post.body.clone()), &post.body, "{}", post.id);
    }
    let different: BTreeSet<String> = ids.values().map(Value::to_string).collect();
    assert_eq!(different.len(), ids.len());
    println!("{} sign-ins, {} events, {} posts, {KILLS} kills", ledger.signed_in.len(), ids.len(), posts.len());
}
