//! A small server of the canonical API that lies as it is told to: what a rule is for has to be seen by it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use otpd::load::{ACCOUNT_SID, AUTH_TOKEN, SENDER};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::RwLock};

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Nothing,
    AcceptsACodeTwice,
    AcceptsAReceiptTwice,
    AcceptsWrongCodes,
    ComparesForever,
    SendsTwice,
    ShowsAnotherPerson,
    ForgetsSessions,
    Fails,
    /// After so many starts everything stands still for a second.
    Stalls(u64),
}

/// What it knows. Ids, receipts and tokens are the number.
struct Liar {
    lie: Lie,
    inbox: Option<SocketAddr>,
    client: reqwest::Client,
    starts: AtomicU64,
    used: Mutex<HashMap<String, u32>>,
    still: RwLock<()>,
}

const CODE: &str = "123456";

type Answer = (StatusCode, Json<Value>);

/// Starts it; its address.
pub(crate) async fn start(lie: Lie, inbox: Option<SocketAddr>) -> SocketAddr {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let liar = Liar { lie, inbox, client, starts: AtomicU64::new(0), used: Mutex::default(), still: RwLock::new(()) };
    let routes = Router::new()
        .route("/v1/verifications", post(begin))
        .route("/v1/verifications/check", post(check_newest))
        .route("/v1/verifications/{id}/check", post(check))
        .route("/oauth/token", post(token))
        .route("/v1/me", get(me))
        .with_state(Arc::new(liar));
    serve(routes).await
}

/// The bare server that comparisons are made with.
pub(crate) async fn start_bare() -> SocketAddr {
    let send = async |Json(body): Json<Value>| Json(json!({ "phone_number": body["phone_number"] }));
    let verify = async |Json(body): Json<Value>| match body["otp_code"].as_str() {
        Some(CODE) => (StatusCode::OK, Json(json!({ "access": "token" }))),
        _ => no(StatusCode::BAD_REQUEST, "wrong"),
    };
    let profile = async |headers: HeaderMap| headers["authorization"].to_str().unwrap().to_owned();
    let routes = Router::new()
        .route("/send-otp", post(send))
        .route("/_code", get(async || Json(json!({ "code": CODE }))))
        .route("/verify-otp", post(verify))
        .route("/profile", get(profile));
    serve(routes).await
}

async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let routes = TowerToHyperService::new(routes.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), routes));
        }
    });
    address
}

impl Liar {
    /// How often this was used before.
    fn used(&self, what: String) -> u32 {
        let mut used = self.used.lock().unwrap();
        let count = used.entry(what).or_default();
        *count += 1;
        *count - 1
    }

    async fn message(&self, to: &str) {
        let Some(inbox) = self.inbox else { return };
        let url = format!("http://{inbox}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json");
        let body = format!("{CODE} is your code. It is valid for 5 min.");
        let form = [("To", to), ("From", SENDER), ("Body", &body)];
        let sent = self.client.post(url).basic_auth(ACCOUNT_SID, Some(AUTH_TOKEN)).form(&form).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 201);
    }

    fn judge(&self, number: &str, code: &str) -> Answer {
        if code != CODE && self.lie != Lie::AcceptsWrongCodes {
            let tries = self.used(format!("wrong {number}"));
            if tries >= 4 && self.lie != Lie::ComparesForever {
                return no(StatusCode::TOO_MANY_REQUESTS, "max_attempts_reached");
            }
            return no(StatusCode::BAD_REQUEST, "code_incorrect");
        }
        if self.used(format!("code {number}")) > 0 && self.lie != Lie::AcceptsACodeTwice {
            return no(StatusCode::CONFLICT, "already_approved");
        }
        (StatusCode::OK, Json(json!({ "id": number, "status": "approved", "receipt": number })))
    }
}

fn no(status: StatusCode, code: &str) -> Answer {
    (status, Json(json!({ "code": code })))
}

async fn begin(State(liar): State<Arc<Liar>>, Json(body): Json<Value>) -> Answer {
    let nth = liar.starts.fetch_add(1, Ordering::SeqCst);
    if liar.lie == Lie::Stalls(nth) {
        let _still = liar.still.write().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(liar.still.read().await);
    if liar.lie == Lie::Fails {
        return no(StatusCode::INTERNAL_SERVER_ERROR, "internal_error");
    }
    let to = body["to"].as_str().unwrap();
    liar.message(to).await;
    if liar.lie == Lie::SendsTwice {
        liar.message(to).await;
    }
    (StatusCode::CREATED, Json(json!({ "id": to.trim_start_matches('+'), "status": "pending" })))
}

async fn check(State(liar): State<Arc<Liar>>, Path(id): Path<String>, Json(body): Json<Value>) -> Answer {
    liar.judge(&id, body["code"].as_str().unwrap())
}

async fn check_newest(State(liar): State<Arc<Liar>>, Json(body): Json<Value>) -> Answer {
    liar.judge(body["to"].as_str().unwrap().trim_start_matches('+'), body["code"].as_str().unwrap())
}

async fn token(State(liar): State<Arc<Liar>>, Form(form): Form<HashMap<String, String>>) -> Answer {
    let number = form["assertion"].clone();
    if liar.used(format!("receipt {number}")) > 0 && liar.lie != Lie::AcceptsAReceiptTwice {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
    }
    (StatusCode::OK, Json(json!({ "access_token": number, "refresh_token": number })))
}

async fn me(State(liar): State<Arc<Liar>>, headers: HeaderMap) -> Answer {
    let number = headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ");
    if liar.lie == Lie::ForgetsSessions {
        return no(StatusCode::UNAUTHORIZED, "token_invalid");
    }
    let shown = if liar.lie == Lie::ShowsAnotherPerson { "989120000000" } else { number };
    (StatusCode::OK, Json(json!({ "phone_number": format!("+{shown}") })))
}
