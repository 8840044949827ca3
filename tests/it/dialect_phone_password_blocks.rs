//! `phone_password`: who answers wrongly too often waits, and nobody else (`contracts/dialects.md`; security 78); many at
//! once get no more tries than one after another, and no more memory than the pool has.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    dialect_phone_password::{
        E164, LOGIN, PASSWORD, REGISTER, SIGNED_IN, TO, app, check_phone, error, form, grant, login, refusals,
        registered,
    },
    dialect_table::{NO_IP_LIMITS, answers},
    harness::{Answer, TestApp, wrong},
    harness_tokens::claims,
    spawned::Spawned,
};

const ANNA: &str = "203.0.113.1";
const BELA: &str = "203.0.113.2";
const CARL: &str = "203.0.113.3";
const DORA: &str = "203.0.113.4";
const HOUR_S: u64 = 3_600;

async fn behind_proxy() -> TestApp {
    TestApp::with(&format!("{NO_IP_LIMITS}\nserver.trusted_proxies = 127.0.0.1")).await
}

/// A refusal, and the wait that goes with it.
fn refused(what: &str, answer: &Answer, status: u16, text: &str, wait_s: Option<u64>) {
    answers(what, answer, status, &error(text));
    assert_eq!(answer.header("retry-after"), wait_s.map(|wait| wait.to_string()).unwrap_or_default(), "{what}");
}

const STRUCK: &str = "Too many wrong OTP attempts. You are blocked.";
const BLOCKED: &str = "Too many attempts. You are blocked.";
const OVER: &str = "OTP expired or not found";

/// Three wrong codes of one address, whatever codes are sent meanwhile.
#[tokio::test]
async fn three_wrong_codes_block_an_address_at_a_number() {
    let app = behind_proxy().await;
    let verify = async |client: &str, code: &str| {
        app.post_for(client, "/auth/verify/", json!({ "phone": TO, "code": code })).await
    };
    check_phone(&app, TO).await;
    let code = app.gateway.code(E164);
    refused("first", &verify(ANNA, &wrong(&code, 1)).await, 400, "Incorrect OTP.", None);
    refused("second", &verify(ANNA, &wrong(&code, 2)).await, 400, "Incorrect OTP.", None);
    refused("third", &verify(ANNA, &wrong(&code, 3)).await, 429, STRUCK, Some(HOUR_S));
    refused("right, but blocked", &verify(ANNA, &code).await, 403, BLOCKED, Some(HOUR_S));
    refused("no code, and blocked", &verify(ANNA, "abcd").await, 403, BLOCKED, Some(HOUR_S));
    refused("its tries are spent for all", &verify(BELA, &code).await, 400, OVER, None);
    check_phone(&app, TO).await;
    let code = app.gateway.code(E164);
    refused("a new code does not help", &verify(ANNA, &code).await, 403, BLOCKED, Some(HOUR_S));
    let other = app.post_for(ANNA, "/auth/verify/", json!({ "phone": "09121234567", "code": "1234" })).await;
    refused("at another number", &other, 400, OVER, None);
    verify(BELA, &code).await.is(200);
    app.wait_s(700);
    refused("the codes are over, the block is not", &verify(ANNA, &code).await, 403, BLOCKED, Some(HOUR_S - 700));
    app.wait_s(HOUR_S - 700);
    refused("an hour later", &verify(ANNA, &code).await, 400, OVER, None);
    check_phone(&app, TO).await;
    verify(ANNA, &app.gateway.code(E164)).await.is(200);
    app.stop().await;
}

/// dialects.md: the number's own guess budget stands above; a right code forgives.
#[tokio::test]
async fn a_number_has_its_own_budget_of_codes() {
    let app = behind_proxy().await;
    let verify = async |client: &str, code: &str| {
        app.post_for(client, "/auth/verify/", json!({ "phone": TO, "code": code })).await
    };
    check_phone(&app, TO).await;
    let code = app.gateway.code(E164);
    for n in 1..=3 {
        assert!(matches!(verify(ANNA, &wrong(&code, n)).await.status, 400 | 429));
    }
    check_phone(&app, TO).await;
    let code = app.gateway.code(E164);
    for (client, n) in [(BELA, 1), (BELA, 2), (CARL, 3)] {
        refused("wrong", &verify(client, &wrong(&code, n)).await, 400, "Incorrect OTP.", None);
    }
    check_phone(&app, TO).await;
    let code = app.gateway.code(E164);
    refused("six wrong in a row: all wait", &verify(DORA, &code).await, 400, "OTP expired or not found", Some(30));
    app.wait_s(30);
    verify(BELA, &code).await.is(200);
    app.wait_s(120);
    check_phone(&app, TO).await;
    let code = app.gateway.code(E164);
    for n in 1..=2 {
        refused("the count began again", &verify(BELA, &wrong(&code, n)).await, 400, "Incorrect OTP.", None);
    }
    verify(BELA, &code).await.is(200);
    app.stop().await;
}

/// Three wrong passwords of one address; the owner elsewhere is not locked out.
#[tokio::test]
async fn three_wrong_passwords_block_an_address_at_a_number() {
    const STRUCK: &str = "You are blocked due to too many failed login attempts.";
    const BLOCKED: &str = "Temporary access blocked.";
    let app = behind_proxy().await;
    registered(&app, TO).await;
    let try_with = async |client: &str, password: &str| app.post_for(client, "/auth/login/", login(TO, password)).await;
    for round in 1..=2 {
        refused("first", &try_with(ANNA, "wrong horse").await, 401, "Incorrect password.", None);
        refused("second", &try_with(ANNA, "wrong horse").await, 401, "Incorrect password.", None);
        if round == 1 {
            answers("success clears the count", &try_with(ANNA, PASSWORD).await, 200, SIGNED_IN);
        }
    }
    refused("third", &try_with(ANNA, "wrong horse").await, 403, STRUCK, Some(HOUR_S));
    refused("wrong", &try_with(ANNA, "wrong horse").await, 403, BLOCKED, Some(HOUR_S));
    refused("right, but blocked", &try_with(ANNA, PASSWORD).await, 403, BLOCKED, Some(HOUR_S));
    answers("from elsewhere", &try_with(BELA, PASSWORD).await, 200, SIGNED_IN);
    refused("which changes nothing here", &try_with(ANNA, PASSWORD).await, 403, BLOCKED, Some(HOUR_S));
    app.wait_s(HOUR_S - 1);
    refused("almost an hour", &try_with(ANNA, PASSWORD).await, 403, BLOCKED, Some(1));
    app.wait_s(1);
    answers("an hour later", &try_with(ANNA, PASSWORD).await, 200, SIGNED_IN);
    for client in [ANNA, ANNA, BELA, BELA, CARL] {
        refused("wrong", &try_with(client, "wrong horse").await, 401, "Incorrect password.", None);
    }
    refused("the sixth in a row", &try_with(CARL, "wrong horse").await, 401, "Incorrect password.", None);
    refused("the number waits", &try_with(DORA, PASSWORD).await, 403, BLOCKED, Some(30));
    app.wait_s(30);
    answers("half a minute later", &try_with(DORA, PASSWORD).await, 200, SIGNED_IN);
    app.stop().await;
}

/// dialects.md: `reveal_registered = false` answers, and sends, as for an unknown number.
#[tokio::test]
async fn nobody_learns_who_is_registered() {
    let app = TestApp::with(&format!("{NO_IP_LIMITS}\ndialects.phone_password.reveal_registered = false")).await;
    registered(&app, TO).await;
    app.wait_s(120);
    check_phone(&app, TO).await;
    assert_eq!(app.gateway.sent_to(E164).len(), 2, "and it is sent");
    let body = json!({ "phone": TO, "code": app.gateway.code(E164) });
    let token = app.post("/auth/verify/", body).await.is(200).text("registration_token");
    refusals(&app, REGISTER, vec![("the owner alone learns it", form(&token), 400, "User already exists.")]).await;
    for to in [TO, "09121234567"] {
        refusals(
            &app,
            LOGIN,
            vec![
                (to, login(to, "wrong horse"), 401, "Incorrect password."),
                (to, login(to, "wrong horse"), 401, "Incorrect password."),
                (to, login(to, "wrong horse"), 403, "You are blocked due to too many failed login attempts."),
                (to, login(to, PASSWORD), 403, "Temporary access blocked."),
            ],
        )
        .await;
    }
    app.stop().await;
}

/// Wrong codes and wrong passwords are counted apart.
#[tokio::test]
async fn a_block_of_codes_is_none_of_passwords() {
    let app = app().await;
    registered(&app, TO).await;
    for _ in 0..3 {
        app.post("/auth/login/", login(TO, "wrong horse")).await;
    }
    refusals(&app, LOGIN, vec![("blocked", login(TO, PASSWORD), 403, "Temporary access blocked.")]).await;
    let body = json!({ "phone": TO, "code": "1234" });
    refusals(&app, "POST /auth/verify/", vec![("codes are not", body, 400, OVER)]).await;
    app.stop().await;
}

/// All at once; their answers.
async fn at_once(app: &Arc<TestApp>, path: &'static str, body: Value, count: usize) -> Vec<Answer> {
    let tasks = (0..count).map(|_| {
        let (app, body) = (Arc::clone(app), body.clone());
        tokio::spawn(async move { app.post(path, body).await })
    });
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

/// Fifty wrong passwords at once from one address: at most three are compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_passwords_at_once_are_no_more_tries() {
    let app = Arc::new(app().await);
    registered(&app, TO).await;
    let answers = at_once(&app, "/auth/login/", login(TO, "wrong horse"), 50).await;
    let compared = |answer: &&Answer| {
        answer.status == 401 || answer.raw == error("You are blocked due to too many failed login attempts.")
    };
    let tries = answers.iter().filter(compared).count();
    assert!((1..=3).contains(&tries), "{tries} were compared");
    for answer in answers.iter().filter(|answer| !compared(answer)) {
        let is_refusal = match answer.status {
            503 => answer.raw == error("Service temporarily unavailable. Please try again later."),
            403 => answer.raw == error("Temporary access blocked."),
            _ => came_too_many(answer),
        };
        assert!(is_refusal, "{answer:?}");
    }
    // Whatever tries are left are given one after another, and no more.
    let mut tries = tries;
    while tries < 3 {
        assert!(matches!(app.post("/auth/login/", login(TO, "wrong horse")).await.status, 401 | 403));
        tries += 1;
    }
    refusals(&app, LOGIN, vec![("blocked", login(TO, PASSWORD), 403, "Temporary access blocked.")]).await;
}

/// A number has so many requests under way at once; the rest is asked to come back.
fn came_too_many(answer: &Answer) -> bool {
    answer.status == 429 && answer.raw == error("Too many OTP requests. Please try again later.")
}

/// One registration token, twenty requests: one user.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_registration_token_makes_one_user() {
    let app = Arc::new(app().await);
    let token = grant(&app, TO).await;
    let answers = at_once(&app, "/auth/register/", form(&token), 20).await;
    let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1, "{answers:#?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        let texts = ["Invalid or expired registration token.", "User already exists."];
        assert!(came_too_many(answer) || texts.iter().any(|text| answer.raw == error(text)), "{answer:?}");
    }
    let signed_in = app.post("/auth/login/", login(TO, PASSWORD)).await.is(200);
    let user_id = |answer: &Answer| claims(answer.body["tokens"]["access"].as_str().unwrap())["user_id"].clone();
    assert_eq!(user_id(made[0]), user_id(&signed_in));
}

/// One code, twenty requests: one registration token.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_code_makes_one_registration_token() {
    let app = Arc::new(app().await);
    check_phone(&app, TO).await;
    let body = json!({ "phone": TO, "code": app.gateway.code(E164) });
    let answers = at_once(&app, "/auth/verify/", body, 20).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:#?}");
    let is_known = |answer: &Answer| answer.status == 200 || answer.raw == error(OVER) || came_too_many(answer);
    assert!(answers.iter().all(is_known), "{answers:#?}");
}

/// KiB of a figure of the kernel about a process.
#[cfg(target_os = "linux")]
fn memory_kib(process: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// security 78: 200 sign-ins at once keep within places × 19 MiB above what the server has anyway, and what the pool has
/// no place for is 503 at once. Every number is unknown and all of it is hidden, so that each is compared.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_passwords_keeps_within_the_pool() {
    const PLACES: u64 = 2;
    const WAITING: usize = 8;
    const HASH_KIB: u64 = 19 * 1_024;
    // Two hundred connections, their bodies and actors take 14 MiB; with one hash more it would be beyond this.
    const REST_KIB: u64 = 26 * 1_024;
    let settings = [
        ("DIALECTS__PHONE_PASSWORD__IP_PER_MINUTE", "0"),
        ("DIALECTS__PHONE_PASSWORD__REVEAL_REGISTERED", "false"),
        ("PASSWORD__WAITING_MAX", "8"),
        ("PASSWORD__PASSES", "8"),
        ("LOG__FILTER", "info"),
    ];
    let otpd = Arc::new(Spawned::start_with(tempfile::tempdir().unwrap(), &settings).await);
    let before = memory_kib(otpd.process(), "VmRSS");
    let tasks = (0..200).map(|n| {
        let otpd = Arc::clone(&otpd);
        tokio::spawn(async move { otpd.post("/auth/login/", login(&format!("0912000{n:04}"), PASSWORD)).await })
    });
    let answers: Vec<Answer> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let peak = memory_kib(otpd.process(), "VmHWM");
    let (compared, overflow): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(|answer| answer.status == 401);
    println!("{} compared, {} refused, {before} KiB before, {peak} KiB at most", compared.len(), overflow.len());
    assert!(compared.iter().all(|answer| answer.raw == error("Incorrect password.")));
    let busy = error("Service temporarily unavailable. Please try again later.");
    assert!(overflow.iter().all(|answer| answer.status == 503 && answer.raw == busy), "{overflow:#?}");
    assert!(compared.len() >= WAITING, "only {} were compared", compared.len());
    assert!(overflow.len() >= 100, "only {} were refused", overflow.len());
    assert!(peak <= before + PLACES * HASH_KIB + REST_KIB, "{before} KiB before, {peak} KiB at most");
}
