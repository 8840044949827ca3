//! Where events are posted to and how long that is tried, checked before the first post.
//!
//! Never quotes a value in an error: any of them could be the secret pasted into the wrong line.

use std::{fmt, time::Duration};

use reqwest::Url;
use secrecy::SecretString;

use super::event_names;
use crate::{
    record::EventFilter,
    sms::{
        SettingError,
        outbound::{self, HttpLimits},
    },
    standard_webhooks::SigningKey,
    store::OutboxLimits,
};

/// Its name in errors.
pub(super) const NAME: &str = "webhooks";

/// Settings of the posts. `Debug` shows neither URL nor secrets.
#[derive(Clone)]
pub struct WebhooksSettings {
    /// The whole URL that events are posted to. Plain HTTP is taken for loopback only.
    pub url: String,
    /// What posts are signed with: `whsec_` and the Base64 of 24 to 64 bytes.
    pub secret: SecretString,
    /// The secret before, while the receiver changes over: posts carry a signature of each.
    pub secret_previous: Option<SecretString>,
    /// Which events: names, families as in `user.*`, or `*`.
    pub events: Vec<String>,
    /// Waits before the second, third, … try; after the last the event is a dead letter. At most 32. Default that of
    /// Standard Webhooks, three days in all.
    pub retry_after: Vec<Duration>,
    /// Posts under way at once. Default 8: each waits for the receiver alone, and 8 at 20 ms are 400 a second.
    pub posts_max: usize,
    /// Events that may wait, and dead letters kept.
    pub outbox: OutboxLimits,
    /// Events of the node that may wait for the store; a further one is lost. Default 1,024.
    pub notes_max: usize,
    /// Time and size of a post.
    pub limits: HttpLimits,
}

impl Default for WebhooksSettings {
    fn default() -> Self {
        let seconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        Self {
            url: String::new(),
            secret: SecretString::default(),
            secret_previous: None,
            events: vec!["*".to_owned()],
            retry_after: seconds.map(Duration::from_secs).into(),
            posts_max: 8,
            outbox: OutboxLimits::default(),
            notes_max: 1_024,
            limits: HttpLimits { timeout_ms: 15_000, connections_idle_max: 8, ..HttpLimits::default() },
        }
    }
}

impl fmt::Debug for WebhooksSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhooksSettings").field("events", &self.events).finish_non_exhaustive()
    }
}

/// The URL, and the keys, newest first.
pub(super) fn check(settings: &WebhooksSettings) -> Result<(Url, Vec<SigningKey>), SettingError> {
    // A URL is named `webhooks.url` and not as those of gateways are.
    let url = outbound::base_url(NAME, &settings.url)
        .map_err(|error| SettingError { setting: "webhooks.url".to_owned(), ..error })?;
    settings.limits.check(NAME)?;
    filter(&settings.events)?;
    Ok((url, keys(settings)?))
}

/// Which events are wanted.
///
/// # Errors
/// One of the patterns covers no event there is.
pub fn filter(patterns: &[String]) -> Result<EventFilter, SettingError> {
    let filter = EventFilter::new(patterns.iter().cloned());
    match filter.idle_pattern(&event_names()) {
        Some(_) => Err(SettingError {
            setting: "webhooks.events".to_owned(),
            reason: "must name events, as in user.created, user.* or *",
        }),
        None => Ok(filter),
    }
}

/// What posts are signed with.
fn keys(settings: &WebhooksSettings) -> Result<Vec<SigningKey>, SettingError> {
    let key = |setting: &str, secret: &SecretString| {
        let reason = "must be whsec_ and the Base64 of 24 to 64 random bytes";
        SigningKey::parse(secret).ok_or_else(|| SettingError { setting: setting.to_owned(), reason })
    };
    let mut keys = vec![key("webhooks.secret", &settings.secret)?];
    if let Some(previous) = &settings.secret_previous {
        keys.push(key("webhooks.secret_previous", previous)?);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn good() -> WebhooksSettings {
        WebhooksSettings {
            url: "https://backend.example/otpd-events".to_owned(),
            secret: SECRET.into(),
            ..WebhooksSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut WebhooksSettings)) -> String {
        let mut settings = good();
        change(&mut settings);
        check(&settings).map(drop).unwrap_err().setting
    }

    /// security 107 and 117: a URL of our own form, and never unsigned.
    #[test]
    fn wrong_forms_stop_the_start() {
        assert_eq!(check(&good()).unwrap().1.len(), 1);
        let both = WebhooksSettings { secret_previous: Some(SECRET.into()), ..good() };
        assert_eq!(check(&both).unwrap().1.len(), 2);
        for url in ["", "http://backend.example", "https://user:password@backend.example", "ftp://127.0.0.1"] {
            assert_eq!(refused(|settings| settings.url = url.to_owned()), "webhooks.url", "{url:?}");
        }
        assert_eq!(refused(|settings| settings.secret = "short".into()), "webhooks.secret");
        assert_eq!(refused(|settings| settings.secret_previous = Some("".into())), "webhooks.secret_previous");
        for pattern in ["", "users.*", "user", "user.create", "*.created", "user.created.*"] {
            assert_eq!(
                refused(|settings| settings.events = vec![pattern.to_owned()]),
                "webhooks.events",
                "{pattern:?}"
            );
        }
        assert_eq!(refused(|settings| settings.limits.timeout_ms = 0), "webhooks.timeout_ms");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let mut shown = format!("{:?}", good());
        let settings = WebhooksSettings { secret: format!("{SECRET}!").into(), ..good() };
        shown.push_str(&format!("{:?}", check(&settings).err().unwrap()));
        assert!(!shown.contains("MfKQ9r8") && !shown.contains("backend.example"), "{shown}");
    }

    #[test]
    fn patterns_pick_names_and_families() {
        let filter = filter(&["user.*".to_owned(), "session.ended".to_owned()]).unwrap();
        let wanted: Vec<_> = event_names().filter(|name| filter.wants(name)).collect();
        assert_eq!(wanted.len(), 7);
        assert!(wanted.iter().all(|name| name.starts_with("user.") || *name == "session.ended"));
        assert!(event_names().all(|name| super::filter(&["*".to_owned()]).unwrap().wants(name)));
    }
}
