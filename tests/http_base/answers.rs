//! What every answer looks like: headers, problems, request ids, methods, CORS.

use std::time::Duration;

use expect_test::expect;
use otpd::http::{cors::CorsOrigins, middleware::EdgeSettings, problem::ProblemCode};

use crate::harness::{Config, Server, get_request, header, plain, post_request, raw, start, status};

async fn snapshot(server: &Server, request: &str) -> String {
    let request = request.replacen("\r\n", "\r\nRequest-Id: snap-1\r\n", 1);
    let answer = raw(server.addr, request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let first = lines.next().unwrap().to_owned();
    let mut headers: Vec<&str> =
        lines.filter(|line| !line.starts_with("date: ") && !line.starts_with("connection: ")).collect();
    headers.sort_unstable();
    format!("{first}\n{}\n\n{body}\n", headers.join("\n"))
}

/// What each answer has, whatever it is.
const FIXED_HEADERS: [&str; 7] = [
    "cache-control: no-store\n",
    "content-security-policy: default-src 'none'; frame-ancestors 'none'\n",
    "referrer-policy: no-referrer\n",
    "request-id: snap-1\n",
    "strict-transport-security: max-age=63072000; includeSubDomains\n",
    "x-content-type-options: nosniff\n",
    "x-frame-options: DENY\n",
];

/// The answers one after the other, each without the headers that every one must have (asserted here).
async fn without_fixed_headers(server: &Server, requests: &[String]) -> String {
    let mut all = String::new();
    for request in requests {
        let answer = snapshot(server, request).await;
        for expected in FIXED_HEADERS {
            assert!(answer.contains(expected), "{expected}{answer}");
        }
        let is_fixed = |line: &str| {
            line.starts_with("content-length") || FIXED_HEADERS.iter().any(|header| header.trim_end() == line)
        };
        let rest = answer.lines().filter(|line| !is_fixed(line));
        all.push_str(&rest.collect::<Vec<_>>().join("\n"));
        all.push_str("\n----\n");
    }
    all
}

/// security 91, 96, 98: headers and bodies over 200, 401, 404, 405, 413, 415, 429 and 500.
#[tokio::test]
async fn headers_are_on_every_answer() {
    let edge = EdgeSettings { hsts: true, ..EdgeSettings::default() };
    let server = start(Config { edge, ..Config::default() }).await;
    let text_plain = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: 2\r\n\r\n{}";
    let large = format!("{{\"to\":\"{}\"}}", "1".repeat(16 * 1024));
    let requests = [
        get_request("/hello"),
        get_request("/key"),
        get_request("/nothing/here?code=123456"),
        get_request("/echo"),
        post_request("/echo", &large),
        text_plain.to_owned(),
        get_request("/limited"),
        get_request("/panic"),
    ];
    let all = without_fixed_headers(&server, &requests).await;
    expect![[r#"
        HTTP/1.1 200 OK
        content-type: text/plain; charset=utf-8

        hello
        ----
        HTTP/1.1 401 Unauthorized
        content-type: application/problem+json
        www-authenticate: Bearer realm="otpd", Basic realm="otpd"

        {"type":"/errors/invalid_key","title":"Invalid API key","status":401,"instance":"snap-1","code":"invalid_key"}
        ----
        HTTP/1.1 404 Not Found
        content-type: application/problem+json

        {"type":"/errors/not_found","title":"Not found","status":404,"instance":"snap-1","code":"not_found"}
        ----
        HTTP/1.1 405 Method Not Allowed
        allow: POST
        content-type: application/problem+json

        {"type":"/errors/method_not_allowed","title":"Method not allowed","status":405,"instance":"snap-1","code":"method_not_allowed"}
        ----
        HTTP/1.1 413 Payload Too Large
        content-type: application/problem+json

        {"type":"/errors/body_too_large","title":"Body too large","status":413,"instance":"snap-1","code":"body_too_large"}
        ----
        HTTP/1.1 415 Unsupported Media Type
        content-type: application/problem+json

        {"type":"/errors/unsupported_media_type","title":"Unsupported media type","status":415,"instance":"snap-1","code":"unsupported_media_type"}
        ----
        HTTP/1.1 429 Too Many Requests
        content-type: application/problem+json
        retry-after: 7

        {"type":"/errors/rate_limited","title":"Too many requests","status":429,"instance":"snap-1","code":"rate_limited","retry_after":7}
        ----
        HTTP/1.1 500 Internal Server Error
        content-type: application/problem+json

        {"type":"/errors/internal_error","title":"Internal error","status":500,"instance":"snap-1","code":"internal_error"}
        ----
    "#]].assert_eq(&all);
}

/// Over plain http without a TLS front there is no HSTS to send.
#[tokio::test]
async fn hsts_only_where_it_counts() {
    let server = plain().await;
    assert_eq!(header(&raw(server.addr, get_request("/hello")).await, "strict-transport-security"), None);
}

/// The request id: taken when well formed, else made; unique; inside the problem too.
#[tokio::test]
async fn request_ids() {
    let server = plain().await;
    let with = |id: &str| format!("GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\nRequest-Id: {id}\r\n\r\n");
    let answer = raw(server.addr, with("abc_DEF-123")).await;
    assert!(answer.ends_with("\r\n\r\n127.0.0.1 abc_DEF-123"), "{answer}");
    let mut made = std::collections::HashSet::new();
    for bad in ["a b", "<script>", "a;b", "", &"x".repeat(65), "caf\u{e9}"] {
        let answer = raw(server.addr, with(bad)).await;
        let id = header(&answer, "request-id").unwrap().to_owned();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(answer.ends_with(&id));
        assert!(made.insert(id));
    }
    let problem = raw(server.addr, get_request("/nothing")).await;
    let id = header(&problem, "request-id").unwrap();
    assert!(problem.contains(&format!("\"instance\":\"{id}\"")), "{problem}");
}

/// security 97: a panic is one 500, and the same connection and the process go on.
#[tokio::test]
async fn a_panic_ends_one_request() {
    let server = plain().await;
    for _ in 0..3 {
        let answer = raw(server.addr, get_request("/panic")).await;
        assert_eq!(status(&answer), 500);
        assert!(!answer.contains("on purpose"), "{answer}");
        assert_eq!(status(&raw(server.addr, get_request("/hello")).await), 200);
    }
    assert!(!server.task.is_finished());
}

/// security 95: a handler that does not end is answered for.
#[tokio::test]
async fn a_hanging_handler_times_out() {
    let edge = EdgeSettings { request_timeout: Duration::from_millis(200), ..EdgeSettings::default() };
    let server = start(Config { edge, ..Config::default() }).await;
    let answer = raw(server.addr, get_request("/hang")).await;
    assert_eq!(status(&answer), 504);
    assert!(answer.contains("\"code\":\"outcome_unknown\""), "{answer}");
}

/// security 98: 405 with Allow for known paths, TRACE and CONNECT nowhere, strange methods harmless.
#[tokio::test]
async fn methods() {
    let server = plain().await;
    let send = async |method: &str, path: &str| {
        raw(server.addr, format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    };
    for (method, path, allow) in [
        ("POST", "/hello", "GET,HEAD"),
        ("DELETE", "/hello", "GET,HEAD"),
        ("OPTIONS", "/hello", "GET,HEAD"),
        ("BREW", "/hello", "GET,HEAD"),
        ("GET", "/echo", "POST"),
        ("PUT", "/echo", "POST"),
    ] {
        let answer = send(method, path).await;
        assert_eq!((status(&answer), header(&answer, "allow")), (405, Some(allow)), "{method} {path}");
    }
    for path in ["/hello", "/echo", "/nothing"] {
        let answer = send("TRACE", path).await;
        assert_eq!(status(&answer), 405);
        assert!(header(&answer, "allow").is_some_and(|allow| !allow.contains("TRACE")));
    }
    assert_eq!(status(&send("CONNECT", "example.com:443").await), 405);
    let head = send("HEAD", "/hello").await;
    assert!(status(&head) == 200 && head.ends_with("\r\n\r\n"), "{head}");
}

/// Strict JSON reaches the wire with its codes.
#[tokio::test]
async fn bodies_are_read_strictly() {
    let server = plain().await;
    for (body, expected, code) in [
        ("{\"to\":\"1\"}", 200, ""),
        ("{\"to\":\"1\"", 400, "malformed_json"),
        ("{\"to\":\"1\",\"x\":1}", 400, "unknown_field"),
        ("{\"to\":1}", 400, "invalid_field"),
        ("{\"to\":\"1\",\"to\":\"2\"}", 400, "invalid_field"),
        ("[{\"to\":\"1\"}]", 400, "invalid_field"),
    ] {
        let answer = raw(server.addr, post_request("/echo", body)).await;
        assert_eq!(status(&answer), expected, "{body}");
        assert!(code.is_empty() || answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    }
    let empty = "POST /optional HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(&raw(server.addr, empty).await), 200);
}

/// security 96: every `type` leads to its page.
#[tokio::test]
async fn error_pages_exist() {
    let server = plain().await;
    for code in ProblemCode::ALL {
        let answer = raw(server.addr, get_request(code.type_path())).await;
        assert_eq!(status(&answer), 200);
        assert!(answer.contains(code.slug()));
    }
    let answer = raw(server.addr, get_request("/errors/nothing")).await;
    assert!(status(&answer) == 404 && answer.contains("\"code\":\"not_found\""));
}

/// security 88: exact origins, no reflection, `Vary` always.
#[tokio::test]
async fn cors_over_the_wire() {
    let cors = CorsOrigins::new(&["https://good.example"]).unwrap();
    let edge = EdgeSettings { cors, ..EdgeSettings::default() };
    let server = start(Config { edge, ..Config::default() }).await;
    let send = async |method: &str, origin: &str| {
        let lines = "Access-Control-Request-Method: POST\r\nConnection: close";
        raw(server.addr, format!("{method} /hello HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n{lines}\r\n\r\n")).await
    };
    for origin in ["https://good.example.evil.com", "null", "https://evil.example", "*"] {
        for method in ["GET", "OPTIONS"] {
            let answer = send(method, origin).await;
            assert!(!answer.contains("access-control-"), "{answer}");
            assert_eq!(header(&answer, "vary"), Some("Origin"));
        }
    }
    let answer = send("GET", "https://good.example").await;
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://good.example"));
    assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    let answer = send("OPTIONS", "https://good.example").await;
    assert_eq!((status(&answer), header(&answer, "vary")), (204, Some("Origin")));
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://good.example"));
    let none = plain().await;
    let answer = raw(none.addr, "GET /hello HTTP/1.1\r\nHost: x\r\nOrigin: a\r\nConnection: close\r\n\r\n").await;
    assert!(!answer.contains("access-control-") && header(&answer, "vary").is_none());
}
