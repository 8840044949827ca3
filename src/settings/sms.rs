//! `[sms]`: who sends, how patiently, and the texts. The providers' own tables are `gateways`'s.

mod route;

use std::{collections::BTreeMap, time::Duration};

pub use self::route::Route;
use crate::record::Channel;

use super::{
    gateways::{
        Kavenegar, Mshastra, Sns, Telegram, Twilio, TwilioVerify, TwilioVoice, Vonage, VonageMessages, Webhook,
    },
    reader::Reader,
    server::is_host,
};

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GatewayKind {
    /// Prints to standard output.
    Console,
    /// Sends nothing; can be slow or fail.
    Simulated,
    /// Twilio Programmable Messaging.
    Twilio,
    /// Kavenegar, by text or template.
    Kavenegar,
    /// mShastra.
    Mshastra,
    /// Vonage SMS API.
    Vonage,
    /// A URL of the operator's.
    Webhook,
    /// Amazon SNS.
    Sns,
    /// Telegram Gateway, codes only.
    Telegram,
    /// Calls by Twilio, codes only.
    TwilioVoice,
    /// Twilio Verify, codes only.
    TwilioVerify,
    /// Vonage Messages API.
    VonageMessages,
}

impl GatewayKind {
    /// Every gateway with its name in the configuration, the default first.
    pub const NAMES: [(&str, Self); 12] = [
        ("console", Self::Console),
        ("simulated", Self::Simulated),
        ("twilio", Self::Twilio),
        ("kavenegar", Self::Kavenegar),
        ("mshastra", Self::Mshastra),
        ("vonage", Self::Vonage),
        ("webhook", Self::Webhook),
        ("sns", Self::Sns),
        ("telegram", Self::Telegram),
        ("twilio_voice", Self::TwilioVoice),
        ("twilio_verify", Self::TwilioVerify),
        ("vonage_messages", Self::VonageMessages),
    ];

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The gateway of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    /// True if messages leave this machine.
    #[must_use]
    pub fn is_real(self) -> bool {
        match self {
            Self::Console | Self::Simulated => false,
            Self::Twilio
            | Self::Kavenegar
            | Self::Mshastra
            | Self::Vonage
            | Self::Webhook
            | Self::Sns
            | Self::Telegram
            | Self::TwilioVoice
            | Self::TwilioVerify
            | Self::VonageMessages => true,
        }
    }
}

/// `[sms]`. What a text may hold is checked where texts are made.
#[derive(Debug, Clone)]
pub struct Sms {
    /// Who sends.
    pub gateway: GatewayKind,
    /// Who sends to whom, in the order in which they are tried.
    pub routes: Vec<Route>,
    /// Whether gateways of a route are ordered by how they fare.
    pub adaptive: bool,
    /// Channels of messages that leave the choice to us.
    pub auto_channels: Vec<Channel>,
    /// How long such a message may be silent, while nothing is known of its route; then between the other two.
    pub silence: Duration,
    /// At least.
    pub silence_min: Duration,
    /// At most.
    pub silence_max: Duration,
    /// Messages of channel `auto` that are waited for at once.
    pub auto_waiting_max: usize,
    /// After this time what a gateway did counts half.
    pub statistics_half_life: Duration,
    /// Failures in a row after which a gateway is left alone.
    pub breaker_failures: u32,
    /// For how long at first.
    pub breaker_open: Duration,
    /// For how long at most.
    pub breaker_open_max: Duration,
    /// Name in the messages.
    pub app_name: String,
    /// Language when the client's is not there.
    pub default_locale: String,
    /// Parts a message may be billed as.
    pub parts_max: usize,
    /// Hosts for WebOTP.
    pub webotp_hosts: Vec<String>,
    /// The host when a client names none.
    pub webotp_host: Option<String>,
    /// Hashes of Android apps.
    pub app_hashes: Vec<String>,
    /// The hash when a client names none.
    pub app_hash: Option<String>,
    /// Sends open at once.
    pub inflight_max: usize,
    /// Time for one try.
    pub attempt_timeout: Duration,
    /// Pause before the one retry.
    pub retry_backoff: Duration,
    /// Longest wait that a provider may ask for.
    pub retry_after_max: Duration,
    /// After this a send without a result counts as lost.
    pub send_deadline: Duration,
    /// Text of a code by language tag, as the operator wrote it.
    pub templates: BTreeMap<String, String>,
    /// Text for the old number of a moved account, by language tag.
    pub phone_changed: BTreeMap<String, String>,
    /// `[sms.receipts]`.
    pub receipts: Receipts,
    /// `[sms.twilio]`.
    pub twilio: Twilio,
    /// `[sms.kavenegar]`.
    pub kavenegar: Kavenegar,
    /// `[sms.mshastra]`.
    pub mshastra: Mshastra,
    /// `[sms.vonage]`.
    pub vonage: Vonage,
    /// `[sms.webhook]`.
    pub webhook: Webhook,
    /// `[sms.sns]`.
    pub sns: Sns,
    /// `[sms.telegram]`.
    pub telegram: Telegram,
    /// `[sms.twilio_voice]`.
    pub twilio_voice: TwilioVoice,
    /// `[sms.twilio_verify]`.
    pub twilio_verify: TwilioVerify,
    /// `[sms.vonage_messages]`.
    pub vonage_messages: VonageMessages,
    /// `[sms.console]`: print a second line in the words of `signup_login`'s original.
    pub console_test_mode: bool,
    /// `[sms.simulated]`.
    pub simulated: Simulated,
}

/// `[sms.receipts]`.
#[derive(Debug, Clone, Copy)]
pub struct Receipts {
    /// Receipts from one address per minute.
    pub ip_per_minute: u32,
    /// Largest receipt, bytes.
    pub body_bytes_max: usize,
    /// Receipts worked on at once.
    pub inflight_max: usize,
    /// Providers' ids of messages remembered at once.
    pub ids_max: usize,
    /// How long each is remembered.
    pub ids_life: Duration,
}

/// `[sms.simulated]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulated {
    /// Share of sends that fail, 0 to 1.
    pub failure_rate: f64,
    /// How long a send takes.
    pub latency: Duration,
}

impl Sms {
    /// Every gateway that may be asked, each once: the one for whatever no route matches, then those of the routes.
    #[must_use]
    pub fn gateways(&self) -> Vec<GatewayKind> {
        let mut used = vec![self.gateway];
        for kind in self.routes.iter().flat_map(|route| &route.gateways) {
            if !used.contains(kind) {
                used.push(*kind);
            }
        }
        used
    }

    /// True if messages may leave this machine.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.gateways().into_iter().any(GatewayKind::is_real)
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            gateway: r.choice("sms.gateway", GatewayKind::NAMES[0], &GatewayKind::NAMES[1..]),
            routes: route::read(r),
            adaptive: r.choice("sms.order", ("configured", false), &[("adaptive", true)]),
            auto_channels: r.list("sms.auto_channels", "sms, voice or whatsapp", Channel::named),
            silence: r.millis("sms.silence_ms", 1_000..=600_000),
            silence_min: r.millis("sms.silence_min_ms", 1_000..=600_000),
            silence_max: r.millis("sms.silence_max_ms", 1_000..=600_000),
            auto_waiting_max: r.number("sms.auto_waiting_max", 0..=1_000_000),
            statistics_half_life: r.seconds("sms.statistics_half_life_s", 60..=604_800),
            breaker_failures: r.number("sms.breaker_failures", 1..=1_000),
            breaker_open: r.millis("sms.breaker_open_ms", 0..=600_000),
            breaker_open_max: r.millis("sms.breaker_open_max_ms", 100..=3_600_000),
            app_name: r.text("sms.app_name"),
            default_locale: r.text("sms.default_locale"),
            parts_max: r.number("sms.parts_max", 1..=10),
            webotp_hosts: r.list("sms.webotp_hosts", "a host name, as in login.example.com", host),
            webotp_host: r.optional("sms.webotp_host"),
            app_hashes: r.list("sms.app_hashes", "11 characters of Base64", app_hash),
            app_hash: r.optional("sms.app_hash"),
            inflight_max: r.number("sms.inflight_max", 1..=65_536),
            attempt_timeout: r.millis("sms.attempt_timeout_ms", 100..=60_000),
            retry_backoff: r.millis("sms.retry_backoff_ms", 0..=10_000),
            retry_after_max: r.millis("sms.retry_after_max_ms", 0..=60_000),
            send_deadline: r.millis("sms.send_deadline_ms", 1_000..=200_000),
            templates: r.open_table("sms.templates"),
            phone_changed: r.open_table("sms.phone_changed"),
            receipts: Receipts {
                ip_per_minute: r.number("sms.receipts.ip_per_minute", 0..=10_000_000),
                body_bytes_max: r.number("sms.receipts.body_bytes_max", 1_024..=1_048_576),
                inflight_max: r.number("sms.receipts.inflight_max", 1..=65_536),
                ids_max: r.number("sms.receipts.ids_max", 1..=10_000_000),
                ids_life: r.seconds("sms.receipts.ids_life_s", 60..=604_800),
            },
            twilio: Twilio::read(r),
            kavenegar: Kavenegar::read(r),
            mshastra: Mshastra::read(r),
            vonage: Vonage::read(r),
            webhook: Webhook::read(r),
            sns: Sns::read(r),
            telegram: Telegram::read(r),
            twilio_voice: TwilioVoice::read(r),
            twilio_verify: TwilioVerify::read(r),
            vonage_messages: VonageMessages::read(r),
            console_test_mode: r.flag("sms.console.test_mode"),
            simulated: Simulated {
                failure_rate: r.fraction("sms.simulated.failure_rate", 0.0..=1.0),
                latency: r.millis("sms.simulated.latency_ms", 0..=60_000),
            },
        }
    }
}

fn host(text: &str) -> Option<String> {
    is_host(text).then(|| text.to_ascii_lowercase())
}

fn app_hash(text: &str) -> Option<String> {
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    (text.len() == 11 && text.bytes().all(base64)).then(|| text.to_owned())
}
