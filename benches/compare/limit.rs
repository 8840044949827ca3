//! The limit: axum with the same three calls (send, verify, profile) and one that tells the code, and no work of its own.
//! Every answer is made from the request alone. What otpd takes longer is what otpd does.

use std::{net::SocketAddr, process::Stdio};

use axum::{
    Router,
    extract::Json,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

use super::Outcome;

/// The first argument of this program when it is to be the limit.
pub(crate) const NAME: &str = "limit";

#[derive(Deserialize)]
pub(crate) struct SendBody {
    pub(crate) phone_number: String,
}

#[derive(Serialize)]
pub(crate) struct Sent {
    message: &'static str,
    phone_number: String,
    expires_in_minutes: u32,
}

#[derive(Deserialize)]
pub(crate) struct VerifyBody {
    pub(crate) phone_number: String,
    otp_code: String,
}

#[derive(Serialize)]
pub(crate) struct Verified {
    phone_number: String,
    access: String,
}

impl SendBody {
    pub(crate) fn sent(self) -> Sent {
        Sent { message: "OTP sent successfully", phone_number: self.phone_number, expires_in_minutes: 5 }
    }
}

impl VerifyBody {
    pub(crate) fn verified(self, access: String) -> Verified {
        Verified { phone_number: self.phone_number, access }
    }
}

async fn send(Json(asked): Json<SendBody>) -> Json<Sent> {
    Json(asked.sent())
}

async fn verify(Json(asked): Json<VerifyBody>) -> Result<Json<Verified>, StatusCode> {
    if asked.otp_code != "123456" {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(Json(asked.verified("token".to_owned())))
}

pub(crate) async fn code() -> &'static str {
    r#"{"code":"123456"}"#
}

async fn profile(headers: HeaderMap) -> Result<String, StatusCode> {
    let token = headers.get(AUTHORIZATION).ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(token.to_str().unwrap_or_default().to_owned())
}

/// Serves until it is killed. The first line of its output is its address.
pub(crate) fn serve() -> Outcome<()> {
    serve_on(async || {
        Ok(Router::new()
            .route("/send-otp", post(send))
            .route("/verify-otp", post(verify))
            .route("/profile", get(profile))
            .route("/_code", get(code)))
    })
}

/// Serves these routes, made within the runtime, until it is killed.
pub(crate) fn serve_on(routes: impl AsyncFnOnce() -> Outcome<Router>) -> Outcome<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build()?.block_on(async {
        let router = routes().await?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        loop {
            // As axum::serve does it, which is behind a feature that nothing else here needs.
            let (stream, _) = listener.accept().await?;
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

/// A bare server as a child of this program: it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    _life: Child,
}

impl Bare {
    /// [`NAME`] or [`super::floor::NAME`], which may send through a provider.
    pub(crate) async fn start(name: &str, provider: Option<SocketAddr>) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(name)
            .args(provider.map(|address| address.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut life = command.spawn()?;
        let mut line = String::new();
        let output = life.stdout.take().ok_or("a bare server has no output")?;
        BufReader::new(output).read_line(&mut line).await?;
        Ok(Self { address: line.trim().parse()?, _life: life })
    }
}
