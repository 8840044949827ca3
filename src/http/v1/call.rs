//! Reading a request: request id, address, credential, limits, body. In this order, so that a caller who is not
//! let in costs no parsing and starts no actor.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, MatchedPath, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{
    super::{
        body::{self, BodyFault},
        client_ip::ClientIp,
        form, json,
        middleware::RequestId,
        problem::{Problem, ProblemCode},
        proof_of_work,
        rate_headers::{self, IDEMPOTENCY_KEY},
    },
    CHECK_BY_ID, V1,
    refusal::Refused,
};
use crate::{
    service::{IdempotencyInput, Origin, User},
    token::Caller,
};

/// Who asks, and from where.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) origin: Origin,
    /// An access token, if one came.
    token: Option<String>,
}

/// A request with a JSON body.
#[derive(Debug)]
pub(super) struct Call<T> {
    pub(super) visitor: Visitor,
    pub(super) body: T,
}

/// A request with a signed-in person behind it.
#[derive(Debug)]
pub(super) struct UserCall {
    pub(super) origin: Origin,
    pub(super) user: User,
}

impl Visitor {
    fn read(v1: &V1, parts: &Parts) -> Result<Self, Problem> {
        let request_id = RequestId::of(parts);
        let client = parts.extensions.get::<ClientIp>().copied();
        let nobody = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let address = client.map_or(nobody, |client| client.ip);
        let (caller, token) = match credential(v1, &parts.headers) {
            Ok(known) => known,
            Err(problem) => {
                // Counted first: guessing at keys must not be free, nor fill the log.
                count(v1, parts)?;
                v1.service.turned_away(&v1.dialect, "key", address, &request_id);
                return Err(problem);
            }
        };
        let origin = Origin {
            request_id,
            address,
            bucket: client.map_or(nobody, |client| client.bucket.address()),
            caller,
            proof: proof_of_work::given(&parts.headers),
            idempotency: None,
        };
        Ok(Self { origin, token })
    }

    /// Lets anyone in who has a key, or needs none and has not asked too often.
    fn admit(v1: &V1, parts: &Parts) -> Result<Self, Problem> {
        let visitor = Self::read(v1, parts)?;
        if visitor.origin.caller.is_some() {
            return Ok(visitor);
        }
        if v1.require_key && !visitor.is_person_at_her_check(v1, parts) {
            v1.service.count_refusal(&v1.dialect, "key");
            return Err(ProblemCode::InvalidKey.into());
        }
        count(v1, parts)?;
        Ok(visitor)
    }

    /// The one call outside `/v1/me` that a person makes with her access token, and so without room for a key: the
    /// check of her phone change.
    fn is_person_at_her_check(&self, v1: &V1, parts: &Parts) -> bool {
        let is_check = parts.extensions.get::<MatchedPath>().is_some_and(|path| path.as_str() == CHECK_BY_ID);
        let is_good = |token: &String| v1.service.tokens().read_access(token, v1.service.now()).is_ok();
        is_check && self.token.as_ref().is_some_and(is_good)
    }

    fn with_idempotency(mut self, v1: &V1, parts: &Parts, body: &[u8]) -> Result<Self, Problem> {
        let key = rate_headers::idempotency_key(&parts.headers).map_err(|_| {
            Problem::new(ProblemCode::InvalidField).detail("Idempotency-Key must be 1 to 255 visible characters")
        })?;
        self.origin.idempotency = key.map(|key| {
            let operation = format!("{} {}\n", parts.method, parts.uri.path());
            // Signature and time alone: after a phone change the session has ended, and its retry is still hers.
            let claims =
                self.token.as_ref().and_then(|token| v1.service.tokens().read_access(token, v1.service.now()).ok());
            IdempotencyInput {
                session: claims.map(|claims| claims.sid),
                key: key.to_owned(),
                asked: [operation.as_bytes(), body].concat(),
            }
        });
        Ok(self)
    }

    /// The person whom a call is for alone. A token that is not good is counted as a call of its address.
    async fn known_user(&self, v1: &V1, parts: &Parts) -> Result<User, Refused> {
        let user = self.user(v1).await.and_then(|user| user.ok_or_else(|| ProblemCode::TokenInvalid.into()));
        if user.is_err() {
            count(v1, parts)?;
        }
        user
    }

    /// The person behind the access token; `None` if no token came.
    pub(super) async fn user(&self, v1: &V1) -> Result<Option<User>, Refused> {
        let Some(token) = &self.token else { return Ok(None) };
        Ok(Some(v1.service.authenticate(&v1.dialect, token).await?))
    }
}

/// One more call of this address.
fn count(v1: &V1, parts: &Parts) -> Result<(), Problem> {
    let client = parts.extensions.get::<ClientIp>();
    let checked = client.map_or(Ok(()), |client| v1.ip_limiter.check(client.bucket));
    Ok(checked.inspect_err(|_| v1.service.count_refusal(&v1.dialect, "ip"))?)
}

/// Counts a call whose caller is known by an access token and that sends a message all the same: an account must not
/// be a way to send to any number at any rate.
#[derive(Debug)]
pub(super) struct Counted;

impl FromRequestParts<Arc<V1>> for Counted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, v1: &Arc<V1>) -> Result<Self, Problem> {
        count(v1, parts).map(|()| Self)
    }
}

/// The id in a path. One that is no UTF-8 is empty and so the id of nothing: each route has its own word for that.
#[derive(Debug)]
pub(super) struct PathId(pub(super) String);

impl FromRequestParts<Arc<V1>> for PathId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, v1: &Arc<V1>) -> Result<Self, Infallible> {
        let path = Path::<String>::from_request_parts(parts, v1).await;
        Ok(Self(path.map(|Path(id)| id).unwrap_or_default()))
    }
}

/// An API key (Bearer `sk_…`, or the user name of HTTP Basic) or an access token. A key that is not good is
/// refused even where none is needed: its owner would wonder about limits that should not bind her.
fn credential(v1: &V1, headers: &HeaderMap) -> Result<(Option<Caller>, Option<String>), Problem> {
    let authenticate = |key: &str| v1.api_keys.authenticate(key).ok_or_else(|| Problem::new(ProblemCode::InvalidKey));
    if is_basic(headers) {
        let (key, _) = form::basic_credentials(headers).ok_or(ProblemCode::InvalidKey)?;
        return Ok((Some(authenticate(&key)?), None));
    }
    match bearer(headers) {
        Some(key) if key.starts_with("sk_") => Ok((Some(authenticate(key)?), None)),
        token => Ok((None, token.map(str::to_owned))),
    }
}

fn is_basic(headers: &HeaderMap) -> bool {
    let scheme = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().get(..5));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl FromRequestParts<Arc<V1>> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, v1: &Arc<V1>) -> Result<Self, Problem> {
        if parts.headers.contains_key(IDEMPOTENCY_KEY) {
            return Self::admit(v1, parts)?.with_idempotency(v1, parts, b"");
        }
        Self::admit(v1, parts)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<V1>> for Call<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, v1: &Arc<V1>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let visitor = Visitor::admit(v1, &parts)?;
        let bytes = read_json(v1, &parts, body).await?;
        Ok(Self {
            body: json::typed(or_object(&bytes)).map_err(BodyFault::from)?,
            visitor: visitor.with_idempotency(v1, &parts, &bytes)?,
        })
    }
}

/// A body must say that it is JSON; no body at all is an empty object.
async fn read_json(v1: &V1, parts: &Parts, body: axum::body::Body) -> Result<Bytes, Problem> {
    let bytes = body::read(&parts.headers, body, &v1.body_limits).await?;
    let absent = bytes.is_empty() && !parts.headers.contains_key(header::CONTENT_TYPE);
    if absent || body::is_json(&parts.headers) { Ok(bytes) } else { Err(ProblemCode::UnsupportedMediaType.into()) }
}

fn or_object(bytes: &Bytes) -> &[u8] {
    if bytes.is_empty() { b"{}" } else { bytes }
}

impl FromRequestParts<Arc<V1>> for UserCall {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, v1: &Arc<V1>) -> Result<Self, Refused> {
        let visitor = Visitor::read(v1, parts)?;
        let user = visitor.known_user(v1, parts).await?;
        Ok(Self { origin: visitor.with_idempotency(v1, parts, b"")?.origin, user })
    }
}

/// A signed-in person's request with a JSON body.
#[derive(Debug)]
pub(super) struct UserCallWith<T> {
    pub(super) origin: Origin,
    pub(super) user: User,
    pub(super) body: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<V1>> for UserCallWith<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, v1: &Arc<V1>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let visitor = Visitor::read(v1, &parts)?;
        let user = visitor.known_user(v1, &parts).await?;
        let bytes = read_json(v1, &parts, body).await?;
        let body = json::typed(or_object(&bytes)).map_err(|fault| Problem::from(BodyFault::from(fault)))?;
        Ok(Self { origin: visitor.with_idempotency(v1, &parts, &bytes)?.origin, user, body })
    }
}

/// A form or JSON request of `/oauth`; its parameters.
pub(super) struct OauthCall {
    pub(super) origin: Origin,
    pub(super) params: form::Params,
}

impl OauthCall {
    /// Reads one; a broken body is answered in OAuth's own form by the route.
    pub(super) async fn read(v1: &V1, request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let visitor = Visitor::admit(v1, &parts)?;
        let bytes = body::read(&parts.headers, body, &v1.body_limits).await?;
        let visitor = visitor.with_idempotency(v1, &parts, &bytes)?;
        let params = form::parse(&parts.headers, &bytes)?;
        Ok(Self { origin: visitor.origin, params })
    }
}
