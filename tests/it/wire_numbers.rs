//! One number in all its spellings, and what is none (security 23, 46 to 52; ).

use serde_json::{Value, json};

use crate::harness::{TestApp, wrong};

const TO: &str = "+989123456789";

/// Forty spellings of one number: what is typed, and the region if it is national.
const SPELLINGS: [(&str, Option<&str>); 40] = [
    ("+989123456789", None),
    ("+98 912 345 6789", None),
    ("+98-912-345-6789", None),
    ("+98 (912) 345 6789", None),
    ("+98 [912] 345-67-89", None),
    ("+98.912.345.6789", None),
    ("+98/912/3456789", None),
    (" +989123456789", None),
    ("+989123456789 ", None),
    ("+ 98 9123456789", None),
    ("00989123456789", None),
    ("00 98 912 345 6789", None),
    ("(00) 98 9123456789", None),
    ("+9809123456789", None),
    ("+98 (0) 912 345 6789", None),
    ("+98 0912 345 6789", None),
    ("009809123456789", None),
    ("+9800912345 6789", None),
    ("09123456789", Some("IR")),
    ("0912 345 6789", Some("IR")),
    ("0912-345-6789", Some("ir")),
    ("9123456789", Some("IR")),
    ("(0912) 3456789", Some("Ir")),
    ("00989123456789", Some("IR")),
    ("+989123456789", Some("GB")),
    ("۰۹۱۲۳۴۵۶۷۸۹", Some("IR")),
    ("۰۹۱۲ ۳۴۵ ۶۷۸۹", Some("IR")),
    ("+۹۸۹۱۲۳۴۵۶۷۸۹", None),
    ("۰۰۹۸۹۱۲۳۴۵۶۷۸۹", None),
    ("+٩٨٩١٢٣٤٥٦٧٨٩", None),
    ("٠٩١٢٣٤٥٦٧٨٩", Some("IR")),
    ("＋９８９１２３４５６７８９", None),
    ("００９８９１２３４５６７８９", None),
    ("+98９１２3456789", None),
    ("+९८९१२३४५६७८९", None),
    ("\u{200E}+989123456789\u{200E}", None),
    ("\u{202A}+98 912 345 6789\u{202C}", None),
    ("\u{2066}+989123456789\u{2069}", None),
    ("\u{200F}۰۹۱۲۳۴۵۶۷۸۹\u{200F}", Some("IR")),
    ("+98\u{A0}912\u{2013}345\u{2011}6789", None),
];

fn body(n: usize, more: &Value) -> Value {
    let (to, region) = SPELLINGS[n % SPELLINGS.len()];
    let mut body = more.clone();
    body["to"] = json!(to);
    if let Some(region) = region {
        body["region"] = json!(region);
    }
    body
}

/// security 23, 46, 47, 51: forty spellings share one record, one cooldown, one window and one day: a limit met with
/// one spelling holds for all others, and the provider sees the canonical form alone.
#[tokio::test]
async fn all_spellings_share_the_limits_of_sends() {
    let app = TestApp::start().await;
    app.post("/v1/verifications", body(0, &json!({}))).await.is(201);
    for n in 1..SPELLINGS.len() {
        let answer = app.post("/v1/verifications", body(n, &json!({}))).await;
        answer.refused(429, "send_limited").waits(30);
    }
    assert_eq!(app.gateway.sent().len(), 1);
    assert_eq!((app.counting.loads(), app.store.len()), (1, 1));
    for n in 1..10 {
        app.wait_s(60);
        let answer = app.post_as(&app.keys.backend, "/v1/verifications", body(7 * n, &json!({}))).await;
        assert_eq!(answer.is(201).text("to_masked"), "+98******6789");
    }
    app.wait_s(60);
    for n in 0..SPELLINGS.len() {
        let answer = app.post_as(&app.keys.backend, "/v1/verifications", body(n, &json!({}))).await;
        answer.refused(429, "send_limited");
    }
    assert!(app.gateway.sent().iter().all(|(to, _)| to == TO));
    assert_eq!(app.gateway.sent().len(), 10);
}

/// security 19, 23: they share the guess budget too, and a code of one spelling is good with every other.
#[tokio::test]
async fn all_spellings_share_the_guess_budget() {
    let app = TestApp::start().await;
    app.start_for(TO).await;
    let code = app.gateway.code(TO);
    let guess =
        async |n: usize, code: &str| app.post("/v1/verifications/check", body(n, &json!({ "code": code }))).await;
    for n in 1..=4_u8 {
        let answer = guess(9 * usize::from(n), &wrong(&code, n)).await;
        assert_eq!(answer.refused(400, "code_incorrect").body["attempts_remaining"], 5 - n);
    }
    guess(13, &wrong(&code, 5)).await.refused(429, "max_attempts_reached");
    app.wait_s(30);
    app.post("/v1/verifications", body(26, &json!({}))).await.is(201);
    let code = app.gateway.code(TO);
    guess(27, &wrong(&code, 1)).await.refused(400, "code_incorrect");
    for n in 0..SPELLINGS.len() {
        guess(n, &code).await.refused(429, "guess_budget_exhausted").waits(30);
        let session = app.post("/v1/sessions", body(n, &json!({ "code": code }))).await;
        session.refused(429, "guess_budget_exhausted");
    }
    app.wait_s(30);
    guess(30, &code).await.is(200);
}

/// security 48, 49, 50, 52: what is no number is refused clearly, before the plan's library and any actor see it.
#[tokio::test]
async fn what_is_no_number_is_refused() {
    let app = TestApp::with("phone.default_region = IR").await;
    let long = "1".repeat(10_000);
    let spaced = format!("+989123456789{}", " ".repeat(20));
    let refused = [
        "+98910123456a",
        "a+989101234567",
        "+3367a829916",
        "+1-800-FLOWERS",
        "+989123456789 ext. 5",
        "+989123456789x5",
        "+989123456789;ext=5",
        "tel:+989123456789",
        "tel:09123456789;phone-context=+98",
        "+989123456789,+989120000001",
        "+989123456789;+989120000001",
        "+989123456789<+989120000001",
        "+989123456789\n",
        "\n+989123456789",
        "+98912\r\n3456789",
        "+989123456789\0",
        "+98912\t3456789",
        "+98912\u{200B}3456789",
        "+98912\u{200D}3456789",
        "+98912\u{FEFF}3456789",
        "+98912\u{301}3456789",
        "+98912\u{E0031}3456789",
        "++989123456789",
        "+98+9123456789",
        "989123456789+",
        "*123#",
        "#0912",
        "+",
        "00",
        "-",
        "+0989123456789",
        "+12",
        "+9891234567890123",
        "+98912²456789",
        "٫٬",
        spaced.as_str(),
        long.as_str(),
    ];
    for to in refused {
        for path in ["/v1/verifications", "/v1/verifications/check", "/v1/sessions"] {
            let mut body = json!({ "to": to });
            if path != "/v1/verifications" {
                body["code"] = json!("123456");
            }
            let answer = app.post(path, body).await;
            assert_eq!((answer.status, answer.body["code"].as_str()), (422, Some("number_invalid")), "{to:?}");
            answer.points_at("/to");
            assert!(!answer.text("title").is_empty() && answer.body["errors"][0]["message"].is_string());
        }
    }
    assert_eq!((app.counting.loads(), app.gateway.sent().len()), (0, 0));
}

/// security 46: the answer is the same for what a number's plan can and cannot assign (52), unless
/// `phone.validation = valid` asks for numbers that can be.
#[tokio::test]
async fn impossible_numbers_are_refused_on_demand() {
    let made_up = "+989999999999999";
    let app = TestApp::start().await;
    app.post("/v1/verifications", json!({ "to": made_up })).await.is(201);
    let app = TestApp::with("phone.validation = valid").await;
    app.post("/v1/verifications", json!({ "to": made_up })).await.refused(422, "number_invalid").points_at("/to");
    app.post("/v1/verifications", json!({ "to": TO })).await.is(201);
}
