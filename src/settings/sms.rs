//! `[sms]` and its providers: who sends, how patiently, and the texts.

mod route;

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;

pub use self::route::{Channel, Route};
use super::{
    reader::Reader,
    server::{BASE_URL, is_base_url, is_host},
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
}

impl GatewayKind {
    /// Every gateway with its name in the configuration, the default first.
    pub const NAMES: [(&str, Self); 9] = [
        ("console", Self::Console),
        ("simulated", Self::Simulated),
        ("twilio", Self::Twilio),
        ("kavenegar", Self::Kavenegar),
        ("mshastra", Self::Mshastra),
        ("vonage", Self::Vonage),
        ("webhook", Self::Webhook),
        ("sns", Self::Sns),
        ("telegram", Self::Telegram),
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
            | Self::Telegram => true,
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
    /// `[sms.console]`: print a second line in the words of `signup_login`'s original.
    pub console_test_mode: bool,
    /// `[sms.simulated]`.
    pub simulated: Simulated,
}

/// `[sms.twilio]`.
#[derive(Debug, Clone)]
pub struct Twilio {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// Account SID.
    pub account_sid: Option<String>,
    /// API key to sign in with in place of the account.
    pub api_key_sid: Option<String>,
    /// Auth token, or the API key's secret.
    pub auth_token: Option<SecretString>,
    /// Sender.
    pub from: Option<String>,
    /// Messaging service that picks the sender.
    pub messaging_service_sid: Option<String>,
    /// Test credentials are used.
    pub test_mode: bool,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.kavenegar]`.
#[derive(Debug, Clone)]
pub struct Kavenegar {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// The account's key.
    pub api_key: Option<SecretString>,
    /// Line that sends texts.
    pub sender: Option<String>,
    /// Template that codes are sent by.
    pub template: Option<String>,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.mshastra]`.
#[derive(Debug, Clone)]
pub struct Mshastra {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// The profile's user.
    pub user: Option<String>,
    /// The profile's password.
    pub password: Option<SecretString>,
    /// Approved sender.
    pub sender: Option<String>,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.vonage]`.
#[derive(Debug, Clone)]
pub struct Vonage {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// The account's key.
    pub api_key: Option<String>,
    /// The account's secret.
    pub api_secret: Option<SecretString>,
    /// Sender.
    pub from: Option<String>,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.webhook]`. What the body and the rule may be is checked where they are used.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The whole URL.
    pub base_url: String,
    /// What requests are signed with.
    pub secret: Option<SecretString>,
    /// The secret before.
    pub secret_previous: Option<SecretString>,
    /// A header the receiver asks for.
    pub auth_header: String,
    /// Its value.
    pub auth_value: Option<SecretString>,
    /// The body, with placeholders.
    pub body: String,
    /// Statuses of a success.
    pub success_statuses: Vec<u16>,
    /// Where a success says so.
    pub success_pointer: Option<String>,
    /// What it says.
    pub success_equals: String,
    /// Where the receiver's id stands.
    pub id_pointer: Option<String>,
    /// Where a reason stands.
    pub error_pointer: Option<String>,
    /// The receiver's words for a reason, and the class that each means.
    pub error_classes: Vec<(String, String)>,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.sns]`.
#[derive(Debug, Clone)]
pub struct Sns {
    /// Where the API is, without path, if not at the region's own place.
    pub base_url: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// The key's id.
    pub access_key_id: Option<String>,
    /// The key.
    pub secret_access_key: Option<SecretString>,
    /// Name shown as sender.
    pub sender_id: Option<String>,
    /// Number that sends.
    pub origination_number: Option<String>,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.telegram]`.
#[derive(Debug, Clone)]
pub struct Telegram {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// The account's token.
    pub access_token: Option<SecretString>,
    /// Channel that sends.
    pub sender_username: Option<String>,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// What every gateway over HTTP is limited by.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Time for one try.
    pub timeout: Duration,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Longest answer read, bytes.
    pub response_bytes_max: usize,
    /// Idle connections kept.
    pub connections_idle_max: usize,
}

/// `[sms.simulated]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulated {
    /// Share of sends that fail, 0 to 1.
    pub failure_rate: f64,
    /// How long a send takes.
    pub latency: Duration,
}

/// The four limits of one gateway's table: keys are known when compiling, so that they can be listed.
macro_rules! http_limits {
    ($reader:ident, $gateway:literal) => {
        HttpLimits {
            timeout: $reader.millis(concat!("sms.", $gateway, ".timeout_ms"), 100..=60_000),
            connect_timeout: $reader.millis(concat!("sms.", $gateway, ".connect_timeout_ms"), 100..=60_000),
            response_bytes_max: $reader.number(concat!("sms.", $gateway, ".response_bytes_max"), 1_024..=1_048_576),
            connections_idle_max: $reader.number(concat!("sms.", $gateway, ".connections_idle_max"), 0..=1_024),
        }
    };
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
            breaker_open: r.millis("sms.breaker_open_ms", 100..=600_000),
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
            twilio: Twilio::read(r),
            kavenegar: Kavenegar::read(r),
            mshastra: Mshastra::read(r),
            vonage: Vonage::read(r),
            webhook: Webhook::read(r),
            sns: Sns::read(r),
            telegram: Telegram::read(r),
            console_test_mode: r.flag("sms.console.test_mode"),
            simulated: Simulated {
                failure_rate: r.fraction("sms.simulated.failure_rate", 0.0..=1.0),
                latency: r.millis("sms.simulated.latency_ms", 0..=60_000),
            },
        }
    }
}

impl Twilio {
    fn read(r: &mut Reader<'_>) -> Self {
        // The SIDs stand in URLs and headers, where no separator may be smuggled in. Placeholders have hyphens, and may
        // stay where they are as long as Twilio is not the gateway.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let sid = |text: &str| text.len() <= 64 && text.bytes().all(plain);
        let letters = "letters, digits and hyphens only, at most 64";
        Self {
            base_url: r.checked("sms.twilio.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            account_sid: r.checked("sms.twilio.account_sid", letters, sid),
            api_key_sid: r.checked("sms.twilio.api_key_sid", letters, sid),
            auth_token: r.secret("sms.twilio.auth_token"),
            from: r.optional("sms.twilio.from"),
            messaging_service_sid: r.checked("sms.twilio.messaging_service_sid", letters, sid),
            test_mode: r.flag("sms.twilio.test_mode"),
            limits: http_limits!(r, "twilio"),
        }
    }
}

impl Kavenegar {
    fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.kavenegar.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            api_key: r.secret("sms.kavenegar.api_key"),
            sender: r.optional("sms.kavenegar.sender"),
            template: r.optional("sms.kavenegar.template"),
            limits: http_limits!(r, "kavenegar"),
        }
    }
}

impl Mshastra {
    fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.mshastra.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            user: r.optional("sms.mshastra.user"),
            password: r.secret("sms.mshastra.password"),
            sender: r.optional("sms.mshastra.sender"),
            limits: http_limits!(r, "mshastra"),
        }
    }
}

impl Vonage {
    fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.vonage.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            api_key: r.optional("sms.vonage.api_key"),
            api_secret: r.secret("sms.vonage.api_secret"),
            from: r.optional("sms.vonage.from"),
            limits: http_limits!(r, "vonage"),
        }
    }
}

impl Webhook {
    fn read(r: &mut Reader<'_>) -> Self {
        let word = "a word, = and a class, as in E12=invalid_number";
        let pair = |text: &str| text.split_once('=').map(|(word, class)| (word.to_owned(), class.to_owned()));
        Self {
            base_url: r.checked("sms.webhook.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            secret: r.secret("sms.webhook.secret"),
            secret_previous: r.secret("sms.webhook.secret_previous"),
            auth_header: r.text("sms.webhook.auth_header"),
            auth_value: r.secret("sms.webhook.auth_value"),
            body: r.text("sms.webhook.body"),
            success_statuses: r.numbers("sms.webhook.success_statuses", 200..=299, 1..=16),
            success_pointer: r.optional("sms.webhook.success_pointer"),
            success_equals: r.text("sms.webhook.success_equals"),
            id_pointer: r.optional("sms.webhook.id_pointer"),
            error_pointer: r.optional("sms.webhook.error_pointer"),
            error_classes: r.list("sms.webhook.error_classes", word, pair),
            limits: http_limits!(r, "webhook"),
        }
    }
}

impl Sns {
    fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.sns.base_url", BASE_URL, is_base_url),
            region: r.optional("sms.sns.region"),
            access_key_id: r.optional("sms.sns.access_key_id"),
            secret_access_key: r.secret("sms.sns.secret_access_key"),
            sender_id: r.optional("sms.sns.sender_id"),
            origination_number: r.optional("sms.sns.origination_number"),
            limits: http_limits!(r, "sns"),
        }
    }
}

impl Telegram {
    fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.telegram.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            access_token: r.secret("sms.telegram.access_token"),
            sender_username: r.optional("sms.telegram.sender_username"),
            limits: http_limits!(r, "telegram"),
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
