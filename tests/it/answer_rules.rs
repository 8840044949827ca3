//! What holds for every answer that any test of this binary reads.
//!
//! * security 7, R-01: no body and no header holds a code that this server has sent.
//! * security 26, 96: every error under `/v1` is a problem whose figures agree with status and headers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, Weak},
};

use crate::harness::{Answer, ScriptedGateway};

/// The gateways of the servers of this process, by port.
static GATEWAYS: Mutex<BTreeMap<u16, Weak<ScriptedGateway>>> = Mutex::new(BTreeMap::new());

/// Fields a problem may have.
const PROBLEM_FIELDS: [&str; 11] = [
    "type",
    "title",
    "status",
    "detail",
    "instance",
    "code",
    "retry_after",
    "attempts_remaining",
    "verification_id",
    "proof_of_work",
    "errors",
];

/// From now on answers of the server at `address` are searched for the codes of `gateway`.
pub(crate) fn watch(address: SocketAddr, gateway: &Arc<ScriptedGateway>) {
    GATEWAYS.lock().unwrap().insert(address.port(), Arc::downgrade(gateway));
}

/// Asserts all of it.
#[track_caller]
pub(crate) fn hold(answer: &Answer, server: Option<SocketAddr>, path: &str) {
    shows_no_code(answer, server);
    assert!(!answer.header("request-id").is_empty(), "no Request-Id: {answer:?}");
    if matches!(answer.status, 429 | 503) {
        let wait = answer.header("retry-after").parse::<u64>();
        assert!(wait.is_ok_and(|seconds| seconds > 0), "no whole seconds in Retry-After: {answer:?}");
    }
    if path.starts_with("/v1/") && answer.status >= 400 && !answer.raw.is_empty() {
        is_problem(answer);
    }
}

#[track_caller]
fn is_problem(answer: &Answer) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let fields = answer.body.as_object().unwrap_or_else(|| panic!("no object: {answer:?}"));
    assert!(fields.keys().all(|name| PROBLEM_FIELDS.contains(&name.as_str())), "{answer:?}");
    assert_eq!(answer.body["status"], answer.status, "{answer:?}");
    assert_eq!(answer.body["instance"], answer.header("request-id"), "{answer:?}");
    assert_eq!(answer.text("type"), format!("/errors/{}", answer.text("code")));
    assert!(!answer.text("title").is_empty());
    let wait = answer.body["retry_after"].as_u64().map(|seconds| seconds.to_string()).unwrap_or_default();
    assert_eq!(answer.header("retry-after"), wait, "{answer:?}");
}

/// A code is looked for as a whole word: ids and signatures may hold its digits by chance.
#[track_caller]
fn shows_no_code(answer: &Answer, server: Option<SocketAddr>) {
    let gateways = GATEWAYS.lock().unwrap();
    let gateway = server.and_then(|address| gateways.get(&address.port())).and_then(Weak::upgrade);
    drop(gateways);
    let Some(gateway) = gateway else { return };
    let codes = gateway.codes();
    let headers = answer.headers.values().filter_map(|value| value.to_str().ok());
    for text in headers.chain([answer.raw.as_str()]) {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            assert!(!codes.iter().any(|code| code == word), "a code in an answer: {answer:?}");
        }
    }
}
