//! Rules that span keys: what is refused, and what is allowed but worth a warning at start.

use std::time::Duration;

use super::{Durability, GatewayKind, HttpLimits, Problem, Settings};

/// Whether a rule holds, the key it is reported by, and what it asks for.
type Rule = (bool, &'static str, &'static str);

/// The rules that these settings break; each value alone is sound.
pub(super) fn broken(s: &Settings) -> Vec<Problem> {
    let sends = sending(s).into_iter().chain(spending(s)).chain(needed(s)).chain(webhooks(s));
    let rules = doors(s).into_iter().chain(numbers(s)).chain(sends);
    let broken = rules.filter(|(holds, ..)| !holds);
    broken.map(|(_, key, text)| Problem { place: key.to_owned(), text: text.to_owned() }).collect()
}

fn doors(s: &Settings) -> Vec<Rule> {
    vec![
        (
            s.server.listen.port() == 0 || s.server.listen != s.ops.listen,
            "ops.listen",
            "must differ from server.listen: metrics are not for clients",
        ),
        (
            s.server.request_timeout > s.sms.send_deadline,
            "server.request_timeout_ms",
            "must be longer than sms.send_deadline_ms, or clients see our time-out instead of the provider's",
        ),
        (
            s.server.exchange_timeout > s.server.request_timeout,
            "server.exchange_timeout_ms",
            "must be longer than server.request_timeout_ms, or connections end before their answers",
        ),
        (
            s.server.connections_per_ip_max <= s.server.connections_max,
            "server.connections_per_ip_max",
            "must not be above server.connections_max",
        ),
        (!(s.dev.show_codes && s.sms.is_real()), "dev.show_codes", "must be false beside a gateway that really sends"),
        (
            s.dev.store_delay.is_zero() || !s.sms.is_real(),
            "dev.store_delay_ms",
            "must be 0 beside a gateway that really sends",
        ),
        (
            s.token.session_ttl >= s.token.access_ttl,
            "token.session_ttl_s",
            "must not be shorter than token.access_ttl_s",
        ),
    ]
}

fn numbers(s: &Settings) -> Vec<Rule> {
    vec![
        (
            s.codes.digits >= 6 || s.codes.weak,
            "codes.digits",
            "must be 6 or more unless codes.weak = true says that weak codes are meant",
        ),
        (
            s.phone.call_timeout > s.store.commit_timeout,
            "phone.call_timeout_ms",
            "must be longer than store.commit_timeout_ms, or every slow commit becomes an unknown outcome",
        ),
        (
            s.store.wait_max <= s.store.commit_timeout,
            "store.wait_max_ms",
            "must not be above store.commit_timeout_ms, or who is let in to wait gives up before his turn",
        ),
        (s.phone.actors_hard_max >= s.phone.actors_max, "phone.actors_hard_max", "must not be below phone.actors_max"),
        (
            s.limits.guess_delay_max >= s.limits.guess_delay,
            "limits.guess_delay_max_s",
            "must not be below limits.guess_delay_s",
        ),
        (
            s.limits.sends_per_day_per_ip <= s.limits.sends_per_day,
            "limits.sends_per_day_per_ip",
            "must not be above limits.sends_per_day",
        ),
        (s.limits.guess_stop > s.limits.guess_free, "limits.guess_stop", "must be above limits.guess_free"),
    ]
}

fn sending(s: &Settings) -> Vec<Rule> {
    vec![
        (
            s.sms.send_deadline > longest_send(s),
            "sms.send_deadline_ms",
            "must be longer than two tries (sms.attempt_timeout_ms) and the longest wait between them",
        ),
        (
            s.sms
                .gateways()
                .into_iter()
                .filter_map(|kind| limits(s, kind))
                .all(|limits| s.sms.attempt_timeout >= limits.timeout),
            "sms.attempt_timeout_ms",
            "must not be shorter than timeout_ms of the gateway, which knows what a time-out means",
        ),
        (s.sms.silence_min <= s.sms.silence_max, "sms.silence_max_ms", "must not be below sms.silence_min_ms"),
        (
            s.sms.breaker_open <= s.sms.breaker_open_max,
            "sms.breaker_open_max_ms",
            "must not be below sms.breaker_open_ms",
        ),
        (listed(s.sms.webotp_host.as_ref(), &s.sms.webotp_hosts), "sms.webotp_host", "must be in sms.webotp_hosts"),
        (listed(s.sms.app_hash.as_ref(), &s.sms.app_hashes), "sms.app_hash", "must be in sms.app_hashes"),
    ]
}

fn spending(s: &Settings) -> Vec<Rule> {
    let (fraud, audit) = (&s.fraud, &s.audit);
    vec![
        (
            fraud.conversion_window > fraud.conversion_mature,
            "fraud.conversion_window_s",
            "must be longer than fraud.conversion_mature_s, or no send is ever looked at",
        ),
        (
            fraud.conversion_close >= fraud.conversion_mature,
            "fraud.conversion_close_s",
            "must not be shorter than fraud.conversion_mature_s",
        ),
        (
            fraud.conversion_close_max >= fraud.conversion_close,
            "fraud.conversion_close_max_s",
            "must not be below fraud.conversion_close_s",
        ),
        (audit.mib_max > audit.file_mib_max, "audit.mib_max", "must be above audit.file_mib_max"),
        (fraud.open_max > s.sms.inflight_max, "fraud.open_max", "must be above sms.inflight_max"),
    ]
}

/// The limits of a gateway, if it has any.
fn limits(s: &Settings, kind: GatewayKind) -> Option<HttpLimits> {
    match kind {
        GatewayKind::Console | GatewayKind::Simulated => None,
        GatewayKind::Twilio => Some(s.sms.twilio.limits),
        GatewayKind::Kavenegar => Some(s.sms.kavenegar.limits),
        GatewayKind::Mshastra => Some(s.sms.mshastra.limits),
        GatewayKind::Vonage => Some(s.sms.vonage.limits),
        GatewayKind::Webhook => Some(s.sms.webhook.limits),
        GatewayKind::Sns => Some(s.sms.sns.limits),
        GatewayKind::Telegram => Some(s.sms.telegram.limits),
        GatewayKind::TwilioVoice => Some(s.sms.twilio_voice.limits),
        GatewayKind::TwilioVerify => Some(s.sms.twilio_verify.limits),
        GatewayKind::VonageMessages => Some(s.sms.vonage_messages.limits),
    }
}

/// What the gateways that are used cannot do without.
fn needed(s: &Settings) -> Vec<Rule> {
    s.sms.gateways().into_iter().flat_map(|kind| needed_by(s, kind)).collect()
}

fn needed_by(s: &Settings, kind: GatewayKind) -> Vec<Rule> {
    const TWILIO: &str = "must be set where sms.gateway or a route names \"twilio\"";
    const KAVENEGAR: &str = "must be set where sms.gateway or a route names \"kavenegar\"";
    const MSHASTRA: &str = "must be set where sms.gateway or a route names \"mshastra\"";
    const VONAGE: &str = "must be set where sms.gateway or a route names \"vonage\"";
    const WEBHOOK: &str = "must be set where sms.gateway or a route names \"webhook\"";
    const SNS: &str = "must be set where sms.gateway or a route names \"sns\"";
    const TELEGRAM: &str = "must be set where sms.gateway or a route names \"telegram\"";
    let (twilio, kavenegar, mshastra, vonage) = (&s.sms.twilio, &s.sms.kavenegar, &s.sms.mshastra, &s.sms.vonage);
    match kind {
        GatewayKind::Console | GatewayKind::Simulated => Vec::new(),
        GatewayKind::Twilio => vec![
            (!twilio.base_url.is_empty(), "sms.twilio.base_url", TWILIO),
            (twilio.account_sid.is_some(), "sms.twilio.account_sid", TWILIO),
            (twilio.auth_token.is_some(), "sms.twilio.auth_token", TWILIO),
            (twilio.from.is_some() || twilio.messaging_service_sid.is_some(), "sms.twilio.from", TWILIO),
        ],
        // Neither a line nor a template: the account's own line sends our text.
        GatewayKind::Kavenegar => vec![
            (!kavenegar.base_url.is_empty(), "sms.kavenegar.base_url", KAVENEGAR),
            (kavenegar.api_key.is_some(), "sms.kavenegar.api_key", KAVENEGAR),
        ],
        GatewayKind::Mshastra => vec![
            (!mshastra.base_url.is_empty(), "sms.mshastra.base_url", MSHASTRA),
            (mshastra.user.is_some(), "sms.mshastra.user", MSHASTRA),
            (mshastra.password.is_some(), "sms.mshastra.password", MSHASTRA),
            (mshastra.sender.is_some(), "sms.mshastra.sender", MSHASTRA),
        ],
        GatewayKind::Vonage => vec![
            (!vonage.base_url.is_empty(), "sms.vonage.base_url", VONAGE),
            (vonage.api_key.is_some(), "sms.vonage.api_key", VONAGE),
            (vonage.api_secret.is_some(), "sms.vonage.api_secret", VONAGE),
            (vonage.from.is_some(), "sms.vonage.from", VONAGE),
        ],
        GatewayKind::Webhook => vec![
            (!s.sms.webhook.base_url.is_empty(), "sms.webhook.base_url", WEBHOOK),
            (s.sms.webhook.secret.is_some(), "sms.webhook.secret", WEBHOOK),
        ],
        // Without a URL it is the region's own.
        GatewayKind::Sns => vec![
            (s.sms.sns.region.is_some(), "sms.sns.region", SNS),
            (s.sms.sns.access_key_id.is_some(), "sms.sns.access_key_id", SNS),
            (s.sms.sns.secret_access_key.is_some(), "sms.sns.secret_access_key", SNS),
        ],
        GatewayKind::TwilioVoice => needed_by_voice(s),
        GatewayKind::TwilioVerify => needed_by_verify(s),
        GatewayKind::VonageMessages => needed_by_messages(s),
        GatewayKind::Telegram => vec![
            (!s.sms.telegram.base_url.is_empty(), "sms.telegram.base_url", TELEGRAM),
            (s.sms.telegram.access_token.is_some(), "sms.telegram.access_token", TELEGRAM),
        ],
    }
}

fn needed_by_voice(s: &Settings) -> Vec<Rule> {
    const TEXT: &str = "must be set where sms.gateway or a route names \"twilio_voice\"";
    let voice = &s.sms.twilio_voice;
    vec![
        (!voice.base_url.is_empty(), "sms.twilio_voice.base_url", TEXT),
        (voice.account_sid.is_some(), "sms.twilio_voice.account_sid", TEXT),
        (voice.auth_token.is_some(), "sms.twilio_voice.auth_token", TEXT),
        (voice.from.is_some(), "sms.twilio_voice.from", TEXT),
    ]
}

fn needed_by_verify(s: &Settings) -> Vec<Rule> {
    const TEXT: &str = "must be set where sms.gateway or a route names \"twilio_verify\"";
    let verify = &s.sms.twilio_verify;
    vec![
        (!verify.base_url.is_empty(), "sms.twilio_verify.base_url", TEXT),
        (verify.account_sid.is_some(), "sms.twilio_verify.account_sid", TEXT),
        (verify.auth_token.is_some(), "sms.twilio_verify.auth_token", TEXT),
        (verify.service_sid.is_some(), "sms.twilio_verify.service_sid", TEXT),
    ]
}

/// The login is one pair or the other, which the gateway judges as a whole.
fn needed_by_messages(s: &Settings) -> Vec<Rule> {
    const TEXT: &str = "must be set where sms.gateway or a route names \"vonage_messages\"";
    let messages = &s.sms.vonage_messages;
    vec![
        (!messages.base_url.is_empty(), "sms.vonage_messages.base_url", TEXT),
        (messages.from.is_some(), "sms.vonage_messages.from", TEXT),
    ]
}

fn webhooks(s: &Settings) -> Vec<Rule> {
    vec![
        (
            s.webhooks.url.is_empty() || s.webhooks.secret.is_some(),
            "webhooks.secret",
            "must be set for webhooks.url: events are never posted unsigned",
        ),
        (
            s.webhooks.url.is_empty() || !s.webhooks.events.is_empty(),
            "webhooks.events",
            "must name an event for webhooks.url; leave the URL out to post none",
        ),
    ]
}

/// Two tries, and between them the drawn pause (at most one and a half of it) or what the provider asked for.
fn longest_send(s: &Settings) -> Duration {
    s.sms.attempt_timeout * 2 + (s.sms.retry_backoff * 3 / 2).max(s.sms.retry_after_max)
}

fn listed(one: Option<&String>, all: &[String]) -> bool {
    one.is_none_or(|one| all.contains(one))
}

/// What is allowed but should not go unnoticed.
pub(super) fn warnings(s: &Settings) -> Vec<String> {
    let notes = [
        (s.codes.digits < 6, "codes.digits: fewer than six digits are easy to guess"),
        (
            !s.test_numbers.is_empty() && s.sms.is_real(),
            "test_numbers: whoever knows a listed number's fixed code can sign in as it, beside a gateway that really sends",
        ),
        (!s.dev.store_delay.is_zero(), "dev.store_delay_ms: every change waits longer than the disk needs"),
        (s.dev.show_codes, "dev.show_codes: answers show codes; anyone can sign in as anyone"),
        (
            s.sms.gateways().contains(&GatewayKind::Console) && !s.server.listen.ip().is_loopback(),
            "sms.gateway: codes are printed to the console while other machines can connect",
        ),
        (
            s.store.durability == Durability::Buffered,
            "store.durability: kill -9 or a crash of the machine may forget the last 100 ms of acknowledged changes",
        ),
        (!s.ops.listen.ip().is_loopback(), "ops.listen: metrics and health can be reached from other machines"),
        (
            s.server.trusted_proxies.iter().any(|network| network.prefix_len() == 0),
            "server.trusted_proxies: everyone may say which address a request comes from",
        ),
        (
            s.spend.has_budget() && s.spend.default_price.bytes().all(|byte| matches!(byte, b'0' | b'.')),
            "spend.default_price: destinations without a price cost nothing, so no budget holds them",
        ),
        (
            s.sms.is_real() && !s.fraud.watches(true),
            "fraud: velocity, runs and conversion are all off beside a gateway that really sends",
        ),
        (s.limits.ip_per_minute == 0, "limits.ip_per_minute: no limit per client address"),
    ];
    notes.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned()).collect()
}
