//! How one signs in to Vonage: an account's key and secret, or a token that an application's private key signs.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::{entropy::Entropy, record::UnixMillis};

/// How long a token is good, in seconds. A new one goes with each request, so this covers clocks that differ.
const TOKEN_LIFE_S: u64 = 300;

/// Who signs in.
pub(super) enum Login {
    Account { api_key: String, api_secret: SecretString },
    Application { id: String, key: EncodingKey },
}

/// What a token says.
#[derive(Serialize)]
struct Claims<'a> {
    application_id: &'a str,
    iat: u64,
    exp: u64,
    /// Vonage takes no two tokens of one application with the same.
    jti: String,
}

impl Login {
    /// An application; `None` if its key is no RSA key of at least 2048 bits (PEM) that signs.
    pub(super) fn application(id: String, private_key: &SecretString) -> Option<Self> {
        let key = EncodingKey::from_rsa_pem(private_key.expose_secret().as_bytes()).ok()?;
        // Whether it is a whole key shows only when it signs.
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &serde_json::json!({}), &key).ok()?;
        Some(Self::Application { id, key })
    }

    /// The request with `Authorization`; `None` if the private key does not sign.
    pub(super) fn sign_in(
        &self,
        request: RequestBuilder,
        now: UnixMillis,
        entropy: &dyn Entropy,
    ) -> Option<RequestBuilder> {
        match self {
            Self::Account { api_key, api_secret } => {
                Some(request.basic_auth(api_key, Some(api_secret.expose_secret())))
            }
            Self::Application { id, key } => {
                let iat = now.0 / 1_000;
                let jti = format!("{:016x}{:016x}", entropy.draw(), entropy.draw());
                let claims = Claims { application_id: id, iat, exp: iat + TOKEN_LIFE_S, jti };
                Some(request.bearer_auth(jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, key).ok()?))
            }
        }
    }
}
