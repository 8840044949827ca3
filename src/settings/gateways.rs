//! The tables of the providers over HTTP, `[sms.twilio]` to `[sms.vonage_messages]`.

use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

use crate::record::Channel;

use super::{
    reader::Reader,
    server::{BASE_URL, NETWORK, is_base_url, network},
};

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
    /// Number that sends by WhatsApp.
    pub whatsapp_from: Option<String>,
    /// WhatsApp's template for codes.
    pub whatsapp_content_sid: Option<String>,
    /// The account's token, where the other is an API key's secret.
    pub receipts_auth_token: Option<SecretString>,
    /// Test credentials are used.
    pub test_mode: bool,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.twilio_voice]`.
#[derive(Debug, Clone)]
pub struct TwilioVoice {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// Account SID.
    pub account_sid: Option<String>,
    /// API key to sign in with in place of the account.
    pub api_key_sid: Option<String>,
    /// Auth token, or the API key's secret.
    pub auth_token: Option<SecretString>,
    /// Number that calls.
    pub from: Option<String>,
    /// The account's token, where the other is an API key's secret.
    pub receipts_auth_token: Option<SecretString>,
    /// Test credentials are used.
    pub test_mode: bool,
    /// How long it rings, seconds.
    pub ring_timeout_s: u16,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.twilio_verify]`.
#[derive(Debug, Clone)]
pub struct TwilioVerify {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// Account SID.
    pub account_sid: Option<String>,
    /// API key to sign in with in place of the account.
    pub api_key_sid: Option<String>,
    /// Auth token, or the API key's secret.
    pub auth_token: Option<SecretString>,
    /// Verify service.
    pub service_sid: Option<String>,
    /// Channels that the service has.
    pub channels: Vec<Channel>,
    /// Verifications remembered until they end.
    pub pending_max: usize,
    /// Time and size of its calls.
    pub limits: HttpLimits,
}

/// `[sms.vonage_messages]`.
#[derive(Debug, Clone)]
pub struct VonageMessages {
    /// Where the API is, without final slash.
    pub base_url: String,
    /// The account's key.
    pub api_key: Option<String>,
    /// The account's secret.
    pub api_secret: Option<SecretString>,
    /// The application that signs in, in place of the account.
    pub application_id: Option<String>,
    /// Its private key, PEM.
    pub private_key: Option<SecretString>,
    /// Sender.
    pub from: Option<String>,
    /// What receipts are signed with.
    pub signature_secret: Option<SecretString>,
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
    /// Who may send receipts.
    pub receipts: UnsignedReceipts,
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
    /// Who may send receipts.
    pub receipts: UnsignedReceipts,
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
    /// What receipts are signed with.
    pub signature_secret: Option<SecretString>,
    /// How, as in `sha256`.
    pub signature_method: &'static str,
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

/// How unsigned receipts are told from strangers' posts.
#[derive(Debug, Clone)]
pub struct UnsignedReceipts {
    /// End of their path.
    pub secret: Option<SecretString>,
    /// Where they may come from; empty: anywhere.
    pub ips: Vec<IpNet>,
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

/// What ids of Twilio may hold: they stand in URLs and headers, where no separator may be smuggled in. Placeholders have
/// hyphens, and may stay where they are as long as nothing goes by Twilio.
const SID: &str = "letters, digits and hyphens only, at most 64";

fn is_sid(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Twilio {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.twilio.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            account_sid: r.checked("sms.twilio.account_sid", SID, is_sid),
            api_key_sid: r.checked("sms.twilio.api_key_sid", SID, is_sid),
            auth_token: r.secret("sms.twilio.auth_token"),
            from: r.optional("sms.twilio.from"),
            messaging_service_sid: r.checked("sms.twilio.messaging_service_sid", SID, is_sid),
            whatsapp_from: r.optional("sms.twilio.whatsapp_from"),
            whatsapp_content_sid: r.checked("sms.twilio.whatsapp_content_sid", SID, is_sid),
            receipts_auth_token: r.secret("sms.twilio.receipts_auth_token"),
            test_mode: r.flag("sms.twilio.test_mode"),
            limits: http_limits!(r, "twilio"),
        }
    }
}

impl TwilioVoice {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.twilio_voice.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            account_sid: r.checked("sms.twilio_voice.account_sid", SID, is_sid),
            api_key_sid: r.checked("sms.twilio_voice.api_key_sid", SID, is_sid),
            auth_token: r.secret("sms.twilio_voice.auth_token"),
            from: r.optional("sms.twilio_voice.from"),
            receipts_auth_token: r.secret("sms.twilio_voice.receipts_auth_token"),
            test_mode: r.flag("sms.twilio_voice.test_mode"),
            ring_timeout_s: r.number("sms.twilio_voice.ring_timeout_s", 5..=600),
            limits: http_limits!(r, "twilio_voice"),
        }
    }
}

impl TwilioVerify {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.twilio_verify.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            account_sid: r.checked("sms.twilio_verify.account_sid", SID, is_sid),
            api_key_sid: r.checked("sms.twilio_verify.api_key_sid", SID, is_sid),
            auth_token: r.secret("sms.twilio_verify.auth_token"),
            service_sid: r.checked("sms.twilio_verify.service_sid", SID, is_sid),
            channels: r.list("sms.twilio_verify.channels", "sms, voice or whatsapp", Channel::named),
            pending_max: r.number("sms.twilio_verify.pending_max", 1..=1_000_000),
            limits: http_limits!(r, "twilio_verify"),
        }
    }
}

impl VonageMessages {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.vonage_messages.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            api_key: r.optional("sms.vonage_messages.api_key"),
            api_secret: r.secret("sms.vonage_messages.api_secret"),
            application_id: r.optional("sms.vonage_messages.application_id"),
            private_key: r.secret("sms.vonage_messages.private_key"),
            from: r.optional("sms.vonage_messages.from"),
            signature_secret: r.secret("sms.vonage_messages.signature_secret"),
            limits: http_limits!(r, "vonage_messages"),
        }
    }
}

impl Kavenegar {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.kavenegar.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            api_key: r.secret("sms.kavenegar.api_key"),
            sender: r.optional("sms.kavenegar.sender"),
            template: r.optional("sms.kavenegar.template"),
            receipts: UnsignedReceipts {
                secret: r.secret("sms.kavenegar.receipts_secret"),
                ips: r.list("sms.kavenegar.receipts_ips", NETWORK, network),
            },
            limits: http_limits!(r, "kavenegar"),
        }
    }
}

impl Mshastra {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.mshastra.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            user: r.optional("sms.mshastra.user"),
            password: r.secret("sms.mshastra.password"),
            sender: r.optional("sms.mshastra.sender"),
            receipts: UnsignedReceipts {
                secret: r.secret("sms.mshastra.receipts_secret"),
                ips: r.list("sms.mshastra.receipts_ips", NETWORK, network),
            },
            limits: http_limits!(r, "mshastra"),
        }
    }
}

impl Vonage {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.vonage.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            api_key: r.optional("sms.vonage.api_key"),
            api_secret: r.secret("sms.vonage.api_secret"),
            from: r.optional("sms.vonage.from"),
            signature_secret: r.secret("sms.vonage.signature_secret"),
            signature_method: r.word("sms.vonage.signature_method", &["sha256", "sha512", "sha1", "md5"]),
            limits: http_limits!(r, "vonage"),
        }
    }
}

impl Webhook {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
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
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
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
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            base_url: r.checked("sms.telegram.base_url", BASE_URL, is_base_url).unwrap_or_default(),
            access_token: r.secret("sms.telegram.access_token"),
            sender_username: r.optional("sms.telegram.sender_username"),
            limits: http_limits!(r, "telegram"),
        }
    }
}
