//! What is said on the wire: requests with what they have in common made once, and the few fields read of an answer.

use std::{borrow::Cow, net::SocketAddr};

use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use serde::Deserialize;

use super::connection::Asked;

/// What a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// The canonical API of otpd.
    V1,
    /// The bare server that comparisons are made with: `/send-otp`, `/_code`, `/verify-otp`, `/profile`.
    Limit,
}

/// Where requests go, and in which words.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server's address.
    pub address: SocketAddr,
    /// What it understands.
    pub speaks: Speaks,
}

impl Target {
    /// An otpd.
    pub fn v1(address: SocketAddr) -> Self {
        Self { address, speaks: Speaks::V1 }
    }

    /// The bare server.
    pub fn limit(address: SocketAddr) -> Self {
        Self { address, speaks: Speaks::Limit }
    }
}

/// The fields of answers that a client goes on with. A field that is not there is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) receipt: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) access_token: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) refresh_token: Cow<'a, str>,
    /// Of the bare server's start.
    #[serde(borrow)]
    pub(super) phone_number: Cow<'a, str>,
    /// The code of a problem; of the bare server the code to type.
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    /// The same of an OAuth error.
    #[serde(borrow)]
    pub(super) error: Cow<'a, str>,
    /// The bare server's token.
    #[serde(borrow)]
    pub(super) access: Cow<'a, str>,
}

impl<'a> Answer<'a> {
    /// Reads a body; what is no JSON object of these types has no fields.
    pub(super) fn read(body: &'a [u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// Makes requests.
#[derive(Debug, Clone)]
pub(super) struct Speech {
    host: HeaderValue,
    json: HeaderValue,
    form: HeaderValue,
    starts: Uri,
    checks: Uri,
    tokens: Uri,
    me: Uri,
    send_otp: Uri,
    code: Uri,
    verify_otp: Uri,
    profile: Uri,
}

impl Speech {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            host: text(&address.to_string()),
            json: HeaderValue::from_static("application/json"),
            form: HeaderValue::from_static("application/x-www-form-urlencoded"),
            starts: Uri::from_static("/v1/verifications"),
            checks: Uri::from_static("/v1/verifications/check"),
            tokens: Uri::from_static("/oauth/token"),
            me: Uri::from_static("/v1/me"),
            send_otp: Uri::from_static("/send-otp"),
            code: Uri::from_static("/_code"),
            verify_otp: Uri::from_static("/verify-otp"),
            profile: Uri::from_static("/profile"),
        }
    }

    pub(super) fn start(&self, number: u64) -> Asked {
        self.post(self.starts.clone(), format!("{{\"to\":\"+{number}\"}}"))
    }

    pub(super) fn check(&self, id: &str, code: &str) -> Asked {
        self.post(of_verification(id, "/check"), format!("{{\"code\":\"{code}\"}}"))
    }

    pub(super) fn check_by_number(&self, number: u64, code: &str) -> Asked {
        self.post(self.checks.clone(), format!("{{\"to\":\"+{number}\",\"code\":\"{code}\"}}"))
    }

    pub(super) fn resend(&self, id: &str) -> Asked {
        self.post(of_verification(id, "/resend"), "{}".to_owned())
    }

    /// Receipts and refresh tokens have no letter that a form would spell otherwise.
    pub(super) fn redeem(&self, receipt: &str) -> Asked {
        let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        self.request(
            Method::POST,
            self.tokens.clone(),
            Some(&self.form),
            format!("grant_type={grant}&assertion={receipt}"),
        )
    }

    pub(super) fn refresh(&self, token: &str) -> Asked {
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        self.request(Method::POST, self.tokens.clone(), Some(&self.form), body)
    }

    pub(super) fn me(&self, token: &HeaderValue) -> Asked {
        self.get(self.me.clone(), Some(token))
    }

    pub(super) fn limit_send(&self, number: u64) -> Asked {
        self.post(self.send_otp.clone(), format!("{{\"phone_number\":\"+{number}\"}}"))
    }

    pub(super) fn limit_code(&self) -> Asked {
        self.get(self.code.clone(), None)
    }

    pub(super) fn limit_verify(&self, number: u64, code: &str) -> Asked {
        let body = format!("{{\"phone_number\":\"+{number}\",\"otp_code\":\"{code}\"}}");
        self.post(self.verify_otp.clone(), body)
    }

    pub(super) fn limit_profile(&self, token: &HeaderValue) -> Asked {
        self.get(self.profile.clone(), Some(token))
    }

    /// Whether the server takes requests (`/readyz` of the operators' door).
    pub(super) fn readyz(&self) -> Asked {
        self.get(Uri::from_static("/readyz"), None)
    }

    fn get(&self, uri: Uri, token: Option<&HeaderValue>) -> Asked {
        let mut request = self.request(Method::GET, uri, None, String::new());
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        request
    }

    fn post(&self, uri: Uri, body: String) -> Asked {
        self.request(Method::POST, uri, Some(&self.json), body)
    }

    fn request(&self, method: Method, uri: Uri, kind: Option<&HeaderValue>, body: String) -> Asked {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(HOST, self.host.clone());
        if let Some(kind) = kind {
            request.headers_mut().insert(CONTENT_TYPE, kind.clone());
        }
        request
    }
}

/// A server's id goes into a path as it is; one that makes no path asks for the root, which answers 404.
fn of_verification(id: &str, call: &str) -> Uri {
    Uri::try_from(format!("/v1/verifications/{id}{call}")).unwrap_or_default()
}

/// The value of an `Authorization` header, made once per token.
pub(super) fn bearer(token: &str) -> HeaderValue {
    text(&format!("Bearer {token}"))
}

/// What a header cannot hold becomes an empty one, which no server takes.
fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
