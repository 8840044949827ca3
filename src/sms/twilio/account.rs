//! How each of Twilio's gateways signs in: an account and its token, or an API key and its secret.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};

use crate::sms::SettingError;

/// Credentials that passed.
pub(in crate::sms) struct Account {
    user: String,
    password: SecretString,
}

impl Account {
    /// security 109: every value is of its form before it can reach a path or a header.
    pub(in crate::sms) fn check(
        gateway: &'static str,
        account_sid: &str,
        api_key_sid: Option<String>,
        auth_token: SecretString,
    ) -> Result<Self, SettingError> {
        let refuse = |name, reason| SettingError::new(format!("{gateway}.{name}"), reason);
        if !is_sid("AC", account_sid) {
            return Err(refuse("account_sid", "must be AC and 32 hexadecimal digits"));
        }
        if api_key_sid.as_ref().is_some_and(|sid| !is_sid("SK", sid)) {
            return Err(refuse("api_key_sid", "must be SK and 32 hexadecimal digits"));
        }
        let token = auth_token.expose_secret();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse("auth_token", "must be visible ASCII without spaces, and not empty"));
        }
        Ok(Self { user: api_key_sid.unwrap_or_else(|| account_sid.to_owned()), password: auth_token })
    }

    /// The request with `Authorization`.
    pub(in crate::sms) fn sign_in(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user, Some(self.password.expose_secret()))
    }

    /// What Twilio signs its receipts with: the account's token, which is that of the login unless an API key signs in.
    /// `None` if it is not known, and then no receipt can be believed.
    pub(in crate::sms) fn receipts_token(
        &self,
        gateway: &'static str,
        receipts_auth_token: Option<SecretString>,
    ) -> Result<Option<SecretString>, SettingError> {
        if receipts_auth_token.as_ref().is_some_and(|token| token.expose_secret().is_empty()) {
            return Err(SettingError::new(format!("{gateway}.receipts_auth_token"), "must not be empty"));
        }
        let own = is_sid("AC", &self.user).then(|| self.password.clone());
        Ok(receipts_auth_token.or(own))
    }

    /// Who signs in.
    #[cfg(test)]
    pub(in crate::sms) fn user(&self) -> &str {
        &self.user
    }
}

/// True for two letters that say of what it is the id, and 32 hexadecimal digits.
pub(in crate::sms) fn is_sid(kind: &str, sid: &str) -> bool {
    sid.strip_prefix(kind).is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
