//! Many at once on one number, over real sockets (security 27 to 32, 35, 103; ).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Barrier, task::JoinSet};

use crate::harness::{Answer, Script, TestApp, wrong};

const TO: &str = "+989123456789";
/// Room for as many requests of one number as a storm has.
const ROOM: &str = "phone.inflight_max = 1000";

/// Sends all at the same time, each on a connection of its own; how often each answer came: status, code, attempts.
async fn storm(app: &TestApp, requests: Vec<(String, Value)>) -> BTreeMap<(u16, String), usize> {
    let gate = Arc::new(Barrier::new(requests.len()));
    let mut tasks = JoinSet::new();
    for (path, body) in requests {
        let request = app.client.post(app.url(&path)).json(&body);
        let gate = Arc::clone(&gate);
        tasks.spawn(async move {
            gate.wait().await;
            Answer::read(request).await
        });
    }
    let mut answers = BTreeMap::new();
    for answer in tasks.join_all().await {
        let code = answer.body["code"].as_str().or_else(|| answer.body["status"].as_str()).unwrap_or_default();
        *answers.entry((answer.status, code.to_owned())).or_insert(0) += 1;
    }
    answers
}

fn counts<const N: usize>(expected: [(u16, &str, usize); N]) -> BTreeMap<(u16, String), usize> {
    expected.map(|(status, code, count)| ((status, code.to_owned()), count)).into()
}

/// security 27, R-05: of 200 right codes at once exactly one succeeds. Twenty times here; the same decision is raced a
/// hundred times at the actors in `tests/lifecycle`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_hundred_right_codes_succeeds() {
    let app = TestApp::with(ROOM).await;
    for round in 0..20 {
        let to = format!("+9891200000{round:02}");
        let id = app.start_for(&to).await;
        let code = app.gateway.code(&to);
        let by_id = (format!("/v1/verifications/{id}/check"), json!({ "code": code }));
        let by_number = ("/v1/verifications/check".to_owned(), json!({ "to": to, "code": code }));
        let session = ("/v1/sessions".to_owned(), json!({ "verification_id": id, "code": code }));
        let requests = match round % 3 {
            0 => vec![by_id; 200],
            1 => [vec![by_id; 100], vec![by_number; 100]].concat(),
            _ => vec![session; 200],
        };
        let answers = storm(&app, requests).await;
        let succeeded = answers.iter().filter(|((status, _), _)| *status == 200).map(|(_, count)| count).sum::<usize>();
        assert_eq!((succeeded, answers.get(&(409, "already_approved".to_owned()))), (1, Some(&199)), "{answers:?}");
    }
}

/// security 28, R-04: of 500 wrong codes at once exactly five are compared: four told as wrong, the fifth as the last,
/// all others refused. By number as well, where the guess budget counts the same five.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_of_five_hundred_wrong_codes_are_compared() {
    let app = TestApp::with(ROOM).await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    let changes = app.settled_changes(&id).await;
    let request = (format!("/v1/verifications/{id}/check"), json!({ "code": wrong(&code, 1) }));
    let answers = storm(&app, vec![request; 500]).await;
    assert_eq!(answers, counts([(400, "code_incorrect", 4), (429, "max_attempts_reached", 496)]));
    assert_eq!(app.counting.changes() - changes, 5, "each comparison is counted before it is made");
    app.check(&id, &code).await.refused(429, "max_attempts_reached");
    let request = ("/v1/verifications/check".to_owned(), json!({ "to": TO, "code": wrong(&code, 1) }));
    let answers = storm(&app, vec![request; 500]).await;
    assert_eq!(answers, counts([(400, "code_incorrect", 4), (429, "max_attempts_reached", 496)]));
    assert_eq!(app.counting.changes() - changes, 10);
}

/// security 30: of 100 starts at once one sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_hundred_starts_sends() {
    let app = TestApp::with(ROOM).await;
    let answers = storm(&app, vec![("/v1/verifications".to_owned(), json!({ "to": TO })); 100]).await;
    assert_eq!(answers, counts([(201, "pending", 1), (429, "send_limited", 99)]));
    assert_eq!(app.gateway.sent().len(), 1);
}

/// security 29: wrong and right, checks, resends, starts and cancels together: at most one success, and afterwards
/// nothing else; what was sent stays within the window, and nobody got more tries than there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_storm_keeps_the_rules() {
    let app = TestApp::with(ROOM).await;
    for round in 0..10 {
        let to = format!("+9891200000{round:02}");
        let id = app.start_for(&to).await;
        let code = app.gateway.code(&to);
        let check = format!("/v1/verifications/{id}/check");
        let mut requests = vec![(check.clone(), json!({ "code": wrong(&code, 1) })); 4];
        requests.push((check.clone(), json!({ "code": code })));
        requests.extend(vec![("/v1/verifications/check".to_owned(), json!({ "to": to, "code": code })); 2]);
        requests.extend(vec![(format!("/v1/verifications/{id}/resend"), json!({})); 5]);
        requests.extend(vec![("/v1/verifications".to_owned(), json!({ "to": to })); 5]);
        if round % 2 == 1 {
            requests.extend(vec![(format!("/v1/verifications/{id}/cancel"), json!({})); 3]);
        }
        let answers = storm(&app, requests).await;
        let approvals = answers.get(&(200, "approved".to_owned())).copied().unwrap_or(0);
        let status = app.get(&format!("/v1/verifications/{id}")).await.is(200).text("status");
        let settled = if approvals == 1 { "approved" } else { "canceled" };
        assert!(approvals <= 1 && status == settled, "round {round}: {status} {answers:?}");
        let later = app.check(&id, &code).await;
        assert!(matches!(later.status, 409 | 410), "{later:?}");
        assert!(app.gateway.sent_to(&to).len() <= 3, "{answers:?}");
    }
}

/// DESIGN 3, security 103: requests of one number beyond `phone.inflight_max` are 429 `rate_limited` at once, and other
/// numbers are served as ever.
#[tokio::test]
async fn a_flood_of_one_number_leaves_the_others_alone() {
    let app = TestApp::with("phone.inflight_max = 2").await;
    let id = app.start_for(TO).await;
    app.start_for("+989120000001").await;
    app.settled_changes(&id).await;
    // Long enough that all fifty have come before the first is answered.
    app.store.slow(Duration::from_secs(1), Duration::ZERO);
    let request = (format!("/v1/verifications/{id}/check"), json!({ "code": "000001" }));
    let flood = storm(&app, vec![request; 50]);
    let code = app.gateway.code("+989120000001");
    let other = app.check_number("+989120000001", &code);
    let (answers, other) = tokio::join!(flood, other);
    other.is(200);
    assert_eq!(answers, counts([(400, "code_incorrect", 2), (429, "rate_limited", 48)]));
}

/// security 35: clients that hang up in the middle of a check leave neither an attempt uncounted nor a code half used:
/// the record says one thing, and what it says is what the codes got.
#[tokio::test]
async fn hanging_up_leaves_the_record_consistent() {
    let app = TestApp::start().await;
    for round in 0..20 {
        let to = format!("+9891200000{round:02}");
        let id = app.start_for(&to).await;
        let code = app.gateway.code(&to);
        app.store.slow(Duration::from_millis(20), Duration::ZERO);
        hang_up(&app, &id, &code, Duration::from_millis(round)).await;
        app.store.slow(Duration::ZERO, Duration::ZERO);
        let status = settled_status(&app, &id).await;
        match status.as_str() {
            "approved" => app.check(&id, &code).await.refused(409, "already_approved"),
            "pending" => &app.check(&id, &code).await.is(200),
            other => panic!("{other}"),
        };
    }
}

/// Sends a right code and closes the connection after a while.
async fn hang_up(app: &TestApp, id: &str, code: &str, after: Duration) {
    let socket = send_check(app, id, code).await;
    tokio::time::sleep(after).await;
    drop(socket);
}

/// Sends a check under the request id `hang-` and part of its id, and waits for no answer.
async fn send_check(app: &TestApp, id: &str, code: &str) -> TcpStream {
    let mut socket = TcpStream::connect(app.address).await.unwrap();
    let body = json!({ "code": code }).to_string();
    let head = format!("POST /v1/verifications/{id}/check HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    let request = format!("{head}Request-Id: hang-{}\r\nContent-Length: {}\r\n\r\n{body}", &id[4..24], body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// The status once what was under way has ended: a read is served behind it.
async fn settled_status(app: &TestApp, id: &str) -> String {
    app.get(&format!("/v1/verifications/{id}")).await.is(200).text("status")
}

/// security 35, 122: a code that was used has its audit event, also when the client had hung up before the answer.
#[tokio::test]
async fn a_used_code_is_logged_even_if_nobody_waits() {
    let log = crate::audit_log::install();
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let changes = app.settled_changes(&id).await;
    app.store.slow(Duration::from_millis(200), Duration::ZERO);
    let socket = send_check(&app, &id, &app.gateway.code(TO)).await;
    while app.counting.changes() == changes {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(socket);
    let request_id = format!("hang-{}", &id[4..24]);
    assert_eq!(settled_status(&app, &id).await, "approved", "its commit had begun");
    let event = log.wait_for(&request_id).await;
    assert_eq!((event.event.as_str(), event.outcome.as_str()), ("code_checked", "done"));
}

/// A client that hangs up while its message is being sent leaves a verification that can be used: the send goes on, and
/// its result is entered.
#[tokio::test]
async fn hanging_up_does_not_stop_a_send() {
    let app = TestApp::start().await;
    app.gateway.next([Script::Hold]);
    let request =
        app.client.post(app.url("/v1/verifications")).header("idempotency-key", "k").json(&json!({ "to": TO }));
    let client = tokio::spawn(request.send());
    app.gateway.arrived(1).await;
    client.abort();
    app.gateway.release();
    let mut again = app.post_once("k", "/v1/verifications", json!({ "to": TO })).await;
    while again.status == 409 {
        again = app.post_once("k", "/v1/verifications", json!({ "to": TO })).await;
    }
    let sent = again.is(201);
    assert_eq!(sent.header("idempotency-replayed"), "true");
    assert_eq!(sent.body["deliveries"][0]["status"], "accepted");
    app.check(&sent.text("id"), &app.gateway.code(TO)).await.is(200);
}
