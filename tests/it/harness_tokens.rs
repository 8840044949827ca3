//! Verbs of people with tokens, and looks into tokens as their readers have them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{Answer, TestApp};

/// RFC 7523: how a receipt is exchanged.
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Two people.
pub(crate) const ANNA: &str = "+989121234567";
pub(crate) const BELA: &str = "+4915112345678";

/// The public URL of tests that restart: the default one has the port in it.
pub(crate) const PUBLIC: &str = "server.public_url = https://id.example";

/// What a sign-in answered.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) is_new_user: bool,
}

impl Person {
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        let is_new_user = answer.body["is_new_user"].as_bool().unwrap();
        Self { access: answer.text("access_token"), refresh: answer.text("refresh_token"), is_new_user }
    }

    /// Her session.
    pub(crate) fn sid(&self) -> String {
        claims(&self.access)["sid"].as_str().unwrap().to_owned()
    }

    /// Her user id.
    pub(crate) fn user_id(&self) -> u64 {
        claims(&self.access)["user_id"].as_u64().unwrap()
    }
}

impl TestApp {
    /// Signs a number in from nothing.
    pub(crate) async fn person(&self, to: &str) -> Person {
        Person::of(&self.sign_in(to).await)
    }

    /// Proves a number for a purpose; the receipt.
    pub(crate) async fn receipt(&self, to: &str, purpose: &str) -> String {
        let started = self.post("/v1/verifications", json!({ "to": to, "purpose": purpose })).await;
        assert_eq!(started.status, 201, "{started:?}");
        let path = format!("/v1/verifications/{}/check", started.text("id"));
        let checked = self.post(&path, json!({ "code": self.gateway.code(to) })).await;
        assert_eq!(checked.status, 200, "{checked:?}");
        checked.text("receipt")
    }

    /// `POST` with a form body.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        Answer::read(self.client.post(self.url(path)).form(fields)).await
    }

    /// Exchanges a receipt.
    pub(crate) async fn redeem(&self, receipt: &str) -> Answer {
        self.form("/oauth/token", &[("grant_type", JWT_BEARER), ("assertion", receipt)]).await
    }

    /// Asks for the next tokens of a session.
    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.form("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// What a token is, asked with an API key.
    pub(crate) async fn introspect(&self, key: &str, token: &str) -> Answer {
        let request = self.client.post(self.url("/oauth/introspect")).bearer_auth(key);
        Answer::read(request.form(&[("token", token)])).await
    }

    /// `PATCH` with an access token.
    pub(crate) async fn patch_as(&self, token: &str, path: &str, body: Value) -> Answer {
        Answer::read(self.client.patch(self.url(path)).bearer_auth(token).json(&body)).await
    }

    /// `DELETE` with an access token.
    pub(crate) async fn delete_as(&self, token: &str, path: &str) -> Answer {
        Answer::read(self.client.delete(self.url(path)).bearer_auth(token)).await
    }

    /// `GET` at the operators' door.
    pub(crate) async fn ops(&self, path: &str) -> Answer {
        Answer::read(self.client.get(format!("http://{}{path}", self.ops_address))).await
    }
}

impl Answer {
    /// Asserts an error of OAuth's own form.
    #[track_caller]
    pub(crate) fn oauth_refused(&self, status: u16, error: &str) -> &Self {
        assert_eq!((self.status, self.body["error"].as_str()), (status, Some(error)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let description = self.body["error_description"].as_str().unwrap();
        assert!(description.is_ascii() && !description.is_empty(), "{self:?}");
        assert_eq!(self.body.as_object().unwrap().len(), 2, "{self:?}");
        self
    }
}

/// A part of a token, unchecked: 0 is the header, 1 the claims.
fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

/// A token's claims, unchecked.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// A token's header.
pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

/// The names of an object, sorted.
pub(crate) fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
