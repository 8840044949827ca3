//! What a code and a body may look like, and what a route takes.

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, wrong};

const TO: &str = "+989123456789";

/// Every `POST` under `/v1/verifications` and `/v1/sessions` that takes a code, with that code as raw JSON.
fn code_routes(id: &str, code: &str) -> [(String, String); 4] {
    [
        (format!("/v1/verifications/{id}/check"), format!(r#"{{"code":{code}}}"#)),
        ("/v1/verifications/check".to_owned(), format!(r#"{{"to":"{TO}","code":{code}}}"#)),
        ("/v1/sessions".to_owned(), format!(r#"{{"verification_id":"{id}","code":{code}}}"#)),
        ("/v1/sessions".to_owned(), format!(r#"{{"to":"{TO}","code":{code}}}"#)),
    ]
}

/// security 5, R-09, R-10, R-11: `code` is a string of n digits; every other shape is 400 on every route that checks
/// one, and neither an attempt nor a guess is spent. The same for a number that never asked for one.
#[tokio::test]
async fn a_code_of_another_shape_spends_nothing() {
    let app = TestApp::start().await;
    let shapes = [
        ("null", "invalid_field"),
        ("true", "invalid_field"),
        ("false", "invalid_field"),
        ("0", "invalid_field"),
        ("123456", "invalid_field"),
        ("1e5", "invalid_field"),
        (r#"["123456"]"#, "invalid_field"),
        ("[]", "invalid_field"),
        (r#"{"$ne":null}"#, "invalid_field"),
        ("{}", "invalid_field"),
        (r#"{"code":"123456"}"#, "invalid_field"),
        (r#""123456","code":"123456""#, "invalid_field"),
        (r#""""#, "code_format"),
        (r#"" ""#, "code_format"),
        (r#""null""#, "code_format"),
        (r#""123456\u0000""#, "code_format"),
        (r#""123456\n""#, "code_format"),
        (r#""12345six""#, "code_format"),
        (r#""' OR 1=1""#, "code_format"),
        (r#""\uD800""#, "malformed_json"),
    ];
    let long = format!("\"{}\"", "1".repeat(10_000));
    let shapes: Vec<(&str, &str)> = shapes.into_iter().chain([(long.as_str(), "code_format")]).collect();
    for (path, body) in code_routes(&format!("ver_{}", "0".repeat(32)), "null") {
        app.post_raw(&path, body).await;
    }
    assert_eq!((app.counting.loads(), app.counting.changes()), (0, 0));
    let id = app.start_for(TO).await;
    let changes = app.settled_changes(&id).await;
    for (shape, code) in shapes {
        for (path, body) in code_routes(&id, shape) {
            let answer = app.post_raw(&path, body).await;
            assert_eq!((answer.status, answer.body["code"].as_str()), (400, Some(code)), "{path} {shape}: {answer:?}");
            let pointer = answer.body["errors"][0]["pointer"].as_str();
            assert_eq!(pointer, (code == "invalid_field").then_some("/code"), "{path} {shape}: {answer:?}");
        }
    }
    for (path, body) in code_routes(&id, "0").map(|(path, body)| (path, body.replace(r#","code":0"#, ""))) {
        let body = if body.contains("\"code\"") { "{}".to_owned() } else { body };
        app.post_raw(&path, body).await.refused(400, "invalid_field").points_at("/code");
    }
    assert_eq!(app.counting.changes(), changes, "a try was spent");
    app.check(&id, &app.gateway.code(TO)).await.is(200);
}

/// security 6, R-08: digits of other scripts, spaces and hyphens are one code before it is counted and compared, right
/// or wrong.
#[tokio::test]
async fn a_code_is_one_code_in_every_spelling() {
    let app = TestApp::start().await;
    let script = |code: &str, zero: u32| -> String {
        code.chars().map(|c| char::from_u32(zero + c.to_digit(10).unwrap()).unwrap()).collect()
    };
    let spell = |n: usize, code: &str| match n {
        0 => script(code, 0x6F0),
        1 => script(code, 0x660),
        2 => script(code, 0xFF10),
        3 => script(code, 0x966),
        4 => format!("{} {}", &code[..3], &code[3..]),
        5 => format!(" {}-{}-{} ", &code[..2], &code[2..4], &code[4..]),
        6 => format!("\u{200F}{code}\u{200E}"),
        _ => format!("{}{}", script(&code[..3], 0x6F0), &code[3..]),
    };
    for n in 0..8 {
        let to = format!("+98912000000{n}");
        let id = app.start_for(&to).await;
        let code = app.gateway.code(&to);
        let counted = app.check(&id, &spell(n, &wrong(&code, 1))).await;
        assert_eq!(counted.refused(400, "code_incorrect").body["attempts_remaining"], 4);
        app.check(&id, &spell(n, &code)).await.is(200);
    }
}

/// security 2, R-12: leading zeros are part of a code, and without them it is another.
#[tokio::test]
async fn leading_zeros_count() {
    let app = TestApp::start().await;
    let body = json!({ "to": TO, "custom_code": "000123" });
    let id = app.post_as(&app.keys.backend, "/v1/verifications", body).await.is(201).text("id");
    assert!(app.gateway.sent()[0].1.contains("000123"));
    app.check(&id, "123").await.refused(400, "code_format");
    let number = app.post_raw(&format!("/v1/verifications/{id}/check"), r#"{"code":123}"#).await;
    number.refused(400, "invalid_field").points_at("/code");
    app.check(&id, "000123").await.is(200);
}

/// security 24, 93; v1.md Errors: bodies that are no JSON object of known fields, with the pointer to what is wrong.
#[tokio::test]
async fn bodies_are_read_strictly() {
    let app = TestApp::start().await;
    let deep = format!(r#"{{"to":{}"x"{}}}"#, "[".repeat(9), "]".repeat(9));
    let rows: [(&[u8], u16, &str, Option<&str>); 19] = [
        (b"{", 400, "malformed_json", None),
        (b"{}}", 400, "malformed_json", None),
        (b"{'to':'x'}", 400, "malformed_json", None),
        (b"{\"to\":\"+989123456789\",}", 400, "malformed_json", None),
        (b"{\"to\":\"\xff\xfe\"}", 400, "malformed_json", None),
        (b"to=%2B989123456789", 400, "malformed_json", None),
        (b"\xef\xbb\xbf{\"to\":\"+989123456789\"}", 400, "malformed_json", None),
        (b"[]", 400, "invalid_field", Some("")),
        (b"[{\"to\":\"+989123456789\"}]", 400, "invalid_field", Some("")),
        (b"\"+989123456789\"", 400, "invalid_field", Some("")),
        (b"null", 400, "invalid_field", Some("")),
        (b"1", 400, "invalid_field", Some("")),
        (deep.as_bytes(), 400, "invalid_field", Some("")),
        (b"{}", 400, "invalid_field", Some("/to")),
        (b"{\"to\":\"+989123456789\",\"to\":\"+989123456780\"}", 400, "invalid_field", Some("/to")),
        (
            b"{\"to\":\"+989123456789\",\"metadata\":{\"a\":\"1\",\"a\":\"2\"}}",
            400,
            "invalid_field",
            Some("/metadata/a"),
        ),
        (b"{\"to\":\"+989123456789\",\"To\":\"+989123456780\"}", 400, "unknown_field", Some("/To")),
        (b"{\"to\":\"+989123456789\",\"__proto__\":{}}", 400, "unknown_field", Some("/__proto__")),
        (b"{\"to\":\"+989123456789\",\"<script>\":1}", 400, "unknown_field", Some("")),
    ];
    for (body, status, code, pointer) in rows {
        let shown = String::from_utf8_lossy(body).into_owned();
        let answer = app.post_raw("/v1/verifications", body.to_vec()).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (status, Some(code)), "{shown}: {answer:?}");
        assert_eq!(answer.body["errors"][0]["pointer"].as_str(), pointer, "{shown}: {answer:?}");
        assert!(!answer.raw.contains("script") && !answer.raw.contains("98912345678"), "echoed: {answer:?}");
    }
    assert_eq!((app.gateway.sent().len(), app.counting.loads()), (0, 0));
}

/// security 93: 16 KiB, to the byte.
#[tokio::test]
async fn a_body_has_sixteen_kibibytes() {
    let app = TestApp::start().await;
    let padded = |bytes: usize| {
        let body = json!({ "to": TO }).to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    app.post_raw("/v1/verifications", padded(16_385)).await.refused(413, "body_too_large");
    app.post_raw("/v1/verifications", padded(10_000_000)).await.refused(413, "body_too_large");
    app.post_raw("/v1/verifications", padded(16_384)).await.is(201);
}

/// security 89: only `application/json` is taken, so no request that a browser sends unasked can change anything; no
/// body at all is an empty object.
#[tokio::test]
async fn only_json_is_taken() {
    let app = TestApp::start().await;
    let id = app.start_for("+989120000001").await;
    let body = json!({ "to": TO }).to_string();
    let types = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/json; charset=utf-16",
        "application/problem+json",
        "json",
    ];
    for content_type in types {
        let request = app.client.post(app.url("/v1/verifications")).header("content-type", content_type);
        Answer::read(request.body(body.clone())).await.refused(415, "unsupported_media_type");
    }
    let untyped = app.client.post(app.url("/v1/verifications")).body(body.clone().into_bytes());
    Answer::read(untyped).await.refused(415, "unsupported_media_type");
    let gzip = app.client.post(app.url("/v1/verifications")).header("content-type", "application/json");
    let gzip = gzip.header("content-encoding", "gzip").body(body.clone());
    Answer::read(gzip).await.refused(415, "unsupported_media_type");
    assert_eq!(app.gateway.sent().len(), 1);
    let nothing = Answer::read(app.client.post(app.url("/v1/verifications"))).await;
    nothing.refused(400, "invalid_field").points_at("/to");
    Answer::read(app.client.post(app.url(&format!("/v1/verifications/{id}/cancel")))).await.is(200);
    let charset =
        app.client.post(app.url("/v1/verifications")).header("content-type", "Application/JSON; charset=UTF-8");
    Answer::read(charset.body(body)).await.is(201);
}

/// v1.md, security 89, 98: an unknown path is 404 `not_found`, a wrong method 405 with `Allow`; `TRACE` is refused;
/// no `GET` or `HEAD` changes anything.
#[tokio::test]
async fn paths_and_methods() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let changes = app.settled_changes(&id).await;
    for path in
        ["/", "/v1", "/v1/", "/v1/verification", "/v1/verifications/", "/v2/verifications", "/v1//verifications"]
    {
        app.get(path).await.refused(404, "not_found");
        app.post(path, json!({ "to": TO })).await.refused(404, "not_found");
    }
    let verification = format!("/v1/verifications/{id}");
    let allowed = [
        ("/v1/verifications".to_owned(), "POST"),
        ("/v1/sessions".to_owned(), "POST"),
        (verification.clone(), "GET,HEAD"),
        (format!("{verification}/check"), "POST"),
        (format!("{verification}/resend"), "POST"),
        (format!("{verification}/cancel"), "POST"),
        ("/v1/admin/unlock".to_owned(), "POST"),
    ];
    for (path, allow) in &allowed {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"] {
            if allow.contains(method) {
                continue;
            }
            let request = app.client.request(method.parse().unwrap(), app.url(path));
            let answer = Answer::read(request).await;
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            if method != "TRACE" {
                assert_eq!(answer.header("allow"), *allow, "{method} {path}");
            }
        }
    }
    Answer::read(app.client.head(app.url(&verification))).await.is(200);
    assert_eq!((app.counting.changes(), app.gateway.sent().len()), (changes, 1));
}

/// v1.md: `Request-Id` on every answer, the request's own if it is well formed; `type` is a page that is there.
#[tokio::test]
async fn every_answer_has_an_id_and_every_problem_a_page() {
    let app = TestApp::start().await;
    let with = async |id: &str| Answer::read(app.client.get(app.url("/v1/x")).header("request-id", id)).await;
    assert_eq!(with("a-B_9").await.header("request-id"), "a-B_9");
    for bad in ["", "a b", "a;b", &"a".repeat(65)] {
        let given = with(bad).await.header("request-id").to_owned();
        assert!(given != bad && given.len() == 32, "{given}");
    }
    let first = with("").await;
    assert_ne!(first.header("request-id"), with("").await.header("request-id"));
    let problem = app.post("/v1/verifications", json!({ "to": "x" })).await;
    problem.refused(422, "number_invalid");
    assert_eq!(app.get(&problem.text("type")).await.status, 200);
}

/// v1.md `POST /v1/sessions`: either an id, or a number and a purpose.
#[tokio::test]
async fn a_session_is_asked_for_in_one_of_two_ways() {
    let app = TestApp::start().await;
    let id = app.start_for(TO).await;
    let code = app.gateway.code(TO);
    let both: [Value; 2] =
        [json!({ "verification_id": id, "to": TO, "code": code }), json!({ "purpose": "login", "code": code })];
    for body in both {
        app.post("/v1/sessions", body).await.refused(400, "invalid_field").points_at("/verification_id");
    }
    app.post("/v1/sessions", json!({ "to": TO, "code": code })).await.is(200);
}
