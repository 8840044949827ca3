//! Receipts signed by a token: `Authorization: Bearer` with a JWT of HS256 over a shared secret, as Vonage's newer APIs
//! send them (`providers.md` section 5).
//!
//! The header's `alg` is only compared, never followed. A token is good for as long as a signed time is, whatever `exp`
//! it names; `payload_hash` must be that of the body where it stands.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::header;
use serde::Deserialize;

use super::{
    ReceiptRefused, ReceiptRequest,
    signed::{self, Hash},
};

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iat: u64,
    #[serde(default)]
    exp: Option<u64>,
    #[serde(default)]
    payload_hash: Option<String>,
}

/// Longest token that is looked at, in bytes; real ones have about 400.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Checks the token of a request.
pub(in crate::sms) fn check(secret: &[u8], request: &ReceiptRequest<'_>) -> Result<(), ReceiptRefused> {
    let claims = claims(secret, request).ok_or(ReceiptRefused::Unsigned)?;
    let is_open =
        claims.exp.is_none_or(|exp| request.now_s < exp) && signed::is_recent(&claims.iat.to_string(), request.now_s);
    let hash = signed::hex(&signed::sha256(request.body));
    let is_of_body =
        claims.payload_hash.is_none_or(|said| signed::same(said.to_ascii_lowercase().as_bytes(), hash.as_bytes()));
    if is_open && is_of_body { Ok(()) } else { Err(ReceiptRefused::Unsigned) }
}

/// The claims of a token that the secret signed.
fn claims(secret: &[u8], request: &ReceiptRequest<'_>) -> Option<Claims> {
    let (scheme, token) = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (head, payload) = message.split_once('.')?;
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let head: Header = serde_json::from_slice(&decode(head)?).ok()?;
    let good = signed::same(&decode(signature)?, &signed::mac(Hash::Sha256, secret, &[message.as_bytes()]));
    if head.alg != "HS256" || head.crit.is_some() || !good {
        return None;
    }
    serde_json::from_slice(&decode(payload)?).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"signature secret";
    const NOW: u64 = 1_800_000_000;
    const BODY: &[u8] = br#"{"status":"delivered"}"#;

    fn token(head: &Value, claims: &Value, key: &[u8]) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(head), part(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signed::mac(Hash::Sha256, key, &[message.as_bytes()]));
        format!("{message}.{signature}")
    }

    fn checked(authorization: &str, body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        let request = ReceiptRequest { url: "", query: "", secret: None, from, headers: &headers, body, now_s: NOW };
        check(SECRET, &request).is_ok()
    }

    /// RFC 7515 appendix A.1: its HS256 signature is read as one of ours, and its time is long over.
    #[test]
    fn the_published_signature() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9\
                       leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = BASE64_URL_SAFE_NO_PAD.decode(key).unwrap();
        let own = signed::mac(Hash::Sha256, &key, &[message.as_bytes()]);
        assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(own), signature);
    }

    /// security 113 and 114: another key, algorithm, body or time, and what is no token.
    #[test]
    fn what_is_believed() {
        let (hs256, good) = (json!({ "alg": "HS256", "typ": "JWT" }), json!({ "iat": NOW - 10, "jti": "a" }));
        let bearer = |token: String| format!("Bearer {token}");
        assert!(checked(&bearer(token(&hs256, &good, SECRET)), BODY));
        let hash = signed::hex(&signed::sha256(BODY)).to_uppercase();
        let of_body = bearer(token(&hs256, &json!({ "iat": NOW, "payload_hash": hash }), SECRET));
        assert!(checked(&of_body, BODY));
        assert!(!checked(&of_body, b"{}"));
        for claims in [
            json!({ "iat": NOW - 301 }),
            json!({ "iat": NOW + 301 }),
            json!({ "iat": NOW, "exp": NOW }),
            json!({}),
            json!({ "iat": "1800000000" }),
            json!([]),
        ] {
            assert!(!checked(&bearer(token(&hs256, &claims, SECRET)), BODY), "{claims}");
        }
        for head in
            [json!({ "alg": "none" }), json!({ "alg": "HS512" }), json!({}), json!({ "alg": "HS256", "crit": [] })]
        {
            assert!(!checked(&bearer(token(&head, &good, SECRET)), BODY), "{head}");
        }
        let (whole, other) = (token(&hs256, &good, SECRET), token(&hs256, &good, b"another"));
        let unsigned = whole.rsplit_once('.').unwrap().0.to_owned() + ".";
        for no in [other, unsigned, whole[1..].to_owned(), "a.b.c".to_owned(), String::new()] {
            assert!(!checked(&bearer(no), BODY));
        }
        assert!(!checked(&format!("Basic {whole}"), BODY));
    }
}
