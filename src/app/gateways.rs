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
        twilio_verify::{TwilioVerify, TwilioVerifySettings},
        twilio_voice::{TwilioVoice, TwilioVoiceSettings},
        vonage::{Hash, Signature, Vonage, VonageSettings},
        vonage_messages::{VonageMessages, VonageMessagesSettings},
        webhook::{Webhook, WebhookSettings},
    },
};

/// The gateway of that kind, with its settings. Does not connect.
pub(super) fn gateway(settings: &Settings, world: &World, kind: GatewayKind) -> Result<Arc<dyn Gateway>, StartError> {
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
        GatewayKind::TwilioVoice => {
            let voice = twilio_voice(&sms.twilio_voice, &sms.app_name, receipts_url(settings, "twilio_voice"));
            Arc::new(TwilioVoice::new(voice)?)
        }
        GatewayKind::TwilioVerify => {
            Arc::new(TwilioVerify::new(twilio_verify(&sms.twilio_verify), Arc::clone(&world.clock))?)
        }
        GatewayKind::VonageMessages => {
            let messages = vonage_messages(&sms.vonage_messages, receipts_url(settings, "vonage_messages"));
            Arc::new(VonageMessages::new(messages, Arc::clone(&world.clock), Arc::clone(&world.entropy))?)
        }
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
        whatsapp_from: twilio.whatsapp_from.clone(),
        whatsapp_content_sid: twilio.whatsapp_content_sid.clone(),
        receipts_auth_token: twilio.receipts_auth_token.clone(),
        test_mode: twilio.test_mode,
        receipts_url,
        limits: http_limits(&twilio.limits),
    }
}

fn twilio_voice(voice: &settings::TwilioVoice, app: &str, receipts_url: Option<String>) -> TwilioVoiceSettings {
    TwilioVoiceSettings {
        base_url: voice.base_url.clone(),
        account_sid: voice.account_sid.clone().unwrap_or_default(),
        api_key_sid: voice.api_key_sid.clone(),
        auth_token: voice.auth_token.clone().unwrap_or_default(),
        from: voice.from.clone().unwrap_or_default(),
        test_mode: voice.test_mode,
        app: app.to_owned(),
        ring_timeout_s: voice.ring_timeout_s,
        receipts_auth_token: voice.receipts_auth_token.clone(),
        receipts_url,
        limits: http_limits(&voice.limits),
    }
}

fn twilio_verify(verify: &settings::TwilioVerify) -> TwilioVerifySettings {
    TwilioVerifySettings {
        base_url: verify.base_url.clone(),
        account_sid: verify.account_sid.clone().unwrap_or_default(),
        api_key_sid: verify.api_key_sid.clone(),
        auth_token: verify.auth_token.clone().unwrap_or_default(),
        service_sid: verify.service_sid.clone().unwrap_or_default(),
        channels: verify.channels.clone(),
        pending_max: verify.pending_max,
        limits: http_limits(&verify.limits),
    }
}

fn vonage_messages(messages: &settings::VonageMessages, receipts_url: Option<String>) -> VonageMessagesSettings {
    VonageMessagesSettings {
        base_url: messages.base_url.clone(),
        api_key: messages.api_key.clone(),
        api_secret: messages.api_secret.clone(),
        application_id: messages.application_id.clone(),
        private_key: messages.private_key.clone(),
        from: messages.from.clone().unwrap_or_default(),
        signature_secret: messages.signature_secret.clone(),
        receipts_url,
        limits: http_limits(&messages.limits),
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

pub(super) fn http_limits(limits: &settings::HttpLimits) -> HttpLimits {
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
