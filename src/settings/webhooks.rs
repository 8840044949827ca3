//! `[webhooks]`: events to the operator's own back end.

use std::time::Duration;

use secrecy::SecretString;

use super::{
    gateways::HttpLimits,
    reader::Reader,
    server::{BASE_URL, is_base_url},
};

/// `[webhooks]`. What a pattern and a secret may be is checked where they are used.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Where events are posted to; empty: off.
    pub url: String,
    /// What posts are signed with.
    pub secret: Option<SecretString>,
    /// The secret before.
    pub secret_previous: Option<SecretString>,
    /// Which events.
    pub events: Vec<String>,
    /// Waits before the second, third, … try.
    pub retry_after: Vec<Duration>,
    /// Posts under way at once.
    pub posts_max: usize,
    /// Events that may wait.
    pub outbox_max: usize,
    /// Dead letters kept.
    pub dead_max: usize,
    /// Events of the node that may wait for the disk.
    pub notes_max: usize,
    /// Time and size of a post.
    pub limits: HttpLimits,
}

impl Webhooks {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            url: r.checked("webhooks.url", BASE_URL, is_base_url).unwrap_or_default(),
            secret: r.secret("webhooks.secret"),
            secret_previous: r.secret("webhooks.secret_previous"),
            events: r.list("webhooks.events", "a type or family of events", |text| Some(text.to_owned())),
            retry_after: r.seconds_list("webhooks.retry_after_s", 1..=604_800, 1..=32),
            posts_max: r.number("webhooks.posts_max", 1..=256),
            outbox_max: r.number("webhooks.outbox_max", 1..=10_000_000),
            dead_max: r.number("webhooks.dead_max", 1..=1_000_000),
            notes_max: r.number("webhooks.notes_max", 1..=65_536),
            limits: HttpLimits {
                timeout: r.millis("webhooks.timeout_ms", 100..=60_000),
                connect_timeout: r.millis("webhooks.connect_timeout_ms", 100..=60_000),
                response_bytes_max: r.number("webhooks.response_bytes_max", 1_024..=1_048_576),
                connections_idle_max: r.number("webhooks.connections_idle_max", 0..=1_024),
            },
        }
    }
}
