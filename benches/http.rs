//! The whole path in process and without sockets: request in, answer out, over the store in memory and over the embedded
//! one with fsync. What is between the two is the disk. About a minute.
//!
//! One request at a time, so this is what one person waits for, and the processor time of a request where nothing else
//! is under way; how many go through at once is `compare`'s.

#![expect(clippy::unwrap_used, reason = "a bench: a failure may end it")]

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::body::Body;
use criterion::{BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use http_body_util::BodyExt as _;
use hyper::{
    Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use otpd::{
    app::{App, World},
    http::{Router, listener::PeerAddr},
    load::{Codes, Derived, Numbers},
    settings::Settings,
    shutdown::Shutdown,
    store::memory::MemoryStore,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SEED: u64 = 7;
const CODE_DIGITS: u8 = 6;

/// What a request is, without what the listener adds.
struct Asked {
    method: &'static str,
    path: String,
    kind: &'static str,
    token: Option<String>,
    body: String,
}

impl Asked {
    fn json(path: impl Into<String>, body: String) -> Self {
        Self { method: "POST", path: path.into(), kind: "application/json", token: None, body }
    }

    fn form(path: &str, body: String) -> Self {
        Self { kind: "application/x-www-form-urlencoded", ..Self::json(path, body) }
    }

    fn profile(token: &str) -> Self {
        Self { method: "GET", token: Some(format!("Bearer {token}")), ..Self::json("/v1/me", String::new()) }
    }
}

/// A server without its sockets.
struct Server {
    runtime: Runtime,
    routes: Router,
    codes: Codes,
    numbers: Numbers,
    _directory: TempDir,
    _app: App,
}

impl Server {
    /// Over the embedded store on the disk of the build directory, or over the one in memory.
    fn start(is_embedded: bool) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // Of the same threads as a server with two cores.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let settings = settings(directory.path());
        let store = (!is_embedded).then(|| Arc::new(MemoryStore::new(false)) as _);
        let world = World { store, ..World::default() };
        let app = runtime.block_on(App::start(&settings, world, Shutdown::new(Duration::from_secs(5)))).unwrap();
        let codes = Codes::Derived(Arc::new(Derived::open(directory.path(), CODE_DIGITS).unwrap()));
        let (routes, numbers) = (app.routes(), Numbers::new(SEED));
        Self { runtime, routes, codes, numbers, _directory: directory, _app: app }
    }

    /// Sends a request and reads the whole answer.
    async fn ask(&self, asked: Asked) -> (StatusCode, Vec<u8>) {
        let mut request = Request::builder().method(asked.method).uri(asked.path).header(CONTENT_TYPE, asked.kind);
        if let Some(token) = asked.token {
            request = request.header(AUTHORIZATION, token);
        }
        let mut request = request.body(Body::from(asked.body)).unwrap();
        request.extensions_mut().insert(PeerAddr(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        (status, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    /// The same outside of what is measured; the fields of the answer.
    fn prepare(&self, asked: Asked, expected: u16) -> Value {
        let (status, body) = self.runtime.block_on(self.ask(asked));
        assert_eq!(status, expected, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    fn start_of(&self, number: u64) -> Asked {
        Asked::json("/v1/verifications", format!("{{\"to\":\"+{number}\"}}"))
    }

    /// The right code of a new verification, yet to be given.
    fn check(&self) -> Asked {
        let number = self.numbers.draw();
        let id = text(&self.prepare(self.start_of(number), 201), "id");
        let code = self.codes.code(number, &id).unwrap();
        Asked::json(format!("/v1/verifications/{id}/check"), format!("{{\"code\":\"{code}\"}}"))
    }

    /// The tokens of somebody who has just signed in.
    fn tokens(&self) -> Value {
        let receipt = text(&self.prepare(self.check(), 200), "receipt");
        let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        self.prepare(Asked::form("/oauth/token", format!("grant_type={grant}&assertion={receipt}")), 200)
    }

    fn refresh(&self) -> Asked {
        let token = text(&self.tokens(), "refresh_token");
        Asked::form("/oauth/token", format!("grant_type=refresh_token&refresh_token={token}"))
    }

    /// Measures a request that is made anew each time.
    fn bench(&self, group: &mut BenchmarkGroup<'_, WallTime>, name: String, expected: u16, make: impl Fn() -> Asked) {
        group.bench_function(name, |bencher| {
            let ask = |asked| {
                let (status, body) = self.runtime.block_on(self.ask(asked));
                assert_eq!(status, expected);
                body
            };
            bencher.iter_batched(&make, ask, BatchSize::PerIteration);
        });
    }
}

/// The defaults without a limit per address, as all come from one; sends take no time and succeed.
fn settings(path: &Path) -> Settings {
    let own = [
        ("STORE__PATH", path.to_str().unwrap()),
        ("SERVER__LISTEN", "127.0.0.1:0"),
        ("OPS__LISTEN", "127.0.0.1:0"),
        ("LIMITS__IP_PER_MINUTE", "0"),
        ("SMS__GATEWAY", "simulated"),
        ("SMS__SIMULATED__LATENCY_MS", "0"),
        ("SMS__SIMULATED__FAILURE_RATE", "0.0"),
    ];
    Settings::load(None, own.map(|(key, value)| (format!("OTPD__{key}"), value.to_owned()))).unwrap()
}

fn text(answer: &Value, field: &str) -> String {
    answer.get(field).and_then(Value::as_str).unwrap().to_owned()
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (store, is_embedded) in [("memory", false), ("sled", true)] {
        let server = Server::start(is_embedded);
        let named = |name: &str| format!("{name}/{store}");
        server.bench(&mut group, named("start"), 201, || server.start_of(server.numbers.draw()));
        server.bench(&mut group, named("check"), 200, || server.check());
        server.bench(&mut group, named("refresh"), 200, || server.refresh());
        let token = text(&server.tokens(), "access_token");
        server.bench(&mut group, named("profile"), 200, || Asked::profile(&token));
        // Within the pause that a number has after a message.
        let number = server.numbers.draw();
        server.prepare(server.start_of(number), 201);
        server.bench(&mut group, named("refused start"), 429, || server.start_of(number));
    }
    group.finish();
}

criterion_group!(benches, paths);
criterion_main!(benches);
