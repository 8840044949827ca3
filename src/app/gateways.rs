//! From settings to gateways. Each function is one gateway; none of them decides anything.

use std::sync::Arc;

use super::{StartError, World, parts::millis};
use crate::{
    settings::{self, GatewayKind, Settings},
    sms::{
        Gateway,
        console::Console,
        kavenegar::{Kavenegar, KavenegarSettings},
        mshastra::{Mshastra, MshastraSettings},
        outbound::HttpLimits,
        receipt::secret_path::UnsignedReceipts,
        simulated::{Simulated, SimulatedSettings},
        sns::{Sns, SnsSettings},
        telegram::{Telegram, TelegramSettings},
        twilio::{Twilio, TwilioSettings},
        vonage::{Hash, Signature, Vonage, VonageSettings},
        webhook::{Webhook, WebhookSettings},
    },
};

/// The gateway of that kind, with its settings. Does not connect.
pub(super) fn gateway(kind: GatewayKind, settings: &Settings, world: &World) -> Result<Arc<dyn Gateway>, StartError> {
    let sms = &settings.sms;
    Ok(match kind {
        GatewayKind::Console => Arc::new(Console::stdout().test_mode(sms.console_test_mode)),
        GatewayKind::Simulated => {
            let simulated = sms.simulated;
            let settings =
                SimulatedSettings { failure_rate: simulated.failure_rate, latency_ms: millis(simulated.latency) };
            Arc::new(Simulated::new(settings, Arc::clone(&world.entropy))?)
        }
        GatewayKind::Twilio => Arc::new(Twilio::new(twilio(&sms.twilio, receipts_url(settings, "twilio")))?),
        GatewayKind::Kavenegar => Arc::new(Kavenegar::new(&kavenegar(&sms.kavenegar))?),
        GatewayKind::Mshastra => Arc::new(Mshastra::new(mshastra(&sms.mshastra))?),
        GatewayKind::Vonage => Arc::new(Vonage::new(vonage(&sms.vonage, receipts_url(settings, "vonage")))?),
        GatewayKind::Webhook => {
            let webhook = webhook(&sms.webhook);
            Arc::new(Webhook::new(&webhook, Arc::clone(&world.clock))?)
        }
        GatewayKind::Sns => Arc::new(Sns::new(sns(&sms.sns), Arc::clone(&world.clock))?),
        GatewayKind::Telegram => Arc::new(Telegram::new(telegram(&sms.telegram, receipts_url(settings, "telegram")))?),
    })
}

fn twilio(twilio: &settings::Twilio, receipts_url: Option<String>) -> TwilioSettings {
    TwilioSettings {
        base_url: twilio.base_url.clone(),
        account_sid: twilio.account_sid.clone().unwrap_or_default(),
        api_key_sid: twilio.api_key_sid.clone(),
        auth_token: twilio.auth_token.clone().unwrap_or_default(),
        from: twilio.from.clone(),
        messaging_service_sid: twilio.messaging_service_sid.clone(),
        receipts_auth_token: twilio.receipts_auth_token.clone(),
        test_mode: twilio.test_mode,
        receipts_url,
        limits: http_limits(&twilio.limits),
    }
}

fn kavenegar(kavenegar: &settings::Kavenegar) -> KavenegarSettings {
    KavenegarSettings {
        base_url: kavenegar.base_url.clone(),
        api_key: kavenegar.api_key.clone().unwrap_or_default(),
        sender: kavenegar.sender.clone(),
        template: kavenegar.template.clone(),
        receipts: unsigned(&kavenegar.receipts),
        limits: http_limits(&kavenegar.limits),
    }
}

fn mshastra(mshastra: &settings::Mshastra) -> MshastraSettings {
    MshastraSettings {
        base_url: mshastra.base_url.clone(),
        user: mshastra.user.clone().unwrap_or_default(),
        password: mshastra.password.clone().unwrap_or_default(),
        sender: mshastra.sender.clone().unwrap_or_default(),
        receipts: unsigned(&mshastra.receipts),
        limits: http_limits(&mshastra.limits),
    }
}

fn vonage(vonage: &settings::Vonage, receipts_url: Option<String>) -> VonageSettings {
    VonageSettings {
        base_url: vonage.base_url.clone(),
        api_key: vonage.api_key.clone().unwrap_or_default(),
        api_secret: vonage.api_secret.clone().unwrap_or_default(),
        from: vonage.from.clone().unwrap_or_default(),
        signature: vonage.signature_secret.clone().map(|secret| Signature {
            secret,
            hash: match vonage.signature_method {
                "md5" => Hash::Md5,
                "sha1" => Hash::Sha1,
                "sha512" => Hash::Sha512,
                _ => Hash::Sha256,
            },
        }),
        receipts_url,
        limits: http_limits(&vonage.limits),
    }
}

fn webhook(webhook: &settings::Webhook) -> WebhookSettings {
    WebhookSettings {
        base_url: webhook.base_url.clone(),
        secret: webhook.secret.clone().unwrap_or_default(),
        secret_previous: webhook.secret_previous.clone(),
        auth_header: webhook.auth_header.clone(),
        auth_value: webhook.auth_value.clone(),
        body: webhook.body.clone(),
        success_statuses: webhook.success_statuses.clone(),
        success_pointer: webhook.success_pointer.clone(),
        success_equals: webhook.success_equals.clone(),
        id_pointer: webhook.id_pointer.clone(),
        error_pointer: webhook.error_pointer.clone(),
        error_classes: webhook.error_classes.clone(),
        limits: http_limits(&webhook.limits),
    }
}

fn sns(sns: &settings::Sns) -> SnsSettings {
    SnsSettings {
        base_url: sns.base_url.clone(),
        region: sns.region.clone().unwrap_or_default(),
        access_key_id: sns.access_key_id.clone().unwrap_or_default(),
        secret_access_key: sns.secret_access_key.clone().unwrap_or_default(),
        sender_id: sns.sender_id.clone(),
        origination_number: sns.origination_number.clone(),
        limits: http_limits(&sns.limits),
    }
}

fn telegram(telegram: &settings::Telegram, receipts_url: Option<String>) -> TelegramSettings {
    TelegramSettings {
        base_url: telegram.base_url.clone(),
        access_token: telegram.access_token.clone().unwrap_or_default(),
        sender_username: telegram.sender_username.clone(),
        receipts_url,
        limits: http_limits(&telegram.limits),
    }
}

fn unsigned(receipts: &settings::UnsignedReceipts) -> UnsignedReceipts {
    UnsignedReceipts { secret: receipts.secret.clone(), networks: receipts.ips.clone() }
}

fn http_limits(limits: &settings::HttpLimits) -> HttpLimits {
    HttpLimits {
        timeout_ms: millis(limits.timeout),
        connect_timeout_ms: millis(limits.connect_timeout),
        response_bytes_max: limits.response_bytes_max,
        connections_idle_max: limits.connections_idle_max,
    }
}

/// Where a provider is to post its receipts: only under a public URL that the operator named, because a provider cannot
/// call this machine by the address that it happens to be bound to.
fn receipts_url(settings: &Settings, gateway: &str) -> Option<String> {
    settings.server.public_url.as_ref().map(|url| format!("{url}/v1/receipts/{gateway}"))
}
