//! What operators see: metrics, log lines, readiness; and whose address counts.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use otpd::http::{
    client_ip::{ClientIp, ClientIpRules},
    ip_limit::{IpLimitSettings, IpLimiter},
    listener::ListenerSettings,
    middleware::EdgeSettings,
    ops::{self, Operations, Readiness},
    problem::Problem,
};

use crate::{
    captured_log::CapturedLog,
    harness::{Config, Server, get_request, header, raw, start, start_router, status},
};

async fn limited(State(limiter): State<IpLimiter>, client: ClientIp) -> Result<&'static str, Problem> {
    limiter.check(client.bucket)?;
    Ok("ok")
}

async fn limited_server(client_ip: ClientIpRules) -> Server {
    let limiter = IpLimiter::new(&IpLimitSettings { scope: "test", per_minute: 5, ..IpLimitSettings::default() });
    let router = Router::new().route("/limited", get(limited)).with_state(limiter);
    let edge = EdgeSettings { client_ip, ..EdgeSettings::default() };
    start_router(router, Config { edge, ..Config::default() }).await
}

fn forwarded(n: u16) -> String {
    let address = std::net::Ipv4Addr::from(0x0900_0000 + u32::from(n));
    get_request("/limited").replace("Host: x", &format!("Host: x\r\nX-Forwarded-For: {address}"))
}

/// security 86: an untrusted peer that rotates 1,000 header values still trips its limit; behind a trusted
/// proxy each client has its own.
#[tokio::test]
async fn rotating_forwarded_addresses_trips_the_limit() {
    let server = limited_server(ClientIpRules::default()).await;
    let mut refused = 0;
    for n in 0..1_000 {
        let answer = raw(server.addr, forwarded(n)).await;
        if status(&answer) == 429 {
            refused += 1;
            let wait: u64 = header(&answer, "retry-after").unwrap().parse().unwrap();
            assert!((1..=12).contains(&wait));
        }
    }
    // Five at once, and one more for every twelve seconds the loop may take on a slow machine.
    assert!(refused >= 985, "{refused}");

    let trusting = ClientIpRules { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..ClientIpRules::default() };
    let server = limited_server(trusting).await;
    for n in 0..20 {
        assert_eq!(status(&raw(server.addr, forwarded(n)).await), 200);
    }
}

/// Names, labels and buckets of the request metrics; routes by template, never by path.
#[tokio::test]
async fn metrics_of_requests_and_connections() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let listener = ListenerSettings { connections_max: 1, ..ListenerSettings::default() };
    let server = start(Config { listener, ..Config::default() }).await;
    for path in ["/hello", "/items/anna", "/items/bert", "/secret/989123456789", "/echo"] {
        // With one place inside, the next may come too early: it is then refused and counted.
        while status(&raw(server.addr, get_request(path)).await) == 0 {
            tokio::task::yield_now().await;
        }
    }
    let holder = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    while status(&raw(server.addr, get_request("/hello")).await) != 0 {
        tokio::task::yield_now().await;
    }
    let text = handle.render();
    for line in [
        r#"otpd_http_requests_total{route="/items/{id}",method="GET",status="200"} 2"#,
        r#"otpd_http_requests_total{route="other",method="GET",status="404"} 1"#,
        r#"otpd_http_requests_total{route="/echo",method="GET",status="405"} 1"#,
        r#"otpd_http_request_seconds_count{route="/items/{id}"} 2"#,
        r#"otpd_connections{listener="main"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(text.contains("otpd_overload_total{limit=\"connections\"} "), "{text}");
    // Letters: a few digits can stand in a measured time too.
    assert!(!text.contains("anna") && !text.contains("secret"), "{text}");
    drop(holder);
}

/// security 121: nothing a client sends can forge, break or fill a log line.
#[tokio::test]
async fn log_lines_cannot_be_forged() {
    let log = CapturedLog::default();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::DEBUG).with_writer(log.clone());
    let _guard = CapturedLog::begin(subscriber.finish());
    let server = start(Config::default()).await;
    let answer = raw(
        server.addr,
        "GET /hello/%0d%0a%1b[31mforged?phone=989123456789 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         User-Agent: evil\"}\t{\"level\":\"ERROR\r\nRequest-Id: a\"b\r\nX-Forwarded-For: 1.1.1.1\"\r\n\r\n",
    )
    .await;
    assert_eq!(status(&answer), 404);
    let text = log.text();
    let mut access = 0;
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        access += usize::from(value["target"] == "otpd::access");
    }
    assert_eq!(access, 1, "{text}");
    for trace in ["forged", "evil", "989123456789", "a\\\"b", "\u{1b}"] {
        assert!(!text.contains(trace), "{trace:?} in {text}");
    }
}

#[derive(Debug)]
struct Fake(Mutex<Readiness>, PrometheusHandle);

impl Operations for Fake {
    fn metrics(&self) -> String {
        self.1.render()
    }

    fn readiness(&self) -> Readiness {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn operators_routes() {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || metrics::counter!("otpd_probe_total").increment(3));
    let fake = Arc::new(Fake(Mutex::new(Readiness::Starting), recorder.handle()));
    let server = start_router(ops::router(fake.clone()), Config::default()).await;
    for (readiness, expected, word) in [
        (Readiness::Starting, 503, "starting"),
        (Readiness::Ready, 200, "ready"),
        (Readiness::StoreRefuses, 503, "store_refuses"),
        (Readiness::Draining, 503, "draining"),
    ] {
        *fake.0.lock().unwrap() = readiness;
        let answer = raw(server.addr, get_request("/readyz")).await;
        assert_eq!(status(&answer), expected);
        assert_eq!(header(&answer, "retry-after").is_some(), expected == 503);
        assert!(answer.ends_with(&format!("{{\"status\":\"{word}\"}}")), "{answer}");
        assert_eq!(status(&raw(server.addr, get_request("/healthz")).await), 200);
    }
    let answer = raw(server.addr, get_request("/metrics")).await;
    assert_eq!(header(&answer, "content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.contains("otpd_probe_total 3"), "{answer}");
    assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
}
