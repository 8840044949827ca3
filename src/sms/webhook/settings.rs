//! What the webhook is told, and the checks that stop a start-up instead of the first send.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::fmt;

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    NAME,
    template::Template,
    verdict::{Rule, class_named},
};
use crate::{
    sms::{
        SettingError,
        outbound::{self, HttpLimits},
    },
    standard_webhooks::SigningKey,
};

/// Settings of the webhook. `Debug` shows neither URL nor secrets.
#[derive(Clone)]
pub struct WebhookSettings {
    /// The whole URL that messages are posted to. No default. Plain HTTP is taken for loopback only.
    pub base_url: String,
    /// What requests are signed with: `whsec_` and the Base64 of 24 to 64 bytes.
    pub secret: SecretString,
    /// The secret before, while the receiver changes over: requests carry a signature of each.
    pub secret_previous: Option<SecretString>,
    /// A header that the receiver asks for, as in `X-Api-Key`. Default `Authorization`. Sent only with a value.
    pub auth_header: String,
    /// Its value, visible ASCII and spaces, as in `Bearer …`.
    pub auth_value: Option<SecretString>,
    /// The body: JSON with placeholders in its texts.
    pub body: String,
    /// Statuses of a success, each 200 to 299. Default 200, 201, 202 and 204.
    pub success_statuses: Vec<u16>,
    /// Where (RFC 6901) the body of a success says so. Default none: the status is enough.
    pub success_pointer: Option<String>,
    /// What must stand there: a text, or a number, `true`, `false` or `null` as JSON spells it.
    pub success_equals: String,
    /// Where the receiver's id of the message stands. Default `/message_id`.
    pub id_pointer: Option<String>,
    /// Where a refusal names its reason. Default `/class`.
    pub error_pointer: Option<String>,
    /// The receiver's words for a reason and the label of the class that each means.
    pub error_classes: Vec<(String, String)>,
    /// Time and size.
    pub limits: HttpLimits,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            secret: SecretString::default(),
            secret_previous: None,
            auth_header: "Authorization".to_owned(),
            auth_value: None,
            body: r#"{"id": "{id}", "to": "{to}", "text": "{text}", "expires_at": "{expires_at}"}"#.to_owned(),
            success_statuses: vec![200, 201, 202, 204],
            success_pointer: None,
            success_equals: String::new(),
            id_pointer: Some("/message_id".to_owned()),
            error_pointer: Some("/class".to_owned()),
            error_classes: Vec::new(),
            limits: HttpLimits::default(),
        }
    }
}

impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Settings that passed.
pub(super) struct Checked {
    pub(super) url: Url,
    pub(super) keys: Vec<SigningKey>,
    pub(super) auth: Option<(HeaderName, HeaderValue)>,
    pub(super) template: Template,
    pub(super) rule: Rule,
    pub(super) limits: HttpLimits,
}

/// Headers that are not the operator's to set: what they say is ours to know.
const OWN_HEADERS: [&str; 7] =
    ["accept", "connection", "content-length", "content-type", "host", "transfer-encoding", "user-agent"];

/// security 109: every value is of its form before it can reach a header or a body.
pub(super) fn check(settings: &WebhookSettings) -> Result<Checked, SettingError> {
    let url = outbound::base_url(NAME, &settings.base_url)?;
    settings.limits.check(NAME)?;
    let template = Template::parse(&settings.body).map_err(|reason| SettingError::new("webhook.body", reason))?;
    let auth = settings.auth_value.as_ref().map(|value| auth(&settings.auth_header, value)).transpose()?;
    Ok(Checked { url, keys: keys(settings)?, auth, template, rule: rule(settings)?, limits: settings.limits })
}

fn keys(settings: &WebhookSettings) -> Result<Vec<SigningKey>, SettingError> {
    let key = |setting: &str, secret: &SecretString| {
        let reason = "must be whsec_ and the Base64 of 24 to 64 random bytes";
        SigningKey::parse(secret).ok_or_else(|| SettingError::new(setting, reason))
    };
    let mut keys = vec![key("webhook.secret", &settings.secret)?];
    if let Some(previous) = &settings.secret_previous {
        keys.push(key("webhook.secret_previous", previous)?);
    }
    Ok(keys)
}

fn auth(name: &str, value: &SecretString) -> Result<(HeaderName, HeaderValue), SettingError> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| SettingError::new("webhook.auth_header", "must be the name of a header"))?;
    if OWN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("webhook-") {
        return Err(SettingError::new("webhook.auth_header", "must not be a header that otpd sets itself"));
    }
    let text = value.expose_secret();
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let value = HeaderValue::from_str(text).ok().filter(|_| plain);
    let mut value = value
        .ok_or_else(|| SettingError::new("webhook.auth_value", "must be visible ASCII and spaces, and not empty"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn rule(settings: &WebhookSettings) -> Result<Rule, SettingError> {
    if settings.success_statuses.is_empty() || !settings.success_statuses.iter().all(|s| (200..=299).contains(s)) {
        return Err(SettingError::new("webhook.success_statuses", "must be one or more, each 200 to 299"));
    }
    for (name, pointer) in [
        ("success_pointer", &settings.success_pointer),
        ("id_pointer", &settings.id_pointer),
        ("error_pointer", &settings.error_pointer),
    ] {
        if pointer.as_deref().is_some_and(|pointer| !is_pointer(pointer)) {
            return Err(SettingError::new(format!("{NAME}.{name}"), "must be a JSON pointer, as in /result/0/status"));
        }
    }
    if settings.success_pointer.is_none() && !settings.success_equals.is_empty() {
        return Err(SettingError::new("webhook.success_equals", "must be empty where success_pointer is"));
    }
    let words = settings.error_classes.iter().map(|(word, label)| Some((word.clone(), class_named(label)?)));
    let words = words.collect::<Option<Vec<_>>>().ok_or_else(|| {
        SettingError::new("webhook.error_classes", "must end in a class of otpd's, as in E12=invalid_number")
    })?;
    Ok(Rule {
        statuses: settings.success_statuses.clone(),
        says: settings.success_pointer.clone().map(|pointer| (pointer, settings.success_equals.clone())),
        id: settings.id_pointer.clone(),
        reason: settings.error_pointer.clone(),
        words,
    })
}

/// RFC 6901, but for the one that means the whole body.
fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn good() -> WebhookSettings {
        WebhookSettings {
            base_url: "https://relay.example/sms".to_owned(),
            secret: SECRET.into(),
            auth_value: Some("Bearer very-secret-5f1c".into()),
            ..WebhookSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut WebhookSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(&settings).err().expect("refused").setting
    }

    #[test]
    fn the_url_is_the_operators_whole() {
        let checked = check(&good()).ok().unwrap();
        assert_eq!(checked.url.as_str(), "https://relay.example/sms");
        assert_eq!(checked.keys.len(), 1);
        assert!(checked.auth.is_some_and(|(name, value)| name == "authorization" && value.is_sensitive()));
        let both = check(&WebhookSettings { secret_previous: Some(SECRET.into()), ..good() });
        assert_eq!(both.ok().unwrap().keys.len(), 2);
    }

    /// security 109: what could end a header, and a rule that cannot hold, stop the start.
    #[test]
    fn wrong_forms_are_refused() {
        assert_eq!(refused(|settings| settings.base_url = "http://relay.example".to_owned()), "webhook.base_url");
        assert_eq!(
            refused(|settings| settings.base_url = "https://relay.example?key=1".to_owned()),
            "webhook.base_url"
        );
        assert_eq!(refused(|settings| settings.secret = "short".into()), "webhook.secret");
        assert_eq!(refused(|settings| settings.secret_previous = Some("".into())), "webhook.secret_previous");
        for name in ["", "X Api", "X-Api:", "X\r\nY", "Content-Type", "webhook-id", "Host", "نام"] {
            assert_eq!(refused(|settings| settings.auth_header = name.to_owned()), "webhook.auth_header", "{name:?}");
        }
        for value in ["", "a\r\nX: 1", "a\0", "کلید", "a\tb"] {
            assert_eq!(refused(|settings| settings.auth_value = Some(value.into())), "webhook.auth_value", "{value:?}");
        }
        assert_eq!(refused(|settings| settings.body = "{}".to_owned()), "webhook.body");
        for statuses in [vec![], vec![199], vec![200, 302]] {
            assert_eq!(refused(|settings| settings.success_statuses = statuses), "webhook.success_statuses");
        }
        for pointer in ["", "ok", "/a~", "/a~2"] {
            let pointer = || Some(pointer.to_owned());
            assert_eq!(refused(|settings| settings.success_pointer = pointer()), "webhook.success_pointer");
            assert_eq!(refused(|settings| settings.id_pointer = pointer()), "webhook.id_pointer");
            assert_eq!(refused(|settings| settings.error_pointer = pointer()), "webhook.error_pointer");
        }
        assert_eq!(refused(|settings| settings.success_equals = "true".to_owned()), "webhook.success_equals");
        let unknown = || vec![("E1".to_owned(), "no_such_class".to_owned())];
        assert_eq!(refused(|settings| settings.error_classes = unknown()), "webhook.error_classes");
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "webhook.timeout_ms");
    }

    /// security 118: neither the settings nor a refusal show what they hold.
    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?} {:#?}", good(), good());
        for settings in [
            WebhookSettings { secret: format!("{SECRET}!").into(), ..good() },
            WebhookSettings { base_url: format!("ftp://{SECRET}"), ..good() },
            WebhookSettings { body: SECRET.to_owned(), ..good() },
        ] {
            let error = check(&settings).err().unwrap();
            shown.push_str(&format!("{error} {error:?}"));
        }
        assert!(!shown.contains("MfKQ9r8") && !shown.contains("very-secret"), "{shown}");
    }
}
