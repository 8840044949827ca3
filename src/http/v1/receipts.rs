//! `/v1/receipts/{gateway}`: where providers post what became of messages.
//!
//! No key, no token and no JSON rules: a provider posts what it always posts, and its signature, or the secret in the
//! path, is its credential (security 113 and 115). What is taken, ignored or about nothing known is answered 204, or the
//! provider would repeat it for a day. Providers that sign nothing may also ask by GET, as some only can. What a signature
//! covers is the configured public URL, never `Host`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};

use super::{
    super::{
        body::{self, BodyLimits},
        client_ip::ClientIp,
        ip_limit::IpLimiter,
        middleware::RequestId,
        problem::{Problem, ProblemCode},
    },
    V1, refusal,
};
use crate::{
    record::SECOND,
    service::{Poster, ReceiptFailure},
    sms::receipt::ReceiptRequest,
};

/// How receipts are let in.
#[derive(Debug)]
pub struct ReceiptDoor {
    /// Posts of one address per minute.
    pub ip_limiter: IpLimiter,
    /// Bounds of a body.
    pub body_limits: BodyLimits,
}

/// What the paths begin with.
const PREFIX: &str = "/v1/receipts/";

pub(super) async fn take(State(v1): State<Arc<V1>>, request: Request) -> Result<StatusCode, Problem> {
    let (parts, body) = request.into_parts();
    let client = parts.extensions.get::<ClientIp>().copied();
    if let Some(client) = client {
        v1.receipts.ip_limiter.check(client.bucket)?;
    }
    let bytes = body::read(&parts.headers, body, &v1.receipts.body_limits).await?;
    // Of the path as it came: neither names nor secrets have anything to escape, and a signature is over what was sent.
    let rest = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let (gateway, secret) = rest.split_once('/').map_or((rest, None), |(gateway, secret)| (gateway, Some(secret)));
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let address = client.map_or_else(|| std::net::Ipv4Addr::UNSPECIFIED.into(), |client| client.ip);
    let receipt = ReceiptRequest {
        url: &format!("{}{path}", v1.public_url),
        query: parts.uri.query().unwrap_or_default(),
        secret,
        from: address,
        headers: &parts.headers,
        body: &bytes,
        now_s: v1.service.now().0 / SECOND,
    };
    let request_id = parts.extensions.get::<RequestId>().map_or("", RequestId::as_str).into();
    match v1.service.take_receipts(gateway, &receipt, &Poster { request_id, address }).await {
        Ok(_moved) => Ok(StatusCode::NO_CONTENT),
        Err(ReceiptFailure::NotTaken) => Err(ProblemCode::NotFound.into()),
        Err(ReceiptFailure::Unsigned) => Err(ProblemCode::SignatureInvalid.into()),
        Err(ReceiptFailure::Unconfirmed | ReceiptFailure::Overloaded) => Err(ProblemCode::Overloaded.into()),
        Err(ReceiptFailure::Fault(fault)) => Err(refusal::of_fault(&fault)),
    }
}
